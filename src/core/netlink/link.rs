//! Network interfaces as the kernel has them.

use neli::consts::nl::NlmF;

use super::message::{ACKNOWLEDGED, Attributes, Builder, DUMP, Message, text, u32_at};

const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
const RTM_GETLINK: u16 = libc::RTM_GETLINK;
const RTM_DELLINK: u16 = libc::RTM_DELLINK;
const IFLA_ADDRESS: u16 = libc::IFLA_ADDRESS;
const IFLA_IFNAME: u16 = libc::IFLA_IFNAME;
const IFLA_MTU: u16 = libc::IFLA_MTU;
const IFLA_LINK: u16 = libc::IFLA_LINK;
const IFLA_MASTER: u16 = libc::IFLA_MASTER;
const IFLA_LINKINFO: u16 = libc::IFLA_LINKINFO;
const IFLA_GROUP: u16 = libc::IFLA_GROUP;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
/// MACVLAN_MODE_PRIVATE: its frames reach no other macvlan of the interface.
const PRIVATE: u32 = 1;
/// IPVLAN_MODE_L2
const L2: u16 = 0;
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
    /// The interface that it stands on.
    pub base: Option<u32>,
    /// `macvlan`, `ipvlan`, …, of an interface that is not hardware.
    pub kind: Option<String>,
    /// Routing table, of a VRF device.
    pub vrf_table: Option<u32>,
    /// The interface that it is a part of: a bridge, a VRF device.
    pub master: Option<u32>,
}

/// An interface to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// Its name.
    pub name: String,
    /// The interface to stand on.
    pub base: u32,
    /// What it is.
    pub kind: LinkKind,
    /// Interface group.
    pub group: Option<u32>,
    /// What it is to be a part of.
    pub master: Option<u32>,
}

/// What a new interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// With a MAC address of its own; mode private.
    Macvlan {
        /// The address.
        mac: [u8; 6],
    },
    /// With the MAC address of the interface beneath; mode L2.
    Ipvlan {
        /// IPVLAN_F_PRIVATE 1, IPVLAN_F_VEPA 2.
        flags: u16,
    },
}

impl Link {
    /// Up, whatever the carrier.
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

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

fn header(index: u32, flags: u32, change: u32) -> [u8; INFO] {
    let mut header = [0; INFO];
    let fields = [index, flags, change].into_iter().flat_map(u32::to_ne_bytes);
    for (byte, value) in header.iter_mut().skip(4).zip(fields) {
        *byte = value;
    }
    header
}

/// Makes an interface.
pub fn create_request(new: &NewLink) -> Builder {
    let flags = ACKNOWLEDGED | NlmF::CREATE.bits() | NlmF::EXCL.bits();
    let mut request = Builder::new(RTM_NEWLINK, flags, &header(0, 0, 0))
        .text(IFLA_IFNAME, &new.name)
        .number(IFLA_LINK, new.base);
    if let Some(group) = new.group {
        request = request.number(IFLA_GROUP, group);
    }
    if let Some(master) = new.master {
        request = request.number(IFLA_MASTER, master);
    }
    match new.kind {
        LinkKind::Macvlan { mac } => request
            .attribute(IFLA_ADDRESS, &mac)
            .begin(IFLA_LINKINFO)
            .text(IFLA_INFO_KIND, "macvlan")
            .begin(IFLA_INFO_DATA)
            .number(IFLA_MACVLAN_MODE, PRIVATE)
            .end()
            .end(),
        LinkKind::Ipvlan { flags } => request
            .begin(IFLA_LINKINFO)
            .text(IFLA_INFO_KIND, "ipvlan")
            .begin(IFLA_INFO_DATA)
            .attribute(IFLA_IPVLAN_MODE, &L2.to_ne_bytes())
            .attribute(IFLA_IPVLAN_FLAGS, &flags.to_ne_bytes())
            .end()
            .end(),
    }
}

/// Brings an interface up.
pub fn up_request(index: u32) -> Builder {
    Builder::new(RTM_NEWLINK, ACKNOWLEDGED, &header(index, IFF_UP, IFF_UP))
}

/// Makes an interface a part of another one, or of none.
pub fn master_request(index: u32, master: Option<u32>) -> Builder {
    Builder::new(RTM_NEWLINK, ACKNOWLEDGED, &header(index, 0, 0))
        .number(IFLA_MASTER, master.unwrap_or(0))
}

/// Removes an interface.
pub fn delete_request(index: u32) -> Builder {
    Builder::new(RTM_DELLINK, ACKNOWLEDGED, &header(index, 0, 0))
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
        base: attributes.find(IFLA_LINK).and_then(|base| u32_at(base, 0)),
        kind: attributes
            .find(IFLA_LINKINFO)
            .and_then(|info| Attributes(info).find(IFLA_INFO_KIND))
            .map(text),
        vrf_table: attributes.find(IFLA_LINKINFO).and_then(vrf_table),
        master: attributes.find(IFLA_MASTER).and_then(|master| u32_at(master, 0)),
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
