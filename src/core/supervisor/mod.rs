//! How the processes live: command line, pid files, hand-over of the configuration to the children,
//! their death and rebirth, signals.
//!
//! Start with [`parent`]; [`child`] is the other end of [`handover`], by which what is `sealed`
//! travels; [`heirlooms`] are what
//! the parent keeps for them, [`legacy`] among it: what a child that dies leaves to the next.

pub mod child;
pub mod command_line;
pub mod config_test;
pub mod handover;
pub mod heirlooms;
pub mod legacy;
pub mod parent;
pub mod pid_file;
mod reload_time;
pub mod respawn;
mod sealed;
pub mod systemd;
