//! Rivals: routers that go on sending adverts although this one is master and better.
//!
//! One advert of an outgoing master may cross ours; more than that means that the two do not hear
//! each other well, or that something else is wrong. The rival announces its addresses too, perhaps
//! after we have announced them for the last time, so the winner announces once more when it has
//! been silent for long enough to be gone.

use std::net::IpAddr;

use super::{RouterId, TimerKind, VrrpEngine};
use crate::core::config::model::vrrp::Priority;
use crate::core::time::Timestamp;
use crate::vrrp::event::{EventKind, State};
use crate::vrrp::packet::advert::Advert;

/// A router that is master beside us, as far as its adverts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its address.
    pub address: IpAddr,
    /// In its last advert.
    pub priority: Priority,
    /// When it was first heard.
    pub since: Timestamp,
    /// How many adverts came.
    pub adverts: u64,
}

impl VrrpEngine {
    /// A master has heard an advert that does not make it a backup.
    pub(super) fn rival_heard(
        &mut self,
        now: Timestamp,
        id: RouterId,
        address: IpAddr,
        found: &Advert,
    ) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let crossing = router.since.is_some_and(|since| now <= since + found.interval);
        if crossing {
            return;
        }
        router.statistics.rival_adverts += 1;
        let is_new = router.rival.is_none();
        let rival = router.rival.get_or_insert_with(|| {
            Box::new(Rival { address, priority: found.priority, since: now, adverts: 0 })
        });
        rival.adverts += 1;
        rival.priority = found.priority;
        let patience = found.interval * u64::from(router.instance.down_timer_adverts);
        self.timers.set((id, TimerKind::Rival), now + patience);
        if is_new {
            router.statistics.rivals += 1;
            let (name, ours) = (router.instance.name.clone(), router.priority);
            let kind = EventKind::RivalHeard { from: address, theirs: found.priority, ours };
            self.log(&name, kind, None);
        }
    }

    /// The rival has been silent for as long as a master may be.
    pub(super) fn rival_gone(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let Some(rival) = router.rival.take() else { return };
        if router.state != State::Master {
            return;
        }
        let garp = router.instance.garp;
        // Where nothing is announced because of others' adverts (strict mode), this is no reason either.
        let announcements = if garp.lower_priority_repeat == 0 {
            Vec::new()
        } else {
            router.schedule.again(now, &garp)
        };
        let name = router.instance.name.clone();
        let kind = EventKind::RivalGone {
            from: rival.address,
            adverts: rival.adverts,
            lasted: now.since(rival.since),
        };
        self.log(&name, kind, None);
        self.announce(now, id, announcements);
    }
}
