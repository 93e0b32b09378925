//! The nftables table that marks packets to the addresses of groups (`nftables_ipvs`), kept in force.

use neli::consts::socket::NlFamily;

use crate::core::config::model::Config;
use crate::core::netlink::NetlinkError;
use crate::core::netlink::nftables::SUBSYSTEM;
use crate::core::netlink::nftables::marking::{Marking, Range};
use crate::core::netlink::socket::NetlinkSocket;

/// Of the chain, when nothing else is written.
const PRIORITY: i32 = -1;

/// The table, as far as it is in force.
#[derive(Debug, Default)]
pub struct Marker {
    socket: Option<NetlinkSocket>,
    installed: Option<Marking>,
    wanted: Marking,
    /// What went wrong last, which is told once.
    told: Option<String>,
}

/// What the configuration wants marked.
pub fn marking<'a>(config: &Config, ranges: impl IntoIterator<Item = &'a Range>) -> Marking {
    let firewall = &config.global.firewall;
    Marking {
        table: firewall.ipvs.clone().unwrap_or_default(),
        priority: firewall.ipvs_priority.unwrap_or(PRIORITY),
        ranges: ranges.into_iter().cloned().collect(),
    }
}

impl Marker {
    /// Brings a table into force, in place of the one before and in one step. A table that a
    /// predecessor has left is replaced in the same way.
    pub fn want(&mut self, wanted: Marking) {
        self.wanted = wanted;
        self.settle();
    }

    /// Puts the table back if somebody has removed it, or tries again what did not work.
    pub fn look(&mut self) {
        if let (Some(socket), Some(installed)) = (&mut self.socket, &self.installed)
            && installed.is_broken(socket)
        {
            let table = &installed.table;
            tracing::warn!(
                "nftables: the table {table} or a part of it was removed, it is put back"
            );
            self.installed = None;
        }
        self.settle();
    }

    /// Removes the table.
    pub fn clear(&mut self) {
        self.want(Marking::default());
    }

    fn settle(&mut self) {
        let nothing = self.wanted.ranges.is_empty();
        let done = self.installed.as_ref().is_some_and(|there| *there == self.wanted);
        if done || (nothing && self.installed.is_none()) {
            return;
        }
        match self.bring_into_force() {
            Ok(()) => {
                self.told = None;
                self.installed = (!nothing).then(|| self.wanted.clone());
            }
            Err(error) => {
                let error = error.to_string();
                if self.told.as_ref() != Some(&error) {
                    tracing::error!("nftables: {error}; packets to groups of services get no mark");
                }
                self.told = Some(error);
            }
        }
    }

    fn bring_into_force(&mut self) -> Result<(), NetlinkError> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            closed @ None => closed.insert(NetlinkSocket::open(NlFamily::Netfilter)?),
        };
        if let Some(before) = &self.installed
            && before.table != self.wanted.table
        {
            let nothing = Marking { table: before.table.clone(), ..Marking::default() };
            socket.transaction(SUBSYSTEM, nothing.install())?;
        }
        if self.wanted.table.is_empty() {
            return Ok(());
        }
        socket.transaction(SUBSYSTEM, self.wanted.install())
    }
}
