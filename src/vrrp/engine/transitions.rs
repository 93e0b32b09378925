//! From state to state: alone, or with all of a sync group.

use super::{RouterId, TimerKind, VrrpEngine};
use crate::core::config::model::vrrp::Priority;
use crate::core::time::Timestamp;
use crate::vrrp::event::{EventKind, Reason, State};
use crate::vrrp::router::Master;
use std::collections::BTreeSet;

/// Who wants its sync group to become master.
#[derive(Debug, Clone, Copy)]
enum Asker {
    /// Its master has just been silent for too long.
    First,
    /// It was refused before: it has no say in when the others have waited for long enough.
    Again,
    /// Its master has resigned, then.
    Resigned(Timestamp),
}

/// Whether a member becomes master with its sync group; of all answers the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Yes,
    /// If it hears nothing until then.
    At(Timestamp),
    No,
}

impl VrrpEngine {
    /// No advert since the master down timer was set; it should have gone off at `due`.
    ///
    /// A backup that was away for as long as that (a suspended machine) has not heard a silence: it
    /// listens for one more advert, and a little longer since clocks differ. What arrived while only the process was stopped has been taken
    /// before this timer.
    pub(super) fn master_is_down(&mut self, now: Timestamp, due: Timestamp, id: RouterId) {
        if self.state_of(id) != Some(State::Backup) {
            return;
        }
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let late = now.since(due);
        if late >= router.master_down_interval() {
            let at = now + router.patience_for_one();
            self.timers.set((id, TimerKind::MasterDown), at);
            self.log(&name, EventKind::WasAway { late }, None);
            return;
        }
        let again = now + router.master_down_interval();
        let overdue = router.overdue;
        let asker = match router.resigned {
            Some(at) => Asker::Resigned(at),
            None if overdue => Asker::Again,
            None => Asker::First,
        };
        let members = self.members(id);
        let others = members.iter().filter(|member| **member != id);
        let answers = others.map(|member| self.answer(now, *member, asker));
        let answer = answers.max().unwrap_or(Answer::Yes);
        if !overdue && !matches!(answer, Answer::At(_)) {
            self.log(&name, EventKind::MasterTimeout, None);
        }
        match answer {
            Answer::Yes => self.group_enters_master(now, id, &members),
            Answer::At(at) => self.timers.set((id, TimerKind::MasterDown), at),
            Answer::No => {
                // The group cannot move yet: ask again after another interval.
                self.timers.set((id, TimerKind::MasterDown), again);
                if let Some(router) = self.routers.get_mut(&id) {
                    (router.overdue, router.resigned) = (true, None);
                }
            }
        }
    }

    fn group_enters_master(&mut self, now: Timestamp, id: RouterId, members: &[RouterId]) {
        let group = self.group_of(id).map(|group| group.name.clone());
        self.enter_master(now, id, Reason::MasterDown);
        let Some(group) = group else {
            return;
        };
        self.log_group(&group, State::Master);
        for member in members {
            if self.state_of(*member) == Some(State::Backup) {
                self.enter_master(now, *member, Reason::Group(group.clone()));
            }
        }
        self.group_state_changed(id);
    }

    /// Whether a router becomes master with its sync group. Not while it hears its own master: that
    /// one would send it back at the next advert, and all of the group with it, again and again.
    ///
    /// A master that resigns on one link has most often lost another one, on which it cannot say so:
    /// then one advert that does not come is enough. keepalived waits for the whole master down
    /// interval.
    fn answer(&self, now: Timestamp, id: RouterId, asker: Asker) -> Answer {
        let Some(router) = self.routers.get(&id) else {
            return Answer::No;
        };
        let may = match (router.state, asker) {
            (State::Master, _) => true,
            (State::Backup, _) if router.is_without_master() => true,
            (State::Backup, Asker::First) => self.misses_its_master(now, id),
            (State::Backup, Asker::Resigned(at)) => return self.after_resignation(now, id, at),
            (State::Backup, Asker::Again) | (State::Init | State::Fault, _) => false,
        };
        if may { Answer::Yes } else { Answer::No }
    }

    fn after_resignation(&self, now: Timestamp, id: RouterId, resigned: Timestamp) -> Answer {
        let due = self.timers.get(&(id, TimerKind::MasterDown));
        let Some((router, due)) = self.routers.get(&id).zip(due) else {
            return Answer::No;
        };
        let heard = due.before(router.master_down_interval());
        let silent_at = heard + router.patience_for_one();
        if heard > resigned {
            Answer::No
        } else if silent_at <= now {
            Answer::Yes
        } else {
            Answer::At(silent_at)
        }
    }

    fn misses_its_master(&self, now: Timestamp, id: RouterId) -> bool {
        let left = self.timers.get(&(id, TimerKind::MasterDown)).map(|at| at.since(now));
        let router = self.routers.get(&id).zip(left);
        router.is_some_and(|(router, left)| router.misses_its_master(left))
    }

    /// A reload may make a group of routers that are not where the others are: they follow a master,
    /// as they would when it became one, unless one of them hears a master of its own. Then all are
    /// backups. Groups of the same members as one `before` are left alone.
    pub(super) fn unite_groups(&mut self, now: Timestamp, before: &BTreeSet<Vec<RouterId>>) {
        let groups = self.memberships();
        for id in groups.difference(before).flatten().copied() {
            if self.state_of(id) != Some(State::Backup) {
                continue;
            }
            let Some(group) = self.group_that_is_master(id) else { continue };
            let hears_one = self.routers.get(&id).is_some_and(|router| router.master.is_some())
                && !self.misses_its_master(now, id);
            if hears_one {
                let masters = self.masters_beside(id);
                for master in &masters {
                    // Its backups need not wait for its silence.
                    self.resign(now, *master);
                }
                if let Some(master) = masters.first() {
                    self.step_down(now, *master, None, Reason::Group(group));
                }
            } else {
                self.enter_master(now, id, Reason::Group(group));
            }
            self.group_state_changed(id);
        }
    }

    /// The group of a router, when another member is master.
    pub(super) fn group_that_is_master(&self, id: RouterId) -> Option<String> {
        let group = self.group_of(id)?;
        (!self.masters_beside(id).is_empty()).then(|| group.name.clone())
    }

    fn masters_beside(&self, id: RouterId) -> Vec<RouterId> {
        let others = self.members(id).into_iter().filter(|member| *member != id);
        others.filter(|member| self.state_of(*member) == Some(State::Master)).collect()
    }

    pub(super) fn enter_master(&mut self, now: Timestamp, id: RouterId, reason: Reason) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        router.state = State::Master;
        router.listening = false;
        (router.overdue, router.resigned) = (false, None);
        self.moved.insert(id);
        self.awaiting.insert(id);
        self.masters_changed = true;
        router.since = Some(now);
        router.master = None;
        router.preempt_at = None;
        router.told.clear();
        router.remarked.clear();
        router.statistics.become_master += 1;
        let name = router.instance.name.clone();
        self.timers.cancel(&(id, TimerKind::MasterDown));
        // First of all the advert; addresses and announcements follow.
        self.send_advert(now, id, None);
        self.arm_advert(now, id);
        self.log(&name, EventKind::Entering { state: State::Master, initial: false }, Some(reason));
        self.log(&name, EventKind::SettingAddresses, None);
        self.notify(id, State::Master);
    }

    pub(super) fn enter_backup(
        &mut self,
        now: Timestamp,
        id: RouterId,
        reason: Reason,
        master: Option<Master>,
    ) {
        let from = self.waits_begin(now);
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let (was, name) = (router.state, router.instance.name.clone());
        router.state = State::Backup;
        router.listening = false;
        (router.overdue, router.resigned) = (false, None);
        router.since = Some(now);
        router.master = master;
        router.told.clear();
        router.remarked.clear();
        let at = from + router.master_down_interval();
        self.disarm(id);
        self.timers.set((id, TimerKind::MasterDown), at);
        let initial = was == State::Init;
        self.log(&name, EventKind::Entering { state: State::Backup, initial }, Some(reason));
        self.release(id, was, &name);
        self.notify(id, State::Backup);
    }

    pub(super) fn enter_fault(&mut self, now: Timestamp, id: RouterId, reason: Reason) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let (was, name) = (router.state, router.instance.name.clone());
        if was == State::Master {
            self.resign(now, id);
        }
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        router.state = State::Fault;
        router.since = Some(now);
        router.master = None;
        self.disarm(id);
        self.log(&name, EventKind::Entering { state: State::Fault, initial: false }, Some(reason));
        self.release(id, was, &name);
        self.notify(id, State::Fault);
    }

    /// No longer master: nothing more is announced, and the addresses go.
    pub(super) fn release(&mut self, id: RouterId, was: State, name: &str) {
        if was != State::Master {
            return;
        }
        self.moved.insert(id);
        self.masters_changed = true;
        if let Some(router) = self.routers.get_mut(&id) {
            router.schedule.clear();
            router.resumed = false;
            router.statistics.release_master += 1;
        }
        if self.pacer.next().is_some() {
            let held = self.desired();
            self.pacer.retain(|address| held.contains(address));
        }
        self.log(name, EventKind::RemovingAddresses, None);
    }

    pub(super) fn resign(&mut self, now: Timestamp, id: RouterId) {
        self.send_advert(now, id, Some(Priority::RESIGN));
        if let Some(router) = self.routers.get_mut(&id) {
            router.statistics.pri_zero_sent += 1;
            let name = router.instance.name.clone();
            self.log(&name, EventKind::SentPriorityZero, None);
        }
    }
}
