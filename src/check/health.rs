//! What one checker makes of its probes' results: retries, first results, several urls.

use crate::core::config::model::check::Checker;
use crate::core::time::{Interval, Timestamp};

/// A checker's opinion of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No result yet; one failure decides.
    Unproved {
        /// What is assumed until then.
        up: bool,
    },
    /// Good, with this many failures in a row.
    Up {
        /// At most `retry`.
        failures: u32,
    },
    /// Bad.
    Down,
}

impl Health {
    /// Before the first result: down with `alpha`, else up.
    pub fn initial(checker: &Checker) -> Self {
        Self::Unproved { up: !checker.alpha }
    }

    /// Whether the server may have traffic as far as this checker knows.
    pub const fn is_up(self) -> bool {
        match self {
            Self::Unproved { up } => up,
            Self::Up { .. } => true,
            Self::Down => false,
        }
    }
}

/// A checker's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What it thinks.
    pub health: Health,
    /// Which url is asked next.
    pub url: usize,
    /// Urls that have answered well in a row.
    passed: usize,
    /// Successes in a row of all urls while the server is out.
    risen: u32,
    /// Since when there have been successes only.
    good_since: Option<Timestamp>,
}

impl Memory {
    /// A checker that begins with this opinion.
    pub fn new(health: Health) -> Self {
        Self { health, url: 0, passed: 0, risen: 0, good_since: None }
    }

    /// Takes a result in; gives the wait until the next probe.
    pub fn result(&mut self, now: Timestamp, checker: &Checker, success: bool) -> Interval {
        if success { self.success(now, checker) } else { self.failure(checker) }
    }

    fn success(&mut self, now: Timestamp, checker: &Checker) -> Interval {
        let http = checker.probe.as_http();
        let urls = http.map_or(1, |http| http.urls.len().max(1));
        let fast = http.is_some_and(|http| http.fast_recovery);
        self.url = (self.url + 1) % urls;
        self.passed = (self.passed + 1).min(urls);
        let good_for = now.since(*self.good_since.get_or_insert(now));
        match self.health {
            Health::Up { .. } => self.health = Health::Up { failures: 0 },
            // Every url must have answered before the server is trusted.
            Health::Unproved { .. } | Health::Down if self.passed >= urls => {
                self.risen = self.risen.saturating_add(1);
                let serves = self.health.is_up();
                if serves || (self.risen >= checker.rise && good_for >= checker.reentry) {
                    self.health = Health::Up { failures: 0 };
                    self.risen = 0;
                }
            }
            Health::Unproved { .. } | Health::Down if fast => return Interval::ZERO,
            Health::Unproved { .. } | Health::Down => {}
        }
        checker.delay_loop
    }

    fn failure(&mut self, checker: &Checker) -> Interval {
        (self.passed, self.risen, self.good_since) = (0, 0, None);
        match self.health {
            Health::Up { failures } if failures < checker.retry => {
                self.health = Health::Up { failures: failures + 1 };
                checker.delay_before_retry
            }
            Health::Up { .. } | Health::Unproved { .. } | Health::Down => {
                self.health = Health::Down;
                // As keepalived: a longer wait for retries holds for a dead web server too.
                match checker.probe.as_http() {
                    Some(_) => checker.delay_loop.max(checker.delay_before_retry),
                    None => checker.delay_loop,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::tcp_checker;
    use crate::core::config::model::check::{HttpProbe, HttpVersion, Probe, Url};

    #[test]
    fn the_first_failure_decides_and_later_ones_need_all_retries() {
        let checker = Checker { retry: 2, ..tcp_checker() };
        let mut memory = Memory::new(Health::initial(&checker));
        memory.result(Timestamp::ZERO, &checker, false);
        assert_eq!(memory.health, Health::Down);
        memory.result(Timestamp::ZERO, &checker, true);
        assert_eq!(memory.health, Health::Up { failures: 0 });
        assert_eq!(memory.result(Timestamp::ZERO, &checker, false), checker.delay_before_retry);
        assert_eq!(memory.result(Timestamp::ZERO, &checker, false), checker.delay_before_retry);
        assert!(memory.health.is_up());
        assert_eq!(memory.result(Timestamp::ZERO, &checker, false), checker.delay_loop);
        assert!(!memory.health.is_up());
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let checker = Checker { retry: 1, ..tcp_checker() };
        let mut memory = Memory::new(Health::Up { failures: 0 });
        for success in [false, true, false, true, false] {
            memory.result(Timestamp::ZERO, &checker, success);
            assert!(memory.health.is_up());
        }
    }

    #[test]
    fn every_url_must_answer_before_a_server_is_trusted_again() {
        let base = tcp_checker();
        let Probe::Tcp(connect) = base.probe.clone() else { panic!("{base:?}") };
        let url = Url {
            path: "/".into(),
            virtualhost: None,
            digest: None,
            status: vec![(200, 299)],
            regex: None,
            orderly_close: false,
        };
        let probe = Probe::Http(HttpProbe {
            connect,
            tls: None,
            version: HttpVersion::V1_0,
            urls: vec![url.clone(), url].into(),
            fast_recovery: true,
        });
        let checker = Checker { probe, ..base };
        let mut memory = Memory::new(Health::Down);
        assert_eq!(
            memory.result(Timestamp::ZERO, &checker, true),
            Interval::ZERO,
            "fast recovery asks at once"
        );
        assert!(!memory.health.is_up());
        assert_eq!(memory.url, 1);
        memory.result(Timestamp::ZERO, &checker, true);
        assert!(memory.health.is_up());
    }

    #[test]
    fn a_server_that_is_out_must_rise_and_stay_well_before_it_is_back() {
        let checker = Checker { rise: 3, reentry: Interval::from_secs(30), ..tcp_checker() };
        let mut memory = Memory::new(Health::Down);
        let after = |seconds| Timestamp::ZERO + Interval::from_secs(seconds);
        let mut result = |seconds, success| {
            memory.result(after(seconds), &checker, success);
            memory.health.is_up()
        };
        assert!(!result(0, true) && !result(10, true), "two are not three");
        assert!(!result(20, true), "three, but not for long enough");
        assert!(!result(25, false), "all anew");
        assert!(!result(30, true) && !result(40, true) && !result(50, true));
        assert!(result(60, true));
        assert!(result(61, false), "one failure of a proved server is retried");
    }

    #[test]
    fn a_server_that_serves_unproved_needs_one_success_and_one_that_waits_needs_all() {
        let checker = Checker { rise: 2, ..tcp_checker() };
        for up in [true, false] {
            let mut memory = Memory::new(Health::Unproved { up });
            memory.result(Timestamp::ZERO, &checker, true);
            assert_eq!(memory.health.is_up(), up);
            memory.result(Timestamp::ZERO, &checker, true);
            assert_eq!(memory.health, Health::Up { failures: 0 });
        }
    }
}
