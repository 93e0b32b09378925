//! BFD: noticing within milliseconds that a neighbour is out of reach (RFC 5880, 5881, 5883).
//!
//! Start with [`engine`], all sessions; [`session`] is the state machine of one, [`packet`] the bytes,
//! [`event`] the words, [`inheritance`] what a process that dies leaves to the next. [`daemon`], [`socket`] and [`telling`] are the rim. What those are told who
//! track sessions goes through [`crate::core::bfd_news`].

pub mod daemon;
pub mod engine;
pub mod event;
pub mod inheritance;
pub mod packet;
pub mod session;
pub mod socket;
pub mod status;
pub mod telling;
