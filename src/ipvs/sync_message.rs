//! Messages about the connection sync daemons.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{GENL, request};
use super::sync::{SyncRole, SyncSettings};
use crate::core::netlink::message::{
    ACKNOWLEDGED, Attributes, Builder, DUMP, Message, text, u16_at, u32_at,
};

const CMD_NEW_DAEMON: u8 = 9;
const CMD_DEL_DAEMON: u8 = 10;
const CMD_GET_DAEMON: u8 = 11;
const ATTR_DAEMON: u16 = 3;
const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const ID: u16 = 3;
const LONGEST: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
/// In host order, unlike the ports of services.
const PORT: u16 = 7;
const TTL: u16 = 8;
const MASTER: u32 = 1;
const BACKUP: u32 = 2;

const fn state(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => MASTER,
        SyncRole::Backup => BACKUP,
    }
}

/// Begins a daemon.
pub fn start(family: u16, role: SyncRole, how: &SyncSettings) -> Builder {
    let mut message = request(family, CMD_NEW_DAEMON, ACKNOWLEDGED)
        .begin(ATTR_DAEMON)
        .number(STATE, state(role))
        .text(INTERFACE, &how.interface)
        .number(ID, how.id.into());
    if let Some(length) = how.longest_packet {
        message = message.attribute(LONGEST, &length.to_ne_bytes());
    }
    match how.group {
        None => {}
        Some(IpAddr::V4(group)) => message = message.attribute(GROUP, &group.octets()),
        Some(IpAddr::V6(group)) => message = message.attribute(GROUP6, &group.octets()),
    }
    if let Some(port) = how.port {
        message = message.attribute(PORT, &port.to_ne_bytes());
    }
    if let Some(ttl) = how.ttl {
        message = message.attribute(TTL, &[ttl]);
    }
    message.end()
}

/// Ends a daemon.
pub fn stop(family: u16, role: SyncRole) -> Builder {
    let message = request(family, CMD_DEL_DAEMON, ACKNOWLEDGED).begin(ATTR_DAEMON);
    message.number(STATE, state(role)).end()
}

/// Asks for those that run.
pub fn dump(family: u16) -> Builder {
    request(family, CMD_GET_DAEMON, DUMP)
}

/// One that runs.
pub fn parse(message: &Message<'_>) -> Option<(SyncRole, SyncSettings)> {
    if message.body.first() != Some(&CMD_NEW_DAEMON) {
        return None;
    }
    let daemon = Attributes(message.body.get(GENL..)?).find(ATTR_DAEMON)?;
    let find = |kind| Attributes(daemon).find(kind);
    let role = match u32_at(find(STATE)?, 0)? {
        MASTER => SyncRole::Master,
        BACKUP => SyncRole::Backup,
        _ => return None,
    };
    let short = |kind| find(kind).and_then(|value| u16_at(value, 0));
    let group: Option<IpAddr> = match (find(GROUP), find(GROUP6)) {
        (Some(group), _) => {
            <[u8; 4]>::try_from(group).ok().map(|group| Ipv4Addr::from(group).into())
        }
        (None, Some(group)) => {
            <[u8; 16]>::try_from(group).ok().map(|group| Ipv6Addr::from(group).into())
        }
        (None, None) => None,
    };
    let settings = SyncSettings {
        interface: text(find(INTERFACE)?),
        id: u8::try_from(u32_at(find(ID)?, 0)?).ok()?,
        longest_packet: short(LONGEST),
        port: short(PORT),
        ttl: find(TTL).and_then(|value| value.first().copied()),
        group,
    };
    Some((role, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_back() {
        let groups: [IpAddr; 2] = [[224, 0, 0, 81].into(), "ff02::51".parse().unwrap()];
        for (role, group) in [SyncRole::Master, SyncRole::Backup].into_iter().zip(groups) {
            let settings = SyncSettings {
                interface: "eth0".into(),
                id: 51,
                longest_packet: Some(1400),
                port: Some(9000),
                ttl: Some(3),
                group: Some(group),
            };
            let bytes = start(30, role, &settings).finish(1);
            // struct nlmsghdr comes first.
            let message = Message { kind: 30, flags: 0, sequence: 1, body: &bytes[16..] };
            assert_eq!(parse(&message), Some((role, settings)));
            for end in 0..message.body.len() {
                let cut = Message { body: &message.body[..end], ..message };
                let _ = parse(&cut);
            }
        }
    }
}
