//! What the kernel has of the virtual addresses, and their announcements.

use super::{Output, RouterId, TimerKind, VrrpEngine, extra_period};
use crate::core::config::model::Family;
use crate::core::time::{Interval, Timestamp};
use crate::vrrp::desired::{self, DesiredAddress, RoutingEntry};
use crate::vrrp::event::{EventKind, Reason, State};
use crate::vrrp::losses::Remedy;
use std::collections::BTreeSet;

impl VrrpEngine {
    pub(super) fn handle_present(&mut self, now: Timestamp, present: &[DesiredAddress]) {
        let present: BTreeSet<&DesiredAddress> = present.iter().collect();
        for id in std::mem::take(&mut self.awaiting) {
            let Some(router) = self.routers.get_mut(&id) else {
                continue;
            };
            if router.state != State::Master {
                continue;
            }
            let there = router.addresses.iter().filter(|address| present.contains(address));
            let ours: Vec<DesiredAddress> = there.cloned().collect();
            let fresh: Vec<DesiredAddress> = ours
                .iter()
                .filter(|address| !router.schedule.is_confirmed(address))
                .cloned()
                .collect();
            let garp = router.instance.garp;
            let name = router.instance.name.clone();
            let announcements = router.schedule.appeared(now, &ours, &garp);
            if !fresh.is_empty() {
                router.schedule.set_extra(now, extra_period(&router.instance));
            }
            // The last ones come last.
            if !router.addresses.iter().rev().all(|address| router.schedule.is_confirmed(address)) {
                self.awaiting.insert(id);
            }
            for address in &fresh {
                let kind = EventKind::Announcing {
                    interface: address.interface.to_string(),
                    address: address.address.address,
                };
                self.log(&name, kind, None);
            }
            self.announce(now, id, announcements);
        }
    }

    /// Masters whose addresses these are wait for them, to announce them once more. Gives each with
    /// the first of them that it tracks.
    pub(super) fn forget(&mut self, gone: &[DesiredAddress]) -> Vec<(RouterId, Option<String>)> {
        let mut losers = Vec::new();
        for (id, router) in &mut self.routers {
            let held = |address: &&DesiredAddress| router.schedule.is_confirmed(address);
            let missed: Vec<DesiredAddress> = gone.iter().filter(held).cloned().collect();
            if router.state != State::Master || missed.is_empty() {
                continue;
            }
            let tracked = missed.iter().find(|address| !address.address.no_track);
            losers.push((*id, tracked.map(|address| address.address.address.to_string())));
            router.schedule.forget(&missed);
            self.awaiting.insert(*id);
            self.moved.insert(*id);
        }
        losers
    }

    /// Somebody else removed them. They come back at once, as long as that helps.
    pub(super) fn handle_lost(&mut self, now: Timestamp, lost: &[DesiredAddress]) {
        for (id, tracked) in self.forget(lost) {
            if let Some(what) = tracked {
                self.somebody_removed(now, id, &what);
            }
        }
    }

    /// The same for routes and rules.
    pub(super) fn handle_routing_lost(&mut self, now: Timestamp, lost: &[RoutingEntry]) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        for id in ids {
            let Some(router) = self.routers.get(&id) else {
                continue;
            };
            let missed = desired::routing(&router.instance)
                .filter(|_| router.state == State::Master)
                .find(|entry| entry.is_tracked() && lost.contains(entry));
            if let Some(what) = missed.map(|entry| entry.to_string()) {
                self.somebody_removed(now, id, &what);
            }
        }
    }

    fn somebody_removed(&mut self, now: Timestamp, id: RouterId, what: &str) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let (name, what) = (router.instance.name.clone(), what.to_owned());
        match router.losses.lost(now, router.skew()) {
            Remedy::AtOnce => self.log(&name, EventKind::Lost(what), None),
            Remedy::After(wait) => {
                self.log(&name, EventKind::LostAgain { what: what.clone(), wait }, None);
                self.take_back(now, id, &what, wait);
            }
        }
    }

    /// keepalived's way: say priority 0, and take it all back after a while (with keepalived, a skew
    /// time), unless a better router has it then.
    fn take_back(&mut self, now: Timestamp, id: RouterId, what: &str, wait: Interval) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let wait = wait.max(router.skew());
        let group = self.group_of(id).cloned();
        for member in self.members(id) {
            if self.state_of(member) != Some(State::Master) {
                continue;
            }
            self.resign(now, member);
            let reason = match &group {
                Some(group) if member != id => Reason::Group(group.name.clone()),
                Some(_) | None => Reason::Lost(what.to_owned()),
            };
            self.enter_backup(now, member, reason, None);
            self.timers.set((member, TimerKind::MasterDown), now + wait);
        }
        self.group_state_changed(id);
    }

    pub(super) fn announce(
        &mut self,
        now: Timestamp,
        id: RouterId,
        announcements: Vec<DesiredAddress>,
    ) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let garp = router.instance.garp;
        let next = router.schedule.next();
        for announcement in announcements {
            let interval = match Family::of(announcement.address.address) {
                Family::Inet => garp.interval,
                Family::Inet6 => garp.gna_interval,
            };
            self.pacer.add(announcement, interval);
        }
        while let Some(announcement) = self.pacer.pop(now) {
            self.outputs.push_back(Output::Announce(announcement));
        }
        match next {
            Some(at) => self.timers.set((id, TimerKind::Announce), at),
            None => self.timers.cancel(&(id, TimerKind::Announce)),
        }
    }

    pub(super) fn announce_due(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let garp = router.instance.garp;
        let mut due = router.schedule.due(now, &garp);
        let instance = &router.instance;
        let extra = router.schedule.extra_due(now, || desired::extra_announced(instance));
        // They come for ever: where the pause is too long for them, they must not pile up.
        due.extend(extra.into_iter().filter(|announcement| !self.pacer.has(announcement)));
        self.announce(now, id, due);
    }
}
