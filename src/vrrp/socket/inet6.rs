//! Adverts over IPv6: one raw socket; the kernel builds the header from what is said beside each
//! packet (RFC 3542).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::sockopt::{Ipv6RecvHopLimit, Ipv6RecvPacketInfo, ReceiveTimestampns};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::{Datagram, InterfaceId, VRRP, arrival, receive_some};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::core::runtime;

/// Internetwork control.
const TRAFFIC_CLASS: u32 = 0xc0;
/// Larger than any advert: 8 + 255 addresses of 16 bytes.
const LARGEST: usize = 8192;

/// The adverts of one interface.
#[derive(Debug)]
pub struct Inet6Socket {
    socket: AsyncFd<Socket>,
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
        Ok(Self { socket: runtime::watch(socket)?, scope })
    }

    /// The one that receives.
    pub(super) fn receiver(&self) -> &Socket {
        self.socket.get_ref()
    }

    pub(super) fn join(&self, group: Ipv6Addr, interface: &InterfaceId) -> io::Result<()> {
        match self.socket.get_ref().join_multicast_v6(&group, interface.index) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            result => result,
        }
    }

    pub(super) async fn receive(&self, most: usize) -> io::Result<Vec<Datagram>> {
        receive_some(&self.socket, receive_one, most).await
    }

    pub(super) fn try_receive(&self) -> Option<Datagram> {
        loop {
            match receive_one(self.socket.get_ref()) {
                Ok(Some(datagram)) => return Some(datagram),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) fn send(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        hops: u8,
        payload: &[u8],
    ) -> io::Result<()> {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.scope,
        };
        let hops = i32::from(hops);
        let beside = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&hops)];
        let link_local = destination.is_unicast_link_local() || destination.is_multicast();
        let scope = if link_local { self.scope } else { 0 };
        let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, scope));
        sendmsg(
            self.socket.get_ref().as_raw_fd(),
            &[IoSlice::new(payload)],
            &beside,
            MsgFlags::MSG_DONTWAIT,
            Some(&to),
        )?;
        Ok(())
    }
}

/// A raw IPv6 socket gives the message without its header. `None` without what the header said.
fn receive_one(socket: &Socket) -> io::Result<Option<Datagram>> {
    let mut buffer = [0; LARGEST];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int, TimeSpec);
    let mut pieces = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut pieces,
        Some(&mut space),
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
        arrived: arrival(stamp),
        source: source.into(),
        destination: destination.into(),
        ttl,
        id: 0,
        payload: buffer.get(..length).unwrap_or_default().to_vec(),
    }))
}
