//! What the check process shows over SNMP: KEEPALIVED-MIB's `check` part and its notifications.
//!
//! [`Gathered`] is what the daemon copies for a request. The tables are made of it in the thread that
//! answers, and that thread asks the kernel for figures ([`figures`]).

pub mod figures;
mod groups;
pub mod notifications;
mod servers;
mod services;

use std::sync::Arc;

use self::figures::FigureCache;
use super::engine::{CheckEngine, ServiceState};
use crate::core::config::model::Config;
use crate::core::config::model::check::{RealServer, Target, VirtualServer, VirtualServerGroup};
use crate::core::config::model::global::Global;
use crate::core::config::model::services::Snmp;
use crate::core::shared::Shared;
use crate::ipvs::model::ServiceKey;
use crate::snmp::agent::Subtree;
use crate::snmp::base::{self, USUAL_PRIORITY};
use crate::snmp::value::{Oid, Value};
use crate::snmp::view::View;

/// What stays as it is between two reloads.
#[derive(Debug)]
pub struct Static {
    global: Global,
    groups: Vec<VirtualServerGroup>,
    /// `virtual_router_id` of the instance that the sync daemon follows.
    sync_id: Option<u8>,
}

impl Static {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        let followed = config.global.sync_daemon.as_ref().and_then(|found| found.instance.as_ref());
        let mut instances = config.vrrp.instances.iter();
        let instance = instances.find(|instance| Some(&instance.name) == followed);
        Self {
            global: config.global.clone(),
            groups: config.check.groups.clone(),
            sync_id: instance.map(|instance| instance.vrid.get()),
        }
    }

    /// `global_defs`.
    pub fn global(&self) -> &Global {
        &self.global
    }
}

/// A server at the moment of a request.
#[derive(Debug, Clone)]
struct Server {
    config: Shared<RealServer>,
    up: bool,
    weight: u32,
    failed_checks: usize,
}

/// A service at the moment of a request.
#[derive(Debug, Clone)]
struct Service {
    config: Shared<VirtualServer>,
    keys: Arc<[ServiceKey]>,
    quorum: bool,
    suspended: bool,
    servers_up: usize,
}

/// Everything of the check process that shows over SNMP, at one moment.
#[derive(Debug)]
pub struct Gathered {
    fixed: Arc<Static>,
    services: Vec<(Service, Vec<Server>)>,
}

impl Gathered {
    /// Copies what the tables are made of.
    pub fn of(fixed: &Arc<Static>, engine: &CheckEngine) -> Self {
        let services = engine.services().iter().map(|state| (service(state), servers(state)));
        Self { fixed: Arc::clone(fixed), services: services.collect() }
    }

    /// All the tables.
    pub fn view(self, figures: &Arc<FigureCache>) -> View {
        let mut view = View::default();
        base::add(&mut view, &self.fixed.global);
        groups::add(&mut view, &self);
        groups::add_kernel(&mut view, &self);
        services::add(&mut view, &self, figures);
        servers::add(&mut view, &self, figures);
        view
    }
}

fn service(state: &ServiceState) -> Service {
    Service {
        config: state.config.clone(),
        keys: state.keys.as_slice().into(),
        quorum: state.quorum,
        suspended: state.suspended,
        servers_up: state.servers.iter().filter(|server| server.up).count(),
    }
}

fn servers(state: &ServiceState) -> Vec<Server> {
    let servers = state.servers.iter().map(|server| {
        let checkers = server.checkers.iter();
        let failed = checkers.filter(|checker| !checker.memory.health.is_up()).count();
        let weight = server.weight();
        Server { config: server.config.clone(), up: server.up, weight, failed_checks: failed }
    });
    servers.collect()
}

/// What a process with this configuration answers for. Of two that know `global`, the vrrp process is
/// asked.
pub fn subtrees(snmp: &Snmp) -> Vec<Subtree> {
    if !snmp.checker {
        return Vec::new();
    }
    vec![
        Subtree { name: base::part(&[1]), priority: USUAL_PRIORITY + 1 },
        Subtree { name: base::part(&[3]), priority: USUAL_PRIORITY },
    ]
}

/// The place in the file, from 1 on.
fn number(place: usize) -> u32 {
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

/// The name of a table's entry: `table` of KEEPALIVED-MIB's check part.
fn entry(table: u32) -> Oid {
    base::part(&[3, table, 1])
}

/// fwmark 1, ip 2, group 3.
const fn kind(target: &Target) -> Value {
    Value::Integer(match target {
        Target::Fwmark { .. } => 1,
        Target::Address { .. } => 2,
        Target::Group { .. } => 3,
    })
}

/// tcp 1, udp 2, sctp 3; a mark is of any.
fn protocol(target: &Target) -> Option<Value> {
    use crate::core::config::model::check::Protocol;
    match target {
        Target::Fwmark { .. } => None,
        Target::Address { protocol, .. } | Target::Group { protocol, .. } => {
            Some(Value::Integer(match protocol {
                Protocol::Tcp => 1,
                Protocol::Udp => 2,
                Protocol::Sctp => 3,
            }))
        }
    }
}
