//! What the bfd process says, in keepalived's words where it has them.

use std::fmt;
use std::net::IpAddr;

use super::packet::{Diagnostic, Malformed, State};
use crate::core::time::Interval;

/// Why a packet was not accepted, in the order of the checks (RFC 5880 section 6.8.6, RFC 5881
/// sections 3 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// It is no packet of ours to understand.
    Malformed(Malformed),
    /// No session has this discriminator, or this neighbour where the discriminator is zero.
    NoSession(u32),
    /// The session of this discriminator is with somebody else, or on the other port.
    Neighbour(u32),
    /// The kernel did not say how far it has come.
    NoTtl,
    /// It has come too far (RFC 5082).
    Ttl {
        /// What it has left.
        ttl: u8,
        /// What it should have left.
        least: u8,
    },
    /// The session has been taken down here.
    AdminDown,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "{malformed}"),
            Self::NoSession(your) => {
                write!(f, "session is not found - your discriminator field is {your:#010x}")
            }
            Self::Neighbour(your) => {
                write!(f, "the session of discriminator {your:#010x} is with another neighbour")
            }
            Self::NoTtl => write!(f, "its TTL is not known"),
            Self::Ttl { ttl, least } => write!(f, "TTL {ttl} is below {least}"),
            Self::AdminDown => write!(f, "session is in AdminDown state"),
        }
    }
}

/// Something to log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    /// Another state, with why on both ends where it is a bad one.
    Entering { name: String, state: State, local: Diagnostic, remote: Diagnostic },
    /// A process before this one had it up, and nobody can have noticed that it is gone.
    Resumed { name: String },
    /// Silence for as long as `after`; noticed that much too late.
    Expired { name: String, after: Interval, late: Interval },
    /// The other end is asked to confirm new rates.
    Polling { name: String },
    /// A packet was dropped. Told once until a session changes its state.
    Discarding { from: IpAddr, rejection: Rejection },
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

impl Event {
    /// How important the line is.
    pub const fn importance(&self) -> Importance {
        match self {
            Self::Polling { .. } => Importance::Detail,
            Self::Entering { state, .. } => match state {
                State::Init => Importance::Detail,
                State::Up | State::AdminDown => Importance::Normal,
                State::Down => Importance::Warning,
            },
            Self::Resumed { .. } => Importance::Normal,
            Self::Expired { .. } | Self::Discarding { .. } => Importance::Warning,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entering { name, state, local, remote } => {
                write!(f, "({name}) Entering {} state", state.name())?;
                match state {
                    State::Down => {
                        write!(f, " (Local diagnostic - {local}, Remote diagnostic - {remote})")
                    }
                    State::AdminDown | State::Init | State::Up => Ok(()),
                }
            }
            Self::Resumed { name } => write!(f, "({name}) Up until a moment ago, going on"),
            Self::Expired { name, after, late } => write!(
                f,
                "({name}) Expired after {} ms ({} usec overdue)",
                after.as_millis(),
                late.as_micros()
            ),
            Self::Polling { name } => write!(f, "({name}) Starting poll sequence"),
            Self::Discarding { from, rejection } => {
                write!(f, "Discarding packet from {from} ({rejection})")
            }
        }
    }
}
