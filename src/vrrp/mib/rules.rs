//! Policy rules: table 8.

use super::{Gathered, entry, number};
use crate::core::config::model::route::{Named, Prefix, Range, Rule, RuleAction};
use crate::core::iproute::Names;
use crate::snmp::value::Value;
use crate::snmp::view::View;
use crate::vrrp::event::State;

struct Shown {
    rule: Rule,
    set: bool,
    table: Option<u32>,
    tos: u32,
    realms: Option<(Option<u32>, u32)>,
    group: Option<u32>,
    protocol: u32,
}

pub(super) fn add(view: &mut View, gathered: &Gathered, names: &Names) {
    let mut rows = Vec::new();
    let mut add = |instance: u32, rules: &[Rule], set: bool| {
        for (place, rule) in rules.iter().enumerate() {
            rows.push((vec![instance, number(place)], shown(names, rule, set)));
        }
    };
    add(0, &gathered.fixed.config.static_rules, true);
    for (place, row) in gathered.rows.iter().enumerate() {
        add(number(place), &row.instance.rules, row.state == State::Master);
    }
    view.table(entry(8), 2..=38, rows, cell);
}

fn shown(names: &Names, rule: &Rule, set: bool) -> Shown {
    let resolved = |named: &Named| names.resolve(named);
    let table = match &rule.action {
        RuleAction::Table(table) => resolved(table),
        RuleAction::Goto(_)
        | RuleAction::Nop
        | RuleAction::Blackhole
        | RuleAction::Prohibit
        | RuleAction::Unreachable
        | RuleAction::L3Master => None,
    };
    let realms = rule
        .realms
        .as_ref()
        .and_then(|realms| Some((realms.from.as_ref().and_then(resolved), resolved(&realms.to)?)));
    Shown {
        set,
        table,
        tos: rule.tos.as_ref().and_then(resolved).unwrap_or(0),
        realms,
        group: rule.suppress_interface_group.as_ref().and_then(resolved),
        protocol: resolved(&rule.protocol).unwrap_or(0),
        rule: rule.clone(),
    }
}

fn direction(rule: &Rule) -> &'static str {
    match (rule.from, rule.to) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "from",
        (None, Some(_)) => "to",
        (None, None) => "",
    }
}

fn cell(shown: &Shown, column: u32) -> Option<Value> {
    let rule = &shown.rule;
    Some(match column {
        2 => Value::text(direction(rule)),
        3..=5 => return prefix(rule.to.or(rule.from)?, column - 3),
        6 | 24 => Value::gauge(shown.table?),
        7 => Value::truth(shown.set),
        8 => Value::truth(rule.inverted),
        9..=11 => return prefix(rule.to?, column - 9),
        12..=14 => return prefix(rule.from?, column - 12),
        15 => Value::gauge(shown.tos),
        16 => Value::gauge(rule.mark?.mark),
        17 if rule.mark?.mask != u32::MAX => Value::gauge(rule.mark?.mask),
        18 => Value::gauge(shown.realms?.1),
        19 => Value::gauge(shown.realms?.0?),
        20 => Value::text(rule.input.as_ref()?),
        21 => Value::text(rule.output.as_ref()?),
        22 => match rule.action {
            RuleAction::Goto(preference) => Value::gauge(preference),
            _ => return None,
        },
        23 => Value::Integer(action(&rule.action)),
        25 => Value::gauge(rule.preference),
        26 => Value::gauge(rule.suppress_prefix_length?),
        27 => Value::text(&shown.group?.to_string()),
        28 => Value::gauge(rule.tunnel_id? >> 32),
        29 => Value::gauge(rule.tunnel_id? & 0xffff_ffff),
        30 => Value::gauge(rule.users?.first),
        31 => Value::gauge(rule.users?.last),
        32 if rule.action == RuleAction::L3Master => Value::truth(true),
        33 => Value::integer(shown.protocol + 1),
        34 => Value::gauge(rule.ip_protocol?),
        35 | 36 => port(rule.source_ports?, column == 35),
        37 | 38 => port(rule.destination_ports?, column == 37),
        _ => return None,
    })
}

fn port(range: Range<u16>, is_first: bool) -> Value {
    Value::gauge(if is_first { range.first } else { range.last })
}

/// Type, address, length.
fn prefix(prefix: Prefix, column: u32) -> Option<Value> {
    match column {
        0 => Some(Value::address_type(prefix.address)),
        1 => Some(Value::address(prefix.address)),
        2 => Some(Value::gauge(prefix.length)),
        _ => None,
    }
}

const fn action(action: &RuleAction) -> i32 {
    match action {
        RuleAction::Table(_) | RuleAction::L3Master => 1,
        RuleAction::Goto(_) => 2,
        RuleAction::Nop => 3,
        RuleAction::Blackhole => 6,
        RuleAction::Unreachable => 7,
        RuleAction::Prohibit => 8,
    }
}
