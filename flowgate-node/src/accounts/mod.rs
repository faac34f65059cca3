mod pool;

use flowgate_core::accounts::{self, Answer, Rule, Rules, Transport};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::guard_into_js as into_js;

/// Rules of classification, ready to be asked.
#[napi]
#[derive(Default)]
pub struct ClassifyRules(Rules);

#[napi]
impl ClassifyRules {
    /// Compiles rules, given as JSON.
    #[napi(factory, catch_unwind)]
    pub fn create(env: &Env, rules: String) -> Result<Self> {
        let rules: Vec<Rule> = read(env, "rules", &rules)?;
        let rules = Rules::new(rules).map_err(|error| into_js(env, &error, error.code()))?;
        Ok(Self(rules))
    }
}

/// What a provider answered, or how it did not.
#[napi(object)]
pub struct Said {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Either<String, Uint8Array>>,
    pub transport: Option<String>,
}

impl Said {
    fn answer<'a>(&'a self, env: &Env, provider: &'a str) -> Result<Answer<'a>> {
        let transport: Option<Transport> = match &self.transport {
            Some(name) => Some(read(env, "transport", &format!("{name:?}"))?),
            None => None,
        };
        Ok(Answer {
            provider,
            status: self.status,
            headers: &self.headers,
            body: match &self.body {
                Some(Either::A(text)) => text.as_bytes(),
                Some(Either::B(bytes)) => bytes,
                None => b"",
            },
            transport,
        })
    }
}

/// What an answer means.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Classification {
    pub class: String,
    pub scope: String,
    pub action: String,
    pub cooldown_ms: Option<f64>,
}

impl Classification {
    pub(crate) fn of(
        env: &Env,
        provider: &str,
        said: &Said,
        rules: Option<&ClassifyRules>,
        now: u64,
    ) -> Result<Self> {
        let usual = Rules::default();
        let rules = rules.map_or(&usual, |rules| &rules.0);
        let meaning = accounts::classify(&said.answer(env, provider)?, now, rules);
        Ok(Self {
            class: word(meaning.class),
            scope: word(meaning.scope),
            action: word(meaning.action),
            cooldown_ms: meaning.cooldown_ms.map(|ms| ms as f64),
        })
    }
}

fn read<T: DeserializeOwned>(env: &Env, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| bad(env, &format!("{what}: {error}")))
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn bad(env: &Env, message: &str) -> Error {
    into_js(env, &message, "accounts.invalid")
}

/// The word that JSON has for a value.
fn word(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
