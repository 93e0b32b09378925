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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::core::supervisor::handover;
    use crate::core::track::bfd::BfdTracker;

    fn news(name: &str, up: bool) -> (BfdListeners, News) {
        (BfdListeners::Both, News { name: name.into(), up })
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = Duration::from_secs(30);
        runtime.block_on(async { tokio::time::timeout(limit, test).await }).unwrap();
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_told_is_heard_and_a_question_is_answered() {
        in_runtime(async {
            let ((ours, theirs), (check, _kept)) =
                (handover::pair().unwrap(), handover::pair().unwrap());
            let telling = Telling::new(Some(ours), Some(check));
            telling.tell(&[news("A", false)]);
            // Who begins now has not heard that, and asks.
            let mut tracker = BfdTracker::new(Some(theirs));
            tracker.set(&names(&["A", "B"]));
            telling.asked().await;
            let for_check = (BfdListeners::Checker, News { name: "B".into(), up: true });
            telling.tell(&[news("A", true), for_check]);
            assert_eq!(tracker.changed().await, [news("A", true).1], "B is for the other one");
            telling.tell(&[news("A", true)]);
            telling.tell(&[news("A", false)]);
            assert_eq!(tracker.changed().await, [news("A", false).1], "only what is new");
        });
    }

    #[test]
    fn who_does_not_listen_costs_nothing_and_hears_the_truth_later() {
        in_runtime(async {
            let (ours, theirs) = handover::pair().unwrap();
            let telling = Telling::new(Some(ours), None);
            let many: Vec<_> = (0..500).map(|n| news(&format!("session-{n}"), false)).collect();
            for _ in 0..1000 {
                telling.tell(&many);
            }
            let mut tracker = BfdTracker::new(Some(theirs));
            tracker.set(&names(&["session-7"]));
            telling.asked().await;
            telling.tell(&[news("session-7", true)]);
            assert_eq!(tracker.changed().await, [news("session-7", true).1]);
        });
    }
}
