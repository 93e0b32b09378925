//! HTTP/2 (RFC 9113) of checks: one connection, one request, one answer, without a task of its own.
//!
//! What a server may do to its client is bounded: a header has at most 64 KiB, nothing is pushed,
//! the body is taken piece by piece within the windows of flow control, and the caller says how many
//! bytes there may be in all. The time is the caller's too.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, SendRequest};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Names and values of a header together, and as much for each of them as RFC 9113 section 6.5.2 has.
const LONGEST_HEADER: u32 = 64 << 10;
/// Of a server's last words, characters.
const SHOWN: usize = 60;
/// A frame's header; its fourth byte is the type.
const FRAME_HEADER: usize = 9;
/// The type of the frame that must be the first.
const SETTINGS: u8 = 4;

/// What comes, in this order.
#[derive(Debug)]
pub enum Part<'a> {
    /// Status and header.
    Head {
        /// They.
        head: &'a Response<()>,
        /// Nothing follows.
        ends: bool,
    },
    /// Some of the body.
    Data(&'a [u8]),
    /// The end, with trailers if there are any.
    End(Option<&'a HeaderMap>),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure<F> {
    /// The server did not come to its end, in words.
    Broken(String),
    /// The caller does not want what came.
    Unfit(F),
}

/// The beginning of a request. Path and authority are of a checked configuration.
pub fn request(
    method: Method,
    scheme: Scheme,
    authority: &str,
    path: &str,
) -> Result<Request<()>, http::Error> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(Authority::try_from(authority)?);
    parts.path_and_query = Some(PathAndQuery::try_from(path)?);
    Request::builder().method(method).uri(Uri::from_parts(parts)?).body(())
}

/// What HTTP/2 is spoken over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Sends a request and has `take` look at what comes; at most `most` bytes of any kind.
pub async fn ask<F>(
    stream: &mut dyn Stream,
    request: Request<()>,
    body: Bytes,
    most: u64,
    take: impl FnMut(Part<'_>) -> Result<(), F>,
) -> Result<(), Failure<F>> {
    let mut wire = Wire { stream, beginning: Vec::new(), count: 0, most, trouble: None };
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(LONGEST_HEADER);
    let (sender, mut connection) = match builder.handshake(&mut wire).await {
        Ok(both) => both,
        Err(error) => return Err(Failure::Broken(error.to_string())),
    };
    let mut seen = false;
    let mut ended = None;
    let result = {
        let mut exchange = pin!(exchange(sender, request, body, &mut seen, take));
        poll_fn(|context| {
            // The request first: an answer that is there already must find it sent.
            if let Poll::Ready(result) = exchange.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if ended.is_none()
                && let Poll::Ready(end) = Pin::new(&mut connection).poll(context)
            {
                ended = Some(end.err());
            }
            match exchange.as_mut().poll(context) {
                // Nobody would wake this up.
                Poll::Pending if ended.is_some() => Poll::Ready(Err(Stop::Lost)),
                other => other,
            }
        })
        .await
    };
    if ended.is_none() {
        // A goodbye in passing; nobody waits for it.
        poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll(context).is_ready())).await;
    }
    drop(connection);
    let of_connection = ended.flatten();
    let (error, of_connection) = match (result, of_connection) {
        (Ok(()), _) => return Ok(()),
        (Err(Stop::Unfit(fault)), _) => return Err(Failure::Unfit(fault)),
        (Err(Stop::Error(error)), of_connection) => (error, of_connection),
        (Err(Stop::Lost), Some(error)) => (error, None),
        (Err(Stop::Lost), None) => return Err(Failure::Broken(CLOSED.to_owned())),
    };
    Err(Failure::Broken(told(&error, of_connection.as_ref(), seen, &wire.end())))
}

/// Why an exchange ended early.
enum Stop<F> {
    Error(h2::Error),
    Unfit(F),
    /// The connection is over, and does not say so.
    Lost,
}

impl<F> From<h2::Error> for Stop<F> {
    fn from(error: h2::Error) -> Self {
        Self::Error(error)
    }
}

async fn exchange<F>(
    mut sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
    seen: &mut bool,
    mut take: impl FnMut(Part<'_>) -> Result<(), F>,
) -> Result<(), Stop<F>> {
    let (response, mut sending) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        sending.send_data(body, true)?;
    }
    let (head, mut body) = response.await?.into_parts();
    *seen = true;
    let head = Response::from_parts(head, ());
    take(Part::Head { head: &head, ends: body.is_end_stream() }).map_err(Stop::Unfit)?;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        take(Part::Data(&piece)).map_err(Stop::Unfit)?;
        body.flow_control().release_capacity(piece.len())?;
    }
    let trailers = body.trailers().await?;
    take(Part::End(trailers.as_ref())).map_err(Stop::Unfit)
}

/// An error in words. What the connection ended with says more than that a stream did, and what the
/// wire did says more than what h2 keeps of it.
fn told(error: &h2::Error, of_connection: Option<&h2::Error>, seen: bool, wire: &End) -> String {
    if let Some(found) = wire.stranger.filter(|_| !seen) {
        return found.to_owned();
    }
    let error = of_connection.filter(|last| last.is_go_away()).unwrap_or(error);
    if error.is_io() {
        return wire.trouble.clone().unwrap_or_else(|| error.to_string());
    }
    let reason = error.reason().unwrap_or(Reason::NO_ERROR);
    let words = last_words(error);
    if !seen && !error.is_remote() && reason == Reason::ENHANCE_YOUR_CALM {
        return "the answer's header is too long".to_owned();
    }
    match (error.is_remote(), error.is_go_away()) {
        (true, true) => format!("the server ended the connection: GOAWAY {reason:?}{words}"),
        (true, false) => format!("the server reset the stream: RST_STREAM {reason:?}"),
        (false, true) => format!("the answer breaks the rules of HTTP/2: {reason:?}{words}"),
        (false, false) if seen => format!("the answer breaks the rules of HTTP/2: {reason:?}"),
        (false, false) => format!("the answer's header is malformed or too long: {reason:?}"),
    }
}

/// The text of a GOAWAY, as it may stand in a log; h2 shows it escaped, at the end.
fn last_words(error: &h2::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (b\"").and_then(|(_, words)| words.strip_suffix("\")")) {
        Some(words) => format!(" ({})", words.chars().take(SHOWN).collect::<String>()),
        None => String::new(),
    }
}

const CLOSED: &str = "the server closed the connection";

/// A connection whose bytes are counted and whose beginning is kept.
struct Wire<'a> {
    stream: &'a mut dyn Stream,
    beginning: Vec<u8>,
    count: u64,
    most: u64,
    /// Why there is no more to read, or nobody to write to.
    trouble: Option<String>,
}

/// What a wire knows at its end.
struct End {
    /// What speaks there instead of HTTP/2.
    stranger: Option<&'static str>,
    trouble: Option<String>,
}

impl Wire<'_> {
    fn end(self) -> End {
        End { stranger: self.stranger(), trouble: self.trouble }
    }

    fn stranger(&self) -> Option<&'static str> {
        match self.beginning.as_slice() {
            [] => None,
            [b'H', b'T', b'T', b'P', ..] => Some("the server answers in HTTP/1, not HTTP/2"),
            [0x15 | 0x16, 3, ..] => Some("the server speaks TLS, not HTTP/2 in plain text"),
            [_, _, _, kind, ..] if *kind == SETTINGS => None,
            // Too little to tell.
            beginning if beginning.len() < FRAME_HEADER => None,
            _ => Some("what comes is not HTTP/2"),
        }
    }

    /// The next bytes; none at the end.
    fn note(&mut self, piece: &[u8]) -> io::Result<()> {
        if piece.is_empty() {
            self.trouble.get_or_insert_with(|| CLOSED.to_owned());
        }
        let missing = FRAME_HEADER.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(piece.get(..missing).unwrap_or(piece));
        self.count = self.count.saturating_add(piece.len() as u64);
        if self.count > self.most {
            let most = self.most >> 10;
            return Err(io::Error::other(format!("more than {most} KiB came, and no end")));
        }
        Ok(())
    }

    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.trouble.get_or_insert_with(|| error.to_string());
        }
        result
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut wire.stream).poll_read(context, buffer));
        let noted =
            read.and_then(|()| wire.note(buffer.filled().get(before..).unwrap_or_default()));
        Poll::Ready(wire.keep(noted))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = ready!(Pin::new(&mut wire.stream).poll_write(context, bytes));
        Poll::Ready(wire.keep(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
