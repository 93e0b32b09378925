//! Adverts on their way out, and the timers.

use super::{Output, RouterId, SocketName, TimerKind, Transmit, VrrpEngine};
use crate::core::config::model::vrrp::Priority;
use crate::core::time::Timestamp;
use crate::vrrp::event::EventKind;

impl VrrpEngine {
    /// Sends an advert of the router's priority, or of the one given.
    pub(super) fn send_advert(&mut self, id: RouterId, priority: Option<Priority>) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let Some(source) = router.source() else {
            return;
        };
        let priority = priority.unwrap_or(router.priority);
        router.statistics.advert_sent += 1;
        for (destination, ttl) in router.destinations() {
            let message = router.advert(priority, source, destination);
            let (id, payload) = router.seal(source, destination, ttl, message);
            self.outputs.push_back(Output::Transmit(Transmit {
                instance: router.instance.name.clone(),
                socket: SocketName::of(&router.instance),
                source,
                destination,
                ttl,
                id,
                payload,
            }));
        }
    }

    pub(super) fn arm_advert(&mut self, now: Timestamp, id: RouterId) {
        if let Some(router) = self.routers.get(&id) {
            let at = now + router.instance.advert_interval;
            self.timers.set((id, TimerKind::Advert), at);
        }
    }

    /// An advert should have been sent at `due`.
    ///
    /// After a pause that was longer than the others' patience (a suspended machine, a stopped
    /// process), somebody else may be master: one interval is listened for it before anything is
    /// said. If nobody is there, this router was missed by nobody, or is master again at once.
    pub(super) fn advert_due(&mut self, now: Timestamp, due: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let late = now.since(due);
        router.statistics.advert_latest = router.statistics.advert_latest.max(late);
        let interval = router.instance.advert_interval;
        let patience = interval * u64::from(router.instance.down_timer_adverts.saturating_sub(1));
        if !router.listening && !patience.is_zero() && late >= patience {
            router.listening = true;
            let name = router.instance.name.clone();
            self.timers.set((id, TimerKind::Advert), now + interval);
            self.log(&name, EventKind::Listening { late }, None);
            return;
        }
        let was_away = std::mem::replace(&mut router.listening, false);
        let garp = router.instance.garp;
        let announcements = if was_away { router.schedule.again(now, &garp) } else { Vec::new() };
        self.send_advert(id, None);
        self.rearm_advert(now, due, id);
        self.announce(now, id, announcements);
    }

    /// From deadline to deadline, so that adverts do not drift; after a long delay from now on, so
    /// that they do not come in a burst.
    pub(super) fn rearm_advert(&mut self, now: Timestamp, due: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let interval = router.instance.advert_interval;
        let next = due + interval;
        let at = if now.since(due) < interval { next } else { now + interval };
        self.timers.set((id, TimerKind::Advert), at);
    }

    pub(super) fn disarm(&mut self, id: RouterId) {
        for kind in [TimerKind::MasterDown, TimerKind::Advert, TimerKind::Announce] {
            self.timers.cancel(&(id, kind));
        }
    }
}
