//! Every event, and every pair of events, in every state.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use flowgate_core::supervise::{
    Command, Event, Gate, LivenessSpec, Overlap, Owner, Phase, Probe, ProcessEvent, Purpose,
    Reason, RestartPolicy, Selection, Services, State,
};

use super::scenarios::spec;
use super::sim::*;

/// The states, in the order of the documentation, each with a service `a` that is in it.
fn states() -> Vec<(&'static str, Sim)> {
    let mut a = spec("a").with_port(4000);
    a.liveness = Some(LivenessSpec {
        probe: Probe::Tcp { port: None },
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        failures: 2,
    });
    a.stop.drain = Some(flowgate_core::supervise::DrainSpec {
        hook: flowgate_core::supervise::DrainHook::Wait,
        timeout: Duration::from_millis(700),
    });
    let sim = || Sim::new(vec![a.clone(), spec("user").needs("a")]);
    let only_a = || named(&["a"]);
    let made = |make: &dyn Fn(&mut Sim)| {
        let mut sim = sim();
        make(&mut sim);
        sim
    };
    let up = |sim: &mut Sim| {
        sim.command(Command::Start(only_a()));
        sim.bring_up("a");
    };
    let starting = |sim: &mut Sim| {
        sim.command(Command::Start(only_a()));
        sim.main("a", ProcessEvent::PortFree);
        sim.main("a", spawned());
    };
    let stopping = |sim: &mut Sim| {
        up(sim);
        sim.command(Command::Stop(only_a()));
    };
    let overlap = |make: &dyn Fn(&mut Sim)| {
        let mut a = a.clone();
        a.overlap = Overlap::Socket;
        let mut sim = Sim::new(vec![a]);
        sim.start();
        sim.bring_up("a");
        sim.command(Command::Restart(Selection::All));
        make(&mut sim);
        sim
    };
    vec![
        ("Stopped", sim()),
        ("Waiting (dependencies)", {
            let mut sim = Sim::new(vec![spec("a").needs("b"), spec("b")]);
            sim.command(Command::Start(only_a()));
            sim
        }),
        (
            "Waiting (port)",
            made(&|sim| {
                sim.command(Command::Start(only_a()));
            }),
        ),
        (
            "Starting (no process)",
            made(&|sim| {
                sim.command(Command::Start(only_a()));
                sim.main("a", ProcessEvent::PortFree);
            }),
        ),
        ("Starting", made(&|sim| starting(sim))),
        ("Ready", made(&|sim| up(sim))),
        (
            "Unhealthy",
            made(&|sim| {
                up(sim);
                sim.main("a", probed(Purpose::Liveness, false));
            }),
        ),
        (
            "Stopping (wait)",
            made(&|sim| {
                sim.start();
                sim.bring_up("a");
                sim.bring_up("user");
                sim.command(Command::Stop(Selection::All));
            }),
        ),
        ("Stopping (drain)", made(&|sim| stopping(sim))),
        (
            "Stopping (term)",
            made(&|sim| {
                stopping(sim);
                sim.main("a", ProcessEvent::Drained);
            }),
        ),
        (
            "Stopping (sweep)",
            made(&|sim| {
                up(sim);
                sim.main("a", exited(1));
            }),
        ),
        (
            "Stopping (kill)",
            made(&|sim| {
                stopping(sim);
                sim.pass(3_700);
            }),
        ),
        (
            "Backoff",
            made(&|sim| {
                starting(sim);
                sim.end("a", 1);
            }),
        ),
        ("Exited", {
            let mut once = a.clone();
            once.restart.policy = RestartPolicy::Never;
            let mut sim = Sim::new(vec![once]);
            sim.start();
            sim.bring_up("a");
            sim.end("a", 0);
            sim
        }),
        (
            "Error",
            made(&|sim| {
                sim.command(Command::Start(only_a()));
                sim.main("a", ProcessEvent::PortFree);
                sim.main("a", spawn_failed(true));
            }),
        ),
        (
            "Error (unkillable)",
            made(&|sim| {
                stopping(sim);
                sim.pass(5_700);
            }),
        ),
        ("Ready, candidate without process", overlap(&|_| {})),
        (
            "Ready, candidate",
            overlap(&|sim| {
                sim.second("a", spawned());
            }),
        ),
        (
            "Ready, old one ending",
            overlap(&|sim| {
                sim.second("a", spawned());
                sim.second("a", probed(Purpose::Readiness, true));
            }),
        ),
    ]
}

/// How many states are in the table of the documentation: those of a service with one process.
const ALONE: usize = 16;

/// The events, in the order of the documentation.
fn events(sim: &Sim) -> Vec<(&'static str, Event)> {
    let generation = sim.generation("a");
    let of = |event| process("a", generation, event);
    let only_a = || named(&["a"]);
    let mut changed = sim.machine.specs();
    if let Some(first) = changed.first_mut() {
        first.command.args.push("changed".to_owned());
    }
    let survivors = vec![Owner {
        pid: 9,
        name: "a".to_owned(),
    }];
    vec![
        ("Start", Event::Command(Command::Start(only_a()))),
        ("Stop", Event::Command(Command::Stop(only_a()))),
        ("Restart", Event::Command(Command::Restart(only_a()))),
        (
            "Apply (changed)",
            Event::Command(Command::Apply(Services::new(changed).unwrap())),
        ),
        (
            "Apply (removed)",
            Event::Command(Command::Apply(Services::default())),
        ),
        (
            "Shutdown",
            Event::Command(Command::Shutdown { force: false }),
        ),
        (
            "Shutdown (force)",
            Event::Command(Command::Shutdown { force: true }),
        ),
        ("PortFree", of(ProcessEvent::PortFree)),
        ("PortBusy", of(ProcessEvent::PortBusy { owner: None })),
        ("Spawned", of(spawned())),
        ("SpawnFailed (permanent)", of(spawn_failed(true))),
        ("SpawnFailed (passing)", of(spawn_failed(false))),
        ("Probed (ready)", of(probed(Purpose::Readiness, true))),
        ("Probed (not ready)", of(probed(Purpose::Readiness, false))),
        ("Probed (alive)", of(probed(Purpose::Liveness, true))),
        ("Probed (not alive)", of(probed(Purpose::Liveness, false))),
        ("Drained", of(ProcessEvent::Drained)),
        ("Exited", of(exited(1))),
        ("TreeEmpty", of(ProcessEvent::TreeEmpty)),
        ("Survivors", of(ProcessEvent::Survivors(survivors))),
        ("Tick (deadline)", Event::Tick),
    ]
}

/// True if a system that keeps its promises can report it: a process ends once, and a question gets
/// one answer.
fn possible(sim: &Sim, event: &Event) -> bool {
    let Event::Process {
        service,
        generation,
        event,
    } = event
    else {
        return true;
    };
    let key = (service.clone(), *generation);
    let found = sim.processes.get(&key).cloned().unwrap_or_default();
    match event {
        ProcessEvent::Spawned(_) | ProcessEvent::SpawnFailed(_) => found.asked || !found.lives,
        ProcessEvent::Exited { .. } => !found.asked && !found.exited,
        ProcessEvent::TreeEmpty => !found.asked,
        ProcessEvent::Probed { .. } => !found.asked,
        _ => true,
    }
}

fn happen(sim: &mut Sim, event: &Event) {
    if *event == Event::Tick {
        sim.tick();
    } else {
        sim.step(event.clone());
    }
}

#[test]
fn every_pair_of_events_in_every_state_keeps_the_invariants() {
    let mut pairs = 0;
    for (_, sim) in states() {
        for (_, first) in events(&sim) {
            if !possible(&sim, &first) {
                continue;
            }
            let mut after_first = sim.clone();
            happen(&mut after_first, &first);
            let known = after_first.machine.status();
            if !known.iter().any(|status| status.name.as_str() == "a") {
                continue;
            }
            for (_, second) in events(&after_first).into_iter().chain(events(&sim)) {
                if !possible(&after_first, &second) {
                    continue;
                }
                let mut after_second = after_first.clone();
                happen(&mut after_second, &second);
                pairs += 1;
            }
        }
    }
    assert!(pairs > 6_000, "{pairs}");
}

fn name(sim: &Sim) -> String {
    let known = sim.machine.status();
    let Some(status) = known.iter().find(|status| status.name.as_str() == "a") else {
        return "gone".to_owned();
    };
    let asked = sim
        .processes
        .get(&("a".into(), status.generation))
        .is_some_and(|process| process.asked);
    let name = match &status.state {
        State::Stopped => "Stopped",
        State::Waiting {
            gate: Gate::Dependencies { .. },
        } => "Waiting (dependencies)",
        State::Waiting { .. } => "Waiting (port)",
        State::Starting if asked => "Starting (no process)",
        State::Starting => "Starting",
        State::Ready => "Ready",
        State::Unhealthy { .. } => "Unhealthy",
        State::Stopping { phase, .. } => match phase {
            Phase::Wait => "Stopping (wait)",
            Phase::Drain => "Stopping (drain)",
            Phase::Term => "Stopping (term)",
            Phase::Sweep => "Stopping (sweep)",
            Phase::Kill => "Stopping (kill)",
        },
        State::Backoff { .. } => "Backoff",
        State::Exited { .. } => "Exited",
        State::Error {
            reason: Reason::Unkillable { .. },
            ..
        } => "Error (unkillable)",
        State::Error { .. } => "Error",
    };
    name.to_owned()
}

/// What the table says of an event in a state: where it leads, `=` if it changes something within
/// the state, `·` if it is no event there.
fn cell(sim: &Sim, state: &str, event: &Event) -> String {
    let mut after = sim.clone();
    let before = after.machine.status();
    let deadline = after.machine.next_deadline();
    let acted = if *event == Event::Tick {
        after.tick();
        false
    } else {
        !after.step(event.clone()).is_empty()
    };
    // These two have no deadline; the one that comes is that of another service.
    let others = ["Waiting (dependencies)", "Stopping (wait)"].contains(&state);
    if *event == Event::Tick && others {
        return "·".to_owned();
    }
    let there = name(&after);
    let want = |sim: &Sim| {
        let all = sim.machine.status();
        all.iter()
            .find(|status| status.name.as_str() == "a")
            .map(|status| status.want)
    };
    match () {
        () if there != state => there,
        () if acted
            || before != after.machine.status()
            || deadline != after.machine.next_deadline() =>
        {
            match want(&after) == want(sim) {
                true => "=".to_owned(),
                false => format!("= {:?}", want(&after).unwrap()).to_lowercase(),
            }
        }
        () => "·".to_owned(),
    }
}

/// The table of the documentation, as the machine is.
fn table() -> String {
    let states = states();
    let states = &states[..ALONE];
    let mut rows: BTreeMap<usize, (&str, Vec<String>)> = BTreeMap::new();
    for (state, sim) in states {
        assert_eq!(name(sim), *state, "the state is what it is called");
        for (index, (event, what)) in events(sim).into_iter().enumerate() {
            let row = rows.entry(index).or_insert((event, Vec::new()));
            row.1.push(cell(sim, state, &what));
        }
    }
    let mut text = String::new();
    for (state, _) in states {
        let _ = write!(text, "| {state} ");
    }
    let head = format!("| event {text}|\n|{}\n", "---|".repeat(ALONE + 1));
    rows.into_values().fold(head, |mut table, (event, cells)| {
        let _ = writeln!(table, "| {event} | {} |", cells.join(" | "));
        table
    })
}

#[test]
fn the_documentation_has_the_table_of_the_machine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/supervise.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("<!-- table -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- end of table -->").unwrap();
    let table = table();
    if std::env::var_os("FLOWGATE_UPDATE").is_some() {
        let new = format!("{before}<!-- table -->\n{table}<!-- end of table -->{after}");
        std::fs::write(path, new).unwrap();
        return;
    }
    assert_eq!(
        found, table,
        "run with FLOWGATE_UPDATE=1 if the machine is right"
    );
}
