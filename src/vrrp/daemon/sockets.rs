//! Adverts and announcements on their way in and out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Arrived, Daemon, EVENTS_AT_ONCE, LOOK, OpenSocket, RETRY_LIMIT, interface_id};
use crate::core::config::model::services::ReceiveBuffer;
use crate::core::config::model::vrrp::Transport;
use crate::core::runtime;
use crate::core::time::Interval;
use crate::vrrp::desired::DesiredAddress;
use crate::vrrp::engine::Input;
use crate::vrrp::engine::ReceivedPacket;
use crate::vrrp::engine::SocketName;
use crate::vrrp::engine::Transmit;
use crate::vrrp::packet::arp;
use crate::vrrp::packet::ndp;
use crate::vrrp::socket::AdvertSocket;
use crate::vrrp::socket::Datagram;
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
                match self.open_socket(name.clone(), interface.clone()) {
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

    pub(super) fn open_socket(
        &self,
        name: SocketName,
        interface: Option<InterfaceId>,
    ) -> std::io::Result<OpenSocket> {
        let socket = Arc::new(AdvertSocket::open(&name, interface.as_ref())?);
        let reader = Arc::clone(&socket);
        let packets = self.packets.clone();
        let reader = tokio::spawn(async move {
            loop {
                match reader.receive(LOOK).await {
                    Ok(arrived) => {
                        if packets.send((name.clone(), arrived)).await.is_err() {
                            return;
                        }
                    }
                    // ENETDOWN and the like: the link event says what happened.
                    Err(error) => {
                        tracing::debug!("receiving on {:?}: {error}", name.interface);
                        tokio::time::sleep(Interval::from_millis(50).to_duration()).await;
                    }
                }
            }
        });
        Ok(OpenSocket { interface, socket, buffer: ReceiveBuffer::default(), reader })
    }

    pub(super) fn handle_packets(&mut self, (name, arrived): Arrived) {
        self.tell_time();
        for datagram in arrived {
            let at = datagram.arrived;
            let packet = ReceivedPacket {
                interface: name.interface.clone(),
                sealed: name.authenticated.then_some(datagram.id),
                source: datagram.source,
                destination: datagram.destination,
                ttl: datagram.ttl,
                payload: datagram.payload,
            };
            self.engine.handle(at, Input::Packet(packet));
        }
    }

    /// What the readers have already taken in.
    pub(super) fn drain_packets(&mut self) {
        for _ in 0..EVENTS_AT_ONCE / LOOK {
            let Ok(arrived) = self.packet_inbox.try_recv() else { return };
            self.handle_packets(arrived);
        }
    }

    /// Takes in what has arrived, but no more than a bounded number from each socket.
    pub(super) fn sweep_sockets(&mut self) {
        self.drain_packets();
        let mut all = Vec::new();
        for (name, open) in &self.sockets {
            let arrived = std::iter::from_fn(|| open.socket.try_receive());
            let arrived: Vec<Datagram> = arrived.take(EVENTS_AT_ONCE).collect();
            if !arrived.is_empty() {
                all.push((name.clone(), arrived));
            }
        }
        for arrived in all {
            self.handle_packets(arrived);
        }
    }

    pub(super) fn transmit(&mut self, advert: &Transmit) {
        let Some(open) = self.sockets.get(&advert.socket) else {
            tracing::debug!("no socket for an advert of {}", advert.instance.name);
            return;
        };
        let (source, destination) = (advert.source, advert.destination);
        let sent = open.socket.send(source, destination, advert.ttl, advert.id, &advert.payload);
        let name = &advert.instance.name;
        match sent {
            Ok(()) => {
                if let Some(count) = self.unsent.sent(name) {
                    tracing::info!("({name}) adverts leave again, {count} could not be sent");
                }
            }
            Err(error) => {
                if self.unsent.refused(runtime::now(), name, error.to_string()) {
                    tracing::warn!("({name}) cannot send an advert to {destination}: {error}");
                }
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
