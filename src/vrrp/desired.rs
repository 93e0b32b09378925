//! What the kernel should have while a virtual router is master, and always.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::core::config::model::Family;
use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::route::{Route, Rule};
use crate::core::config::model::vrrp::{Instance, VirtualAddress, VrrpConfig};

/// An address on an interface. A copy costs next to nothing: there may be thousands, in many places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DesiredAddress {
    /// Where.
    pub interface: Arc<str>,
    /// What; its own `interface` field is the same.
    pub address: Arc<VirtualAddress>,
}

impl DesiredAddress {
    /// What is unique in the kernel: interface, address, prefix length.
    pub fn place(&self) -> (Arc<str>, IpAddr, u8) {
        (self.interface.clone(), self.address.address, self.address.prefix)
    }
}

/// Every address of an instance, advertised ones first, in the order of the file.
pub fn addresses(instance: &Instance) -> impl Iterator<Item = DesiredAddress> + '_ {
    let usual: Option<Arc<str>> = instance.address_interface().map(Arc::from);
    instance.addresses.iter().chain(&instance.excluded_addresses).filter_map(move |address| {
        let family = Family::of(address.address);
        let interface = address.interface.as_deref().or_else(|| instance.interface_for(family))?;
        // Most are on the same one, whose name is held but once.
        let shared = usual.as_ref().filter(|usual| ***usual == *interface);
        let interface = shared.map_or_else(|| interface.into(), Arc::clone);
        Some(DesiredAddress { interface, address: Arc::clone(address) })
    })
}

/// What `garp_extra_if` announces: one address on each interface whose MAC address no advert keeps
/// fresh in the switches. Without `all` only virtual MACs, which nothing else speaks with.
pub fn extra_announced(instance: &Instance) -> Vec<DesiredAddress> {
    let Some(extra) = &instance.extra_announcements else { return Vec::new() };
    let own = instance.virtual_link.as_ref().filter(|link| link.kind() == "macvlan");
    let vmacs: BTreeSet<&str> = instance
        .address_links
        .iter()
        .map(|link| link.vmac.name.as_str())
        .chain(own.map(VirtualLink::name))
        .collect();
    let mut seen: BTreeSet<Arc<str>> =
        instance.advert_interface().map(Arc::from).into_iter().collect();
    addresses(instance)
        .filter(|address| extra.all || vmacs.contains(&*address.interface))
        .filter(|address| seen.insert(address.interface.clone()))
        .collect()
}

/// A route or a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoutingEntry {
    /// Of `virtual_routes` or `static_routes`.
    Route(Box<Route>),
    /// Of `virtual_rules` or `static_rules`.
    Rule(Box<Rule>),
}

impl RoutingEntry {
    /// Not `no_track`.
    pub fn is_tracked(&self) -> bool {
        match self {
            Self::Route(route) => route.tracked,
            Self::Rule(rule) => rule.tracked,
        }
    }
}

impl fmt::Display for RoutingEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => {
                let to = route.destination;
                write!(f, "route {}/{}", to.address, to.length)
            }
            Self::Rule(rule) => write!(f, "rule {}", rule.preference),
        }
    }
}

/// Routes and rules of an instance, in the order of the file.
pub fn routing(instance: &Instance) -> impl Iterator<Item = RoutingEntry> + '_ {
    entries(&instance.routes, &instance.rules)
}

/// Routes and rules that do not depend on an election.
pub fn static_routing(config: &VrrpConfig) -> impl Iterator<Item = RoutingEntry> + '_ {
    entries(&config.static_routes, &config.static_rules)
}

/// Every route and rule of a configuration, each once.
pub fn all_routing(config: &VrrpConfig) -> Vec<RoutingEntry> {
    let virtual_ones = config.instances.iter().flat_map(|instance| routing(instance));
    let mut seen = BTreeSet::new();
    static_routing(config).chain(virtual_ones).filter(|entry| seen.insert(entry.clone())).collect()
}

fn entries<'a>(routes: &'a [Route], rules: &'a [Rule]) -> impl Iterator<Item = RoutingEntry> + 'a {
    let routes = routes.iter().cloned().map(Box::new).map(RoutingEntry::Route);
    routes.chain(rules.iter().cloned().map(Box::new).map(RoutingEntry::Rule))
}

/// Addresses that do not depend on an election.
pub fn static_addresses(config: &VrrpConfig) -> impl Iterator<Item = DesiredAddress> + '_ {
    config.static_addresses.iter().filter_map(|address| {
        let interface = address.interface.as_deref()?.into();
        Some(DesiredAddress { interface, address: Arc::new(address.clone()) })
    })
}
