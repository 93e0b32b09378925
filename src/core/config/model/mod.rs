//! The configuration as plain data: what the daemons act on.
//!
//! Every default of the dialect is applied while building (`config/build`), so that a reader of the
//! model never has to know one. Everything here compares with `==`: a reload is a comparison of two
//! models. Start with [`Config`]; then [`vrrp::Instance`] and [`check::VirtualServer`].

pub mod bfd;
pub mod check;
pub mod global;
pub mod hmac;
pub mod link;
pub mod route;
pub mod services;
pub mod track;
pub mod vrrp;

use serde::{Deserialize, Serialize};

/// A whole configuration, from one set of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `global_defs`.
    pub global: global::Global,
    /// What the vrrp process acts on.
    pub vrrp: vrrp::VrrpConfig,
    /// What the check process acts on.
    pub check: check::CheckConfig,
    /// `track_file` blocks: instances and real servers watch them.
    pub track_files: Vec<track::TrackFile>,
    /// `bfd_instance` blocks: instances and real servers watch them.
    pub bfd: Vec<bfd::BfdSession>,
}

/// The address family of a virtual router or virtual service.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Family {
    /// IPv4.
    #[default]
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(_) => Self::Inet,
            std::net::IpAddr::V6(_) => Self::Inet6,
        }
    }

    /// Bits in an address: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }
}

/// The account that a script runs under, as written; resolved to numbers where it is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScriptUser {
    /// User name or number.
    pub user: String,
    /// Group name or number; the user's own group when absent.
    pub group: Option<String>,
}

/// A command that the operator wants run. It is executed directly, never through a shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Script {
    /// Path of the program and its arguments; never empty.
    pub words: Vec<String>,
    /// Its own account, where the line names one.
    pub user: Option<ScriptUser>,
}

impl Script {
    /// The path of the program.
    pub fn path(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}
