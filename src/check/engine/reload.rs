//! A reload: who stays what he was, who begins, who goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::making::Begins;
use super::pairing::{Former, Inherited, pairs};
use super::words::gone;
use super::{
    Changes, CheckEngine, CheckerState, Importance, Presumed, ServerState, ServiceState, drain,
};
use crate::check::health::{Health, Memory};
use crate::check::virtual_server;
use crate::check::wish::Wish;
use crate::core::config::model::check::{CheckConfig, Checker, RealServer, VirtualServer};
use crate::core::shared::Shared;
use crate::core::time::Timestamp;
use crate::ipvs::model::Table;

/// What is known of servers when a reload begins, whichever service they are of.
pub(super) type Known = BTreeMap<(SocketAddr, Shared<Checker>), (Memory, Option<Wish>)>;

impl CheckEngine {
    /// State is kept by meaning: a service by its target (see `pairing`), a server by its address, a checker by its
    /// whole configuration; the order in the file does not matter. A server that is new where it
    /// stands but is checked in the same way elsewhere, or was, begins with what is known there: a
    /// group that gets another name must not give the dead traffic again.
    pub(super) fn reconfigure(&mut self, now: Timestamp, config: &CheckConfig) {
        let first_new = self.next_id;
        self.changes = Changes::All;
        self.mark_groups(config);
        let mut new = Vec::new();
        let before = std::mem::take(&mut self.services);
        let (inherited, gone) = pairs(before, config);
        let known_servers = known_servers(&inherited, &gone, config);
        for (service, inherited) in config.virtual_servers.iter().zip(inherited) {
            let Inherited { service: before, servers, suspended } = inherited;
            let state = match before {
                None => {
                    new.push(self.services.len());
                    let nothing = Table::new();
                    let begins = Begins { adopted: &nothing, known: &known_servers, servers };
                    let state = self.new_service(now, service, config, begins);
                    ServiceState { suspended, ..state }
                }
                Some(before) => self.carry_service(now, before, service, config, &known_servers),
            };
            self.services.push(state);
        }
        for service in gone {
            self.retire(&service, "Removing");
        }
        self.index();
        self.share(config.shared_checks);
        for place in 0..self.services.len() {
            self.apply_files(place);
            self.apply_sessions(place);
            if new.contains(&place)
                && let Some(service) = self.services.get(place)
            {
                self.outputs.extend(service.tell_start(false));
            }
            self.settle(place);
        }
        self.forget_sessions();
        self.announce_checkers(first_new);
        self.settle_suspension(now);
    }

    fn carry_service(
        &mut self,
        now: Timestamp,
        before: ServiceState,
        config: &Shared<VirtualServer>,
        all: &CheckConfig,
        known_servers: &Known,
    ) -> ServiceState {
        if before.config == *config {
            // What it is stays where it is; its group may have changed.
            let keys = virtual_server::service_keys(config, all, &self.marks);
            return ServiceState { config: config.clone(), keys, ..before };
        }
        let mut old = Former::new(before.servers, |server| server.config.address);
        let mut servers = Vec::new();
        for server in &config.real_servers {
            let state = match old.take(&server.address) {
                None => self.new_server(now, server, None, known_servers),
                Some(before) => self.carry_server(now, before, server),
            };
            servers.push(state);
        }
        let service = ServiceState {
            keys: virtual_server::service_keys(config, all, &self.marks),
            config: config.clone(),
            servers,
            quorum: before.quorum,
            suspended: before.suspended,
            leaving: Vec::new(),
            told_as: before.told_as,
        };
        let rest: Vec<ServerState> = old.rest().collect();
        for server in &rest {
            self.forget(server);
            self.outputs.extend(gone(&service, server, "Removing"));
            if let Some(text) = drain::words(&service, server) {
                self.log(Importance::Normal, text);
            }
        }
        let leaving = self.leaving(now, before.leaving, &rest, config);
        ServiceState { leaving, ..service }
    }

    pub(super) fn carry_server(
        &mut self,
        now: Timestamp,
        mut before: ServerState,
        config: &Shared<RealServer>,
    ) -> ServerState {
        if before.config == *config {
            return ServerState { config: config.clone(), ..before };
        }
        let mut old = std::mem::take(&mut before.checkers);
        let mut checkers = Vec::new();
        for checker in &config.checkers {
            match old.iter().position(|found| found.config == *checker) {
                // What is equal is taken from the new configuration, so that the old one goes.
                Some(place) => checkers
                    .push(CheckerState { config: checker.clone(), ..old.swap_remove(place) }),
                None => {
                    // A changed checker has nothing to say yet: the server stays as it is, so that
                    // neither a dead one gets traffic nor a living one loses it.
                    let health = Health::Unproved { up: before.up };
                    checkers.push(self.new_checker(now, checker, health));
                }
            }
        }
        for checker in &old {
            self.drop_checker(checker);
        }
        let mut server = ServerState {
            config: config.clone(),
            checkers,
            up: before.up,
            files_allow: before.files_allow,
            moved_by_files: before.moved_by_files,
            sessions_allow: before.sessions_allow,
            session_is_down: before.session_is_down,
            presumed: Presumed::AsBefore { up: before.up },
            untold: before.untold,
            ramp: None,
        };
        server.keep_ramp(&before);
        server
    }
}

/// What is known of servers that `config` has where they were not; of tens of thousands that stay
/// where they are, nothing is gathered.
fn known_servers(inherited: &[Inherited], gone: &[ServiceState], config: &CheckConfig) -> Known {
    let mut new: BTreeSet<SocketAddr> = BTreeSet::new();
    for (service, found) in config.virtual_servers.iter().zip(inherited) {
        let there = found.addresses();
        new.extend(
            service
                .real_servers
                .iter()
                .map(|server| server.address)
                .filter(|address| !there.contains(address)),
        );
    }
    if new.is_empty() {
        return Known::new();
    }
    let old = inherited.iter().flat_map(Inherited::all);
    old.chain(gone.iter().flat_map(|service| &service.servers))
        .filter(|server| new.contains(&server.config.address))
        .flat_map(|server| server.checkers.iter().map(|checker| (server.config.address, checker)))
        .filter(|(_, checker)| !matches!(checker.memory.health, Health::Unproved { .. }))
        .map(|(address, checker)| {
            ((address, checker.config.clone()), (checker.memory, checker.weight))
        })
        .collect()
}
