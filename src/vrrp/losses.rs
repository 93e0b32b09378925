//! What somebody else removes (networkd, `ip addr flush`) is put back at once. keepalived drops to
//! BACKUP for a skew time instead: the address is gone for that long, each time, and scripts run.
//! Where it is removed again and again, a manager is at work that will not stop, so another router may
//! serve meanwhile: then it is keepalived's way, with a wait that doubles.

use crate::core::time::{Interval, Timestamp};

/// Put back at once.
const AT_ONCE: u32 = 3;
/// Longest wait before it is taken back.
const LONGEST: Interval = Interval::from_secs(30);
/// After this long without a loss, all is forgotten.
const MEMORY: Interval = Interval::from_secs(90);
/// What is removed together comes in several messages of the kernel's.
const TOGETHER: Interval = Interval::from_millis(100);

/// How often something was removed.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    count: u32,
    last: Option<Timestamp>,
}

/// What to do about a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Put it back.
    AtOnce,
    /// Put it back after this long.
    After(Interval),
}

impl Losses {
    /// Whether it was so long ago that nothing of it counts any more.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.last.is_none_or(|last| now.since(last) > MEMORY)
    }

    /// Something is gone. The first wait is `least`.
    pub fn lost(&mut self, now: Timestamp, least: Interval) -> Remedy {
        match self.last {
            Some(last) if now.since(last) < TOGETHER => {}
            Some(last) if now.since(last) <= MEMORY => {
                self.count = self.count.saturating_add(1);
                self.last = Some(now);
            }
            Some(_) | None => *self = Self { count: 1, last: Some(now) },
        }
        match self.count.checked_sub(AT_ONCE) {
            None | Some(0) => Remedy::AtOnce,
            Some(more) => {
                let doubled = least * (1 << more.saturating_sub(1).min(20));
                Remedy::After(doubled.min(LONGEST).max(least))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_again_and_again_comes_back_more_and_more_slowly() {
        let mut losses = Losses::default();
        let least = Interval::from_millis(600);
        let mut now = Timestamp::ZERO + Interval::from_secs(5);
        let mut lost = |after: Interval| {
            now += after;
            losses.lost(now, least)
        };
        let second = Interval::from_secs(1);
        assert_eq!(lost(second), Remedy::AtOnce);
        for _ in 0..50 {
            assert_eq!(lost(Interval::from_millis(1)), Remedy::AtOnce, "all of one removal");
        }
        assert_eq!((lost(second), lost(second)), (Remedy::AtOnce, Remedy::AtOnce));
        for wait in [600, 1200, 2400, 4800, 9600, 19_200, 30_000, 30_000] {
            assert_eq!(lost(second), Remedy::After(Interval::from_millis(wait)));
        }
        assert_eq!(lost(Interval::from_secs(100)), Remedy::AtOnce, "forgotten");
        assert!(!losses.is_forgotten(now) && losses.is_forgotten(now + Interval::from_secs(91)));
    }
}
