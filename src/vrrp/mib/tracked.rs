//! What instances and groups track, and the tracked objects themselves: tables 4, 5, 9, 12 to 22.

use super::{Gathered, entry, number};
use crate::core::config::model::track::{
    FileEffect, ParameterMatch, TrackFile, TrackProcess, Tracked, TrackedFile,
};
use crate::core::config::model::vrrp::{
    Instance, SyncGroup, TrackEffect, TrackScript, TrackedInterface, TrackedScript,
};
use crate::snmp::value::Value;
use crate::snmp::view::View;

/// A tracked object by name, its weight, and whether that is reversed.
type Use = (String, i32, bool);
type Rows = Vec<(Vec<u32>, Use)>;

pub(super) fn add(view: &mut View, gathered: &Gathered) {
    let config = &gathered.fixed.config;
    let instances: Vec<&Instance> = gathered.rows.iter().map(|row| &*row.instance).collect();
    let groups: Vec<&SyncGroup> = config.sync_groups.iter().collect();
    // Interfaces are numbered like everything else, as keepalived has it; the MIB says ifIndex.
    let rows = rows(&instances, |instance| {
        let own = instance.interface.as_ref();
        let other = instance.track_interfaces.iter().filter(|found| Some(&found.name) != own);
        other.map(interface).collect()
    });
    view.table(entry(4), 1..=3, rows, |used: &Use, column| used_cell(used, column + 1));
    let rows = self::rows(&groups, |group| group.track_interfaces.iter().map(interface).collect());
    view.table(entry(14), 1..=3, rows, |used: &Use, column| used_cell(used, column + 1));
    for (table, rows) in [
        (5, self::rows(&instances, |found| found.track_scripts.iter().map(script).collect())),
        (12, self::rows(&instances, |found| found.track_files.iter().map(file).collect())),
        (15, self::rows(&groups, |found| found.track_scripts.iter().map(script).collect())),
        (16, self::rows(&groups, |found| found.track_files.iter().map(file).collect())),
        (17, self::rows(&instances, |found| found.track_bfd.iter().map(object).collect())),
        (19, self::rows(&groups, |found| found.track_bfd.iter().map(object).collect())),
        (20, self::rows(&instances, |found| found.track_processes.iter().map(object).collect())),
        (22, self::rows(&groups, |found| found.track_processes.iter().map(object).collect())),
    ] {
        view.table(entry(table), 2..=4, rows, used_cell);
    }
    scripts(view, gathered);
    files(view, gathered);
    sessions(view, gathered);
    processes(view, gathered);
}

fn rows<T>(trackers: &[&T], uses: impl Fn(&T) -> Vec<Use>) -> Rows {
    let mut rows = Rows::new();
    for (place, tracker) in trackers.iter().enumerate() {
        let uses = uses(tracker).into_iter().enumerate();
        rows.extend(uses.map(|(own, used)| (vec![number(place), number(own)], used)));
    }
    rows
}

fn used_cell((name, weight, reversed): &Use, column: u32) -> Option<Value> {
    match column {
        2 => Some(Value::text(name)),
        3 => Some(Value::Integer(*weight)),
        4 => Some(Value::truth(*reversed)),
        _ => None,
    }
}

/// Weight and `reverse`; a reversed weight is kept as its negative.
fn effect(effect: TrackEffect) -> (i32, bool) {
    match effect {
        TrackEffect::Fault => (0, false),
        TrackEffect::FaultWhenGood => (0, true),
        TrackEffect::Weight(weight) => (weight.into(), false),
    }
}

fn file_effect(effect: FileEffect) -> (i32, bool) {
    match effect {
        FileEffect::FaultUnlessZero => (0, false),
        FileEffect::FaultIfZero => (0, true),
        FileEffect::Times(weight) => (weight.into(), false),
    }
}

fn used(name: &str, (weight, reversed): (i32, bool)) -> Use {
    (name.to_owned(), weight, reversed)
}

fn interface(found: &TrackedInterface) -> Use {
    used(&found.name, effect(found.effect))
}

fn script(found: &TrackedScript) -> Use {
    used(&found.name, effect(found.effect))
}

fn file(found: &TrackedFile) -> Use {
    used(&found.name, file_effect(found.effect))
}

fn object(found: &Tracked) -> Use {
    used(&found.name, effect(found.effect))
}

fn scripts(view: &mut View, gathered: &Gathered) {
    let scripts = gathered.fixed.config.scripts.iter().enumerate();
    let rows = scripts.map(|(place, script)| {
        let result = match gathered.scripts.get(&script.name) {
            Some(true) => 3,
            Some(false) => 2,
            None if script.init_fail => 5,
            None => 1,
        };
        (vec![number(place)], (script.clone(), result))
    });
    let cell = |(script, result): &(TrackScript, i32), column| {
        let (weight, reversed) = effect(script.effect);
        Some(match column {
            2 => Value::text(&script.name),
            3 => return crate::snmp::base::script(Some(&script.script)),
            4 => Value::integer(script.interval.as_secs()),
            5 => Value::Integer(weight),
            6 => Value::Integer(*result),
            7 => Value::gauge(script.rise),
            8 => Value::gauge(script.fall),
            9 => Value::truth(reversed),
            _ => return None,
        })
    };
    view.table(entry(9), 2..=9, rows.collect(), cell);
}

fn files(view: &mut View, gathered: &Gathered) {
    let files = gathered.fixed.files.iter().enumerate();
    let rows = files.map(|(place, file)| {
        let result = gathered.files.get(&file.name).copied().unwrap_or(0);
        (vec![number(place)], (file.clone(), result))
    });
    view.table(entry(13), 2..=6, rows.collect(), |(file, result): &(TrackFile, i64), column| {
        let (weight, reversed) = file_effect(file.effect);
        Some(match column {
            2 => Value::text(&file.name),
            3 => Value::text(&file.path),
            4 => Value::integer(*result),
            5 => Value::Integer(weight),
            6 => Value::truth(reversed),
            _ => return None,
        })
    });
}

fn sessions(view: &mut View, gathered: &Gathered) {
    let sessions = gathered.fixed.sessions.iter().enumerate();
    let rows = sessions.map(|(place, (name, weight))| {
        let up = gathered.sessions.get(name).copied().unwrap_or(false);
        (vec![number(place)], (used(name, effect(*weight)), up))
    });
    view.table(
        entry(18),
        2..=5,
        rows.collect(),
        |(session, up): &(Use, bool), column| match column {
            2 => used_cell(session, 2),
            3 => Some(Value::Integer((*up).into())),
            _ => used_cell(session, column - 1),
        },
    );
}

fn processes(view: &mut View, gathered: &Gathered) {
    let processes = gathered.fixed.config.processes.iter().enumerate();
    let rows = processes.map(|(place, process)| {
        let state = gathered.processes.get(&process.name).copied().unwrap_or((false, 0));
        (vec![number(place)], (process.clone(), state))
    });
    view.table(entry(21), 2..=14, rows.collect(), process_cell);
}

fn process_cell((process, state): &(TrackProcess, (bool, usize)), column: u32) -> Option<Value> {
    let (weight, reversed) = effect(process.effect);
    let (good, count) = *state;
    Some(match column {
        2 => Value::text(&process.name),
        3 => Value::text(&process.command),
        4 => Value::text(&process.parameters.join(" ")),
        5 => Value::Integer(match process.parameter_match {
            None => 0,
            Some(ParameterMatch::Exact) => 1,
            Some(ParameterMatch::Partial) => 2,
            Some(ParameterMatch::Initial) => 3,
        }),
        6 => Value::Integer(weight),
        7 => Value::truth(reversed),
        8 => Value::gauge(process.quorum),
        // Any number is none.
        9 => process.quorum_max.map_or(Value::Integer(-1), Value::integer),
        10 => Value::gauge(process.fork_delay.as_micros()),
        11 => Value::gauge(process.terminate_delay.as_micros()),
        12 => Value::truth(process.full_command),
        13 => Value::integer(count),
        14 => Value::truth(good),
        _ => return None,
    })
}
