//! `TCP_CHECK`: the connection succeeds within its time.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::failure;
use crate::check::engine::Outcome;
use crate::core::config::model::check::Connect;

const CHUNK: usize = 16 << 10;

/// Asks.
pub async fn probe(connect: &Connect, server: &str) -> Outcome {
    match open(connect).await {
        Ok(_) => success(server),
        // Only what was connected can be reset: the verdict must not depend on who was quicker, the
        // server's reset or our look at the connection. A port that nobody listens on refuses.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
        {
            success(server)
        }
        Err(error) => {
            let how = if error.kind() == io::ErrorKind::TimedOut { "timeout" } else { "failed" };
            let text = format!("TCP connection to {server} {how}.");
            failure(text, Some(error.to_string()))
        }
    }
}

fn success(server: &str) -> Outcome {
    Outcome::Success {
        text: format!("TCP connection to {server} success."),
        weight: None,
        warning: None,
    }
}

/// Connects with the options of a check.
pub async fn open(connect: &Connect) -> io::Result<TcpStream> {
    let socket = match connect.destination {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let options = SockRef::from(&socket);
    if connect.fwmark != 0 {
        options.set_mark(connect.fwmark)?;
    }
    if let Some(interface) = &connect.interface {
        options.bind_device(Some(interface.as_bytes()))?;
    }
    if let Some((address, port)) = connect.source {
        let any: IpAddr = match connect.destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(address.unwrap_or(any), port))?;
    }
    let connecting = socket.connect(connect.destination);
    match tokio::time::timeout(connect.timeout.to_duration(), connecting).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "timeout")),
    }
}

/// Has `take` look at the next bytes that come; at none when the other side has ended. They are in
/// nobody's memory before or after: thousands of probes wait at a time.
pub async fn receive<T>(
    stream: &mut (impl AsyncRead + Unpin),
    take: impl FnOnce(&[u8]) -> T,
) -> io::Result<T> {
    let mut take = Some(take);
    poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); CHUNK];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Poll::Ready(match take.take() {
            Some(take) => Ok(take(buffer.filled())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};

    #[test]
    fn a_connection_that_is_reset_at_once_was_one() {
        block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let connect = connect_to(listener.local_addr().unwrap());
            let mut asking = std::pin::pin!(probe(&connect, "S"));
            // Connected, and reset before this side looks.
            let resets = async {
                let (stream, _) = listener.accept().unwrap();
                SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            };
            let outcome = tokio::select! {
                biased;
                outcome = &mut asking => outcome,
                () = resets => asking.await,
            };
            assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        });
    }

    #[test]
    fn a_listening_port_succeeds_and_a_closed_one_fails() {
        block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let outcome = probe(&connect_to(address), "[127.0.0.1]:tcp:1").await;
            assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
            drop(listener);
            let outcome = probe(&connect_to(address), "[127.0.0.1]:tcp:1").await;
            assert!(matches!(outcome, Outcome::Failure { .. }), "{outcome:?}");
        });
    }
}
