//! Answers that end at every byte, and answers that do not end: every verdict is in time, and memory
//! stays what it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openssl::ssl::SslAcceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rig::{Director, block_on};
use super::servers::{Manner, Server, acceptor, datagrams, stream};

/// A server whose every next connection gets one byte more of what `server` says, and then the end.
async fn cuts(server: &Server) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), server.port);
    let task = tokio::spawn(async move {
        for cut in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let real = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
            tokio::spawn(pass(client, real, cut));
        }
    });
    (port, task)
}

/// All of what the client says, `left` bytes of what the server says.
async fn pass(client: TcpStream, real: TcpStream, mut left: usize) {
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut real_reads, mut real_writes) = real.into_split();
    let forth = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut client_reads, &mut real_writes).await;
        // A server that has ended must not reset the client through us, before it has read the answer.
        let _ = tokio::io::copy(&mut client_reads, &mut tokio::io::sink()).await;
    });
    let mut buffer = [0; 4096];
    while left > 0 {
        let length = real_reads.read(&mut buffer).await.unwrap_or(0).min(left);
        if length == 0 || client_writes.write_all(&buffer[..length]).await.is_err() {
            break;
        }
        left -= length;
    }
    let _ = client_writes.shutdown().await;
    let _ = forth.await;
}

/// From the first cut on; the verdicts until the answer has been good for some cuts.
pub fn verdicts(
    check: &str,
    words: super::servers::Words,
    acceptor: Option<Arc<SslAcceptor>>,
) -> Vec<bool> {
    block_on(async {
        let server = stream(Manner::Up, words, acceptor).await;
        let (port, task) = cuts(&server).await;
        let mut director = Director::new(port, check);
        let mut found = Vec::new();
        let mut good = 0;
        while good < 20 {
            let asked = director.ask().await;
            assert!(
                asked.good || !asked.log.is_empty() || found.last() == Some(&false),
                "{asked:?}"
            );
            assert!(asked.good || asked.status.contains("127.0.0.1]:tcp"), "{asked:?}");
            if good > 0 && !asked.good {
                println!("bad again after {} cuts: {asked:?}", found.len());
            }
            good = if asked.good { good + 1 } else { 0 };
            found.push(asked.good);
            assert!(found.len() < 5000, "no answer is good");
        }
        task.abort();
        found
    })
}

/// The shortest answer that is good, after which every one is.
pub fn shortest(what: &str, found: &[bool]) -> usize {
    let first = found.iter().position(|good| *good).unwrap();
    assert!(found[first..].iter().all(|good| *good), "{what}: bad again after {first} bytes");
    println!("{what}: bad when cut before byte {first}, good from there");
    first
}

/// The same over TLS, where an ECDSA signature (RFC 8446 section 4.4.3, in DER) makes one conversation
/// some bytes longer than another.
pub fn shortest_over_tls(what: &str, found: &[bool]) -> usize {
    const DIFFERENCE: usize = 8;
    let first = found.iter().position(|good| *good).unwrap();
    let surely = &found[first + DIFFERENCE..];
    assert!(surely.iter().all(|good| *good), "{what}: bad again long after {first} bytes");
    println!("{what}: bad when cut before byte {first} or so, good from there");
    first
}

#[test]
fn an_http_answer_that_is_cut_is_bad_until_the_digest_is_right() {
    let whole = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let words: super::servers::Words = &[b"", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"];
    let digest = "HTTP_GET {\nurl {\npath /\ndigest 5d41402abc4b2a76b9719d911017c592\n}\nconnect_timeout 2\nretry 0\n}";
    assert_eq!(shortest("digest", &verdicts(digest, words, None)), whole.len());
    // With nothing asked of the body, the header is enough.
    let status = "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 2\nretry 0\n}";
    assert_eq!(shortest("status", &verdicts(status, words, None)), whole.len() - 5);
}

#[test]
fn words_and_smtp_that_are_cut_are_bad_until_they_are_whole() {
    let talk = "TCP_CHECK {\nconnect_timeout 2\nsend \"PING\"\nexpect \"PONG\"\nretry 0\n}";
    assert_eq!(shortest("words", &verdicts(talk, &[b"", b"+PONG\r\n"], None)), 5);
    let smtp = "SMTP_CHECK {\nconnect_timeout 2\nhelo_name me\nretry 0\n}";
    let words: super::servers::Words = &[b"220 a\r\n", b"250-b\r\n250 c\r\n"];
    assert_eq!(shortest("SMTP", &verdicts(smtp, words, None)), 7 + 14);
}

#[test]
fn a_tls_conversation_that_is_cut_at_any_byte_is_bad_until_the_answer_is_there() {
    let words: super::servers::Words = &[b"", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"];
    let check = "SSL_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 2\nretry 0\n}";
    let begun = Instant::now();
    let least = shortest_over_tls("SSL_GET", &verdicts(check, words, Some(acceptor())));
    assert!(least > 500, "certificate, handshake and answer: {least}");
    println!("{least} handshakes in {} ms", begun.elapsed().as_millis());
}

#[test]
fn an_answer_over_udp_that_is_cut_is_bad_until_its_header_is_there() {
    // Of an answer, the header of 12 bytes is read.
    let check = "DNS_CHECK {\ntype A\nname a\nconnect_timeout 0.05\nretry 0\n}";
    let found = block_on(async {
        let answer = |cut: usize, query: &[u8]| {
            let mut answer = query.to_vec();
            answer[2] |= 0x80;
            answer.truncate(cut);
            vec![answer]
        };
        let server = datagrams(answer, Duration::ZERO).await;
        let mut director = Director::new(server.port, check);
        let mut found = Vec::new();
        for _ in 0..20 {
            found.push(director.ask().await.good);
        }
        found
    });
    assert_eq!(shortest("DNS", &found), 12);
    let check = "UDP_CHECK {\nconnect_timeout 2\nretry 0\nrequire_reply 706f6e67\n}";
    let found = block_on(async {
        let answer = |cut: usize, _: &[u8]| vec![b"pong and more"[..cut.min(13)].to_vec()];
        let server = datagrams(answer, Duration::ZERO).await;
        let mut director = Director::new(server.port, check);
        let mut found = Vec::new();
        for _ in 0..14 {
            found.push(director.ask().await.good);
        }
        found
    });
    assert_eq!(shortest("UDP", &found), 4);
}

/// The most memory that this process has had, in kB.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn hundreds_of_megabytes_are_read_in_bounded_memory() {
    let words: super::servers::Words = &[b"", b"HTTP/1.0 200 OK\r\n\r\n"];
    for (tls, kind, patience) in [(false, "HTTP_GET", 5), (true, "SSL_GET", 4)] {
        let check = format!(
            "{kind} {{\nurl {{\npath /\nstatus_code 200\n}}\nconnect_timeout {patience}\nretry 0\n}}"
        );
        block_on(async {
            let server = stream(Manner::Huge, words, tls.then(acceptor)).await;
            let before = peak();
            let mut director = Director::new(server.port, &check);
            let asked = director.ask().await;
            assert!(!asked.good && asked.took >= Duration::from_secs(patience), "{asked:?}");
            let grown = peak() - before;
            let said = server.said() >> 20;
            println!(
                "{kind}: {said} MB said in {} ms, {grown} kB of memory",
                asked.took.as_millis()
            );
            assert!(said > 20, "only {said} MB");
            assert!(grown < 16 << 10, "{grown} kB for {said} MB");
        });
    }
}
