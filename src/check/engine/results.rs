//! What follows from the result of a probe, and from any other change within a service.

use super::words::Quorum;
use super::{CheckEngine, CheckerId, Outcome, Output, Probing, Trouble};
use crate::check::event::{
    About, Event, Importance, Names, What, endpoint, protocol_of, up_or_down,
};
use crate::check::health::Health;
use crate::check::virtual_server;
use crate::core::config::model::check::GivenUp;
use crate::core::time::Timestamp;

impl CheckEngine {
    pub(super) fn finished(&mut self, now: Timestamp, id: CheckerId, outcome: &Outcome) {
        let Some(checker) = self.checker(id) else { return };
        // A result that comes after the checker was given up does not count twice.
        let probing = std::mem::replace(&mut checker.probing, Probing::No);
        if probing == Probing::No {
            return;
        }
        if let Outcome::Unasked { why } = outcome {
            return self.unasked(now, id, probing, why);
        }
        checker.pace = probing.pace(now, checker.config.probe.longest());
        let url = checker.memory.url;
        self.asked(now);
        self.concluded(now, id, probing, outcome);
        self.share_result(now, id, url, probing, outcome);
    }

    /// Draws the conclusions of a result for one checker.
    pub(super) fn concluded(
        &mut self,
        now: Timestamp,
        id: CheckerId,
        probing: Probing,
        outcome: &Outcome,
    ) {
        let Some((service, ..)) = self.places.get(id) else { return };
        let Some(checker) = self.checker(id) else { return };
        let (before, url) = (checker.memory.health, checker.memory.url);
        let mut reweighed = false;
        let (success, text, cause) = match outcome {
            Outcome::Success { text, weight, .. } => {
                // Exit status 0 asks for the configured weight again.
                reweighed = *weight != checker.weight;
                checker.weight = *weight;
                checker.trouble = None;
                (true, text, None)
            }
            Outcome::Failure { text, cause } => {
                let fault = match cause {
                    Some(cause) => format!("{text} ({cause})"),
                    None => text.clone(),
                };
                checker.trouble = Some(Trouble { fault: Some(fault), unasked: None }.into());
                (false, text, cause.clone())
            }
            Outcome::Unasked { .. } => return,
        };
        let config = checker.config.clone();
        let wait = checker.memory.result(now, &config, success);
        let after = checker.memory.health;
        let due = probing.next(now, wait);
        checker.due = Some(due);
        self.agenda.push(due, id);
        let told = before.is_up() != after.is_up()
            || (matches!(before, Health::Unproved { .. }) && !text.is_empty());
        let importance = match (told, success) {
            (true, true) => Importance::Normal,
            (true, false) => Importance::Warning,
            (false, false) if config.log_all_failures => Importance::Warning,
            (false, true | false) => Importance::Detail,
        };
        let used_up = matches!((before, after), (Health::Up { failures: 1.. }, Health::Down));
        let (given_up, retry) = (config.probe.given_up(), config.retry);
        if !text.is_empty() && (told || !success) {
            let text = match given_up {
                GivenUp::Suffix if used_up => format!("{text} after {retry} retries"),
                GivenUp::Suffix | GivenUp::Line(_) | GivenUp::LineOf(_) | GivenUp::Nothing => {
                    text.clone()
                }
            };
            self.outputs.push_back(Output::Log(Event { importance, text, cause }));
        }
        if used_up && let Some(Names { server, service }) = self.names(id) {
            match given_up {
                GivenUp::Line(kind) => {
                    let text = format!("{kind} on service {server} failed after {retry} retries.");
                    self.log(Importance::Warning, text);
                }
                GivenUp::LineOf(kind) => {
                    let text = format!(
                        "{kind} on service {server} of {service} failed after {retry} retries."
                    );
                    self.log(Importance::Warning, text);
                }
                GivenUp::Suffix | GivenUp::Nothing => {}
            }
        }
        if reweighed {
            self.changes.add(service);
        }
        if let Outcome::Success { warning, .. } = outcome {
            self.warned(now, id, url, warning.as_ref());
        }
        // A server that begins as down is told of when that is proved.
        let proved = matches!((before, after), (Health::Unproved { up: false }, Health::Down));
        if before.is_up() == after.is_up() && !reweighed && !proved {
            return;
        }
        if before.is_up() != after.is_up() {
            self.mail_check(id, &config.probe, outcome);
        }
        let served = self.serves(id);
        self.settle(service);
        if !served && self.serves(id) {
            self.begin_ramp(now, id);
        }
    }

    /// Draws the conclusions of a change within a service: servers, quorum, scripts, words.
    pub(super) fn settle(&mut self, place: usize) {
        let mut outputs = Vec::new();
        let Some(service) = self.services.get_mut(place) else { return };
        let name = service.name();
        let protocol = protocol_of(&service.config.target);
        let mut changed = Vec::new();
        for server in &mut service.servers {
            let up = server.is_up();
            let turns = std::mem::replace(&mut server.up, up) != up;
            if !turns && !server.is_found_down() {
                continue;
            }
            server.untold = false;
            self.changes.add(place);
            let server_name = endpoint(server.config.address, protocol);
            let (verb, script) = match (up, server.config.inhibit_on_failure) {
                (true, false) => ("Adding service", &server.config.extras.notify_up),
                (true, true) => ("Enabling service", &server.config.extras.notify_up),
                (false, false) => ("Removing service", &server.config.extras.notify_down),
                (false, true) => ("Disabling service", &server.config.extras.notify_down),
            };
            let preposition = match (up, server.config.inhibit_on_failure) {
                (true, false) => "to",
                (false, false) => "from",
                (_, true) => "of",
            };
            if turns {
                let text = format!("{verb} {server_name} {preposition} VS {name}");
                let importance = if up { Importance::Normal } else { Importance::Warning };
                outputs.push(Output::Log(Event { importance, text, cause: None }));
            }
            if let Some(script) = script {
                let (object, about) = (name.0.clone(), About::Server);
                outputs.push(Output::RunScript { object, about, script: script.clone() });
            }
            let state = up_or_down(up);
            let line = format!("RS {server_name} {} {state}\n", service.told_as);
            outputs.push(Output::Line(line));
            changed.push(What::Server(server.config.clone(), up));
        }
        let up = service.servers_up();
        outputs.extend(changed.into_iter().map(|what| service.changed(what, up)));
        let total = virtual_server::live_weight(&service.views());
        let quorum = virtual_server::has_quorum(&service.config, total, service.quorum);
        if std::mem::replace(&mut service.quorum, quorum) != quorum {
            self.changes.add(place);
            outputs.extend(service.quorum_told(total, Quorum::Changed));
        }
        self.outputs.extend(outputs);
    }
}
