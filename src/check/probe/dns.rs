//! `DNS_CHECK`: a query is answered without an error.

use std::io;

use socket2::{Protocol, Type};

use super::datagram::{Datagrams, token};
use super::{dns_message, failure, lack};
use crate::check::engine::Outcome;
use crate::core::config::model::check::DnsProbe;

/// The header is all that is read; what does not fit of an answer is not missed.
const BUFFER: usize = 512;

/// Asks. Which records come back does not matter, only the response code.
pub async fn probe(dns: &DnsProbe, server: &str) -> Outcome {
    let limit = dns.connect.timeout.to_duration();
    // What came that was no answer to our question.
    let mut strange = 0_u64;
    let (what, cause) = match tokio::time::timeout(limit, exchange(dns, &mut strange)).await {
        Ok(Ok(0)) => {
            let text = format!("DNS_CHECK ({server}) success.");
            return Outcome::Success { text, weight: None, warning: None };
        }
        Ok(Ok(code)) => (
            format!("read error occurred. (rcode = {code})"),
            Some(dns_message::code_name(code).to_owned()),
        ),
        Ok(Err(Trouble::Connect(error) | Trouble::Write(error) | Trouble::Read(error)))
            if lack::is_ours(&error) =>
        {
            return Outcome::Unasked { why: error.to_string() };
        }
        Ok(Err(Trouble::Connect(error))) => {
            ("connection error.".to_owned(), Some(error.to_string()))
        }
        Ok(Err(Trouble::Write(error))) => {
            ("failed to write socket.".to_owned(), Some(error.to_string()))
        }
        Ok(Err(Trouble::Read(error))) => {
            let number = error.raw_os_error().unwrap_or(0);
            let name = nix::errno::Errno::from_raw(number).desc();
            (format!("failed to read socket; errno {number} ({name})"), None)
        }
        Err(_) => {
            let cause = (strange > 0).then(|| format!("{strange} datagrams were no answer"));
            ("read timeout from socket".to_owned(), cause)
        }
    };
    failure(format!("DNS_CHECK ({server}) {what}"), cause)
}

enum Trouble {
    Connect(io::Error),
    Write(io::Error),
    Read(io::Error),
}

/// The response code.
async fn exchange(dns: &DnsProbe, strange: &mut u64) -> Result<u8, Trouble> {
    let socket =
        Datagrams::open(&dns.connect, Type::DGRAM, Protocol::UDP).map_err(Trouble::Connect)?;
    let [high, low, ..] = token();
    let id = u16::from_be_bytes([high, low]);
    let query = dns_message::query(id, &dns.name, dns.record);
    socket.send(&query).await.map_err(Trouble::Write)?;
    let mut buffer = [0; BUFFER];
    loop {
        let message = socket.receive(&mut buffer).await.map_err(Trouble::Read)?;
        if let Some(code) = dns_message::response_code(id, message) {
            return Ok(code);
        }
        *strange = strange.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::net::UdpSocket;

    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};
    use crate::core::config::model::check::RecordType;

    /// A server that makes its answers from the query.
    fn ask(answers: impl FnOnce(&[u8]) -> Vec<Vec<u8>>) -> Outcome {
        block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(server.local_addr().unwrap());
            let dns = DnsProbe { connect, record: RecordType::A, name: vec!["example".into()] };
            let serves = async {
                let mut buffer = [0; 512];
                let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
                for answer in answers(&buffer[..length]) {
                    server.send_to(&answer, peer).await.unwrap();
                }
            };
            tokio::join!(probe(&dns, "S"), serves).0
        })
    }

    fn answer(query: &[u8], code: u8) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2] |= 0x80;
        message[3] = 0x80 | code;
        message
    }

    fn told(outcome: Outcome) -> (String, Option<String>) {
        match outcome {
            Outcome::Failure { text, cause } => (text, cause),
            Outcome::Success { text, .. } | Outcome::Unasked { why: text } => panic!("{text}"),
        }
    }

    #[test]
    fn an_answer_without_error_is_good_and_one_with_an_error_is_not() {
        let outcome = ask(|query| vec![answer(query, 0)]);
        assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        let (text, cause) = told(ask(|query| vec![answer(query, 2)]));
        assert_eq!(text, "DNS_CHECK (S) read error occurred. (rcode = 2)");
        assert_eq!(cause.as_deref(), Some("SERVFAIL"));
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_passed_over() {
        let other = |query: &[u8]| {
            let mut message = answer(query, 0);
            message[0] ^= 1;
            message
        };
        let outcome = ask(|query| {
            vec![Vec::new(), vec![0xff; 3], query.to_vec(), other(query), answer(query, 0)]
        });
        assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        let started = Instant::now();
        let (text, cause) = told(ask(|query| vec![other(query), vec![0; 60_000]]));
        assert_eq!(text, "DNS_CHECK (S) read timeout from socket");
        assert_eq!(cause.as_deref(), Some("2 datagrams were no answer"));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_silent_server_and_a_closed_port_are_failures() {
        assert_eq!(
            told(ask(|_| Vec::new())),
            ("DNS_CHECK (S) read timeout from socket".into(), None)
        );
        block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(server.local_addr().unwrap());
            drop(server);
            let dns = DnsProbe { connect, record: RecordType::Soa, name: Vec::new() };
            let (text, _) = told(probe(&dns, "S").await);
            let expected = "DNS_CHECK (S) failed to read socket; errno 111 (Connection refused)";
            assert_eq!(text, expected);
        });
    }
}
