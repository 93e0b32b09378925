//! Adverts on their way out, and the timers.

use super::{Output, RouterId, TimerKind, Transmit, VrrpEngine};
use crate::core::config::model::vrrp::Priority;
use crate::core::time::{Interval, Timestamp};
use crate::vrrp::event::{EventKind, Reason};

/// Routers that send together: one waking of the process for all of them. A waking costs as much as
/// a dozen adverts; so many adverts take well below a millisecond.
const GROUP: u32 = 64;
/// An advert is late when it leaves this part of its interval after its time.
const LATE: u64 = 10;

/// When one of so many routers sends next, if it sent at `now`: within one interval.
///
/// Routers that become masters together would send together for ever. Thousands of adverts in one
/// burst wait for one another, here and at whoever receives them, and so do the takeovers that
/// follow when they end. Hence each group has a time of its own in the interval, the same for all
/// that are in it, whenever they became masters; no two groups meet. Spread over the whole interval,
/// each waking is short, and a process that sleeps most of the time gets a processor at once even
/// when others keep all of them busy.
fn next_turn(now: Timestamp, id: RouterId, interval: Interval, routers: usize) -> Timestamp {
    let groups = u64::try_from(routers).unwrap_or(u64::MAX).div_ceil(u64::from(GROUP)).max(1);
    if groups == 1 || interval.is_zero() {
        return now + interval;
    }
    let begun = Interval::from_nanos(now.as_nanos() % interval.as_nanos());
    let turn = interval.fraction(u64::from(id / GROUP) % groups, groups);
    let wait = if turn > begun { turn - begun } else { interval + turn - begun };
    now + wait
}

impl VrrpEngine {
    /// Sends an advert of the router's priority, or of the one given.
    pub(super) fn send_advert(&mut self, now: Timestamp, id: RouterId, priority: Option<Priority>) {
        let wall = self.clock.at(now);
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let Some(source) = router.source() else {
            return;
        };
        let priority = priority.unwrap_or(router.priority);
        router.statistics.advert_sent += 1;
        let stamp = router.take_stamp(wall);
        if let Some(stamp) = stamp
            && self.last_stamp.is_none_or(|last| stamp.is_after(last))
        {
            self.last_stamp = Some(stamp);
        }
        router.take_number(wall);
        for (destination, ttl) in router.destinations() {
            let message = router.advert(priority, source, destination);
            let message = router.sign(stamp, source, destination, message);
            let (id, payload) = router.seal(source, destination, ttl, message);
            self.outputs.push_back(Output::Transmit(Transmit {
                instance: router.instance.clone(),
                socket: router.socket.clone(),
                source,
                destination,
                ttl,
                id,
                payload,
            }));
        }
    }

    pub(super) fn arm_advert(&mut self, now: Timestamp, id: RouterId) {
        let routers = self.routers.len();
        if let Some(router) = self.routers.get(&id) {
            let interval = router.instance.advert_interval;
            let at = next_turn(now, id, interval, routers);
            self.timers.set((id, TimerKind::Advert), at);
        }
    }

    /// An advert should have been sent at `due`.
    ///
    /// After a pause that was longer than the others' patience (a suspended machine, a stopped
    /// process), somebody else may be master: one interval is listened for it before anything is
    /// said. If nobody is there, this router was missed by nobody, or is master again at once. With
    /// `timer_expired_backup` it is a backup without listening when a router of that priority must
    /// have taken over.
    pub(super) fn advert_due(&mut self, now: Timestamp, due: Timestamp, id: RouterId) {
        let routers = self.routers.len();
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let late = now.since(due);
        router.statistics.advert_latest = router.statistics.advert_latest.max(late);
        let interval = router.instance.advert_interval;
        if late >= interval.fraction(1, LATE) {
            router.statistics.advert_late += 1;
        }
        let rival = router.instance.timer_expired_backup;
        if rival.is_some_and(|rival| late >= router.patience_of(rival)) {
            self.step_down(now, id, None, Reason::TooLate(late));
            return;
        }
        let patience = interval * u64::from(router.instance.down_timer_adverts.saturating_sub(1));
        if !router.listening && !patience.is_zero() && late >= patience {
            router.listening = true;
            let name = router.instance.name.clone();
            let turn = next_turn(now, id, interval, routers);
            let at = if turn < now + interval { turn + interval } else { turn };
            self.timers.set((id, TimerKind::Advert), at);
            self.log(&name, EventKind::Listening { late }, None);
            return;
        }
        let was_away = std::mem::replace(&mut router.listening, false);
        let garp = router.instance.garp;
        let announcements = if was_away { router.schedule.again(now, &garp) } else { Vec::new() };
        self.send_advert(now, id, None);
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
        if now.since(due) < interval {
            self.timers.set((id, TimerKind::Advert), due + interval);
        } else {
            self.arm_advert(now, id);
        }
    }

    pub(super) fn disarm(&mut self, id: RouterId) {
        use TimerKind::{Advert, Announce, MasterDown, Rival};
        for kind in [MasterDown, Advert, Announce, Rival] {
            self.timers.cancel(&(id, kind));
        }
        if let Some(router) = self.routers.get_mut(&id) {
            router.rival = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::*;
    use crate::core::config::model::global::Global;
    use crate::core::config::model::vrrp::VrrpConfig;
    use crate::vrrp::engine::{Input, LinkState, OwnAddresses, tests::instance};

    #[test]
    fn routers_that_became_masters_together_do_not_send_in_one_burst() {
        let routers: Vec<_> = (0..400).map(|n| Arc::new(instance(&n.to_string(), 100))).collect();
        let config = VrrpConfig { instances: routers, ..VrrpConfig::default() };
        let mut engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
        let own = OwnAddresses { inet: Some([10, 0, 0, 1].into()), inet6: None };
        let up = Input::Link { interface: "eth0".into(), state: LinkState::Up, own };
        engine.handle(Timestamp::ZERO, up);
        engine.handle(Timestamp::ZERO, Input::Start);
        let mut sent: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        let mut together: BTreeMap<Timestamp, u32> = BTreeMap::new();
        while let Some(next) =
            engine.poll_timeout().filter(|next| next.at.as_nanos() < 9_000_000_000)
        {
            engine.handle_timeout(next.at);
            while let Some(output) = engine.poll_output() {
                if let Output::Transmit(advert) = output {
                    let times = sent.entry(advert.instance.name.clone()).or_default();
                    // The first one says that it is master, and waits for nobody.
                    if !times.is_empty() {
                        *together.entry(next.at).or_default() += 1;
                    }
                    times.push(next.at);
                }
            }
        }
        assert_eq!(together.values().max(), Some(&GROUP));
        assert_eq!(sent.len(), 400);
        let second = Interval::from_secs(1);
        for times in sent.values() {
            let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
            assert!(gaps[0] <= second && !gaps[0].is_zero(), "{}", gaps[0]);
            assert!(gaps[1..].iter().all(|gap| *gap == second), "no drift");
        }
    }

    #[test]
    fn each_group_has_its_own_time_in_the_interval_whenever_its_routers_became_masters() {
        let short = Interval::from_millis(10);
        let turns = |routers: usize, id: RouterId| -> BTreeSet<u64> {
            let begins = (0..1000).map(|n| Timestamp::from_nanos(1_234_567_890 + n * 12_345));
            let turn = |now: Timestamp| {
                let at = next_turn(now, id, short, routers);
                assert!(at > now && at <= now + short, "within an interval");
                at.as_nanos() % short.as_nanos()
            };
            begins.map(turn).collect()
        };
        let times: Vec<_> = (0..10_000).map(|id| turns(10_000, id)).collect();
        assert!(times.iter().all(|times| times.len() == 1));
        assert_eq!(times.iter().flatten().collect::<BTreeSet<_>>().len(), 157);
        assert!(turns(16, 3).len() > 1, "a few routers need no turns");
        let now = Timestamp::from_nanos(5);
        assert_eq!(next_turn(now, 3, short, 16), now + short);
    }
}
