//! The sockets of all probes, with the options of a check.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::lack;
use crate::core::config::model::check::Connect;

/// A socket that is not connected yet and never blocks. Its errors are [`lack`]s.
pub fn open(connect: &Connect, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    make(connect, kind, protocol).map_err(lack::mark)
}

fn make(connect: &Connect, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let domain = Domain::for_address(connect.destination);
    let socket = Socket::new(domain, kind.nonblocking(), protocol)?;
    if kind == Type::STREAM {
        // Words are few and short: none waits until the one before it is acknowledged.
        socket.set_tcp_nodelay(true)?;
    }
    let options = &connect.options;
    if options.fwmark != 0 {
        socket.set_mark(options.fwmark)?;
    }
    if let Some(interface) = &options.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if let Some((address, port)) = options.source {
        let any: IpAddr = match connect.destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.set_reuse_address(true)?;
        if kind == Type::STREAM && port == 0 {
            // The port is found when it is known where to: one may do for many servers.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(address.unwrap_or(any), port).into())?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::connect_to;

    #[test]
    fn streams_send_at_once_and_a_source_without_a_port_takes_none_yet() {
        let from = |address: IpAddr| {
            let mut connect = connect_to((address, 9).into());
            connect.options.source = Some((Some(address), 0));
            connect
        };
        let connect = from(Ipv4Addr::LOCALHOST.into());
        let socket = open(&connect, Type::STREAM, None).unwrap();
        assert!(socket.tcp_nodelay().unwrap() && socket.nonblocking().unwrap());
        let bound = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(bound, ([127, 0, 0, 1], 0).into());
        assert!(open(&connect, Type::DGRAM, Some(Protocol::UDP)).unwrap().nonblocking().unwrap());
        let connect = from(Ipv6Addr::LOCALHOST.into());
        let socket = open(&connect, Type::STREAM, None).unwrap();
        let bound = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(bound, (Ipv6Addr::LOCALHOST, 0).into());
    }
}
