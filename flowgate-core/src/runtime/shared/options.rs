//! How a pool is shared.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use crate::Timestamp;
use crate::config::Config;
use crate::event::Event;
use crate::runtime::fetch_secret;

pub use crate::config::SharedMode as Mode;

/// The name of a pool that has none.
pub(super) const DEFAULT_POOL: &str = "default";

/// What time it is.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The time of this machine, corrected by that of the server.
    #[default]
    System,
    /// What this says, which is the same in all processes.
    Given(Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_given() { "Given" } else { "System" })
    }
}

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let millis = since.unwrap_or_default().as_millis();
                Timestamp::try_from(millis).unwrap_or(Timestamp::MAX)
            }
            Self::Given(clock) => clock(),
        }
    }

    pub(super) const fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }
}

/// How a pool is shared. `{:?}` hides the address, which may have a password in it.
#[derive(Clone)]
pub struct Options {
    pub(super) client: Client,
    pub(super) pool: String,
    pub(super) mode: Mode,
    pub(super) timeout: Duration,
    pub(super) slice: Duration,
    pub(super) changes: u32,
    pub(super) clock: Clock,
    events: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("pool", &self.pool)
            .field("mode", &self.mode)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why a pool cannot be shared so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The address is none.
    #[error(
        "the address of the server cannot be used ({0}); write it as `redis://host:6379`, `rediss://host:6379` or `redis+unix:///path`"
    )]
    Url(String),
    /// The password of the server cannot be had.
    #[error(transparent)]
    Secret(#[from] crate::profile::Error),
}

impl OptionsError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Url(_) => "accounts.shared_url",
            Self::Secret(error) => error.code(),
        }
    }
}

impl Options {
    /// The usual settings, for the server at an address: `redis://[user[:password]@]host[:port][/db]`,
    /// `rediss://…` for TLS, `redis+unix:///path` for a socket.
    ///
    /// # Errors
    ///
    /// If that is no address. It is not shown.
    pub fn new(url: &SecretString) -> Result<Self, OptionsError> {
        Self::with_password(url, None)
    }

    /// The same, with a password that is not in the address.
    ///
    /// # Errors
    ///
    /// If that is no address. It is not shown.
    pub fn with_password(
        url: &SecretString,
        password: Option<&SecretString>,
    ) -> Result<Self, OptionsError> {
        let error = |error: redis::RedisError| OptionsError::Url(error.category().to_owned());
        let mut info = url
            .expose_secret()
            .trim()
            .into_connection_info()
            .map_err(error)?;
        if let Some(password) = password {
            let settings = info.redis_settings().clone();
            info = info.set_redis_settings(settings.set_password(password.expose_secret().trim()));
        }
        // Another part of the program may have chosen before us, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: Client::open(info).map_err(error)?,
            pool: DEFAULT_POOL.to_owned(),
            mode: Mode::Local,
            timeout: Duration::from_millis(50),
            slice: Duration::from_secs(1),
            changes: 10_000,
            clock: Clock::System,
            events: None,
        })
    }

    /// What the section `accounts.shared` of a configuration says. `None`: there is none.
    ///
    /// # Errors
    ///
    /// If the password cannot be had. It is not shown.
    pub fn of(config: &Config) -> Result<Option<Self>, OptionsError> {
        let accounts = config.settings().accounts.as_ref();
        let Some(shared) = accounts.and_then(|accounts| accounts.shared.as_ref()) else {
            return Ok(None);
        };
        let name = shared.credential.as_ref();
        let password = name.map(|name| fetch_secret(config, name)).transpose()?;
        let url = SecretString::from(shared.url.to_string());
        let mut options = Self::with_password(&url, password.as_ref())?.mode(shared.mode);
        if let Some(name) = &shared.name {
            options = options.pool(name.to_string());
        }
        if let Some(timeout) = shared.timeout {
            options = options.timeout(timeout.into());
        }
        if let Some(slice) = shared.slice {
            options = options.slice(slice.into());
        }
        Ok(Some(options))
    }

    /// The name of the pool: processes with the same name share it. Default: `default`.
    pub fn pool(mut self, name: impl Into<String>) -> Self {
        self.pool = name.into();
        self
    }

    /// How picks are made. Default: [`Mode::Local`].
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long a strict pick, or a lease, waits for the server. Default: 50 ms.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How much of a quota a process takes at once, as time at its rate. Default: one second.
    pub const fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// About how many changes the server keeps for processes that lag behind. Default: 10,000.
    pub const fn changes(mut self, changes: u32) -> Self {
        self.changes = changes;
        self
    }

    /// What time it is.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Is called with what happens: `accounts.shared`, `accounts.degraded`, `accounts.ignored`.
    pub fn on_event(mut self, events: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Some(Arc::new(events));
        self
    }

    pub(super) fn emit(&self, event: Event) {
        if let Some(events) = &self.events {
            events(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_never_shown() {
        for good in [
            "redis://127.0.0.1",
            "redis://user:hidden@h:1/2",
            "rediss://:hidden@h",
            "redis+unix:///tmp/s.sock",
        ] {
            let options = Options::new(&good.into()).unwrap();
            assert!(!format!("{options:?}").contains("hidden"));
        }
        for bad in ["", "h:6379", "http://hidden", "redis://"] {
            let error = Options::new(&bad.into()).unwrap_err();
            assert_eq!(error.code(), "accounts.shared_url");
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
