//! What happens, in its order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Serialize;

use super::super::{Class, Settings};
use super::policy::{Decider, Decision, Next, Policy, Sent};
use super::provider::{Asked, Provider, Reply};
use super::random::Random;
use super::scenario::Scenario;
use crate::Timestamp;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many requests there were that were not wrong in themselves.
    pub requests: u64,
    /// How many of them were served in time.
    pub served: u64,
    /// Refusals because of a limit.
    pub refused: u64,
    /// Failures of the provider.
    pub failed: u64,
    /// The wait that one request in a hundred exceeds, in milliseconds, of those that were served.
    pub wait_p99_ms: u64,
    /// The tokens of contexts that were served, and how many of them were warm.
    pub context: f64,
    /// See there.
    pub warm: f64,
}

impl Summary {
    /// The part that was served in time, in percent.
    pub fn success_percent(&self) -> f64 {
        100.0 * self.served as f64 / self.requests.max(1) as f64
    }

    /// Refusals because of a limit, for a thousand requests.
    pub fn refused_per_1000(&self) -> f64 {
        1_000.0 * self.refused as f64 / self.requests.max(1) as f64
    }

    /// Failures of the provider, for a thousand requests.
    pub fn failed_per_1000(&self) -> f64 {
        1_000.0 * self.failed as f64 / self.requests.max(1) as f64
    }

    /// The part of the contexts that was warm, in percent.
    pub fn warm_percent(&self) -> f64 {
        100.0 * self.warm / self.context.max(1.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A new session.
    Session,
    /// A session asks.
    Turn(usize),
    /// A request is to be sent.
    Try(usize),
    Headers(usize),
    Done(usize),
    Refused(usize),
}

struct Session {
    context: f64,
    turns: u32,
}

struct Request {
    asked: Asked,
    arrived: Timestamp,
    sent_at: Timestamp,
    sent: Option<Sent>,
    reply: Option<Reply>,
}

pub(super) struct World<'a> {
    scenario: &'a Scenario,
    provider: Provider,
    decider: Decider,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    order: u64,
    sessions: Vec<Session>,
    requests: Vec<Request>,
    /// The load: it must be the same whatever the policy does, so each session has its own.
    random: Random,
    seed: u64,
    between_sessions: f64,
    waits: Vec<u64>,
    summary: Summary,
}

/// How often a session asks, on average, and what it begins with.
const TURNS: f64 = 15.0;
const FIRST: (f64, f64) = (4_000.0, 8_000.0);
const LONGEST: f64 = 60_000.0;
const THINK_MS: f64 = 25_000.0;
/// What a caller believes that an answer takes.
const USUAL_OUTPUT: f64 = 600.0;
/// The time in which sessions come but nothing counts: the load builds up.
const BEGIN: f64 = 0.12;
/// Whoever waits for others to finish looks again that often.
const LOOK_AGAIN_MS: u64 = 100;

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, policy: Policy, settings: Settings) -> Self {
        let seed = settings.seed;
        let mut world = Self {
            scenario,
            provider: Provider::new(scenario, seed),
            decider: Decider::new(policy, scenario.fleet.accounts, settings),
            events: BinaryHeap::new(),
            order: 0,
            sessions: Vec::new(),
            requests: Vec::new(),
            random: Random::new(seed, 1),
            seed,
            between_sessions: between_sessions(scenario),
            waits: Vec::new(),
            summary: Summary::default(),
        };
        world.at(0, Event::Session);
        world
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    pub(super) fn run(mut self) -> Summary {
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            match event {
                Event::Session => self.session(now),
                Event::Turn(session) => self.turn(now, session),
                Event::Try(request) => self.send(now, request),
                Event::Headers(request) => self.headers(now, request),
                Event::Done(request) => self.done(now, request),
                Event::Refused(request) => self.refused(now, request),
            }
        }
        self.waits.sort_unstable();
        let place = self.waits.len() * 99 / 100;
        self.summary.wait_p99_ms = self.waits.get(place).copied().unwrap_or(0);
        self.summary
    }

    fn session(&mut self, now: Timestamp) {
        let number = self.sessions.len();
        let turns = turns(&mut self.random);
        let context = self.random.between(FIRST.0, FIRST.1);
        self.sessions.push(Session { context, turns });
        self.at(now, Event::Turn(number));
        let next = now + self.random.exponential(self.between_sessions) as u64;
        if next < self.scenario.duration_ms {
            self.at(next, Event::Session);
        }
    }

    fn turn(&mut self, now: Timestamp, session: usize) {
        if now >= self.scenario.duration_ms {
            return;
        }
        let state = &self.sessions[session];
        let mut random = Random::new(
            self.seed,
            (session as u64) << 16 | u64::from(state.turns) << 3 | 7,
        );
        let asked = ask(session, state.context, self.scenario.wrong, &mut random);
        let number = self.requests.len();
        self.requests.push(Request {
            asked,
            arrived: now,
            sent_at: now,
            sent: None,
            reply: None,
        });
        self.at(now, Event::Try(number));
    }

    fn counts(&self, request: usize) -> bool {
        let request = &self.requests[request];
        let begun = request.arrived as f64 >= BEGIN * self.scenario.duration_ms as f64;
        begun && !request.asked.wrong
    }

    fn send(&mut self, now: Timestamp, number: usize) {
        let request = &mut self.requests[number];
        let deadline = request.arrived + self.scenario.deadline_ms;
        let asked = &request.asked;
        let estimate = asked.context + asked.fresh + USUAL_OUTPUT;
        let decision = self.decider.pick(
            now,
            &mut request.sent,
            asked,
            (request.arrived, deadline, estimate as u32),
            &mut self.provider,
        );
        match decision {
            Decision::Use(account) => {
                request.sent_at = now;
                let reply = self.provider.send(now, account, &request.asked);
                let event = match &reply {
                    Reply::Served { headers_after, .. } => {
                        (now + headers_after, Event::Headers(number))
                    }
                    Reply::Refused { after, .. } => (now + after, Event::Refused(number)),
                };
                request.reply = Some(reply);
                self.at(event.0, event.1);
            }
            Decision::Wait(until) if until <= deadline => self.at(until, Event::Try(number)),
            Decision::Busy if now + LOOK_AGAIN_MS <= deadline => {
                self.at(now + LOOK_AGAIN_MS, Event::Try(number));
            }
            Decision::Wait(_) | Decision::Busy | Decision::Never => self.over(now, number, false),
        }
    }

    fn headers(&mut self, now: Timestamp, number: usize) {
        let request = &self.requests[number];
        let (
            Some(Reply::Served {
                headers_after,
                done_after,
                quota,
                ..
            }),
            Some(sent),
        ) = (&request.reply, &request.sent)
        else {
            return;
        };
        self.decider.headers(now, sent, quota);
        let rest = done_after - headers_after;
        self.at(now + rest, Event::Done(number));
    }

    fn done(&mut self, now: Timestamp, number: usize) {
        let request = &mut self.requests[number];
        let (Some(Reply::Served { cost, warm, .. }), Some(sent)) =
            (request.reply.take(), request.sent.as_mut())
        else {
            return;
        };
        self.provider.done(sent.account);
        self.decider.served(now, sent, cost as u32);
        let (wait, context) = (request.sent_at - request.arrived, request.asked.context);
        if self.counts(number) {
            self.waits.push(wait);
            self.summary.context += context;
            self.summary.warm += warm;
        }
        self.over(now, number, true);
    }

    fn refused(&mut self, now: Timestamp, number: usize) {
        let request = &mut self.requests[number];
        let (Some(Reply::Refused { answer, .. }), Some(sent)) =
            (request.reply.take(), request.sent.as_mut())
        else {
            return;
        };
        let next = self.decider.refused(now, sent, answer);
        if self.counts(number) {
            let limit = answer.class.is_limit();
            self.summary.refused += u64::from(limit);
            self.summary.failed += u64::from(answer.class == Class::Overloaded);
        }
        match next {
            Next::Try(at) => self.at(at, Event::Try(number)),
            Next::Stop => self.over(now, number, false),
        }
    }

    /// The caller has its answer, and goes on after a while.
    fn over(&mut self, now: Timestamp, number: usize, served: bool) {
        if self.counts(number) {
            self.summary.requests += 1;
            self.summary.served += u64::from(served);
        }
        let asked = &self.requests[number].asked;
        let (session, grown) = (asked.session, asked.context + asked.fresh + asked.output);
        let state = &mut self.sessions[session];
        if served {
            state.context = grown.min(LONGEST);
        }
        state.turns = state.turns.saturating_sub(1);
        if state.turns > 0 {
            let mut random = Random::new(
                self.seed,
                (session as u64) << 16 | u64::from(state.turns) << 3 | 5,
            );
            let think = random.exponential(THINK_MS) as u64;
            self.at(now + think, Event::Turn(session));
        }
        self.requests[number].sent = None;
    }
}

fn turns(random: &mut Random) -> u32 {
    1 + random.exponential(TURNS - 1.0) as u32
}

fn ask(session: usize, context: f64, wrong: f64, random: &mut Random) -> Asked {
    Asked {
        session,
        context,
        fresh: 600.0 * random.skewed(0.8),
        output: 600.0 * random.skewed(0.8),
        wrong: random.chance(wrong),
    }
}

/// The time between sessions that makes the load what it is to be.
fn between_sessions(scenario: &Scenario) -> f64 {
    let mut random = Random::new(42, 3);
    let (mut cost, mut count) = (0.0, 0.0);
    for _ in 0..2_000 {
        let mut context = random.between(FIRST.0, FIRST.1);
        for turn in 0..turns(&mut random) {
            let asked = ask(0, context, 0.0, &mut random);
            let first = if turn == 0 {
                context * (1.0 - scenario.warm_cost)
            } else {
                0.0
            };
            cost += asked.least_cost(scenario.warm_cost) + first;
            count += 1.0;
            context = (context + asked.fresh + asked.output).min(LONGEST);
        }
    }
    let (cost, turns) = (cost / count, count / 2_000.0);
    let fleet = &scenario.fleet;
    let sizes = (0..fleet.accounts).map(|n| fleet.sizes[n % fleet.sizes.len()]);
    let size: f64 = sizes.sum();
    let mut most = f64::INFINITY;
    if fleet.rpm > 0.0 {
        most = most.min(fleet.rpm * size / 60_000.0);
    }
    if fleet.tpm > 0.0 {
        most = most.min(fleet.tpm * size / 60_000.0 / cost);
    }
    if let Some(window) = fleet.window {
        most = most.min(window.tokens * size / window.length_ms as f64 / cost);
    }
    turns / (most * scenario.load)
}
