//! Exceptions for one command, granted by a person out of band.
//!
//! The agent's command is denied; the host shows a short code to the *person*, who grants it.
//! The next time the very same command is checked in the very same directory, the host redeems
//! the grant, once. Nothing here reads a clock or makes random numbers: both are arguments, and
//! the code never appears in a [`Verdict`](super::Verdict).

use serde::{Deserialize, Serialize};

/// Letters of a code: none that look like another.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The most requests that wait for an answer; the oldest go first.
const MOST_REQUESTS: usize = 32;

/// A command that waits for a person's decision.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the person types; never shown to the agent.
    pub code: String,
    /// The command, exactly.
    pub command: String,
    /// The directory it was to run in.
    pub cwd: String,
    /// When the request is forgotten, in milliseconds since the Unix epoch.
    pub expires: u64,
}

/// A command that may run once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The command, exactly.
    pub command: String,
    /// The directory it may run in.
    pub cwd: String,
    /// Until when, in milliseconds since the Unix epoch.
    pub expires: u64,
}

/// The requests and grants that are open; the host keeps them where the agent cannot write.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exceptions {
    /// Waiting for a person.
    pub requests: Vec<Request>,
    /// Granted and not yet used.
    pub grants: Vec<Grant>,
}

impl Exceptions {
    /// Notes that a command was stopped, and gives the code for the person.
    ///
    /// `random` must come from a good source: its low 40 bits become the code. A command that is
    /// already waiting keeps its code.
    pub fn request(
        &mut self,
        command: &str,
        cwd: &str,
        random: u64,
        now: u64,
        lifetime: u64,
    ) -> &Request {
        self.forget(now);
        let known = self
            .requests
            .iter()
            .position(|r| r.command == command && r.cwd == cwd);
        let index = known.unwrap_or_else(|| {
            if self.requests.len() >= MOST_REQUESTS {
                self.requests.remove(0);
            }
            self.requests.push(Request {
                code: code(random),
                command: command.to_owned(),
                cwd: cwd.to_owned(),
                expires: now.saturating_add(lifetime),
            });
            self.requests.len() - 1
        });
        &self.requests[index]
    }

    /// Grants the request of a code; gives the grant, or `None` if no such request is open.
    pub fn grant(&mut self, code: &str, now: u64, lifetime: u64) -> Option<&Grant> {
        self.forget(now);
        let spelled: String = code
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let index = self
            .requests
            .iter()
            .position(|r| r.code.replace('-', "") == spelled)?;
        let request = self.requests.remove(index);
        self.grants.push(Grant {
            command: request.command,
            cwd: request.cwd,
            expires: now.saturating_add(lifetime),
        });
        self.grants.last()
    }

    /// Uses up the grant for a command in a directory; says whether there was one.
    pub fn redeem(&mut self, command: &str, cwd: &str, now: u64) -> bool {
        self.forget(now);
        let index = self
            .grants
            .iter()
            .position(|g| g.command == command && g.cwd == cwd);
        index.map(|index| self.grants.remove(index)).is_some()
    }

    fn forget(&mut self, now: u64) {
        self.requests.retain(|r| now < r.expires);
        self.grants.retain(|g| now < g.expires);
    }
}

fn code(random: u64) -> String {
    let letter = |n: u32| char::from(ALPHABET[(random >> (n * 5)) as usize & 31]);
    let half = |from: u32| (from..from + 4).map(letter).collect::<String>();
    format!("{}-{}", half(0), half(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_works_once_for_its_command_and_directory() {
        let mut exceptions = Exceptions::default();
        let code = exceptions
            .request("rm -rf src", "/p", 0x12_3456_789a, 1_000, 60_000)
            .code
            .clone();
        assert!(
            exceptions
                .grant(&code.to_lowercase(), 2_000, 60_000)
                .is_some()
        );
        assert!(!exceptions.redeem("rm -rf src ", "/p", 3_000));
        assert!(!exceptions.redeem("rm -rf src", "/q", 3_000));
        assert!(exceptions.redeem("rm -rf src", "/p", 3_000));
        assert!(!exceptions.redeem("rm -rf src", "/p", 3_000));
    }

    #[test]
    fn requests_and_grants_expire() {
        let mut exceptions = Exceptions::default();
        let code = exceptions.request("x", "/p", 7, 0, 10).code.clone();
        assert!(exceptions.grant(&code, 10, 10).is_none());
        let code = exceptions.request("x", "/p", 7, 10, 10).code.clone();
        exceptions.grant(&code, 11, 5);
        assert!(!exceptions.redeem("x", "/p", 16));
    }
}
