//! `virtual_server`, `virtual_server_group`, `SSL`.

use crate::core::config::model::track::FileEffect;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::checker;
use super::context::Context;
use super::global::{keep, set};
use crate::core::config::keywords;
use crate::core::config::model::check::{
    CheckConfig, Defaults, Forwarding, GroupEntry, Persistence, Probe, Protocol, RealServer,
    Scheduler, SorryServer, Target, Thresholds, TlsIdentity, Tunnel, TunnelChecksum, VirtualServer,
    VirtualServerGroup,
};
use crate::core::config::model::services::AlertDefault;
use crate::core::config::model::{Config, Family, Script};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values;
use crate::core::diagnostics::Span;
use crate::core::seldom::Seldom;
use crate::core::shared::Shared;
use crate::core::time::Interval;

const SERVICE: &str = "virtual_server";
const SERVER: &str = "virtual_server/real_server";
/// keepalived takes any delay; this is five centuries.
pub(super) const LONG: Interval = Interval::from_secs(u64::MAX / 1_000_000_000);
/// Of `connect_timeout`: microseconds in 32 bits.
pub(super) const LONGEST_TIMEOUT: Interval = Interval::from_micros(u32::MAX as u64);
/// When `persistence_timeout` stands without a number.
const PERSISTENCE: u32 = 360;
/// What the kernel takes as the name of a persistence engine.
const LONGEST_ENGINE: usize = 15;
/// 31 days.
const LONGEST_PERSISTENCE: u32 = 31 * 86_400;
/// keepalived's limit: the kernel treats weights as signed.
const HEAVIEST: u32 = i32::MAX as u32;
const SCHEDULERS: &[&str] = &[
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos",
];
const FLAG_1: u32 = 0x08;
const FLAG_2: u32 = 0x10;
const FLAG_3: u32 = 0x20;

/// The `SSL` block.
pub fn tls(context: &mut Context, block: &Statement, tls: &mut TlsIdentity) {
    if std::mem::replace(&mut context.tls, true) {
        context.error("duplicate", block.span, "SSL is there already, this one replaces it");
        *tls = TlsIdentity::default();
    }
    for statement in block.children() {
        let slot = match statement.keyword() {
            "password" => &mut tls.password,
            "ca" => &mut tls.ca,
            "certificate" => &mut tls.certificate,
            "key" => &mut tls.key,
            _ => {
                context.unknown("SSL", statement);
                continue;
            }
        };
        *slot = context.text(statement);
    }
}

/// A `virtual_server_group` block.
pub fn group(context: &mut Context, block: &Statement, config: &mut CheckConfig) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.groups.iter().any(|group| group.name == name) {
        let message = format!("virtual_server_group {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let mut entries = Vec::new();
    for statement in block.children() {
        let Some(first) = statement.words.first() else {
            continue;
        };
        let argument = statement.arguments().first();
        if first.text == "fwmark" {
            let grammar = |word: &str| values::number(word, 1..=u32::MAX);
            let mark = argument.and_then(|mark| context.parse_token("fwmark", mark, grammar));
            let family = statement.arguments().get(1).map(|token| {
                context.parse_token("fwmark", token, |word| match word {
                    "inet" => Ok(Family::Inet),
                    "inet6" => Ok(Family::Inet6),
                    _ => Err("neither inet nor inet6".to_owned()),
                })
            });
            if let (Some(mark), None | Some(Some(_))) = (mark, family) {
                entries.push(GroupEntry::Fwmark { mark, family: family.flatten() });
            }
            continue;
        }
        let port = match argument {
            None => Some(0),
            Some(port) => context.parse_token("port", port, values::port),
        };
        if let Some(port) = port {
            let grammar = |word: &str| values::group_addresses(word, port);
            entries.extend(context.parse_token("virtual_server_group", first, grammar));
        }
    }
    if entries.is_empty() {
        let message = format!("virtual_server_group {name} is empty, it is left out");
        return context.error("empty-group", block.span, message);
    }
    config.groups.push(VirtualServerGroup { name, entries });
}

/// Defaults that a service gives its servers, and a server its checkers.
#[derive(Debug, Clone, Default)]
pub struct Inherited {
    /// `delay_loop`.
    pub delay_loop: Option<Interval>,
    /// `retry`.
    pub retry: Option<u32>,
    /// `delay_before_retry`.
    pub delay_before_retry: Option<Interval>,
    /// `warmup`.
    pub warmup: Option<Interval>,
    /// `connect_timeout`.
    pub connect_timeout: Option<Interval>,
    /// `virtualhost`.
    pub virtualhost: Option<String>,
    /// `slow_start`.
    pub slow_start: Option<Interval>,
    /// `drain_time`.
    pub drain_time: Option<Interval>,
    /// `alpha`.
    pub alpha: bool,
    /// `inhibit_on_failure`.
    pub inhibit: bool,
    /// `checker_log_all_failures`.
    pub log_all_failures: bool,
    /// `track_file`s with their own effects.
    pub files: Arc<[(String, FileEffect)]>,
    /// Names of `bfd_instance`s.
    pub sessions: Arc<[String]>,
}

impl Inherited {
    /// Takes the words that service and server have in common; whether it was one.
    fn take(&mut self, context: &mut Context, statement: &Statement) -> bool {
        let positive = Interval::from_micros(1)..=LONG;
        let any = Interval::ZERO..=LONG;
        match statement.keyword() {
            "delay_loop" => keep(&mut self.delay_loop, context.seconds(statement, positive)),
            "retry" => keep(&mut self.retry, context.number(statement, 1..=u32::MAX)),
            "delay_before_retry" => {
                keep(&mut self.delay_before_retry, context.seconds(statement, any));
            }
            "warmup" => keep(&mut self.warmup, context.seconds(statement, any)),
            "connect_timeout" => {
                let range = Interval::from_micros(1)..=LONGEST_TIMEOUT;
                keep(&mut self.connect_timeout, context.seconds(statement, range));
            }
            "virtualhost" => keep(&mut self.virtualhost, context.text(statement)),
            "slow_start" => keep(&mut self.slow_start, context.seconds(statement, any)),
            "drain_time" => keep(&mut self.drain_time, context.seconds(statement, any)),
            _ => return false,
        }
        true
    }

    /// As it shows from outside.
    fn shown(&self, weight: u32) -> Defaults {
        let usual = Defaults::default();
        Defaults {
            virtualhost: self.virtualhost.clone(),
            delay_loop: self.delay_loop.unwrap_or(usual.delay_loop),
            retry: self.retry.unwrap_or(0),
            delay_before_retry: self.delay_before_retry.unwrap_or(Interval::ZERO),
            warmup: self.warmup.unwrap_or(Interval::ZERO),
            connect_timeout: self.connect_timeout.unwrap_or(usual.connect_timeout),
            weight,
            inhibit: self.inhibit,
            alpha: self.alpha,
        }
    }
}

/// A `virtual_server` block.
pub fn service(context: &mut Context, block: &Statement, config: &mut Config) {
    let Some(mut draft) = Draft::begin(context, block, config) else {
        return;
    };
    let inherited = &mut draft.inherited;
    inherited.log_all_failures = config.global.checker_log_all_failures;
    draft.smtp_alert = config.global.mail.checker_default(AlertDefault::Off);
    draft.server_alert = config.global.mail.checker_default(AlertDefault::On);
    for statement in block.children() {
        if statement.keyword() != "real_server" {
            draft.one(context, statement);
        }
    }
    let mut service = draft.finish(context, block);
    let mut addresses = BTreeSet::new();
    for statement in block.children().iter().filter(|child| child.keyword() == "real_server") {
        if let Some(mut server) = real_server(context, statement, &service, &draft) {
            if !addresses.insert(server.address) {
                let message =
                    format!("real_server {} is there twice, the first counts", server.address);
                context.error("duplicate", statement.span, message);
                continue;
            }
            share_urls(&mut server, service.real_servers.last());
            service.real_servers.push(server.into());
        }
    }
    if let Target::Fwmark { family, .. } = &mut service.target
        && draft.family.is_none()
        && let Some(server) = service.real_servers.first()
    {
        *family = Family::of(server.address.ip());
    }
    settle_sorry_server(context, block.span, &mut service);
    settle_quorum(context, block.span, &mut service);
    service.real_servers.shrink_to_fit();
    if service.real_servers.is_empty() {
        let message = "a virtual server without real servers, it is left out";
        return context.error("no-real-server", block.span, message);
    }
    if !context.targets.insert(service.target.clone()) {
        // As keepalived 2.2.7, to which it is one more service with the same address.
        let message = "this virtual server is defined already; the servers of both serve";
        context.warning("duplicate", block.span, message);
    }
    config.check.virtual_servers.push(service.into());
}

/// Servers of one service are mostly asked for the same urls.
fn share_urls(server: &mut RealServer, neighbour: Option<&Shared<RealServer>>) {
    let known = neighbour.iter().flat_map(|server| &server.checkers);
    let known: Vec<_> = known.filter_map(|checker| checker.probe.as_http()).collect();
    for place in 0..server.checkers.len() {
        let http = server.checkers.get(place).and_then(|checker| checker.probe.as_http());
        let twin = http.and_then(|http| known.iter().find(|twin| twin.urls == http.urls));
        if let (Some(twin), Some(checker)) = (twin, server.checkers.get_mut(place))
            && let Probe::Http(http) = &mut checker.probe
        {
            http.urls = twin.urls.clone();
        }
    }
}

/// What is said about a service.
struct Draft {
    target: Named,
    family: Option<Family>,
    protocol: Option<Protocol>,
    scheduler: Option<String>,
    flags: u32,
    one_packet: Option<Span>,
    forwarding: Option<Forwarding>,
    persistence: Option<u32>,
    granularity: Option<u8>,
    engine: Option<String>,
    quorum: u32,
    hysteresis: u32,
    quorum_up: Option<Shared<Script>>,
    quorum_down: Option<Shared<Script>>,
    sorry: Option<(IpAddr, Option<u16>)>,
    sorry_forwarding: Option<Forwarding>,
    sorry_inhibit: bool,
    omega: bool,
    ha_suspend: bool,
    weight: u32,
    smtp_alert: bool,
    server_alert: bool,
    snmp_name: Option<String>,
    inherited: Inherited,
}

/// What the line of the block names.
enum Named {
    Address(SocketAddr),
    Fwmark(u32),
    Group {
        name: String,
        family: Option<Family>,
        /// One of its addresses has no port.
        every_port: bool,
    },
}

impl Draft {
    fn begin(context: &mut Context, block: &Statement, config: &Config) -> Option<Self> {
        let first = context.required(block)?;
        let second = block.arguments().get(1);
        let target = match (&*first.text, second) {
            ("fwmark", Some(mark)) => {
                let grammar = |word: &str| values::number(word, 1..=u32::MAX);
                Named::Fwmark(context.parse_token("fwmark", mark, grammar)?)
            }
            ("group", Some(name)) => {
                let Some(group) = config.check.groups.iter().find(|group| name.text == group.name)
                else {
                    let message = format!("virtual_server_group {} is not defined", name.text);
                    context.error("unknown-group", name.span, message);
                    return None;
                };
                let family = group.entries.iter().find_map(|entry| match entry {
                    GroupEntry::Addresses { first, .. } => Some(Family::of(first.ip())),
                    GroupEntry::Fwmark { family, .. } => *family,
                });
                let every_port = group.entries.iter().any(|entry| match entry {
                    GroupEntry::Addresses { first, .. } => first.port() == 0,
                    GroupEntry::Fwmark { .. } => false,
                });
                Named::Group { name: name.text.to_string(), family, every_port }
            }
            ("fwmark" | "group", None) => {
                context.error("missing-value", first.span, "what follows is missing");
                return None;
            }
            (_, port) => {
                let address = context.parse_token(SERVICE, first, values::address)?;
                let port = match port {
                    None => 0,
                    Some(port) if port.text == "0" => 0,
                    Some(port) => context.parse_token("port", port, values::port)?,
                };
                Named::Address(SocketAddr::new(address, port))
            }
        };
        Some(Self {
            target,
            family: None,
            protocol: None,
            scheduler: None,
            flags: 0,
            one_packet: None,
            forwarding: None,
            persistence: None,
            granularity: None,
            engine: None,
            quorum: 1,
            hysteresis: 0,
            quorum_up: None,
            quorum_down: None,
            sorry: None,
            sorry_forwarding: None,
            sorry_inhibit: false,
            omega: false,
            ha_suspend: false,
            weight: 1,
            smtp_alert: false,
            server_alert: true,
            snmp_name: None,
            inherited: Inherited {
                files: config
                    .track_files
                    .iter()
                    .map(|file| (file.name.clone(), file.effect))
                    .collect(),
                sessions: config.bfd.iter().map(|session| session.name.clone()).collect(),
                ..Inherited::default()
            },
        })
    }

    fn one(&mut self, context: &mut Context, statement: &Statement) {
        if self.inherited.take(context, statement) {
            return;
        }
        match statement.keyword() {
            "ip_family" => {
                let found = context.parse(statement, |word| match word {
                    "inet" => Ok(Family::Inet),
                    "inet6" => Ok(Family::Inet6),
                    _ => Err("neither inet nor inet6".to_owned()),
                });
                let own = match &self.target {
                    Named::Address(address) => Some(Family::of(address.ip())),
                    Named::Group { family, .. } => *family,
                    Named::Fwmark(_) => None,
                };
                if found.is_some() && own.is_some() && found != own {
                    let message = "ip_family is not that of the addresses, it is ignored";
                    return context.error("mixed-family", statement.span, message);
                }
                keep(&mut self.family, found);
            }
            "lb_algo" | "lvs_sched" => {
                let found = context.parse(statement, |word| {
                    if SCHEDULERS.contains(&word) {
                        Ok(word.to_owned())
                    } else {
                        Err(format!("not a scheduler ({})", SCHEDULERS.join(", ")))
                    }
                });
                keep(&mut self.scheduler, found);
            }
            "lb_kind" | "lvs_method" => keep(&mut self.forwarding, forwarding(context, statement)),
            "ops" => self.one_packet = Some(statement.span),
            "flag-1" => self.flags |= FLAG_1,
            "flag-2" => self.flags |= FLAG_2,
            "flag-3" => self.flags |= FLAG_3,
            "sh-fallback" => self.hash_flag(context, statement, "sh", FLAG_1),
            "sh-port" => self.hash_flag(context, statement, "sh", FLAG_2),
            "mh-fallback" => self.hash_flag(context, statement, "mh", FLAG_1),
            "mh-port" => self.hash_flag(context, statement, "mh", FLAG_2),
            "persistence_timeout" => {
                let found = if statement.arguments().is_empty() {
                    Some(PERSISTENCE)
                } else {
                    context.number(statement, 1..=LONGEST_PERSISTENCE)
                };
                keep(&mut self.persistence, found);
            }
            "persistence_granularity" => {
                keep(&mut self.granularity, context.parse(statement, values::granularity));
            }
            "persistence_engine" => {
                let found = context.parse(statement, |word| match word.len() {
                    1..=LONGEST_ENGINE => Ok(word.to_owned()),
                    _ => Err(format!("longer than {LONGEST_ENGINE} characters")),
                });
                keep(&mut self.engine, found);
            }
            "protocol" => {
                let found =
                    context.parse(statement, |word| match word.to_ascii_uppercase().as_str() {
                        "TCP" => Ok(Protocol::Tcp),
                        "UDP" => Ok(Protocol::Udp),
                        "SCTP" => Ok(Protocol::Sctp),
                        _ => Err("none of TCP, UDP, SCTP".to_owned()),
                    });
                keep(&mut self.protocol, found);
            }
            "alpha" => self.inherited.alpha = true,
            "omega" => self.omega = true,
            "ha_suspend" if matches!(self.target, Named::Fwmark(_)) => {
                let message = "ha_suspend needs an address, it is ignored";
                context.error("fwmark-suspend", statement.span, message);
            }
            "ha_suspend" => {
                context.flag(statement);
                self.ha_suspend = true;
            }
            "hashed" => self.hash_flag(context, statement, "sh", 0),
            "smtp_alert" => set(&mut self.smtp_alert, context.boolean(statement)),
            "snmp_name" => keep(&mut self.snmp_name, context.text(statement)),
            "quorum" => set(&mut self.quorum, context.number(statement, 1..=u32::MAX)),
            "hysteresis" => set(&mut self.hysteresis, context.number(statement, 0..=u32::MAX)),
            "quorum_up" => context.script_once(statement, &mut self.quorum_up),
            "quorum_down" => context.script_once(statement, &mut self.quorum_down),
            "inhibit_on_failure" => self.inherited.inhibit = true,
            "weight" => set(&mut self.weight, context.number(statement, 1..=HEAVIEST)),
            "sorry_server" => {
                let address = context
                    .required(statement)
                    .and_then(|token| context.parse_token("sorry_server", token, values::address));
                let port = statement.arguments().get(1);
                let port = port.map(|port| context.parse_token("port", port, values::port));
                self.sorry = match (address, port) {
                    (Some(address), Some(Some(port))) => Some((address, Some(port))),
                    (Some(address), None) => Some((address, None)),
                    (Some(_), Some(None)) | (None, _) => None,
                };
            }
            "sorry_server_inhibit" if self.sorry.is_some() => self.sorry_inhibit = true,
            "sorry_server_lvs_method" if self.sorry.is_some() => {
                self.sorry_forwarding = forwarding(context, statement);
            }
            "sorry_server_inhibit" | "sorry_server_lvs_method" => {
                let message = format!("{} stands before sorry_server", statement.keyword());
                context.error("order", statement.span, message);
            }
            _ => context.unknown(SERVICE, statement),
        }
    }

    fn hash_flag(&mut self, context: &mut Context, statement: &Statement, needs: &str, flag: u32) {
        if self.scheduler.as_deref() == Some(needs) {
            self.flags |= flag;
        } else {
            let message = format!("{} needs lb_algo {needs} before it", statement.keyword());
            context.error("order", statement.span, message);
        }
    }

    fn finish(&mut self, context: &mut Context, block: &Statement) -> VirtualServer {
        let forwarding = self.forwarding.unwrap_or_else(|| {
            context.error("no-lb-kind", block.span, "no lb_kind, NAT is used");
            Forwarding::Masquerade
        });
        let scheduler = self.scheduler.clone().unwrap_or_else(|| {
            context.error("no-lb-algo", block.span, "no lb_algo, wlc is used");
            "wlc".to_owned()
        });
        let protocol = |context: &mut Context| {
            self.protocol.unwrap_or_else(|| {
                context.error("no-protocol", block.span, "no protocol, UDP is used");
                Protocol::Udp
            })
        };
        let target = match &self.target {
            Named::Address(address) => {
                Target::Address { address: *address, protocol: protocol(context) }
            }
            Named::Fwmark(mark) => {
                if self.protocol.is_some() {
                    let message = "a protocol means nothing to a fwmark service, it is ignored";
                    context.error("fwmark-protocol", block.span, message);
                }
                Target::Fwmark { mark: *mark, family: self.family.unwrap_or_default() }
            }
            Named::Group { name, .. } => {
                Target::Group { name: name.clone(), protocol: protocol(context) }
            }
        };
        let family = self.service_family();
        let every_port = match &self.target {
            Named::Address(address) => address.port() == 0,
            Named::Group { every_port, .. } => *every_port,
            Named::Fwmark(_) => false,
        };
        if every_port && self.persistence.is_none() {
            // The kernel balances a service of every port only when a client stays with its server.
            self.persistence = Some(PERSISTENCE);
        }
        let udp = match &target {
            Target::Address { protocol, .. } | Target::Group { protocol, .. } => {
                *protocol == Protocol::Udp
            }
            Target::Fwmark { .. } => true,
        };
        if let Some(span) = self.one_packet
            && !udp
        {
            context.error("ops", span, "ops is for UDP and fwmark services only");
            self.one_packet = None;
        }
        let service_port = match &target {
            Target::Address { address, .. } => address.port(),
            Target::Fwmark { .. } | Target::Group { .. } => 0,
        };
        let sorry_forwarding = self.sorry_forwarding.unwrap_or(forwarding);
        let sorry_server = self.sorry.map(|(address, port)| SorryServer {
            address: SocketAddr::new(address, port.unwrap_or(service_port)),
            forwarding: sorry_forwarding,
            inhibit: self.sorry_inhibit,
        });
        VirtualServer {
            target,
            scheduler: Scheduler { name: scheduler, flags: self.flags },
            one_packet: self.one_packet.is_some(),
            forwarding,
            persistence: self.persistence.map(|timeout| Persistence {
                timeout,
                granularity: self.granularity.unwrap_or(family.bits()).min(family.bits()),
                engine: self.engine.clone(),
            }),
            quorum: self.quorum,
            hysteresis: self.hysteresis,
            quorum_up: self.quorum_up.take(),
            quorum_down: self.quorum_down.take(),
            sorry_server,
            alpha: self.inherited.alpha,
            omega: self.omega,
            ha_suspend: self.ha_suspend,
            smtp_alert: self.smtp_alert,
            snmp_name: self.snmp_name.clone(),
            real_servers: Vec::new(),
            defaults: self.inherited.shown(self.weight).into(),
        }
    }

    fn service_family(&self) -> Family {
        match &self.target {
            Named::Address(address) => Family::of(address.ip()),
            Named::Fwmark(_) => self.family.unwrap_or_default(),
            Named::Group { family, .. } => self.family.or(*family).unwrap_or_default(),
        }
    }
}

/// `NAT`, `DR`, `TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]`.
fn forwarding(context: &mut Context, statement: &Statement) -> Option<Forwarding> {
    let first = context.required(statement)?;
    if first.text != "TUN"
        && let Some(extra) = statement.arguments().get(1)
    {
        let message = format!("'{}' is for tunnels", extra.text);
        context.error("extra-words", extra.span, message);
    }
    match &*first.text {
        "NAT" => Some(Forwarding::Masquerade),
        "DR" => Some(Forwarding::DirectRouting),
        "TUN" => tunnel(context, statement.arguments().get(1..)?).map(Forwarding::Tunnel),
        _ => {
            let message = format!("{} '{}': none of NAT, DR, TUN", statement.keyword(), first.text);
            context.error("bad-value", first.span, message);
            None
        }
    }
}

fn tunnel(context: &mut Context, words: &[Token]) -> Option<Tunnel> {
    let mut kind: Option<&Token> = None;
    let mut port = None;
    let mut checksum = TunnelChecksum::None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match &*word.text {
            "type" => kind = rest.next(),
            "port" => {
                let token = rest.next()?;
                port = context.parse_token("port", token, values::port);
            }
            "nocsum" => checksum = TunnelChecksum::None,
            "csum" => checksum = TunnelChecksum::Outer,
            "remcsum" => checksum = TunnelChecksum::Remote,
            other => {
                let message = format!("unknown word '{other}' of a tunnel");
                context.error("unknown-keyword", word.span, message);
            }
        }
    }
    match (kind.map(|kind| (&*kind.text, kind.span)), port) {
        (None | Some(("ipip", _)), _) => {
            if checksum != TunnelChecksum::None
                && let Some(word) = words.first()
            {
                let message = "an ipip tunnel has no checksum, the option is ignored";
                context.error("tunnel-checksum", word.span, message);
            }
            Some(Tunnel::Ipip)
        }
        (Some(("gre", _)), _) => Some(Tunnel::Gre { checksum }),
        (Some(("gue", _)), Some(port)) => Some(Tunnel::Gue { port, checksum }),
        (Some(("gue", span)), None) => {
            context.error("missing-value", span, "a gue tunnel needs a port");
            None
        }
        (Some((other, span)), _) => {
            let message = format!("unknown tunnel type '{other}'");
            context.error("bad-value", span, message);
            None
        }
    }
}

fn real_server(
    context: &mut Context,
    block: &Statement,
    service: &VirtualServer,
    draft: &Draft,
) -> Option<RealServer> {
    let first = context.required(block)?;
    let ip = context.parse_token("real_server", first, values::address)?;
    let tunnelled = matches!(service.forwarding, Forwarding::Tunnel(_));
    // A mark alone is of the family of its first server.
    let settled = draft.family.is_some() || !matches!(service.target, Target::Fwmark { .. });
    if settled && Family::of(ip) != draft.service_family() && !tunnelled {
        let message = format!("real_server {ip} is of another family than its virtual server");
        context.error("mixed-family", first.span, message);
        return None;
    }
    let written = match block.arguments().get(1) {
        None => None,
        Some(token) if token.text == "0" => Some(0),
        Some(token) => Some(context.parse_token("port", token, values::port)?),
    };
    let mut inherited = draft.inherited.clone();
    let mut server = RealServer {
        address: SocketAddr::new(ip, 0),
        weight: draft.weight,
        forwarding: service.forwarding,
        inhibit_on_failure: inherited.inhibit,
        thresholds: Thresholds::default(),
        smtp_alert: draft.server_alert,
        checkers: Vec::new(),
        extras: Seldom::default(),
        defaults: service.defaults.clone(),
    };
    let mut checks = Vec::new();
    for statement in block.children() {
        if inherited.take(context, statement) {
            continue;
        }
        match statement.keyword() {
            "weight" => set(&mut server.weight, context.number(statement, 0..=HEAVIEST)),
            "lvs_method" | "lb_kind" => {
                set(&mut server.forwarding, forwarding(context, statement));
            }
            "uthreshold" => {
                set(&mut server.thresholds.upper, context.number(statement, 0..=u32::MAX));
            }
            "lthreshold" => {
                set(&mut server.thresholds.lower, context.number(statement, 0..=u32::MAX));
            }
            "inhibit_on_failure" => {
                set(&mut server.inhibit_on_failure, context.boolean(statement));
            }
            "smtp_alert" => set(&mut server.smtp_alert, context.boolean(statement)),
            "snmp_name" => keep(&mut server.extras.snmp_name, context.text(statement)),
            "notify_up" => context.script_once(statement, &mut server.extras.notify_up),
            "notify_down" => context.script_once(statement, &mut server.extras.notify_down),
            "alpha" => set(&mut inherited.alpha, context.boolean(statement)),
            keyword if keywords::opens_block(SERVER, keyword) => checks.push(statement),
            _ => context.unknown(SERVER, statement),
        }
    }
    if server.thresholds.upper > 0 && server.thresholds.lower > server.thresholds.upper {
        context.error("thresholds", block.span, "lthreshold is above uthreshold, it is ignored");
        server.thresholds.lower = 0;
    }
    let own = (inherited.virtualhost != draft.inherited.virtualhost)
        .then(|| inherited.virtualhost.clone())
        .flatten();
    let defaults = Defaults { virtualhost: own, ..inherited.shown(draft.weight) };
    if defaults != *server.defaults {
        server.defaults = defaults.into();
    }
    if let Some(time) = inherited.slow_start {
        server.extras.slow_start = time;
    }
    if let Some(time) = inherited.drain_time {
        server.extras.drain_time = time;
    }
    server.address.set_port(server_port(context, block, service, written, server.forwarding));
    // A port that is cleared or replaced is so in the table only (keepalived 2.2.7, asked).
    let probed = SocketAddr::new(ip, written.unwrap_or(server.address.port()));
    for statement in checks {
        if statement.keyword() == "FILE_CHECK" {
            server.extras.file_checks.extend(checker::file::build(context, statement, &inherited));
            continue;
        }
        if statement.keyword() == "BFD_CHECK" {
            server.extras.bfd_checks.extend(checker::bfd::build(context, statement, &inherited));
            continue;
        }
        let checkers = checker::build(context, statement, probed, service, &inherited);
        server.checkers.extend(checkers.into_iter().map(Shared::from));
    }
    // There may be tens of thousands of servers: no room for checkers that do not come.
    server.checkers.shrink_to_fit();
    Some(server)
}

/// Direct routing and tunnels deliver packets as they are: the port is the service's.
fn server_port(
    context: &mut Context,
    block: &Statement,
    service: &VirtualServer,
    written: Option<u16>,
    forwarding: Forwarding,
) -> u16 {
    let of_service = match &service.target {
        Target::Address { address, .. } => address.port(),
        Target::Group { .. } => return written.unwrap_or(0),
        Target::Fwmark { .. } if forwarding == Forwarding::Masquerade => {
            return written.unwrap_or(0);
        }
        Target::Fwmark { .. } => {
            if let Some(port) = written.filter(|port| *port != 0) {
                let message = format!(
                    "direct routing and tunnels cannot change the port of a packet, {port} is not used"
                );
                context.error("fwmark-port", block.span, message);
            }
            return 0;
        }
    };
    match (forwarding, written) {
        (Forwarding::Masquerade, written) => written.unwrap_or(of_service),
        (Forwarding::DirectRouting | Forwarding::Tunnel(_), Some(port)) if port != of_service => {
            let message = format!(
                "port {port} differs from the service's, which direct routing and tunnels cannot change; {of_service} is used"
            );
            context.error("port-mismatch", block.span, message);
            of_service
        }
        (Forwarding::DirectRouting | Forwarding::Tunnel(_), _) => of_service,
    }
}

/// A sorry server that is also a real server is treated like it.
fn settle_sorry_server(context: &mut Context, span: Span, service: &mut VirtualServer) {
    let Some(sorry) = &mut service.sorry_server else { return };
    let twin = service.real_servers.iter().find(|server| server.address == sorry.address);
    if let Some(twin) = twin
        && twin.inhibit_on_failure != sorry.inhibit
    {
        let message = format!(
            "real server {} is the sorry server too, but inhibit differs; the real server's counts",
            sorry.address
        );
        context.error("sorry-server", span, message);
        sorry.inhibit = twin.inhibit_on_failure;
    }
}

/// A quorum that can never be reached is lowered, as is a hysteresis that leaves no room.
fn settle_quorum(context: &mut Context, span: Span, service: &mut VirtualServer) {
    let total =
        service.real_servers.iter().fold(0u32, |total, server| total.saturating_add(server.weight));
    if service.quorum > total {
        let message =
            format!("quorum {} is above the total weight, {total} is used", service.quorum);
        context.error("quorum", span, message);
        service.quorum = total;
    }
    if service.hysteresis > 0 && service.hysteresis >= service.quorum {
        let lowered = service.quorum.saturating_sub(1);
        let message =
            format!("hysteresis {} is not below the quorum, {lowered} is used", service.hysteresis);
        context.error("hysteresis", span, message);
        service.hysteresis = lowered;
    }
    let gained = u64::from(service.quorum) + u64::from(service.hysteresis);
    if service.hysteresis > 0 && gained > u64::from(total) {
        let consequence = match &service.sorry_server {
            Some(sorry) => format!("clients are always sent to {}", sorry.address),
            None => "quorum_up is never run".to_owned(),
        };
        let message = format!(
            "quorum {} and hysteresis {} are above the total weight {total}: without checks that raise weights the quorum is never gained, {consequence}",
            service.quorum, service.hysteresis
        );
        context.warning("hysteresis-above-weight", span, message);
    }
}
