//! What SIGUSR1 and SIGUSR2 write: data and statistics, in keepalived's layout.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::engine::{Rival, VrrpEngine};
use super::event::State;
use super::router::Router;
use crate::core::config::model::Family;
use crate::core::config::model::global::Global;
use crate::core::config::model::hmac::ReplayProtection;
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::track::FileEffect;
use crate::core::config::model::vrrp::{
    Authentication, Instance, NotifyScripts, Preemption, SyncGroup, TrackEffect, TrackScript,
    TrackedScript, Transport, VirtualAddress, VrrpConfig, VrrpVersion,
};
use crate::core::data_file::{enabled, globals, heading, line, script, words_line, yes_no};
use crate::core::time::Timestamp;

/// The data file. Lines that keepalived has are its own, in its order; passwords are left out.
pub fn data(engine: &VrrpEngine, global: &Global, config: &VrrpConfig, now: Timestamp) -> String {
    let mut text = globals(global);
    if !config.static_addresses.is_empty() {
        heading(&mut text, 0, "Static Addresses");
    }
    for address in &config.static_addresses {
        words_line(&mut text, 5, address_words(address, address.interface.as_deref(), None));
    }
    let groups: BTreeMap<&str, &SyncGroup> = config
        .sync_groups
        .iter()
        .flat_map(|group| group.members.iter().map(move |member| (member.as_str(), group)))
        .collect();
    heading(&mut text, 0, "VRRP Topology");
    for router in engine.routers() {
        let group = groups.get(router.instance.name.as_str()).copied();
        router_data(&mut text, router, group, engine, now);
    }
    if !config.sync_groups.is_empty() {
        heading(&mut text, 0, "VRRP Sync groups");
    }
    for group in &config.sync_groups {
        group_data(&mut text, group, engine);
    }
    if !config.scripts.is_empty() {
        heading(&mut text, 0, "VRRP Scripts");
    }
    for found in &config.scripts {
        script_data(&mut text, found, engine);
        for router in engine.routers() {
            let instance = &router.instance;
            let group = groups.get(instance.name.as_str()).copied();
            let all = instance.track_scripts.iter();
            let all = all.chain(group.into_iter().flat_map(|group| &group.track_scripts));
            for tracked in all.filter(|tracked| tracked.name == found.name) {
                let weight = weight(tracked.effect);
                words_line(&mut text, 5, format_args!("{}, weight {weight}", instance.name));
            }
        }
    }
    text
}

fn group_data(text: &mut String, group: &SyncGroup, engine: &VrrpEngine) {
    let state = engine.group_states().get(&group.name).map_or("INIT", |state| state.name());
    line(text, 1, "VRRP Sync Group", format_args!("{}, {state}", group.name));
    words_line(text, 3, "VRRP member instances :");
    for member in &group.members {
        words_line(text, 5, member);
    }
    if group.tracking_weight {
        words_line(text, 3, "sync group tracking weight set");
    }
    line(text, 3, "Using smtp notification", yes_no(group.smtp_alert));
    tracked_scripts(text, &group.track_scripts);
    notify_scripts(text, &group.notify);
}

fn script_data(text: &mut String, found: &TrackScript, engine: &VrrpEngine) {
    line(text, 1, "VRRP Script", &found.name);
    line(text, 3, "Command", script(&found.script));
    line(text, 3, "Interval", format_args!("{} sec", found.interval));
    line(text, 3, "Timeout", format_args!("{} sec", found.timeout));
    line(text, 3, "Weight", weight(found.effect));
    line(text, 3, "Rise", found.rise);
    line(text, 3, "Fall", found.fall);
    line(text, 3, "Init state", if found.init_fail { "failed" } else { "unknown" });
    let status = match engine.script_results().get(&found.name) {
        Some(true) => "GOOD",
        Some(false) => "BAD",
        None => "INIT",
    };
    line(text, 3, "Status", status);
    words_line(text, 3, "Tracking instances :");
}

/// `10`, `-3`, `0` or `0 reverse`; the `reverse` of a weight is worked in to it.
fn weight(effect: TrackEffect) -> String {
    match effect {
        TrackEffect::Fault => "0".to_owned(),
        TrackEffect::FaultWhenGood => "0 reverse".to_owned(),
        TrackEffect::Weight(weight) => weight.to_string(),
    }
}

fn file_weight(effect: FileEffect) -> String {
    match effect {
        FileEffect::FaultUnlessZero => "0".to_owned(),
        FileEffect::FaultIfZero => "0 reverse".to_owned(),
        FileEffect::Times(times) => times.to_string(),
    }
}

fn tracked_scripts(text: &mut String, scripts: &[TrackedScript]) {
    if !scripts.is_empty() {
        words_line(text, 3, "Tracked scripts :");
    }
    for tracked in scripts {
        words_line(text, 5, format_args!("{} weight {}", tracked.name, weight(tracked.effect)));
    }
}

fn notify_scripts(text: &mut String, notify: &NotifyScripts) {
    for (name, found) in [
        ("Backup state transition script", &notify.backup),
        ("Master state transition script", &notify.master),
        ("Fault state transition script", &notify.fault),
        ("Stop state transition script", &notify.stop),
        ("Deleted state transition script", &notify.deleted),
        ("Master rx lower pri script", &notify.master_rx_lower_priority),
        ("Generic state transition script", &notify.any),
    ] {
        if let Some(found) = found {
            line(text, 3, name, script(found));
        }
    }
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

fn router_data(
    text: &mut String,
    router: &Router,
    group: Option<&SyncGroup>,
    engine: &VrrpEngine,
    now: Timestamp,
) {
    let instance = &router.instance;
    line(text, 1, "VRRP Instance", &instance.name);
    line(text, 3, "VRRP Version", instance.version.number());
    if let Some(group) = group {
        line(text, 3, "Sync group", &group.name);
    }
    if instance.family == Family::Inet6 {
        words_line(text, 3, "Using Native IPv6");
    }
    line(text, 3, "State", router.state.name());
    // By the time that anybody asks, it is what it wants to be.
    line(text, 3, "Wantstate", router.state.name());
    line(text, 3, "Number of interface and track script faults", router.faults.len());
    line(text, 3, "Number of track scripts init", router.waiting_for.len());
    for fault in &router.faults {
        line(text, 3, "Fault", fault);
    }
    if let Some(since) = router.since {
        line(text, 3, "In this state for", format!("{} sec", now.since(since)));
    }
    if let Some(master) = router.master {
        line(text, 3, "Master router", master.address);
        line(text, 3, "Master priority", master.priority);
        line(text, 3, "Master advert interval", format!("{} sec", master.interval));
    }
    let micros = router.master_down_interval().as_micros();
    line(text, 3, "Master down timer", format_args!("{micros} usecs"));
    if let Some(timer) = engine.timer_of(&instance.name) {
        line(text, 3, "Next timer in", format!("{} sec", timer.since(now)));
    }
    if let Some(interface) = &instance.interface {
        line(text, 3, "Interface", shown_interface(instance, interface));
    }
    if let Some(vrf) = &instance.vrf {
        line(text, 3, "VRF", vrf);
    }
    if let Some(source) = router.source() {
        let written = if instance.source.is_some() { " (from configuration)" } else { "" };
        line(text, 3, "Using src_ip", format_args!("{source}{written}"));
    }
    if let Transport::Multicast { group } = &instance.transport {
        words_line(text, 3, format_args!("Multicast address {group}"));
    }
    line(text, 3, "Gratuitous ARP delay", instance.garp.delay);
    line(text, 3, "Gratuitous ARP repeat", instance.garp.repeat);
    line(text, 3, "Gratuitous ARP refresh", instance.garp.refresh);
    line(text, 3, "Gratuitous ARP refresh repeat", instance.garp.refresh_repeat);
    line(text, 3, "Gratuitous ARP lower priority delay", instance.garp.lower_priority_delay);
    line(text, 3, "Gratuitous ARP lower priority repeat", instance.garp.lower_priority_repeat);
    line(text, 3, "Down timer adverts", instance.down_timer_adverts);
    let answers = !instance.lower_priority_no_advert;
    line(text, 3, "Send advert after receive lower priority advert", answers);
    let parts = instance.higher_priority_send_advert;
    line(text, 3, "Send advert after receive higher priority advert", parts);
    line(text, 3, "Virtual Router ID", instance.vrid);
    line(text, 3, "Priority", instance.priority);
    line(text, 3, "Effective priority", router.priority);
    let interval = match instance.version {
        VrrpVersion::V2 => format!("{} sec", instance.advert_interval),
        VrrpVersion::V3 => format!("{} milli-sec", instance.advert_interval.as_millis()),
    };
    line(text, 3, "Advert interval", &interval);
    line(text, 3, "Late adverts", router.statistics.advert_late);
    line(text, 3, "Latest advert", format!("{} sec late", router.statistics.advert_latest));
    line(text, 3, "Rivals", router.statistics.rivals);
    if let Some(rival) = &router.rival {
        let Rival { address, priority, adverts, .. } = **rival;
        let what = format!("{address}, priority {priority}, {adverts} adverts so far");
        line(text, 3, "Rival now", &what);
    }
    line(text, 3, "Accept", enabled(instance.accept));
    match instance.preemption {
        Preemption::Never => line(text, 3, "Preempt", "disabled"),
        Preemption::After(delay) => {
            line(text, 3, "Preempt", "enabled");
            if !delay.is_zero() {
                line(text, 3, "Preempt delay", format_args!("{delay} secs"));
            }
        }
    }
    line(text, 3, "Promote_secondaries", enabled(instance.promote_secondaries));
    let authentication = match instance.authentication {
        Authentication::None => None,
        Authentication::Password(_) => Some("SIMPLE_PASSWORD"),
        Authentication::Header(_) => Some("IPSEC_AH"),
    };
    if let Some(kind) = authentication {
        line(text, 3, "Authentication type", kind);
    }
    if let Some(hmac) = &instance.hmac {
        line(text, 3, "HMAC authentication", hmac.mode.name());
        line(text, 3, "HMAC active key", hmac.active_key);
        let keys: Vec<String> = hmac.keys.iter().map(|key| key.id.to_string()).collect();
        line(text, 3, "HMAC keys", keys.join(" "));
        let replay = match hmac.replay {
            ReplayProtection::Time => format!("time, window {} sec", hmac.window),
            ReplayProtection::Monotonic => "monotonic".to_owned(),
        };
        line(text, 3, "HMAC anti replay", &replay);
    }
    addresses(text, router);
    if let Transport::Unicast { peers, check_source, .. } = &instance.transport {
        words_line(text, 3, format_args!("Check unicast src : {}", yes_no(*check_source)));
        words_line(text, 3, "Unicast Peer :");
        for peer in peers {
            let (min, max) = (peer.min_ttl.unwrap_or(0), peer.max_ttl.unwrap_or(255));
            let address = peer.address;
            words_line(text, 5, format_args!("{address} min_ttl {min} max_ttl {max}"));
        }
    }
    tracked(text, instance);
    track_sessions(text, instance, engine);
    line(text, 3, "Using smtp notification", yes_no(instance.smtp_alert));
    let deleted = if instance.notify_deleted { "Deleted" } else { "Fault" };
    line(text, 3, "Notify deleted", deleted);
    notify_scripts(text, &instance.notify);
    line(text, 3, "Notify priority changes", instance.notify_priority_changes);
}

fn tracked(text: &mut String, instance: &Instance) {
    if !instance.track_interfaces.is_empty() {
        words_line(text, 3, "Tracked interfaces :");
    }
    for tracked in &instance.track_interfaces {
        words_line(text, 5, format_args!("{} weight {}", tracked.name, weight(tracked.effect)));
    }
    tracked_scripts(text, &instance.track_scripts);
    if !instance.track_files.is_empty() {
        words_line(text, 3, "Tracked files :");
    }
    for tracked in &instance.track_files {
        let weight = file_weight(tracked.effect);
        words_line(text, 5, format_args!("{}, weight {weight}", tracked.name));
    }
    if !instance.track_processes.is_empty() {
        words_line(text, 3, "Tracked processes :");
    }
    for tracked in &instance.track_processes {
        words_line(text, 5, format_args!("{}, weight {}", tracked.name, weight(tracked.effect)));
    }
}

fn track_sessions(text: &mut String, instance: &Instance, engine: &VrrpEngine) {
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

/// `set`: the kernel has said that it has the address.
fn addresses(text: &mut String, router: &Router) {
    let instance = &router.instance;
    let mut places = router.addresses.iter().peekable();
    let mut list = |text: &mut String, addresses: &[Arc<VirtualAddress>]| {
        for address in addresses {
            // In the same order; one without an interface has no place.
            let place = places.next_if(|place| Arc::ptr_eq(&place.address, address));
            let set = router.state == State::Master
                && place.is_some_and(|place| router.schedule.is_confirmed(place));
            let interface = place.map(|place| &*place.interface);
            let words = address_words(address, interface, base(instance, interface));
            words_line(text, 5, format_args!("{words}{}", if set { " set" } else { "" }));
        }
    };
    let count = instance.addresses.len();
    if count > 0 {
        words_line(text, 3, format_args!("Virtual IP ({count}):"));
        list(text, &instance.addresses);
    }
    if !instance.excluded_addresses.is_empty() {
        words_line(text, 3, "Virtual IP Excluded :");
        list(text, &instance.excluded_addresses);
    }
}

/// What the interface is made over, when it is made.
fn base<'a>(instance: &'a Instance, interface: Option<&str>) -> Option<&'a str> {
    let interface = interface?;
    let own = instance.virtual_link.as_ref().filter(|link| link.name() == interface);
    let link = instance.address_links.iter().find(|link| link.vmac.name == interface);
    link.map(|link| link.base.as_str()).or_else(|| own.and(instance.interface.as_deref()))
}

/// As `ip address` has it: `10.0.0.2/24 brd 10.0.0.255 dev eth0 scope link label eth0:x no_track`.
fn address_words(address: &VirtualAddress, interface: Option<&str>, base: Option<&str>) -> String {
    let mut words = address.address.to_string();
    if address.peer.is_none() && address.prefix != Family::of(address.address).bits() {
        words += &format!("/{}", address.prefix);
    }
    if let Some(broadcast) = address.broadcast {
        words += &format!(" brd {broadcast}");
    }
    words += &format!(" dev {}", interface.unwrap_or("none"));
    if let Some(base) = base {
        words += &format!("@{base}");
    }
    words += &match address.scope {
        0 => " scope global".to_owned(),
        200 => " scope site".to_owned(),
        253 => " scope link".to_owned(),
        254 => " scope host".to_owned(),
        255 => " scope nowhere".to_owned(),
        other => format!(" scope {other}"),
    };
    if let Some(label) = &address.label {
        words += &format!(" label {label}");
    }
    if let Some(peer) = address.peer {
        words += &format!(" peer {peer}/{}", address.prefix);
    }
    let flags = address.flags;
    for (word, on) in [
        (" no_track", address.no_track),
        (" home", flags.home),
        (" -nodad", flags.detect_duplicates),
        (" mngtmpaddr", flags.manage_temporary),
        (" noprefixroute", flags.no_prefix_route),
        (" autojoin", flags.autojoin),
    ] {
        words += if on { word } else { "" };
    }
    words += &match address.preferred_lifetime {
        Some(0) => " deprecated".to_owned(),
        Some(seconds) => format!(" preferred_lft {seconds}"),
        None if address.address.is_ipv6() => " preferred_lft forever".to_owned(),
        None => String::new(),
    };
    words
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

    fn shown(instance: Instance) -> String {
        let config = VrrpConfig { instances: vec![Arc::new(instance)], ..VrrpConfig::default() };
        let engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config.clone());
        data(&engine, &Global::default(), &config, Timestamp::ZERO)
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

    #[test]
    fn an_address_is_shown_as_it_was_written_and_set_only_where_the_kernel_has_it() {
        let new = |last, prefix| {
            let mut address = VirtualAddress::new([10, 77, 1, last].into(), prefix);
            address.interface = Some("eth0".into());
            address
        };
        let mut whole = new(241, 24);
        whole.broadcast = Some([10, 77, 1, 255].into());
        whole.scope = 253;
        whole.label = Some("eth0:x".into());
        let mut plain = new(242, 32);
        plain.no_track = true;
        let mut peer = new(243, 32);
        peer.peer = Some([10, 77, 9, 1].into());
        let mut six = VirtualAddress::new("fd00::51".parse().unwrap(), 128);
        six.interface = Some("eth0".into());
        let mut home = VirtualAddress::new("fd00::52".parse().unwrap(), 64);
        home.interface = Some("eth0".into());
        (home.flags.home, home.flags.detect_duplicates) = (true, true);
        let excluded = [six, home].map(Arc::new).to_vec();
        let instance = Instance {
            name: "one".into(),
            interface: Some("eth0".into()),
            addresses: [whole, plain, peer].map(Arc::new).to_vec(),
            priority: crate::core::config::model::vrrp::Priority::OWNER,
            ..Instance::default()
        };
        let instance = instance.with(|options| options.excluded_addresses = excluded);
        let mut router = Router::new(Arc::new(instance));
        router.state = State::Master;
        let there = router.addresses[0].clone();
        router.schedule.appeared(Timestamp::ZERO, &[there], &router.instance.garp);
        let mut text = String::new();
        addresses(&mut text, &router);
        assert_eq!(
            text,
            "   Virtual IP (3):\n     \
             10.77.1.241/24 brd 10.77.1.255 dev eth0 scope link label eth0:x set\n     \
             10.77.1.242 dev eth0 scope global no_track\n     \
             10.77.1.243 dev eth0 scope global peer 10.77.9.1/32\n   \
             Virtual IP Excluded :\n     fd00::51 dev eth0 scope global deprecated\n     \
             fd00::52/64 dev eth0 scope global home -nodad preferred_lft forever\n"
        );
    }
}
