//! What an earlier supervisor left behind.

use std::sync::Arc;

use super::super::super::action::ProcessAction;
use super::super::super::event::Found;
use super::super::super::notice::What;
use super::super::super::spec::Gen;
use super::super::super::state::{State, Want, Why};
use super::super::instance::{Context, Instance};
use super::Service;

impl Service {
    pub(in super::super) fn record(
        &mut self,
        cx: &mut Context<'_>,
        generation: Gen,
        found: Found,
    ) -> bool {
        self.generation = self.generation.max(generation);
        let mut instance = Instance::new(Arc::clone(&self.spec), generation, State::Starting);
        match found {
            Found::Stale { why } => {
                instance.act(cx, ProcessAction::DeleteRecord);
                instance.tell(cx, What::StaleRecord { why });
                true
            }
            Found::Alive {
                id,
                ready,
                fingerprint,
            } => {
                if self.second.is_some()
                    || !self.can_take_over()
                    || self.main.alive() && self.main.generation == generation
                {
                    return false;
                }
                self.want = Want::Up;
                instance.adopt(cx, id, ready);
                self.take_over(cx, instance);
                if self.spec.overlap.holds_port() {
                    self.check_port(cx);
                }
                if self.removed {
                    self.stop(cx, false);
                } else if self.main.generation == generation
                    && fingerprint != self.spec.fingerprint()
                {
                    self.restart_because(cx, Why::Restart);
                }
                true
            }
        }
    }

    pub(super) fn can_take_over(&self) -> bool {
        self.main.is_up()
            || matches!(
                self.main.state,
                State::Stopped | State::Waiting { .. } | State::Exited { .. }
            )
    }

    /// Of two processes the newer one stays if it is ready, and the older one if it is not.
    pub(super) fn take_over(&mut self, cx: &mut Context<'_>, found: Instance) {
        if !self.main.is_up() {
            self.main = found;
            return;
        }
        let known = std::mem::replace(&mut self.main, found);
        let (older, newer) = match known.generation < self.main.generation {
            true => (known, self.main.clone()),
            false => (self.main.clone(), known),
        };
        let newer_stays = newer.is_ready() || !older.is_ready();
        let (stays, mut goes) = match newer_stays {
            true => (newer, older),
            false => (older, newer),
        };
        goes.stop(cx, Why::Replaced, false);
        self.main = stays;
        self.second = Some(goes);
    }
}
