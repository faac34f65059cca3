//! `flowgate accounts list` and `explain`: what the accounts are doing, as their pool saved it.

use std::path::Path;

use flowgate_core::Timestamp;
use flowgate_core::accounts::{
    self, AccountState, AccountView, Candidate, Pool, PoolState, Request, Standing, Why,
};
use flowgate_core::config::Config;
use flowgate_core::runtime::shared::{Mode, Status};
use flowgate_core::runtime::{self, StateError};
use serde_json::{Value, json};

use super::word;
use crate::args::ExplainArgs;
use crate::commands::now;
use crate::output::{ADDED, DIM, Exit, Failure, Output, REMOVED, Result, STRONG, WARN};
use crate::visible::one_line;

/// What is known: the accounts of the configuration, and what was saved about them.
struct Known {
    config: Config,
    pool: Pool,
    saved_at: Option<Timestamp>,
    /// The accounts that were saved and are no longer in the configuration.
    gone: Vec<String>,
    now: Timestamp,
}

impl Known {
    /// Reads what there is; nothing is written.
    fn read(config: &Path) -> Result<Self> {
        let config = runtime::resolve(&runtime::load(config)?)?;
        let file = config.settings().paths.accounts_file();
        let file = Path::new(&file);
        let damaged = |error: StateError| match error {
            StateError::File(error) => Failure::from(error),
            other => Failure::Usage(
                "accounts.state_damaged",
                format!("`{}`: {other}", file.display()),
                "delete the file: what the accounts learn will be written again".to_owned(),
            ),
        };
        let saved = runtime::saved_pool(file).map_err(damaged)?;
        let now = now();
        let accounts = config.settings().accounts.as_ref();
        let pool = runtime::configured_pool(accounts, saved.as_ref(), now);
        let mut pool = pool.map_err(|error| damaged(error.into()))?;
        pool.expire(now);
        Ok(Self {
            gone: gone(saved.as_ref(), &pool, now),
            saved_at: saved.as_ref().map(PoolState::saved_at),
            config,
            pool,
            now,
        })
    }

    /// Whether other processes use the same accounts, and whether the server between them answers.
    fn sharing(&self) -> Result<Option<Status>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let failed = |error: std::io::Error| {
            Failure::Environment("cli.no_runtime", error.to_string(), String::new())
        };
        let runtime = runtime.map_err(failed)?;
        Ok(runtime.block_on(Status::of(&self.config)))
    }

    /// Says where this comes from, unless all is said.
    fn note(&self, output: &mut Output) {
        match self.saved_at {
            None => output.note(format_args!(
                "{DIM}nothing was saved yet: this is the configuration{DIM:#}\n"
            )),
            Some(at) => output.note(format_args!(
                "{DIM}as it was saved {} ago{DIM:#}\n",
                span(self.now.saturating_sub(at))
            )),
        }
        if !self.gone.is_empty() {
            output.note(format_args!(
                "{DIM}no longer in the configuration: {}{DIM:#}\n",
                one_line(&self.gone.join(", "))
            ));
        }
    }
}

fn gone(saved: Option<&PoolState>, pool: &Pool, now: Timestamp) -> Vec<String> {
    let before = saved.map(|state| Pool::restore(*pool.settings(), state, now));
    let Some(Ok(before)) = before else {
        return Vec::new();
    };
    let ids = before.slots().filter_map(|slot| before.id(slot));
    ids.filter(|id| pool.find(id).is_none())
        .map(str::to_owned)
        .collect()
}

/// Shows every account.
pub(super) fn list(config: &Path, output: &mut Output) -> Result {
    let known = Known::read(config)?;
    let seen = known.pool.view(known.now);
    if output.is_json() {
        output.json(&json!({
            "accounts": seen,
            "saved_at": known.saved_at,
            "no_longer_configured": known.gone,
            "shared": known.sharing()?,
        }))?;
        return Ok(Exit::Done);
    }
    if seen.is_empty() {
        output.text(format_args!(
            "the configuration has no accounts; add them under `accounts.pool`\n"
        ))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 7]> = seen.iter().map(|seen| row(seen, known.now)).collect();
    let heads = [
        "ACCOUNT",
        "PROVIDER",
        "TIER",
        "STATE",
        "UNTIL",
        "IN FLIGHT",
        "QUOTA",
    ];
    table(&heads, &rows, |row| state_style(seen[row].state), output)?;
    for account in &seen {
        for model in &account.models {
            let until = model
                .until
                .map(|at| format!("until {}", at_time(at, known.now)));
            output.text(format_args!(
                "{DIM}{}: `{}` rests {}{}{DIM:#}\n",
                one_line(&account.id),
                one_line(&model.model),
                until.as_deref().unwrap_or("until a request finds out"),
                model
                    .class
                    .map(|class| format!(" ({})", word(class)))
                    .unwrap_or_default(),
            ))?;
        }
    }
    if let Some(status) = known.sharing()? {
        output.text(format_args!("{}\n", sharing(&status)))?;
    }
    known.note(output);
    Ok(Exit::Done)
}

/// How sharing goes, in a line.
fn sharing(status: &Status) -> String {
    let name = one_line(&status.pool);
    let how = match status.mode {
        Mode::Local => "each process chooses",
        Mode::Strict => "the server says whose turn it is",
    };
    let answer = match (&status.error, status.round_trip_us) {
        (Some(error), _) => format!(
            "{REMOVED}the server does not answer{REMOVED:#}, so each process decides alone: {}",
            one_line(error)
        ),
        (None, Some(time)) => format!(
            "{ADDED}the server answers{ADDED:#} in {:.1} ms",
            time as f64 / 1_000.0
        ),
        (None, None) => "the server answers".to_owned(),
    };
    format!(
        "shared as `{name}` ({}): {how}; {answer}",
        word(status.mode)
    )
}

fn row(seen: &AccountView, now: Timestamp) -> [String; 7] {
    let class = seen.class.map(|class| format!(" ({})", word(class)));
    let most = seen.max_inflight.map(|most| format!("/{most}"));
    [
        one_line(&seen.id).into_owned(),
        one_line(&seen.provider).into_owned(),
        seen.tier.to_string(),
        format!("{}{}", word(seen.state), class.unwrap_or_default()),
        seen.until
            .map_or_else(|| "-".to_owned(), |at| at_time(at, now)),
        format!("{}{}", seen.inflight, most.unwrap_or_default()),
        quota(seen, now),
    ]
}

fn quota(seen: &AccountView, now: Timestamp) -> String {
    let mut parts = Vec::new();
    for (left, of) in [(seen.requests, "requests"), (seen.tokens, "tokens")] {
        if let Some(left) = left {
            let full = match left.full_at.saturating_sub(now) {
                0 => String::new(),
                wait => format!(", full in {}", span(wait)),
            };
            let about = if seen.guessed { "about " } else { "" };
            parts.push(format!(
                "{about}{:.0} of {:.0} {of}{full}",
                left.level.floor(),
                left.limit
            ));
        }
    }
    for window in &seen.windows {
        parts.push(format!(
            "{} {:.0} % used, anew in {}",
            word(window.window),
            window.used * 100.0,
            span(window.resets_at.saturating_sub(now))
        ));
    }
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join("; ")
    }
}

fn state_style(state: AccountState) -> anstyle::Style {
    match state {
        AccountState::Ready => ADDED,
        AccountState::Dead | AccountState::NeedsRefresh => REMOVED,
        AccountState::Disabled => DIM,
        _ => WARN,
    }
}

/// Says of each account whether it could serve a request, and if not, why and until when. Exit code
/// 1: none could now.
pub(super) fn explain(config: &Path, args: &ExplainArgs, output: &mut Output) -> Result {
    let mut known = Known::read(config)?;
    let excluded: Vec<_> = args
        .exclude
        .iter()
        .map(|id| known.pool.find(id).ok_or_else(|| unknown(id, &known.pool)))
        .collect::<Result<_>>()?;
    let request = Request {
        model: known.pool.model(args.model.as_deref().unwrap_or_default()),
        session: args.session.as_deref().map(accounts::session),
        tokens: args.tokens,
        exclude: &excluded,
        since: None,
    };
    let candidates = known.pool.explain(known.now, &request);
    let serves = |c: &&Candidate| matches!(c.standing, Standing::Eligible | Standing::Probe);
    let exit = if candidates.iter().any(|candidate| serves(&candidate)) {
        Exit::Done
    } else {
        Exit::No
    };
    // A pick changes what it decides about: it is made with a copy.
    let chosen = match known.pool.clone().pick(known.now, &request) {
        accounts::Pick::Use(permit) => known.pool.id(permit.slot()).map(str::to_owned),
        _ => None,
    };
    if output.is_json() {
        let candidates: Vec<Value> = candidates
            .iter()
            .map(|c| candidate(c, &known.pool))
            .collect();
        output.json(&json!({
            "strategy": known.pool.settings().strategy,
            "chosen": chosen,
            "candidates": candidates,
            "saved_at": known.saved_at,
        }))?;
        return Ok(exit);
    }
    let rows: Vec<[String; 5]> = candidates
        .iter()
        .map(|candidate| explained(candidate, chosen.as_deref(), known.now))
        .collect();
    let heads = ["ACCOUNT", "TIER", "COULD IT", "PRESSURE", "WHY"];
    table(
        &heads,
        &rows,
        |row| standing_style(candidates[row].standing),
        output,
    )?;
    match &chosen {
        Some(id) => output.text(format_args!(
            "{STRONG}{}{STRONG:#} would serve, by `{}`\n",
            one_line(id),
            word(known.pool.settings().strategy)
        ))?,
        None => output.text(format_args!("nobody could serve it now\n"))?,
    }
    known.note(output);
    Ok(exit)
}

fn unknown(id: &str, pool: &Pool) -> Failure {
    let known: Vec<&str> = pool.slots().filter_map(|slot| pool.id(slot)).collect();
    Failure::Usage(
        "cli.unknown_account",
        format!("there is no account `{id}`"),
        format!("there are {}", known.join(", ")),
    )
}

fn candidate(candidate: &Candidate, pool: &Pool) -> Value {
    let mut json = json!(candidate);
    if let Some(fields) = json.as_object_mut() {
        fields.shift_remove("slot");
        let provider = pool.provider_of(candidate.slot).unwrap_or_default();
        fields.insert("provider".to_owned(), provider.into());
    }
    json
}

fn explained(candidate: &Candidate, chosen: Option<&str>, now: Timestamp) -> [String; 5] {
    let mark = if chosen == Some(candidate.id.as_str()) {
        "* "
    } else {
        "  "
    };
    let could = match candidate.standing {
        Standing::Eligible => "yes",
        Standing::Probe => "yes, as a probe",
        Standing::Waiting => "not now",
        Standing::Busy => "when one is over",
        Standing::Excluded => "no",
    };
    [
        format!("{mark}{}", one_line(&candidate.id)),
        candidate.tier.to_string(),
        could.to_owned(),
        format!("{:.2}", candidate.pressure),
        reason(candidate, now),
    ]
}

/// Why, in words.
fn reason(candidate: &Candidate, now: Timestamp) -> String {
    let class = candidate
        .class
        .map(|class| format!(" after {}", word(class)));
    let class = class.unwrap_or_default();
    let why = match candidate.why {
        None if candidate.warm => "its prompts are warm".to_owned(),
        None => "-".to_owned(),
        Some(Why::Unavailable) => match word(candidate.lifecycle).as_str() {
            "active" => "it is switched off, or has no weight".to_owned(),
            life => life.replace('_', " "),
        },
        Some(Why::NoneMatch) => "it is excluded, or does not serve the model".to_owned(),
        Some(Why::Cooldown) => format!("it rests{class}"),
        Some(Why::Budget) => "its quota is used up".to_owned(),
        Some(Why::Concurrency) => match candidate.max_inflight {
            Some(most) => format!("{} of {most} requests are under way", candidate.inflight),
            None => "it has too many requests under way".to_owned(),
        },
        Some(Why::Provider) => "its provider is overloaded".to_owned(),
        Some(Why::Probe) => "a request finds out whether it is back".to_owned(),
        Some(other) => word(other),
    };
    match candidate.until {
        Some(at) => format!("{why}, until {}", at_time(at, now)),
        None => why,
    }
}

fn standing_style(standing: Standing) -> anstyle::Style {
    match standing {
        Standing::Eligible => ADDED,
        Standing::Excluded => REMOVED,
        _ => WARN,
    }
}

/// The time of a day in UTC, and how far it is.
fn at_time(at: Timestamp, now: Timestamp) -> String {
    let moment = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(at));
    let clock = moment.map(|moment| humantime::format_rfc3339_seconds(moment).to_string());
    let clock = clock.unwrap_or_default();
    format!("{clock} (in {})", span(at.saturating_sub(now)))
}

/// A time span as people say it: its two largest units.
fn span(ms: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let first = units.iter().position(|(unit, _)| ms >= *unit);
    let Some(first) = first else {
        return format!("{ms}ms");
    };
    let (unit, name) = units[first];
    let mut text = format!("{}{name}", ms / unit);
    if let Some((smaller, name)) = units.get(first + 1)
        && ms % unit >= *smaller
    {
        text.push_str(&format!(" {}{name}", ms % unit / smaller));
    }
    text
}

/// A table whose columns are as wide as they need to be.
fn table<const N: usize>(
    heads: &[&str; N],
    rows: &[[String; N]],
    style: impl Fn(usize) -> anstyle::Style,
    output: &mut Output,
) -> Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[&str]| -> String {
        let padded = cells.iter().zip(&widths);
        let padded = padded.map(|(cell, width)| format!("{cell:<width$}", width = *width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    output.text(format_args!("{DIM}{}{DIM:#}\n", line(heads)))?;
    for (number, row) in rows.iter().enumerate() {
        let style = style(number);
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        output.text(format_args!("{style}{}{style:#}\n", line(&cells)))?;
    }
    Ok(())
}
