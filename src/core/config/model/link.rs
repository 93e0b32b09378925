//! Interfaces: those made for an instance, and how existing ones are watched.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Family;
use super::route::Named;
use crate::core::time::Interval;

/// An interface that is made over the instance's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VirtualLink {
    /// `use_vmac`: a macvlan with a MAC address of its own.
    Vmac(Vmac),
    /// `use_ipvlan`: an ipvlan, which shares the MAC address.
    Ipvlan(Ipvlan),
}

impl VirtualLink {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Vmac(vmac) => &vmac.name,
            Self::Ipvlan(ipvlan) => &ipvlan.name,
        }
    }

    /// What the kernel calls its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vmac(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
        }
    }
}

/// `use_vmac`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vmac {
    /// Its name: `vrrp.VRID` with the global prefix, unless written.
    pub name: String,
    /// 00:00:5e:00:01:VRID, or 02 in place of 01 for IPv6 (RFC 9568 section 7.3), unless written.
    pub address: [u8; 6],
    /// `netlink_notify_msg`: have the kernel tell of the interface once more after it is up.
    pub notify_again: bool,
    /// `group`: interface group.
    pub group: Option<Named>,
}

/// A virtual MAC for single addresses: `use_vmac` of their lines, or the instance's
/// `use_vmac_addr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLink {
    /// The interface beneath.
    pub base: String,
    /// Of its addresses.
    pub family: Family,
    /// Its name begins with `vmac_addr_prefix`.
    pub vmac: Vmac,
}

/// `use_ipvlan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipvlan {
    /// Its name: `vrrp.VRID` with the global prefix, unless written.
    pub name: String,
    /// Its own address, from which adverts go; needed for IPv4.
    pub address: Option<(IpAddr, u8)>,
    /// `bridge`, `private` or `vepa`.
    pub mode: IpvlanMode,
    /// `group`: interface group.
    pub group: Option<Named>,
}

/// Who may speak to an ipvlan's neighbours on the same parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IpvlanMode {
    /// Everybody.
    #[default]
    Bridge,
    /// Nobody.
    Private,
    /// Through the switch.
    Vepa,
}

/// One line of `interface_up_down_delays`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceDelay {
    /// The interface.
    pub interface: String,
    /// How long it must be down to count as down; like the other one below two advert intervals
    /// of a router on it.
    pub down: Interval,
    /// How long it must be up to count as up.
    pub up: Interval,
}

/// One line of `linkbeat_interfaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkbeatInterface {
    /// The interface.
    pub interface: String,
    /// How its link is asked for; each way in turn when absent.
    pub method: Option<LinkbeatMethod>,
}

/// How the state of a link is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkbeatMethod {
    /// The transceiver's register.
    Mii,
    /// The driver's link state.
    Ethtool,
    /// Interface flags.
    Ioctl,
}

/// A `garp_group`: interfaces that share one pause between announcements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GarpGroup {
    /// `garp_interval`.
    pub garp_interval: Option<Interval>,
    /// `gna_interval`.
    pub gna_interval: Option<Interval>,
    /// `interface` and `interfaces`.
    pub interfaces: Vec<String>,
}

/// `garp_extra_if`: announcements on other interfaces, so that switches keep the MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraAnnouncements {
    /// From one to the next; zero for none.
    pub interval: Interval,
    /// `all`: on the interface of every address, not of virtual MACs alone.
    pub all: bool,
}
