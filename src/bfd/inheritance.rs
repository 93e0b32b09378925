//! What a process that dies leaves of its sessions, so that the next one can go on with them before
//! any neighbour has missed a packet. Pure.
//!
//! One line for each session that is up: neighbour, source or `-`, port, our discriminator; of the
//! neighbour: its discriminator, its two intervals in microseconds, its multiplier.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::engine::Hop;
use super::packet::{Diagnostic, State};
use super::session::{Remote, Session};
use crate::core::config::model::bfd::BfdSession;
use crate::core::time::Interval;

/// What makes a session the same one after a reload, or in another process.
pub type Identity = (IpAddr, Option<IpAddr>, Hop);

/// Of a configured session.
pub fn identity(config: &BfdSession) -> Identity {
    (config.neighbour, config.source, Hop::of(config))
}

/// A session that was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inheritance {
    /// Which.
    pub identity: Identity,
    /// Our discriminator.
    pub discriminator: u32,
    /// What was known of the other end.
    pub remote: Remote,
}

impl Inheritance {
    /// What is left of a session; nothing unless it is up.
    pub fn of(session: &Session) -> Option<Self> {
        let (identity, discriminator) = (identity(&session.config), session.discriminator);
        (session.state == State::Up).then_some(Self {
            identity,
            discriminator,
            remote: session.remote,
        })
    }
}

impl fmt::Display for Inheritance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (neighbour, source, hop) = self.identity;
        write!(f, "{neighbour} ")?;
        match source {
            Some(source) => write!(f, "{source}")?,
            None => write!(f, "-")?,
        }
        let Remote { discriminator, desired_min_tx, required_min_rx, multiplier, .. } = self.remote;
        write!(
            f,
            " {} {} {discriminator} {} {} {multiplier}",
            hop.port(),
            self.discriminator,
            desired_min_tx.as_micros(),
            required_min_rx.as_micros(),
        )
    }
}

/// What was written makes no sense: it may have been cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbled;

impl FromStr for Inheritance {
    type Err = Garbled;

    fn from_str(line: &str) -> Result<Self, Garbled> {
        let words: Vec<&str> = line.split(' ').collect();
        let [neighbour, source, port, ours, theirs, tx, rx, multiplier] = words.as_slice() else {
            return Err(Garbled);
        };
        let number = |word: &str| word.parse::<u32>().map_err(|_| Garbled);
        let address = |word: &str| word.parse::<IpAddr>().map_err(|_| Garbled);
        let source = if *source == "-" { None } else { Some(address(source)?) };
        let port = number(port)?;
        let hop = [Hop::Single, Hop::Multi].into_iter().find(|hop| u32::from(hop.port()) == port);
        let (ours, theirs) = (number(ours)?, number(theirs)?);
        let multiplier = multiplier.parse().map_err(|_| Garbled)?;
        if ours == 0 || theirs == 0 || multiplier == 0 {
            return Err(Garbled);
        }
        Ok(Self {
            identity: (address(neighbour)?, source, hop.ok_or(Garbled)?),
            discriminator: ours,
            remote: Remote {
                discriminator: theirs,
                state: State::Up,
                diagnostic: Diagnostic::Nothing,
                demand: false,
                multiplier,
                desired_min_tx: Interval::from_micros(number(tx)?.into()),
                required_min_rx: Interval::from_micros(number(rx)?.into()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bfd::session::tests::config;
    use crate::core::time::Timestamp;

    #[test]
    fn what_one_process_leaves_the_next_one_reads() {
        for source in [None, Some(IpAddr::from([10, 0, 0, 1]))] {
            for multihop in [false, true] {
                let config = BfdSession { source, multihop, ..config("B") };
                let mut session = Session::new(Timestamp::ZERO, config, 7);
                assert_eq!(Inheritance::of(&session), None, "it is down");
                session.state = State::Up;
                session.remote = Remote {
                    discriminator: 9,
                    state: State::Up,
                    multiplier: 3,
                    desired_min_tx: Interval::from_millis(50),
                    ..Remote::default()
                };
                let left = Inheritance::of(&session).unwrap();
                assert_eq!(left.to_string().parse(), Ok(left));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_inherited() {
        for line in [
            "",
            "10.0.0.2 - 3784 7 9 50000 1",
            "10.0.0.2 - 3785 7 9 50000 1 3",
            "10.0.0.2 - 3784 0 9 50000 1 3",
            "10.0.0.2 - 3784 7 0 50000 1 3",
            "10.0.0.2 - 3784 7 9 50000 1 0",
            "10.0.0.2 - 3784 7 9 50000 1 300",
            "10.0.0.2 x 3784 7 9 50000 1 3",
            "10.0.0.2 - 3784 7 9 5000000000 1 3",
        ] {
            assert_eq!(line.parse::<Inheritance>(), Err(Garbled), "{line}");
        }
    }
}
