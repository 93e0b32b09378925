//! `nftables_ipvs`: the firewall marks that stand for groups of services, so that the kernel has one
//! service for all addresses of a group.

use std::collections::{BTreeMap, BTreeSet};

use super::virtual_server::last_of;
use crate::core::config::model::check::{CheckConfig, GroupEntry, Protocol, Target};
use crate::core::netlink::nftables::marking::Range;

/// The mark of each group and protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<(String, Protocol), u32>);

impl Marks {
    /// Groups that have a mark keep it, so that their connections do; others get the lowest that is
    /// free, in the order of the file. None at all without `nftables_ipvs`.
    pub fn assign(&mut self, config: &CheckConfig) {
        let Some(first) = config.first_mark else {
            self.0.clear();
            return;
        };
        let (wanted, given) = (groups(config), given(config));
        let named: BTreeSet<_> = wanted.iter().collect();
        let stays = |mark: u32| mark >= first && !given.contains(&mark);
        self.0.retain(|group, mark| stays(*mark) && named.contains(group));
        let mut taken = given;
        taken.extend(self.0.values());
        let mut free = (first..=u32::MAX).filter(|mark| !taken.contains(mark));
        for group in wanted {
            if let std::collections::btree_map::Entry::Vacant(place) = self.0.entry(group)
                && let Some(mark) = free.next()
            {
                place.insert(mark);
            }
        }
    }

    /// The mark that stands for the addresses of a group.
    pub fn get(&self, group: &str, protocol: Protocol) -> Option<u32> {
        self.0.get(&(group.to_owned(), protocol)).copied()
    }

    /// All packets that are to be marked for the services of `config`.
    pub fn marked(&self, config: &CheckConfig) -> BTreeSet<Range> {
        let entries = |name: &str| {
            let group = config.groups.iter().find(|group| group.name == name);
            group.map(|group| group.entries.as_slice()).unwrap_or_default()
        };
        self.0
            .iter()
            .flat_map(|((name, protocol), mark)| {
                entries(name).iter().filter_map(|entry| match entry {
                    GroupEntry::Fwmark { .. } => None,
                    GroupEntry::Addresses { first, count } => Some(Range {
                        protocol: protocol.number(),
                        addresses: (first.ip(), last_of(first.ip(), *count)),
                        port: first.port(),
                        mark: *mark,
                    }),
                })
            })
            .collect()
    }
}

/// Groups with addresses that a service has, in the order of the file.
fn groups(config: &CheckConfig) -> Vec<(String, Protocol)> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for service in &config.virtual_servers {
        let Target::Group { name, protocol } = &service.target else { continue };
        let group = config.groups.iter().find(|group| group.name == *name);
        let is_address = |entry: &GroupEntry| matches!(entry, GroupEntry::Addresses { .. });
        if group.is_some_and(|group| group.entries.iter().any(is_address))
            && seen.insert((name, *protocol))
        {
            found.push((name.clone(), *protocol));
        }
    }
    found
}

/// Marks that the configuration names itself.
fn given(config: &CheckConfig) -> BTreeSet<u32> {
    let services = config.virtual_servers.iter().filter_map(|service| match service.target {
        Target::Fwmark { mark, .. } => Some(mark),
        Target::Address { .. } | Target::Group { .. } => None,
    });
    let entries = config.groups.iter().flat_map(|group| &group.entries);
    let of_groups = entries.filter_map(|entry| match entry {
        GroupEntry::Fwmark { mark, .. } => Some(*mark),
        GroupEntry::Addresses { .. } => None,
    });
    services.chain(of_groups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn config(groups: &[&str]) -> CheckConfig {
        let mut text = "global_defs {\nnftables_ipvs\n}\n".to_owned();
        for group in groups {
            text += &format!("virtual_server_group {group} {{\n10.0.0.1-3 80\n}}\n");
            text += &format!(
                "virtual_server group {group} {{\nprotocol TCP\nreal_server 10.1.0.1 80 {{\n}}\n}}\n"
            );
        }
        let other = "virtual_server fwmark 1001 {\nprotocol TCP\nreal_server 10.1.0.1 80 {\n}\n}\n";
        compile(&SourceSet::from_text("test.conf", text + other)).config.check
    }

    #[test]
    fn marks_stay_while_their_group_does_and_none_is_given_twice() {
        let of = |marks: &Marks, name| marks.get(name, Protocol::Tcp);
        let mut marks = Marks::default();
        marks.assign(&config(&["A", "B"]));
        assert_eq!((of(&marks, "A"), of(&marks, "B")), (Some(1000), Some(1002)), "1001 is taken");
        marks.assign(&config(&["C", "B"]));
        assert_eq!(of(&marks, "A"), None);
        assert_eq!((of(&marks, "C"), of(&marks, "B")), (Some(1000), Some(1002)));
        let mut without = config(&["C"]);
        let found = marks.marked(&without);
        let range = found.first().unwrap();
        assert_eq!((range.mark, range.port, range.protocol), (1000, 80, 6));
        assert_eq!(range.addresses.1.to_string(), "10.0.0.3");
        without.first_mark = None;
        marks.assign(&without);
        assert_eq!(marks, Marks::default());
    }
}
