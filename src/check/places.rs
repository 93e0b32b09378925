//! Who may begin when more probes are wanted than there is room for. Pure.
//!
//! A probe that waits for its server costs a file and a little memory; one with TLS or HTTP/2 costs much
//! memory, and a program a process. Each of these kinds has places of its own. A quarter of them is
//! kept for checks whose last probe was quick: servers that are silent, however many, fill the rest and
//! wait there for one another, and a server that answers is asked on time.

use std::collections::VecDeque;

/// Files of the process that no probe uses.
const OTHER_FILES: u64 = 256;
/// Places, at most, in the order of [`Kind`].
const MOST: [u64; KINDS] = [32_000, 2048, 2048];
/// Of the files, a place of a kind counts as so many: what it may have open, and its part of the whole.
const FILES: [u64; KINDS] = [2, 8, 16];
const KINDS: usize = 3;
const QUEUES: usize = 2 * KINDS;

/// What a probe costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A socket.
    Light,
    /// TLS or HTTP/2 too.
    Heavy,
    /// A process with its pipes.
    Program,
}

/// How long the last probe of a check kept its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Not long.
    Quick,
    /// Long, or nothing is known.
    Slow,
}

/// A place that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    kind: Kind,
    pace: Pace,
}

impl Place {
    const fn queue(self) -> usize {
        2 * self.kind as usize + self.pace as usize
    }

    const fn of(queue: usize) -> Self {
        let kind = match queue / 2 {
            0 => Kind::Light,
            1 => Kind::Heavy,
            _ => Kind::Program,
        };
        Self { kind, pace: if queue.is_multiple_of(2) { Pace::Quick } else { Pace::Slow } }
    }
}

/// What waits, and what there is room for.
#[derive(Debug)]
pub struct Places<T> {
    queues: [VecDeque<T>; QUEUES],
    taken: [u64; QUEUES],
    /// Of each kind.
    most: [u64; KINDS],
    /// Whose turn it is.
    turn: usize,
}

/// Files that all places together need, and everything else.
pub const fn files_wanted() -> u64 {
    FILES[0] * MOST[0] + OTHER_FILES
}

impl<T> Places<T> {
    /// As many as so many files allow: a probe that cannot open one cannot be made.
    pub fn new(files: u64) -> Self {
        let files = files.saturating_sub(OTHER_FILES);
        let mut most = MOST;
        for (most, cost) in most.iter_mut().zip(FILES) {
            *most = (files / cost).clamp(1, *most);
        }
        Self { queues: Default::default(), taken: [0; QUEUES], most, turn: 0 }
    }

    /// Places of a kind.
    pub const fn most(&self, kind: Kind) -> u64 {
        self.most[kind as usize]
    }

    /// Puts somebody into the queue.
    pub fn push(&mut self, kind: Kind, pace: Pace, who: T) {
        if let Some(queue) = self.queues.get_mut(Place { kind, pace }.queue()) {
            queue.push_back(who);
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Lets only those wait on.
    pub fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        for queue in &mut self.queues {
            queue.retain(&stays);
        }
    }

    /// Whether somebody may begin.
    pub fn is_ready(&self) -> bool {
        (0..QUEUES).any(|queue| self.may_begin(queue))
    }

    /// Who begins next; he has the place until it is given to [`Self::leave`]. The queues take turns.
    pub fn admit(&mut self) -> Option<(Place, T)> {
        let turns = (0..QUEUES).map(|step| (self.turn + step) % QUEUES);
        let queue = turns.into_iter().find(|queue| self.may_begin(*queue))?;
        let who = self.queues.get_mut(queue)?.pop_front()?;
        self.turn = (queue + 1) % QUEUES;
        if let Some(taken) = self.taken.get_mut(queue) {
            *taken += 1;
        }
        Some((Place::of(queue), who))
    }

    /// A place is free again.
    pub fn leave(&mut self, place: Place) {
        if let Some(taken) = self.taken.get_mut(place.queue()) {
            *taken = taken.saturating_sub(1);
        }
    }

    /// How many have a place.
    pub fn taken(&self) -> u64 {
        self.taken.iter().sum()
    }

    fn may_begin(&self, queue: usize) -> bool {
        let Place { kind, pace } = Place::of(queue);
        let taken = |pace| self.taken.get(Place { kind, pace }.queue()).copied().unwrap_or(0);
        let (quick, slow, most) = (taken(Pace::Quick), taken(Pace::Slow), self.most(kind));
        let room = match pace {
            Pace::Quick => true,
            Pace::Slow => slow < most.saturating_mul(3).div_ceil(4),
        };
        room && quick + slow < most && self.queues.get(queue).is_some_and(|found| !found.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_places_than_files() {
        let most = |files| {
            let places = Places::<()>::new(files);
            [Kind::Light, Kind::Heavy, Kind::Program].map(|kind| places.most(kind))
        };
        assert_eq!(most(0), [1, 1, 1]);
        assert_eq!(most(1024), [384, 96, 48]);
        assert_eq!(most(20_000), [9872, 2048, 1234]);
        assert_eq!(most(files_wanted()), MOST);
        for files in [1024, 4096, 20_000, 65_536] {
            // A socket; a socket and a file of certificates; a program with its pipes.
            let [light, heavy, programs] = most(files);
            assert!(light + 2 * heavy + 4 * programs + OTHER_FILES <= files, "{files}");
        }
    }

    /// A second after the other: `silent` checks that keep a place for five seconds, and one that is
    /// quick. How long that one has to wait, at most, once it is known to be quick.
    fn longest_wait(silent: u64, kind: Kind) -> u64 {
        let mut places = Places::new(20_000);
        let mut busy: Vec<(u64, Place)> = Vec::new();
        (0..silent).for_each(|who| places.push(kind, Pace::Slow, who));
        let (quick, mut since, mut longest) = (silent, None, 0);
        for now in 0..300 {
            if now % 3 == 0 && since.is_none() {
                places.push(kind, Pace::Quick, quick);
                since = Some(now);
            }
            busy.retain(|(end, place)| {
                let stays = *end > now;
                if !stays {
                    places.leave(*place);
                }
                stays
            });
            while let Some((place, who)) = places.admit() {
                if who == quick {
                    longest = longest.max(now - since.take().unwrap());
                    busy.push((now + 1, place));
                } else {
                    places.push(kind, Pace::Slow, who);
                    busy.push((now + 5, place));
                }
            }
            assert!(busy.len() as u64 <= places.most(kind));
        }
        assert!(since.is_none(), "it is never asked");
        longest
    }

    #[test]
    fn silent_servers_do_not_keep_those_that_answer_waiting() {
        for kind in [Kind::Light, Kind::Heavy, Kind::Program] {
            assert_eq!(longest_wait(100_000, kind), 0, "{kind:?}");
        }
    }

    #[test]
    fn quick_ones_do_not_keep_the_others_out_and_kinds_do_not_share_places() {
        let mut places = Places::new(1024);
        for who in 0..1000 {
            places.push(Kind::Program, Pace::Quick, who);
            places.push(Kind::Program, Pace::Slow, 1000 + who);
        }
        let begun: Vec<(Place, i32)> = std::iter::from_fn(|| places.admit()).collect();
        assert_eq!(begun.len(), 48);
        assert_eq!(begun.iter().filter(|(_, who)| *who >= 1000).count(), 24);
        assert!(!places.is_ready());
        places.push(Kind::Light, Pace::Slow, 7);
        assert!(places.is_ready());
        assert_eq!(places.admit().map(|(_, who)| who), Some(7));
        let (place, who) = begun[0];
        places.leave(place);
        assert!(who < 1000 && places.is_ready());
    }
}
