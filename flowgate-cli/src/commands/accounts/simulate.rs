//! `flowgate accounts simulate`: how policies fare against a provider.

use flowgate_core::accounts::simulate::{Policy, SCENARIOS, Scenario, Summary, run_with};
use serde_json::{Value, json};

use crate::args::SimulateArgs;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};

/// Runs the scenarios under the policies, and prints what came of them.
pub(super) fn simulate(args: &SimulateArgs, output: &mut Output) -> Result {
    let scenarios = scenarios(&args.scenario)?;
    let policies = policies(&args.policy)?;
    let mut rows = Vec::new();
    for scenario in scenarios {
        let scenario = scenario.shortened(args.shorten.into());
        if !output.is_json() {
            output.text(format_args!(
                "{STRONG}{}{STRONG:#} {}\n{DIM}  policy              success %   limits /1000  failures /1000   wait p99 s   warm %{DIM:#}\n",
                scenario.name, scenario.about,
            ))?;
        }
        for policy in &policies {
            let run = |&seed: &u64| (seed, run_with(&scenario, *policy, args.settings, seed));
            let days: Vec<(u64, Summary)> = args.seed.iter().map(run).collect();
            if output.is_json() {
                rows.extend(
                    days.iter()
                        .map(|(seed, day)| row(&scenario, *policy, *seed, day)),
                );
            } else {
                print(*policy, &days, output)?;
            }
        }
    }
    if output.is_json() {
        output.json(&rows)?;
    }
    Ok(Exit::Done)
}

/// The mean of some days.
fn print(policy: Policy, days: &[(u64, Summary)], output: &mut Output) -> Result<()> {
    let mean = |of: fn(&Summary) -> f64| {
        days.iter().map(|(_, day)| of(day)).sum::<f64>() / days.len().max(1) as f64
    };
    output.text(format_args!(
        "  {:<18}{:>11.2}{:>15.1}{:>16.1}{:>13.1}{:>9.1}\n",
        policy.name(),
        mean(Summary::success_percent),
        mean(Summary::refused_per_1000),
        mean(Summary::failed_per_1000),
        mean(|day| day.wait_p99_ms as f64 / 1e3),
        mean(Summary::warm_percent),
    ))
}

fn row(scenario: &Scenario, policy: Policy, seed: u64, summary: &Summary) -> Value {
    json!({
        "scenario": scenario.name,
        "policy": policy.name(),
        "seed": seed,
        "requests": summary.requests,
        "success_percent": summary.success_percent(),
        "limits_per_1000": summary.refused_per_1000(),
        "failures_per_1000": summary.failed_per_1000(),
        "wait_p99_ms": summary.wait_p99_ms,
        "warm_percent": summary.warm_percent(),
    })
}

fn scenarios(names: &[String]) -> Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.to_vec());
    }
    let find = |name: &String| {
        let mut all = SCENARIOS.iter();
        let found = all.find(|scenario| scenario.name.eq_ignore_ascii_case(name));
        found
            .copied()
            .ok_or_else(|| unknown("scenario", name, SCENARIOS.iter().map(|s| s.name)))
    };
    names.iter().map(find).collect()
}

fn policies(names: &[String]) -> Result<Vec<Policy>> {
    if names.is_empty() {
        return Ok(Policy::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = Policy::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| unknown("policy", name, Policy::ALL.iter().map(|p| p.name())))
    };
    names.iter().map(find).collect()
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> Failure {
    Failure::Usage(
        "cli.unknown_name",
        format!("there is no {what} `{name}`"),
        format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    )
}
