//! The matrix: a row for each checker and each manner of its server.

use std::path::Path;
use std::time::Duration;

use super::rig::{Director, PATIENCE, SLACK, block_on};
use super::servers::{Manner, Server, Words, acceptor, datagrams, no_datagrams, says, stream};
use Manner::{
    Closes, Drips, EndsMidway, Filtered, Flaps, Garbage, HalfOpen, Huge, Refused, Resets,
    ResetsMidway, Silent, StallsMidway, Up,
};

/// What is expected.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// The server is up.
    Good,
    /// It is down, at once, for one of these reasons.
    Bad(&'static [&'static str]),
    /// It is down, when its time is up and not before, for this reason.
    Late(&'static str),
    /// Good and bad in turns.
    InTurns,
}
use Verdict::{Bad, Good, InTurns, Late};

/// A checker with its servers.
struct Kind {
    name: &'static str,
    /// Its block.
    block: &'static str,
    words: Words,
    tls: bool,
    rows: &'static [(Manner, Verdict)],
}

pub const RESET: &str = "Connection reset by peer";
const HTTP: &str = "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 0.5\nretry 0\n}";
const SSL: &str = "SSL_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 0.5\nretry 0\n}";
const TALK: &str = "TCP_CHECK {\nconnect_timeout 0.5\nsend \"PING\"\nexpect \"^.PONG\"\nretry 0\n}";
const AGENT: &str = "AGENT_CHECK {\nconnect_timeout 0.5\nretry 0\n}";
const SMTP: &str = "SMTP_CHECK {\nconnect_timeout 0.5\nhelo_name me\nretry 0\n}";
const ANSWER: Words = &[b"", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"];

const KINDS: &[Kind] = &[
    Kind {
        name: "TCP_CHECK",
        block: "TCP_CHECK {\nconnect_timeout 0.5\n}",
        words: &[b""],
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["failed. (Connection refused"])),
            (Filtered, Late("timeout.")),
            // A connection is all that it asks for.
            (HalfOpen, Good),
            (Silent, Good),
            (Closes, Good),
            (Resets, Good),
            (Garbage, Good),
            (Huge, Good),
        ],
    },
    Kind {
        name: "TCP_CHECK, words",
        block: TALK,
        words: &[b"", b"+PONG\r\n"],
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["failed. (Connection refused"])),
            (Filtered, Late("timeout.")),
            (HalfOpen, Late("no answer in time")),
            (Silent, Late("no answer in time")),
            (Closes, Bad(&["the server ended", RESET, "Broken pipe"])),
            (Resets, Bad(&[RESET, "Broken pipe"])),
            (ResetsMidway, Bad(&[RESET])),
            (EndsMidway, Bad(&["the server ended"])),
            (StallsMidway, Late("no answer in time")),
            (Drips, Late("no answer in time")),
            (Garbage, Late("no answer in time")),
            (Huge, Good),
            (Flaps, InTurns),
        ],
    },
    Kind {
        name: "TCP_CHECK, other words",
        block: TALK,
        words: &[b"", b"no such command\r\n"],
        tls: false,
        rows: &[(Up, Late("no answer in time")), (Huge, Bad(&["a long answer"]))],
    },
    Kind {
        name: "HTTP_GET",
        block: HTTP,
        words: ANSWER,
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["Error connecting server [127.0.0.1]"])),
            (Filtered, Late("Timeout connecting server")),
            (HalfOpen, Late("Timeout HTTP read server")),
            (Silent, Late("Timeout HTTP read server")),
            (Closes, Bad(&["Read error with server"])),
            (Resets, Bad(&["Read error with server"])),
            (ResetsMidway, Bad(&["Read error with server"])),
            (EndsMidway, Bad(&["Read error with server"])),
            (StallsMidway, Late("Timeout HTTP read server")),
            (Drips, Late("Timeout HTTP read server")),
            (Garbage, Bad(&["the answer is not HTTP"])),
            // What comes after the announced length is not waited for.
            (Huge, Good),
            (Flaps, InTurns),
        ],
    },
    Kind {
        name: "HTTP_GET, no length",
        block: HTTP,
        words: &[b"", b"HTTP/1.0 200 OK\r\n\r\n"],
        tls: false,
        rows: &[(Huge, Late("Timeout HTTP read server"))],
    },
    Kind {
        name: "HTTP_GET, no header's end",
        block: HTTP,
        words: &[b"", b"HTTP/1.0 200 OK\r\nX: "],
        tls: false,
        rows: &[(Huge, Bad(&["the header does not end"]))],
    },
    Kind {
        name: "SSL_GET",
        block: SSL,
        words: ANSWER,
        tls: true,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["Error connecting server [127.0.0.1]"])),
            (Filtered, Late("Timeout connecting server")),
            (HalfOpen, Late("Timeout SSL read server")),
            (Silent, Late("Timeout SSL read server")),
            (Closes, Bad(&["Read error with server"])),
            (Resets, Bad(&["SSL handshake/communication error"])),
            (ResetsMidway, Bad(&["Read error with server"])),
            (EndsMidway, Bad(&["Read error with server"])),
            (StallsMidway, Late("Timeout SSL read server")),
            (Drips, Late("Timeout SSL read server")),
            (Garbage, Bad(&["the answer is not HTTP"])),
            (Huge, Good),
            (Flaps, InTurns),
        ],
    },
    Kind {
        name: "SSL_GET, no length",
        block: SSL,
        words: &[b"", b"HTTP/1.0 200 OK\r\n\r\n"],
        tls: true,
        rows: &[(Huge, Late("Timeout SSL read server"))],
    },
    Kind {
        name: "AGENT_CHECK",
        block: AGENT,
        words: &[b"ready\n"],
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["does not answer: Connection refused"])),
            (Filtered, Late("does not answer: timeout")),
            (HalfOpen, Late("no answer in time")),
            (Silent, Late("no answer in time")),
            (Closes, Bad(&["the agent says nothing"])),
            (Resets, Bad(&[RESET, "Broken pipe", "the agent says nothing"])),
            (ResetsMidway, Bad(&[RESET])),
            (EndsMidway, Bad(&["'rea' is no word of an agent"])),
            (StallsMidway, Late("no answer in time")),
            (Drips, Late("no answer in time")),
            (Garbage, Bad(&["is not understood"])),
            // The first line is all that counts.
            (Huge, Good),
            (Flaps, InTurns),
        ],
    },
    Kind {
        name: "AGENT_CHECK, no line's end",
        block: AGENT,
        words: &[b"up"],
        tls: false,
        rows: &[(EndsMidway, Bad(&["'u' is no word"])), (Huge, Bad(&["is no word of an agent"]))],
    },
    Kind {
        name: "AGENT_CHECK, out",
        block: AGENT,
        words: &[b"down #disk is full\n"],
        tls: false,
        rows: &[(Up, Bad(&["takes it out: down: disk is full"]))],
    },
    Kind {
        name: "AGENT_CHECK, asked",
        block: "AGENT_CHECK {\nconnect_timeout 0.5\nsend \"load?\\n\"\n}",
        words: &[b"", b"up 50%\n"],
        tls: false,
        rows: &[(Up, Good), (Silent, Late("no answer in time"))],
    },
    Kind {
        name: "AGENT_CHECK over HTTP",
        block: "AGENT_CHECK {\nconnect_timeout 0.5\npath /load\n}",
        words: &[b"", b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n150"],
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["does not answer: Connection refused"])),
            (Silent, Late("no answer in time")),
            (Closes, Bad(&["does not answer"])),
            (ResetsMidway, Bad(&[RESET])),
            (StallsMidway, Late("no answer in time")),
            (Garbage, Bad(&["the answer is not HTTP"])),
            (Huge, Good),
        ],
    },
    Kind {
        name: "AGENT_CHECK over HTTP, an error",
        block: "AGENT_CHECK {\nconnect_timeout 0.5\npath /load\n}",
        words: &[b"", b"HTTP/1.0 503 Busy\r\nContent-Length: 2\r\n\r\nup"],
        tls: false,
        rows: &[(Up, Bad(&["the status is 503"]))],
    },
    Kind {
        name: "SMTP_CHECK",
        block: SMTP,
        words: &[b"220 here\r\n", b"250 well\r\n"],
        tls: false,
        rows: &[
            (Up, Good),
            (Refused, Bad(&["Error connecting to server"])),
            (Filtered, Late("Connection timeout to server")),
            (HalfOpen, Late("Read timeout from server")),
            (Silent, Late("Read timeout from server")),
            (Closes, Bad(&["Read failure from server"])),
            (Resets, Bad(&["Read failure from server"])),
            (ResetsMidway, Bad(&["Read failure from server"])),
            (EndsMidway, Bad(&["Read failure from server"])),
            (StallsMidway, Late("Read timeout from server")),
            (Drips, Late("Read timeout from server")),
            (Garbage, Bad(&["the answer is not SMTP"])),
            (Huge, Good),
            (Flaps, InTurns),
        ],
    },
    Kind {
        name: "SMTP_CHECK, no line's end",
        block: SMTP,
        words: &[b"220-"],
        tls: false,
        rows: &[(Huge, Bad(&["the answer does not end"]))],
    },
    Kind {
        name: "SMTP_CHECK, busy",
        block: SMTP,
        words: &[b"421 later\r\n"],
        tls: false,
        rows: &[(Up, Bad(&["Bad greeting banner from server"]))],
    },
];

/// What a port says that should speak TLS.
pub const NO_TLS: &[(&str, &[u8], bool, Verdict)] = &[
    (
        "plain text",
        b"HTTP/1.0 400 Bad Request\r\n\r\n",
        false,
        Bad(&["SSL handshake/communication error"]),
    ),
    (
        "wrong version (alert)",
        b"\x15\x03\x03\x00\x02\x02\x46",
        false,
        Bad(&["SSL handshake/communication error"]),
    ),
    (
        "wrong version (SSL 2)",
        b"\x80\x1d\x04\x00\x01\x00\x02",
        false,
        Bad(&["SSL handshake/communication error"]),
    ),
    ("garbage", b"\x00\xff\x00\xff\x00\xff\x00\xff", false, Bad(&["SSL handshake/communication"])),
    ("handshake never ends", b"", false, Late("Timeout SSL read server")),
    ("record never ends", b"\x16\x03\x03\x40\x00\x02\x00", false, Late("Timeout SSL read server")),
    ("closes in the handshake", b"\x16\x03\x03\x40\x00", true, Bad(&["SSL handshake"])),
];

/// A row, carried out: its line of the table, and what is wrong with it.
pub async fn row(
    name: String,
    server: Server,
    block: String,
    verdict: Verdict,
) -> (String, Option<String>) {
    let mut director = Director::new(server.port, &block);
    let turns: &[bool] = match verdict {
        Good => &[true],
        Bad(_) | Late(_) => &[false],
        InTurns => &[true, false, true],
    };
    let mut shown = Vec::new();
    let mut faults = Vec::new();
    for wanted in turns {
        let asked = director.ask().await;
        let word = if asked.good { "up" } else { "down" };
        let reason = asked.log.lines().find(|line| !line.contains("service ")).unwrap_or("");
        shown.push(format!("{word} in {} ms: {reason}", asked.took.as_millis()));
        let mut must = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{name}: {what}: {asked:#?}"));
            }
        };
        must(asked.good == *wanted, "another verdict");
        must(asked.serving == usize::from(*wanted), "another table");
        must(asked.took < asked.longest + SLACK, "later than its own limit");
        match verdict {
            Good | InTurns => {}
            Bad(reasons) => {
                let told = |text: &str| reasons.iter().any(|reason| text.contains(reason));
                must(told(&asked.log), "no reason in the log");
                must(told(&asked.status), "no reason in the status");
            }
            Late(reason) => {
                must(asked.log.contains(reason), "no reason in the log");
                must(asked.status.contains(reason), "no reason in the status");
                must(asked.took >= PATIENCE, "before its time");
            }
        }
    }
    let fault = (!faults.is_empty()).then(|| faults.join("\n"));
    (format!("{name:<45} {}", shown.join(" | ")), fault)
}

pub type Row = tokio::task::JoinHandle<(String, Option<String>)>;

pub async fn judge(rows: Vec<Row>) {
    let mut faults = Vec::new();
    for row in rows {
        let (line, fault) = row.await.unwrap();
        println!("{line}");
        faults.extend(fault);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_manner_of_a_server_over_tcp_is_told_in_time_with_its_reason() {
    block_on(async {
        let acceptor = acceptor();
        let mut rows = Vec::new();
        for kind in KINDS {
            for (manner, verdict) in kind.rows {
                let tls = kind.tls.then(|| acceptor.clone());
                let server = stream(*manner, kind.words, tls).await;
                let name = format!("{} {manner:?}", kind.name);
                rows.push(tokio::spawn(row(name, server, kind.block.to_owned(), *verdict)));
            }
        }
        for (what, bytes, closes, verdict) in NO_TLS {
            let server = says(bytes, *closes).await;
            let name = format!("SSL_GET {what}");
            rows.push(tokio::spawn(row(name, server, SSL.to_owned(), *verdict)));
        }
        judge(rows).await;
    });
}

#[test]
fn a_certificate_that_ends_soon_is_told_of_once_and_the_server_serves() {
    block_on(async {
        let blocks = [
            ("SSL_GET {\nurl {\npath /\n}\nconnect_timeout 2\nexpiry_warning 7\n}", ANSWER),
            ("TCP_CHECK {\ntls\nconnect_timeout 2\nexpiry_warning 7\n}", &[b"" as &[u8]]),
        ];
        for (block, words) in blocks {
            let server = stream(Up, words, Some(acceptor())).await;
            let mut director = Director::new(server.port, block);
            for told in [true, false] {
                let asked = director.ask().await;
                assert!(asked.good && asked.serving == 1, "{asked:#?}");
                assert_eq!(asked.log.contains("its certificate ends"), told, "{asked:#?}");
                assert!(asked.status.contains("its certificate ends"), "{asked:#?}");
            }
        }
        let server = stream(Up, ANSWER, Some(acceptor())).await;
        let asked = Director::new(server.port, SSL).ask().await;
        assert!(!asked.status.contains("certificate"), "{asked:#?}");
    });
}

type Answers = fn(usize, &[u8]) -> Vec<Vec<u8>>;

const DNS: &str = "DNS_CHECK {\ntype A\nname example.org\nconnect_timeout 0.5\nretry 0\n}";
const UDP: &str = "UDP_CHECK {\nconnect_timeout 0.5\nretry 0\n}";
const REPLY: &str =
    "UDP_CHECK {\nconnect_timeout 0.5\nretry 0\npayload 70696e67\nrequire_reply 706f6e67\n}";

fn response(query: &[u8], code: u8) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    message[3] = 0x80 | code;
    message
}

fn stranger(query: &[u8]) -> Vec<u8> {
    let mut message = response(query, 0);
    message[0] ^= 1;
    message
}

const SOON: Duration = Duration::ZERO;
const LATE: Duration = Duration::from_secs(1);

/// Name, block, what is answered and when.
const DATAGRAMS: &[(&str, &str, Answers, Duration, Verdict)] = &[
    ("DNS_CHECK up", DNS, |_, query| vec![response(query, 0)], SOON, Good),
    ("DNS_CHECK silent", DNS, |_, _| vec![], SOON, Late("read timeout from socket")),
    ("DNS_CHECK slow", DNS, |_, q| vec![response(q, 0)], LATE, Late("read timeout from socket")),
    ("DNS_CHECK SERVFAIL", DNS, |_, q| vec![response(q, 2)], SOON, Bad(&["rcode = 2"])),
    ("DNS_CHECK garbage", DNS, |_, _| vec![vec![0xff; 99]], SOON, Late("were no answer")),
    ("DNS_CHECK stranger", DNS, |_, q| vec![stranger(q)], SOON, Late("were no answer")),
    ("DNS_CHECK huge", DNS, |_, _| vec![vec![7; 65_000]; 100], SOON, Late("were no answer")),
    (
        "DNS_CHECK flaps",
        DNS,
        |number, query| vec![response(query, if number % 2 == 1 { 2 } else { 0 })],
        SOON,
        InTurns,
    ),
    // Without a reply to wait for, silence is good.
    ("UDP_CHECK silent", UDP, |_, _| vec![], SOON, Good),
    ("UDP_CHECK huge", UDP, |_, _| vec![vec![7; 65_000]; 100], SOON, Good),
    ("UDP_CHECK reply up", REPLY, |_, _| vec![b"pong".to_vec()], SOON, Good),
    ("UDP_CHECK reply silent", REPLY, |_, _| vec![], SOON, Late("no answer in time")),
    ("UDP_CHECK reply slow", REPLY, |_, _| vec![b"pong".to_vec()], LATE, Late("no answer in time")),
    ("UDP_CHECK reply garbage", REPLY, |_, _| vec![vec![0xff; 99]], SOON, Bad(&["mismatch"])),
    ("UDP_CHECK reply empty", REPLY, |_, _| vec![vec![]], SOON, Bad(&["mismatch"])),
    ("UDP_CHECK reply cut", REPLY, |_, _| vec![b"pon".to_vec()], SOON, Bad(&["mismatch"])),
    ("UDP_CHECK reply huge", REPLY, |_, _| vec![vec![7; 65_000]], SOON, Bad(&["mismatch"])),
    (
        "UDP_CHECK reply flaps",
        REPLY,
        |number, _| vec![if number % 2 == 1 { vec![0; 9] } else { b"pong".to_vec() }],
        SOON,
        InTurns,
    ),
];

#[test]
fn every_manner_of_a_server_over_udp_is_told_in_time_with_its_reason() {
    block_on(async {
        let mut rows = Vec::new();
        for (name, block, answers, wait, verdict) in DATAGRAMS {
            let server = datagrams(answers, *wait).await;
            let (name, block) = ((*name).to_owned(), (*block).to_owned());
            rows.push(tokio::spawn(row(name, server, block, *verdict)));
        }
        for (name, block) in [("DNS_CHECK", DNS), ("UDP_CHECK", UDP), ("UDP_CHECK reply", REPLY)] {
            let name = format!("{name} refused");
            let verdict = Bad(&["Connection refused"]);
            rows.push(tokio::spawn(row(name, no_datagrams(), block.to_owned(), verdict)));
        }
        judge(rows).await;
    });
}

/// What a program may do: its text, with `exec` where it is to be the one that is killed.
const PROGRAMS: &[(&str, &str, Verdict)] = &[
    ("exit 0", "exit 0", Good),
    ("exit 1", "exit 1", Bad(&["failed (exited with status 1)"])),
    ("exit 255", "exit 255", Bad(&["failed (exited with status 255)"])),
    ("dies", "kill -SEGV $$", Bad(&["failed (due to signal 11)"])),
    ("never ends", "exec sleep 60", Late("timed out")),
    ("is deaf to TERM", "trap '' TERM\nwhile :; do sleep 1; done", Late("timed out")),
    ("says hundreds of MB", "head -c 300000000 /dev/zero", Good),
    ("leaves a child behind", "sleep 5 &\nexit 0", Good),
];

#[test]
fn every_manner_of_a_program_is_told_in_time_with_its_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let mut rows = Vec::new();
        for (place, (name, text, verdict)) in PROGRAMS.iter().enumerate() {
            let path = folder.path().join(format!("program-{place}"));
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let block = misc(&path);
            let server = no_datagrams();
            rows.push(tokio::spawn(row(format!("MISC_CHECK {name}"), server, block, *verdict)));
        }
        let absent = misc(Path::new("/nonexistent/program"));
        let name = "MISC_CHECK is not there".to_owned();
        let verdict = Bad(&["could not be run", "exited with status 127"]);
        rows.push(tokio::spawn(row(name, no_datagrams(), absent, verdict)));
        judge(rows).await;
    });
}

fn misc(path: &Path) -> String {
    format!("MISC_CHECK {{\nmisc_path {}\nmisc_timeout 1\nretry 0\n}}", path.display())
}

#[test]
fn a_ping_is_answered_by_this_host_and_by_no_stranger() {
    block_on(async {
        let ping = |address: &str| {
            format!("PING_CHECK {{\nconnect_ip {address}\nconnect_timeout 0.5\nretry 0\n}}")
        };
        let mut director = Director::new(80, &ping("127.0.0.1"));
        let asked = director.ask().await;
        if asked.log.contains("Operation not permitted") || asked.log.contains("Permission denied")
        {
            eprintln!("SKIPPED: no ping socket and no raw socket for this user");
            return;
        }
        let rows = [("127.0.0.1", Good), ("255.255.255.255", Bad(&["failed."]))];
        let rows = rows.map(|(address, verdict)| {
            let name = format!("PING_CHECK {address}");
            tokio::spawn(row(name, no_datagrams(), ping(address), verdict))
        });
        judge(rows.into()).await;
    });
}
