//! When addresses are announced: a burst once the kernel has them, a second one later, then perhaps
//! again and again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::desired::DesiredAddress;
use crate::core::config::model::vrrp::GarpSchedule;
use crate::core::time::{Interval, Timestamp};

/// Announcements that may wait for their turn on one interface.
const LONGEST_QUEUE: usize = 65_536;

/// The bursts of one virtual router.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Present in the kernel since it became master; sorted.
    confirmed: Vec<DesiredAddress>,
    second: Option<(Timestamp, u32)>,
    refresh: Option<Timestamp>,
}

impl Schedule {
    /// Addresses have appeared: those that are new get a burst. Gives the announcements in rounds,
    /// so that every address has been announced once before any is announced twice.
    pub fn appeared(
        &mut self,
        now: Timestamp,
        addresses: &[DesiredAddress],
        schedule: &GarpSchedule,
    ) -> Vec<DesiredAddress> {
        let new: Vec<DesiredAddress> =
            addresses.iter().filter(|address| !self.is_confirmed(address)).cloned().collect();
        self.confirmed.reserve_exact(new.len());
        self.confirmed.extend(new.iter().cloned());
        self.confirmed.sort_unstable();
        if new.is_empty() {
            return new;
        }
        if !schedule.delay.is_zero() {
            self.second = Some((now + schedule.delay, schedule.repeat));
        }
        if !schedule.refresh.is_zero() && self.refresh.is_none() {
            self.refresh = Some(now + schedule.refresh);
        }
        rounds(&new, schedule.repeat)
    }

    /// A burst of all addresses, as at the beginning.
    pub fn again(&mut self, now: Timestamp, schedule: &GarpSchedule) -> Vec<DesiredAddress> {
        if !schedule.delay.is_zero() {
            self.second = Some((now + schedule.delay, schedule.repeat));
        }
        rounds(&self.all(), schedule.repeat)
    }

    /// An advert of a lower priority was seen: another router may have been announcing.
    pub fn lower_priority_seen(
        &mut self,
        now: Timestamp,
        schedule: &GarpSchedule,
    ) -> Vec<DesiredAddress> {
        if schedule.lower_priority_repeat == 0 {
            return Vec::new();
        }
        if !schedule.lower_priority_delay.is_zero() && self.second.is_none() {
            let at = now + schedule.lower_priority_delay;
            self.second = Some((at, schedule.lower_priority_repeat));
        }
        rounds(&self.all(), schedule.lower_priority_repeat)
    }

    /// What is due now.
    pub fn due(&mut self, now: Timestamp, schedule: &GarpSchedule) -> Vec<DesiredAddress> {
        let mut due = Vec::new();
        if let Some((at, repeat)) = self.second
            && at <= now
        {
            self.second = None;
            due.extend(rounds(&self.all(), repeat));
        }
        if let Some(at) = self.refresh
            && at <= now
        {
            self.refresh = (!schedule.refresh.is_zero()).then(|| now + schedule.refresh);
            due.extend(rounds(&self.all(), schedule.refresh_repeat));
        }
        due
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Timestamp> {
        let second = self.second.map(|(at, _)| at);
        second.into_iter().chain(self.refresh).min()
    }

    /// Whether the kernel has confirmed this address.
    pub fn is_confirmed(&self, address: &DesiredAddress) -> bool {
        self.confirmed.binary_search(address).is_ok()
    }

    /// Keeps only addresses that are still wanted.
    pub fn retain(&mut self, wanted: &BTreeSet<DesiredAddress>) {
        self.confirmed.retain(|address| wanted.contains(address));
    }

    /// No longer master.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn all(&self) -> Vec<DesiredAddress> {
        self.confirmed.clone()
    }
}

fn rounds(addresses: &[DesiredAddress], repeat: u32) -> Vec<DesiredAddress> {
    (0..repeat).flat_map(|_| addresses.iter().cloned()).collect()
}

/// Spaces announcements on each interface by `garp_interval`.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    waiting: BTreeMap<Arc<str>, Line>,
}

#[derive(Debug, Clone, Default)]
struct Line {
    queue: VecDeque<(DesiredAddress, Interval)>,
    free_at: Timestamp,
}

impl Pacer {
    /// Takes an announcement in; it comes out of [`Self::pop`] when it may be sent.
    pub fn push(&mut self, announcement: DesiredAddress, interval: Interval) {
        let line = self.waiting.entry(announcement.interface.clone()).or_default();
        // A queue this long is hours of announcements: the newest would come too late to matter.
        if line.queue.len() < LONGEST_QUEUE {
            line.queue.push_back((announcement, interval));
        }
    }

    /// The next one that may be sent now.
    pub fn pop(&mut self, now: Timestamp) -> Option<DesiredAddress> {
        for line in self.waiting.values_mut() {
            if line.free_at <= now
                && let Some((announcement, interval)) = line.queue.pop_front()
            {
                line.free_at = now + interval;
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
    use crate::core::config::model::vrrp::VirtualAddress;

    fn address(last: u8) -> DesiredAddress {
        let address = VirtualAddress {
            interface: Some("eth0".into()),
            ..VirtualAddress::new([10, 0, 0, last].into(), 32)
        };
        DesiredAddress { interface: "eth0".into(), address: address.into() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Interval::from_secs(seconds)
    }

    #[test]
    fn v_172_five_rounds_at_once_and_five_after_five_seconds() {
        let garp = GarpSchedule::default();
        let mut schedule = Schedule::default();
        let first = schedule.appeared(at(0), &[address(1), address(2)], &garp);
        assert_eq!(first.len(), 10);
        assert_eq!(first[..2], [address(1), address(2)], "rounds, not one address after the other");
        assert_eq!(schedule.next(), Some(at(5)));
        assert!(schedule.due(at(4), &garp).is_empty());
        assert_eq!(schedule.due(at(5), &garp).len(), 10);
        assert_eq!(schedule.next(), None);
        assert!(schedule.appeared(at(6), &[address(1)], &garp).is_empty(), "known already");
    }

    #[test]
    fn a_refresh_comes_again_and_again() {
        let garp = GarpSchedule {
            delay: Interval::ZERO,
            refresh: Interval::from_secs(10),
            refresh_repeat: 2,
            ..GarpSchedule::default()
        };
        let mut schedule = Schedule::default();
        schedule.appeared(at(0), &[address(1)], &garp);
        for round in 1..4 {
            assert_eq!(schedule.next(), Some(at(10 * round)));
            assert_eq!(schedule.due(at(10 * round), &garp).len(), 2);
        }
    }

    #[test]
    fn v_179_announcements_are_spaced_on_each_interface() {
        let mut pacer = Pacer::default();
        for last in 1..=3 {
            pacer.push(address(last), Interval::from_secs(1));
        }
        assert_eq!(pacer.pop(at(0)), Some(address(1)));
        assert_eq!(pacer.pop(at(0)), None);
        assert_eq!(pacer.next(), Some(at(1)));
        assert_eq!(pacer.pop(at(1)), Some(address(2)));
        pacer.retain(|_| false);
        assert_eq!(pacer.next(), None);
    }
}
