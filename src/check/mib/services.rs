//! Virtual servers: table 3.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::figures::FigureCache;
use super::{Gathered, Service, entry, kind, number, protocol};
use crate::check::event::family_of;
use crate::core::config::model::Family;
use crate::core::config::model::check::{
    Forwarding, Persistence, Target, Tunnel, TunnelChecksum, VirtualServer,
};
use crate::core::shared::Shared;
use crate::ipvs::figures::Figures;
use crate::snmp::base;
use crate::snmp::value::Value;
use crate::snmp::view::View;

/// IP_VS_SVC_F_SCHED1 to 3.
const FLAG_1: u32 = 0x08;
const FLAG_2: u32 = 0x10;
const FLAG_3: u32 = 0x20;

struct Shown {
    service: Service,
    figures: Arc<FigureCache>,
}

pub(super) fn add(view: &mut View, gathered: &Gathered, figures: &Arc<FigureCache>) {
    let services = gathered.services.iter().enumerate();
    let rows = services.map(|(place, (service, _))| {
        let shown = Shown { service: service.clone(), figures: Arc::clone(figures) };
        (vec![number(place)], shown)
    });
    view.table(entry(3), 2..=71, rows.collect(), cell);
}

fn cell(shown: &Shown, column: u32) -> Option<Value> {
    let service = &shown.service;
    match column {
        27..=36 => figure_32(&shown.figures.service(&service.keys), column - 27),
        38..=50 => figure_64(&shown.figures.service(&service.keys), column - 38),
        2..=15 | 51 => identity(service, column),
        68..=70 => tunnel(service.config.forwarding, column - 68),
        _ => setting(service, column),
    }
}

fn family(config: &VirtualServer) -> Family {
    let first = config.real_servers.first().map(|server| server.address.ip());
    family_of(&config.target, first)
}

fn identity(service: &Service, column: u32) -> Option<Value> {
    let config = &service.config;
    let persistence = config.persistence.as_ref();
    Some(match (column, &config.target) {
        (2, target) => kind(target),
        (3, Target::Group { name, .. }) => Value::text(name),
        (4, Target::Fwmark { mark, .. }) => Value::gauge(*mark),
        (5, _) => Value::Integer(if family(config) == Family::Inet { 1 } else { 2 }),
        (6, Target::Address { address, .. }) => Value::address(address.ip()),
        (7, Target::Address { address, .. }) => Value::gauge(address.port()),
        (8, target) => return protocol(target),
        (9, _) => Value::Integer(scheduler(&config.scheduler.name)),
        (10, _) => forwarding(config.forwarding),
        (11, _) => Value::truth(!service.suspended),
        (12, _) => Value::text(config.defaults.virtualhost.as_ref()?),
        (13, _) => Value::truth(persistence.is_some()),
        (14, _) => Value::gauge(persistence?.timeout),
        (15, _) if family(config) == Family::Inet => mask(persistence),
        (51, _) if family(config) == Family::Inet6 => {
            Value::gauge(persistence.map_or(128, |found| found.granularity))
        }
        _ => return None,
    })
}

fn mask(persistence: Option<&Persistence>) -> Value {
    let bits = persistence.map_or(32, |found| u32::from(found.granularity.min(32)));
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Value::address(Ipv4Addr::from_bits(mask).into())
}

fn scheduler(name: &str) -> i32 {
    let names =
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"];
    let place = names.iter().chain(&["twos"]).position(|found| *found == name);
    place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or(99)
}

/// nat 1, dr 2, tun 3.
pub(super) const fn forwarding(forwarding: Forwarding) -> Value {
    Value::Integer(match forwarding {
        Forwarding::Masquerade => 1,
        Forwarding::DirectRouting => 2,
        Forwarding::Tunnel(_) => 3,
    })
}

/// Type, port and checksum of a tunnel, where it has them.
pub(super) fn tunnel(forwarding: Forwarding, column: u32) -> Option<Value> {
    let Forwarding::Tunnel(tunnel) = forwarding else { return None };
    let (kind, port, checksum) = match tunnel {
        Tunnel::Ipip => (1, None, None),
        Tunnel::Gue { port, checksum } => (2, Some(port), Some(checksum)),
        Tunnel::Gre { checksum } => (3, None, Some(checksum)),
    };
    match column {
        0 => Some(Value::Integer(kind)),
        1 => port.map(Value::gauge),
        2 => checksum.map(|checksum| {
            Value::Integer(match checksum {
                TunnelChecksum::None => 1,
                TunnelChecksum::Outer => 2,
                TunnelChecksum::Remote => 3,
            })
        }),
        _ => None,
    }
}

fn script(script: Option<&Shared<crate::core::config::model::Script>>) -> Option<Value> {
    base::script(script.map(|script| &**script))
}

fn setting(service: &Service, column: u32) -> Option<Value> {
    let config = &service.config;
    let (defaults, flags) = (&config.defaults, config.scheduler.flags);
    Some(match column {
        16 => Value::gauge(defaults.delay_loop.as_secs()),
        17 => Value::truth(config.ha_suspend),
        18 => Value::truth(config.alpha),
        19 => Value::truth(config.omega),
        20 => Value::gauge(config.real_servers.len()),
        21 => Value::gauge(service.servers_up),
        22 => Value::gauge(config.quorum),
        23 => Value::truth(service.quorum),
        24 => return script(config.quorum_up.as_ref()),
        25 => return script(config.quorum_down.as_ref()),
        26 => Value::gauge(config.hysteresis),
        37 => Value::truth(config.one_packet),
        // `hashed` is the kernel's own flag: nothing follows from it.
        52 => Value::truth(false),
        53 | 62 => Value::truth(flags & FLAG_1 != 0),
        54 | 63 => Value::truth(flags & FLAG_2 != 0),
        55 => Value::truth(flags & FLAG_3 != 0),
        // remove 1, inhibit 2
        56 => Value::truth(!defaults.inhibit),
        57 => Value::gauge(defaults.retry),
        58 => Value::gauge(defaults.delay_before_retry.as_secs()),
        59 => Value::gauge(defaults.warmup.as_secs()),
        60 => Value::integer(defaults.weight),
        61 => Value::truth(config.smtp_alert),
        64 => Value::gauge(defaults.delay_loop.as_micros()),
        65 => Value::gauge(defaults.delay_before_retry.as_micros()),
        66 => Value::gauge(defaults.warmup.as_micros()),
        67 => Value::gauge(defaults.connect_timeout.as_micros()),
        71 => Value::text(config.snmp_name.as_ref()?),
        _ => return None,
    })
}

/// Connections, packets, bytes, and the rates of all five, as they were before 64 bits.
pub(super) fn figure_32(figures: &Figures, column: u32) -> Option<Value> {
    Some(match column {
        0 => Value::gauge(figures.connections),
        1 => Value::counter32(figures.in_packets),
        2 => Value::counter32(figures.out_packets),
        3 => Value::Counter64(figures.in_bytes),
        4 => Value::Counter64(figures.out_bytes),
        5 => Value::gauge(figures.connection_rate),
        6 => Value::gauge(figures.in_packet_rate),
        7 => Value::gauge(figures.out_packet_rate),
        8 => Value::gauge(figures.in_byte_rate),
        9 => Value::gauge(figures.out_byte_rate),
        _ => return None,
    })
}

/// Connections and packets, then the lower and the upper half of each rate.
pub(super) fn figure_64(figures: &Figures, column: u32) -> Option<Value> {
    let half = |rate: u64, place: u32| {
        let half = if place % 2 == 1 { rate & 0xffff_ffff } else { rate >> 32 };
        Value::gauge(half)
    };
    Some(match column {
        0 => Value::Counter64(figures.connections),
        1 => Value::Counter64(figures.in_packets),
        2 => Value::Counter64(figures.out_packets),
        3 | 4 => half(figures.connection_rate, column),
        5 | 6 => half(figures.in_packet_rate, column),
        7 | 8 => half(figures.out_packet_rate, column),
        9 | 10 => half(figures.in_byte_rate, column),
        11 | 12 => half(figures.out_byte_rate, column),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_in_halves() {
        let figures = Figures { out_byte_rate: (5 << 32) + 7, ..Figures::default() };
        assert_eq!(figure_64(&figures, 11), Some(Value::Gauge32(7)));
        assert_eq!(figure_64(&figures, 12), Some(Value::Gauge32(5)));
        assert_eq!(figure_32(&figures, 9), Some(Value::Gauge32(u32::MAX)));
        assert_eq!(figure_64(&figures, 13), None);
    }

    #[test]
    fn schedulers_and_masks_have_the_numbers_of_the_mib() {
        let numbers = ["rr", "mh", "twos", "other"].map(scheduler);
        assert_eq!(numbers, [1, 13, 14, 99]);
        let persistence = |granularity| Persistence { timeout: 1, granularity, engine: None };
        assert_eq!(mask(Some(&persistence(24))), Value::Octets(vec![255, 255, 255, 0]));
        assert_eq!(mask(Some(&persistence(0))), Value::Octets(vec![0; 4]));
        assert_eq!(mask(None), Value::Octets(vec![255; 4]));
    }
}
