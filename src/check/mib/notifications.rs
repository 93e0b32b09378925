//! What the check process tells a manager of its own accord. The objects carry no number of a row, as
//! keepalived has it.

use super::{kind, protocol};
use crate::core::config::model::check::{RealServer, Target, VirtualServer};
use crate::core::config::model::global::Global;
use crate::snmp::base;
use crate::snmp::value::{Value, VarBind};

/// `virtualServerQuorumStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Quorum {
    Met = 1,
    NotMet = 2,
    Shutdown = 3,
}

/// Of a virtual server.
fn service(column: u32, value: Value) -> VarBind {
    VarBind::new(base::part(&[3, 3, 1, column]), value)
}

/// Of a real server.
fn server(column: u32, value: Value) -> VarBind {
    VarBind::new(base::part(&[3, 4, 1, column]), value)
}

/// Kind, name and protocol of a service.
fn identity(target: &Target) -> Vec<VarBind> {
    let mut objects = vec![service(2, kind(target))];
    match target {
        Target::Fwmark { mark, .. } => objects.push(service(4, Value::gauge(*mark))),
        Target::Group { name, .. } => objects.push(service(3, Value::text(name))),
        Target::Address { address, .. } => objects.extend([
            service(5, Value::address_type(address.ip())),
            service(6, Value::address(address.ip())),
            service(7, Value::gauge(address.port())),
        ]),
    }
    // A mark is of no protocol.
    objects.push(service(8, protocol(target).unwrap_or(Value::Integer(4))));
    objects
}

fn counts(config: &VirtualServer, up: usize) -> [VarBind; 2] {
    [service(21, Value::gauge(up)), service(20, Value::gauge(config.real_servers.len()))]
}

/// `realServerStateChange`; `servers_up` of its service by now.
pub fn server_state(
    global: &Global,
    config: &VirtualServer,
    changed: &RealServer,
    up: bool,
    servers_up: usize,
) -> Vec<VarBind> {
    let address = changed.address;
    let mut objects = vec![
        server(3, Value::address_type(address.ip())),
        server(4, Value::address(address.ip())),
        server(5, Value::gauge(address.port())),
        server(6, Value::truth(up)),
    ];
    objects.extend(identity(&config.target));
    objects.extend(counts(config, servers_up));
    objects.push(base::router_id(global));
    base::notification(base::part(&[3, 5, 0, 1]), objects)
}

/// `virtualServerQuorumStateChange`.
pub fn quorum_state(
    global: &Global,
    config: &VirtualServer,
    quorum: Quorum,
    servers_up: usize,
) -> Vec<VarBind> {
    let mut objects = identity(&config.target);
    objects.push(service(23, Value::Integer(quorum as i32)));
    objects.push(service(22, Value::gauge(config.quorum)));
    objects.extend(counts(config, servers_up));
    objects.push(base::router_id(global));
    base::notification(base::part(&[3, 5, 0, 2]), objects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::service;

    #[test]
    fn states_are_told_with_the_objects_of_the_mib_in_order() {
        let global = Global { router_id: "d1".into(), ..Global::default() };
        let config = service(2);
        let changed = &config.real_servers[0];
        let columns = |told: Vec<VarBind>| -> Vec<String> {
            let root = base::root();
            let rest = told.iter().skip(1).filter_map(|binding| binding.name.after(&root));
            rest.map(|rest| format!("{rest:?}").replace(' ', "")).collect()
        };
        assert_eq!(
            columns(server_state(&global, &config, changed, true, 1)),
            [
                "[3,4,1,3]",
                "[3,4,1,4]",
                "[3,4,1,5]",
                "[3,4,1,6]",
                "[3,3,1,2]",
                "[3,3,1,5]",
                "[3,3,1,6]",
                "[3,3,1,7]",
                "[3,3,1,8]",
                "[3,3,1,21]",
                "[3,3,1,20]",
                "[1,2,0]"
            ]
        );
        let mut marked = config;
        marked.target =
            Target::Fwmark { mark: 7, family: crate::core::config::model::Family::Inet };
        assert_eq!(
            columns(quorum_state(&global, &marked, Quorum::Shutdown, 0)),
            [
                "[3,3,1,2]",
                "[3,3,1,4]",
                "[3,3,1,8]",
                "[3,3,1,23]",
                "[3,3,1,22]",
                "[3,3,1,21]",
                "[3,3,1,20]",
                "[1,2,0]"
            ]
        );
    }
}
