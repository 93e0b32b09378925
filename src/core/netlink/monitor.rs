//! What happens to links and addresses, as it happens.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use neli::consts::socket::NlFamily;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::address::{self, KernelAddress};
use super::error::NetlinkError;
use super::link::{self, Link};
use super::message::Messages;
use super::route::{self, KernelRoute};
use super::rule::{self, KernelRule};
use super::socket::{self, join_groups, open_subscriber, receive_from_kernel};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::receive_buffer;
use crate::core::runtime;

const GROUPS: &[u32] = &[libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];
/// Only where something needs them: a router of the Internet has many changes.
const ROUTE_GROUPS: &[u32] = &[libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE];
const RULE_GROUPS: &[u32] = &[RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE];
const RTNLGRP_IPV4_RULE: u32 = 8;
const RTNLGRP_IPV6_RULE: u32 = 19;
const BUFFER: usize = 64 << 10;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelEvent {
    /// A link is new or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone(Link),
    /// An address is new or has changed.
    AddressAdded(KernelAddress),
    /// An address is gone.
    AddressRemoved(KernelAddress),
    /// A route is gone.
    RouteRemoved(KernelRoute),
    /// A rule is gone.
    RuleRemoved(KernelRule),
    /// Events were lost: read everything again.
    Overrun,
}

/// A subscription.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    waiting: VecDeque<KernelEvent>,
}

impl Monitor {
    /// Subscribes. Open it before reading tables, so that nothing falls between.
    pub fn open() -> Result<Self, NetlinkError> {
        let socket = runtime::watch(open_subscriber(NlFamily::Route, GROUPS)?)?;
        Ok(Self { socket, buffer: vec![0; BUFFER], waiting: VecDeque::new() })
    }

    /// Gives it another receive buffer (`vrrp_netlink_monitor_rcv_bufs` and its like).
    pub fn set_receive_buffer(&self, wanted: ReceiveBuffer) {
        receive_buffer::set(self.socket.get_ref(), wanted, "netlink events");
    }

    /// Bytes of its receive buffer.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        receive_buffer::size(self.socket.get_ref())
    }

    /// Subscribes to routes or rules as well; doing it again is fine.
    pub fn watch_routing(&self, routes: bool, rules: bool) -> Result<(), NetlinkError> {
        for (wanted, groups) in [(routes, ROUTE_GROUPS), (rules, RULE_GROUPS)] {
            if wanted {
                join_groups(self.socket.get_ref(), groups)?;
            }
        }
        Ok(())
    }

    /// The next event.
    pub async fn next(&mut self) -> Result<KernelEvent, NetlinkError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            let buffer = &mut self.buffer;
            let received = self
                .socket
                .async_io(Interest::READABLE, |socket| receive_from_kernel(socket, buffer))
                .await;
            match received {
                Ok(Some(length)) => {
                    self.waiting.extend(parse(self.buffer.get(..length).unwrap_or_default()));
                }
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.empty();
                    return Ok(KernelEvent::Overrun);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has already happened, without waiting. An error that is told once only is an overrun
    /// here: both mean that everything has to be read again.
    pub fn try_next(&mut self) -> Option<KernelEvent> {
        while self.waiting.is_empty() {
            match receive_from_kernel(self.socket.get_ref(), &mut self.buffer) {
                Ok(length) => {
                    let bytes = length.and_then(|length| self.buffer.get(..length));
                    self.waiting.extend(parse(bytes.unwrap_or_default()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.empty();
                    return Some(KernelEvent::Overrun);
                }
            }
        }
        self.waiting.pop_front()
    }

    /// After an overrun.
    fn empty(&mut self) {
        self.waiting.clear();
        socket::empty(self.socket.get_ref(), &mut self.buffer);
    }
}

/// The events of one datagram.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = KernelEvent> + '_ {
    Messages(bytes).filter_map(|message| match message.kind {
        libc::RTM_NEWLINK => link::parse(&message).map(KernelEvent::Link),
        libc::RTM_DELLINK => link::parse(&message).map(KernelEvent::LinkGone),
        libc::RTM_NEWADDR => address::parse(&message).map(KernelEvent::AddressAdded),
        libc::RTM_DELADDR => address::parse(&message).map(KernelEvent::AddressRemoved),
        libc::RTM_DELROUTE => route::parse(&message).map(KernelEvent::RouteRemoved),
        libc::RTM_DELRULE => rule::parse(&message).map(KernelEvent::RuleRemoved),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::core::netlink::RouteSocket;
    use crate::core::netlink::message::Builder;

    fn on_a_runtime(run: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run);
    }

    #[test]
    fn messages_that_are_not_from_the_kernel_are_passed_over() {
        use nix::sys::socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, getsockname,
            sendto, socket,
        };
        on_a_runtime(async {
            let mut monitor = Monitor::open().unwrap();
            let descriptor = monitor.socket.get_ref().as_raw_fd();
            let address: NetlinkAddr = getsockname(descriptor).unwrap();
            let family = AddressFamily::Netlink;
            let kind = (SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute);
            let sender = socket(family, kind.0, kind.1, kind.2).unwrap();
            // "The interface with the highest of all numbers is gone."
            let mut gone = [0; 16];
            gone[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
            let forged =
                Builder::new(libc::RTM_DELLINK, 0, &gone).text(libc::IFLA_IFNAME, "forged");
            let bytes = forged.finish(1);
            assert!(parse(&bytes).any(|event| matches!(event, KernelEvent::LinkGone(_))));
            match sendto(sender.as_raw_fd(), &bytes, &address, MsgFlags::empty()) {
                // Not allowed to: then nobody is.
                Err(nix::errno::Errno::EPERM) => {
                    eprintln!("SKIPPED: nobody may send to it");
                    return;
                }
                sent => assert_eq!(sent, Ok(bytes.len())),
            }
            while let Some(event) = monitor.try_next() {
                assert!(!matches!(event, KernelEvent::LinkGone(link) if link.name == "forged"));
            }
        });
    }

    #[test]
    fn a_buffer_that_runs_over_is_told_of_and_what_comes_afterwards_is_heard() {
        use crate::core::config::model::vrrp::VirtualAddress;
        use crate::core::netlink::address::AddressOperation;
        // A network of its own for this thread; without the right to it there is nothing to see.
        let alone = std::thread::spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                eprintln!("SKIPPED: no network of its own, or not allowed to make one");
                return;
            }
            on_a_runtime(async {
                let mut monitor = Monitor::open().unwrap();
                let mut route = RouteSocket::open().unwrap();
                monitor.set_receive_buffer(ReceiveBuffer { bytes: Some(1), force: false });
                let add = |third: u8, last: u8| AddressOperation::Add {
                    index: 1,
                    address: VirtualAddress::new([127, 9, third, last].into(), 32).into(),
                };
                let all: Vec<_> =
                    (0..4).flat_map(|third| (1..=250).map(move |last| (third, last))).collect();
                let results =
                    route.apply(&all.iter().map(|at| add(at.0, at.1)).collect::<Vec<_>>());
                assert!(results.iter().all(Result::is_ok));
                let mut events: Vec<KernelEvent> =
                    std::iter::from_fn(|| monitor.try_next()).collect();
                assert!(events.contains(&KernelEvent::Overrun), "{} events", events.len());
                assert!(events.len() < 1000);
                // The table is the truth, and what happens next is told again.
                assert!(route.addresses().unwrap().len() >= 1000);
                route.apply(&[add(9, 9)]);
                events = std::iter::from_fn(|| monitor.try_next()).collect();
                assert!(matches!(events.as_slice(), [KernelEvent::AddressAdded(_)]), "{events:?}");
            });
        });
        alone.join().unwrap();
    }

    #[test]
    fn both_sockets_have_the_buffers_that_they_are_given() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let monitor = Monitor::open().unwrap();
            let mut route = RouteSocket::open().unwrap();
            let usual = (monitor.receive_buffer().unwrap(), route.receive_buffer().unwrap());
            let wanted = |bytes| ReceiveBuffer { bytes: Some(bytes), force: false };
            monitor.set_receive_buffer(wanted(30_000));
            route.set_receive_buffer(wanted(100_000));
            assert_eq!(monitor.receive_buffer().unwrap(), 30_000);
            assert_eq!(route.receive_buffer().unwrap(), 100_000);
            // However small it is asked for, answers fit.
            route.set_receive_buffer(wanted(1));
            assert_eq!(route.receive_buffer().unwrap(), 64 << 10);
            assert!(!route.links().unwrap().is_empty());
            monitor.set_receive_buffer(ReceiveBuffer::default());
            route.set_receive_buffer(ReceiveBuffer::default());
            let again = (monitor.receive_buffer().unwrap(), route.receive_buffer().unwrap());
            assert_eq!(again, usual);
        });
    }
}
