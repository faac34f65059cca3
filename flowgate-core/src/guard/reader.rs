//! Reading what people write in YAML: every mistake at once, with its place.

use serde::de::DeserializeOwned;

use super::format::PackFile;
use super::{PackError, Policy, PolicyError};
use crate::diagnostic::Diagnostic;
use crate::yaml::{self, Node};

/// Reads one pack file.
pub(super) fn read(text: &str) -> Result<PackFile, PackError> {
    document(text).map_err(|problems| PackError::Format {
        detail: joined(&problems),
        line: problems
            .first()
            .and_then(|problem| usize::try_from(problem.span.line).ok()),
    })
}

impl Policy {
    /// Reads a policy from YAML text. An empty text is the policy that everyone starts with.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Format`] with every mistake and its place.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        document(text).map_err(format)
    }

    /// Reads the section `guard` of a configuration, and nothing else of it.
    ///
    /// `None` if there is no such section.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Format`] with every mistake of the section, or of a text that is not YAML.
    pub fn from_config(text: &str) -> Result<Option<Self>, PolicyError> {
        let root = yaml::parse(text).map_err(format)?.0;
        match root.as_ref().and_then(|root| root.get("guard")) {
            Some(section) if !section.is_null() => decode(section).map(Some).map_err(format),
            _ => Ok(None),
        }
    }
}

fn document<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Diagnostic>> {
    let root = yaml::parse(text)?.0;
    decode(&root.unwrap_or_else(|| Node::new(yaml::Value::Mapping(Vec::new()))))
}

fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Diagnostic>> {
    let decoded = yaml::decode(node, &[]);
    match decoded.value {
        Some(value) if !decoded.problems.iter().any(Diagnostic::is_error) => Ok(value),
        _ => Err(decoded.problems),
    }
}

fn format(problems: Vec<Diagnostic>) -> PolicyError {
    PolicyError::Format {
        detail: joined(&problems),
    }
}

fn joined(problems: &[Diagnostic]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::{Mode, UserPacks};
    use super::*;

    #[test]
    fn every_mistake_of_a_policy_has_a_place() {
        let error =
            Policy::from_yaml("packs: core\nmodes: { core.git: of }\nalow: []\n").unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), "guard.policy.format");
        for part in ["1:8", "2:20", "3:1", "`off`", "`allow`"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_policy_is_found_in_a_configuration_that_is_wrong_elsewhere() {
        let policy = Policy::from_config("config_version: 9\nguard: { mode: deny }\n");
        assert_eq!(policy.map(|p| p.map(|p| p.mode)), Ok(Some(Mode::Deny)));
        assert_eq!(Policy::from_config("profiles: {}\n"), Ok(None));
        assert!(Policy::from_config("guard: { mood: deny }\n").is_err());
    }

    #[test]
    fn a_pack_may_be_short() {
        let pack = "\
id: my.tool
name: My tool
description: What it can destroy.
rules:
  - id: wipe
    severity: high
    reason: Wipes the disk of the test machine.
    match: { command: mytool, subcommand: wipe }
    deny: [mytool wipe now]
    allow: [mytool status]
";
        let packs = UserPacks::from_yaml([pack]).unwrap();
        assert_eq!(packs.rules().rules.len(), 1);
        let error =
            UserPacks::from_yaml([pack.replace("severity: high", "severity: hgh").as_str()])
                .unwrap_err();
        assert!(error.to_string().contains("6:15"), "{error}");
    }
}
