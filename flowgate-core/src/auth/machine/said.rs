//! What the machine is told, what it says, and how it ends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DEFAULT_TIMEOUT, POLL_INTERVAL};
use crate::Timestamp;
use crate::event::{self, Level};

/// How patient a sign-in is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timing {
    /// How long a person has, in milliseconds. The status is asked for once at least.
    pub timeout: u64,
    /// How long to wait between two questions, in milliseconds; [`MIN_INTERVAL`](super::MIN_INTERVAL) at least.
    pub interval: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            interval: POLL_INTERVAL,
        }
    }
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// GET.
    Get,
    /// POST with the fields as a form.
    Post,
}

/// A request that is to be sent. Management keys are not in it: the driver adds them.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// The endpoint as it was configured.
    pub url: String,
    /// What is added to the query (GET) or sent as a form (POST), not encoded.
    pub fields: Vec<(String, String)>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("fields", &names)
            .finish()
    }
}

/// What a person is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Prompt {
    /// The page to open.
    pub url: String,
    /// The code to type there.
    pub user_code: Option<String>,
}

/// What is to be done next.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Show this at once.
    Show(Prompt),
    /// Send this, and say what came back.
    Send(Request),
    /// Wait until a moment, then say so with [`Event::Tick`].
    Wait {
        /// The moment.
        until: Timestamp,
    },
    /// It is over.
    Finish(Outcome),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The moment that was waited for is here.
    Tick,
    /// An answer came.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The wait that the server asks for, in milliseconds.
        retry_after: Option<u64>,
        /// The body.
        body: String,
    },
    /// No answer came.
    Failed {
        /// Why not.
        error: String,
        /// True if trying again will not help.
        permanent: bool,
    },
    /// The person does not want to any more.
    Cancelled,
}

/// How a sign-in ended.
#[derive(Clone, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The person has signed in.
    Success {
        /// The provider's word for it.
        status: String,
        /// The credentials, if the provider gives them to us.
        #[serde(skip)]
        credentials: Option<Map<String, Value>>,
    },
    /// The person, or the provider, said no.
    Denied {
        /// What the provider says.
        message: String,
    },
    /// The code or page is too old.
    Expired {
        /// What the provider says.
        message: String,
    },
    /// The provider says that it failed.
    Failed {
        /// What the provider says.
        message: String,
    },
    /// The provider does not answer as it should.
    Refused {
        /// The endpoint.
        endpoint: String,
        /// What it answered.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The provider cannot be reached.
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        message: String,
    },
    /// The person took too long.
    TimedOut {
        /// The last status that the provider gave.
        last_status: Option<String>,
        /// The last failure.
        last_error: Option<String>,
    },
    /// The person stopped it.
    Cancelled,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success { status, .. } => write!(f, "Success({status})"),
            other => write!(f, "{}: {other}", other.code()),
        }
    }
}

impl Outcome {
    /// A stable, machine-readable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Success { .. } => "auth.success",
            Self::Denied { .. } => "auth.denied",
            Self::Expired { .. } => "auth.expired",
            Self::Failed { .. } => "auth.failed",
            Self::Refused { .. } => "auth.refused",
            Self::Unreachable { .. } => "auth.unreachable",
            Self::TimedOut { .. } => "auth.timed_out",
            Self::Cancelled => "auth.cancelled",
        }
    }
}

impl Outcome {
    /// What is recorded of a sign-in at a provider.
    pub fn event(&self, provider: &str) -> event::Event {
        match self {
            Self::Success { status, .. } => {
                event::Event::new("auth.signed_in", Level::Info, provider)
                    .with("status", status.as_str())
            }
            other => event::Event::new("auth.sign_in_failed", Level::Warn, provider)
                .with("code", other.code())
                .with("message", other.to_string()),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let say = |f: &mut std::fmt::Formatter<'_>, what: &str, message: &str| match message {
            "" => f.write_str(what),
            _ => write!(f, "{what}: {message}"),
        };
        match self {
            Self::Success { status, .. } => write!(f, "signed in ({status})"),
            Self::Denied { message } => say(f, "the sign-in was denied", message),
            Self::Expired { message } => say(f, "the sign-in is too old; start again", message),
            Self::Failed { message } => {
                say(f, "the provider says that the sign-in failed", message)
            }
            Self::Refused {
                endpoint,
                message,
                hint,
            } => write!(f, "`{endpoint}`: {message}; {hint}"),
            Self::Unreachable { endpoint, message } => {
                write!(f, "`{endpoint}` cannot be reached: {message}")
            }
            Self::TimedOut {
                last_status,
                last_error,
            } => {
                f.write_str("nobody signed in in time")?;
                if let Some(status) = last_status {
                    write!(f, "; the last status was `{status}`")?;
                }
                if let Some(error) = last_error {
                    write!(f, "; the last failure was: {error}")?;
                }
                f.write_str("; try again, with a longer `--timeout` if need be")
            }
            Self::Cancelled => f.write_str("stopped"),
        }
    }
}
