//! What is run.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Gen;

/// What is run. Debug output shows no argument but the program and no value of a variable: they
/// may be secrets.
#[derive(Clone, Eq, PartialEq, Serialize)]
pub struct CommandSpec {
    /// The program and its arguments, without a shell. May hold the placeholders that are known
    /// only at a start; see [`Placeholders`].
    pub args: Vec<String>,
    /// The absolute directory it is started in; `None` is that of the supervisor.
    pub cwd: Option<String>,
    /// Variables that are set for it; placeholders as in `args`.
    pub env: BTreeMap<String, String>,
    /// Files of `NAME=value` lines that are read at every start; `env` wins over them, and a later
    /// file over an earlier one.
    pub env_file: Vec<String>,
    /// Whether it gets the variables of the supervisor as well.
    pub inherit_env: bool,
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSpec")
            .field("program", &self.args.first())
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

/// What the placeholders of one start stand for: `{gen}`, `{port}` and `{fd}`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Placeholders {
    /// `{gen}`: the number of this start.
    pub generation: Gen,
    /// `{port}`: the port this process listens on; with [`Overlap::Forward`](super::Overlap::Forward) one of its own.
    pub port: Option<u16>,
    /// `{fd}`: the descriptor of the listening socket, with [`Overlap::Socket`](super::Overlap::Socket).
    pub fd: Option<u32>,
}

impl Placeholders {
    /// The text with the placeholders replaced; what is not one stays as it is.
    ///
    /// ```
    /// use flowgate_core::supervise::Placeholders;
    ///
    /// let start = Placeholders { generation: 7, port: Some(4000), fd: None };
    /// assert_eq!(start.expand("--port={port}"), "--port=4000");
    /// assert_eq!(start.expand("{\"port\": {fd}}"), "{\"port\": {fd}}");
    /// ```
    pub fn expand(&self, text: &str) -> String {
        let values = [
            ("{gen}", Some(self.generation.to_string())),
            ("{port}", self.port.map(|port| port.to_string())),
            ("{fd}", self.fd.map(|fd| fd.to_string())),
        ];
        let mut text = text.to_owned();
        for (name, value) in values {
            if let Some(value) = value.filter(|_| text.contains(name)) {
                text = text.replace(name, &value);
            }
        }
        text
    }
}
