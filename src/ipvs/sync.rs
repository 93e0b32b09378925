//! The kernel's connection sync daemons: a master sends what connections there are to its peers, a
//! backup takes them in, so that they survive a change of directors.
//!
//! What should run follows from one wish; [`SyncKeeper`] sees to it in a thread of its own, since the
//! kernel may leave a request without any answer, and adverts must not wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;

/// What a sync daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncRole {
    /// Sends.
    Master,
    /// Receives.
    Backup,
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// How a sync daemon works. What is absent is the kernel's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSettings {
    /// The interface.
    pub interface: String,
    /// Only daemons of the same number hear one another.
    pub id: u8,
    /// Of a packet, bytes.
    pub longest_packet: Option<u16>,
    /// UDP port.
    pub port: Option<u16>,
    /// Of the packets.
    pub ttl: Option<u8>,
    /// Multicast group.
    pub group: Option<IpAddr>,
}

impl SyncSettings {
    /// Whether a daemon that runs like `found` is what is meant.
    fn is_met_by(&self, found: &Self) -> bool {
        fn free<T: PartialEq>(wish: Option<&T>, found: Option<&T>) -> bool {
            wish.is_none() || wish == found
        }
        self.interface == found.interface
            && self.id == found.id
            && free(self.longest_packet.as_ref(), found.longest_packet.as_ref())
            && free(self.port.as_ref(), found.port.as_ref())
            && free(self.ttl.as_ref(), found.ttl.as_ref())
            && free(self.group.as_ref(), found.group.as_ref())
    }
}

/// The daemon that should run, if any: never both.
pub type Wish = Option<(SyncRole, SyncSettings)>;

/// The daemons that run.
pub type Running = BTreeMap<SyncRole, SyncSettings>;

/// One request to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncOperation {
    /// Ends a daemon.
    Stop(SyncRole),
    /// Begins one.
    Start(SyncRole, SyncSettings),
}

/// From what runs to what should.
pub fn plan(wish: &Wish, running: &Running) -> Vec<SyncOperation> {
    let is_right = |role: &SyncRole, found: &SyncSettings| {
        wish.as_ref().is_some_and(|(wanted, how)| wanted == role && how.is_met_by(found))
    };
    let wrong = running.iter().filter(|(role, found)| !is_right(role, found));
    let mut operations: Vec<_> = wrong.map(|(role, _)| SyncOperation::Stop(*role)).collect();
    if let Some((role, how)) = wish
        && running.get(role).is_none_or(|found| !how.is_met_by(found))
    {
        operations.push(SyncOperation::Start(*role, how.clone()));
    }
    operations
}

/// After a refusal, until the next attempt.
const RETRY: Duration = Duration::from_secs(10);
/// A daemon that is ended sooner than this after its start is ended without an answer.
const SETTLING: Duration = Duration::from_millis(500);

/// Keeps the kernel's sync daemons as they are wished.
#[derive(Debug, Default)]
pub struct SyncKeeper {
    wishes: Option<mpsc::Sender<Wish>>,
    last: Wish,
    done: Option<mpsc::Receiver<()>>,
}

impl SyncKeeper {
    /// What should run from now on. Until there is a first wish, nothing is touched.
    pub fn set(&mut self, wish: Wish) {
        if wish == self.last {
            return;
        }
        self.last.clone_from(&wish);
        self.send(wish);
    }

    /// Ends every daemon; waits for that, at most `patience`.
    pub fn stop(&mut self, patience: Duration) {
        self.last = None;
        self.send(None);
        self.wishes = None;
        if let Some(done) = self.done.take() {
            // Ends with the thread, one way or the other.
            let _ = done.recv_timeout(patience);
        }
    }

    fn send(&mut self, wish: Wish) {
        if self.wishes.is_none() {
            let (wishes, inbox) = mpsc::channel();
            let (ended, done) = mpsc::channel();
            let thread = thread::Builder::new().name("ipvs-sync".to_owned());
            let spawned = thread.spawn(move || {
                keep(&inbox);
                drop(ended);
            });
            match spawned {
                Ok(_) => (self.wishes, self.done) = (Some(wishes), Some(done)),
                Err(error) => tracing::error!("lvs_sync_daemon: cannot start a thread: {error}"),
            }
        }
        if let Some(wishes) = &self.wishes {
            // The thread ends only after the sender.
            let _ = wishes.send(wish);
        }
    }
}

/// The thread: the newest wish counts; one that was not fulfilled is tried again.
fn keep(inbox: &mpsc::Receiver<Wish>) {
    let mut started = None;
    let mut told = None;
    let mut current: Option<Wish> = None;
    loop {
        let next = match &current {
            None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Some(_) => inbox.recv_timeout(RETRY),
        };
        let waiting = current.take();
        let mut wish = match next {
            Ok(wish) => wish,
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => waiting.unwrap_or_default(),
        };
        while let Ok(newer) = inbox.try_recv() {
            wish = newer;
        }
        match fulfil(&wish, &mut started) {
            Ok(()) => told = None,
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    tracing::error!("lvs_sync_daemon: {error}");
                }
                told = Some(error);
                current = Some(wish);
            }
        }
    }
}

fn fulfil(wish: &Wish, started: &mut Option<Instant>) -> Result<(), String> {
    let words = |error: &dyn fmt::Display| error.to_string();
    let mut client = Client::open().map_err(|error| words(&error))?;
    let running = client.sync_daemons().map_err(|error| words(&error))?;
    for operation in plan(wish, &running) {
        match operation {
            SyncOperation::Stop(role) => {
                if let Some(age) = started.map(|at| at.elapsed()) {
                    thread::sleep(SETTLING.saturating_sub(age));
                }
                // What counts is whether it still runs: the answer may be missing.
                let stopped = client.stop_sync_daemon(role);
                let left = client.sync_daemons().map_err(|error| words(&error))?;
                if left.contains_key(&role) {
                    let why = stopped.err().map_or_else(String::new, |error| words(&error));
                    return Err(format!("the {role} daemon does not end: {why}"));
                }
                tracing::info!("lvs_sync_daemon: the {role} daemon has ended");
            }
            SyncOperation::Start(role, how) => {
                let asked = client.start_sync_daemon(role, &how);
                asked.map_err(|error| format!("no {role} daemon on {}: {error}", how.interface))?;
                *started = Some(Instant::now());
                let (interface, id) = (&how.interface, how.id);
                tracing::info!("lvs_sync_daemon: {role} daemon on {interface}, id {id}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(id: u8) -> SyncSettings {
        SyncSettings {
            interface: "eth0".into(),
            id,
            longest_packet: None,
            port: None,
            ttl: None,
            group: None,
        }
    }

    #[test]
    fn one_daemon_gives_way_to_the_other_and_the_right_one_is_left_alone() {
        let chosen = SyncSettings {
            longest_packet: Some(1472),
            port: Some(8848),
            ttl: Some(1),
            group: Some([224, 0, 0, 81].into()),
            ..settings(51)
        };
        let running = Running::from([(SyncRole::Backup, chosen.clone())]);
        assert_eq!(plan(&Some((SyncRole::Backup, settings(51))), &running), []);
        assert_eq!(
            plan(&Some((SyncRole::Master, settings(51))), &running),
            [
                SyncOperation::Stop(SyncRole::Backup),
                SyncOperation::Start(SyncRole::Master, settings(51))
            ]
        );
        assert_eq!(plan(&None, &running), [SyncOperation::Stop(SyncRole::Backup)]);
        let other = SyncSettings { port: Some(9000), ..settings(51) };
        let operations = plan(&Some((SyncRole::Backup, other.clone())), &running);
        assert_eq!(
            operations,
            [SyncOperation::Stop(SyncRole::Backup), SyncOperation::Start(SyncRole::Backup, other)]
        );
    }

    #[test]
    fn every_plan_ends_in_the_wish() {
        let roles = [SyncRole::Master, SyncRole::Backup];
        let mut wishes = vec![None];
        wishes.extend(roles.iter().flat_map(|role| [1, 2].map(|id| Some((*role, settings(id))))));
        for bits in 0..9 {
            let found = [bits % 3, bits / 3];
            let running: Running = roles
                .iter()
                .zip(found)
                .filter(|(_, id)| *id > 0)
                .map(|(role, id)| (*role, settings(id)))
                .collect();
            for wish in &wishes {
                let mut kernel = running.clone();
                for operation in plan(wish, &running) {
                    match operation {
                        SyncOperation::Stop(role) => assert!(kernel.remove(&role).is_some()),
                        SyncOperation::Start(role, how) => {
                            assert!(kernel.insert(role, how).is_none(), "EEXIST");
                        }
                    }
                }
                assert_eq!(kernel, wish.clone().into_iter().collect());
            }
        }
    }
}
