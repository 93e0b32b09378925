//! `slow_start`: a server that is back gets its weight step by step. The quorum counts the whole of
//! it from the beginning, and only the kernel's table sees the steps.

use super::{CheckEngine, CheckerId, ServerState, TimerKind};
use crate::core::time::Timestamp;

/// Until a server has its whole weight.
const STEPS: u32 = 10;

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp {
    begun: Timestamp,
    /// 1 at the beginning; there is no ramp any more at [`STEPS`].
    step: u32,
    /// The checker that lends its name to the timer.
    pub(super) timer: CheckerId,
}

impl ServerState {
    /// What the kernel should have while the server is up.
    pub(super) fn weight_now(&self) -> u32 {
        let step = self.ramp.map_or(STEPS, |ramp| ramp.step);
        let part = (u64::from(self.weight()) * u64::from(step)).div_ceil(STEPS.into());
        u32::try_from(part).unwrap_or(u32::MAX)
    }

    /// After a reload: a ramp goes on only as it was.
    pub(super) fn keep_ramp(&mut self, before: &Self) {
        let still = before.config.extras.slow_start == self.config.extras.slow_start;
        let lends = |ramp: &Ramp| self.checkers.iter().any(|checker| checker.id == ramp.timer);
        self.ramp = before.ramp.filter(|ramp| still && lends(ramp));
    }
}

impl CheckEngine {
    /// A server has come back by a result of this checker.
    pub(super) fn begin_ramp(&mut self, now: Timestamp, timer: CheckerId) {
        let Some(server) = self.server_of(timer) else { return };
        let length = server.config.extras.slow_start;
        if length.is_zero() {
            return;
        }
        let old = server.ramp.replace(Ramp { begun: now, step: 1, timer });
        if let Some(old) = old {
            self.timers.cancel(&(old.timer, TimerKind::Ramp));
        }
        let next = now + length.fraction(1, STEPS.into());
        self.timers.set((timer, TimerKind::Ramp), next);
        self.reweighed(timer);
    }

    /// The next step.
    pub(super) fn step_ramp(&mut self, timer: CheckerId) {
        let Some(server) = self.server_of(timer) else { return };
        let length = server.config.extras.slow_start;
        let Some(ramp) = server.ramp.as_mut().filter(|ramp| ramp.timer == timer) else { return };
        ramp.step += 1;
        let (begun, step) = (ramp.begun, ramp.step);
        if step >= STEPS || !server.up {
            server.ramp = None;
        } else {
            let next = begun + length.fraction(step.into(), STEPS.into());
            self.timers.set((timer, TimerKind::Ramp), next);
        }
        self.reweighed(timer);
    }

    fn reweighed(&mut self, id: CheckerId) {
        if let Some((service, ..)) = self.places.get(id) {
            self.changes.add(service);
        }
    }

    fn server_of(&mut self, id: CheckerId) -> Option<&mut ServerState> {
        let (service, server, _) = self.places.get(id)?;
        self.services.get_mut(service)?.servers.get_mut(server)
    }
}
