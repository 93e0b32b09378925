//! What happens to clusters, at random: each disturbance by itself, in any order, at any moment.

use std::collections::BTreeMap;

use steadfast::core::config::model::vrrp::{Priority, VrrpVersion};
use steadfast::core::time::Interval;
use steadfast::vrrp::engine::ReceivedPacket;
use steadfast::vrrp::packet::advert::{self, Advert, ChecksumForm};

use super::node::{CLOCK_STEP, Letter};
use super::plan::{Auth, LANS, Preempt};
use super::world::{Captured, Deed, Verdict, World};

/// How often each has happened.
pub type Tally = BTreeMap<&'static str, u64>;

impl World {
    fn any(&mut self) -> usize {
        let count = self.nodes.len();
        self.chance.index(count)
    }

    fn part_of_interval(&mut self, longest: u64) -> Interval {
        let permille = self.chance.below(longest * 1000);
        self.plan.interval.fraction(permille, 1000)
    }

    /// One disturbance; gives its name.
    pub fn disturb(&mut self, tally: &mut Tally) -> Verdict {
        let place = self.any();
        let name = match self.chance.below(24) {
            0 | 1 => self.crash(place)?,
            2 => {
                self.act(Deed::Boot(place))?;
                "boot"
            }
            3 => self.orderly_stop(place)?,
            4 | 5 => self.child_killed(place)?,
            6 | 7 => self.pause_at_random(place),
            8..=10 => self.partition(place),
            11 => {
                self.note(|| "the network is whole".to_owned());
                for from in 0..self.nodes.len() {
                    self.network.cut[from] = [0; LANS];
                    self.excuse_all(from);
                }
                "partition ends"
            }
            12 => {
                self.network.loss = self.chance.pick(&[0, 20, 100, 300, 700]);
                self.network.duplicates = self.chance.pick(&[0, 0, 50, 300]);
                let loss = self.network.loss;
                self.note(|| format!("{loss} packets of 1000 are lost"));
                "loss and duplicates"
            }
            13 => {
                self.network.reorders = self.chance.one_in(2);
                let interval = self.plan.interval.as_nanos();
                self.network.slowest =
                    self.chance.pick(&[300_000, 2_000_000, interval / 20, interval / 4]).max(1);
                let slowest = Interval::from_nanos(self.network.slowest);
                self.note(|| format!("packets travel for up to {slowest} s"));
                "slow network, reordering"
            }
            14 | 15 => self.link_event(place)?,
            16 | 17 => self.tracked_event(place)?,
            18 => self.addresses_removed(place)?,
            19 => self.kernel_trouble(place),
            20 => self.intrude(),
            _ => self.random_reload(place)?,
        };
        *tally.entry(name).or_default() += 1;
        Ok(())
    }

    /// Power loss (the kernel goes too), or all processes are killed (its addresses stay).
    fn crash(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        if self.nodes[place].engine.is_none() {
            self.act(Deed::Boot(place))?;
            return Ok("boot");
        }
        let power = self.chance.one_in(2);
        self.note(|| format!("node {place} is {}", if power { "without power" } else { "killed" }));
        self.power_off(place, power)?;
        Ok(if power { "power loss" } else { "all processes killed" })
    }

    pub fn power_off(&mut self, place: usize, power: bool) -> Verdict {
        let node = &mut self.nodes[place];
        node.paused_until = 0;
        node.asleep = false;
        node.legacy.1.clear();
        if power {
            node.kernel.clear();
        }
        self.kill(place)
    }

    pub fn orderly_stop(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        if self.nodes[place].is_awake(self.now) {
            self.note(|| format!("node {place} stops"));
            self.excuse(place);
            let sent = self.nodes[place].stop(self.now);
            self.after(place, &sent)?;
        }
        Ok("orderly stop")
    }

    /// The parent starts another one, at once or, after many deaths, later and with a farewell.
    fn child_killed(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        if self.nodes[place].engine.is_none() {
            return Ok("child killed");
        }
        self.note(|| format!("the vrrp process of node {place} is killed"));
        self.nodes[place].paused_until = 0;
        self.nodes[place].asleep = false;
        self.kill(place)?;
        let wait = Interval::from_millis(self.chance.between(10, 300));
        if self.chance.one_in(2) {
            self.later(wait, Deed::Respawn(place));
            return Ok("child killed");
        }
        self.later(Interval::from_millis(30), Deed::Farewell(place));
        let seconds = self.chance.pick(&[1, 2, 4]);
        self.later(Interval::from_secs(seconds), Deed::Respawn(place));
        Ok("child killed, farewell")
    }

    fn pause_at_random(&mut self, place: usize) -> &'static str {
        let asleep = self.chance.one_in(3);
        let length = if self.chance.one_in(3) {
            // The process is late only: what came meanwhile counts from when it came.
            Interval::from_millis(self.chance.between(1, 95))
        } else {
            self.part_of_interval(8)
        };
        self.pause(place, length, asleep);
        if asleep { "suspend" } else { "pause" }
    }

    /// Frozen for so long: what arrives waits, or is lost when the machine sleeps.
    pub fn pause(&mut self, place: usize, length: Interval, asleep: bool) {
        if self.nodes[place].engine.is_none() {
            return;
        }
        self.note(|| {
            format!("node {place} {} for {length} s", if asleep { "sleeps" } else { "pauses" })
        });
        let node = &mut self.nodes[place];
        node.paused_until = self.now + length.as_nanos();
        node.asleep = asleep;
        self.excuse(place);
        self.reschedule(place);
    }

    fn partition(&mut self, place: usize) -> &'static str {
        let other = self.any();
        let lan = self.chance.index(LANS);
        let every_lan = self.chance.one_in(2);
        let both_ways = self.chance.one_in(2);
        let isolated = self.chance.one_in(3);
        self.note(|| {
            let whom = if isolated { "everybody".to_owned() } else { format!("node {other}") };
            let ways = if both_ways { "" } else { ", one way" };
            format!("node {place} is cut off from {whom}{ways}")
        });
        for to in 0..self.nodes.len() {
            if to == place || !(isolated || to == other) {
                continue;
            }
            for cut in (0..LANS).filter(|cut| every_lan || *cut == lan) {
                self.network.cut[place][cut] |= 1 << to;
                if both_ways {
                    self.network.cut[to][cut] |= 1 << place;
                }
            }
        }
        match (isolated, both_ways) {
            (true, true) => "isolation",
            (true, false) => "isolation, one way",
            (false, true) => "partition",
            (false, false) => "partition, one way",
        }
    }

    fn link_event(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        let mut health = self.nodes[place].health.clone();
        let lan = if self.chance.one_in(4) {
            self.chance.index(LANS)
        } else {
            let router = self.chance.index(self.plan.routers.len());
            self.plan.routers[router].lan
        };
        let name = match self.chance.below(4) {
            0 | 1 => {
                health.links[lan] = !health.links[lan];
                "link up or down"
            }
            2 => {
                health.absent[lan] = !health.absent[lan];
                "interface removed or made"
            }
            _ => {
                health.own[lan] = !health.own[lan];
                "own address removed or added"
            }
        };
        self.set_health(place, health)?;
        Ok(name)
    }

    fn tracked_event(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        let mut health = self.nodes[place].health.clone();
        let name = match self.chance.below(4) {
            0 => {
                health.script = !health.script;
                "script"
            }
            1 => {
                health.process = !health.process;
                "process"
            }
            2 => {
                health.uplink = !health.uplink;
                "tracked interface"
            }
            _ => {
                health.file = self.chance.pick(&[0, 0, 1, 2, -1, -3, 30]);
                "file"
            }
        };
        self.set_health(place, health)?;
        Ok(name)
    }

    pub fn addresses_removed(
        &mut self,
        place: usize,
    ) -> Result<&'static str, super::world::Violation> {
        if !self.nodes[place].is_awake(self.now) {
            return Ok("address removed by another");
        }
        let has: Vec<_> = self.nodes[place].kernel.iter().cloned().collect();
        if !has.is_empty() {
            let all = self.chance.one_in(3);
            let one = self.chance.index(has.len());
            let lost = if all { has } else { vec![has[one].clone()] };
            self.note(|| format!("node {place}: somebody removes {} addresses", lost.len()));
            self.excuse(place);
            self.nodes[place].lose(self.now, &lost);
            let sent = self.nodes[place].settle(self.now);
            self.after(place, &sent)?;
        }
        Ok("address removed by another")
    }

    fn kernel_trouble(&mut self, place: usize) -> &'static str {
        let length = self.part_of_interval(4);
        if self.chance.one_in(2) {
            self.note(|| format!("the kernel of node {place} adds nothing for {length} s"));
            self.nodes[place].refuses_until = self.now + length.as_nanos();
            return "kernel refuses";
        }
        let slow = self.plan.interval.fraction(self.chance.below(500), 1000);
        self.note(|| format!("the kernel of node {place} takes {slow} s for an address"));
        self.nodes[place].slow_kernel = slow;
        self.excuse(place);
        "kernel is slow"
    }

    /// A packet that no router may take.
    pub fn intrude(&mut self) -> &'static str {
        if self.plan.is_keyed() && self.chance.one_in(4) {
            let place = self.any();
            let mut step = self.chance.pick(&[-CLOCK_STEP, 0, CLOCK_STEP]);
            // What it sends must not seem older than what it sent before it forgot that.
            if self.now < self.nodes[place].forgot + 3 * CLOCK_STEP.unsigned_abs() {
                step = CLOCK_STEP;
            }
            self.note(|| format!("the clock of node {place} is set"));
            self.nodes[place].clock_set = step;
            return "clock set";
        }
        let others =
            |from: usize| self.nodes.iter().enumerate().filter(move |(place, _)| *place != from);
        let refused = |captured: &&Captured| {
            others(captured.from).all(|(_, node)| node.must_refuse(self.now, captured))
        };
        let captured: Vec<&Captured> = self.captured.iter().filter(refused).collect();
        if !captured.is_empty() && self.chance.one_in(2) {
            let which = self.chance.index(captured.len());
            let Captured { sent, from, lan, packet } = captured[which].clone();
            self.note(|| format!("an advert of node {from} is sent again"));
            let letter = Letter { packet, arrived: self.now, again: Some(sent), genuine: None };
            self.post(from, lan, &letter);
            return "replay";
        }
        let number = self.chance.index(self.plan.routers.len());
        let router = self.plan.routers[number].clone();
        let from = self.any();
        let to = self.any();
        let (v4, v6) = super::plan::own(250, router.lan);
        let source = if router.v6 { v6 } else { v4 };
        let destination = match (router.unicast, router.v6) {
            (true, _) => self.plan.address(to, &router),
            (false, false) => [224, 0, 0, 18].into(),
            (false, true) => std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        };
        let interval = self.nodes[from].setting.interval;
        let priority = self.chance.pick(&[0, 1, 254, 255]);
        let mut kind = self.chance.below(6);
        let wrong_interval = kind == 4;
        let password = match router.auth {
            Auth::Password => (1, *b"1111\0\0\0\0"),
            Auth::None | Auth::Header | Auth::Keyed(_) => (0, [0; 8]),
        };
        let v3 = router.version == VrrpVersion::V3;
        let packet = Advert {
            version: router.version,
            vrid: router.vrid,
            priority: Priority::new(priority),
            interval: match (wrong_interval, v3) {
                (true, true) => Interval::ZERO,
                (true, false) => Interval::from_secs(7),
                (false, _) => interval,
            },
            addresses: vec![super::plan::virtual_address(number, &router, 0)],
            authentication: if kind == 5 { (1, *b"wrong\0\0\0") } else { password },
        };
        let form = if v3 { ChecksumForm::PseudoHeader } else { ChecksumForm::Message };
        let mut payload = advert::emit(&packet, form, source, destination);
        if (kind == 0 && router.unicast) || (kind == 5 && v3) {
            kind = 1;
        }
        let mut ttl = 255;
        match kind {
            0 => ttl = 254,
            1 => payload[6] ^= 0x55,
            2 => payload[0] ^= 0x10,
            3 => payload.truncate(7),
            _ => {}
        }
        self.note(|| format!("a packet of kind {kind} that nobody may take, for V{number}"));
        let interface = Some(format!("eth{}", router.lan).as_str().into());
        let packet = ReceivedPacket { interface, source, destination, ttl, sealed: None, payload };
        self.post(
            from,
            router.lan,
            &Letter { packet, arrived: self.now, again: None, genuine: None },
        );
        "packet to be rejected"
    }

    fn random_reload(&mut self, place: usize) -> Result<&'static str, super::world::Violation> {
        if !self.nodes[place].is_awake(self.now) {
            return Ok("reload, the same");
        }
        let mut setting = self.nodes[place].setting.clone();
        let router = self.chance.index(self.plan.routers.len());
        let name = match self.chance.below(8) {
            0 => "reload, the same",
            1 => {
                setting.active_key = 3 - setting.active_key;
                "reload, key"
            }
            2 => {
                if setting.priority != 255 {
                    setting.priority = u8::try_from(self.chance.between(1, 254)).unwrap();
                }
                "reload, priority"
            }
            3 => {
                if self.plan.is_strict_about_intervals() {
                    // All nodes, one after the other; until then they do not hear one another.
                    self.oracle.mismatch = true;
                    let other = if setting.interval == self.plan.interval {
                        self.plan.interval.fraction(1, 2).max(Interval::from_secs(1))
                    } else {
                        self.plan.interval
                    };
                    setting.interval = Interval::from_secs(other.as_secs());
                } else {
                    setting.interval = self.chance.pick(&[self.plan.interval, self.plan.longest]);
                }
                "reload, interval"
            }
            4 | 5 => {
                if let Some(count) = &mut setting.routers[router] {
                    *count = u8::try_from(self.chance.between(1, 5)).unwrap();
                }
                "reload, addresses"
            }
            6 => {
                if setting.grouped || self.plan.routers.len() == 1 {
                    setting.preempt = match self.chance.below(3) {
                        _ if setting.priority == 255 => Preempt::AtOnce,
                        0 => Preempt::AtOnce,
                        1 => Preempt::Never,
                        _ => Preempt::After(self.plan.preempt_delay(&mut self.chance)),
                    };
                    "reload, preemption"
                } else {
                    setting.routers[router] = match setting.routers[router] {
                        Some(_) => None,
                        None => Some(2),
                    };
                    "reload, instance added or removed"
                }
            }
            _ => {
                if self.plan.routers.len() > 1 {
                    setting.grouped = !setting.grouped;
                    // Members that are in some files only would never agree.
                    for there in &mut setting.routers {
                        there.get_or_insert(1);
                    }
                    "reload, sync group"
                } else {
                    setting.silent = !setting.silent;
                    "reload, reaction to lower priorities"
                }
            }
        };
        self.reload(place, setting)?;
        Ok(name)
    }
}
