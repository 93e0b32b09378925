//! BFD: noticing within milliseconds that a neighbour is out of reach (RFC 5880, 5881, 5883).
//!
//! Start with [`engine`], all sessions; [`session`] is the state machine of one, [`packet`] the bytes,
//! [`event`] the words. What the vrrp and check processes are told goes through
//! [`crate::core::bfd_news`].

pub mod engine;
pub mod event;
pub mod packet;
pub mod session;
