//! VRRPv3-MIB (RFC 6527): all routers; version 2 has its place in it too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Gathered, Row, rfc_state};
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{Instance, Preemption};
use crate::snmp::value::{Oid, Value, octets};
use crate::snmp::view::View;
use crate::vrrp::statistics::Statistics;

const ROOT: &[u32] = &[1, 3, 6, 1, 2, 1, 207];

pub(super) fn root() -> Oid {
    Oid::from(ROOT)
}

/// A part of the MIB.
pub(super) fn part(numbers: &[u32]) -> Oid {
    root().with(numbers)
}

struct Shown {
    hardware_address: Value,
    up_time: Value,
    row: Row,
}

/// Interface, number and family.
pub(super) fn index(interface: u32, instance: &Instance) -> Vec<u32> {
    let family = match instance.family {
        Family::Inet => 1,
        Family::Inet6 => 2,
    };
    vec![interface, instance.vrid.get().into(), family]
}

/// An address of the router's family; no address is the one of zeros.
pub(super) fn address(instance: &Instance, address: Option<IpAddr>) -> Value {
    let none = match instance.family {
        Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Value::address(address.unwrap_or(none))
}

pub(super) fn add(view: &mut View, gathered: &Gathered) {
    let index = |row: &Row| index(gathered.interface_index(row), &row.instance);
    let rows = gathered.rows.iter().map(|row| {
        let hardware_address = gathered.hardware_address(row);
        let up_time = gathered.up_time(row);
        (index(row), Shown { hardware_address, up_time, row: row.clone() })
    });
    view.table(part(&[1, 1, 1, 1]), 3..=13, rows.collect(), operation);
    let associated = gathered.rows.iter().flat_map(|row| {
        row.instance.addresses.iter().map(|address| {
            let octets: Vec<u32> = octets(address.address).into_iter().map(u32::from).collect();
            ([index(row), octets].concat(), ())
        })
    });
    view.table(part(&[1, 1, 2, 1]), [2], associated.collect(), |(), _| Some(Value::Integer(1)));
    let sum = |count: fn(&Statistics) -> u64| {
        Value::Counter64(gathered.rows.iter().map(|row| count(&row.statistics)).sum())
    };
    view.scalar(part(&[1, 2, 1]), sum(|statistics| statistics.checksum_err));
    view.scalar(part(&[1, 2, 2]), sum(|statistics| statistics.version_err));
    view.scalar(part(&[1, 2, 3]), Value::Counter64(gathered.unknown_vrids));
    view.scalar(part(&[1, 2, 4]), Value::TimeTicks(0));
    let rows = gathered.rows.iter().map(|row| (index(row), row.clone()));
    view.table(part(&[1, 2, 5, 1]), 1..=13, rows.collect(), count);
}

fn operation(shown: &Shown, column: u32) -> Option<Value> {
    let (row, instance) = (&shown.row, &shown.row.instance);
    Some(match column {
        3 => address(instance, row.master()),
        4 => address(instance, row.source),
        5 => shown.hardware_address.clone(),
        6 => rfc_state(row.state),
        7 => Value::gauge(instance.priority.get()),
        8 => Value::integer(instance.addresses.len()),
        9 => Value::integer(instance.advert_interval.as_centis()),
        10 => Value::truth(instance.preemption != Preemption::Never),
        11 => Value::truth(instance.accept),
        12 => shown.up_time.clone(),
        13 => Value::Integer(1),
        _ => return None,
    })
}

fn count(row: &Row, column: u32) -> Option<Value> {
    let statistics = &row.statistics;
    Some(match column {
        1 => Value::counter32(statistics.become_master),
        2 => Value::Integer(row.past.reason as i32),
        3 => Value::Counter64(statistics.advert_rcvd),
        4 => Value::Counter64(statistics.advert_interval_err),
        5 => Value::Counter64(statistics.ip_ttl_err),
        6 => Value::Integer(row.past.error as i32),
        7 => Value::Counter64(statistics.pri_zero_rcvd),
        8 => Value::Counter64(statistics.pri_zero_sent),
        9 => Value::Counter64(statistics.invalid_type_rcvd),
        10 => Value::Counter64(statistics.addr_list_err),
        11 => Value::Counter64(statistics.packet_len_err),
        // The counters go on for as long as the process.
        12 => Value::TimeTicks(0),
        13 => Value::gauge(row.instance.advert_interval.as_millis()),
        _ => return None,
    })
}
