//! Receive buffers of sockets: as configured (`…_rcv_bufs`, `vrrp_rx_bufs_policy`), else what has
//! room for a burst.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{getsockopt, setsockopt};

use super::config::model::services::ReceiveBuffer;

/// Room for a burst while the process is busy, bytes.
pub const USUAL: usize = 4 << 20;

/// Gives a socket its receive buffer. The kernel may allow less than was asked for; then less it is,
/// which is told where somebody has configured it.
pub fn set(socket: &impl AsFd, wanted: ReceiveBuffer, what: &str) {
    // Zero bytes are the system's default, as with keepalived.
    let bytes = wanted.bytes.filter(|bytes| *bytes > 0);
    let asked = bytes.map_or(USUAL, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    // The kernel's field is a signed one.
    let asked = asked.min(i32::MAX as usize);
    let result = if wanted.force {
        setsockopt(socket, RcvBufForce, &asked)
    } else {
        setsockopt(socket, RcvBuf, &asked)
    };
    if bytes.is_none() {
        return;
    }
    match (result, size(socket)) {
        (Err(error), _) => tracing::warn!("{what}: no receive buffer of {asked} bytes: {error}"),
        (Ok(()), Ok(given)) if given < asked => {
            tracing::warn!("{what}: a receive buffer of {given} bytes instead of {asked}");
        }
        (Ok(()), _) => {}
    }
}

/// What the kernel lets the socket have, bytes: it doubles a number that it is given, since it counts
/// its own part as well.
pub fn size(socket: &impl AsFd) -> io::Result<usize> {
    Ok(getsockopt(socket, RcvBuf)? / 2)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_socket_has_the_buffer_that_it_is_given() {
        let (socket, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let given = |bytes, force| {
            set(&socket, ReceiveBuffer { bytes, force }, "test");
            size(&socket).unwrap()
        };
        assert_eq!(given(Some(20_000), false), 20_000);
        let most = given(None, false);
        assert!(most > 20_000, "as much as the system allows: {most}");
        assert_eq!(given(Some(0), false), most, "zero is as without");
        assert_eq!(given(Some(u32::MAX), false), most, "the system's limit");
        if nix::unistd::geteuid().is_root() {
            let beyond = u32::try_from(most).unwrap() * 2;
            assert_eq!(given(Some(beyond), true), most * 2, "beyond it by force");
        }
    }
}
