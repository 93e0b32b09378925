//! Faults and priorities, worked out from what is known of links and scripts.

use super::{LinkState, Output, RouterId, TimerKind, VrrpEngine, tracked_source};
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::vrrp::{TrackEffect, Transport};
use crate::core::time::Timestamp;
use crate::vrrp::event::{EventKind, Fault, Notice, Reason, State, Subject};
use crate::vrrp::priority::{self};
use crate::vrrp::router::skew;
use std::collections::{BTreeMap, BTreeSet};

impl VrrpEngine {
    /// Works out faults and priorities of all routers from what is known now, and acts on changes.
    pub(super) fn review(&mut self, now: Timestamp) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        let mut own: BTreeMap<RouterId, BTreeSet<Fault>> = BTreeMap::new();
        for id in &ids {
            let (faults, waiting) = self.own_faults(*id);
            own.insert(*id, faults);
            if let Some(router) = self.routers.get_mut(id) {
                router.waiting_for = waiting;
                let family = router.instance.family;
                let ipvlan = match &router.instance.virtual_link {
                    Some(VirtualLink::Ipvlan(ipvlan)) => ipvlan.address.map(|found| found.0),
                    Some(VirtualLink::Vmac(_)) | None => None,
                };
                router.primary = ipvlan.or_else(|| {
                    let interface = router.instance.interface.as_ref()?;
                    self.own.get(interface)?.of(family)
                });
            }
        }
        let mut moved = Vec::new();
        for id in &ids {
            let mut faults = own.get(id).cloned().unwrap_or_default();
            if let Some(group) = self.group_of(*id) {
                let others = self.members(*id);
                let broken = |member: &RouterId| {
                    member != id && own.get(member).is_some_and(|faults| !faults.is_empty())
                };
                if others.iter().any(broken) {
                    faults.insert(Fault::Group(group.name.clone()));
                }
            }
            if self.set_faults(now, *id, &faults) {
                moved.push(*id);
            }
        }
        // A group is told of after its members.
        for id in moved {
            self.group_state_changed(id);
        }
        for id in &ids {
            self.set_priority(*id);
        }
        for id in ids {
            let ready = self.routers.get(&id).is_some_and(|router| {
                router.state == State::Init
                    && router.waiting_for.is_empty()
                    && router.since.is_none()
            });
            // A router that waited for a script begins as soon as that has spoken.
            if ready && self.started {
                self.begin(now, id);
            }
        }
    }

    pub(super) fn own_faults(&self, id: RouterId) -> (BTreeSet<Fault>, BTreeSet<String>) {
        let (mut faults, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        let Some(router) = self.routers.get(&id) else {
            return (faults, waiting);
        };
        let instance = &router.instance;
        if let Some(interface) = instance.interface.as_ref().or(instance.vrf.as_ref()) {
            match self.links.state(interface) {
                None | Some(LinkState::Absent) => {
                    faults.insert(Fault::InterfaceMissing(interface.clone()));
                }
                Some(LinkState::Down) if !instance.dont_track_primary => {
                    faults.insert(Fault::InterfaceDown(interface.clone()));
                }
                Some(LinkState::Up | LinkState::Down) => {}
            }
            let primary = self.own.get(interface).and_then(|own| own.of(instance.family));
            if instance.source.is_none() && primary.is_none() {
                faults.insert(Fault::NoSource);
            }
        }
        // Its carrier is that of the interface beneath.
        if let Some(link) = &instance.virtual_link
            && matches!(self.links.state(link.name()), None | Some(LinkState::Absent))
        {
            faults.insert(Fault::InterfaceMissing(link.name().to_owned()));
        }
        if let Some(place) = tracked_source(instance)
            && self.missing_sources.contains(&place)
        {
            faults.insert(Fault::SourceMissing(place.1));
        }
        if self.deaf.contains(&router.socket) {
            faults.insert(Fault::NoSocket);
        }
        if instance.fault_without_peer
            && matches!(&instance.transport, Transport::Unicast { peers, .. } if peers.is_empty())
        {
            faults.insert(Fault::NoPeer);
        }
        if let Some(hmac) = instance.hmac.as_ref().filter(|hmac| hmac.signs())
            && hmac.secret(hmac.active_key).is_none()
        {
            faults.insert(Fault::NoKey(hmac.active_key));
        }
        for name in &instance.needed_interfaces {
            match self.links.state(name) {
                None | Some(LinkState::Absent) => {
                    faults.insert(Fault::InterfaceMissing(name.clone()));
                }
                Some(LinkState::Down) => {
                    faults.insert(Fault::InterfaceDown(name.clone()));
                }
                Some(LinkState::Up) => {}
            }
        }
        let group = self.group_of(id);
        let group_links = group.iter().flat_map(|group| &group.track_interfaces);
        for tracked in instance.track_interfaces.iter().chain(group_links) {
            let good = self.link_is_up(&tracked.name);
            if priority::is_fault(tracked.effect, good) {
                faults.insert(Fault::InterfaceDown(tracked.name.clone()));
            }
        }
        let group_scripts = group.iter().flat_map(|group| &group.track_scripts);
        for tracked in instance.track_scripts.iter().chain(group_scripts) {
            let result = if router.resumed {
                self.scripts.get(&tracked.name).copied()
            } else {
                self.script_is_good(&tracked.name)
            };
            match result {
                Some(good) if priority::is_fault(tracked.effect, good) => {
                    faults.insert(Fault::Script(tracked.name.clone()));
                }
                Some(_) => {}
                None => match tracked.effect {
                    TrackEffect::Fault | TrackEffect::FaultWhenGood => {
                        waiting.insert(tracked.name.clone());
                    }
                    TrackEffect::Weight(_) => {}
                },
            }
        }
        let group_files = group.iter().flat_map(|group| &group.track_files);
        for tracked in instance.track_files.iter().chain(group_files) {
            match self.files.get(&tracked.name) {
                Some(value) if priority::file_is_fault(tracked.effect, *value) => {
                    faults.insert(Fault::File(tracked.name.clone()));
                }
                Some(_) => {}
                // Its first number comes at once.
                None => {
                    waiting.insert(tracked.name.clone());
                }
            }
        }
        let group_processes = group.iter().flat_map(|group| &group.track_processes);
        for tracked in instance.track_processes.iter().chain(group_processes) {
            match self.processes.get(&tracked.name) {
                Some(good) if priority::is_fault(tracked.effect, *good) => {
                    faults.insert(Fault::Process(tracked.name.clone()));
                }
                Some(_) => {}
                None => {
                    waiting.insert(tracked.name.clone());
                }
            }
        }
        let group_sessions = group.iter().flat_map(|group| &group.track_bfd);
        for tracked in instance.track_bfd.iter().chain(group_sessions) {
            match self.sessions.get(&tracked.name) {
                Some(up) if priority::is_fault(tracked.effect, *up) => {
                    faults.insert(Fault::Bfd(tracked.name.clone()));
                }
                Some(_) => {}
                // It is told when the session has had its time to come up. keepalived begins with
                // FAULT, and a master that is started again for an upgrade falls for no reason.
                None => {
                    waiting.insert(tracked.name.clone());
                }
            }
        }
        (faults, waiting)
    }

    pub(super) fn link_is_up(&self, name: &str) -> bool {
        self.links.state(name) == Some(LinkState::Up)
    }

    pub(super) fn script_is_good(&self, name: &str) -> Option<bool> {
        let initially = self.initially_bad.contains(name).then_some(false);
        self.scripts.get(name).copied().or(initially)
    }

    /// Gives whether the router has left or entered FAULT.
    pub(super) fn set_faults(
        &mut self,
        now: Timestamp,
        id: RouterId,
        faults: &BTreeSet<Fault>,
    ) -> bool {
        let Some(router) = self.routers.get_mut(&id) else {
            return false;
        };
        let old = std::mem::replace(&mut router.faults, faults.clone());
        let (state, name) = (router.state, router.instance.name.clone());
        if state == State::Init || old == *faults {
            return false;
        }
        for fault in faults.difference(&old) {
            self.log(&name, EventKind::FaultFound(fault.clone()), None);
        }
        for fault in old.difference(faults) {
            self.log(&name, EventKind::FaultGone(fault.clone()), None);
        }
        match (state, faults.first()) {
            (State::Backup | State::Master, Some(fault)) => {
                self.enter_fault(now, id, Reason::Fault(fault.clone()));
                true
            }
            (State::Fault, None) => {
                self.enter_backup(now, id, Reason::Recovered, None);
                if let Some(router) = self.routers.get_mut(&id) {
                    let delay = router.preempt_delay();
                    router.preempt_at = (!delay.is_zero()).then(|| now + delay);
                }
                true
            }
            (State::Init | State::Fault, Some(_))
            | (State::Init | State::Backup | State::Master, None) => false,
        }
    }

    pub(super) fn set_priority(&mut self, id: RouterId) {
        let former_unit =
            self.routers.get_mut(&id).and_then(|router| router.former_skew_unit.take());
        let group = self.group_of(id);
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let instance = &router.instance;
        let own = group.as_ref().is_none_or(|group| group.tracking_weight);
        // Else a process that goes on as master would be a lower one until its scripts have spoken.
        let goes_on = router.resumed.then_some(true);
        let links = instance
            .track_interfaces
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_interfaces))
            .filter(|tracked| !instance.needed_interfaces.contains(&tracked.name))
            .map(|tracked| (tracked.effect, Some(self.link_is_up(&tracked.name))));
        let scripts = instance
            .track_scripts
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_scripts))
            .map(|tracked| {
                let result = self.scripts.get(&tracked.name).copied().or(goes_on);
                (tracked.effect, result.or_else(|| self.script_is_good(&tracked.name)))
            });
        let processes = instance
            .track_processes
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_processes))
            .map(|tracked| {
                (tracked.effect, self.processes.get(&tracked.name).copied().or(goes_on))
            });
        let files = instance
            .track_files
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_files))
            .filter_map(|tracked| Some((tracked.effect, *self.files.get(&tracked.name)?)));
        let sessions = instance
            .track_bfd
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_bfd))
            .map(|tracked| (tracked.effect, self.sessions.get(&tracked.name).copied().or(goes_on)));
        let tracked = links.chain(scripts).chain(processes).chain(sessions);
        let new = priority::effective(instance.priority, tracked, files);
        let (old, name) = (router.priority, instance.name.clone());
        let (state, tells) = (router.state, instance.notify_priority_changes);
        let any = instance.notify.any.clone();
        if old == new {
            return;
        }
        if let Some(router) = self.routers.get_mut(&id) {
            router.priority = new;
            // A wait that has begun is as long as it would be now: it ends with the skew. Where a reload
            // has changed the interval too, this wait is still one of the old interval.
            let unit = former_unit.unwrap_or_else(|| router.skew_unit());
            let key = (id, TimerKind::MasterDown);
            if let Some(at) = self.timers.get(&key) {
                self.timers.set(key, at.before(skew(unit, old)) + skew(unit, new));
            }
        }
        self.log(&name, EventKind::PriorityChanged { from: old, to: new }, None);
        let what = match state {
            State::Master => "MASTER_PRIORITY",
            State::Backup => "BACKUP_PRIORITY",
            State::Init | State::Fault => return,
        };
        if tells {
            self.outputs.push_back(Output::Notify(Notice {
                subject: Subject::Instance,
                name,
                state: what,
                priority: new,
                script: None,
                any,
                mail: false,
            }));
        }
    }
}
