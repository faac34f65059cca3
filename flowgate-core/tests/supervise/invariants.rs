//! What must hold whatever happens, in whatever order. Most of it the made-up system checks at
//! every step; see `sim`.

use std::collections::VecDeque;
use std::time::Duration;

use flowgate_core::supervise::{
    Command, Condition, Event, Found, LivenessSpec, OnLoss, OnPortConflict, OnSupervisorExit,
    Overlap, Owner, PortOwner, Probe, ProbeOutcome, ProcessEvent, ProcessId, PublicState, Purpose,
    RestartPolicy, Selection, ServiceSpec, Services, State, Supervisor,
};
use proptest::prelude::*;

use super::scenarios::spec;
use super::sim::*;

/// Something that may happen, for whichever process it fits.
#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    Stop(usize),
    Restart(usize),
    StartAll,
    StopAll,
    RestartAll,
    Apply(Vec<Shape>),
    Spawned(usize),
    SpawnFailed(usize, bool),
    Exited(usize, i32),
    TreeEmpty(usize),
    Probed(usize, Purpose, u8),
    Drained(usize),
    Survivors(usize),
    PortFree(usize),
    PortBusy(usize),
    /// About a process that is no more, or never was.
    Stale(usize, u64, u8),
    Record(usize, u64, bool, bool),
    Tick,
    Pass(u64),
}

/// A service, as far as it makes a difference.
#[derive(Clone, Debug)]
struct Shape {
    needs: Vec<(usize, Condition, OnLoss)>,
    overlap: Overlap,
    port: Option<u16>,
    policy: RestartPolicy,
    liveness: bool,
    drain: bool,
    leave: bool,
    fail_on_port: bool,
    version: u8,
    present: bool,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Services need only those before them, so that there is no cycle.
fn specs(shapes: &[Shape]) -> Vec<ServiceSpec> {
    let present = |index: &usize| *index == 0 || shapes[*index].present;
    let made = (0..shapes.len()).filter(present).map(|index| {
        let shape = &shapes[index];
        let mut made = spec(NAMES[index]);
        if let Some(port) = shape.port {
            made = made.with_port(port);
            made.overlap = shape.overlap;
        }
        for (needed, condition, on_loss) in &shape.needs {
            if *needed < index && present(needed) {
                made = made.needs(NAMES[*needed]);
                let last = made.depends_on.last_mut().unwrap();
                (last.condition, last.on_loss) = (*condition, *on_loss);
            }
        }
        made.restart.policy = shape.policy;
        made.restart.jitter = 0.2;
        made.restart.max_restarts = 3;
        made.command.args.push(shape.version.to_string());
        if shape.liveness {
            made.liveness = Some(LivenessSpec {
                probe: Probe::Tcp { port: None },
                interval: Duration::from_secs(10),
                timeout: Duration::from_secs(5),
                failures: 2,
            });
        }
        if shape.drain {
            made.stop.drain = Some(flowgate_core::supervise::DrainSpec {
                hook: flowgate_core::supervise::DrainHook::Wait,
                timeout: Duration::from_millis(700),
            });
        }
        if shape.leave {
            made.on_supervisor_exit = OnSupervisorExit::Leave;
        }
        if shape.fail_on_port {
            made.on_port_conflict = OnPortConflict::Fail;
        }
        made
    });
    made.collect()
}

fn shape() -> impl Strategy<Value = Shape> {
    let condition = prop_oneof![
        1 => Just(Condition::Started),
        4 => Just(Condition::Ready),
        1 => Just(Condition::Completed)
    ];
    let on_loss = prop_oneof![
        Just(OnLoss::Ignore),
        Just(OnLoss::Stop),
        Just(OnLoss::Restart)
    ];
    let needs = prop::collection::vec((0..3_usize, condition, on_loss), 0..3);
    let overlap = prop_oneof![
        1 => Just(Overlap::Never),
        2 => Just(Overlap::Socket),
        1 => Just(Overlap::Forward)
    ];
    let policy = prop_oneof![
        3 => Just(RestartPolicy::Always),
        1 => Just(RestartPolicy::OnFailure),
        1 => Just(RestartPolicy::Never)
    ];
    let port = prop_oneof![Just(None), Just(Some(4000)), Just(Some(5000))];
    let flags = (
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.8),
    );
    (needs, overlap, port, policy, flags, 0..2_u8).prop_map(
        |(needs, overlap, port, policy, flags, version)| Shape {
            needs,
            overlap,
            port,
            policy,
            liveness: flags.0,
            drain: flags.1,
            leave: flags.2,
            fail_on_port: flags.3,
            version,
            present: flags.4,
        },
    )
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    prop::collection::vec(shape(), 4)
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..16_usize;
    let purpose = prop_oneof![Just(Purpose::Readiness), Just(Purpose::Liveness)];
    prop_oneof![
        3 => (0..4_usize).prop_map(Step::Start),
        2 => (0..4_usize).prop_map(Step::Stop),
        4 => (0..4_usize).prop_map(Step::Restart),
        2 => Just(Step::StartAll),
        1 => Just(Step::StopAll),
        1 => Just(Step::RestartAll),
        2 => shapes().prop_map(Step::Apply),
        16 => which.clone().prop_map(Step::Spawned),
        1 => (which.clone(), any::<bool>()).prop_map(|(at, permanent)| Step::SpawnFailed(at, permanent)),
        4 => (which.clone(), 0..2).prop_map(|(at, code)| Step::Exited(at, code)),
        8 => which.clone().prop_map(Step::TreeEmpty),
        16 => (which.clone(), purpose, 0..4_u8).prop_map(|(at, purpose, how)| Step::Probed(at, purpose, how)),
        2 => which.clone().prop_map(Step::Drained),
        1 => which.clone().prop_map(Step::Survivors),
        8 => which.clone().prop_map(Step::PortFree),
        2 => which.clone().prop_map(Step::PortBusy),
        2 => (0..4_usize, 0..20_u64, 0..8_u8).prop_map(|(at, generation, what)| Step::Stale(at, generation, what)),
        1 => (0..4_usize, 1..4_u64, any::<bool>(), any::<bool>())
            .prop_map(|(at, generation, alive, ready)| Step::Record(at, generation, alive, ready)),
        8 => Just(Step::Tick),
        4 => (0..20_000_u64).prop_map(Step::Pass),
    ]
}

fn owner() -> Owner {
    Owner {
        pid: 9,
        name: "other".to_owned(),
    }
}

/// The process that a number chooses among those that fit.
fn choose(sim: &Sim, at: usize, fits: impl Fn(&Process) -> bool) -> Option<(String, u64)> {
    let all: Vec<_> = sim.processes.iter().filter(|(_, p)| fits(p)).collect();
    let ((service, generation), _) = all.get(at % all.len().max(1))?;
    Some((service.as_str().to_owned(), *generation))
}

/// What a system that keeps its promises may do next.
fn happen(sim: &mut Sim, step: &Step) {
    let name = |at: usize| named(&[NAMES[at]]);
    let living = |p: &Process| p.lives && !p.exited;
    let (target, event) = match step {
        Step::Start(at) => return drop(sim.command(Command::Start(name(*at)))),
        Step::Stop(at) => return drop(sim.command(Command::Stop(name(*at)))),
        Step::Restart(at) => return drop(sim.command(Command::Restart(name(*at)))),
        Step::StartAll => return sim.start(),
        Step::StopAll => return drop(sim.command(Command::Stop(Selection::All))),
        Step::RestartAll => return drop(sim.command(Command::Restart(Selection::All))),
        Step::Apply(shapes) => return apply_twice(sim, shapes),
        Step::Tick => {
            sim.tick();
            return;
        }
        Step::Pass(time) => return sim.pass(*time),
        Step::Stale(at, generation, what) => return stale(sim, NAMES[*at], *generation, *what),
        Step::Record(at, generation, alive, ready) => {
            return record(sim, NAMES[*at], *generation, *alive, *ready);
        }
        Step::PortFree(at) => (port(sim, *at), ProcessEvent::PortFree),
        Step::PortBusy(at) => {
            let owner = (*at % 2 == 0).then(owner);
            (port(sim, *at), ProcessEvent::PortBusy { owner })
        }
        Step::Spawned(at) => (choose(sim, *at, |p| p.asked), spawned()),
        Step::SpawnFailed(at, permanent) => {
            (choose(sim, *at, |p| p.asked), spawn_failed(*permanent))
        }
        Step::Exited(at, code) => (choose(sim, *at, living), exited(*code)),
        Step::TreeEmpty(at) => (
            choose(sim, *at, |p| p.lives && p.exited),
            ProcessEvent::TreeEmpty,
        ),
        Step::Probed(at, purpose, how) => {
            let outcome = match how {
                0 => ProbeOutcome::Failed {
                    why: "503".to_owned(),
                },
                1 => ProbeOutcome::Ok {
                    port: PortOwner::Other(owner()),
                },
                2 => ProbeOutcome::Ok {
                    port: PortOwner::Unknown,
                },
                _ => ProbeOutcome::Ok {
                    port: PortOwner::Ours,
                },
            };
            let purpose = *purpose;
            (
                choose(sim, *at, |p| p.lives),
                ProcessEvent::Probed { purpose, outcome },
            )
        }
        Step::Drained(at) => {
            let drains: Vec<_> = sim.drains.iter().cloned().collect();
            let chosen = drains.get(at % drains.len().max(1));
            let chosen =
                chosen.map(|(service, generation)| (service.as_str().to_owned(), *generation));
            (chosen, ProcessEvent::Drained)
        }
        Step::Survivors(at) => (
            choose(sim, *at, |p| p.lives && p.termed),
            ProcessEvent::Survivors(vec![owner()]),
        ),
    };
    if let Some((service, generation)) = target {
        sim.step(process(&service, generation, event));
    }
}

fn port(sim: &Sim, at: usize) -> Option<(String, u64)> {
    let asked: Vec<_> = sim.ports.iter().collect();
    let (service, generation) = asked.get(at % asked.len().max(1))?;
    Some((service.as_str().to_owned(), *generation))
}

/// I13: what was applied once is applied.
fn apply_twice(sim: &mut Sim, shapes: &[Shape]) {
    let services = Services::new(specs(shapes)).unwrap();
    sim.command(Command::Apply(services.clone()));
    let again = sim.command(Command::Apply(services));
    assert_eq!(again, [], "I13");
}

/// I5, which the system checks: nothing happens.
fn stale(sim: &mut Sim, service: &str, generation: u64, what: u8) {
    let known = (service.into(), generation);
    let process_known = sim
        .processes
        .get(&known)
        .is_some_and(|p| p.asked || p.lives);
    if process_known || sim.ports.contains(&known) {
        return;
    }
    let event = match what {
        0 => ProcessEvent::TreeEmpty,
        1 => spawned(),
        2 => exited(1),
        3 => spawn_failed(true),
        4 => ProcessEvent::Drained,
        5 => probed(Purpose::Readiness, true),
        6 => ProcessEvent::PortFree,
        _ => ProcessEvent::Survivors(Vec::new()),
    };
    let living = sim.processes.clone();
    sim.step(process(service, generation, event));
    sim.processes = living;
}

/// Records are read before anything is started.
fn record(sim: &mut Sim, service: &str, generation: u64, alive: bool, ready: bool) {
    let fresh = sim
        .processes
        .keys()
        .all(|(name, _)| name.as_str() != service);
    if !fresh || sim.finished {
        return;
    }
    let spec = sim
        .machine
        .specs()
        .into_iter()
        .find(|spec| spec.name.as_str() == service);
    let found = match alive {
        true => Found::Alive {
            id: ProcessId {
                pid: 50,
                started: 1,
            },
            ready,
            fingerprint: spec.map_or(0, |spec| spec.fingerprint()),
        },
        false => Found::Stale {
            why: "another boot".to_owned(),
        },
    };
    let stands = sim.machine.status();
    let stands = stands.iter().find(|status| status.name.as_str() == service);
    let takes = stands.is_none_or(|status| {
        matches!(
            status.state,
            State::Stopped | State::Waiting { .. } | State::Exited { .. }
        )
    });
    if takes || !alive {
        sim.step(Event::Record {
            service: service.into(),
            generation,
            found,
        });
    }
}

/// I17: a system that does what it is asked brings everything to an end.
fn ends(sim: &mut Sim) {
    sim.command(Command::Shutdown { force: false });
    for _ in 0..500 {
        if sim.finished {
            break;
        }
        if !sim.oblige() && !sim.tick() {
            break;
        }
    }
    assert!(sim.finished, "I17: {:#?}", sim.machine.status());
    for status in sim.machine.status() {
        let ended = matches!(status.public, PublicState::Stopped | PublicState::Error);
        assert!(ended, "I17: {status:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_whatever_happens(
        shapes in shapes(),
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut sim = Sim::new(specs(&shapes));
        for step in &steps {
            happen(&mut sim, step);
        }
        // I15: the same events again give the same actions; I16: also at another time.
        let mut actions = Vec::new();
        let services = Services::new(specs(&shapes)).unwrap();
        let mut again = Supervisor::new(services, 7, &mut actions);
        for (now, event) in &sim.events {
            again.step(now + 1_000_000_007, event.clone(), &mut actions);
        }
        prop_assert_eq!(&actions, &sim.history);
        ends(&mut sim);
    }

    #[test]
    fn no_window_holds_more_restarts_than_it_may(
        lives in prop::collection::vec((0..30_000_u64, any::<bool>()), 1..80),
        max_restarts in 0..6_u32,
        seconds in 1..120_u64,
    ) {
        let mut only = spec("a");
        only.restart.max_restarts = max_restarts;
        only.restart.within = Duration::from_secs(seconds);
        let mut sim = Sim::new(vec![only]);
        sim.start();
        let mut recent: VecDeque<u64> = VecDeque::new();
        for (life, ready) in lives {
            sim.main("a", spawned());
            if ready {
                sim.main("a", probed(Purpose::Readiness, true));
            }
            sim.pass(life.min(59_000));
            sim.end("a", 1);
            let mut rested = false;
            while sim.state("a") != State::Starting {
                rested |= sim.public("a") == PublicState::Error;
                assert!(sim.tick());
            }
            if rested {
                continue;
            }
            // I10: this was a restart that counts.
            recent.push_back(sim.now);
            recent.retain(|at| sim.now - at < seconds * 1000);
            prop_assert!(recent.len() <= max_restarts as usize, "I10: {recent:?}");
        }
    }
}
