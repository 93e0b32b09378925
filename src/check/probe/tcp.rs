//! `TCP_CHECK`: the connection succeeds within its time.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use socket2::Type;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::{failure, lack, socket};
use crate::check::engine::Outcome;
use crate::core::config::model::check::Connect;

const CHUNK: usize = 16 << 10;

/// What a connection, or the lack of one, says of a server.
pub fn outcome(connected: &io::Result<()>, server: &str) -> Outcome {
    match connected {
        Ok(()) => success(server),
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
        Err(error) => lack::unasked(error).unwrap_or_else(|| {
            let how = if error.kind() == io::ErrorKind::TimedOut { "timeout" } else { "failed" };
            let text = format!("TCP connection to {server} {how}.");
            failure(text, Some(error.to_string()))
        }),
    }
}

fn success(server: &str) -> Outcome {
    Outcome::Success {
        text: format!("TCP connection to {server} success."),
        weight: None,
        warning: None,
    }
}

/// What a connection fails with that is not there in time.
pub fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "timeout")
}

/// Connects with the options of a check.
pub async fn open(connect: &Connect) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(socket::open(connect, Type::STREAM, None)?.into());
    let connecting = socket.connect(connect.destination);
    match tokio::time::timeout(connect.timeout.to_duration(), connecting).await {
        Ok(result) => result,
        Err(_) => Err(late()),
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
