//! `global_defs`.

use std::net::{IpAddr, Ipv6Addr};

use super::context::{Context, account};
use super::services;
use crate::core::config::model::Script;
use crate::core::config::model::global::{FlushOnStop, Global, IpvsNamespace};
use crate::core::config::model::vrrp::VrrpVersion;
use crate::core::config::tree::Statement;
use crate::core::config::values;
use crate::core::time::Interval;

const BLOCK: &str = "global_defs";
/// The largest number of seconds that fits keepalived's microsecond timers.
const LONG: Interval = Interval::from_secs(LONGEST as u64);
const LONGEST: u32 = 4294;
/// Of the startup and shutdown scripts.
const SCRIPT_TIMEOUT: Interval = Interval::from_secs(10);

/// What is said, before defaults that depend on other words are worked in.
#[derive(Default)]
struct Draft {
    delay: Option<Interval>,
    repeat: Option<u32>,
    lower_priority_delay: Option<Interval>,
    lower_priority_repeat: Option<u32>,
    least_announcements: bool,
    startup_timeout: Option<Interval>,
    shutdown_timeout: Option<Interval>,
}

/// What the `global_defs` blocks among `statements` say; several add up.
pub fn build(context: &mut Context, statements: &[Statement], global: &mut Global) {
    let mut draft = Draft::default();
    for block in statements.iter().filter(|block| block.keyword() == BLOCK) {
        for statement in block.children() {
            one(context, statement, &mut draft, global);
        }
    }
    complete(&draft, global);
}

fn complete(draft: &Draft, global: &mut Global) {
    let garp = &mut global.vrrp.garp;
    if draft.least_announcements {
        (garp.delay, garp.repeat) = (Interval::ZERO, 1);
    }
    set(&mut garp.delay, draft.delay);
    set(&mut garp.repeat, draft.repeat);
    garp.lower_priority_delay = draft.lower_priority_delay.unwrap_or(garp.delay);
    garp.lower_priority_repeat = draft.lower_priority_repeat.unwrap_or(garp.repeat);
    if let Some((_, limit)) = &mut global.startup_script {
        *limit = Some(draft.startup_timeout.unwrap_or(SCRIPT_TIMEOUT));
    }
    if let Some((_, limit)) = &mut global.shutdown_script {
        *limit = Some(draft.shutdown_timeout.unwrap_or(SCRIPT_TIMEOUT));
    }
}

#[allow(clippy::cognitive_complexity)]
fn one(context: &mut Context, statement: &Statement, draft: &mut Draft, global: &mut Global) {
    let vrrp = &mut global.vrrp;
    match statement.keyword() {
        "router_id" => set(&mut global.router_id, context.text(statement)),
        "script_user" => {
            if context.required(statement).is_some() {
                global.script_user = account(statement.arguments());
            }
        }
        "enable_script_security" => {
            context.flag(statement);
            global.script_security = true;
        }
        "vrrp_version" => {
            if let Some(version) = context.number(statement, 2..=3) {
                vrrp.version = if version == 2 { VrrpVersion::V2 } else { VrrpVersion::V3 };
            }
        }
        "vrrp_strict" => set(&mut vrrp.strict, context.boolean(statement)),
        "vrrp_skip_check_adv_addr" => {
            set(&mut vrrp.skip_check_adv_addr, context.boolean(statement));
        }
        "vrrp_garp_master_delay" => {
            keep(&mut draft.delay, context.whole_seconds(statement, 0..=LONGEST));
        }
        "vrrp_garp_master_repeat" => keep(&mut draft.repeat, repeat(context, statement)),
        "vrrp_garp_master_refresh" => {
            set(&mut vrrp.garp.refresh, context.whole_seconds(statement, 0..=u32::MAX));
        }
        "vrrp_garp_master_refresh_repeat" => {
            set(&mut vrrp.garp.refresh_repeat, repeat(context, statement));
        }
        "vrrp_garp_lower_prio_delay" => {
            keep(&mut draft.lower_priority_delay, context.whole_seconds(statement, 0..=LONGEST));
        }
        "vrrp_garp_lower_prio_repeat" => {
            keep(&mut draft.lower_priority_repeat, context.number(statement, 0..=u32::MAX));
        }
        "vrrp_min_garp" => set(&mut draft.least_announcements, context.boolean(statement)),
        "vrrp_garp_interval" => set(&mut vrrp.garp.interval, pause(context, statement)),
        "vrrp_gna_interval" => set(&mut vrrp.garp.gna_interval, pause(context, statement)),
        "vrrp_mcast_group4" => match context.parse(statement, values::address) {
            Some(IpAddr::V4(group)) if group.is_multicast() => vrrp.multicast4 = group,
            Some(_) => context.error("bad-value", statement.span, "not an IPv4 multicast group"),
            None => {}
        },
        "vrrp_mcast_group6" => match context.parse(statement, values::address) {
            Some(IpAddr::V6(group)) if group.is_multicast() => {
                if !is_link_scope(group) {
                    let message = format!("{group} is not of the scope of a link");
                    context.error("not-link-local", statement.span, message);
                }
                vrrp.multicast6 = group;
            }
            Some(_) => context.error("bad-value", statement.span, "not an IPv6 multicast group"),
            None => {}
        },
        "vrrp_check_unicast_src" => {
            context.flag(statement);
            vrrp.check_unicast_source = true;
        }
        "vrrp_startup_delay" => {
            let range = Interval::from_millis(1)..=Interval::from_micros(u64::from(u32::MAX));
            set(&mut vrrp.startup_delay, context.seconds(statement, range));
        }
        "default_interface" => {
            keep(&mut vrrp.default_interface, context.parse(statement, values::interface_name));
        }
        "vrrp_lower_prio_no_advert" => {
            set(&mut vrrp.lower_priority_no_advert, context.boolean(statement));
        }
        "vrrp_higher_prio_send_advert" => {
            set(&mut vrrp.higher_priority_send_advert, context.boolean(statement));
        }
        "vrrp_owner_ignore_adverts" => {
            set(&mut vrrp.owner_ignores_adverts, context.boolean(statement));
        }
        "vrrp_notify_priority_changes" => {
            set(&mut vrrp.notify_priority_changes, context.boolean(statement));
        }
        "dynamic_interfaces" => {
            vrrp.dynamic_interfaces = true;
            vrrp.allow_interface_changes |= match statement.arguments().first() {
                None => false,
                Some(token) if token.text == "allow_if_changes" => {
                    context.not_acted_on(BLOCK, "dynamic_interfaces allow_if_changes", token.span);
                    true
                }
                Some(token) => {
                    let message =
                        format!("dynamic_interfaces '{}': not allow_if_changes", token.text);
                    context.error("bad-value", token.span, message);
                    false
                }
            };
        }
        "vrrp_down_timer_adverts" => {
            set(&mut vrrp.down_timer_adverts, byte(context, statement, 1, 100));
        }
        "lvs_flush" => {
            context.flag(statement);
            global.lvs_flush = true;
        }
        "lvs_flush_on_stop" | "lvs_flush_onstop" => {
            global.lvs_flush_on_stop = match statement.arguments().first() {
                None => FlushOnStop::WholeTable,
                Some(token) if token.text == "VS" => FlushOnStop::VirtualServers,
                Some(token) => {
                    let message = format!("lvs_flush_on_stop '{}': only VS may follow", token.text);
                    context.error("bad-value", token.span, message);
                    global.lvs_flush_on_stop
                }
            }
        }
        "lvs_timeouts" => timeouts(context, statement, global),
        "checker_log_all_failures" => {
            set(&mut global.checker_log_all_failures, context.boolean(statement));
        }
        "startup_script" => start(context, statement, &mut global.startup_script),
        "startup_script_timeout" => {
            keep(&mut draft.startup_timeout, script_timeout(context, statement));
        }
        "shutdown_script" => start(context, statement, &mut global.shutdown_script),
        "shutdown_script_timeout" => {
            keep(&mut draft.shutdown_timeout, script_timeout(context, statement));
        }
        _ if services::one(context, statement, global) => {}
        _ => context.unknown(BLOCK, statement),
    }
}

/// The process-wide words that stand at the outermost level.
pub fn root(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    match statement.keyword() {
        "instance" => once(context, statement, &mut global.instance),
        "net_namespace" => once(context, statement, &mut global.net_namespace),
        "net_namespace_ipvs" => {
            let name = statement.arguments().first();
            global.ipvs_namespace = Some(name.map_or(IpvsNamespace::Default, |name| {
                IpvsNamespace::Named(name.text.to_string())
            }));
        }
        "namespace_with_ipsets" => {
            context.flag(statement);
            global.ipsets_in_namespace = true;
        }
        "use_pid_dir" => global.use_pid_dir = true,
        "child_wait_time" => {
            set(&mut global.child_wait_time, context.whole_seconds(statement, 0..=u32::MAX));
        }
        _ => return false,
    }
    true
}

/// A word that may be given once.
fn once(context: &mut Context, statement: &Statement, slot: &mut Option<String>) {
    if slot.is_some() {
        let message = format!("{} is given twice, the first counts", statement.keyword());
        return context.error("duplicate", statement.span, message);
    }
    *slot = context.text(statement);
}

/// Whether packets to the group stay on the link (RFC 4291 section 2.7).
pub fn is_link_scope(group: Ipv6Addr) -> bool {
    group.segments().first().is_some_and(|first| first & 0x000f == 2)
}

/// Keeps the old value when the new one was at fault.
pub fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// The same where there may be no value yet.
pub fn keep<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

/// A number that fits a byte.
pub fn byte(context: &mut Context, statement: &Statement, low: u8, high: u8) -> Option<u8> {
    let value = context.number(statement, u32::from(low)..=u32::from(high))?;
    u8::try_from(value).ok()
}

/// keepalived refuses 0 here although guides write it; it means no pause, and is told.
fn pause(context: &mut Context, statement: &Statement) -> Option<Interval> {
    let found = context.seconds(statement, Interval::ZERO..=LONG)?;
    if found.is_zero() {
        let message =
            format!("{} 0 is outside of keepalived's range; no pause", statement.keyword());
        context.error("bad-value", statement.span, message);
    }
    Some(found)
}

/// How many announcements; keepalived makes one of none.
pub fn repeat(context: &mut Context, statement: &Statement) -> Option<u32> {
    let found = context.number(statement, 0..=u32::MAX)?;
    if found == 0 {
        let message = format!("{} 0 is too few, 1 is used", statement.keyword());
        context.error("bad-value", statement.span, message);
    }
    Some(found.max(1))
}

fn script_timeout(context: &mut Context, statement: &Statement) -> Option<Interval> {
    let seconds = context.number(statement, 1..=1000)?;
    Some(Interval::from_secs(seconds.into()))
}

/// A script of the daemon's own; the time that it may take is worked in later.
fn start(
    context: &mut Context,
    statement: &Statement,
    slot: &mut Option<(Script, Option<Interval>)>,
) {
    if slot.is_some() {
        let message = format!("{} is given twice, the first counts", statement.keyword());
        return context.error("duplicate", statement.span, message);
    }
    *slot = context.script(statement).map(|script| (script, None));
}

/// `tcp N`, `tcpfin N`, `udp N` in any order.
fn timeouts(context: &mut Context, statement: &Statement, global: &mut Global) {
    if context.required(statement).is_none() {
        return;
    }
    let mut timeouts = global.lvs_timeouts.unwrap_or_default();
    for pair in statement.arguments().chunks(2) {
        let [name, value] = pair else {
            context.error("bad-value", statement.span, "lvs_timeouts: a value is missing");
            break;
        };
        let slot = match &*name.text {
            "tcp" => &mut timeouts.tcp,
            "tcpfin" => &mut timeouts.tcp_fin,
            "udp" => &mut timeouts.udp,
            _ => {
                let message = format!("lvs_timeouts '{}': tcp, tcpfin or udp", name.text);
                context.error("bad-value", name.span, message);
                continue;
            }
        };
        // 31 days, as ipvsadm has it; 0 leaves the kernel's.
        let grammar = |word: &str| values::number(word, 0..=31 * 86_400);
        let found = context.parse_token("lvs_timeouts", value, grammar);
        if let Some(seconds) = found {
            *slot = Some(seconds).filter(|seconds| *seconds > 0);
        }
    }
    global.lvs_timeouts = Some(timeouts);
}
