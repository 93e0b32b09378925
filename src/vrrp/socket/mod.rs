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

use nix::sys::time::TimeSpec;
use socket2::Socket;
use tokio::io::unix::AsyncFd;

pub use frame::{Frame, FrameSocket};
pub use room::Room;

use super::engine::SocketName;
use super::packet::ah;
use crate::core::config::model::Family;
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};

/// IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
const VRRP: u8 = 112;
/// When a packet seems older than this, somebody has set the wall clock, which the kernel's stamps are of.
const OLDEST: Interval = Interval::from_millis(100);

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
    /// When it came. A busy machine may have kept it waiting, and its sender's silence begins here.
    pub arrived: Timestamp,
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

    /// The next adverts, at least one and at most so many. Packets that are not VRRP are passed over.
    pub async fn receive(&self, most: usize) -> io::Result<Vec<Datagram>> {
        match self {
            Self::Inet(socket) => socket.receive(most).await,
            Self::Inet6(socket) => socket.receive(most).await,
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

/// Waits until there is something, then takes what there is by `one`, `most` packets at the most.
async fn receive_some(
    socket: &AsyncFd<Socket>,
    one: impl Fn(&Socket) -> io::Result<Option<Datagram>>,
    most: usize,
) -> io::Result<Vec<Datagram>> {
    loop {
        let mut ready = socket.readable().await?;
        let mut all = Vec::new();
        for _ in 0..most {
            match one(socket.get_ref()) {
                Ok(found) => all.extend(found),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if all.is_empty() => return Err(error),
                // It has been told once; the link event says what happened.
                Err(_) => break,
            }
        }
        if !all.is_empty() {
            return Ok(all);
        }
    }
}

/// When a packet came, by the kernel's stamp on it.
fn arrival(stamp: Option<TimeSpec>) -> Timestamp {
    let (now, wall) = (runtime::now(), runtime::wall_clock());
    let age = stamp.map_or(Interval::ZERO, |stamp| wall - Interval::from_duration(stamp.into()));
    if age <= OLDEST { now.before(age) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_came_when_its_stamp_says_unless_the_clock_was_set() {
        let stamped = |nanos: u64| arrival(Some(Interval::from_nanos(nanos).to_duration().into()));
        let wall = runtime::wall_clock().as_nanos();
        let now = runtime::now();
        let waited = runtime::now().since(stamped(wall - 30_000_000));
        assert!(waited >= Interval::from_millis(30), "{waited}");
        for unbelievable in [wall - 3_600_000_000_000, wall + 3_600_000_000_000] {
            assert!(stamped(unbelievable) >= now);
        }
        assert!(arrival(None) >= now);
    }
}
