//! What instances and groups track, and what that does to them.

use super::Need;
use super::context::Context;
use crate::core::config::model::vrrp::{TrackEffect, TrackedInterface, TrackedScript, VrrpConfig};
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

/// `weight N [reverse|noreverse]` after a name; `None` for the object's own.
fn weight(context: &mut Context, words: &[Token]) -> Option<(i32, Option<bool>)> {
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
    let grammar = |word: &str| values::signed(word, -254..=254);
    let weight = context.parse_token("weight", value, grammar)?;
    let reverse = match options.first().map(|token| token.text.as_str()) {
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
    for statement in block.children() {
        let Some(first) = statement.words.first() else {
            continue;
        };
        if into.iter().any(|known| known.name == first.text) {
            let message = format!("{} is tracked already", first.text);
            context.error("duplicate", first.span, message);
            continue;
        }
        let found = weight(context, statement.arguments());
        let (weight, reverse) = found.unwrap_or((0, None));
        context.needs_interface(&first.text, first.span, Need::Mentioned);
        let effect = effect(weight, reverse == Some(true));
        into.push(TrackedInterface { name: first.text.clone(), effect });
    }
}

/// `track_script`; the scripts must be defined.
pub fn track_scripts(
    context: &mut Context,
    block: &Statement,
    into: &mut Vec<TrackedScript>,
    config: &VrrpConfig,
) {
    for statement in block.children() {
        let Some(first) = statement.words.first() else {
            continue;
        };
        let Some(script) = config.scripts.iter().find(|script| script.name == first.text) else {
            let message = format!("the script {} is not defined, it is not tracked", first.text);
            context.error("unknown-script", first.span, message);
            continue;
        };
        if into.iter().any(|known| known.name == first.text) {
            let message = format!("{} is tracked already", first.text);
            context.error("duplicate", first.span, message);
            continue;
        }
        let found = weight(context, statement.arguments());
        let effect = match found {
            None => script.effect,
            Some((weight, reverse)) => {
                let own = matches!(script.effect, TrackEffect::FaultWhenGood);
                effect(weight, reverse.unwrap_or(own))
            }
        };
        into.push(TrackedScript { name: first.text.clone(), effect });
    }
}
