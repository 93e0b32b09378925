//! `drain_time`: a server that a reload takes out gets no new connections from then on, and leaves the
//! table when its last one has ended, or when the time is over.

use std::collections::BTreeMap;

use super::{CheckEngine, CheckerId, Importance, ServerState, ServiceState, TimerKind};
use crate::check::virtual_server::destination_key;
use crate::core::config::model::check::{RealServer, VirtualServer};
use crate::core::shared::Shared;
use crate::core::time::Timestamp;
use crate::ipvs::model::{DestinationKey, ServiceKey};

/// Live connections of destinations, as the kernel counts them.
pub type Live = BTreeMap<(ServiceKey, DestinationKey), u64>;

/// A server on its way out.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// As it was configured.
    pub config: Shared<RealServer>,
    /// A name that no checker has, for its timer.
    pub(super) timer: CheckerId,
}

impl CheckEngine {
    /// Who stays on its way out after a reload: those that were and are not wanted again, and `gone`
    /// ones that served.
    pub(super) fn leaving(
        &mut self,
        now: Timestamp,
        before: Vec<Leaving>,
        gone: &[ServerState],
        config: &VirtualServer,
    ) -> Vec<Leaving> {
        let (mut stay, back): (Vec<_>, Vec<_>) = before.into_iter().partition(|leaving| {
            config.real_servers.iter().all(|server| server.address != leaving.config.address)
        });
        for leaving in back {
            self.timers.cancel(&(leaving.timer, TimerKind::Drain));
        }
        for server in
            gone.iter().filter(|server| server.up && !server.config.extras.drain_time.is_zero())
        {
            let timer = self.next_id;
            self.next_id += 1;
            self.timers.set((timer, TimerKind::Drain), now + server.config.extras.drain_time);
            stay.push(Leaving { config: server.config.clone(), timer });
        }
        stay
    }

    /// Services with servers on their way out: their connections are worth counting.
    pub fn draining(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        let services = self.services.iter().filter(|service| !service.leaving.is_empty());
        services.flat_map(|service| service.keys.iter().copied())
    }

    /// Whether there are any.
    pub fn is_draining(&self) -> bool {
        // Each has a timer.
        !self.timers.is_empty() && self.draining().next().is_some()
    }

    /// The connections of all [`Self::draining`] services.
    pub(super) fn counted(&mut self, live: &Live) {
        let idle: Vec<CheckerId> = self
            .services
            .iter()
            .flat_map(|service| service.leaving.iter().map(move |leaving| (service, leaving)))
            .filter(|(service, leaving)| {
                service.keys.iter().all(|key| {
                    let destination =
                        destination_key(key, leaving.config.address, leaving.config.forwarding);
                    live.get(&(*key, destination)).copied().unwrap_or(0) == 0
                })
            })
            .map(|(_, leaving)| leaving.timer)
            .collect();
        for timer in idle {
            self.timers.cancel(&(timer, TimerKind::Drain));
            self.left(timer, "its last connection has ended");
        }
    }

    /// A server leaves the table.
    pub(super) fn left(&mut self, timer: CheckerId, why: &str) {
        let is = |leaving: &Leaving| leaving.timer == timer;
        let Some(place) = self.services.iter().position(|found| found.leaving.iter().any(is))
        else {
            return;
        };
        let Some(service) = self.services.get_mut(place) else { return };
        let mut lines = Vec::new();
        if let Some(at) = service.leaving.iter().position(is) {
            let leaving = service.leaving.swap_remove(at);
            let (server, name) = (service.server_name(&leaving.config), service.name());
            lines.push(format!("Removing drained service {server} from VS {name}: {why}"));
        }
        self.changes.add(place);
        for line in lines {
            self.log(Importance::Normal, line);
        }
    }
}

/// What is told when the drain begins.
pub(super) fn words(service: &ServiceState, server: &ServerState) -> Option<String> {
    let time = server.config.extras.drain_time;
    (server.up && !time.is_zero()).then(|| {
        let (server, name) = (service.server_name(&server.config), service.name());
        format!("Draining service {server} of VS {name} for {time} s at most")
    })
}
