//! What the check process says, in keepalived's words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::core::config::model::Family;
use crate::core::config::model::check::{Protocol, RealServer, Target, VirtualServer};
use crate::core::shared::Shared;

/// How a service is written in logs: `[10.0.0.1]:tcp:80`, `FWM 7`, `[group]:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(pub String);

impl ServiceName {
    /// Of a service.
    pub fn of(target: &Target) -> Self {
        Self(match target {
            Target::Address { address, protocol } => endpoint(*address, Some(*protocol)),
            Target::Fwmark { mark, .. } => format!("FWM {mark}"),
            Target::Group { name, protocol } => {
                format!("[{name}]:{}", lower_case(*protocol))
            }
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a server is written in logs: `[10.0.0.2]:tcp:80`, without a protocol `[10.0.0.2]:none:80`.
pub fn endpoint(address: SocketAddr, protocol: Option<Protocol>) -> String {
    let protocol = protocol.map_or("none", lower_case);
    format!("[{}]:{protocol}:{}", address.ip(), address.port())
}

const fn lower_case(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// What a script tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The service: its quorum.
    Service,
    /// One of its servers.
    Server,
}

/// What a probe's words call its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The server.
    pub server: String,
    /// The service it belongs to; empty where they do not speak of it.
    pub service: String,
}

/// The protocol that a server's name carries; a mark is of any.
pub fn protocol_of(target: &Target) -> Option<Protocol> {
    match target {
        Target::Address { protocol, .. } | Target::Group { protocol, .. } => Some(*protocol),
        Target::Fwmark { .. } => None,
    }
}

/// The family of a service, from its target and a first server.
pub fn family_of(target: &Target, server: Option<IpAddr>) -> Family {
    match target {
        Target::Address { address, .. } => Family::of(address.ip()),
        Target::Fwmark { family, .. } => *family,
        Target::Group { .. } => server.map_or(Family::Inet, Family::of),
    }
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// With `-D` only.
    Detail,
    /// Always.
    Normal,
    /// Something is wrong.
    Warning,
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its weight.
    pub importance: Importance,
    /// Its words, keepalived's where it has them.
    pub text: String,
    /// Why, where keepalived does not say.
    pub cause: Option<String>,
}

/// A mail about a service or a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// keepalived's words, without the node.
    pub subject: String,
    /// keepalived's words.
    pub body: String,
    /// About a checker whose server stays as it is: not sent with `no_checker_emails`.
    pub one_check: bool,
}

/// A server or a service is up or not, as managers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which service.
    pub service: Shared<VirtualServer>,
    /// How many of its servers are up by now.
    pub servers_up: usize,
    /// What has changed.
    pub what: What,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A server is up or not.
    Server(Shared<RealServer>, bool),
    /// There is enough to serve with or not.
    Quorum(bool),
}

/// `UP` or `DOWN`, as in FIFOs and mails.
pub const fn up_or_down(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}
