//! The channel between parent and child: a pair of sequenced-packet sockets. A message is one byte,
//! with a sealed memfd beside it where a configuration travels. The parent's end closing means that
//! the parent is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IoSlice, IoSliceMut, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::core::runtime;

/// Bytes that are written or read at once.
const AT_ONCE: usize = 64 << 10;

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

/// Puts what `write` writes in a memfd that nobody can change any more.
pub fn seal(write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("configuration", flags)?);
    let mut writer = BufWriter::with_capacity(AT_ONCE, file);
    write(&mut writer)?;
    let file = writer.into_inner()?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// The same in a file of `folder` (`tmp_config_directory`) that has no name, and that only we can
/// open: what comes back can be read, and nobody has kept what could be written to.
pub fn seal_in(
    folder: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let mut writer = BufWriter::with_capacity(AT_ONCE, options.open(folder)?);
    write(&mut writer)?;
    let file = writer.into_inner()?;
    let reader = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(reader.into())
}

/// Whether nobody can change it: sealed memory, or a file without a name, open for reading. Some file
/// systems know seals of files too, so that having none says nothing.
fn is_sealed(descriptor: &OwnedFd) -> io::Result<bool> {
    let seals = fcntl(descriptor.as_fd(), FcntlArg::F_GET_SEALS).unwrap_or(0);
    let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK;
    if SealFlag::from_bits_truncate(seals).contains(wanted) {
        return Ok(true);
    }
    let mode = OFlag::from_bits_truncate(fcntl(descriptor.as_fd(), FcntlArg::F_GETFL)?);
    let found = nix::sys::stat::fstat(descriptor)?;
    Ok(found.st_nlink == 0 && mode & OFlag::O_ACCMODE == OFlag::O_RDONLY)
}

/// What [`seal`] or [`seal_in`] wrote, from its beginning.
pub fn unseal(descriptor: OwnedFd) -> io::Result<BufReader<File>> {
    if !is_sealed(&descriptor)? {
        return Err(io::Error::other("the configuration that was handed over is not sealed"));
    }
    let mut file = File::from(descriptor);
    // The descriptor shares its position with the sender's.
    file.rewind()?;
    Ok(BufReader::with_capacity(AT_ONCE, file))
}

/// What tells this program from any other: only the very same one understands the bytes that it hands
/// over. A child is executed as `/proc/self/exe`, which stays the same when an upgrade puts another
/// program in its place.
pub fn maker() -> io::Result<String> {
    let program = std::fs::metadata("/proc/self/exe")?;
    let (size, seconds, nanoseconds) = (program.size(), program.mtime(), program.mtime_nsec());
    Ok(format!(
        "version {} ({size} bytes of {seconds}.{nanoseconds:09})",
        env!("CARGO_PKG_VERSION")
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn text_of(sealed: OwnedFd) -> String {
        io::read_to_string(unseal(sealed).unwrap()).unwrap()
    }

    #[test]
    fn a_sealed_configuration_travels_and_cannot_be_changed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = pair().unwrap();
            let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
            let sealed = seal(|file| file.write_all(b"vrrp_instance V { }\n")).unwrap();
            ours.send(ToChild::Start, Some(sealed.as_fd())).unwrap();
            ours.send(ToChild::Ping, None).unwrap();
            let (message, attachment) = theirs.receive::<ToChild>().await.unwrap().unwrap();
            assert_eq!(message, ToChild::Start);
            let received = attachment.unwrap();
            let mut writer = File::from(received.try_clone().unwrap());
            assert!(writer.write_all(b"x").is_err(), "sealed");
            assert_eq!(text_of(received), "vrrp_instance V { }\n");
            assert!(matches!(theirs.receive().await, Ok(Some((ToChild::Ping, None)))));
            drop(ours);
            assert!(theirs.receive::<ToChild>().await.unwrap().is_none());
        });
    }

    #[test]
    fn an_ordinary_file_is_not_taken_for_a_configuration() {
        let file = tempfile::tempfile().unwrap();
        assert!(unseal(file.into()).is_err(), "it could be written to");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(unseal(File::open(file.path()).unwrap().into()).is_err(), "it has a name");
    }

    #[test]
    fn a_configuration_may_travel_in_a_file_of_a_folder() {
        // The second one is in memory, where files have seals.
        for place in [std::env::temp_dir(), "/dev/shm".into()] {
            let folder = tempfile::tempdir_in(place).unwrap();
            let sealed = seal_in(folder.path(), |file| file.write_all(b"text")).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
            let mut writer = File::from(sealed.try_clone().unwrap());
            assert!(writer.write_all(b"x").is_err());
            assert_eq!(text_of(sealed), "text");
        }
        assert!(seal_in(Path::new("/nonexistent"), |_| Ok(())).is_err());
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
