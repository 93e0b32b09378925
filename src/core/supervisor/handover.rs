//! The channel between parent and child: a pair of sequenced-packet sockets. A message is one byte,
//! with a sealed memfd beside it where a configuration travels. The parent's end closing means that
//! the parent is gone.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::core::runtime;

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToChild {
    /// Before [`Self::Start`]; carries what the child before this one has left.
    Legacy,
    /// Before [`Self::Start`]; carries the channel on which BFD sessions are told of.
    News,
    /// Before [`Self::Start`] of the bfd process; carries the other end of the vrrp process's channel.
    NewsForVrrp,
    /// Before [`Self::Start`] of the bfd process; carries the other end of the check process's channel.
    NewsForCheck,
    /// Before [`Self::Start`] of the vrrp process; carries the packet socket that announcements leave by.
    Frames,
    /// After those; carries the configuration.
    Start,
    /// Carries a new configuration.
    Reload,
    /// Write the data file.
    DumpData,
    /// Write the statistics file.
    DumpStatistics,
    /// Write the JSON file.
    DumpJson,
    /// Write the statistics file and count from zero.
    ClearStatistics,
    /// Show that you are alive.
    Ping,
}

/// What a child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToParent {
    /// It is up.
    Ready,
    /// It has carried out a reload.
    Reloaded,
    /// It is alive.
    Pong,
}

/// A message as one byte.
pub trait Message: Sized + Copy {
    /// The byte.
    fn byte(self) -> u8;
    /// The message of a byte.
    fn of(byte: u8) -> Option<Self>;
}

impl Message for ToChild {
    fn byte(self) -> u8 {
        match self {
            Self::Legacy => b'L',
            Self::News => b'N',
            Self::NewsForVrrp => b'V',
            Self::NewsForCheck => b'K',
            Self::Frames => b'F',
            Self::Start => b'S',
            Self::Reload => b'R',
            Self::DumpData => b'D',
            Self::DumpStatistics => b'U',
            Self::DumpJson => b'J',
            Self::ClearStatistics => b'C',
            Self::Ping => b'P',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [
            Self::Legacy,
            Self::News,
            Self::NewsForVrrp,
            Self::NewsForCheck,
            Self::Frames,
            Self::Start,
            Self::Reload,
            Self::DumpData,
            Self::DumpStatistics,
            Self::DumpJson,
            Self::ClearStatistics,
            Self::Ping,
        ]
        .into_iter()
        .find(|message| message.byte() == byte)
    }
}

impl Message for ToParent {
    fn byte(self) -> u8 {
        match self {
            Self::Ready => b'r',
            Self::Reloaded => b'l',
            Self::Pong => b'p',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Ready, Self::Reloaded, Self::Pong].into_iter().find(|message| message.byte() == byte)
    }
}

/// One end of the channel.
#[derive(Debug)]
pub struct Channel {
    socket: AsyncFd<OwnedFd>,
}

/// Makes a pair: the parent's end, and the end to give to a child.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

impl Channel {
    /// Needs a running tokio.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: runtime::watch(socket)? })
    }

    /// Sends a message without waiting: the queue is empty but for a peer that is stuck.
    pub fn send<M: Message>(
        &self,
        message: M,
        attachment: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let byte = [message.byte()];
        let descriptors = attachment.map(|descriptor| [descriptor.as_raw_fd()]);
        let control: Vec<ControlMessage<'_>> =
            descriptors.iter().map(|list| ControlMessage::ScmRights(list)).collect();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let socket = self.socket.get_ref().as_raw_fd();
        sendmsg::<()>(socket, &[IoSlice::new(&byte)], &control, flags, None)?;
        Ok(())
    }

    /// The next message with what is attached; `None` when the other end is gone. A byte that means
    /// nothing is passed over.
    pub async fn receive<M: Message>(&self) -> io::Result<Option<(M, Option<OwnedFd>)>> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, receive_one).await?;
            let Some((byte, attachment)) = received else {
                return Ok(None);
            };
            if let Some(message) = M::of(byte) {
                return Ok(Some((message, attachment)));
            }
            tracing::error!("message {byte:#04x} between the processes is not known");
        }
    }
}

fn receive_one(socket: &OwnedFd) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut byte = [0u8];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffer, Some(&mut control), flags)?;
    let mut attachment = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
                attachment = Some(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((byte[0], attachment)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::super::sealed::{Memory, unseal};
    use super::*;

    #[test]
    fn a_sealed_configuration_travels_and_cannot_be_changed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = pair().unwrap();
            let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
            let mut memory = Memory::new().unwrap();
            memory.write_all(b"vrrp_instance V { }\n").unwrap();
            let sealed = memory.seal().unwrap();
            ours.send(ToChild::Start, Some(sealed.as_fd())).unwrap();
            ours.send(ToChild::Ping, None).unwrap();
            let (message, attachment) = theirs.receive::<ToChild>().await.unwrap().unwrap();
            assert_eq!(message, ToChild::Start);
            let received = attachment.unwrap();
            let mut writer = File::from(received.try_clone().unwrap());
            assert!(writer.write_all(b"x").is_err(), "sealed");
            let text = io::read_to_string(unseal(received).unwrap()).unwrap();
            assert_eq!(text, "vrrp_instance V { }\n");
            assert!(matches!(theirs.receive().await, Ok(Some((ToChild::Ping, None)))));
            drop(ours);
            assert!(theirs.receive::<ToChild>().await.unwrap().is_none());
        });
    }

    #[test]
    fn each_message_has_a_byte_of_its_own() {
        for byte in 0..=u8::MAX {
            if let Some(message) = ToChild::of(byte) {
                assert_eq!(message.byte(), byte);
            }
            if let Some(message) = ToParent::of(byte) {
                assert_eq!(message.byte(), byte);
            }
        }
    }
}
