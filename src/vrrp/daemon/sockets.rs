//! Adverts and announcements on their way in and out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::{Daemon, OpenSocket, PACKETS_AT_ONCE, RETRY_LIMIT, interface_id};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::config::model::vrrp::Transport;
use crate::core::runtime;
use crate::vrrp::desired::DesiredAddress;
use crate::vrrp::engine::Input;
use crate::vrrp::engine::SocketName;
use crate::vrrp::engine::Transmit;
use crate::vrrp::packet::arp;
use crate::vrrp::packet::ndp;
use crate::vrrp::socket::AdvertSocket;
use crate::vrrp::socket::Frame;
use crate::vrrp::socket::InterfaceId;
use crate::vrrp::socket::Room;

/// What a frame is called, and what it announces.
type Announced = (&'static str, DesiredAddress);

impl Daemon<'_> {
    pub(super) fn open_sockets(&mut self) {
        let mut wanted: BTreeMap<SocketName, (BTreeSet<IpAddr>, Room)> = BTreeMap::new();
        let defaults = &self.config.global.vrrp;
        for instance in &self.config.vrrp.instances {
            let (groups, room) = wanted.entry(SocketName::of(instance)).or_default();
            let mut links = self.links.values();
            room.add(instance, defaults, || {
                let name = instance.advert_interface()?;
                links.find(|link| link.name == name).map(|link| link.mtu)
            });
            match &instance.transport {
                Transport::Multicast { group } => {
                    groups.insert(*group);
                }
                Transport::Unicast { .. } => {}
            }
        }
        let mut deaf = BTreeSet::new();
        let links = &self.links;
        self.sockets.retain(|name, open| {
            let current = name.interface.as_ref().and_then(|name| interface_id(links, name));
            wanted.contains_key(name) && open.interface == current
        });
        let tokens: BTreeSet<u64> = self.sockets.values().map(|open| open.token).collect();
        self.names.retain(|token, _| tokens.contains(token));
        for (name, (groups, room)) in wanted {
            let interface = match &name.interface {
                None => None,
                Some(name) => match interface_id(&self.links, name) {
                    Some(interface) => Some(interface),
                    // It may come later; the instance is in FAULT until then.
                    None => continue,
                },
            };
            if !self.sockets.contains_key(&name) {
                match self.open_socket(&name, interface.clone()) {
                    Ok(open) => {
                        self.sockets.insert(name.clone(), open);
                    }
                    Err(error) => {
                        if self.deaf_until.is_none() {
                            tracing::error!(
                                "cannot open a VRRP socket on {:?}: {error}",
                                name.interface
                            );
                        }
                        deaf.insert(name);
                        continue;
                    }
                }
            }
            let buffer = room.buffer();
            if let Some(open) = self.sockets.get_mut(&name).filter(|open| open.buffer != buffer) {
                open.socket.set_receive_buffer(buffer);
                open.buffer = buffer;
            }
            let (Some(open), Some(interface)) = (self.sockets.get(&name), &interface) else {
                continue;
            };
            for group in groups {
                if let Err(error) = open.socket.join(group, interface) {
                    tracing::error!("cannot join {group} on {}: {error}", interface.name);
                }
            }
        }
        self.deaf_until = (!deaf.is_empty()).then(|| runtime::now() + RETRY_LIMIT);
        self.engine.handle(runtime::now(), Input::Deaf(deaf));
    }

    fn open_socket(
        &mut self,
        name: &SocketName,
        interface: Option<InterfaceId>,
    ) -> io::Result<OpenSocket> {
        let socket = AdvertSocket::open(name, interface.as_ref())?;
        self.last_token += 1;
        let token = self.last_token;
        self.listener.add(&socket, token)?;
        self.names.insert(token, name.clone());
        Ok(OpenSocket { interface, socket, buffer: ReceiveBuffer::default(), token })
    }

    /// Takes in what has arrived, but no more than a bounded number from each socket: what then is
    /// left in some, is [`Self::unread`] for the next time.
    pub(super) fn sweep_sockets(&mut self) {
        self.listener.look(&mut self.unread);
        if self.unread.is_empty() {
            return;
        }
        self.tell_time();
        let mut tokens = std::mem::take(&mut self.unread);
        tokens.sort_unstable();
        tokens.dedup();
        tokens.retain(|token| self.read_socket(*token));
        self.unread = tokens;
    }

    /// Gives whether there may be more.
    fn read_socket(&mut self, token: u64) -> bool {
        let Some(name) = self.names.get(&token) else { return false };
        let Some(open) = self.sockets.get(name).filter(|open| open.token == token) else {
            return false;
        };
        let (engine, packet) = (&mut self.engine, &mut self.packet);
        packet.interface.clone_from(&name.interface);
        open.socket.receive(&mut self.space, PACKETS_AT_ONCE, &mut |datagram| {
            packet.sealed = name.authenticated.then_some(datagram.id);
            packet.source = datagram.source;
            packet.destination = datagram.destination;
            packet.ttl = datagram.ttl;
            packet.payload.clear();
            packet.payload.extend_from_slice(datagram.payload);
            engine.receive(datagram.arrived, packet);
        })
    }

    /// Sends adverts of one socket.
    pub(super) fn transmit(&mut self, adverts: &[Transmit]) {
        let Some(first) = adverts.first() else { return };
        let Some(open) = self.sockets.get(&first.socket) else {
            tracing::debug!("no socket for adverts of {}", first.instance.name);
            return;
        };
        let mut refused: BTreeMap<_, _> = open.socket.send(adverts).into_iter().collect();
        if refused.is_empty() && self.unsent.is_empty() {
            return;
        }
        for (place, advert) in adverts.iter().enumerate() {
            let (name, destination) = (&advert.instance.name, advert.destination);
            if let Some(error) = refused.remove(&place) {
                if self.unsent.refused(runtime::now(), name, error.to_string()) {
                    tracing::warn!("({name}) cannot send an advert to {destination}: {error}");
                }
            } else if let Some(count) = self.unsent.sent(name) {
                tracing::info!("({name}) adverts leave again, {count} could not be sent");
            }
        }
    }

    /// The frame that announces an address, and what it is called. `routers` remembers which links
    /// forward IPv6.
    fn announcement(
        &self,
        address: &DesiredAddress,
        routers: &mut BTreeMap<u32, bool>,
    ) -> Option<(Frame, &'static str)> {
        let link = self.links.values().find(|link| link.name == *address.interface)?;
        let (interface, mac) = (NonZeroU32::new(link.index)?, link.mac.filter(|_| link.has_arp())?);
        let (bytes, what) = match address.address.address {
            IpAddr::V4(address) => (arp::gratuitous(mac, address), "gratuitous ARP"),
            IpAddr::V6(address) => {
                let forwards = || runtime::forwards_ipv6(&link.name);
                let router = *routers.entry(link.index).or_insert_with(forwards);
                (ndp::unsolicited(mac, address, router), "unsolicited Neighbour Advert")
            }
        };
        Some((Frame { interface, bytes }, what))
    }

    /// The frames that announce addresses, in order, and what each is.
    pub(super) fn announcements(
        &self,
        addresses: impl IntoIterator<Item = DesiredAddress>,
    ) -> (Vec<Frame>, Vec<Announced>) {
        let mut routers = BTreeMap::new();
        addresses
            .into_iter()
            .filter_map(|address| {
                let (frame, what) = self.announcement(&address, &mut routers)?;
                Some((frame, (what, address)))
            })
            .unzip()
    }

    /// Announces addresses, in order.
    pub(super) fn announce(&self, addresses: &mut Vec<DesiredAddress>) {
        let (frames, what) = self.announcements(addresses.drain(..));
        tell_announced(&what, self.frames.send(&frames));
    }
}

/// What was announced, and which of it the kernel has refused.
pub(super) fn tell_announced(what: &[Announced], refused: Vec<(usize, io::Error)>) {
    let mut refused: BTreeMap<usize, io::Error> = refused.into_iter().collect();
    for (place, (what, DesiredAddress { interface, address })) in what.iter().enumerate() {
        match refused.remove(&place) {
            None => tracing::debug!("Sending {what} on {interface} for {}", address.address),
            Some(error) => tracing::warn!("cannot send {what} on {interface}: {error}"),
        }
    }
}
