//! What the kernel has of the virtual addresses, and their announcements.

use super::{Output, RouterId, TimerKind, VrrpEngine, extra_period};
use crate::core::config::model::Family;
use crate::core::time::Timestamp;
use crate::vrrp::desired::{self, DesiredAddress, RoutingEntry};
use crate::vrrp::event::{EventKind, Reason, State};
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
            if ours.len() < router.addresses.len() {
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

    /// keepalived's way: say priority 0, wait a skew time, take it all back.
    pub(super) fn handle_lost(&mut self, now: Timestamp, lost: &[DesiredAddress]) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        for id in ids {
            let Some(router) = self.routers.get(&id) else {
                continue;
            };
            let missed = lost.iter().find(|address| {
                router.state == State::Master
                    && !address.address.no_track
                    && router.schedule.is_confirmed(address)
            });
            if let Some(what) = missed.map(|address| address.address.address.to_string()) {
                self.take_back(now, id, &what);
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
                self.take_back(now, id, &what);
            }
        }
    }

    fn take_back(&mut self, now: Timestamp, id: RouterId, what: &str) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let group = self.group_of(id);
        self.log(&name, EventKind::Lost(what.to_owned()), None);
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
            if let Some(router) = self.routers.get(&member) {
                let at = now + router.skew();
                self.timers.set((member, TimerKind::MasterDown), at);
            }
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
