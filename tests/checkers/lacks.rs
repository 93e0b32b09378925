//! What this host lacks is no server's failure, whichever check finds it out.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use steadfast::check::engine::Outcome;
use steadfast::check::event::Names;
use steadfast::check::probe::plain::{Plain, Question};
use steadfast::check::probe::{self, Surroundings};
use steadfast::core::config::compile::compile;
use steadfast::core::config::model::check::Checker;
use steadfast::core::config::source::SourceSet;
use steadfast::core::notify::script::ScriptPolicy;
use steadfast::core::runtime;
use steadfast::core::shared::Shared;

use super::rig::block_on;

/// Every checker that asks with a socket.
const SOCKETS: &[&str] = &[
    "TCP_CHECK {\nSOURCE\n}",
    "TCP_CHECK {\nSOURCE\nsend \"PING\"\nexpect \"PONG\"\n}",
    "TCP_CHECK {\nSOURCE\ntls\n}",
    "HTTP_GET {\nSOURCE\nurl {\npath /\nstatus_code 200\n}\n}",
    "HTTP_GET {\nSOURCE\nhttp_protocol 2\nurl {\npath /\nstatus_code 200\n}\n}",
    "SSL_GET {\nSOURCE\nurl {\npath /\nstatus_code 200\n}\n}",
    "SMTP_CHECK {\nSOURCE\n}",
    "DNS_CHECK {\nSOURCE\n}",
    "UDP_CHECK {\nSOURCE\n}",
    "PING_CHECK {\nSOURCE\n}",
    "AGENT_CHECK {\nSOURCE\n}",
    "GRPC_CHECK {\nSOURCE\n}",
];
const PROGRAM: &str = "MISC_CHECK {\nmisc_path /bin/true\n}";

/// The checker of a server that exists, with `source` among its options.
fn checker(port: u16, block: &str, source: &str) -> Shared<Checker> {
    let block = block.replace("SOURCE", &format!("{source}\nconnect_timeout 1\nretry 0"));
    let text = format!(
        "virtual_server 10.0.0.1 80 {{\ndelay_loop 10\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n\
         real_server 127.0.0.1 {port} {{\nweight 1\n{block}\n}}\n}}\n"
    );
    let compiled = compile(&SourceSet::from_text("test.conf", &text));
    let servers = &compiled.config.check.virtual_servers[0].real_servers;
    assert_eq!(servers[0].checkers.len(), 1, "{text}");
    servers[0].checkers[0].clone()
}

/// As the daemon asks: the plain ones together, the others with a task each.
async fn ask(plain: &mut Plain, checker: Shared<Checker>) -> Outcome {
    let question = Question { id: 0, run: 0, checker, url: 0 };
    if !question.is_plain() {
        let me = nix::unistd::getuid().to_string();
        let user = steadfast::core::config::model::ScriptUser { user: me, group: None };
        let policy = ScriptPolicy { default_user: Some(user), ..ScriptPolicy::default() };
        let surroundings = Surroundings { policy, ..Surroundings::default() };
        return probe::run(question.checker, 0, Names::default(), Arc::new(surroundings)).await;
    }
    plain.begin(runtime::now(), question);
    loop {
        if let Some(ended) = plain.step(runtime::now()).pop() {
            return ended.outcome("S");
        }
        let due = plain.next_due();
        tokio::select! {
            () = plain.ready() => {}
            () = runtime::sleep_until(due) => {}
        }
    }
}

fn assert_unasked(outcome: Outcome, block: &str, reason: &str) {
    match outcome {
        Outcome::Unasked { why } => assert!(why.contains(reason), "{block}: {why}"),
        outcome @ (Outcome::Success { .. } | Outcome::Failure { .. }) => {
            panic!("{block}: {outcome:?}")
        }
    }
}

#[test]
fn no_check_takes_a_want_of_files_for_a_dead_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    block_on(async {
        let mut plain = Plain::new().unwrap();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        for block in SOCKETS.iter().chain([&PROGRAM]) {
            let checker = checker(port, block, "");
            // What is open stays open; nothing more can be.
            setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
            let outcome = ask(&mut plain, checker).await;
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
            assert_unasked(outcome, block, "Too many open files");
        }
    });
}

#[test]
fn no_check_takes_a_missing_source_address_for_a_dead_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    block_on(async {
        let mut plain = Plain::new().unwrap();
        for block in SOCKETS {
            // For documentation (RFC 5737): no host has it.
            let outcome = ask(&mut plain, checker(port, block, "bindto 192.0.2.77")).await;
            if block.starts_with("PING")
                && matches!(&outcome, Outcome::Unasked { why } if why.contains("ermi"))
            {
                eprintln!("SKIPPED: no ping socket and no raw socket for this user");
                continue;
            }
            assert_unasked(outcome, block, "Cannot assign requested address");
        }
    });
}

#[test]
fn a_source_port_that_is_taken_is_no_server_s_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    block_on(async {
        let mut plain = Plain::new().unwrap();
        for block in SOCKETS.iter().filter(|block| !block.starts_with("PING")) {
            let datagrams = block.starts_with("DNS") || block.starts_with("UDP");
            let taken = if datagrams { datagram.local_addr() } else { stream.local_addr() };
            let source = format!("bindto 127.0.0.1\nbind_port {}", taken.unwrap().port());
            let outcome = ask(&mut plain, checker(port, block, &source)).await;
            assert_unasked(outcome, block, "Address already in use");
        }
    });
}
