//! The check daemon's end of SNMP: whom it tells of what happens, and the weight that a manager may
//! set. Nothing is kept while the configuration does not ask for it.

use std::sync::Arc;
use std::time::Duration;

use super::engine::CheckEngine;
use super::event::{Change, What};
use super::mib::figures::FigureCache;
use super::mib::notifications::{self as told, Quorum};
use super::mib::{self, Gathered, Static};
use crate::core::config::model::Config;
use crate::core::config::model::check::CheckConfig;
use crate::snmp::agent::{self, Agent, Ask, SetError, Settings, Snapshot};
use crate::snmp::answer::Refusal;
use crate::snmp::base;
use crate::snmp::value::{Value, VarBind};

/// What the session has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The column of `realServerTable` that can be set.
const WEIGHT: u32 = 7;

/// All that the check process has to do with SNMP.
#[derive(Default)]
pub struct Snmp {
    agent: Option<Agent>,
    known: Option<(Arc<Static>, Arc<FigureCache>)>,
}

/// A weight to be set: place of the service, place of the server in it, weight.
pub type NewWeight = (usize, usize, u32);

impl Snmp {
    /// Begins, goes on or ends, as the configuration has it.
    pub fn configure(&mut self, config: &Config) {
        let subtrees = mib::subtrees(&config.global.snmp);
        let settings: Option<Settings> =
            base::settings(&config.global, "keepalived check", subtrees);
        self.known = settings
            .as_ref()
            .map(|_| (Arc::new(Static::of(config)), Arc::new(FigureCache::new(&config.global))));
        agent::follow(&mut self.agent, settings);
    }

    /// The next request; never, while there is no SNMP.
    pub async fn asked(&mut self) -> Ask {
        agent::asked(&mut self.agent).await
    }

    /// What the tables are made of.
    pub fn snapshot(&self, engine: &CheckEngine) -> Option<Snapshot> {
        let (fixed, figures) = self.known.as_ref()?;
        let figures = Arc::clone(figures);
        Some(Snapshot::gather(|| {
            let gathered = Gathered::of(fixed, engine);
            move || gathered.view(&figures)
        }))
    }

    /// A server or a service has changed.
    pub fn tell(&self, change: &Change) {
        let Change { service, servers_up, what } = change;
        self.notify(|fixed| match what {
            What::Server(server, up) => {
                told::server_state(fixed.global(), service, server, *up, *servers_up)
            }
            What::Quorum(has) => {
                let quorum = if *has { Quorum::Met } else { Quorum::NotMet };
                told::quorum_state(fixed.global(), service, quorum, *servers_up)
            }
        });
    }

    /// The process ends, and with it every service.
    pub fn tell_end(&self, engine: &CheckEngine) {
        for service in engine.services() {
            for server in service.servers.iter().filter(|server| server.up) {
                self.notify(|fixed| {
                    told::server_state(fixed.global(), &service.config, &server.config, false, 0)
                });
            }
            self.notify(|fixed| {
                told::quorum_state(fixed.global(), &service.config, Quorum::Shutdown, 0)
            });
        }
    }

    fn notify(&self, words: impl FnOnce(&Static) -> Vec<VarBind>) {
        if let (Some((fixed, _)), Some(agent)) = (&self.known, &self.agent)
            && fixed.global().snmp.traps
        {
            agent.notify(words(fixed));
        }
    }

    /// Lets the last words out.
    pub async fn finish(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.finish(LAST_WORDS).await;
        }
    }
}

/// The weights that `bindings` set, or what is wrong with them.
pub fn weights(bindings: &[VarBind], config: &CheckConfig) -> Result<Vec<NewWeight>, SetError> {
    let weight = |binding: &VarBind| {
        let rest = binding.name.after(&base::part(&[3, 4, 1]));
        let Some(&[WEIGHT, service, server]) = rest else { return Err(Refusal::NotWritable) };
        let place =
            |number: u32| usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let service_place = place(service).ok_or(Refusal::NotWritable)?;
        let service = config.virtual_servers.get(service_place).ok_or(Refusal::NotWritable)?;
        // The sorry server has no weight, and comes first.
        let offset = usize::from(service.sorry_server.is_some());
        let server_place = place(server).and_then(|place| place.checked_sub(offset));
        let server_place = server_place.filter(|place| *place < service.real_servers.len());
        let server_place = server_place.ok_or(Refusal::NotWritable)?;
        let Value::Integer(weight) = binding.value else { return Err(Refusal::WrongType) };
        let weight = u32::try_from(weight).map_err(|_| Refusal::WrongValue)?;
        Ok((service_place, server_place, weight))
    };
    let checked = bindings.iter().enumerate();
    checked.map(|(place, found)| weight(found).map_err(|refusal| (refusal, place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::service;
    use crate::core::config::model::check::{Forwarding, SorryServer};

    #[test]
    fn only_weights_of_servers_can_be_set() {
        let mut sorry = service(2);
        sorry.sorry_server = Some(SorryServer {
            address: ([10, 9, 9, 9], 80).into(),
            forwarding: Forwarding::Masquerade,
            inhibit: false,
        });
        let config = CheckConfig {
            virtual_servers: vec![service(1).into(), sorry.into()],
            ..CheckConfig::default()
        };
        let set = |column, service, server, value| {
            let name = base::part(&[3, 4, 1, column, service, server]);
            weights(&[VarBind::new(name, value)], &config)
        };
        let wrong = |refusal| Err((refusal, 0));
        assert_eq!(set(7, 1, 1, Value::Integer(9)), Ok(vec![(0, 0, 9)]));
        assert_eq!(set(7, 2, 3, Value::Integer(0)), Ok(vec![(1, 1, 0)]));
        assert_eq!(set(7, 2, 1, Value::Integer(9)), wrong(Refusal::NotWritable));
        assert_eq!(set(7, 1, 2, Value::Integer(9)), wrong(Refusal::NotWritable));
        assert_eq!(set(7, 3, 1, Value::Integer(9)), wrong(Refusal::NotWritable));
        assert_eq!(set(8, 1, 1, Value::Integer(9)), wrong(Refusal::NotWritable));
        assert_eq!(set(7, 1, 1, Value::Integer(-1)), wrong(Refusal::WrongValue));
        assert_eq!(set(7, 1, 1, Value::text("9")), wrong(Refusal::WrongType));
    }
}
