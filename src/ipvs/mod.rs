//! The kernel's load balancer (IPVS): [`model`] of its table, [`plan`] of the operations that turn
//! one table into another, [`message`]s of its generic netlink family, the [`client`] that sends
//! them, what its [`refusal`]s mean; [`fake`] is a kernel in memory for tests.

pub mod client;
pub mod fake;
pub mod figures;
pub mod message;
pub mod model;
pub mod plan;
pub mod refusal;
pub mod sync;
mod sync_message;
