//! The nftables table that keeps traffic from virtual addresses that are not accepted for
//! (`no_accept`, strict mode), and membership reports of virtual MACs on their way.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use neli::consts::socket::NlFamily;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::core::config::model::services;
use crate::core::netlink::NetlinkError;
use crate::core::netlink::nftables::{Ruleset, SUBSYSTEM, TableFamily, find_table, parse_changer};
use crate::core::netlink::socket::{NetlinkSocket, open_subscriber, receive_from_kernel};
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
    /// What went wrong last, which is told once.
    told: Option<String>,
}

#[derive(Debug)]
struct Open {
    socket: NetlinkSocket,
    monitor: AsyncFd<OwnedFd>,
}

impl Open {
    fn new() -> Result<Self, NetlinkError> {
        let monitor = runtime::watch(open_subscriber(NlFamily::Netfilter, &[GROUP])?)?;
        Ok(Self { socket: NetlinkSocket::open(NlFamily::Netfilter)?, monitor })
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
    /// Brings the table into force; nothing is asked of the kernel when it is already.
    pub fn want(&mut self, wanted: &Ruleset) {
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
        self.want(&both);
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
    pub async fn disturbed(&self) -> String {
        let Some(open) = self.open.as_ref().filter(|_| self.installed.is_some()) else {
            return std::future::pending().await;
        };
        let mut buffer = vec![0; BUFFER];
        loop {
            let received = open
                .monitor
                .async_io(Interest::READABLE, |socket| receive_from_kernel(socket, &mut buffer))
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
                Err(_) => return "somebody".to_owned(),
            }
        }
    }

    /// Puts the table back if it is gone.
    pub fn restore(&mut self, changer: &str) {
        let (Some(open), Some(wanted)) = (&mut self.open, &self.installed) else { return };
        let gone =
            TableFamily::ALL.into_iter().filter(|family| wanted.has(*family)).any(|family| {
                let found = open.socket.request(find_table(family, &wanted.table), |_| {});
                found.is_err_and(|error| error.errno() == Some(libc::ENOENT))
            });
        if gone {
            tracing::warn!(
                "nftables: {changer} has removed the table {}, it is put back",
                wanted.table
            );
            let wanted = wanted.clone();
            self.installed = None;
            self.want(&wanted);
        }
    }
}
