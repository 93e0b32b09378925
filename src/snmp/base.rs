//! What every process shows: the `global` part of KEEPALIVED-MIB, and how notifications begin.

use super::agent::{Settings, Subtree};
use super::value::{Oid, Value, VarBind};
use super::view::View;
use crate::core::config::model::Script;
use crate::core::config::model::global::{FlushOnStop, Global};
use crate::core::config::model::services::{AgentAddress, Mail};
use crate::core::config::values;
use crate::core::time::Interval;

/// KEEPALIVED-MIB: iso.org.dod.internet.private.enterprises.debian.project.keepalived.
const ROOT: &[u32] = &[1, 3, 6, 1, 4, 1, 9586, 100, 5];
/// snmpTrapOID.0
const TRAP_NAME: &[u32] = &[1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// What a registration is unless there is a reason (RFC 2741 section 6.2.3).
pub const USUAL_PRIORITY: u8 = 127;

/// The root of KEEPALIVED-MIB.
pub fn root() -> Oid {
    Oid::from(ROOT)
}

/// A part of KEEPALIVED-MIB.
pub fn part(numbers: &[u32]) -> Oid {
    root().with(numbers)
}

/// `routerId.0`, as notifications carry it.
pub fn router_id(global: &Global) -> VarBind {
    VarBind::new(part(&[1, 2, 0]), Value::text(&global.router_id))
}

/// A notification of that name with these objects.
pub fn notification(name: Oid, objects: impl IntoIterator<Item = VarBind>) -> Vec<VarBind> {
    let mut bindings = vec![VarBind::new(Oid::from(TRAP_NAME), Value::Oid(name))];
    bindings.extend(objects);
    bindings
}

/// How a session is to be; `None` when there is nothing to tell, or nowhere.
pub fn settings(
    global: &Global,
    description: &'static str,
    subtrees: Vec<Subtree>,
) -> Option<Settings> {
    if subtrees.is_empty() {
        return None;
    }
    let socket = global.snmp.socket.as_deref();
    match socket.map_or_else(|| Ok(AgentAddress::usual()), values::agent_address) {
        Ok(address) => Some(Settings { address, description, subtrees }),
        Err(error) => {
            let socket = socket.unwrap_or_default();
            tracing::error!("the SNMP agent's address '{socket}' is {error}: there is no SNMP");
            None
        }
    }
}

/// A script as it shows: each word in quotes. `None` when there is none.
pub fn script(script: Option<&Script>) -> Option<Value> {
    let words: Vec<String> = script?.words.iter().map(|word| format!("'{word}'")).collect();
    Some(Value::text(&words.join(" ")))
}

/// on 1, off 2, unset 3.
const fn alert(is: Option<bool>) -> Value {
    Value::Integer(match is {
        Some(true) => 1,
        Some(false) => 2,
        None => 3,
    })
}

/// Adds `global` to what a process shows.
pub fn add(view: &mut View, global: &Global) {
    let flush = match global.lvs_flush_on_stop {
        FlushOnStop::WholeTable => 1,
        FlushOnStop::OurServices => 2,
        FlushOnStop::VirtualServers => 3,
    };
    let version = concat!("Steadfast v", env!("CARGO_PKG_VERSION"));
    let mut objects = vec![
        (vec![1, 0], Value::text(version)),
        (vec![2, 0], Value::text(&global.router_id)),
        (vec![4, 0], Value::truth(global.snmp.traps)),
        // The state of links is heard over netlink; polling is an interface's own.
        (vec![5, 0], Value::Integer(1)),
        (vec![6, 0], Value::truth(global.lvs_flush)),
        (vec![7, 0], Value::truth(true)),
        (vec![8, 0], Value::text(global.net_namespace.as_deref().unwrap_or_default())),
        (vec![9, 0], Value::truth(global.dbus.enabled)),
        (vec![10, 0], Value::truth(global.vrrp.dynamic_interfaces)),
        (vec![11, 0], Value::Integer(flush)),
    ];
    mail(&mut objects, &global.mail);
    view.objects(part(&[1]), objects);
}

fn mail(objects: &mut Vec<(Vec<u32>, Value)>, mail: &Mail) {
    let server = mail.server.as_ref();
    if let Some(address) = server.and_then(|(name, _)| name.parse().ok()) {
        objects.push((vec![3, 1, 0], Value::address_type(address)));
        objects.push((vec![3, 2, 0], Value::address(address)));
    }
    if let Some((_, port)) = server {
        objects.push((vec![3, 6, 0], Value::gauge(*port)));
    }
    let timeout = mail.connect_timeout.map_or(30, Interval::as_secs);
    objects.push((vec![3, 3, 0], Value::gauge(timeout)));
    if let Some(from) = &mail.from {
        objects.push((vec![3, 4, 0], Value::text(from)));
    }
    for (number, address) in (1..).zip(&mail.to) {
        objects.push((vec![3, 5, 1, 2, number], Value::text(address)));
    }
    objects.push((vec![3, 7, 0], Value::truth(!mail.no_faults)));
    objects.push((vec![3, 8, 0], alert(mail.alert)));
    objects.push((vec![3, 9, 0], alert(mail.alert_vrrp)));
    objects.push((vec![3, 10, 0], alert(mail.alert_checker)));
}
