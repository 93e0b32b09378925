//! Counters of a virtual router, by keepalived's names.

use std::ops::{Deref, DerefMut};

use super::event::Rejection;
use crate::core::seldom::{Seldom, Usual};
use crate::core::time::Interval;

/// Since the start, or since they were cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Adverts accepted.
    pub advert_rcvd: u64,
    /// Adverts sent.
    pub advert_sent: u64,
    /// Times it became master.
    pub become_master: u64,
    /// Times it ceased to be master.
    pub release_master: u64,
    /// Adverts that left a tenth of their interval or more after their time.
    pub advert_late: u64,
    /// The advert that was sent the longest after its time.
    pub advert_latest: Interval,
    rare: Seldom<RareStatistics>,
}

/// What most routers never count: it takes no room until then. Its fields read and change as if they
/// were in [`Statistics`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RareStatistics {
    /// Wrong length.
    pub packet_len_err: u64,
    /// Interval differs (version 2), or is zero (version 3).
    pub advert_interval_err: u64,
    /// TTL is not 255, or outside of a peer's limits.
    pub ip_ttl_err: u64,
    /// Not an advertisement.
    pub invalid_type_rcvd: u64,
    /// The list of addresses differs, or is empty; group and unicast mixed up.
    pub addr_list_err: u64,
    /// Authentication type unknown.
    pub invalid_authtype: u64,
    /// Authentication type differs.
    pub authtype_mismatch: u64,
    /// Wrong password.
    pub auth_failure: u64,
    /// Without the trailer of `auth_hmac`.
    pub auth_ext_missing: u64,
    /// With one that is none.
    pub auth_ext_malformed: u64,
    /// Made with a key that is not there.
    pub auth_ext_unknown_key: u64,
    /// Made with another key, or changed on its way.
    pub auth_ext_invalid_hmac: u64,
    /// Made by a clock that is too far from ours.
    pub auth_ext_stale: u64,
    /// Not later than one of the same sender that was accepted.
    pub auth_ext_replay: u64,
    /// Priority 0 received.
    pub pri_zero_rcvd: u64,
    /// Priority 0 sent.
    pub pri_zero_sent: u64,
    /// Wrong version.
    pub version_err: u64,
    /// Wrong checksum.
    pub checksum_err: u64,
    /// Sender is no configured peer.
    pub source_err: u64,
    /// Owner's adverts that an owner ignores.
    pub ignored: u64,
    /// Times that another router went on as master beside this better one.
    pub rivals: u64,
    /// Adverts of such routers.
    pub rival_adverts: u64,
    /// Accepted with the less common form of the version 3 checksum.
    pub checksum_other_form: u64,
}

impl Usual for RareStatistics {
    const USUAL: &'static Self = &Self {
        packet_len_err: 0,
        advert_interval_err: 0,
        ip_ttl_err: 0,
        invalid_type_rcvd: 0,
        addr_list_err: 0,
        invalid_authtype: 0,
        authtype_mismatch: 0,
        auth_failure: 0,
        auth_ext_missing: 0,
        auth_ext_malformed: 0,
        auth_ext_unknown_key: 0,
        auth_ext_invalid_hmac: 0,
        auth_ext_stale: 0,
        auth_ext_replay: 0,
        pri_zero_rcvd: 0,
        pri_zero_sent: 0,
        version_err: 0,
        checksum_err: 0,
        source_err: 0,
        ignored: 0,
        rivals: 0,
        rival_adverts: 0,
        checksum_other_form: 0,
    };
}

impl Deref for Statistics {
    type Target = RareStatistics;
    fn deref(&self) -> &RareStatistics {
        &self.rare
    }
}

impl DerefMut for Statistics {
    fn deref_mut(&mut self) -> &mut RareStatistics {
        &mut self.rare
    }
}

impl Statistics {
    /// Counts a packet that was not accepted.
    pub fn count(&mut self, rejection: Rejection) {
        let counter = match rejection {
            Rejection::Length => &mut self.packet_len_err,
            Rejection::Ttl(_) => &mut self.ip_ttl_err,
            Rejection::Version(_) => &mut self.version_err,
            Rejection::Type => &mut self.invalid_type_rcvd,
            Rejection::Checksum => &mut self.checksum_err,
            Rejection::UnknownAuthType(_) => &mut self.invalid_authtype,
            Rejection::AuthTypeMismatch => &mut self.authtype_mismatch,
            Rejection::Password | Rejection::Replay(_) => &mut self.auth_failure,
            Rejection::TrailerMissing => &mut self.auth_ext_missing,
            Rejection::TrailerMalformed => &mut self.auth_ext_malformed,
            Rejection::UnknownKey(_) => &mut self.auth_ext_unknown_key,
            Rejection::InvalidHmac => &mut self.auth_ext_invalid_hmac,
            Rejection::Stale(_) => &mut self.auth_ext_stale,
            Rejection::ReplayedStamp => &mut self.auth_ext_replay,
            Rejection::Interval(_) => &mut self.advert_interval_err,
            Rejection::Destination | Rejection::NoAddress | Rejection::NotLinkLocal => {
                &mut self.addr_list_err
            }
            Rejection::Source => &mut self.source_err,
            Rejection::Owner => &mut self.ignored,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_counted_takes_no_room() {
        let mut statistics = Statistics::default();
        statistics.advert_sent += 1;
        assert_eq!(statistics.source_err, 0);
        let other = Statistics::default();
        assert!(std::ptr::eq(&raw const *statistics.rare, &raw const *other.rare), "no room");
        statistics.count(Rejection::Source);
        assert_eq!((statistics.source_err, statistics.checksum_err), (1, 0));
        assert!(
            size_of::<Statistics>() <= 64 && *Statistics::default() == RareStatistics::default()
        );
    }
}
