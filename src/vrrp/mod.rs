//! VRRP: electing a master, holding its addresses.
//!
//! Start with [`engine`], the pure election; [`router`] is one virtual router with the checks of an
//! advert, [`packet`] the bytes, [`event`] the words. [`daemon`], [`socket`],
//! [`virtual_link`], [`firewall`] and [`remains`] are the rim. [`mib`] is what shows over SNMP.

pub mod announce;
pub mod connection_sync;
pub mod daemon;
pub mod desired;
pub mod engine;
pub mod event;
pub mod firewall;
pub mod interface_settings;
pub mod json;
pub mod losses;
pub mod mib;
pub mod pacer;
pub mod packet;
pub mod priority;
pub mod remains;
pub mod router;
pub mod routing;
pub mod socket;
pub mod statistics;
pub mod status;
pub mod telling;
pub mod virtual_link;
