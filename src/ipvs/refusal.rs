//! What the kernel's refusals mean, in words for who reads the log: the kernel itself gives a number
//! and nothing more (its explanation, if any, is in its own log).

use std::collections::BTreeSet;
use std::fmt;

use super::client::IpvsError;
use super::model::{DestinationKey, ServiceKey};
use super::plan::Operation;
use crate::core::config::model::Family;

impl fmt::Display for ServiceKey {
    /// As ipvsadm has it: `TCP 10.0.0.1:80`, `UDP [2001:db8::1]:53`, `FWM 5 IPv6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port, protocol } => {
                let place = std::net::SocketAddr::new(*address, *port);
                match protocol {
                    6 => write!(f, "TCP {place}"),
                    17 => write!(f, "UDP {place}"),
                    132 => write!(f, "SCTP {place}"),
                    other => write!(f, "protocol {other} {place}"),
                }
            }
            Self::Fwmark { mark, family } => match family {
                Family::Inet => write!(f, "FWM {mark}"),
                Family::Inet6 => write!(f, "FWM {mark} IPv6"),
            },
        }
    }
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::net::SocketAddr::new(self.address, self.port))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService { key, .. } => write!(f, "adding service {key}"),
            Self::SetService { key, .. } => write!(f, "changing service {key}"),
            Self::RemoveService { key } => write!(f, "removing service {key}"),
            Self::AddDestination { service, key, .. } => {
                write!(f, "adding server {key} to {service}")
            }
            Self::SetDestination { service, key, .. } => {
                write!(f, "changing server {key} of {service}")
            }
            Self::RemoveDestination { service, key } => {
                write!(f, "removing server {key} from {service}")
            }
        }
    }
}

/// What was refused, one line each. Servers of a service that could not be made are not told one
/// by one: there is nothing to put them into. `missing` are such services, of earlier operations too.
pub fn lines(
    operations: &[Operation],
    results: &[Result<(), IpvsError>],
    missing: &mut BTreeSet<ServiceKey>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (operation, result) in operations.iter().zip(results) {
        let Err(error) = result else { continue };
        if let Operation::AddService { key, .. } = operation {
            missing.insert(*key);
        } else if error.errno() == Some(libc::ESRCH) && missing.contains(&operation.service()) {
            continue;
        }
        let why = meaning(operation, error.errno().unwrap_or(0));
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(format!("{error}, {operation}{why}"));
    }
    lines
}

/// What the number means for this operation, where that is known.
fn meaning(operation: &Operation, errno: i32) -> Option<String> {
    match (operation, errno) {
        (
            Operation::AddService { service, .. } | Operation::SetService { service, .. },
            libc::ENOENT,
        ) => {
            let engine = service.persistence_engine.as_ref();
            let engine = engine.map(|name| format!(", or no persistence engine ip_vs_pe_{name}"));
            Some(format!(
                "the kernel has no scheduler {0} (module ip_vs_{0}){1}",
                service.scheduler,
                engine.unwrap_or_default()
            ))
        }
        (_, libc::EAFNOSUPPORT) => Some("this kernel's IPVS has no IPv6".to_owned()),
        (_, libc::EPERM) => Some("the capability CAP_NET_ADMIN is missing".to_owned()),
        (
            Operation::AddDestination { service, key, .. }
            | Operation::SetDestination { service, key, .. },
            libc::EINVAL,
        ) => Some(if service.family() == Family::of(key.address) {
            "the address cannot be that of a server, or the kernel does not know the tunnel type"
                .to_owned()
        } else {
            "a server of the other family needs a tunnel, and no sync daemon".to_owned()
        }),
        (Operation::AddDestination { .. } | Operation::SetDestination { .. }, libc::ERANGE) => {
            Some("lthreshold is above uthreshold".to_owned())
        }
        (
            Operation::AddService { .. }
            | Operation::SetService { .. }
            | Operation::RemoveService { .. }
            | Operation::AddDestination { .. }
            | Operation::SetDestination { .. }
            | Operation::RemoveDestination { .. },
            _,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::netlink::NetlinkError;
    use crate::ipvs::model::{Destination, Service};

    fn refused(errno: i32) -> Result<(), IpvsError> {
        Err(NetlinkError::Refused { errno, text: None }.into())
    }

    fn service() -> Service {
        Service {
            scheduler: "wlx".into(),
            scheduler_flags: 0,
            one_packet: false,
            persistence: None,
            netmask: 32,
            persistence_engine: None,
        }
    }

    const DESTINATION: Destination =
        Destination { forwarding: None, weight: 1, upper_threshold: 0, lower_threshold: 0 };

    #[test]
    fn a_service_that_cannot_be_made_is_told_once_whatever_its_servers() {
        let key = ServiceKey::Address { address: [10, 0, 0, 1].into(), port: 80, protocol: 6 };
        let server = |last| Operation::AddDestination {
            service: key,
            key: DestinationKey { address: [10, 1, 0, last].into(), port: 80 },
            destination: DESTINATION,
        };
        let operations = [Operation::AddService { key, service: service() }, server(1), server(2)];
        let results = [refused(libc::ENOENT), refused(libc::ESRCH), refused(libc::ESRCH)];
        assert_eq!(
            lines(&operations, &results, &mut BTreeSet::new()),
            ["IPVS: No such file or directory (os error 2), adding service TCP 10.0.0.1:80: \
              the kernel has no scheduler wlx (module ip_vs_wlx)"]
        );
        let mut missing = BTreeSet::new();
        assert_eq!(lines(&operations[..1], &results[..1], &mut missing).len(), 1);
        assert!(lines(&operations[1..], &results[1..], &mut missing).is_empty(), "said before");
        // Without that, a missing service is worth a line.
        assert_eq!(
            lines(&operations[1..2], &results[1..2], &mut BTreeSet::new()),
            ["IPVS: No such process (os error 3), adding server 10.1.0.1:80 to TCP 10.0.0.1:80"]
        );
    }

    #[test]
    fn names_are_those_of_ipvsadm() {
        let mark = ServiceKey::Fwmark { mark: 5, family: Family::Inet6 };
        let address = std::net::Ipv6Addr::LOCALHOST.into();
        let udp = ServiceKey::Address { address, port: 53, protocol: 17 };
        assert_eq!(format!("{mark}, {udp}"), "FWM 5 IPv6, UDP [::1]:53");
        let server = DestinationKey { address, port: 53 };
        let operation = Operation::RemoveDestination { service: udp, key: server };
        assert_eq!(operation.to_string(), "removing server [::1]:53 from UDP [::1]:53");
        let add =
            Operation::AddDestination { service: mark, key: server, destination: DESTINATION };
        assert_eq!(
            lines(&[add], &[refused(libc::EINVAL)], &mut BTreeSet::new()),
            ["IPVS: Invalid argument (os error 22), adding server [::1]:53 to FWM 5 IPv6: the \
              address cannot be that of a server, or the kernel does not know the tunnel type"]
        );
    }
}
