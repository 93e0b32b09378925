//! Virtual routers, their groups and the scripts they track.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hmac::HmacAuthentication;
use super::link::{
    AddressLink, ExtraAnnouncements, GarpGroup, InterfaceDelay, LinkbeatInterface, VirtualLink,
};
use super::route::{Route, Rule};
use super::track::{TrackGroup, TrackProcess, Tracked, TrackedFile};
use super::{Family, Script};
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// What the vrrp process acts on, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VrrpConfig {
    /// `vrrp_instance` blocks. They travel one by one, see [`handed`](crate::core::config::handed).
    #[serde(skip)]
    pub instances: Vec<Arc<Instance>>,
    /// `vrrp_sync_group` blocks.
    pub sync_groups: Vec<SyncGroup>,
    /// `vrrp_script` blocks.
    pub scripts: Vec<TrackScript>,
    /// `vrrp_track_process` blocks.
    pub processes: Vec<TrackProcess>,
    /// `track_group` blocks.
    pub track_groups: Vec<TrackGroup>,
    /// `garp_group` blocks.
    pub garp_groups: Vec<GarpGroup>,
    /// `static_ipaddress`: there from the start to the end.
    pub static_addresses: Vec<VirtualAddress>,
    /// `static_routes`.
    pub static_routes: Vec<Route>,
    /// `static_rules`.
    pub static_rules: Vec<Rule>,
    /// `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelay>,
    /// `linkbeat_interfaces`: interfaces whose link is polled.
    pub linkbeat_interfaces: Vec<LinkbeatInterface>,
    /// `linkbeat_use_polling`: every used interface is polled.
    pub linkbeat_polling: bool,
}

/// The number of a virtual router, 1..=255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrid(u8);

impl Vrid {
    /// The smallest.
    pub const MIN: Self = Self(1);

    /// `None` for 0 (RFC 9568 section 5.2.3).
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// 1..=255.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VRRP priority (RFC 9568 section 5.2.4): 0 resigns, 255 owns the address, 1..=254 compete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// Sent by a master that stops.
    pub const RESIGN: Self = Self(0);
    /// The router that owns the addresses.
    pub const OWNER: Self = Self(255);
    /// When nothing is configured.
    pub const DEFAULT: Self = Self(100);

    /// Any value of the field.
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// 0..=255.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether this is the address owner's.
    pub const fn is_owner(self) -> bool {
        self.0 == 255
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The protocol version of an instance.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum VrrpVersion {
    /// RFC 3768.
    #[default]
    V2,
    /// RFC 9568.
    V3,
}

impl VrrpVersion {
    /// 2 or 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// `state`: what an instance hopes for. It decides nothing but the log and the first wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InitialState {
    /// `state MASTER`.
    Master,
    /// `state BACKUP`.
    #[default]
    Backup,
}

/// `nopreempt` and `preempt_delay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preemption {
    /// Take over from a master of lower priority, after the delay.
    After(Interval),
    /// `nopreempt`.
    Never,
}

impl Default for Preemption {
    fn default() -> Self {
        Self::After(Interval::ZERO)
    }
}

/// `authentication` (version 2 only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Authentication {
    /// None.
    #[default]
    None,
    /// `auth_type PASS`: eight bytes, padded with zeros.
    Password([u8; 8]),
    /// `auth_type AH`: an authentication header, keyed with these bytes (version 2, IPv4).
    Header([u8; 8]),
}

/// How adverts travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// To a group on the instance's interface.
    Multicast {
        /// 224.0.0.18 or ff02::12 unless configured otherwise.
        group: IpAddr,
    },
    /// To each peer by itself.
    Unicast {
        /// In the order of the file; may be empty (a lone router).
        peers: Vec<UnicastPeer>,
        /// `unicast_ttl`: 255 unless configured, 64 over IPv6.
        ttl: u8,
        /// `check_unicast_src`: accept adverts of configured peers only.
        check_source: bool,
    },
}

/// One line of `unicast_peer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnicastPeer {
    /// Where to.
    pub address: IpAddr,
    /// `min_ttl`: smallest TTL to accept.
    pub min_ttl: Option<u8>,
    /// `max_ttl`: largest TTL to accept.
    pub max_ttl: Option<u8>,
}

/// An address that comes and goes with the master state: one line of `virtual_ipaddress`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address itself.
    pub address: IpAddr,
    /// Prefix length; the dialect's default is a host address.
    pub prefix: u8,
    /// `dev`, else the instance's interface; `None` only when neither is given.
    pub interface: Option<Arc<str>>,
    /// `use_vmac`, or the instance's `use_vmac_addr`: on a virtual MAC of its interface, which
    /// [`Self::interface`] then is.
    pub use_vmac: bool,
    /// `no_track`: losing it does not end the master state.
    pub no_track: bool,
    /// The rest, which many have in common; its fields read and change as if they were here.
    pub options: Shared<AddressOptions>,
}

/// What takes much room in a [`VirtualAddress`], and is the same in most of thousands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct AddressOptions {
    /// `label`.
    pub label: Option<String>,
    /// `scope` as the kernel's number: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// `brd` / `broadcast`.
    pub broadcast: Option<IpAddr>,
    /// `peer` of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// `home`, `-nodad`, … .
    pub flags: AddressFlags,
    /// `preferred_lft`: seconds until it is no longer a source of new connections; `None` for
    /// ever. Zero for an IPv6 host address unless written.
    pub preferred_lifetime: Option<u32>,
    /// `track_group` of a static address.
    pub track_group: Option<String>,
}

impl Deref for VirtualAddress {
    type Target = AddressOptions;
    fn deref(&self) -> &AddressOptions {
        &self.options
    }
}

impl DerefMut for VirtualAddress {
    fn deref_mut(&mut self) -> &mut AddressOptions {
        &mut self.options
    }
}

impl VirtualAddress {
    /// An address without options, on no interface yet.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let deprecated = address.is_ipv6() && prefix == 128;
        let options = AddressOptions {
            preferred_lifetime: deprecated.then_some(0),
            ..AddressOptions::default()
        };
        Self {
            address,
            prefix,
            interface: None,
            use_vmac: false,
            no_track: false,
            options: options.into(),
        }
    }
}

/// IFA_F_… of an address.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct AddressFlags {
    /// `home`: a mobile node's home address (RFC 6275).
    pub home: bool,
    /// `-nodad`: look for a duplicate, which virtual addresses otherwise do not.
    pub detect_duplicates: bool,
    /// `mngtmpaddr`: the kernel makes temporary addresses of it (RFC 8981).
    pub manage_temporary: bool,
    /// `noprefixroute`: no route to its network.
    pub no_prefix_route: bool,
    /// `autojoin`: join the group that it is.
    pub autojoin: bool,
}

/// Gratuitous ARP and unsolicited neighbour advertisement schedule (`garp_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarpSchedule {
    /// `garp_master_delay`: from the first burst to the second; zero for no second burst.
    pub delay: Interval,
    /// `garp_master_repeat`: announcements of each address in a burst.
    pub repeat: u32,
    /// `garp_master_refresh`: period of later bursts; zero for none.
    pub refresh: Interval,
    /// `garp_master_refresh_repeat`.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_delay`: second burst after an advert of a lower priority.
    pub lower_priority_delay: Interval,
    /// `garp_lower_prio_repeat`: announcements at once after such an advert.
    pub lower_priority_repeat: u32,
    /// `garp_interval`: least time between two announcements on one interface.
    pub interval: Interval,
    /// `gna_interval`: the same for IPv6.
    pub gna_interval: Interval,
}

impl Default for GarpSchedule {
    fn default() -> Self {
        Self {
            delay: Interval::from_secs(5),
            repeat: 5,
            refresh: Interval::ZERO,
            refresh_repeat: 1,
            lower_priority_delay: Interval::from_secs(5),
            lower_priority_repeat: 5,
            interval: Interval::ZERO,
            gna_interval: Interval::ZERO,
        }
    }
}

/// What a tracked object does to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrackEffect {
    /// Weight 0: FAULT while it is bad.
    Fault,
    /// Weight 0 `reverse`: FAULT while it is good.
    FaultWhenGood,
    /// Weight above 0: added to the priority while good. Below 0: subtracted while bad.
    /// `reverse` is already worked in by negation. -253..=253, never 0.
    Weight(i16),
}

/// One line of `track_interface`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedInterface {
    /// Name of the interface.
    pub name: String,
    /// What it does.
    pub effect: TrackEffect,
}

/// One line of `track_script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedScript {
    /// Name of a `vrrp_script`.
    pub name: String,
    /// What it does: the line's weight, else the script's.
    pub effect: TrackEffect,
}

/// A `vrrp_script`: run at an interval; exit status 0 is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackScript {
    /// Its name in `track_script`.
    pub name: String,
    /// The command.
    pub script: Script,
    /// `interval`: from start to start.
    pub interval: Interval,
    /// `timeout`: longer counts as failure; the interval when not configured.
    pub timeout: Interval,
    /// `weight` / `reverse`, for lines that give none.
    pub effect: TrackEffect,
    /// `rise`: successes needed to become good.
    pub rise: u32,
    /// `fall`: failures needed to become bad.
    pub fall: u32,
    /// `init_fail`: bad until proved good.
    pub init_fail: bool,
}

/// The scripts run at a change of state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyScripts {
    /// `notify_master`.
    pub master: Option<Shared<Script>>,
    /// `notify_backup`.
    pub backup: Option<Shared<Script>>,
    /// `notify_fault`.
    pub fault: Option<Shared<Script>>,
    /// `notify_stop`.
    pub stop: Option<Shared<Script>>,
    /// `notify_deleted`: run instead of the fault script when a reload removes the instance.
    pub deleted: Option<Shared<Script>>,
    /// `notify_master_rx_lower_pri`.
    pub master_rx_lower_priority: Option<Shared<Script>>,
    /// `notify`: run at each change, with arguments appended.
    pub any: Option<Shared<Script>>,
}

/// A `vrrp_instance`: one virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name in the file and the log.
    pub name: String,
    /// `interface`; absent only with unicast and a source address.
    pub interface: Option<String>,
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// Of the adverts: that of the first virtual address (or `native_ipv6`).
    pub family: Family,
    /// `version`, else `vrrp_version`; IPv6 is always version 3 unless version 2 is asked for.
    pub version: VrrpVersion,
    /// `state`.
    pub initial_state: InitialState,
    /// `priority`, 1..=255.
    pub priority: Priority,
    /// `advert_int`.
    pub advert_interval: Interval,
    /// `authentication`.
    pub authentication: Authentication,
    /// Multicast or unicast.
    pub transport: Transport,
    /// `mcast_src_ip` / `unicast_src_ip`; else the interface's primary address.
    pub source: Option<IpAddr>,
    /// `virtual_ipaddress`: announced and sent in adverts.
    pub addresses: Vec<Arc<VirtualAddress>>,
    /// `nopreempt` / `preempt_delay`.
    pub preemption: Preemption,
    /// `dont_track_primary`: the instance's own interface may go down without FAULT.
    pub dont_track_primary: bool,
    /// `strict_mode`, else `vrrp_strict`.
    pub strict: bool,
    /// `skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `lower_prio_no_advert`: stay silent at an advert of a lower priority (RFC 5798).
    pub lower_priority_no_advert: bool,
    /// `higher_prio_send_advert`: one more advert before yielding.
    pub higher_priority_send_advert: bool,
    /// `owner_ignore_adverts`.
    pub owner_ignores_adverts: bool,
    /// `v3_checksum_as_v2`: send the checksum without pseudo header, as RFC 9568 has it.
    pub v3_checksum_as_v2: bool,
    /// `down_timer_adverts`.
    pub down_timer_adverts: u8,
    /// `notify_priority_changes`, else its group's, else the global one.
    pub notify_priority_changes: bool,
    /// `vmac_xmit_base`: adverts go over the instance's interface, not the virtual one.
    pub transmit_on_base: bool,
    /// `accept`: answer for the virtual addresses without owning them.
    pub accept: bool,
    /// `promote_secondaries`: losing the first address of a network keeps the others.
    pub promote_secondaries: bool,
    /// `track_src_ip`: FAULT while the source address is not on this node.
    pub track_source: bool,
    /// `unicast_fault_no_peer`: FAULT rather than multicast when no peer is left.
    pub fault_without_peer: bool,
    /// `old_unicast_checksum`.
    pub old_unicast_checksum: OldChecksum,
    /// `linkbeat_use_polling`: the link of its interface is polled.
    pub linkbeat_polling: bool,
    /// `timer_expired_backup`: after its own timer was so late that a router of this priority may
    /// have taken over, it becomes backup.
    pub timer_expired_backup: Option<Priority>,
    /// `notify_deleted`: a reload that removes it tells DELETED instead of FAULT.
    pub notify_deleted: bool,
    /// `smtp_alert`, else `smtp_alert_vrrp`, else the global one.
    pub smtp_alert: bool,
    /// `kernel_rx_buf_size`, bytes.
    pub receive_buffer: Option<u32>,
    /// The rest, which many have in common; its fields read and change as if they were here.
    pub options: Shared<InstanceOptions>,
}

/// What takes much room in an [`Instance`], and is the same in most of thousands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceOptions {
    /// `virtual_ipaddress_excluded`: announced, not sent in adverts.
    pub excluded_addresses: Vec<Arc<VirtualAddress>>,
    /// `garp_…`.
    pub garp: GarpSchedule,
    /// `track_interface`.
    pub track_interfaces: Vec<TrackedInterface>,
    /// `track_script`.
    pub track_scripts: Vec<TrackedScript>,
    /// Those of its addresses, routes and rules (but for `no_track` ones), where they are not its own: as
    /// long as one is down the router is in FAULT, whatever weight it is tracked with.
    pub needed_interfaces: Vec<String>,
    /// `notify…`.
    pub notify: NotifyScripts,
    /// `vrf`: unicast within it, without an interface.
    pub vrf: Option<String>,
    /// `use_vmac`, `use_ipvlan`.
    pub virtual_link: Option<VirtualLink>,
    /// Virtual MACs of single addresses, on the interfaces of those.
    pub address_links: Vec<AddressLink>,
    /// `auth_hmac`.
    pub hmac: Option<HmacAuthentication>,
    /// `virtual_routes`.
    pub routes: Vec<Route>,
    /// `virtual_rules`.
    pub rules: Vec<Rule>,
    /// `track_file`.
    pub track_files: Vec<TrackedFile>,
    /// `track_process`.
    pub track_processes: Vec<Tracked>,
    /// `track_bfd`.
    pub track_bfd: Vec<Tracked>,
    /// `garp_extra_if`.
    pub extra_announcements: Option<ExtraAnnouncements>,
    /// `lvs_sync_daemon_interface` (the old place of `lvs_sync_daemon`).
    pub lvs_sync_interface: Option<String>,
}

impl Deref for Instance {
    type Target = InstanceOptions;
    fn deref(&self) -> &InstanceOptions {
        &self.options
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut InstanceOptions {
        &mut self.options
    }
}

#[cfg(test)]
impl Instance {
    /// The same with other options.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut InstanceOptions)) -> Self {
        change(&mut self.options);
        self
    }
}

impl Instance {
    /// Where its addresses go that name no interface: the virtual one, if there is one.
    pub fn address_interface(&self) -> Option<&str> {
        let link = self.virtual_link.as_ref().map(VirtualLink::name);
        link.or(self.interface.as_deref())
    }

    /// Where its addresses of a family go that name no interface: a virtual MAC serves the family
    /// of its instance only.
    pub fn interface_for(&self, family: Family) -> Option<&str> {
        let own = self.virtual_link.as_ref().filter(|_| family == self.family);
        own.map(VirtualLink::name).or(self.interface.as_deref())
    }

    /// Where its adverts travel: the virtual interface unless `vmac_xmit_base`; without an interface
    /// anywhere within its VRF.
    pub fn advert_interface(&self) -> Option<&str> {
        let link = self.virtual_link.as_ref().filter(|_| !self.transmit_on_base);
        let own = link.map(VirtualLink::name).or(self.interface.as_deref());
        own.or(self.vrf.as_deref())
    }
}

impl Default for Instance {
    /// The dialect's defaults; the number is a placeholder.
    fn default() -> Self {
        Self {
            name: String::new(),
            interface: None,
            vrid: Vrid::MIN,
            family: Family::Inet,
            version: VrrpVersion::V2,
            initial_state: InitialState::Backup,
            priority: Priority::DEFAULT,
            advert_interval: Interval::from_secs(1),
            authentication: Authentication::None,
            transport: Transport::Multicast {
                group: std::net::Ipv4Addr::new(224, 0, 0, 18).into(),
            },
            source: None,
            addresses: Vec::new(),
            preemption: Preemption::default(),
            dont_track_primary: false,
            strict: false,
            skip_check_adv_addr: false,
            lower_priority_no_advert: false,
            higher_priority_send_advert: false,
            owner_ignores_adverts: false,
            v3_checksum_as_v2: false,
            down_timer_adverts: 3,
            notify_priority_changes: false,
            transmit_on_base: false,
            accept: true,
            promote_secondaries: false,
            track_source: false,
            fault_without_peer: false,
            old_unicast_checksum: OldChecksum::Detect,
            linkbeat_polling: false,
            timer_expired_backup: None,
            notify_deleted: false,
            smtp_alert: false,
            receive_buffer: None,
            options: Shared::default(),
        }
    }
}

/// `old_unicast_checksum`: whether unicast adverts of version 3 carry the multicast group in the
/// checksum's pseudo header, as keepalived before 1.3 had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OldChecksum {
    /// As the other routers do.
    #[default]
    Detect,
    /// Always.
    Always,
    /// `never`.
    Never,
}

/// A `vrrp_sync_group`: instances that move together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncGroup {
    /// Name in the file and the log.
    pub name: String,
    /// Names of the members, in order; only names of existing instances.
    pub members: Vec<String>,
    /// `track_interface` for every member.
    pub track_interfaces: Vec<TrackedInterface>,
    /// `track_script` for every member.
    pub track_scripts: Vec<TrackedScript>,
    /// `sync_group_tracking_weight`: members keep their weights.
    pub tracking_weight: bool,
    /// `notify…`.
    pub notify: NotifyScripts,
    /// `track_file` for every member.
    pub track_files: Vec<TrackedFile>,
    /// `track_process` for every member.
    pub track_processes: Vec<Tracked>,
    /// `track_bfd` for every member.
    pub track_bfd: Vec<Tracked>,
    /// `notify_priority_changes`, else the global one; worked in to members that do not say it
    /// themselves.
    pub notify_priority_changes: bool,
    /// `smtp_alert`, else `smtp_alert_vrrp`, else the global one.
    pub smtp_alert: bool,
}
