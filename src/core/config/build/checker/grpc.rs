//! `GRPC_CHECK`, which keepalived does not have.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::{Draft, RETRY, RETRY_DELAY, tls};
use crate::core::config::model::check::{GrpcProbe, Probe};
use crate::core::config::tree::Statement;
use crate::core::config::values::{self, Fault};

/// Of a name of a service, bytes.
const LONGEST_SERVICE: usize = 1000;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let (mut service, mut authority) = (String::new(), None);
    let (mut secure, mut words, mut place) = (false, tls::Words::default(), None);
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "service" => set(&mut service, context.parse(statement, name)),
            "authority" | "virtualhost" => {
                let host = |word: &str| values::authority(word).map(|()| word.to_owned());
                authority = context.parse(statement, host);
            }
            "tls" => set(&mut secure, context.boolean(statement)),
            _ if words.take(context, statement) => {
                place.get_or_insert(statement.span);
            }
            _ => return false,
        }
        true
    });
    if let Some(place) = place.filter(|_| !secure && words.are_used()) {
        context.error("no-tls", place, tls::WITHOUT);
    }
    if authority.is_none()
        && let Some(host) = &inherited.virtualhost
    {
        if let Err(why) = values::authority(host) {
            let message = format!(
                "virtualhost '{host}' of the server cannot be an authority, the check is left out: {why}"
            );
            context.error("bad-value", block.span, message);
            return None;
        }
        authority = Some(host.clone());
    }
    draft.settle(inherited, RETRY, RETRY_DELAY);
    let connect = draft.connect(context, block, inherited)?;
    let tls = secure.then(|| words.settle());
    Some(Probe::Grpc(GrpcProbe { connect, tls, service, authority }.into()))
}

fn name(word: &str) -> Result<String, Fault> {
    if word.len() > LONGEST_SERVICE {
        return Err(format!("longer than {LONGEST_SERVICE} bytes"));
    }
    Ok(word.to_owned())
}
