//! A kernel in memory, with the error rules of the real one, for tests of what uses the table.

use std::collections::BTreeMap;

use super::client::{IpvsError, IpvsTable};
use super::message::Connections;
use super::model::{DestinationKey, Destinations, Entry, Service, ServiceKey, Table};
use super::plan::Operation;
use crate::core::config::model::global::LvsTimeouts;
use crate::core::netlink::NetlinkError;

/// A table that remembers what was done to it.
#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    /// Its table.
    pub table: Table,
    /// Every operation so far.
    pub log: Vec<Operation>,
    /// Timeouts, when set.
    pub timeouts: Option<LvsTimeouts>,
    /// How many more dumps fail.
    pub unreadable: u32,
    /// Connections of destinations, whatever their service.
    pub live: BTreeMap<DestinationKey, Connections>,
    /// A service whose every change is refused.
    pub refuse: Option<ServiceKey>,
}

impl IpvsTable for FakeKernel {
    fn services(&mut self) -> Result<Vec<(ServiceKey, Service)>, IpvsError> {
        if let Some(left) = self.unreadable.checked_sub(1) {
            self.unreadable = left;
            return Err(refused(libc::ENOBUFS));
        }
        Ok(self.table.iter().map(|(key, entry)| (*key, entry.service.clone())).collect())
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Destinations, IpvsError> {
        Ok(self.table.get(service).map(|entry| entry.destinations.clone()).unwrap_or_default())
    }

    fn connections(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Connections)>, IpvsError> {
        let destinations = self.destinations(service)?;
        let live = |key| self.live.get(key).copied().unwrap_or_default();
        Ok(destinations.keys().map(|key| (*key, live(key))).collect())
    }

    fn apply(&mut self, operations: &[Operation]) -> Vec<Result<(), IpvsError>> {
        self.log.extend_from_slice(operations);
        operations
            .iter()
            .map(|operation| {
                if self.refuse == Some(operation.service()) {
                    return Err(refused(libc::EBUSY));
                }
                apply(&mut self.table, operation).map_err(refused)
            })
            .collect()
    }

    fn flush(&mut self) -> Result<(), IpvsError> {
        self.table.clear();
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: &LvsTimeouts) -> Result<(), IpvsError> {
        self.timeouts = Some(*timeouts);
        Ok(())
    }
}

fn refused(errno: i32) -> IpvsError {
    NetlinkError::Refused { errno, text: None }.into()
}

/// One operation; the error is the errno that Linux gives.
pub fn apply(table: &mut Table, operation: &Operation) -> Result<(), i32> {
    match operation {
        Operation::AddService { key, service } => {
            if table.contains_key(key) {
                return Err(libc::EEXIST);
            }
            let entry = Entry { service: service.clone(), destinations: BTreeMap::default() };
            table.insert(*key, entry);
        }
        Operation::SetService { key, service } => {
            table.get_mut(key).ok_or(libc::ESRCH)?.service = service.clone();
        }
        Operation::RemoveService { key } => {
            table.remove(key).ok_or(libc::ESRCH)?;
        }
        Operation::AddDestination { service, key, destination } => {
            let entry = table.get_mut(service).ok_or(libc::ESRCH)?;
            if entry.destinations.contains_key(key) {
                return Err(libc::EEXIST);
            }
            entry.destinations.insert(*key, *destination);
        }
        Operation::SetDestination { service, key, destination } => {
            let entry = table.get_mut(service).ok_or(libc::ESRCH)?;
            *entry.destinations.get_mut(key).ok_or(libc::ENOENT)? = *destination;
        }
        Operation::RemoveDestination { service, key } => {
            let entry = table.get_mut(service).ok_or(libc::ESRCH)?;
            entry.destinations.remove(key).ok_or(libc::ENOENT)?;
        }
    }
    Ok(())
}
