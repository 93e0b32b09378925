//! Routes and policy rules: what a line of `virtual_routes`, `static_routes`, `virtual_rules` or
//! `static_rules` asks of the kernel. Numbers are the kernel's (`rtnetlink(7)`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Family;
use crate::core::time::Interval;

/// A number that may be written as a name of iproute2's tables (`/etc/iproute2/rt_tables`, …).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Named {
    /// The number, or a name that every system has.
    Number(u32),
    /// A name of this host's own, to be looked up where it is used.
    Name {
        /// Where it is defined.
        table: NameTable,
        /// The name.
        name: String,
    },
}

/// The tables of names that iproute2 keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NameTable {
    /// Routing tables.
    Tables,
    /// Scopes of addresses and routes.
    Scopes,
    /// Origins of routes and rules.
    Protocols,
    /// Differentiated services, as the whole byte.
    Services,
    /// Realms.
    Realms,
    /// Groups of interfaces.
    Groups,
}

impl NameTable {
    /// The file below `/etc/iproute2`; there may be a folder `FILE.d` beside it.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Tables => "rt_tables",
            Self::Scopes => "rt_scopes",
            Self::Protocols => "rt_protos",
            Self::Services => "rt_dsfield",
            Self::Realms => "rt_realms",
            Self::Groups => "group",
        }
    }

    /// The largest number that the kernel takes.
    pub const fn largest(self) -> u32 {
        match self {
            Self::Tables | Self::Groups => u32::MAX,
            Self::Scopes | Self::Protocols | Self::Services => 255,
            Self::Realms => 0xffff,
        }
    }
}

/// An address with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// The address, host bits as written.
    pub address: IpAddr,
    /// 0..=32 or 0..=128.
    pub length: u8,
}

/// RTN_… of the kernel.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum RouteKind {
    /// A gateway or a directly connected network.
    #[default]
    Unicast,
    /// The host itself.
    Local,
    /// Sent as a link broadcast.
    Broadcast,
    /// Received as unicast, sent as broadcast.
    Anycast,
    /// A group.
    Multicast,
    /// Dropped in silence.
    Blackhole,
    /// Dropped with "host unreachable".
    Unreachable,
    /// Dropped with "administratively prohibited".
    Prohibit,
    /// Not in this table.
    Throw,
    /// Translated (obsolete).
    Nat,
    /// To an external resolver (obsolete).
    ExternalResolver,
}

/// How a new route stands to equal ones.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Insertion {
    /// `add`: fail when there is an identical one.
    Add,
    /// `prepend`: before equal ones.
    #[default]
    Prepend,
    /// `append`: after equal ones.
    Append,
}

/// `pref` of an IPv6 route (RFC 4191).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouterPreference {
    /// 3.
    Low,
    /// 0.
    Medium,
    /// 1.
    High,
}

/// `realms [FROM/]TO`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Realms {
    /// Source realm.
    pub from: Option<Named>,
    /// Destination realm.
    pub to: Named,
}

/// Where packets of a route go next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hop {
    /// `via`.
    pub gateway: Option<IpAddr>,
    /// `dev`.
    pub interface: Option<String>,
    /// `onlink`: the gateway is reachable although no route says so.
    pub onlink: bool,
    /// `encap`.
    pub encapsulation: Option<Encapsulation>,
    /// `realms`.
    pub realms: Option<Realms>,
}

/// One `nexthop` of a multipath route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NextHop {
    /// Where to.
    pub hop: Hop,
    /// `weight`, 1..=256.
    pub weight: u16,
}

/// `encap`: a light-weight tunnel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Encapsulation {
    /// `ip` and `ip6`.
    Ip(IpEncapsulation),
    /// `mpls`: labels, the outermost first, each below 2^20.
    Mpls(Vec<u32>),
    /// `ila`: the 64-bit locator.
    Ila(u64),
}

/// `encap ip` and `encap ip6`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IpEncapsulation {
    /// IPv4 (`ip`) or IPv6 (`ip6`).
    pub family: Family,
    /// `id`: tunnel key.
    pub id: Option<u64>,
    /// `dst`.
    pub destination: Option<IpAddr>,
    /// `src`.
    pub source: Option<IpAddr>,
    /// `tos`, or `tc` of IPv6.
    pub traffic_class: Option<Named>,
    /// `ttl`, or `hoplimit` of IPv6.
    pub hop_limit: Option<u8>,
    /// `flags`.
    pub flags: Option<u16>,
}

/// A metric that the kernel must not learn over when it is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lockable<T> {
    /// The value.
    pub value: T,
    /// `lock`.
    pub locked: bool,
}

/// RTAX_… of the kernel; the kernel's own when absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RouteMetrics {
    /// `mtu`, bytes.
    pub mtu: Option<Lockable<u32>>,
    /// `advmss`, bytes.
    pub advertised_mss: Option<Lockable<u32>>,
    /// `rtt`: first estimate of the round trip.
    pub round_trip: Option<Lockable<Interval>>,
    /// `rttvar`: its variance.
    pub round_trip_variance: Option<Lockable<Interval>>,
    /// `rto_min`: shortest time before a retransmission.
    pub retransmission_minimum: Option<Lockable<Interval>>,
    /// `reordering`, packets.
    pub reordering: Option<Lockable<u32>>,
    /// `window`: largest TCP window, bytes.
    pub window: Option<u32>,
    /// `cwnd`: clamp of the congestion window, packets.
    pub congestion_window: Option<Lockable<u32>>,
    /// `ssthresh`.
    pub slow_start_threshold: Option<Lockable<u32>>,
    /// `initcwnd`, packets.
    pub initial_congestion_window: Option<u32>,
    /// `initrwnd`, packets.
    pub initial_receive_window: Option<u32>,
    /// `hoplimit`.
    pub hop_limit: Option<u8>,
    /// `features ecn`.
    pub ecn: bool,
    /// `quickack`.
    pub quick_ack: Option<bool>,
    /// `congctl`.
    pub congestion_control: Option<Lockable<String>>,
    /// `fastopen_no_cookie`.
    pub fast_open_without_cookie: Option<bool>,
}

/// A route that comes and goes with the master state, or stands always.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Of the destination; IPv4 when nothing tells.
    pub family: Family,
    /// Unicast unless said otherwise.
    pub kind: RouteKind,
    /// Where to; length 0 for `default`.
    pub destination: Prefix,
    /// The only next hop, when `next_hops` is empty.
    pub hop: Hop,
    /// `nexthop` and `or`.
    pub next_hops: Vec<NextHop>,
    /// `src`: source address of own packets.
    pub source: Option<IpAddr>,
    /// `from`: source-specific routing (IPv6).
    pub from: Option<Prefix>,
    /// `table`: 254 (main) unless said otherwise.
    pub table: Named,
    /// `vrf`: the table of this device instead.
    pub vrf: Option<String>,
    /// `metric`.
    pub metric: Option<u32>,
    /// `scope`, else global for a unicast route, as keepalived has it.
    pub scope: Option<Named>,
    /// `tos`.
    pub tos: Option<Named>,
    /// `protocol`: 18 (keepalived) unless untracked and said otherwise.
    pub protocol: Named,
    /// `expires`, seconds (IPv6).
    pub expires: Option<u32>,
    /// `pref` (IPv6).
    pub preference: Option<RouterPreference>,
    /// `ttl-propagate` (MPLS).
    pub ttl_propagate: Option<bool>,
    /// `mtu` and its like.
    pub metrics: RouteMetrics,
    /// `add`, `prepend`, `append`.
    pub insertion: Insertion,
    /// Not `no_track`: somebody else's deleting it ends the master state.
    pub tracked: bool,
    /// `track_group` of a static route.
    pub track_group: Option<String>,
}

/// What a rule does with the packets that it matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// `table`: look there.
    Table(Named),
    /// `goto`: go on at the rule of this preference.
    Goto(u32),
    /// `nop`.
    Nop,
    /// `blackhole`.
    Blackhole,
    /// `prohibit`.
    Prohibit,
    /// `unreachable`.
    Unreachable,
    /// `l3mdev`: the table of the packet's l3 master device.
    L3Master,
}

/// A firewall mark as a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MarkSelector {
    /// The mark.
    pub mark: u32,
    /// Bits that count.
    pub mask: u32,
}

/// `A-B`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range<T> {
    /// The first.
    pub first: T,
    /// The last.
    pub last: T,
}

/// A policy rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Of its addresses; IPv4 when nothing tells.
    pub family: Family,
    /// `not`: match what the selectors do not.
    pub inverted: bool,
    /// `from`; everything when absent.
    pub from: Option<Prefix>,
    /// `to`; everything when absent.
    pub to: Option<Prefix>,
    /// What it does.
    pub action: RuleAction,
    /// `preference`: smaller ones are asked first.
    pub preference: u32,
    /// `tos`.
    pub tos: Option<Named>,
    /// `fwmark`.
    pub mark: Option<MarkSelector>,
    /// `iif`.
    pub input: Option<String>,
    /// `oif`.
    pub output: Option<String>,
    /// `realms` to set.
    pub realms: Option<Realms>,
    /// `suppress_prefixlength`: results with this length or a shorter one do not count.
    pub suppress_prefix_length: Option<u32>,
    /// `suppress_ifgroup`: results through an interface of this group do not count.
    pub suppress_interface_group: Option<Named>,
    /// `tunnel-id`.
    pub tunnel_id: Option<u64>,
    /// `uidrange`.
    pub users: Option<Range<u32>>,
    /// `protocol`: 18 (keepalived) unless untracked and said otherwise.
    pub protocol: Named,
    /// `ipproto`.
    pub ip_protocol: Option<u8>,
    /// `sport`.
    pub source_ports: Option<Range<u16>>,
    /// `dport`.
    pub destination_ports: Option<Range<u16>>,
    /// Not `no_track`: somebody else's deleting it ends the master state.
    pub tracked: bool,
    /// `track_group` of a static rule.
    pub track_group: Option<String>,
}
