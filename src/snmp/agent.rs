//! The session with snmpd, in a thread of its own.

mod session;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::answer::Refusal;
use super::value::{Oid, VarBind};
use super::view::View;
use crate::core::runtime;

/// Notifications that may wait for the session.
const WAITING_NOTIFICATIONS: usize = 256;
/// Requests that may wait for the daemon; the thread serves one after the other.
const WAITING_REQUESTS: usize = 2;
/// Of the thread.
const STACK: usize = 512 * 1024;
/// Where snmpd listens unless told otherwise.
const USUAL_SOCKET: &str = "/var/agentx/master";

/// Where the master agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH` or `/PATH`.
    Unix(PathBuf),
    /// `tcp:HOST:PORT` or `HOST:PORT`.
    Tcp(String),
}

impl Address {
    /// As `snmp_socket` and `-A` have it: net-snmp's notation. `None`: the usual place.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::Unix(USUAL_SOCKET.into())) };
        let path = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text));
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let name = ["tcp:", "tcp6:", "tcpv6:"].iter().find_map(|kind| text.strip_prefix(kind));
        let name = name.unwrap_or(text);
        match name.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty()
                    && port.parse::<u16>().is_ok()
                    && (!host.contains(':') || host.starts_with('[')) =>
            {
                Ok(Self::Tcp(name.to_owned()))
            }
            _ => Err(format!(
                "snmp_socket '{text}' is none of unix:PATH, /PATH, tcp:HOST:PORT and HOST:PORT"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(name) => write!(f, "{name}"),
        }
    }
}

/// A part of the tree that this process answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// Its name.
    pub name: Oid,
    /// Of several processes that have it, the one with the smallest number is asked.
    pub priority: u8,
}

/// How a session is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the master agent is.
    pub address: Address,
    /// How the session is called there.
    pub description: &'static str,
    /// What it answers for.
    pub subtrees: Vec<Subtree>,
}

/// What the tables are made of, and how: the daemon gathers quickly, the thread makes the tables.
pub struct Snapshot {
    make: Box<dyn FnOnce() -> View + Send>,
    took: Duration,
}

impl Snapshot {
    /// `gather` copies what is needed, and gives what makes the tables of it.
    pub fn gather<M: FnOnce() -> View + Send + 'static>(gather: impl FnOnce() -> M) -> Self {
        let begin = Instant::now();
        let make = Box::new(gather());
        Self { make, took: begin.elapsed() }
    }
}

/// The values to set are wrong: how, and which.
pub type SetError = (Refusal, usize);

/// What the thread wants of the daemon.
pub enum Ask {
    /// How things are.
    View(oneshot::Sender<Snapshot>),
    /// Values to be set, all or none.
    Set {
        /// What to set.
        bindings: Vec<VarBind>,
        /// Only whether it could be done.
        test: bool,
        /// Whether it is done.
        answer: oneshot::Sender<Result<(), SetError>>,
    },
}

/// The daemon's end of a session.
pub struct Agent {
    settings: watch::Sender<Settings>,
    notifications: mpsc::Sender<Vec<VarBind>>,
    requests: mpsc::Receiver<Ask>,
    lost: Arc<AtomicU64>,
    ended: oneshot::Receiver<()>,
}

impl Agent {
    /// Begins a thread that looks for the master agent, for as long as this lives.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (settings, wanted) = watch::channel(settings);
        let (notifications, to_send) = mpsc::channel(WAITING_NOTIFICATIONS);
        let (asks, requests) = mpsc::channel(WAITING_REQUESTS);
        let (end, ended) = oneshot::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let talk = session::Talk::new(wanted, to_send, asks, Arc::clone(&lost));
        thread::Builder::new().name("snmp".to_owned()).stack_size(STACK).spawn(move || {
            runtime::run_as_ordinary();
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(talk.live()),
                Err(error) => tracing::error!("SNMP cannot begin: {error}"),
            }
            // The daemon may have gone first.
            let _ = end.send(());
        })?;
        Ok(Self { settings, notifications, requests, lost, ended })
    }

    /// Goes on with other settings.
    pub fn set(&self, settings: Settings) {
        self.settings.send_if_modified(|current| {
            let differs = *current != settings;
            if differs {
                *current = settings;
            }
            differs
        });
    }

    /// The next request; never, when the thread has ended.
    pub async fn asked(&mut self) -> Ask {
        match self.requests.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// Sends a notification, or counts it as lost. The first object is `snmpTrapOID.0`.
    pub fn notify(&self, bindings: Vec<VarBind>) {
        if self.notifications.try_send(bindings).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the last notifications out, at most for `grace`, and ends the session.
    pub async fn finish(self, grace: Duration) {
        let Self { settings, notifications, requests, ended, .. } = self;
        drop((settings, notifications, requests));
        // Late or not, the process ends.
        let _ = tokio::time::timeout(grace, ended).await;
    }
}

/// The next request of an agent that may not be there.
pub async fn asked(agent: &mut Option<Agent>) -> Ask {
    match agent {
        Some(agent) => agent.asked().await,
        None => std::future::pending().await,
    }
}

/// Begins, changes or ends a session: what is wanted now.
pub fn follow(agent: &mut Option<Agent>, wanted: Option<Settings>) {
    match (agent.as_ref(), wanted) {
        (Some(running), Some(settings)) => running.set(settings),
        (None, Some(settings)) => match Agent::start(settings) {
            Ok(started) => *agent = Some(started),
            Err(error) => tracing::error!("SNMP cannot begin: {error}"),
        },
        (_, None) => *agent = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_net_snmps() {
        let unix = |path: &str| Ok(Address::Unix(path.into()));
        let tcp = |name: &str| Ok(Address::Tcp(name.to_owned()));
        assert_eq!(Address::parse(None), unix("/var/agentx/master"));
        assert_eq!(Address::parse(Some("unix:/run/x")), unix("/run/x"));
        assert_eq!(Address::parse(Some("/run/x")), unix("/run/x"));
        assert_eq!(Address::parse(Some("tcp:localhost:705")), tcp("localhost:705"));
        assert_eq!(Address::parse(Some("10.0.0.1:705")), tcp("10.0.0.1:705"));
        assert_eq!(Address::parse(Some("tcp6:[::1]:705")), tcp("[::1]:705"));
        for bad in ["udp:localhost:161", "", "unix:", "705", "::1:705", "host:port", ":705"] {
            assert!(Address::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
