//! Asking a server how it is: [`tcp`], [`http`] (with TLS), [`misc`] (a program).
//!
//! A probe gives an outcome with a cause; whether that makes a server bad is not its business.

pub mod answer;
pub mod http;
pub mod misc;
pub mod tcp;
pub mod tls;

use super::engine::Outcome;
use crate::core::config::model::check::{Probe, TlsIdentity};
use crate::core::notify::script::ScriptPolicy;

/// What all probes may need.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// For scripts.
    pub policy: ScriptPolicy,
    /// The `SSL` block.
    pub tls: TlsIdentity,
}

/// Carries one probe out. `server` is the server's name in messages; `url` chooses among several.
pub async fn run(probe: Probe, url: usize, server: String, surroundings: Surroundings) -> Outcome {
    match probe {
        Probe::Tcp(connect) => tcp::probe(&connect, &server).await,
        Probe::Http(http) => http::probe(&http, url, &server, &surroundings.tls).await,
        Probe::Misc(misc) => misc::probe(&misc, &server, &surroundings.policy).await,
    }
}
