//! What the bfd process tells the vrrp and check processes: which sessions are up. Pure.
//!
//! A datagram is one byte that names its form, then any number of entries: one byte of state, one
//! byte of length, the name.

use std::collections::{BTreeMap, BTreeSet};

use super::time::{Interval, Timestamp};

/// How often everything is told again, changed or not: so a lost message heals, and silence means
/// that nobody watches.
pub const HEARTBEAT: Interval = Interval::from_secs(1);
/// Without any news for this long, nobody watches the sessions: they count as down. keepalived goes on
/// for ever with the last state that a dead bfd process has told. A process that is started again is
/// back within this time and nobody notices; but a link that nobody watches must not be trusted, and
/// the neighbours have seen their ends of the sessions go down by then.
pub const SILENCE: Interval = Interval::from_secs(5);
/// Bytes of a datagram.
pub const LARGEST: usize = 16 << 10;

const FORM: u8 = 1;
const DOWN: u8 = 0;
const UP: u8 = 1;

/// The state of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Its name.
    pub name: String,
    /// Whether it is Up.
    pub up: bool,
}

/// Writes as many datagrams as are needed; one without entries when there is nothing to tell, which
/// says that somebody is watching.
pub fn emit<'a>(news: impl Iterator<Item = &'a News>) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut datagram = vec![FORM];
    for News { name, up } in news {
        // The configuration's limit is 31.
        let Ok(length) = u8::try_from(name.len()) else { continue };
        if datagram.len() + 2 + name.len() > LARGEST {
            datagrams.push(std::mem::replace(&mut datagram, vec![FORM]));
        }
        datagram.extend([if *up { UP } else { DOWN }, length]);
        datagram.extend(name.as_bytes());
    }
    datagrams.push(datagram);
    datagrams
}

/// Reads a datagram; `None` when it makes no sense.
pub fn parse(datagram: &[u8]) -> Option<Vec<News>> {
    let [FORM, entries @ ..] = datagram else { return None };
    let (mut entries, mut news) = (entries, Vec::new());
    while let [state, length, rest @ ..] = entries {
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let up = match *state {
            DOWN => false,
            UP => true,
            _ => return None,
        };
        news.push(News { name, up });
        entries = rest;
    }
    entries.is_empty().then_some(news)
}

/// What the fuzzer runs: whatever is read is written the same again.
pub fn fuzz(data: &[u8]) {
    if let Some(news) = parse(data) {
        let again: Vec<News> = emit(news.iter())
            .iter()
            .flat_map(|datagram| parse(datagram).unwrap_or_default())
            .collect();
        assert_eq!(again, news);
    }
}

/// What one who tracks sessions knows of them.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    known: BTreeMap<String, Option<bool>>,
    /// When everything is down, if nothing is heard until then.
    silence: Option<Timestamp>,
    /// When those that nobody has told of are down.
    patience: Option<Timestamp>,
}

impl Watch {
    /// Tracks these sessions and no others. Those that are new are not known yet.
    pub fn set(&mut self, now: Timestamp, names: &BTreeSet<String>) {
        self.known.retain(|name, _| names.contains(name));
        let before = self.known.len();
        for name in names {
            self.known.entry(name.clone()).or_insert(None);
        }
        if self.known.is_empty() {
            (self.silence, self.patience) = (None, None);
        } else if before != self.known.len() {
            self.patience = Some(now + SILENCE);
            self.silence.get_or_insert(now + SILENCE);
        }
    }

    /// A datagram has come. Returns what is new of it.
    pub fn heard(&mut self, now: Timestamp, news: Vec<News>) -> Vec<News> {
        if !self.known.is_empty() {
            self.silence = Some(now + SILENCE);
        }
        let mut changed = news;
        changed.retain(|news| match self.known.get_mut(&news.name) {
            Some(known) => known.replace(news.up) != Some(news.up),
            None => false,
        });
        changed
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.silence.into_iter().chain(self.patience).min()
    }

    /// Nothing was heard until `now`. Returns what is down because of that.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Vec<News> {
        let is_due = |timer: &mut Option<Timestamp>| timer.take_if(|at| *at <= now).is_some();
        let (silence, patience) = (is_due(&mut self.silence), is_due(&mut self.patience));
        let mut down = Vec::new();
        for (name, known) in &mut self.known {
            let lost = match known {
                Some(true) => silence,
                None => silence || patience,
                Some(false) => false,
            };
            if lost {
                *known = Some(false);
                down.push(News { name: name.clone(), up: false });
            }
        }
        down
    }

    /// Whether no session is tracked.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(name: &str, up: bool) -> News {
        News { name: name.to_owned(), up }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Interval::from_millis(millis)
    }

    #[test]
    fn any_number_of_sessions_travels() {
        for count in [0, 1, 5, 5000] {
            let all: Vec<News> = (0..count).map(|n| news(&format!("s{n}"), n % 2 == 0)).collect();
            let datagrams = emit(all.iter());
            assert!(datagrams.iter().all(|datagram| datagram.len() <= LARGEST));
            let read: Vec<_> = datagrams.iter().flat_map(|one| parse(one).unwrap()).collect();
            assert_eq!(read, all);
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_news() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[2]), None, "another form");
        assert_eq!(parse(&[1, 7, 1, b'x']), None, "no state");
        assert_eq!(parse(&[1, 1, 9, b'x']), None, "cut off");
        assert_eq!(parse(&[1, 1]), None);
        assert_eq!(parse(&[1, 1, 1, 0xff]), None, "no text");
    }

    #[test]
    fn only_changes_of_tracked_sessions_are_news() {
        let mut watch = Watch::default();
        watch.set(at(0), &names(&["A", "B"]));
        assert_eq!(watch.heard(at(1), vec![news("A", true), news("C", true)]), [news("A", true)]);
        assert_eq!(watch.heard(at(2), vec![news("A", true)]), []);
        assert_eq!(watch.heard(at(3), vec![news("A", false)]), [news("A", false)]);
    }

    #[test]
    fn a_session_that_nobody_tells_of_is_down_after_a_while() {
        let mut watch = Watch::default();
        watch.set(at(0), &names(&["A", "B"]));
        watch.heard(at(4000), vec![news("A", true)]);
        assert_eq!(watch.poll_timeout(), Some(at(5000)));
        assert_eq!(watch.handle_timeout(at(4999)), []);
        assert_eq!(watch.handle_timeout(at(5000)), [news("B", false)]);
        assert_eq!(watch.heard(at(5001), vec![news("B", true)]), [news("B", true)], "late");
    }

    #[test]
    fn without_a_heartbeat_everything_is_down() {
        let mut watch = Watch::default();
        watch.set(at(0), &names(&["A"]));
        watch.heard(at(100), vec![news("A", true)]);
        watch.handle_timeout(at(5000));
        watch.heard(at(5050), vec![]);
        assert_eq!(watch.poll_timeout(), Some(at(10_050)), "somebody watches");
        assert_eq!(watch.handle_timeout(at(10_050)), [news("A", false)]);
        assert_eq!(watch.poll_timeout(), None, "nothing left to lose");
        assert_eq!(watch.heard(at(11_000), vec![news("A", true)]), [news("A", true)]);
        assert_eq!(watch.poll_timeout(), Some(at(16_000)));
    }

    #[test]
    fn a_reload_keeps_what_is_known_and_waits_for_the_rest() {
        let mut watch = Watch::default();
        watch.set(at(0), &names(&["A"]));
        watch.heard(at(100), vec![news("A", true)]);
        watch.set(at(200), &names(&["A", "B"]));
        watch.heard(at(4900), vec![]);
        assert_eq!(watch.handle_timeout(at(5200)), [news("B", false)]);
        watch.set(at(300), &names(&[]));
        assert_eq!((watch.poll_timeout(), watch.is_empty()), (None, true));
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_refused_or_read_the_same_again(
            data in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            fuzz(&data);
        }
    }
}
