//! What a process that died with everything left on the interfaces, and what this one notes for the
//! case that it dies so.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Daemon, configured};
use crate::core::netlink::address::KernelAddress;
use crate::vrrp::desired;
use crate::vrrp::remains::{FOLDER, Items, NotedAddress, Remains};

impl Daemon<'_> {
    /// What a dead process left and the configuration no longer has becomes ours to remove.
    pub(super) fn inherit(&mut self, pid_file: &Path) {
        let (remains, left) = match Remains::take(Path::new(FOLDER), pid_file) {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(
                    "nothing can be noted in {FOLDER} for a process after a crash: {error}"
                );
                return;
            }
        };
        let left = left.without(&remains.of_others());
        self.remains = Some(remains);
        self.virtual_links.configure(&self.config);
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
        let Some(remains) = &mut self.remains else { return };
        let noted = remains.noted().and_then(|noted| remains.note(&items(noted)));
        if let Err(error) = noted {
            tracing::warn!("nothing can be noted for a process after a crash: {error}");
            self.remains = None;
        }
    }

    /// An orderly end: nothing is left.
    pub(super) fn leave_nothing(&mut self) {
        if let Some(Err(error)) = self.remains.take().map(Remains::end) {
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
        Items { addresses, links: self.virtual_links.named() }
    }
}
