//! Real servers, the sorry server first: table 4.

use std::net::SocketAddr;
use std::sync::Arc;

use super::figures::FigureCache;
use super::services::{figure_32, figure_64, forwarding, tunnel};
use super::{Gathered, Server, entry, number};
use crate::check::virtual_server::destination_key;
use crate::core::config::model::check::Forwarding;
use crate::ipvs::model::ServiceKey;
use crate::snmp::base;
use crate::snmp::value::Value;
use crate::snmp::view::View;

struct Shown {
    keys: Arc<[ServiceKey]>,
    figures: Arc<FigureCache>,
    address: SocketAddr,
    forwarding: Forwarding,
    /// `None`: the sorry server.
    regular: Option<Server>,
}

pub(super) fn add(view: &mut View, gathered: &Gathered, figures: &Arc<FigureCache>) {
    let mut rows = Vec::new();
    for (place, (service, servers)) in gathered.services.iter().enumerate() {
        let shown = |address, forwarding, regular| Shown {
            keys: Arc::clone(&service.keys),
            figures: Arc::clone(figures),
            address,
            forwarding,
            regular,
        };
        let sorry = service.config.sorry_server.as_ref();
        let sorry = sorry.map(|sorry| shown(sorry.address, sorry.forwarding, None));
        let regular = servers.iter().map(|server| {
            shown(server.config.address, server.config.forwarding, Some(server.clone()))
        });
        let all = sorry.into_iter().chain(regular).enumerate();
        rows.extend(all.map(|(own, shown)| (vec![number(place), number(own)], shown)));
    }
    view.table(entry(4), 2..=55, rows, cell);
}

fn cell(shown: &Shown, column: u32) -> Option<Value> {
    match column {
        2 => Some(Value::Integer(if shown.regular.is_some() { 1 } else { 2 })),
        3 => Some(Value::address_type(shown.address.ip())),
        4 => Some(Value::address(shown.address.ip())),
        5 => Some(Value::gauge(shown.address.port())),
        14..=39 => figure(shown, column),
        40 => Some(forwarding(shown.forwarding)),
        52..=54 => tunnel(shown.forwarding, column - 52),
        _ => match &shown.regular {
            Some(server) => setting(server, column),
            None => nothing(column),
        },
    }
}

/// A sorry server is not asked anything.
fn nothing(column: u32) -> Option<Value> {
    match column {
        42 | 47 => Some(Value::truth(false)),
        43..=46 | 48..=51 => Some(Value::Gauge32(0)),
        _ => None,
    }
}

fn figure(shown: &Shown, column: u32) -> Option<Value> {
    let place = |key: &ServiceKey| (*key, destination_key(key, shown.address, shown.forwarding));
    let places: Vec<_> = shown.keys.iter().map(place).collect();
    let figures = shown.figures.server(&places);
    match column {
        14 => figure_32(&figures, 0),
        15 => Some(Value::gauge(figures.active)),
        16 => Some(Value::gauge(figures.inactive)),
        17 => Some(Value::gauge(figures.persistent)),
        18..=26 => figure_32(&figures, column - 17),
        _ => figure_64(&figures, column - 27),
    }
}

fn setting(server: &Server, column: u32) -> Option<Value> {
    let (config, defaults) = (&server.config, &server.config.defaults);
    let threshold = |connections: u32| (connections > 0).then(|| Value::gauge(connections));
    Some(match column {
        6 => Value::truth(server.up),
        7 => Value::integer(server.weight),
        8 => return threshold(config.thresholds.upper),
        9 => return threshold(config.thresholds.lower),
        // remove 1, inhibit 2
        10 => Value::truth(!config.inhibit_on_failure),
        11 => return base::script(config.extras.notify_up.as_deref()),
        12 => return base::script(config.extras.notify_down.as_deref()),
        13 => Value::gauge(server.failed_checks),
        41 => Value::text(defaults.virtualhost.as_ref()?),
        42 => Value::truth(defaults.alpha),
        43 => Value::gauge(defaults.retry),
        44 => Value::gauge(defaults.delay_before_retry.as_secs()),
        45 => Value::gauge(defaults.warmup.as_secs()),
        46 => Value::gauge(defaults.delay_loop.as_secs()),
        47 => Value::truth(config.smtp_alert),
        48 => Value::gauge(defaults.delay_before_retry.as_micros()),
        49 => Value::gauge(defaults.warmup.as_micros()),
        50 => Value::gauge(defaults.delay_loop.as_micros()),
        51 => Value::gauge(defaults.connect_timeout.as_micros()),
        55 => Value::text(config.extras.snmp_name.as_ref()?),
        _ => return None,
    })
}
