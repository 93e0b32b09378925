//! Adverts that the kernel refuses to send. A router with a short interval must not fill the log with
//! them, and they may mean that the kernel has not what is believed of it.

use std::collections::BTreeMap;

use super::{RETRY, RETRY_LIMIT};
use crate::core::time::{Interval, Timestamp};

/// What one router could not send.
#[derive(Debug)]
struct Refused {
    error: String,
    count: u64,
}

/// The routers whose adverts are refused.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    routers: BTreeMap<String, Refused>,
    /// When the kernel is to be looked at for the reason, and how long after that again.
    look: Option<(Timestamp, Interval)>,
}

impl Unsent {
    /// Whether all adverts leave.
    pub(super) fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }

    /// An advert of `router` was refused. Gives whether that is news.
    pub(super) fn refused(&mut self, now: Timestamp, router: &str, error: String) -> bool {
        self.look.get_or_insert((now, RETRY));
        match self.routers.get_mut(router) {
            Some(known) => {
                known.count += 1;
                let changed = known.error != error;
                known.error = error;
                changed
            }
            None => {
                self.routers.insert(router.to_owned(), Refused { error, count: 1 });
                true
            }
        }
    }

    /// One has left. Gives how many had not, if any.
    pub(super) fn sent(&mut self, router: &str) -> Option<u64> {
        if self.routers.is_empty() {
            return None;
        }
        let refused = self.routers.remove(router)?;
        if self.routers.is_empty() {
            self.look = None;
        }
        Some(refused.count)
    }

    /// Those that a new configuration does not have are forgotten.
    pub(super) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.routers.retain(|router, _| is_known(router));
        if self.routers.is_empty() {
            self.look = None;
        }
    }

    /// Whether the kernel is to be looked at now; less and less often while nothing helps.
    pub(super) fn is_time_to_look(&mut self, now: Timestamp) -> bool {
        match self.look {
            Some((at, wait)) if at <= now => {
                self.look = Some((now + wait, (wait * 2).min(RETRY_LIMIT)));
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_and_the_kernel_looked_at_less_and_less_often() {
        let mut unsent = Unsent::default();
        let mut now = Timestamp::ZERO + Interval::from_secs(5);
        assert!(!unsent.is_time_to_look(now));
        assert!(unsent.refused(now, "A", "no address".to_owned()));
        assert!(unsent.is_time_to_look(now) && !unsent.is_time_to_look(now));
        let mut looks = 0;
        for _ in 0..600 {
            now += Interval::from_millis(100);
            assert!(!unsent.refused(now, "A", "no address".to_owned()));
            looks += usize::from(unsent.is_time_to_look(now));
        }
        assert!((3..=8).contains(&looks), "{looks} looks in a minute");
        assert!(unsent.refused(now, "A", "no route".to_owned()), "another reason is told");
        assert_eq!(unsent.sent("B"), None);
        assert_eq!((unsent.sent("A"), unsent.sent("A")), (Some(602), None));
        assert!(!unsent.is_time_to_look(now + Interval::from_secs(100)));
    }

    #[test]
    fn a_router_that_is_configured_no_more_is_forgotten() {
        let mut unsent = Unsent::default();
        let now = Timestamp::ZERO;
        unsent.refused(now, "A", "no address".to_owned());
        unsent.retain(|name| name == "B");
        assert_eq!(unsent.sent("A"), None);
        assert!(!unsent.is_time_to_look(now));
    }
}
