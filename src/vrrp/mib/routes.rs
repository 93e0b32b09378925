//! Routes and their next hops: tables 7 and 11.

use std::net::IpAddr;

use super::{Gathered, entry, number, scope};
use crate::core::config::model::Family;
use crate::core::config::model::route::{
    Encapsulation, Hop, Lockable, Named, NextHop, Realms, Route, RouteKind, RouteMetrics,
    RouterPreference,
};
use crate::core::iproute::Names;
use crate::core::time::Interval;
use crate::snmp::value::Value;
use crate::snmp::view::View;
use crate::vrrp::event::State;

/// The main routing table.
const MAIN: u32 = 254;

struct Shown {
    route: Route,
    index: u32,
    set: bool,
    table: u32,
    scope: u32,
    tos: Option<u32>,
    protocol: u32,
    realms: Option<(Option<u32>, u32)>,
    encapsulation_class: Option<u32>,
}

struct ShownHop {
    hop: NextHop,
    index: u32,
    realms: Option<(Option<u32>, u32)>,
    encapsulation_class: Option<u32>,
}

pub(super) fn add(view: &mut View, gathered: &Gathered, names: &Names) {
    let (mut rows, mut hops) = (Vec::new(), Vec::new());
    let mut add = |instance: u32, routes: &[Route], set: bool| {
        for (place, route) in routes.iter().enumerate() {
            let index = vec![instance, number(place)];
            for (own, hop) in route.next_hops.iter().enumerate() {
                let index = [index.as_slice(), &[number(own)]].concat();
                hops.push((index, shown_hop(gathered, names, hop)));
            }
            rows.push((index, shown(gathered, names, route, set)));
        }
    };
    add(0, &gathered.fixed.config.static_routes, true);
    for (place, row) in gathered.rows.iter().enumerate() {
        add(number(place), &row.instance.routes, row.state == State::Master);
    }
    view.table(entry(7), 2..=55, rows, cell);
    view.table(entry(11), 2..=18, hops, hop_cell);
}

fn realms(names: &Names, realms: Option<&Realms>) -> Option<(Option<u32>, u32)> {
    let realms = realms?;
    let from = realms.from.as_ref().and_then(|from| names.resolve(from));
    Some((from, names.resolve(&realms.to)?))
}

fn class(names: &Names, hop: &Hop) -> Option<u32> {
    match &hop.encapsulation {
        Some(Encapsulation::Ip(ip)) => {
            ip.traffic_class.as_ref().and_then(|class| names.resolve(class))
        }
        Some(Encapsulation::Mpls(_) | Encapsulation::Ila(_)) | None => None,
    }
}

fn index_of(gathered: &Gathered, hop: &Hop) -> u32 {
    hop.interface.as_deref().map_or(0, |name| gathered.index_of(name))
}

fn shown(gathered: &Gathered, names: &Names, route: &Route, set: bool) -> Shown {
    let resolved = |named: &Named| names.resolve(named);
    Shown {
        index: index_of(gathered, &route.hop),
        set,
        table: resolved(&route.table).unwrap_or(MAIN),
        scope: route.scope.as_ref().and_then(resolved).unwrap_or(0),
        tos: route.tos.as_ref().and_then(resolved),
        protocol: resolved(&route.protocol).unwrap_or(0),
        realms: realms(names, route.hop.realms.as_ref()),
        encapsulation_class: class(names, &route.hop),
        route: route.clone(),
    }
}

fn shown_hop(gathered: &Gathered, names: &Names, hop: &NextHop) -> ShownHop {
    ShownHop {
        index: index_of(gathered, &hop.hop),
        realms: realms(names, hop.hop.realms.as_ref()),
        encapsulation_class: class(names, &hop.hop),
        hop: hop.clone(),
    }
}

fn family(family: Family) -> Value {
    Value::Integer(match family {
        Family::Inet => 1,
        Family::Inet6 => 2,
    })
}

fn cell(shown: &Shown, column: u32) -> Option<Value> {
    let route = &shown.route;
    Some(match column {
        2 => family(route.family),
        3 => Value::address(route.destination.address),
        4 => Value::gauge(route.destination.length),
        5 => Value::address(route.hop.gateway?),
        7 => Value::address(route.source?),
        8 => Value::gauge(route.metric.unwrap_or(0)),
        9 => scope(shown.scope),
        10 => Value::Integer(kind(route)),
        11 if route.hop.interface.is_some() => Value::integer(shown.index),
        12 => Value::text(route.hop.interface.as_ref()?),
        13 => Value::gauge(shown.table),
        14 => Value::truth(shown.set),
        15 => Value::address(route.from?.address),
        16 => Value::gauge(route.from?.length),
        17 => Value::gauge(shown.tos?),
        // The numbers of the MIB are the kernel's and one more.
        18 => Value::integer(shown.protocol + 1),
        19 => Value::truth(route.metrics.ecn),
        20 => Value::truth(route.metrics.quick_ack == Some(true)),
        21 => Value::integer(route.expires?),
        22..=42 | 55 => return metric(&route.metrics, column),
        43 => Value::Integer(match route.preference? {
            RouterPreference::Low => 1,
            RouterPreference::Medium => 2,
            RouterPreference::High => 3,
        }),
        44 => Value::gauge(shown.realms?.1),
        45 => Value::gauge(shown.realms?.0?),
        46..=54 => {
            return encapsulation(&route.hop, shown.encapsulation_class, column - 46);
        }
        _ => return None,
    })
}

fn kind(route: &Route) -> i32 {
    if !route.next_hops.is_empty() {
        return 2;
    }
    match route.kind {
        // The MIB has no number for `local`.
        RouteKind::Unicast | RouteKind::Local => 1,
        RouteKind::Blackhole => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Broadcast => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
        RouteKind::Nat => 10,
        RouteKind::ExternalResolver => 11,
    }
}

fn value(metric: Option<&Lockable<u32>>) -> Option<Value> {
    Some(Value::gauge(metric?.value))
}

fn milliseconds(metric: Option<&Lockable<Interval>>) -> Option<Value> {
    Some(Value::gauge(metric?.value.as_millis()))
}

fn lock<T>(metric: Option<&Lockable<T>>) -> Option<Value> {
    Some(Value::truth(metric?.locked))
}

fn metric(metrics: &RouteMetrics, column: u32) -> Option<Value> {
    match column {
        22 => value(metrics.mtu.as_ref()),
        23 => lock(metrics.mtu.as_ref()),
        24 => metrics.hop_limit.map(Value::gauge),
        25 => value(metrics.advertised_mss.as_ref()),
        26 => lock(metrics.advertised_mss.as_ref()),
        27 => milliseconds(metrics.round_trip.as_ref()),
        28 => lock(metrics.round_trip.as_ref()),
        29 => milliseconds(metrics.round_trip_variance.as_ref()),
        30 => lock(metrics.round_trip_variance.as_ref()),
        31 => value(metrics.reordering.as_ref()),
        32 => lock(metrics.reordering.as_ref()),
        33 => metrics.window.map(Value::gauge),
        34 => value(metrics.congestion_window.as_ref()),
        35 => lock(metrics.congestion_window.as_ref()),
        36 => value(metrics.slow_start_threshold.as_ref()),
        37 => lock(metrics.slow_start_threshold.as_ref()),
        38 => milliseconds(metrics.retransmission_minimum.as_ref()),
        39 => lock(metrics.retransmission_minimum.as_ref()),
        40 => metrics.initial_congestion_window.map(Value::gauge),
        41 => metrics.initial_receive_window.map(Value::gauge),
        42 => metrics.congestion_control.as_ref().map(|control| Value::text(&control.value)),
        55 => metrics.fast_open_without_cookie.map(Value::truth),
        _ => None,
    }
}

/// The columns of an encapsulation, from its type on.
fn encapsulation(hop: &Hop, class: Option<u32>, column: u32) -> Option<Value> {
    match hop.encapsulation.as_ref()? {
        Encapsulation::Mpls(labels) => {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            match column {
                0 => Some(Value::Integer(1)),
                1 => Some(Value::text(&labels.join("/"))),
                _ => None,
            }
        }
        Encapsulation::Ila(locator) => match column {
            0 => Some(Value::Integer(3)),
            8 => Some(Value::Counter64(*locator)),
            _ => None,
        },
        Encapsulation::Ip(ip) => match column {
            0 => Some(Value::Integer(if ip.family == Family::Inet { 2 } else { 4 })),
            2 => ip.id.map(Value::Counter64),
            3 => ip.destination.map(Value::address),
            4 => ip.source.map(Value::address),
            5 => class.map(Value::gauge),
            6 => ip.hop_limit.map(Value::gauge),
            7 => ip.flags.map(Value::gauge),
            _ => None,
        },
    }
}

fn hop_cell(shown: &ShownHop, column: u32) -> Option<Value> {
    let NextHop { hop, weight } = &shown.hop;
    let gateway: Option<IpAddr> = hop.gateway;
    Some(match column {
        2 => Value::address_type(gateway?),
        3 => Value::address(gateway?),
        4 if hop.interface.is_some() => Value::integer(shown.index),
        5 => Value::text(hop.interface.as_ref()?),
        6 => Value::gauge(*weight),
        7 => Value::truth(hop.onlink),
        8 => Value::gauge(shown.realms?.1),
        9 => Value::gauge(shown.realms?.0?),
        10..=18 => return encapsulation(hop, shown.encapsulation_class, column - 10),
        _ => return None,
    })
}
