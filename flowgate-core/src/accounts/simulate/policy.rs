//! Who is tried: the pool, simple ways, and one that knows the future.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::{
    AccountSpec, Action, Attempt, Class, Classification, Outcome, Permit, Pick, Pool, QuotaView,
    Request, Settings, Step, Why,
};
use super::provider::{Asked, Provider};
use super::random::Random;
use crate::Timestamp;

/// A way to choose accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The pool of this library, as it is set.
    Auto,
    /// In turn.
    RoundRobin,
    /// In turn, but a session stays with its account as long as that does not rest.
    RoundRobinSticky,
    /// Whichever.
    Random,
    /// The first until it refuses.
    FillFirst,
    /// The one with the fewest requests under way.
    LeastInflight,
    /// Greedy, with the state of the provider in view: a reference, and no upper bound.
    Clairvoyant,
}

impl Policy {
    /// All of them, ours first.
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::RoundRobin,
        Self::RoundRobinSticky,
        Self::Random,
        Self::FillFirst,
        Self::LeastInflight,
        Self::Clairvoyant,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::RoundRobin => "round_robin",
            Self::RoundRobinSticky => "round_robin_sticky",
            Self::Random => "random",
            Self::FillFirst => "fill_first",
            Self::LeastInflight => "least_inflight",
            Self::Clairvoyant => "clairvoyant",
        }
    }
}

pub(super) enum Decision {
    Use(usize),
    Wait(Timestamp),
    /// Until another is over.
    Busy,
    Never,
}

pub(super) enum Next {
    Try(Timestamp),
    Stop,
}

/// A request, as the policy knows it.
pub(super) struct Sent {
    pub(super) account: usize,
    permit: Option<Permit>,
    attempt: Attempt,
    tried: Vec<usize>,
}

pub(super) struct Decider {
    policy: Policy,
    pool: Pool,
    accounts: Vec<Simple>,
    sessions: BTreeMap<usize, usize>,
    last: usize,
    random: Random,
}

/// What simple ways know about an account.
#[derive(Clone, Default)]
struct Simple {
    until: Timestamp,
    failures: u32,
    inflight: u32,
    dead: bool,
}

/// The rest after a refusal that does not say how long, doubling.
const SIMPLE_REST_MS: u64 = 1_000;
const SIMPLE_LONGEST_MS: u64 = 60_000;

impl Decider {
    pub(super) fn new(policy: Policy, accounts: usize, settings: Settings) -> Self {
        let mut pool = Pool::new(settings);
        for number in 0..accounts {
            pool.upsert(
                &AccountSpec::new(format!("account-{number}"), "provider"),
                0,
            );
        }
        Self {
            policy,
            pool,
            accounts: vec![Simple::default(); accounts],
            sessions: BTreeMap::new(),
            last: accounts - 1,
            random: Random::new(settings.seed, 4),
        }
    }

    /// Decides about a request that arrived, is of no use after a deadline, and is estimated.
    pub(super) fn pick(
        &mut self,
        now: Timestamp,
        sent: &mut Option<Sent>,
        asked: &Asked,
        (arrived, deadline, estimate): (Timestamp, Timestamp, u32),
        provider: &mut Provider,
    ) -> Decision {
        let sent = sent.get_or_insert_with(|| Sent {
            account: 0,
            permit: None,
            attempt: Attempt::new(arrived, Some(deadline)),
            tried: Vec::new(),
        });
        match self.policy {
            Policy::Auto => self.ask_the_pool(now, sent, asked, estimate),
            Policy::Clairvoyant => foresee(now, sent, asked, self.accounts.len(), provider),
            _ => self.simply(now, sent, asked),
        }
    }

    fn ask_the_pool(
        &mut self,
        now: Timestamp,
        sent: &mut Sent,
        asked: &Asked,
        estimate: u32,
    ) -> Decision {
        let request = Request {
            model: self.pool.model("model"),
            session: Some(asked.session as u64),
            tokens: estimate,
            exclude: sent.attempt.exclude(),
            since: Some(sent.attempt.begun()),
        };
        match self.pool.pick(now, &request) {
            Pick::Use(permit) => {
                sent.account = permit.slot().index() as usize;
                sent.permit = Some(permit);
                Decision::Use(sent.account)
            }
            // Whoever waits is woken when something is reported.
            Pick::Wait {
                why: Why::Concurrency | Why::Probe,
                ..
            } => Decision::Busy,
            Pick::Wait { until, .. } => Decision::Wait(until),
            Pick::None { .. } => Decision::Never,
        }
    }

    fn simply(&mut self, now: Timestamp, sent: &mut Sent, asked: &Asked) -> Decision {
        let all = 0..self.accounts.len();
        let alive: Vec<usize> = all.filter(|index| !self.accounts[*index].dead).collect();
        let free: Vec<usize> = alive
            .iter()
            .copied()
            .filter(|index| self.accounts[*index].until <= now)
            .collect();
        let untried: Vec<usize> = free
            .iter()
            .copied()
            .filter(|index| !sent.tried.contains(index))
            .collect();
        let free = if untried.is_empty() { free } else { untried };
        if free.is_empty() {
            let soonest = alive.iter().map(|index| self.accounts[*index].until).min();
            return soonest.map_or(Decision::Never, Decision::Wait);
        }
        let bound = self.sessions.get(&asked.session).copied();
        let warm =
            bound.filter(|index| self.policy == Policy::RoundRobinSticky && free.contains(index));
        let index = warm.unwrap_or_else(|| self.choose(&free));
        self.sessions.insert(asked.session, index);
        self.accounts[index].inflight += 1;
        sent.account = index;
        sent.tried.push(index);
        Decision::Use(index)
    }

    fn choose(&mut self, free: &[usize]) -> usize {
        match self.policy {
            Policy::Random => free[self.random.below(free.len())],
            Policy::FillFirst => free[0],
            Policy::LeastInflight => {
                let least = free
                    .iter()
                    .min_by_key(|index| self.accounts[**index].inflight);
                least.copied().unwrap_or(free[0])
            }
            _ => {
                let after = free.iter().find(|index| **index > self.last);
                self.last = after.copied().unwrap_or(free[0]);
                self.last
            }
        }
    }

    pub(super) fn headers(&mut self, now: Timestamp, sent: &Sent, quota: &QuotaView) {
        if let Some(permit) = &sent.permit {
            self.pool.on_headers(now, permit, true, quota);
        }
    }

    pub(super) fn served(&mut self, now: Timestamp, sent: &mut Sent, took: u32) {
        if let Some(permit) = sent.permit.take() {
            self.pool.report(now, permit, &Outcome::ok(Some(took)));
            return;
        }
        let account = &mut self.accounts[sent.account];
        account.inflight = account.inflight.saturating_sub(1);
        account.failures = 0;
    }

    pub(super) fn refused(
        &mut self,
        now: Timestamp,
        sent: &mut Sent,
        answer: Classification,
    ) -> Next {
        if let Some(permit) = sent.permit.take() {
            let verdict = self.pool.report(now, permit, &Outcome::from(answer));
            return match self.pool.next(now, &verdict, &mut sent.attempt) {
                Step::RetryNow | Step::Refresh(_) => Next::Try(now),
                Step::RetryAt(at) => Next::Try(at),
                Step::Stop => Next::Stop,
            };
        }
        if answer.action == Action::Stop {
            let account = &mut self.accounts[sent.account];
            account.inflight = account.inflight.saturating_sub(1);
            return Next::Stop;
        }
        if self.policy == Policy::Clairvoyant {
            return Next::Try(now + 1);
        }
        let account = &mut self.accounts[sent.account];
        account.inflight = account.inflight.saturating_sub(1);
        account.dead |= answer.class == Class::AuthDead;
        let rest = SIMPLE_REST_MS << account.failures.min(10);
        account.failures += 1;
        let rest = answer.cooldown_ms.unwrap_or(rest.min(SIMPLE_LONGEST_MS));
        account.until = account.until.max(now + rest);
        Next::Try(now)
    }
}

fn foresee(
    now: Timestamp,
    sent: &mut Sent,
    asked: &Asked,
    accounts: usize,
    provider: &mut Provider,
) -> Decision {
    let mut best: Option<(Timestamp, f64, f64, usize)> = None;
    for index in 0..accounts {
        let Some((at, warm)) = provider.foresee(now, index, asked) else {
            continue;
        };
        let candidate = (at, warm, provider.left(index), index);
        let better = |(other_at, other_warm, other_left, _): &(Timestamp, f64, f64, usize)| {
            (at, -warm, -candidate.2) < (*other_at, -other_warm, -other_left)
        };
        if best.as_ref().is_none_or(better) {
            best = Some(candidate);
        }
    }
    match best {
        None => Decision::Never,
        Some((at, _, _, index)) if at <= now => {
            sent.account = index;
            Decision::Use(index)
        }
        Some((at, ..)) => Decision::Wait(at),
    }
}
