//! A session beside a master agent that is played by hand, on loopback.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use std::path::PathBuf;

use super::*;
use crate::snmp::base;
use crate::snmp::pdu::{self, HEADER, Header, Message, Response};
use crate::snmp::value::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const SESSION: u32 = 7;

/// A master's end of a connection.
struct Master(UnixStream);

impl Master {
    fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn read(&mut self) -> (u8, Header, Vec<u8>) {
        let mut first = [0; HEADER];
        self.0.read_exact(&mut first).unwrap();
        let header = Header::parse(&first).unwrap();
        let mut payload = vec![0; header.length as usize];
        self.0.read_exact(&mut payload).unwrap();
        (first[1], header, payload)
    }

    /// Takes a message of that kind, and says that all is well.
    fn take(&mut self, kind: u8) -> Vec<u8> {
        let (found, header, payload) = self.read();
        assert_eq!(found, kind);
        let mut bytes = pdu::response(&header, &Response::default());
        bytes[4..8].copy_from_slice(&SESSION.to_be_bytes());
        self.0.write_all(&bytes).unwrap();
        payload
    }

    /// Opening and one registration.
    fn welcome(&mut self) {
        assert!(self.take(1).ends_with(b"test"));
        self.take(3);
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut bytes = vec![1, kind, 0x10, 0];
        for number in [SESSION, 1, 2, u32::try_from(payload.len()).unwrap()] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(payload);
        self.0.write_all(&bytes).unwrap();
    }

    /// The error of an answer, and all of it.
    fn answer(&mut self) -> (u16, Vec<u8>) {
        let (kind, header, payload) = self.read();
        assert_eq!(kind, 18);
        match pdu::parse(&header, &payload) {
            Ok(Message::Response { error }) => (error, payload),
            other => panic!("{other:?}"),
        }
    }
}

/// A search range of one object, as bytes.
fn range(oid: &Oid) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(oid.numbers().len()).unwrap(), 0, 0, 0];
    bytes.extend(oid.numbers().iter().flat_map(|number| number.to_be_bytes()));
    bytes.extend([0; 4]);
    bytes
}

fn settings(path: PathBuf) -> Settings {
    Settings {
        address: AgentAddress::Unix(path),
        description: "test",
        subtrees: vec![Subtree { name: base::root(), priority: 127 }],
    }
}

fn name() -> Oid {
    base::part(&[1, 2, 0])
}

fn words() -> Vec<VarBind> {
    base::notification(base::part(&[2, 10, 0, 1]), [])
}

/// The daemon's part of one request.
fn serve(agent: &mut Agent, text: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ask = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, agent.asked()).await.expect("a request")
    });
    match ask {
        Ask::View(answer) => {
            let snapshot = Snapshot::gather(|| {
                move || {
                    let mut view = View::default();
                    view.scalar(base::part(&[1, 2]), Value::text(text));
                    view
                }
            });
            assert!(answer.send(snapshot).is_ok());
        }
        Ask::Set { bindings, test, answer } => {
            assert!(test && bindings.len() == 1);
            answer.send(Err((Refusal::NotWritable, 0))).unwrap();
        }
    }
}

#[test]
fn a_request_is_answered_and_what_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    let listener = UnixListener::bind(&path).unwrap();
    let mut agent = Agent::start(settings(path)).unwrap();
    let mut master = Master::accept(&listener);
    master.welcome();
    master.send(5, &range(&name()));
    serve(&mut agent, "d1");
    let (error, payload) = master.answer();
    assert!(error == 0 && payload.ends_with(b"\0\0\0\x02d1\0\0"), "{payload:?}");
    // An object identifier that ends nowhere.
    master.send(5, &[200, 0, 0, 0]);
    assert_eq!(master.answer().0, Refusal::ParseError as u16);
    // Something that only a master may get.
    master.send(3, &[]);
    assert_eq!(master.answer().0, Refusal::ParseError as u16);
    // A value: 4 bytes of type, the name, no value.
    let mut set = vec![0, 5, 0, 0];
    set.extend(&range(&name())[..4 + 4 * name().numbers().len()]);
    master.send(8, &set);
    serve(&mut agent, "");
    let (error, payload) = master.answer();
    assert_eq!((error, payload.get(6..8)), (Refusal::NotWritable as u16, Some(&[0, 1][..])));
    agent.notify(words());
    assert_eq!(master.read().0, 12);
    // The end: what is still to be said, then goodbye.
    agent.notify(words());
    drop(agent);
    assert_eq!(master.read().0, 12);
    let (kind, _, payload) = master.read();
    assert_eq!((kind, payload), (2, vec![5, 0, 0, 0]));
}

#[test]
fn a_master_that_goes_is_found_again_and_losses_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    let listener = UnixListener::bind(&path).unwrap();
    let mut agent = Agent::start(settings(path.clone())).unwrap();
    let mut master = Master::accept(&listener);
    master.welcome();
    // Nobody confirms it.
    agent.notify(words());
    assert_eq!(master.read().0, 12);
    drop((master, listener));
    let begin = Instant::now();
    while agent.lost.load(Ordering::Relaxed) == 0 {
        assert!(begin.elapsed() < PATIENCE, "the loss is not counted");
        thread::yield_now();
    }
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let mut master = Master::accept(&listener);
    master.welcome();
    master.send(5, &range(&name()));
    serve(&mut agent, "d2");
    assert_eq!(master.answer().0, 0);
    assert_eq!(agent.lost.load(Ordering::Relaxed), 0, "told");
}

#[test]
fn a_master_that_takes_nothing_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    // It is connected to, and never answers.
    let listener = UnixListener::bind(&path).unwrap();
    let agent = Agent::start(settings(path)).unwrap();
    let _master = Master::accept(&listener);
    let begin = Instant::now();
    for _ in 0..10 * WAITING_NOTIFICATIONS {
        agent.notify(words());
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let waiting = u64::try_from(WAITING_NOTIFICATIONS).unwrap();
    assert!(agent.lost.load(Ordering::Relaxed) >= 8 * waiting);
}
