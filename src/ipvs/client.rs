//! Talks to the kernel's IPVS.

use std::process::{Command, Stdio};

use neli::consts::socket::NlFamily;

use super::message::{self, Connections};
use super::model::{Destination, DestinationKey, Destinations, Entry, Service, ServiceKey, Table};
use super::plan::Operation;
use super::sync::{Running, SyncRole, SyncSettings};
use super::sync_message;
use crate::core::config::model::global::{IpvsNamespace, LvsTimeouts};
use crate::core::netlink::message::Builder;
use crate::core::netlink::socket::NetlinkSocket;
use crate::core::netlink::{NetlinkError, namespace};

/// Why there is no table to work on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither built in nor loadable.
    #[error("IPVS: the kernel has no IPVS (module ip_vs cannot be loaded)")]
    NoIpvs,
    /// There is no such namespace, or CAP_SYS_ADMIN is missing.
    #[error("IPVS: cannot enter its network namespace: {0}")]
    Namespace(std::io::Error),
    /// CAP_NET_ADMIN is missing, or something else.
    #[error("IPVS: {0}")]
    Netlink(#[from] NetlinkError),
}

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// The kernel refused, or did not answer.
    #[error("IPVS: {0}")]
    Netlink(#[from] NetlinkError),
}

impl IpvsError {
    /// The kernel's errno.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Netlink(error) => error.errno(),
        }
    }
}

/// A table of virtual services: the kernel's, or one in memory.
pub trait IpvsTable {
    /// The services that are there.
    fn services(&mut self) -> Result<Vec<(ServiceKey, Service)>, IpvsError>;
    /// The destinations of one service; none where there is no such service.
    fn destinations(&mut self, service: &ServiceKey) -> Result<Destinations, IpvsError>;
    /// Connections of the destinations of one service.
    fn connections(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Connections)>, IpvsError>;
    /// All that is there.
    fn table(&mut self) -> Result<Table, IpvsError> {
        let mut table = Table::new();
        for (key, service) in self.services()? {
            let destinations = self.destinations(&key)?;
            table.insert(key, Entry { service, destinations });
        }
        Ok(table)
    }
    /// Changes it; one result for each operation, in order.
    fn apply(&mut self, operations: &[Operation]) -> Vec<Result<(), IpvsError>>;
    /// Removes everything, also what is not ours.
    fn flush(&mut self) -> Result<(), IpvsError>;
    /// Sets the timeouts of connections.
    fn set_timeouts(&mut self, timeouts: &LvsTimeouts) -> Result<(), IpvsError>;
}

/// The kernel's table.
#[derive(Debug)]
pub struct Client {
    pub(super) socket: NetlinkSocket,
    pub(super) family: u16,
}

impl Client {
    /// The IPVS of a namespace, else of this one.
    pub fn open_in(namespace: Option<&IpvsNamespace>) -> Result<Self, OpenError> {
        match namespace {
            None => Self::open(),
            Some(other) => namespace::within(other, Self::open).map_err(OpenError::Namespace)?,
        }
    }

    /// Finds IPVS; loads its module if need be and possible.
    pub fn open() -> Result<Self, OpenError> {
        let mut socket = NetlinkSocket::open(NlFamily::Generic)?;
        // Asking makes the kernel load the module, where it may call modprobe.
        if let Some(family) = find_family(&mut socket)? {
            return Ok(Self { socket, family });
        }
        let loaded = Command::new("modprobe")
            .args(["-q", "ip_vs"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match loaded {
            Ok(status) if status.success() => match find_family(&mut socket)? {
                Some(family) => Ok(Self { socket, family }),
                None => Err(OpenError::NoIpvs),
            },
            Ok(_) | Err(_) => Err(OpenError::NoIpvs),
        }
    }

    fn dump_services(&mut self) -> Result<Vec<(ServiceKey, Service)>, IpvsError> {
        let request = message::dump_services(self.family);
        Ok(self.socket.dump(&request, |found| message::parse_service(&found))?)
    }

    fn dump_destinations(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Destination, Connections)>, IpvsError> {
        let request = message::dump_destinations(self.family, service);
        Ok(self.socket.dump(&request, |found| message::parse_destination(&found, service))?)
    }

    /// Version and size of the connection table.
    pub fn info(&mut self) -> Result<(u32, u32), IpvsError> {
        let mut info = None;
        self.socket.request(message::get_info(self.family), |found| {
            info = info.or(message::parse_info(&found));
        })?;
        info.ok_or_else(|| NetlinkError::Malformed("no IPVS version").into())
    }

    /// The sync daemons that run.
    pub fn sync_daemons(&mut self) -> Result<Running, IpvsError> {
        let request = sync_message::dump(self.family);
        let found = self.socket.dump(&request, |found| sync_message::parse(&found))?;
        Ok(found.into_iter().collect())
    }

    /// Begins a sync daemon.
    pub fn start_sync_daemon(
        &mut self,
        role: SyncRole,
        how: &SyncSettings,
    ) -> Result<(), IpvsError> {
        Ok(self.socket.request(sync_message::start(self.family, role, how), |_| {})?)
    }

    /// Ends one.
    pub fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<(), IpvsError> {
        Ok(self.socket.request(sync_message::stop(self.family, role), |_| {})?)
    }

    /// What is said in another way when the kernel has something else than we thought. A service that
    /// is gone is an error: its destinations went with it, and only a new plan brings all back.
    fn second_attempt(operation: &Operation, errno: i32) -> Option<Operation> {
        match (operation, errno) {
            (Operation::AddService { key, service }, libc::EEXIST) => {
                Some(Operation::SetService { key: *key, service: service.clone() })
            }
            (Operation::AddDestination { service, key, destination }, libc::EEXIST) => {
                let (service, key, destination) = (*service, *key, *destination);
                Some(Operation::SetDestination { service, key, destination })
            }
            (Operation::SetDestination { service, key, destination }, libc::ENOENT) => {
                let (service, key, destination) = (*service, *key, *destination);
                Some(Operation::AddDestination { service, key, destination })
            }
            _ => None,
        }
    }
}

fn request(family: u16, operation: &Operation) -> Builder {
    match operation {
        Operation::AddService { key, service } => message::new_service(family, key, service),
        Operation::SetService { key, service } => message::set_service(family, key, service),
        Operation::RemoveService { key } => message::delete_service(family, key),
        Operation::AddDestination { service, key, destination } => {
            message::new_destination(family, service, key, destination)
        }
        Operation::SetDestination { service, key, destination } => {
            message::set_destination(family, service, key, destination)
        }
        Operation::RemoveDestination { service, key } => {
            message::delete_destination(family, service, key)
        }
    }
}

fn find_family(socket: &mut NetlinkSocket) -> Result<Option<u16>, NetlinkError> {
    let mut family = None;
    let asked = socket.request(message::get_family(), |found| {
        family = family.or(message::parse_family(&found));
    });
    match asked {
        Ok(()) => Ok(family),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removing what is not there is what was wanted.
fn is_gone(operation: &Operation, errno: i32) -> bool {
    match operation {
        Operation::RemoveService { .. } | Operation::RemoveDestination { .. } => {
            matches!(errno, libc::ENOENT | libc::ESRCH)
        }
        Operation::AddService { .. }
        | Operation::SetService { .. }
        | Operation::AddDestination { .. }
        | Operation::SetDestination { .. } => false,
    }
}

impl IpvsTable for Client {
    fn services(&mut self) -> Result<Vec<(ServiceKey, Service)>, IpvsError> {
        match self.dump_services() {
            // The module was unloaded and loaded again: it has another number now.
            Err(error) if error.errno() == Some(libc::ENOENT) => {
                self.family = find_family(&mut self.socket)?.unwrap_or(self.family);
                self.dump_services()
            }
            result => result,
        }
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Destinations, IpvsError> {
        let found = self.dump_destinations(service)?;
        Ok(found.into_iter().map(|(key, destination, _)| (key, destination)).collect())
    }

    fn connections(
        &mut self,
        service: &ServiceKey,
    ) -> Result<Vec<(DestinationKey, Connections)>, IpvsError> {
        let found = self.dump_destinations(service)?;
        Ok(found.into_iter().map(|(key, _, connections)| (key, connections)).collect())
    }

    fn apply(&mut self, operations: &[Operation]) -> Vec<Result<(), IpvsError>> {
        let family = self.family;
        let results = self.socket.batch(operations.iter().map(|found| request(family, found)));
        operations
            .iter()
            .zip(results)
            .map(|(operation, result)| {
                let Err(error) = result else { return Ok(()) };
                let errno = error.errno().unwrap_or(0);
                if is_gone(operation, errno) {
                    return Ok(());
                }
                match Self::second_attempt(operation, errno) {
                    Some(second) => {
                        let request = request(family, &second);
                        Ok(self.socket.request(request, |_| {})?)
                    }
                    None => Err(error.into()),
                }
            })
            .collect()
    }

    fn flush(&mut self) -> Result<(), IpvsError> {
        Ok(self.socket.request(message::flush(self.family), |_| {})?)
    }

    fn set_timeouts(&mut self, timeouts: &LvsTimeouts) -> Result<(), IpvsError> {
        Ok(self.socket.request(message::set_timeouts(self.family, timeouts), |_| {})?)
    }
}
