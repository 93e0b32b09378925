//! The IPVS table as plain data: what is wanted and what the kernel has, in one form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::core::config::model::Family;
use crate::core::config::model::check::Forwarding;

/// Identity of a virtual service in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// Address, port and protocol (6, 17, 132).
    Address {
        /// Virtual address.
        address: IpAddr,
        /// 0 for every port.
        port: u16,
        /// IP protocol number.
        protocol: u8,
    },
    /// Packets with a firewall mark.
    Fwmark {
        /// The mark.
        mark: u32,
        /// The same mark may serve both families.
        family: Family,
    },
}

impl ServiceKey {
    /// The family of the service.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

/// Settings of a virtual service. `IP_VS_SVC_F_PERSISTENT` follows from `persistence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Kernel name of the scheduler.
    pub scheduler: String,
    /// IP_VS_SVC_F_SCHED1..3 (0x08, 0x10, 0x20).
    pub scheduler_flags: u32,
    /// IP_VS_SVC_F_ONEPACKET.
    pub one_packet: bool,
    /// Seconds a client stays with its server.
    pub persistence: Option<u32>,
    /// Prefix length of what counts as one client: 0..=32 or 1..=128.
    pub netmask: u8,
    /// Persistence engine: `sip`.
    pub persistence_engine: Option<String>,
}

/// Identity of a destination within its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationKey {
    /// Address of the real server.
    pub address: IpAddr,
    /// Its port; 0 under a fwmark service.
    pub port: u16,
}

/// Settings of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// How packets get there; `None` for methods that only others set (local, bypass).
    pub forwarding: Option<Forwarding>,
    /// 0: no new connections.
    pub weight: u32,
    /// No new connections above; 0 for no limit.
    pub upper_threshold: u32,
    /// New connections again below.
    pub lower_threshold: u32,
}

/// A service with its destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Settings.
    pub service: Service,
    /// Where its connections go.
    pub destinations: Destinations,
}

impl Entry {
    /// Takes what another one has for the same service: what it has itself stays, unless it is idle.
    pub fn join(&mut self, other: Self) {
        for (key, destination) in other.destinations {
            let there = self.destinations.entry(key).or_insert(destination);
            if there.weight == 0 {
                *there = destination;
            }
        }
    }
}

/// The destinations of one service.
pub type Destinations = BTreeMap<DestinationKey, Destination>;

/// A whole table.
pub type Table = BTreeMap<ServiceKey, Entry>;
