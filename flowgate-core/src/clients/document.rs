//! One way to read and change settings, whatever their format.

use serde_json::Value;

use super::dotenv::EnvFile;
use super::toml::Toml;
use super::{Client, Error};
use crate::jsonc::{self, Mistake};

/// The settings of a client.
#[derive(Debug)]
pub(super) enum Document {
    Env(EnvFile),
    Json(jsonc::Document),
    Toml(Toml),
}

impl Document {
    pub(super) fn read(client: Client, text: &str) -> Result<Self, Error> {
        match client {
            Client::ClaudeCode => Ok(Self::Json(jsonc::Document::read(text)?)),
            Client::Codex | Client::Kimi => Ok(Self::Toml(Toml::read(text)?)),
            Client::Gemini | Client::Copilot => match EnvFile::read(text) {
                Ok(file) => Ok(Self::Env(file)),
                Err(line) => Err(Error::Syntax {
                    line,
                    column: 1,
                    message: "expected `NAME=value` or a comment".to_owned(),
                }),
            },
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Env(file) => file.text(),
            Self::Json(document) => document.text(),
            Self::Toml(document) => document.text(),
        }
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<Value> {
        match self {
            Self::Env(file) => file.get(path.last()?).map(Value::from),
            Self::Json(document) => document.get(path),
            Self::Toml(document) => document.get(path),
        }
    }

    /// The text at a path, unless it is blank.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<String> {
        match self.get(path)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    /// True if anything is at a path, a table too.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        match self {
            Self::Toml(document) => document.has(path),
            _ => self.get(path).is_some(),
        }
    }

    pub(super) fn set(&mut self, path: &[&str], value: &Value) -> Result<(), Error> {
        match self {
            Self::Env(file) => {
                if let (Some(name), Some(text)) = (path.last(), value.as_str()) {
                    file.set(name, text);
                }
                Ok(())
            }
            Self::Json(document) => Ok(document.set(path, value)?),
            Self::Toml(document) => document.set(path, value),
        }
    }

    /// Gives a path the value that it has in another document of the same format, or none. What is
    /// left empty above it goes too, unless it is in the other.
    pub(super) fn restore(&mut self, path: &[&str], from: &Self) -> Result<(), Error> {
        match (&mut *self, from, from.get(path)) {
            (Self::Toml(document), Self::Toml(from), _) => document.restore(path, from)?,
            (_, _, Some(value)) => self.set(path, &value)?,
            (_, _, None) => self.remove(path),
        }
        let mut above = path;
        while let Some((_, rest)) = above.split_last() {
            above = rest;
            if above.is_empty() || from.has(above) || !self.is_empty_at(above) {
                break;
            }
            self.remove(above);
        }
        Ok(())
    }

    fn remove(&mut self, path: &[&str]) {
        match self {
            Self::Env(file) => path.last().into_iter().for_each(|name| file.remove(name)),
            Self::Json(document) => drop(document.remove(path)),
            Self::Toml(document) => document.remove(path),
        }
    }

    fn is_empty_at(&self, path: &[&str]) -> bool {
        match self {
            Self::Env(_) => false,
            Self::Json(document) => document.get(path) == Some(Value::Object(Default::default())),
            Self::Toml(document) => document.is_empty_table(path),
        }
    }
}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Syntax {
                line,
                column,
                message,
            } => Self::Syntax {
                line,
                column,
                message,
            },
            Mistake::Shape { path, expected } => Self::Shape { path, expected },
        }
    }
}
