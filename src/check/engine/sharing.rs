//! `shared_checks`: identical checks of one server, in several services, share their probes. Nobody
//! leads: whoever is due first asks, and what he hears counts for all of them, with their own
//! retries each. A check that a reload changes is identical to others no longer, and asks for itself.

use std::collections::BTreeMap;

use super::probing::MARGIN;
use super::{CheckEngine, CheckerId, Outcome, Probing};
use crate::core::config::model::check::Checker;
use crate::core::shared::Shared;
use crate::core::time::Timestamp;

/// Which checks are identical.
#[derive(Debug, Clone, Default)]
pub(super) struct Sharing {
    groups: BTreeMap<CheckerId, Shared<Vec<CheckerId>>>,
    /// Results that came without a probe of their own.
    saved: u64,
}

impl CheckEngine {
    /// Probes that need not be made because others had asked; `None` where nothing is shared.
    pub fn saved_probes(&self) -> Option<u64> {
        self.sharing.as_ref().map(|sharing| sharing.saved)
    }

    /// Finds out anew which checks are identical: same server as it is written in logs, same words.
    pub(super) fn share(&mut self, wanted: bool) {
        let saved = self.saved_probes().unwrap_or(0);
        if !wanted {
            self.sharing = None;
            return;
        }
        let mut identical: BTreeMap<(String, Shared<Checker>), Vec<CheckerId>> = BTreeMap::new();
        for service in &self.services {
            for server in &service.servers {
                for checker in &server.checkers {
                    let name = service.server_name(&server.config);
                    identical.entry((name, checker.config.clone())).or_default().push(checker.id);
                }
            }
        }
        let mut groups = BTreeMap::new();
        for members in identical.into_values().filter(|members| members.len() > 1) {
            let members = Shared::from(members);
            groups.extend(members.iter().map(|member| (*member, members.clone())));
        }
        self.sharing = Some(Sharing { groups, saved });
    }

    /// The others of its kind that are probed at present.
    fn others(&self, id: CheckerId) -> Vec<CheckerId> {
        let group = self.sharing.as_ref().and_then(|sharing| sharing.groups.get(&id));
        let awake = |member: &CheckerId| {
            let place = self.places.get(*member);
            place.is_some_and(|(service, ..)| {
                self.services.get(service).is_some_and(|service| !service.suspended)
            })
        };
        let members = group.map(|group| group.as_slice()).unwrap_or_default();
        members.iter().copied().filter(|member| *member != id).filter(awake).collect()
    }

    /// Whether one of its kind is asking already: its answer is waited for then, and if none comes
    /// (a reload may have taken it away) this one asks after all.
    pub(super) fn joins(&mut self, due: Timestamp, id: CheckerId) -> bool {
        if self.sharing.is_none() {
            return false;
        }
        let asks = |engine: &mut Self, member| {
            engine.checker(member).is_some_and(|found| found.probing != Probing::No)
        };
        if !self.others(id).into_iter().any(|member| asks(self, member)) {
            return false;
        }
        let Some(checker) = self.checker(id) else { return false };
        let patience = checker.config.probe.longest() + MARGIN;
        self.schedule(due + patience, id);
        true
    }

    /// Gives the others what one of their kind has heard.
    pub(super) fn share_result(
        &mut self,
        now: Timestamp,
        id: CheckerId,
        url: usize,
        probing: Probing,
        outcome: &Outcome,
    ) {
        if self.sharing.is_none() {
            return;
        }
        let asker = self.names(id).unwrap_or_default().service;
        for member in self.others(id) {
            let service = self.names(member).unwrap_or_default().service;
            let Some(checker) = self.checker(member) else { continue };
            // One that asks for itself hears for itself.
            if checker.probing != Probing::No {
                continue;
            }
            checker.memory.url = url;
            if let Some(sharing) = &mut self.sharing {
                sharing.saved += 1;
            }
            self.concluded(now, member, probing, &told_of(outcome, &asker, &service));
        }
    }
}

/// The same words, about another service.
fn told_of(outcome: &Outcome, asker: &str, service: &str) -> Outcome {
    let mut outcome = outcome.clone();
    let (Outcome::Success { text, .. }
    | Outcome::Failure { text, .. }
    | Outcome::Unasked { why: text }) = &mut outcome;
    // The server comes first, and may have the same name.
    if asker != service
        && let Some(place) = text.rfind(&format!(" {asker}"))
    {
        text.replace_range(place + 1..place + 1 + asker.len(), service);
    }
    outcome
}
