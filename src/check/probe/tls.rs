//! TLS of SSL_GET: whatever the server speaks, down to TLS 1.0, and never verified, as keepalived
//! has it; a health check asks whether a server answers, not who it is.

use std::io;
use std::pin::Pin;

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::core::config::model::check::TlsIdentity;

/// Shakes hands over `stream`; `name` goes into the handshake when given.
pub async fn connect(
    stream: TcpStream,
    identity: &TlsIdentity,
    name: Option<&str>,
) -> io::Result<SslStream<TcpStream>> {
    let context = context(identity).map_err(io::Error::other)?;
    let mut ssl = Ssl::new(&context).map_err(io::Error::other)?;
    if let Some(name) = name {
        ssl.set_hostname(name).map_err(io::Error::other)?;
    }
    let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(stream)
}

fn context(identity: &TlsIdentity) -> Result<SslContext, openssl::error::ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_verify(SslVerifyMode::NONE);
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
