//! One failure at a time, from rest: what must follow is known to the moment. One election for one
//! failure, by the router that is next, when its own wait ends; and none where there is no cause.

use steadfast::core::time::{Interval, Timestamp};

use steadfast::vrrp::engine::{Awaited, VrrpEngine};
use steadfast::vrrp::event::State;

use super::faults::Tally;
use super::node::{CLOCK_STEP, Time};
use super::plan::{Health, LANS, Preempt};
use super::world::{Change, Deed, LATENCY, MILLI, Verdict, World, fail};

/// What a packet and a process may take between two events.
fn slack(world: &World) -> Time {
    world.network.slowest + 4 * LATENCY
}

/// When each able node will take over from `gone`, in true time.
type Waits = Vec<(usize, Time)>;

impl World {
    /// One of the failures below; the cluster is at rest, and everybody is there and healthy.
    pub fn single_failure(&mut self, tally: &mut Tally) -> Verdict {
        // At rest everything that anybody is master of is one node's, or it is not looked at.
        let router = self.chance.index(self.plan.routers.len());
        let masters = self.masters(router);
        let Some(master) = masters.first().copied() else { return Ok(()) };
        let backup = (0..self.nodes.len()).find(|place| self.nodes[*place].masters == 0);
        let wait = self.chance.below(self.plan.longest.as_nanos());
        self.run(Interval::from_nanos(wait))?;
        self.changes.clear();
        let noisy = self.chance.one_in(3);
        let name = match (self.chance.below(18), backup) {
            (0 | 1, _) => {
                self.note(|| format!("single: node {master} loses its power"));
                self.power_off(master, true)?;
                self.expect_takeover(master, router, false, noisy)?;
                "single: power loss of the master"
            }
            (2, _) => {
                self.orderly_stop(master)?;
                self.expect_takeover(master, router, true, noisy)?;
                "single: orderly stop of the master"
            }
            (3, _) => self.single_respawn(master)?,
            (4, _) => {
                self.note(|| format!("single: the process of node {master} dies for good"));
                self.kill(master)?;
                let local = self.nodes[master].clock.local(self.now) + Interval::from_millis(31);
                let silent = local.since(self.nodes[master].legacy.0);
                let interval = self.nodes[master].setting.interval;
                let patience = interval * u64::from(self.plan.adverts - 1);
                self.later(Interval::from_millis(30), Deed::Farewell(master));
                self.run(Interval::from_millis(31))?;
                if silent < patience {
                    self.expect_takeover(master, router, true, noisy)?;
                }
                "single: process dies, farewell"
            }
            (5, _) => self.single_pause(master, router, true)?,
            (6, _) => self.single_pause(master, router, false)?,
            (7, Some(backup)) => {
                let asleep = self.chance.one_in(2);
                // A shorter sleep may be over just before the wait is: then nobody can know better.
                let least = if asleep { u64::from(self.plan.adverts) * 2 + 3 } else { 1 };
                let length = self.plan.longest * self.chance.between(least, least.max(12));
                self.pause(backup, length, asleep);
                self.expect_nothing(length + self.plan.longest * 2, "a backup was frozen")?;
                "single: pause of a backup"
            }
            (8, Some(backup)) => self.single_backup_away(backup)?,
            (9, _) => {
                self.single_same_reload()?;
                "single: reload of the same"
            }
            (10, _) => {
                let count = u32::from(self.plan.adverts) - 2;
                if count > 0 && self.plan.routers.len() == 1 {
                    let peers = if self.plan.routers[0].unicast { self.nodes.len() - 1 } else { 1 };
                    self.note(|| format!("single: {count} adverts of node {master} are lost"));
                    self.network.swallow = Some((master, count * peers as u32));
                    self.expect_nothing(self.plan.longest * 8, "adverts were lost")?;
                }
                "single: adverts lost"
            }
            (11, _) => self.single_isolation(master, router)?,
            (12, _) => {
                self.single_addresses_removed(master, router)?;
                "single: addresses removed"
            }
            (13, Some(backup)) => self.single_harmless(backup)?,
            (14, _) => {
                let mut health = Health::default();
                health.links[self.plan.routers[router].lan] = false;
                self.set_health(master, health)?;
                "single: link of the master"
            }
            (15, _) => self.single_late_readers(master, router)?,
            (16, _) if self.nodes[master].setting.is_grouped() => {
                self.single_lans(master, router)?
            }
            (16, _) => self.single_grouping(master, router)?,
            _ => {
                let health = match self.chance.below(4) {
                    0 => Health { script: false, ..Health::default() },
                    1 => Health { process: false, ..Health::default() },
                    2 => Health { uplink: false, ..Health::default() },
                    _ => Health { file: 3, ..Health::default() },
                };
                self.set_health(master, health)?;
                "single: tracked object of the master"
            }
        };
        *tally.entry(name).or_default() += 1;
        self.calm()?;
        self.rest()
    }

    /// When the waits of the others end that `gone` was master of `members` for.
    fn waits(&self, gone: usize, router: usize, members: &[usize], resigned: bool) -> Waits {
        let interval = self.nodes[gone].setting.interval;
        let able = self.able(router).into_iter().filter(|place| *place != gone);
        able.map(|place| {
            let own = self.priority(place);
            let ends = members.iter().map(|member| {
                let plan = &self.plan.routers[*member];
                let wait = if resigned {
                    self.plan.skew(plan, interval, own)
                } else {
                    self.plan.down(plan, interval, own)
                };
                self.nodes[place].clock.time(self.nodes[place].heard_any[*member] + wait)
            });
            // Where only one advert may be missed, a group waits for each of its members.
            let end = if resigned || self.plan.adverts > 2 { ends.min() } else { ends.max() };
            (place, end.unwrap_or(self.now))
        })
        .collect()
    }

    /// `gone` was master and is not there any more.
    fn expect_takeover(
        &mut self,
        gone: usize,
        router: usize,
        resigned: bool,
        noisy: bool,
    ) -> Verdict {
        let members: Vec<usize> = if self.nodes[gone].setting.is_grouped() {
            (0..self.plan.routers.len()).collect()
        } else {
            vec![router]
        };
        self.expect_takeover_of(gone, router, &members, resigned, noisy)
    }

    /// The silence of `members` is what is waited for.
    fn expect_takeover_of(
        &mut self,
        gone: usize,
        router: usize,
        members: &[usize],
        resigned: bool,
        noisy: bool,
    ) -> Verdict {
        let travel = Interval::from_nanos(slack(self));
        self.run(travel)?;
        let waits = self.waits(gone, router, members, resigned);
        let Some((_, first)) = waits.iter().min_by_key(|(_, at)| *at).copied() else {
            return Ok(());
        };
        let slack = slack(self);
        if noisy {
            // Packets that must be rejected, while the others wait: no timer may move.
            for round in 0..3 {
                let step = first.saturating_sub(self.now) / 5;
                self.run(Interval::from_nanos(step))?;
                self.intrude();
                if round == 1 {
                    // Nor by a reload that changes something else.
                    for (place, _) in waits.clone() {
                        let mut setting = self.nodes[place].setting.clone();
                        setting.last_word = !setting.last_word;
                        self.reload(place, setting)?;
                    }
                }
            }
        }
        let until = (first + slack + MILLI / 10).saturating_sub(self.now);
        self.run(Interval::from_nanos(until))?;
        let takers: Vec<usize> = self.takers(router);
        // Others whose waits end before they can have heard the first one.
        let near = first + slack + MILLI / 5;
        let expected: Vec<usize> =
            waits.iter().filter(|(_, at)| *at <= near).map(|(place, _)| *place).collect();
        if takers.is_empty() || takers.iter().any(|taker| !expected.contains(taker)) {
            return fail(format!(
                "after node {gone} went, node {expected:?} was to take V{router} over, not {takers:?}"
            ));
        }
        // The others hear the new master before their own wait ends.
        let all = waits.iter().map(|(_, at)| *at).max().unwrap_or(first) + slack + MILLI;
        self.run(Interval::from_nanos(all.saturating_sub(self.now)))?;
        let takers = self.takers(router);
        for taker in takers.iter().filter(|taker| !expected.contains(taker)) {
            let better = expected.iter().all(|place| self.priority(*taker) > self.priority(*place));
            if !better {
                return fail(format!("one failure, and node {taker} tried too for V{router}"));
            }
        }
        Ok(())
    }

    fn takers(&self, router: usize) -> Vec<usize> {
        let mut takers: Vec<usize> = self
            .changes
            .iter()
            .filter(|change| change.master && change.router == router)
            .map(|change| change.node)
            .collect();
        takers.sort_unstable();
        takers.dedup();
        takers
    }

    fn expect_nothing(&mut self, during: Interval, why: &str) -> Verdict {
        self.run(during)?;
        match self.changes.first() {
            None => Ok(()),
            Some(change) => fail(format!("{why}, and {change:?}")),
        }
    }

    fn single_respawn(&mut self, master: usize) -> Result<&'static str, super::world::Violation> {
        let interval = self.nodes[master].setting.interval;
        let patience = interval * u64::from(self.plan.adverts - 1);
        let local = self.nodes[master].clock.local(self.now);
        let silent = local.since(self.nodes[master].legacy.0);
        let left = patience - silent;
        let wait = Interval::from_millis(self.chance.between(10, 300)).min(left.fraction(9, 10));
        self.note(|| format!("single: the process of node {master} dies and is back in {wait} s"));
        let masters = self.nodes[master].masters;
        self.kill(master)?;
        let forgotten = self.now < self.nodes[master].forgot + 3 * CLOCK_STEP.unsigned_abs();
        if self.plan.is_keyed() && !forgotten && self.chance.one_in(2) {
            // The next process has the last trailer of this one only.
            self.note(|| format!("the clock of node {master} is set back"));
            self.nodes[master].clock_set = -CLOCK_STEP;
        }
        self.later(wait, Deed::Respawn(master));
        let adverts = u64::from(self.plan.adverts);
        if wait < left.fraction(9, 10) || !wait.is_zero() {
            self.run(wait + Interval::from_micros(1))?;
            self.check_priority_of_heir(master)?;
            self.run(self.plan.longest * (adverts + 2))?;
            let others = |change: &&Change| change.node != master;
            if let Some(change) = self.changes.iter().find(others) {
                return fail(format!("a process was back in time, and {change:?}"));
            }
            if self.nodes[master].masters != masters {
                return fail(format!("node {master} was back in time and did not go on as master"));
            }
        }
        Ok("single: process dies, back in time")
    }

    /// Until its scripts speak, a process that goes on has the priority of the dead one.
    fn check_priority_of_heir(&self, place: usize) -> Verdict {
        let expected = self.priority(place);
        let Some(engine) = &self.nodes[place].engine else { return Ok(()) };
        let mut masters = engine.routers().filter(|router| router.state == State::Master);
        if let Some(router) = masters.find(|router| router.priority.get() != expected) {
            let (name, found) = (&router.instance.name, router.priority);
            return fail(format!(
                "node {place} goes on with priority {found} of {name}, not {expected}"
            ));
        }
        Ok(())
    }

    /// The others read the last advert of the master late. Their waits count from when it came.
    fn single_late_readers(
        &mut self,
        master: usize,
        router: usize,
    ) -> Result<&'static str, super::world::Violation> {
        let next = self.nodes[master].engine.as_ref().and_then(VrrpEngine::poll_timeout);
        let Some(next) = next.filter(|next| next.why == Awaited::Advert) else {
            return Ok("single: nothing");
        };
        let next = self.nodes[master].clock.time(next.at);
        let ahead = 5 * MILLI;
        if self.plan.interval < Interval::from_millis(100) || next < self.now + ahead {
            return Ok("single: nothing");
        }
        self.run(Interval::from_nanos(next - ahead - self.now))?;
        let length = Interval::from_millis(self.chance.between(20, 90));
        for place in (0..self.nodes.len()).filter(|place| *place != master) {
            self.pause(place, length, false);
        }
        self.run(Interval::from_nanos(ahead + slack(self)))?;
        self.note(|| format!("single: node {master} loses its power"));
        self.power_off(master, true)?;
        self.run(length)?;
        self.expect_takeover(master, router, false, false)?;
        Ok("single: late readers of the last advert")
    }

    /// A node that is master of one router and, by `nopreempt`, backup of another is told that they
    /// are a sync group.
    fn single_grouping(
        &mut self,
        node: usize,
        router: usize,
    ) -> Result<&'static str, super::world::Violation> {
        let lan = self.plan.routers[router].lan;
        let other = (0..self.plan.routers.len()).find(|other| self.plan.routers[*other].lan != lan);
        let mut setting = self.nodes[node].setting.clone();
        let Some(other) = other.filter(|_| !setting.grouped && setting.priority != 255) else {
            return Ok("single: nothing");
        };
        setting.preempt = Preempt::Never;
        self.reload(node, setting.clone())?;
        let mut health = Health::default();
        health.links[self.plan.routers[other].lan] = false;
        self.set_health(node, health)?;
        self.run(self.patience())?;
        self.set_health(node, Health::default())?;
        self.run(self.patience())?;
        let state = |world: &Self, router| world.state(node, router);
        if state(self, router) != Some(State::Master) || state(self, other) != Some(State::Backup) {
            return Ok("single: nothing");
        }
        setting.grouped = true;
        for there in &mut setting.routers {
            there.get_or_insert(1);
        }
        self.reload(node, setting)?;
        self.check_group(node)?;
        Ok("single: sync group of a master and a backup")
    }

    /// One network is cut between the master and all others: the members there miss it, those on
    /// another network hear it, and keep their groups back. Then the rest is cut too.
    fn single_lans(
        &mut self,
        master: usize,
        router: usize,
    ) -> Result<&'static str, super::world::Violation> {
        let first = self.plan.routers[router].lan;
        let all = 0..self.plan.routers.len();
        let others: Vec<usize> =
            all.filter(|other| self.plan.routers[*other].lan != first).collect();
        if others.is_empty() {
            return Ok("single: nothing");
        }
        self.note(|| format!("single: node {master} is cut off on network {first}"));
        self.cut_off(master, first);
        self.expect_nothing(self.patience(), "one network of a sync group is cut")?;
        self.note(|| format!("single: node {master} is cut off on the other networks"));
        for lan in (0..LANS).filter(|lan| *lan != first) {
            self.cut_off(master, lan);
        }
        self.expect_takeover_of(master, router, &others, false, false)?;
        Ok("single: networks of a sync group, one after the other")
    }

    /// Nobody hears the master on this network, nor does it hear anybody.
    fn cut_off(&mut self, master: usize, lan: usize) {
        let everybody = (1u8 << self.nodes.len()) - 1;
        for place in 0..self.nodes.len() {
            let deaf = if place == master { everybody } else { 1 << master };
            self.network.cut[place][lan] = deaf;
        }
        self.excuse_all(master);
    }

    fn single_pause(
        &mut self,
        master: usize,
        router: usize,
        short: bool,
    ) -> Result<&'static str, super::world::Violation> {
        let interval = self.nodes[master].setting.interval;
        let mut asleep = self.chance.one_in(2);
        if short {
            // Where it is a backup, what it sleeps through is a silence.
            let there = self.nodes[master].setting.routers.iter().flatten().count();
            asleep &= self.nodes[master].masters.count_ones() as usize == there;
            // The last advert is one interval old at most.
            let longest = interval * u64::from(self.plan.adverts - 1);
            let length = longest.fraction(self.chance.between(1, 90), 100);
            self.pause(master, length, asleep);
            self.expect_nothing(length + self.plan.longest * 8, "a short pause")?;
            return Ok("single: short pause of the master");
        }
        let length = self.plan.longest * u64::from(self.plan.adverts + 2)
            + Interval::from_secs(1)
            + self.plan.longest.fraction(self.chance.below(1000), 1000);
        let before = self.nodes[master].sent.clone();
        self.pause(master, length, asleep);
        self.run(length + Interval::from_nanos(3 * LATENCY))?;
        let node = &self.nodes[master];
        let spoke = node.sent[router] != before[router];
        let deaf = node.heard_any.iter().all(|at| *at < node.steady);
        if asleep && spoke && deaf && !node.setting.expires {
            return fail(format!("node {master} was away and speaks before it has listened"));
        }
        Ok("single: long pause of the master")
    }

    /// It crashes, loses its link, stops, and comes back: nobody else cares, nor does it preempt a
    /// better one.
    fn single_backup_away(
        &mut self,
        backup: usize,
    ) -> Result<&'static str, super::world::Violation> {
        let name = match self.chance.below(3) {
            0 => {
                self.power_off(backup, true)?;
                "single: crash of a backup"
            }
            1 => {
                self.orderly_stop(backup)?;
                "single: stop of a backup"
            }
            _ => {
                let links = [false; LANS];
                self.set_health(backup, Health { links, ..Health::default() })?;
                "single: link of a backup"
            }
        };
        self.expect_nothing(self.plan.longest * 2, "a backup went")?;
        if self.nodes[backup].engine.is_none() {
            self.act(Deed::Boot(backup))?;
        } else {
            self.set_health(backup, Health::default())?;
        }
        self.expect_nothing(self.patience(), "a backup came back")?;
        Ok(name)
    }

    fn single_same_reload(&mut self) -> Verdict {
        for place in 0..self.nodes.len() {
            let before = self.nodes[place].operations;
            let setting = self.nodes[place].setting.clone();
            self.reload(place, setting)?;
            if self.nodes[place].operations != before {
                return fail(format!("node {place}: a reload of the same changes the kernel"));
            }
        }
        self.expect_nothing(self.plan.longest * 8, "a reload of the same")
    }

    /// Nobody hears the master, nor does it hear anybody; then they meet again.
    fn single_isolation(
        &mut self,
        master: usize,
        router: usize,
    ) -> Result<&'static str, super::world::Violation> {
        self.note(|| format!("single: node {master} is isolated"));
        for lan in 0..LANS {
            self.cut_off(master, lan);
        }
        self.expect_takeover(master, router, false, false)?;
        self.run(self.plan.longest * 2)?;
        let rivals = self.masters(router);
        self.calm()?;
        self.run(self.plan.longest * 2 + Interval::from_millis(10))?;
        let masters = self.masters(router);
        // The best of them; or a better router, whose preempt_delay has ended meanwhile.
        let rank = |place: usize| (self.priority(place), place);
        let best = rivals.iter().map(|place| rank(*place)).max();
        let stays = masters.first().map(|place| rank(*place));
        if stays < best || masters.len() > 1 {
            return fail(format!("of masters {rivals:?} of V{router} that meet stay {masters:?}"));
        }
        Ok("single: isolation of the master")
    }

    /// Somebody removes addresses of the master: it says priority 0, waits its skew, takes all back.
    fn single_addresses_removed(&mut self, master: usize, router: usize) -> Verdict {
        self.addresses_removed(master)?;
        let local = |world: &Self| world.nodes[master].clock.local(world.now);
        let own = self.priority(master);
        let skew = self.plan.skew(&self.plan.routers[router], self.plan.longest, own);
        let wait = self.longest_true(master, local(self) + skew) + 8 * slack(self);
        self.run(Interval::from_nanos(wait.saturating_sub(self.now)))?;
        if self.masters(router).is_empty() {
            return fail(format!("node {master} did not take V{router} back, nor did another"));
        }
        Ok(())
    }

    fn longest_true(&self, place: usize, local: Timestamp) -> Time {
        self.nodes[place].clock.time(local)
    }

    /// Things that happen to a backup and do not make it the best.
    fn single_harmless(&mut self, backup: usize) -> Result<&'static str, super::world::Violation> {
        let mut setting = self.nodes[backup].setting.clone();
        if setting.priority == 255 {
            return Ok("single: nothing");
        }
        let name = if self.chance.one_in(2) {
            setting.priority = setting.priority.saturating_sub(10).max(1);
            "single: reload, a backup's priority is lower"
        } else {
            setting.preempt = Preempt::Never;
            setting.last_word = !setting.last_word;
            "single: reload, other options of a backup"
        };
        self.reload(backup, setting)?;
        self.expect_nothing(self.patience(), "a backup's file")?;
        Ok(name)
    }
}
