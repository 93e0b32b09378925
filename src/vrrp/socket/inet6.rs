//! Adverts over IPv6: one raw socket; the kernel builds the header from what is said beside each
//! packet (RFC 3542).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::sockopt::{Ipv6RecvHopLimit, Ipv6RecvPacketInfo, ReceiveTimestampns};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Clocks, Datagram, InterfaceId, VRRP};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::vrrp::engine::Transmit;

/// Internetwork control.
const TRAFFIC_CLASS: u32 = 0xc0;
/// Larger than any advert: 8 + 255 addresses of 16 bytes.
pub(super) const LARGEST: usize = 8192;

/// The adverts of one interface.
#[derive(Debug)]
pub struct Inet6Socket {
    socket: Socket,
    /// Link-local addresses mean nothing without it; 0 for unicast on any interface.
    scope: u32,
}

impl Inet6Socket {
    pub(super) fn open(interface: Option<&InterfaceId>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(i32::from(VRRP))))?;
        socket.set_nonblocking(true)?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.name.as_bytes()))?;
            socket.set_multicast_if_v6(interface.index)?;
        }
        socket.set_multicast_all_v6(false)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_tclass_v6(TRAFFIC_CLASS)?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, Ipv6RecvHopLimit, &true)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        receive_buffer::set(&socket, ReceiveBuffer::default(), "adverts");
        let scope = interface.map_or(0, |interface| interface.index);
        Ok(Self { socket, scope })
    }

    /// The one that receives.
    pub(super) fn receiver(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn join(&self, group: Ipv6Addr, interface: &InterfaceId) -> io::Result<()> {
        match self.socket.join_multicast_v6(&group, interface.index) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            result => result,
        }
    }

    /// Takes the next packet that has arrived. One without what its header said is passed over.
    pub(super) fn receive(
        &self,
        space: &mut [u8],
        each: &mut dyn FnMut(Datagram<'_>),
    ) -> io::Result<()> {
        if let Some(found) = receive_one(&self.socket, space)? {
            each(found);
        }
        Ok(())
    }

    /// Sends adverts. Gives those that were refused, by their place.
    pub(super) fn send(&self, adverts: &[Transmit]) -> Vec<(usize, io::Error)> {
        let sent = adverts.iter().enumerate();
        sent.filter_map(|(place, advert)| Some((place, self.send_one(advert).err()?))).collect()
    }

    fn send_one(&self, advert: &Transmit) -> io::Result<()> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (advert.source, advert.destination)
        else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.scope,
        };
        let hops = i32::from(advert.ttl);
        let beside = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&hops)];
        let link_local = destination.is_unicast_link_local() || destination.is_multicast();
        let scope = if link_local { self.scope } else { 0 };
        let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, scope));
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&advert.payload)],
            &beside,
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )?;
        Ok(())
    }
}

/// A raw IPv6 socket gives the message without its header. `None` without what the header said.
fn receive_one<'a>(socket: &Socket, space: &'a mut [u8]) -> io::Result<Option<Datagram<'a>>> {
    let buffer = space.get_mut(..LARGEST).unwrap_or_default();
    let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int, TimeSpec);
    let mut pieces = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut pieces,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let (mut destination, mut hops, mut stamp) = (None, None, None);
    for beside in message.cmsgs()? {
        match beside {
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
            }
            ControlMessageOwned::Ipv6HopLimit(limit) => hops = u8::try_from(limit).ok(),
            ControlMessageOwned::ScmTimestampns(time) => stamp = Some(time),
            _ => {}
        }
    }
    let source = message.address.map(|address| address.ip());
    let length = message.bytes;
    let (Some(source), Some(destination), Some(ttl)) = (source, destination, hops) else {
        return Ok(None);
    };
    Ok(Some(Datagram {
        arrived: Clocks::read().arrival(stamp),
        source: source.into(),
        destination: destination.into(),
        ttl,
        id: 0,
        payload: space.get(..length).unwrap_or_default(),
    }))
}
