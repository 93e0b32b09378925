//! A reload: which service of the new configuration is which one of the old. Pure.
//!
//! A target names a service, unless it is there twice: blocks of one target share one table. Of
//! those, equal ones belong together, then those with most servers in common, then what is left in
//! order; and a server that is in another of them now takes along what it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::{ServerState, ServiceState};
use crate::core::config::model::check::{CheckConfig, Target, VirtualServer};
use crate::core::shared::Shared;

/// What was there, taken out by its key; a search for each of tens of thousands would take minutes.
pub(super) struct Former<K, V>(BTreeMap<K, VecDeque<V>>);

impl<K: Ord, V> Former<K, V> {
    pub(super) fn new(values: Vec<V>, key: impl Fn(&V) -> K) -> Self {
        let mut map: BTreeMap<K, VecDeque<V>> = BTreeMap::new();
        for value in values {
            map.entry(key(&value)).or_default().push_back(value);
        }
        Self(map)
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.0.get_mut(key)?.pop_front()
    }

    /// Those that nobody has taken.
    pub(super) fn rest(self) -> impl Iterator<Item = V> {
        self.0.into_values().flatten()
    }
}

/// What a new service goes on with.
#[derive(Default)]
pub(super) struct Inherited {
    /// What it was.
    pub service: Option<ServiceState>,
    /// Servers of a service that was another one, without a [`Self::service`] to be in.
    pub servers: Vec<ServerState>,
    /// Whether those were suspended.
    pub suspended: bool,
}

impl Inherited {
    /// Every server that was there.
    pub(super) fn all(&self) -> impl Iterator<Item = &ServerState> {
        self.service.iter().flat_map(|service| &service.servers).chain(&self.servers)
    }

    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.all().map(|server| server.config.address).collect()
    }

    fn add(&mut self, server: ServerState, suspended: bool) {
        match &mut self.service {
            Some(service) => {
                service.servers.push(server);
                // It is woken, or put to sleep, with the others.
                service.suspended |= suspended;
            }
            None => {
                self.servers.push(server);
                self.suspended |= suspended;
            }
        }
    }
}

/// For each service of `config` what it inherits; and the services that are gone.
pub(super) fn pairs(
    before: Vec<ServiceState>,
    config: &CheckConfig,
) -> (Vec<Inherited>, Vec<ServiceState>) {
    let mut places: BTreeMap<&Target, Vec<usize>> = BTreeMap::new();
    for (place, service) in config.virtual_servers.iter().enumerate() {
        places.entry(&service.target).or_default().push(place);
    }
    let mut inherited: Vec<Inherited> = Vec::new();
    inherited.resize_with(config.virtual_servers.len(), Inherited::default);
    let mut old = Former::new(before, |service| service.config.target.clone());
    let mut gone = Vec::new();
    for (target, places) in places {
        let there = old.0.remove(target).unwrap_or_default();
        let new: Vec<&Shared<VirtualServer>> =
            places.iter().filter_map(|place| config.virtual_servers.get(*place)).collect();
        let found = if there.len() <= 1 && new.len() == 1 {
            vec![Inherited { service: there.into_iter().next(), ..Inherited::default() }]
        } else {
            let (found, rest) = of_one_target(there.into(), &new);
            gone.extend(rest);
            found
        };
        for (place, found) in places.iter().zip(found) {
            if let Some(slot) = inherited.get_mut(*place) {
                *slot = found;
            }
        }
    }
    gone.extend(old.rest());
    (inherited, gone)
}

fn of_one_target(
    old: Vec<ServiceState>,
    new: &[&Shared<VirtualServer>],
) -> (Vec<Inherited>, Vec<ServiceState>) {
    let partners = partners(&old, new);
    let mut old: Vec<Option<ServiceState>> = old.into_iter().map(Some).collect();
    let mut inherited: Vec<Inherited> = partners
        .iter()
        .map(|partner| {
            let service = partner.and_then(|place| old.get_mut(place)?.take());
            Inherited { service, ..Inherited::default() }
        })
        .collect();
    let mut gone: Vec<ServiceState> = old.into_iter().flatten().collect();
    move_servers(&mut inherited, &mut gone, new);
    (inherited, gone)
}

/// For each of the new services the place of the old one that it was.
fn partners(old: &[ServiceState], new: &[&Shared<VirtualServer>]) -> Vec<Option<usize>> {
    let mut having: BTreeMap<SocketAddr, Vec<usize>> = BTreeMap::new();
    for (place, service) in old.iter().enumerate() {
        for server in &service.servers {
            having.entry(server.config.address).or_default().push(place);
        }
    }
    let mut candidates = Vec::new();
    for (place, service) in new.iter().enumerate() {
        let mut common: BTreeMap<usize, usize> = BTreeMap::new();
        for there in service.real_servers.iter().filter_map(|server| having.get(&server.address)) {
            for old in there {
                *common.entry(*old).or_default() += 1;
            }
        }
        candidates.extend(common.into_iter().map(|(from, common)| {
            let equal = old.get(from).is_some_and(|old| old.config == **service);
            (Reverse((equal, common)), place, from)
        }));
    }
    candidates.sort_unstable();
    let mut partners = vec![None; new.len()];
    let mut free: BTreeSet<usize> = (0..old.len()).collect();
    for (_, place, from) in candidates {
        if let Some(slot @ None) = partners.get_mut(place)
            && free.remove(&from)
        {
            *slot = Some(from);
        }
    }
    for slot in partners.iter_mut().filter(|slot| slot.is_none()) {
        *slot = free.pop_first();
    }
    partners
}

/// Takes servers out of services that have them no longer, and puts them where they are now.
fn move_servers(
    inherited: &mut [Inherited],
    gone: &mut [ServiceState],
    new: &[&Shared<VirtualServer>],
) {
    let mut wanted: BTreeMap<SocketAddr, VecDeque<usize>> = BTreeMap::new();
    for (place, (config, found)) in new.iter().zip(inherited.iter()).enumerate() {
        let there = found.addresses();
        for server in config.real_servers.iter().filter(|s| !there.contains(&s.address)) {
            wanted.entry(server.address).or_default().push_back(place);
        }
    }
    if wanted.is_empty() {
        return;
    }
    let mut moving = Vec::new();
    let paired = inherited.iter_mut().zip(new).filter_map(|(found, config)| {
        let stay: BTreeSet<_> = config.real_servers.iter().map(|server| server.address).collect();
        Some((found.service.as_mut()?, stay))
    });
    for (service, stay) in paired.chain(gone.iter_mut().map(|service| (service, BTreeSet::new()))) {
        let suspended = service.suspended;
        let mut keep = Vec::with_capacity(service.servers.len());
        for server in std::mem::take(&mut service.servers) {
            let address = server.config.address;
            let places = wanted.get_mut(&address).filter(|_| !stay.contains(&address));
            match places.and_then(VecDeque::pop_front) {
                Some(place) => moving.push((place, server, suspended)),
                None => keep.push(server),
            }
        }
        service.servers = keep;
    }
    for (place, server, suspended) in moving {
        if let Some(found) = inherited.get_mut(place) {
            found.add(server, suspended);
        }
    }
}
