//! What each client is to be told, given what it is told now.

use serde_json::{Value, json};

use super::document::Document;
use super::{Client, Error, Gateway, Warning};

/// The name of our entry where a client keeps a list of providers.
pub(super) const PROVIDER: &str = "flowgate";
/// The variable that Codex reads the key for the gateway from.
pub(super) const KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// What [`snippet`](super::snippet) shows where a token belongs. It is never written to a file.
pub(super) const PLACEHOLDER: &str = "your-gateway-token";
/// Codex refuses a `[model_providers]` table of these names: they are its own.
/// Source: `RESERVED_MODEL_PROVIDER_IDS` of Codex 0.149.
const RESERVED: [&str; 5] = [
    "amazon-bedrock",
    "amazon-bedrock-runtime",
    "lmstudio",
    "ollama",
    "openai",
];
/// Kimi wants to know how much a model can read, in tokens; the gateway does not say. The value is
/// that of the example for overrides in Kimi Code's documentation of its configuration files.
const CONTEXT_SIZE: u32 = 131_072;

/// Keys and the values they are to have, and what is worth knowing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) settings: Vec<(Vec<String>, Value)>,
    pub(super) warnings: Vec<Warning>,
}

impl Plan {
    fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        self.settings.push((path, value.into()));
    }

    fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        self.warnings.push(Warning {
            code,
            message: message.into(),
        });
    }
}

pub(super) fn plan(client: Client, gateway: &Gateway, now: &Document) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    match client {
        Client::ClaudeCode => claude_code(gateway, now, &mut plan),
        Client::Codex => codex(gateway, now, &mut plan)?,
        Client::Copilot => copilot(gateway, now, &mut plan),
        Client::Gemini => gemini(gateway, now, &mut plan),
        Client::Kimi => kimi(gateway, now, &mut plan),
    }
    Ok(plan)
}

/// Where the base URL is that a client uses now.
pub(super) fn base_url_path(client: Client, now: &Document) -> Option<Vec<String>> {
    let path = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect());
    match client {
        Client::ClaudeCode => path(&["env", "ANTHROPIC_BASE_URL"]),
        Client::Codex => {
            let provider = now.text_at(&["model_provider"])?;
            path(&["model_providers", &provider, "base_url"])
        }
        Client::Copilot => path(&["COPILOT_PROVIDER_BASE_URL"]),
        Client::Gemini => path(&["GOOGLE_GEMINI_BASE_URL"]),
        Client::Kimi => {
            let model = now.text_at(&["default_model"])?;
            let provider = now.text_at(&["models", &model, "provider"])?;
            path(&["providers", &provider, "base_url"])
        }
    }
}

/// Every key that a plan for `from` can have set, so that it can be put back.
pub(super) fn ours(client: Client, now: &Document, from: &Document) -> Vec<Vec<String>> {
    let plain = |paths: &[&[&str]]| -> Vec<Vec<String>> {
        let owned = |path: &&[&str]| path.iter().map(|key| (*key).to_owned()).collect();
        paths.iter().map(owned).collect()
    };
    match client {
        Client::ClaudeCode => CLAUDE_VARIABLES
            .iter()
            .map(|name| vec!["env".to_owned(), (*name).to_owned()])
            .collect(),
        Client::Codex => codex_keys(now, from),
        Client::Copilot => plain(&[
            &["COPILOT_PROVIDER_BASE_URL"],
            &["COPILOT_PROVIDER_API_KEY"],
            &["COPILOT_MODEL"],
        ]),
        Client::Gemini => plain(&[
            &["GOOGLE_GEMINI_BASE_URL"],
            &["GEMINI_API_KEY"],
            &["GEMINI_MODEL"],
        ]),
        Client::Kimi => plain(&[
            &["default_model"],
            &["providers", PROVIDER, "type"],
            &["providers", PROVIDER, "base_url"],
            &["providers", PROVIDER, "api_key"],
            &["providers", PROVIDER, "api_key_env"],
            &["models", PROVIDER, "provider"],
            &["models", PROVIDER, "model"],
            &["models", PROVIDER, "max_context_size"],
        ]),
    }
}

fn codex_keys(now: &Document, from: &Document) -> Vec<Vec<String>> {
    let of = |provider: &str, keys: &[&str]| -> Vec<Vec<String>> {
        let at = |key: &&str| {
            vec![
                "model_providers".to_owned(),
                provider.to_owned(),
                (*key).to_owned(),
            ]
        };
        keys.iter().map(at).collect()
    };
    let all = ["name", "base_url", "env_key", "wire_api"];
    let provider_of = |document: &Document| document.text_at(&["model_provider"]);
    let mut paths = Vec::new();
    if [now, from]
        .map(provider_of)
        .contains(&Some(PROVIDER.to_owned()))
    {
        paths.extend([vec!["model_provider".to_owned()], vec!["model".to_owned()]]);
    }
    paths.extend(of(PROVIDER, &all));
    // Of an entry that was there, we only ever set the base URL.
    match provider_of(from) {
        Some(provider) if provider == PROVIDER => {}
        Some(provider) if from.has(&["model_providers", &provider]) => {
            paths.extend(of(&provider, &all[1..2]));
        }
        Some(provider) => paths.extend(of(&provider, &all)),
        None => {}
    }
    paths
}

const CLAUDE_VARIABLES: [&str; 6] = [
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
];

/// Source: "LLM gateway configuration" and "Settings" of the Claude Code documentation.
fn claude_code(gateway: &Gateway, now: &Document, plan: &mut Plan) {
    plan.set(&["env", "ANTHROPIC_BASE_URL"], gateway.base_url());
    let token = now.text_at(&["env", "ANTHROPIC_AUTH_TOKEN"]);
    let has_helper = now.has(&["apiKeyHelper"]);
    match (gateway.token(), token.as_deref()) {
        (Some(token), _) => plan.set(&["env", "ANTHROPIC_AUTH_TOKEN"], token),
        (None, Some(PLACEHOLDER)) => plan.warn(
            "clients.placeholder_token",
            "`ANTHROPIC_AUTH_TOKEN` holds a placeholder: give the real one with `--token-file`",
        ),
        (None, None) if !has_helper => plan.warn(
            "clients.no_token",
            "there is no `ANTHROPIC_AUTH_TOKEN`: if the gateway asks for a key, give one with `--token-file`",
        ),
        _ => {}
    }
    if now.text_at(&["env", "ANTHROPIC_API_KEY"]).is_some() {
        plan.warn(
            "clients.other_key",
            "`ANTHROPIC_API_KEY` is set too, and is sent to the gateway: take it out if it is a key for Anthropic",
        );
    }
    if has_helper {
        plan.warn(
            "clients.key_helper",
            "`apiKeyHelper` is set: what it prints is sent to the gateway",
        );
    }
    if let Some((model, fast)) = gateway.models() {
        plan.set(&["env", "ANTHROPIC_MODEL"], model);
        plan.set(&["env", "ANTHROPIC_DEFAULT_OPUS_MODEL"], model);
        plan.set(&["env", "ANTHROPIC_DEFAULT_SONNET_MODEL"], model);
        plan.set(&["env", "ANTHROPIC_DEFAULT_HAIKU_MODEL"], fast);
    }
}

/// Source: "Config basics" and "Advanced configuration" of the Codex documentation.
fn codex(gateway: &Gateway, now: &Document, plan: &mut Plan) -> Result<(), Error> {
    let base_url = format!("{}/v1", gateway.base_url());
    let provider = match now.get(&["model_provider"]) {
        None => None,
        Some(Value::String(name)) => Some(name).filter(|name| !name.trim().is_empty()),
        Some(_) => {
            return Err(Error::Shape {
                path: "model_provider".to_owned(),
                expected: "a text",
            });
        }
    };
    let (provider, is_ours) = match provider {
        Some(name) if name != PROVIDER && !RESERVED.contains(&name.as_str()) => (name, false),
        _ => (PROVIDER.to_owned(), true),
    };
    let entry = ["model_providers", provider.as_str()];
    let at = |key: &'static str| [entry[0], entry[1], key];
    if is_ours {
        plan.set(&["model_provider"], PROVIDER);
        if let Some((model, _)) = gateway.models() {
            plan.set(&["model"], model);
        }
    } else if let Some((model, _)) = gateway.models()
        && now.text_at(&["model"]).as_deref() != Some(model)
    {
        plan.warn(
            "clients.other_model",
            format!("the provider `{provider}` stays in use with its own `model`: see that the gateway serves it"),
        );
    }
    let complete = is_ours || !now.has(&entry);
    let missing = |key: &'static str| complete && now.text_at(&at(key)).is_none();
    if missing("name") {
        plan.set(&at("name"), "FlowGate Local");
    }
    plan.set(&at("base_url"), base_url);
    let has_own_key = [
        "experimental_bearer_token",
        "auth",
        "http_headers",
        "env_http_headers",
    ]
    .iter()
    .any(|key| now.has(&at(key)));
    if missing("env_key") && !has_own_key {
        plan.set(&at("env_key"), KEY_VARIABLE);
    }
    if missing("wire_api") {
        plan.set(&at("wire_api"), "responses");
    }
    if gateway.token().is_some() {
        let variable = now
            .text_at(&at("env_key"))
            .unwrap_or(KEY_VARIABLE.to_owned());
        plan.warn(
            "clients.token_in_environment",
            format!("Codex takes its key from the environment: put the token into `{variable}`"),
        );
    }
    warn_about_profile(now, plan);
    Ok(())
}

fn warn_about_profile(now: &Document, plan: &mut Plan) {
    let Some(profile) = now.text_at(&["profile"]) else {
        return;
    };
    if now.has(&["profiles", &profile, "model_provider"]) {
        plan.warn(
            "clients.profile_wins",
            format!("the profile `{profile}` is on and names another provider, which wins"),
        );
    }
}

/// Source: "Using your own LLM models in GitHub Copilot CLI" of the GitHub documentation.
fn copilot(gateway: &Gateway, now: &Document, plan: &mut Plan) {
    plan.set(
        &["COPILOT_PROVIDER_BASE_URL"],
        format!("{}/v1", gateway.base_url()),
    );
    token_variable("COPILOT_PROVIDER_API_KEY", gateway, now, plan);
    if let Some((model, _)) = gateway.models() {
        plan.set(&["COPILOT_MODEL"], model);
    }
}

/// Source: "Gemini CLI" of the LiteLLM documentation; the CLI reads `~/.gemini/.env`.
fn gemini(gateway: &Gateway, now: &Document, plan: &mut Plan) {
    plan.set(&["GOOGLE_GEMINI_BASE_URL"], gateway.base_url());
    token_variable("GEMINI_API_KEY", gateway, now, plan);
    if let Some((model, _)) = gateway.models() {
        plan.set(&["GEMINI_MODEL"], model);
    }
}

fn token_variable(name: &'static str, gateway: &Gateway, now: &Document, plan: &mut Plan) {
    match gateway.token() {
        Some(token) => plan.set(&[name], token),
        None if now.text_at(&[name]).is_none() => plan.warn(
            "clients.no_token",
            format!(
                "there is no `{name}`: if the gateway asks for a key, give one with `--token-file`"
            ),
        ),
        None => {}
    }
}

/// Source: "Config files" of the Kimi Code CLI documentation.
fn kimi(gateway: &Gateway, now: &Document, plan: &mut Plan) {
    let provider = |key: &'static str| ["providers", PROVIDER, key];
    let model = |key: &'static str| ["models", PROVIDER, key];
    plan.set(&["default_model"], PROVIDER);
    plan.set(&provider("type"), "openai_responses");
    plan.set(&provider("base_url"), format!("{}/v1", gateway.base_url()));
    let has_key = ["api_key", "api_key_env", "env", "oauth"]
        .iter()
        .any(|key| now.has(&["providers", PROVIDER, *key]));
    match gateway.token() {
        Some(token) => plan.set(&provider("api_key"), token),
        None if !has_key => {
            plan.set(&provider("api_key_env"), KEY_VARIABLE);
            plan.warn(
                "clients.no_token",
                format!("the key for the gateway is read from `{KEY_VARIABLE}`: set it, or give one with `--token-file`"),
            );
        }
        None => {}
    }
    plan.set(&model("provider"), PROVIDER);
    if let Some((name, _)) = gateway.models() {
        plan.set(&model("model"), name);
    } else if now.text_at(&model("model")).is_none() {
        plan.set(&model("model"), Gateway::DEFAULT_MODEL);
    }
    if !now.has(&model("max_context_size")) {
        plan.set(&model("max_context_size"), json!(CONTEXT_SIZE));
    }
}
