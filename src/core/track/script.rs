//! `vrrp_script`: runs each at its interval and reports changes of its health.
//!
//! [`Health`] is the pure part (rise and fall); [`ScriptTracker`] runs the programs. A script that
//! is unchanged by a reload keeps its health and its rhythm.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::core::config::model::vrrp::TrackScript;
use crate::core::notify::script::{self, Outcome, ScriptPolicy};
use crate::core::runtime;
use crate::core::time::Interval;

/// Whether a tracked script is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No result yet.
    Unknown,
    /// Good, with this many failures in a row.
    Good {
        /// Below `fall`.
        failures: u32,
    },
    /// Bad, with this many successes in a row.
    Bad {
        /// Below `rise`.
        successes: u32,
    },
}

impl Health {
    /// After one more result. The very first result decides at once, whatever `rise`, `fall` and
    /// `init_fail` say (keepalived: the instance would otherwise wait in its initial state).
    #[must_use]
    pub fn after(self, success: bool, rise: u32, fall: u32) -> Self {
        match (self, success) {
            (Self::Unknown | Self::Good { .. }, true) => Self::Good { failures: 0 },
            (Self::Unknown | Self::Bad { .. }, false) => Self::Bad { successes: 0 },
            (Self::Good { failures }, false) if failures.saturating_add(1) >= fall => {
                Self::Bad { successes: 0 }
            }
            (Self::Good { failures }, false) => Self::Good { failures: failures + 1 },
            (Self::Bad { successes }, true) if successes.saturating_add(1) >= rise => {
                Self::Good { failures: 0 }
            }
            (Self::Bad { successes }, true) => Self::Bad { successes: successes + 1 },
        }
    }

    /// `None` while unknown.
    pub const fn is_good(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Good { .. } => Some(true),
            Self::Bad { .. } => Some(false),
        }
    }
}

/// One run of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRun {
    /// Name of the `vrrp_script`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The script's health with this run counted.
    pub health: Health,
    /// Whether this run changed it (or was the first).
    pub changed: bool,
}

/// Runs the scripts.
#[derive(Debug)]
pub struct ScriptTracker {
    results: mpsc::Sender<ScriptRun>,
    running: BTreeMap<String, Tracked>,
    policy: ScriptPolicy,
}

#[derive(Debug)]
struct Tracked {
    script: TrackScript,
    worker: JoinHandle<()>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl ScriptTracker {
    /// A tracker of nothing that reports to `results`.
    pub fn new(results: mpsc::Sender<ScriptRun>) -> Self {
        Self { results, running: BTreeMap::new(), policy: ScriptPolicy::default() }
    }

    /// Runs exactly `scripts` from now on. Those that are the same as before go on undisturbed.
    pub fn set(&mut self, scripts: &[TrackScript], policy: &ScriptPolicy) {
        if self.policy != *policy {
            self.policy = policy.clone();
            self.running.clear();
        }
        self.running.retain(|_, tracked| scripts.contains(&tracked.script));
        for script in scripts {
            if self.running.contains_key(&script.name) {
                continue;
            }
            let results = self.results.clone();
            let worker = tokio::spawn(watch(script.clone(), policy.clone(), results));
            self.running.insert(script.name.clone(), Tracked { script: script.clone(), worker });
        }
    }

    /// Stops all of them.
    pub fn stop(&mut self) {
        self.running.clear();
    }
}

/// A run never overlaps the next one of the same script: a late one is followed at once, and what
/// was missed is not made up for.
async fn watch(script: TrackScript, policy: ScriptPolicy, results: mpsc::Sender<ScriptRun>) {
    let mut health = Health::Unknown;
    let mut next = runtime::now();
    let interval = script.interval.max(Interval::from_millis(1));
    let limit = if script.timeout.is_zero() { interval } else { script.timeout };
    loop {
        runtime::sleep_until(Some(next)).await;
        let outcome = script::run(&script.script, &[], &policy, Some(limit)).await;
        let before = health.is_good();
        health = health.after(outcome.is_success(), script.rise, script.fall);
        let changed = health.is_good() != before;
        let run = ScriptRun { name: script.name.clone(), outcome, health, changed };
        if results.send(run).await.is_err() {
            return;
        }
        next = (next + interval).max(runtime::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_decides_at_once() {
        assert_eq!(Health::Unknown.after(true, 3, 3).is_good(), Some(true));
        assert_eq!(Health::Unknown.after(false, 3, 3).is_good(), Some(false));
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let mut health = Health::Good { failures: 0 };
        for (success, good) in [
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ] {
            health = health.after(success, 2, 3);
            assert_eq!(health.is_good(), Some(good));
        }
    }

    #[test]
    fn an_unchanged_script_keeps_its_worker_through_a_reload() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, mut results) = mpsc::channel(8);
            let mut tracker = ScriptTracker::new(sender);
            let me = nix::unistd::getuid().to_string();
            let user = crate::core::config::model::ScriptUser { user: me, group: None };
            let policy = ScriptPolicy { default_user: Some(user), ..ScriptPolicy::default() };
            let script = TrackScript {
                name: "chk".into(),
                script: crate::core::config::model::Script {
                    words: vec!["true".into()],
                    user: None,
                },
                interval: Interval::from_secs(3600),
                timeout: Interval::from_secs(30),
                effect: crate::core::config::model::vrrp::TrackEffect::Fault,
                rise: 1,
                fall: 1,
                init_fail: false,
            };
            tracker.set(std::slice::from_ref(&script), &policy);
            let run = results.recv().await.unwrap();
            assert!(run.changed && run.outcome.is_success());
            tracker.set(std::slice::from_ref(&script), &policy);
            let again =
                tokio::time::timeout(std::time::Duration::from_millis(200), results.recv()).await;
            assert!(again.is_err(), "it must not run again before its time");
            tracker.stop();
        });
    }

    #[test]
    fn a_script_that_outlasts_its_interval_never_runs_twice_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let lock = folder.path().join("lock").display().to_string();
            let (sender, mut results) = mpsc::channel(1);
            let mut tracker = ScriptTracker::new(sender);
            let me = nix::unistd::getuid().to_string();
            let user = crate::core::config::model::ScriptUser { user: me, group: None };
            let policy = ScriptPolicy { default_user: Some(user), ..ScriptPolicy::default() };
            // Two at once would meet in the folder.
            let words = ["sh", "-c", "mkdir \"$0\" && rmdir \"$0\"", &lock].map(str::to_owned);
            let script = TrackScript {
                name: "chk".into(),
                script: crate::core::config::model::Script { words: words.to_vec(), user: None },
                interval: Interval::from_micros(1),
                timeout: Interval::from_secs(30),
                effect: crate::core::config::model::vrrp::TrackEffect::Fault,
                rise: 1,
                fall: 1,
                init_fail: false,
            };
            for _ in 0..3 {
                tracker.set(std::slice::from_ref(&script), &policy);
                for _ in 0..10 {
                    let run = results.recv().await.unwrap();
                    assert!(run.outcome.is_success(), "{:?}", run.outcome);
                }
                // A reload goes on with it.
                tracker.set(std::slice::from_ref(&script), &policy);
            }
            tracker.stop();
        });
    }
}
