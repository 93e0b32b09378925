//! Sync groups, their members, instances and addresses: tables 1, 2, 3 and 6.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Gathered, Row, advert_interval, entry, initial_state, is_multicast, number, scope, state_number,
};
use crate::core::config::model::vrrp::{
    Authentication, NotifyScripts, Preemption, SyncGroup, VirtualAddress,
};
use crate::core::shared::Shared;
use crate::snmp::base;
use crate::snmp::value::Value;
use crate::snmp::view::View;
use crate::vrrp::event::State;

pub(super) fn add(view: &mut View, gathered: &Gathered) {
    groups(view, gathered);
    instances(view, gathered);
    addresses(view, gathered);
}

fn script(script: Option<&Shared<crate::core::config::model::Script>>) -> Option<Value> {
    base::script(script.map(|script| &**script))
}

fn groups(view: &mut View, gathered: &Gathered) {
    let groups = &gathered.fixed.config.sync_groups;
    let rows = groups.iter().zip(&gathered.groups).enumerate();
    let rows = rows.map(|(place, (group, state))| (vec![number(place)], (group.clone(), *state)));
    view.table(entry(1), 2..=11, rows.collect(), |(group, state): &(SyncGroup, State), column| {
        let NotifyScripts { master, backup, fault, stop, any, .. } = &group.notify;
        Some(match column {
            2 => Value::text(&group.name),
            3 => Value::Integer(state_number(*state)),
            4 => Value::truth(group.smtp_alert),
            5 => Value::truth(any.is_some()),
            6 => return script(master.as_ref()),
            7 => return script(backup.as_ref()),
            8 => return script(fault.as_ref()),
            9 => return script(any.as_ref()),
            10 => Value::truth(group.tracking_weight),
            11 => return script(stop.as_ref()),
            _ => return None,
        })
    });
    let members = groups.iter().enumerate().flat_map(|(place, group)| {
        let members = group.members.iter().cloned().enumerate();
        members.map(move |(member, name)| (vec![number(place), number(member)], name))
    });
    view.table(entry(2), [2], members.collect(), |name: &String, _| Some(Value::text(name)));
}

/// What the column of an instance needs beside the router.
struct Shown {
    name: String,
    row: Row,
    group: Option<String>,
    sync_interface: Option<String>,
}

fn instances(view: &mut View, gathered: &Gathered) {
    let daemon = gathered.fixed.global.sync_daemon.as_ref();
    let rows = gathered.rows.iter().enumerate().map(|(place, row)| {
        let name = row.instance.name.clone();
        let groups = &gathered.fixed.config.sync_groups;
        let group = row.group.and_then(|place| groups.get(place)).map(|group| group.name.clone());
        let followed = daemon.filter(|daemon| daemon.instance.as_ref() == Some(&name));
        let sync_interface = followed
            .map(|daemon| daemon.interface.clone())
            .or_else(|| row.instance.lvs_sync_interface.clone());
        (vec![number(place)], Shown { name, row: row.clone(), group, sync_interface })
    });
    view.table(entry(3), 2..=35, rows.collect(), instance_cell);
}

fn instance_cell(shown: &Shown, column: u32) -> Option<Value> {
    let (row, instance) = (&shown.row, &shown.row.instance);
    let NotifyScripts { master, backup, fault, stop, deleted, master_rx_lower_priority, any } =
        &instance.notify;
    Some(match column {
        2 => Value::text(&shown.name),
        3 => Value::gauge(instance.vrid.get()),
        // What keepalived wants is what it has, by the time that anybody asks.
        4 | 6 => Value::Integer(state_number(row.state)),
        5 => Value::Integer(initial_state(instance)),
        7 => Value::integer(instance.priority.get()),
        8 => Value::integer(row.priority.get()),
        9 => Value::truth(row.state == State::Master),
        10 => Value::text(instance.address_interface()?),
        11 => Value::truth(!instance.dont_track_primary),
        12 => Value::gauge(advert_interval(instance)),
        13 => Value::truth(instance.preemption != Preemption::Never),
        14 => match instance.preemption {
            Preemption::After(delay) => Value::gauge(delay.as_secs()),
            Preemption::Never => Value::Gauge32(0),
        },
        15 => Value::Integer(match instance.authentication {
            Authentication::None => 0,
            Authentication::Password(_) => 1,
            Authentication::Header(_) => 2,
        }),
        16 => Value::truth(shown.sync_interface.is_some()),
        17 => Value::text(shown.sync_interface.as_ref()?),
        18 => Value::text(shown.group.as_ref()?),
        19 => Value::gauge(instance.garp.delay.as_secs()),
        20 => Value::truth(instance.smtp_alert),
        21 => Value::truth(any.is_some()),
        22 => return script(master.as_ref()),
        23 => return script(backup.as_ref()),
        24 => return script(fault.as_ref()),
        25 => return script(stop.as_ref()),
        26 => return script(any.as_ref()),
        27 => Value::truth(instance.accept),
        28 => Value::truth(instance.promote_secondaries),
        29 => Value::truth(instance.linkbeat_polling),
        30 => Value::integer(instance.version.number()),
        31 => return script(master_rx_lower_priority.as_ref()),
        32 => return script(deleted.as_ref()),
        33 => Value::truth(instance.notify_deleted || deleted.is_some()),
        34 => Value::address_type(is_multicast(instance)?),
        35 => Value::address(is_multicast(instance)?),
        _ => return None,
    })
}

struct Address {
    config: VirtualAddress,
    index: u32,
    set: bool,
    advertised: bool,
}

fn addresses(view: &mut View, gathered: &Gathered) {
    let shown = |address: &VirtualAddress, set, advertised| Address {
        index: address.interface.as_deref().map_or(0, |name| gathered.index_of(name)),
        config: address.clone(),
        set,
        advertised,
    };
    let fixed = gathered.fixed.config.static_addresses.iter().enumerate();
    let mut rows: Vec<_> = fixed
        .map(|(place, address)| (vec![0, number(place)], shown(address, true, false)))
        .collect();
    for (place, row) in gathered.rows.iter().enumerate() {
        let set = row.state == State::Master;
        rows.extend(row.addresses().enumerate().map(|(own, (address, advertised))| {
            (vec![number(place), number(own)], shown(address, set, advertised))
        }));
    }
    view.table(entry(6), 2..=12, rows, address_cell);
}

fn address_cell(shown: &Address, column: u32) -> Option<Value> {
    let address = &shown.config;
    Some(match column {
        2 => Value::address_type(address.address),
        3 => Value::address(address.address),
        4 if address.address.is_ipv4() => {
            Value::address(address.broadcast.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
        }
        5 => Value::gauge(address.prefix),
        6 => scope(address.scope.into()),
        7 => Value::integer(shown.index),
        8 => Value::text(address.interface.as_ref()?),
        9 => Value::text(address.label.as_ref()?),
        10 => Value::truth(shown.set),
        11 => Value::truth(shown.advertised),
        12 => Value::address(address.peer?),
        _ => return None,
    })
}
