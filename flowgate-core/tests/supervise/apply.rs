//! A change of the configuration: made whole or not at all, whatever fails and whenever.

use std::collections::BTreeMap;
use std::time::Duration;

use flowgate_core::supervise::{
    Action, Apply, ApplyAction, ApplyEvent, Command, FileStep, Journal, JournalPhase, Limits,
    Outcome, Overlap, ProcessEvent, Proposal, Purpose, Repair, Selection, ServiceSpec, Services,
    State,
};
use proptest::prelude::*;

use super::scenarios::spec;
use super::sim::*;

/// A change, the services it is about, and the files as they are on a disk that is made up.
struct World {
    apply: Apply,
    sim: Sim,
    disk: Disk,
    outcome: Option<Outcome>,
    /// Which batch of file steps fails, and at which of its steps.
    failing: Option<(usize, usize)>,
    batches: usize,
    heard: usize,
    /// The disk after each step, as a crash would find it.
    crashes: Vec<Disk>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Disk {
    journal: Option<Journal>,
    /// What stands in place: true if it is the new content.
    new: bool,
    staged: bool,
    /// A copy of the old content is there.
    before: bool,
}

impl Disk {
    fn take(&mut self, step: &FileStep) {
        match step {
            FileStep::WriteJournal(journal) => self.journal = Some(journal.clone()),
            FileStep::DeleteJournal => self.journal = None,
            FileStep::Stage => (self.staged, self.before) = (true, true),
            FileStep::Place => {
                assert!(
                    self.staged && self.before,
                    "nothing is placed that cannot be put back"
                );
                let phase = self.journal.as_ref().map(|journal| journal.phase);
                assert_eq!(phase, Some(JournalPhase::Placing));
                (self.new, self.staged) = (true, false);
            }
            FileStep::Restore => {
                if std::mem::take(&mut self.before) {
                    self.new = false;
                }
            }
            FileStep::Discard => (self.staged, self.before) = (false, false),
        }
    }

    /// What the next start makes of it; true if the change was made.
    fn repaired(mut self) -> bool {
        if let Some(journal) = self.journal.take() {
            if let Repair::Restore { .. } = journal.repair() {
                self.take(&FileStep::Restore);
            }
            self.take(&FileStep::Discard);
        }
        assert!(
            !self.staged && !self.before,
            "something lies about: {self:?}"
        );
        self.new
    }
}

fn overlapping(name: &str, port: u16) -> ServiceSpec {
    let mut spec = spec(name).with_port(port);
    spec.overlap = Overlap::Socket;
    spec
}

fn services(specs: Vec<ServiceSpec>) -> Services {
    Services::new(specs).unwrap()
}

impl World {
    /// Services that are ready, and a change of them and of one file that `readers` read.
    fn new(old: Vec<ServiceSpec>, new: Vec<ServiceSpec>, readers: &[&str]) -> Self {
        Self::failing(old, new, readers, None)
    }

    fn failing(
        old: Vec<ServiceSpec>,
        new: Vec<ServiceSpec>,
        readers: &[&str],
        failing: Option<(usize, usize)>,
    ) -> Self {
        let mut sim = Sim::new(old.clone());
        sim.start();
        for spec in &old {
            sim.bring_up(spec.name.as_str());
        }
        let mut actions = Vec::new();
        let apply = Apply::begin(Limits::default(), &mut actions);
        assert_eq!(actions, [ApplyAction::Compose]);
        let heard = sim.notices.len();
        let mut world = Self {
            apply,
            sim,
            disk: Disk::default(),
            outcome: None,
            failing,
            batches: 0,
            heard,
            crashes: Vec::new(),
        };
        world.step(ApplyEvent::Composed(Proposal {
            what: "profile b".to_owned(),
            files: vec!["/active.yaml".to_owned()],
            running: old.iter().map(|spec| spec.name.clone()).collect(),
            readers: readers.iter().map(|name| (*name).into()).collect(),
            old: services(old),
            new: services(new),
        }));
        world
    }

    fn step(&mut self, event: ApplyEvent) {
        let mut actions = Vec::new();
        self.apply.step(self.sim.now, event, &mut actions);
        for action in actions {
            match action {
                ApplyAction::Compose => panic!("composed twice"),
                ApplyAction::Files(steps) => self.files(&steps),
                ApplyAction::Command(command) => {
                    self.sim.command(command);
                }
                ApplyAction::Finished(outcome) => {
                    assert_eq!(self.outcome.replace(outcome), None, "it ends once");
                }
            }
        }
        self.tell();
    }

    fn files(&mut self, steps: &[FileStep]) {
        self.batches += 1;
        let fails = self.failing.filter(|(batch, _)| *batch == self.batches);
        for (index, step) in steps.iter().enumerate() {
            if fails.is_some_and(|(_, at)| at == index) {
                let why = "the disk is full".to_owned();
                return self.step(ApplyEvent::FilesFailed { why });
            }
            self.disk.take(step);
            self.crashes.push(self.disk.clone());
        }
        self.step(ApplyEvent::FilesDone);
    }

    /// What the supervisor said meanwhile.
    fn tell(&mut self) {
        while let Some(notice) = self.sim.notices.get(self.heard).cloned() {
            self.heard += 1;
            self.step(ApplyEvent::Notice(notice));
        }
    }

    fn second(&mut self, service: &str, event: ProcessEvent) {
        self.sim.second(service, event);
        self.tell();
    }

    fn main(&mut self, service: &str, event: ProcessEvent) {
        self.sim.main(service, event);
        self.tell();
    }

    fn pass(&mut self, time: u64) {
        let until = self.sim.now + time;
        loop {
            let next = [self.sim.machine.next_deadline(), self.apply.next_deadline()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.sim.now = self.sim.now.max(at);
            self.sim.step(flowgate_core::supervise::Event::Tick);
            self.tell();
            self.step(ApplyEvent::Tick);
        }
        self.sim.now = until;
    }

    fn committed(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Committed { .. }))
    }

    fn why(&self) -> &str {
        match &self.outcome {
            Some(Outcome::RolledBack { why, left: None }) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_switch_is_made_when_the_new_process_is_ready_and_stays_so() {
    let litellm = || vec![overlapping("litellm", 4000)];
    let mut world = World::new(litellm(), litellm(), &["litellm"]);
    assert!(world.disk.new && world.outcome.is_none());
    assert_eq!(
        world.apply.plan().to_string(),
        "replace  litellm  (a file that it reads changes)\n"
    );
    world.second("litellm", spawned());
    world.second("litellm", probed(Purpose::Readiness, true));
    world.pass(1_999);
    assert_eq!(world.outcome, None);
    world.pass(1);
    assert!(world.committed());
    assert_eq!(
        world.disk,
        Disk {
            new: true,
            ..Disk::default()
        }
    );
}

#[test]
fn a_new_process_that_fails_changes_nothing_and_the_old_one_never_stops() {
    let litellm = || vec![overlapping("litellm", 4000)];
    for way in 0..3 {
        let mut world = World::new(litellm(), litellm(), &["litellm"]);
        match way {
            0 => world.second("litellm", spawn_failed(true)),
            1 => {
                world.second("litellm", spawned());
                world.second("litellm", exited(1));
            }
            _ => {
                world.second("litellm", spawned());
                world.second("litellm", probed(Purpose::Readiness, false));
                world.pass(60_000);
            }
        }
        let whys = [
            "`litellm`: cannot start `/bin/x`: no such file",
            "`litellm`: it ended with code 1",
            "`litellm`: it was not ready within 60s: 503",
        ];
        assert_eq!(world.why(), whys[way]);
        assert_eq!(world.disk, Disk::default());
        let status = world.sim.status("litellm");
        assert_eq!((status.generation, status.state), (1, State::Ready));
        let restarts = world.sim.events.iter().filter(|(_, event)| {
            matches!(
                event,
                flowgate_core::supervise::Event::Command(Command::Restart(_))
            )
        });
        assert_eq!(restarts.count(), 1, "the old one is not touched");
    }
}

#[test]
fn a_new_process_that_fails_while_it_soaks_is_replaced_by_the_old_configuration() {
    let litellm = || vec![overlapping("litellm", 4000)];
    let mut world = World::new(litellm(), litellm(), &["litellm"]);
    world.second("litellm", spawned());
    world.second("litellm", probed(Purpose::Readiness, true));
    world.pass(1_000);
    world.main("litellm", exited(3));
    assert!(!world.disk.new && world.outcome.is_none());
    world.main("litellm", ProcessEvent::TreeEmpty);
    // The one that was replaced first.
    world.main("litellm", exited(0));
    world.main("litellm", ProcessEvent::TreeEmpty);
    world.main("litellm", spawned());
    world.main("litellm", probed(Purpose::Readiness, true));
    assert_eq!(world.why(), "`litellm` ended with code 3");
}

#[test]
fn a_service_that_cannot_overlap_is_brought_back_with_the_old_configuration() {
    let a = || vec![spec("a")];
    let mut world = World::new(a(), a(), &["a"]);
    assert_eq!(world.apply.plan().steps()[0].because.len(), 1);
    world.main("a", exited(0));
    world.main("a", ProcessEvent::TreeEmpty);
    world.main("a", spawned());
    world.main("a", exited(2));
    assert!(
        !world.disk.new,
        "the old configuration is back before the service is"
    );
    world.main("a", ProcessEvent::TreeEmpty);
    world.main("a", spawned());
    world.main("a", probed(Purpose::Readiness, true));
    assert_eq!(world.why(), "`a` ended with code 2");
}

#[test]
fn what_is_not_needed_any_more_goes_last_and_what_is_new_goes_with_a_failure() {
    let old = || vec![spec("same"), spec("gone")];
    let new = || vec![spec("same"), spec("new")];
    let mut world = World::new(old(), new(), &[]);
    assert_eq!(world.sim.state("gone"), State::Ready);
    world.main("new", spawned());
    world.main("new", probed(Purpose::Readiness, true));
    world.pass(2_000);
    assert!(world.committed());
    assert!(matches!(world.sim.state("gone"), State::Stopping { .. }));

    let mut world = World::new(old(), new(), &[]);
    world.main("new", spawn_failed(true));
    assert_eq!(
        world.why(),
        "`new` cannot be started: `/bin/x`: no such file"
    );
    assert_eq!(world.sim.state("gone"), State::Ready);
    let names: Vec<_> = world
        .sim
        .machine
        .status()
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(names, ["gone".into(), "same".into()]);

    // One whose port is needed has to go at once.
    let old = vec![spec("gone").with_port(1)];
    let world = World::new(old, vec![spec("new").with_port(1)], &[]);
    assert!(matches!(world.sim.state("gone"), State::Stopping { .. }));
}

#[test]
fn hot_settings_change_and_what_is_down_stays_down() {
    let mut changed = spec("a");
    changed.stop.timeout = Duration::from_secs(1);
    let world = World::new(vec![spec("a")], vec![changed], &[]);
    assert!(world.committed());
    assert_eq!(world.sim.state("a"), State::Ready);

    let mut actions = Vec::new();
    let mut apply = Apply::begin(Limits::default(), &mut actions);
    let proposal = Proposal {
        old: services(vec![spec("a")]),
        new: services(vec![spec("a")]),
        readers: ["a".into()].into(),
        ..Proposal::default()
    };
    actions.clear();
    apply.step(0, ApplyEvent::Composed(proposal), &mut actions);
    assert!(
        matches!(&actions[..], [ApplyAction::Finished(Outcome::Committed { plan })] if plan.is_empty())
    );
}

#[test]
fn a_disk_that_fails_at_any_step_leaves_the_old_or_says_what_it_left() {
    let litellm = || vec![overlapping("litellm", 4000)];
    for batch in 1..=2 {
        for step in 0..2 {
            let world = World::failing(litellm(), litellm(), &["litellm"], Some((batch, step)));
            assert_eq!(
                world.why(),
                "the disk is full",
                "batch {batch}, step {step}"
            );
            assert_eq!(world.disk, Disk::default());
            assert_eq!(world.sim.generation("litellm"), 1);
        }
    }
    // The third is the decision, which is not made then, or that of the way back.
    let mut world = World::failing(litellm(), litellm(), &["litellm"], Some((3, 0)));
    world.second("litellm", spawned());
    world.second("litellm", probed(Purpose::Readiness, true));
    world.pass(2_000);
    assert!(!world.disk.new && world.outcome.is_none());
    // What was decided stays, even if it cannot be tidied up.
    let mut world = World::failing(litellm(), litellm(), &["litellm"], Some((4, 0)));
    world.second("litellm", spawned());
    world.second("litellm", probed(Purpose::Readiness, true));
    world.pass(2_000);
    assert!(world.committed() && world.disk.repaired());
    for step in 0..3 {
        let mut world = World::failing(litellm(), litellm(), &["litellm"], Some((3, step)));
        world.second("litellm", spawn_failed(true));
        let Some(Outcome::RolledBack {
            left: Some(left), ..
        }) = &world.outcome
        else {
            panic!("{:?}", world.outcome);
        };
        assert_eq!(left, "the disk is full");
        assert!(!world.disk.clone().repaired(), "the next start repairs it");
    }
}

#[derive(Clone, Debug)]
enum Happens {
    Oblige,
    Ready(usize, bool),
    Exit(usize, i32),
    SpawnFails(usize),
    Pass(u64),
    Cancel,
    Command(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => Just(Happens::Oblige),
        6 => (0..8_usize, any::<bool>()).prop_map(|(at, ok)| Happens::Ready(at, ok)),
        2 => (0..8_usize, 0..2).prop_map(|(at, code)| Happens::Exit(at, code)),
        1 => (0..8_usize).prop_map(Happens::SpawnFails),
        3 => (0..30_000_u64).prop_map(Happens::Pass),
        1 => Just(Happens::Cancel),
        1 => (0..3_u8).prop_map(Happens::Command),
    ]
}

fn happen(world: &mut World, what: &Happens) {
    let living: Vec<_> = world
        .sim
        .processes
        .iter()
        .filter(|(_, process)| process.lives && !process.exited)
        .map(|((service, generation), _)| (service.as_str().to_owned(), *generation))
        .collect();
    let choose = |at: &usize| living.get(at % living.len().max(1)).cloned();
    let (target, event) = match what {
        Happens::Oblige => {
            world.sim.oblige();
            return world.tell();
        }
        Happens::Pass(time) => return world.pass(*time),
        Happens::Cancel => return world.step(ApplyEvent::Cancel),
        Happens::Command(which) => {
            let all = Selection::All;
            world.sim.command(match which {
                0 => Command::Stop(all),
                1 => Command::Start(all),
                _ => Command::Restart(all),
            });
            return world.tell();
        }
        Happens::Ready(at, ok) => (choose(at), probed(Purpose::Readiness, *ok)),
        Happens::Exit(at, code) => (choose(at), exited(*code)),
        Happens::SpawnFails(at) => {
            let asked: Vec<_> = world
                .sim
                .processes
                .iter()
                .filter(|(_, p)| p.asked)
                .collect();
            let chosen = asked.get(at % asked.len().max(1));
            let chosen =
                chosen.map(|((service, generation), _)| (service.as_str().to_owned(), *generation));
            (chosen, spawn_failed(true))
        }
    };
    if let Some((service, generation)) = target {
        world.sim.step(process(&service, generation, event));
        world.tell();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_change_ends_and_a_crash_at_any_step_leaves_all_or_nothing(
        overlap in any::<bool>(),
        change in any::<bool>(),
        failing in prop::option::weighted(0.2, (1..5_usize, 0..3_usize)),
        story in prop::collection::vec(happens(), 0..60),
    ) {
        let litellm = match overlap {
            true => overlapping("litellm", 4000),
            false => spec("litellm"),
        };
        let old = vec![litellm.clone(), spec("same"), spec("gone")];
        let mut changed = litellm;
        if change {
            changed.command.args.push("--more".to_owned());
        }
        let new = vec![changed, spec("same"), spec("new").needs("litellm")];
        let mut world = World::failing(old, new, &["litellm"], failing);
        for what in &story {
            happen(&mut world, what);
        }
        // It is over within its limits, whatever the services do.
        for _ in 0..200 {
            if world.outcome.is_none() {
                world.pass(5_000);
            }
        }
        let outcome = world.outcome.clone();
        prop_assert!(outcome.is_some() && world.apply.is_finished(), "{:?}", world.apply);
        let made = matches!(outcome, Some(Outcome::Committed { .. }));
        prop_assert_eq!(world.disk.clone().repaired(), made);
        // A crash finds the old or the new, and the new only once it was decided.
        let mut decided = false;
        for disk in world.crashes {
            let phase = disk.journal.as_ref().map(|journal| journal.phase);
            decided |= phase == Some(JournalPhase::Committing);
            prop_assert_eq!(disk.repaired(), decided);
        }
        let known: BTreeMap<_, _> = world.sim.machine.specs().into_iter().map(|s| (s.name.clone(), s)).collect();
        // Where the files could not be put back, the services are left alone.
        let left = matches!(outcome, Some(Outcome::RolledBack { left: Some(_), .. }));
        prop_assert!(left || known.contains_key("new") == made);
    }
}

#[test]
fn a_plan_that_is_applied_twice_is_empty_the_second_time() {
    let old = services(vec![spec("a"), spec("b")]);
    let new = services(vec![spec("a").with_port(9), spec("c")]);
    let mut actions = Vec::new();
    let mut machine = flowgate_core::supervise::Supervisor::new(old, 0, &mut actions);
    let command = Command::Apply(new.clone());
    machine.step(
        0,
        flowgate_core::supervise::Event::Command(command),
        &mut actions,
    );
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Emit(_)))
    );
    let now = services(machine.specs());
    assert!(
        flowgate_core::supervise::Plan::between(&now, &new).is_empty(),
        "I13"
    );
}
