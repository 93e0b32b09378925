//! Lines of `virtual_routes` and `static_routes`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Need;
use super::context::Context;
use super::names::{self, named};
use super::words::{Dropped, Words};
use crate::core::config::model::Family;
use crate::core::config::model::route::{
    Encapsulation, Hop, Insertion, IpEncapsulation, Lockable, NameTable, Named, NextHop, Prefix,
    Realms, Route, RouteKind, RouteMetrics, RouterPreference,
};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};
use crate::core::time::Interval;

/// RTPROT_KEEPALIVED.
pub const PROTOCOL: Named = Named::Number(18);
/// RT_TABLE_MAIN.
const MAIN: Named = Named::Number(254);
/// The kernel's time to live, TCP's shortest and longest time of retransmission.
const SHORTEST_ROUND_TRIP: Interval = Interval::from_millis(200);
const LONGEST_ROUND_TRIP: Interval = Interval::from_secs(120);

/// Whose routes or rules a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An instance: they come and go with its master state.
    Instance,
    /// The daemon: they are always there.
    Static,
}

/// The lines of a block; a faulty one is told and left out.
pub fn routes(context: &mut Context, block: &Statement, owner: Owner, into: &mut Vec<Route>) {
    for statement in context.entries(block) {
        if let Ok(route) = line(context, statement, owner) {
            into.push(route);
        }
    }
}

/// What a line says before it is complete.
struct Draft {
    family: Option<Family>,
    /// The line named `inet` or `inet6` or an address; all must agree.
    destination: Option<Destination>,
    protocol: Option<(Named, Token)>,
    second_gateway: Option<IpAddr>,
    route: Route,
}

enum Destination {
    Everything,
    Network(Prefix),
}

fn line(context: &mut Context, statement: &Statement, owner: Owner) -> Result<Route, Dropped> {
    let mut draft = Draft {
        family: None,
        destination: None,
        protocol: None,
        second_gateway: None,
        route: blank(),
    };
    let mut words = Words::strict(&statement.words);
    while let Some(word) = words.pop() {
        draft.word(context, word, &mut words, owner)?;
    }
    draft.complete(context, statement)
}

fn blank() -> Route {
    Route {
        family: Family::Inet,
        kind: RouteKind::Unicast,
        destination: Prefix { address: Ipv4Addr::UNSPECIFIED.into(), length: 0 },
        hop: Hop::default(),
        next_hops: Vec::new(),
        source: None,
        from: None,
        table: MAIN,
        vrf: None,
        metric: None,
        scope: None,
        tos: None,
        protocol: PROTOCOL,
        expires: None,
        preference: None,
        ttl_propagate: None,
        metrics: RouteMetrics::default(),
        insertion: Insertion::default(),
        tracked: true,
        track_group: None,
    }
}

impl Draft {
    fn word(
        &mut self,
        context: &mut Context,
        word: &Token,
        words: &mut Words<'_>,
        owner: Owner,
    ) -> Result<(), Dropped> {
        match &*word.text {
            "inet" => self.settle(context, word, Family::Inet)?,
            "inet6" => self.settle(context, word, Family::Inet6)?,
            "via" | "gw" => {
                if word.text == "gw" {
                    context.error("deprecated", word.span, "`gw` is deprecated, use `via`");
                }
                let gateway = gateway(context, word, words)?;
                self.settle(context, word, Family::of(gateway))?;
                self.route.hop.gateway = Some(gateway);
            }
            "or" => {
                context.error("deprecated", word.span, "`or` is deprecated, use `nexthop`");
                let gateway = words.parse(context, word, values::address)?;
                self.settle(context, word, Family::of(gateway))?;
                self.second_gateway = Some(gateway);
            }
            "nexthop" => self.next_hops(context, word, words)?,
            "src" => {
                let source = words.parse(context, word, values::address)?;
                self.settle(context, word, Family::of(source))?;
                self.route.source = Some(source);
            }
            "from" => {
                let (address, length) = words.parse(context, word, values::network)?;
                self.settle(context, word, Family::Inet6)?;
                if address.is_ipv4() {
                    return Err(wrong_family(context, word));
                }
                self.route.from = Some(Prefix { address, length });
            }
            "dev" | "oif" => self.route.hop.interface = Some(interface(context, word, words)?),
            "table" => self.route.table = table(context, word, words)?,
            "vrf" => self.route.vrf = Some(interface(context, word, words)?),
            "metric" | "priority" | "preference" => {
                let grammar = |word: &str| names::number(word, u32::MAX);
                self.route.metric = Some(words.parse(context, word, grammar)?);
            }
            "scope" => {
                self.route.scope = Some(words.named(context, word, NameTable::Scopes)?);
            }
            "tos" | "dsfield" => self.route.tos = Some(service(context, word, words)?),
            "protocol" => {
                let found = words.named(context, word, NameTable::Protocols)?;
                self.protocol = Some((found, word.clone()));
            }
            "onlink" => self.route.hop.onlink = true,
            "realms" => self.route.hop.realms = Some(realms(context, word, words)?),
            "encap" => {
                if let Some(found) = encapsulation(context, word, words)? {
                    self.route.hop.encapsulation = Some(found);
                }
            }
            "expires" => {
                self.settle(context, word, Family::Inet6)?;
                let grammar = |word: &str| names::number(word, u32::MAX);
                self.route.expires = Some(words.parse(context, word, grammar)?);
            }
            "pref" => {
                self.settle(context, word, Family::Inet6)?;
                self.route.preference = Some(words.parse(context, word, preference)?);
            }
            "ttl-propagate" => {
                let value = words.value(context, word)?;
                let found = context.parse_token(&word.text, value, |word| match word {
                    "enabled" => Ok(true),
                    "disabled" => Ok(false),
                    _ => Err("neither enabled nor disabled; disabled is used".to_owned()),
                });
                self.route.ttl_propagate = Some(found.unwrap_or(false));
            }
            "add" => self.route.insertion = Insertion::Add,
            "prepend" => self.route.insertion = Insertion::Prepend,
            "append" => self.route.insertion = Insertion::Append,
            "as" => {
                context.error("bad-value", word.span, "`as` is not for these routes");
                words.take("to");
                words.value(context, word)?;
            }
            "no_track" => self.route.tracked = false,
            "track_group" => {
                self.route.track_group = track_group(context, word, words, owner)?;
            }
            _ if metric(context, word, words, &mut self.route.metrics)? => {}
            _ => self.destination(context, word, words)?,
        }
        Ok(())
    }

    /// All addresses of a line are of one family.
    fn settle(
        &mut self,
        context: &mut Context,
        word: &Token,
        family: Family,
    ) -> Result<(), Dropped> {
        if *self.family.get_or_insert(family) == family {
            return Ok(());
        }
        Err(wrong_family(context, word))
    }

    /// `[to] [TYPE] ADDR[/LEN]`, `default`, `any`, `all`.
    fn destination(
        &mut self,
        context: &mut Context,
        word: &Token,
        words: &mut Words<'_>,
    ) -> Result<(), Dropped> {
        let mut at = word;
        if word.text == "to" {
            at = words.value(context, word)?;
        }
        if let Some(kind) = kind(&at.text) {
            self.route.kind = kind;
            // The destination follows here or, with `to`, later.
            return Ok(());
        }
        if self.destination.is_some() {
            let message = format!("'{}' is not understood, the route is left out", at.text);
            context.error("unknown-keyword", at.span, message);
            return Err(Dropped);
        }
        self.destination = Some(match &*at.text {
            "default" | "any" | "all" => Destination::Everything,
            "default6" => {
                context.warning("deprecated", at.span, "`default6` is the old name of `default`");
                self.settle(context, at, Family::Inet6)?;
                Destination::Everything
            }
            _ => {
                let found = context.parse_token("route", at, destination).ok_or(Dropped)?;
                self.settle(context, at, Family::of(found.address))?;
                Destination::Network(found)
            }
        });
        Ok(())
    }

    /// Everything after `nexthop` belongs to next hops.
    fn next_hops(
        &mut self,
        context: &mut Context,
        word: &Token,
        words: &mut Words<'_>,
    ) -> Result<(), Dropped> {
        let mut hop = NextHop { hop: Hop::default(), weight: 1 };
        let mut at = word;
        loop {
            let next = words.pop();
            let Some(word) = next.filter(|word| word.text != "nexthop") else {
                if hop.hop == Hop::default() {
                    let message = "a nexthop without `via` and `dev`, the route is left out";
                    context.error("missing-value", at.span, message);
                    return Err(Dropped);
                }
                self.route
                    .next_hops
                    .push(std::mem::replace(&mut hop, NextHop { hop: Hop::default(), weight: 1 }));
                match next {
                    None => return Ok(()),
                    Some(word) => at = word,
                }
                continue;
            };
            match &*word.text {
                "via" => {
                    let gateway = gateway(context, word, words)?;
                    self.settle(context, word, Family::of(gateway))?;
                    hop.hop.gateway = Some(gateway);
                }
                "dev" | "oif" => hop.hop.interface = Some(interface(context, word, words)?),
                "weight" => {
                    let grammar = |word: &str| values::number(word, 1..=256);
                    let weight = words.parse(context, word, grammar)?;
                    hop.weight = u16::try_from(weight).unwrap_or(1);
                }
                "onlink" => hop.hop.onlink = true,
                "encap" => hop.hop.encapsulation = encapsulation(context, word, words)?,
                "realms" => hop.hop.realms = Some(realms(context, word, words)?),
                other => {
                    let message = format!("'{other}' is not for a nexthop, the route is left out");
                    context.error("unknown-keyword", word.span, message);
                    return Err(Dropped);
                }
            }
        }
    }

    fn complete(mut self, context: &mut Context, statement: &Statement) -> Result<Route, Dropped> {
        let family = self.family.unwrap_or_default();
        self.route.family = family;
        self.route.destination = match self.destination {
            Some(Destination::Network(prefix)) => prefix,
            Some(Destination::Everything) => Prefix { address: unspecified(family), length: 0 },
            None => {
                let message = "a route without a destination, it is left out";
                context.error("missing-value", statement.span, message);
                return Err(Dropped);
            }
        };
        if family == Family::Inet6 && self.route.hop.realms.is_some() {
            let message = "realms are for IPv4, the route is left out";
            context.error("mixed-family", statement.span, message);
            return Err(Dropped);
        }
        self.settle_tracking(context, statement);
        if let Some(second) = self.second_gateway {
            let first = std::mem::take(&mut self.route.hop);
            let second = Hop { gateway: Some(second), ..first.clone() };
            let hops = [first, second].map(|hop| NextHop { hop, weight: 1 });
            self.route.next_hops.extend(hops);
        }
        if let Some((protocol, word)) = self.protocol {
            if self.route.tracked && protocol != PROTOCOL {
                let message =
                    "a tracked route is of protocol keepalived; `no_track` lets it differ";
                context.error("tracked-protocol", word.span, message);
            } else {
                self.route.protocol = protocol;
            }
        }
        Ok(self.route)
    }

    /// The kernel takes a route away with its interface: without one there is nothing to watch. The
    /// interfaces of next hops do not count.
    fn settle_tracking(&mut self, context: &mut Context, statement: &Statement) {
        let route = &mut self.route;
        let located = route.hop.interface.is_some();
        if route.tracked && !located {
            let message = "a route without an interface cannot be tracked";
            context.error("not-tracked", statement.span, message);
            route.tracked = false;
        }
        if route.track_group.is_some() && !located {
            let message = "track_group needs `dev`, it is ignored";
            context.error("track-group", statement.span, message);
            route.track_group = None;
        }
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Inet => Ipv4Addr::UNSPECIFIED.into(),
        Family::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn wrong_family(context: &mut Context, word: &Token) -> Dropped {
    let message = format!("`{}`: IPv4 and IPv6 in one line, it is left out", word.text);
    context.error("mixed-family", word.span, message);
    Dropped
}

fn destination(word: &str) -> Result<Prefix, Fault> {
    values::network(word).map(|(address, length)| Prefix { address, length })
}

fn kind(word: &str) -> Option<RouteKind> {
    Some(match word {
        "unicast" | "1" => RouteKind::Unicast,
        "local" | "2" => RouteKind::Local,
        "broadcast" | "brd" | "3" => RouteKind::Broadcast,
        "anycast" | "4" => RouteKind::Anycast,
        "multicast" | "5" => RouteKind::Multicast,
        "blackhole" | "6" => RouteKind::Blackhole,
        "unreachable" | "7" => RouteKind::Unreachable,
        "prohibit" | "8" => RouteKind::Prohibit,
        "throw" | "9" => RouteKind::Throw,
        "nat" | "10" => RouteKind::Nat,
        "xresolve" | "11" => RouteKind::ExternalResolver,
        _ => return None,
    })
}

/// `[inet|inet6] ADDR`.
fn gateway(context: &mut Context, word: &Token, words: &mut Words<'_>) -> Result<IpAddr, Dropped> {
    let family = if words.take("inet") {
        Some(Family::Inet)
    } else if words.take("inet6") {
        Some(Family::Inet6)
    } else {
        None
    };
    let found = words.parse(context, word, values::address)?;
    if family.is_some_and(|family| family != Family::of(found)) {
        return Err(wrong_family(context, word));
    }
    Ok(found)
}

/// The name of an interface.
pub fn interface(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<String, Dropped> {
    let name = words.value(context, word)?;
    let found = context.parse_token(&word.text, name, values::interface_name).ok_or(Dropped)?;
    context.needs_interface(&found, name.span, Need::Mentioned);
    Ok(found)
}

/// A routing table.
pub fn table(context: &mut Context, word: &Token, words: &mut Words<'_>) -> Result<Named, Dropped> {
    words.named(context, word, NameTable::Tables)
}

/// A type of service; bare numbers are hexadecimal, as iproute2 has it.
pub fn service(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<Named, Dropped> {
    let hexadecimal = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
    };
    if let Some(value) = words.peek().and_then(|token| hexadecimal(&token.text)) {
        words.pop();
        return Ok(Named::Number(value.into()));
    }
    words.named(context, word, NameTable::Services)
}

/// `[FROM/]TO`.
pub fn realms(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<Realms, Dropped> {
    let value = words.value(context, word)?;
    let realm = |text: &str| named(text, NameTable::Realms);
    let grammar = |text: &str| match text.split_once('/') {
        None => Ok(Realms { from: None, to: realm(text)? }),
        Some((from, to)) => Ok(Realms { from: Some(realm(from)?), to: realm(to)? }),
    };
    let found = context.parse_token(&word.text, value, grammar).ok_or(Dropped)?;
    for realm in found.from.iter().chain([&found.to]) {
        names::note(context, realm, value.span);
    }
    Ok(found)
}

/// `track_group NAME`: for static entries, of a group that is there.
pub fn track_group(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
    owner: Owner,
) -> Result<Option<String>, Dropped> {
    let name = words.value(context, word)?;
    if owner == Owner::Instance {
        context.error("track-group", word.span, "track_group is for static entries, it is ignored");
        return Ok(None);
    }
    if !context.track_groups.contains_key(&*name.text) {
        let message = format!("the track_group {} is not defined, it is ignored", name.text);
        context.error("track-group", name.span, message);
        return Ok(None);
    }
    Ok(Some(name.text.to_string()))
}

fn preference(word: &str) -> Result<RouterPreference, Fault> {
    match word {
        "low" | "3" => Ok(RouterPreference::Low),
        "medium" => Ok(RouterPreference::Medium),
        "high" | "1" => Ok(RouterPreference::High),
        // The kernel takes every other number for medium.
        _ => match names::number(word, 255) {
            Ok(_) => Ok(RouterPreference::Medium),
            Err(_) => Err("none of low, medium, high".to_owned()),
        },
    }
}

/// `mtu` and its like; whether `word` was one of them.
fn metric(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
    metrics: &mut RouteMetrics,
) -> Result<bool, Dropped> {
    match &*word.text {
        "mtu" => metrics.mtu = Some(lockable(context, word, words)?),
        "advmss" => metrics.advertised_mss = Some(lockable(context, word, words)?),
        // The kernel counts the round trip in eighths of a millisecond, its variance in quarters.
        "rtt" => metrics.round_trip = Some(round_trip(context, word, words, 125)?),
        "rttvar" => metrics.round_trip_variance = Some(round_trip(context, word, words, 250)?),
        "rto_min" => metrics.retransmission_minimum = Some(round_trip(context, word, words, 1000)?),
        "reordering" => metrics.reordering = Some(lockable(context, word, words)?),
        "window" => metrics.window = Some(plain(context, word, words)?),
        "cwnd" => metrics.congestion_window = Some(lockable(context, word, words)?),
        "ssthresh" => metrics.slow_start_threshold = Some(lockable(context, word, words)?),
        "initcwnd" => metrics.initial_congestion_window = Some(plain(context, word, words)?),
        "initrwnd" => metrics.initial_receive_window = Some(plain(context, word, words)?),
        "hoplimit" => {
            let grammar = |word: &str| names::number(word, 255);
            let limit = words.parse(context, word, grammar)?;
            metrics.hop_limit = u8::try_from(limit).ok();
        }
        "features" => {
            let value = words.value(context, word)?;
            if value.text == "ecn" {
                metrics.ecn = true;
            } else {
                let message = format!("features '{}': only ecn is known", value.text);
                context.error("bad-value", value.span, message);
            }
        }
        "quickack" => metrics.quick_ack = Some(words.parse(context, word, zero_or_one)?),
        "congctl" => {
            let locked = words.take("lock");
            let value = words.value(context, word)?.text.to_string();
            metrics.congestion_control = Some(Lockable { value, locked });
        }
        "fastopen_no_cookie" => {
            metrics.fast_open_without_cookie = Some(words.parse(context, word, zero_or_one)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn zero_or_one(word: &str) -> Result<bool, Fault> {
    values::number(word, 0..=1).map(|value| value == 1)
}

fn plain(context: &mut Context, word: &Token, words: &mut Words<'_>) -> Result<u32, Dropped> {
    words.parse(context, word, |word| names::number(word, u32::MAX))
}

fn lockable(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<Lockable<u32>, Dropped> {
    let locked = words.take("lock");
    Ok(Lockable { value: plain(context, word, words)?, locked })
}

/// A time: with `s`, `sec`, `secs`, `ms`, `msec` or `msecs`, else in units of so many microseconds.
fn round_trip(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
    unit: u64,
) -> Result<Lockable<Interval>, Dropped> {
    let locked = words.take("lock");
    let token = words.value(context, word)?;
    let written = context.parse_token(&word.text, token, |text| span(text, unit)).ok_or(Dropped)?;
    let value = written.clamp(SHORTEST_ROUND_TRIP, LONGEST_ROUND_TRIP);
    if value != written {
        let message =
            format!("{} {}: outside of 0.2..120 s, {value} is used", word.text, token.text);
        context.error("bad-value", token.span, message);
    }
    Ok(Lockable { value, locked })
}

fn span(word: &str, unit: u64) -> Result<Interval, Fault> {
    let end = word.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, suffix) = word.split_at_checked(end).unwrap_or((word, ""));
    let any = Interval::ZERO..=Interval::from_secs(1 << 32);
    let scaled = |micros: u64| {
        let found = values::seconds(number, any)?.as_micros();
        // `seconds` has read the number as seconds.
        Ok(Interval::from_micros(found.saturating_mul(micros) / 1_000_000))
    };
    match suffix {
        "" => scaled(unit),
        "s" | "sec" | "secs" => scaled(1_000_000),
        "ms" | "msec" | "msecs" => scaled(1_000),
        _ => Err("not a time".to_owned()),
    }
}

/// `encap TYPE …`; an unknown type is told and passed over.
fn encapsulation(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<Option<Encapsulation>, Dropped> {
    let kind = words.value(context, word)?;
    Ok(match &*kind.text {
        "ip" => Some(Encapsulation::Ip(tunnel(context, words, Family::Inet)?)),
        "ip6" => Some(Encapsulation::Ip(tunnel(context, words, Family::Inet6)?)),
        "mpls" => Some(Encapsulation::Mpls(words.parse(context, kind, labels)?)),
        "ila" => Some(Encapsulation::Ila(words.parse(context, kind, locator)?)),
        other => {
            let message = format!("unknown encapsulation '{other}'");
            context.error("bad-value", kind.span, message);
            None
        }
    })
}

fn tunnel(
    context: &mut Context,
    words: &mut Words<'_>,
    family: Family,
) -> Result<IpEncapsulation, Dropped> {
    let mut found = IpEncapsulation {
        family,
        id: None,
        destination: None,
        source: None,
        traffic_class: None,
        hop_limit: None,
        flags: None,
    };
    let of_family = |word: &str| {
        let address = values::address(word)?;
        if Family::of(address) == family { Ok(address) } else { Err("of another family".into()) }
    };
    while let Some(word) = words.peek() {
        match &*word.text {
            "id" | "dst" | "src" | "tos" | "tc" | "ttl" | "hoplimit" | "flags" => {
                words.pop();
            }
            _ => break,
        }
        match &*word.text {
            "id" => {
                let grammar = |word: &str| names::any_base(word).ok_or("not a number".to_owned());
                found.id = Some(words.parse(context, word, grammar)?);
            }
            "dst" => found.destination = Some(words.parse(context, word, of_family)?),
            "src" => found.source = Some(words.parse(context, word, of_family)?),
            "tos" | "tc" => found.traffic_class = Some(service(context, word, words)?),
            "ttl" | "hoplimit" => {
                let limit = words.parse(context, word, |word| names::number(word, 255))?;
                found.hop_limit = u8::try_from(limit).ok();
            }
            _ => {
                let flags = words.parse(context, word, |word| names::number(word, 0xffff))?;
                found.flags = u16::try_from(flags).ok();
            }
        }
    }
    Ok(found)
}

fn labels(word: &str) -> Result<Vec<u32>, Fault> {
    word.split('/').map(|label| names::number(label, (1 << 20) - 1)).collect()
}

/// Four groups of hexadecimal digits, as the first half of an IPv6 address.
fn locator(word: &str) -> Result<u64, Fault> {
    let groups: Vec<u64> = word
        .split(':')
        .map(|group| u16::from_str_radix(group, 16).map(u64::from))
        .collect::<Result<_, _>>()
        .map_err(|_| "not a locator")?;
    match groups.as_slice() {
        [_, _, _, _] => Ok(groups.iter().fold(0, |all, group| all << 16 | group)),
        _ => Err("not a locator of four groups".to_owned()),
    }
}
