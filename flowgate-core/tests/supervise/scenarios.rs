//! What a service goes through, one story each.

use std::time::Duration;

use flowgate_core::supervise::{
    Action, Command, Condition, Dependency, DrainHook, DrainSpec, Event, Found, Gate, LivenessSpec,
    OnLoss, OnPortConflict, OnSupervisorExit, Overlap, Owner, Phase, PortOwner, Probe,
    ProbeOutcome, ProcessAction, ProcessEvent, ProcessId, PublicState, Purpose, Reason,
    RestartPolicy, Selection, ServiceSpec, Services, Signal, SignalTo, State, What, Why,
};

use super::sim::*;

fn one() -> Sim {
    let mut sim = Sim::new(vec![spec("a")]);
    sim.start();
    sim
}

pub(crate) fn spec(name: &str) -> ServiceSpec {
    let mut spec = ServiceSpec::new(name, [name]);
    spec.restart.jitter = 0.0;
    spec.stop.timeout = Duration::from_secs(3);
    spec
}

fn did(actions: &[Action], wanted: impl Fn(&ProcessAction) -> bool) -> bool {
    actions.iter().any(|action| match action {
        Action::Process { action, .. } => wanted(action),
        _ => false,
    })
}

fn told(sim: &Sim, name: &str) -> usize {
    let notices = sim.notices.iter();
    notices.filter(|notice| notice.what.name() == name).count()
}

#[test]
fn a_service_starts_is_ready_and_stops() {
    let mut sim = one();
    assert_eq!(sim.public("a"), PublicState::Starting);
    sim.bring_up("a");
    assert_eq!(sim.public("a"), PublicState::Running);
    let actions = sim.command(Command::Stop(Selection::All));
    let signals: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Process {
                action: ProcessAction::Signal { signal, to },
                ..
            } => Some((*signal, *to)),
            _ => None,
        })
        .collect();
    let group = SignalTo::Group;
    assert_eq!(signals, [(Signal::Term, group), (Signal::Cont, group)]);
    assert_eq!(sim.public("a"), PublicState::Stopping);
    sim.end("a", 0);
    assert_eq!(sim.public("a"), PublicState::Stopped);
    assert_eq!(sim.machine.next_deadline(), None);
}

#[test]
fn one_that_ignores_the_signal_is_killed_and_one_that_survives_that_is_an_error() {
    let mut sim = one();
    sim.bring_up("a");
    sim.command(Command::Stop(Selection::All));
    sim.pass(2_999);
    assert_eq!(
        sim.state("a"),
        State::Stopping {
            why: Why::Command,
            phase: Phase::Term
        }
    );
    sim.pass(1);
    assert_eq!(
        sim.state("a"),
        State::Stopping {
            why: Why::Command,
            phase: Phase::Kill
        }
    );
    let owner = Owner {
        pid: 100,
        name: "a".to_owned(),
    };
    sim.main("a", ProcessEvent::Survivors(vec![owner.clone()]));
    sim.pass(2_000);
    let survivors = vec![owner];
    let reason = Reason::Unkillable { survivors };
    let retry_at = None;
    assert_eq!(sim.state("a"), State::Error { reason, retry_at });
    // No other is started beside it, and asking for one kills it again.
    sim.start();
    assert_eq!(sim.public("a"), PublicState::Restarting);
    sim.end("a", 0);
    assert_eq!(sim.state("a"), State::Starting);
}

#[test]
fn what_a_crash_leaves_behind_is_gone_before_the_next_start() {
    let mut sim = one();
    sim.bring_up("a");
    let actions = sim.main("a", exited(1));
    assert!(did(&actions, |a| *a == ProcessAction::Sweep(Signal::Term)));
    sim.pass(500);
    let spawns = |sim: &Sim| told(sim, "service.spawned");
    assert_eq!(spawns(&sim), 1);
    sim.main("a", ProcessEvent::TreeEmpty);
    assert_eq!(sim.public("a"), PublicState::Restarting);
    sim.pass(100);
    assert_eq!(sim.state("a"), State::Starting);
}

#[test]
fn a_crash_after_a_good_while_is_answered_at_once_and_the_next_ones_later_and_later() {
    let mut sim = one();
    sim.bring_up("a");
    sim.pass(10_000);
    sim.end("a", 1);
    assert_eq!(sim.state("a"), State::Starting, "at once");
    for wait in [100, 200, 400, 800] {
        sim.main("a", spawned());
        sim.end("a", 1);
        assert!(matches!(sim.state("a"), State::Backoff { .. }));
        sim.pass(wait - 1);
        assert!(matches!(sim.state("a"), State::Backoff { .. }), "{wait}");
        sim.pass(1);
        assert_eq!(sim.state("a"), State::Starting);
    }
}

#[test]
fn a_crash_loop_ends_in_an_error_with_the_last_lines_and_comes_back_after_a_rest() {
    let mut sim = one();
    let begun = sim.now;
    let mut starts = 0;
    while sim.public("a") != PublicState::Error {
        starts += 1;
        sim.main("a", spawned());
        sim.end("a", 1);
        while matches!(sim.state("a"), State::Backoff { .. }) {
            sim.tick();
        }
    }
    assert_eq!((starts, sim.now - begun), (9, 51_100));
    let State::Error {
        reason:
            Reason::CrashLoop {
                restarts,
                last_lines,
                ..
            },
        retry_at: Some(retry_at),
    } = sim.state("a")
    else {
        panic!("{:?}", sim.state("a"));
    };
    assert_eq!((restarts, last_lines), (8, vec!["last words".to_owned()]));
    assert_eq!(retry_at - sim.now, 60_000);
    sim.tick();
    assert_eq!(sim.state("a"), State::Starting);
    sim.main("a", spawned());
    sim.end("a", 1);
    assert_eq!(sim.machine.next_deadline(), Some(sim.now + 120_000));
}

#[test]
fn what_ends_with_success_has_ended_if_the_policy_says_so() {
    let run = |policy, code| {
        let mut a = spec("a");
        a.restart.policy = policy;
        let mut sim = Sim::new(vec![a]);
        sim.start();
        sim.bring_up("a");
        sim.end("a", code);
        sim.public("a")
    };
    use PublicState::{Restarting, Stopped};
    assert_eq!(run(RestartPolicy::OnFailure, 0), Stopped);
    assert_eq!(run(RestartPolicy::OnFailure, 3), Restarting);
    assert_eq!(run(RestartPolicy::Never, 3), Stopped);
    assert_eq!(run(RestartPolicy::Always, 0), Restarting);
}

#[test]
fn a_program_that_is_not_there_is_an_error_at_once_and_tried_again_now_and_then() {
    let mut sim = one();
    sim.main("a", spawn_failed(true));
    assert_eq!(sim.public("a"), PublicState::Error);
    let error = sim.status("a").last_error.unwrap();
    assert_eq!(error, "cannot start `/bin/x`: no such file");
    sim.pass(29_999);
    assert_eq!(told(&sim, "service.spawn_failed"), 1);
    sim.pass(1);
    assert_eq!(sim.state("a"), State::Starting);
    sim.main("a", spawn_failed(false));
    assert!(matches!(sim.state("a"), State::Backoff { .. }));
}

#[test]
fn a_stop_during_a_start_or_a_wait_starts_nothing_later() {
    let mut sim = one();
    sim.command(Command::Stop(Selection::All));
    let actions = sim.main("a", spawned());
    assert!(did(&actions, |action| matches!(
        action,
        ProcessAction::Signal { .. }
    )));
    sim.end("a", 0);
    assert_eq!(sim.state("a"), State::Stopped);

    sim.start();
    sim.main("a", spawned());
    sim.end("a", 1);
    sim.command(Command::Stop(Selection::All));
    sim.pass(100_000);
    assert_eq!(sim.state("a"), State::Stopped);
}

#[test]
fn what_is_not_ready_in_time_is_started_again() {
    let mut sim = one();
    sim.main("a", spawned());
    sim.main("a", probed(Purpose::Readiness, false));
    sim.pass(60_000);
    assert_eq!(
        sim.state("a"),
        State::Stopping {
            why: Why::StartTimeout,
            phase: Phase::Term
        }
    );
    sim.end("a", 0);
    assert!(matches!(sim.state("a"), State::Backoff { .. }));
    assert_eq!(
        sim.status("a").last_error.unwrap(),
        "it was not ready in time: 503"
    );
}

#[test]
fn ready_means_that_the_port_is_its_own() {
    let mut sim = Sim::new(vec![spec("a").with_port(4000)]);
    sim.start();
    sim.main("a", ProcessEvent::PortFree);
    sim.main("a", spawned());
    let other = Owner {
        pid: 9,
        name: "python3".to_owned(),
    };
    let outcome = |port| ProcessEvent::Probed {
        purpose: Purpose::Readiness,
        outcome: ProbeOutcome::Ok { port },
    };
    sim.main("a", outcome(PortOwner::Other(other)));
    assert_eq!(sim.state("a"), State::Starting);
    let why = "what answers on port 4000 is another process: python3 (9)";
    assert_eq!(sim.status("a").last_error.unwrap(), why);
    sim.main("a", outcome(PortOwner::Ours));
    assert_eq!(sim.state("a"), State::Ready);
}

#[test]
fn a_taken_port_is_waited_for_and_its_owner_named() {
    let mut sim = Sim::new(vec![spec("a").with_port(4000)]);
    sim.start();
    let owner = Owner {
        pid: 9,
        name: "nginx".to_owned(),
    };
    for _ in 0..5 {
        let owner = Some(owner.clone());
        sim.main("a", ProcessEvent::PortBusy { owner });
        sim.pass(250);
    }
    assert_eq!(told(&sim, "service.port_busy"), 1);
    assert_eq!(
        sim.status("a").last_error.unwrap(),
        "port 4000 is taken by nginx (9)"
    );
    sim.main("a", ProcessEvent::PortFree);
    assert_eq!(sim.state("a"), State::Starting);
    assert_eq!(sim.status("a").restarts, 0);

    let mut fails = spec("a").with_port(4000);
    fails.on_port_conflict = OnPortConflict::Fail;
    let mut sim = Sim::new(vec![fails]);
    sim.start();
    sim.main("a", ProcessEvent::PortBusy { owner: None });
    assert_eq!(sim.public("a"), PublicState::Error);
}

#[test]
fn liveness_takes_so_many_failures_in_a_row() {
    let mut a = spec("a");
    a.liveness = Some(LivenessSpec {
        probe: Probe::Tcp { port: Some(1) },
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        failures: 3,
    });
    let mut sim = Sim::new(vec![a]);
    sim.start();
    sim.main("a", spawned());
    sim.main("a", probed(Purpose::Liveness, false));
    sim.main("a", probed(Purpose::Readiness, true));
    for _ in 0..2 {
        sim.main("a", probed(Purpose::Liveness, false));
    }
    assert_eq!(sim.state("a"), State::Unhealthy { failures: 2 });
    assert_eq!(sim.public("a"), PublicState::Running);
    sim.main("a", probed(Purpose::Liveness, true));
    assert_eq!(sim.state("a"), State::Ready);
    for _ in 0..3 {
        sim.main("a", probed(Purpose::Liveness, false));
    }
    assert_eq!(
        sim.state("a"),
        State::Stopping {
            why: Why::Liveness,
            phase: Phase::Term
        }
    );
    sim.end("a", 0);
    assert_eq!(sim.public("a"), PublicState::Restarting);
}

#[test]
fn a_drain_comes_before_the_signal_and_is_bounded() {
    let mut a = spec("a");
    a.stop.drain = Some(DrainSpec {
        hook: DrainHook::Http("/drain".to_owned()),
        timeout: Duration::from_millis(700),
    });
    let mut sim = Sim::new(vec![a]);
    for done in [true, false] {
        sim.start();
        sim.bring_up("a");
        let actions = sim.command(Command::Stop(Selection::All));
        assert!(did(&actions, |action| matches!(
            action,
            ProcessAction::Drain(DrainHook::Http(_))
        )));
        match done {
            true => drop(sim.main("a", ProcessEvent::Drained)),
            false => sim.pass(700),
        }
        assert_eq!(
            sim.state("a"),
            State::Stopping {
                why: Why::Command,
                phase: Phase::Term
            }
        );
        sim.end("a", 0);
    }
}

#[test]
fn services_start_in_the_order_of_their_needs_and_stop_the_other_way() {
    let mut sim = Sim::new(vec![
        spec("app").needs("db").needs("cache"),
        spec("db"),
        spec("cache"),
    ]);
    sim.command(Command::Start(named(&["app"])));
    assert_eq!(
        sim.state("app"),
        State::Waiting {
            gate: Gate::Dependencies {
                services: vec!["db".into(), "cache".into()]
            }
        }
    );
    sim.bring_up("db");
    sim.bring_up("cache");
    sim.bring_up("app");

    sim.command(Command::Stop(Selection::All));
    for name in ["db", "cache"] {
        assert_eq!(
            sim.state(name),
            State::Stopping {
                why: Why::Command,
                phase: Phase::Wait
            }
        );
    }
    sim.end("app", 0);
    assert_eq!(
        sim.state("db"),
        State::Stopping {
            why: Why::Command,
            phase: Phase::Term
        }
    );
    sim.end("db", 0);
    sim.end("cache", 0);
}

#[test]
fn a_job_must_complete_before_what_needs_it() {
    let mut migrate = spec("migrate");
    migrate.restart.policy = RestartPolicy::Never;
    let mut app = spec("app");
    app.depends_on = vec![Dependency {
        service: "migrate".into(),
        condition: Condition::Completed,
        on_loss: OnLoss::Ignore,
    }];
    let specs = vec![migrate, app];
    let mut sim = Sim::new(specs.clone());
    sim.start();
    sim.main("migrate", spawned());
    sim.end("migrate", 0);
    assert_eq!(sim.state("app"), State::Starting);

    let mut sim = Sim::new(specs);
    sim.start();
    sim.main("migrate", spawned());
    sim.end("migrate", 1);
    let reason = Reason::DependencyFailed {
        service: "migrate".into(),
    };
    let retry_at = None;
    assert_eq!(sim.state("app"), State::Error { reason, retry_at });
    sim.command(Command::Start(named(&["migrate"])));
    sim.main("migrate", spawned());
    sim.end("migrate", 0);
    assert_eq!(sim.state("app"), State::Starting);
}

#[test]
fn what_a_loss_means_is_for_each_to_say() {
    let lose = |on_loss| {
        let mut app = spec("app").needs("db");
        app.depends_on[0].on_loss = on_loss;
        let mut sim = Sim::new(vec![app, spec("db")]);
        sim.start();
        sim.bring_up("db");
        sim.bring_up("app");
        sim.main("db", exited(1));
        sim
    };
    let ends = |why| State::Stopping {
        why,
        phase: Phase::Term,
    };
    let mut ignores = lose(OnLoss::Ignore);
    assert_eq!(ignores.state("app"), State::Ready);
    let mut stops = lose(OnLoss::Stop);
    assert_eq!(stops.state("app"), ends(Why::DependencyLost));
    stops.end("app", 0);
    let mut restarts = lose(OnLoss::Restart);
    assert_eq!(restarts.state("app"), State::Ready);

    for sim in [&mut ignores, &mut stops, &mut restarts] {
        sim.main("db", ProcessEvent::TreeEmpty);
        sim.pass(100);
        sim.bring_up("db");
    }
    assert_eq!(ignores.state("app"), State::Ready);
    assert_eq!(stops.state("app"), State::Starting);
    assert_eq!(restarts.state("app"), ends(Why::Restart));
}

fn overlapping() -> Sim {
    let mut a = spec("a").with_port(4000);
    a.overlap = Overlap::Socket;
    let mut sim = Sim::new(vec![a]);
    sim.start();
    sim.bring_up("a");
    sim
}

#[test]
fn a_restart_that_overlaps_stops_the_old_one_when_the_new_one_is_ready() {
    let mut sim = overlapping();
    sim.command(Command::Restart(Selection::All));
    assert_eq!(sim.state("a"), State::Ready);
    sim.second("a", spawned());
    let actions = sim.second("a", probed(Purpose::Readiness, true));
    assert!(did(&actions, |action| *action
        == ProcessAction::Handover { from: Some(1) }));
    assert_eq!(
        (sim.generation("a"), sim.public("a")),
        (2, PublicState::Running)
    );
    sim.second("a", exited(0));
    sim.second("a", ProcessEvent::TreeEmpty);
    assert_eq!(sim.status("a").other, None);
    // At no time was there none.
    let states = sim
        .notices
        .iter()
        .filter(|n| matches!(n.what, What::State { .. }));
    assert_eq!(states.count(), 2);
}

#[test]
fn a_new_process_that_does_not_become_ready_leaves_the_old_one_alone() {
    let mut sim = overlapping();
    for _ in 0..3 {
        sim.command(Command::Restart(Selection::All));
        sim.second("a", spawned());
        sim.second("a", exited(1));
        sim.second("a", ProcessEvent::TreeEmpty);
        assert_eq!((sim.generation("a"), sim.state("a")), (1, State::Ready));
    }
    assert_eq!(
        sim.status("a").last_error.unwrap(),
        "the new process was given up: it ended with code 1"
    );
    sim.command(Command::Restart(Selection::All));
    sim.second("a", spawned());
    sim.pass(60_000);
    sim.second("a", exited(0));
    sim.second("a", ProcessEvent::TreeEmpty);
    sim.command(Command::Restart(Selection::All));
    sim.second("a", spawn_failed(true));
    assert_eq!(told(&sim, "service.rolled_back"), 5);
    assert_eq!((sim.generation("a"), sim.state("a")), (1, State::Ready));
}

#[test]
fn if_the_old_one_dies_while_the_new_one_starts_the_new_one_is_the_service() {
    let mut sim = overlapping();
    sim.command(Command::Restart(Selection::All));
    sim.second("a", spawned());
    sim.end("a", 1);
    assert_eq!((sim.generation("a"), sim.state("a")), (2, State::Starting));
    sim.main("a", probed(Purpose::Readiness, true));
    assert_eq!(sim.state("a"), State::Ready);
}

#[test]
fn if_the_new_one_dies_while_the_old_one_ends_the_next_waits_for_that() {
    let mut sim = overlapping();
    sim.command(Command::Restart(Selection::All));
    sim.second("a", spawned());
    sim.second("a", probed(Purpose::Readiness, true));
    sim.end("a", 1);
    assert_eq!(sim.public("a"), PublicState::Restarting);
    sim.end("a", 0);
    assert!(matches!(sim.state("a"), State::Backoff { .. }));
}

/// One that has just been replaced behind the forwarder.
fn replaced_behind_forwarder() -> Sim {
    let mut a = spec("a").with_port(4000);
    a.overlap = Overlap::Forward;
    let mut sim = Sim::new(vec![a]);
    sim.start();
    sim.bring_up("a");
    sim.command(Command::Restart(Selection::All));
    sim.second("a", spawned());
    let actions = sim.second("a", probed(Purpose::Readiness, true));
    assert!(!did(&actions, is_signal), "{actions:?}");
    assert_eq!(phase_of_second(&sim), Phase::Drain);
    sim
}

fn is_signal(action: &ProcessAction) -> bool {
    matches!(action, ProcessAction::Signal { .. })
}

fn phase_of_second(sim: &Sim) -> Phase {
    match sim.status("a").other.map(|other| other.state) {
        Some(State::Stopping { phase, .. }) => phase,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_was_replaced_behind_the_forwarder_hears_nothing_before_it_has_answered() {
    let mut sim = replaced_behind_forwarder();
    sim.pass(59_000);
    assert_eq!(phase_of_second(&sim), Phase::Drain);
    assert!(did(&sim.second("a", ProcessEvent::Drained), is_signal));
    assert_eq!(phase_of_second(&sim), Phase::Term);
}

#[test]
fn one_that_was_replaced_behind_the_forwarder_has_a_minute_to_answer() {
    let mut sim = replaced_behind_forwarder();
    sim.pass(60_000);
    assert_eq!(phase_of_second(&sim), Phase::Term);
}

#[test]
fn who_stops_a_service_does_not_wait_for_one_that_was_replaced_to_answer() {
    let mut sim = replaced_behind_forwarder();
    sim.command(Command::Stop(Selection::All));
    assert_eq!(phase_of_second(&sim), Phase::Term);
}

#[test]
fn if_the_new_one_dies_the_next_does_not_wait_for_the_old_one_to_answer() {
    let mut sim = replaced_behind_forwarder();
    sim.end("a", 1);
    let term = State::Stopping {
        why: Why::Replaced,
        phase: Phase::Term,
    };
    assert_eq!((sim.generation("a"), sim.state("a")), (1, term));
}

fn alive(ready: bool, spec: &ServiceSpec) -> Found {
    Found::Alive {
        id: ProcessId {
            pid: 77,
            started: 5,
        },
        ready,
        fingerprint: spec.fingerprint(),
    }
}

fn record(generation: u64, found: Found) -> Event {
    Event::Record {
        service: "a".into(),
        generation,
        found,
    }
}

#[test]
fn a_process_of_an_earlier_supervisor_is_taken_over() {
    let mut sim = Sim::new(vec![spec("a")]);
    let actions = sim.step(record(17, alive(true, &spec("a"))));
    assert!(did(&actions, |action| matches!(
        action,
        ProcessAction::Adopt(_)
    )));
    sim.start();
    assert_eq!((sim.generation("a"), sim.state("a")), (17, State::Ready));
    assert_eq!(told(&sim, "service.spawned"), 0);
    sim.end("a", 1);
    sim.pass(1000);
    assert_eq!(sim.generation("a"), 18);
}

#[test]
fn one_that_runs_what_is_not_configured_any_more_is_replaced_or_stopped() {
    let mut old = spec("a");
    old.command.args.push("--old".to_owned());
    let mut sim = Sim::new(vec![spec("a")]);
    sim.step(record(3, alive(true, &old)));
    assert_eq!(sim.public("a"), PublicState::Restarting);

    let mut sim = Sim::new(vec![spec("b")]);
    sim.step(record(3, alive(true, &old)));
    assert_eq!(sim.public("a"), PublicState::Stopping);
    sim.end("a", 0);
    assert_eq!(sim.machine.status().len(), 1);
}

#[test]
fn a_record_of_nobody_is_named_and_removed_and_nobody_is_signalled() {
    let mut sim = Sim::new(vec![spec("a")]);
    let why = "the process has another start time".to_owned();
    let actions = sim.step(record(17, Found::Stale { why }));
    assert!(did(&actions, |action| *action == ProcessAction::DeleteRecord));
    assert_eq!((actions.len(), told(&sim, "service.stale_record")), (2, 1));
    sim.start();
    assert_eq!(sim.generation("a"), 18);
}

#[test]
fn of_two_that_an_overlap_left_behind_the_ready_one_stays() {
    let overlap = || {
        let mut a = spec("a").with_port(4000);
        a.overlap = Overlap::Forward;
        a
    };
    for (older, newer, stays) in [(true, false, 1), (true, true, 2), (false, false, 2)] {
        for order in [[1, 2], [2, 1]] {
            let mut sim = Sim::new(vec![overlap()]);
            for generation in order {
                let ready = if generation == 1 { older } else { newer };
                sim.step(record(generation, alive(ready, &overlap())));
            }
            assert_eq!(sim.generation("a"), stays, "{older} {newer} {order:?}");
            let other = sim.status("a").other.unwrap();
            assert_eq!(other.generation, 3 - stays);
        }
    }
}

#[test]
fn a_shutdown_ends_everything_but_what_is_to_be_left() {
    let mut left = spec("left");
    left.on_supervisor_exit = OnSupervisorExit::Leave;
    let mut sim = Sim::new(vec![left, spec("a")]);
    sim.start();
    sim.bring_up("a");
    sim.bring_up("left");
    sim.command(Command::Shutdown { force: false });
    assert_eq!(told(&sim, "service.left_running"), 1);
    assert!(!sim.finished);
    sim.start();
    sim.end("a", 0);
    assert!(sim.finished && sim.machine.is_finished());

    let mut sim = one();
    sim.bring_up("a");
    sim.command(Command::Shutdown { force: false });
    let actions = sim.command(Command::Shutdown { force: true });
    assert!(did(&actions, |a| *a == ProcessAction::Sweep(Signal::Kill)));
}

#[test]
fn what_is_on_its_way_out_brings_up_nothing_that_it_needs() {
    let mut sim = Sim::new(vec![spec("a"), spec("b").needs("a")]);
    sim.start();
    sim.bring_up("a");
    sim.bring_up("b");
    sim.command(Command::Stop(Selection::All));
    sim.command(Command::Apply(Services::new(vec![spec("a")]).unwrap()));
    for command in [
        Command::Start(named(&["b"])),
        Command::Restart(named(&["b"])),
    ] {
        sim.command(command);
        assert_eq!(sim.public("b"), PublicState::Stopping);
    }
    sim.end("b", 0);
    sim.end("a", 0);
    assert_eq!(sim.state("a"), State::Stopped);
}

#[test]
fn a_changed_configuration_touches_what_it_changes() {
    let mut sim = Sim::new(vec![spec("same"), spec("gone"), spec("changed")]);
    sim.start();
    for name in ["same", "gone", "changed"] {
        sim.bring_up(name);
    }
    let mut hot = spec("same");
    hot.stop.timeout = Duration::from_secs(1);
    let mut changed = spec("changed");
    changed.command.args.push("--more".to_owned());
    let new = Services::new(vec![hot, changed, spec("new")]).unwrap();
    sim.command(Command::Apply(new.clone()));
    assert_eq!(sim.state("same"), State::Ready);
    assert_eq!(sim.public("gone"), PublicState::Stopping);
    assert_eq!(sim.public("changed"), PublicState::Restarting);
    assert_eq!(sim.state("new"), State::Starting);
    assert_eq!(told(&sim, "service.reconfigured"), 1);
    assert_eq!(sim.command(Command::Apply(new)), []);
    sim.end("gone", 0);
    assert_eq!(told(&sim, "service.removed"), 1);
    sim.command(Command::Stop(named(&["same"])));
    sim.pass(1_000);
    assert_eq!(
        sim.state("same"),
        State::Stopping {
            why: Why::Command,
            phase: Phase::Kill
        }
    );
}
