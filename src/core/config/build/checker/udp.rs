//! `UDP_CHECK`.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::{Draft, RETRY, RETRY_DELAY};
use crate::core::config::model::check::{Probe, UdpProbe, UdpReply};
use crate::core::config::tree::Statement;
use crate::core::config::values;

const LONGEST_REPLY: u16 = 255;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let (mut payload, mut required, mut start) = (None, false, Vec::new());
    let (mut shortest, mut longest) = (0, LONGEST_REPLY);
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "payload" => match statement.arguments().first() {
                Some(_) => payload = digits(context, statement, values::hex_bytes),
                None => {
                    let message = "payload without bytes, it is ignored";
                    context.error("missing-value", statement.span, message);
                }
            },
            "require_reply" => {
                required = true;
                if !statement.arguments().is_empty() {
                    set(&mut start, digits(context, statement, values::hex_pattern));
                }
            }
            "min_reply_length" => set(&mut shortest, length(context, statement)),
            "max_reply_length" => set(&mut longest, length(context, statement)),
            _ => return false,
        }
        true
    });
    if required && shortest > longest {
        let message = format!(
            "min_reply_length {shortest} is above max_reply_length {longest}: the check always fails"
        );
        context.error("reply-length", block.span, message);
    }
    draft.settle(inherited, RETRY, RETRY_DELAY);
    let connect = draft.connect(context, block, inherited)?;
    let reply = required.then_some(UdpReply { start, shortest, longest });
    Some(Probe::Udp(UdpProbe { connect, payload, reply }.into()))
}

/// They may stand apart, in quotes or not (keepalived 2.2.7, asked).
fn digits<T>(
    context: &mut Context,
    statement: &Statement,
    grammar: fn(&str) -> Result<T, values::Fault>,
) -> Option<T> {
    let words = statement.arguments();
    let all: Vec<&str> = words.iter().map(|word| word.text.as_ref()).collect();
    context.parse_token(statement.keyword(), words.first()?, |_| grammar(&all.join(" ")))
}

fn length(context: &mut Context, statement: &Statement) -> Option<u16> {
    context.number(statement, 0..=65_535).and_then(|value| u16::try_from(value).ok())
}
