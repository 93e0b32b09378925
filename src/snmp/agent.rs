//! The session with snmpd, in a thread of its own.

mod session;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::answer::Refusal;
use super::value::{Oid, VarBind};
use super::view::View;
use crate::core::config::model::services::AgentAddress;
use crate::core::runtime;

/// Notifications that may wait for the session.
const WAITING_NOTIFICATIONS: usize = 256;
/// Requests that may wait for the daemon; the thread serves one after the other.
const WAITING_REQUESTS: usize = 2;
/// Of the thread.
const STACK: usize = 512 * 1024;

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
    pub address: AgentAddress,
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
mod tests;
