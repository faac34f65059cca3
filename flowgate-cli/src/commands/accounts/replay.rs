//! `flowgate accounts replay`: what a pool decides when it is told what happened.

use std::collections::BTreeMap;

use flowgate_core::Timestamp;
use flowgate_core::accounts::{
    self, AccountSpec, Affinity, Answer, Backoff, Outcome, Permit, Pick, Pool, ProviderSettings,
    Request, Rules, Settings, Slot, Strategy, Transport, Why,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::plain;
use crate::jsonl::{answer_lines, problem};
use crate::output::Result;

/// A line: a pool, and what happens.
#[derive(Deserialize)]
struct Trace {
    accounts: Vec<TracedAccount>,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    opts: Option<Options>,
    events: Vec<Happening>,
}

#[derive(Deserialize)]
struct TracedAccount {
    id: String,
    /// Those with the highest serve first.
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    weight: Option<u32>,
    #[serde(default)]
    max_inflight: Option<u32>,
    #[serde(default)]
    models: Option<Vec<String>>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    group: Option<String>,
}

/// What differs from the settings of a pool. A trace is about one thing at a time, so what would
/// blur it is off: chance, waiting for a warm account, and quota.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    base_ms: u64,
    max_ms: u64,
    transient_ms: u64,
    transient_max_ms: u64,
    auth_ms: u64,
    payment_ms: u64,
    model_ms: u64,
    challenge_ms: u64,
    probe_lease_ms: u64,
    canary_ms: u64,
    permit_lease_ms: u64,
    sticky_ttl_ms: u64,
    sticky_wait_ms: u64,
    provider_base_ms: u64,
    provider_max_ms: u64,
    provider_min_accounts: u32,
    half_open: bool,
    admission: bool,
    jitter: bool,
    seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let usual = Settings::default();
        Self {
            base_ms: usual.backoff.initial_ms,
            max_ms: usual.backoff.max_ms,
            transient_ms: usual.transient.initial_ms,
            transient_max_ms: usual.transient.max_ms,
            auth_ms: usual.auth_ms,
            payment_ms: usual.payment_ms,
            model_ms: usual.model_ms,
            challenge_ms: usual.challenge_ms,
            probe_lease_ms: usual.probe_lease_ms,
            canary_ms: usual.canary_ms,
            permit_lease_ms: usual.permit_lease_ms,
            sticky_ttl_ms: usual.affinity.ttl_ms,
            sticky_wait_ms: 0,
            provider_base_ms: usual.provider.backoff.initial_ms,
            provider_max_ms: usual.provider.backoff.max_ms,
            provider_min_accounts: usual.provider.min_accounts,
            half_open: true,
            admission: false,
            jitter: false,
            seed: 0,
        }
    }
}

impl Options {
    fn settings(&self, strategy: Strategy) -> Settings {
        let usual = Settings::default();
        let backoff = |initial_ms, max_ms| Backoff { initial_ms, max_ms };
        Settings {
            strategy,
            seed: self.seed,
            jitter: self.jitter,
            half_open: self.half_open,
            admission: self.admission,
            backoff: backoff(self.base_ms, self.max_ms),
            transient: backoff(
                self.transient_ms,
                self.transient_max_ms.max(self.transient_ms),
            ),
            auth_ms: self.auth_ms,
            payment_ms: self.payment_ms,
            model_ms: self.model_ms,
            challenge_ms: self.challenge_ms,
            probe_lease_ms: self.probe_lease_ms,
            canary_ms: self.canary_ms,
            permit_lease_ms: self.permit_lease_ms,
            provider: ProviderSettings {
                backoff: backoff(self.provider_base_ms, self.provider_max_ms),
                min_accounts: self.provider_min_accounts,
                ..usual.provider
            },
            affinity: Affinity {
                ttl_ms: self.sticky_ttl_ms,
                wait_known_ms: self.sticky_wait_ms,
                wait_unknown_ms: self.sticky_wait_ms,
                ..usual.affinity
            },
            ..usual
        }
    }
}

#[derive(Deserialize)]
struct Happening {
    t_ms: Timestamp,
    #[serde(flatten)]
    event: Event,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Pick(Asked),
    /// The request of that pick was served.
    Success {
        pick: usize,
    },
    /// The request of that pick was answered like this.
    Error(Answered),
    /// Permits whose lease is over are lost.
    Expire,
    Enable {
        account: String,
    },
    Disable {
        account: String,
    },
    Remove {
        account: String,
    },
    /// Everything bad about an account is forgotten.
    Reset {
        account: String,
    },
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    model: Option<String>,
    #[serde(default, deserialize_with = "text")]
    session: Option<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    tokens: u32,
}

#[derive(Deserialize)]
struct Answered {
    pick: usize,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    transport: Option<Transport>,
}

/// A session is a text, or a number that stands for one.
fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.filter(|value| !value.is_null()).map(plain))
}

pub(super) fn lines() -> Result {
    answer_lines(|trace: Trace| {
        let mut replay = Replay::new(&trace)?;
        let mut results = Vec::new();
        for happening in &trace.events {
            results.extend(replay.happens(happening)?);
        }
        Ok(json!({ "results": results }))
    })
}

struct Replay {
    pool: Pool,
    /// The permits of the picks, as long as nothing was reported about them.
    permits: Vec<Option<Permit>>,
}

type Answers<T> = std::result::Result<T, Value>;

impl Replay {
    fn new(trace: &Trace) -> Answers<Self> {
        let usual = Options::default();
        let options = trace.opts.as_ref().unwrap_or(&usual);
        let mut pool = Pool::new(options.settings(trace.strategy));
        let mut priorities: Vec<i64> = trace.accounts.iter().map(|a| a.priority).collect();
        priorities.sort_unstable_by(|a, b| b.cmp(a));
        priorities.dedup();
        // The order of places is the order of ids.
        let mut accounts: Vec<&TracedAccount> = trace.accounts.iter().collect();
        accounts.sort_by(|a, b| a.id.cmp(&b.id));
        for account in accounts {
            let rank = priorities.iter().position(|p| *p == account.priority);
            let tier = u8::try_from(rank.unwrap_or_default()).map_err(|_| {
                problem(
                    "cli.bad_line",
                    "there are more than 256 different priorities",
                )
            })?;
            let spec = AccountSpec {
                tier,
                weight: account.weight.unwrap_or(1),
                max_inflight: account.max_inflight,
                models: account.models.clone().unwrap_or_default(),
                group: account.group.clone(),
                enabled: !account.disabled,
                ..AccountSpec::new(&account.id, &account.provider)
            };
            pool.upsert(&spec, 0);
        }
        Ok(Self {
            pool,
            permits: Vec::new(),
        })
    }

    /// Answers what a pick answers.
    fn happens(&mut self, happening: &Happening) -> Answers<Option<Value>> {
        let now = happening.t_ms;
        match &happening.event {
            Event::Pick(asked) => return self.pick(asked, now).map(Some),
            Event::Success { pick } => {
                if let Some(permit) = self.permit(*pick)? {
                    self.pool.report(now, permit, &Outcome::ok(None));
                }
            }
            Event::Error(answered) => self.answered(answered, now)?,
            Event::Expire => {
                self.pool.expire(now);
            }
            Event::Enable { account } => {
                let slot = self.slot(account)?;
                self.pool.set_enabled(slot, true, now);
            }
            Event::Disable { account } => {
                let slot = self.slot(account)?;
                self.pool.set_enabled(slot, false, now);
            }
            Event::Remove { account } => {
                let slot = self.slot(account)?;
                self.pool.remove(slot, now);
            }
            Event::Reset { account } => {
                let slot = self.slot(account)?;
                self.pool.reset(slot, now);
            }
        }
        Ok(None)
    }

    fn pick(&mut self, asked: &Asked, now: Timestamp) -> Answers<Value> {
        // An account that is not there excludes nothing: it may have been removed.
        let exclude = asked.exclude.iter().filter_map(|id| self.pool.find(id));
        let exclude: Vec<Slot> = exclude.collect();
        let model = self.pool.model(asked.model.as_deref().unwrap_or_default());
        let request = Request {
            model,
            session: asked.session.as_deref().map(accounts::session),
            tokens: asked.tokens,
            exclude: &exclude,
            since: None,
        };
        let (permit, answer) = match self.pool.pick(now, &request) {
            Pick::Use(permit) => {
                let id = json!(self.pool.id(permit.slot()));
                (Some(permit), id)
            }
            // A place comes free when a request is over, and nobody knows when that is.
            Pick::Wait {
                why: Why::Concurrency,
                ..
            }
            | Pick::None { .. } => (None, Value::Null),
            Pick::Wait { until, .. } => (None, json!({ "wait_until": until })),
        };
        self.permits.push(permit);
        Ok(answer)
    }

    fn answered(&mut self, answered: &Answered, now: Timestamp) -> Answers<()> {
        let Some(permit) = self.permit(answered.pick)? else {
            return Ok(());
        };
        let headers = answered.headers.clone().unwrap_or_default();
        let headers: Vec<(String, String)> = headers
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect();
        let body = plain(answered.body.clone());
        let answer = Answer {
            provider: answered.provider.as_deref().unwrap_or_default(),
            status: answered.status,
            headers: &headers,
            body: body.as_bytes(),
            transport: answered.transport,
        };
        let meaning = accounts::classify(&answer, now, &Rules::default());
        self.pool.report(now, permit, &Outcome::from(meaning));
        Ok(())
    }

    /// The permit of a pick. `None` if it was answered with none, or was reported before.
    fn permit(&mut self, pick: usize) -> Answers<Option<Permit>> {
        let permit = self.permits.get_mut(pick);
        let permit = permit.ok_or_else(|| {
            let picks = "an event names a pick that has not happened; the first is 0";
            problem("cli.bad_line", picks)
        })?;
        Ok(permit.take())
    }

    fn slot(&self, id: &str) -> Answers<Slot> {
        self.pool.find(id).ok_or_else(|| {
            problem(
                "cli.bad_line",
                "an event names an account that is not there",
            )
        })
    }
}
