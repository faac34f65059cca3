//! What a provider's answer means: the words that classification and the pool share.

use serde::{Deserialize, Serialize};

/// What kind of answer a provider gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Class {
    /// The request was served.
    Ok,
    /// The caller gave up; it says nothing about the account.
    ClientCancelled,
    /// The request itself is wrong, and would be on every account.
    RequestFault,
    /// The account may not do this one thing, such as a paid fast mode.
    Entitlement,
    /// A 429 without any window: this request, not this account.
    Windowless,
    /// Too many requests or tokens for a short window.
    Rate,
    /// A long window or a budget is spent.
    Quota,
    /// Too many requests at the same time.
    Concurrency,
    /// The provider has no capacity, for any account.
    Overloaded,
    /// The credential is not accepted; a refresh may help.
    Auth,
    /// The credential is gone for good.
    AuthDead,
    /// The account has no money left.
    Payment,
    /// The account may not do this.
    Forbidden,
    /// A challenge page stands before the provider, for this machine's address.
    Challenge,
    /// The account does not serve this model.
    ModelUnsupported,
    /// There is nothing at this address, for this model.
    NotFound,
    /// The provider did not answer in time.
    Timeout,
    /// The provider failed.
    ServerError,
    /// The connection failed before an answer came.
    Network,
    /// None of the above.
    Unknown,
}

impl Class {
    /// Whether a limit was reached, of requests, of tokens or of requests at the same time.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::Rate | Self::Quota | Self::Concurrency)
    }

    /// Whether the provider looked at the request and refused it: then it works.
    pub(super) const fn is_refusal(self) -> bool {
        match self {
            Self::RequestFault
            | Self::Entitlement
            | Self::Windowless
            | Self::Rate
            | Self::Quota
            | Self::Concurrency
            | Self::Auth
            | Self::AuthDead
            | Self::Payment
            | Self::Forbidden
            | Self::ModelUnsupported
            | Self::NotFound => true,
            Self::Ok
            | Self::ClientCancelled
            | Self::Overloaded
            | Self::Challenge
            | Self::Timeout
            | Self::ServerError
            | Self::Network
            | Self::Unknown => false,
        }
    }
}

/// Whom an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum), uniffi(name = "AnswerScope"))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// Nobody.
    None,
    /// This request.
    Request,
    /// One model, or family of models, of this account.
    Model,
    /// The whole account.
    Account,
    /// The address that this machine sends from.
    Egress,
    /// Every account of the provider.
    Provider,
}

/// What to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Nothing: it is done.
    Done,
    /// Give the answer to the caller.
    Stop,
    /// Try another account now.
    Next,
    /// Refresh the credential once, then try again.
    Refresh,
}

/// How a request ended without a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// The caller gave up.
    Cancelled,
    /// No connection could be made.
    Connect,
    /// The connection ended early.
    Eof,
    /// The connection was reset.
    Reset,
    /// Nothing came in time.
    Timeout,
}

/// What an answer means, for whom, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification {
    /// What kind of answer it is.
    pub class: Class,
    /// Whom it is about.
    pub scope: Scope,
    /// What to do with the request.
    pub action: Action,
    /// How long the provider asks to wait, in milliseconds, where it says so: at most 32 days.
    pub cooldown_ms: Option<u64>,
}
