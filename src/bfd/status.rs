//! What SIGUSR1 writes for the bfd process, in keepalived's layout.

use std::fmt::Write as _;

use super::engine::BfdEngine;
use super::session::Session;
use crate::core::config::model::bfd::BfdListeners;
use crate::core::time::Timestamp;

/// The data file.
pub fn data(engine: &BfdEngine, now: Timestamp) -> String {
    let mut text = String::from("------< BFD Data >------\n");
    line(&mut text, 1, "packets without a session", &engine.strays());
    text.push_str("------< BFD Topology >------\n");
    for session in engine.sessions() {
        session_data(&mut text, session, now);
    }
    text
}

fn line(text: &mut String, indent: usize, label: &str, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}{label} = {value}", "");
}

fn session_data(text: &mut String, session: &Session, now: Timestamp) {
    let config = &session.config;
    let remote = &session.remote;
    let micros = |interval: crate::core::time::Interval| format!("{} us", interval.as_micros());
    let yes = |yes: bool| if yes { "Yes" } else { "No" };
    let (vrrp, check) = match config.listeners {
        BfdListeners::Both => (true, true),
        BfdListeners::Vrrp => (true, false),
        BfdListeners::Checker => (false, true),
    };
    line(text, 1, "BFD Instance", &config.name);
    line(text, 3, "Neighbor IP", &config.neighbour);
    if let Some(source) = config.source {
        line(text, 3, "Source IP", &source);
    }
    line(text, 3, "Required min RX interval", &micros(config.receive_interval));
    line(text, 3, "Desired min TX interval", &micros(config.transmit_interval));
    line(text, 3, "Desired idle TX interval", &micros(config.idle_interval));
    line(text, 3, "Detection multiplier", &config.multiplier);
    line(text, 3, "TTL", &config.ttl);
    match config.max_hops {
        Some(hops) => line(text, 3, "max_hops", &hops),
        None => line(text, 3, "max_hops", &"any"),
    }
    line(text, 3, "multihop", &config.multihop);
    line(text, 3, "passive", &config.passive);
    line(text, 3, "send event to VRRP process", &yes(vrrp));
    line(text, 3, "send event to checker process", &yes(check));
    line(text, 3, "local state", &session.state.name());
    line(text, 3, "In this state for", &format!("{} sec", now.since(session.since)));
    line(text, 3, "remote state", &remote.state.name());
    line(text, 3, "local discriminator", &format!("{:#x}", session.discriminator));
    line(text, 3, "remote discriminator", &format!("{:#x}", remote.discriminator));
    line(text, 3, "local diag", &session.diagnostic);
    line(text, 3, "remote diag", &remote.diagnostic);
    line(text, 3, "remote min tx intv", &micros(remote.desired_min_tx));
    line(text, 3, "remote min rx intv", &micros(remote.required_min_rx));
    line(text, 3, "remote demand", &u8::from(remote.demand));
    line(text, 3, "remote detect multiplier", &remote.multiplier);
    line(text, 3, "polling", &session.is_polling());
    match session.transmit_interval() {
        Some(interval) => line(text, 3, "local tx intv", &micros(interval)),
        None => line(text, 3, "local tx intv", &"silent"),
    }
    let detection = session.detection_time().unwrap_or_default();
    line(text, 3, "local detection time", &micros(detection));
    line(text, 3, "remote detection time", &micros(session.remote_detection_time()));
    let counters = &session.counters;
    line(text, 3, "packets received", &counters.received);
    line(text, 3, "packets sent", &counters.sent);
    line(text, 3, "packets discarded", &counters.rejected);
    line(text, 3, "times up", &counters.ups);
    line(text, 3, "times lost", &counters.downs);
}
