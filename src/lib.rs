//! Steadfast, a high-availability load balancer for Linux that takes a `keepalived.conf` unchanged.
//!
//! # The map
//!
//! One binary, several processes: **core** (the parent: reads the configuration, starts and watches
//! the others), **vrrp** (elects a master, holds addresses), **check** (probes servers, keeps the
//! kernel's IPVS table) and **bfd** (watches neighbours for these two). Each child is: sockets, one bounded inbox, a pure *engine*, ordered outputs
//! and a *desired state* that the rim reconciles with what the kernel has.
//!
//! | room | what is in it |
//! |---|---|
//! | [`core`] | what every process shares: time, configuration, netlink, scripts, supervision |
//! | [`vrrp`] | packets, the election engine, its sockets and daemon |
//! | [`check`] | health of servers, virtual services, probes and daemon |
//! | [`bfd`] | sessions with neighbours: packets, the engine of RFC 5880, its sockets and daemon |
//! | [`ipvs`] | the kernel's load balancer: model, plan, messages, client |
//! | [`snmp`] | the session with snmpd: AgentX messages, the way through tables, a thread |
//! | [`tool`] | `steadfast config`: lint, dump, explain, diff, compare, manual pages |
//!
//! # The dependency rule
//!
//! `main -> supervisor, daemons`; `daemon -> its engine, sockets and probes, the core's rim`;
//! `engine -> its own pure files, configuration model, reconcile, time`. `vrrp`, `check` and
//! `bfd` never import one another. Pure files name no tokio, nix, socket, clock or randomness. `tests/tidy.rs`
//! checks this.

pub mod bfd;
pub mod check;
pub mod core;
pub mod ipvs;
pub mod snmp;
pub mod tool;
pub mod vrrp;
