//! What the bfd process tells of its sessions, from the side of those who track them.
//!
//! The parent makes the channel once and keeps both ends, so that neither end's process misses more
//! than a moment when it, or the other one, is started again. What is told is bounded by the socket's
//! buffer; everything is told again every second, and whenever it is asked for.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{MsgFlags, recv, send};
use tokio::io::unix::AsyncFd;

use crate::core::bfd_news::{LARGEST, News, Watch, parse};
use crate::core::runtime;

/// The end of one who tracks sessions.
#[derive(Debug)]
pub struct BfdTracker {
    socket: Option<AsyncFd<OwnedFd>>,
    watch: Watch,
}

impl BfdTracker {
    /// Needs a running tokio. What was told to a process before this one is thrown away.
    pub fn new(channel: Option<OwnedFd>) -> Self {
        let socket = channel.and_then(|channel| match runtime::watch(channel) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::error!("nothing will be heard of BFD sessions: {error}");
                None
            }
        });
        let tracker = Self { socket, watch: Watch::default() };
        while matches!(tracker.receive(), Ok(Some(_))) {}
        tracker
    }

    /// Tracks these sessions and no others, and asks for their state.
    pub fn set(&mut self, names: &BTreeSet<String>) {
        self.watch.set(runtime::now(), names);
        if self.watch.is_empty() {
            return;
        }
        if let Some(socket) = &self.socket
            && let Err(error) = send(
                socket.get_ref().as_raw_fd(),
                b"?",
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            )
        {
            // It tells every second anyway.
            tracing::debug!("the bfd process was not asked: {error}");
        }
    }

    /// What has changed. Can be dropped while it waits, and called again.
    pub async fn changed(&mut self) -> Vec<News> {
        loop {
            tokio::select! {
                biased;
                () = readable(self.socket.as_ref()) => {}
                () = runtime::sleep_until(self.watch.poll_timeout()) => {}
            }
            // What has arrived counts before time does.
            let mut changed = self.sweep();
            changed.extend(self.watch.handle_timeout(runtime::now()));
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    fn sweep(&mut self) -> Vec<News> {
        let mut changed = Vec::new();
        // A socket's buffer holds a few of them, and they come once a second.
        loop {
            match self.receive() {
                Ok(Some(datagram)) => match parse(&datagram) {
                    Some(news) => changed.extend(self.watch.heard(runtime::now(), news)),
                    None => tracing::error!("the bfd process tells what makes no sense"),
                },
                Ok(None) => break,
                Err(error) => {
                    tracing::error!("nothing more will be heard of BFD sessions: {error}");
                    self.socket = None;
                    break;
                }
            }
        }
        changed
    }

    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let mut buffer = vec![0; LARGEST];
        match recv(socket.get_ref().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            // The parent holds the other end for as long as it lives.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(nix::Error::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

async fn readable(socket: Option<&AsyncFd<OwnedFd>>) {
    let Some(socket) = socket else { return std::future::pending().await };
    match socket.readable().await {
        // Whoever waits looks at all of it: see `sweep`.
        Ok(mut ready) => ready.clear_ready(),
        Err(_) => std::future::pending().await,
    }
}
