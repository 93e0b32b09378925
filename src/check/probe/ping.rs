//! `PING_CHECK`: an echo comes back.
//!
//! A ping socket where the system allows one to our group, else a raw socket: unlike keepalived we
//! leave the system's `ping_group_range` as it is.

use std::io;
use std::net::SocketAddr;

use socket2::{Protocol, Type};

use super::datagram::{Datagrams, token};
use super::echo::{self, Message};
use super::{failure, lack};
use crate::check::engine::Outcome;
use crate::check::event::Names;
use crate::core::config::model::Family;
use crate::core::config::model::check::Connect;

/// An IPv4 header with options, and our message; what is longer is not ours.
const BUFFER: usize = 256;

/// Asks.
pub async fn probe(connect: &Connect, names: &Names) -> Outcome {
    let Names { server, service } = names;
    let limit = connect.timeout.to_duration();
    match tokio::time::timeout(limit, exchange(connect)).await {
        Ok(Ok(())) => Outcome::Success {
            text: format!("ICMP connection to {server} success."),
            weight: None,
            warning: None,
        },
        Ok(Err(error)) => lack::unasked(&error).unwrap_or_else(|| {
            let text = format!("ICMP connection to {server} of {service} failed.");
            failure(text, Some(error.to_string()))
        }),
        Err(_) => failure(format!("ICMP connection to address {server} timeout."), None),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The kernel sorts the replies.
    Ping,
    /// Every ICMP message of the server comes, over IPv4 with its IP header.
    Raw,
}

async fn exchange(connect: &Connect) -> io::Result<()> {
    // A port means nothing here, and a ping socket would take one for its identifier.
    let destination = SocketAddr::new(connect.destination.ip(), 0);
    let mut connect = Connect { destination, ..connect.clone() };
    if let Some((address, _)) = connect.options.source {
        connect.options.source = Some((address, 0));
    }
    let (family, protocol) = match destination {
        SocketAddr::V4(_) => (Family::Inet, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Family::Inet6, Protocol::ICMPV6),
    };
    let (socket, kind) = match Datagrams::open(&connect, Type::DGRAM, protocol) {
        Ok(socket) => (socket, Kind::Ping),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (Datagrams::open(&connect, Type::RAW, protocol)?, Kind::Raw)
        }
        Err(error) => return Err(error),
    };
    let token = token();
    let [high, low, ..] = token;
    socket.send(&echo::request(family, u16::from_be_bytes([high, low]), &token)).await?;
    let mut buffer = [0; BUFFER];
    loop {
        let packet = socket.receive(&mut buffer).await?;
        let message = match (kind, family) {
            (Kind::Raw, Family::Inet) => echo::without_ipv4_header(packet).unwrap_or_default(),
            (Kind::Raw, Family::Inet6) | (Kind::Ping, _) => packet,
        };
        match echo::judge(family, message, &token) {
            Message::Reply => return Ok(()),
            Message::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};

    fn ask(address: &str) -> Outcome {
        let connect = connect_to(address.parse().unwrap());
        let names = Names { server: "S".into(), service: "V".into() };
        block_on(probe(&connect, &names))
    }

    /// Whether this process may ping at all.
    fn allowed() -> bool {
        let may = block_on(async { exchange(&connect_to(([127, 0, 0, 1], 0).into())).await });
        match may {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("SKIPPED: no ping socket and no raw socket for this user");
                false
            }
            Ok(()) | Err(_) => true,
        }
    }

    #[test]
    fn the_own_host_answers() {
        if allowed() {
            let outcome = ask("127.0.0.1:7");
            let text = "ICMP connection to S success.".to_owned();
            assert_eq!(outcome, Outcome::Success { text, weight: None, warning: None });
        }
    }

    #[test]
    fn the_own_host_answers_over_ipv6_where_there_is_any() {
        if allowed() && std::net::UdpSocket::bind("[::1]:0").is_ok() {
            let outcome = ask("[::1]:7");
            assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        }
    }

    #[test]
    fn an_address_that_nobody_reaches_fails_with_a_cause() {
        if allowed() {
            // A group address answers to nobody, and a socket without broadcast cannot ask it.
            let outcome = ask("255.255.255.255:0");
            let Outcome::Failure { text, cause } = outcome else { panic!("{outcome:?}") };
            assert_eq!(text, "ICMP connection to S of V failed.");
            assert!(cause.is_some());
        }
    }
}
