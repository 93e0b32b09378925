//! Interfaces that a virtual router cannot do without, beside its own: those that its addresses, routes and
//! rules name. keepalived tracks them without a word in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::config::model::link::VirtualLink;
use crate::core::config::model::vrrp::Instance;

/// Notes them in each instance, when all virtual links have their names.
pub fn settle(instances: &mut [Arc<Instance>]) {
    let beneath = beneath(instances);
    for instance in instances {
        let needed = needed(instance, &beneath);
        if !needed.is_empty() {
            Arc::make_mut(instance).needed_interfaces = needed;
        }
    }
}

/// By the name of a link that is made: the interface that it stands on, whose fate it shares.
fn beneath(instances: &[Arc<Instance>]) -> BTreeMap<String, String> {
    let own = instances.iter().filter_map(|instance| {
        let link = instance.virtual_link.as_ref()?;
        Some((link.name().to_owned(), instance.interface.clone()?))
    });
    let of_addresses = instances.iter().flat_map(|instance| &instance.address_links);
    own.chain(of_addresses.map(|link| (link.vmac.name.clone(), link.base.clone()))).collect()
}

fn needed(instance: &Instance, beneath: &BTreeMap<String, String>) -> Vec<String> {
    let addresses = instance.addresses.iter().chain(&instance.excluded_addresses);
    let addresses = addresses.filter(|address| !address.no_track);
    let routes = instance.routes.iter().filter(|route| route.tracked);
    let rules = instance.rules.iter().filter(|rule| rule.tracked);
    let own =
        [instance.interface.as_deref(), instance.virtual_link.as_ref().map(VirtualLink::name)];
    let names: BTreeSet<&str> = addresses
        .filter_map(|address| address.interface.as_deref())
        .chain(routes.filter_map(|route| route.hop.interface.as_deref()))
        .chain(rules.flat_map(|rule| [rule.input.as_deref(), rule.output.as_deref()]).flatten())
        .filter(|name| !own.contains(&Some(name)))
        .map(|name| beneath.get(name).map_or(name, String::as_str))
        .filter(|name| !own.contains(&Some(name)))
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    /// Of an instance on eth0, `body` in it.
    fn needed(body: &str) -> Vec<String> {
        let text = format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 5\npriority 100\n{body}\n}}\n\
             vrrp_instance M {{\ninterface eth2\nvirtual_router_id 6\npriority 100\nuse_vmac m\n\
             virtual_ipaddress {{\n10.0.1.1\n}}\n}}\n"
        );
        let config = compile(&SourceSet::from_text("a.conf", text)).config;
        config.vrrp.instances[0].needed_interfaces.clone()
    }

    #[test]
    fn addresses_routes_and_rules_need_their_interfaces() {
        let address = |line: &str| needed(&format!("virtual_ipaddress {{\n{line}\n}}"));
        let none: [&str; 0] = [];
        assert_eq!(address("10.0.0.1"), none);
        assert_eq!(address("10.0.0.1 dev eth0"), none);
        assert_eq!(address("10.0.0.1 dev eth1"), ["eth1"]);
        assert_eq!(
            address("10.0.0.1 dev eth1\n10.0.0.2 dev eth1\n10.0.0.3 dev eth3"),
            ["eth1", "eth3"]
        );
        assert_eq!(address("10.0.0.1 dev eth1 no_track"), none);
        assert_eq!(address("10.0.0.1 dev m"), ["eth2"], "what is made stands on another one");
        let with = |block: &str, line: &str| {
            needed(&format!("virtual_ipaddress {{\n10.0.0.1\n}}\n{block} {{\n{line}\n}}"))
        };
        assert_eq!(with("virtual_ipaddress_excluded", "10.0.0.2 dev eth1"), ["eth1"]);
        assert_eq!(with("virtual_routes", "10.1.0.0/24 dev eth1"), ["eth1"]);
        assert_eq!(with("virtual_routes", "10.1.0.0/24 dev eth1 no_track"), none);
        assert_eq!(with("virtual_rules", "from 10.1.0.0/24 iif eth1 table 100"), ["eth1"]);
        assert_eq!(with("virtual_rules", "from 10.1.0.0/24 oif eth1 table 100"), ["eth1"]);
        assert_eq!(with("virtual_rules", "from 10.1.0.0/24 iif eth1 table 100 no_track"), none);
    }

    #[test]
    fn a_virtual_mac_of_its_own_is_not_another_interface() {
        let body = "use_vmac\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2 dev eth0\n}";
        assert_eq!(needed(body), [""; 0]);
    }
}
