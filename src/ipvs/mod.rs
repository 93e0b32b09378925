//! The kernel's load balancer (IPVS): [`model`] of its table, `plan` of the operations that turn one
//! table into another, `message`s of its generic netlink family, and the `client` that sends them.

pub mod model;
