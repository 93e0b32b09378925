//! `global_defs`.

use std::net::IpAddr;

use super::context::Context;
use crate::core::config::model::ScriptUser;
use crate::core::config::model::global::{FlushOnStop, Global};
use crate::core::config::model::vrrp::VrrpVersion;
use crate::core::config::tree::Statement;
use crate::core::config::values;
use crate::core::time::Interval;

const BLOCK: &str = "global_defs";
/// The largest number of seconds that fits keepalived's microsecond timers.
const LONG: Interval = Interval::from_secs(4294);

/// Adds what one `global_defs` block says; several add up.
pub fn build(context: &mut Context, block: &Statement, global: &mut Global) {
    for statement in block.children() {
        one(context, statement, global);
    }
}

#[allow(clippy::cognitive_complexity)]
fn one(context: &mut Context, statement: &Statement, global: &mut Global) {
    let vrrp = &mut global.vrrp;
    let any = Interval::ZERO..=LONG;
    match statement.keyword() {
        "router_id" => set(&mut global.router_id, context.text(statement)),
        "script_user" => {
            if let Some(user) = context.text(statement) {
                let group = statement.arguments().get(1);
                let group = group.map(|token| token.text.trim_start_matches(':').to_owned());
                global.script_user = Some(ScriptUser { user, group });
            }
        }
        "enable_script_security" => {
            context.flag(statement);
            global.script_security = true;
        }
        "notification_email" => {
            let words = statement.children().iter().flat_map(|child| child.words.iter());
            global.mail.to.extend(words.map(|word| word.text.clone()));
            context.unknown(BLOCK, statement);
        }
        "notification_email_from" => {
            global.mail.from = context.text(statement);
            context.unknown(BLOCK, statement);
        }
        "smtp_server" => {
            if let Some(server) = context.text(statement) {
                let port = statement.arguments().get(1);
                let port =
                    port.and_then(|token| context.parse_token("smtp_server", token, values::port));
                global.mail.server = Some((server, port.unwrap_or(25)));
            }
            context.unknown(BLOCK, statement);
        }
        "smtp_connect_timeout" => {
            global.mail.connect_timeout = context.seconds(statement, any);
            context.unknown(BLOCK, statement);
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
        "vrrp_garp_master_delay" => set(&mut vrrp.garp.delay, context.seconds(statement, any)),
        "vrrp_garp_master_repeat" => {
            set(&mut vrrp.garp.repeat, context.number(statement, 1..=u32::MAX));
        }
        "vrrp_garp_master_refresh" => set(&mut vrrp.garp.refresh, context.seconds(statement, any)),
        "vrrp_garp_master_refresh_repeat" => {
            set(&mut vrrp.garp.refresh_repeat, context.number(statement, 1..=u32::MAX));
        }
        "vrrp_garp_lower_prio_delay" => {
            set(&mut vrrp.garp.lower_priority_delay, context.seconds(statement, any));
        }
        "vrrp_garp_lower_prio_repeat" => {
            set(&mut vrrp.garp.lower_priority_repeat, context.number(statement, 0..=u32::MAX));
        }
        "vrrp_garp_interval" => set(&mut vrrp.garp.interval, pause(context, statement)),
        "vrrp_gna_interval" => set(&mut vrrp.garp.gna_interval, pause(context, statement)),
        "vrrp_mcast_group4" => match context.parse(statement, values::address) {
            Some(IpAddr::V4(group)) if group.is_multicast() => vrrp.multicast4 = group,
            Some(_) => context.error("bad-value", statement.span, "not an IPv4 multicast group"),
            None => {}
        },
        "vrrp_mcast_group6" => match context.parse(statement, values::address) {
            Some(IpAddr::V6(group)) if group.is_multicast() => vrrp.multicast6 = group,
            Some(_) => context.error("bad-value", statement.span, "not an IPv6 multicast group"),
            None => {}
        },
        "vrrp_check_unicast_src" => {
            context.flag(statement);
            vrrp.check_unicast_source = true;
        }
        "vrrp_startup_delay" => set(&mut vrrp.startup_delay, context.seconds(statement, any)),
        "default_interface" => vrrp.default_interface = context.text(statement),
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
        "dynamic_interfaces" => vrrp.dynamic_interfaces = true,
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
        "vrrp_priority" => global.vrrp_process.nice = nice(context, statement),
        "checker_priority" => global.checker_process.nice = nice(context, statement),
        "vrrp_rt_priority" => global.vrrp_process.realtime = byte(context, statement, 1, 99),
        "checker_rt_priority" => global.checker_process.realtime = byte(context, statement, 1, 99),
        "vrrp_no_swap" => global.vrrp_process.no_swap = true,
        "checker_no_swap" => global.checker_process.no_swap = true,
        "startup_script" => {
            let limit = global.startup_script.take().and_then(|(_, limit)| limit);
            global.startup_script = context.script(statement).map(|script| (script, limit));
        }
        "startup_script_timeout" => {
            let limit = context.seconds(statement, any);
            if let Some((_, slot)) = &mut global.startup_script {
                *slot = limit;
            }
        }
        "shutdown_script" => {
            let limit = global.shutdown_script.take().and_then(|(_, limit)| limit);
            global.shutdown_script = context.script(statement).map(|script| (script, limit));
        }
        "shutdown_script_timeout" => {
            let limit = context.seconds(statement, any);
            if let Some((_, slot)) = &mut global.shutdown_script {
                *slot = limit;
            }
        }
        _ => context.unknown(BLOCK, statement),
    }
}

/// The process-wide words that stand at the outermost level.
pub fn root(context: &mut Context, statement: &Statement, global: &mut Global) -> bool {
    match statement.keyword() {
        "instance" => global.instance = context.text(statement),
        "net_namespace" => global.net_namespace = context.text(statement),
        "use_pid_dir" => global.use_pid_dir = true,
        "child_wait_time" => {
            let range = Interval::ZERO..=LONG;
            set(&mut global.child_wait_time, context.seconds(statement, range));
        }
        _ => return false,
    }
    true
}

/// Keeps the old value when the new one was at fault.
pub fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
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

fn nice(context: &mut Context, statement: &Statement) -> Option<i8> {
    let found = context.parse(statement, |word| values::signed(word, -20..=19))?;
    i8::try_from(found).ok()
}

/// `tcp N`, `tcpfin N`, `udp N` in any order.
fn timeouts(context: &mut Context, statement: &Statement, global: &mut Global) {
    let mut timeouts = global.lvs_timeouts.unwrap_or_default();
    for pair in statement.arguments().chunks(2) {
        let [name, value] = pair else {
            context.error("bad-value", statement.span, "lvs_timeouts: a value is missing");
            break;
        };
        let slot = match name.text.as_str() {
            "tcp" => &mut timeouts.tcp,
            "tcpfin" => &mut timeouts.tcp_fin,
            "udp" => &mut timeouts.udp,
            _ => {
                let message = format!("lvs_timeouts '{}': tcp, tcpfin or udp", name.text);
                context.error("bad-value", name.span, message);
                continue;
            }
        };
        // 31 days, as ipvsadm has it.
        let range = 1..=31 * 86_400;
        let grammar = |word: &str| values::number(word, range);
        *slot = context.parse_token("lvs_timeouts", value, grammar);
    }
    global.lvs_timeouts = Some(timeouts);
}
