//! Bidirectional forwarding detection (RFC 5880): one session with one neighbour.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::vrrp::TrackEffect;
use crate::core::time::Interval;

/// A `bfd_instance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSession {
    /// Name in the file and the log, shorter than 32 bytes.
    pub name: String,
    /// `neighbor_ip`.
    pub neighbour: IpAddr,
    /// `source_ip`; the kernel's choice when absent. Of the neighbour's family.
    pub source: Option<IpAddr>,
    /// `min_rx`: the fastest that this node can receive.
    pub receive_interval: Interval,
    /// `min_tx`: the fastest that this node sends.
    pub transmit_interval: Interval,
    /// `idle_tx`: while the session is not up.
    pub idle_interval: Interval,
    /// `multiplier`: packets that may be lost.
    pub multiplier: u8,
    /// `passive`: silent until the neighbour is heard.
    pub passive: bool,
    /// `ttl` or `hoplimit` of sent packets: 255 for IPv4, 64 for IPv6 unless said otherwise.
    pub ttl: u8,
    /// `max_hops` that a received packet may have taken; `None` for any.
    pub max_hops: Option<u8>,
    /// `multihop`: port 4784 (RFC 5883) instead of 3784.
    pub multihop: bool,
    /// `weight`: what it does to an instance that tracks it.
    pub effect: TrackEffect,
    /// `vrrp` and `checker`: who hears of its changes; both when neither is written.
    pub listeners: BfdListeners,
}

/// Who hears of a session's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BfdListeners {
    /// Everybody.
    #[default]
    Both,
    /// `vrrp` only.
    Vrrp,
    /// `checker` only.
    Checker,
}
