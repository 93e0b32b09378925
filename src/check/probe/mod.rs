//! Asking a server how it is: [`tcp`] ([`dialogue`] where something is said), [`http`] (with TLS), [`smtp`], [`dns`], [`udp`], [`ping`],
//! [`misc`] (a program), [`agent`], [`grpc`]. [`http2`] carries what [`http`] and [`grpc`] ask, [`plain`] asks those that come
//! by the thousand.
//!
//! What comes from the network is read in files of their own, without sockets: [`answer`],
//! [`smtp_reply`], [`dns_message`], [`echo`], [`expect`], [`agent_reply`], [`grpc_health`].
//!
//! A probe gives an outcome with a cause; whether that makes a server bad is not its business. What this host has not
//! ([`lack`]) is nobody's failure. Sockets are made in [`socket`].

pub mod agent;
pub mod agent_reply;
pub mod answer;
pub mod datagram;
pub mod dialogue;
pub mod dns;
pub mod dns_message;
pub mod echo;
pub mod expect;
pub mod grpc;
pub mod grpc_health;
pub mod http;
pub mod http2;
pub mod lack;
pub mod misc;
pub mod ping;
pub mod plain;
pub mod smtp;
pub mod smtp_reply;
pub mod socket;
pub mod tcp;
pub mod tls;
pub mod udp;

use std::sync::Arc;

use super::engine::Outcome;
use super::event::Names;
use crate::core::config::model::check::{Checker, Probe, TlsIdentity};
use crate::core::notify::script::ScriptPolicy;
use crate::core::shared::Shared;

/// What all probes may need.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// For scripts.
    pub policy: ScriptPolicy,
    /// The `SSL` block.
    pub tls: TlsIdentity,
}

/// Carries one probe out, with a task of its own. `url` chooses among several.
pub async fn run(
    checker: Shared<Checker>,
    url: usize,
    names: Names,
    surroundings: Arc<Surroundings>,
) -> Outcome {
    let server = &names.server;
    // What is common makes the future; the others have memory of their own.
    match &checker.probe {
        Probe::Tcp(connect) => tcp::outcome(&tcp::open(connect).await.map(drop), server),
        Probe::Http(http) => http::probe(http, url, server, &surroundings.tls).await,
        Probe::Dialogue(talk) => Box::pin(dialogue::probe(talk, server, &surroundings.tls)).await,
        Probe::Smtp(smtp) => Box::pin(smtp::probe(smtp, server)).await,
        Probe::Dns(dns) => Box::pin(dns::probe(dns, server)).await,
        Probe::Udp(udp) => Box::pin(udp::probe(udp, server)).await,
        Probe::Ping(connect) => Box::pin(ping::probe(connect, &names)).await,
        Probe::Agent(agent) => Box::pin(agent::probe(agent, server)).await,
        Probe::Grpc(grpc) => Box::pin(grpc::probe(grpc, server, &surroundings.tls)).await,
        Probe::Misc(misc) => Box::pin(misc::probe(misc, &names, &surroundings.policy)).await,
    }
}

/// A failure in keepalived's words, with the error beneath.
fn failure(text: String, cause: Option<String>) -> Outcome {
    Outcome::Failure { text, cause }
}
