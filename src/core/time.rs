//! Points in time, lengths of time and the table of pending timers, for code that owns no clock.
//!
//! The daemon turns the kernel's clock since boot into [`Timestamp`]s at the rim; tests and the
//! simulator make them up. The time since 1970 enters an engine only to be written into packets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on a monotonic clock, in nanoseconds since an arbitrary origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The point `nanoseconds` after the origin.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Interval {
        Interval(self.0.saturating_sub(earlier.0))
    }

    /// The point that was `interval` ago then; the origin if that is later.
    pub const fn before(self, interval: Interval) -> Self {
        Self(self.0.saturating_sub(interval.0))
    }
}

impl Add<Interval> for Timestamp {
    type Output = Self;
    fn add(self, interval: Interval) -> Self {
        Self(self.0.saturating_add(interval.0))
    }
}

impl AddAssign<Interval> for Timestamp {
    fn add_assign(&mut self, interval: Interval) {
        *self = *self + interval;
    }
}

/// A length of time, in nanoseconds. The dialect's units (seconds, centiseconds, microseconds) are
/// named in the constructors, so that one is never taken for another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Interval(u64);

impl Interval {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// `centiseconds` hundredths of a second, the unit of a VRRP version 3 advert.
    pub const fn from_centis(centiseconds: u64) -> Self {
        Self(centiseconds.saturating_mul(10_000_000))
    }

    /// `milliseconds` thousandths of a second.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// `microseconds` millionths of a second, the finest unit of the dialect.
    pub const fn from_micros(microseconds: u64) -> Self {
        Self(microseconds.saturating_mul(1_000))
    }

    /// `nanoseconds` thousand-millionths of a second.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Whole hundredths of a second, rounded down.
    pub const fn as_centis(self) -> u64 {
        self.0 / 10_000_000
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds as a fraction, for people to read.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Whether no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `numerator / denominator` of this length, rounded down; `denominator` zero counts as one.
    pub fn fraction(self, numerator: u64, denominator: u64) -> Self {
        let scaled = u128::from(self.0) * u128::from(numerator) / u128::from(denominator.max(1));
        Self(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// The same length for the standard library.
    pub const fn to_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// From the standard library's type; over 584 years is cut off.
    pub fn from_duration(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Interval {
    type Output = Self;
    /// Saturates at zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Interval {
    type Output = Self;
    fn mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl fmt::Display for Interval {
    /// Seconds with as many decimals as are needed, at most six: `1`, `0.25`, `3.609375`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            let digits = format!("{rest:06}");
            write!(f, "{whole}.{}", digits.trim_end_matches('0'))
        }
    }
}

/// Pending timers by key, at most one for each, in order of time and then of key.
#[derive(Debug, Clone, Default)]
pub struct TimerTable<K: Ord + Clone> {
    by_key: BTreeMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
}

impl<K: Ord + Clone> TimerTable<K> {
    /// An empty table.
    pub fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Arms the timer of `key` for `at`, replacing an earlier setting.
    pub fn set(&mut self, key: K, at: Timestamp) {
        if let Some(old) = self.by_key.insert(key.clone(), at) {
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// Disarms the timer of `key`.
    pub fn cancel(&mut self, key: &K) {
        if let Some(old) = self.by_key.remove(key) {
            self.by_time.remove(&(old, key.clone()));
        }
    }

    /// When the timer of `key` will go off.
    pub fn get(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    /// The next timer to go off.
    pub fn next(&self) -> Option<(Timestamp, &K)> {
        self.by_time.first().map(|(at, key)| (*at, key))
    }

    /// Takes out the next timer that is due at `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, K)> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (at, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some((at, key))
    }

    /// Disarms the timers whose key does not satisfy `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.by_key.retain(|key, _| keep(key));
        let by_key = &self.by_key;
        self.by_time.retain(|(_, key)| by_key.contains_key(key));
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_shown_in_seconds_without_trailing_zeros() {
        assert_eq!(Interval::from_secs(1).to_string(), "1");
        assert_eq!(Interval::from_millis(250).to_string(), "0.25");
        assert_eq!(Interval::from_micros(3_609_375).to_string(), "3.609375");
    }

    #[test]
    fn a_fraction_does_not_overflow_or_truncate_to_zero() {
        // RFC 9568 section 6.1: skew of priority 100 at 100 centiseconds is 60.9375 centiseconds.
        let skew = Interval::from_centis(100).fraction(256 - 100, 256);
        assert_eq!(skew.as_nanos(), 609_375_000);
        assert_eq!(Interval::from_nanos(u64::MAX).fraction(2, 1).as_nanos(), u64::MAX);
        assert_eq!(Interval::from_secs(1).fraction(1, 0), Interval::from_secs(1));
    }

    #[test]
    fn timers_come_out_in_order_of_time_and_only_when_due() {
        let mut timers = TimerTable::new();
        let at = |s| Timestamp::ZERO + Interval::from_secs(s);
        timers.set("b", at(2));
        timers.set("a", at(1));
        timers.set("b", at(3));
        assert_eq!(timers.next(), Some((at(1), &"a")));
        assert_eq!(timers.pop_due(at(2)), Some((at(1), "a")));
        assert_eq!(timers.pop_due(at(2)), None, "setting a timer again moves it");
        timers.cancel(&"b");
        assert!(timers.is_empty());
    }
}
