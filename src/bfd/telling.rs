//! Tells the vrrp and check processes how the sessions are.

use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{MsgFlags, recv, send};
use tokio::io::unix::AsyncFd;

use crate::core::bfd_news::{News, emit};
use crate::core::config::model::bfd::BfdListeners;
use crate::core::runtime;

/// The channels to those who track sessions.
#[derive(Debug)]
pub struct Telling {
    vrrp: Option<AsyncFd<OwnedFd>>,
    check: Option<AsyncFd<OwnedFd>>,
}

impl Telling {
    /// Needs a running tokio.
    pub fn new(vrrp: Option<OwnedFd>, check: Option<OwnedFd>) -> Self {
        let watched = |channel: Option<OwnedFd>, who: &str| {
            let watched = channel.ok_or(std::io::ErrorKind::NotFound.into());
            watched
                .and_then(runtime::watch)
                .inspect_err(|error| tracing::error!("the {who} process will not be told: {error}"))
                .ok()
        };
        Self { vrrp: watched(vrrp, "vrrp"), check: watched(check, "check") }
    }

    /// Tells these news to those whom they are for; without any, that this process is alive.
    pub fn tell(&self, news: &[(BfdListeners, News)]) {
        let to_vrrp = |listeners: BfdListeners| match listeners {
            BfdListeners::Both | BfdListeners::Vrrp => true,
            BfdListeners::Checker => false,
        };
        let to_check = |listeners: BfdListeners| match listeners {
            BfdListeners::Both | BfdListeners::Checker => true,
            BfdListeners::Vrrp => false,
        };
        let chosen = |wanted: fn(BfdListeners) -> bool| {
            emit(news.iter().filter(|(to, _)| wanted(*to)).map(|(_, news)| news))
        };
        write(self.vrrp.as_ref(), chosen(to_vrrp), "vrrp");
        write(self.check.as_ref(), chosen(to_check), "check");
    }

    /// Somebody asks.
    pub async fn asked(&self) {
        tokio::select! {
            () = asks(self.vrrp.as_ref()) => {}
            () = asks(self.check.as_ref()) => {}
        }
    }
}

fn write(channel: Option<&AsyncFd<OwnedFd>>, datagrams: Vec<Vec<u8>>, who: &str) {
    let Some(channel) = channel else { return };
    for datagram in datagrams {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if let Err(error) = send(channel.get_ref().as_raw_fd(), &datagram, flags) {
            // It does not run, or hangs: the next heartbeat tells all of it again.
            tracing::debug!("the {who} process was not told: {error}");
            break;
        }
    }
}

async fn asks(channel: Option<&AsyncFd<OwnedFd>>) {
    let Some(channel) = channel else { return std::future::pending().await };
    loop {
        let Ok(mut ready) = channel.readable().await else { return std::future::pending().await };
        let mut asked = false;
        let mut buffer = [0; 8];
        // One answer is enough for all questions.
        let ended = loop {
            match recv(channel.get_ref().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => break true,
                Ok(_) => asked = true,
                Err(error) => break error != nix::Error::EAGAIN,
            }
        };
        ready.clear_ready();
        if asked {
            return;
        }
        if ended {
            // The parent's end, which is noticed elsewhere.
            return std::future::pending().await;
        }
    }
}
