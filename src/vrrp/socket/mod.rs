//! The sockets of the vrrp process: raw ones for adverts ([`inet`], [`inet6`]), packet sockets for
//! announcements ([`frame`]).
//!
//! Adverts have sockets of their own, for each interface and family, so that they never queue behind
//! anything else.

mod frame;
mod inet;
mod inet6;
mod room;

use std::io;
use std::net::IpAddr;

pub use frame::{Frame, FrameSocket};
pub use room::Room;

use super::engine::SocketName;
use super::packet::ah;
use crate::core::config::model::Family;
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;

/// IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
const VRRP: u8 = 112;

/// An interface, by its number in the kernel and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceId {
    /// The kernel's number; another one after the interface is made anew.
    pub index: u32,
    /// The name.
    pub name: String,
}

/// An advert as it came from the network, IP header taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Sender.
    pub source: IpAddr,
    /// Group or own address.
    pub destination: IpAddr,
    /// Remaining TTL.
    pub ttl: u8,
    /// IP identification, over IPv4.
    pub id: u16,
    /// The VRRP message and whatever follows it.
    pub payload: Vec<u8>,
}

/// Receives and sends the adverts of one family on one interface (or, without one, of unicast on
/// any).
#[derive(Debug)]
pub enum AdvertSocket {
    /// IPv4.
    Inet(inet::InetSocket),
    /// IPv6.
    Inet6(inet6::Inet6Socket),
}

impl AdvertSocket {
    /// Opens what is needed. Needs CAP_NET_RAW and a running tokio.
    pub fn open(name: &SocketName, interface: Option<&InterfaceId>) -> io::Result<Self> {
        Ok(match name.family {
            Family::Inet => {
                let protocol = if name.authenticated { ah::PROTOCOL } else { VRRP };
                Self::Inet(inet::InetSocket::open(interface, protocol)?)
            }
            Family::Inet6 => Self::Inet6(inet6::Inet6Socket::open(interface)?),
        })
    }

    /// Gives it another receive buffer than the usual one, which has room for a burst of adverts of
    /// many virtual routers while the process is busy.
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer) {
        match self {
            Self::Inet(socket) => receive_buffer::set(socket.receiver(), wanted, "adverts"),
            Self::Inet6(socket) => receive_buffer::set(socket.receiver(), wanted, "adverts"),
        }
    }

    /// Bytes of its receive buffer.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => receive_buffer::size(socket.receiver()),
            Self::Inet6(socket) => receive_buffer::size(socket.receiver()),
        }
    }

    /// Joins a multicast group on the interface; joining again is not an error.
    pub fn join(&self, group: IpAddr, interface: &InterfaceId) -> io::Result<()> {
        match (self, group) {
            (Self::Inet(socket), IpAddr::V4(group)) => socket.join(group, interface),
            (Self::Inet6(socket), IpAddr::V6(group)) => socket.join(group, interface),
            (Self::Inet(_), IpAddr::V6(_)) | (Self::Inet6(_), IpAddr::V4(_)) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// The next advert. Packets that are not VRRP are passed over.
    pub async fn receive(&self) -> io::Result<Datagram> {
        match self {
            Self::Inet(socket) => socket.receive().await,
            Self::Inet6(socket) => socket.receive().await,
        }
    }

    /// What has already arrived, without waiting; `None` when there is nothing more.
    pub fn try_receive(&self) -> Option<Datagram> {
        match self {
            Self::Inet(socket) => socket.try_receive(),
            Self::Inet6(socket) => socket.try_receive(),
        }
    }

    /// Sends one advert.
    pub fn send(
        &self,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        id: u16,
        payload: &[u8],
    ) -> io::Result<()> {
        match (self, source, destination) {
            (Self::Inet(socket), IpAddr::V4(source), IpAddr::V4(destination)) => {
                socket.send(source, destination, ttl, id, payload)
            }
            (Self::Inet6(socket), IpAddr::V6(source), IpAddr::V6(destination)) => {
                socket.send(source, destination, ttl, payload)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
