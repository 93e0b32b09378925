//! Probes that this host could not make, for want of files, memory, ports or an address. A server is
//! not to blame for them: it stays what it was, and is asked again soon.

use std::collections::BTreeMap;

use super::{CheckEngine, CheckerId, Importance, Output, Probing, SOON};
use crate::check::event::{Event, Names};
use crate::core::time::{Interval, Timestamp};

/// What goes on is told so often; there may be ten thousand of them in a second.
const TELL: Interval = Interval::from_secs(60);
/// Reasons that are told apart.
const REASONS: usize = 16;

#[derive(Debug, Clone)]
struct Lack {
    told: Timestamp,
    /// Since then.
    more: u64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lacks {
    total: u64,
    /// When something may be over.
    next_word: Option<Timestamp>,
    by_reason: BTreeMap<String, Lack>,
}

impl Lacks {
    /// Counts one; whether its reason is to be told, and how many there were since it last was.
    fn count(&mut self, now: Timestamp, why: &str) -> Option<u64> {
        self.total += 1;
        if let Some(lack) = self.by_reason.get_mut(why) {
            lack.more += 1;
            if now < lack.told + TELL {
                return None;
            }
            lack.told = now;
            let before = std::mem::take(&mut lack.more) - 1;
            self.plan();
            return Some(before);
        }
        if self.by_reason.len() >= REASONS {
            self.by_reason.retain(|_, lack| now < lack.told + TELL || lack.more > 0);
        }
        if self.by_reason.len() >= REASONS {
            return None;
        }
        self.by_reason.insert(why.to_owned(), Lack { told: now, more: 0 });
        self.plan();
        Some(0)
    }

    fn plan(&mut self) {
        self.next_word = self.by_reason.values().map(|lack| lack.told + TELL).min();
    }

    /// Reasons that have not come again: how many probes each has cost beyond those that were told.
    fn over(&mut self, now: Timestamp) -> Vec<(String, u64)> {
        let (over, on): (BTreeMap<_, _>, _) = std::mem::take(&mut self.by_reason)
            .into_iter()
            .partition(|(_, lack)| now >= lack.told + TELL);
        self.by_reason = on;
        self.plan();
        over.into_iter().filter(|(_, lack)| lack.more > 0).map(|(why, l)| (why, l.more)).collect()
    }
}

impl CheckEngine {
    /// Probes that could not be made, since this process began.
    pub fn unasked_probes(&self) -> u64 {
        self.lacks.total
    }

    /// A probe could not be made.
    pub(super) fn unasked(&mut self, now: Timestamp, id: CheckerId, probing: Probing, why: &str) {
        let Some(checker) = self.checker(id) else { return };
        let wait = checker.config.delay_loop.min(SOON);
        checker.trouble.get_or_insert_default().unasked = Some(why.to_owned());
        let due = probing.next(now, wait);
        self.schedule(due, id);
        let Some(more) = self.lacks.count(now, why) else { return };
        let Names { server, service } = self.names(id).unwrap_or_default();
        let before = match more {
            0 => String::new(),
            more => format!("; {more} checks more since this was last told"),
        };
        let text = format!("Cannot check {server} of VS {service}, which stays as it is{before}");
        self.warn(text, why);
    }

    /// A result has come. Tells of what has ended meanwhile.
    pub(super) fn asked(&mut self, now: Timestamp) {
        // Thousands of results come in a second.
        if self.lacks.next_word.is_none_or(|at| now < at) {
            return;
        }
        for (why, more) in self.lacks.over(now) {
            self.warn(format!("{more} checks more could not be made meanwhile"), &why);
        }
    }

    fn warn(&mut self, text: String, why: &str) {
        let cause = Some(why.to_owned());
        self.outputs.push_back(Output::Log(Event { importance: Importance::Warning, text, cause }));
    }
}
