//! `TCP_CHECK` with `send`, `expect` or `tls`: a connection, words, an answer. Connection, handshake
//! and answer have the time of `connect_timeout` each.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::expect::{Answer, Verdict};
use super::{failure, lack, tcp, tls};
use crate::check::engine::{Ending, Outcome};
use crate::core::config::model::check::{DialogueProbe, TlsIdentity};
use crate::core::config::pattern;

/// Asks.
pub async fn probe(dialogue: &DialogueProbe, server: &str, identity: &TlsIdentity) -> Outcome {
    match converse(dialogue, identity).await {
        Ok(warning) => {
            let text = format!("TCP connection to {server} success.");
            Outcome::Success { text, weight: None, warning }
        }
        Err(error) => lack::unasked(&error).unwrap_or_else(|| {
            let how = if error.kind() == io::ErrorKind::TimedOut { "timeout" } else { "failed" };
            failure(format!("TCP connection to {server} {how}."), Some(error.to_string()))
        }),
    }
}

async fn converse(dialogue: &DialogueProbe, identity: &TlsIdentity) -> io::Result<Option<Ending>> {
    let stream = tcp::open(&dialogue.connect).await?;
    let patience = dialogue.connect.timeout.to_duration();
    let late = |what: &'static str| move |_| io::Error::new(io::ErrorKind::TimedOut, what);
    let Some(options) = &dialogue.tls else {
        let talk = talk(stream, dialogue);
        tokio::time::timeout(patience, talk).await.map_err(late("no answer in time"))??;
        return Ok(None);
    };
    let handshake = tls::secure(stream, identity, options, None, tls::Protocol::Unsaid);
    let stream =
        tokio::time::timeout(patience, handshake).await.map_err(late("no TLS in time"))??;
    let warning = tls::ending(stream.ssl(), options.expiry_warning);
    let talk = talk(stream, dialogue);
    tokio::time::timeout(patience, talk).await.map_err(late("no answer in time"))??;
    Ok(warning)
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    dialogue: &DialogueProbe,
) -> io::Result<()> {
    stream.write_all(&dialogue.send).await?;
    stream.flush().await?;
    let Some(expect) = &dialogue.expect else { return Ok(()) };
    let mut answer = Answer::new(pattern::compile(expect).map_err(io::Error::other)?);
    loop {
        let take = |said: &[u8]| (!said.is_empty()).then(|| answer.take(said));
        match tcp::receive(&mut stream, take).await? {
            Some(Verdict::Match) => return Ok(()),
            Some(Verdict::More) => {}
            Some(Verdict::TooLong) => {
                return Err(io::Error::other("a long answer, not the expected one"));
            }
            None if answer.end() => return Ok(()),
            None => return Err(io::Error::other("the server ended without what is expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};
    use crate::core::config::model::check::{Regex, TlsProbe};
    use crate::core::time::Interval;

    const ANYBODY: TlsProbe =
        TlsProbe { sni: false, name: None, verify: false, expiry_warning: Interval::ZERO };

    fn regex(pattern: &str) -> Regex {
        Regex {
            pattern: pattern.into(),
            negate: false,
            options: Vec::new(),
            min_offset: 0,
            max_offset: 0,
            stack: None,
        }
    }

    /// A server that waits for `asked`, says the pieces, and closes or stays; what the probe thinks.
    fn asked(
        send: &str,
        expect: Option<Regex>,
        pieces: &'static [&'static [u8]],
        close: bool,
    ) -> Outcome {
        let wanted = send.len();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = vec![0; wanted];
                stream.read_exact(&mut heard).await.unwrap();
                for piece in pieces {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                if !close {
                    let _ = stream.read(&mut [0; 1]).await;
                }
                heard
            });
            let dialogue =
                DialogueProbe { connect, tls: None, send: send.as_bytes().to_vec(), expect };
            let outcome = probe(&dialogue, "[127.0.0.1]:tcp:1", &TlsIdentity::default()).await;
            assert_eq!(server.await.unwrap(), send.as_bytes());
            outcome
        })
    }

    fn cause(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Success { .. } => "",
            Outcome::Failure { cause, .. } => cause.as_deref().unwrap(),
            Outcome::Unasked { why } => panic!("{why}"),
        }
    }

    #[test]
    fn the_expected_answer_is_a_success_also_in_pieces_and_at_the_end() {
        let outcome = asked("PING\r\n", Some(regex(r"^\+PONG")), &[b"+PO", b"NG\r\n"], false);
        assert_eq!(cause(&outcome), "");
        assert_eq!(cause(&asked("", Some(regex("ready$")), &[b"220 ", b"ready"], true)), "");
        assert_eq!(cause(&asked("x", None, &[], true)), "");
    }

    #[test]
    fn another_answer_none_and_a_reset_are_failures_within_the_time() {
        let outcome = asked("PING\r\n", Some(regex(r"^\+PONG")), &[b"-ERR\r\n"], true);
        assert_eq!(cause(&outcome), "the server ended without what is expected");
        let outcome = asked("", Some(regex("never")), &[b"hello\r\n"], false);
        assert_eq!(cause(&outcome), "no answer in time");
    }

    #[test]
    fn a_server_without_tls_fails_where_tls_is_asked_for() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(b"220 not TLS\r\n").await;
                let _ = stream.read(&mut [0; 1024]).await;
            });
            let dialogue =
                DialogueProbe { connect, tls: Some(ANYBODY), send: Vec::new(), expect: None };
            let outcome = probe(&dialogue, "s", &TlsIdentity::default()).await;
            assert!(matches!(outcome, Outcome::Failure { .. }), "{outcome:?}");
            server.await.unwrap();
        });
    }

    #[test]
    fn words_are_exchanged_over_tls_with_whom_the_check_trusts() {
        use openssl::ssl::{NameType, Ssl, SslAcceptor, SslFiletype, SslMethod};
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=x", "-addext", "subjectAltName=DNS:db.example"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success());
        let known =
            TlsIdentity { ca: Some(certificate.display().to_string()), ..TlsIdentity::default() };
        let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
        acceptor.set_private_key_file(&key, SslFiletype::PEM).unwrap();
        acceptor.set_certificate_file(&certificate, SslFiletype::PEM).unwrap();
        let context = acceptor.build().into_context();
        // What the check thinks, and what the server heard: a name, words.
        let asked = |options: TlsProbe, identity: &TlsIdentity| {
            let ssl = Ssl::new(&context).unwrap();
            block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let connect = connect_to(listener.local_addr().unwrap());
                let server = tokio::spawn(async move {
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                    std::pin::Pin::new(&mut stream).accept().await.ok()?;
                    let name = stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
                    let mut heard = [0; 6];
                    stream.read_exact(&mut heard).await.ok()?;
                    stream.write_all(b"+PONG\r\n").await.unwrap();
                    let _ = stream.read(&mut [0; 1]).await;
                    Some((name, heard))
                });
                let dialogue = DialogueProbe {
                    connect,
                    tls: Some(options),
                    send: b"PING\r\n".to_vec(),
                    expect: Some(regex("PONG")),
                };
                let outcome = probe(&dialogue, "s", identity).await;
                (cause(&outcome).to_owned(), server.await.unwrap())
            })
        };
        let nobody = TlsIdentity::default();
        let heard = |name: Option<&str>| Some((name.map(str::to_owned), *b"PING\r\n"));
        assert_eq!(asked(ANYBODY, &nobody), (String::new(), heard(None)));
        let named = |name: &str| TlsProbe { verify: true, name: Some(name.to_owned()), ..ANYBODY };
        assert_eq!(asked(named("db.example"), &known), (String::new(), heard(None)));
        let said = TlsProbe { sni: true, ..named("db.example") };
        assert_eq!(asked(said, &known), (String::new(), heard(Some("db.example"))));
        for (options, identity, reason) in [
            (named("db.example"), &nobody, "self-signed certificate"),
            (named("other.example"), &known, "hostname mismatch"),
        ] {
            let (cause, heard) = asked(options, identity);
            assert_eq!((cause.as_str(), heard), (reason, None));
        }
    }
}
