//! Words of `global_defs` about what surrounds the daemons: mail, FIFOs, SNMP, D-Bus, firewall,
//! buffers, files, scheduling.

use std::net::IpAddr;

use super::context::{Context, account};
use super::global::{byte, keep, set};
use super::link::extra_announcements;
use super::words::Words;
use crate::core::config::model::Config;
use crate::core::config::model::global::{AutoPriority, Global, ProcessSettings, VrrpDefaults};
use crate::core::config::model::services::{
    AdvertBufferPolicy, Fifo, Firewall, Ipsets, IptablesChains, JsonVersion, Mail, NotifyFifos,
    ReceiveBuffer, ReloadMarker, Snmp, SyncDaemon,
};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};
use crate::core::time::Interval;

/// Seconds.
const LONGEST: u32 = 4294;
/// Of chains of iptables and of sets.
const LONGEST_CHAIN: usize = 30;
const LONGEST_SET: usize = 31;
const MOST_SETS: usize = 6;
/// What the kernel keeps of a process's name.
const LONGEST_PROCESS_NAME: usize = 15;
/// CPUs that the kernel can be built for.
const MOST_CPUS: u32 = 8192;

/// Takes one word; whether it was one of these.
pub fn one(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    mail(context, statement, &mut global.mail)
        || fifo(context, statement, &mut global.fifos)
        || snmp(context, statement, &mut global.snmp)
        || firewall(context, statement, &mut global.firewall)
        || process(context, statement, global)
        || buffer(context, statement, global)
        || vrrp(context, statement, &mut global.vrrp)
        || reload(context, statement, global)
        || files(context, statement, global)
        || rest(context, statement, global)
}

fn mail(context: &mut Context, statement: &Statement, mail: &mut Mail) -> bool {
    match statement.keyword() {
        "notification_email" => {
            if let Some(extra) = statement.arguments().first() {
                let message = "words before the brace of notification_email";
                context.error("extra-words", extra.span, message);
            }
            let words = statement.children().iter().flat_map(|child| child.words.iter());
            let before = mail.to.len();
            mail.to.extend(words.map(|word| word.text.to_string()));
            if mail.to.len() == before {
                context.error("empty-block", statement.span, "notification_email names nobody");
            }
        }
        "notification_email_from" => keep(&mut mail.from, context.text(statement)),
        "smtp_server" => {
            if let Some(server) = context.text(statement) {
                let port = match statement.arguments().get(1) {
                    None => Some(25),
                    Some(token) => context.parse_token("smtp_server", token, values::port),
                };
                if let Some(port) = port {
                    mail.server = Some((server, port));
                }
            }
        }
        "smtp_helo_name" => {
            let name = statement.arguments().first();
            mail.helo = name.map(|token| token.text.to_string()).or(mail.helo.take());
        }
        "smtp_connect_timeout" => {
            if let Some(timeout) = context.whole_seconds(statement, 0..=LONGEST) {
                if timeout.is_zero() {
                    let message = "smtp_connect_timeout 0 is too short, 1 s is used";
                    context.error("bad-value", statement.span, message);
                }
                mail.connect_timeout = Some(timeout.max(Interval::from_secs(1)));
            }
        }
        "smtp_alert" => keep(&mut mail.alert, context.boolean(statement)),
        "smtp_alert_vrrp" => keep(&mut mail.alert_vrrp, context.boolean(statement)),
        "smtp_alert_checker" => {
            keep(&mut mail.alert_checker, context.boolean(statement));
        }
        "no_email_faults" => {
            context.flag(statement);
            mail.no_faults = true;
        }
        "no_checker_emails" => set(&mut mail.no_checks, context.boolean(statement)),
        _ => return false,
    }
    true
}

fn fifo(context: &mut Context, statement: &Statement, fifos: &mut NotifyFifos) -> bool {
    let fifo = match statement.keyword() {
        "notify_fifo" | "notify_fifo_script" => &mut fifos.all,
        "vrrp_notify_fifo" | "vrrp_notify_fifo_script" => &mut fifos.vrrp,
        "lvs_notify_fifo" | "lvs_notify_fifo_script" => &mut fifos.lvs,
        "fifo_write_vrrp_states_on_reload" => {
            context.flag(statement);
            fifos.states_on_reload = true;
            return true;
        }
        _ => return false,
    };
    if statement.keyword().ends_with("_script") {
        context.script_once(statement, &mut fifo.reader);
    } else if fifo.fifo.is_some() {
        let message = format!("{} is given twice, the first counts", statement.keyword());
        context.error("duplicate", statement.span, message);
    } else if let Some(path) = context.text(statement) {
        let owner = account(statement.arguments().get(1..).unwrap_or_default());
        context.places.fifos.push((path.clone(), statement.span));
        fifo.fifo = Some(Fifo { path, owner });
    }
    true
}

fn snmp(context: &mut Context, statement: &Statement, snmp: &mut Snmp) -> bool {
    let age = Interval::from_millis(1)..=Interval::from_secs(30);
    match statement.keyword() {
        "snmp_socket" if statement.arguments().len() > 1 => {
            let message = "snmp_socket takes one address, the line is ignored";
            context.error("extra-words", statement.span, message);
        }
        "snmp_socket" => {
            let socket = context.text(statement);
            if let Some(Err(fault)) = socket.as_deref().map(values::agent_address) {
                // keepalived takes anything, and finds nobody there.
                let message = format!("snmp_socket is {fault}: there will be no SNMP");
                context.warning("agent-address", statement.span, message);
            }
            keep(&mut snmp.socket, socket);
        }
        "enable_traps" => snmp.traps = true,
        "enable_snmp_vrrp" => snmp.vrrp = true,
        "enable_snmp_keepalived" => {
            context.old_spelling(statement, "enable_snmp_vrrp");
            snmp.vrrp = true;
        }
        "enable_snmp_checker" => snmp.checker = true,
        "enable_snmp_rfc" => (snmp.rfc2787, snmp.rfc6527) = (true, true),
        "enable_snmp_rfcv2" => snmp.rfc2787 = true,
        "enable_snmp_rfcv3" => snmp.rfc6527 = true,
        "snmp_vs_stats_update_interval" => {
            set(&mut snmp.service_figures_age, context.seconds(statement, age));
        }
        "snmp_rs_stats_update_interval" => {
            keep(&mut snmp.server_figures_age, context.seconds(statement, age));
        }
        _ => return false,
    }
    true
}

fn firewall(context: &mut Context, statement: &Statement, firewall: &mut Firewall) -> bool {
    match statement.keyword() {
        "vrrp_iptables" if firewall.nftables.is_some() => {
            let message = "vrrp_iptables beside nftables, it is ignored";
            context.error("two-firewalls", statement.span, message);
        }
        "vrrp_iptables" => {
            if let Some(chains) = iptables(context, statement) {
                firewall.iptables = Some(chains);
                instead(context, statement);
            }
        }
        "vrrp_ipsets" => {
            if let Some(sets) = ipsets(context, statement) {
                firewall.ipsets = sets;
                instead(context, statement);
            }
        }
        "nftables" if firewall.nftables.is_some() => {
            context.error("duplicate", statement.span, "nftables is given twice, the first counts");
        }
        "nftables" if firewall.iptables.is_some() => {
            let message = "nftables beside vrrp_iptables, it is ignored";
            context.error("two-firewalls", statement.span, message);
        }
        "nftables" => firewall.nftables = Some(table(statement, "keepalived")),
        "nftables_priority" => {
            keep(&mut firewall.priority, signed(context, statement));
        }
        "nftables_ifindex" => firewall.by_index = true,
        "nftables_counters" => firewall.counters = true,
        "nftables_ipvs" => firewall.ipvs = Some(table(statement, "keepalived_ipvs")),
        "nftables_ipvs_priority" => {
            keep(&mut firewall.ipvs_priority, signed(context, statement));
        }
        "nftables_ipvs_start_fwmark" => {
            keep(&mut firewall.ipvs_first_mark, context.number(statement, 1..=u32::MAX));
        }
        _ => return false,
    }
    true
}

/// As a keepalived that is built without iptables, as Debian's is, or one that finds an `iptables` that
/// writes nftables: keepalived.conf(5).
fn instead(context: &mut Context, statement: &Statement) {
    let message = "nftables is used instead, in a table of its own; chains and sets of iptables stay as \
                   they are: write `nftables` in its place";
    context.warning("nftables-instead", statement.span, message);
}

fn table(statement: &Statement, usual: &str) -> String {
    let name = statement.arguments().first();
    name.map_or_else(|| usual.to_owned(), |token| token.text.to_string())
}

fn signed(context: &mut Context, statement: &Statement) -> Option<i32> {
    context.parse(statement, |word| values::signed(word, i32::MIN..=i32::MAX))
}

/// `[IN [OUT]]`.
fn iptables(context: &mut Context, statement: &Statement) -> Option<IptablesChains> {
    let mut names = Vec::new();
    for token in statement.arguments().iter().take(2) {
        names.push(
            context.parse_token("vrrp_iptables", token, |word| short_name(word, LONGEST_CHAIN))?,
        );
    }
    let mut names = names.into_iter();
    Some(match names.next() {
        None => IptablesChains { input: "INPUT".into(), output: Some("OUTPUT".into()) },
        Some(input) => IptablesChains { input, output: names.next() },
    })
}

fn ipsets(context: &mut Context, statement: &Statement) -> Option<Ipsets> {
    let mut names = Vec::new();
    for token in statement.arguments() {
        names
            .push(context.parse_token("vrrp_ipsets", token, |word| short_name(word, LONGEST_SET))?);
    }
    if names.len() > MOST_SETS {
        let message = format!("vrrp_ipsets takes at most {MOST_SETS} names");
        context.error("extra-words", statement.span, message);
        return None;
    }
    Some(if names.is_empty() { Ipsets::Disabled } else { Ipsets::Names(names) })
}

fn short_name(word: &str, longest: usize) -> Result<String, Fault> {
    if word.len() <= longest {
        Ok(word.to_owned())
    } else {
        Err(format!("longer than {longest} characters"))
    }
}

/// Names and scheduling of the processes.
fn process(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    let names = &mut global.process_names;
    let slot = match statement.keyword() {
        "process_names" => {
            context.flag(statement);
            names.by_role = true;
            return true;
        }
        "process_name" => &mut names.parent,
        "vrrp_process_name" => &mut names.vrrp,
        "checker_process_name" | "lvs_process_name" => {
            if statement.keyword() == "lvs_process_name" {
                context.old_spelling(statement, "checker_process_name");
            }
            &mut names.checker
        }
        "bfd_process_name" => &mut names.bfd,
        _ => return scheduling(context, statement, global),
    };
    if let Some(name) = context.text(statement) {
        if name.len() > LONGEST_PROCESS_NAME {
            let message =
                format!("the name '{name}' is longer than {LONGEST_PROCESS_NAME}, it is cut");
            context.error("long-name", statement.span, message);
        }
        *slot = Some(name.chars().take(LONGEST_PROCESS_NAME).collect());
    }
    true
}

fn scheduling(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    let Some((who, what)) = statement.keyword().split_once('_') else {
        return false;
    };
    let settings = match who {
        "vrrp" => &mut global.vrrp_process,
        "checker" => &mut global.checker_process,
        "bfd" => &mut global.bfd_process,
        _ => return false,
    };
    match what {
        "priority" => {
            let nice = context.parse(statement, |word| values::signed(word, -20..=19));
            keep(&mut settings.nice, nice.and_then(|nice| i8::try_from(nice).ok()));
        }
        "rt_priority" => {
            keep(&mut settings.realtime, byte(context, statement, 1, 99));
        }
        "no_swap" => {
            context.flag(statement);
            settings.no_swap = true;
        }
        "cpu_affinity" => cpus(context, statement, settings),
        "rlimit_rttime" | "rlimit_rtime" => {
            if what == "rlimit_rtime" {
                context.old_spelling(statement, &format!("{who}_rlimit_rttime"));
            }
            if let Some(limit) = context.number(statement, 1..=u32::MAX) {
                // The kernel warns half way, and that must not be zero.
                settings.realtime_limit = Some(Interval::from_micros(u64::from(limit.max(2))));
            }
        }
        _ => return false,
    }
    true
}

fn cpus(context: &mut Context, statement: &Statement, settings: &mut ProcessSettings) {
    if context.required(statement).is_none() {
        return;
    }
    let mut found = std::collections::BTreeSet::new();
    for token in statement.arguments() {
        let grammar = |word: &str| values::number(word, 0..=MOST_CPUS - 1);
        let Some(cpu) = context.parse_token(statement.keyword(), token, grammar) else {
            return;
        };
        found.extend(u16::try_from(cpu));
    }
    settings.cpus = found;
}

fn buffer(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    let keyword = statement.keyword();
    let (name, force) = match keyword.strip_suffix("_force") {
        Some(name) => (name, true),
        None => (keyword, false),
    };
    let buffers = &mut global.buffers;
    let slot: &mut ReceiveBuffer = match name {
        "vrrp_netlink_cmd_rcv_bufs" => &mut buffers.vrrp_command,
        "vrrp_netlink_monitor_rcv_bufs" => &mut buffers.vrrp_monitor,
        "lvs_netlink_cmd_rcv_bufs" => &mut buffers.lvs_command,
        "lvs_netlink_monitor_rcv_bufs" => &mut buffers.lvs_monitor,
        "process_monitor_rcv_bufs" => &mut buffers.process_monitor,
        _ => return false,
    };
    if force {
        set(&mut slot.force, context.boolean(statement));
    } else {
        keep(&mut slot.bytes, context.number(statement, 0..=u32::MAX));
    }
    true
}

/// Defaults of instances that are seldom set.
fn vrrp(context: &mut Context, statement: &Statement, vrrp: &mut VrrpDefaults) -> bool {
    match statement.keyword() {
        "v3_checksum_as_v2" => {
            context.flag(statement);
            vrrp.v3_checksum_as_v2 = true;
        }
        "disable_local_igmp" => {
            context.flag(statement);
            vrrp.no_local_igmp = true;
        }
        "vrrp_garp_extra_if" | "vrrp_vmac_garp_intvl" => {
            if statement.keyword() == "vrrp_vmac_garp_intvl" {
                context.deprecated(statement, "vrrp_garp_extra_if");
            }
            keep(&mut vrrp.extra_announcements, extra_announcements(context, statement, 1));
        }
        "vrrp_rx_bufs_policy" => {
            let found = context.parse(statement, |word| match word.to_ascii_uppercase().as_str() {
                "MTU" => Ok(AdvertBufferPolicy::Mtu),
                "ADVERT" => Ok(AdvertBufferPolicy::Advert),
                _ => values::number(word, 0..=u32::MAX)
                    .map(AdvertBufferPolicy::Bytes)
                    .map_err(|_| "neither MTU nor ADVERT nor a number of bytes".to_owned()),
            });
            set(&mut vrrp.receive_policy, found);
        }
        "vrrp_rx_bufs_multiplier" => {
            set(&mut vrrp.receive_multiplier, context.number(statement, 1..=u32::MAX));
        }
        "vrrp_delay_after_boot" => {
            let range = Interval::from_millis(1)..=Interval::from_micros(u64::from(u32::MAX));
            set(&mut vrrp.delay_after_boot, context.seconds(statement, range));
        }
        "log_unknown_vrids" => {
            context.flag(statement);
            vrrp.log_unknown_vrids = true;
        }
        "vmac_prefix" => set(&mut vrrp.vmac_prefix, prefix(context, statement)),
        "vmac_addr_prefix" => {
            keep(&mut vrrp.vmac_address_prefix, prefix(context, statement));
        }
        _ => return false,
    }
    true
}

/// With the dot and the largest router number it must still fit the name of an interface.
fn prefix(context: &mut Context, statement: &Statement) -> Option<String> {
    context.parse(statement, |word| match values::interface_name(word) {
        Ok(name) if name.len() <= 11 => Ok(name),
        Ok(_) => Err("longer than 11 characters".to_owned()),
        Err(fault) => Err(fault),
    })
}

fn reload(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    let first = || statement.arguments().first().map(|token| token.text.to_string());
    match statement.keyword() {
        "reload_check_config" => {
            global.reload.check = Some(first().unwrap_or_else(|| "/dev/null".to_owned()));
        }
        "reload_time_file" => {
            keep(&mut global.reload.time_file, context.text(statement));
        }
        "reload_repeat" => {
            context.flag(statement);
            global.reload.repeat = true;
        }
        "reload_file" => {
            global.reload.marker = Some(first().map_or(ReloadMarker::Usual, ReloadMarker::Path));
        }
        // The preprocessor has acted on these two.
        "random_seed" => {
            context.number(statement, 0..=u32::MAX);
        }
        "include_check" => {
            for token in statement.arguments() {
                context.parse_token("include_check", token, include_check);
            }
        }
        _ => return false,
    }
    true
}

fn include_check(word: &str) -> Result<(), Fault> {
    match word.trim_start_matches(['+', '-']) {
        "read" | "readable" | "match" | "wildcard_match" | "brace_match" => Ok(()),
        _ => Err("none of read, match, wildcard_match, brace_match".to_owned()),
    }
}

fn files(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    let files = &mut global.files;
    let slot = match statement.keyword() {
        "config_save_dir" => &mut files.save_directory,
        "tmp_config_directory" => &mut files.temporary_directory,
        "iproute_usr_dir" => &mut files.iproute_distribution,
        "iproute_etc_dir" => &mut files.iproute_local,
        "state_dump_file" => &mut files.state_dump,
        "stats_dump_file" => &mut files.statistics_dump,
        "json_dump_file" => &mut files.json_dump,
        "data_use_instance" => {
            set(&mut files.data_use_instance, context.boolean(statement));
            return true;
        }
        "json_version" => {
            let found = context.number(statement, 1..=2).map(|version| match version {
                2 => JsonVersion::Object,
                _ => JsonVersion::Array,
            });
            set(&mut files.json_version, found);
            return true;
        }
        "umask" => {
            keep(&mut files.umask, context.parse(statement, umask));
            return true;
        }
        _ => return false,
    };
    keep(slot, context.text(statement));
    true
}

/// A number in any base, or names of bits joined by `|`.
fn umask(word: &str) -> Result<u16, Fault> {
    let fault = || "neither a mask of up to 0777 nor names like IRUSR|IWGRP".to_owned();
    if let Some(mask) = super::names::any_base(word) {
        return u16::try_from(mask).ok().filter(|mask| *mask <= 0o777).ok_or_else(fault);
    }
    let bit = |name: &str| {
        Some(match name.trim() {
            "IRUSR" => 0o400,
            "IWUSR" => 0o200,
            "IXUSR" => 0o100,
            "IRWXU" => 0o700,
            "IRGRP" => 0o040,
            "IWGRP" => 0o020,
            "IXGRP" => 0o010,
            "IRWXG" => 0o070,
            "IROTH" => 0o004,
            "IWOTH" => 0o002,
            "IXOTH" => 0o001,
            "IRWXO" => 0o007,
            _ => return None,
        })
    };
    word.split('|').try_fold(0, |mask, name| Some(mask | bit(name)?)).ok_or_else(fault)
}

fn rest(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    match statement.keyword() {
        "use_symlink_paths" => set(&mut global.symlink_paths, context.boolean(statement)),
        "set_supplementary_groups" => {
            set(&mut global.supplementary_groups, context.boolean(statement));
        }
        "shared_checks" => set(&mut global.shared_checks, context.boolean(statement)),
        "rs_init_notifies" => {
            set(&mut global.initial_server_notifies, context.boolean(statement));
        }
        "max_auto_priority" => {
            if let Some(found) = auto_priority(context, statement) {
                global.auto_priority = found;
            }
        }
        "min_auto_priority_delay" => {
            if let Some(micros) = context.number(statement, 1..=10_000_000) {
                global.auto_priority_lateness = Interval::from_micros(micros.into());
            }
        }
        "lvs_sync_daemon" if global.sync_daemon.is_some() => {
            let message = "lvs_sync_daemon is given twice, the first counts";
            context.error("duplicate", statement.span, message);
        }
        "lvs_sync_daemon" => {
            context.places.sync_daemon = Some(statement.span);
            global.sync_daemon = sync_daemon(context, statement);
        }
        "enable_dbus" => {
            context.flag(statement);
            global.dbus.enabled = true;
        }
        "dbus_service_name" => set(&mut global.dbus.service_name, context.text(statement)),
        "dbus_no_interface_name" => {
            set(&mut global.dbus.no_interface_name, context.text(statement));
        }
        _ => return false,
    }
    true
}

/// `[N]`, -1 to 99; the greatest when there is none.
fn auto_priority(context: &mut Context, statement: &Statement) -> Option<AutoPriority> {
    if statement.arguments().is_empty() {
        return Some(AutoPriority::UpTo(99));
    }
    let value = context.parse(statement, |word| values::signed(word, -1..=99))?;
    Some(match u8::try_from(value) {
        Err(_) => AutoPriority::Silent,
        Ok(0) => AutoPriority::Off,
        Ok(most) => AutoPriority::UpTo(most),
    })
}

/// `IF [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDR]`; a bare number is the old
/// way to write the id.
fn sync_daemon(context: &mut Context, statement: &Statement) -> Option<SyncDaemon> {
    let first = context.required(statement)?;
    let interface = context.parse_token("lvs_sync_daemon", first, values::interface_name)?;
    context.needs_interface(&interface, first.span, super::Need::Mentioned);
    let mut found = SyncDaemon {
        interface,
        instance: None,
        id: None,
        longest_packet: None,
        port: None,
        ttl: None,
        group: None,
    };
    let mut words = Words::new(statement.arguments().get(1..)?);
    while let Some(word) = words.pop() {
        if sync_option(context, word, &mut words, &mut found).is_none() {
            break;
        }
    }
    Some(found)
}

fn sync_option(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
    found: &mut SyncDaemon,
) -> Option<()> {
    let in_range = |low: u32, high: u32| move |word: &str| values::number(word, low..=high);
    match &*word.text {
        "inst" => found.instance = Some(words.value(context, word).ok()?.text.to_string()),
        "id" => {
            let id = words.parse(context, word, in_range(0, 255)).ok()?;
            found.id = u8::try_from(id).ok();
        }
        "maxlen" => {
            let length = words.parse(context, word, in_range(1, 65507)).ok()?;
            found.longest_packet = u16::try_from(length).ok();
        }
        "port" => found.port = Some(words.parse(context, word, values::port).ok()?),
        "ttl" => {
            let ttl = words.parse(context, word, in_range(1, 255)).ok()?;
            found.ttl = u8::try_from(ttl).ok();
        }
        "group" => {
            let grammar = |word: &str| match values::address(word)? {
                address if address.is_multicast() => Ok::<IpAddr, Fault>(address),
                _ => Err("not a multicast address".to_owned()),
            };
            found.group = Some(words.parse(context, word, grammar).ok()?);
        }
        text if found.instance.is_none() => found.instance = Some(text.to_owned()),
        text if found.id.is_none() && values::number(text, 0..=255).is_ok() => {
            let message = "a bare id of lvs_sync_daemon is deprecated, write `id N`";
            context.error("deprecated", word.span, message);
            let id = values::number(text, 0..=255).ok()?;
            found.id = u8::try_from(id).ok();
        }
        text => {
            let message = format!("lvs_sync_daemon: '{text}' is not understood");
            context.error("unknown-keyword", word.span, message);
            return None;
        }
    }
    Some(())
}

/// What can be seen only with everything at hand.
pub fn finish(context: &mut Context, config: &mut Config) {
    let instances = &config.vrrp.instances;
    let known = |name: &String| instances.iter().any(|instance| instance.name == *name);
    let daemon = &mut config.global.sync_daemon;
    if let Some(SyncDaemon { instance: Some(name), .. }) = daemon
        && !known(name)
    {
        let message = format!("lvs_sync_daemon: there is no instance {name}, it is not run");
        let span = context.places.sync_daemon.unwrap_or_default();
        context.error("unknown-instance", span, message);
        *daemon = None;
    }
    same_fifo(context, &mut config.global.fifos);
}

/// Two pipes of one path would mix their lines.
fn same_fifo(context: &mut Context, fifos: &mut NotifyFifos) {
    let path = |fifo: &Option<Fifo>| fifo.as_ref().map(|fifo| fifo.path.clone());
    let Some(all) = path(&fifos.all.fifo) else { return };
    for fifo in [&mut fifos.vrrp.fifo, &mut fifos.lvs.fifo] {
        if path(fifo).as_ref() == Some(&all) {
            let place = context.places.fifos.iter().rfind(|(path, _)| *path == all);
            let span = place.map(|(_, span)| *span).unwrap_or_default();
            let message = format!("{all} is the path of notify_fifo already, it is left out");
            context.error("same-fifo", span, message);
            *fifo = None;
        }
    }
}
