//! Groups of services and their members (tables 1 and 2), the sync daemon and the timeouts.

use std::net::SocketAddr;

use super::{Gathered, entry, number};
use crate::check::virtual_server::last_of;
use crate::core::config::model::check::GroupEntry;
use crate::snmp::base;
use crate::snmp::value::Value;
use crate::snmp::view::View;

pub(super) fn add(view: &mut View, gathered: &Gathered) {
    let groups = &gathered.fixed.groups;
    let names = groups.iter().enumerate().map(|(place, group)| (vec![number(place)], &group.name));
    let names = names.map(|(index, name)| (index, name.clone()));
    view.table(entry(1), [2], names.collect(), |name: &String, _| Some(Value::text(name)));
    let mut members = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        // Marks come first, as in keepalived's own lists.
        let is_mark = |entry: &&GroupEntry| matches!(entry, GroupEntry::Fwmark { .. });
        let marks = group.entries.iter().filter(is_mark);
        let addresses = group.entries.iter().filter(|entry| !is_mark(entry));
        let entries = marks.chain(addresses).cloned().enumerate();
        members.extend(entries.map(|(own, entry)| (vec![number(place), number(own)], entry)));
    }
    view.table(entry(2), 2..=8, members, member);
}

fn member(entry: &GroupEntry, column: u32) -> Option<Value> {
    match (entry, column) {
        (GroupEntry::Fwmark { .. }, 2) => Some(Value::Integer(1)),
        (GroupEntry::Fwmark { mark, .. }, 3) => Some(Value::gauge(*mark)),
        (GroupEntry::Fwmark { .. }, _) => None,
        (GroupEntry::Addresses { first, count }, _) => addresses(*first, *count, column),
    }
}

fn addresses(first: SocketAddr, count: u32, column: u32) -> Option<Value> {
    let single = count == 1;
    match column {
        2 => Some(Value::Integer(if single { 2 } else { 3 })),
        4 => Some(Value::address_type(first.ip())),
        5 if single => Some(Value::address(first.ip())),
        6 if !single => Some(Value::address(first.ip())),
        7 if !single => Some(Value::address(last_of(first.ip(), count))),
        8 => Some(Value::gauge(first.port())),
        _ => None,
    }
}

pub(super) fn add_kernel(view: &mut View, gathered: &Gathered) {
    let global = &gathered.fixed.global;
    let daemon = global.sync_daemon.as_ref();
    let mut objects = vec![(vec![1, 0], Value::truth(daemon.is_some()))];
    if let Some(daemon) = daemon {
        objects.push((vec![2, 0], Value::text(&daemon.interface)));
        if let Some(instance) = &daemon.instance {
            objects.push((vec![3, 0], Value::text(instance)));
        }
        let id = daemon.id.or(gathered.fixed.sync_id).unwrap_or(0);
        objects.push((vec![4, 0], Value::integer(id)));
        objects.push((vec![5, 0], Value::integer(daemon.longest_packet.unwrap_or(0))));
        objects.push((vec![6, 0], Value::integer(daemon.port.unwrap_or(0))));
        objects.push((vec![7, 0], Value::integer(daemon.ttl.unwrap_or(0))));
        if let Some(group) = daemon.group {
            objects.push((vec![8, 0], Value::address_type(group)));
            objects.push((vec![9, 0], Value::address(group)));
        }
    }
    view.objects(base::part(&[3, 6]), objects);
    let timeouts = global.lvs_timeouts.unwrap_or_default();
    let set = [(1, timeouts.tcp), (2, timeouts.tcp_fin), (3, timeouts.udp)];
    let set = set
        .into_iter()
        .filter_map(|(number, seconds)| Some((vec![number, 0], Value::integer(seconds?))));
    view.objects(base::part(&[3, 7]), set);
}
