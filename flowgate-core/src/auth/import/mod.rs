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
mod tests;
