//! Network interfaces as the kernel has them.

use super::message::{Attributes, Builder, DUMP, Message, text, u32_at};

const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
const RTM_GETLINK: u16 = libc::RTM_GETLINK;
const IFLA_ADDRESS: u16 = libc::IFLA_ADDRESS;
const IFLA_IFNAME: u16 = libc::IFLA_IFNAME;
const IFLA_MTU: u16 = libc::IFLA_MTU;
const IFLA_LINKINFO: u16 = libc::IFLA_LINKINFO;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VRF_TABLE: u16 = 1;
const IFF_UP: u32 = libc::IFF_UP as u32;
const IFF_RUNNING: u32 = libc::IFF_RUNNING as u32;
const IFF_NOARP: u32 = libc::IFF_NOARP as u32;
/// struct ifinfomsg
const INFO: usize = 16;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// IFF_*.
    pub flags: u32,
    /// Hardware address, of Ethernet and the like.
    pub mac: Option<[u8; 6]>,
    /// Largest packet.
    pub mtu: u32,
    /// Routing table, of a VRF device.
    pub vrf_table: Option<u32>,
}

impl Link {
    /// Up, and with a carrier.
    pub fn is_running(&self) -> bool {
        self.flags & IFF_UP != 0 && self.flags & IFF_RUNNING != 0
    }

    /// Whether ARP makes sense on it.
    pub fn has_arp(&self) -> bool {
        self.flags & IFF_NOARP == 0
    }
}

/// Asks for all interfaces.
pub fn dump_request() -> Builder {
    Builder::new(RTM_GETLINK, DUMP, &[0; INFO])
}

/// An interface of an RTM_NEWLINK or RTM_DELLINK message.
pub fn parse(message: &Message<'_>) -> Option<Link> {
    // A bridge tells of its ports in the same messages, under a family of its own.
    if message.body.first() != Some(&0) {
        return None;
    }
    let index = u32_at(message.body, 4)?;
    let flags = u32_at(message.body, 8)?;
    let attributes = Attributes(message.body.get(INFO..)?);
    Some(Link {
        index,
        name: text(attributes.find(IFLA_IFNAME)?),
        flags,
        mac: attributes.find(IFLA_ADDRESS).and_then(|mac| <[u8; 6]>::try_from(mac).ok()),
        mtu: attributes.find(IFLA_MTU).and_then(|mtu| u32_at(mtu, 0)).unwrap_or(0),
        vrf_table: attributes.find(IFLA_LINKINFO).and_then(vrf_table),
    })
}

fn vrf_table(information: &[u8]) -> Option<u32> {
    let information = Attributes(information);
    if text(information.find(IFLA_INFO_KIND)?) != "vrf" {
        return None;
    }
    u32_at(Attributes(information.find(IFLA_INFO_DATA)?).find(IFLA_VRF_TABLE)?, 0)
}

/// Of a dump.
pub fn parse_new(message: &Message<'_>) -> Option<Link> {
    if message.kind == RTM_NEWLINK { parse(message) } else { None }
}
