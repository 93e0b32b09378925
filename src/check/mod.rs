//! Health checks: which servers are alive, and so which table IPVS should have.
//!
//! [`health`] is one checker's memory, [`marks`] what stands for groups, [`engine`] everything together
//! (pure), [`event`] the words.
//! [`probe`] does the asking and [`probes`] says when ([`places`] for whom there is room), [`kernel_table`] keeps IPVS as desired, [`marking`] has packets marked,
//! [`local_addresses`] tells where we are, [`snmp`] and [`mib`] tell managers, [`daemon`] is the rim.

pub mod daemon;
pub mod engine;
pub mod event;
pub mod genhash;
pub mod health;
pub mod kernel_table;
pub mod local_addresses;
pub mod marking;
pub mod marks;
pub mod mib;
pub mod places;
pub mod probe;
pub mod probes;
pub mod snmp;
pub mod status;
pub mod telling;
pub mod virtual_server;
pub mod wish;
