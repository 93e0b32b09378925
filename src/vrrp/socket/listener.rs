//! Which of many sockets have something to read. The event loop sees one descriptor, and looking before
//! each timer costs one system call, however many sockets there are.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;

use crate::core::runtime;

/// Sockets of one system call.
const AT_ONCE: usize = 64;
/// Sockets of one look are fewer than this times as many.
const MOST_ROUNDS: usize = 1024;

/// Watches sockets for packets.
#[derive(Debug)]
pub struct Listener {
    sockets: Epoll,
    /// The same for the event loop.
    watched: AsyncFd<OwnedFd>,
}

impl Listener {
    /// Watches nothing yet. Needs a running tokio.
    pub fn new() -> io::Result<Self> {
        let sockets = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let watched = runtime::watch(sockets.0.try_clone()?)?;
        Ok(Self { sockets, watched })
    }

    /// Watches a socket until it is closed. It is told by `token` once for each time that packets come,
    /// so that it must be read until it is empty.
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        let kind = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        Ok(self.sockets.add(socket, EpollEvent::new(kind, token))?)
    }

    /// Appends the tokens of the sockets to which packets have come since this was last asked.
    pub fn look(&self, ready: &mut Vec<u64>) {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        for _ in 0..MOST_ROUNDS {
            let count = self.sockets.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            ready.extend(events.iter().take(count).map(EpollEvent::data));
            if count < AT_ONCE {
                break;
            }
        }
    }

    /// The same, but waits until there is one.
    pub async fn wait(&self, ready: &mut Vec<u64>) {
        loop {
            let Ok(mut event) = self.watched.readable().await else {
                return std::future::pending().await;
            };
            self.look(ready);
            // Whatever comes from now on wakes the event loop again.
            event.clear_ready();
            if !ready.is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_told_once_for_each_arrival_until_it_is_closed() {
        let listener = Listener::new().unwrap();
        let pairs: Vec<_> = (0..200).map(|_| UnixDatagram::pair().unwrap()).collect();
        for (token, (ours, _)) in pairs.iter().enumerate() {
            listener.add(ours, u64::try_from(token).unwrap()).unwrap();
        }
        let mut ready: Vec<u64> = Vec::new();
        listener.look(&mut ready);
        assert!(ready.is_empty());
        for (_, theirs) in &pairs {
            theirs.send(b"one").unwrap();
        }
        listener.wait(&mut ready).await;
        ready.sort_unstable();
        assert_eq!(ready, (0..200).collect::<Vec<u64>>());
        ready.clear();
        listener.look(&mut ready);
        assert!(ready.is_empty(), "not read, and told all the same");
        pairs[7].1.send(b"two").unwrap();
        listener.wait(&mut ready).await;
        assert_eq!(ready, [7]);
        drop(pairs);
        ready.clear();
        listener.look(&mut ready);
        assert!(ready.is_empty());
    }
}
