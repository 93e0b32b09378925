//! The effective priority: the configured one, moved by what is tracked.

use crate::core::config::model::track::FileEffect;
use crate::core::config::model::vrrp::{Priority, TrackEffect};

/// The priority in the next advert. An owner's never moves; others stay within 1..=254.
///
/// `tracked` gives the effect of each tracked object and whether it is good; an object without a
/// result yet changes nothing.
pub fn effective(
    base: Priority,
    tracked: impl Iterator<Item = (TrackEffect, Option<bool>)>,
    files: impl Iterator<Item = (FileEffect, i64)>,
) -> Priority {
    if base.is_owner() {
        return base;
    }
    let total = tracked.fold(i32::from(base.get()), |total, (effect, good)| {
        total + i32::from(change(effect, good))
    });
    let total = files.fold(total, |total, (effect, value)| total + file_change(effect, value));
    Priority::new(u8::try_from(total.clamp(1, 254)).unwrap_or(1))
}

fn change(effect: TrackEffect, good: Option<bool>) -> i16 {
    match (effect, good) {
        (TrackEffect::Weight(weight), Some(true)) if weight > 0 => weight,
        (TrackEffect::Weight(weight), Some(false)) if weight < 0 => weight,
        (TrackEffect::Weight(_) | TrackEffect::Fault | TrackEffect::FaultWhenGood, _) => 0,
    }
}

/// What a file's number does to the priority: -253..=253 (keepalived caps it there).
fn file_change(effect: FileEffect, value: i64) -> i32 {
    match effect {
        FileEffect::Times(times) => {
            let change = value.saturating_mul(i64::from(times)).clamp(-253, 253);
            i32::try_from(change).unwrap_or(0)
        }
        FileEffect::FaultUnlessZero | FileEffect::FaultIfZero => 0,
    }
}

/// Whether a file's number is a cause of FAULT; with a weight, -254 and below are.
pub fn file_is_fault(effect: FileEffect, value: i64) -> bool {
    match effect {
        FileEffect::FaultUnlessZero => value != 0,
        FileEffect::FaultIfZero => value == 0,
        FileEffect::Times(times) => value.saturating_mul(i64::from(times)) <= -254,
    }
}

/// Whether a tracked object is a cause of FAULT.
pub fn is_fault(effect: TrackEffect, good: bool) -> bool {
    match effect {
        TrackEffect::Fault => !good,
        TrackEffect::FaultWhenGood => good,
        TrackEffect::Weight(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: u8, tracked: &[(i16, bool)]) -> u8 {
        let tracked =
            tracked.iter().map(|(weight, good)| (TrackEffect::Weight(*weight), Some(*good)));
        effective(Priority::new(base), tracked, std::iter::empty()).get()
    }

    #[test]
    fn v_221_weights_move_the_priority_within_its_limits_and_never_an_owner() {
        assert_eq!(of(100, &[(10, true), (20, false), (-30, true), (-40, false)]), 70);
        assert_eq!(of(100, &[(253, true)]), 254);
        assert_eq!(of(100, &[(-253, false)]), 1);
        assert_eq!(of(255, &[(-253, false)]), 255);
    }

    #[test]
    fn an_object_without_a_result_changes_nothing() {
        let unknown = [(TrackEffect::Weight(10), None), (TrackEffect::Weight(-10), None)];
        let none = std::iter::empty();
        assert_eq!(effective(Priority::new(100), unknown.into_iter(), none).get(), 100);
    }

    #[test]
    fn a_files_number_times_its_weight_is_added_within_limits() {
        let with = |times, value| {
            let files = [(FileEffect::Times(times), value)].into_iter();
            effective(Priority::new(100), std::iter::empty(), files).get()
        };
        assert_eq!((with(1, 20), with(-2, 20), with(1, -20)), (120, 60, 80));
        assert_eq!((with(3, i64::MAX), with(3, i64::MIN)), (254, 1));
        assert!(file_is_fault(FileEffect::Times(1), -254));
        assert!(!file_is_fault(FileEffect::Times(1), -253));
        assert!(file_is_fault(FileEffect::FaultUnlessZero, -1));
        assert!(file_is_fault(FileEffect::FaultIfZero, 0));
    }
}
