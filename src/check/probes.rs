//! The probes under way: each has one of a limited number of places, or waits for one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::engine::{CheckEngine, CheckerId, Input, Outcome};
use super::probe::plain::{Ended, Plain, Question, Run};
use super::probe::{self, Surroundings};
use crate::core::config::model::check::Checker;
use crate::core::file_limit;
use crate::core::runtime;
use crate::core::shared::Shared;
use crate::core::time::Timestamp;

/// Probes under way at once; the others wait for a place.
const MOST: usize = 2048;
/// Files that one of them may have: a program with its pipes has most.
const FILES: u64 = 4;
/// For everything else.
const OTHER_FILES: u64 = 256;
/// Probes begun, and results taken, between two looks at everything else.
const MOST_AT_ONCE: usize = 64;

/// What a probe's task tells.
type Report = (CheckerId, Run, Outcome);

/// Something has happened.
pub enum Heard {
    /// A task has ended.
    Report(Report),
    /// A plain check can go on.
    Plain,
}

enum Stage {
    /// For a place.
    Waiting,
    Plain,
    Task(AbortHandle),
}

/// Places where so many files may be open: a probe that cannot open one would say that its server is
/// dead.
fn places(files: u64) -> usize {
    let places = files.saturating_sub(OTHER_FILES) / FILES;
    usize::try_from(places).unwrap_or(MOST).clamp(1, MOST)
}

/// All probes.
pub struct Probes {
    surroundings: Arc<Surroundings>,
    running: HashMap<CheckerId, (Run, Stage)>,
    /// May hold some that have been cancelled.
    waiting: VecDeque<Question>,
    /// Places there are, and taken.
    places: usize,
    taken: usize,
    next_run: Run,
    plain: Plain,
    results: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
}

impl Probes {
    /// None; must be called on the event loop.
    pub fn new(surroundings: Surroundings) -> io::Result<Self> {
        let (results, inbox) = mpsc::channel(MOST);
        let wanted = FILES * MOST as u64 + OTHER_FILES;
        let places = places(file_limit::raise(wanted)?);
        if places < MOST {
            tracing::warn!("so few files may be open that only {places} checks go on at once");
        }
        Ok(Self {
            places,
            surroundings: surroundings.into(),
            running: HashMap::new(),
            waiting: VecDeque::new(),
            taken: 0,
            next_run: 0,
            plain: Plain::new()?,
            results,
            inbox,
        })
    }

    /// What those that begin from now on may need.
    pub fn set_surroundings(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings.into();
    }

    /// Has a probe begin as soon as there is a place; in [`Self::step`].
    pub fn start(&mut self, id: CheckerId, checker: Shared<Checker>, url: usize) {
        self.cancel(id);
        let run = self.next_run;
        self.next_run += 1;
        self.running.insert(id, (run, Stage::Waiting));
        self.waiting.push_back(Question { id, run, checker, url });
    }

    /// Ends a probe without a result.
    pub fn cancel(&mut self, id: CheckerId) {
        let Some((run, stage)) = self.running.remove(&id) else { return };
        match stage {
            Stage::Waiting => {
                if self.waiting.len() > 2 * self.running.len() + MOST {
                    let running = &self.running;
                    self.waiting.retain(|question| is_current(running, question.id, question.run));
                }
                return;
            }
            Stage::Plain => self.plain.forget(run),
            Stage::Task(handle) => handle.abort(),
        }
        self.taken -= 1;
    }

    /// Ends all.
    pub fn cancel_all(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.cancel(id);
        }
    }

    /// Whether none is under way or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits until something happens. Can be dropped and called again.
    pub async fn heard(&mut self) -> Heard {
        tokio::select! {
            biased;
            Some(report) = self.inbox.recv() => Heard::Report(report),
            () = self.plain.ready() => Heard::Plain,
        }
    }

    /// Tells the engine of it, and of what else is there, but not so much that a timer is late. Those
    /// that are plain go on in [`Self::step`].
    pub fn take(&mut self, heard: Heard, engine: &mut CheckEngine) {
        let Heard::Report(report) = heard else { return };
        self.report(report, engine);
        for _ in 0..MOST_AT_ONCE {
            let Ok(report) = self.inbox.try_recv() else { break };
            self.report(report, engine);
        }
    }

    /// What is told of a probe that was cancelled meanwhile is nobody's.
    fn report(&mut self, (id, run, outcome): Report, engine: &mut CheckEngine) {
        if self.ends(id, run) {
            engine.handle(runtime::now(), Input::Finished { id, outcome });
        }
    }

    fn ends(&mut self, id: CheckerId, run: Run) -> bool {
        let current = is_current(&self.running, id, run);
        if current {
            self.running.remove(&id);
            self.taken -= 1;
        }
        current
    }

    /// When [`Self::step`] must be called, whatever happens; the origin of the clock for at once.
    pub fn next_due(&self) -> Option<Timestamp> {
        let begin = !self.waiting.is_empty() && self.taken < self.places;
        begin.then_some(Timestamp::ZERO).or(self.plain.next_due())
    }

    /// Begins those that there is a place for, and takes results; whether the engine was told one.
    pub fn step(&mut self, engine: &mut CheckEngine) -> bool {
        let now = runtime::now();
        for _ in 0..MOST_AT_ONCE {
            if self.taken >= self.places {
                break;
            }
            let Some(question) = self.waiting.pop_front() else { break };
            if is_current(&self.running, question.id, question.run) {
                self.begin(now, question, engine);
            }
        }
        let ended = self.plain.step(now);
        let any = !ended.is_empty();
        let now = runtime::now();
        for ended in ended {
            self.concluded(now, ended, engine);
        }
        any
    }

    fn begin(&mut self, now: Timestamp, question: Question, engine: &mut CheckEngine) {
        self.taken += 1;
        let (id, run) = (question.id, question.run);
        engine.handle(now, Input::Started { id });
        let stage = if question.is_plain() {
            self.plain.begin(now, question);
            Stage::Plain
        } else {
            let (results, surroundings) = (self.results.clone(), Arc::clone(&self.surroundings));
            let names = engine.probe_names(id);
            let task = tokio::spawn(async move {
                let Question { checker, url, .. } = question;
                let outcome = probe::run(checker, url, names, surroundings).await;
                // Nobody is left to tell at the end of the process.
                let _ = results.send((id, run, outcome)).await;
            });
            Stage::Task(task.abort_handle())
        };
        self.running.insert(id, (run, stage));
    }

    fn concluded(&mut self, now: Timestamp, ended: Ended, engine: &mut CheckEngine) {
        let (id, run) = (ended.question.id, ended.question.run);
        if !self.ends(id, run) {
            return;
        }
        // Thousands of times a second, nobody reads the words.
        let outcome = if ended.is_connected() && !engine.reads_success(id) {
            Outcome::Success { text: String::new(), weight: None, warning: None }
        } else {
            ended.outcome(&engine.probe_names(id).server)
        };
        engine.handle(now, Input::Finished { id, outcome });
    }
}

fn is_current(running: &HashMap<CheckerId, (Run, Stage)>, id: CheckerId, run: Run) -> bool {
    running.get(&id).is_some_and(|(current, _)| *current == run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_places_than_files() {
        assert_eq!([0, 1024, 4096, 1 << 20].map(places), [1, 192, 960, MOST]);
    }
}
