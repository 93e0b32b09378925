//! The words about services and servers: lines for FIFOs and logs, mails, scripts to run.

use super::{CheckEngine, CheckerId, Output, ServerState, ServiceState};
use crate::check::event::{
    Alert, Change, Event, Importance, Names, What, endpoint, protocol_of, up_or_down,
};
use crate::check::virtual_server;
use crate::core::config::model::check::RealServer;

impl ServiceState {
    /// `VS`, for the FIFOs and by mail, with the words of the mail.
    pub(super) fn tell(&self, words: &str, total: u64) -> Vec<Output> {
        let (name, state) = (&self.told_as, up_or_down(self.quorum));
        let mut outputs = vec![
            Output::Line(format!("VS {name} {state}\n")),
            self.changed(What::Quorum(self.quorum), self.servers_up()),
        ];
        if self.config.smtp_alert {
            let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
            let sum = u64::from(quorum) + u64::from(hysteresis);
            outputs.push(Output::Mail(Alert {
                subject: format!("Virtualserver {name} - {state}"),
                body: format!("{words} {quorum}+{hysteresis}={sum} <= {total}"),
                one_check: false,
            }));
        }
        outputs
    }

    /// How it begins; with `servers` also those that begin as up.
    pub(super) fn tell_start(&self, servers: bool) -> Vec<Output> {
        let mut outputs = Vec::new();
        let up = self.servers_up();
        for server in self.servers.iter().filter(|server| servers && server.up) {
            outputs.push(self.server_line(&server.config, true));
            outputs.push(self.changed(What::Server(server.config.clone(), true), up));
            if let Some(script) = &server.config.extras.notify_up {
                let object = self.name().0;
                outputs.push(Output::RunScript { object, script: script.clone() });
            }
        }
        let total = virtual_server::live_weight(&self.views());
        let words =
            if self.quorum { "Starting with quorum up" } else { "Starting with quorum down" };
        outputs.extend(self.tell(words, total));
        outputs
    }

    /// What managers are told, `servers_up` of the service's.
    pub(super) fn changed(&self, what: What, servers_up: usize) -> Output {
        Output::Changed(Box::new(Change { service: self.config.clone(), servers_up, what }))
    }

    pub(super) fn servers_up(&self) -> usize {
        self.servers.iter().filter(|server| server.up).count()
    }

    /// `RS`, for the FIFOs.
    pub(super) fn server_line(&self, server: &RealServer, up: bool) -> Output {
        let (server, state) = (self.server_name(server), up_or_down(up));
        Output::Line(format!("RS {server} {} {state}\n", self.told_as))
    }

    /// A server by mail, if it is to be told of.
    pub(super) fn server_mail(
        &self,
        server: &RealServer,
        up: bool,
        words: &str,
        one_check: bool,
    ) -> Option<Output> {
        let (name, state) = (self.server_name(server), up_or_down(up));
        let subject = format!("Realserver {name} of virtual server {} - {state}", self.told_as);
        let alert = Alert { subject, body: words.to_owned(), one_check };
        server.smtp_alert.then_some(Output::Mail(alert))
    }
}

impl CheckEngine {
    /// Has the log told of the checkers from this one on.
    pub(super) fn announce_checkers(&mut self, first: CheckerId) {
        let active = self.services.iter().filter(|service| !service.suspended);
        let checkers = active.flat_map(|service| &service.servers).flat_map(|s| &s.checkers);
        let new = checkers.map(|checker| checker.id).filter(|id| *id >= first);
        self.unannounced.extend(new);
    }

    /// There may be very many: each line is made when it is asked for.
    pub(super) fn announcement(&mut self) -> Option<Output> {
        let Names { server, service } = loop {
            let Some(id) = self.unannounced.pop_front() else {
                // Of a start with tens of thousands.
                self.unannounced.shrink_to_fit();
                return None;
            };
            if let Some(names) = self.names(id) {
                break names;
            }
        };
        let text = format!("Activating healthchecker for service {server} for VS {service}");
        Some(Output::Log(Event { importance: Importance::Normal, text, cause: None }))
    }
}

/// A server that is up goes away with its service, or out of it.
pub(super) fn gone(service: &ServiceState, server: &ServerState, words: &str) -> Vec<Output> {
    if !server.up {
        return Vec::new();
    }
    let config = &server.config;
    let object = service.name().0;
    let script =
        config.extras.notify_down.clone().map(|script| Output::RunScript { object, script });
    let mail = service.server_mail(config, false, words, false);
    let change = service.changed(What::Server(config.clone(), false), service.servers_up());
    let told = [service.server_line(config, false), change];
    script.into_iter().chain(told).chain(mail).collect()
}

pub(super) fn quorum_changed(service: &ServiceState, total: u64) -> Vec<Output> {
    let name = service.name();
    let (quorum, hysteresis) = (service.config.quorum, service.config.hysteresis);
    let protocol = protocol_of(&service.config.target);
    let sorry = service.config.sorry_server.as_ref().map(|sorry| endpoint(sorry.address, protocol));
    let (importance, mut lines, script) = if service.quorum {
        let sum = u64::from(quorum) + u64::from(hysteresis);
        let line = format!("Gained quorum {quorum}+{hysteresis}={sum} <= {total} for VS {name}");
        let sorry = sorry.map(|sorry| format!("Removing sorry server {sorry} from VS {name}"));
        (Importance::Normal, vec![Some(line), sorry], &service.config.quorum_up)
    } else {
        let difference = quorum.saturating_sub(hysteresis);
        let line =
            format!("Lost quorum {quorum}-{hysteresis}={difference} > {total} for VS {name}");
        let sorry = sorry.map(|sorry| format!("Adding sorry server {sorry} to VS {name}"));
        (Importance::Warning, vec![Some(line), sorry], &service.config.quorum_down)
    };
    let mut outputs: Vec<Output> = lines
        .drain(..)
        .flatten()
        .map(|text| Output::Log(Event { importance, text, cause: None }))
        .collect();
    if let Some(script) = script {
        outputs.push(Output::RunScript { object: name.0, script: script.clone() });
    }
    outputs
        .extend(service.tell(if service.quorum { "Gained quorum" } else { "Lost quorum" }, total));
    outputs
}
