//! `UDP_CHECK`: a datagram is not refused, or is answered as it should be.

use std::io;

use socket2::{Protocol, Type};

use super::datagram::{Datagrams, token};
use super::{failure, lack};
use crate::check::engine::Outcome;
use crate::core::config::model::check::{UdpProbe, UdpReply};

/// Asks. Without `require_reply` silence is as good as an answer: only a port or host that is
/// reported unreachable is a failure.
pub async fn probe(udp: &UdpProbe, server: &str) -> Outcome {
    let limit = udp.connect.timeout.to_duration();
    let answered = tokio::time::timeout(limit, exchange(udp)).await;
    let text = match (answered, &udp.reply) {
        (Ok(Ok(answer)), Some(reply)) if !fits(reply, &answer) => {
            let cause = format!("{} bytes came", answer.len());
            return failure(format!("UDP check to {server} reply data mismatch."), Some(cause));
        }
        (Ok(Ok(_)), _) | (Err(_), None) => format!("UDP connection to {server} success."),
        (Ok(Err(error)), _) if lack::is_ours(&error) => {
            return Outcome::Unasked { why: error.to_string() };
        }
        (Ok(Err(error)), _) => {
            let text = format!("UDP connection to {server} failed.");
            return failure(text, Some(error.to_string()));
        }
        (Err(_), Some(_)) => {
            let cause = "no answer in time".to_owned();
            return failure(format!("UDP connection to {server} failed."), Some(cause));
        }
    };
    Outcome::Success { text, weight: None, warning: None }
}

async fn exchange(udp: &UdpProbe) -> io::Result<Vec<u8>> {
    let socket = Datagrams::open(&udp.connect, Type::DGRAM, Protocol::UDP)?;
    let unspecified = token();
    socket.send(udp.payload.as_deref().unwrap_or(&unspecified)).await?;
    // One byte more tells an answer that is too long.
    let longest = udp.reply.as_ref().map_or(0, |reply| reply.longest);
    let mut buffer = vec![0; usize::from(longest) + 1];
    Ok(socket.receive(&mut buffer).await?.to_vec())
}

fn fits(reply: &UdpReply, answer: &[u8]) -> bool {
    let lengths = usize::from(reply.shortest)..=usize::from(reply.longest);
    lengths.contains(&answer.len())
        && answer.len() >= reply.start.len()
        && reply.start.iter().zip(answer).all(|(byte, found)| (byte.value ^ found) & byte.mask == 0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::net::UdpSocket;

    use super::*;
    use crate::check::probe::http::tests::{block_on, connect_to};
    use crate::core::config::values;

    /// A server that answers the first datagram, or not at all; gives what it heard.
    fn ask(
        payload: Option<&[u8]>,
        reply: Option<UdpReply>,
        answer: Option<Vec<u8>>,
    ) -> (Outcome, Vec<u8>) {
        block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let connect = connect_to(server.local_addr().unwrap());
            let payload = payload.map(<[u8]>::to_vec);
            let udp = UdpProbe { connect, payload, reply };
            let answers = async {
                let mut buffer = [0; 128];
                let (length, peer) = server.recv_from(&mut buffer).await.unwrap();
                if let Some(answer) = answer {
                    server.send_to(&answer, peer).await.unwrap();
                }
                buffer[..length].to_vec()
            };
            tokio::join!(probe(&udp, "S"), answers)
        })
    }

    fn wanted(start: &str, shortest: u16, longest: u16) -> UdpReply {
        let start = values::hex_pattern(start).unwrap_or_default();
        UdpReply { start, shortest, longest }
    }

    fn good(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Success { .. })
    }

    #[test]
    fn silence_is_good_unless_a_reply_is_required() {
        let (outcome, heard) = ask(Some(b"hi"), None, None);
        assert!(good(&outcome), "{outcome:?}");
        assert_eq!(heard, b"hi");
        let (outcome, heard) = ask(None, None, Some(vec![0; 9000]));
        assert!(good(&outcome), "{outcome:?}");
        assert_eq!(heard.len(), 16);
        let (outcome, _) = ask(None, Some(wanted("", 0, 255)), None);
        assert!(!good(&outcome), "{outcome:?}");
    }

    #[test]
    fn a_reply_must_have_the_right_start_and_length() {
        let judge = |reply, answer: &[u8]| good(&ask(None, Some(reply), Some(answer.to_vec())).0);
        assert!(judge(wanted("", 0, 255), b""));
        assert!(judge(wanted("", 0, 255), &[1; 255]));
        assert!(!judge(wanted("", 0, 255), &[1; 256]));
        assert!(!judge(wanted("", 0, 255), &vec![1; 65_000]));
        assert!(!judge(wanted("", 4, 255), b"abc"));
        assert!(judge(wanted("61x2", 0, 255), b"arc"));
        assert!(!judge(wanted("61x2", 0, 255), b"asc"));
        assert!(!judge(wanted("61x2", 0, 255), b"a"));
    }

    #[test]
    fn a_closed_port_fails_at_once() {
        block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut connect = connect_to(server.local_addr().unwrap());
            connect.timeout = crate::core::time::Interval::from_secs(60);
            drop(server);
            let started = Instant::now();
            let udp = UdpProbe { connect, payload: None, reply: None };
            let outcome = probe(&udp, "S").await;
            let Outcome::Failure { text, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(text, "UDP connection to S failed.");
            assert!(started.elapsed() < Duration::from_secs(30));
        });
    }
}
