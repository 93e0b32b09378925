//! Many packets in one system call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Packets of one system call.
const MOST_AT_ONCE: usize = 256;

/// An address as the kernel has it.
pub(super) trait Destination: Copy {}
impl Destination for libc::sockaddr_ll {}
impl Destination for libc::sockaddr_in {}

/// Sends packets, each to its destination, in few system calls and without waiting. Gives those that
/// were refused, by their place.
pub(super) fn send<A: Destination>(
    socket: &impl AsRawFd,
    packets: &[(A, &[u8])],
) -> Vec<(usize, io::Error)> {
    let mut refused = Vec::new();
    let mut done = 0;
    while let Some(rest) = packets.get(done..).filter(|rest| !rest.is_empty()) {
        match send_some(socket.as_raw_fd(), rest.get(..MOST_AT_ONCE).unwrap_or(rest)) {
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
fn send_some<A: Destination>(socket: RawFd, packets: &[(A, &[u8])]) -> io::Result<usize> {
    let length = libc::socklen_t::try_from(size_of::<A>()).map_err(io::Error::other)?;
    let mut parts: Vec<_> = packets
        .iter()
        .map(|(_, bytes)| libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        })
        .collect();
    let mut headers: Vec<_> = packets
        .iter()
        .zip(&mut parts)
        .map(|((address, _), part)| libc::mmsghdr {
            msg_hdr: libc::msghdr {
                msg_name: (&raw const *address).cast_mut().cast(),
                msg_namelen: length,
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
    // addresses and the bytes of the packets.
    let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
