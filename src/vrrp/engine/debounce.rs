//! `interface_up_down_delays`: how an interface is counts only when it has been so for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LinkState;
use crate::core::config::model::link::InterfaceDelay;
use crate::core::config::model::vrrp::{Instance, VrrpConfig};
use crate::core::time::{Interval, Timestamp};

/// A delay stays below two advert intervals of the routers on its interface by this, as with
/// keepalived: a master that is cut off for longer must not come back as if nothing had been.
const MARGIN: Interval = Interval::from_micros(1_000_000 / 256);

/// Every interface's state as it counts, and changes that do not count yet.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    /// How long an interface must be down, and up, to count as that.
    delays: BTreeMap<String, (Interval, Interval)>,
    counted: BTreeMap<String, LinkState>,
    /// Since it appeared, the interface has been up: its first time up is not delayed.
    seen_up: BTreeSet<String>,
    pending: BTreeMap<String, (LinkState, Timestamp)>,
}

impl Debounce {
    /// The delays of a configuration. A change that waits goes on to wait as long as it was to,
    /// or, when its interface has no delays any more, counts now.
    pub fn set(&mut self, now: Timestamp, config: &VrrpConfig) {
        let limited = |delay: &InterfaceDelay| {
            let on_it = |instance: &&Arc<Instance>| {
                instance.interface.as_deref() == Some(delay.interface.as_str())
            };
            let routers = config.instances.iter().filter(on_it);
            let limit = routers.map(|instance| instance.advert_interval * 2).min();
            let limited = |wanted: Interval| match limit {
                Some(limit) if wanted >= limit => limit - MARGIN,
                Some(_) | None => wanted,
            };
            (delay.interface.clone(), (limited(delay.down), limited(delay.up)))
        };
        self.delays = config.interface_delays.iter().map(limited).collect();
        for (name, (_, at)) in &mut self.pending {
            if !self.delays.contains_key(name) {
                *at = (*at).min(now);
            }
        }
    }

    /// An interface was seen in this state. Gives how long a change has to wait.
    pub fn seen(&mut self, now: Timestamp, name: &str, state: LinkState) -> Option<Interval> {
        let delay = self.delay_of(name, state);
        if self.counted.get(name) == Some(&state) || delay.is_zero() {
            self.pending.remove(name);
            self.count(name, state);
            return None;
        }
        match self.pending.get(name) {
            Some((awaited, _)) if *awaited == state => None,
            Some(_) | None => {
                self.pending.insert(name.to_owned(), (state, now + delay));
                Some(delay)
            }
        }
    }

    fn delay_of(&self, name: &str, state: LinkState) -> Interval {
        let Some((down, up)) = self.delays.get(name) else { return Interval::ZERO };
        match (self.counted.get(name), state) {
            // It appears, or disappears.
            (None | Some(LinkState::Absent), _) | (_, LinkState::Absent) => Interval::ZERO,
            (Some(_), LinkState::Down) => *down,
            (Some(_), LinkState::Up) if self.seen_up.contains(name) => *up,
            (Some(_), LinkState::Up) => Interval::ZERO,
        }
    }

    fn count(&mut self, name: &str, state: LinkState) {
        match state {
            LinkState::Absent => {
                self.seen_up.remove(name);
            }
            LinkState::Up => {
                self.seen_up.insert(name.to_owned());
            }
            LinkState::Down => {}
        }
        if self.counted.get(name) != Some(&state) {
            self.counted.insert(name.to_owned(), state);
        }
    }

    /// The state that counts.
    pub fn state(&self, name: &str) -> Option<LinkState> {
        self.counted.get(name).copied()
    }

    /// When the next change counts.
    pub fn next(&self) -> Option<Timestamp> {
        self.pending.values().map(|(_, at)| *at).min()
    }

    /// Lets count what has waited for long enough; gives whether there was anything.
    pub fn due(&mut self, now: Timestamp) -> bool {
        let due: Vec<(String, LinkState)> = self
            .pending
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(name, (state, _))| (name.clone(), *state))
            .collect();
        for (name, state) in &due {
            self.pending.remove(name);
            self.count(name, *state);
        }
        !due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debounce(down: u64, up: u64) -> Debounce {
        let mut debounce = Debounce::default();
        let delay = InterfaceDelay {
            interface: "eth0".into(),
            down: Interval::from_secs(down),
            up: Interval::from_secs(up),
        };
        let config = VrrpConfig { interface_delays: vec![delay], ..VrrpConfig::default() };
        debounce.set(Timestamp::ZERO, &config);
        debounce
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Interval::from_secs(seconds)
    }

    #[test]
    fn a_change_counts_when_it_has_lasted_and_the_first_time_up_at_once() {
        let mut debounce = debounce(3, 2);
        for state in [LinkState::Absent, LinkState::Down, LinkState::Up] {
            assert_eq!(debounce.seen(at(0), "eth0", state), None, "it has just appeared");
            assert_eq!(debounce.state("eth0"), Some(state));
        }
        assert_eq!(debounce.seen(at(1), "eth0", LinkState::Down), Some(Interval::from_secs(3)));
        assert_eq!(debounce.seen(at(2), "eth0", LinkState::Down), None, "the same news again");
        assert_eq!((debounce.state("eth0"), debounce.next()), (Some(LinkState::Up), Some(at(4))));
        assert!(!debounce.due(at(3)));
        assert_eq!(debounce.seen(at(3), "eth0", LinkState::Up), None);
        assert_eq!(debounce.next(), None, "it came back in time");
        debounce.seen(at(5), "eth0", LinkState::Down);
        assert!(debounce.due(at(8)));
        assert_eq!(debounce.state("eth0"), Some(LinkState::Down));
        assert_eq!(debounce.seen(at(9), "eth0", LinkState::Up), Some(Interval::from_secs(2)));
        assert!(!debounce.due(at(10)) && debounce.due(at(11)));
        assert_eq!(debounce.state("eth0"), Some(LinkState::Up));
    }

    #[test]
    fn an_interface_that_goes_away_is_gone_at_once_and_others_are_not_delayed() {
        let mut debounce = debounce(3, 2);
        debounce.seen(at(0), "eth0", LinkState::Up);
        debounce.seen(at(1), "eth0", LinkState::Down);
        assert_eq!(debounce.seen(at(2), "eth0", LinkState::Absent), None);
        assert_eq!((debounce.state("eth0"), debounce.next()), (Some(LinkState::Absent), None));
        debounce.seen(at(0), "eth1", LinkState::Up);
        assert_eq!(debounce.seen(at(0), "eth1", LinkState::Down), None);
        assert_eq!(debounce.state("eth1"), Some(LinkState::Down));
    }

    #[test]
    fn no_delay_is_as_long_as_two_adverts_of_a_router_on_the_interface() {
        let mut debounce = Debounce::default();
        let (down, up) = (Interval::from_secs(2), Interval::from_secs(1));
        let delay = InterfaceDelay { interface: "eth0".into(), down, up };
        let instances = vec![Arc::new(crate::vrrp::engine::tests::instance("V", 100))];
        let interface_delays = vec![delay];
        let config = VrrpConfig { instances, interface_delays, ..VrrpConfig::default() };
        debounce.set(Timestamp::ZERO, &config);
        let limited = (Interval::from_micros(1_996_094), up);
        assert_eq!(debounce.delays.get("eth0"), Some(&limited));
    }

    #[test]
    fn a_reload_without_the_delays_ends_the_wait() {
        let mut debounce = debounce(100, 0);
        debounce.seen(at(0), "eth0", LinkState::Up);
        debounce.seen(at(1), "eth0", LinkState::Down);
        debounce.set(at(2), &VrrpConfig::default());
        assert_eq!(debounce.next(), Some(at(2)));
        assert!(debounce.due(at(2)));
        assert_eq!(debounce.state("eth0"), Some(LinkState::Down));
    }
}
