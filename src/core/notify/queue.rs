//! Notifications in order: for one object, a script starts when the one before it has ended, or has
//! had its time; one that has had it is not waited for again.
//!
//! keepalived starts them all at once, so that the script of an old state may end after that of the
//! new one. Here each object (an instance, a group, a service) has a queue of its own; objects do
//! not wait for one another, and the engines never wait for a script. Some scripts do not end by
//! themselves: they are a service, which the next one stops. So nothing waits for one for long, nor is
//! it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::script::{self, Outcome, ScriptPolicy};
use crate::core::config::model::Script;
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// From the start of a script to that of the next one, when the first has not ended.
const PATIENCE: Interval = Interval::from_secs(10);
/// Notifications of one object and topic that may wait or run; the oldest are the ones kept.
const MOST: usize = 512;

/// What a notification tells of. Each has room of its own: thousands of servers that come or go must
/// not take that of the word about their service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The object itself.
    Object,
    /// A part of it.
    Part,
}

/// One script to run.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The command.
    pub script: Shared<Script>,
    /// Words appended to it.
    pub arguments: Vec<String>,
    /// Whose room it takes.
    pub topic: Topic,
}

/// A notification, with its room until it has ended.
type Taken = (Notification, OwnedSemaphorePermit);

/// One object's; the rooms bound what is in it.
#[derive(Debug)]
struct Queue {
    sender: mpsc::UnboundedSender<Taken>,
    worker: JoinHandle<()>,
    object: Arc<Semaphore>,
    parts: Arc<Semaphore>,
}

impl Queue {
    fn new(policy: ScriptPolicy, patience: Interval, hurry: watch::Receiver<bool>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let worker = tokio::spawn(work(receiver, policy, patience, hurry));
        let room = || Arc::new(Semaphore::new(MOST));
        Self { sender, worker, object: room(), parts: room() }
    }

    /// Whether there was room.
    fn push(&self, notification: Notification) -> bool {
        let room = match notification.topic {
            Topic::Object => &self.object,
            Topic::Part => &self.parts,
        };
        let Ok(permit) = room.clone().try_acquire_owned() else { return false };
        self.sender.send((notification, permit)).is_ok()
    }
}

/// The queues of all objects.
#[derive(Debug)]
pub struct NotifyQueues {
    policy: ScriptPolicy,
    patience: Interval,
    /// Becomes true when there is no time left to wait for anything.
    hurry: watch::Sender<bool>,
    queues: BTreeMap<String, Queue>,
}

impl NotifyQueues {
    /// No queue yet.
    pub fn new(policy: ScriptPolicy) -> Self {
        let (hurry, _) = watch::channel(false);
        Self { policy, patience: PATIENCE, hurry, queues: BTreeMap::new() }
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
        let (policy, patience, hurry) = (&self.policy, self.patience, &self.hurry);
        let queue = self
            .queues
            .entry(object.to_owned())
            .or_insert_with(|| Queue::new(policy.clone(), patience, hurry.subscribe()));
        let script = notification.script.clone();
        if !queue.push(notification) {
            let path = script.path();
            tracing::error!(
                "{object}: {MOST} notifications wait or run already, {path} is not run"
            );
        }
    }

    /// Waits until everything given has run, for `limit`; after half of that, what waits for another
    /// script is started too, and has as long. Returns whether all have ended.
    pub async fn drain(&mut self, limit: Interval) -> bool {
        let queues = std::mem::take(&mut self.queues);
        let all = async {
            for (_, Queue { sender, worker, .. }) in queues {
                drop(sender);
                // A worker that panicked has nothing left to run.
                let _ = worker.await;
            }
        };
        tokio::pin!(all);
        if tokio::time::timeout(limit.fraction(1, 2).to_duration(), &mut all).await.is_ok() {
            return true;
        }
        self.hurry.send_replace(true);
        let ended = tokio::time::timeout(limit.to_duration(), all).await.is_ok();
        self.hurry.send_replace(false);
        ended
    }
}

async fn work(
    mut receiver: mpsc::UnboundedReceiver<Taken>,
    policy: ScriptPolicy,
    patience: Interval,
    mut hurry: watch::Receiver<bool>,
) {
    let mut running = JoinSet::new();
    let mut newest: Option<(AbortHandle, String)> = None;
    let mut next_at = tokio::time::Instant::now();
    while let Some((notification, permit)) = receiver.recv().await {
        let handle = newest.as_ref().map(|(handle, _)| handle);
        let patience_ended = tokio::select! {
            biased;
            () = has_ended(handle, &mut running) => false,
            _ = hurry.wait_for(|hurry| *hurry) => false,
            () = tokio::time::sleep_until(next_at) => true,
        };
        if let Some((_, path)) = newest.take_if(|_| patience_ended) {
            tracing::info!("Script `{path}` has not ended, the next ones do not wait for it");
        }
        while running.try_join_next().is_some() {}
        next_at = tokio::time::Instant::now() + patience.to_duration();
        let path = notification.script.path().to_owned();
        let policy = policy.clone();
        let script = async move {
            run(notification, policy).await;
            drop(permit);
        };
        newest = Some((running.spawn(script), path));
    }
    while running.join_next().await.is_some() {}
}

/// Waits for one of those that run.
async fn has_ended(script: Option<&AbortHandle>, running: &mut JoinSet<()>) {
    let runs = || script.is_some_and(|script| !script.is_finished());
    while runs() && running.join_next().await.is_some() {}
}

async fn run(notification: Notification, policy: ScriptPolicy) {
    let path = notification.script.path();
    match script::run(&notification.script, &notification.arguments, &policy, None).await {
        Outcome::Exited(0) | Outcome::TimedOut => {}
        Outcome::Exited(status) => tracing::info!("Script `{path}` exited with status {status}"),
        Outcome::Signalled(signal) => {
            tracing::warn!("Script `{path}` was ended by signal {signal}");
        }
        Outcome::NotStarted(why) => tracing::error!("Script `{path}` could not be run: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::ScriptUser;

    struct Scripts {
        folder: tempfile::TempDir,
        queues: NotifyQueues,
    }

    impl Scripts {
        fn new() -> Self {
            let user = nix::unistd::getuid().to_string();
            let policy = ScriptPolicy {
                default_user: Some(ScriptUser { user, group: None }),
                ..ScriptPolicy::default()
            };
            let folder = tempfile::tempdir().unwrap();
            Self { folder, queues: NotifyQueues::new(policy) }
        }

        /// A script that takes `pause` seconds and then writes `word`.
        fn push(&mut self, pause: &str, word: &str) {
            self.push_about(Topic::Object, pause, word);
        }

        fn push_about(&mut self, topic: Topic, pause: &str, word: &str) {
            let log = self.folder.path().join("log");
            let command = format!("sleep {pause}; echo {word} >>{}", log.display());
            let words = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
            let script = Script { words, user: None };
            let arguments = Vec::new();
            self.queues.push("VI_1", Notification { script: script.into(), arguments, topic });
        }

        fn written(&self) -> String {
            std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
        }
    }

    fn live(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn scripts_of_one_object_run_one_after_the_other_in_order() {
        let mut scripts = Scripts::new();
        live(async {
            scripts.push("0.2", "1");
            scripts.push("0", "2");
            assert!(scripts.queues.drain(Interval::from_secs(30)).await);
        });
        assert_eq!(scripts.written(), "1\n2\n");
    }

    #[test]
    fn thousands_of_parts_leave_room_for_the_word_about_the_whole() {
        let mut scripts = Scripts::new();
        live(async {
            let room = |scripts: &Scripts| {
                let queue = &scripts.queues.queues["VI_1"];
                (queue.parts.clone(), queue.object.clone())
            };
            // Nothing runs before this waits for something.
            for _ in 0..MOST + 100 {
                scripts.push_about(Topic::Part, "0", "part");
            }
            let (parts, object) = room(&scripts);
            assert_eq!(parts.available_permits(), 0, "what waits is bounded");
            scripts.push("0", "whole");
            assert_eq!(object.available_permits(), MOST - 1);
            scripts.queues.queues.clear();
            scripts.push_about(Topic::Part, "0", "part");
            scripts.push("0", "whole");
            let (parts, object) = room(&scripts);
            assert!(scripts.queues.drain(Interval::from_secs(30)).await);
            assert_eq!((parts.available_permits(), object.available_permits()), (MOST, MOST));
        });
        assert!(scripts.written().contains("whole\n"));
    }

    #[test]
    fn a_script_that_does_not_end_holds_the_next_one_up_for_a_while_only() {
        let mut scripts = Scripts::new();
        scripts.queues.patience = Interval::from_millis(50);
        live(async {
            scripts.push("60", "1");
            scripts.push("0", "2");
            let written = async {
                while scripts.written() != "2\n" {
                    tokio::task::yield_now().await;
                }
            };
            let limit = std::time::Duration::from_secs(30);
            assert!(tokio::time::timeout(limit, written).await.is_ok());
        });
    }

    #[test]
    fn a_script_that_does_not_end_is_waited_for_once_only() {
        let mut scripts = Scripts::new();
        scripts.queues.patience = Interval::from_secs(2);
        live(async {
            scripts.push("60", "never");
            // One after the other all the same.
            let words: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
            for (word, pause) in words.iter().zip(["0.1", "0"].into_iter().cycle()) {
                scripts.push(pause, word);
            }
            let written = async {
                while scripts.written().lines().ne(&words) {
                    tokio::task::yield_now().await;
                }
            };
            let limit = std::time::Duration::from_secs(20);
            assert!(tokio::time::timeout(limit, written).await.is_ok(), "{}", scripts.written());
        });
    }

    #[test]
    fn at_the_end_the_last_script_is_run_though_another_one_does_not_end() {
        let mut scripts = Scripts::new();
        live(async {
            scripts.push("60", "1");
            scripts.push("0", "2");
            assert!(!scripts.queues.drain(Interval::from_secs(3)).await);
        });
        assert_eq!(scripts.written(), "2\n");
    }
}
