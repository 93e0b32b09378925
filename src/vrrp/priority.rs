//! The effective priority: the configured one, moved by what is tracked.

use crate::core::config::model::vrrp::{Priority, TrackEffect};

/// The priority in the next advert. An owner's never moves; others stay within 1..=254.
///
/// `tracked` gives the effect of each tracked object and whether it is good; an object without a
/// result yet changes nothing.
pub fn effective(
    base: Priority,
    tracked: impl Iterator<Item = (TrackEffect, Option<bool>)>,
) -> Priority {
    if base.is_owner() {
        return base;
    }
    let total = tracked.fold(i32::from(base.get()), |total, (effect, good)| {
        total + i32::from(change(effect, good))
    });
    Priority::new(u8::try_from(total.clamp(1, 254)).unwrap_or(1))
}

fn change(effect: TrackEffect, good: Option<bool>) -> i16 {
    match (effect, good) {
        (TrackEffect::Weight(weight), Some(true)) if weight > 0 => weight,
        (TrackEffect::Weight(weight), Some(false)) if weight < 0 => weight,
        (TrackEffect::Weight(_) | TrackEffect::Fault | TrackEffect::FaultWhenGood, _) => 0,
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
        effective(Priority::new(base), tracked).get()
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
        assert_eq!(effective(Priority::new(100), unknown.into_iter()).get(), 100);
    }
}
