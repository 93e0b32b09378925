//! What a process that died with everything left in the kernel, and what this one notes for the case
//! that it dies so.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Daemon, RETRY, configured};
use crate::core::netlink::address::KernelAddress;
use crate::core::runtime;
use crate::core::time::Timestamp;
use crate::vrrp::desired;
use crate::vrrp::remains::{FOLDER, Items, NotedAddress, Remains};

/// Our note.
#[derive(Debug)]
pub(super) enum Heirloom {
    /// There is none, and there will be none.
    None,
    /// The process before this one, which says farewell, still has it; when to ask again.
    Held { pid_file: PathBuf, again: Timestamp },
    /// It is ours.
    Taken(Remains),
}

impl Heirloom {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Held { again, .. } => Some(*again),
            Self::None | Self::Taken(_) => None,
        }
    }
}

impl Daemon<'_> {
    /// What a dead process left and the configuration no longer has is removed, or becomes ours to
    /// remove.
    pub(super) fn inherit(&mut self, pid_file: PathBuf) {
        match Remains::take(Path::new(FOLDER), &pid_file) {
            Ok((remains, left)) => {
                let left = left.without(&remains.of_others());
                self.remains = Heirloom::Taken(remains);
                self.take_over(&left);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if matches!(self.remains, Heirloom::None) {
                    tracing::info!("the process before this one still has its note in {FOLDER}");
                }
                self.remains = Heirloom::Held { pid_file, again: runtime::now() + RETRY };
            }
            Err(error) => {
                tracing::warn!(
                    "nothing can be noted in {FOLDER} for a process after a crash: {error}"
                );
                self.remains = Heirloom::None;
            }
        }
    }

    /// When the process before this one has ended: nothing was noted until now.
    pub(super) fn inherit_late(&mut self) {
        let Heirloom::Held { pid_file, again } = &self.remains else { return };
        if *again > runtime::now() {
            return;
        }
        self.inherit(pid_file.clone());
        if matches!(self.remains, Heirloom::Taken(_)) {
            self.note_exactly();
            tracing::info!("the process before this one has ended, its note is ours");
            self.kernel_changed = true;
            self.make_links();
        }
    }

    fn take_over(&mut self, left: &Items) {
        self.virtual_links.configure(&self.config);
        self.routing.configure(runtime::now(), &self.config);
        for (name, mac) in &left.links {
            if let Some(link) = self.links.values().find(|link| link.name == *name)
                && self.virtual_links.inherit(link, *mac)
            {
                tracing::warn!("{name} was left by a process that died, it is removed");
            }
        }
        let items = self.items();
        for address in left.addresses.difference(&items.addresses) {
            let (interface, address, prefix) = address;
            let link = self.links.values().find(|link| link.name == *interface);
            let place = link.map(|link| (link.index, *address, *prefix));
            if let Some(place) = place
                && self.actual.get(&place).is_some_and(KernelAddress::is_ours)
            {
                tracing::warn!(
                    "{address}/{prefix} on {interface} was left by a process that died, it is removed"
                );
                self.managed.insert(place);
            }
        }
        for table in &left.tables {
            self.firewall.inherit(table.clone());
        }
        match self.routing.inherit(&left.routes, &left.rules, &self.links, &mut self.route) {
            Ok(0) => {}
            Ok(some) => tracing::warn!(
                "routes and rules ({some}) were left by a process that died, they are removed"
            ),
            Err(error) => tracing::error!(
                "routes and rules that a process that died may have left stay: {error}"
            ),
        }
    }

    /// Before anything of a configuration is made: that, too, may be left.
    pub(super) fn note_more(&mut self) {
        let items = self.items();
        self.note(|noted| items.and(&noted));
    }

    /// What a configuration no longer has is gone.
    pub(super) fn note_exactly(&mut self) {
        let items = self.items();
        self.note(|_| items);
    }

    fn note(&mut self, items: impl FnOnce(Items) -> Items) {
        let Heirloom::Taken(remains) = &mut self.remains else { return };
        let noted = remains.noted().and_then(|noted| remains.note(&items(noted)));
        if let Err(error) = noted {
            tracing::warn!("nothing can be noted for a process after a crash: {error}");
            self.remains = Heirloom::None;
        }
    }

    /// An orderly end: nothing is left.
    pub(super) fn leave_nothing(&mut self) {
        if let Heirloom::Taken(remains) = std::mem::replace(&mut self.remains, Heirloom::None)
            && let Err(error) = remains.end()
        {
            tracing::warn!("the note for a process after a crash cannot be removed: {error}");
        }
    }

    /// What the configuration has, held or not.
    fn items(&self) -> Items {
        let mut addresses = configured(&self.config.vrrp);
        addresses.extend(desired::static_addresses(&self.config.vrrp));
        let addresses: BTreeSet<NotedAddress> = addresses
            .into_iter()
            .map(|found| (found.interface.to_string(), found.address.address, found.address.prefix))
            .collect();
        let (routes, rules) = self.routing.keys(&self.links);
        let links = self.virtual_links.named();
        let refuses = self.config.vrrp.instances.iter().any(|instance| !instance.accept);
        let table = (refuses || !links.is_empty())
            .then(|| crate::vrrp::firewall::ruleset(&self.config.global.firewall).table);
        Items { addresses, links, tables: table.into_iter().collect(), routes, rules }
    }
}
