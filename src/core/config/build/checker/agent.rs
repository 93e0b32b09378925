//! `AGENT_CHECK`, which keepalived does not have.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::{Draft, RETRY_DELAY, tcp};
use crate::core::config::model::check::{AgentProbe, AgentRequest, Probe};
use crate::core::config::tree::Statement;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let (mut send, mut page) = (Vec::new(), None);
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "send" => set(&mut send, context.parse(statement, tcp::unescape)),
            "path" => page = context.text(statement),
            _ => return false,
        }
        true
    });
    if page.is_some() && !send.is_empty() {
        let message = "send is for an agent over TCP, path for one over HTTP; send is ignored";
        context.error("agent-request", block.span, message);
    }
    // As with a program: what it says is taken at its word.
    draft.settle(inherited, 0, RETRY_DELAY);
    let request = match page {
        Some(path) => AgentRequest::Http { path },
        None => AgentRequest::Tcp { send },
    };
    let connect = draft.connect(context, block, inherited)?;
    Some(Probe::Agent(AgentProbe { connect, request }.into()))
}
