//! `SMTP_CHECK`: one checker for the block, and one more for each `host` in it.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::{Draft, RETRY, RETRY_DELAY};
use crate::core::config::model::check::{Checker, Probe, SmtpProbe};
use crate::core::config::tree::Statement;

/// keepalived's, so that servers which know it go on knowing it.
const HELO: &str = "smtpchecker.keepalived.org";
/// A command line of SMTP may be 512 bytes long (RFC 5321 section 4.5.3.1.4).
const LONGEST_NAME: usize = 255;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    fresh: &Draft,
    inherited: &Inherited,
) -> Vec<Checker> {
    let mut helo = HELO.to_owned();
    let mut hosts = Vec::new();
    let mut own = fresh.clone();
    for statement in block.children() {
        if own.shared(context, statement) {
            continue;
        }
        match statement.keyword() {
            "helo_name" => set(&mut helo, name(context, statement)),
            "host" => {
                let message = "a host block in SMTP_CHECK is deprecated, add an SMTP_CHECK for it";
                context.warning("deprecated", statement.span, message);
                let mut host = fresh.clone();
                host.read(context, statement, &format!("{path}/host"), |_, _| false);
                hosts.push((statement, host));
            }
            _ => context.unknown(path, statement),
        }
    }
    let mut checkers = Vec::new();
    for (statement, mut draft) in std::iter::once((block, own)).chain(hosts) {
        draft.settle(inherited, RETRY, RETRY_DELAY);
        if let Some(connect) = draft.connect(context, statement, inherited) {
            let probe = SmtpProbe { connect, helo: helo.clone() };
            checkers.push(draft.finish(Probe::Smtp(probe.into())));
        }
    }
    checkers
}

/// Goes into a line of the protocol as it is, so it must not hold one of its own.
fn name(context: &mut Context, statement: &Statement) -> Option<String> {
    let Some(token) = statement.arguments().first() else {
        context.error("missing-value", statement.span, "helo_name without a name, it is ignored");
        return None;
    };
    if token.text.is_empty()
        || token.text.len() > LONGEST_NAME
        || token.text.chars().any(char::is_control)
    {
        let message = "helo_name must be 1 to 255 printable characters, it is ignored";
        context.error("bad-value", token.span, message);
        return None;
    }
    Some(token.text.to_string())
}
