//! Interfaces whose link is polled (`linkbeat_interfaces`, `linkbeat_use_polling`).

use std::collections::BTreeMap;

use super::{Daemon, watched_interfaces};
use crate::core::config::model::link::LinkbeatMethod;
use crate::core::config::model::vrrp::VrrpConfig;
use crate::core::linkbeat::LinkProbe;
use crate::core::netlink::link::Link;
use crate::core::runtime;
use crate::core::time::{Interval, Timestamp};

/// From look to look.
const PERIOD: Interval = Interval::from_secs(1);

/// What is known of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Polled {
    wanted: Option<LinkbeatMethod>,
    /// How it is asked, by the kernel's number of the interface: another one is asked anew.
    way: Option<(u32, LinkbeatMethod)>,
    link: bool,
}

/// Polls.
#[derive(Debug, Default)]
pub(super) struct Linkbeat {
    probe: Option<LinkProbe>,
    polled: BTreeMap<String, Polled>,
    next: Option<Timestamp>,
}

impl Linkbeat {
    /// Polls these from now on, and looks at them.
    fn set(
        &mut self,
        now: Timestamp,
        wanted: BTreeMap<String, Option<LinkbeatMethod>>,
        links: &BTreeMap<u32, Link>,
    ) {
        if self.probe.is_none() && !wanted.is_empty() {
            match LinkProbe::open() {
                Ok(probe) => self.probe = Some(probe),
                Err(error) => tracing::error!("links cannot be polled: {error}"),
            }
        }
        let old = std::mem::take(&mut self.polled);
        let polled = wanted.into_iter().map(|(name, wanted)| {
            let known = old.get(&name).filter(|known| known.wanted == wanted).copied();
            (name, known.unwrap_or(Polled { wanted, way: None, link: false }))
        });
        self.polled = polled.collect();
        self.look(now, links);
    }

    /// Looks at all of them; gives those that have changed.
    fn look(&mut self, now: Timestamp, links: &BTreeMap<u32, Link>) -> Vec<String> {
        self.next = (!self.polled.is_empty()).then(|| now + PERIOD);
        let Some(probe) = &self.probe else { return Vec::new() };
        let mut changed = Vec::new();
        for (name, polled) in &mut self.polled {
            let link = links.values().find(|link| link.name == *name);
            // Its carrier is that of the interface beneath, which the kernel tells.
            let Some(link) = link.filter(|link| link.kind.as_deref() != Some("macvlan")) else {
                polled.way = None;
                continue;
            };
            if polled.way.is_none_or(|(index, _)| index != link.index) {
                let way = probe.way(name, polled.wanted);
                polled.way = way.map(|way| (link.index, way));
                match way {
                    Some(way) => tracing::info!("the link of {name} is polled by {}", word(way)),
                    None => tracing::warn!("the link of {name} cannot be polled"),
                }
            }
            let answer = polled.way.and_then(|(_, way)| probe.ask(name, way));
            let answer = answer.unwrap_or(false);
            if std::mem::replace(&mut polled.link, answer) != answer {
                changed.push(name.clone());
            }
        }
        changed
    }

    /// Whether the interface has a link; `None` where the kernel is believed.
    pub fn link(&self, interface: &str) -> Option<bool> {
        let polled = self.polled.get(interface)?;
        polled.way.map(|_| polled.link)
    }

    /// When to look again.
    pub const fn next(&self) -> Option<Timestamp> {
        self.next
    }
}

const fn word(method: LinkbeatMethod) -> &'static str {
    match method {
        LinkbeatMethod::Mii => "MII",
        LinkbeatMethod::Ethtool => "ETHTOOL",
        LinkbeatMethod::Ioctl => "IOCTL",
    }
}

/// Which interfaces a configuration wants polled, and how.
fn wanted(config: &VrrpConfig) -> BTreeMap<String, Option<LinkbeatMethod>> {
    let used = watched_interfaces(config).into_iter().filter(|_| config.linkbeat_polling);
    let own = config.instances.iter().filter(|instance| instance.linkbeat_polling);
    let own = own.filter_map(|instance| instance.interface.clone());
    let listed = config.linkbeat_interfaces.iter();
    let listed = listed.map(|found| (found.interface.clone(), found.method));
    used.chain(own).map(|name| (name, None)).chain(listed).collect()
}

impl Daemon<'_> {
    /// After a new configuration.
    pub(super) fn set_linkbeat(&mut self) {
        self.linkbeat.set(runtime::now(), wanted(&self.config.vrrp), &self.links);
    }

    /// Looks at polled links when it is time.
    pub(super) fn poll_links(&mut self, now: Timestamp) {
        if self.linkbeat.next().is_some_and(|next| next <= now) {
            for name in self.linkbeat.look(now, &self.links) {
                self.tell_link(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    #[test]
    fn interfaces_are_polled_where_something_asks_for_it_and_in_the_way_that_is_written() {
        let read = |root: &str, own: &str| {
            let text = format!(
                "{root}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\n{own}\n\
                 track_interface {{\neth1\n}}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
            );
            let found = wanted(&compile(&SourceSet::from_text("a.conf", &text)).config.vrrp);
            found.into_iter().map(|(name, way)| (name, way.map(word))).collect::<Vec<_>>()
        };
        assert_eq!(read("", ""), []);
        let name = |name: &str| (name.to_owned(), None);
        assert_eq!(read("", "linkbeat_use_polling"), [name("eth0")]);
        assert_eq!(read("linkbeat_use_polling", ""), [name("eth0"), name("eth1")]);
        let listed = "linkbeat_interfaces {\neth0 ETHTOOL\neth2\n}";
        let expected = [("eth0".to_owned(), Some("ETHTOOL")), name("eth2")];
        assert_eq!(read(listed, "linkbeat_use_polling"), expected);
    }

    #[test]
    fn an_interface_that_is_not_there_is_not_asked_and_the_kernel_is_believed() {
        let mut linkbeat = Linkbeat::default();
        let wanted = BTreeMap::from([("nosuchlink".to_owned(), None)]);
        linkbeat.set(Timestamp::ZERO, wanted, &BTreeMap::new());
        assert_eq!(linkbeat.link("nosuchlink"), None);
        assert_eq!(linkbeat.next(), Some(Timestamp::ZERO + PERIOD));
        linkbeat.set(Timestamp::ZERO, BTreeMap::new(), &BTreeMap::new());
        assert_eq!(linkbeat.next(), None);
    }
}
