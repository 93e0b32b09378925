//! Notifications in order: for one object, a script starts only when the one before it has ended.
//!
//! keepalived starts them all at once, so that the script of an old state may end after that of the
//! new one. Here each object (an instance, a group, a service) has a queue of its own; objects do
//! not wait for one another, and the engines never wait for a script.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::script::{self, Outcome, ScriptPolicy};
use crate::core::config::model::Script;
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// A notification script that runs longer than this is ended, lest the queue behind it grow.
const LIMIT: Interval = Interval::from_secs(300);
/// Notifications of one object that may wait; the oldest are the ones kept.
const WAITING: usize = 256;

/// One script to run.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The command.
    pub script: Shared<Script>,
    /// Words appended to it.
    pub arguments: Vec<String>,
}

/// The queues of all objects.
#[derive(Debug)]
pub struct NotifyQueues {
    policy: ScriptPolicy,
    queues: BTreeMap<String, (mpsc::Sender<Notification>, JoinHandle<()>)>,
}

impl NotifyQueues {
    /// No queue yet.
    pub fn new(policy: ScriptPolicy) -> Self {
        Self { policy, queues: BTreeMap::new() }
    }

    /// Applies to objects that are not in the middle of something from now on.
    pub fn set_policy(&mut self, policy: ScriptPolicy) {
        if self.policy != policy {
            self.policy = policy;
            // A worker whose sender is gone finishes what waits and ends.
            self.queues.clear();
        }
    }

    /// Runs `notification` after those already given for `object`.
    pub fn push(&mut self, object: &str, notification: Notification) {
        let policy = &self.policy;
        let (sender, _) = self.queues.entry(object.to_owned()).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(WAITING);
            (sender, tokio::spawn(work(receiver, policy.clone())))
        });
        if let Err(error) = sender.try_send(notification) {
            let notification = error.into_inner();
            tracing::error!(
                "{object}: {WAITING} notifications wait already, {} is not run",
                notification.script.path()
            );
        }
    }

    /// Waits until everything given has run, at most `limit`. Returns whether it has.
    pub async fn drain(&mut self, limit: Interval) -> bool {
        let queues = std::mem::take(&mut self.queues);
        let all = async {
            for (_, (sender, worker)) in queues {
                drop(sender);
                // A worker that panicked has nothing left to run.
                let _ = worker.await;
            }
        };
        tokio::time::timeout(limit.to_duration(), all).await.is_ok()
    }
}

async fn work(mut receiver: mpsc::Receiver<Notification>, policy: ScriptPolicy) {
    while let Some(notification) = receiver.recv().await {
        let path = notification.script.path().to_owned();
        match script::run(&notification.script, &notification.arguments, &policy, Some(LIMIT)).await
        {
            Outcome::Exited(0) => {}
            Outcome::Exited(status) => {
                tracing::info!("Script `{path}` exited with status {status}");
            }
            Outcome::Signalled(signal) => {
                tracing::warn!("Script `{path}` was ended by signal {signal}");
            }
            Outcome::TimedOut => tracing::warn!("Script `{path}` ran for {LIMIT} s and was ended"),
            Outcome::NotStarted(why) => tracing::error!("Script `{path}` could not be run: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::ScriptUser;

    #[test]
    fn scripts_of_one_object_run_one_after_the_other_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let me = nix::unistd::getuid().to_string();
        let policy = ScriptPolicy {
            default_user: Some(ScriptUser { user: me, group: None }),
            ..ScriptPolicy::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut queues = NotifyQueues::new(policy);
            for (number, pause) in [("1", "0.2"), ("2", "0")] {
                let command = format!("sleep {pause}; echo {number} >>{}", log.display());
                let words = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
                let script = Script { words, user: None };
                queues.push("VI_1", Notification { script: script.into(), arguments: Vec::new() });
            }
            assert!(queues.drain(Interval::from_secs(30)).await);
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "1\n2\n");
    }
}
