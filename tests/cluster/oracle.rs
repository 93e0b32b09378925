//! What must hold, whatever happens: at every event, and at audits now and then. [`super::rest`] says
//! what must hold at rest.

use steadfast::core::time::{Interval, Timestamp};
use steadfast::vrrp::event::State;

use super::node::Time;
use super::plan::{Auth, Effect, Plan, Preempt};
use super::world::{LATENCY, MILLI, Verdict, World, fail};

/// What the oracles remember.
#[derive(Debug)]
pub struct Oracle {
    /// Who is master of what, as bits, by node.
    pub masters: Vec<u8>,
    nodes: usize,
    /// When a node was last disturbed.
    node_excuse: Vec<Time>,
    /// When two nodes last failed to hear one another.
    pair_excuse: Vec<Time>,
    /// Since when two are both master, by virtual router and pair.
    rivals: Vec<Vec<Option<Time>>>,
    any_rivals: bool,
    /// Nodes of different files, whose adverts may be refused.
    pub mismatch: bool,
}

impl Oracle {
    pub fn new(plan: &Plan) -> Self {
        let pairs = plan.nodes * plan.nodes;
        Self {
            masters: vec![0; plan.nodes],
            nodes: plan.nodes,
            node_excuse: vec![0; plan.nodes],
            pair_excuse: vec![0; pairs],
            rivals: vec![vec![None; pairs]; plan.routers.len()],
            any_rivals: false,
            mismatch: false,
        }
    }

    pub fn excuse_node(&mut self, node: usize, now: Time) {
        self.node_excuse[node] = self.node_excuse[node].max(now);
    }

    pub fn excuse_pair(&mut self, one: usize, other: usize, now: Time) {
        let (low, high) = (one.min(other), one.max(other));
        self.pair_excuse[low * self.nodes + high] = now;
    }

    fn excuse_of(&self, low: usize, high: usize) -> Time {
        let pair = self.pair_excuse[low * self.nodes + high];
        pair.max(self.node_excuse[low]).max(self.node_excuse[high])
    }
}

/// A length by a clock that may be this slow.
pub fn stretched(plan: &Plan, length: Interval) -> Interval {
    length.fraction(1_000_000, 1_000_000 - plan.drift.unsigned_abs())
}

impl World {
    /// Safety. Two masters that hear one another are one as soon as the next advert of the better one
    /// has arrived.
    pub fn check_rivals(&mut self) -> Verdict {
        let all = self.oracle.masters.iter();
        let (mut once, mut twice) = (0u8, 0u8);
        for masters in all {
            twice |= once & masters;
            once |= masters;
        }
        if twice == 0 {
            if self.oracle.any_rivals {
                self.oracle.rivals.iter_mut().for_each(|pairs| pairs.fill(None));
                self.oracle.any_rivals = false;
            }
            return Ok(());
        }
        self.oracle.any_rivals = true;
        let count = self.nodes.len();
        let travel = self.network.slowest + 30_000 + 4 * LATENCY;
        let interval = stretched(&self.plan, self.plan.longest).as_nanos();
        for router in 0..self.plan.routers.len() {
            // Authentication headers are numbered: who has heard fewer must hear the other one first.
            let adverts = if self.plan.routers[router].auth.is_numbered() { 2 } else { 1 };
            let bound = adverts * (interval + travel) + MILLI;
            for low in 0..count {
                for high in low + 1..count {
                    let pair = low * count + high;
                    let both = self.oracle.masters[low] & self.oracle.masters[high];
                    if both & (1 << router) == 0 {
                        self.oracle.rivals[router][pair] = None;
                        continue;
                    }
                    let since = *self.oracle.rivals[router][pair].get_or_insert(self.now);
                    let paused = [low, high].map(|node| self.nodes[node].paused_until);
                    let lan = self.plan.routers[router].lan;
                    let deaf = self.network.cut[low][lan] & (1 << high) != 0
                        || self.network.cut[high][lan] & (1 << low) != 0;
                    let excuse = self.oracle.excuse_of(low, high).max(paused[0]).max(paused[1]);
                    let alone = self.now.saturating_sub(since.max(excuse));
                    if !deaf && !self.oracle.mismatch && alone > bound {
                        return fail(format!(
                            "two masters of V{router}, nodes {low} and {high}, for {} s",
                            Interval::from_nanos(alone)
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A takeover is never early: not before the last advert that had to keep this node quiet has
    /// been missed for the whole master down interval (after priority 0, the skew time).
    pub fn check_takeover(&self, place: usize, router: usize) -> Verdict {
        let node = &self.nodes[place];
        let Some(heard) = node.heard[router].filter(|_| !node.setting.is_grouped()) else {
            return Ok(());
        };
        let now = node.clock.local(self.now);
        // A reload, another priority, an address taken back: other timers. An owner begins as master.
        if node.steady >= heard.at || node.setting.priority == 255 {
            return Ok(());
        }
        let waited = now.since(heard.at);
        if waited + Interval::from_micros(1) < heard.keeps {
            return fail(format!(
                "node {place} takes V{router} over {waited} s after an advert that keeps it quiet for {} s",
                heard.keeps
            ));
        }
        Ok(())
    }

    /// A process that has just started is master only as the healthy owner of the addresses, which is
    /// that at once, or where another one was until a moment ago.
    pub fn check_start(&self, place: usize) -> Verdict {
        let node = &self.nodes[place];
        let setting = &node.setting;
        let silent = node.clock.local(self.now).since(node.legacy_before.0);
        for (number, router) in self.plan.routers.iter().enumerate() {
            if setting.routers[number].is_none() {
                continue;
            }
            let master = node.masters & (1 << number) != 0;
            let waits = setting.tracks.iter().any(|(_, effect)| *effect == Effect::Fault);
            let able = !waits && !setting.is_faulty(&self.plan, number, &node.health);
            if setting.priority == 255 {
                // `state MASTER` does not go with an authentication header.
                let plain = self.plan.routers.iter().all(|router| router.auth != Auth::Header);
                if plain && able && !master && setting.startup_delay.is_zero() {
                    return fail(format!("node {place} owns V{number} and is not its master"));
                }
                continue;
            }
            let missed = self.plan.down(router, setting.interval, 0);
            // A group goes on as one, also one that the file has made meanwhile.
            let held = |number: usize| node.legacy_before.1.contains(&format!("V{number}"));
            let grouped = setting.is_grouped() && (0..self.plan.routers.len()).any(held);
            if master && (silent > missed || !(held(number) || grouped)) {
                return fail(format!(
                    "node {place} goes on as master of V{number}, silent for {silent} s"
                ));
            }
        }
        Ok(())
    }

    /// The members of a sync group are masters together, or none of them.
    pub fn check_group(&self, place: usize) -> Verdict {
        let node = &self.nodes[place];
        if !node.setting.is_grouped() {
            return Ok(());
        }
        let present = node.setting.routers.iter().enumerate().filter(|(_, there)| there.is_some());
        let members: u8 = present.map(|(number, _)| 1 << number).sum();
        let masters = node.masters & members;
        if masters != 0 && masters != members {
            return fail(format!("node {place}: of its sync group only {masters:b} are masters"));
        }
        Ok(())
    }

    /// What each node must be by what it has heard, whatever the others are.
    pub fn audit(&mut self) -> Verdict {
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            if !node.is_awake(self.now) || !node.script_known {
                continue;
            }
            let now = node.clock.local(self.now);
            let Some(engine) = &node.engine else { continue };
            if let Some(deadline) = engine.poll_timeout() {
                let awake = node.clock.local(node.paused_until);
                let late = now.since(deadline.at.max(awake));
                if late > Interval::from_nanos(2 * LATENCY) {
                    return fail(format!("node {place}: {:?} is due since {late} s", deadline.why));
                }
            }
            for (router, plan) in self.plan.routers.iter().enumerate() {
                let there = node.setting.routers[router].is_some();
                let faulty = node.setting.is_faulty(&self.plan, router, &node.health);
                if !there || faulty || self.state(place, router) != Some(State::Backup) {
                    continue;
                }
                // Its wait may have begun when it had another priority.
                let down = self.plan.down(plan, self.plan.longest, 0);
                let mut patience = down + node.setting.startup_delay;
                if node.setting.is_grouped() {
                    patience = patience + down + down;
                }
                // One that hears its master keeps its group back.
                let grouped = node.setting.is_grouped();
                let members = (0..self.plan.routers.len()).filter(|member| {
                    *member == router || grouped && node.setting.routers[*member].is_some()
                });
                let since = members.map(|member| self.quiet_since(place, member)).max();
                let since = since.unwrap_or_default().max(node.steady);
                let waited = now.since(since);
                if waited > patience + Interval::from_millis(5) {
                    return fail(format!(
                        "node {place} is backup of V{router} after {waited} s without a master"
                    ));
                }
            }
        }
        Ok(())
    }

    /// When a backup last heard something that keeps it quiet, or became one.
    fn quiet_since(&self, place: usize, router: usize) -> Timestamp {
        let node = &self.nodes[place];
        let quiet = match node.setting.preempt {
            // Lower ones may be there; nobody may keep it quiet.
            Preempt::AtOnce if !self.plan.routers[router].auth.is_numbered() => {
                node.heard[router].map(|heard| heard.at)
            }
            Preempt::AtOnce | Preempt::After(_) | Preempt::Never => Some(node.heard_any[router]),
        };
        quiet.unwrap_or_default().max(node.moved[router])
    }

    /// The longest wait of this node for a master that is gone, in true time.
    pub fn longest_down(&self, place: usize, router: usize) -> Interval {
        let node = &self.nodes[place];
        let own = node.setting.effective(&node.health);
        let down = self.plan.down(&self.plan.routers[router], self.plan.longest, own);
        stretched(&self.plan, down)
    }
}
