//! Calm: the network is whole, nobody is frozen. Then, after the time that the protocol may take, what
//! must be so; and for a while nothing may happen at all.

use std::collections::BTreeSet;

use steadfast::core::time::Interval;
use steadfast::vrrp::engine::Input;
use steadfast::vrrp::event::State;

use super::node::Node;
use super::oracle::stretched;
use super::plan::{Health, LANS, Preempt, Setting, virtual_address};
use super::world::{Verdict, World, fail};

impl World {
    /// The network is whole again and nobody is frozen. Nodes may be dead, and things broken.
    pub fn calm(&mut self) -> Verdict {
        self.note(|| "calm".to_owned());
        self.network.loss = 0;
        self.network.duplicates = 0;
        self.network.reorders = false;
        self.network.slowest = 300_000;
        self.network.swallow = None;
        for place in 0..self.nodes.len() {
            self.network.cut[place] = [0; LANS];
            self.excuse_all(place);
            let node = &mut self.nodes[place];
            node.refuses_until = 0;
            node.slow_kernel = Interval::ZERO;
            if node.paused_until > self.now {
                node.paused_until = self.now;
                node.asleep = false;
                self.excuse(place);
                self.reschedule(place);
            }
        }
        self.agree()
    }

    /// Files that must say the same do so again.
    fn agree(&mut self) -> Verdict {
        self.oracle.mismatch = false;
        let first = self.nodes[0].setting.clone();
        let strict = self.plan.is_strict_about_intervals();
        for place in 1..self.nodes.len() {
            let mut setting = self.nodes[place].setting.clone();
            if strict {
                setting.interval = first.interval;
            }
            setting.grouped = first.grouped;
            if first.grouped {
                setting.routers.clone_from(&first.routers);
                setting.by_group = first.by_group;
                setting.own_weights = first.own_weights;
            }
            if setting != self.nodes[place].setting {
                self.reload(place, setting)?;
            }
        }
        Ok(())
    }

    pub fn reload(&mut self, place: usize, setting: Setting) -> Verdict {
        let plan = self.plan.clone();
        let same = self.nodes[place].setting == setting;
        if !same {
            self.excuse(place);
        }
        self.note(|| format!("node {place} reloads{}", if same { " the same" } else { "" }));
        if self.verbose && !same {
            eprintln!("{}", self.plan.text(place, &setting));
        }
        let sent = self.nodes[place].reload(self.now, &plan, setting);
        if !same {
            // What is tracked anew gives its results.
            self.later(Interval::from_millis(20), super::world::Deed::Script(place));
            self.tell_values(place);
        }
        self.after(place, &sent)
    }

    fn tell_values(&mut self, place: usize) {
        let now = self.nodes[place].clock.local(self.now);
        self.nodes[place].tell_values(now);
    }

    /// Another health, told to the process now or when it is awake.
    pub fn set_health(&mut self, place: usize, health: Health) -> Verdict {
        if self.nodes[place].health == health {
            return Ok(());
        }
        self.note(|| format!("node {place}: {health:?}"));
        self.excuse(place);
        for lan in 0..LANS {
            if health.absent[lan] {
                // Addresses go with their interface.
                let name = format!("eth{lan}");
                self.nodes[place].kernel.retain(|address| *address.interface != *name);
                self.nodes[place].kernel_changed = true;
            }
        }
        self.nodes[place].health = health;
        if !self.nodes[place].is_awake(self.now) {
            self.nodes[place].untold = true;
            self.reschedule(place);
            return Ok(());
        }
        let now = self.nodes[place].clock.local(self.now);
        self.nodes[place].tell_health(now);
        let sent = self.nodes[place].settle(self.now);
        self.after(place, &sent)
    }

    /// Everything works again, and everybody is there.
    pub fn heal(&mut self) -> Verdict {
        self.calm()?;
        for place in 0..self.nodes.len() {
            self.set_health(place, Health::default())?;
            if self.nodes[place].engine.is_none() {
                self.act(super::world::Deed::Boot(place))?;
            }
        }
        Ok(())
    }

    /// After this, everything has happened that the protocol makes happen.
    pub fn patience(&self) -> Interval {
        let mut down = Interval::ZERO;
        for place in 0..self.nodes.len() {
            for router in 0..self.plan.routers.len() {
                down = down.max(self.longest_down(place, router));
            }
        }
        let delay = |node: &Node| match node.setting.preempt {
            Preempt::After(delay) => stretched(&self.plan, delay),
            Preempt::AtOnce | Preempt::Never => Interval::ZERO,
        };
        let preempt = self.nodes.iter().map(delay).max().unwrap_or_default();
        let startup = self.nodes.iter().map(|node| node.setting.startup_delay).max();
        let retry = self.nodes.iter().map(|node| node.retry_wait(self.now)).max();
        let grouped = self.nodes.iter().any(|node| node.setting.is_grouped());
        let rounds = if grouped { 4 } else { 2 };
        let deeds = Interval::from_nanos(self.deeds_until.saturating_sub(self.now));
        let fixed = Interval::from_millis(600) + deeds;
        let waits = startup.unwrap_or_default() + retry.unwrap_or_default() + preempt;
        stretched(&self.plan, waits) + down * rounds + self.plan.longest * 3 + fixed
    }

    pub fn rest(&mut self) -> Verdict {
        let patience = self.patience();
        self.run(patience)?;
        self.check_rest()?;
        self.quiet()
    }

    pub fn check_rest(&mut self) -> Verdict {
        for router in 0..self.plan.routers.len() {
            self.check_election(router)?;
        }
        for place in 0..self.nodes.len() {
            self.check_group(place)?;
            self.check_kernel(place)?;
        }
        self.audit()
    }

    /// Those who can be master of a virtual router.
    pub fn able(&self, router: usize) -> Vec<usize> {
        let able = |node: &Node| {
            node.engine.is_some()
                && node.setting.routers[router].is_some()
                && !node.setting.is_faulty(&self.plan, router, &node.health)
        };
        (0..self.nodes.len()).filter(|place| able(&self.nodes[*place])).collect()
    }

    pub fn priority(&self, place: usize) -> u8 {
        self.nodes[place].setting.effective(&self.nodes[place].health)
    }

    fn check_election(&self, router: usize) -> Verdict {
        let able = self.able(router);
        let masters = self.masters(router);
        for (place, node) in self.nodes.iter().enumerate() {
            let Some(engine) = &node.engine else { continue };
            let name = format!("V{router}");
            let found = engine.routers().find(|found| found.instance.name == name);
            if found.is_some() != node.setting.routers[router].is_some() {
                return fail(format!("node {place}: V{router} is there or not, unlike its file"));
            }
            let Some(found) = found else { continue };
            let expected = self.priority(place);
            if found.priority.get() != expected {
                let words = format!("node {place}: priority {} of V{router}", found.priority);
                return fail(format!("{words} rather than {expected}"));
            }
            let faulty = !able.contains(&place);
            if faulty != (found.state == State::Fault) || found.state == State::Init {
                let words = format!("node {place}: V{router} is {}", found.state.name());
                return fail(format!("{words}, faults {:?}", found.faults));
            }
        }
        let master = match (masters.as_slice(), able.is_empty()) {
            ([], true) => return Ok(()),
            ([master], false) => *master,
            _ => {
                return fail(format!("masters of V{router} at rest: {masters:?} of {able:?}"));
            }
        };
        for place in able {
            let better = self.priority(place) > self.priority(master);
            let may =
                self.nodes[place].setting.preempt != Preempt::Never || self.priority(place) == 255;
            if better && may {
                return fail(format!(
                    "node {master} is master of V{router}, and node {place} is better"
                ));
            }
        }
        Ok(())
    }

    /// The kernel has what the file says of those that are master, and nothing else; all of it has
    /// been announced.
    fn check_kernel(&self, place: usize) -> Verdict {
        let node = &self.nodes[place];
        if node.engine.is_none() {
            return Ok(());
        }
        let mut expected = BTreeSet::new();
        for (router, plan) in self.plan.routers.iter().enumerate() {
            if self.state(place, router) == Some(State::Master) {
                let count = node.setting.routers[router].unwrap_or(0);
                expected.extend((0..count).map(|number| virtual_address(router, plan, number)));
            }
        }
        let has: BTreeSet<_> = node.kernel.iter().map(|found| found.address.address).collect();
        if has != expected {
            return fail(format!("node {place} has {has:?} rather than {expected:?}"));
        }
        if let Some(unknown) = node.kernel.difference(&node.announced).next() {
            return fail(format!("node {place} never announced {}", unknown.address.address));
        }
        let bits = (0..self.plan.routers.len())
            .filter(|router| self.state(place, *router) == Some(State::Master))
            .map(|router| 1u8 << router)
            .sum::<u8>();
        if bits != node.masters {
            return fail(format!(
                "node {place} tells of masters {:b}, and has {bits:b}",
                node.masters
            ));
        }
        Ok(())
    }

    /// Nothing happens, and nothing happens: no election, one advert for each interval, no busy loop.
    fn quiet(&mut self) -> Verdict {
        self.changes.clear();
        let window = self.plan.longest * 3;
        let before: Vec<(Vec<u64>, u64, u64)> =
            self.nodes.iter().map(|node| (node.sent.clone(), node.wakes, node.outputs)).collect();
        self.run(window)?;
        if let Some(change) = self.changes.first() {
            return fail(format!("without a cause: {change:?}"));
        }
        for (place, (sent, wakes, outputs)) in before.into_iter().enumerate() {
            let node = &self.nodes[place];
            for (router, plan) in self.plan.routers.iter().enumerate() {
                let each = if plan.unicast { self.nodes.len() as u64 - 1 } else { 1 };
                let count = (node.sent[router] - sent[router]) / each.max(1);
                if self.state(place, router) != Some(State::Master) {
                    if count != 0 {
                        return fail(format!("node {place} sends adverts of V{router} at rest"));
                    }
                    continue;
                }
                let due = window.as_nanos() / node.setting.interval.as_nanos().max(1);
                if count + 1 < due || count > due + 1 {
                    return fail(format!("node {place}: {count} adverts of V{router}, not {due}"));
                }
            }
            let (wakes, outputs) = (node.wakes - wakes, node.outputs - outputs);
            if wakes > 600 || outputs > 2_000 {
                return fail(format!("node {place} at rest: {wakes} wakes, {outputs} outputs"));
            }
        }
        Ok(())
    }
}

impl Node {
    pub fn tell_values(&mut self, now: steadfast::core::time::Timestamp) {
        let value = self.health.file;
        self.tell(now, Input::File { name: "f".into(), value });
        let good = self.health.process;
        self.tell(now, Input::Process { name: "p".into(), good });
    }

    pub fn tell_health(&mut self, now: steadfast::core::time::Timestamp) {
        for lan in 0..LANS {
            self.tell_link(now, lan);
        }
        self.tell_uplink(now);
        self.tell_values(now);
        self.script_known = true;
        let good = self.health.script;
        self.tell(now, Input::Script { name: "s".into(), good });
    }
}
