//! `SMTP_CHECK`: the server greets (220) and answers HELO (250).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::smtp_reply::{Fault, Reply};
use super::{failure, lack, tcp};
use crate::check::engine::Outcome;
use crate::core::config::model::check::SmtpProbe;

const GREETING: u16 = 220;
const OK: u16 = 250;
/// The verdict is known by then; a server that says no goodbye is not waited for.
const GOODBYE: Duration = Duration::from_millis(500);

/// Asks. Connection, greeting and answer have `connect_timeout` each.
pub async fn probe(smtp: &SmtpProbe, server: &str) -> Outcome {
    match converse(smtp).await {
        Ok(()) => {
            let text = format!("Remote SMTP server {server} succeed on service.");
            Outcome::Success { text, weight: None, warning: None }
        }
        Err(trouble) => trouble.told(server),
    }
}

enum Trouble {
    Connect(io::Error),
    Write(io::Error),
    Read(io::Error),
    Reply(Fault),
    Greeting(u16),
    Helo(u16),
}

impl Trouble {
    fn told(self, server: &str) -> Outcome {
        if let Self::Connect(error) | Self::Write(error) | Self::Read(error) = &self
            && let Some(unasked) = lack::unasked(error)
        {
            return unasked;
        }
        let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        let (what, cause) = match self {
            Self::Connect(error) if timed_out(&error) => ("Connection timeout to", None),
            Self::Connect(error) => ("Error connecting to", Some(error.to_string())),
            Self::Write(error) if timed_out(&error) => ("Write timeout to", None),
            Self::Write(error) => ("Write failure to", Some(error.to_string())),
            Self::Read(error) if timed_out(&error) => ("Read timeout from", None),
            Self::Read(error) => ("Read failure from", Some(error.to_string())),
            Self::Reply(fault) => ("Read failure from", Some(fault.to_string())),
            Self::Greeting(code) => ("Bad greeting banner from", Some(format!("code {code}"))),
            Self::Helo(code) => ("Bad HELO response from", Some(format!("code {code}"))),
        };
        failure(format!("{what} server {server}"), cause)
    }
}

async fn converse(smtp: &SmtpProbe) -> Result<(), Trouble> {
    let limit = smtp.connect.timeout.to_duration();
    let stream = tcp::open(&smtp.connect).await.map_err(Trouble::Connect)?;
    let mut stream = BufReader::new(stream);
    match reply(&mut stream, limit).await? {
        GREETING => {}
        other => return Err(Trouble::Greeting(other)),
    }
    let hello = format!("HELO {}\r\n", smtp.helo);
    let writing = stream.write_all(hello.as_bytes());
    timed(limit, writing).await.map_err(Trouble::Write)?;
    match reply(&mut stream, limit).await? {
        OK => {}
        other => return Err(Trouble::Helo(other)),
    }
    // Out of politeness: whatever comes of it, the server has answered.
    let _ = timed(limit.min(GOODBYE), goodbye(&mut stream)).await;
    Ok(())
}

async fn goodbye(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    stream.write_all(b"QUIT\r\n").await?;
    // A connection closed with bytes unread is a reset in the server's log.
    while stream.read(&mut [0; 256]).await? > 0 {}
    Ok(())
}

/// A whole reply within `limit`, however slowly its bytes come.
async fn reply(stream: &mut (impl AsyncBufRead + Unpin), limit: Duration) -> Result<u16, Trouble> {
    let reading = async {
        let mut reply = Reply::default();
        loop {
            let bytes = stream.fill_buf().await.map_err(Trouble::Read)?;
            if bytes.is_empty() {
                return Err(Trouble::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let length = bytes.len();
            let mut found = None;
            for (place, byte) in bytes.iter().enumerate() {
                if let Some(code) = reply.feed(*byte).map_err(Trouble::Reply)? {
                    found = Some((place + 1, code));
                    break;
                }
            }
            stream.consume(found.map_or(length, |(used, _)| used));
            if let Some((_, code)) = found {
                return Ok(code);
            }
        }
    };
    let late = || Trouble::Read(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(late()))
}

async fn timed<T>(limit: Duration, action: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || Err(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(limit, action).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};

    /// What a server of one connection says: at once, after HELO, after QUIT. Gives what it heard.
    fn ask(says: [&'static [u8]; 3], closes: bool) -> (Outcome, String) {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = Vec::new();
                for words in says {
                    if stream.write_all(words).await.is_err() {
                        break;
                    }
                    let closed = closes && words.is_empty();
                    if closed || stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                String::from_utf8_lossy(&heard).into_owned()
            });
            let probe_config = SmtpProbe { connect, helo: "me.example".into() };
            let outcome = probe(&probe_config, "S").await;
            (outcome, server.await.unwrap())
        })
    }

    fn fails(says: [&'static [u8]; 3], closes: bool) -> String {
        match ask(says, closes).0 {
            Outcome::Failure { text, .. } => text,
            outcome @ (Outcome::Success { .. } | Outcome::Unasked { .. }) => {
                panic!("{says:?}: {outcome:?}")
            }
        }
    }

    #[test]
    fn a_server_that_greets_and_answers_is_well_and_hears_a_goodbye() {
        for says in [
            [&b"220 x\r\n"[..], b"250 x\r\n", b"221 bye\r\n"],
            [b"220-x\r\n220 y\r\n", b"250-x\r\n250 SIZE\r\n", b""],
        ] {
            let (outcome, heard) = ask(says, false);
            let text = "Remote SMTP server S succeed on service.".to_owned();
            assert_eq!(outcome, Outcome::Success { text, weight: None, warning: None });
            assert_eq!(heard, "HELO me.example\r\nQUIT\r\n");
        }
    }

    #[test]
    fn hostile_servers_fail_in_keepaliveds_words_within_the_time() {
        let started = Instant::now();
        let garbage: &[u8] = b"\x00\xff\n";
        assert_eq!(fails([b"554 no\r\n", b"", b""], true), "Bad greeting banner from server S");
        assert_eq!(
            fails([b"220 x\r\n", b"502 no\r\n", b""], true),
            "Bad HELO response from server S"
        );
        assert_eq!(fails([b"", b"", b""], true), "Read failure from server S");
        assert_eq!(fails([garbage, b"", b""], true), "Read failure from server S");
        assert_eq!(fails([b"220 x\r\n", b"", b""], true), "Read failure from server S");
        assert_eq!(fails([b"", b"", b""], false), "Read timeout from server S");
        assert_eq!(fails([b"220-x\r\n", b"", b""], false), "Read timeout from server S");
        assert_eq!(fails([b"220 x\r\n", b"", b""], false), "Read timeout from server S");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_drip_an_endless_answer_and_a_reset_fail_within_the_time() {
        let started = Instant::now();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(listener.local_addr().unwrap());
            let smtp = SmtpProbe { connect, helo: "me.example".into() };
            for (words, pause) in [(&b"2"[..], 20), (&b"220-more\r\n"[..], 0)] {
                let talks = async {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    while stream.write_all(words).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                };
                let (outcome, ()) = tokio::join!(probe(&smtp, "S"), talks);
                assert!(matches!(outcome, Outcome::Failure { .. }), "{words:?}: {outcome:?}");
            }
            let resets = async {
                let (stream, _) = listener.accept().await.unwrap();
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            };
            let (outcome, ()) = tokio::join!(probe(&smtp, "S"), resets);
            assert!(matches!(outcome, Outcome::Failure { .. }), "reset: {outcome:?}");
            drop(listener);
            let outcome = probe(&smtp, "S").await;
            let Outcome::Failure { text, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(text, "Error connecting to server S");
        });
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
