//! What the parent keeps for its children, so that it outlives each of them: what a dead one has left,
//! the channels between them, the socket for announcements.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::command_line::Role;
use super::handover::{self, Channel, ToChild};
use super::legacy::Legacy;

/// All of it.
#[derive(Debug)]
pub struct Heirlooms {
    vrrp_legacy: Legacy,
    bfd_legacy: Legacy,
    /// From the bfd process to the vrrp process, both ends.
    vrrp_news: (OwnedFd, OwnedFd),
    /// The same to the check process.
    check_news: (OwnedFd, OwnedFd),
    /// Linux waits for some 10 ms when the last owner of a packet socket lets it go; a vrrp process
    /// that was killed would take so much longer to die. Nothing when there may be none.
    frames: OnceCell<Option<OwnedFd>>,
}

impl Heirlooms {
    /// Nothing has been left yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            vrrp_legacy: Legacy::new()?,
            bfd_legacy: Legacy::new()?,
            vrrp_news: handover::pair()?,
            check_news: handover::pair()?,
            frames: OnceCell::new(),
        })
    }

    /// Gives a child of this role what is its.
    pub fn hand_over(&self, role: Role, channel: &Channel) -> io::Result<()> {
        let give = |message, descriptor: &OwnedFd| channel.send(message, Some(descriptor.as_fd()));
        match role {
            Role::Vrrp => {
                give(ToChild::Legacy, &self.vrrp_legacy.descriptor()?)?;
                give(ToChild::News, &self.vrrp_news.1)?;
                if let Some(frames) = self.frames.get_or_init(|| packet_socket().ok()) {
                    give(ToChild::Frames, frames)?;
                }
                Ok(())
            }
            Role::Check => give(ToChild::News, &self.check_news.1),
            Role::Bfd => {
                give(ToChild::Legacy, &self.bfd_legacy.descriptor()?)?;
                give(ToChild::NewsForVrrp, &self.vrrp_news.0)?;
                give(ToChild::NewsForCheck, &self.check_news.0)
            }
        }
    }
}

/// A packet socket that receives nothing.
pub fn packet_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Packet, SockType::Raw, flags, None)?)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;
    use nix::sys::socket::sockopt::SockType as Kind;

    use super::*;

    /// What a child of this role hears, each with what is attached.
    async fn given(heirlooms: &Heirlooms, role: Role) -> Vec<(ToChild, OwnedFd)> {
        let (ours, theirs) = handover::pair().unwrap();
        let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        heirlooms.hand_over(role, &ours).unwrap();
        drop(ours);
        let mut all = Vec::new();
        while let Some((message, attached)) = theirs.receive().await.unwrap() {
            all.push((message, attached.unwrap()));
        }
        all
    }

    #[test]
    fn each_child_is_given_what_is_its() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let heirlooms = Heirlooms::new().unwrap();
            let messages = |given: &[(ToChild, OwnedFd)]| -> Vec<ToChild> {
                given.iter().map(|(message, _)| *message).collect()
            };
            let check = given(&heirlooms, Role::Check).await;
            assert_eq!(messages(&check), [ToChild::News]);
            let bfd = given(&heirlooms, Role::Bfd).await;
            assert_eq!(
                messages(&bfd),
                [ToChild::Legacy, ToChild::NewsForVrrp, ToChild::NewsForCheck]
            );
            let mut vrrp = given(&heirlooms, Role::Vrrp).await;
            if packet_socket().is_err() {
                eprintln!("SKIPPED: no packet sockets here");
                assert_eq!(messages(&vrrp), [ToChild::Legacy, ToChild::News]);
                return;
            }
            assert_eq!(messages(&vrrp), [ToChild::Legacy, ToChild::News, ToChild::Frames]);
            let (_, frames) = vrrp.pop().unwrap();
            assert_eq!(getsockopt(&frames, Kind), Ok(SockType::Raw));
        });
    }
}
