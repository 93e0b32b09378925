//! When a child that died is started again (pure).

use crate::core::time::Interval;

/// A child that ran this long is started again at once.
const STEADY: Interval = Interval::from_secs(60);
/// The longest wait.
const LONGEST: Interval = Interval::from_secs(60);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(u8),
    /// By this signal.
    Signal(i32),
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after this time.
    Restart(Interval),
    /// It will never run: end the daemon with this status.
    GiveUp(u8),
}

/// The deaths of one child so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Respawn {
    next_wait: Interval,
}

impl Respawn {
    /// Decides after a death. Exit statuses 1 (fatal), 2 (configuration) and 4 (permission) are
    /// final, as keepalived has it; otherwise the wait is 0, 1, 2, 4, … 60 seconds, and starts anew
    /// after a run of a minute.
    pub fn died(&mut self, exit: Exit, ran_for: Interval) -> Verdict {
        if let Exit::Status(status @ (1 | 2 | 4)) = exit {
            return Verdict::GiveUp(status);
        }
        if ran_for >= STEADY {
            self.next_wait = Interval::ZERO;
        }
        let wait = self.next_wait;
        self.next_wait =
            if wait.is_zero() { Interval::from_secs(1) } else { (wait * 2).min(LONGEST) };
        Verdict::Restart(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_start_anew_after_a_steady_run() {
        let mut respawn = Respawn::default();
        let mut wait = |ran| match respawn.died(Exit::Signal(9), Interval::from_secs(ran)) {
            Verdict::Restart(wait) => wait.as_secs(),
            Verdict::GiveUp(status) => panic!("gave up with {status}"),
        };
        let waits: Vec<u64> = (0..9).map(|_| wait(1)).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait(60), 0);
    }

    #[test]
    fn permanent_errors_end_the_daemon() {
        for status in [1, 2, 4] {
            let verdict = Respawn::default().died(Exit::Status(status), Interval::ZERO);
            assert_eq!(verdict, Verdict::GiveUp(status));
        }
        let verdict = Respawn::default().died(Exit::Status(70), Interval::ZERO);
        assert_eq!(verdict, Verdict::Restart(Interval::ZERO));
    }
}
