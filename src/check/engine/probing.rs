//! When probes begin, and those that have lost their time.

use super::{CheckEngine, CheckerId, Health, Names, Outcome, Output, Probe, ServiceName};
use crate::check::event::{endpoint, protocol_of};
use crate::check::places::Pace;
use crate::core::time::{Interval, Timestamp};

/// Beyond a probe's own limits, before it is given up as lost.
pub(super) const MARGIN: Interval = Interval::from_secs(5);
/// How often probes that have lost their time are looked for.
const SWEEP: Interval = Interval::from_secs(1);

/// Whether a checker has a probe under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probing {
    /// None.
    No,
    /// It waits for its turn, which takes as long as it takes.
    Waiting { due: Timestamp },
    /// It keeps its own time, and has lost it if nothing is heard of it for long.
    Asking { due: Timestamp, since: Timestamp },
}

impl Probing {
    /// When the next probe is due, this one having ended at `now`. A check that this process made
    /// late makes up for it: checks that were begun apart stay apart, and do not come in bunches
    /// for ever after a moment of load. A slow server gets its whole wait.
    pub(super) fn next(self, now: Timestamp, wait: Interval) -> Timestamp {
        let (due, since) = match self {
            Self::No => (now, now),
            Self::Waiting { due } => (due, now),
            Self::Asking { due, since } => (due, since),
        };
        let half = wait.fraction(1, 2);
        if now.since(since) <= wait.fraction(1, 10) {
            (due + wait).max(now + half)
        } else {
            now + (wait - since.since(due).min(half))
        }
    }
}

impl Probing {
    /// A probe that ends at `now` and may take `longest`, which is at most five times what it takes to
    /// find out that nobody is there.
    pub(super) fn pace(self, now: Timestamp, longest: Interval) -> Pace {
        match self {
            Self::Asking { since, .. } if now.since(since) < longest.fraction(1, 5) => Pace::Quick,
            Self::No | Self::Waiting { .. } | Self::Asking { .. } => Pace::Slow,
        }
    }
}

impl CheckEngine {
    /// Whether its last probe was quick.
    pub fn pace(&self, id: CheckerId) -> Pace {
        let found = self.places.get(id).and_then(|(service, server, checker)| {
            self.services.get(service)?.servers.get(server)?.checkers.get(checker)
        });
        found.map_or(Pace::Slow, |checker| checker.pace)
    }

    /// Time for a probe.
    pub(super) fn start_probe(&mut self, due: Timestamp, id: CheckerId) {
        if self.joins(due, id) {
            return;
        }
        let Some(checker) = self.checker(id) else { return };
        checker.probing = Probing::Waiting { due };
        let (config, url) = (checker.config.clone(), checker.memory.url);
        self.outputs.push_back(Output::StartProbe { id, checker: config, url });
    }

    /// What the words of this probe call its server; nothing if it is gone.
    pub fn probe_names(&self, id: CheckerId) -> Names {
        let found = self.places.get(id).and_then(|(service, server, checker)| {
            let service = self.services.get(service)?;
            let server = service.servers.get(server)?;
            Some((service, server, server.checkers.get(checker)?))
        });
        let Some((service, server, checker)) = found else { return Names::default() };
        Names {
            server: endpoint(server.config.address, protocol_of(&service.config.target)),
            service: match &checker.config.probe {
                Probe::Misc(_) | Probe::Ping(_) => ServiceName::of(&service.config.target).0,
                // They do not speak of it.
                Probe::Tcp(_)
                | Probe::Agent(_)
                | Probe::Grpc(_)
                | Probe::Dialogue(_)
                | Probe::Http(_)
                | Probe::Smtp(_)
                | Probe::Dns(_)
                | Probe::Udp(_) => String::new(),
            },
        }
    }

    /// Whether anybody reads the words of a success: they are told when it changes something.
    pub fn reads_success(&self, id: CheckerId) -> bool {
        let checker = self.places.get(id).and_then(|(service, server, checker)| {
            self.services.get(service)?.servers.get(server)?.checkers.get(checker)
        });
        self.sharing.is_some()
            || checker.is_none_or(|found| !matches!(found.memory.health, Health::Up { .. }))
    }

    pub(super) fn started(&mut self, now: Timestamp, id: CheckerId) {
        let Some(checker) = self.checker(id) else { return };
        if let Probing::Waiting { due } = checker.probing {
            checker.probing = Probing::Asking { due, since: now };
        }
        self.next_sweep.get_or_insert(now + SWEEP);
    }

    /// Gives probes up that have lost their time. A timer for each of them would be set and cancelled
    /// in vain thousands of times a second.
    ///
    /// Time in which this process did not run (the machine slept, say) is not theirs: what has come
    /// meanwhile is still to be read.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let away = self.next_sweep.map_or(Interval::ZERO, |at| now.since(at));
        let checkers = self.services.iter_mut().flat_map(|service| &mut service.servers);
        let checkers = checkers.flat_map(|server| &mut server.checkers);
        let (mut lost, mut left) = (Vec::new(), false);
        for checker in checkers {
            let Probing::Asking { since, .. } = &mut checker.probing else { continue };
            *since = (*since + away).min(now);
            if *since + checker.config.probe.longest() + MARGIN <= now {
                lost.push(checker.id);
            } else {
                left = true;
            }
        }
        self.next_sweep = left.then_some(now + SWEEP);
        for id in lost {
            self.outputs.push_back(Output::CancelProbe(id));
            let text = "a check gave no result in time".to_owned();
            self.finished(now, id, &Outcome::Failure { text, cause: None });
        }
    }

    /// A checker has changed its mind.
    pub(super) fn mail_check(&mut self, id: CheckerId, probe: &Probe, outcome: &Outcome) {
        let Some((service, server, _)) = self.places.get(id) else { return };
        let Some(service) = self.services.get(service) else { return };
        let Some(server) = service.servers.get(server) else { return };
        let up = matches!(outcome, Outcome::Success { .. });
        let words = match (probe, up) {
            (Probe::Tcp(_) | Probe::Dialogue(_), true) => "TCP CHECK succeed on service",
            (Probe::Tcp(_) | Probe::Dialogue(_), false) => "TCP CHECK failed on service",
            (Probe::Http(_) | Probe::Smtp(_), true) => "CHECK succeed on service",
            (Probe::Http(_), false) => "CHECK failed on service : HTTP request failed",
            (Probe::Smtp(_), false) => "CHECK failed on service",
            (Probe::Dns(_), true) => "DNS_CHECK: succeed on service",
            (Probe::Dns(_), false) => "DNS_CHECK: failed on service",
            (Probe::Udp(_), true) => "UDP CHECK succeed on service",
            (Probe::Udp(_), false) => "UDP CHECK failed on service",
            (Probe::Ping(_), true) => "ICMP CHECK succeed on service",
            (Probe::Ping(_), false) => "ICMP CHECK failed on service",
            (Probe::Agent(_), true) => "AGENT CHECK succeed on service",
            (Probe::Agent(_), false) => "AGENT CHECK failed on service",
            (Probe::Grpc(_), true) => "GRPC CHECK succeed on service",
            (Probe::Grpc(_), false) => "GRPC CHECK failed on service",
            (Probe::Misc(_), true) => "MISC CHECK succeeded on service",
            (Probe::Misc(_), false) => "MISC CHECK failed on service",
        };
        // The subject is the server's state, which another check may keep down.
        let serves = server.is_up();
        let one_check = serves == server.up;
        self.outputs.extend(service.server_mail(&server.config, serves, words, one_check));
    }
}
