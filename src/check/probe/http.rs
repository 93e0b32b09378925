//! `HTTP_GET` and `SSL_GET`: a request, and an answer with the right status, digest and text. HTTP/2,
//! where it is asked for, is another way to the same answer.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, Fault};
use super::http2::{self, Failure, Part};
use super::{failure, lack, tcp, tls};
use crate::check::engine::{Ending, Outcome};
use crate::core::config::model::check::{
    HttpProbe, HttpVersion, Regex, TlsIdentity, TlsProbe, Url,
};
use crate::core::config::pattern;

/// Asks for one url.
pub async fn probe(http: &HttpProbe, url: usize, server: &str, identity: &TlsIdentity) -> Outcome {
    let Some(url) = http.urls.get(url).or(http.urls.first()) else {
        return failure(format!("no url to ask {server} for"), None);
    };
    outcome(http, url, &fetch(http, url, identity).await, server)
}

/// What an answer, or the lack of one, says of a server.
pub(super) fn outcome(
    http: &HttpProbe,
    url: &Url,
    found: &Result<(Answer, Option<Ending>), Trouble>,
    server: &str,
) -> Outcome {
    match found {
        Ok((answer, warning)) => judge(answer, url, server, warning.clone()),
        Err(trouble) => trouble.told(server, http.tls.is_some()),
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// No connection.
    Connect(io::Error),
    /// The handshake failed.
    Tls(io::Error),
    /// The connection broke.
    Exchange(io::Error),
    /// The answer was not complete in time.
    Timeout,
    /// It is not HTTP.
    Answer(Fault),
}

impl Trouble {
    fn told(&self, server: &str, tls: bool) -> Outcome {
        let kind = if tls { "SSL" } else { "HTTP" };
        if let Self::Connect(error) | Self::Tls(error) | Self::Exchange(error) = self
            && let Some(unasked) = lack::unasked(error)
        {
            return unasked;
        }
        let (text, cause) = match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::TimedOut => {
                (format!("Timeout connecting server {server}."), None)
            }
            Self::Connect(error) => {
                (format!("Error connecting server {server}."), Some(error.to_string()))
            }
            // Of `verify`, which keepalived does not have.
            Self::Tls(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                (format!("SSL certificate of server {server} is refused: {error}."), None)
            }
            Self::Tls(error) => (
                format!("SSL handshake/communication error connecting to server {server}."),
                Some(error.to_string()),
            ),
            Self::Exchange(error) => {
                (format!("Read error with server {server}."), Some(error.to_string()))
            }
            Self::Timeout => (format!("Timeout {kind} read server {server}."), None),
            Self::Answer(fault) => {
                (format!("Read error with server {server}."), Some(fault.to_string()))
            }
        };
        failure(text, cause)
    }
}

/// An answer, however it is: complete, or cut short after its header; and what is to be told of a
/// certificate.
pub async fn fetch(
    http: &HttpProbe,
    url: &Url,
    identity: &TlsIdentity,
) -> Result<(Answer, Option<Ending>), Trouble> {
    let limit = http.connect.timeout.to_duration();
    let mut stream = tcp::open(&http.connect).await.map_err(Trouble::Connect)?;
    // What TLS and HTTP/2 need meanwhile is much, and is not held for plain probes.
    if let Some(options) = &http.tls {
        return Box::pin(fetch_securely(stream, http, limit, (options, url), identity)).await;
    }
    let answer = if http.version == HttpVersion::V2 {
        let talk = Box::pin(converse_http2(&mut stream, http, url));
        tokio::time::timeout(limit, talk).await
    } else {
        let request = request(http, url);
        tokio::time::timeout(limit, converse(stream, &request)).await
    };
    Ok((answer.unwrap_or(Err(Trouble::Timeout))?, None))
}

async fn fetch_securely(
    stream: TcpStream,
    http: &HttpProbe,
    limit: Duration,
    (options, url): (&TlsProbe, &Url),
    identity: &TlsIdentity,
) -> Result<(Answer, Option<Ending>), Trouble> {
    let protocol = match http.version {
        HttpVersion::V2 => tls::Protocol::Http2,
        HttpVersion::V1_0 | HttpVersion::V1_0Close | HttpVersion::V1_1 | HttpVersion::V1_1Close => {
            tls::Protocol::Unsaid
        }
    };
    let handshake = tls::secure(stream, identity, options, url.virtualhost.as_deref(), protocol);
    let mut stream = match tokio::time::timeout(limit, handshake).await {
        Ok(shaken) => shaken.map_err(Trouble::Tls)?,
        Err(_) => return Err(Trouble::Timeout),
    };
    let warning = tls::ending(stream.ssl(), options.expiry_warning);
    let talk = async {
        if protocol == tls::Protocol::Http2 {
            converse_http2(&mut stream, http, url).await
        } else {
            converse(&mut stream, &request(http, url)).await
        }
    };
    let answer = tokio::time::timeout(limit, talk).await.unwrap_or(Err(Trouble::Timeout))?;
    if url.orderly_close {
        // The server's part in it is not waited for.
        let _ = tokio::time::timeout(limit, stream.shutdown()).await;
    }
    Ok((answer, warning))
}

/// keepalived's request: nothing in it that an old server would not know.
pub(super) fn request(http: &HttpProbe, url: &Url) -> String {
    let (version, close) = match http.version {
        HttpVersion::V1_0 => ("1.0", false),
        HttpVersion::V1_0Close => ("1.0", true),
        HttpVersion::V1_1 | HttpVersion::V1_1Close => ("1.1", true),
        // Not asked with these words.
        HttpVersion::V2 => ("2", false),
    };
    let mut text = format!("GET {} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n", url.path);
    if close {
        text.push_str("Connection: close\r\n");
    }
    // Writing to a String cannot fail.
    let _ = match &url.virtualhost {
        Some(host) => write!(text, "Host: {host}\r\n\r\n"),
        None => write!(text, "Host: {}\r\n\r\n", http.connect.destination),
    };
    text
}

/// A request, and what comes.
pub(super) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<Answer, Trouble> {
    stream.write_all(request.as_bytes()).await.map_err(Trouble::Exchange)?;
    stream.flush().await.map_err(Trouble::Exchange)?;
    let mut answer = Answer::new();
    loop {
        match tcp::receive(&mut stream, |piece| (!piece.is_empty()).then(|| answer.feed(piece)))
            .await
        {
            Ok(Some(Ok(true))) => return Ok(answer),
            Ok(Some(Ok(false))) => {}
            Ok(Some(Err(fault))) => return Err(Trouble::Answer(fault)),
            // Many servers end a TLS connection, or any, without ceremony: what came counts.
            Ok(None) | Err(_) if answer.status().is_some() => return Ok(answer),
            Ok(None) => return Err(Trouble::Exchange(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(Trouble::Exchange(error)),
        }
    }
}

/// The same over HTTP/2. An answer that the server has not ended is none: unlike HTTP/1, it has an end.
async fn converse_http2(
    stream: &mut dyn http2::Stream,
    http: &HttpProbe,
    url: &Url,
) -> Result<Answer, Trouble> {
    let scheme = if http.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let host = url.virtualhost.clone().unwrap_or_else(|| http.connect.destination.to_string());
    let mut request = http2::request(Method::GET, scheme, &host, &url.path)
        .map_err(|error| Trouble::Exchange(io::Error::other(error)))?;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("KeepAliveClient"));
    let mut answer = Answer::new();
    let take = |part: Part<'_>| match part {
        Part::Head { head, .. } => answer.feed(&head_of(head)).map(|_| ()),
        Part::Data(piece) => answer.feed(piece).map(|_| ()),
        Part::End(_) => Ok(()),
    };
    match http2::ask(stream, request, Bytes::new(), u64::MAX, take).await {
        Ok(()) => Ok(answer),
        Err(Failure::Broken(reason)) => Err(Trouble::Exchange(io::Error::other(reason))),
        Err(Failure::Unfit(fault)) => Err(Trouble::Answer(fault)),
    }
}

/// Status and header as HTTP/1 would have written them; [`http2`] bounds them.
fn head_of(head: &Response<()>) -> Vec<u8> {
    let mut text = format!("HTTP/2 {}\r\n", head.status().as_u16()).into_bytes();
    for (name, value) in head.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn judge(answer: &Answer, url: &Url, server: &str, warning: Option<Ending>) -> Outcome {
    let path = &url.path;
    let status = answer.status().unwrap_or(0);
    if !url.status.iter().any(|(low, high)| (*low..=*high).contains(&status)) {
        let text =
            format!("HTTP status code error to {server} url({path}), status_code({status}).");
        return failure(text, None);
    }
    if url.digest.is_some_and(|digest| digest != answer.digest()) {
        let cause = format!("digest {}", hex(&answer.digest()));
        return failure(format!("MD5 digest error to {server} url({path})."), Some(cause));
    }
    match url.regex.as_ref().map(|regex| matches(regex, answer.body())) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => {
            return failure(format!("Regex match failed to {server} url({path})."), None);
        }
        Some(Err(why)) => {
            return failure(format!("Regex match failed to {server} url({path})."), Some(why));
        }
    }
    let text = format!("HTTP status code success to {server} url({path}).");
    Outcome::Success { text, weight: None, warning }
}

/// Two small digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the body is as the pattern wants it.
fn matches(regex: &Regex, body: &[u8]) -> Result<bool, String> {
    let pattern = pattern::compile(regex)?;
    let found =
        pattern.find_at(body, regex.min_offset.min(body.len())).map_err(|e| e.to_string())?;
    let within =
        found.is_some_and(|found| regex.max_offset == 0 || found.start() <= regex.max_offset);
    Ok(within != regex.negate)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::Future;
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::core::config::model::check::Connect;
    use crate::core::seldom::Seldom;
    use crate::core::time::Interval;

    pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    pub(crate) fn connect_to(destination: SocketAddr) -> Connect {
        let timeout = Interval::from_millis(400);
        Connect { destination, timeout, options: Seldom::default() }
    }

    pub(crate) fn url() -> Url {
        Url {
            path: "/x".into(),
            virtualhost: Some("example.org".into()),
            digest: None,
            status: vec![(200, 299)],
            regex: None,
            orderly_close: false,
        }
    }

    pub(crate) fn http(destination: SocketAddr, url: Url) -> HttpProbe {
        HttpProbe {
            connect: connect_to(destination),
            tls: None,
            version: HttpVersion::V1_0,
            urls: vec![url].into(),
            fast_recovery: false,
        }
    }

    /// One connection: reads the request, sends the pieces, then waits or closes.
    async fn serve(
        pieces: &'static [&'static [u8]],
        close: bool,
    ) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            for piece in pieces {
                if stream.write_all(piece).await.is_err() {
                    break;
                }
            }
            if !close {
                // Until the other side has had enough.
                let _ = stream.read(&mut [0; 1]).await;
            }
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (address, server)
    }

    fn ask(url: Url, pieces: &'static [&'static [u8]], close: bool) -> (Outcome, String) {
        block_on(async {
            let (address, server) = serve(pieces, close).await;
            let outcome = probe(&http(address, url), 0, "S", &TlsIdentity::default()).await;
            (outcome, server.await.unwrap())
        })
    }

    fn succeeds(url: Url, pieces: &'static [&'static [u8]]) -> bool {
        matches!(ask(url, pieces, true).0, Outcome::Success { .. })
    }

    #[test]
    fn the_request_is_keepaliveds() {
        let (outcome, request) = ask(url(), &[b"HTTP/1.0 200 OK\r\n\r\nhello"], true);
        assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        assert_eq!(
            request,
            "GET /x HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: example.org\r\n\r\n"
        );
    }

    #[test]
    fn status_digest_and_pattern_must_fit() {
        let body: &'static [&'static [u8]] = &[b"HTTP/1.0 200 OK\r\n\r\nhello"];
        let digest = |text: &str| crate::core::config::values::digest(text).ok();
        let right = digest("5d41402abc4b2a76b9719d911017c592");
        let wrong = digest("00000000000000000000000000000000");
        assert!(succeeds(Url { digest: right, ..url() }, body));
        assert!(!succeeds(Url { digest: wrong, ..url() }, body));
        assert!(!succeeds(Url { status: vec![(404, 404)], ..url() }, body));
        let regex = |pattern: &str, negate| {
            let options = vec!["caseless".to_owned()];
            let pattern = pattern.to_owned();
            Some(Regex { pattern, negate, options, min_offset: 0, max_offset: 0, stack: None })
        };
        assert!(succeeds(Url { regex: regex("H.LLO", false), ..url() }, body));
        assert!(!succeeds(Url { regex: regex("goodbye", false), ..url() }, body));
        assert!(succeeds(Url { regex: regex("goodbye", true), ..url() }, body));
        assert!(!succeeds(Url { regex: regex("(", false), ..url() }, body));
        let beyond = regex("hello", false).map(|found| Regex { min_offset: 1, ..found });
        assert!(!succeeds(Url { regex: beyond, ..url() }, body));
    }

    #[test]
    fn hostile_servers_are_failures_within_the_time() {
        let started = std::time::Instant::now();
        let cases: [(&'static [&'static [u8]], bool); 6] = [
            (&[], true),
            (&[], false),
            (&[b"HTTP/1.0 200 OK\r\n"], false),
            (&[b"\x00\xff\x00garbage\n\n"], true),
            (&[b"HTTP/1.0 500 No\r\n\r\n"], true),
            (&[b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\nshort"], false),
        ];
        for (pieces, close) in cases {
            let (outcome, _) = ask(url(), pieces, close);
            assert!(matches!(outcome, Outcome::Failure { .. }), "{pieces:?}: {outcome:?}");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_reset_a_drip_and_a_peer_that_never_accepts_are_failures_within_the_time() {
        let started = std::time::Instant::now();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let ask =
                || async { probe(&http(address, url()), 0, "S", &TlsIdentity::default()).await };
            let resets = async {
                let (stream, _) = listener.accept().await.unwrap();
                // Closing with a zero linger time resets.
                socket2::SockRef::from(&stream)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .unwrap();
            };
            let (outcome, ()) = tokio::join!(ask(), resets);
            assert!(matches!(outcome, Outcome::Failure { .. }), "reset: {outcome:?}");
            let drips = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                // A byte now and then, for ever.
                while stream.write_all(b"H").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            let (outcome, ()) = tokio::join!(ask(), drips);
            assert!(matches!(outcome, Outcome::Failure { .. }), "drip: {outcome:?}");
            // Connected by the kernel, never accepted by the program.
            let outcome = ask().await;
            assert!(matches!(outcome, Outcome::Failure { .. }), "half open: {outcome:?}");
        });
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_peer_that_speaks_no_tls_fails_within_the_time_in_keepaliveds_words() {
        let started = std::time::Instant::now();
        // A record of TLS that announces more than comes, plain HTTP, garbage, silence.
        let record: &'static [&'static [u8]] = &[b"\x16\x03\x03\x40\x00\x02\x00"];
        let cases: [(&'static [&'static [u8]], bool, &str); 6] = [
            (record, false, "Timeout SSL read server S."),
            (record, true, "SSL handshake/communication error connecting to server S."),
            (
                &[b"HTTP/1.0 400 Bad Request\r\n\r\n"],
                false,
                "SSL handshake/communication error connecting to server S.",
            ),
            (
                &[b"\x00\xff\x00\xff\x00\xff\x00\xff"],
                false,
                "SSL handshake/communication error connecting to server S.",
            ),
            (&[], true, "SSL handshake/communication error connecting to server S."),
            (&[], false, "Timeout SSL read server S."),
        ];
        for (pieces, close, expected) in cases {
            let outcome = block_on(async {
                let (address, server) = serve(pieces, close).await;
                let tls = TlsProbe {
                    sni: true,
                    name: None,
                    verify: false,
                    expiry_warning: Interval::ZERO,
                };
                let tls = Some(tls.into());
                let secure = HttpProbe { tls, ..http(address, url()) };
                let outcome = probe(&secure, 0, "S", &TlsIdentity::default()).await;
                server.await.unwrap();
                outcome
            });
            let Outcome::Failure { text, .. } = outcome else { panic!("{pieces:?}: {outcome:?}") };
            assert_eq!(text, expected, "{pieces:?} {close}");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn ssl_get_takes_any_certificate_and_names_the_host_only_when_asked() {
        use openssl::ssl::{NameType, SslAcceptor, SslFiletype, SslMethod};
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for sni in [false, true] {
            let (key, certificate) = (key.clone(), certificate.clone());
            block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let server = tokio::spawn(async move {
                    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
                    acceptor.set_private_key_file(&key, SslFiletype::PEM).unwrap();
                    acceptor.set_certificate_file(&certificate, SslFiletype::PEM).unwrap();
                    let acceptor = acceptor.build();
                    let ssl = openssl::ssl::Ssl::new(acceptor.context()).unwrap();
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                    std::pin::Pin::new(&mut stream).accept().await.unwrap();
                    let name = stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
                    let _ = stream.read(&mut [0; 4096]).await.unwrap();
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .await
                        .unwrap();
                    let _ = stream.read(&mut [0; 1]).await;
                    name
                });
                let probe_config = HttpProbe {
                    tls: Some(
                        TlsProbe { sni, name: None, verify: false, expiry_warning: Interval::ZERO }
                            .into(),
                    ),
                    ..http(address, url())
                };
                let outcome = probe(&probe_config, 0, "S", &TlsIdentity::default()).await;
                assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
                assert_eq!(server.await.unwrap(), sni.then(|| "example.org".to_owned()));
            });
        }
    }
}
