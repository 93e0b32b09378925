//! The sockets of the bfd process: one that receives for each port and family, one that sends for each
//! session (RFC 5881 section 4: its source port is its own and stays the same).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::task::Poll;

use nix::sys::socket::sockopt::{
    Ipv4PacketInfo, Ipv4RecvTtl, Ipv6RecvHopLimit, Ipv6RecvPacketInfo,
};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::engine::{Hop, ReceivedPacket};
use crate::core::config::model::Family;
use crate::core::config::model::bfd::BfdSession;
use crate::core::runtime;

/// Internetwork control, as routing protocols use it.
const TRAFFIC_CLASS: u32 = 0xc0;
/// Source ports (RFC 5881 section 4).
const FIRST_PORT: u16 = 49152;
/// Ports that are tried for a session.
const TRIES: u16 = 256;
/// Larger than any packet that could be meant.
const LARGEST: usize = 1024;

/// Where packets come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Door {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Which port.
    pub hop: Hop,
}

impl Door {
    /// Of a session.
    pub const fn of(config: &BfdSession) -> Self {
        Self { family: Family::of(config.neighbour), hop: Hop::of(config) }
    }
}

/// The sockets that receive.
#[derive(Debug, Default)]
pub struct Receivers(BTreeMap<Door, AsyncFd<Socket>>);

impl Receivers {
    /// Opens what is not open, closes what nobody needs. Needs a running tokio. One that cannot be
    /// opened is no reason for the others to stay closed.
    pub fn set(&mut self, wanted: &[Door]) -> io::Result<()> {
        self.0.retain(|door, _| wanted.contains(door));
        let mut result = Ok(());
        for door in wanted {
            if self.0.contains_key(door) {
                continue;
            }
            match receiver(*door).and_then(runtime::watch) {
                Ok(socket) => {
                    self.0.insert(*door, socket);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Waits until something has arrived.
    pub async fn ready(&self) {
        poll_fn(|context| {
            for socket in self.0.values() {
                // An error is found by who reads.
                if let Poll::Ready(ready) = socket.poll_read_ready(context) {
                    if let Ok(mut ready) = ready {
                        // Whoever waits reads all of it.
                        ready.clear_ready();
                    }
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// What has arrived, at most so much at each door: a flood at one of them does not keep the
    /// others unheard. Whether there may be more.
    pub fn receive_some(&self, most: usize) -> (Vec<ReceivedPacket>, bool) {
        let (mut packets, mut more) = (Vec::new(), false);
        for (door, socket) in &self.0 {
            let mut empty = false;
            for _ in 0..most {
                match receive(*door, socket.get_ref()) {
                    Ok(packet) => packets.push(packet),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        empty = true;
                        break;
                    }
                    // What cannot be read is gone; what is behind it can be.
                    Err(error) => tracing::debug!("a BFD packet cannot be read: {error}"),
                }
            }
            more |= !empty;
        }
        (packets, more)
    }
}

/// Not shared with another BFD of this host: one of the two would not hear a thing.
fn receiver(door: Door) -> io::Result<Socket> {
    let port = door.hop.port();
    let socket = udp(door.family)?;
    match door.family {
        Family::Inet => {
            setsockopt(&socket, Ipv4RecvTtl, &true)?;
            setsockopt(&socket, Ipv4PacketInfo, &true)?;
            socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))?;
        }
        Family::Inet6 => {
            setsockopt(&socket, Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
            socket.bind(&SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
        }
    }
    Ok(socket)
}

fn udp(family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::Inet => Domain::IPV4,
        Family::Inet6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn receive(door: Door, socket: &Socket) -> io::Result<ReceivedPacket> {
    let mut buffer = [0; LARGEST];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int);
    let mut pieces = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut space), flags)?;
    let (mut to, mut ttl) = (None, None);
    for beside in message.cmsgs()? {
        match beside {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = u32::from_be(info.ipi_addr.s_addr);
                to = Some(IpAddr::from(Ipv4Addr::from(address)));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            ControlMessageOwned::Ipv4Ttl(left) | ControlMessageOwned::Ipv6HopLimit(left) => {
                ttl = u8::try_from(left).ok();
            }
            _ => {}
        }
    }
    let address = message.address;
    let inet = address.as_ref().and_then(SockaddrStorage::as_sockaddr_in);
    let inet6 = address.as_ref().and_then(SockaddrStorage::as_sockaddr_in6);
    let from = match (inet, inet6) {
        (Some(from), _) => IpAddr::from(from.ip()),
        (None, Some(from)) => from.ip().into(),
        (None, None) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let length = message.bytes;
    let payload = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(ReceivedPacket { from, to, ttl, hop: door.hop, payload })
}

/// The socket that sends for one session.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    to: SockAddr,
    ttl: u8,
}

impl Sender {
    /// Takes a free port; `chance` says where the search begins.
    pub fn open(config: &BfdSession, chance: u32) -> io::Result<Self> {
        let family = Family::of(config.neighbour);
        let socket = udp(family)?;
        let any = match family {
            Family::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Family::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = config.source.unwrap_or(any);
        match family {
            Family::Inet => socket.set_tos_v4(TRAFFIC_CLASS)?,
            Family::Inet6 => socket.set_tclass_v6(TRAFFIC_CLASS)?,
        }
        bind(&socket, source, chance)?;
        let to = SocketAddr::new(config.neighbour, Hop::of(config).port()).into();
        let mut sender = Self { socket, to, ttl: 0 };
        sender.set_ttl(config.ttl)?;
        Ok(sender)
    }

    /// `ttl`, which a reload may change.
    pub fn set_ttl(&mut self, ttl: u8) -> io::Result<()> {
        if self.ttl != ttl {
            if self.to.is_ipv4() {
                self.socket.set_ttl_v4(ttl.into())?;
            } else {
                self.socket.set_unicast_hops_v6(ttl.into())?;
            }
            self.ttl = ttl;
        }
        Ok(())
    }

    /// Sends one packet.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, &self.to)?;
        Ok(())
    }
}

fn bind(socket: &Socket, source: IpAddr, chance: u32) -> io::Result<()> {
    let ports = u32::from(u16::MAX - FIRST_PORT) + 1;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for step in 0..u32::from(TRIES) {
        let offset = u16::try_from((chance.wrapping_add(step)) % ports).unwrap_or(0);
        match socket.bind(&SocketAddr::new(source, FIRST_PORT + offset).into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bfd::session::tests::config;

    #[test]
    fn a_session_sends_from_a_port_of_its_own_with_its_ttl() {
        for neighbour in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let mut session = config("B");
            session.neighbour = neighbour;
            session.ttl = 200;
            let Ok(mut first) = Sender::open(&session, u32::MAX) else {
                assert!(neighbour.is_ipv6(), "a host without IPv6");
                continue;
            };
            let second = Sender::open(&session, u32::MAX).unwrap();
            let port = |sender: &Sender| {
                sender.socket.local_addr().unwrap().as_socket().map(|local| local.port()).unwrap()
            };
            let ports = (port(&first), port(&second));
            assert!(ports.0 >= FIRST_PORT && ports.1 >= FIRST_PORT && ports.0 != ports.1);
            let ttl = |sender: &Sender| match neighbour {
                IpAddr::V4(_) => sender.socket.ttl_v4().unwrap(),
                IpAddr::V6(_) => sender.socket.unicast_hops_v6().unwrap(),
            };
            assert_eq!(ttl(&first), 200);
            first.set_ttl(255).unwrap();
            assert_eq!(ttl(&first), 255);
        }
    }
}
