//! Groups, log lines and notifications.

use super::{Output, RouterId, VrrpEngine};
use crate::core::config::model::vrrp::{Priority, SyncGroup};
use crate::vrrp::event::{Event, EventKind, Notice, Reason, State, Subject};
use std::collections::{BTreeMap, BTreeSet};

impl VrrpEngine {
    pub(super) fn state_of(&self, id: RouterId) -> Option<State> {
        self.routers.get(&id).map(|router| router.state)
    }

    pub(super) fn id_of(&self, name: &str) -> Option<RouterId> {
        self.routers.iter().find(|(_, router)| router.instance.name == name).map(|(id, _)| *id)
    }

    pub(super) fn group_of(&self, id: RouterId) -> Option<&SyncGroup> {
        let name = &self.routers.get(&id)?.instance.name;
        self.groups.iter().find(|group| group.members.contains(name))
    }

    /// The members of each group, in order.
    pub(super) fn memberships(&self) -> BTreeSet<Vec<RouterId>> {
        let named = self.routers.iter().map(|(id, router)| (&router.instance.name, *id));
        let ids: BTreeMap<&String, RouterId> = named.collect();
        let members = |group: &SyncGroup| {
            group.members.iter().filter_map(|name| ids.get(name).copied()).collect()
        };
        self.groups.iter().map(members).collect()
    }

    /// The members of the router's group; only itself without one.
    pub(super) fn members(&self, id: RouterId) -> Vec<RouterId> {
        match self.group_of(id) {
            None => vec![id],
            Some(group) => group.members.iter().filter_map(|name| self.id_of(name)).collect(),
        }
    }

    pub(super) fn log(&mut self, name: &str, kind: EventKind, reason: Option<Reason>) {
        self.outputs.push_back(Output::Log(Event { name: name.to_owned(), kind, reason }));
    }

    pub(super) fn log_group(&mut self, name: &str, state: State) {
        self.log(name, EventKind::GroupSync(state), None);
    }

    /// Tells the outside of a state, once.
    pub(super) fn notify(&mut self, id: RouterId, state: State) {
        self.notify_as(id, state.name());
    }

    pub(super) fn notify_as(&mut self, id: RouterId, state: &'static str) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        if router.notified.replace(state) == Some(state) {
            return;
        }
        let scripts = &router.instance.notify;
        let script = match state {
            "MASTER" => scripts.master.clone(),
            "BACKUP" => scripts.backup.clone(),
            "FAULT" => scripts.fault.clone(),
            "STOP" => scripts.stop.clone(),
            _ => None,
        };
        let notice = Notice {
            subject: Subject::Instance,
            name: router.instance.name.clone(),
            state,
            priority: router.priority,
            script,
            any: scripts.any.clone(),
            mail: router.instance.smtp_alert,
        };
        self.outputs.push_back(Output::Notify(notice));
    }

    /// The group is where all of its members are; a member in FAULT decides.
    pub(super) fn group_state_changed(&mut self, id: RouterId) {
        let Some(group) = self.group_of(id).cloned() else {
            return;
        };
        let states: BTreeSet<State> =
            self.members(id).into_iter().filter_map(|member| self.state_of(member)).collect();
        let state = if states.contains(&State::Fault) {
            State::Fault
        } else if states.len() == 1 {
            states.first().copied().unwrap_or(State::Init)
        } else {
            return;
        };
        if state == State::Init
            || self.group_states.insert(group.name.clone(), state) == Some(state)
        {
            return;
        }
        if state == State::Fault {
            self.log_group(&group.name, State::Fault);
        }
        self.notify_group(&group, state.name());
    }

    pub(super) fn notify_group(&mut self, group: &SyncGroup, state: &'static str) {
        let scripts = &group.notify;
        let script = match state {
            "MASTER" => scripts.master.clone(),
            "BACKUP" => scripts.backup.clone(),
            "FAULT" => scripts.fault.clone(),
            "STOP" => scripts.stop.clone(),
            _ => None,
        };
        self.outputs.push_back(Output::Notify(Notice {
            subject: Subject::Group,
            name: group.name.clone(),
            state,
            priority: Priority::RESIGN,
            script,
            any: scripts.any.clone(),
            mail: group.smtp_alert,
        }));
    }
}
