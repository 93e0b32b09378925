//! From the table that is to the table that should be.

use std::collections::BTreeSet;

use super::model::{Destination, DestinationKey, Service, ServiceKey, Table};
use crate::core::reconcile::difference;

/// One change of the kernel's table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    AddService { key: ServiceKey, service: Service },
    SetService { key: ServiceKey, service: Service },
    RemoveService { key: ServiceKey },
    AddDestination { service: ServiceKey, key: DestinationKey, destination: Destination },
    SetDestination { service: ServiceKey, key: DestinationKey, destination: Destination },
    RemoveDestination { service: ServiceKey, key: DestinationKey },
}

impl Operation {
    /// The service that it is about.
    pub const fn service(&self) -> ServiceKey {
        match self {
            Self::AddService { key, .. }
            | Self::SetService { key, .. }
            | Self::RemoveService { key } => *key,
            Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::RemoveDestination { service, .. } => *service,
        }
    }
}

/// The operations in the order that never leaves a service without its servers for longer than need
/// be: services, new destinations, changed ones, removals. Equal entries give nothing, so that their
/// connections live on. A service that is neither desired nor `owned` is somebody else's.
///
/// What a large table needs at first is made one by one: together it is larger than the table.
pub fn plan<'a>(
    desired: &'a Table,
    actual: &'a Table,
    owned: &'a BTreeSet<ServiceKey>,
) -> impl Iterator<Item = Operation> {
    let services = desired.iter().filter_map(|(key, wanted)| {
        let service = || wanted.service.clone();
        match actual.get(key) {
            None => Some(Operation::AddService { key: *key, service: service() }),
            Some(there) if there.service != wanted.service => {
                Some(Operation::SetService { key: *key, service: service() })
            }
            Some(_) => None,
        }
    });
    let added = desired.iter().flat_map(|(service, wanted)| {
        let there = actual.get(service).map(|there| &there.destinations);
        let new = wanted
            .destinations
            .iter()
            .filter(move |(key, _)| there.is_none_or(|there| !there.contains_key(key)));
        new.map(|(key, destination)| Operation::AddDestination {
            service: *service,
            key: *key,
            destination: *destination,
        })
    });
    let (mut changed, mut removed) = (Vec::new(), Vec::new());
    for (service, wanted) in desired {
        let Some(there) = actual.get(service) else { continue };
        let service = *service;
        let found = difference(&wanted.destinations, &there.destinations, |_| true);
        changed.extend(found.change.into_iter().map(|(key, destination)| {
            Operation::SetDestination { service, key: *key, destination: *destination }
        }));
        removed.extend(
            found.remove.into_iter().map(|key| Operation::RemoveDestination { service, key: *key }),
        );
    }
    let gone = actual.keys().filter(|key| owned.contains(key) && !desired.contains_key(key));
    let gone = gone.map(|key| Operation::RemoveService { key: *key });
    services.chain(added).chain(changed).chain(removed).chain(gone)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::config::model::check::Forwarding;
    use crate::ipvs::model::Entry;

    fn key(last: u8) -> ServiceKey {
        ServiceKey::Address { address: [10, 0, 0, last].into(), port: 80, protocol: 6 }
    }

    fn entry(servers: &[(u8, u32)]) -> Entry {
        let service = Service {
            scheduler: "rr".into(),
            scheduler_flags: 0,
            one_packet: false,
            persistence: None,
            netmask: 32,
            persistence_engine: None,
        };
        let destination = |weight| Destination {
            forwarding: Some(Forwarding::Masquerade),
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
        };
        let destinations = servers
            .iter()
            .map(|(last, weight)| {
                let key = DestinationKey { address: [10, 1, 0, *last].into(), port: 80 };
                (key, destination(*weight))
            })
            .collect();
        Entry { service, destinations }
    }

    #[test]
    fn an_equal_table_needs_nothing_and_a_foreign_service_is_left_alone() {
        let desired = Table::from([(key(1), entry(&[(1, 1), (2, 1)]))]);
        let mut actual = desired.clone();
        actual.insert(key(9), entry(&[(9, 1)]));
        assert_eq!(plan(&desired, &actual, &BTreeSet::from([key(1)])).next(), None);
    }

    #[test]
    fn one_server_more_is_one_operation() {
        let actual = Table::from([(key(1), entry(&[(1, 1)]))]);
        let desired = Table::from([(key(1), entry(&[(1, 1), (2, 3)]))]);
        let operations: Vec<_> = plan(&desired, &actual, &BTreeSet::new()).collect();
        assert!(
            matches!(operations.as_slice(), [Operation::AddDestination { destination, .. }] if destination.weight == 3)
        );
    }

    #[test]
    fn additions_come_before_removals_and_removed_services_take_their_servers_along() {
        let actual = Table::from([(key(1), entry(&[(1, 1)])), (key(2), entry(&[(1, 1), (2, 1)]))]);
        let desired = Table::from([(key(1), entry(&[(2, 1)])), (key(3), entry(&[(1, 0)]))]);
        let owned = BTreeSet::from([key(1), key(2)]);
        let kinds: Vec<&str> = plan(&desired, &actual, &owned)
            .map(|operation| match operation {
                Operation::AddService { .. } => "+service",
                Operation::SetService { .. } => "=service",
                Operation::RemoveService { .. } => "-service",
                Operation::AddDestination { .. } => "+server",
                Operation::SetDestination { .. } => "=server",
                Operation::RemoveDestination { .. } => "-server",
            })
            .collect();
        assert_eq!(kinds, ["+service", "+server", "+server", "-server", "-service"]);
    }

    #[test]
    fn applying_the_plan_gives_the_desired_table() {
        let tables = [
            Table::new(),
            Table::from([(key(1), entry(&[]))]),
            Table::from([(key(1), entry(&[(1, 1), (2, 2)])), (key(2), entry(&[(3, 1)]))]),
            Table::from([(key(1), entry(&[(1, 0)])), (key(3), entry(&[(3, 1)]))]),
        ];
        for actual in &tables {
            for desired in &tables {
                let owned: BTreeSet<_> = actual.keys().copied().collect();
                let mut kernel: BTreeMap<_, _> = actual.clone();
                for operation in plan(desired, actual, &owned) {
                    crate::ipvs::fake::apply(&mut kernel, &operation).unwrap();
                }
                assert_eq!(kernel, *desired);
            }
        }
    }
}
