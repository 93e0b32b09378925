//! Ethernet frames, ready made: gratuitous ARP and unsolicited neighbour advertisements.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, OwnedFd};

use crate::core::supervisor::heirlooms::packet_socket;

/// Frames of one system call.
const MOST_AT_ONCE: usize = 256;
#[expect(clippy::cast_possible_truncation, reason = "some twenty bytes")]
const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

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
        let mut refused = Vec::new();
        let mut done = 0;
        while let Some(rest) = frames.get(done..).filter(|rest| !rest.is_empty()) {
            match self.send_some(rest.get(..MOST_AT_ONCE).unwrap_or(rest)) {
                Ok(sent) => done += sent.max(1),
                Err(error) => {
                    refused.push((done, error));
                    done += 1;
                }
            }
        }
        refused
    }

    /// Gives how many the kernel has taken; an error is that of the first.
    fn send_some(&self, frames: &[Frame]) -> io::Result<usize> {
        let mut addresses: Vec<_> = frames.iter().map(Frame::address).collect();
        let mut parts: Vec<_> = frames
            .iter()
            .map(|frame| libc::iovec {
                iov_base: frame.bytes.as_ptr().cast_mut().cast(),
                iov_len: frame.bytes.len(),
            })
            .collect();
        let mut headers: Vec<_> = addresses
            .iter_mut()
            .zip(&mut parts)
            .map(|(address, part)| libc::mmsghdr {
                msg_hdr: libc::msghdr {
                    msg_name: (&raw mut *address).cast(),
                    msg_namelen: ADDRESS,
                    msg_iov: part,
                    msg_iovlen: 1,
                    msg_control: std::ptr::null_mut(),
                    msg_controllen: 0,
                    msg_flags: 0,
                },
                msg_len: 0,
            })
            .collect();
        let count = u32::try_from(headers.len()).unwrap_or(0);
        // SAFETY: the headers and what they point to outlive the call; the kernel only reads the
        // bytes of the frames.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
