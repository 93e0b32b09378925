//! The words about services and servers: lines for FIFOs and logs, mails, scripts to run.

use super::{CheckEngine, CheckerId, Output, ServerState, ServiceState};
use crate::check::event::{
    About, Alert, Change, Event, Importance, Names, What, endpoint, protocol_of, up_or_down,
};
use crate::check::virtual_server;
use crate::core::config::model::check::RealServer;

/// When something is said of a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quorum {
    /// With the service.
    Begins,
    /// Later.
    Changed,
}

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

    /// How it begins; with `servers` also those that begin as up. A service without quorum and without
    /// a sorry server has nothing to tell.
    pub(super) fn tell_start(&self, servers: bool) -> Vec<Output> {
        let mut outputs = Vec::new();
        let up = self.servers_up();
        for server in self.servers.iter().filter(|server| servers && server.up) {
            outputs.push(self.server_line(&server.config, true));
            outputs.push(self.changed(What::Server(server.config.clone(), true), up));
            if let Some(script) = &server.config.extras.notify_up {
                let (object, about) = (self.name().0, About::Server);
                outputs.push(Output::RunScript { object, about, script: script.clone() });
            }
        }
        if self.quorum || self.config.sorry_server.is_some() {
            let total = virtual_server::live_weight(&self.views());
            outputs.extend(self.quorum_told(total, Quorum::Begins));
        }
        outputs
    }

    /// The log, the scripts, the FIFOs and the mail of what its quorum is now.
    pub(super) fn quorum_told(&self, total: u64, when: Quorum) -> Vec<Output> {
        let (importance, script) = if self.quorum {
            (Importance::Normal, &self.config.quorum_up)
        } else {
            (Importance::Warning, &self.config.quorum_down)
        };
        let mut outputs: Vec<Output> = self
            .quorum_lines(total, when)
            .into_iter()
            .map(|text| Output::Log(Event { importance, text, cause: None }))
            .collect();
        if let Some(script) = script {
            let (object, about) = (self.name().0, About::Service);
            outputs.push(Output::RunScript { object, about, script: script.clone() });
        }
        let words = match (when, self.quorum) {
            (Quorum::Begins, true) => "Starting with quorum up",
            (Quorum::Begins, false) => "Starting with quorum down",
            (Quorum::Changed, true) => "Gained quorum",
            (Quorum::Changed, false) => "Lost quorum",
        };
        outputs.extend(self.tell(words, total));
        outputs
    }

    fn quorum_lines(&self, total: u64, when: Quorum) -> Vec<String> {
        let name = self.name();
        let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
        let sorry = self.config.sorry_server.as_ref();
        let sorry = sorry.map(|sorry| endpoint(sorry.address, protocol_of(&self.config.target)));
        if self.quorum {
            let sum = u64::from(quorum) + u64::from(hysteresis);
            let gained =
                format!("Gained quorum {quorum}+{hysteresis}={sum} <= {total} for VS {name}");
            // At the beginning nobody stood in yet.
            let Some(sorry) = sorry.filter(|_| when == Quorum::Changed) else {
                return vec![gained];
            };
            let removing = format!("Removing sorry server {sorry} from VS {name}");
            vec![gained, removing, format!("Adding alive servers to the pool for VS {name}")]
        } else {
            let words = match when {
                Quorum::Begins => "Starting with quorum down",
                Quorum::Changed => "Lost quorum",
            };
            let difference = quorum.saturating_sub(hysteresis);
            let lost =
                format!("{words} {quorum}-{hysteresis}={difference} > {total} for VS {name}");
            let Some(sorry) = sorry else { return vec![lost] };
            let adding = format!("Adding sorry server {sorry} to VS {name}");
            vec![lost, adding, format!("Removing alive servers from the pool for VS {name}")]
        }
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
    let (object, about) = (service.name().0, About::Server);
    let script = config.extras.notify_down.clone();
    let script = script.map(|script| Output::RunScript { object, about, script });
    let mail = service.server_mail(config, false, words, false);
    let change = service.changed(What::Server(config.clone(), false), service.servers_up());
    let told = [service.server_line(config, false), change];
    script.into_iter().chain(told).chain(mail).collect()
}
