//! What SIGUSR1 and SIGUSR2 write: data and statistics, in keepalived's layout.

use std::fmt::Write as _;
use std::sync::Arc;

use super::engine::{Rival, VrrpEngine};
use super::event::State;
use super::router::Router;
use crate::core::config::model::global::Global;
use crate::core::config::model::hmac::ReplayProtection;
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::vrrp::{
    Authentication, Instance, Preemption, TrackScript, Transport, VirtualAddress, VrrpVersion,
};
use crate::core::time::Timestamp;

/// The data file.
pub fn data(
    engine: &VrrpEngine,
    global: &Global,
    scripts: &[TrackScript],
    now: Timestamp,
) -> String {
    let mut text = String::from("------< Global definitions >------\n");
    line(&mut text, 1, "Router ID", &global.router_id);
    line(&mut text, 1, "VRRP IPv4 mcast group", &global.vrrp.multicast4);
    line(&mut text, 1, "VRRP IPv6 mcast group", &global.vrrp.multicast6);
    line(&mut text, 1, "Gratuitous ARP delay", &global.vrrp.garp.delay);
    line(&mut text, 1, "Gratuitous ARP repeat", &global.vrrp.garp.repeat);
    line(&mut text, 1, "VRRP default protocol version", &global.vrrp.version.number());
    line(&mut text, 1, "VRRP strict mode", &global.vrrp.strict);
    let security = if global.script_security { "enabled" } else { "disabled" };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, " Script security {security}");
    text.push_str("------< VRRP Topology >------\n");
    for router in engine.routers() {
        router_data(&mut text, router, engine, now);
    }
    if !scripts.is_empty() {
        text.push_str("------< VRRP Scripts >------\n");
    }
    for script in scripts {
        line(&mut text, 1, "VRRP Script", &script.name);
        line(&mut text, 3, "Command", &format!("'{}'", script.script.words.join(" ")));
        line(&mut text, 3, "Interval", &format!("{} sec", script.interval));
        line(&mut text, 3, "Timeout", &format!("{} sec", script.timeout));
        line(&mut text, 3, "Rise", &script.rise);
        line(&mut text, 3, "Fall", &script.fall);
        let status = match engine.script_results().get(&script.name) {
            Some(true) => "GOOD",
            Some(false) => "BAD",
            None => "INIT",
        };
        line(&mut text, 3, "Status", &status);
    }
    text
}

fn line(text: &mut String, indent: usize, label: &str, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}{label} = {value}", "");
}

/// As keepalived 2.2.7 shows it: with `use_vmac` and its like, what is made over which.
fn shown_interface(instance: &Instance, interface: &str) -> String {
    let Some(link) = &instance.virtual_link else { return interface.to_owned() };
    let kind = match link {
        VirtualLink::Vmac(_) => "vmac",
        VirtualLink::Ipvlan(_) => "ipvlan",
    };
    let sends = if instance.transmit_on_base { ", xmit base i/f" } else { "" };
    format!("{}, {kind} on {interface}{sends}", link.name())
}

fn router_data(text: &mut String, router: &Router, engine: &VrrpEngine, now: Timestamp) {
    let instance = &router.instance;
    line(text, 1, "VRRP Instance", &instance.name);
    line(text, 3, "VRRP Version", &instance.version.number());
    line(text, 3, "State", &router.state.name());
    // By the time that anybody asks, it is what it wants to be.
    line(text, 3, "Wantstate", &router.state.name());
    for fault in &router.faults {
        line(text, 3, "Fault", fault);
    }
    if let Some(since) = router.since {
        line(text, 3, "In this state for", &format!("{} sec", now.since(since)));
    }
    if let Some(master) = router.master {
        line(text, 3, "Master router", &master.address);
        line(text, 3, "Master priority", &master.priority);
        line(text, 3, "Master advert interval", &format!("{} sec", master.interval));
    }
    if router.state == State::Backup {
        let micros = router.master_down_interval().as_micros();
        line(text, 3, "Master down timer", &format!("{micros} usecs"));
    }
    if let Some(timer) = engine.timer_of(&instance.name) {
        line(text, 3, "Next timer in", &format!("{} sec", timer.since(now)));
    }
    if let Some(interface) = &instance.interface {
        line(text, 3, "Interface", &shown_interface(instance, interface));
    }
    if let Some(vrf) = &instance.vrf {
        line(text, 3, "VRF", vrf);
    }
    if let Some(source) = router.source() {
        line(text, 3, "Using src_ip", &source);
    }
    match &instance.transport {
        Transport::Multicast { group } => {
            let _ = writeln!(text, "   Multicast address {group}");
        }
        Transport::Unicast { peers, .. } => {
            line(text, 3, "Unicast peers", &peers.len());
            for peer in peers {
                let _ = writeln!(text, "     {}", peer.address);
            }
        }
    }
    line(text, 3, "Gratuitous ARP delay", &instance.garp.delay);
    line(text, 3, "Gratuitous ARP repeat", &instance.garp.repeat);
    line(text, 3, "Gratuitous ARP refresh", &instance.garp.refresh);
    line(text, 3, "Gratuitous ARP refresh repeat", &instance.garp.refresh_repeat);
    line(text, 3, "Gratuitous ARP lower priority delay", &instance.garp.lower_priority_delay);
    line(text, 3, "Gratuitous ARP lower priority repeat", &instance.garp.lower_priority_repeat);
    line(text, 3, "Down timer adverts", &instance.down_timer_adverts);
    let answers = !instance.lower_priority_no_advert;
    line(text, 3, "Send advert after receive lower priority advert", &answers);
    let parts = instance.higher_priority_send_advert;
    line(text, 3, "Send advert after receive higher priority advert", &parts);
    line(text, 3, "Virtual Router ID", &instance.vrid);
    line(text, 3, "Priority", &instance.priority);
    line(text, 3, "Effective priority", &router.priority);
    let interval = match instance.version {
        VrrpVersion::V2 => format!("{} sec", instance.advert_interval),
        VrrpVersion::V3 => format!("{} milli-sec", instance.advert_interval.as_millis()),
    };
    line(text, 3, "Advert interval", &interval);
    line(text, 3, "Late adverts", &router.statistics.advert_late);
    line(text, 3, "Latest advert", &format!("{} sec late", router.statistics.advert_latest));
    line(text, 3, "Rivals", &router.statistics.rivals);
    if let Some(rival) = &router.rival {
        let Rival { address, priority, adverts, .. } = **rival;
        let what = format!("{address}, priority {priority}, {adverts} adverts so far");
        line(text, 3, "Rival now", &what);
    }
    let preempt = match instance.preemption {
        Preemption::Never => "disabled".to_owned(),
        Preemption::After(delay) if delay.is_zero() => "enabled".to_owned(),
        Preemption::After(delay) => format!("enabled, delay {delay} sec"),
    };
    line(text, 3, "Preempt", &preempt);
    let authentication = match instance.authentication {
        Authentication::None => None,
        Authentication::Password(_) => Some("SIMPLE_PASSWORD"),
        Authentication::Header(_) => Some("IPSEC_AH"),
    };
    if let Some(kind) = authentication {
        line(text, 3, "Authentication type", &kind);
    }
    if let Some(hmac) = &instance.hmac {
        line(text, 3, "HMAC authentication", &hmac.mode.name());
        line(text, 3, "HMAC active key", &hmac.active_key);
        let keys: Vec<String> = hmac.keys.iter().map(|key| key.id.to_string()).collect();
        line(text, 3, "HMAC keys", &keys.join(" "));
        let replay = match hmac.replay {
            ReplayProtection::Time => format!("time, window {} sec", hmac.window),
            ReplayProtection::Monotonic => "monotonic".to_owned(),
        };
        line(text, 3, "HMAC anti replay", &replay);
    }
    list(text, "Virtual IP", &instance.addresses, router);
    list(text, "Virtual IP Excluded", &instance.excluded_addresses, router);
    if !instance.track_scripts.is_empty() {
        text.push_str("   Tracked scripts :\n");
        for tracked in &instance.track_scripts {
            let _ = writeln!(text, "     {} {:?}", tracked.name, tracked.effect);
        }
    }
    if !instance.track_bfd.is_empty() {
        text.push_str("   Tracked BFDs :\n");
        for tracked in &instance.track_bfd {
            let state = match engine.bfd_states().get(&tracked.name) {
                Some(true) => "up",
                Some(false) => "down",
                None => "not known yet",
            };
            let _ = writeln!(text, "     {}: {:?}, Bfd is {state}", tracked.name, tracked.effect);
        }
    }
}

fn list(text: &mut String, label: &str, addresses: &[Arc<VirtualAddress>], router: &Router) {
    if addresses.is_empty() {
        return;
    }
    let _ = writeln!(text, "   {label} ({}):", addresses.len());
    let set = if router.state == State::Master { " set" } else { "" };
    for address in addresses {
        let prefix = match (address.address.is_ipv4(), address.prefix) {
            (true, 32) | (false, 128) => String::new(),
            (_, prefix) => format!("/{prefix}"),
        };
        let interface = address.interface.as_deref().unwrap_or("none");
        let _ =
            writeln!(text, "     {}{prefix} dev {interface} scope global{set}", address.address);
    }
}

/// The statistics file.
pub fn statistics(engine: &VrrpEngine) -> String {
    let mut text = String::new();
    for router in engine.routers() {
        let counters = &router.statistics;
        let _ = write!(
            text,
            "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  \
             Became master: {}\n  Released master: {}\n  Packet Errors:\n    Length: {}\n    \
             TTL: {}\n    Invalid Type: {}\n    Advertisement Interval: {}\n    Address List: {}\n  \
             Authentication Errors:\n    Invalid Type: {}\n    Type Mismatch: {}\n    Failure: {}\n  \
             Authentication Extension Errors:\n    Missing: {}\n    Malformed: {}\n    \
             Unknown Key: {}\n    Invalid HMAC: {}\n    Stale: {}\n    Replay: {}\n  \
             Priority Zero:\n    Received: {}\n    Sent: {}\n",
            router.instance.name,
            counters.advert_rcvd,
            counters.advert_sent,
            counters.become_master,
            counters.release_master,
            counters.packet_len_err,
            counters.ip_ttl_err,
            counters.invalid_type_rcvd,
            counters.advert_interval_err,
            counters.addr_list_err,
            counters.invalid_authtype,
            counters.authtype_mismatch,
            counters.auth_failure,
            counters.auth_ext_missing,
            counters.auth_ext_malformed,
            counters.auth_ext_unknown_key,
            counters.auth_ext_invalid_hmac,
            counters.auth_ext_stale,
            counters.auth_ext_replay,
            counters.pri_zero_rcvd,
            counters.pri_zero_sent,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::link::Vmac;
    use crate::core::config::model::vrrp::VrrpConfig;

    fn shown(instance: Instance) -> String {
        let config = VrrpConfig { instances: vec![Arc::new(instance)], ..VrrpConfig::default() };
        let engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
        data(&engine, &Global::default(), &[], Timestamp::ZERO)
    }

    #[test]
    fn where_an_instance_is_has_keepalived_s_words() {
        let plain = Instance { interface: Some("eth0".into()), ..Instance::default() };
        let text = shown(plain.clone());
        assert!(text.contains("   Interface = eth0\n") && !text.contains("VRF"));
        let vmac = Vmac {
            name: "vrrp.1".into(),
            address: [0, 0, 0x5e, 0, 1, 1],
            notify_again: false,
            group: None,
        };
        let virtual_link = Some(VirtualLink::Vmac(vmac));
        let mut over = plain.with(|options| options.virtual_link = virtual_link);
        assert!(shown(over.clone()).contains("   Interface = vrrp.1, vmac on eth0\n"));
        over.transmit_on_base = true;
        assert!(shown(over).contains("   Interface = vrrp.1, vmac on eth0, xmit base i/f\n"));
        let text = shown(Instance::default().with(|options| options.vrf = Some("red".into())));
        assert!(text.contains("   VRF = red\n") && !text.contains("Interface"));
    }
}
