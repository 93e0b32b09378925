//! Spaces announcements by `garp_interval` and `gna_interval`: on each physical interface, or over all
//! interfaces of a `garp_group`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::desired::DesiredAddress;
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::VrrpConfig;
use crate::core::time::{Interval, Timestamp};

/// Announcements that may wait for their turn in one queue.
const LONGEST_QUEUE: usize = 65_536;

/// The queues.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    wires: Wires,
    waiting: BTreeMap<(Wire, Family), Line>,
}

/// What announcements share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    /// A physical interface, with the virtual ones over it.
    Interface(Arc<str>),
    /// A `garp_group`, by its place in the file.
    Group(usize),
}

/// Which wire an interface is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wires {
    /// Of virtual interfaces: what is beneath.
    bases: BTreeMap<Arc<str>, Arc<str>>,
    /// Of physical interfaces: their group.
    groups: BTreeMap<Arc<str>, usize>,
    /// The pauses of each group.
    pauses: Vec<BTreeMap<Family, Interval>>,
}

impl Wires {
    fn of(config: &VrrpConfig) -> Self {
        let own = config.instances.iter().filter_map(|instance| {
            let link = instance.virtual_link.as_ref()?;
            Some((link.name(), instance.interface.as_deref()?))
        });
        let of_addresses = config.instances.iter().flat_map(|instance| {
            instance.address_links.iter().map(|link| (link.vmac.name.as_str(), link.base.as_str()))
        });
        let groups = config.garp_groups.iter().enumerate().flat_map(|(place, group)| {
            group.interfaces.iter().map(move |name| (name.as_str().into(), place))
        });
        let pauses = config.garp_groups.iter().map(|group| {
            let inet = group.garp_interval.map(|pause| (Family::Inet, pause));
            let inet6 = group.gna_interval.map(|pause| (Family::Inet6, pause));
            inet.into_iter().chain(inet6).collect()
        });
        Self {
            bases: own.chain(of_addresses).map(|(name, base)| (name.into(), base.into())).collect(),
            groups: groups.collect(),
            pauses: pauses.collect(),
        }
    }

    fn wire(&self, interface: &Arc<str>) -> Wire {
        let physical = self.bases.get(interface).unwrap_or(interface);
        match self.groups.get(physical) {
            Some(group) => Wire::Group(*group),
            None => Wire::Interface(physical.clone()),
        }
    }

    /// The pause of the wire; `usual` where its group has none for the family.
    fn pause(&self, wire: &Wire, family: Family, usual: Interval) -> Interval {
        match wire {
            Wire::Interface(_) => usual,
            Wire::Group(group) => {
                self.pauses.get(*group).and_then(|found| found.get(&family)).map_or(usual, |it| *it)
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Line {
    queue: VecDeque<(DesiredAddress, Interval)>,
    free_at: Timestamp,
}

impl Pacer {
    /// Takes the groups of a configuration. What waits goes on waiting.
    pub fn configure(&mut self, config: &VrrpConfig) {
        let wires = Wires::of(config);
        if wires == self.wires {
            return;
        }
        self.wires = wires;
        let before = std::mem::take(&mut self.waiting);
        for (_, line) in before {
            for (announcement, usual) in line.queue {
                let own = self.push(announcement, usual);
                own.free_at = own.free_at.max(line.free_at);
            }
        }
    }

    /// Takes an announcement in; it comes out of [`Self::pop`] when it may be sent. `usual` is the
    /// pause of an interface in no group.
    pub fn add(&mut self, announcement: DesiredAddress, usual: Interval) {
        self.push(announcement, usual);
    }

    /// Whether this one waits.
    pub fn has(&self, announcement: &DesiredAddress) -> bool {
        let key = self.key(announcement);
        let mut queue = self.waiting.get(&key).into_iter().flat_map(|line| &line.queue);
        queue.any(|(waiting, _)| waiting == announcement)
    }

    fn key(&self, announcement: &DesiredAddress) -> (Wire, Family) {
        let family = Family::of(announcement.address.address);
        (self.wires.wire(&announcement.interface), family)
    }

    fn push(&mut self, announcement: DesiredAddress, usual: Interval) -> &mut Line {
        let line = self.waiting.entry(self.key(&announcement)).or_default();
        // A queue this long is hours of announcements: the newest would come too late to matter.
        if line.queue.len() < LONGEST_QUEUE {
            line.queue.push_back((announcement, usual));
        }
        line
    }

    /// The next one that may be sent now.
    pub fn pop(&mut self, now: Timestamp) -> Option<DesiredAddress> {
        for ((wire, family), line) in &mut self.waiting {
            if line.free_at <= now
                && let Some((announcement, usual)) = line.queue.pop_front()
            {
                line.free_at = now + self.wires.pause(wire, *family, usual);
                return Some(announcement);
            }
        }
        None
    }

    /// When the next one may be sent.
    pub fn next(&self) -> Option<Timestamp> {
        self.waiting.values().filter(|line| !line.queue.is_empty()).map(|line| line.free_at).min()
    }

    /// Drops what waits for addresses that are no longer held.
    pub fn retain(&mut self, held: impl Fn(&DesiredAddress) -> bool) {
        for line in self.waiting.values_mut() {
            line.queue.retain(|(announcement, _)| held(announcement));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::link::{AddressLink, GarpGroup, Vmac};
    use crate::core::config::model::vrrp::{Instance, VirtualAddress};

    fn on(interface: &str, last: u8) -> DesiredAddress {
        let address = VirtualAddress {
            interface: Some(interface.into()),
            ..VirtualAddress::new([10, 0, 0, last].into(), 32)
        };
        DesiredAddress { interface: interface.into(), address: address.into() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Interval::from_secs(seconds)
    }

    fn grouped() -> VrrpConfig {
        let vmac =
            Vmac { name: "vrrp.7".to_owned(), address: [0; 6], notify_again: false, group: None };
        let link = AddressLink { base: "eth1".to_owned(), family: Family::Inet, vmac };
        let group = GarpGroup {
            garp_interval: Some(Interval::from_secs(2)),
            gna_interval: None,
            interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
        };
        VrrpConfig {
            instances: vec![
                Instance::default().with(|options| options.address_links = vec![link]).into(),
            ],
            garp_groups: vec![group],
            ..VrrpConfig::default()
        }
    }

    #[test]
    fn v_179_announcements_are_spaced_on_each_interface() {
        let mut pacer = Pacer::default();
        for last in 1..=3 {
            pacer.add(on("eth0", last), Interval::from_secs(1));
        }
        assert!(pacer.has(&on("eth0", 3)) && !pacer.has(&on("eth1", 3)));
        pacer.add(on("eth1", 1), Interval::from_secs(1));
        assert_eq!(pacer.pop(at(0)), Some(on("eth0", 1)));
        assert_eq!(pacer.pop(at(0)), Some(on("eth1", 1)), "another interface is not kept waiting");
        assert_eq!(pacer.pop(at(0)), None);
        assert_eq!(pacer.next(), Some(at(1)));
        assert_eq!(pacer.pop(at(1)), Some(on("eth0", 2)));
        pacer.retain(|_| false);
        assert_eq!(pacer.next(), None);
    }

    #[test]
    fn the_interfaces_of_a_group_and_virtual_ones_over_them_share_one_pause() {
        let mut pacer = Pacer::default();
        pacer.configure(&grouped());
        for (interface, last) in [("eth0", 1), ("eth1", 2), ("vrrp.7", 3), ("eth2", 4)] {
            pacer.add(on(interface, last), Interval::ZERO);
        }
        let mut sent = Vec::new();
        for second in 0..6 {
            while let Some(found) = pacer.pop(at(second)) {
                sent.push((second, found.interface.to_string()));
            }
        }
        let expected = [(0, "eth2"), (0, "eth0"), (2, "eth1"), (4, "vrrp.7")];
        assert_eq!(sent.len(), 4);
        for (second, interface) in expected {
            assert!(sent.contains(&(second, interface.to_owned())), "{interface}: {sent:?}");
        }
    }

    #[test]
    fn what_waits_at_a_reload_goes_on_waiting_in_its_group() {
        let mut pacer = Pacer::default();
        for last in 1..=2 {
            pacer.add(on("eth0", last), Interval::from_secs(9));
        }
        assert_eq!(pacer.pop(at(0)), Some(on("eth0", 1)));
        pacer.configure(&grouped());
        assert_eq!((pacer.pop(at(8)), pacer.next()), (None, Some(at(9))));
        assert_eq!(pacer.pop(at(9)), Some(on("eth0", 2)));
    }
}
