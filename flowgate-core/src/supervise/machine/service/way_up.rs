//! A service on its way up: what it waits for, its port, its process.

use std::sync::Arc;

use super::super::super::action::{Action, ProcessAction};
use super::super::super::event::{Owner, SpawnError};
use super::super::super::notice::What;
use super::super::super::spec::{OnPortConflict, ServiceId};
use super::super::super::state::{Gate, Reason, State, Why};
use super::super::Change;
use super::super::instance::{Context, Instance};
use super::{PORT_POLL, SPAWN_RETRY, Service, address, give_up};

impl Service {
    /// Waits for what it needs; nothing is known about that yet, nor about the port.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) {
        self.met = false;
        if self.held.is_some() && !self.can_overlap() {
            self.release_port(cx);
        }
        let services = Vec::new();
        let waiting = State::Waiting {
            gate: Gate::Dependencies { services },
        };
        self.main = Instance::new(Arc::clone(&self.spec), self.generation, waiting);
    }

    /// Some services it needs are not there.
    pub(super) fn waits_for(&mut self, cx: &mut Context<'_>, services: Vec<ServiceId>) {
        self.main.deadline = None;
        self.main.state = State::Waiting {
            gate: Gate::Dependencies {
                services: services.clone(),
            },
        };
        self.tell(cx, What::WaitingFor { services });
    }

    /// What other services mean to it.
    pub(in super::super) fn change(&mut self, cx: &mut Context<'_>, change: Change) {
        match change {
            Change::GoOn => self.main.go_on(cx),
            Change::Start => self.dependencies_met(cx),
            Change::Wait(services) => self.waits_for(cx, services),
            Change::Fail(service) => self.fail(cx, Reason::DependencyFailed { service }, None),
            Change::StartAgain => self.start(cx),
            Change::Met => self.met = true,
            Change::Restart => {
                self.met = true;
                self.restart_because(cx, Why::Restart);
            }
            Change::Lost => self.lose(cx),
        }
    }

    /// Whether it ended with success; `None` if it has not ended.
    pub(in super::super) fn completed(&self) -> Option<bool> {
        match self.main.state {
            State::Exited { status } => Some(status.is_success(&self.spec.restart.success_codes)),
            _ => None,
        }
    }

    /// Every service it needs is there.
    pub(super) fn dependencies_met(&mut self, cx: &mut Context<'_>) {
        self.met = true;
        self.generation += 1;
        self.main.generation = self.generation;
        if self.spec.port.is_none() || self.held.is_some() {
            self.main.spawn(cx);
            return;
        }
        self.main.state = State::Waiting {
            gate: Gate::Port { owner: None },
        };
        self.check_port(cx);
    }

    pub(super) fn check_port(&mut self, cx: &mut Context<'_>) {
        let Some(port) = self.spec.port else { return };
        let action = ProcessAction::CheckPort {
            host: self.spec.host.clone(),
            port,
            hold: self.spec.overlap.holds_port(),
        };
        self.main.act(cx, action);
    }

    pub(super) fn port_is_free(&mut self, cx: &mut Context<'_>) {
        self.hold_port();
        self.main.spawn(cx);
    }

    /// The port of a process that was taken over is held again.
    pub(super) fn port_is_back(&mut self, cx: &mut Context<'_>) {
        if self.spec.overlap.holds_port() && self.held.is_none() {
            self.hold_port();
            self.main.act(cx, ProcessAction::Handover { from: None });
        }
    }

    pub(super) fn hold_port(&mut self) {
        self.held = self.spec.overlap.holds_port().then(|| address(&self.spec));
    }

    pub(super) fn release_port(&mut self, cx: &mut Context<'_>) {
        self.held = None;
        cx.out.push(Action::ReleasePort {
            service: self.spec.name.clone(),
        });
    }

    pub(super) fn port_is_busy(&mut self, cx: &mut Context<'_>, owner: Option<Owner>) {
        let port = self.spec.port.unwrap_or_default();
        let known = State::Waiting {
            gate: Gate::Port {
                owner: owner.clone(),
            },
        };
        // The first answer, and one that differs.
        if self.main.state != known || self.main.complaint.is_none() {
            let holder = owner.as_ref();
            let holder = holder.map_or("another process".to_owned(), |owner| {
                format!("{} ({})", owner.name, owner.pid)
            });
            let message = format!("port {port} is taken by {holder}");
            self.main.complaint = Some(message.clone());
            self.last_error = Some(message);
            let owner = owner.clone();
            self.tell(cx, What::PortBusy { port, owner });
        }
        if self.spec.on_port_conflict == OnPortConflict::Fail {
            return self.fail(cx, Reason::PortBusy { port, owner }, None);
        }
        self.main.state = known;
        self.main.deadline = Some(cx.now + PORT_POLL);
    }

    pub(super) fn ready(&mut self, cx: &mut Context<'_>, is_second: bool) {
        if !is_second {
            self.main.ready(cx);
            if self.held.is_some() {
                self.main.act(cx, ProcessAction::Handover { from: None });
            }
            return;
        }
        let Some(mut new) = self.second.take() else {
            return;
        };
        new.ready(cx);
        let from = self.main.generation;
        new.act(cx, ProcessAction::Handover { from: Some(from) });
        new.tell(cx, What::HandedOver { from });
        let mut old = std::mem::replace(&mut self.main, new);
        if old.is_up() {
            old.stop(cx, Why::Replaced, false);
        } else if let State::Stopping { phase, .. } = old.state {
            old.state = State::Stopping {
                why: Why::Replaced,
                phase,
            };
        }
        self.second = Some(old);
    }

    pub(super) fn spawn_failed(
        &mut self,
        cx: &mut Context<'_>,
        is_second: bool,
        error: SpawnError,
    ) {
        let message = match &error.path {
            Some(path) => format!("cannot start `{path}`: {}", error.message),
            None => format!("cannot start: {}", error.message),
        };
        let what = What::SpawnFailed {
            error: error.clone(),
        };
        if is_second {
            if let Some(second) = self.second.take() {
                if second.is_up() {
                    give_up(&mut self.last_error, &second, cx, message);
                }
                second.tell(cx, what);
                self.second_gone(cx, &second);
            }
            return;
        }
        self.last_error = Some(message);
        self.main.tell(cx, what);
        if self.main.state != State::Starting {
            // It was to be stopped, and now there is nothing to stop.
            self.main_gone(cx);
        } else if error.permanent {
            let retry = (!self.spec.restart.give_up).then_some(cx.now + SPAWN_RETRY);
            self.fail(cx, Reason::SpawnFailed { error }, retry);
        } else {
            self.back_off(cx);
        }
    }
}
