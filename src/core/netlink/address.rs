//! Addresses of interfaces: reading, adding, removing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;

use super::error::NetlinkError;
use super::link::{self, Link, NewLink};
use super::message::{ACKNOWLEDGED, Attributes, Builder, DUMP, Message, text, u32_at};
use super::socket::NetlinkSocket;
use crate::core::config::model::Family;
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::config::model::vrrp::VirtualAddress;

const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
const RTM_DELADDR: u16 = libc::RTM_DELADDR;
const RTM_GETADDR: u16 = libc::RTM_GETADDR;
const IFA_ADDRESS: u16 = libc::IFA_ADDRESS;
const IFA_LOCAL: u16 = libc::IFA_LOCAL;
const IFA_LABEL: u16 = libc::IFA_LABEL;
const IFA_BROADCAST: u16 = libc::IFA_BROADCAST;
const IFA_CACHEINFO: u16 = libc::IFA_CACHEINFO;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
/// struct ifaddrmsg
const INFO: usize = 8;
/// Marks what is ours, as keepalived marks routes (`rt_protos`: 18).
const OUR_PROTOCOL: u8 = 18;
const FOREVER: u32 = u32::MAX;

/// An address that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelAddress {
    /// Of the interface.
    pub index: u32,
    /// The address (the local one, of a point-to-point pair).
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Another address of its network was there before.
    pub secondary: bool,
    /// IPv6: nobody else has it, so it may be used (RFC 4862 section 5.4); always true for IPv4.
    pub usable: bool,
    /// Label, of IPv4.
    pub label: Option<String>,
    /// IFA_PROTO, on kernels that have it.
    pub protocol: u8,
}

impl KernelAddress {
    /// One that was added to the interface `index` a moment ago, without duplicate address detection.
    pub fn added(index: u32, address: &VirtualAddress) -> Self {
        Self {
            index,
            address: address.address,
            prefix: address.prefix,
            scope: address.scope,
            secondary: false,
            usable: true,
            label: address.label.clone(),
            protocol: 0,
        }
    }

    /// Marked as ours (or keepalived's).
    pub fn is_ours(&self) -> bool {
        self.protocol == OUR_PROTOCOL
    }
}

/// A change of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressOperation {
    /// Add it; one that is there already is left as it is.
    Add {
        /// Of the interface.
        index: u32,
        /// What.
        address: Arc<VirtualAddress>,
    },
    /// Remove it; one that is not there is fine.
    Remove {
        /// Of the interface.
        index: u32,
        /// What.
        address: IpAddr,
        /// Its prefix length.
        prefix: u8,
    },
}

/// Reads and changes links and addresses.
#[derive(Debug)]
pub struct RouteSocket {
    pub(super) socket: NetlinkSocket,
}

impl RouteSocket {
    /// Opens it.
    pub fn open() -> Result<Self, NetlinkError> {
        let socket = NetlinkSocket::open(NlFamily::Route)?;
        socket.filter_dumps();
        Ok(Self { socket })
    }

    /// Gives it another receive buffer (`vrrp_netlink_cmd_rcv_bufs` and its like).
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer) {
        self.socket.set_receive_buffer(wanted, "netlink commands");
    }

    /// Bytes of its receive buffer.
    pub fn receive_buffer(&self) -> std::io::Result<usize> {
        self.socket.receive_buffer()
    }

    /// Every interface.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        self.socket.dump(&link::dump_request(), |message| link::parse_new(&message))
    }

    /// Makes an interface.
    pub fn create_link(&mut self, new: &NewLink) -> Result<(), NetlinkError> {
        self.socket.request(link::create_request(new), |_| {})
    }

    /// Brings an interface up.
    pub fn set_link_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.socket.request(link::up_request(index), |_| {})
    }

    /// Makes an interface a part of another one, or of none.
    pub fn set_link_master(&mut self, index: u32, master: Option<u32>) -> Result<(), NetlinkError> {
        self.socket.request(link::master_request(index, master), |_| {})
    }

    /// Removes an interface; one that is gone is fine.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        match self.socket.request(link::delete_request(index), |_| {}) {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Every address of every interface.
    pub fn addresses(&mut self) -> Result<Vec<KernelAddress>, NetlinkError> {
        let request = Builder::new(RTM_GETADDR, DUMP, &[0; INFO]);
        self.socket.dump(
            &request,
            |message| {
                if message.kind == RTM_NEWADDR { parse(&message) } else { None }
            },
        )
    }

    /// Carries changes out, batched; one result for each. Adding what is there and removing what is
    /// not there succeed.
    pub fn apply(&mut self, operations: &[AddressOperation]) -> Vec<Result<(), NetlinkError>> {
        let results = self.socket.batch(operations.iter().map(request));
        operations
            .iter()
            .zip(results)
            .map(|(operation, result)| match (operation, &result) {
                (AddressOperation::Add { .. }, Err(error))
                    if error.errno() == Some(libc::EEXIST) =>
                {
                    Ok(())
                }
                (AddressOperation::Remove { .. }, Err(error))
                    if matches!(error.errno(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) =>
                {
                    Ok(())
                }
                (AddressOperation::Add { .. } | AddressOperation::Remove { .. }, _) => result,
            })
            .collect()
    }
}

fn info(address: IpAddr, prefix: u8, scope: u8, index: u32) -> [u8; INFO] {
    let family = match Family::of(address) {
        Family::Inet => libc::AF_INET,
        Family::Inet6 => libc::AF_INET6,
    };
    let mut info = [0; INFO];
    let head = [u8::try_from(family).unwrap_or(0), prefix, 0, scope];
    for (byte, value) in info.iter_mut().zip(head.into_iter().chain(index.to_ne_bytes())) {
        *byte = value;
    }
    info
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn request(operation: &AddressOperation) -> Builder {
    match operation {
        AddressOperation::Remove { index, address, prefix } => {
            let info = info(*address, *prefix, 0, *index);
            Builder::new(RTM_DELADDR, ACKNOWLEDGED, &info).attribute(IFA_LOCAL, &octets(*address))
        }
        AddressOperation::Add { index, address } => {
            let flags = ACKNOWLEDGED | NlmF::CREATE.bits() | NlmF::EXCL.bits();
            let info = info(address.address, address.prefix, address.scope, *index);
            let peer = address.peer.unwrap_or(address.address);
            let mut request = Builder::new(RTM_NEWADDR, flags, &info)
                .attribute(IFA_LOCAL, &octets(address.address))
                .attribute(IFA_ADDRESS, &octets(peer))
                .attribute(IFA_PROTO, &[OUR_PROTOCOL]);
            if let Some(broadcast) = address.broadcast {
                request = request.attribute(IFA_BROADCAST, &octets(broadcast));
            }
            if let Some(label) = &address.label {
                request = request.text(IFA_LABEL, label);
            }
            let flags = flags_of(address);
            if flags != 0 {
                request = request.number(IFA_FLAGS, flags);
            }
            if let Some(preferred) = address.preferred_lifetime {
                // Not chosen as a source after that; valid for ever.
                let mut lifetimes = preferred.to_ne_bytes().to_vec();
                lifetimes.extend(FOREVER.to_ne_bytes());
                lifetimes.extend([0; 8]);
                request = request.attribute(IFA_CACHEINFO, &lifetimes);
            }
            request
        }
    }
}

/// IFA_F_… of an address; some are of IPv6 only.
fn flags_of(address: &VirtualAddress) -> u32 {
    let v6 = address.address.is_ipv6();
    let flags = address.flags;
    [
        (IFA_F_NODAD, v6 && !flags.detect_duplicates),
        (IFA_F_HOMEADDRESS, v6 && flags.home),
        (IFA_F_MANAGETEMPADDR, v6 && flags.manage_temporary),
        (IFA_F_NOPREFIXROUTE, flags.no_prefix_route),
        (IFA_F_MCAUTOJOIN, flags.autojoin),
    ]
    .into_iter()
    .filter_map(|(bit, set)| set.then_some(bit))
    .sum()
}

/// An address of an RTM_NEWADDR or RTM_DELADDR message.
pub fn parse(message: &Message<'_>) -> Option<KernelAddress> {
    let [family, prefix, flags, scope] = *message.body.first_chunk::<4>()?;
    let attributes = Attributes(message.body.get(INFO..)?);
    let bytes = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
    let address: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).into(),
        _ => return None,
    };
    let flags =
        attributes.find(IFA_FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(u32::from(flags));
    Some(KernelAddress {
        index: u32_at(message.body, 4)?,
        address,
        prefix,
        scope,
        secondary: address.is_ipv4() && flags & IFA_F_SECONDARY != 0,
        usable: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0,
        label: attributes.find(IFA_LABEL).map(text),
        protocol: attributes.find(IFA_PROTO).and_then(|value| value.first().copied()).unwrap_or(0),
    })
}
