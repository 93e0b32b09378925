//! Routes (`rtnetlink(7)`): what a [`Route`] asks of the kernel, and what the kernel has.
//!
//! Both are read by the same parser, so that they can be compared: [`KernelRoute::satisfies`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use neli::consts::nl::NlmF;

use super::address::RouteSocket;
use super::error::NetlinkError;
use super::message::{ACKNOWLEDGED, Attributes, Builder, DUMP, Message, u16_at, u32_at};
use crate::core::config::model::Family;
use crate::core::config::model::route::{
    Encapsulation, Hop, Insertion, IpEncapsulation, Lockable, Named, Prefix, Realms, Route,
    RouteKind, RouteMetrics, RouterPreference,
};
use crate::core::iproute::Names;
use crate::core::time::Interval;

const RTM_NEWROUTE: u16 = libc::RTM_NEWROUTE;
const RTM_DELROUTE: u16 = libc::RTM_DELROUTE;
const RTM_GETROUTE: u16 = libc::RTM_GETROUTE;
const RTA_DST: u16 = libc::RTA_DST;
const RTA_SRC: u16 = libc::RTA_SRC;
const RTA_OIF: u16 = libc::RTA_OIF;
const RTA_GATEWAY: u16 = libc::RTA_GATEWAY;
const RTA_PRIORITY: u16 = libc::RTA_PRIORITY;
const RTA_PREFSRC: u16 = libc::RTA_PREFSRC;
const RTA_METRICS: u16 = libc::RTA_METRICS;
const RTA_MULTIPATH: u16 = libc::RTA_MULTIPATH;
const RTA_FLOW: u16 = libc::RTA_FLOW;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;
const NESTED: u16 = 0x8000;
const RTNH_F_ONLINK: u8 = 4;
const RTM_F_CLONED: u32 = 0x200;
/// Flags of a tunnel: the kernel sets some itself, so they are not compared.
const LWTUNNEL_IP_FLAGS: u16 = 6;
const RTAX_LOCK: u16 = 1;
const RTAX_FEATURE_ECN: u32 = 1;
/// struct rtmsg
const INFO: usize = 12;
/// struct rtnexthop
const HOP: usize = 8;
/// What the kernel makes of metric 0 of an IPv6 route.
const METRIC_OF_IPV6: u32 = 1024;
const SCOPE_LINK: u32 = 253;
const SCOPE_HOST: u32 = 254;
const TABLE_IN_HEADER: u32 = 256;
/// Of a message that removes a route: any scope.
const SCOPE_NOWHERE: u8 = 255;
const SCOPE_AT: usize = 6;

/// Type and value.
type Attribute = (u16, Vec<u8>);

/// What names of a configuration stand for on this host.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// Index and, of a VRF device, table of each interface.
    pub links: &'a BTreeMap<String, (u32, Option<u32>)>,
    /// Names of iproute2.
    pub names: &'a Names,
}

impl Lookup<'_> {
    /// Index of an interface.
    pub fn index(&self, name: &str) -> Result<u32, Unresolved> {
        self.links.get(name).map(|link| link.0).ok_or(Unresolved::Interface)
    }

    /// A number by its name.
    pub fn number(&self, named: &Named) -> Result<u32, Unresolved> {
        self.names.resolve(named).ok_or_else(|| Unresolved::name(named))
    }

    /// A number of at most 255 by its name.
    pub fn small(&self, named: &Named) -> Result<u8, Unresolved> {
        u8::try_from(self.number(named)?).map_err(|_| Unresolved::name(named))
    }

    /// Both realms, as the kernel has them in one number.
    pub fn realms(&self, realms: &Realms) -> Result<u32, Unresolved> {
        let from = match &realms.from {
            Some(from) => self.number(from)?,
            None => 0,
        };
        Ok(from << 16 | self.number(&realms.to)?)
    }
}

/// Why an entry cannot be given to the kernel yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// An interface is not there (or is no VRF, where one is needed).
    #[error("its interface is not there")]
    Interface,
    /// iproute2's files do not have this name.
    #[error("there is no number for '{0}'")]
    Name(String),
}

impl Unresolved {
    fn name(named: &Named) -> Self {
        Self::Name(match named {
            Named::Number(number) => number.to_string(),
            Named::Name { name, .. } => name.clone(),
        })
    }
}

/// A next hop as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct KernelHop {
    gateway: Option<Vec<u8>>,
    index: Option<u32>,
    weight: u8,
    realms: Option<u32>,
    encapsulation: Option<u16>,
    tunnel: BTreeMap<u16, Vec<u8>>,
}

impl KernelHop {
    fn read(attributes: Attributes<'_>, weight: u8) -> Self {
        let mut hop = Self { weight, ..Self::default() };
        for (kind, value) in attributes {
            match kind {
                RTA_GATEWAY => hop.gateway = Some(value.to_vec()),
                // A family before the address.
                RTA_VIA => hop.gateway = value.get(2..).map(<[u8]>::to_vec),
                RTA_OIF => hop.index = u32_at(value, 0),
                RTA_FLOW => hop.realms = u32_at(value, 0),
                RTA_ENCAP_TYPE => hop.encapsulation = u16_at(value, 0),
                RTA_ENCAP => hop.tunnel = map(value),
                _ => {}
            }
        }
        hop.tunnel.remove(&LWTUNNEL_IP_FLAGS);
        hop
    }

    fn satisfies(&self, wanted: &Self) -> bool {
        self.gateway == wanted.gateway
            && (wanted.index.is_none() || self.index == wanted.index)
            && self.weight == wanted.weight
            && (wanted.realms.is_none() || self.realms == wanted.realms)
            && self.encapsulation == wanted.encapsulation
            && contains(&self.tunnel, &wanted.tunnel)
    }
}

/// A route as the kernel has it, or would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRoute {
    family: u8,
    destination: (Vec<u8>, u8),
    from: (Vec<u8>, u8),
    tos: u8,
    table: u32,
    /// 18 of ours, and of keepalived's.
    pub protocol: u8,
    scope: u8,
    kind: u8,
    metric: u32,
    source: Option<Vec<u8>>,
    preference: Option<u8>,
    hops: Vec<KernelHop>,
    metrics: BTreeMap<u16, Vec<u8>>,
}

impl KernelRoute {
    /// Whether what the kernel has is what was asked for; what was left to it does not count.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.is_in_place_of(wanted)
            && self.protocol == wanted.protocol
            && (i32::from(self.family) != libc::AF_INET || self.scope == wanted.scope)
            && (wanted.source.is_none() || self.source == wanted.source)
            && (wanted.preference.is_none() || self.preference == wanted.preference)
            && self.hops.len() == wanted.hops.len()
            && self.hops.iter().zip(&wanted.hops).all(|(found, wanted)| found.satisfies(wanted))
            && contains(&self.metrics, &wanted.metrics)
    }

    /// Whether it has the same key: the two would be told apart by the order of their coming only.
    pub fn is_in_place_of(&self, other: &Self) -> bool {
        (self.family, self.tos, self.table, self.kind, self.metric)
            == (other.family, other.tos, other.table, other.kind, other.metric)
            && self.destination == other.destination
            && self.from == other.from
    }
}

fn map(bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    Attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()
}

fn contains(found: &BTreeMap<u16, Vec<u8>>, wanted: &BTreeMap<u16, Vec<u8>>) -> bool {
    wanted.iter().all(|(kind, value)| found.get(kind) == Some(value))
}

/// A route of an RTM_NEWROUTE or RTM_DELROUTE message; `None` for a copy in a cache.
pub fn parse(message: &Message<'_>) -> Option<KernelRoute> {
    if !matches!(message.kind, RTM_NEWROUTE | RTM_DELROUTE) {
        return None;
    }
    let [family, to, from, tos, table, protocol, scope, kind] = *message.body.first_chunk::<8>()?;
    if u32_at(message.body, 8)? & RTM_F_CLONED != 0 {
        return None;
    }
    let attributes = Attributes(message.body.get(INFO..)?);
    let value = |kind| attributes.find(kind);
    let number = |kind| value(kind).and_then(|value| u32_at(value, 0));
    let prefix = |kind, length: u8| {
        let address = value(kind).map(<[u8]>::to_vec).unwrap_or_default();
        (if length == 0 { Vec::new() } else { address }, length)
    };
    let mut hops: Vec<KernelHop> = match value(RTA_MULTIPATH) {
        Some(bytes) => Hops(bytes).collect(),
        None => vec![KernelHop::read(attributes, 0)],
    };
    hops.sort();
    let metric = number(RTA_PRIORITY).unwrap_or(0);
    let defaulted = metric == 0 && i32::from(family) == libc::AF_INET6;
    Some(KernelRoute {
        family,
        destination: prefix(RTA_DST, to),
        from: prefix(RTA_SRC, from),
        tos,
        table: number(RTA_TABLE).unwrap_or(u32::from(table)),
        protocol,
        scope,
        kind,
        metric: if defaulted { METRIC_OF_IPV6 } else { metric },
        source: value(RTA_PREFSRC).map(<[u8]>::to_vec),
        preference: value(RTA_PREF).and_then(|value| value.first().copied()),
        hops,
        metrics: value(RTA_METRICS).map(map).unwrap_or_default(),
    })
}

/// The next hops of RTA_MULTIPATH; ends at the first that does not fit.
struct Hops<'a>(&'a [u8]);

impl Iterator for Hops<'_> {
    type Item = KernelHop;

    fn next(&mut self) -> Option<KernelHop> {
        let length = usize::from(u16_at(self.0, 0)?);
        let mut hop =
            KernelHop::read(Attributes(self.0.get(HOP..length)?), self.0.get(3).copied()?);
        hop.index = u32_at(self.0, 4).filter(|index| *index != 0);
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(hop)
    }
}

/// A route with all its names looked up.
#[derive(Debug, Clone)]
pub struct RouteRequest {
    message: [u8; INFO],
    attributes: Vec<Attribute>,
    insertion: Insertion,
}

impl RouteRequest {
    /// Looks the names up.
    pub fn new(route: &Route, lookup: Lookup<'_>) -> Result<Self, Unresolved> {
        let table = table_of(route, lookup)?;
        let tos = match &route.tos {
            Some(tos) => lookup.small(tos)?,
            None => 0,
        };
        let scope = match &route.scope {
            Some(scope) => lookup.small(scope)?,
            None => u8::try_from(default_scope(route)).unwrap_or(0),
        };
        let mut message = [0; INFO];
        let head = [
            family_number(route.family),
            route.destination.length,
            route.from.map_or(0, |from| from.length),
            tos,
            u8::try_from(table).unwrap_or(0),
            lookup.small(&route.protocol)?,
            scope,
            kind_number(route.kind),
            if route.hop.onlink { RTNH_F_ONLINK } else { 0 },
        ];
        for (byte, value) in message.iter_mut().zip(head) {
            *byte = value;
        }
        let mut attributes = Vec::new();
        if route.destination.length > 0 {
            attributes.push((RTA_DST, network(route.destination)));
        }
        if let Some(from) = route.from.filter(|from| from.length > 0) {
            attributes.push((RTA_SRC, network(from)));
        }
        if table >= TABLE_IN_HEADER {
            attributes.push((RTA_TABLE, table.to_ne_bytes().to_vec()));
        }
        if let Some(source) = route.source {
            attributes.push((RTA_PREFSRC, octets(source)));
        }
        if let Some(metric) = route.metric {
            attributes.push((RTA_PRIORITY, metric.to_ne_bytes().to_vec()));
        }
        if let Some(expires) = route.expires {
            attributes.push((RTA_EXPIRES, expires.to_ne_bytes().to_vec()));
        }
        if let Some(preference) = route.preference {
            attributes.push((RTA_PREF, vec![preference_number(preference)]));
        }
        if let Some(propagate) = route.ttl_propagate {
            attributes.push((RTA_TTL_PROPAGATE, vec![u8::from(propagate)]));
        }
        let metrics = metrics(&route.metrics);
        if !metrics.is_empty() {
            attributes.push((RTA_METRICS | NESTED, written(&metrics)));
        }
        if route.next_hops.is_empty() {
            if let Some(interface) = &route.hop.interface {
                let index = lookup.index(interface)?;
                attributes.push((RTA_OIF, index.to_ne_bytes().to_vec()));
            }
            attributes.extend(hop_attributes(&route.hop, route.family, lookup)?);
        } else {
            let mut hops = Vec::new();
            for next in &route.next_hops {
                let index = match &next.hop.interface {
                    Some(interface) => lookup.index(interface)?,
                    None => 0,
                };
                let inner = written(&hop_attributes(&next.hop, route.family, lookup)?);
                let length = u16::try_from(HOP + inner.len()).unwrap_or(u16::MAX);
                hops.extend(length.to_ne_bytes());
                hops.push(if next.hop.onlink { RTNH_F_ONLINK } else { 0 });
                hops.push(u8::try_from(next.weight.saturating_sub(1)).unwrap_or(u8::MAX));
                hops.extend(index.to_ne_bytes());
                hops.extend(inner);
            }
            attributes.push((RTA_MULTIPATH, hops));
        }
        Ok(Self { message, attributes, insertion: route.insertion })
    }

    fn build(&self, kind: u16, flags: u16) -> Builder {
        let message = Builder::new(kind, flags, &self.message);
        self.attributes
            .iter()
            .fold(message, |message, (kind, value)| message.attribute(*kind, value))
    }

    fn addition(&self) -> Builder {
        let order = match self.insertion {
            Insertion::Add => NlmF::EXCL.bits(),
            Insertion::Prepend => 0,
            Insertion::Append => NlmF::APPEND.bits(),
        };
        self.build(RTM_NEWROUTE, ACKNOWLEDGED | NlmF::CREATE.bits() | order)
    }

    fn removal(&self) -> Builder {
        self.build(RTM_DELROUTE, ACKNOWLEDGED)
    }

    /// What the kernel would have, to be compared with what it has.
    pub fn wanted(&self) -> Option<KernelRoute> {
        let bytes = self.addition().finish(0);
        parse(&super::message::Messages(&bytes).next()?)
    }
}

fn table_of(route: &Route, lookup: Lookup<'_>) -> Result<u32, Unresolved> {
    match &route.vrf {
        Some(vrf) => lookup.links.get(vrf).and_then(|link| link.1).ok_or(Unresolved::Interface),
        None => lookup.number(&route.table),
    }
}

/// The message that finds a route again, whatever its next hops are: family header and attributes, as
/// for RTM_DELROUTE. Its interfaces need not be there, but for a VRF.
pub fn key(route: &Route, lookup: Lookup<'_>) -> Result<Vec<u8>, Unresolved> {
    let bare = Route {
        table: Named::Number(table_of(route, lookup)?),
        vrf: None,
        metric: match (route.family, route.metric) {
            // No metric would find the route of any.
            (Family::Inet6, None | Some(0)) => Some(METRIC_OF_IPV6),
            (_, metric) => metric,
        },
        scope: None,
        source: None,
        hop: Hop::default(),
        next_hops: Vec::new(),
        metrics: RouteMetrics::default(),
        expires: None,
        preference: None,
        ttl_propagate: None,
        ..route.clone()
    };
    let mut request = RouteRequest::new(&bare, lookup)?;
    if let Some(scope) = request.message.get_mut(SCOPE_AT) {
        *scope = SCOPE_NOWHERE;
    }
    Ok([&request.message[..], &written(&request.attributes)].concat())
}

/// A unicast route is global, as keepalived has it (iproute2 makes one without a gateway a link
/// one); the others are as iproute2 chooses. Only IPv4 has scopes.
fn default_scope(route: &Route) -> u32 {
    match (route.family, route.kind) {
        (Family::Inet, RouteKind::Local | RouteKind::Nat) => SCOPE_HOST,
        (Family::Inet, RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast) => {
            SCOPE_LINK
        }
        (Family::Inet | Family::Inet6, _) => 0,
    }
}

/// AF_… of a family.
pub fn family_number(family: Family) -> u8 {
    let number = match family {
        Family::Inet => libc::AF_INET,
        Family::Inet6 => libc::AF_INET6,
    };
    u8::try_from(number).unwrap_or(0)
}

fn kind_number(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Broadcast => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
        RouteKind::Nat => 10,
        RouteKind::ExternalResolver => 11,
    }
}

fn preference_number(preference: RouterPreference) -> u8 {
    match preference {
        RouterPreference::Low => 3,
        RouterPreference::Medium => 0,
        RouterPreference::High => 1,
    }
}

/// The bytes of an address, in network byte order.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A prefix without its host bits, which the kernel refuses.
pub fn network(prefix: Prefix) -> Vec<u8> {
    let length = u32::from(prefix.length);
    match prefix.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0);
            (address.to_bits() & mask).to_be_bytes().to_vec()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(length)).unwrap_or(0);
            (address.to_bits() & mask).to_be_bytes().to_vec()
        }
    }
}

/// Attributes in a row, padded.
fn written(attributes: &[Attribute]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, value) in attributes {
        bytes.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn hop_attributes(
    hop: &Hop,
    family: Family,
    lookup: Lookup<'_>,
) -> Result<Vec<Attribute>, Unresolved> {
    let mut attributes = Vec::new();
    if let Some(gateway) = hop.gateway {
        if Family::of(gateway) == family {
            attributes.push((RTA_GATEWAY, octets(gateway)));
        } else {
            let number = u16::from(family_number(Family::of(gateway)));
            let mut via = number.to_ne_bytes().to_vec();
            via.extend(octets(gateway));
            attributes.push((RTA_VIA, via));
        }
    }
    if let Some(realms) = &hop.realms {
        attributes.push((RTA_FLOW, lookup.realms(realms)?.to_ne_bytes().to_vec()));
    }
    if let Some(encapsulation) = &hop.encapsulation {
        let (kind, inner) = tunnel(encapsulation, lookup)?;
        attributes.push((RTA_ENCAP_TYPE, kind.to_ne_bytes().to_vec()));
        attributes.push((RTA_ENCAP | NESTED, written(&inner)));
    }
    Ok(attributes)
}

/// LWTUNNEL_ENCAP_… and its attributes.
fn tunnel(
    encapsulation: &Encapsulation,
    lookup: Lookup<'_>,
) -> Result<(u16, Vec<Attribute>), Unresolved> {
    Ok(match encapsulation {
        Encapsulation::Mpls(labels) => {
            let last = labels.len().saturating_sub(1);
            let stack = labels.iter().enumerate().flat_map(|(place, label)| {
                // RFC 3032: label, traffic class, bottom of the stack, time to live.
                (label << 12 | u32::from(place == last) << 8).to_be_bytes()
            });
            (1, vec![(1, stack.collect())])
        }
        Encapsulation::Ila(locator) => (3, vec![(1, locator.to_be_bytes().to_vec())]),
        Encapsulation::Ip(ip) => {
            let kind = match ip.family {
                Family::Inet => 2,
                Family::Inet6 => 4,
            };
            (kind, ip_tunnel(ip, lookup)?)
        }
    })
}

fn ip_tunnel(ip: &IpEncapsulation, lookup: Lookup<'_>) -> Result<Vec<Attribute>, Unresolved> {
    let mut inner = Vec::new();
    inner.extend(ip.id.map(|id| (1, id.to_be_bytes().to_vec())));
    inner.extend(ip.destination.map(|address| (2, octets(address))));
    inner.extend(ip.source.map(|address| (3, octets(address))));
    inner.extend(ip.hop_limit.map(|limit| (4, vec![limit])));
    if let Some(class) = &ip.traffic_class {
        inner.push((5, vec![lookup.small(class)?]));
    }
    inner.extend(ip.flags.map(|flags| (LWTUNNEL_IP_FLAGS, flags.to_be_bytes().to_vec())));
    Ok(inner)
}

/// RTAX_…, with the mask of locked ones.
fn metrics(metrics: &RouteMetrics) -> Vec<Attribute> {
    let plain = |value| Lockable { value, locked: false };
    let micros = |time: Lockable<Interval>, unit: u64| {
        let value = u32::try_from(time.value.as_micros() / unit).unwrap_or(u32::MAX);
        Lockable { value, locked: time.locked }
    };
    let numbers = [
        (2, metrics.mtu),
        (3, metrics.window.map(plain)),
        // In eighths and quarters of a millisecond.
        (4, metrics.round_trip.map(|time| micros(time, 125))),
        (5, metrics.round_trip_variance.map(|time| micros(time, 250))),
        (6, metrics.slow_start_threshold),
        (7, metrics.congestion_window),
        (8, metrics.advertised_mss),
        (9, metrics.reordering),
        (10, metrics.hop_limit.map(|limit| plain(limit.into()))),
        (11, metrics.initial_congestion_window.map(plain)),
        (12, metrics.ecn.then_some(plain(RTAX_FEATURE_ECN))),
        (13, metrics.retransmission_minimum.map(|time| micros(time, 1000))),
        (14, metrics.initial_receive_window.map(plain)),
        (15, metrics.quick_ack.map(|on| plain(on.into()))),
        (17, metrics.fast_open_without_cookie.map(|on| plain(on.into()))),
    ];
    let mut locks = 0u32;
    let mut attributes = Vec::new();
    for (kind, metric) in numbers {
        if let Some(metric) = metric {
            attributes.push((kind, metric.value.to_ne_bytes().to_vec()));
            locks |= u32::from(metric.locked) << kind;
        }
    }
    if let Some(control) = &metrics.congestion_control {
        let mut name = control.value.as_bytes().to_vec();
        name.push(0);
        attributes.push((16, name));
        locks |= u32::from(control.locked) << 16;
    }
    if locks != 0 {
        attributes.push((RTAX_LOCK, locks.to_ne_bytes().to_vec()));
    }
    attributes
}

impl RouteSocket {
    /// The routes of a protocol, of both families and all tables.
    pub fn routes(&mut self, protocol: u8) -> Result<Vec<KernelRoute>, NetlinkError> {
        let mut found = Vec::new();
        for family in [Family::Inet, Family::Inet6] {
            let mut header = [0; INFO];
            let fields = [family_number(family), 0, 0, 0, 0, protocol];
            for (byte, value) in header.iter_mut().zip(fields) {
                *byte = value;
            }
            let request = Builder::new(RTM_GETROUTE, DUMP, &header);
            found.extend(self.socket.dump(&request, |message| {
                parse(&message).filter(|route| route.protocol == protocol)
            })?);
        }
        Ok(found)
    }

    /// Adds a route; one that is the same in all is fine.
    pub fn add_route(&mut self, route: &RouteRequest) -> Result<(), NetlinkError> {
        match self.socket.request(route.addition(), |_| ()) {
            Err(error)
                if error.errno() == Some(libc::EEXIST) && route.insertion != Insertion::Add =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Removes the routes with this [`key`], if it has this protocol and none of them is what is
    /// `wanted`. Gives how many.
    pub fn remove_routes_by_key(
        &mut self,
        key: &[u8],
        protocol: u8,
        wanted: &[KernelRoute],
    ) -> Result<usize, NetlinkError> {
        let bytes = Builder::new(RTM_NEWROUTE, 0, key).finish(0);
        let message = super::message::Messages(&bytes).next();
        let Some(noted) = message.and_then(|message| parse(&message)) else { return Ok(0) };
        if noted.protocol != protocol {
            return Ok(0);
        }
        let mut found = self.routes(protocol)?;
        found.retain(|route| route.is_in_place_of(&noted));
        if found.iter().any(|route| wanted.iter().any(|wanted| route.satisfies(wanted))) {
            return Ok(0);
        }
        for _ in &found {
            match self.socket.request(Builder::new(RTM_DELROUTE, ACKNOWLEDGED, key), |_| ()) {
                Err(error) if error.errno() != Some(libc::ESRCH) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(found.len())
    }

    /// Removes a route; one that is not there is fine.
    pub fn remove_route(&mut self, route: &RouteRequest) -> Result<(), NetlinkError> {
        match self.socket.request(route.removal(), |_| ()) {
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::route::NextHop;

    fn route(destination: &str, length: u8) -> Route {
        let address: IpAddr = destination.parse().unwrap();
        Route {
            family: Family::of(address),
            kind: RouteKind::Unicast,
            destination: Prefix { address, length },
            hop: Hop::default(),
            next_hops: Vec::new(),
            source: None,
            from: None,
            table: Named::Number(254),
            vrf: None,
            metric: None,
            scope: None,
            tos: None,
            protocol: Named::Number(18),
            expires: None,
            preference: None,
            ttl_propagate: None,
            metrics: RouteMetrics::default(),
            insertion: Insertion::Prepend,
            tracked: true,
            track_group: None,
        }
    }

    fn kernel(route: &Route) -> Result<KernelRoute, Unresolved> {
        let links = BTreeMap::from([("eth0".to_owned(), (2, None))]);
        let names = Names::default();
        let request = RouteRequest::new(route, Lookup { links: &links, names: &names })?;
        Ok(request.wanted().unwrap())
    }

    #[test]
    fn what_was_left_to_the_kernel_does_not_count() {
        let mut asked = route("10.1.2.3", 16);
        asked.hop.gateway = Some("192.0.2.1".parse().unwrap());
        let wanted = kernel(&asked).unwrap();
        let mut found = wanted.clone();
        found.hops[0].index = Some(2);
        assert!(found.satisfies(&wanted));
        assert_eq!(wanted.destination, (vec![10, 1, 0, 0], 16), "without its host bits");
        found.hops[0].gateway = Some(vec![192, 0, 2, 2]);
        assert!(found.is_in_place_of(&wanted) && !found.satisfies(&wanted));
    }

    #[test]
    fn a_key_finds_a_route_whatever_its_hops() {
        let mut asked = route("2001:db8:1::", 48);
        asked.hop.gateway = Some("fe80::1".parse().unwrap());
        asked.hop.interface = Some("eth0".to_owned());
        asked.table = Named::Number(3000);
        let (links, names) = (BTreeMap::new(), Names::default());
        let lookup = Lookup { links: &links, names: &names };
        let key = key(&asked, lookup).unwrap();
        let bytes = Builder::new(RTM_NEWROUTE, 0, &key).finish(0);
        let noted = parse(&super::super::message::Messages(&bytes).next().unwrap()).unwrap();
        assert!(kernel(&asked).unwrap().is_in_place_of(&noted));
        assert_eq!((noted.protocol, noted.metric, noted.table), (18, 1024, 3000));
        assert!(key.windows(4).any(|bytes| bytes == 1024u32.to_ne_bytes()), "not of any metric");
        asked.metric = Some(7);
        assert!(!kernel(&asked).unwrap().is_in_place_of(&noted));
    }

    #[test]
    fn an_interface_that_is_not_there_is_waited_for() {
        let mut asked = route("10.1.0.0", 16);
        asked.hop.interface = Some("eth9".to_owned());
        assert_eq!(kernel(&asked), Err(Unresolved::Interface));
        asked.hop.interface = Some("eth0".to_owned());
        assert_eq!(kernel(&asked).map(|route| u32::from(route.scope)), Ok(0));
        asked.table = Named::Name {
            table: crate::core::config::model::route::NameTable::Tables,
            name: "nowhere".to_owned(),
        };
        assert_eq!(kernel(&asked), Err(Unresolved::Name("nowhere".to_owned())));
    }

    #[test]
    fn metrics_tunnels_and_next_hops_are_read_back() {
        let mut asked = route("2001:db8::", 32);
        asked.metrics.mtu = Some(Lockable { value: 1400, locked: true });
        asked.metrics.round_trip =
            Some(Lockable { value: Interval::from_millis(300), locked: false });
        for weight in [1, 3] {
            let hop = Hop {
                gateway: Some(format!("fe80::{weight}").parse().unwrap()),
                interface: Some("eth0".to_owned()),
                encapsulation: Some(Encapsulation::Mpls(vec![100, 200])),
                ..Hop::default()
            };
            asked.next_hops.push(NextHop { hop, weight });
        }
        let wanted = kernel(&asked).unwrap();
        assert_eq!(wanted.metric, METRIC_OF_IPV6);
        assert_eq!(wanted.metrics[&2], 1400u32.to_ne_bytes());
        assert_eq!(wanted.metrics[&4], 2400u32.to_ne_bytes());
        assert_eq!(wanted.metrics[&RTAX_LOCK], 4u32.to_ne_bytes());
        let hops: Vec<_> = wanted.hops.iter().map(|hop| (hop.index, hop.weight)).collect();
        assert_eq!(hops, [(Some(2), 0), (Some(2), 2)]);
        assert_eq!(wanted.hops[0].tunnel[&1], [0, 6, 64, 0, 0, 12, 129, 0]);
    }

    #[test]
    fn cut_and_damaged_routes_are_harmless() {
        let mut asked = route("10.0.0.0", 8);
        asked.next_hops = vec![NextHop { hop: Hop::default(), weight: 1 }; 2];
        let links = BTreeMap::new();
        let names = Names::default();
        let request = RouteRequest::new(&asked, Lookup { links: &links, names: &names }).unwrap();
        let bytes = request.addition().finish(1);
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[index] = value;
                for message in super::super::message::Messages(&damaged) {
                    let _ = parse(&message);
                }
            }
        }
    }
}
