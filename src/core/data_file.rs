//! Lines of the files that SIGUSR1 writes, in keepalived's layout, and the part that the files of all
//! processes have in common: the global definitions.

use std::fmt::{Display, Write as _};

use super::config::model::Script;
use super::config::model::global::{AutoPriority, FlushOnStop, Global, IpvsNamespace};
use super::config::model::services::{Firewall, Mail, NotifyFifo, ReceiveBuffer, Snmp};
use super::time::Interval;

/// A heading: `------< TEXT >------`.
pub fn heading(text: &mut String, indent: usize, words: &str) {
    words_line(text, indent, format_args!("------< {words} >------"));
}

/// `LABEL = VALUE`.
pub fn line(text: &mut String, indent: usize, label: &str, value: impl Display) {
    words_line(text, indent, format_args!("{label} = {value}"));
}

/// Just these words.
pub fn words_line(text: &mut String, indent: usize, words: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}{words}", "");
}

/// `yes` or `no`.
pub const fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// `ON` or `OFF`.
pub const fn on_off(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

/// `enabled` or `disabled`.
pub const fn enabled(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

/// Seconds with six decimals: `2.500000`.
pub fn seconds(interval: Interval) -> String {
    let micros = interval.as_micros();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Each word in quotes: `'/usr/bin/true' 'up'`. keepalived adds the numbers of the account, which here are
/// looked up where a script is run.
pub fn script(script: &Script) -> String {
    let words: Vec<String> = script.words.iter().map(|word| format!("'{word}'")).collect();
    words.join(" ")
}

/// `global_defs`, as the files of every process have it at their beginning.
pub fn globals(global: &Global) -> String {
    let mut text = String::new();
    let out = &mut text;
    heading(out, 0, "Global definitions");
    let space = global.net_namespace.as_deref();
    line(out, 1, "Network namespace", space.unwrap_or("(default)"));
    let ipvs = match &global.ipvs_namespace {
        Some(IpvsNamespace::Named(name)) => name,
        Some(IpvsNamespace::Default) => "(default)",
        None => space.unwrap_or("(main namespace)"),
    };
    line(out, 1, "Network namespace ipvs", ipvs);
    line(out, 1, "Router ID", &global.router_id);
    mail(out, &global.mail);
    line(out, 1, "Checkers log all failures", global.checker_log_all_failures);
    line(out, 1, "Dynamic interfaces", global.vrrp.dynamic_interfaces);
    kernel(out, global);
    for (name, fifo) in [
        ("Global notify fifo", &global.fifos.all),
        ("VRRP notify fifo", &global.fifos.vrrp),
        ("LVS notify fifo", &global.fifos.lvs),
    ] {
        notify_fifo(out, name, fifo);
    }
    line(out, 1, "FIFO write vrrp states on reload", global.fifos.states_on_reload);
    vrrp(out, global);
    firewall(out, &global.firewall);
    line(out, 1, "VRRP check unicast_src", global.vrrp.check_unicast_source);
    line(out, 1, "VRRP skip check advert addresses", global.vrrp.skip_check_adv_addr);
    line(out, 1, "VRRP strict mode", global.vrrp.strict);
    processes(out, global);
    snmp(out, &global.snmp);
    words_line(out, 1, format_args!("DBus {}", enabled(global.dbus.enabled)));
    let name = if global.dbus.enabled { global.dbus.service_name.as_str() } else { "" };
    line(out, 1, "DBus service name", name);
    words_line(out, 1, format_args!("Script security {}", enabled(global.script_security)));
    let buffers = &global.buffers;
    buffer(out, "vrrp_netlink_cmd_rcv_bufs", buffers.vrrp_command);
    buffer(out, "vrrp_netlink_monitor_rcv_bufs", buffers.vrrp_monitor);
    buffer(out, "process_monitor_rcv_bufs", buffers.process_monitor);
    buffer(out, "lvs_netlink_cmd_rcv_bufs", buffers.lvs_command);
    buffer(out, "lvs_netlink_monitor_rcv_bufs", buffers.lvs_monitor);
    line(out, 1, "rs_init_notifies", u8::from(global.initial_server_notifies));
    line(out, 1, "no_checker_emails", u8::from(global.mail.no_checks));
    line(out, 1, "rx_bufs_multiples", global.vrrp.receive_multiplier);
    line(out, 1, "umask", format_args!("0{:o}", global.files.mask()));
    if !global.vrrp.startup_delay.is_zero() {
        line(out, 1, "vrrp_startup_delay", global.vrrp.startup_delay);
    }
    text
}

fn mail(text: &mut String, mail: &Mail) {
    if let Some((host, port)) = &mail.server {
        line(text, 1, "Smtp server", host);
        line(text, 1, "Smtp server port", port);
    }
    if let Some(name) = &mail.helo {
        line(text, 1, "Smtp HELO name", name);
    }
    if mail.server.is_some() {
        let timeout = mail.connect_timeout.unwrap_or(Interval::from_secs(30));
        line(text, 1, "Smtp server connection timeout", timeout);
    }
    if let Some(from) = &mail.from {
        line(text, 1, "Email notification from", from);
    }
    if !mail.to.is_empty() {
        words_line(text, 1, "Email notification to:");
    }
    for to in &mail.to {
        words_line(text, 3, to);
    }
    for (name, alert) in [
        ("Default smtp_alert", mail.alert),
        ("Default smtp_alert_vrrp", mail.alert_vrrp),
        ("Default smtp_alert_checker", mail.alert_checker),
    ] {
        let alert = match alert {
            Some(true) => "on",
            Some(false) => "off",
            None => "unset",
        };
        line(text, 1, name, alert);
    }
}

fn kernel(text: &mut String, global: &Global) {
    let timeouts = global.lvs_timeouts.unwrap_or_default();
    for (name, timeout) in [
        ("LVS TCP timeout", timeouts.tcp),
        ("LVS TCP FIN timeout", timeouts.tcp_fin),
        ("LVS UDP timeout", timeouts.udp),
    ] {
        if let Some(timeout) = timeout {
            line(text, 1, name, timeout);
        }
    }
    if let Some(interface) = &global.vrrp.default_interface {
        line(text, 1, "Default interface", interface);
    }
    line(text, 1, "Disable local IGMP", yes_no(global.vrrp.no_local_igmp));
    if let Some(daemon) = &global.sync_daemon {
        let mut told = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line(text, 1, name, value);
            }
        };
        told("LVS syncd vrrp name", daemon.instance.clone());
        told("LVS syncd interface", Some(daemon.interface.clone()));
        told("LVS syncd syncid", daemon.id.map(|id| id.to_string()));
        told("LVS syncd maxlen", daemon.longest_packet.map(|length| length.to_string()));
        told("LVS syncd mcast group", daemon.group.map(|group| group.to_string()));
        told("LVS syncd mcast port", daemon.port.map(|port| port.to_string()));
        told("LVS syncd mcast ttl", daemon.ttl.map(|ttl| ttl.to_string()));
    }
    line(text, 1, "LVS flush", global.lvs_flush);
    let flush = match global.lvs_flush_on_stop {
        FlushOnStop::OurServices => "disabled",
        FlushOnStop::WholeTable => "full",
        FlushOnStop::VirtualServers => "VS",
    };
    line(text, 1, "LVS flush on stop", flush);
}

fn notify_fifo(text: &mut String, name: &str, notify: &NotifyFifo) {
    if let Some(fifo) = &notify.fifo {
        line(text, 1, name, &fifo.path);
    }
    if let Some(reader) = &notify.reader {
        line(text, 1, &format!("{name} script"), script(reader));
    }
}

fn vrrp(text: &mut String, global: &Global) {
    let (vrrp, garp) = (&global.vrrp, &global.vrrp.garp);
    line(text, 1, "VRRP notify priority changes", vrrp.notify_priority_changes);
    line(text, 1, "VRRP IPv4 mcast group", vrrp.multicast4);
    line(text, 1, "VRRP IPv6 mcast group", vrrp.multicast6);
    line(text, 1, "Gratuitous ARP delay", garp.delay);
    line(text, 1, "Gratuitous ARP repeat", garp.repeat);
    line(text, 1, "Gratuitous ARP refresh timer", garp.refresh);
    line(text, 1, "Gratuitous ARP refresh repeat", garp.refresh_repeat);
    line(text, 1, "Gratuitous ARP lower priority delay", garp.lower_priority_delay);
    line(text, 1, "Gratuitous ARP lower priority repeat", garp.lower_priority_repeat);
    line(text, 1, "Num adverts before down", vrrp.down_timer_adverts);
    let extra = vrrp.extra_announcements.map_or(Interval::ZERO, |extra| extra.interval);
    line(text, 1, "Gratuitous ARP for each secondary VMAC", format_args!("{extra}s"));
    let answers = !vrrp.lower_priority_no_advert;
    line(text, 1, "Send advert after receive lower priority advert", answers);
    let parts = vrrp.higher_priority_send_advert;
    line(text, 1, "Send advert after receive higher priority advert", parts);
    line(text, 1, "Gratuitous ARP interval", seconds(garp.interval));
    line(text, 1, "Gratuitous NA interval", seconds(garp.gna_interval));
    line(text, 1, "VRRP default protocol version", vrrp.version.number());
}

fn firewall(text: &mut String, firewall: &Firewall) {
    if let Some(table) = &firewall.nftables {
        line(text, 1, "nftables table name", table);
        line(text, 1, "nftables base chain priority", firewall.priority.unwrap_or(-1));
        let force = if firewall.by_index { "" } else { "don't " };
        let words = "force use ifindex for link local IPv6";
        words_line(text, 1, format_args!("nftables {force}{words}"));
    }
    let counters = if firewall.counters { "with" } else { "without" };
    words_line(text, 1, format_args!("nftables {counters} counters"));
}

fn processes(text: &mut String, global: &Global) {
    let most = match global.auto_priority {
        AutoPriority::Off => 0,
        AutoPriority::Silent => -1,
        AutoPriority::UpTo(most) => i16::from(most),
    };
    line(text, 1, "Max auto priority", most);
    let late = global.auto_priority_lateness.as_micros();
    line(text, 1, "Min auto priority delay", format_args!("{late} usecs"));
    for (name, process) in [
        ("VRRP", &global.vrrp_process),
        ("Checker", &global.checker_process),
        ("BFD", &global.bfd_process),
    ] {
        line(text, 1, &format!("{name} process priority"), process.nice.unwrap_or(0));
        line(text, 1, &format!("{name} don't swap"), process.no_swap);
        line(text, 1, &format!("{name} realtime priority"), process.realtime.unwrap_or(0));
        if let Some(limit) = process.realtime_limit {
            line(text, 1, &format!("{name} realtime limit"), limit.as_micros());
        }
    }
}

fn snmp(text: &mut String, snmp: &Snmp) {
    for (name, on) in [
        ("vrrp", snmp.vrrp),
        ("checker", snmp.checker),
        ("RFCv2", snmp.rfc2787),
        ("RFCv3", snmp.rfc6527),
        ("traps", snmp.traps),
    ] {
        words_line(text, 1, format_args!("SNMP {name} {}", enabled(on)));
    }
    let usual = "default (unix:/var/agentx/master)";
    line(text, 1, "SNMP socket", snmp.socket.as_deref().unwrap_or(usual));
}

fn buffer(text: &mut String, name: &str, buffer: ReceiveBuffer) {
    line(text, 1, name, buffer.bytes.unwrap_or(0));
    line(text, 1, &format!("{name}_force"), u8::from(buffer.force));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::global::LvsTimeouts;
    use crate::core::config::model::services::{Fifo, SyncDaemon};

    /// All lines are of keepalived 2.2.7 with the same words, but for the last of the timeouts, which it
    /// gives the name of the first, and the numbers of accounts.
    #[test]
    fn what_is_written_stands_in_keepalived_s_words_and_order() {
        let mut global = Global { router_id: "d1".into(), lvs_flush: true, ..Global::default() };
        global.mail.server = Some(("192.0.2.9".into(), 2525));
        global.mail.helo = Some("me.example".into());
        global.mail.from = Some("me@example.org".into());
        global.mail.to = vec!["root@example.org".into()];
        global.mail.alert = Some(true);
        global.lvs_timeouts =
            Some(LvsTimeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) });
        global.sync_daemon = Some(SyncDaemon {
            interface: "eth0".into(),
            instance: Some("one".into()),
            id: Some(7),
            longest_packet: None,
            port: Some(8850),
            ttl: Some(2),
            group: None,
        });
        global.fifos.vrrp.fifo = Some(Fifo { path: "/run/fifo".into(), owner: None });
        global.fifos.vrrp.reader = Some(Script { words: vec!["/usr/bin/true".into()], user: None });
        global.vrrp_process.nice = Some(-3);
        let text = globals(&global);
        let first = "------< Global definitions >------\n Network namespace = (default)\n \
            Network namespace ipvs = (main namespace)\n Router ID = d1\n \
            Smtp server = 192.0.2.9\n Smtp server port = 2525\n Smtp HELO name = me.example\n \
            Smtp server connection timeout = 30\n Email notification from = me@example.org\n \
            Email notification to:\n   root@example.org\n Default smtp_alert = on\n \
            Default smtp_alert_vrrp = unset\n Default smtp_alert_checker = unset\n \
            Checkers log all failures = false\n Dynamic interfaces = false\n \
            LVS TCP timeout = 900\n LVS TCP FIN timeout = 120\n LVS UDP timeout = 300\n \
            Disable local IGMP = no\n LVS syncd vrrp name = one\n LVS syncd interface = eth0\n \
            LVS syncd syncid = 7\n LVS syncd mcast port = 8850\n LVS syncd mcast ttl = 2\n \
            LVS flush = true\n LVS flush on stop = disabled\n VRRP notify fifo = /run/fifo\n \
            VRRP notify fifo script = '/usr/bin/true'\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("\n VRRP process priority = -3\n VRRP don't swap = false\n"));
        let last = " rs_init_notifies = 0\n no_checker_emails = 0\n rx_bufs_multiples = 3\n umask = 0177\n";
        assert!(text.ends_with(last), "{text}");
    }
}
