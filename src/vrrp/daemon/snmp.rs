//! The daemon's end of SNMP: what it remembers for the tables, whom it tells of what happens, and
//! the values that a manager may set. Nothing is kept while the configuration does not ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Daemon;
use crate::core::config::model::Config;
use crate::core::config::model::vrrp::{Instance, Preemption, Priority};
use crate::core::netlink::link::Link;
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};
use crate::snmp::agent::{self, Agent, Ask, SetError, Snapshot};
use crate::snmp::answer::Refusal;
use crate::snmp::base;
use crate::snmp::value::{Value, VarBind};
use crate::vrrp::engine::{Input, Output, VrrpEngine};
use crate::vrrp::event::{Event, EventKind, Notice, State, Subject};
use crate::vrrp::mib::notifications as told;
use crate::vrrp::mib::{self, Gathered, MasterReason, Past, Static, Surroundings};
use crate::vrrp::router::Router;

/// What the session has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Columns of `vrrpInstanceTable` that can be set.
const PRIORITY: u32 = 7;
const PREEMPT: u32 = 13;

/// All that the vrrp process has to do with SNMP.
#[derive(Default)]
pub(super) struct Snmp {
    agent: Option<Agent>,
    fixed: Option<Arc<Static>>,
    instances: BTreeMap<String, Arc<Instance>>,
    pasts: BTreeMap<String, Past>,
    hints: BTreeMap<String, MasterReason>,
    files: BTreeMap<String, i64>,
    processes: BTreeMap<String, (bool, usize)>,
    begun: Timestamp,
}

impl Snmp {
    /// Begins, goes on or ends, as the configuration has it.
    pub(super) fn configure(&mut self, config: &Config, engine: &VrrpEngine) {
        let subtrees = mib::subtrees(&config.global.snmp);
        let settings = base::settings(&config.global, "keepalived vrrp", subtrees);
        if settings.is_none() {
            *self = Self::default();
            return;
        }
        if self.agent.is_none() {
            self.begun = runtime::now();
            // What happened before is not known any more; the state is.
            let up = |router: &&Router| matches!(router.state, State::Backup | State::Master);
            for router in engine.routers().filter(up) {
                let past = Past { up_since: router.since, ..Past::default() };
                self.pasts.insert(router.instance.name.clone(), past);
            }
        }
        self.fixed = Some(Arc::new(Static::of(config)));
        let instances = config.vrrp.instances.iter();
        self.instances = instances.map(|found| (found.name.clone(), Arc::clone(found))).collect();
        self.pasts.retain(|name, _| self.instances.contains_key(name));
        self.hints.retain(|name, _| self.instances.contains_key(name));
        agent::follow(&mut self.agent, settings);
    }

    /// The next request; never, while there is no SNMP.
    pub(super) async fn asked(&mut self) -> Ask {
        agent::asked(&mut self.agent).await
    }

    /// The number in a tracked file. It may come before the first request does.
    pub(super) fn file(&mut self, name: &str, value: i64) {
        if self.fixed.is_some() {
            self.files.insert(name.to_owned(), value);
        }
    }

    /// How many processes of a kind there are.
    pub(super) fn process(&mut self, name: &str, good: bool, count: usize) {
        if self.fixed.is_some() {
            self.processes.insert(name.to_owned(), (good, count));
        }
    }

    /// Remembers what matters, and tells managers, if they are to be told.
    pub(super) fn see(
        &mut self,
        outputs: &[Output],
        engine: &VrrpEngine,
        links: &BTreeMap<u32, Link>,
    ) {
        if self.fixed.is_none() {
            return;
        }
        let mut routers = None;
        for output in outputs {
            match output {
                Output::Log(event) => self.event(event, links),
                Output::Notify(notice) => {
                    let find = |name: &str| {
                        let routers = routers.get_or_insert_with(|| by_name(engine));
                        routers.get(name).copied()
                    };
                    self.notice(notice, find, links);
                }
                Output::Transmit(_) | Output::Announce(_) => {}
            }
        }
    }

    fn event(&mut self, event: &Event, links: &BTreeMap<u32, Link>) {
        let Some(instance) = self.instances.get(&event.name) else { return };
        let past = self.pasts.entry(event.name.clone()).or_default();
        past.see(event, self.hints.entry(event.name.clone()).or_default());
        let EventKind::Rejected { from, rejection } = &event.kind else { return };
        let Some(snmp) = self.fixed.as_ref().map(|fixed| fixed.settings()) else { return };
        if !snmp.traps {
            return;
        }
        if snmp.rfc2787
            && let Some(words) = told::authentication_failure(instance, *from, *rejection)
        {
            self.tell(words);
        }
        if snmp.rfc6527
            && let Some(error) = told::protocol_error_of(*rejection)
        {
            self.tell(told::protocol_error(interface_index(instance, links), instance, error));
        }
    }

    fn notice<'r>(
        &mut self,
        notice: &Notice,
        find: impl FnOnce(&str) -> Option<&'r Router>,
        links: &BTreeMap<u32, Link>,
    ) {
        let (name, state) = (&notice.name, notice.state);
        let Some(fixed) = self.fixed.clone() else { return };
        let (global, snmp) = (fixed.global(), fixed.settings());
        let telling = snmp.traps;
        match notice.subject {
            Subject::Group if telling && snmp.vrrp => {
                if let Some(words) = told::group_state(global, name, state) {
                    self.tell(words);
                }
            }
            Subject::Group => {}
            Subject::Instance => {
                let past = self.pasts.entry(name.clone()).or_default();
                match state {
                    "MASTER" | "BACKUP" => _ = past.up_since.get_or_insert_with(runtime::now),
                    "FAULT" | "STOP" | "DELETED" => past.up_since = None,
                    _ => {}
                }
                let reason = past.reason;
                let instance = self.instances.get(name).cloned();
                if telling
                    && snmp.vrrp
                    && let Some(words) =
                        told::instance_state(global, name, state, instance.as_deref())
                {
                    self.tell(words);
                }
                if let Some(instance) = instance.filter(|_| telling && state == "MASTER") {
                    let source = find(name).and_then(Router::source);
                    let interface = interface_index(&instance, links);
                    if snmp.rfc2787
                        && let Some(words) = told::new_master_v2(interface, &instance, source)
                    {
                        self.tell(words);
                    }
                    if snmp.rfc6527 {
                        self.tell(told::new_master_v3(interface, &instance, source, reason));
                    }
                }
            }
        }
    }

    fn tell(&self, words: Vec<VarBind>) {
        if let Some(agent) = &self.agent {
            agent.notify(words);
        }
    }

    /// Lets the last words out.
    pub(super) async fn finish(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.finish(LAST_WORDS).await;
        }
    }
}

fn by_name(engine: &VrrpEngine) -> BTreeMap<&str, &Router> {
    engine.routers().map(|router| (router.instance.name.as_str(), router)).collect()
}

fn interface_index(instance: &Instance, links: &BTreeMap<u32, Link>) -> u32 {
    let name = instance.interface.as_deref();
    let found = links.values().find(|link| Some(link.name.as_str()) == name);
    found.map_or(0, |link| link.index)
}

/// A value to be set.
#[derive(Debug, Clone, Copy)]
enum Change {
    Priority(Priority),
    Preemption(Preemption),
}

impl Daemon<'_> {
    /// A request for the tables, or to set something.
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::View(answer) => {
                let Some(fixed) = &self.snmp.fixed else { return };
                let around = Surroundings {
                    links: &self.links,
                    pasts: &self.snmp.pasts,
                    files: &self.snmp.files,
                    processes: &self.snmp.processes,
                    begun: self.snmp.begun,
                };
                let snapshot = Snapshot::gather(|| {
                    let gathered = Gathered::of(fixed, &self.engine, &around, runtime::now());
                    move || gathered.view()
                });
                // It may have lost patience.
                let _ = answer.send(snapshot);
            }
            Ask::Set { bindings, test, answer } => {
                let done = self.changes(&bindings).map(|changes| {
                    if !test {
                        self.change(&changes);
                    }
                });
                let _ = answer.send(done);
            }
        }
    }

    /// What `bindings` would change, by the name of the instance.
    fn changes(&self, bindings: &[VarBind]) -> Result<Vec<(String, Change)>, SetError> {
        let change = |binding: &VarBind| {
            let rest = binding.name.after(&base::part(&[2, 3, 1]));
            let Some(&[column @ (PRIORITY | PREEMPT), number]) = rest else {
                return Err(Refusal::NotWritable);
            };
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let router = place.and_then(|place| self.engine.routers().nth(place));
            let router = router.ok_or(Refusal::NotWritable)?;
            let Value::Integer(value) = binding.value else { return Err(Refusal::WrongType) };
            let change = match (column, value) {
                (PRIORITY, 1..=255) => {
                    Change::Priority(Priority::new(u8::try_from(value).unwrap_or(u8::MAX)))
                }
                (PREEMPT, 1) => Change::Preemption(Preemption::After(Interval::ZERO)),
                (PREEMPT, 2) => Change::Preemption(Preemption::Never),
                _ => return Err(Refusal::WrongValue),
            };
            Ok((router.instance.name.clone(), change))
        };
        let checked = bindings.iter().enumerate();
        checked
            .map(|(place, binding)| change(binding).map_err(|refusal| (refusal, place)))
            .collect()
    }

    /// Until the next reload, as if the file had it so.
    fn change(&mut self, changes: &[(String, Change)]) {
        for (name, change) in changes {
            let instances = &mut self.config.vrrp.instances;
            let Some(found) = instances.iter_mut().find(|found| found.name == *name) else {
                continue;
            };
            let mut instance = Instance::clone(found);
            match change {
                Change::Priority(priority) => {
                    tracing::info!("({name}) SNMP sets its priority to {priority}");
                    instance.priority = *priority;
                }
                Change::Preemption(preemption) => {
                    let does = *preemption != Preemption::Never;
                    tracing::info!("({name}) SNMP sets preempt to {does}");
                    instance.preemption = *preemption;
                }
            }
            *found = Arc::new(instance);
        }
        self.tell_time();
        let now = runtime::now();
        let (global, vrrp) = (self.config.global.clone(), self.config.vrrp.clone());
        self.engine.handle(now, Input::Reconfigure(Box::new((global, vrrp))));
        self.engine.handle(now, Input::Start);
        self.snmp.configure(&self.config, &self.engine);
    }
}
