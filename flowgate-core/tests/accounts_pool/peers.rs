//! Pools of several processes that tell each other what they learn decide as one pool would.

use std::collections::BTreeMap;

use flowgate_core::accounts::{Ask, Class, Fact, Lifecycle, Pool, Scope, Subject};
use proptest::prelude::*;

use crate::log::{self, BEGIN, Entry, Player, Step};

/// A server that is asked at once and answers at once.
#[derive(Default)]
struct Server {
    facts: BTreeMap<String, Fact>,
    /// Who probes, until when.
    leases: BTreeMap<String, (usize, u64)>,
}

/// Some processes that share a pool.
struct Fleet {
    server: Server,
    pools: Vec<Pool>,
    players: Vec<Player>,
}

impl Fleet {
    fn new(processes: usize) -> Self {
        let pool = |number: usize| {
            let mut pool = log::pool();
            pool.share(number as u64 + 1, 1_000);
            pool.set_connected(BEGIN, true);
            pool
        };
        Self {
            server: Server::default(),
            pools: (0..processes).map(pool).collect(),
            players: (0..processes).map(|_| Player::default()).collect(),
        }
    }

    /// Carries everything to everybody, until nobody has anything to say.
    fn exchange(&mut self) {
        for round in 0.. {
            assert!(round < 50, "they never stop");
            let asks: Vec<(usize, Vec<Ask>)> = self
                .pools
                .iter_mut()
                .map(Pool::take_asks)
                .enumerate()
                .collect();
            if asks.iter().all(|(_, asks)| asks.is_empty()) {
                return;
            }
            for (process, asks) in asks {
                asks.into_iter().for_each(|ask| self.answer(process, ask));
            }
        }
    }

    fn answer(&mut self, process: usize, ask: Ask) {
        let now = self.players[process].now;
        let pool = &mut self.pools[process];
        match ask {
            Ask::Tell(subject) => {
                let name = pool.subject_name(subject).unwrap();
                let told = pool.fact(subject).unwrap();
                let known = self.server.facts.entry(name.clone()).or_default();
                let joined = known.join(told);
                if *known != joined {
                    *known = joined;
                    self.hear(&name, joined);
                }
            }
            Ask::Probe(subject) => {
                let name = pool.subject_name(subject).unwrap();
                let until = now + pool.settings().probe_lease_ms;
                match self.server.leases.get(&name) {
                    Some((_, until)) if *until > now => {
                        pool.deny(now, subject, *until);
                    }
                    _ => {
                        self.server.leases.insert(name.clone(), (process, until));
                        pool.grant(now, subject, until);
                        self.lease(process, &name, until);
                    }
                }
            }
            Ask::Done(subject) => {
                let name = pool.subject_name(subject).unwrap();
                if self
                    .server
                    .leases
                    .get(&name)
                    .is_some_and(|(of, _)| *of == process)
                {
                    self.server.leases.remove(&name);
                    self.lease(process, &name, 0);
                }
            }
            Ask::Load => {
                for (name, fact) in self.server.facts.clone() {
                    let subject = self.pools[process].find_subject(&name).unwrap();
                    self.pools[process].learn(now, subject, fact);
                }
            }
            other => panic!("nobody said anything about quota: {other:?}"),
        }
    }

    /// Tells the others who probes.
    fn lease(&mut self, process: usize, name: &str, until: u64) {
        let others = self.pools.iter_mut().zip(&self.players).enumerate();
        for (_, (pool, player)) in others.filter(|(other, _)| *other != process) {
            let subject = pool.find_subject(name).unwrap();
            pool.deny(player.now, subject, until);
        }
    }

    fn hear(&mut self, name: &str, fact: Fact) {
        for (pool, player) in self.pools.iter_mut().zip(&self.players) {
            let subject = pool.find_subject(name).unwrap();
            pool.learn(player.now, subject, fact);
        }
    }

    fn play(&mut self, log: &[Entry]) -> Vec<String> {
        let mut picks = 0;
        let mut verdicts = Vec::new();
        for entry in log {
            let process = entry.process;
            let verdict = match entry.step {
                Step::Pick { account, model } => {
                    let number = picks;
                    picks += 1;
                    let verdict = (0..4).find_map(|_| {
                        let (player, pool) = (&mut self.players[process], &mut self.pools[process]);
                        let verdict = player.pick(pool, number, account, model);
                        self.exchange();
                        verdict
                    });
                    verdict.unwrap_or_else(|| "no answer".to_owned())
                }
                Step::Report { request, answer } => {
                    self.players[process].report(&mut self.pools[process], request, answer)
                }
                Step::Pass(time) => {
                    for (player, pool) in self.players.iter_mut().zip(&mut self.pools) {
                        player.pass(pool, time);
                    }
                    String::new()
                }
            };
            self.exchange();
            verdicts.push(verdict);
        }
        verdicts
    }
}

/// Without overload. Whether that is of a provider is told by how many accounts hear of it at a time,
/// and an account that rests longer already tells the others nothing new.
fn calm(mut log: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut log {
        if let Step::Report { answer, .. } = &mut entry.step
            && answer.class == Class::Overloaded
        {
            answer.class = Class::ServerError;
            answer.scope = Scope::Account;
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn three_processes_decide_as_one_does(seed in any::<u64>()) {
        let log = calm(log::log(seed, 120, 3));
        let (alone, end) = log::alone(&log);
        let mut fleet = Fleet::new(3);
        let together = fleet.play(&log);
        for (number, (one, many)) in alone.iter().zip(&together).enumerate() {
            prop_assert_eq!(one, many, "step {}: {:?}\n{:?}", number, log[number], &log[..number]);
        }
        for process in 0..3 {
            let now = fleet.players[process].now;
            prop_assert_eq!(&log::standing(&mut fleet.pools[process], now), &end);
        }
    }

    #[test]
    fn whatever_another_process_says_is_heard_without_harm(
        facts in prop::collection::vec((0..8_usize, any::<u64>(), any::<u64>(), 0..3_u8, any::<u8>(), any::<u64>()), 0..30)
    ) {
        let mut fleet = Fleet::new(1);
        let pool = &mut fleet.pools[0];
        let slots: Vec<_> = pool.slots().collect();
        let model = pool.model("sonnet");
        for (who, epoch, until, lifecycle, level, failed_at) in facts {
            let subject = match who {
                0..4 => Subject::Account(slots[who]),
                4 => Subject::Model(slots[0], model),
                5 => Subject::Credential(slots[1]),
                _ => Subject::Provider(0),
            };
            let lifecycle = [Lifecycle::Active, Lifecycle::NeedsRefresh, Lifecycle::Dead][lifecycle as usize];
            let fact = Fact { epoch, until, class: Some(Class::Overloaded), level, failures: level / 2, lifecycle, failed_at };
            pool.learn(BEGIN, subject, fact);
            pool.learn(BEGIN, subject, fact);
        }
        pool.expire(BEGIN + 1_000);
        prop_assert_eq!(pool.inflight(None), 0);
        prop_assert_eq!(pool.explain(BEGIN + 1_000, &Default::default()).len(), 4);
    }
}

#[test]
fn what_two_processes_hear_of_an_overload_all_of_them_act_on() {
    let mut fleet = Fleet::new(3);
    let overloaded = log::answer(Class::Overloaded, Scope::Provider);
    let steps = [
        (
            0,
            Step::Pick {
                account: 0,
                model: 0,
            },
        ),
        (
            1,
            Step::Pick {
                account: 1,
                model: 0,
            },
        ),
        (
            0,
            Step::Report {
                request: 0,
                answer: overloaded,
            },
        ),
        (
            2,
            Step::Pick {
                account: 2,
                model: 0,
            },
        ),
        (
            1,
            Step::Report {
                request: 1,
                answer: overloaded,
            },
        ),
        (
            2,
            Step::Pick {
                account: 3,
                model: 0,
            },
        ),
        (2, Step::Pass(500)),
        (
            2,
            Step::Pick {
                account: 3,
                model: 0,
            },
        ),
        (
            0,
            Step::Pick {
                account: 0,
                model: 0,
            },
        ),
    ];
    let log = steps.map(|(process, step)| Entry { process, step });
    let together = fleet.play(&log);
    assert_eq!(together, log::alone(&log).0);
    assert_eq!(together[5], "wait 500 Provider");
    assert_eq!(together[7..], ["use, probe: true", "wait 15500 Probe"]);
}

#[test]
fn a_name_means_the_same_subject_in_every_process() {
    let mut one = log::pool();
    let mut other = log::pool();
    let slots: Vec<_> = one.slots().collect();
    let model = one.model("opus");
    for subject in [
        Subject::Account(slots[1]),
        Subject::Model(slots[2], model),
        Subject::Credential(slots[3]),
        Subject::Provider(0),
    ] {
        let name = one.subject_name(subject).unwrap();
        assert_eq!(other.find_subject(&name), Some(subject));
    }
    for name in [
        "",
        "a",
        "a\u{1f}nobody",
        "x\u{1f}account 1",
        "c\u{1f}account 1\u{1f}7",
        "m\u{1f}account 1\u{1f}",
    ] {
        assert_eq!(other.find_subject(name), None, "{name:?}");
    }
}

#[test]
fn processes_do_not_all_begin_with_the_same_account() {
    let first = |salt: u64| {
        let mut pool = log::pool();
        pool.share(salt, 1_000);
        match pool.pick(BEGIN, &Default::default()) {
            flowgate_core::accounts::Pick::Use(permit) => permit.slot().index(),
            other => panic!("{other:?}"),
        }
    };
    let begun: std::collections::BTreeSet<u32> = (1..40).map(first).collect();
    assert_eq!(begun.len(), log::ACCOUNTS);
}
