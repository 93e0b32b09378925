//! The trailer of `auth_hmac` on its way out and in: which stamp is next, and which one was there
//! before.
//!
//! Stamps come from the wall clock, which is an input like any other and may step. What a sender
//! does about that: as long as its clock is behind its last stamp, it counts on from there, so that
//! no two are equal and peers see them grow. With `anti_replay time` it begins anew from the clock
//! when that is more than the window behind: peers whose clocks are right would call anything else
//! stale for as long as the clock was wrong. What a receiver does: a mark that its own clock is
//! further than the window from says nothing any more, as everything near it is stale by now. So
//! routers whose clocks agree again hear one another again after at most two windows, however far
//! the clocks have stepped; with clocks that differ by more than the window they do not, which is
//! what `time` means.

use std::net::IpAddr;

use super::Router;
use crate::core::config::model::hmac::{HmacAuthentication, HmacMode, ReplayProtection};
use crate::core::config::model::vrrp::Transport;
use crate::core::time::Interval;
use crate::vrrp::event::Rejection;
use crate::vrrp::packet::advert;
use crate::vrrp::packet::hmac::{self, Stamp, Trailer};

/// Senders of multicast adverts that are remembered: several speak only while they contend. Of more,
/// the one that was silent for the longest is forgotten.
const MULTICAST_SENDERS: usize = 4;

/// A trailer that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// When it was made.
    pub stamp: Stamp,
    /// By how many seconds the sender's clock is ahead of ours.
    pub ahead: i32,
}

/// The latest stamp of each sender, the one that spoke last at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(Vec<(IpAddr, Stamp)>);

impl Marks {
    /// The latest stamp of a sender.
    pub fn of(&self, source: IpAddr) -> Option<Stamp> {
        self.0.iter().find(|(sender, _)| *sender == source).map(|(_, stamp)| *stamp)
    }

    /// Remembers a stamp, and at most so many senders.
    pub fn set(&mut self, source: IpAddr, stamp: Stamp, most: usize) {
        self.0.retain(|(sender, _)| *sender != source);
        self.0.push((source, stamp));
        let surplus = self.0.len().saturating_sub(most);
        self.0.drain(..surplus);
    }
}

/// The stamp after `last`, by a wall clock.
fn next_stamp(last: Option<Stamp>, wall: Interval, hmac: &HmacAuthentication) -> Stamp {
    let clock = Stamp::at(wall);
    let Some(last) = last else { return clock };
    let stranded = match hmac.replay {
        ReplayProtection::Time => is_outside(last.seconds_after(clock), hmac.window),
        // Growth is all that its receivers look at.
        ReplayProtection::Monotonic => false,
    };
    if clock.is_after(last) || stranded { clock } else { last.next() }
}

fn is_outside(seconds: i32, window: Interval) -> bool {
    u64::from(seconds.unsigned_abs()) > window.as_secs()
}

impl Router {
    /// The stamp of the next advert, which is used up; `None` where adverts have no trailer.
    pub fn take_stamp(&mut self, wall: Interval) -> Option<Stamp> {
        let hmac = self.instance.hmac.as_ref().filter(|hmac| hmac.signs())?;
        let stamp = next_stamp(self.stamp, wall, hmac);
        self.stamp = Some(stamp);
        Some(stamp)
    }

    /// Puts a trailer behind a message, and sums it up anew where the sum is over all of the packet.
    pub fn sign(
        &self,
        stamp: Option<Stamp>,
        source: IpAddr,
        destination: IpAddr,
        mut message: Vec<u8>,
    ) -> Vec<u8> {
        let Some((hmac, stamp)) = self.instance.hmac.as_ref().zip(stamp) else { return message };
        let Some(secret) = hmac.secret(hmac.active_key) else { return message };
        hmac::seal(&mut message, hmac.active_key, secret, source, stamp);
        if source.is_ipv6() {
            advert::set_sum(&mut message, advert::ChecksumForm::PseudoHeader, source, destination);
        }
        message
    }

    /// Checks the trailer of an advert, where there must or may be one. The length tells whether it
    /// is there: padding is never that long.
    pub(super) fn authenticate(
        &self,
        source: IpAddr,
        bytes: &[u8],
        wall: Interval,
    ) -> Result<Option<Signature>, Rejection> {
        let Some(hmac) = &self.instance.hmac else { return Ok(None) };
        let length = advert::length_of(bytes, self.instance.family).ok_or(Rejection::Length)?;
        let trailer = match bytes.split_last_chunk::<{ hmac::LENGTH }>() {
            Some((message, trailer)) if message.len() == length => Some((message, trailer)),
            Some(_) | None => None,
        };
        let Some((message, trailer)) = trailer else {
            return match hmac.mode {
                HmacMode::Enforce => Err(Rejection::TrailerMissing),
                HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(None),
            };
        };
        // Each sender's stamps are remembered: whoever might send must be known before.
        let is_peer = match &self.instance.transport {
            Transport::Multicast { .. } => true,
            Transport::Unicast { peers, .. } => peers.iter().any(|peer| peer.address == source),
        };
        if !is_peer {
            return Err(Rejection::Source);
        }
        let trailer = Trailer::parse(trailer).map_err(|_| Rejection::TrailerMalformed)?;
        let clock = Stamp::at(wall);
        let ahead = trailer.stamp.seconds_after(clock);
        // Before the costly part: a flood of old packets must not keep us busy.
        if hmac.replay == ReplayProtection::Time && is_outside(ahead, hmac.window) {
            return Err(Rejection::Stale(ahead));
        }
        let secret = hmac.secret(trailer.key).ok_or(Rejection::UnknownKey(trailer.key))?;
        if !trailer.is_made_with(secret, source, message) {
            return Err(Rejection::InvalidHmac);
        }
        let mark = self.marks.of(source).filter(|mark| match hmac.replay {
            ReplayProtection::Time => !is_outside(mark.seconds_after(clock), hmac.window),
            ReplayProtection::Monotonic => true,
        });
        if mark.is_some_and(|mark| !trailer.stamp.is_after(mark)) {
            return Err(Rejection::ReplayedStamp);
        }
        Ok(Some(Signature { stamp: trailer.stamp, ahead }))
    }

    /// An advert with this trailer was accepted.
    pub fn remember(&mut self, source: IpAddr, signature: Signature) {
        let most = match &self.instance.transport {
            Transport::Multicast { .. } => MULTICAST_SENDERS,
            Transport::Unicast { peers, .. } => peers.len(),
        };
        self.marks.set(source, signature.stamp, most);
    }

    /// Seconds by which the sender's clock is ahead of ours, when that is more than half of what is
    /// allowed.
    pub fn clock_warning(&self, signature: Signature) -> Option<(i32, Interval)> {
        let hmac = self.instance.hmac.as_ref()?;
        let half = hmac.window.fraction(1, 2);
        let warns = hmac.replay == ReplayProtection::Time && is_outside(signature.ahead, half);
        warns.then_some((signature.ahead, hmac.window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::hmac::{HmacKey, HmacSecret};

    fn hmac(replay: ReplayProtection) -> HmacAuthentication {
        HmacAuthentication {
            keys: vec![HmacKey { id: 1, secret: HmacSecret::Bytes(vec![b'k'; 32]) }],
            active_key: 1,
            window: Interval::from_secs(5),
            replay,
            mode: HmacMode::Enforce,
        }
    }

    fn at(millis: u64) -> Interval {
        Interval::from_millis(1_790_000_000_000 + millis)
    }

    #[test]
    fn stamps_follow_the_clock_and_are_never_equal() {
        for replay in [ReplayProtection::Time, ReplayProtection::Monotonic] {
            let hmac = hmac(replay);
            let first = next_stamp(None, at(0), &hmac);
            assert_eq!(first, Stamp::at(at(0)));
            let second = next_stamp(Some(first), at(0), &hmac);
            assert_eq!(second, first.next());
            // A little back: counted on, so that peers see them grow.
            let third = next_stamp(Some(second), at(0) - Interval::from_secs(5), &hmac);
            assert_eq!(third, second.next());
            assert_eq!(next_stamp(Some(third), at(1000), &hmac), Stamp::at(at(1000)));
        }
    }

    #[test]
    fn far_behind_the_last_stamp_the_clock_counts_unless_growth_is_all_there_is() {
        let last = Some(Stamp::at(at(0)));
        let back = at(0) - Interval::from_secs(3600);
        let time = next_stamp(last, back, &hmac(ReplayProtection::Time));
        assert_eq!(time, Stamp::at(back));
        let monotonic = next_stamp(last, back, &hmac(ReplayProtection::Monotonic));
        assert_eq!(Some(monotonic), last.map(Stamp::next));
    }

    #[test]
    fn of_too_many_senders_the_one_that_was_silent_for_the_longest_is_forgotten() {
        let mut marks = Marks::default();
        let sender = |n: u8| IpAddr::from([10, 0, 0, n]);
        for n in [1, 2, 3, 4, 1, 5] {
            marks.set(sender(n), Stamp::at(at(u64::from(n))), MULTICAST_SENDERS);
        }
        let known: Vec<u8> = (1..=5).filter(|n| marks.of(sender(*n)).is_some()).collect();
        assert_eq!(known, [1, 3, 4, 5]);
    }
}
