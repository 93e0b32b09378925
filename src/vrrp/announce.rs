//! When addresses are announced: a burst once the kernel has them, a second one later, then perhaps
//! again and again.

use std::collections::BTreeSet;

use super::desired::DesiredAddress;
use crate::core::config::model::vrrp::GarpSchedule;
use crate::core::time::{Interval, Timestamp};

/// The bursts of one virtual router.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Present in the kernel since it became master; sorted.
    confirmed: Vec<DesiredAddress>,
    second: Option<(Timestamp, u32)>,
    refresh: Option<Timestamp>,
    /// `garp_extra_if`, with its period.
    extra: Option<(Timestamp, Interval)>,
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

    /// A reload may have changed how often all are announced anew; an earlier deadline stays.
    pub fn set_refresh(&mut self, now: Timestamp, schedule: &GarpSchedule) {
        let at = now + schedule.refresh;
        self.refresh = match self.refresh {
            _ if schedule.refresh.is_zero() || self.confirmed.is_empty() => None,
            Some(old) => Some(old.min(at)),
            None => Some(at),
        };
    }

    /// The period of announcements on other interfaces (`garp_extra_if`); zero for none. Counted
    /// from now, unless it is running already.
    pub fn set_extra(&mut self, now: Timestamp, period: Interval) {
        self.extra = match self.extra {
            _ if period.is_zero() || self.confirmed.is_empty() => None,
            Some((at, _)) => Some((at.min(now + period), period)),
            None => Some((now + period, period)),
        };
    }

    /// Those of `addresses` that are to be announced on other interfaces now.
    pub fn extra_due(
        &mut self,
        now: Timestamp,
        addresses: impl FnOnce() -> Vec<DesiredAddress>,
    ) -> Vec<DesiredAddress> {
        let Some((at, period)) = self.extra.filter(|(at, _)| *at <= now) else {
            return Vec::new();
        };
        // After a pause the missed ones are not made up for.
        let next = at + period;
        self.extra = Some((if next > now { next } else { now + period }, period));
        addresses().into_iter().filter(|address| self.is_confirmed(address)).collect()
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
        let extra = self.extra.map(|(at, _)| at);
        second.into_iter().chain(self.refresh).chain(extra).min()
    }

    /// Whether the kernel has confirmed this address.
    pub fn is_confirmed(&self, address: &DesiredAddress) -> bool {
        self.confirmed.binary_search(address).is_ok()
    }

    /// The kernel no longer has these; when they are back, they are announced anew.
    pub fn forget(&mut self, gone: &[DesiredAddress]) {
        self.confirmed.retain(|address| !gone.contains(address));
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
    fn v_216_other_interfaces_are_announced_on_for_ever() {
        let period = Interval::from_secs(2);
        let garp = GarpSchedule { delay: Interval::ZERO, ..GarpSchedule::default() };
        let mut schedule = Schedule::default();
        schedule.set_extra(at(0), period);
        assert_eq!(schedule.next(), None, "nothing is there to announce");
        schedule.appeared(at(1), &[address(1), address(2)], &garp);
        schedule.set_extra(at(1), period);
        assert!(schedule.extra_due(at(2), || vec![address(1)]).is_empty());
        for round in 1..4 {
            let due = at(1 + 2 * round);
            assert_eq!(schedule.next(), Some(due));
            // The third was never there.
            let found = schedule.extra_due(due, || vec![address(1), address(3)]);
            assert_eq!(found, [address(1)]);
        }
        assert_eq!(schedule.extra_due(at(60), || vec![address(1)]).len(), 1, "once after a pause");
        assert_eq!(schedule.next(), Some(at(62)));
        schedule.set_extra(at(60), Interval::ZERO);
        assert_eq!(schedule.next(), None);
    }
}
