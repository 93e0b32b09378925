//! What a cluster is made of, and what each node's file says: drawn by seed, written as the text that
//! the daemon would read. Beside it a model of what is to be expected, which knows nothing of the
//! engine: who is healthy, and of which priority.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use steadfast::core::config::compile::compile;
use steadfast::core::config::model::global::Global;
use steadfast::core::config::model::vrrp::{VrrpConfig, VrrpVersion};
use steadfast::core::config::source::SourceSet;
use steadfast::core::time::Interval;

use super::chance::Chance;

/// Networks; each node has an interface in each of them.
pub const LANS: usize = 3;

/// Advert intervals in milliseconds, each with how many of a hundred lives have it. Long ones are cheap
/// to simulate, and nothing but the skew of version 2 tells them from short ones.
pub const CLASSES: &[(u64, u64)] = &[
    (10, 3),
    (50, 2),
    (100, 3),
    (250, 3),
    (500, 3),
    (1_000, 8),
    (2_000, 3),
    (5_000, 3),
    (10_000, 6),
    (40_000, 8),
    (100_000, 14),
    (255_000, 44),
];

/// Something that is tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Script,
    File,
    Uplink,
    Process,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Fault,
    Weight(i16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preempt {
    AtOnce,
    After(Interval),
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    None,
    Password,
    Header,
    /// `auth_hmac`: trailers with the time, with growing numbers only where `true`.
    Keyed(bool),
}

impl Auth {
    /// What was taken once is not taken again, nor anything before it.
    pub fn is_numbered(self) -> bool {
        matches!(self, Self::Header | Self::Keyed(_))
    }
}

/// A virtual router: the same on all nodes.
#[derive(Debug, Clone)]
pub struct RouterPlan {
    pub vrid: u8,
    pub version: VrrpVersion,
    pub v6: bool,
    pub unicast: bool,
    pub lan: usize,
    pub auth: Auth,
}

/// What does not change during a life.
#[derive(Debug, Clone)]
pub struct Plan {
    pub nodes: usize,
    pub routers: Vec<RouterPlan>,
    /// The shortest and the longest advert interval that any node may have.
    pub interval: Interval,
    pub longest: Interval,
    /// `down_timer_adverts`.
    pub adverts: u8,
    /// Clocks may differ by so many millionths.
    pub drift: i64,
}

/// The file of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    pub interval: Interval,
    pub priority: u8,
    pub preempt: Preempt,
    /// Whether each virtual router is in the file, and with how many addresses.
    pub routers: Vec<Option<u8>>,
    pub grouped: bool,
    /// `sync_group_tracking_weight`.
    pub own_weights: bool,
    /// Tracked by the group rather than by each instance.
    pub by_group: bool,
    pub tracks: Vec<(What, Effect)>,
    pub startup_delay: Interval,
    /// `lower_prio_no_advert`.
    pub silent: bool,
    /// `higher_prio_send_advert`.
    pub last_word: bool,
    /// `timer_expired_backup`.
    pub expires: bool,
    /// Of `auth_hmac`; every node has both keys.
    pub active_key: u8,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub links: [bool; LANS],
    /// Interfaces that do not exist.
    pub absent: [bool; LANS],
    /// Whether the interfaces have their own addresses.
    pub own: [bool; LANS],
    pub uplink: bool,
    pub script: bool,
    pub process: bool,
    pub file: i64,
}

impl Default for Health {
    fn default() -> Self {
        let all = [true; LANS];
        Self {
            links: all,
            absent: [false; LANS],
            own: all,
            uplink: true,
            script: true,
            process: true,
            file: 0,
        }
    }
}

impl Plan {
    pub fn draw(chance: &mut Chance) -> (Self, Vec<Setting>) {
        let mut ticket = chance.below(CLASSES.iter().map(|(_, weight)| weight).sum());
        let mut class = 1000;
        for (milliseconds, weight) in CLASSES {
            class = *milliseconds;
            if ticket < *weight {
                break;
            }
            ticket -= weight;
        }
        let nodes = chance.pick(&[2, 2, 3, 3, 3, 4, 5]);
        let interval = Interval::from_millis(class);
        let may_v2 = class % 1000 == 0;
        let may_v3 = class <= 40_000;
        let count = chance.pick(&[1, 1, 1, 2, 2, 3]);
        let mut routers = Vec::new();
        for number in 0..count {
            let v2 = may_v2 && (!may_v3 || chance.one_in(2));
            let version = if v2 { VrrpVersion::V2 } else { VrrpVersion::V3 };
            let v6 = !v2 && chance.one_in(3);
            let auth = match (v2, chance.below(6)) {
                (true, 0) => Auth::Password,
                (true, 1) => Auth::Header,
                (_, 2) => Auth::Keyed(chance.one_in(2)),
                _ => Auth::None,
            };
            routers.push(RouterPlan {
                vrid: 51 + u8::try_from(number).unwrap(),
                version,
                v6,
                unicast: chance.one_in(3),
                lan: chance.index(LANS),
                auth,
            });
        }
        let any_v2 = routers.iter().any(|router| router.version == VrrpVersion::V2);
        // The interval of version 3 may differ from node to node.
        let uneven = !any_v2 && class < 40_000 && chance.one_in(3);
        let plan = Self {
            nodes,
            interval,
            longest: if uneven { interval * 2 } else { interval },
            adverts: chance.pick(&[3, 3, 3, 2, 4, 6]),
            drift: chance.pick(&[0, 100, 500, 500, 500, 20_000]),
            routers,
        };
        let settings = plan.settings(chance, uneven);
        (plan, settings)
    }

    fn settings(&self, chance: &mut Chance, uneven: bool) -> Vec<Setting> {
        let mode = chance.below(5);
        let grouped = self.routers.len() > 1 && chance.one_in(2);
        let (own_weights, by_group) = (chance.one_in(3), chance.one_in(2));
        let mut tracks = Vec::new();
        for what in [What::Script, What::File, What::Uplink, What::Process] {
            if chance.one_in(3) {
                let weight = chance.pick(&[-60, -30, -10, 10, 30]);
                let effect = if chance.one_in(3) { Effect::Fault } else { Effect::Weight(weight) };
                tracks.push((what, effect));
            }
        }
        let owner = chance.one_in(8).then(|| chance.index(self.nodes));
        let startup = chance.one_in(6);
        let (silent, last_word) = (chance.one_in(5), chance.one_in(5));
        let expires = chance.one_in(8);
        let addresses: Vec<u8> =
            self.routers.iter().map(|_| u8::try_from(chance.between(1, 4)).unwrap()).collect();
        (0..self.nodes)
            .map(|node| {
                let priority = match chance.below(4) {
                    0 => 100,
                    1 => chance.between(1, 254),
                    _ => 50 + 20 * chance.below(9),
                };
                let preempt = match mode {
                    0 | 1 => Preempt::AtOnce,
                    2 => Preempt::Never,
                    3 => Preempt::After(self.preempt_delay(chance)),
                    _ => match chance.below(3) {
                        0 => Preempt::AtOnce,
                        1 => Preempt::Never,
                        _ => Preempt::After(self.preempt_delay(chance)),
                    },
                };
                let interval =
                    if uneven && chance.one_in(2) { self.longest } else { self.interval };
                let is_owner = owner == Some(node);
                Setting {
                    interval,
                    priority: if is_owner { 255 } else { u8::try_from(priority).unwrap() },
                    preempt: if is_owner { Preempt::AtOnce } else { preempt },
                    routers: addresses.iter().copied().map(Some).collect(),
                    grouped,
                    own_weights,
                    by_group,
                    tracks: tracks.clone(),
                    startup_delay: if startup { interval * 2 } else { Interval::ZERO },
                    silent,
                    last_word,
                    expires,
                    active_key: 1,
                }
            })
            .collect()
    }

    /// Whether some adverts have trailers.
    pub fn is_keyed(&self) -> bool {
        self.routers.iter().any(|router| matches!(router.auth, Auth::Keyed(_)))
    }

    pub fn preempt_delay(&self, chance: &mut Chance) -> Interval {
        (self.interval * chance.between(1, 5)).min(Interval::from_secs(1000))
    }

    /// Whether its adverts are refused by who has another interval.
    pub fn is_strict_about_intervals(&self) -> bool {
        self.routers.iter().any(|router| router.version == VrrpVersion::V2)
    }

    /// The own address of a node, from which its adverts come.
    #[allow(clippy::unused_self)]
    pub fn address(&self, node: usize, router: &RouterPlan) -> IpAddr {
        let number = u8::try_from(node + 1).unwrap();
        let lan = u8::try_from(router.lan).unwrap();
        if router.v6 { link_local(lan, number) } else { Ipv4Addr::new(10, lan, 0, number).into() }
    }

    /// How long without an advert a router of this priority waits, for a master of this interval.
    pub fn down(&self, router: &RouterPlan, interval: Interval, priority: u8) -> Interval {
        interval * u64::from(self.adverts) + self.skew(router, interval, priority)
    }

    #[allow(clippy::unused_self)]
    pub fn skew(&self, router: &RouterPlan, interval: Interval, priority: u8) -> Interval {
        let unit = match router.version {
            VrrpVersion::V2 => Interval::from_secs(1),
            VrrpVersion::V3 => interval,
        };
        unit.fraction(256 - u64::from(priority), 256)
    }

    /// What a node reads.
    pub fn config(&self, node: usize, setting: &Setting) -> (Global, VrrpConfig) {
        let text = self.text(node, setting);
        let compiled = compile(&SourceSet::from_text("node.conf", text.clone()));
        assert!(compiled.refusal().is_none(), "{text}");
        (compiled.config.global, compiled.config.vrrp)
    }

    pub fn text(&self, node: usize, setting: &Setting) -> String {
        let mut text = String::new();
        if !setting.startup_delay.is_zero() {
            let _ =
                writeln!(text, "global_defs {{\nvrrp_startup_delay {}\n}}", setting.startup_delay);
        }
        text.push_str(
            "vrrp_script s {\nscript /bin/true\n}\n\
             track_file f {\nfile /tmp/f\n}\n\
             vrrp_track_process p {\nprocess p\n}\n",
        );
        let named = |number: usize| format!("V{number}");
        let present: Vec<usize> =
            (0..self.routers.len()).filter(|number| setting.routers[*number].is_some()).collect();
        let by_group = setting.grouped && setting.by_group;
        if setting.grouped && present.len() > 1 {
            let names: Vec<String> = present.iter().map(|number| named(*number)).collect();
            let _ = writeln!(text, "vrrp_sync_group G {{\ngroup {{\n{}\n}}", names.join("\n"));
            if setting.own_weights {
                text.push_str("sync_group_tracking_weight\n");
            }
            if by_group {
                tracks(&mut text, setting);
            }
            text.push_str("}\n");
        }
        for number in present {
            let router = &self.routers[number];
            self.instance(&mut text, node, setting, number, router);
            if !(by_group && setting.is_grouped()) {
                tracks(&mut text, setting);
            }
            text.push_str("}\n");
        }
        text
    }

    fn instance(
        &self,
        text: &mut String,
        node: usize,
        setting: &Setting,
        number: usize,
        router: &RouterPlan,
    ) {
        let _ = writeln!(text, "vrrp_instance V{number} {{\ninterface eth{}", router.lan);
        let _ = writeln!(text, "virtual_router_id {}", router.vrid);
        let _ = writeln!(text, "version {}", router.version.number());
        let _ = writeln!(text, "priority {}\nadvert_int {}", setting.priority, setting.interval);
        let _ = writeln!(text, "down_timer_adverts {}", self.adverts);
        if setting.priority == 255 {
            text.push_str("state MASTER\n");
        }
        match setting.preempt {
            Preempt::AtOnce => {}
            Preempt::After(delay) => {
                let _ = writeln!(text, "preempt_delay {delay}");
            }
            Preempt::Never => text.push_str("nopreempt\n"),
        }
        match router.auth {
            Auth::None => {}
            Auth::Password => {
                text.push_str("authentication {\nauth_type PASS\nauth_pass 1111\n}\n");
            }
            Auth::Header => text.push_str("authentication {\nauth_type AH\nauth_pass 1111\n}\n"),
            Auth::Keyed(grows) => {
                text.push_str("auth_hmac {\n");
                for key in 1..=2 {
                    let _ = writeln!(text, "key {key} hex:{}", format!("{key:02x}").repeat(32));
                }
                let _ = writeln!(text, "active_key {}", setting.active_key);
                text.push_str(if grows { "anti_replay monotonic\n}\n" } else { "}\n" });
            }
        }
        if setting.silent {
            text.push_str("lower_prio_no_advert\n");
        }
        if setting.last_word {
            text.push_str("higher_prio_send_advert\n");
        }
        if setting.expires {
            text.push_str("timer_expired_backup 100\n");
        }
        if router.unicast {
            text.push_str("unicast_peer {\n");
            for peer in (0..self.nodes).filter(|peer| *peer != node) {
                let _ = writeln!(text, "{}", self.address(peer, router));
            }
            text.push_str("}\n");
            // Packets of the simulated network arrive with 255.
            text.push_str("unicast_ttl 255\n");
        }
        text.push_str("virtual_ipaddress {\n");
        let count = setting.routers[number].unwrap_or(1);
        for address in 0..count {
            let _ = writeln!(text, "{}", virtual_address(number, router, address));
        }
        text.push_str("}\n");
    }
}

fn link_local(lan: u8, number: u8) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, u16::from(lan), u16::from(number)).into()
}

/// The own IPv4 and IPv6 addresses of a node in a network.
pub fn own(node: usize, lan: usize) -> (IpAddr, IpAddr) {
    let (number, lan) = (u8::try_from(node + 1).unwrap(), u8::try_from(lan).unwrap());
    (Ipv4Addr::new(10, lan, 0, number).into(), link_local(lan, number))
}

pub fn virtual_address(number: usize, router: &RouterPlan, address: u8) -> IpAddr {
    let (number, lan) = (u8::try_from(number).unwrap(), u8::try_from(router.lan).unwrap());
    match (router.v6, address) {
        (false, _) => Ipv4Addr::new(10, lan, 100 + number, address + 1).into(),
        // The first one of an IPv6 advert is link-local.
        (true, 0) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x100, u16::from(number)).into(),
        (true, _) => {
            Ipv6Addr::new(0x2001, 0xdb8, u16::from(number), 0, 0, 0, 0, u16::from(address)).into()
        }
    }
}

fn tracks(text: &mut String, setting: &Setting) {
    for (what, effect) in &setting.tracks {
        let (block, name) = match what {
            What::Script => ("track_script", "s"),
            What::File => ("track_file", "f"),
            What::Uplink => ("track_interface", "eth9"),
            What::Process => ("track_process", "p"),
        };
        let weight = match effect {
            Effect::Fault => 0,
            Effect::Weight(weight) => *weight,
        };
        let _ = writeln!(text, "{block} {{\n{name} weight {weight}\n}}");
    }
}

impl Setting {
    /// A group of one is none.
    pub fn is_grouped(&self) -> bool {
        self.grouped && self.routers.iter().flatten().count() > 1
    }

    /// What the priority of this node should be now.
    pub fn effective(&self, health: &Health) -> u8 {
        if self.priority == 255 {
            return 255;
        }
        let counts = !self.is_grouped() || self.by_group || self.own_weights;
        let mut total = i64::from(self.priority);
        for (what, effect) in self.tracks.iter().filter(|_| counts) {
            let Effect::Weight(weight) = effect else { continue };
            let weight = i64::from(*weight);
            let good = match what {
                What::Script => health.script,
                What::Uplink => health.uplink,
                What::Process => health.process,
                What::File => {
                    total += (weight * health.file).clamp(-253, 253);
                    continue;
                }
            };
            if good == (weight > 0) {
                total += weight;
            }
        }
        u8::try_from(total.clamp(1, 254)).unwrap()
    }

    /// Whether a virtual router of this node should be in FAULT.
    pub fn is_faulty(&self, plan: &Plan, number: usize, health: &Health) -> bool {
        let broken = |router: &RouterPlan| {
            !health.links[router.lan] || health.absent[router.lan] || !health.own[router.lan]
        };
        let tracked = self.tracks.iter().any(|(what, effect)| {
            let bad = match what {
                What::Script => !health.script,
                What::Uplink => !health.uplink,
                What::Process => !health.process,
                What::File => match effect {
                    Effect::Fault => health.file != 0,
                    Effect::Weight(weight) => i64::from(*weight) * health.file <= -254,
                },
            };
            bad && (*effect == Effect::Fault || *what == What::File)
        });
        let links = if self.is_grouped() {
            let mut members = plan.routers.iter().zip(&self.routers);
            members.any(|(router, there)| there.is_some() && broken(router))
        } else {
            broken(&plan.routers[number])
        };
        tracked || links
    }
}
