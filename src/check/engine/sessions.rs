//! `BFD_CHECK`: BFD sessions that take servers out and in. What they say comes by itself, so that there
//! is nothing to probe.

use super::{CheckEngine, Importance, ServerState};
use crate::check::event::up_or_down;
use crate::core::config::model::check::BfdCheck;
use crate::core::time::Timestamp;

/// What a session counts as that nobody has told of yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presumed {
    /// Of a new server: what the kernel's table says of it, where a process before this one has made
    /// that; else up, unless `alpha` says otherwise.
    New {
        /// Whether the table has it, if there is one.
        serving: Option<bool>,
    },
    /// After a reload: the server stays as it is.
    AsBefore {
        /// Whether it was up.
        up: bool,
    },
}

impl Presumed {
    const fn is_up(self, check: &BfdCheck) -> bool {
        match self {
            Self::New { serving: Some(serving) } => serving,
            Self::New { serving: None } => !check.alpha,
            Self::AsBefore { up } => up,
        }
    }
}

impl ServerState {
    /// Works in what is known of sessions.
    pub(super) fn take_sessions(&mut self, state: impl Fn(&str) -> Option<bool>) {
        let presumed = self.presumed;
        let is_up = |check: &BfdCheck| state(&check.name).unwrap_or(presumed.is_up(check));
        let checks = &self.config.extras.bfd_checks;
        self.sessions_allow = checks.iter().all(is_up);
        self.session_is_down = checks.iter().any(|check| state(&check.name) == Some(false));
    }

    /// Whether a process before this one has left it in the table, with a weight.
    pub(super) const fn was_serving(&self) -> bool {
        matches!(self.presumed, Presumed::New { serving: Some(true) })
    }

    /// For dumps: the sessions of its checks.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        self.config.extras.bfd_checks.iter().map(|check| check.name.as_str())
    }
}

impl CheckEngine {
    /// A session is up or down, or is told of for the first time.
    pub(super) fn session_changed(&mut self, now: Timestamp, name: String, up: bool) {
        for place in 0..self.services.len() {
            self.apply_session(now, place, &name, up);
        }
        self.sessions.insert(name, up);
    }

    fn apply_session(&mut self, now: Timestamp, place: usize, name: &str, up: bool) {
        let first = !self.sessions.contains_key(name);
        let known = &self.sessions;
        let state = |asked: &str| if asked == name { Some(up) } else { known.get(asked).copied() };
        let Some(service) = self.services.get_mut(place) else { return };
        let (mut lines, mut mails, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..service.servers.len() {
            let Some(server) = service.servers.get_mut(index) else { continue };
            let Some(check) =
                server.config.extras.bfd_checks.iter().find(|check| check.name == name)
            else {
                continue;
            };
            // What was presumed, and is so, is no news.
            let news = !first || server.presumed.is_up(check) != up;
            server.take_sessions(state);
            if !server.up && server.is_up() {
                back.extend(server.checkers.first().map(|checker| checker.id));
            }
            if !news {
                continue;
            }
            let Some(server) = service.servers.get(index) else { continue };
            let server_name = service.server_name(&server.config);
            lines.push(format!("BFD check of [{name}] RS({server_name}) is {}", up_or_down(up)));
            let verb = if up { "succeed" } else { "failed" };
            let words = format!("BFD CHECK {verb} on service");
            let serves = server.is_up();
            let one_check = serves == server.up;
            mails.extend(service.server_mail(&server.config, serves, &words, one_check));
        }
        for line in lines {
            self.log(if up { Importance::Normal } else { Importance::Warning }, line);
        }
        self.outputs.extend(mails);
        self.settle(place);
        for checker in back {
            self.begin_ramp(now, checker);
        }
    }

    /// Works what is known into a service after a reload.
    pub(super) fn apply_sessions(&mut self, place: usize) {
        let known = &self.sessions;
        let Some(service) = self.services.get_mut(place) else { return };
        for server in &mut service.servers {
            server.take_sessions(|name| known.get(name).copied());
        }
    }

    /// What nobody checks any more is not known for ever.
    pub(super) fn forget_sessions(&mut self) {
        let servers = self.services.iter().flat_map(|service| &service.servers);
        let used: std::collections::BTreeSet<&str> =
            servers.flat_map(ServerState::sessions).collect();
        self.sessions.retain(|name, _| used.contains(name.as_str()));
    }
}
