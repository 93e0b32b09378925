//! Telling the outside world: scripts that the operator configured.
//!
//! [`script`] runs one command with its account, time limit and process group; `queue` keeps the
//! notifications of one object in order; [`security`] looks who could replace a script; [`fifo`]
//! writes lines to named pipes, which [`fifo_keeper`] makes and has read;
//! [`mail`] sends mail.

pub mod fifo;
pub mod fifo_keeper;
pub mod mail;
pub mod queue;
pub mod script;
pub mod security;
