//! What instances and groups track, and what that does to them.

use super::Need;
use super::context::Context;
use crate::core::config::model::Config;
use crate::core::config::model::track::{FileEffect, Tracked, TrackedFile};
use crate::core::config::model::vrrp::{TrackEffect, TrackedInterface, TrackedScript};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values;

/// What a weight means; 254 counts as 253.
pub fn effect(weight: i32, reverse: bool) -> TrackEffect {
    let weight = i16::try_from(weight.clamp(-253, 253)).unwrap_or_default();
    match (weight, reverse) {
        (0, false) => TrackEffect::Fault,
        (0, true) => TrackEffect::FaultWhenGood,
        (weight, false) => TrackEffect::Weight(weight),
        (weight, true) => TrackEffect::Weight(-weight),
    }
}

/// What a file's weight means.
pub fn file_effect(weight: i32, reverse: bool) -> FileEffect {
    let weight = i16::try_from(weight.clamp(-254, 254)).unwrap_or_default();
    match (weight, reverse) {
        (0, false) => FileEffect::FaultUnlessZero,
        (0, true) => FileEffect::FaultIfZero,
        (weight, false) => FileEffect::Times(weight),
        (weight, true) => FileEffect::Times(-weight),
    }
}

/// `weight N [reverse|noreverse]` after a name; `None` for the object's own.
fn weight(context: &mut Context, words: &[Token], largest: i32) -> Option<(i32, Option<bool>)> {
    let [name, rest @ ..] = words else {
        return None;
    };
    if name.text != "weight" {
        let message = format!("unknown word '{}'", name.text);
        context.error("unknown-keyword", name.span, message);
        return None;
    }
    let [value, options @ ..] = rest else {
        context.error("missing-value", name.span, "`weight` lacks its value");
        return None;
    };
    let grammar = |word: &str| values::signed(word, -largest..=largest);
    let weight = context.parse_token("weight", value, grammar)?;
    let reverse = match options.first().map(|token| &*token.text) {
        Some("reverse") => Some(true),
        Some("noreverse") => Some(false),
        Some(_) | None => None,
    };
    Some((weight, reverse))
}

/// `track_interface`.
pub fn track_interfaces(
    context: &mut Context,
    block: &Statement,
    into: &mut Vec<TrackedInterface>,
) {
    for statement in context.entries(block) {
        let Some(first) = statement.words.first() else {
            continue;
        };
        if into.iter().any(|known| first.text == known.name) {
            let message = format!("{} is tracked already", first.text);
            context.error("duplicate", first.span, message);
            continue;
        }
        let found = weight(context, statement.arguments(), 254);
        let (weight, reverse) = found.unwrap_or((0, None));
        context.needs_interface(&first.text, first.span, Need::Mentioned);
        let effect = effect(weight, reverse == Some(true));
        into.push(TrackedInterface { name: first.text.to_string(), effect });
    }
}

/// What can be tracked by name.
pub struct Objects<'a> {
    config: &'a Config,
}

impl<'a> Objects<'a> {
    /// The objects of a configuration.
    pub const fn of(config: &'a Config) -> Self {
        Self { config }
    }

    /// `track_script`.
    pub fn scripts(&self, context: &mut Context, block: &Statement, into: &mut Vec<TrackedScript>) {
        let own = |name: &str| {
            let known = self.config.vrrp.scripts.iter().find(|script| script.name == name);
            known.map(|script| script.effect)
        };
        lines(context, block, "script", own, |context, name, own, words| {
            if into.iter().any(|known| known.name == name) {
                return false;
            }
            let effect = boolean_effect(context, words, 254, own);
            into.push(TrackedScript { name: name.to_owned(), effect });
            true
        });
    }

    /// `track_process`.
    pub fn processes(&self, context: &mut Context, block: &Statement, into: &mut Vec<Tracked>) {
        let own = |name: &str| {
            let known = self.config.vrrp.processes.iter().find(|process| process.name == name);
            known.map(|process| process.effect)
        };
        booleans(context, block, "process", own, into);
    }

    /// `track_bfd`.
    pub fn bfd(&self, context: &mut Context, block: &Statement, into: &mut Vec<Tracked>) {
        let own = |name: &str| {
            let known = self.config.bfd.iter().find(|session| session.name == name);
            known.map(|session| session.effect)
        };
        booleans(context, block, "bfd", own, into);
    }

    /// `track_file`.
    pub fn files(&self, context: &mut Context, block: &Statement, into: &mut Vec<TrackedFile>) {
        let own = |name: &str| {
            let known = self.config.track_files.iter().find(|file| file.name == name);
            known.map(|file| file.effect)
        };
        lines(context, block, "file", own, |context, name, own, words| {
            if into.iter().any(|known| known.name == name) {
                return false;
            }
            let effect = match weight(context, words, 254) {
                None => own,
                Some((weight, reverse)) => {
                    let reversed = matches!(own, FileEffect::FaultIfZero);
                    file_effect(weight, reverse.unwrap_or(reversed))
                }
            };
            into.push(TrackedFile { name: name.to_owned(), effect });
            true
        });
    }
}

fn booleans(
    context: &mut Context,
    block: &Statement,
    what: &'static str,
    own: impl Fn(&str) -> Option<TrackEffect>,
    into: &mut Vec<Tracked>,
) {
    lines(context, block, what, own, |context, name, own, words| {
        if into.iter().any(|known| known.name == name) {
            return false;
        }
        // A session's weight has no room for the one more that the others have.
        let largest = if what == "bfd" { 253 } else { 254 };
        let effect = boolean_effect(context, words, largest, own);
        into.push(Tracked { name: name.to_owned(), effect });
        true
    });
}

/// The lines of a block: an object that must be known by `own`, and its weight. `one` tells whether
/// the object was not there yet.
fn lines<E>(
    context: &mut Context,
    block: &Statement,
    what: &'static str,
    own: impl Fn(&str) -> Option<E>,
    mut one: impl FnMut(&mut Context, &str, E, &[Token]) -> bool,
) {
    for statement in context.entries(block) {
        let Some(first) = statement.words.first() else {
            continue;
        };
        let Some(own) = own(&first.text) else {
            let message = format!("the {what} {} is not defined, it is not tracked", first.text);
            context.error(unknown_code(what), first.span, message);
            continue;
        };
        if !one(context, &first.text, own, statement.arguments()) {
            let message = format!("{} is tracked already", first.text);
            context.error("duplicate", first.span, message);
        }
    }
}

fn unknown_code(what: &str) -> &'static str {
    match what {
        "script" => "unknown-script",
        "file" => "unknown-file",
        "process" => "unknown-process",
        _ => "unknown-bfd",
    }
}

fn boolean_effect(
    context: &mut Context,
    words: &[Token],
    largest: i32,
    own: TrackEffect,
) -> TrackEffect {
    match weight(context, words, largest) {
        None => own,
        Some((weight, reverse)) => {
            let reversed = matches!(own, TrackEffect::FaultWhenGood);
            effect(weight, reverse.unwrap_or(reversed))
        }
    }
}
