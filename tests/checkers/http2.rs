//! `GRPC_CHECK`, and HTTP/2 of `HTTP_GET` and `SSL_GET`: what servers answer, and what they do to
//! their clients.

use std::time::Duration;

use super::cuts::{peak, shortest, shortest_over_tls, verdicts};
use super::http2_servers::{Fields, Reply, Then, field, frame, raw, replies};
use super::matrix::Verdict::{self, Bad, Good, InTurns, Late};
use super::matrix::{RESET, judge, row};
use super::rig::{Director, block_on};
use super::servers::Manner::{
    self, Closes, Drips, EndsMidway, Filtered, Flaps, Garbage, HalfOpen, Huge, Refused, Resets,
    ResetsMidway, Silent, StallsMidway, Up,
};
use super::servers::{Words, acceptor, says, speaks, stream};

const GRPC: &str = "GRPC_CHECK {\nconnect_timeout 0.5\nretry 0\n}";
const GRPC_TLS: &str = "GRPC_CHECK {\ntls\nconnect_timeout 0.5\nretry 0\n}";
const H2: &[u8] = b"\x02h2";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const GRPC_KIND: Fields = &[("content-type", "application/grpc")];
const FINE: Fields = &[("grpc-status", "0")];

const HEALTHY: Reply =
    Reply { status: 200, header: GRPC_KIND, body: SERVING, trailers: Some(FINE), endless: false };

/// What a server of gRPC says, and what is made of it.
const REPLIES: &[(&str, Reply, Verdict)] = &[
    ("up", HEALTHY, Good),
    (
        "up, by other names",
        Reply {
            header: &[("content-type", "application/grpc+proto"), ("grpc-encoding", "identity")],
            trailers: Some(&[("grpc-status", "0"), ("grpc-message", ""), ("x", "y")]),
            ..HEALTHY
        },
        Good,
    ),
    ("not serving", Reply { body: &[0, 0, 0, 0, 2, 8, 2], ..HEALTHY }, Bad(&[": NOT_SERVING."])),
    ("unknown", Reply { body: &[0, 0, 0, 0, 0], ..HEALTHY }, Bad(&[": UNKNOWN."])),
    (
        "service unknown",
        Reply { body: &[0, 0, 0, 0, 2, 8, 3], ..HEALTHY },
        Bad(&[": SERVICE_UNKNOWN."]),
    ),
    (
        "unimplemented, at once",
        Reply {
            header: &[
                ("content-type", "application/grpc"),
                ("grpc-status", "12"),
                ("grpc-message", "unknown service grpc.health.v1.Health"),
            ],
            body: b"",
            trailers: None,
            ..HEALTHY
        },
        Bad(&["grpc-status 12 UNIMPLEMENTED: unknown service grpc.health.v1.Health"]),
    ),
    (
        "not found, in trailers",
        Reply {
            body: b"",
            trailers: Some(&[("grpc-status", "5"), ("grpc-message", "unknown%20service%0a")]),
            ..HEALTHY
        },
        Bad(&["grpc-status 5 NOT_FOUND: unknown service."]),
    ),
    (
        "serving, and an error",
        Reply { trailers: Some(&[("grpc-status", "14")]), ..HEALTHY },
        Bad(&["grpc-status 14 UNAVAILABLE."]),
    ),
    (
        "a strange status",
        Reply { trailers: Some(&[("grpc-status", "fine")]), ..HEALTHY },
        Bad(&["grpc-status 'fine' is no number"]),
    ),
    ("no trailers", Reply { trailers: None, ..HEALTHY }, Bad(&["the answer has no grpc-status"])),
    (
        "a status that is no trailer",
        Reply {
            header: &[("content-type", "application/grpc"), ("grpc-status", "0")],
            trailers: None,
            ..HEALTHY
        },
        Bad(&["the answer has no grpc-status"]),
    ),
    (
        "no message",
        Reply { body: b"", trailers: Some(FINE), ..HEALTHY },
        Bad(&["the answer has no message"]),
    ),
    ("a cut message", Reply { body: &[0, 0, 0, 0, 2, 8], ..HEALTHY }, Bad(&["is cut short"])),
    ("a compressed one", Reply { body: &[1, 0, 0, 0, 2, 8, 1], ..HEALTHY }, Bad(&["compressed"])),
    (
        "two",
        Reply { body: &[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1], ..HEALTHY },
        Bad(&["more than one message"]),
    ),
    (
        "a long one",
        Reply { body: &[0, 0xff, 0xff, 0xff, 0xff, 8, 1], ..HEALTHY },
        Bad(&["the answer would have 4294967295 bytes"]),
    ),
    (
        "a broken one",
        Reply { body: &[0, 0, 0, 0, 2, 8, 0x80], ..HEALTHY },
        Bad(&["no message of gRPC health"]),
    ),
    ("endless data", Reply { endless: true, ..HEALTHY }, Bad(&["more than one message"])),
    ("busy", Reply { status: 503, ..HEALTHY }, Bad(&["the HTTP status is 503"])),
    (
        "a web server",
        Reply { header: &[("content-type", "text/html")], ..HEALTHY },
        Bad(&["content-type is 'text/html', not application/grpc"]),
    ),
    (
        "grpc-web",
        Reply { header: &[("content-type", "application/grpc-web+proto")], ..HEALTHY },
        Bad(&["content-type is 'application/grpc-web+proto'"]),
    ),
];

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// `:status 200` is in the static table.
fn head() -> Vec<u8> {
    let block = [vec![0x88], field("content-type", "application/grpc")].concat();
    frame(HEADERS, END_HEADERS, 1, &block)
}

fn trailers() -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &field("grpc-status", "0"))
}

/// A good answer, frame by frame.
fn healthy() -> Vec<u8> {
    [settings(), head(), frame(DATA, 0, 1, SERVING), trailers()].concat()
}

fn goaway(last: u32, code: u32, text: &str) -> Vec<u8> {
    let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), text.as_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

/// For the rest of this process.
fn kept(bytes: Vec<u8>) -> &'static [u8] {
    Box::leak(bytes.into_boxed_slice())
}

/// What is no good server, frame by frame.
fn hostile() -> Vec<(&'static str, Vec<u8>, Then, Verdict)> {
    use Then::{Repeats, Stays};
    let closed = || Then::Closes;
    let after = |more: Vec<u8>| [settings(), more].concat();
    let setting = |number: u16, value: u32| {
        let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &payload)
    };
    let early = frame(HEADERS, END_HEADERS, 1, b"\x08\x03103");
    let big = [vec![0x88], field("x", &"y".repeat(120)).repeat(560)].concat();
    let mut pieces = big.chunks(16_000);
    let mut continued = frame(HEADERS, 0, 1, pieces.next().unwrap());
    continued.extend(pieces.flat_map(|piece| frame(CONTINUATION, 0, 1, piece)));
    continued.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    // One field of 4000 bytes goes into the dynamic table, and is meant again and again.
    let mut bomb = vec![0x88, 0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let broken = Bad(&["breaks the rules of HTTP/2"]);
    let header = Bad(&["header is malformed or too long", "breaks the rules of HTTP/2"]);
    let long = Bad(&["the answer's header is too long"]);
    let silent = Late("no answer in time");
    let much = Bad(&["more than 256 KiB came, and no end"]);
    let kept_ping = kept(frame(PING, 0, 0, b"12345678"));
    let kept_empty = kept(frame(DATA, 0, 1, &[]));
    let kept_early = kept(early.clone());
    let kept_more = kept(frame(CONTINUATION, 0, 1, &field("x", "y").repeat(200)));
    vec![
        ("raw: up", healthy(), Stays, Good),
        ("raw: up, and ends", healthy(), closed(), Good),
        ("raw: up, then a reset", [healthy(), reset(0)].concat(), Stays, Good),
        ("raw: up after 103", after([early, healthy()].concat()), Stays, Good),
        (
            "raw: up, going away",
            after([head(), goaway(1, 0, ""), frame(DATA, 0, 1, SERVING), trailers()].concat()),
            Stays,
            Good,
        ),
        ("raw: up, gone away", [healthy(), goaway(1, 0, "bye")].concat(), closed(), Good),
        ("HTTP/1 answer", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), closed(), {
            Bad(&["the server answers in HTTP/1, not HTTP/2"])
        }),
        ("HTTP/1 answer, stays", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Stays, {
            Bad(&["the server answers in HTTP/1, not HTTP/2"])
        }),
        ("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46".to_vec(), closed(), {
            Bad(&["the server speaks TLS, not HTTP/2 in plain text"])
        }),
        ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), Stays, Bad(&["what comes is not HTTP/2"])),
        ("settings, then silence", settings(), Stays, silent),
        ("header, then silence", after(head()), Stays, silent),
        ("message, then silence", after([head(), frame(DATA, 0, 1, SERVING)].concat()), Stays, {
            silent
        }),
        (
            "settings, then the end",
            settings(),
            closed(),
            Bad(&["the server closed the connection"]),
        ),
        ("header, then the end", after(head()), closed(), Bad(&["the server closed the"])),
        ("GOAWAY", after(goaway(0, 0, "bye")), Stays, {
            Bad(&["the server ended the connection: GOAWAY NO_ERROR (bye)"])
        }),
        ("GOAWAY, an error", after(goaway(0, 11, "slow\ndown")), closed(), {
            Bad(&["GOAWAY ENHANCE_YOUR_CALM (slow\\ndown)"])
        }),
        ("GOAWAY within the answer", after([head(), goaway(1, 2, "oh")].concat()), closed(), {
            Bad(&["GOAWAY INTERNAL_ERROR (oh)"])
        }),
        ("GOAWAY, long", after(goaway(0, 2, &"x".repeat(9000))), closed(), Bad(&["xxx)"])),
        ("RST_STREAM", after(reset(7)), Stays, {
            Bad(&["the server reset the stream: RST_STREAM REFUSED_STREAM"])
        }),
        ("RST_STREAM midway", after([head(), reset(8)].concat()), Stays, {
            Bad(&["RST_STREAM CANCEL"])
        }),
        ("HTTP_1_1_REQUIRED", after(reset(13)), Stays, Bad(&["RST_STREAM HTTP_1_1_REQUIRED"])),
        ("data before the header", after(frame(DATA, 0, 1, SERVING)), Stays, broken),
        ("a header of 70 kB", after(continued), Stays, header),
        ("a header that does not end", after(frame(HEADERS, 0, 1, &[0x88])), Stays, silent),
        ("endless CONTINUATION", after(frame(HEADERS, 0, 1, &[0x88])), Repeats(kept_more), long),
        ("a bomb of fields", after(frame(HEADERS, END_HEADERS, 1, &bomb)), Stays, long),
        (
            "a header without status",
            after(frame(HEADERS, END_HEADERS, 1, &field("x", "y"))),
            { Stays },
            header,
        ),
        ("a header of garbage", after(frame(HEADERS, END_HEADERS, 1, &[0xff; 99])), Stays, header),
        ("large letters", after(frame(HEADERS, END_HEADERS, 1, &field("X", "y"))), Stays, header),
        ("endless 103", settings(), Repeats(kept_early), much),
        ("endless PING", settings(), Repeats(kept_ping), much),
        ("endless SETTINGS", settings(), Repeats(kept(settings())), much),
        ("endless empty DATA", after(head()), Repeats(kept_empty), {
            Bad(&["more than 256 KiB came, and no end", "breaks the rules of HTTP/2"])
        }),
        ("endless strange frames", settings(), Repeats(kept(frame(0xbb, 0, 0, b"x"))), much),
        ("a window of nothing", setting(4, 0), Stays, silent),
        ("no streams", setting(3, 0), Stays, silent),
        ("a window beyond", setting(4, u32::MAX), Stays, broken),
        (
            "a window overflows",
            after(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])),
            { Stays },
            broken,
        ),
        ("a push", after(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])), Stays, broken),
        ("a frame too long", after(frame(DATA, 0, 1, &[0; 20_000])), Stays, broken),
        ("a stream that is none", after(frame(HEADERS, END_HEADERS, 9, &[0x88])), Stays, broken),
    ]
}

/// Manners that need no frames.
const MANNERS: &[(Manner, Verdict)] = &[
    (Up, Good),
    (Refused, Bad(&["no connection: Connection refused"])),
    (Filtered, Late("no connection in time")),
    (HalfOpen, Late("no answer in time")),
    (Silent, Late("no answer in time")),
    (Closes, Bad(&["the server closed the connection", RESET])),
    (Resets, Bad(&[RESET, "the server closed the connection"])),
    (ResetsMidway, Bad(&[RESET])),
    (EndsMidway, Bad(&["the server closed the connection", RESET])),
    (StallsMidway, Late("no answer in time")),
    (Drips, Late("no answer in time")),
    (Garbage, Bad(&["what comes is not HTTP/2"])),
    (Flaps, InTurns),
];

#[test]
fn every_answer_of_a_grpc_server_is_told_with_its_reason() {
    block_on(async {
        let tls = speaks(Some(H2));
        let mut rows = Vec::new();
        for (name, reply, verdict) in REPLIES {
            for (block, tls) in [(GRPC, None), (GRPC_TLS, Some(tls.clone()))] {
                let (server, _) = replies(*reply, tls.clone()).await;
                let name = format!("GRPC_CHECK {name}{}", tls.map_or("", |_| ", TLS"));
                let block = block.replace("0.5", "5");
                rows.push(tokio::spawn(row(name, server, block, *verdict)));
            }
        }
        judge(rows).await;
    });
}

#[test]
fn every_manner_of_a_grpc_server_is_told_in_time_with_its_reason() {
    block_on(async {
        let words: Words = Box::leak(Box::new([b"" as &[u8], kept(healthy())]));
        let mut rows = Vec::new();
        for (manner, verdict) in MANNERS {
            let server = stream(*manner, words, None).await;
            let name = format!("GRPC_CHECK {manner:?}");
            rows.push(tokio::spawn(row(name, server, GRPC.to_owned(), *verdict)));
        }
        for (name, bytes, then, verdict) in hostile() {
            let server = raw(bytes, then).await;
            let name = format!("GRPC_CHECK {name}");
            rows.push(tokio::spawn(row(name, server, GRPC.to_owned(), verdict)));
        }
        judge(rows).await;
    });
}

/// Over TLS: what the server speaks within it, and what is made of that.
#[test]
fn trouble_with_tls_is_told_for_what_it_is() {
    const VERIFIED: &str = "GRPC_CHECK {\ntls\nverify\nconnect_timeout 0.5\nretry 0\n}";
    const SECURE: &str =
        "SSL_GET {\nhttp_protocol 2\nurl {\npath /\n}\nconnect_timeout 0.5\nretry 0\n}";
    block_on(async {
        let words: Words = Box::leak(Box::new([b"" as &[u8], kept(healthy())]));
        let mut rows = Vec::new();
        let mut add = |name: &str, server, block: &str, verdict| {
            rows.push(tokio::spawn(row(name.to_owned(), server, block.to_owned(), verdict)));
        };
        let unchosen = Bad(&["the server did not choose HTTP/2 (h2) by ALPN"]);
        for (kind, block) in [("GRPC_CHECK", GRPC_TLS), ("SSL_GET", SECURE)] {
            let server = stream(Up, words, Some(acceptor())).await;
            add(&format!("{kind}, TLS without ALPN"), server, block, unchosen);
            let server = stream(Up, words, Some(speaks(Some(b"\x08http/1.1")))).await;
            add(&format!("{kind}, TLS for HTTP/1 only"), server, block, unchosen);
        }
        let server = stream(Up, words, Some(speaks(Some(H2)))).await;
        let refused = Bad(&["its certificate is refused: self-signed certificate"]);
        add("GRPC_CHECK, TLS of a stranger", server, VERIFIED, refused);
        let server = stream(Up, words, None).await;
        add("GRPC_CHECK, TLS to plain text", server, GRPC_TLS, Bad(&["no TLS: "]));
        let server = stream(Up, words, Some(speaks(Some(H2)))).await;
        let verdict = Bad(&["the server speaks TLS, not HTTP/2", "the server closed", RESET]);
        add("GRPC_CHECK, plain text to TLS", server, GRPC, verdict);
        for (what, bytes, closes, late) in [
            ("garbage", b"\x00\xff\x00\xff\x00\xff" as &[u8], false, false),
            ("an alert", b"\x15\x03\x03\x00\x02\x02\x46", false, false),
            ("a record that does not end", b"\x16\x03\x03\x40\x00\x02\x00", false, true),
            ("the end", b"\x16\x03\x03\x40\x00", true, false),
        ] {
            let verdict = if late { Late("no TLS in time") } else { Bad(&["no TLS: "]) };
            let name = format!("GRPC_CHECK, for TLS {what}");
            add(&name, says(bytes, closes).await, GRPC_TLS, verdict);
        }
        for (manner, verdict) in [
            (Silent, Late("no answer in time")),
            (Closes, Bad(&["the server closed the connection", RESET])),
            (ResetsMidway, Bad(&[RESET])),
            (EndsMidway, Bad(&["the server closed the connection", RESET])),
            (StallsMidway, Late("no answer in time")),
            (Garbage, Bad(&["what comes is not HTTP/2"])),
        ] {
            let server = stream(manner, words, Some(speaks(Some(H2)))).await;
            add(&format!("GRPC_CHECK, TLS {manner:?}"), server, GRPC_TLS, verdict);
        }
        judge(rows).await;
    });
}

#[test]
fn the_request_is_one_of_grpc_for_the_service_that_is_asked_about() {
    block_on(async {
        let tls = speaks(Some(H2));
        for (words, scheme, authority, body) in [
            ("", "http", None, &b"\0\0\0\0\0"[..]),
            ("service a.b\nauthority web:8080", "http", Some("web:8080"), b"\0\0\0\0\x05\n\x03a.b"),
            ("tls\nenable_sni\nvirtualhost web", "https", Some("web"), b"\0\0\0\0\0"),
        ] {
            let secure = words.contains("tls").then(|| tls.clone());
            let (server, heard) = replies(HEALTHY, secure).await;
            let block = format!("GRPC_CHECK {{\n{words}\nconnect_timeout 5\n}}");
            let asked = Director::new(server.port, &block).ask().await;
            assert!(asked.good, "{asked:#?}");
            let (request, sent) = heard.lock().unwrap().pop().unwrap();
            let address = format!("127.0.0.1:{}", server.port);
            let authority = authority.unwrap_or(&address);
            let uri = format!("{scheme}://{authority}/grpc.health.v1.Health/Check");
            assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", uri));
            for (name, value) in [
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("grpc-timeout", "5000m"),
            ] {
                assert_eq!(request.headers().get(name).unwrap(), value);
            }
            assert_eq!(sent, body);
        }
    });
}

const PAGE: Reply = Reply {
    status: 200,
    header: &[("content-length", "5"), ("server", "x")],
    body: b"hello",
    trailers: None,
    endless: false,
};

/// Words within the url, what the server says, and what is made of it: as with HTTP/1.
const PAGES: &[(&str, Reply, Verdict)] = &[
    ("", PAGE, Good),
    ("status_code 200", Reply { trailers: Some(&[("x", "y")]), ..PAGE }, Good),
    ("status_code 204", Reply { status: 204, header: &[], body: b"", ..PAGE }, Good),
    ("", Reply { status: 404, ..PAGE }, Bad(&["HTTP status code error to", "status_code(404)"])),
    ("status_code 404", Reply { status: 404, ..PAGE }, Good),
    ("digest 5d41402abc4b2a76b9719d911017c592", PAGE, Good),
    ("digest 00000000000000000000000000000000", PAGE, Bad(&["MD5 digest error to"])),
    ("regex H.LLO\nregex_options caseless", PAGE, Good),
    ("regex goodbye", PAGE, Bad(&["Regex match failed to"])),
    ("regex goodbye\nregex_no_match", PAGE, Good),
    ("regex hello\nregex_min_offset 1", PAGE, Bad(&["Regex match failed to"])),
    ("", Reply { body: b"hell", ..PAGE }, Bad(&["breaks the rules of HTTP/2: PROTOCOL_ERROR"])),
    ("", Reply { body: b"hello, more", ..PAGE }, Bad(&["breaks the rules of HTTP/2"])),
    ("regex hello", Reply { header: &[], ..PAGE }, Good),
];

/// `HTTP_GET`, or `SSL_GET` where `tls`, with the words of its url.
fn page(tls: bool, words: &str) -> String {
    let kind = if tls { "SSL_GET" } else { "HTTP_GET" };
    format!(
        "{kind} {{\nhttp_protocol 2\nvirtualhost web:8080\nurl {{\npath /x?y=1\n{words}\n}}\n\
         connect_timeout 0.5\nretry 0\n}}"
    )
}

#[test]
fn an_answer_over_http2_is_judged_as_one_over_http1() {
    block_on(async {
        let acceptor = speaks(Some(H2));
        let mut rows = Vec::new();
        for (words, reply, verdict) in PAGES {
            for tls in [false, true] {
                let (server, _) = replies(*reply, tls.then(|| acceptor.clone())).await;
                let name = format!("HTTP/2{} {words:?}", if tls { ", TLS" } else { "" });
                let block = page(tls, words).replace("0.5", "5");
                rows.push(tokio::spawn(row(name, server, block, *verdict)));
            }
        }
        judge(rows).await;
    });
}

#[test]
fn every_manner_of_a_server_of_http2_is_told_in_time_with_its_reason() {
    block_on(async {
        let answer = [
            settings(),
            frame(HEADERS, END_HEADERS, 1, &[vec![0x88], field("x", "y")].concat()),
            frame(DATA, END_STREAM, 1, b"hello"),
        ];
        let words: Words = Box::leak(Box::new([b"" as &[u8], kept(answer.concat())]));
        let mut rows = Vec::new();
        let closed = Bad(&["Read error with server"]);
        for (manner, verdict) in [
            (Up, Good),
            (Refused, Bad(&["Error connecting server [127.0.0.1]"])),
            (Filtered, Late("Timeout connecting server")),
            (HalfOpen, Late("Timeout HTTP read server")),
            (Silent, Late("Timeout HTTP read server")),
            (Closes, closed),
            (Resets, closed),
            (ResetsMidway, closed),
            (EndsMidway, closed),
            (StallsMidway, Late("Timeout HTTP read server")),
            (Drips, Late("Timeout HTTP read server")),
            (Garbage, Bad(&["what comes is not HTTP/2"])),
            (Huge, Good),
            (Flaps, InTurns),
        ] {
            let server = stream(manner, words, None).await;
            let name = format!("HTTP/2 {manner:?}");
            rows.push(tokio::spawn(row(name, server, page(false, ""), verdict)));
        }
        let endless = kept(frame(PING, 0, 0, b"12345678"));
        let first = |more: Vec<u8>| [settings(), more].concat();
        for (name, bytes, then, verdict) in [
            (
                "HTTP/1",
                b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                Then::Stays,
                Bad(&["the server answers in HTTP/1, not HTTP/2"] as &[_]),
            ),
            ("GOAWAY", first(goaway(0, 0, "bye")), Then::Stays, Bad(&["GOAWAY NO_ERROR (bye)"])),
            ("RST_STREAM", first(reset(2)), Then::Stays, Bad(&["RST_STREAM INTERNAL_ERROR"])),
            ("pings", settings(), Then::Repeats(endless), Late("Timeout HTTP read server")),
        ] {
            let server = raw(bytes, then).await;
            let name = format!("HTTP/2 {name}");
            rows.push(tokio::spawn(row(name, server, page(false, ""), verdict)));
        }
        judge(rows).await;
    });
}

#[test]
fn a_request_over_http2_asks_for_the_url_of_the_virtual_host() {
    block_on(async {
        for tls in [false, true] {
            let (server, heard) = replies(PAGE, tls.then(|| speaks(Some(H2)))).await;
            let asked = Director::new(server.port, &page(tls, "").replace("0.5", "5")).ask().await;
            assert!(asked.good, "{asked:#?}");
            let (request, sent) = heard.lock().unwrap().pop().unwrap();
            let scheme = if tls { "https" } else { "http" };
            assert_eq!(request.uri().to_string(), format!("{scheme}://web:8080/x?y=1"));
            assert_eq!((request.method().as_str(), sent.len()), ("GET", 0));
            assert_eq!(request.headers().get("user-agent").unwrap(), "KeepAliveClient");
        }
    });
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_bad_until_it_has_ended() {
    let whole = kept(healthy());
    let words: Words = Box::leak(Box::new([b"" as &[u8], whole]));
    let check = GRPC.replace("0.5", "5");
    assert_eq!(shortest("GRPC_CHECK", &verdicts(&check, words, None)), whole.len());
    let page =
        [settings(), frame(HEADERS, END_HEADERS, 1, &[0x88]), frame(DATA, END_STREAM, 1, b"hello")];
    let whole = kept(page.concat());
    let words: Words = Box::leak(Box::new([b"" as &[u8], whole]));
    let check = "HTTP_GET {\nhttp_protocol 2\nurl {\npath /\n}\nconnect_timeout 5\nretry 0\n}";
    assert_eq!(shortest("HTTP/2", &verdicts(check, words, None)), whole.len());
}

#[test]
fn a_tls_conversation_of_grpc_that_is_cut_at_any_byte_is_bad_until_the_answer_is_there() {
    let words: Words = Box::leak(Box::new([b"" as &[u8], kept(healthy())]));
    let check = GRPC_TLS.replace("0.5", "5");
    let found = verdicts(&check, words, Some(speaks(Some(H2))));
    let least = shortest_over_tls("GRPC_CHECK over TLS", &found);
    assert!(least > 500, "certificate, handshake and answer: {least}");
}

#[test]
fn answers_without_end_take_no_memory() {
    block_on(async {
        let (server, _) = replies(Reply { header: &[], endless: true, ..PAGE }, None).await;
        let flood = raw(settings(), Then::Repeats(kept(frame(PING, 0, 0, b"12345678")))).await;
        let before = peak();
        let block = page(false, "").replace("0.5", "3");
        for server in [server, flood] {
            let asked = Director::new(server.port, &block).ask().await;
            assert!(!asked.good && asked.took >= Duration::from_secs(3), "{asked:?}");
            let (grown, said) = (peak() - before, server.said() >> 20);
            println!("{said} MB said in {} ms, {grown} kB of memory", asked.took.as_millis());
            assert!(said > 10, "only {said} MB");
            assert!(grown < 16 << 10, "{grown} kB for {said} MB");
        }
    });
}

#[test]
fn a_certificate_of_a_grpc_server_that_ends_soon_is_told_of() {
    block_on(async {
        let (server, _) = replies(HEALTHY, Some(speaks(Some(H2)))).await;
        let block = "GRPC_CHECK {\ntls\nexpiry_warning 7\nconnect_timeout 5\n}";
        let asked = Director::new(server.port, block).ask().await;
        assert!(asked.good && asked.serving == 1, "{asked:#?}");
        assert!(asked.log.contains("its certificate ends"), "{asked:#?}");
    });
}
