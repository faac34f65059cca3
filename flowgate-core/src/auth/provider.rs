//! Those one can sign in at.

use serde::{Deserialize, Serialize};

use super::machine::{Method, Request};
use super::{Error, Format};
use crate::config::{Settings, SignInMethod, reachable};

/// The service whose management API signs in at the built-in providers.
const PROXY: &str = "cliproxyapi_plus";
/// Where CLIProxyAPI listens if nobody says otherwise.
const PROXY_PORT: u16 = 8317;
/// Name, endpoint and format of those that CLIProxyAPI signs in at.
/// Source: the routes of its management API.
const BUILT_IN: [(&str, &str, Option<Format>); 9] = [
    ("antigravity", "antigravity-auth-url", None),
    ("claude", "anthropic-auth-url", None),
    ("codex", "codex-auth-url", Some(Format::Codex)),
    ("copilot", "github-auth-url", Some(Format::Copilot)),
    ("gemini", "gemini-cli-auth-url", None),
    ("iflow", "iflow-auth-url", None),
    ("kimi", "kimi-auth-url", None),
    ("kiro", "kiro-auth-url", Some(Format::Kiro)),
    ("qwen", "qwen-auth-url", None),
];

/// How one signs in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "flow")]
pub enum Flow {
    /// One endpoint gives the page, another says whether the person is done.
    Poll {
        /// Gives the page.
        auth_url: String,
        /// Says whether the person is done.
        status_url: String,
    },
    /// The device authorization grant of RFC 8628.
    Device {
        /// Gives page and code.
        device_url: String,
        /// Gives the credentials.
        token_url: String,
        /// The name of this program at the provider.
        client_id: String,
        /// What is asked for.
        scope: Option<String>,
    },
}

/// Someone one can sign in at, or whose credentials can be taken over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// How one signs in, or why one cannot.
    flow: Result<Flow, String>,
    /// Whose credentials can be taken over.
    pub import: Option<Format>,
    /// True if the management key of CLIProxyAPI goes with requests.
    pub managed: bool,
}

/// The providers of a configuration: those of CLIProxyAPI, and those it describes itself.
pub fn providers(settings: &Settings) -> Vec<Provider> {
    let base = proxy_url(settings);
    let own = &settings.auth.providers;
    let built_in = BUILT_IN.iter().map(|(name, endpoint, import)| Provider {
        name: (*name).to_owned(),
        flow: match &base {
            Some(base) => Ok(Flow::Poll {
                auth_url: format!("{base}/v0/management/{endpoint}"),
                status_url: format!("{base}/v0/management/get-auth-status"),
            }),
            None => Err(format!("the configuration has no service `{PROXY}`")),
        },
        import: *import,
        managed: true,
    });
    let mut providers: Vec<Provider> = built_in.collect();
    for (name, settings) in own {
        let known = providers
            .iter_mut()
            .find(|provider| provider.name == **name);
        let described = described(settings);
        match (known, described) {
            (Some(provider), Some(flow)) => {
                provider.flow = flow;
                provider.managed = settings.is_managed();
            }
            (Some(_), None) => {}
            (None, described) => providers.push(Provider {
                name: name.to_string(),
                flow: described.unwrap_or_else(|| Err("it has no endpoints".to_owned())),
                import: None,
                managed: settings.is_managed(),
            }),
        }
    }
    providers.sort_by(|a, b| a.name.cmp(&b.name));
    providers
}

fn proxy_url(settings: &Settings) -> Option<String> {
    let service = settings.services.get(PROXY)?;
    let host = service.host.as_deref().unwrap_or("127.0.0.1");
    let port = service.port.map_or(PROXY_PORT, u16::from);
    Some(format!("http://{}:{port}", reachable(host)))
}

/// The flow that a configuration describes, or what it lacks; `None` if it describes none.
fn described(settings: &crate::config::Provider) -> Option<Result<Flow, String>> {
    let (auth, status) = (&settings.auth_url_endpoint, &settings.status_endpoint);
    if settings.method == Some(SignInMethod::HeadlessImport) {
        return None;
    }
    let (auth, status) = match (auth, status) {
        (Some(auth), Some(status)) => (auth.to_string(), status.to_string()),
        (None, None) => return None,
        (Some(_), None) => return Some(Err("it has no `status_endpoint`".to_owned())),
        (None, Some(_)) => return Some(Err("it has no `auth_url_endpoint`".to_owned())),
    };
    let client = settings.client_id.as_ref();
    Some(match (settings.method, client) {
        (Some(SignInMethod::DeviceCode), Some(client_id)) => Ok(Flow::Device {
            device_url: auth,
            token_url: status,
            client_id: client_id.to_string(),
            scope: settings.scope.as_ref().map(ToString::to_string),
        }),
        _ => Ok(Flow::Poll {
            auth_url: auth,
            status_url: status,
        }),
    })
}

impl Provider {
    /// A provider with the two endpoints of a polled sign-in.
    pub fn polled(name: &str, auth_url: &str, status_url: &str) -> Self {
        Self {
            name: name.to_owned(),
            flow: Ok(Flow::Poll {
                auth_url: auth_url.to_owned(),
                status_url: status_url.to_owned(),
            }),
            import: None,
            managed: false,
        }
    }

    /// The provider of a name among several.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProvider`] names those there are.
    pub fn find<'p>(providers: &'p [Self], name: &str) -> Result<&'p Self, Error> {
        let found = providers.iter().find(|provider| provider.name == name);
        found.ok_or_else(|| Error::UnknownProvider {
            name: name.to_owned(),
            known: providers
                .iter()
                .map(|provider| provider.name.clone())
                .collect(),
        })
    }

    /// How one signs in.
    ///
    /// # Errors
    ///
    /// [`Error::NotPossible`] if the configuration does not say.
    pub fn flow(&self) -> Result<&Flow, Error> {
        let flow = self.flow.as_ref().map_err(|reason| Error::NotPossible {
            provider: self.name.clone(),
            reason: reason.clone(),
            hint: format!("write both endpoints under `auth.providers.{}`", self.name),
        })?;
        // What a document says was checked; what a program says was not.
        for url in [flow.auth_endpoint(), flow.status_endpoint()] {
            if crate::config::HttpUrl::try_from(url.to_owned()).is_err() {
                return Err(Error::NotPossible {
                    provider: self.name.clone(),
                    reason: "an endpoint is no http or https URL".to_owned(),
                    hint: "write it as `http://127.0.0.1:8317/path`".to_owned(),
                });
            }
        }
        Ok(flow)
    }
}

impl Flow {
    /// The endpoint that is asked first.
    pub fn auth_endpoint(&self) -> &str {
        match self {
            Self::Poll { auth_url, .. } => auth_url,
            Self::Device { device_url, .. } => device_url,
        }
    }

    /// The endpoint that is asked for the status.
    pub fn status_endpoint(&self) -> &str {
        match self {
            Self::Poll { status_url, .. } => status_url,
            Self::Device { token_url, .. } => token_url,
        }
    }

    /// CLIProxyAPI says `ok` to whoever asks without a state, before anyone has signed in.
    pub(super) fn needs_handle(&self) -> bool {
        match self {
            Self::Poll { status_url, .. } => status_url.contains("/get-auth-status"),
            Self::Device { .. } => true,
        }
    }

    pub(super) fn first_request(&self) -> Request {
        match self {
            Self::Poll { auth_url, .. } => Request {
                method: Method::Get,
                url: auth_url.clone(),
                fields: Vec::new(),
            },
            Self::Device {
                device_url,
                client_id,
                scope,
                ..
            } => {
                let mut fields = vec![("client_id".to_owned(), client_id.clone())];
                fields.extend(
                    scope
                        .iter()
                        .map(|scope| ("scope".to_owned(), scope.clone())),
                );
                Request {
                    method: Method::Post,
                    url: device_url.clone(),
                    fields,
                }
            }
        }
    }

    pub(super) fn next_request(&self, handle: Option<(&str, &str)>) -> Request {
        let handle = handle.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match self {
            Self::Poll { status_url, .. } => Request {
                method: Method::Get,
                url: status_url.clone(),
                fields: handle.into_iter().collect(),
            },
            Self::Device {
                token_url,
                client_id,
                ..
            } => {
                // Source: RFC 8628, section 3.4.
                let grant = "urn:ietf:params:oauth:grant-type:device_code";
                let mut fields = vec![
                    ("grant_type".to_owned(), grant.to_owned()),
                    ("client_id".to_owned(), client_id.clone()),
                ];
                fields.extend(handle);
                Request {
                    method: Method::Post,
                    url: token_url.clone(),
                    fields,
                }
            }
        }
    }
}
