//! `auth_hmac`: adverts with a keyed trailer.

use serde::{Deserialize, Serialize};

use crate::core::time::Interval;

/// The `auth_hmac` block of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacAuthentication {
    /// Every key that a received advert may be made with, in order; at least one.
    pub keys: Vec<HmacKey>,
    /// `active_key`: the one that adverts are sent with; it is among `keys`.
    pub active_key: u8,
    /// `time_window`: largest difference of clocks; three advert intervals, at least 5 s and at
    /// most 300 s, unless written.
    pub window: Interval,
    /// `anti_replay`.
    pub replay: ReplayProtection,
    /// `mode`.
    pub mode: HmacMode,
}

impl HmacAuthentication {
    /// The bytes of a key; `None` when there is none of this number, or its file was not read.
    pub fn secret(&self, id: u8) -> Option<&[u8]> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        match &key.secret {
            HmacSecret::Bytes(bytes) => Some(bytes),
            HmacSecret::File(_) => None,
        }
    }

    /// Puts something in the place of keys in files, the same for each number: for looking at the
    /// configurations of other hosts, whose files are not here.
    pub fn assume_keys(&mut self) {
        for key in &mut self.keys {
            if let HmacSecret::File(_) = key.secret {
                key.secret = HmacSecret::Bytes(vec![key.id; 32]);
            }
        }
    }

    /// Whether own adverts have a trailer.
    pub fn signs(&self) -> bool {
        match self.mode {
            HmacMode::Enforce | HmacMode::Permissive => true,
            HmacMode::ReceiveOnly => false,
        }
    }
}

/// One `key` line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// 1..=255, in the trailer.
    pub id: u8,
    /// The secret.
    pub secret: HmacSecret,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacSecret {
    /// 32 to 64 bytes, as text or `hex:`.
    Bytes(Vec<u8>),
    /// `file:`, until the vrrp process has read it; for good when it cannot be read.
    File(String),
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacKey").field("id", &self.id).field("secret", &self.secret).finish()
    }
}

/// Secrets do not go into logs and dumps.
impl std::fmt::Debug for HmacSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// What makes an old advert invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ReplayProtection {
    /// `time`: its clock is outside of the window.
    #[default]
    Time,
    /// `monotonic`: its counter has not grown.
    Monotonic,
}

/// What is done about adverts without a valid trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HmacMode {
    /// `enforce`: dropped.
    #[default]
    Enforce,
    /// `permissive`: those without one are counted and believed.
    Permissive,
    /// `receive-only`: the same, and own adverts go without a trailer. Two such routers must believe
    /// one another, or both would be master.
    ReceiveOnly,
}

impl HmacMode {
    /// As in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Permissive => "permissive",
            Self::ReceiveOnly => "receive-only",
        }
    }
}
