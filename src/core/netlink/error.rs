//! What goes wrong with netlink.

use std::io;

/// A request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Io(#[from] io::Error),
    /// The kernel refused; its own words where it has any.
    #[error("{}{}", io::Error::from_raw_os_error(*.errno), .text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// Positive.
        errno: i32,
        /// Extended acknowledgement.
        text: Option<String>,
    },
    /// No answer in time: whether it was carried out is not known.
    #[error("the kernel did not answer")]
    Timeout,
    /// An answer that makes no sense.
    #[error("the kernel's answer cannot be read: {0}")]
    Malformed(&'static str),
    /// Messages were lost.
    #[error("the kernel sent more than fits")]
    Overrun,
}

impl NetlinkError {
    /// The kernel's errno, positive.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Io(_) | Self::Timeout | Self::Malformed(_) | Self::Overrun => None,
        }
    }
}
