//! Servers of HTTP/2: one that does as it should, by the h2 crate, and raw frames for all others.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use super::servers::Server;

pub type Fields = &'static [(&'static str, &'static str)];

/// What a server says to each request.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub status: u16,
    pub header: Fields,
    pub body: &'static [u8],
    /// The stream ends with them; with the body, when there are none.
    pub trailers: Option<Fields>,
    /// The body goes on for ever.
    pub endless: bool,
}

/// A request and its body.
pub type Heard = Arc<Mutex<Vec<(Request<()>, Vec<u8>)>>>;

/// A server that speaks HTTP/2, over TLS if need be.
pub async fn replies(reply: Reply, tls: Option<Arc<SslAcceptor>>) -> (Server, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    let said = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&said);
    let mut server = Server::of(port, async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (notes, counter, tls) = (Arc::clone(&notes), Arc::clone(&counter), tls.clone());
            tokio::spawn(async move {
                let Some(acceptor) = tls else { return speak(stream, reply, notes, counter).await };
                let ssl = Ssl::new(acceptor.context()).unwrap();
                let mut stream = SslStream::new(ssl, stream).unwrap();
                if Pin::new(&mut stream).accept().await.is_ok() {
                    speak(stream, reply, notes, counter).await;
                }
            });
        }
    });
    server.said = said;
    (server, heard)
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: Reply,
    heard: Heard,
    said: Arc<AtomicU64>,
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (heard, said) = (Arc::clone(&heard), Arc::clone(&said));
        tokio::spawn(async move {
            let (parts, mut body) = request.into_parts();
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                bytes.extend_from_slice(&piece);
            }
            heard.lock().unwrap().push((Request::from_parts(parts, ()), bytes));
            // The other side may have had enough.
            let _ = answer(respond, reply, &said).await;
        });
    }
}

async fn answer(
    mut respond: SendResponse<Bytes>,
    reply: Reply,
    said: &AtomicU64,
) -> Result<(), h2::Error> {
    let mut head = Response::builder().status(reply.status).body(()).unwrap();
    head.headers_mut().extend(fields(reply.header));
    let ends = reply.body.is_empty() && reply.trailers.is_none() && !reply.endless;
    let mut stream = respond.send_response(head, ends)?;
    if ends {
        return Ok(());
    }
    stream.send_data(Bytes::from_static(reply.body), reply.trailers.is_none() && !reply.endless)?;
    if reply.endless {
        return flood(stream, said).await;
    }
    match reply.trailers {
        Some(trailers) => stream.send_trailers(fields(trailers)),
        None => Ok(()),
    }
}

async fn flood(mut stream: SendStream<Bytes>, said: &AtomicU64) -> Result<(), h2::Error> {
    loop {
        stream.reserve_capacity(1 << 14);
        let Some(room) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
            return Ok(());
        };
        let room = room?;
        stream.send_data(Bytes::from(vec![b'x'; room]), false)?;
        said.fetch_add(room as u64, Ordering::Relaxed);
    }
}

fn fields(list: Fields) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    list.iter().map(field).collect()
}

/// What a raw server does when it has said its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Hears and says nothing.
    Stays,
    /// Ends what it says, and hears until the other side ends too.
    Closes,
    /// Says this for ever.
    Repeats(&'static [u8]),
}

/// A server that says these bytes to whoever has said something.
pub async fn raw(bytes: Vec<u8>, then: Then) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&said);
    let mut server = Server::of(port, async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut reads, mut writes) = stream.into_split();
            let (bytes, counter) = (bytes.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut heard = [0; 4096];
                let _ = reads.read(&mut heard).await;
                // It hears all along, so that its end is no reset.
                let hears =
                    tokio::spawn(
                        async move { while reads.read(&mut heard).await.unwrap_or(0) > 0 {} },
                    );
                let _ = writes.write_all(&bytes).await;
                match then {
                    Then::Stays => {}
                    Then::Closes => drop(writes),
                    Then::Repeats(piece) => {
                        let many = piece.repeat((8 << 10) / piece.len() + 1);
                        while writes.write_all(&many).await.is_ok() {
                            counter.fetch_add(many.len() as u64, Ordering::Relaxed);
                        }
                    }
                }
                let _ = hears.await;
            });
        }
    });
    server.said = said;
    server
}

/// A frame (RFC 9113 section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as it is, in no table (RFC 7541 section 6.2.2); name and value are shorter than 127 bytes.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    };
    [vec![0], text(name), text(value)].concat()
}
