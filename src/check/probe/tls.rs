//! TLS of checks: whatever the server speaks, down to TLS 1.0, and not verified, as keepalived has
//! it: a health check asks whether a server answers, not who it is. With our own `verify` it asks.

use std::io;
use std::pin::Pin;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::core::config::model::check::TlsIdentity;

/// Whose certificate is good enough.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Anybody's.
    Anyone,
    /// One that `ca` of the `SSL` block, else this host's authorities, vouch for; and for this name,
    /// when there is one.
    Vouched(Option<&'a str>),
}

/// Shakes hands over `stream`; `name` goes into the handshake when given.
pub async fn connect(
    stream: TcpStream,
    identity: &TlsIdentity,
    name: Option<&str>,
    trust: Trust<'_>,
) -> io::Result<SslStream<TcpStream>> {
    let context = context(identity, trust).map_err(io::Error::other)?;
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
    let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(stream)
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
    use openssl::ssl::SslAcceptor;
    use tokio::net::TcpListener;

    use super::*;
    use crate::check::probe::http::tests::block_on;

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
                let found = connect(stream, identity, None, trust).await;
                assert_eq!(found.is_ok(), good, "{trust:?}: {:?}", found.err());
                server.await.unwrap();
            });
        }
    }
}
