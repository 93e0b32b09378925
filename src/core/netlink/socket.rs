//! The request loop: sequence numbers, acknowledgements, dumps, timeouts, batches.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

use neli::consts::nl::NlmF;
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::sys::socket::sockopt::{ReceiveTimeout, SndBufForce};
use nix::sys::socket::{NetlinkAddr, recvfrom, setsockopt};
use nix::sys::time::TimeVal;

use super::error::NetlinkError;
use super::message::{Attributes, Builder, HEADER, Message, Messages, text, u32_at};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
/// What fits without asking.
const USUAL_SEND_BUFFER: usize = 64 << 10;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Longest wait for the kernel, which answers at once when it answers at all.
const PATIENCE: TimeVal = TimeVal::new(5, 0);
/// Large dumps come in datagrams of up to 32 KiB.
const BUFFER: usize = 64 << 10;
/// Acknowledgements of a batch fit in it.
const LEAST_RECEIVE_BUFFER: u32 = 64 << 10;
/// Requests in one `sendmsg`; their acknowledgements fit the receive buffer.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 48 << 10;
/// More than most requests have.
const LARGE_REQUEST: usize = 1 << 10;
/// Messages that a receive buffer holds, at the very most.
const LEFT_OVER: usize = 1 << 20;
/// A dump that the kernel says was disturbed is taken again.
const DUMP_ATTEMPTS: usize = 5;

/// A blocking socket to the kernel.
pub struct NetlinkSocket {
    socket: NlSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for NetlinkSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetlinkSocket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl NetlinkSocket {
    /// Opens a socket of a protocol: route or generic.
    pub fn open(family: NlFamily) -> Result<Self, NetlinkError> {
        let socket = NlSocket::connect(family, None, Groups::empty())?;
        // Kernels without it give plain errors.
        let _ = socket.enable_ext_ack(true);
        receive_buffer::set(&borrow(&socket), ReceiveBuffer::default(), "netlink");
        setsockopt(&borrow(&socket), ReceiveTimeout, &PATIENCE).map_err(io::Error::from)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Gives it another receive buffer than the usual one, but none that is too small for it.
    pub fn set_receive_buffer(&self, mut wanted: ReceiveBuffer, what: &str) {
        wanted.bytes = wanted.bytes.map(|bytes| bytes.max(LEAST_RECEIVE_BUFFER));
        receive_buffer::set(&borrow(&self.socket), wanted, what);
    }

    /// Bytes of its receive buffer.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        receive_buffer::size(&borrow(&self.socket))
    }

    /// Dumps give only what the header of their request asks for. Kernels without it give all.
    pub fn filter_dumps(&self) {
        let _ = self.socket.enable_strict_checking(true);
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        self.socket.send(bytes, Msg::empty())?;
        Ok(())
    }

    /// Receives a datagram of the kernel's; those of other senders are thrown away.
    fn receive(&mut self) -> Result<usize, NetlinkError> {
        loop {
            let received = recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.buffer);
            match received {
                Ok((length, Some(sender))) if sender.pid() == 0 => return Ok(length),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return Err(NetlinkError::Timeout),
                Err(nix::errno::Errno::ENOBUFS) => return Err(NetlinkError::Overrun),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }

    /// Sends one request and waits for its acknowledgement; answers before it go to `each`.
    pub fn request(
        &mut self,
        request: Builder,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        let sequence = self.next_sequence();
        self.send(&request.finish(sequence))?;
        loop {
            let length = self.receive()?;
            for message in Messages(self.buffer.get(..length).unwrap_or_default()) {
                if message.sequence != sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_ERROR => return acknowledgement(&message),
                    NLMSG_DONE => return Ok(()),
                    _ => each(message),
                }
            }
        }
    }

    /// Takes a whole table: `collect` makes something of each message that it knows. A dump that was
    /// disturbed by a change is taken again, so that nothing is missed or seen twice.
    pub fn dump<T>(
        &mut self,
        request: &Builder,
        mut collect: impl FnMut(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = Vec::new();
            let mut disturbed = false;
            self.request(request.clone(), |message| {
                disturbed |= message.flags & NLM_F_DUMP_INTR != 0;
                found.extend(collect(message));
            })?;
            if !disturbed {
                return Ok(found);
            }
        }
        Err(NetlinkError::Overrun)
    }

    /// Sends many requests in few system calls; gives each one's result, in order. After a timeout
    /// or an overrun the rest of the results is that error: what happened is not known then.
    pub fn batch(
        &mut self,
        requests: impl Iterator<Item = Builder>,
    ) -> Vec<Result<(), NetlinkError>> {
        let mut results = Vec::new();
        let mut requests = requests.peekable();
        while requests.peek().is_some() {
            let first = self.sequence.wrapping_add(1).max(1);
            let (mut bytes, mut count) = (Vec::new(), 0usize);
            while let Some(request) = requests.next() {
                count += 1;
                let full = count == BATCH || bytes.len() + LARGE_REQUEST >= BATCH_BYTES;
                let last = full || requests.peek().is_none();
                let request = if last { request } else { request.unacknowledged() };
                let sequence = self.next_sequence();
                bytes.extend(request.finish(sequence));
                if last {
                    break;
                }
            }
            results.extend(self.exchange(&bytes, first, count));
        }
        results
    }

    /// Has a subsystem of netfilter carry out all requests at once, or none of them.
    pub fn transaction(
        &mut self,
        subsystem: u8,
        requests: Vec<Builder>,
    ) -> Result<(), NetlinkError> {
        let mut bytes = Vec::new();
        let edge = |kind| Builder::new(kind, NlmF::REQUEST.bits(), &[0, 0, 0, subsystem]);
        let begin = self.next_sequence();
        bytes.extend(edge(NFNL_MSG_BATCH_BEGIN).finish(begin));
        let mut open = BTreeSet::new();
        for request in requests {
            let sequence = self.next_sequence();
            open.insert(sequence);
            bytes.extend(request.finish(sequence));
        }
        bytes.extend(edge(NFNL_MSG_BATCH_END).finish(self.next_sequence()));
        if bytes.len() > USUAL_SEND_BUFFER {
            // Refused, sending says so.
            let _ = setsockopt(&borrow(&self.socket), SndBufForce, &(2 * bytes.len()));
        }
        self.send(&bytes)?;
        while !open.is_empty() {
            let length = self.receive()?;
            for message in Messages(self.buffer.get(..length).unwrap_or_default()) {
                let ours = message.sequence == begin || open.remove(&message.sequence);
                if ours && message.kind == NLMSG_ERROR {
                    // What comes after it is passed over as old.
                    acknowledgement(&message)?;
                }
            }
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        bytes: &[u8],
        first: u32,
        count: usize,
    ) -> Vec<Result<(), NetlinkError>> {
        let mut results: Vec<Option<Result<(), NetlinkError>>> = (0..count).map(|_| None).collect();
        let mut failure = self.send(bytes).err();
        let mut answered = false;
        while !answered && failure.is_none() {
            let length = match self.receive() {
                Ok(length) => length,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            for message in Messages(self.buffer.get(..length).unwrap_or_default()) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).ok();
                let slot = place.and_then(|place| results.get_mut(place));
                if let (NLMSG_ERROR, Some(slot @ None)) = (message.kind, slot) {
                    *slot = Some(acknowledgement(&message));
                    answered |= place == count.checked_sub(1);
                }
            }
        }
        if answered {
            // The kernel takes them in order and speaks of the others only where they failed.
            return results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect();
        }
        results
            .into_iter()
            .map(|result| {
                result.unwrap_or_else(|| match failure.take() {
                    Some(error) => Err(error),
                    None => Err(NetlinkError::Timeout),
                })
            })
            .collect()
    }
}

fn borrow(socket: &NlSocket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Opens a socket that receives the messages of multicast groups.
pub fn open_subscriber(family: NlFamily, groups: &[u32]) -> Result<OwnedFd, NetlinkError> {
    let socket = NlSocket::connect(family, None, Groups::empty())?;
    socket.add_mcast_membership(Groups::new_groups(groups))?;
    receive_buffer::set(&borrow(&socket), ReceiveBuffer::default(), "netlink");
    socket.nonblock()?;
    // SAFETY: `into_raw_fd` gives the descriptor away.
    Ok(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) })
}

/// Adds multicast groups to a subscriber.
pub fn join_groups(socket: &OwnedFd, groups: &[u32]) -> io::Result<()> {
    for group in groups {
        // SAFETY: the kernel reads the four bytes of `group`.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_ADD_MEMBERSHIP,
                std::ptr::from_ref(group).cast(),
                libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(4),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Receives one datagram without waiting. `Ok(None)` when it was not the kernel's.
pub fn receive_from_kernel(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let (length, sender) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), buffer)?;
    Ok(sender.filter(|sender| sender.pid() == 0).map(|_| length))
}

/// Throws away what waits, after an overrun (ENOBUFS). Until the queue is empty the kernel drops what
/// happens, and says so only once: tables that are read before that may be out of date for ever.
pub fn empty(socket: &OwnedFd, buffer: &mut [u8]) {
    for _ in 0..LEFT_OVER {
        match receive_from_kernel(socket, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// An error message: errno 0 is success; with it may come the kernel's own words.
fn acknowledgement(message: &Message<'_>) -> Result<(), NetlinkError> {
    let code = u32_at(message.body, 0).ok_or(NetlinkError::Malformed("a short acknowledgement"))?;
    let errno = i32::from_ne_bytes(code.to_ne_bytes()).saturating_neg();
    if errno == 0 {
        return Ok(());
    }
    let text = (message.flags & NLM_F_ACK_TLVS != 0).then(|| kernel_words(message)).flatten();
    Err(NetlinkError::Refused { errno, text })
}

fn kernel_words(message: &Message<'_>) -> Option<String> {
    let request = if message.flags & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        usize::try_from(u32_at(message.body, 4)?).ok()?
    };
    let attributes = message.body.get(4usize.checked_add(request.next_multiple_of(4))?..)?;
    Attributes(attributes).find(NLMSGERR_ATTR_MSG).map(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_of_any_bytes_are_harmless() {
        for length in 0..64 {
            for fill in [0u8, 1, 0x7f, 0x80, 0xff] {
                for flags in [0, NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED] {
                    let body = vec![fill; length];
                    let message = Message { kind: NLMSG_ERROR, flags, sequence: 1, body: &body };
                    let _ = acknowledgement(&message);
                }
            }
        }
    }
}
