//! Credentials that other programs hold, in the form that CLIProxyAPI reads.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Error;
use super::stored::{jwt_claims, moment_of};
use crate::{Timestamp, rfc3339};

/// Whose credentials a file holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `auth.json` of Codex.
    Codex,
    /// `apps.json` or `hosts.json` of GitHub Copilot.
    Copilot,
    /// `kiro-auth-token.json` of Kiro.
    Kiro,
}

impl Format {
    /// Where the file is, seen from the home directory; the first that is there is meant.
    pub const fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Codex => &[".codex/auth.json"],
            Self::Copilot => &[
                ".config/github-copilot/apps.json",
                ".config/github-copilot/hosts.json",
            ],
            Self::Kiro => &[
                ".kiro/kiro-auth-token.json",
                ".aws/sso/cache/kiro-auth-token.json",
            ],
        }
    }
}

/// Credentials that were taken over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The name of the file to write.
    pub file_name: String,
    /// Its content, a JSON document.
    pub content: SecretString,
    /// Whose they are, if that is known.
    pub account: Option<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Reads credentials of another program. Nothing is made up: what is null or missing stays empty.
///
/// # Errors
///
/// [`Error::BadCredentials`] says what is missing; the text is never shown.
///
/// # Example
///
/// ```
/// use flowgate_core::auth::{Format, import};
///
/// let text = r#"{"tokens": {"access_token": "at", "refresh_token": "rt", "account_id": null}}"#;
/// let imported = import(Format::Codex, text, 0)?;
/// assert_eq!(imported.file_name, "codex-headless-import.json");
/// # Ok::<(), flowgate_core::auth::Error>(())
/// ```
pub fn import(format: Format, text: &str, now: Timestamp) -> Result<Imported, Error> {
    let root = document(text)?;
    match format {
        Format::Codex => codex(&root, now),
        Format::Copilot => copilot(&root),
        Format::Kiro => kiro(&root, now),
    }
}

fn document(text: &str) -> Result<Map<String, Value>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(bad("the file is empty", "sign in with that program first"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err(bad("the file is not a JSON object", FILE)),
        Err(error) => Err(bad(
            &format!(
                "the file is not JSON: line {}, column {}",
                error.line(),
                error.column()
            ),
            FILE,
        )),
    }
}

const FILE: &str = "name the file that the program itself wrote";

fn bad(reason: &str, hint: &str) -> Error {
    Error::BadCredentials {
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    }
}

/// The fields of one object, read as text.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
}

impl Fields<'_> {
    /// A text that must be there.
    fn required(&self, key: &str) -> Result<String, Error> {
        match self.optional(key)? {
            text if text.is_empty() => {
                let reason = format!("`{}{key}` is missing", self.prefix);
                Err(bad(&reason, "sign in with that program again"))
            }
            text => Ok(text),
        }
    }

    /// A text without blanks around it; empty if it is null or missing.
    fn optional(&self, key: &str) -> Result<String, Error> {
        let text = match self.object.get(key) {
            None | Some(Value::Null) => return Ok(String::new()),
            Some(Value::String(text)) => text.trim(),
            Some(_) => {
                let reason = format!("`{}{key}` is not a text", self.prefix);
                return Err(bad(&reason, FILE));
            }
        };
        if text.contains(char::is_control) {
            let reason = format!("`{}{key}` has control characters in it", self.prefix);
            return Err(bad(&reason, FILE));
        }
        Ok(text.to_owned())
    }
}

fn codex(root: &Map<String, Value>, now: Timestamp) -> Result<Imported, Error> {
    let Some(Value::Object(tokens)) = root.get("tokens") else {
        let has_key = root.get("OPENAI_API_KEY").is_some_and(Value::is_string);
        return Err(match has_key {
            true => bad(
                "Codex is signed in with an API key and not with an account",
                "put the key under `credentials.upstream` instead",
            ),
            false => bad("`tokens` is missing", "sign in with `codex login` first"),
        });
    };
    let tokens = Fields {
        object: tokens,
        prefix: "tokens.",
    };
    let id_token = tokens.optional("id_token")?;
    let mut content = json!({
        "type": "codex",
        "token_type": "bearer",
        "access_token": tokens.required("access_token")?,
        "refresh_token": tokens.required("refresh_token")?,
        "id_token": id_token,
        "account_id": tokens.optional("account_id")?,
    });
    let claims = jwt_claims(&id_token);
    let email = claims
        .as_ref()
        .and_then(|claims| claims.get("email")?.as_str().map(str::to_owned));
    let access = jwt_claims(content["access_token"].as_str().unwrap_or_default());
    let expires = access
        .as_ref()
        .or(claims.as_ref())
        .and_then(|claims| moment_of(claims.get("exp")?));
    let root = Fields {
        object: root,
        prefix: "",
    };
    let last_refresh = root.optional("last_refresh")?;
    for (key, value) in [
        ("last_refresh", Some(last_refresh)),
        ("email", email.clone()),
        ("expired", expires.map(rfc3339)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            content[key] = Value::from(value);
        }
    }
    let account_id = content["account_id"].as_str().unwrap_or_default();
    let account = email.or_else(|| Some(account_id.to_owned()).filter(|id| !id.is_empty()));
    Ok(Imported {
        file_name: "codex-headless-import.json".to_owned(),
        content: content.to_string().into(),
        account,
        warnings: stale(expires, now),
    })
}

/// Entries such as `"github.com": {"user": …, "oauth_token": …}`, of which the first counts.
fn copilot(root: &Map<String, Value>) -> Result<Imported, Error> {
    let entries = root
        .iter()
        .filter(|(host, _)| host.starts_with("github.com"));
    let mut entries = entries.filter_map(|(_, entry)| entry.as_object());
    let Some(entry) = entries.next() else {
        return Err(bad(
            "there is no entry for `github.com`",
            "sign in to Copilot in your editor first",
        ));
    };
    let fields = Fields {
        object: entry,
        prefix: "github.com.",
    };
    let user = fields.optional("user")?;
    let content = json!({
        "type": "github-copilot",
        "token_type": "bearer",
        "access_token": fields.required("oauth_token")?,
        "username": user,
    });
    let mut warnings = Vec::new();
    if entries.next().is_some() {
        warnings.push("the file has several accounts: the first was taken".to_owned());
    }
    Ok(Imported {
        file_name: format!(
            "github-copilot-{}.json",
            slug(&user).unwrap_or("imported".to_owned())
        ),
        content: content.to_string().into(),
        account: Some(user).filter(|user| !user.is_empty()),
        warnings,
    })
}

fn kiro(root: &Map<String, Value>, now: Timestamp) -> Result<Imported, Error> {
    let fields = Fields {
        object: root,
        prefix: "",
    };
    let access_token = fields.required("accessToken")?;
    let refresh_token = fields.required("refreshToken")?;
    let expires = root.get("expiresAt").and_then(moment_of);
    let expires_at = match (root.get("expiresAt"), expires) {
        (Some(Value::Number(_)), Some(moment)) => rfc3339(moment),
        _ => fields.required("expiresAt")?,
    };
    let profile_arn = fields.optional("profileArn")?;
    let client_id = fields.optional("clientId")?;
    let email = match fields.optional("email")? {
        email if !email.is_empty() => email,
        _ => jwt_claims(&access_token)
            .and_then(|claims| Some(claims.get("email")?.as_str()?.trim().to_owned()))
            .unwrap_or_default(),
    };
    let provider = match fields.optional("provider")? {
        provider if provider.is_empty() => "imported".to_owned(),
        provider => provider,
    };
    let profile = profile_arn.rsplit('/').next().unwrap_or_default();
    let identity = [email.as_str(), profile, client_id.as_str()]
        .into_iter()
        .find_map(slug);
    let by = slug(&provider).unwrap_or_else(|| "imported".to_owned());
    let file_name = match &identity {
        Some(identity) => format!("kiro-{by}-{identity}.json"),
        None => format!("kiro-{by}.json"),
    };
    let content = json!({
        "type": "kiro",
        "access_token": access_token,
        "refresh_token": refresh_token,
        "profile_arn": profile_arn,
        "expires_at": expires_at,
        "auth_method": fields.optional("authMethod")?.to_lowercase(),
        "provider": provider,
        "client_id": client_id,
        "client_secret": fields.optional("clientSecret")?,
        "client_id_hash": fields.optional("clientIdHash")?,
        "email": email,
        "region": fields.optional("region")?,
        "start_url": fields.optional("startUrl")?,
    });
    Ok(Imported {
        file_name,
        content: content.to_string().into(),
        account: Some(email).filter(|email| !email.is_empty()).or(identity),
        warnings: stale(expires, now),
    })
}

fn stale(expires: Option<Timestamp>, now: Timestamp) -> Vec<String> {
    match expires {
        Some(moment) if moment <= now => vec![format!(
            "the access token was good until {}: it must be refreshed before it is of use",
            rfc3339(moment)
        )],
        _ => Vec::new(),
    }
}

/// A text as part of a file name: letters and digits in lower case, with `-` between them.
pub(super) fn slug(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("-"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn taken(format: Format, text: &str) -> Result<(String, Value), String> {
        let imported =
            import(format, text, 1_780_000_000_000).map_err(|error| error.to_string())?;
        let content = serde_json::from_str(imported.content.expose_secret()).unwrap();
        Ok((imported.file_name, content))
    }

    fn codex_of(tokens: &str) -> Result<(String, Value), String> {
        taken(Format::Codex, &format!("{{\"tokens\": {tokens}}}"))
    }

    #[test]
    fn codex_gives_its_tokens_and_nothing_is_made_up() {
        let full = |access: &str, refresh: &str, id: &str, account: &str| json!({"type": "codex", "token_type": "bearer", "access_token": access, "refresh_token": refresh, "id_token": id, "account_id": account});
        for (tokens, expected) in [
            (
                r#"{"access_token": "a1", "refresh_token": "r1"}"#,
                full("a1", "r1", "", ""),
            ),
            (
                r#"{"access_token": "a1", "refresh_token": "r1", "id_token": "i1", "account_id": "c1", "other": 1}"#,
                full("a1", "r1", "i1", "c1"),
            ),
            (
                r#"{"access_token": " a1\n", "refresh_token": "\tr1 ", "id_token": " i1 ", "account_id": " c1 "}"#,
                full("a1", "r1", "i1", "c1"),
            ),
            (
                r#"{"access_token": "a1", "refresh_token": "r1", "id_token": null, "account_id": null}"#,
                full("a1", "r1", "", ""),
            ),
            (
                r#"{"access_token": "a0", "access_token": "a1", "refresh_token": "r1"}"#,
                full("a1", "r1", "", ""),
            ),
            (
                r#"{"access_token": "a1", "refresh_token": "r1", "account_id": "\u00e9\u6a21\ud83d\ude00"}"#,
                full("a1", "r1", "", "é模😀"),
            ),
        ] {
            assert_eq!(
                codex_of(tokens),
                Ok(("codex-headless-import.json".to_owned(), expected)),
                "{tokens}"
            );
        }
    }

    #[test]
    fn codex_tells_what_its_tokens_say() {
        // {"email": "me@ex.com", "exp": 1790000000}
        let jwt = "h.eyJlbWFpbCI6ICJtZUBleC5jb20iLCAiZXhwIjogMTc5MDAwMDAwMH0.s";
        let text = format!(
            r#"{{"OPENAI_API_KEY": null, "tokens": {{"access_token": "a1", "refresh_token": "r1", "id_token": "{jwt}"}}, "last_refresh": "2026-02-01T00:00:00Z"}}"#
        );
        let (_, content) = taken(Format::Codex, &text).unwrap();
        assert_eq!(content["last_refresh"], "2026-02-01T00:00:00Z");
        assert_eq!(
            (&content["email"], &content["expired"]),
            (&json!("me@ex.com"), &json!("2026-09-21T14:13:20.000Z"))
        );
        let late = import(Format::Codex, &text, 1_800_000_000_000).unwrap();
        assert_eq!(
            (late.account.as_deref(), late.warnings.len()),
            (Some("me@ex.com"), 1)
        );
    }

    #[test]
    fn r20_what_is_no_text_is_no_token() {
        for (tokens, problem) in [
            (
                r#"{"access_token": null, "refresh_token": "r"}"#,
                "`tokens.access_token` is missing",
            ),
            (
                r#"{"access_token": "", "refresh_token": "r"}"#,
                "`tokens.access_token` is missing",
            ),
            (
                r#"{"access_token": "  ", "refresh_token": "r"}"#,
                "`tokens.access_token` is missing",
            ),
            (
                r#"{"refresh_token": "r"}"#,
                "`tokens.access_token` is missing",
            ),
            (
                r#"{"access_token": "a"}"#,
                "`tokens.refresh_token` is missing",
            ),
            (
                r#"{"access_token": "a", "refresh_token": null}"#,
                "`tokens.refresh_token` is missing",
            ),
            ("{}", "`tokens.access_token` is missing"),
            (
                r#"{"access_token": 1, "refresh_token": "r"}"#,
                "`tokens.access_token` is not a text",
            ),
            (
                r#"{"access_token": ["a"], "refresh_token": "r"}"#,
                "`tokens.access_token` is not a text",
            ),
            (
                r#"{"access_token": {"a": 1}, "refresh_token": "r"}"#,
                "is not a text",
            ),
            (
                r#"{"access_token": true, "refresh_token": "r"}"#,
                "is not a text",
            ),
            (
                r#"{"access_token": "a\u0000b\nc", "refresh_token": "r"}"#,
                "control characters",
            ),
            ("null", "`tokens` is missing"),
            ("[1]", "`tokens` is missing"),
            (r#""t""#, "`tokens` is missing"),
        ] {
            let error = codex_of(tokens).unwrap_err();
            assert!(error.contains(problem), "{tokens}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_something_else_says_so() {
        for (text, problem) in [
            ("", "empty"),
            (" \n", "empty"),
            ("[1]", "not a JSON object"),
            ("null", "not a JSON object"),
            ("{/*c*/\"tokens\":{}}", "not JSON: line 1, column 2"),
            (
                r#"{"tokens":{"access_token":"a","refresh_token":"b",}}"#,
                "not JSON",
            ),
            ("{}", "`codex login`"),
            (
                r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}"#,
                "API key",
            ),
        ] {
            let error = taken(Format::Codex, text).unwrap_err();
            assert!(
                error.contains(problem) && !error.contains("sk-1"),
                "{text}: {error}"
            );
        }
        assert!(
            taken(
                Format::Codex,
                "\u{feff}{\"tokens\": {\"access_token\": \"a\", \"refresh_token\": \"b\"}}"
            )
            .is_ok()
        );
    }

    fn kiro_of(more: &str) -> Result<(String, Value), String> {
        taken(
            Format::Kiro,
            &format!(
                r#"{{"accessToken": "at", "refreshToken": "rt", "expiresAt": "2099-03-01T00:00:00Z"{more}}}"#
            ),
        )
    }

    #[test]
    fn kiro_names_its_file_for_the_account() {
        let (name, content) = kiro_of(r#", "profileArn": "arn:aws:codewhisperer:us-east-1:1:profile/ABC", "authMethod": "IdC", "provider": "BuilderId", "clientId": "cid", "clientSecret": "cs", "clientIdHash": "h", "email": "a.b+c@X.com", "region": "us-east-1", "startUrl": "https://s""#).unwrap();
        assert_eq!(name, "kiro-builderid-a-b-c-x-com.json");
        let expected = json!({"type": "kiro", "access_token": "at", "refresh_token": "rt", "profile_arn": "arn:aws:codewhisperer:us-east-1:1:profile/ABC", "expires_at": "2099-03-01T00:00:00Z", "auth_method": "idc", "provider": "BuilderId", "client_id": "cid", "client_secret": "cs", "client_id_hash": "h", "email": "a.b+c@X.com", "region": "us-east-1", "start_url": "https://s"});
        assert_eq!(content, expected);
        for (more, name) in [
            ("", "kiro-imported.json"),
            (
                r#", "clientId": "My Client!""#,
                "kiro-imported-my-client.json",
            ),
            (r#", "profileArn": "arn:x/Y_Z""#, "kiro-imported-y-z.json"),
            (
                r#", "provider": "Git Hub/IAM", "email": "x@y""#,
                "kiro-git-hub-iam-x-y.json",
            ),
            (
                r#", "provider": "!!!", "email": "x@y""#,
                "kiro-imported-x-y.json",
            ),
            (r#", "email": "é@模.com""#, "kiro-imported-é-模-com.json"),
            (
                r#", "email": "@@@", "clientId": "c""#,
                "kiro-imported-c.json",
            ),
            (r#", "email": null"#, "kiro-imported.json"),
        ] {
            assert_eq!(kiro_of(more).unwrap().0, name, "{more}");
        }
    }

    #[test]
    fn kiro_finds_the_account_in_the_token() {
        let with = |token: &str| {
            taken(Format::Kiro, &format!(r#"{{"accessToken": "{token}", "refreshToken": "rt", "expiresAt": "2099-03-01T00:00:00Z", "profileArn": "x/p"}}"#)).unwrap()
        };
        // {"email": " me@ex.com "} and {"sub": "1"}
        let (name, content) = with("h.eyJlbWFpbCI6ICIgbWVAZXguY29tICJ9.s");
        assert_eq!(
            (name.as_str(), &content["email"]),
            ("kiro-imported-me-ex-com.json", &json!("me@ex.com"))
        );
        for token in ["h.eyJzdWIiOiAiMSJ9.s", "a.%%%.c", "a.é.c", "at"] {
            assert_eq!(with(token).0, "kiro-imported-p.json", "{token}");
        }
    }

    #[test]
    fn kiro_needs_three_fields_and_converts_the_moment() {
        for (text, missing) in [
            (
                r#"{"refreshToken": "rt", "expiresAt": "x"}"#,
                "`accessToken` is missing",
            ),
            (
                r#"{"accessToken": null, "refreshToken": "rt", "expiresAt": "x"}"#,
                "`accessToken` is missing",
            ),
            (
                r#"{"accessToken": "at", "expiresAt": "x"}"#,
                "`refreshToken` is missing",
            ),
            (
                r#"{"accessToken": "at", "refreshToken": "rt"}"#,
                "`expiresAt` is missing",
            ),
            ("[1]", "not a JSON object"),
        ] {
            let error = taken(Format::Kiro, text).unwrap_err();
            assert!(error.contains(missing), "{text}: {error}");
        }
        let (_, content) = taken(
            Format::Kiro,
            r#"{"accessToken": "at", "refreshToken": "rt", "expiresAt": 1760000000}"#,
        )
        .unwrap();
        assert_eq!(content["expires_at"], "2025-10-09T08:53:20.000Z");
        let old = import(
            Format::Kiro,
            r#"{"accessToken": "at", "refreshToken": "rt", "expiresAt": "2001-01-01T00:00:00Z"}"#,
            1_780_000_000_000,
        )
        .unwrap();
        assert_eq!(old.warnings.len(), 1);
    }

    #[test]
    fn copilot_gives_the_token_of_github() {
        let (name, content) = taken(Format::Copilot, r#"{"ghe.example": {"oauth_token": "no"}, "github.com:Iv1.x": {"user": "Mona", "oauth_token": "gho_1", "githubAppId": "Iv1.x"}}"#).unwrap();
        assert_eq!(name, "github-copilot-mona.json");
        assert_eq!(
            content,
            json!({"type": "github-copilot", "token_type": "bearer", "access_token": "gho_1", "username": "Mona"})
        );
        assert!(
            taken(Format::Copilot, "{}")
                .unwrap_err()
                .contains("github.com")
        );
        assert!(
            taken(Format::Copilot, r#"{"github.com": {"user": "m"}}"#)
                .unwrap_err()
                .contains("`github.com.oauth_token` is missing")
        );
    }

    #[test]
    fn nothing_shows_a_token() {
        let imported = import(
            Format::Codex,
            r#"{"tokens": {"access_token": "tok-1", "refresh_token": "tok-2"}}"#,
            0,
        )
        .unwrap();
        assert!(!format!("{imported:?}").contains("tok-"));
    }
}
