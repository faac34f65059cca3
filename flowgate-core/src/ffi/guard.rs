//! The guard as a handle.

use super::{FlowgateError, Verdict};
use crate::guard::{self, Context, PackInfo, Policy, UserPacks};

/// See [`crate::guard::Guard`].
#[derive(Debug, uniffi::Object)]
pub struct Guard(guard::Guard);

#[uniffi::export]
impl Guard {
    /// All built-in packs, or what the policy says: the section `guard` of a configuration, in YAML
    /// or JSON. `packs` are the texts of packs of one's own.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::GuardError`] for a policy or a pack that cannot be used.
    #[uniffi::constructor(default(policy = None, packs = []))]
    pub fn new(policy: Option<String>, packs: Vec<String>) -> Result<Self, FlowgateError> {
        let packs = UserPacks::from_yaml(packs.iter().map(String::as_str))?;
        let policy = match policy {
            Some(text) => Policy::from_yaml(&text)?,
            None => Policy::default(),
        };
        policy.embedded()?;
        Ok(Self(guard::Guard::new(&policy, packs)?))
    }

    /// Decides what to do with one command, without running it.
    pub fn check(&self, command: &str, context: Context) -> Verdict {
        Verdict::new(self.0.check(command, &context), command)
    }

    /// Decides many commands, in order.
    pub fn check_batch(&self, commands: Vec<String>, context: Context) -> Vec<Verdict> {
        let check = |command: &String| Verdict::new(self.0.check(command, &context), command);
        commands.iter().map(check).collect()
    }

    /// Decides like [`check`](Self::check), and tells how, for people.
    pub fn explain(&self, command: &str, context: Context) -> String {
        self.0.explain(command, &context).render(command)
    }

    /// The built-in packs and those of the user, with the rules in each.
    pub fn packs(&self) -> Vec<PackInfo> {
        self.0.packs()
    }
}
