//! How a policy fares against a provider: a simulation, so that nobody has to try it with accounts.
//!
//! Sessions come at random and ask again and again with a context that grows; the provider counts
//! requests and tokens, remembers prompts for five minutes, refuses, fails and states its quota in
//! headers or does not. The same seed is the same day for every policy.
//!
//! # Example
//!
//! ```
//! use flowgate_core::accounts::simulate::{Policy, SCENARIOS, run};
//!
//! let calm = SCENARIOS.iter().find(|scenario| scenario.name == "A1").unwrap();
//! let short = calm.shortened(5);
//! let ours = run(&short, Policy::Auto, 7);
//! assert!(ours.success_percent() > 99.9, "{ours:?}");
//! assert_eq!(ours, run(&short, Policy::Auto, 7));
//! ```

mod policy;
mod provider;
mod random;
mod scenario;
mod world;

use super::Settings;

pub use policy::Policy;
pub use scenario::{Fleet, Outages, SCENARIOS, Scenario, Window};
pub use world::Summary;

/// Runs one scenario under one policy.
///
/// * `seed`: where all chance comes from: arrivals, contexts, outages, what others use.
pub fn run(scenario: &Scenario, policy: Policy, seed: u64) -> Summary {
    run_with(scenario, policy, Settings::default(), seed)
}

/// [`run`] with a pool that is set otherwise. What is no pool does not look at the settings.
pub fn run_with(scenario: &Scenario, policy: Policy, settings: Settings, seed: u64) -> Summary {
    let settings = Settings { seed, ..settings };
    world::World::new(scenario, policy, settings).run()
}
