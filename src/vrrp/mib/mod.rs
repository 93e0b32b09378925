//! What the vrrp process shows over SNMP: KEEPALIVED-MIB's `vrrp` part, VRRP-MIB (RFC 2787) and
//! VRRPv3-MIB (RFC 6527), and the notifications of all three. Pure.
//!
//! [`Gathered`] is what the daemon copies for a request: shared configuration and a few numbers of
//! each router. The tables are made of it in the thread that answers.

mod instances;
pub mod notifications;
mod rfc2787;
mod rfc6527;
mod routes;
mod rules;
mod tracked;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::engine::VrrpEngine;
use super::event::State;
use super::router::{Master, Router};
use super::statistics::Statistics;
use crate::core::config::model::Config;
use crate::core::config::model::global::Global;
use crate::core::config::model::services::Snmp;
use crate::core::config::model::track::TrackFile;
use crate::core::config::model::vrrp::{
    InitialState, Instance, Priority, TrackEffect, Transport, VirtualAddress, VrrpConfig,
    VrrpVersion,
};
use crate::core::iproute::Names;
use crate::core::netlink::link::Link;
use crate::core::time::Timestamp;
use crate::snmp::agent::Subtree;
use crate::snmp::base::{self, USUAL_PRIORITY};
use crate::snmp::value::{Oid, Value};
use crate::snmp::view::View;

/// What stays as it is between two reloads.
#[derive(Debug)]
pub struct Static {
    global: Global,
    config: VrrpConfig,
    files: Vec<TrackFile>,
    sessions: Vec<(String, TrackEffect)>,
}

impl Static {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            global: config.global.clone(),
            config: config.vrrp.clone(),
            files: config.track_files.clone(),
            sessions: config.bfd.iter().map(|found| (found.name.clone(), found.effect)).collect(),
        }
    }

    /// `global_defs`.
    pub fn global(&self) -> &Global {
        &self.global
    }

    /// What of SNMP is wanted.
    pub fn settings(&self) -> &Snmp {
        &self.global.snmp
    }
}

/// What RFC 6527 wants to know of a router's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past {
    /// Since when it has been more than initialised.
    pub up_since: Option<Timestamp>,
    /// Why it became master the last time.
    pub reason: MasterReason,
    /// What the last bad advert had wrong.
    pub error: ProtocolError,
}

/// `vrrpv3StatisticsNewMasterReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MasterReason {
    /// It never became master.
    #[default]
    NotMaster = 0,
    /// The one before it gave up.
    Priority = 1,
    /// Its priority is higher than that of the one before it.
    Preempted = 2,
    /// The one before it was silent.
    NoResponse = 3,
}

/// `vrrpv3StatisticsProtoErrReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum ProtocolError {
    #[default]
    None = 0,
    Ttl = 1,
    Version = 2,
    Checksum = 3,
    Vrid = 4,
}

/// A router at the moment of a request.
#[derive(Debug, Clone)]
struct Row {
    instance: Arc<Instance>,
    state: State,
    priority: Priority,
    master: Option<Master>,
    source: Option<IpAddr>,
    statistics: Statistics,
    past: Past,
    group: Option<usize>,
}

impl Row {
    /// The address of the master, its own if that is itself.
    fn master(&self) -> Option<IpAddr> {
        if self.state == State::Master {
            return self.source;
        }
        self.master.map(|master| master.address)
    }

    fn addresses(&self) -> impl Iterator<Item = (&Arc<VirtualAddress>, bool)> {
        let own = self.instance.addresses.iter().map(|address| (address, true));
        own.chain(self.instance.excluded_addresses.iter().map(|address| (address, false)))
    }
}

/// Everything of the vrrp process that shows over SNMP, at one moment.
#[derive(Debug)]
pub struct Gathered {
    fixed: Arc<Static>,
    rows: Vec<Row>,
    groups: Vec<State>,
    links: BTreeMap<String, (u32, Option<[u8; 6]>)>,
    scripts: BTreeMap<String, bool>,
    sessions: BTreeMap<String, bool>,
    files: BTreeMap<String, i64>,
    processes: BTreeMap<String, (bool, usize)>,
    unknown_vrids: u64,
    now: Timestamp,
    begun: Timestamp,
}

/// What the engine does not know.
pub struct Surroundings<'a> {
    /// The interfaces.
    pub links: &'a BTreeMap<u32, Link>,
    /// Of each router.
    pub pasts: &'a BTreeMap<String, Past>,
    /// The numbers in files.
    pub files: &'a BTreeMap<String, i64>,
    /// Whether processes are as many as they should be, and how many.
    pub processes: &'a BTreeMap<String, (bool, usize)>,
    /// When the process began.
    pub begun: Timestamp,
}

impl Gathered {
    /// Copies what the tables are made of.
    pub fn of(
        fixed: &Arc<Static>,
        engine: &VrrpEngine,
        around: &Surroundings,
        now: Timestamp,
    ) -> Self {
        let groups = &fixed.config.sync_groups;
        let mut group_of = BTreeMap::new();
        for (place, group) in groups.iter().enumerate() {
            group_of.extend(group.members.iter().map(|member| (member.as_str(), place)));
        }
        let row = |router: &Router| Row {
            instance: Arc::clone(&router.instance),
            state: router.state,
            priority: router.priority,
            master: router.master,
            source: router.source(),
            statistics: router.statistics.clone(),
            past: around.pasts.get(&router.instance.name).copied().unwrap_or_default(),
            group: group_of.get(router.instance.name.as_str()).copied(),
        };
        let state = |name: &String| engine.group_states().get(name).copied();
        let link = |link: &Link| (link.name.clone(), (link.index, link.mac));
        Self {
            fixed: Arc::clone(fixed),
            rows: engine.routers().map(row).collect(),
            groups: groups.iter().map(|group| state(&group.name).unwrap_or(State::Init)).collect(),
            links: around.links.values().map(link).collect(),
            scripts: engine.script_results().clone(),
            sessions: engine.bfd_states().clone(),
            files: around.files.clone(),
            processes: around.processes.clone(),
            unknown_vrids: engine.unknown_vrid_count(),
            now,
            begun: around.begun,
        }
    }

    /// All the tables that the configuration asks for.
    pub fn view(self) -> View {
        let mut view = View::default();
        let snmp = &self.fixed.global.snmp;
        if snmp.vrrp {
            base::add(&mut view, &self.fixed.global);
            instances::add(&mut view, &self);
            tracked::add(&mut view, &self);
            let names = Names::of(&self.fixed.global.files);
            routes::add(&mut view, &self, &names);
            rules::add(&mut view, &self, &names);
        }
        if snmp.rfc2787 {
            rfc2787::add(&mut view, &self);
        }
        if snmp.rfc6527 {
            rfc6527::add(&mut view, &self);
        }
        view
    }

    /// The kernel's number of an interface; 0 where there is none.
    fn index_of(&self, name: &str) -> u32 {
        self.links.get(name).map_or(0, |(index, _)| *index)
    }

    /// The interface that a router is on, not the one that is made for it: what managers know.
    fn interface_index(&self, row: &Row) -> u32 {
        row.instance.interface.as_deref().map_or(0, |name| self.index_of(name))
    }

    /// The hardware address that a router's addresses are reached at.
    fn hardware_address(&self, row: &Row) -> Value {
        let name = row.instance.address_interface();
        let address = name.and_then(|name| self.links.get(name)).and_then(|(_, mac)| *mac);
        Value::Octets(address.unwrap_or_default().to_vec())
    }

    /// Hundredths of a second since the process began, in place of the agent's own.
    fn ticks(&self, at: Timestamp) -> Value {
        Value::TimeTicks(u32::try_from(at.since(self.begun).as_centis()).unwrap_or(u32::MAX))
    }

    /// Hundredths of a second since a router began to serve.
    fn up_time(&self, row: &Row) -> Value {
        let up = row.past.up_since.map_or(0, |since| self.now.since(since).as_centis());
        Value::TimeTicks(u32::try_from(up).unwrap_or(u32::MAX))
    }
}

/// What a process with this configuration answers for.
pub fn subtrees(snmp: &Snmp) -> Vec<Subtree> {
    let parts = [
        (snmp.vrrp, base::part(&[1])),
        (snmp.vrrp, base::part(&[2])),
        (snmp.rfc2787, rfc2787::root()),
        (snmp.rfc6527, rfc6527::root()),
    ];
    let wanted = parts.into_iter().filter(|(wanted, _)| *wanted);
    wanted.map(|(_, name)| Subtree { name, priority: USUAL_PRIORITY }).collect()
}

/// `VrrpState`.
const fn state_number(state: State) -> i32 {
    match state {
        State::Init => 0,
        State::Backup => 1,
        State::Master => 2,
        State::Fault => 3,
    }
}

/// initialize 1, backup 2, master 3 of both RFCs.
const fn rfc_state(state: State) -> Value {
    Value::Integer(match state {
        State::Init | State::Fault => 1,
        State::Backup => 2,
        State::Master => 3,
    })
}

/// An owner begins as master whatever it hopes for.
fn initial_state(instance: &Instance) -> i32 {
    match instance.initial_state {
        InitialState::Master => 2,
        InitialState::Backup if instance.priority.is_owner() => 2,
        InitialState::Backup => 1,
    }
}

/// `InetScopeType` of a scope of the kernel's.
const fn scope(scope: u32) -> Value {
    Value::Integer(match scope {
        0 => 14,
        200 => 5,
        253 => 2,
        254 => 1,
        _ => 0,
    })
}

fn is_multicast(instance: &Instance) -> Option<IpAddr> {
    match instance.transport {
        Transport::Multicast { group } => Some(group),
        Transport::Unicast { .. } => None,
    }
}

/// Whole seconds of version 2, hundredths of version 3.
fn advert_interval(instance: &Instance) -> u64 {
    match instance.version {
        VrrpVersion::V2 => instance.advert_interval.as_secs(),
        VrrpVersion::V3 => instance.advert_interval.as_centis(),
    }
}

/// The place in the file, from 1 on.
fn number(place: usize) -> u32 {
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

/// The name of a table's entry: `table` of KEEPALIVED-MIB's vrrp part.
fn entry(table: u32) -> Oid {
    base::part(&[2, table, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::vrrp::SyncGroup;

    fn shown(snmp: Snmp) -> View {
        let instance = |name: &str, vrid, version| {
            let vrid = crate::core::config::model::vrrp::Vrid::new(vrid).unwrap();
            let address = Arc::new(VirtualAddress::new([192, 0, 2, vrid.get()].into(), 24));
            Arc::new(Instance {
                name: name.into(),
                interface: Some("eth0".into()),
                vrid,
                version,
                addresses: vec![address],
                ..Instance::default()
            })
        };
        let group =
            SyncGroup { name: "G".into(), members: vec!["B".into()], ..SyncGroup::default() };
        let config = Config {
            global: Global { router_id: "d1".into(), snmp, ..Global::default() },
            vrrp: VrrpConfig {
                instances: vec![
                    instance("A", 7, VrrpVersion::V2),
                    instance("B", 9, VrrpVersion::V3),
                ],
                sync_groups: vec![group],
                ..VrrpConfig::default()
            },
            ..Config::default()
        };
        let now = Timestamp::ZERO;
        let engine = VrrpEngine::new(now, config.global.clone(), config.vrrp.clone());
        let around = Surroundings {
            links: &BTreeMap::new(),
            pasts: &BTreeMap::new(),
            files: &BTreeMap::new(),
            processes: &BTreeMap::new(),
            begun: now,
        };
        Gathered::of(&Arc::new(Static::of(&config)), &engine, &around, now).view()
    }

    fn names(view: &View) -> Vec<Oid> {
        let (mut at, mut names) = (Oid::default(), Vec::new());
        while let Some(found) = view.next(&at, false, &Oid::default()) {
            assert!(found.name > at, "{} after {at}", found.name);
            at = found.name;
            names.push(at.clone());
        }
        names
    }

    #[test]
    fn v_228_each_router_is_in_the_tables_of_its_version_and_a_walk_goes_forward() {
        let everything = Snmp { vrrp: true, rfc2787: true, rfc6527: true, ..Snmp::default() };
        let view = shown(everything.clone());
        let all = names(&view);
        assert!(all.len() > 100, "{}", all.len());
        assert_eq!(view.get(&base::part(&[2, 3, 1, 2, 2])), Value::text("B"));
        assert_eq!(view.get(&base::part(&[2, 3, 1, 18, 2])), Value::text("G"));
        assert_eq!(view.get(&base::part(&[2, 3, 1, 18, 1])), Value::NoSuchInstance);
        let v2 = |vrid| view.get(&rfc2787::part(&[1, 3, 1, 5, 0, vrid]));
        assert_eq!((v2(7), v2(9)), (Value::Integer(100), Value::NoSuchInstance));
        let v3 = |vrid| view.get(&rfc6527::part(&[1, 1, 1, 1, 9, 0, vrid, 1]));
        assert_eq!((v3(7), v3(9)), (Value::Integer(100), Value::Integer(100)));
        assert_eq!(subtrees(&everything).len(), 4);
    }

    #[test]
    fn what_is_not_asked_for_is_not_there() {
        let rfc = Snmp { rfc2787: true, ..Snmp::default() };
        let found = names(&shown(rfc.clone()));
        assert!(
            !found.is_empty() && found.iter().all(|name| name.after(&rfc2787::root()).is_some())
        );
        assert_eq!(subtrees(&rfc).len(), 1);
        assert_eq!(names(&shown(Snmp::default())), []);
    }
}
