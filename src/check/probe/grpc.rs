//! `GRPC_CHECK`, which keepalived does not have: the standard health service of gRPC is asked how the
//! server, or one of its services, is. Connection, TLS and answer have the time of `connect_timeout`
//! each.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, Method, Request};

use super::grpc_health::{self, Answer, Fault};
use super::http2::{self, Failure, Part};
use super::{failure, lack, tcp, tls};
use crate::check::engine::{Ending, Outcome};
use crate::core::config::model::check::{GrpcProbe, TlsIdentity};

/// Of all that a server says, its settings and headers among it. A good answer has some hundred.
const MOST: u64 = 256 << 10;

/// Asks.
pub async fn probe(grpc: &GrpcProbe, server: &str, identity: &TlsIdentity) -> Outcome {
    let subject = if grpc.service.is_empty() {
        format!("gRPC health of {server}")
    } else {
        format!("gRPC health of {server}, service {}", grpc.service)
    };
    match ask(grpc, identity).await {
        Ok(warning) => {
            Outcome::Success { text: format!("{subject}: SERVING."), weight: None, warning }
        }
        // The reason is in the words themselves: nobody knows them from elsewhere.
        Err(Trouble::Server(reason)) => failure(format!("{subject}: {reason}."), None),
        Err(Trouble::Lack(why)) => Outcome::Unasked { why },
    }
}

/// Why it is not known that all is well.
enum Trouble {
    /// The server, in words.
    Server(String),
    /// This host.
    Lack(String),
}

impl Trouble {
    fn of(error: &io::Error, words: impl FnOnce() -> String) -> Self {
        if lack::is_ours(error) { Self::Lack(error.to_string()) } else { Self::Server(words()) }
    }
}

impl From<String> for Trouble {
    fn from(words: String) -> Self {
        Self::Server(words)
    }
}

/// What is to be told of a certificate, or why the server is not well.
async fn ask(grpc: &GrpcProbe, identity: &TlsIdentity) -> Result<Option<Ending>, Trouble> {
    let patience = grpc.connect.timeout.to_duration();
    let mut stream = tcp::open(&grpc.connect).await.map_err(|error| {
        Trouble::of(&error, || match error.kind() {
            io::ErrorKind::TimedOut => "no connection in time".to_owned(),
            _ => format!("no connection: {error}"),
        })
    })?;
    let host = grpc.authority.as_deref();
    let Some(options) = &grpc.tls else {
        converse(&mut stream, grpc, Scheme::HTTP).await?;
        return Ok(None);
    };
    let handshake = tls::secure(stream, identity, options, host, tls::Protocol::Http2);
    let mut stream = within(patience, handshake, "no TLS in time").await?.map_err(|error| {
        Trouble::of(&error, || match error.kind() {
            io::ErrorKind::PermissionDenied => format!("its certificate is refused: {error}"),
            _ => format!("no TLS: {error}"),
        })
    })?;
    let warning = tls::ending(stream.ssl(), options.expiry_warning);
    converse(&mut stream, grpc, Scheme::HTTPS).await?;
    Ok(warning)
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = T>,
    late: &str,
) -> Result<T, String> {
    tokio::time::timeout(patience, work).await.map_err(|_| late.to_owned())
}

async fn converse(
    stream: &mut dyn http2::Stream,
    grpc: &GrpcProbe,
    scheme: Scheme,
) -> Result<(), String> {
    let request = request(grpc, scheme).map_err(|error| error.to_string())?;
    let body = Bytes::from(grpc_health::request(&grpc.service));
    let mut answer = Answer::default();
    // An answer without a body has its status in the header.
    let mut only = None;
    let take = |part: Part<'_>| match part {
        Part::Head { head, ends } => {
            let content_type = head.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            answer = Answer::begin(head.status().as_u16(), content_type)?;
            only = ends.then(|| head.headers().clone());
            Ok(())
        }
        Part::Data(bytes) => answer.feed(bytes),
        Part::End(trailers) => finish(&answer, trailers.or(only.as_ref())),
    };
    let talk = http2::ask(stream, request, body, MOST, take);
    let patience = grpc.connect.timeout.to_duration();
    within(patience, talk, "no answer in time").await?.map_err(|failure| match failure {
        Failure::Broken(reason) => reason,
        Failure::Unfit(fault) => fault.to_string(),
    })
}

fn finish(answer: &Answer, trailers: Option<&HeaderMap>) -> Result<(), Fault> {
    let value = |name| trailers.and_then(|found| found.get(name)).map(HeaderValue::as_bytes);
    answer.end(value("grpc-status"), value("grpc-message"))
}

fn request(grpc: &GrpcProbe, scheme: Scheme) -> Result<Request<()>, http::Error> {
    let authority = match &grpc.authority {
        Some(name) => name.clone(),
        None => grpc.connect.destination.to_string(),
    };
    let mut request = http2::request(Method::POST, scheme, &authority, grpc_health::METHOD)?;
    // At most eight digits, which `connect_timeout` has not.
    let patience = grpc.connect.timeout.to_duration().as_millis().clamp(1, 99_999_999);
    let header = request.headers_mut();
    header.insert(TE, HeaderValue::from_static("trailers"));
    header.insert(CONTENT_TYPE, HeaderValue::from_static(grpc_health::CONTENT_TYPE));
    header.insert("grpc-timeout", HeaderValue::try_from(format!("{patience}m"))?);
    header.insert(USER_AGENT, HeaderValue::from_static("steadfast"));
    Ok(request)
}
