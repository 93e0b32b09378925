//! Ethernet frames, ready made: gratuitous ARP and unsolicited neighbour advertisements.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, OwnedFd};

use socket2::{Domain, Socket, Type};

/// Sends ready-made Ethernet frames.
#[derive(Debug)]
pub struct FrameSocket {
    socket: OwnedFd,
}

impl FrameSocket {
    /// Opens a packet socket that receives nothing.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: socket.into() })
    }

    /// Sends `frame` out of the interface.
    pub fn send(&self, interface: NonZeroU32, frame: &[u8]) -> io::Result<()> {
        let mut address = libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
            sll_protocol: 0,
            sll_ifindex: i32::try_from(interface.get()).unwrap_or_default(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        for (to, from) in address.sll_addr.iter_mut().zip(frame.iter().take(6)) {
            *to = *from;
        }
        let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
        // SAFETY: `frame` and `address` are valid for the lengths given and outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                size,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
