//! What happens to a pool, as a log that several processes play together and one pool plays alone.

use flowgate_core::accounts::{
    AccountSpec, Action, Class, Classification, Outcome, Permit, Pick, Pool, Request, Scope,
    Settings, Slot, Standing, Strategy,
};

/// When every log begins.
pub(crate) const BEGIN: u64 = 1_800_000_000_000;
/// How long an answer of the others is waited for, in milliseconds.
const SOON: u64 = 20;
pub(crate) const ACCOUNTS: usize = 4;
pub(crate) const MODELS: [&str; 2] = ["sonnet", "opus"];

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// This account is asked for, for this model. The request gets the next number.
    Pick { account: usize, model: usize },
    /// The request of that number ended so.
    Report {
        request: usize,
        answer: Classification,
    },
    /// Time passes.
    Pass(u64),
}

/// One step, and which of the processes it happens to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) process: usize,
    pub(crate) step: Step,
}

/// A log of so many steps, the same for a seed.
pub(crate) fn log(seed: u64, steps: usize, processes: usize) -> Vec<Entry> {
    let mut random = Random(seed);
    let mut owners: Vec<usize> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut entries = Vec::new();
    while entries.len() < steps {
        let process = random.below(processes);
        let step = match random.below(10) {
            0..=4 => {
                open.push(owners.len());
                owners.push(process);
                Step::Pick {
                    account: random.below(ACCOUNTS),
                    model: random.below(MODELS.len()),
                }
            }
            5..=7 if !open.is_empty() => Step::Report {
                request: open.swap_remove(random.below(open.len())),
                answer: random.answer(),
            },
            _ => Step::Pass([1, 40, 700, 1_500, 4_000, 31_000, 400_000][random.below(7)]),
        };
        let process = match step {
            Step::Report { request, .. } => owners[request],
            _ => process,
        };
        entries.push(Entry { process, step });
    }
    entries
}

/// An answer that sends a request to the next account.
pub(crate) const fn answer(class: Class, scope: Scope) -> Classification {
    Classification {
        class,
        scope,
        action: Action::Next,
        cooldown_ms: None,
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn answer(&mut self) -> Classification {
        let of = |class, scope, action, cooldown_ms| Classification {
            class,
            scope,
            action,
            cooldown_ms,
        };
        let next = Action::Next;
        match self.below(12) {
            0..=3 => of(Class::Ok, Scope::None, Action::Done, None),
            4 => of(Class::Rate, Scope::Account, next, None),
            5 => of(Class::Rate, Scope::Account, next, Some(20_000)),
            6 => of(Class::Rate, Scope::Model, next, Some(3_000)),
            7 => of(Class::Quota, Scope::Account, next, Some(7_200_000)),
            8 => answer(Class::Overloaded, Scope::Provider),
            9 => of(Class::Auth, Scope::Account, Action::Refresh, None),
            10 => of(Class::ServerError, Scope::Account, next, None),
            _ => of(Class::ClientCancelled, Scope::None, Action::Stop, None),
        }
    }
}

/// The pool that every process has. What is guessed from refusals is not shared, and chance differs.
pub(crate) fn pool() -> Pool {
    let mut pool = Pool::new(Settings {
        strategy: Strategy::Lru,
        jitter: false,
        admission: false,
        ..Settings::default()
    });
    for number in 0..ACCOUNTS {
        pool.upsert(
            &AccountSpec::new(format!("account {number}"), "anthropic"),
            BEGIN,
        );
    }
    for model in MODELS {
        pool.model(model);
    }
    pool
}

/// One process: a pool, and the requests that it has under way.
pub(crate) struct Player {
    pub(crate) now: u64,
    requests: Vec<(usize, Permit)>,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            now: BEGIN,
            requests: Vec::new(),
        }
    }
}

impl Player {
    /// Asks for one account. `None`: a driver has to be asked first, and then this again.
    pub(crate) fn pick(
        &mut self,
        pool: &mut Pool,
        number: usize,
        account: usize,
        model: usize,
    ) -> Option<String> {
        let others = others(pool, account);
        let request = Request {
            model: pool.model(MODELS[model]),
            exclude: &others,
            ..Request::default()
        };
        let picked = pool.pick(self.now, &request);
        self.picked(pool, number, picked)
    }

    /// The verdict on a pick.
    pub(crate) fn picked(&mut self, pool: &Pool, number: usize, picked: Pick) -> Option<String> {
        Some(match picked {
            Pick::Use(permit) => {
                let probe = permit.is_probe();
                self.requests.push((number, permit));
                format!("use, probe: {probe}")
            }
            Pick::Wait { .. } if pool.has_asks() => return None,
            // So long a pool waits that asks who may probe.
            Pick::Wait { until, why } if until <= self.now + SOON => {
                format!("wait a moment {why:?}")
            }
            Pick::Wait { until, why } => format!("wait {} {why:?}", until - BEGIN),
            Pick::None { why } => format!("none {why:?}"),
        })
    }

    pub(crate) fn report(
        &mut self,
        pool: &mut Pool,
        number: usize,
        answer: Classification,
    ) -> String {
        let Some(place) = self.requests.iter().position(|(of, _)| *of == number) else {
            return "never sent".to_owned();
        };
        let (_, permit) = self.requests.swap_remove(place);
        let verdict = pool.report(self.now, permit, &Outcome::from(answer));
        let until = verdict.until.map(|until| until - BEGIN);
        format!("{:?} {:?} {until:?}", verdict.class, verdict.action)
    }

    pub(crate) fn pass(&mut self, pool: &mut Pool, time: u64) -> String {
        self.now += time;
        pool.expire(self.now);
        String::new()
    }
}

/// All accounts but one.
pub(crate) fn others(pool: &Pool, account: usize) -> Vec<Slot> {
    let slots = pool.slots().enumerate();
    let others = slots.filter(|(number, _)| *number != account);
    others.map(|(_, slot)| slot).collect()
}

/// What a pool knows: until when each account and model rests. Of two reasons for one rest any may
/// be remembered.
pub(crate) fn standing(pool: &mut Pool, now: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for name in MODELS {
        let model = pool.model(name);
        for candidate in pool.explain(
            now,
            &Request {
                model,
                ..Request::default()
            },
        ) {
            let rests = candidate.standing == Standing::Waiting;
            // Who may probe once it has asked could serve.
            let until = candidate.until.filter(|until| rests && *until > now + SOON);
            let until = until.map(|until| until - BEGIN);
            lines.push(format!(
                "{name} {} {until:?} {:?}",
                candidate.id, candidate.lifecycle
            ));
        }
    }
    lines
}

/// The verdicts of one pool that sees everything.
pub(crate) fn alone(log: &[Entry]) -> (Vec<String>, Vec<String>) {
    let mut pool = pool();
    let mut player = Player::default();
    let mut picks = 0;
    let verdicts = log.iter().map(|entry| match entry.step {
        Step::Pick { account, model } => {
            picks += 1;
            let verdict = player.pick(&mut pool, picks - 1, account, model);
            verdict.unwrap_or_default()
        }
        Step::Report { request, answer } => player.report(&mut pool, request, answer),
        Step::Pass(time) => player.pass(&mut pool, time),
    });
    let verdicts = verdicts.collect();
    let end = standing(&mut pool, player.now);
    (verdicts, end)
}
