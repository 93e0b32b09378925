//! VRRP-MIB (RFC 2787): routers of version 2, which is IPv4.

use std::net::{IpAddr, Ipv4Addr};

use super::{Gathered, Row, rfc_state};
use crate::core::config::model::Family;
use crate::core::config::model::vrrp::{Authentication, Instance, Preemption, VrrpVersion};
use crate::snmp::value::{Oid, Value};
use crate::snmp::view::View;
use crate::vrrp::statistics::Statistics;

const ROOT: &[u32] = &[1, 3, 6, 1, 2, 1, 68];

pub(super) fn root() -> Oid {
    Oid::from(ROOT)
}

/// A part of the MIB.
pub(super) fn part(numbers: &[u32]) -> Oid {
    root().with(numbers)
}

/// Whether this MIB knows such a router.
pub(super) fn is_shown(instance: &Instance) -> bool {
    instance.version == VrrpVersion::V2 && instance.family == Family::Inet
}

struct Shown {
    hardware_address: Value,
    up_since: Value,
    row: Row,
}

pub(super) fn add(view: &mut View, gathered: &Gathered) {
    view.scalar(part(&[1, 1]), Value::Integer(2));
    view.scalar(part(&[1, 2]), Value::truth(gathered.fixed.global.snmp.traps));
    let shown: Vec<&Row> = gathered.rows.iter().filter(|row| is_shown(&row.instance)).collect();
    let index = |row: &Row| vec![gathered.interface_index(row), row.instance.vrid.get().into()];
    let rows = shown.iter().map(|row| {
        let up_since = row.past.up_since.map_or(Value::TimeTicks(0), |at| gathered.ticks(at));
        let hardware_address = gathered.hardware_address(row);
        (index(row), Shown { hardware_address, up_since, row: (*row).clone() })
    });
    view.table(part(&[1, 3, 1]), 2..=15, rows.collect(), operation);
    let associated = shown.iter().flat_map(|row| {
        row.instance.addresses.iter().filter_map(|address| match address.address {
            IpAddr::V4(address) => {
                let octets = address.octets().map(u32::from);
                Some(([index(row).as_slice(), &octets].concat(), ()))
            }
            IpAddr::V6(_) => None,
        })
    });
    view.table(part(&[1, 4, 1]), [2], associated.collect(), |(), _| Some(Value::Integer(1)));
    let sum = |count: fn(&Statistics) -> u64| {
        Value::counter32(shown.iter().map(|row| count(&row.statistics)).sum())
    };
    view.scalar(part(&[2, 1]), sum(|statistics| statistics.checksum_err));
    view.scalar(part(&[2, 2]), sum(|statistics| statistics.version_err));
    view.scalar(part(&[2, 3]), Value::counter32(gathered.unknown_vrids));
    let rows = shown.iter().map(|row| (index(row), row.statistics.clone()));
    view.table(part(&[2, 4, 1]), 1..=12, rows.collect(), count);
}

fn v4(address: Option<IpAddr>) -> Value {
    match address {
        Some(IpAddr::V4(address)) => Value::IpAddress(address),
        Some(IpAddr::V6(_)) | None => Value::IpAddress(Ipv4Addr::UNSPECIFIED),
    }
}

fn operation(shown: &Shown, column: u32) -> Option<Value> {
    let (row, instance) = (&shown.row, &shown.row.instance);
    Some(match column {
        2 => shown.hardware_address.clone(),
        3 => rfc_state(row.state),
        5 => Value::integer(instance.priority.get()),
        6 => Value::integer(instance.addresses.len()),
        7 => v4(row.master()),
        8 => v4(row.source),
        9 => Value::Integer(match instance.authentication {
            Authentication::None => 1,
            Authentication::Password(_) => 2,
            Authentication::Header(_) => 3,
        }),
        // Column 10 is the password: nobody is told.
        11 => Value::integer(instance.advert_interval.as_secs()),
        12 => Value::truth(instance.preemption != Preemption::Never),
        13 => shown.up_since.clone(),
        // Up, IP, active.
        4 | 14 | 15 => Value::Integer(1),
        _ => return None,
    })
}

fn count(statistics: &Statistics, column: u32) -> Option<Value> {
    Some(Value::counter32(match column {
        1 => statistics.become_master,
        2 => statistics.advert_rcvd,
        3 => statistics.advert_interval_err,
        4 => statistics.auth_failure,
        5 => statistics.ip_ttl_err,
        6 => statistics.pri_zero_rcvd,
        7 => statistics.pri_zero_sent,
        8 => statistics.invalid_type_rcvd,
        9 => statistics.addr_list_err,
        10 => statistics.invalid_authtype,
        11 => statistics.authtype_mismatch,
        12 => statistics.packet_len_err,
        _ => return None,
    }))
}
