//! What follows when a process is gone.

use super::super::super::Millis;
use super::super::super::event::ExitStatus;
use super::super::super::notice::What;
use super::super::super::spec::RestartPolicy;
use super::super::super::state::{Reason, State, Want, Why};
use super::super::instance::{Context, Instance};
use super::super::restart::Next;
use super::Service;

impl Service {
    pub(super) fn gone(&mut self, cx: &mut Context<'_>, is_second: bool) {
        if !is_second {
            return self.main_gone(cx);
        }
        if let Some(second) = self.second.take() {
            self.second_gone(cx, &second);
        }
    }

    pub(super) fn second_gone(&mut self, cx: &mut Context<'_>, second: &Instance) {
        let again = second.why() == Why::Restart;
        if (std::mem::take(&mut self.restart_again) || again) && self.want == Want::Up {
            self.restart_because(cx, Why::Restart);
        }
    }

    pub(super) fn main_gone(&mut self, cx: &mut Context<'_>) {
        let why = self.main.why();
        if let Some(second) = self.second.take() {
            let ended = std::mem::replace(&mut self.main, second);
            let replaced = self.main.why() == Why::Replaced && !self.main.is_up();
            self.last = Some(ended.clone());
            // If that was the process it had become, what follows has to wait for the old one.
            self.ended = replaced.then_some((why, ended));
            self.main.hurry(cx);
            return;
        }
        let (why, ended) = self.ended.take().unwrap_or((why, self.main.clone()));
        self.last = Some(ended);
        if self.want == Want::Down {
            return self.down(cx);
        }
        match why {
            Why::Command | Why::Restart | Why::DependencyLost | Why::Replaced => self.wait(cx),
            Why::Exit | Why::StartTimeout | Why::Liveness => self.ended_by_itself(cx, why),
        }
    }

    /// It ended, or was ended since it did not work: what its policy says follows.
    pub(super) fn ended_by_itself(&mut self, cx: &mut Context<'_>, why: Why) {
        let last = self.last.as_ref();
        let status = last.and_then(|last| last.exit);
        let status = status.unwrap_or(ExitStatus::Unknown);
        let success = why == Why::Exit && status.is_success(&self.spec.restart.success_codes);
        if !success {
            let complaint = last.and_then(|last| last.complaint.clone());
            self.last_error = Some(match (why, complaint) {
                (Why::Exit, _) => format!("it ended {status}"),
                (Why::StartTimeout, Some(why)) => format!("it was not ready in time: {why}"),
                (Why::StartTimeout, None) => "it was not ready in time".to_owned(),
                (_, Some(why)) => format!("it did not answer: {why}"),
                (_, None) => "it did not answer".to_owned(),
            });
        }
        match self.spec.restart.policy {
            RestartPolicy::Never => self.rest(cx, State::Exited { status }),
            RestartPolicy::OnFailure if success => self.rest(cx, State::Exited { status }),
            _ => self.back_off(cx),
        }
    }

    pub(super) fn back_off(&mut self, cx: &mut Context<'_>) {
        match self.restarts.failed(&self.spec.restart) {
            Next::After { delay: 0, .. } => self.restart_now(cx),
            Next::After { attempt, delay } => {
                let until = cx.now + delay;
                self.main.state = State::Backoff { until };
                self.main.deadline = Some(until);
                let delay_ms = delay;
                self.tell(cx, What::Backoff { attempt, delay_ms });
            }
            rest => self.crash_loop(cx, rest),
        }
    }

    pub(super) fn restart_now(&mut self, cx: &mut Context<'_>) {
        match self.restarts.restart(cx.now, &self.spec.restart) {
            None => self.wait(cx),
            Some(rest) => self.crash_loop(cx, rest),
        }
    }

    pub(super) fn crash_loop(&mut self, cx: &mut Context<'_>, next: Next) {
        let Next::Rest { restarts, cooldown } = next else {
            return;
        };
        let last = self.last.as_ref();
        let status = last.and_then(|last| last.exit);
        let last_lines = last.map(|last| last.last_lines.clone()).unwrap_or_default();
        let what = What::CrashLoop {
            restarts,
            retry_ms: cooldown,
            last_lines: last_lines.clone(),
        };
        self.tell(cx, what);
        let reason = Reason::CrashLoop {
            restarts,
            status,
            last_lines,
        };
        self.fail(cx, reason, cooldown.map(|cooldown| cx.now + cooldown));
    }

    pub(super) fn fail(&mut self, cx: &mut Context<'_>, reason: Reason, retry_at: Option<Millis>) {
        self.rest(cx, State::Error { reason, retry_at });
        self.main.deadline = retry_at;
    }

    pub(super) fn down(&mut self, cx: &mut Context<'_>) {
        self.rest(cx, State::Stopped);
    }

    /// There is no process, and none on its way: nobody shall wait at its port.
    pub(super) fn rest(&mut self, cx: &mut Context<'_>, state: State) {
        self.main.state = state;
        self.main.deadline = None;
        self.met = false;
        if self.spec.overlap.holds_port() || self.held.is_some() {
            self.release_port(cx);
        }
    }
}
