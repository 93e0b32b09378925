//! A virtual service: which of its servers get traffic, given what the checkers think. Pure: the
//! table follows from the state, it is never written step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::event::family_of;
use super::marks::Marks;
use crate::core::config::model::Family;
use crate::core::config::model::check::{
    CheckConfig, Forwarding, GroupEntry, RealServer, Target, VirtualServer,
};
use crate::ipvs::model::{Destination, DestinationKey, Entry, Service, ServiceKey};

/// A server's part in the table, as the checkers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerView {
    /// All checkers are content.
    pub up: bool,
    /// Configured, or as a script has it.
    pub weight: u32,
}

/// Whether there is enough to serve with, after a change: `was` is the state before.
///
/// Gained at quorum + hysteresis, lost below quorum - hysteresis; in between it stays as it was.
pub fn has_quorum(service: &VirtualServer, total: u64, was: bool) -> bool {
    let quorum = u64::from(service.quorum);
    let hysteresis = u64::from(service.hysteresis);
    if total >= quorum + hysteresis {
        true
    } else if total < quorum.saturating_sub(hysteresis).max(1) {
        false
    } else {
        was
    }
}

/// Weight of the servers that are up.
pub fn live_weight(servers: &[ServerView]) -> u64 {
    servers.iter().filter(|server| server.up).map(|server| u64::from(server.weight)).sum()
}

/// The kernel's services of one virtual server: several for a group.
pub fn service_keys(
    service: &VirtualServer,
    config: &CheckConfig,
    marks: &Marks,
) -> Vec<ServiceKey> {
    let first = service.real_servers.first().map(|server| server.address.ip());
    let family = family_of(&service.target, first);
    match &service.target {
        Target::Address { address, protocol } => {
            vec![address_key(*address, protocol.number())]
        }
        Target::Fwmark { mark, .. } => vec![ServiceKey::Fwmark { mark: *mark, family }],
        Target::Group { name, protocol } => {
            let group = config.groups.iter().find(|group| group.name == *name);
            let entries = group.map(|group| group.entries.as_slice()).unwrap_or_default();
            if let Some(mark) = marks.get(name, *protocol) {
                return marked_keys(entries, mark, family);
            }
            entries
                .iter()
                .flat_map(|entry| match entry {
                    GroupEntry::Fwmark { mark, family: own } => {
                        vec![ServiceKey::Fwmark { mark: *mark, family: own.unwrap_or(family) }]
                    }
                    GroupEntry::Addresses { first, count } => (0..*count)
                        .filter_map(|offset| shifted(first.ip(), offset))
                        .map(|ip| {
                            let address = SocketAddr::new(ip, first.port());
                            address_key(address, protocol.number())
                        })
                        .collect(),
                })
                .collect()
        }
    }
}

/// One service for all addresses of a family, and those that have a mark anyway.
fn marked_keys(entries: &[GroupEntry], mark: u32, family: Family) -> Vec<ServiceKey> {
    let keys: BTreeSet<ServiceKey> = entries
        .iter()
        .map(|entry| match entry {
            GroupEntry::Fwmark { mark, family: own } => {
                ServiceKey::Fwmark { mark: *mark, family: own.unwrap_or(family) }
            }
            GroupEntry::Addresses { first, .. } => {
                ServiceKey::Fwmark { mark, family: Family::of(first.ip()) }
            }
        })
        .collect();
    keys.into_iter().collect()
}

/// The last of some consecutive addresses.
pub fn last_of(first: IpAddr, count: u32) -> IpAddr {
    shifted(first, count.saturating_sub(1)).unwrap_or(first)
}

fn address_key(address: SocketAddr, protocol: u8) -> ServiceKey {
    ServiceKey::Address { address: address.ip(), port: address.port(), protocol }
}

fn shifted(address: IpAddr, offset: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(address.to_bits().checked_add(offset)?.into())),
        IpAddr::V6(address) => {
            Some(IpAddr::V6(address.to_bits().checked_add(u128::from(offset))?.into()))
        }
    }
}

/// What the kernel should have for one of its services.
///
/// Servers that are up, with their weight; without quorum and with a sorry server, that one instead.
/// With `inhibit_on_failure`, a server that is down, or that the sorry server stands in for, is there
/// at weight 0, so that its connections go on.
pub fn entry(
    service: &VirtualServer,
    key: &ServiceKey,
    servers: &[ServerView],
    quorum: bool,
) -> Entry {
    let apologise = !quorum && service.sorry_server.is_some();
    let mut destinations = BTreeMap::new();
    for (server, view) in service.real_servers.iter().zip(servers) {
        let weight = match (view.up && !apologise, server.inhibit_on_failure) {
            (true, _) => view.weight,
            (false, true) => 0,
            (false, false) => continue,
        };
        let destination = Destination {
            forwarding: Some(server.forwarding),
            weight,
            upper_threshold: server.thresholds.upper,
            lower_threshold: server.thresholds.lower,
        };
        add(&mut destinations, key, server.address, destination);
    }
    if let Some(sorry) = &service.sorry_server {
        let weight = match (apologise, sorry.inhibit) {
            (true, _) => Some(1),
            (false, true) => Some(0),
            (false, false) => None,
        };
        if let Some(weight) = weight {
            let destination = Destination {
                forwarding: Some(sorry.forwarding),
                weight,
                upper_threshold: 0,
                lower_threshold: 0,
            };
            add(&mut destinations, key, sorry.address, destination);
        }
    }
    Entry { service: kernel_service(service, key), destinations }
}

/// What the kernel calls a server of the service.
pub fn destination_key(
    key: &ServiceKey,
    address: SocketAddr,
    forwarding: Forwarding,
) -> DestinationKey {
    let unchanged = matches!(forwarding, Forwarding::DirectRouting | Forwarding::Tunnel(_));
    let port = match key {
        // A marked packet keeps its port, whatever it is.
        ServiceKey::Fwmark { .. } if unchanged => 0,
        ServiceKey::Address { port, .. } if unchanged || address.port() == 0 => *port,
        ServiceKey::Address { .. } | ServiceKey::Fwmark { .. } => address.port(),
    };
    DestinationKey { address: address.ip(), port }
}

/// A server that is not in the configuration any more keeps its connections, unless it is there as
/// another one.
pub fn keep_without_weight(entry: &mut Entry, key: &ServiceKey, server: &RealServer) {
    let there = destination_key(key, server.address, server.forwarding);
    if !entry.destinations.contains_key(&there) {
        let destination = Destination {
            forwarding: Some(server.forwarding),
            weight: 0,
            upper_threshold: server.thresholds.upper,
            lower_threshold: server.thresholds.lower,
        };
        add(&mut entry.destinations, key, server.address, destination);
    }
}

fn add(
    destinations: &mut BTreeMap<DestinationKey, Destination>,
    key: &ServiceKey,
    address: SocketAddr,
    destination: Destination,
) {
    let tunnelled = matches!(destination.forwarding, Some(Forwarding::Tunnel(_)));
    if Family::of(address.ip()) != key.family() && !tunnelled {
        return;
    }
    let Some(forwarding) = destination.forwarding else { return };
    destinations
        .entry(destination_key(key, address, forwarding))
        // A sorry server that is also a real one: the real one's entry stays unless it is idle.
        .and_modify(|there| {
            if there.weight == 0 {
                *there = destination;
            }
        })
        .or_insert(destination);
}

fn kernel_service(service: &VirtualServer, key: &ServiceKey) -> Service {
    let persistence = service.persistence.as_ref();
    Service {
        scheduler: service.scheduler.name.clone(),
        scheduler_flags: service.scheduler.flags,
        one_packet: service.one_packet,
        persistence: persistence.map(|persistence| persistence.timeout),
        netmask: persistence
            .map_or(key.family().bits(), |found| found.granularity.min(key.family().bits())),
        persistence_engine: persistence.and_then(|persistence| persistence.engine.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::service;
    use crate::core::config::model::check::SorryServer;

    /// Every state of up to three servers, with every combination of sorry server, inhibit and
    /// quorum: the invariants of the table.
    #[test]
    fn no_table_sends_traffic_to_the_dead_or_withholds_it_from_the_living() {
        let mut states = 0;
        for servers in 1..=3u8 {
            for bits in 0..1u32 << servers {
                for sorry in [None, Some(false), Some(true)] {
                    for inhibit in [false, true] {
                        for quorum in 1..=u32::from(servers) {
                            for was in [false, true] {
                                let mut service = service(servers);
                                service.quorum = quorum;
                                for server in &mut service.real_servers {
                                    server.inhibit_on_failure = inhibit;
                                }
                                service.sorry_server = sorry.map(|inhibit| SorryServer {
                                    address: ([10, 9, 9, 9], 80).into(),
                                    forwarding: Forwarding::Masquerade,
                                    inhibit,
                                });
                                check(&service, bits, was);
                                states += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(states, 12 * (2 + 2 * 4 + 3 * 8));
    }

    fn check(service: &VirtualServer, bits: u32, was: bool) {
        let views: Vec<ServerView> = (0..service.real_servers.len())
            .map(|place| ServerView { up: bits >> place & 1 == 1, weight: 1 })
            .collect();
        let total = live_weight(&views);
        let quorum = has_quorum(service, total, was);
        assert_eq!(quorum, total >= u64::from(service.quorum), "no hysteresis, no memory");
        let key = service_keys(service, &CheckConfig::default(), &Marks::default())[0];
        let entry = entry(service, &key, &views, quorum);
        let weight = |address: SocketAddr| {
            let key = DestinationKey { address: address.ip(), port: 80 };
            entry.destinations.get(&key).map(|found| found.weight)
        };
        let apologises = !quorum && service.sorry_server.is_some();
        for (server, view) in service.real_servers.iter().zip(&views) {
            let expected = match (view.up, server.inhibit_on_failure) {
                (true, _) if !apologises => Some(1),
                (_, false) => None,
                (_, true) => Some(0),
            };
            assert_eq!(weight(server.address), expected);
        }
        if let Some(sorry) = &service.sorry_server {
            let expected = if apologises { Some(1) } else { sorry.inhibit.then_some(0) };
            assert_eq!(weight(sorry.address), expected);
        }
    }

    #[test]
    fn hysteresis_keeps_the_state_between_its_limits() {
        let mut service = service(3);
        (service.quorum, service.hysteresis) = (3, 1);
        assert!(has_quorum(&service, 4, false));
        assert!(!has_quorum(&service, 3, false) && has_quorum(&service, 3, true));
        assert!(has_quorum(&service, 2, true));
        assert!(!has_quorum(&service, 1, true));
    }
}
