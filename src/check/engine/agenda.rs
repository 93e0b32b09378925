//! When probes are due. Each checker knows its own time; here they stand in order, some of them no
//! longer true: what is set anew thousands of times a second is not searched for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{CheckEngine, CheckerId};
use crate::core::time::Timestamp;

/// Stale entries that are not worth a clearance.
const SLACK: usize = 64;

/// Times of probes, the next one first.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda(BinaryHeap<Reverse<(Timestamp, CheckerId)>>);

impl Agenda {
    pub(super) fn push(&mut self, at: Timestamp, id: CheckerId) {
        self.0.push(Reverse((at, id)));
    }

    /// The first entry, true or stale.
    fn first(&self) -> Option<(Timestamp, CheckerId)> {
        self.0.peek().map(|Reverse(first)| *first)
    }
}

impl CheckEngine {
    /// Has a probe of the checker begin at `at`, and at no other time.
    pub(super) fn schedule(&mut self, at: Timestamp, id: CheckerId) {
        let Some(checker) = self.checker(id) else { return };
        checker.due = Some(at);
        self.agenda.push(at, id);
    }

    /// When the next probe is due, and whose: right after [`Self::tidy_agenda`].
    pub(super) fn next_probe(&self) -> Option<(Timestamp, CheckerId)> {
        self.agenda.first()
    }

    /// Takes the next probe off the agenda.
    pub(super) fn pop_probe(&mut self) {
        if let Some((_, id)) = self.agenda.first() {
            self.agenda.0.pop();
            if let Some(checker) = self.checker(id) {
                checker.due = None;
            }
        }
        self.tidy_agenda();
    }

    /// Brings a true entry to the front; when most are stale, all of those go.
    pub(super) fn tidy_agenda(&mut self) {
        while let Some((at, id)) = self.agenda.first() {
            if self.checker(id).is_some_and(|checker| checker.due == Some(at)) {
                break;
            }
            self.agenda.0.pop();
        }
        if self.agenda.0.len() > 2 * self.places.0.len() + SLACK {
            self.fill_agenda();
        }
    }

    /// Makes it anew from what the checkers know.
    pub(super) fn fill_agenda(&mut self) {
        let servers = self.services.iter().flat_map(|service| &service.servers);
        let checkers = servers.flat_map(|server| &server.checkers);
        let times = checkers.filter_map(|checker| Some(Reverse((checker.due?, checker.id))));
        self.agenda = Agenda(times.collect());
    }
}
