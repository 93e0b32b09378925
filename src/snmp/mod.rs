//! SNMP: an AgentX subagent (RFC 2741), so that an snmpd answers for what this process knows.
//!
//! Nothing here may delay an advert or a check. The session lives in a thread of its own
//! ([`agent`]); the daemon hears of a request through a bounded channel, copies what the tables
//! are made of, and goes on; the thread makes the tables ([`view`]) and answers. Notifications wait in
//! a bounded queue that never blocks; those that nobody takes are counted. The process runs as before
//! when there is no snmpd, or one that hangs.
//!
//! Start with [`agent::Agent`]. The tables themselves are in the rooms that know their contents
//! (`vrrp::mib`, `check::mib`); what both have in common is in [`base`].
//!
//! The `agentx` crate was looked at and not taken: its octet strings are UTF-8 text, so that it can
//! neither carry an address such as 192.0.2.1 nor a hardware address.

pub mod agent;
pub mod answer;
pub mod base;
pub mod pdu;
pub mod value;
pub mod view;
