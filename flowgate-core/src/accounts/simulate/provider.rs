//! The provider: what it counts, and what it answers.

use super::super::{
    Action, BucketView, Class, Classification, QuotaView, Scope, Window as WindowName, WindowView,
};
use super::random::Random;
use super::scenario::{Scenario, Window};
use crate::Timestamp;

/// How long a prompt is remembered.
const WARM_MS: u64 = 300_000;
/// How much may come at once: the share of twelve seconds.
const BURST_MS: f64 = 12_000.0;
/// What others use changes that often.
const OTHERS_CHANGE_MS: u64 = 10_000;

/// What a request is, for the provider.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) session: usize,
    /// What was said before, and what is new.
    pub(super) context: f64,
    pub(super) fresh: f64,
    pub(super) output: f64,
    pub(super) wrong: bool,
}

impl Asked {
    fn cost(&self, warm: f64, warm_cost: f64) -> f64 {
        let warm = warm.min(self.context);
        self.fresh + (self.context - warm) + warm_cost * warm + self.output
    }

    /// What it costs where the whole context is warm.
    pub(super) fn least_cost(&self, warm_cost: f64) -> f64 {
        self.cost(self.context, warm_cost)
    }
}

/// The answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Served {
        headers_after: u64,
        done_after: u64,
        cost: f64,
        warm: f64,
        quota: Box<QuotaView>,
    },
    Refused {
        after: u64,
        answer: Classification,
    },
}

pub(super) struct Provider {
    accounts: Vec<Account>,
    outages: Vec<(Timestamp, Timestamp)>,
    failing: f64,
    headers: bool,
    hints: f64,
    warm_cost: f64,
    unseen: f64,
    random: Random,
}

struct Account {
    requests: Bucket,
    tokens: Bucket,
    concurrency: u32,
    inflight: u32,
    window: Option<Counted>,
    revoked: Timestamp,
    /// What is remembered of each session, and until when.
    warm: Vec<(usize, f64, Timestamp)>,
    others: f64,
    others_at: Timestamp,
}

#[derive(Clone, Copy)]
struct Bucket {
    level: f64,
    cap: f64,
    rate: f64,
    at: Timestamp,
}

struct Counted {
    window: Window,
    used: f64,
    ends: Timestamp,
    resets: Vec<Timestamp>,
}

impl Bucket {
    fn new(per_minute: f64) -> Self {
        let rate = per_minute / 60_000.0;
        let cap = if per_minute > 0.0 {
            rate * BURST_MS
        } else {
            f64::INFINITY
        };
        Self {
            level: cap,
            cap,
            rate,
            at: 0,
        }
    }

    fn refill(&mut self, now: Timestamp, ours: f64) {
        if self.cap.is_finite() {
            let passed = (now - self.at) as f64;
            self.level = (self.level + self.rate * ours * passed).min(self.cap);
        }
        self.at = now;
    }

    /// How long until there is that much.
    fn wait(&self, need: f64, ours: f64) -> f64 {
        if self.level >= need.min(self.cap) {
            return 0.0;
        }
        ((need.min(self.cap) - self.level) / (self.rate * ours)).ceil()
    }

    fn view(&self) -> Option<BucketView> {
        self.cap.is_finite().then(|| BucketView {
            limit: Some(self.cap as u64),
            remaining: self.level.max(0.0) as u64,
            full_in_ms: Some(((self.cap - self.level) / self.rate) as u64),
        })
    }
}

impl Counted {
    fn turn(&mut self, now: Timestamp) {
        let early = self.resets.first().is_some_and(|at| *at <= now);
        if early {
            self.resets.remove(0);
        }
        if early || now >= self.ends {
            self.used = 0.0;
            self.ends = now + self.window.length_ms;
        }
    }
}

impl Provider {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut random = Random::new(seed, 2);
        let fleet = &scenario.fleet;
        let mut accounts: Vec<Account> = (0..fleet.accounts)
            .map(|number| {
                let size = fleet.sizes[number % fleet.sizes.len()];
                Account {
                    requests: Bucket::new(fleet.rpm * size),
                    tokens: Bucket::new(fleet.tpm * size),
                    concurrency: fleet.concurrency.unwrap_or(u32::MAX),
                    inflight: 0,
                    window: fleet.window.map(|window| Counted {
                        window,
                        used: 0.0,
                        // They did not all begin at the same time.
                        ends: (random.unit() * window.length_ms as f64) as u64,
                        resets: Vec::new(),
                    }),
                    revoked: Timestamp::MAX,
                    warm: Vec::new(),
                    others: scenario.unseen,
                    others_at: 0,
                }
            })
            .collect();
        let moment = |random: &mut Random| random.between(0.15, 0.9) * scenario.duration_ms as f64;
        for _ in 0..fleet.revoked {
            let which = random.below(accounts.len());
            accounts[which].revoked = moment(&mut random) as u64;
        }
        for _ in 0..fleet.window.map_or(0, |window| window.early_resets) {
            let which = random.below(accounts.len());
            let at = moment(&mut random) as u64;
            if let Some(counted) = &mut accounts[which].window {
                counted.resets.push(at);
                counted.resets.sort_unstable();
            }
        }
        let outages = &scenario.outages;
        let outages = (0..outages.count).map(|_| {
            let from = moment(&mut random) as u64;
            (from, from + outages.length_ms)
        });
        Self {
            outages: outages.collect(),
            failing: scenario.outages.failing,
            headers: scenario.headers,
            hints: scenario.hints,
            warm_cost: scenario.warm_cost,
            unseen: scenario.unseen,
            accounts,
            random,
        }
    }

    /// Brings an account to the present. Answers the part of its refill that is not used by others.
    fn settle(&mut self, account: usize, now: Timestamp) -> f64 {
        let unseen = self.unseen;
        let account = &mut self.accounts[account];
        let ours = 1.0 - account.others;
        account.requests.refill(now, ours);
        account.tokens.refill(now, ours);
        if unseen > 0.0 && now >= account.others_at {
            account.others_at = now + OTHERS_CHANGE_MS;
            account.others = (unseen * self.random.between(0.5, 1.5)).min(0.9);
        }
        if let Some(counted) = &mut account.window {
            counted.turn(now);
        }
        ours
    }

    /// How much of a session is warm.
    fn warm(&self, account: usize, session: usize, now: Timestamp) -> f64 {
        let entries = self.accounts[account].warm.iter();
        let mut known = entries.filter(|(other, _, until)| *other == session && *until > now);
        known.next().map_or(0.0, |(_, warm, _)| *warm)
    }

    /// A request comes in.
    pub(super) fn send(&mut self, now: Timestamp, account: usize, asked: &Asked) -> Reply {
        let ours = self.settle(account, now);
        let down = self
            .outages
            .iter()
            .any(|(from, to)| (*from..*to).contains(&now));
        let latency = self.random.between(150.0, 400.0) as u64;
        let refuse = |class, scope, action, cooldown_ms| Reply::Refused {
            after: latency,
            answer: Classification {
                class,
                scope,
                action,
                cooldown_ms,
            },
        };
        if down && self.random.chance(self.failing) {
            return refuse(Class::Overloaded, Scope::Provider, Action::Next, None);
        }
        if now >= self.accounts[account].revoked {
            return refuse(Class::AuthDead, Scope::Account, Action::Next, None);
        }
        if asked.wrong {
            return refuse(Class::RequestFault, Scope::Request, Action::Stop, None);
        }
        let warm = self.warm(account, asked.session, now);
        let cost = asked.cost(warm, self.warm_cost);
        let state = &self.accounts[account];
        if let Some(counted) = &state.window
            && counted.used >= counted.window.tokens
        {
            let wait = counted.ends - now;
            return refuse(Class::Quota, Scope::Account, Action::Next, Some(wait));
        }
        let wait = state
            .requests
            .wait(1.0, ours)
            .max(state.tokens.wait(cost, ours));
        let hinted = self.random.chance(self.hints);
        if state.inflight >= state.concurrency {
            let hint = hinted.then_some(1_000);
            return refuse(Class::Rate, Scope::Account, Action::Next, hint);
        }
        if wait > 0.0 {
            // Whole seconds, as the header has them.
            let hint = (wait / 1_000.0).ceil() as u64 * 1_000;
            return refuse(
                Class::Rate,
                Scope::Account,
                Action::Next,
                hinted.then_some(hint),
            );
        }
        self.serve(now, account, asked, cost, warm)
    }

    fn serve(
        &mut self,
        now: Timestamp,
        account: usize,
        asked: &Asked,
        cost: f64,
        warm: f64,
    ) -> Reply {
        let first = self.random.between(400.0, 1_500.0);
        let all = first + asked.output * 12.0;
        let headers = self.headers;
        let state = &mut self.accounts[account];
        state.inflight += 1;
        state.requests.level -= 1.0;
        state.tokens.level -= cost;
        let mut quota = QuotaView::default();
        if let Some(counted) = &mut state.window {
            counted.used += cost;
            quota.add_window(WindowView {
                used: (counted.used / counted.window.tokens) as f32,
                resets_at: Some(counted.ends),
                length_ms: Some(counted.window.length_ms),
                ..WindowView::new(WindowName::FiveHour)
            });
        }
        quota.requests = state.requests.view();
        quota.tokens = state.tokens.view();
        state
            .warm
            .retain(|(session, _, until)| *session != asked.session && *until > now);
        let remembered = asked.context + asked.fresh;
        state.warm.push((asked.session, remembered, now + WARM_MS));
        Reply::Served {
            headers_after: first as u64,
            done_after: all as u64,
            cost,
            warm: warm.min(asked.context),
            quota: Box::new(if headers { quota } else { QuotaView::default() }),
        }
    }

    /// A request that was served is over.
    pub(super) fn done(&mut self, account: usize) {
        self.accounts[account].inflight -= 1;
    }

    /// Whether an account would serve now, or when it would; with what is warm there. Nobody but a
    /// clairvoyant can know.
    pub(super) fn foresee(
        &mut self,
        now: Timestamp,
        account: usize,
        asked: &Asked,
    ) -> Option<(Timestamp, f64)> {
        let ours = self.settle(account, now);
        let down = self
            .outages
            .iter()
            .find(|(from, to)| (*from..*to).contains(&now));
        if let Some((_, end)) = down {
            return Some((*end, 0.0));
        }
        let warm = self.warm(account, asked.session, now);
        let cost = asked.cost(warm, self.warm_cost);
        let state = &self.accounts[account];
        if now >= state.revoked {
            return None;
        }
        let spent = state
            .window
            .as_ref()
            .filter(|counted| counted.used >= counted.window.tokens);
        if let Some(counted) = spent {
            let early = counted.resets.first().copied().unwrap_or(Timestamp::MAX);
            return Some((counted.ends.min(early), warm));
        }
        if state.inflight >= state.concurrency {
            return Some((now + 100, warm));
        }
        let wait = state
            .requests
            .wait(1.0, ours)
            .max(state.tokens.wait(cost, ours));
        Some((now + wait as u64, warm))
    }

    /// How much is left of an account, of 1.
    pub(super) fn left(&self, account: usize) -> f64 {
        let state = &self.accounts[account];
        let part = |bucket: &Bucket| {
            if bucket.cap.is_finite() {
                bucket.level / bucket.cap
            } else {
                1.0
            }
        };
        let window = state
            .window
            .as_ref()
            .map_or(1.0, |c| 1.0 - c.used / c.window.tokens);
        part(&state.requests).min(part(&state.tokens)).min(window)
    }
}
