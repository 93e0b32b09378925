//! Netlink: [`socket`] is the request loop, [`message`] the bytes, [`link`], [`address`],
//! [`route`], [`rule`] and [`monitor`] what the vrrp process needs of rtnetlink, [`nftables`] its
//! firewall.
//!
//! The loop is ours, on neli's socket: its router loses overruns and extended acks.

pub mod address;
pub mod error;
pub mod link;
pub mod message;
pub mod monitor;
pub mod namespace;
pub mod nftables;
pub mod route;
pub mod rule;
pub mod socket;

pub use address::RouteSocket;
pub use error::NetlinkError;
