//! The kernel's statistics, read when somebody asks and kept for as long as
//! `snmp_vs_stats_update_interval` and `snmp_rs_stats_update_interval` say.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::config::model::global::{Global, IpvsNamespace};
use crate::core::time::Interval;
use crate::ipvs::client::{Client, IpvsError};
use crate::ipvs::figures::Figures;
use crate::ipvs::model::{DestinationKey, ServiceKey};

type Destinations = BTreeMap<DestinationKey, Figures>;

/// What was read, and when.
#[derive(Debug)]
pub struct FigureCache {
    namespace: Option<IpvsNamespace>,
    service_age: Duration,
    server_age: Duration,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    client: Option<Client>,
    services: Option<(Instant, BTreeMap<ServiceKey, Figures>)>,
    destinations: BTreeMap<ServiceKey, (Instant, Destinations)>,
}

impl FigureCache {
    /// Nothing is read yet.
    pub fn new(global: &Global) -> Self {
        let service_age = global.snmp.service_figures_age.to_duration();
        let server_age = global.snmp.server_figures_age.map_or(service_age, Interval::to_duration);
        let namespace = global.ipvs_namespace.clone();
        Self { namespace, service_age, server_age, read: Mutex::default() }
    }

    /// Of all services of the kernel's that one service is.
    pub fn service(&self, keys: &[ServiceKey]) -> Figures {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = read.services.as_ref().is_some_and(|(at, _)| at.elapsed() < self.service_age);
        if !fresh {
            let found = read.ask(self.namespace.as_ref(), Client::service_figures);
            read.services = Some((Instant::now(), found.into_iter().collect()));
        }
        let services = read.services.as_ref().map(|(_, services)| services);
        let found = keys.iter().filter_map(|key| services?.get(key));
        found.fold(Figures::default(), Figures::and)
    }

    /// Of a server in all services of the kernel's that its service is.
    pub fn server(&self, places: &[(ServiceKey, DestinationKey)]) -> Figures {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Figures::default();
        for (service, key) in places {
            let known = read.destinations.get(service);
            if known.is_none_or(|(at, _)| at.elapsed() >= self.server_age) {
                let found =
                    read.ask(self.namespace.as_ref(), |client| client.destination_figures(service));
                let found = (Instant::now(), found.into_iter().collect());
                read.destinations.insert(*service, found);
            }
            let known = read.destinations.get(service);
            if let Some(figures) = known.and_then(|(_, found)| found.get(key)) {
                sum = sum.and(figures);
            }
        }
        sum
    }
}

impl Read {
    /// Nothing, where the kernel has no IPVS or no such service.
    fn ask<T>(
        &mut self,
        namespace: Option<&IpvsNamespace>,
        ask: impl FnOnce(&mut Client) -> Result<Vec<T>, IpvsError>,
    ) -> Vec<T> {
        if self.client.is_none() {
            self.client = Client::open_in(namespace).ok();
        }
        let Some(client) = &mut self.client else { return Vec::new() };
        match ask(client) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!("no statistics of IPVS: {error}");
                if error.errno().is_none() {
                    self.client = None;
                }
                Vec::new()
            }
        }
    }
}
