//! Adverts over IPv4: a raw socket that receives, and one that sends with a header of our own.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt};
use nix::sys::time::TimeSpec;

use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::{Clocks, Datagram, InterfaceId, VRRP, batch};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::core::time::Timestamp;
use crate::vrrp::engine::Transmit;
use crate::vrrp::packet::ah;

/// Internetwork control, 0xc0 as a whole byte.
const DSCP: u8 = 0x30;
const IPV4_HEADER: usize = 20;
/// Larger than any advert: 8 + 255 addresses of 4 bytes + 8, and the largest IP header.
const LARGEST: usize = 2048;
/// Packets of one look.
pub(super) const LOOK: usize = 32;
/// What a look needs.
pub(super) const SPACE: usize = LOOK * LARGEST;

/// Receives and sends the adverts of one interface (or, without one, of unicast on any).
#[derive(Debug)]
pub struct InetSocket {
    receiver: Socket,
    sender: Socket,
    protocol: u8,
}

impl InetSocket {
    /// Opens both sockets. Needs CAP_NET_RAW and a running tokio.
    pub fn open(interface: Option<&InterfaceId>, protocol: u8) -> io::Result<Self> {
        let receiver = raw_socket(interface, protocol)?;
        receiver.set_multicast_all_v4(false)?;
        setsockopt(&receiver, ReceiveTimestampns, &true)?;
        receive_buffer::set(&receiver, ReceiveBuffer::default(), "adverts");
        let sender = raw_socket(interface, protocol)?;
        sender.set_header_included_v4(true)?;
        sender.set_multicast_loop_v4(false)?;
        // A socket that only sends must not collect what arrives.
        sender.set_recv_buffer_size(0)?;
        sender.shutdown_reading();
        Ok(Self { receiver, sender, protocol })
    }

    /// The one that receives.
    pub(super) fn receiver(&self) -> &Socket {
        &self.receiver
    }

    /// Joins a multicast group on the interface; joining again is not an error.
    pub fn join(&self, group: Ipv4Addr, interface: &InterfaceId) -> io::Result<()> {
        let index = InterfaceIndexOrAddress::Index(interface.index);
        match self.receiver.join_multicast_v4_n(&group, &index) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            result => result,
        }
    }

    /// Takes one look at what has arrived. Gives how many packets that were, at most [`LOOK`]: fewer
    /// are all that there was. Those that are not VRRP over IPv4 are passed over.
    pub fn receive(
        &self,
        space: &mut [u8],
        each: &mut dyn FnMut(Datagram<'_>),
    ) -> io::Result<usize> {
        let mut pieces: Vec<_> = space
            .chunks_exact_mut(LARGEST)
            .take(LOOK)
            .map(|piece| [IoSliceMut::new(piece)])
            .collect();
        let control = nix::cmsg_space!(TimeSpec);
        let mut headers = MultiHeaders::<()>::preallocate(pieces.len(), Some(control));
        let socket = self.receiver.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(socket, &mut headers, &mut pieces, flags, None)?;
        let clocks = Clocks::read();
        let mut count = 0;
        for message in messages {
            count += 1;
            let stamp = message.cmsgs().ok().and_then(|mut beside| {
                beside.find_map(|beside| match beside {
                    ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                    _ => None,
                })
            });
            if let Some(found) = message.iovs().next().and_then(parse_ipv4) {
                each(Datagram { arrived: clocks.arrival(stamp), ..found });
            }
        }
        Ok(count)
    }

    /// Sends adverts, each with its IP header, in few system calls. Gives those that were refused, by
    /// their place.
    pub fn send(&self, adverts: &[Transmit]) -> Vec<(usize, io::Error)> {
        let (mut bytes, mut ends, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, advert) in adverts.iter().enumerate() {
            match self.packet(advert, &mut bytes) {
                Some(destination) => ends.push((place, destination, bytes.len())),
                None => {
                    let error = "an advert of this family or size does not fit the socket";
                    refused.push((place, io::Error::new(io::ErrorKind::Unsupported, error)));
                }
            }
        }
        let mut start = 0;
        let packets = ends.iter().map(|(_, destination, end)| {
            let packet = bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (kernel_address(*destination), packet)
        });
        let packets: Vec<_> = packets.collect();
        for (at, error) in batch::send(&self.sender, &packets) {
            refused.extend(ends.get(at).map(|(place, ..)| (*place, error)));
        }
        refused
    }

    /// Appends the packet of an advert; gives where it goes.
    fn packet(&self, advert: &Transmit, bytes: &mut Vec<u8>) -> Option<Ipv4Addr> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (advert.source, advert.destination)
        else {
            return None;
        };
        let (ttl, id, protocol) = (advert.ttl, advert.id, self.protocol);
        let header = Header { source, destination, ttl, id, protocol };
        append_packet(&header, &advert.payload, bytes)?;
        Some(destination)
    }
}

fn kernel_address(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    }
}

/// Nothing is read from a socket that only sends.
trait ShutdownReading {
    fn shutdown_reading(&self);
}

impl ShutdownReading for Socket {
    fn shutdown_reading(&self) {
        // Raw sockets may refuse; the tiny buffer is what matters.
        let _ = self.shutdown(std::net::Shutdown::Read);
    }
}

fn raw_socket(interface: Option<&InterfaceId>, protocol: u8) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol));
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.name.as_bytes()))?;
    }
    Ok(socket)
}

/// Takes an IPv4 header off; `None` for anything but a whole VRRP packet. When it came is not in it.
fn parse_ipv4(bytes: &[u8]) -> Option<Datagram<'_>> {
    let packet = Ipv4Packet::new(bytes)?;
    if packet.get_version() != 4
        || !matches!(packet.get_next_level_protocol().0, VRRP | ah::PROTOCOL)
    {
        return None;
    }
    let header = usize::from(packet.get_header_length()) * 4;
    let total = usize::from(packet.get_total_length());
    if header < IPV4_HEADER {
        return None;
    }
    Some(Datagram {
        arrived: Timestamp::ZERO,
        source: packet.get_source().into(),
        destination: packet.get_destination().into(),
        ttl: packet.get_ttl(),
        id: packet.get_identification(),
        // Ethernet padding is beyond the total length.
        payload: bytes.get(header..total.min(bytes.len()))?,
    })
}

/// What the kernel is not to choose.
struct Header {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    id: u16,
    protocol: u8,
}

/// The kernel fills in the checksum, and the identification where it is 0.
fn append_packet(header: &Header, payload: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(IPV4_HEADER + payload.len()).ok()?;
    let start = bytes.len();
    bytes.resize(start + usize::from(length), 0);
    let mut packet = MutableIpv4Packet::new(bytes.get_mut(start..)?)?;
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_dscp(DSCP);
    packet.set_total_length(length);
    packet.set_ttl(header.ttl);
    packet.set_identification(header.id);
    packet.set_next_level_protocol(IpNextHeaderProtocol(header.protocol));
    packet.set_source(header.source);
    packet.set_destination(header.destination);
    packet.set_payload(payload);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4_packet(header: &Header, payload: &[u8]) -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        append_packet(header, payload, &mut bytes).unwrap();
        bytes.split_off(6)
    }

    #[test]
    fn an_advert_gets_the_header_that_the_rfc_asks_for_and_comes_back_whole() {
        let group = Ipv4Addr::new(224, 0, 0, 18);
        let source = Ipv4Addr::new(10, 0, 0, 1);
        let header = Header { source, destination: group, ttl: 255, id: 0, protocol: VRRP };
        let mut packet = ipv4_packet(&header, b"advert");
        assert_eq!(packet[..2], [0x45, 0xc0]);
        assert_eq!((packet[8], packet[9]), (255, 112));
        packet.extend_from_slice(&[0; 14]);
        let datagram = parse_ipv4(&packet).unwrap();
        assert_eq!(datagram.payload, b"advert", "padding is not part of the message");
        assert_eq!((datagram.source, datagram.ttl), (IpAddr::V4(source), 255));
    }

    #[test]
    fn v_078_options_of_the_header_are_passed_over() {
        let group = Ipv4Addr::new(224, 0, 0, 18);
        let source = Ipv4Addr::new(10, 0, 0, 1);
        let header = Header { source, destination: group, ttl: 255, id: 0, protocol: VRRP };
        let plain = ipv4_packet(&header, b"advert");
        for words in 1..=10u8 {
            let mut packet = plain[..20].to_vec();
            packet.extend(vec![1; usize::from(words) * 4]);
            packet.extend(b"advert");
            packet[0] = 0x45 + words;
            packet[3] = u8::try_from(packet.len()).unwrap();
            assert_eq!(parse_ipv4(&packet).unwrap().payload, b"advert");
            // A header that is longer than the packet says.
            packet[3] = 20 + words * 4 - 1;
            assert_eq!(parse_ipv4(&packet), None);
        }
    }

    #[test]
    fn no_header_of_any_bytes_is_trusted() {
        for length in 0..64 {
            for fill in [0x00, 0x45, 0x4f, 0x70, 0xff] {
                let mut bytes = vec![fill; length];
                if let Some(protocol) = bytes.get_mut(9) {
                    *protocol = VRRP;
                }
                let _ = parse_ipv4(&bytes);
            }
        }
    }
}
