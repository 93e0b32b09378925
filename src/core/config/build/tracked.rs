//! Objects that are watched: `vrrp_script`, `vrrp_track_process`, `track_file`, `track_group`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::context::{Context, account};
use super::global::{keep, set};
use super::track::{effect, file_effect};
use crate::core::config::model::track::{
    FileEffect, InitialFile, ParameterMatch, TrackFile, TrackGroup, TrackProcess,
};
use crate::core::config::model::vrrp::{TrackEffect, TrackScript, TrackedInterface, VrrpConfig};
use crate::core::config::model::{Config, Script};
use crate::core::config::tree::Statement;
use crate::core::config::values;
use crate::core::time::Interval;

const SCRIPT: &str = "vrrp_script";
const PROCESS: &str = "vrrp_track_process";
const FILE: &str = "track_file";
const LONG: Interval = Interval::from_secs(4294);
/// Beyond what any word takes.
const FAR: Interval = Interval::from_secs(1 << 32);
const LONGEST_DELAY: Interval = Interval::from_secs(3600);
/// What the kernel keeps of a program's name.
const SHORT_NAME: usize = 15;

/// A `vrrp_script` block.
pub fn script(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.scripts.iter().any(|script| script.name == name) {
        let message = format!("vrrp_script {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let mut user = None;
    let mut command: Option<Script> = None;
    let (mut interval, mut timeout) = (Interval::from_secs(1), None);
    let (mut rise, mut fall, mut weight, mut reverse, mut init_fail) = (1, 1, 0, false, false);
    let range = Interval::from_millis(1)..=LONG;
    for statement in block.children() {
        match statement.keyword() {
            "script" => context.script_once(statement, &mut command),
            "interval" => set(&mut interval, period(context, statement, range.clone())),
            "timeout" => keep(&mut timeout, period(context, statement, range.clone())),
            "weight" => {
                if context.required(statement).is_some()
                    && let Some(found) = weight_of(context, statement, -253..=253)
                {
                    (weight, reverse) = found;
                }
            }
            "rise" => set(&mut rise, context.number(statement, 1..=u32::MAX)),
            "fall" => set(&mut fall, context.number(statement, 1..=u32::MAX)),
            "user" => {
                user = context.required(statement).and_then(|_| account(statement.arguments()));
            }
            "init_fail" => init_fail = true,
            _ => context.unknown(SCRIPT, statement),
        }
    }
    let Some(mut script) = command else {
        let message = format!("vrrp_script {name} has no script, it is left out");
        return context.error("no-script", block.span, message);
    };
    if user.is_some() {
        script.user = user;
    }
    config.scripts.push(TrackScript {
        name,
        script,
        interval,
        timeout: timeout.unwrap_or(interval),
        effect: effect(weight, reverse),
        rise,
        fall,
        init_fail,
    });
}

/// A time; of nothing and of what is no time, keepalived makes a second.
fn period(
    context: &mut Context,
    statement: &Statement,
    range: RangeInclusive<Interval>,
) -> Option<Interval> {
    let token = context.required(statement)?;
    let above = values::seconds(&token.text, *range.end()..=FAR).is_ok();
    let found = context.seconds(statement, range);
    found.or(if above { None } else { Some(Interval::from_secs(1)) })
}

/// `weight N [reverse]`; a missing number is an error.
pub fn weight_of(
    context: &mut Context,
    statement: &Statement,
    range: RangeInclusive<i32>,
) -> Option<(i32, bool)> {
    let Some(token) = statement.arguments().first() else {
        context.error("missing-argument", statement.span, "`weight` lacks its number");
        return None;
    };
    let weight = context.parse_token("weight", token, |word| values::signed(word, range))?;
    let reverse = match statement.arguments().get(1) {
        None => false,
        Some(word) if word.text == "reverse" => true,
        Some(word) => {
            let message = format!("weight: '{}' is not `reverse`", word.text);
            context.error("bad-value", word.span, message);
            false
        }
    };
    Some((weight, reverse))
}

/// A `vrrp_track_process` block.
pub fn process(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.processes.iter().any(|process| process.name == name) {
        let message = format!("vrrp_track_process {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let mut process = TrackProcess {
        name,
        command: String::new(),
        parameters: Vec::new(),
        parameter_match: None,
        full_command: false,
        effect: effect(0, false),
        // Until one is written.
        quorum: 0,
        quorum_max: None,
        terminate_delay: Interval::ZERO,
        fork_delay: Interval::ZERO,
    };
    for statement in block.children() {
        process_word(context, statement, &mut process);
    }
    if process.command.is_empty() {
        let message = format!("vrrp_track_process {} has no process, it is left out", process.name);
        return context.error("no-process", block.span, message);
    }
    // Parameters are not in the kernel's short name.
    if process.parameter_match.is_some() {
        process.full_command = true;
    } else if !process.parameters.is_empty() {
        process.full_command = true;
        process.parameter_match = Some(ParameterMatch::Exact);
    }
    if !process.full_command && process.command.len() > SHORT_NAME {
        let message = format!(
            "the kernel keeps {SHORT_NAME} bytes of the name '{}', full_command is used",
            process.command
        );
        context.warning("long-name", block.span, message);
        process.full_command = true;
    }
    if process.quorum_max.is_some_and(|most| most < process.quorum) {
        let message = "quorum_max is below quorum, it is ignored";
        context.error("quorum", block.span, message);
        process.quorum_max = None;
    }
    if process.quorum == 0 && process.quorum_max != Some(0) {
        process.quorum = 1;
    }
    config.processes.push(process);
}

fn process_word(context: &mut Context, statement: &Statement, process: &mut TrackProcess) {
    let delay = Interval::from_micros(1)..=LONGEST_DELAY;
    match statement.keyword() {
        "process" => {
            if context.required(statement).is_none() {
                return;
            }
            if !process.command.is_empty() {
                let message = "process is given twice, the first counts";
                return context.error("duplicate", statement.span, message);
            }
            let mut words = statement.arguments().iter().map(|token| token.text.to_string());
            process.command = words.next().unwrap_or_default();
            process.parameters = words.collect();
        }
        "param_match" => {
            process.parameter_match = match statement.arguments().first() {
                None => Some(ParameterMatch::Exact),
                Some(token) => {
                    let found = context.parse_token("param_match", token, |word| match word {
                        "initial" => Ok(ParameterMatch::Initial),
                        "partial" => Ok(ParameterMatch::Partial),
                        _ => Err("neither initial nor partial".to_owned()),
                    });
                    found.or(process.parameter_match)
                }
            };
        }
        "weight" => {
            if let Some((weight, reverse)) = weight_of(context, statement, -254..=254) {
                process.effect = effect(weight, reverse);
            }
        }
        "quorum" => set(&mut process.quorum, context.number(statement, 1..=65535)),
        "quorum_max" => {
            if let Some(most) = context.number(statement, 0..=65535) {
                process.quorum_max = Some(most);
            }
        }
        "delay" => {
            if let Some(delay) = context.seconds(statement, delay) {
                (process.terminate_delay, process.fork_delay) = (delay, delay);
            }
        }
        "terminate_delay" => set(&mut process.terminate_delay, context.seconds(statement, delay)),
        "fork_delay" => set(&mut process.fork_delay, context.seconds(statement, delay)),
        "full_command" => {
            context.flag(statement);
            process.full_command = true;
        }
        _ => context.unknown(PROCESS, statement),
    }
}

/// A `track_file` or `vrrp_track_file` block.
pub fn file(context: &mut Context, block: &Statement, config: &mut Config) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.track_files.iter().any(|file| file.name == name) {
        let message = format!("track_file {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let (mut path, mut effect, mut initial) = (None, FileEffect::Times(1), None);
    for statement in block.children() {
        match statement.keyword() {
            "file" if path.is_some() => {
                let message = "file is given twice, the first counts";
                context.error("duplicate", statement.span, message);
            }
            "file" => path = context.text(statement),
            "weight" => {
                if let Some((weight, reverse)) = weight_of(context, statement, -254..=254) {
                    effect = file_effect(weight, reverse);
                }
            }
            "init_file" => {
                let found = initial_file(context, statement);
                initial = found.or(initial);
            }
            _ => context.unknown(FILE, statement),
        }
    }
    let Some(path) = path else {
        let message = format!("track_file {name} has no file, it is left out");
        return context.error("no-file", block.span, message);
    };
    config.track_files.push(TrackFile { name, path, effect, initial });
}

/// `init_file [VALUE] [overwrite]`.
fn initial_file(context: &mut Context, statement: &Statement) -> Option<InitialFile> {
    let mut found = InitialFile { value: 0, overwrite: false };
    for token in statement.arguments() {
        if token.text == "overwrite" {
            found.overwrite = true;
        } else {
            let grammar = |word: &str| values::signed(word, i32::MIN..=i32::MAX);
            found.value = context.parse_token("init_file", token, grammar)?;
        }
    }
    Some(found)
}

/// A `track_group` block; its members are looked at when all instances are known.
pub fn group(context: &mut Context, block: &Statement, config: &mut VrrpConfig) {
    let Some(name) = context.text(block) else {
        return;
    };
    if config.track_groups.iter().any(|group| group.name == name) {
        let message = format!("track_group {name} is defined twice, the first counts");
        return context.error("duplicate", block.span, message);
    }
    let mut members = Vec::new();
    for statement in block.children() {
        if statement.keyword() == "group" {
            let words = statement.children().iter().flat_map(|child| &child.words);
            members.extend(words.map(|token| token.text.to_string()));
        } else {
            context.unknown("track_group", statement);
        }
    }
    context.track_groups.insert(name.clone(), block.span);
    config.track_groups.push(TrackGroup { name, members });
}

/// Leaves out members that are no instances, and groups without members.
pub fn settle_groups(context: &mut Context, config: &mut VrrpConfig) {
    let instances = &config.instances;
    for group in &mut config.track_groups {
        group.members.retain(|name| instances.iter().any(|instance| instance.name == *name));
    }
    let places = std::mem::take(&mut context.track_groups);
    config.track_groups.retain(|group| {
        let found = !group.members.is_empty();
        if !found {
            let span = places.get(&group.name).copied().unwrap_or_default();
            let message = format!("track_group {} has no members, it is left out", group.name);
            context.error("empty-group", span, message);
        }
        found
    });
    let known = |name: &Option<String>| {
        name.as_ref().is_some_and(|name| config.track_groups.iter().any(|g| g.name == *name))
    };
    for address in &mut config.static_addresses {
        if !known(&address.track_group) {
            address.track_group = None;
        }
    }
    for route in &mut config.static_routes {
        if !known(&route.track_group) {
            route.track_group = None;
        }
    }
    for rule in &mut config.static_rules {
        if !known(&rule.track_group) {
            rule.track_group = None;
        }
    }
    track_static_interfaces(config);
}

/// An instance of a `track_group` is in FAULT while an interface of the group's static entries is
/// down.
fn track_static_interfaces(config: &mut VrrpConfig) {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut note = |group: &Option<String>, interface: Option<&str>| {
        if let (Some(group), Some(interface)) = (group, interface) {
            found.push((group.clone(), interface.to_owned()));
        }
    };
    for address in &config.static_addresses {
        note(&address.track_group, address.interface.as_deref());
    }
    for route in &config.static_routes {
        note(&route.track_group, route.hop.interface.as_deref());
        for next in &route.next_hops {
            note(&route.track_group, next.hop.interface.as_deref());
        }
    }
    for rule in &config.static_rules {
        note(&rule.track_group, rule.input.as_deref());
    }
    for (group, interface) in found {
        let Some(group) = config.track_groups.iter().find(|known| known.name == group) else {
            continue;
        };
        for instance in &mut config.instances {
            let known = instance.track_interfaces.iter().any(|known| known.name == interface);
            if group.members.contains(&instance.name) && !known {
                let tracked =
                    TrackedInterface { name: interface.clone(), effect: TrackEffect::Fault };
                Arc::make_mut(instance).track_interfaces.push(tracked);
            }
        }
    }
}
