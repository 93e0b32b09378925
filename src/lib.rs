//! Steadfast, a high-availability load balancer for Linux that takes a `keepalived.conf` unchanged.
//!
//! # The map
//!
//! One binary, several processes: **core** (the parent: reads the configuration, starts and watches
//! the others), **vrrp** (elects a master, holds addresses) and **check** (probes servers, keeps the
//! kernel's IPVS table). Each child is: sockets, one bounded inbox, a pure *engine*, ordered outputs
//! and a *desired state* that the rim reconciles with what the kernel has.
//!
//! | room | what is in it |
//! |---|---|
//! | [`core`] | what every process shares: time, configuration, netlink, scripts, supervision |
//! | [`vrrp`] | packets, the election engine, its sockets and daemon |
//! | [`check`] | health of servers, virtual services, probes and daemon |
//! | [`bfd`] | packets and sessions of RFC 5880 |
//! | [`ipvs`] | the kernel's load balancer: model, plan, messages, client |
//! | [`tool`] | `steadfast config`: lint, dump, explain, diff, compare, manual pages |
//!
//! # The dependency rule
//!
//! `main -> supervisor, daemons`; `daemon -> its engine, sockets and probes, the core's rim`;
//! `engine -> its own pure files, configuration model, reconcile, time`. `vrrp` and `check` never
//! import one another. Pure files name no tokio, nix, socket, clock or randomness. `tests/tidy.rs`
//! checks this.

pub mod bfd;
pub mod check;
pub mod core;
pub mod ipvs;
pub mod tool;
pub mod vrrp;
