//! The nftables table that keeps traffic from virtual addresses that are not accepted for
//! (`no_accept`, strict mode), and membership reports of virtual MACs on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use neli::consts::socket::NlFamily;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::core::config::model::services;
use crate::core::netlink::NetlinkError;
use crate::core::netlink::nftables::{Ruleset, SUBSYSTEM, parse_changer};
use crate::core::netlink::socket::{NetlinkSocket, empty, open_subscriber, receive_from_kernel};
use crate::core::runtime;

/// keepalived's names.
const TABLE: &str = "keepalived";
const PRIORITY: i32 = -1;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const BUFFER: usize = 64 << 10;

/// The table, as far as it is in force.
#[derive(Debug, Default)]
pub struct Firewall {
    open: Option<Open>,
    installed: Option<Ruleset>,
    /// Tables of a dead process that are still to be removed.
    left: BTreeSet<String>,
    /// What went wrong last, which is told once.
    told: Option<String>,
}

#[derive(Debug)]
struct Open {
    socket: NetlinkSocket,
    monitor: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

impl Open {
    fn new() -> Result<Self, NetlinkError> {
        let monitor = runtime::watch(open_subscriber(NlFamily::Netfilter, &[GROUP])?)?;
        let socket = NetlinkSocket::open(NlFamily::Netfilter)?;
        Ok(Self { socket, monitor, buffer: vec![0; BUFFER] })
    }
}

/// An empty table as the configuration wants it.
pub fn ruleset(firewall: &services::Firewall) -> Ruleset {
    Ruleset {
        table: firewall.nftables.clone().unwrap_or_else(|| TABLE.to_owned()),
        priority: firewall.priority.unwrap_or(PRIORITY),
        counters: firewall.counters,
        ..Ruleset::default()
    }
}

/// Refuses traffic of an address; `index` is that of its interface.
pub fn refuse(ruleset: &mut Ruleset, address: IpAddr, index: u32) {
    match address {
        IpAddr::V4(address) => {
            ruleset.inet.insert(address);
        }
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            ruleset.link_local.insert((address, index));
        }
        IpAddr::V6(address) => {
            ruleset.inet6.insert(address);
        }
    }
}

impl Firewall {
    /// A table of a dead process: it goes when [`Self::want`] is told next, unless it is taken over.
    pub fn inherit(&mut self, table: String) {
        self.left.insert(table);
    }

    /// Brings the table into force; nothing is asked of the kernel when it is already. What a dead
    /// process left goes.
    pub fn want(&mut self, wanted: &Ruleset) {
        self.enforce(wanted);
        let taken = self.installed.as_ref().map(|installed| installed.table.clone());
        for table in std::mem::take(&mut self.left) {
            if Some(&table) == taken.as_ref() {
                continue;
            }
            let nothing = Ruleset { table: table.clone(), ..Ruleset::default() };
            let removed = NetlinkSocket::open(NlFamily::Netfilter)
                .and_then(|mut socket| socket.transaction(SUBSYSTEM, nothing.install()));
            match removed {
                Ok(()) => tracing::warn!(
                    "nftables: the table {table} was left by a process that died, it is removed"
                ),
                Err(error) => tracing::error!(
                    "nftables: the table {table} of a process that died cannot be removed: {error}"
                ),
            }
        }
    }

    fn enforce(&mut self, wanted: &Ruleset) {
        let nothing = wanted.is_empty();
        if self.installed.as_ref() == Some(wanted) || (nothing && self.installed.is_none()) {
            return;
        }
        match self.bring_into_force(wanted) {
            Ok(()) => {
                self.told = None;
                self.installed = (!nothing).then(|| wanted.clone());
                if nothing {
                    self.open = None;
                }
            }
            Err(error) => {
                self.installed = None;
                let error = error.to_string();
                if self.told.as_ref() != Some(&error) {
                    tracing::error!(
                        "nftables: {error}; traffic to the virtual addresses is not refused"
                    );
                    self.told = Some(error);
                }
            }
        }
    }

    /// Everything that is refused now and what `wanted` refuses: what an address that is still there
    /// or comes now needs.
    pub fn want_also(&mut self, wanted: &Ruleset) {
        let mut both = wanted.clone();
        if let Some(installed) = &self.installed {
            both.inet.extend(&installed.inet);
            both.inet6.extend(&installed.inet6);
            both.link_local.extend(&installed.link_local);
        }
        self.enforce(&both);
    }

    /// Everything that is in force, and the membership reports of these links too (`links` of IPv4,
    /// `links6` of IPv6, each with the one beneath). For links that are about to come up: their first
    /// report leaves at once. Until [`Self::want`] says otherwise none is let go of, so that the last
    /// report of a link that is being removed is caught as well.
    pub fn want_reports(
        &mut self,
        settings: &services::Firewall,
        links: BTreeMap<u32, u32>,
        links6: BTreeMap<u32, u32>,
    ) {
        let mut wanted = self.installed.clone().unwrap_or_else(|| ruleset(settings));
        wanted.links.extend(links);
        wanted.links6.extend(links6);
        self.enforce(&wanted);
    }

    fn bring_into_force(&mut self, wanted: &Ruleset) -> Result<(), NetlinkError> {
        let open = match &mut self.open {
            Some(open) => open,
            closed @ None => closed.insert(Open::new()?),
        };
        if let Some(before) = &self.installed {
            if let Some(changes) = wanted.change(before)
                && open.socket.transaction(SUBSYSTEM, changes).is_ok()
            {
                return Ok(());
            }
            if before.table != wanted.table {
                let nothing = Ruleset { table: before.table.clone(), ..Ruleset::default() };
                open.socket.transaction(SUBSYSTEM, nothing.install())?;
            }
        }
        open.socket.transaction(SUBSYSTEM, wanted.install())
    }

    /// Waits until another process has changed something in nftables; for ever when nothing of ours
    /// is there. Gives its name.
    pub async fn disturbed(&mut self) -> String {
        let Some(open) = self.open.as_mut().filter(|_| self.installed.is_some()) else {
            return std::future::pending().await;
        };
        let buffer = &mut open.buffer;
        loop {
            let received = open
                .monitor
                .async_io(Interest::READABLE, |socket| receive_from_kernel(socket, buffer))
                .await;
            match received {
                Ok(Some(length)) => {
                    let changer = parse_changer(buffer.get(..length).unwrap_or_default());
                    match changer {
                        Some((process, name)) if process != std::process::id() => return name,
                        Some(_) | None => {}
                    }
                }
                Ok(None) => {}
                // Lost messages, or worse: looking is never wrong.
                Err(_) => {
                    empty(open.monitor.get_ref(), buffer);
                    return "somebody".to_owned();
                }
            }
        }
    }

    /// Puts the table back if it is gone, or its chains, sets or rules are.
    pub fn restore(&mut self, changer: &str) {
        let (Some(open), Some(wanted)) = (&mut self.open, &self.installed) else { return };
        if wanted.is_broken(&mut open.socket) {
            tracing::warn!(
                "nftables: {changer} has removed the table {} or a part of it, it is put back",
                wanted.table
            );
            let wanted = wanted.clone();
            self.installed = None;
            self.want(&wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::core::config::model::services::ReceiveBuffer;
    use crate::core::receive_buffer;

    const LONG: Duration = Duration::from_secs(20);

    async fn after_an_overrun() {
        let mut firewall = Firewall::default();
        let refusing = |last: u8| {
            let mut wanted = ruleset(&services::Firewall::default());
            refuse(&mut wanted, [192, 0, 2, last].into(), 1);
            wanted
        };
        firewall.want(&refusing(0));
        let monitor = firewall.open.as_ref().unwrap().monitor.get_ref();
        let smallest = ReceiveBuffer { bytes: Some(1), force: false };
        receive_buffer::set(monitor, smallest, "a test");
        for change in 1..=u8::MAX {
            firewall.want(&refusing(change));
        }
        let noticed = tokio::time::timeout(LONG, firewall.disturbed()).await;
        assert_eq!(noticed.as_deref(), Ok("somebody"), "messages were lost");
        firewall.restore("somebody");
        let delete = Command::new("nft").args(["delete", "table", "ip", TABLE]).status().unwrap();
        assert!(delete.success());
        let noticed = tokio::time::timeout(LONG, firewall.disturbed()).await;
        assert_eq!(noticed.as_deref(), Ok("nft"), "what happens next is heard");
        firewall.restore("nft");
        let listed = || {
            let list = Command::new("nft").args(["list", "table", "ip", TABLE]).output().unwrap();
            String::from_utf8_lossy(&list.stdout).into_owned()
        };
        let whole = listed();
        assert!(whole.contains("192.0.2.255"), "{whole}");
        for part in [&["flush", "table", "ip", TABLE][..], &["flush", "chain", "ip", TABLE, "out"]]
        {
            assert!(Command::new("nft").args(part).status().unwrap().success());
            assert_ne!(listed(), whole, "{part:?}");
            let noticed = tokio::time::timeout(LONG, firewall.disturbed()).await;
            firewall.restore(&noticed.unwrap());
            assert_eq!(listed(), whole, "{part:?}");
        }
    }

    #[test]
    fn a_buffer_that_runs_over_is_emptied_and_what_comes_afterwards_is_heard() {
        if Command::new("nft").arg("--version").output().is_err() {
            eprintln!("SKIPPED: there is no nft");
            return;
        }
        // A network of its own for this thread; without the right to it there is nothing to see.
        let alone = std::thread::spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                eprintln!("SKIPPED: no network of its own, or not allowed to make one");
                return;
            }
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(after_an_overrun());
        });
        alone.join().unwrap();
    }
}
