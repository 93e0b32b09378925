//! What SIGRTMIN+2 writes: every virtual router as JSON, with keepalived's keys, on one line.

use std::fmt::Write as _;
use std::sync::Arc;

use super::engine::VrrpEngine;
use super::event::State;
use super::router::Router;
use super::statistics::Statistics;
use crate::core::config::model::Script;
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::services::JsonVersion;
use crate::core::config::model::vrrp::{
    Authentication, InitialState, Preemption, TrackScript, VirtualAddress,
};
use crate::core::time::{Interval, Timestamp};

/// The file; `None` when there is no virtual router. `times` are the same moment by the kernel's
/// clock and since 1970.
pub fn dump(
    engine: &VrrpEngine,
    scripts: &[TrackScript],
    version: JsonVersion,
    times: (Timestamp, Interval),
) -> Option<String> {
    let routers: Vec<String> =
        engine.routers().map(|router| router_object(router, scripts, times)).collect();
    if routers.is_empty() {
        return None;
    }
    let list = format!("[{}]", routers.join(","));
    Some(match version {
        JsonVersion::Array => list,
        JsonVersion::Object => format!("{{\"vrrp\":{list}}}"),
    })
}

/// An object under construction.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn raw(&mut self, key: &str, value: &dyn std::fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{comma}\"{key}\":{value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &quoted(value));
    }

    /// Absent when empty.
    fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            self.raw(key, &format!("[{}]", values.join(",")));
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' | '/' => result.extend(['\\', character]),
            // Writing to a String cannot fail.
            control if control.is_control() => {
                let _ = write!(result, "\\u{:04x}", u32::from(control));
            }
            other => result.push(other),
        }
    }
    result.push('"');
    result
}

fn router_object(
    router: &Router,
    scripts: &[TrackScript],
    (now, since_1970): (Timestamp, Interval),
) -> String {
    let instance = &router.instance;
    let mut data = Object::new();
    data.text("iname", &instance.name);
    data.raw("dont_track_primary", &u8::from(instance.dont_track_primary));
    data.raw("skip_check_adv_addr", &u8::from(instance.skip_check_adv_addr));
    data.raw("strict_mode", &u8::from(instance.strict));
    let link = instance.virtual_link.as_ref().map(VirtualLink::name);
    data.text("vmac_ifname", link.unwrap_or_default());
    if let Some(interface) = instance.address_interface() {
        data.text("ifp_ifname", interface);
    }
    data.raw("master_priority", &router.master.map_or(0, |master| master.priority.get()));
    let ago = router.since.map_or(Interval::ZERO, |since| now.since(since));
    let micros = since_1970.as_micros().saturating_sub(ago.as_micros());
    data.raw("last_transition", &format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    let garp = &instance.garp;
    data.raw("garp_delay", &garp.delay.as_secs_f64());
    data.raw("garp_refresh", &garp.refresh.as_secs_f64());
    data.raw("garp_rep", &garp.repeat);
    data.raw("garp_refresh_rep", &garp.refresh_repeat);
    data.raw("garp_lower_prio_delay", &garp.lower_priority_delay.as_secs_f64());
    data.raw("garp_lower_prio_rep", &garp.lower_priority_repeat);
    data.raw("lower_prio_no_advert", &u8::from(instance.lower_priority_no_advert));
    data.raw("higher_prio_send_advert", &u8::from(instance.higher_priority_send_advert));
    data.raw("vrid", &instance.vrid);
    data.raw("base_priority", &instance.priority);
    data.raw("effective_priority", &router.priority);
    data.raw("vipset", &(router.state == State::Master));
    data.raw("promote_secondaries", &instance.promote_secondaries);
    data.raw("adver_int", &instance.advert_interval.as_secs_f64());
    data.raw("master_adver_int", &router.master_interval().as_secs_f64());
    data.raw("accept", &u8::from(instance.accept));
    let (never, delay) = match instance.preemption {
        Preemption::Never => (true, Interval::ZERO),
        Preemption::After(delay) => (false, delay),
    };
    data.raw("nopreempt", &never);
    data.raw("preempt_delay", &delay.as_secs_f64());
    data.raw("state", &number(router.state));
    let wanted = match (router.state, instance.initial_state) {
        (State::Master, _) | (_, InitialState::Master) => State::Master,
        (_, InitialState::Backup) => State::Backup,
    };
    data.raw("wantstate", &number(wanted));
    data.raw("version", &instance.version.number());
    data.raw("smtp_alert", &instance.smtp_alert);
    data.raw("notify_deleted", &instance.notify_deleted);
    let notify = &instance.notify;
    for (key, script) in [
        ("script_backup", &notify.backup),
        ("script_master", &notify.master),
        ("script_fault", &notify.fault),
        ("script_stop", &notify.stop),
        ("script_deleted", &notify.deleted),
        ("script_master_rx_lower_pri", &notify.master_rx_lower_priority),
        ("script", &notify.any),
    ] {
        if let Some(script) = script {
            data.text(key, &command(script));
        }
    }
    let set = router.state == State::Master;
    let addresses = |list: &[Arc<VirtualAddress>]| -> Vec<String> {
        list.iter().map(|address| address_text(address, set)).collect()
    };
    data.list("vips", &addresses(&instance.addresses));
    data.list("evips", &addresses(&instance.excluded_addresses));
    let links: Vec<String> =
        instance.track_interfaces.iter().map(|tracked| tracked.name.clone()).collect();
    data.list("track_ifp", &links);
    let tracked: Vec<String> = instance
        .track_scripts
        .iter()
        .filter_map(|tracked| scripts.iter().find(|script| script.name == tracked.name))
        .map(|script| command(&script.script))
        .collect();
    data.list("track_script", &tracked);
    let authentication = match instance.authentication {
        Authentication::None => 0,
        Authentication::Password(_) => 1,
        Authentication::Header(_) => 2,
    };
    data.raw("auth_type", &authentication);
    if authentication != 0 {
        // A dump is for many eyes.
        data.text("auth_data", "***");
    }
    // Ours: keepalived's has no word of it, and no `ifp_ifname` then.
    if let Some(vrf) = &instance.vrf {
        data.text("vrf", vrf);
    }
    let mut both = Object::new();
    both.raw("data", &data.end());
    both.raw("stats", &statistics(&router.statistics));
    both.end()
}

const fn number(state: State) -> u8 {
    match state {
        State::Init => 0,
        State::Backup => 1,
        State::Master => 2,
        State::Fault => 3,
    }
}

/// Each word in quotes.
fn command(script: &Script) -> String {
    let words: Vec<String> = script.words.iter().map(|word| format!("'{word}'")).collect();
    words.join(" ")
}

fn address_text(address: &VirtualAddress, set: bool) -> String {
    let mut text = address.address.to_string();
    let host = if address.address.is_ipv4() { 32 } else { 128 };
    // Writing to a String cannot fail, here and below.
    if address.prefix != host {
        let _ = write!(text, "/{}", address.prefix);
    }
    if let Some(interface) = &address.interface {
        let _ = write!(text, " dev {interface}");
    }
    let _ = match address.scope {
        0 => write!(text, " scope global"),
        200 => write!(text, " scope site"),
        253 => write!(text, " scope link"),
        254 => write!(text, " scope host"),
        other => write!(text, " scope {other}"),
    };
    if let Some(label) = &address.label {
        let _ = write!(text, " label {label}");
    }
    if set {
        text.push_str(" set");
    }
    text
}

fn statistics(counters: &Statistics) -> String {
    let mut object = Object::new();
    for (key, value) in [
        ("advert_rcvd", counters.advert_rcvd),
        ("advert_sent", counters.advert_sent),
        ("become_master", counters.become_master),
        ("release_master", counters.release_master),
        ("packet_len_err", counters.packet_len_err),
        ("advert_interval_err", counters.advert_interval_err),
        ("ip_ttl_err", counters.ip_ttl_err),
        ("invalid_type_rcvd", counters.invalid_type_rcvd),
        ("addr_list_err", counters.addr_list_err),
        ("invalid_authtype", counters.invalid_authtype),
        ("authtype_mismatch", counters.authtype_mismatch),
        ("auth_failure", counters.auth_failure),
        ("auth_ext_missing", counters.auth_ext_missing),
        ("auth_ext_malformed", counters.auth_ext_malformed),
        ("auth_ext_unknown_key", counters.auth_ext_unknown_key),
        ("auth_ext_invalid_hmac", counters.auth_ext_invalid_hmac),
        ("auth_ext_stale", counters.auth_ext_stale),
        ("auth_ext_replay", counters.auth_ext_replay),
        ("pri_zero_rcvd", counters.pri_zero_rcvd),
        ("pri_zero_sent", counters.pri_zero_sent),
        ("advert_late", counters.advert_late),
        ("advert_latest_usecs", counters.advert_latest.as_micros()),
        ("rivals", counters.rivals),
        ("rival_adverts", counters.rival_adverts),
    ] {
        object.raw(key, &value);
    }
    object.end()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::core::config::model::global::Global;
    use crate::core::config::model::link::Vmac;
    use crate::core::config::model::vrrp::{Instance, VrrpConfig};

    fn engine(instances: Vec<Arc<Instance>>) -> VrrpEngine {
        let config = VrrpConfig { instances, ..VrrpConfig::default() };
        VrrpEngine::new(Timestamp::ZERO, Global::default(), config)
    }

    #[test]
    fn keys_and_values_are_keepalived_s_on_one_line() {
        let mut address = VirtualAddress::new([10, 0, 0, 9].into(), 24);
        address.interface = Some("eth0".into());
        address.label = Some("eth0:\"1".into());
        let mut instance = Instance {
            name: "VI_1".into(),
            interface: Some("eth0".into()),
            advert_interval: Interval::from_millis(500),
            addresses: vec![address.into()],
            ..Instance::default()
        };
        let words = vec!["/bin/x".into(), "y z".into()];
        instance.notify.any = Some(Script { words, user: None }.into());
        let engine = engine(vec![Arc::new(instance)]);
        let times = (Timestamp::ZERO, Interval::from_micros(12_000_034));
        let text = dump(&engine, &[], JsonVersion::Array, times).unwrap();
        assert!(!text.contains('\n'));
        assert!(text.starts_with("[{\"data\":{\"iname\":\"VI_1\",\"dont_track_primary\":0,"));
        assert!(text.contains("\"last_transition\":12.000034,\"garp_delay\":5,"));
        assert!(text.contains("\"adver_int\":0.5,\"master_adver_int\":0.5,\"accept\":1,"));
        assert!(text.contains("\"script\":\"'\\/bin\\/x' 'y z'\",\"vips\":[\"10.0.0.9\\/24 dev"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["data"]["vips"][0], "10.0.0.9/24 dev eth0 scope global label eth0:\"1");
        assert_eq!(value[0]["stats"]["advert_sent"], 0);
        // What keepalived does not have comes last.
        assert!(
            text.ends_with("\"pri_zero_sent\":0,\"advert_late\":0,\"advert_latest_usecs\":0,\"rivals\":0,\"rival_adverts\":0}}]")
        );
        let object = dump(&engine, &[], JsonVersion::Object, times).unwrap();
        let value: Value = serde_json::from_str(&object).unwrap();
        assert_eq!(value["vrrp"][0]["data"]["state"], 0);
    }

    #[test]
    fn an_instance_is_on_what_is_made_for_it_or_within_a_vrf() {
        let times = (Timestamp::ZERO, Interval::ZERO);
        let data = |instance: Instance| -> Value {
            let text = dump(&engine(vec![Arc::new(instance)]), &[], JsonVersion::Array, times);
            let mut value: Value = serde_json::from_str(&text.unwrap()).unwrap();
            value[0]["data"].take()
        };
        let eth0 = Instance { interface: Some("eth0".into()), ..Instance::default() };
        let plain = data(eth0.clone());
        assert_eq!((&plain["vmac_ifname"], &plain["ifp_ifname"]), (&"".into(), &"eth0".into()));
        assert!(plain.get("vrf").is_none());
        let vmac = Vmac {
            name: "vrrp.1".into(),
            address: [0, 0, 0x5e, 0, 1, 1],
            notify_again: false,
            group: None,
        };
        let over = data(eth0.with(|options| options.virtual_link = Some(VirtualLink::Vmac(vmac))));
        assert_eq!(
            (&over["vmac_ifname"], &over["ifp_ifname"]),
            (&"vrrp.1".into(), &"vrrp.1".into())
        );
        let within = data(Instance::default().with(|options| options.vrf = Some("red".into())));
        assert_eq!(within["vrf"], "red");
        assert!(within.get("ifp_ifname").is_none());
    }

    #[test]
    fn without_a_router_there_is_no_file() {
        let times = (Timestamp::ZERO, Interval::ZERO);
        assert_eq!(dump(&engine(Vec::new()), &[], JsonVersion::Array, times), None);
    }
}
