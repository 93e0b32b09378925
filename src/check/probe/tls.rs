//! TLS of checks: whatever the server speaks, down to TLS 1.0, and not verified, as keepalived has
//! it: a health check asks whether a server answers, not who it is. With our own `verify` it asks.

use std::cmp::Ordering;
use std::io;
use std::pin::Pin;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslRef, SslVerifyMode, SslVersion};
use openssl::x509::{X509Ref, X509VerifyResult};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::http::hex;
use super::lack;
use crate::check::engine::Ending;
use crate::core::config::model::check::{TlsIdentity, TlsProbe};
use crate::core::time::Interval;

/// A list with one name: its length and the name.
const H2: &[u8] = b"\x02h2";
/// Characters of a name.
const SHOWN: usize = 64;
const NOT_CHOSEN: &str = "the server did not choose HTTP/2 (h2) by ALPN";
/// OpenSSL's reason for the alert `no_application_protocol`: 1000 and the number of the alert.
const NO_PROTOCOL: i32 = 1120;

/// Whose certificate is good enough.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Anybody's.
    Anyone,
    /// One that `ca` of the `SSL` block, else this host's authorities, vouch for; and for this name,
    /// when there is one.
    Vouched(Option<&'a str>),
}

/// What is spoken within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing is said of it.
    Unsaid,
    /// HTTP/2: the server must choose `h2` (RFC 7301, RFC 9113 section 3.2).
    Http2,
}

/// Shakes hands as a check has it; `host` is whom it asks for.
pub async fn secure(
    stream: TcpStream,
    identity: &TlsIdentity,
    options: &TlsProbe,
    host: Option<&str>,
    protocol: Protocol,
) -> io::Result<SslStream<TcpStream>> {
    let name = options.name.as_deref().or(host);
    let trust = if options.verify { Trust::Vouched(name.map(host_of)) } else { Trust::Anyone };
    connect(stream, identity, name.filter(|_| options.sni), trust, protocol).await
}

/// Shakes hands over `stream`; `name` goes into the handshake when given.
pub async fn connect(
    stream: TcpStream,
    identity: &TlsIdentity,
    name: Option<&str>,
    trust: Trust<'_>,
    protocol: Protocol,
) -> io::Result<SslStream<TcpStream>> {
    let context = context(identity, trust).map_err(io::Error::other).map_err(lack::mark)?;
    let mut ssl = Ssl::new(&context).map_err(io::Error::other)?;
    if let Some(name) = name {
        ssl.set_hostname(name).map_err(io::Error::other)?;
    }
    if let Trust::Vouched(Some(name)) = trust {
        let wanted = ssl.param_mut();
        match name.parse() {
            Ok(address) => wanted.set_ip(address).map_err(io::Error::other)?,
            Err(_) => wanted.set_host(name).map_err(io::Error::other)?,
        }
    }
    if protocol == Protocol::Http2 {
        ssl.set_alpn_protos(H2).map_err(io::Error::other)?;
    }
    let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
    if let Err(error) = Pin::new(&mut stream).connect().await {
        // What is wrong with the certificate says more than that something is.
        let found = stream.ssl().verify_result();
        let reasons = error.ssl_error().map_or(&[][..], |stack| stack.errors());
        return Err(if reasons.iter().any(|reason| reason.reason_code() == NO_PROTOCOL) {
            io::Error::other(NOT_CHOSEN)
        } else if found == X509VerifyResult::OK {
            io::Error::other(error)
        } else {
            io::Error::new(io::ErrorKind::PermissionDenied, found.error_string())
        });
    }
    if protocol == Protocol::Http2 && stream.ssl().selected_alpn_protocol() != H2.get(1..) {
        return Err(io::Error::other(NOT_CHOSEN));
    }
    Ok(stream)
}

/// What is to be told of a certificate that ends within some time, or has ended: of the server's own
/// or of those it vouches for it with, whichever ends first.
pub fn ending(ssl: &SslRef, within: Interval) -> Option<Ending> {
    if within.is_zero() {
        return None;
    }
    let chain = ssl.peer_cert_chain()?;
    let sooner = |one: &&X509Ref, other: &&X509Ref| {
        one.not_after().compare(other.not_after()).unwrap_or(Ordering::Equal)
    };
    let certificate = chain.iter().min_by(sooner)?;
    let end = certificate.not_after();
    let left = Asn1Time::days_from_now(0).ok()?.diff(end).ok()?;
    let words = words(left.days, left.secs, &end.to_string(), within)?;
    let digest = certificate.digest(MessageDigest::sha256()).ok()?;
    Some(Ending { certificate: hex(&digest), words: words + &name_of(certificate) })
}

/// The common name, so that a reader knows which one of several; control characters do not get into
/// the log.
fn name_of(certificate: &X509Ref) -> String {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next().and_then(|entry| entry.data().to_string().ok());
    name.map(|name| name.chars().filter(|found| !found.is_control()).take(SHOWN).collect())
        .map_or(String::new(), |name: String| format!(" (CN={name})"))
}

fn words(days: i32, seconds: i32, end: &str, within: Interval) -> Option<String> {
    let left = i64::from(days) * 86_400 + i64::from(seconds);
    if u64::try_from(left).is_ok_and(|left| Interval::from_secs(left) > within) {
        return None;
    }
    Some(match days {
        _ if left <= 0 => format!("its certificate has ended on {end}"),
        0 => format!("its certificate ends within a day, on {end}"),
        1 => format!("its certificate ends in 1 day, on {end}"),
        _ => format!("its certificate ends in {days} days, on {end}"),
    })
}

/// The name or address in what a request calls its host, without a port.
pub fn host_of(name: &str) -> &str {
    if let Some(rest) = name.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    match name.split_once(':') {
        // An address of IPv6 has more than one.
        Some((host, port)) if !port.contains(':') => host,
        Some(_) | None => name,
    }
}

fn context(
    identity: &TlsIdentity,
    trust: Trust<'_>,
) -> Result<SslContext, openssl::error::ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_verify(match trust {
        Trust::Anyone => SslVerifyMode::NONE,
        Trust::Vouched(_) => SslVerifyMode::PEER,
    });
    if identity.ca.is_none() && matches!(trust, Trust::Vouched(_)) {
        builder.set_default_verify_paths()?;
    }
    builder.set_min_proto_version(Some(SslVersion::TLS1))?;
    // Level 0: also what today's defaults call too weak.
    builder.set_cipher_list("ALL:@SECLEVEL=0")?;
    if let Some(file) = &identity.ca {
        builder.set_ca_file(file)?;
    }
    if let Some(file) = &identity.certificate {
        builder.set_certificate_chain_file(file)?;
    }
    if let Some(file) = &identity.key {
        match &identity.password {
            None => builder.set_private_key_file(file, SslFiletype::PEM)?,
            Some(password) => {
                let pem = std::fs::read(file).unwrap_or_default();
                let key = openssl::pkey::PKey::private_key_from_pem_passphrase(
                    &pem,
                    password.as_bytes(),
                )?;
                builder.set_private_key(&key)?;
            }
        }
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::ssl::SslAcceptor;
    use openssl::x509::{X509, X509NameBuilder};
    use tokio::net::TcpListener;

    use super::*;
    use crate::check::probe::http::tests::block_on;
    use crate::core::runtime::wall_clock;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (written, host) in [
            ("web.example", "web.example"),
            ("web.example:8443", "web.example"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(host_of(written), host);
        }
    }

    /// A certificate of its own that began ten days ago.
    fn certificate(days: i64) -> (PKey<openssl::pkey::Private>, X509) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, "web.example").unwrap();
        let name = name.build();
        let now = i64::try_from(wall_clock().as_nanos() / 1_000_000_000).unwrap();
        let at = |days| Asn1Time::from_unix(now + days * 86_400 + 3600).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&at(-10)).unwrap();
        builder.set_not_after(&at(days)).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        (key, builder.build())
    }

    /// With a server on loopback.
    fn handshake(
        acceptor: &SslAcceptor,
        identity: &TlsIdentity,
        trust: Trust<'_>,
    ) -> io::Result<SslStream<TcpStream>> {
        let ssl = Ssl::new(acceptor.context()).unwrap();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = SslStream::new(ssl, stream).unwrap();
                // The other side may refuse.
                let _ = Pin::new(&mut stream).accept().await;
            });
            let stream = TcpStream::connect(address).await.unwrap();
            let found = connect(stream, identity, None, trust, Protocol::Unsaid).await;
            server.await.unwrap();
            found
        })
    }

    #[test]
    fn the_end_of_a_certificate_is_told_and_a_refused_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let month = Interval::from_secs(30 * 86_400);
        for (days, warning, refused) in [
            (100, None, None),
            (12, Some("ends in 12 days"), None),
            (0, Some("ends within a day"), None),
            (-2, Some("has ended on"), Some("certificate has expired")),
        ] {
            let (key, certificate) = certificate(days);
            let ca = folder.path().join("ca");
            std::fs::write(&ca, certificate.to_pem().unwrap()).unwrap();
            let identity =
                TlsIdentity { ca: Some(ca.display().to_string()), ..TlsIdentity::default() };
            let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
            acceptor.set_private_key(&key).unwrap();
            acceptor.set_certificate(&certificate).unwrap();
            let acceptor = acceptor.build();
            let shake = |trust| handshake(&acceptor, &identity, trust);
            let stream = shake(Trust::Anyone).unwrap();
            let told = ending(stream.ssl(), month).map(|found| found.words);
            assert_eq!(told.is_some(), warning.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(warning.unwrap_or_default()));
            assert_eq!(ending(stream.ssl(), Interval::ZERO), None);
            let found = shake(Trust::Vouched(None)).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), refused.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(refused.unwrap_or_default()));
        }
    }

    #[test]
    fn an_end_that_is_near_is_told_and_one_that_is_far_is_not() {
        let month = Interval::from_secs(30 * 86_400);
        let told = |days, seconds| words(days, seconds, "then", month);
        assert_eq!(told(31, 0), None);
        assert_eq!(told(30, 0).unwrap(), "its certificate ends in 30 days, on then");
        assert_eq!(told(1, 5).unwrap(), "its certificate ends in 1 day, on then");
        assert_eq!(told(0, 5).unwrap(), "its certificate ends within a day, on then");
        assert_eq!(told(0, 0).unwrap(), "its certificate has ended on then");
        assert_eq!(told(-3, -5).unwrap(), "its certificate has ended on then");
    }

    #[test]
    fn a_certificate_counts_only_where_it_is_verified() {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=x", "-addext", "subjectAltName=DNS:web.example,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success());
        let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
        acceptor.set_private_key_file(&key, SslFiletype::PEM).unwrap();
        acceptor.set_certificate_file(&certificate, SslFiletype::PEM).unwrap();
        let acceptor = acceptor.build();
        let known =
            TlsIdentity { ca: Some(certificate.display().to_string()), ..TlsIdentity::default() };
        let nobody = TlsIdentity::default();
        for (identity, trust, good) in [
            (&nobody, Trust::Anyone, true),
            (&nobody, Trust::Vouched(None), false),
            (&known, Trust::Vouched(None), true),
            (&known, Trust::Vouched(Some("web.example")), true),
            (&known, Trust::Vouched(Some("127.0.0.1")), true),
            (&known, Trust::Vouched(Some("other.example")), false),
            (&known, Trust::Vouched(Some("127.0.0.2")), false),
        ] {
            let found = handshake(&acceptor, identity, trust);
            assert_eq!(found.is_ok(), good, "{trust:?}: {:?}", found.err());
        }
    }
}
