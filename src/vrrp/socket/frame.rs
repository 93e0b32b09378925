//! Ethernet frames, ready made: gratuitous ARP and unsolicited neighbour advertisements.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

use super::batch;
use crate::core::supervisor::heirlooms::packet_socket;

/// An Ethernet frame and the interface it leaves by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Index of the interface.
    pub interface: NonZeroU32,
    /// From the destination's address on.
    pub bytes: Vec<u8>,
}

impl Frame {
    fn address(&self) -> libc::sockaddr_ll {
        let mut address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
            sll_protocol: 0,
            sll_ifindex: i32::try_from(self.interface.get()).unwrap_or_default(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        for (to, from) in address.sll_addr.iter_mut().zip(self.bytes.iter().take(6)) {
            *to = *from;
        }
        address
    }
}

/// Sends ready-made Ethernet frames.
#[derive(Debug)]
pub struct FrameSocket {
    socket: OwnedFd,
}

impl FrameSocket {
    /// Sends by the packet socket that the parent keeps, else by one of its own.
    pub fn over(kept: Option<OwnedFd>) -> io::Result<Self> {
        let socket = kept.map_or_else(packet_socket, Ok)?;
        Ok(Self { socket })
    }

    /// Sends frames, each out of its interface, in few system calls. Gives those that were refused, by
    /// their place.
    pub fn send(&self, frames: &[Frame]) -> Vec<(usize, io::Error)> {
        let packets: Vec<_> =
            frames.iter().map(|frame| (frame.address(), frame.bytes.as_slice())).collect();
        batch::send(&self.socket, &packets)
    }
}
