//! `ha_suspend`: a service whose addresses are elsewhere is not probed. What is known of its
//! servers stays as it was, and with it the table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{CheckEngine, Importance, Output, Probing, SOON, ServiceState};
use crate::core::netlink::nftables::marking::Range;
use crate::core::time::Timestamp;
use crate::ipvs::model::ServiceKey;

impl ServiceState {
    /// Whether it should be suspended on a host with these addresses. A service of marks only has
    /// no address that could be missing.
    fn belongs_elsewhere(&self, local: &BTreeSet<IpAddr>, marked: &BTreeSet<Range>) -> bool {
        let here = |key: &ServiceKey| match key {
            ServiceKey::Address { address, .. } => local.contains(address),
            ServiceKey::Fwmark { mark, .. } => {
                let mut ranges = marked.iter().filter(|range| range.mark == *mark).peekable();
                ranges.peek().is_none()
                    || ranges.any(|range| {
                        local.range(range.addresses.0..=range.addresses.1).next().is_some()
                    })
            }
        };
        self.config.ha_suspend && !self.keys.iter().any(here)
    }
}

impl CheckEngine {
    /// All addresses of this host.
    pub(super) fn set_local(&mut self, now: Timestamp, local: BTreeSet<IpAddr>) {
        self.local = Some(local);
        self.settle_suspension(now);
    }

    /// This host has got an address.
    pub(super) fn add_local(&mut self, now: Timestamp, address: IpAddr) {
        if self.local.as_mut().is_some_and(|local| local.insert(address)) {
            self.settle_suspension(now);
        }
    }

    /// This host has lost an address.
    pub(super) fn remove_local(&mut self, now: Timestamp, address: IpAddr) {
        if self.local.as_mut().is_some_and(|local| local.remove(&address)) {
            self.settle_suspension(now);
        }
    }

    /// Suspends and wakes services. Before the addresses are known, all of them are awake.
    pub(super) fn settle_suspension(&mut self, now: Timestamp) {
        for place in 0..self.services.len() {
            let Some(service) = self.services.get(place) else { continue };
            let suspend = self.local.as_ref();
            let suspend =
                suspend.is_some_and(|local| service.belongs_elsewhere(local, &self.marked));
            match (service.suspended, suspend) {
                (false, false) => continue,
                // Again for checkers that a reload has brought.
                (_, true) => self.suspend(place),
                (true, false) => self.wake(now, place),
            }
            let Some(service) = self.services.get_mut(place) else { continue };
            if std::mem::replace(&mut service.suspended, suspend) != suspend {
                self.tell_suspension(place);
            }
        }
    }

    fn suspend(&mut self, place: usize) {
        let Some(service) = self.services.get_mut(place) else { return };
        let servers = service.servers.iter_mut();
        for checker in servers.flat_map(|server| server.checkers.iter_mut()) {
            checker.due = None;
            if std::mem::replace(&mut checker.probing, Probing::No) != Probing::No {
                self.outputs.push_back(Output::CancelProbe(checker.id));
            }
        }
    }

    /// What is known may be old: the first probes come soon.
    fn wake(&mut self, now: Timestamp, place: usize) {
        let Some(service) = self.services.get(place) else { return };
        let servers = service.servers.iter();
        let checkers: Vec<_> = servers
            .flat_map(|server| &server.checkers)
            .map(|checker| (checker.id, checker.config.warmup.min(SOON)))
            .collect();
        for (id, spread) in checkers {
            let first = now + spread.fraction(self.chance(id), u64::from(u32::MAX));
            self.schedule(first, id);
        }
    }

    fn tell_suspension(&mut self, place: usize) {
        let Some(service) = self.services.get(place) else { return };
        let verb = if service.suspended { "Suspending" } else { "Activating" };
        let name = service.name();
        let mut lines = Vec::new();
        for server in &service.servers {
            let server_name = service.server_name(&server.config);
            let line = format!("{verb} healthchecker for service {server_name} for VS {name}");
            lines.extend(server.checkers.iter().map(|_| line.clone()));
        }
        for line in lines {
            self.log(Importance::Normal, line);
        }
    }
}
