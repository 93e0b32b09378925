//! Datagrams to and from one server, with the options of a check.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;

use socket2::{Protocol, Type};
use tokio::net::UdpSocket;

use super::{lack, socket};
use crate::core::config::model::check::Connect;

/// A socket connected to the server: only its datagrams arrive, and what ICMP says of ours is an
/// error of the next call.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
}

impl Datagrams {
    /// Connects. Needs a running tokio.
    pub fn open(connect: &Connect, kind: Type, protocol: Protocol) -> io::Result<Self> {
        let socket = socket::open(connect, kind, Some(protocol))?;
        socket.connect(&connect.destination.into())?;
        // Sending and receiving is the same for every kind of datagram, ICMP too.
        let socket = UdpSocket::from_std(socket.into()).map_err(lack::mark)?;
        Ok(Self { socket })
    }

    /// Sends one.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes).await.map(|_| ())
    }

    /// The next one, cut to the buffer's length.
    pub async fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = self.socket.recv(buffer).await?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

/// Bytes that nobody can guess: for what must come back from a server.
pub fn token() -> [u8; 16] {
    // Keyed anew from the system's own randomness in each process, and differently at each call.
    let half = || RandomState::new().build_hasher().finish();
    let mut token = [0; 16];
    for (place, byte) in
        token.iter_mut().zip(half().to_be_bytes().into_iter().chain(half().to_be_bytes()))
    {
        *place = byte;
    }
    token
}
