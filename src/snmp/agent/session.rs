//! The thread: looks for the master agent, registers, answers, sends what is to be told.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::answer::{self, Refusal};
use super::super::pdu::{self, HEADER, Header, Malformed, Message, Response, reason};
use super::super::value::{Oid, VarBind};
use super::super::view::View;
use super::{Ask, SetError, Settings, Snapshot, Subtree};
use crate::core::config::model::services::AgentAddress;

/// What the master has for its part of anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the daemon has to answer: less than the master's patience with us.
const DAEMON_PATIENCE: Duration = Duration::from_secs(3);
/// The master waits for an answer for so many seconds.
const OUR_TIME: u8 = 5;
/// Waits between two attempts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A master that has said nothing for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(60);
/// A master whose messages cannot be read so often is left.
const MOST_MALFORMED: u32 = 16;
/// Unanswered messages of ours.
const MOST_PENDING: usize = 1024;
/// How much longer than it took to make them tables are good for.
const WORTH: u32 = 20;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the agent has closed the session (reason {0})")]
    Closed(u8),
    #[error("the agent has closed the connection")]
    End,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("the agent speaks what is not AgentX: {0}")]
    Malformed(#[from] Malformed),
    #[error("the agent refuses a session: error {0}")]
    Refused(u16),
}

/// Why a session is over without anything being wrong.
enum Over {
    /// Another address is wanted.
    Moved,
    /// None is wanted any more.
    Stop,
}

/// What the thread works with.
pub(super) struct Talk {
    settings: watch::Receiver<Settings>,
    notifications: mpsc::Receiver<Vec<VarBind>>,
    daemon: mpsc::Sender<Ask>,
    lost: Arc<AtomicU64>,
    view: Option<(View, Instant)>,
}

impl Talk {
    pub(super) fn new(
        settings: watch::Receiver<Settings>,
        notifications: mpsc::Receiver<Vec<VarBind>>,
        daemon: mpsc::Sender<Ask>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self { settings, notifications, daemon, lost, view: None }
    }

    /// Until the daemon wants no more.
    pub(super) async fn live(mut self) {
        let mut wait = FIRST_WAIT;
        let mut told = false;
        loop {
            let settings = self.settings.borrow_and_update().clone();
            let error = match Session::open(&settings).await {
                Ok(mut session) => {
                    tracing::info!("AgentX subagent connected to {}", settings.address);
                    (wait, told) = (FIRST_WAIT, false);
                    self.tell_losses();
                    match session.live(&mut self, settings.clone()).await {
                        Ok(Over::Stop) => return,
                        Ok(Over::Moved) => continue,
                        Err(error) => {
                            self.lost.fetch_add(session.unheard(), Ordering::Relaxed);
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            if !told {
                let address = &settings.address;
                tracing::warn!("no SNMP agent at {address}: {error}; it is looked for again");
                told = true;
            }
            if self.pause(wait).await.is_none() {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Waits; whatever is told meanwhile is lost. `None`: it is over.
    async fn pause(&mut self, wait: Duration) -> Option<()> {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Some(()),
                changed = self.settings.changed() => return changed.ok(),
                told = self.notifications.recv() => {
                    told?;
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn tell_losses(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!("{lost} SNMP notifications were lost while there was no agent");
        }
    }

    /// The tables, no older than what it costs to make them allows.
    async fn view(&mut self) -> Option<&View> {
        if self.view.as_ref().is_none_or(|(_, until)| *until <= Instant::now()) {
            self.view = None;
            let (answer, snapshot) = oneshot::channel();
            let snapshot: Snapshot = timeout(DAEMON_PATIENCE, async {
                self.daemon.send(Ask::View(answer)).await.ok()?;
                snapshot.await.ok()
            })
            .await
            .ok()??;
            let begin = Instant::now();
            let view = (snapshot.make)();
            let end = Instant::now();
            let until = end + (snapshot.took + (end - begin)) * WORTH;
            self.view = Some((view, until));
        }
        self.view.as_ref().map(|(view, _)| view)
    }

    async fn ask_to_set(&mut self, bindings: Vec<VarBind>, test: bool) -> Result<(), SetError> {
        let (answer, done) = oneshot::channel();
        let outcome = timeout(DAEMON_PATIENCE, async {
            self.daemon.send(Ask::Set { bindings, test, answer }).await.ok()?;
            done.await.ok()
        });
        outcome.await.ok().flatten().unwrap_or(Err((Refusal::GeneralError, 0)))
    }
}

/// What was sent and not answered yet.
enum Pending {
    Register(Oid),
    Notify,
    Ping,
}

/// Values on their way.
struct Setting {
    transaction: u32,
    wanted: Vec<VarBind>,
    /// What they were, once they have been set.
    before: Option<Vec<VarBind>>,
}

struct Session {
    stream: Box<dyn Stream>,
    /// What has arrived and is no whole message yet.
    arrived: Vec<u8>,
    id: u32,
    packet: u32,
    pending: BTreeMap<u32, Pending>,
    setting: Option<Setting>,
    malformed: u32,
    heard: Instant,
    pinged: bool,
}

impl Session {
    async fn open(settings: &Settings) -> Result<Self, Broken> {
        let stream = timeout(PATIENCE, connect(&settings.address));
        let stream = stream.await.map_err(|_| Broken::Silent)??;
        let mut session = Self {
            stream,
            arrived: Vec::new(),
            id: 0,
            packet: 0,
            pending: BTreeMap::new(),
            setting: None,
            malformed: 0,
            heard: Instant::now(),
            pinged: false,
        };
        let packet = session.next_packet();
        let name = super::super::base::root();
        session.write(&pdu::open(packet, OUR_TIME, &name, settings.description)).await?;
        let answer = timeout(PATIENCE, session.read()).await.map_err(|_| Broken::Silent)??;
        let (header, payload) = answer;
        match pdu::parse(&header, &payload)? {
            Message::Response { error: 0 } => session.id = header.session,
            Message::Response { error } => return Err(Broken::Refused(error)),
            _ => return Err(Broken::Refused(0)),
        }
        for subtree in &settings.subtrees {
            session.register(subtree).await?;
        }
        Ok(session)
    }

    /// Until something breaks, or no session is wanted any more.
    async fn live(&mut self, talk: &mut Talk, mut settings: Settings) -> Result<Over, Broken> {
        loop {
            let silence = if self.pinged { PATIENCE } else { SILENCE };
            let deadline = self.heard + silence;
            tokio::select! {
                message = self.read() => {
                    let (header, payload) = message?;
                    self.heard = Instant::now();
                    self.pinged = false;
                    self.handle(talk, &header, &payload).await?;
                }
                told = talk.notifications.recv() => match told {
                    Some(bindings) => self.notify(&bindings).await?,
                    None => return self.end(talk, reason::SHUTDOWN).await,
                },
                changed = talk.settings.changed() => {
                    if changed.is_err() {
                        return self.end(talk, reason::SHUTDOWN).await;
                    }
                    let wanted = talk.settings.borrow_and_update().clone();
                    talk.view = None;
                    if wanted.address != settings.address {
                        self.end(talk, reason::OTHER).await?;
                        return Ok(Over::Moved);
                    }
                    self.change(&settings.subtrees, &wanted.subtrees).await?;
                    settings = wanted;
                }
                () = sleep_until(deadline) => {
                    if self.pinged {
                        return Err(Broken::Silent);
                    }
                    self.pinged = true;
                    self.heard = Instant::now();
                    let packet = self.expect(Pending::Ping);
                    self.write(&pdu::ping(self.id, packet)).await?;
                }
            }
        }
    }

    /// Notifications that the master has not confirmed.
    fn unheard(&self) -> u64 {
        let told = self.pending.values().filter(|what| matches!(what, Pending::Notify));
        told.map(|_| 1).sum()
    }

    /// Says what is still to be said, and goodbye.
    async fn end(&mut self, talk: &mut Talk, reason: u8) -> Result<Over, Broken> {
        while let Ok(bindings) = talk.notifications.try_recv() {
            self.notify(&bindings).await?;
        }
        let packet = self.next_packet();
        self.write(&pdu::close(self.id, packet, reason)).await?;
        Ok(Over::Stop)
    }

    async fn change(&mut self, old: &[Subtree], new: &[Subtree]) -> Result<(), Broken> {
        for gone in old.iter().filter(|subtree| !new.contains(subtree)) {
            let packet = self.next_packet();
            let bytes = pdu::unregister(self.id, packet, gone.priority, &gone.name);
            self.write(&bytes).await?;
        }
        for subtree in new.iter().filter(|subtree| !old.contains(subtree)) {
            self.register(subtree).await?;
        }
        Ok(())
    }

    async fn register(&mut self, subtree: &Subtree) -> Result<(), Broken> {
        let packet = self.expect(Pending::Register(subtree.name.clone()));
        let bytes = pdu::register(self.id, packet, subtree.priority, &subtree.name);
        self.write(&bytes).await
    }

    async fn notify(&mut self, bindings: &[VarBind]) -> Result<(), Broken> {
        let packet = self.expect(Pending::Notify);
        self.write(&pdu::notify(self.id, packet, bindings)).await
    }

    fn next_packet(&mut self) -> u32 {
        self.packet = self.packet.wrapping_add(1);
        self.packet
    }

    fn expect(&mut self, what: Pending) -> u32 {
        let packet = self.next_packet();
        if self.pending.len() >= MOST_PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(packet, what);
        packet
    }

    // ---- messages of the master

    async fn handle(
        &mut self,
        talk: &mut Talk,
        header: &Header,
        payload: &[u8],
    ) -> Result<(), Broken> {
        let message = match pdu::parse(header, payload) {
            Ok(message) => message,
            Err(error) => return self.refuse(header, error).await,
        };
        let response = match message {
            Message::Get(_) | Message::GetNext(_) | Message::GetBulk { .. } => {
                match talk.view().await {
                    Some(view) => answer::to_search(view, &message).unwrap_or_default(),
                    None => answer::refusal(Refusal::GeneralError, None),
                }
            }
            Message::TestSet(bindings) => self.test(talk, header, bindings).await,
            Message::CommitSet => self.commit(talk, header).await,
            Message::UndoSet => self.undo(talk, header).await,
            Message::CleanupSet => {
                self.setting = None;
                return Ok(());
            }
            Message::Close(reason) => return Err(Broken::Closed(reason)),
            Message::Response { error } => {
                self.answered(header.packet, error);
                return Ok(());
            }
            Message::Other(_) => answer::refusal(Refusal::ParseError, None),
        };
        self.write(&pdu::response(header, &response)).await
    }

    fn answered(&mut self, packet: u32, error: u16) {
        match self.pending.remove(&packet) {
            Some(Pending::Register(name)) if error != 0 => {
                tracing::warn!("the SNMP agent does not let us answer for {name}: error {error}");
            }
            Some(Pending::Notify) if error != 0 => {
                tracing::debug!("the SNMP agent does not take a notification: error {error}");
            }
            Some(Pending::Register(_) | Pending::Notify | Pending::Ping) | None => {}
        }
    }

    async fn refuse(&mut self, header: &Header, error: Malformed) -> Result<(), Broken> {
        self.malformed += 1;
        if self.malformed == 1 {
            tracing::warn!("a message of the SNMP agent cannot be read: {error}");
        }
        if self.malformed >= MOST_MALFORMED {
            let packet = self.next_packet();
            self.write(&pdu::close(self.id, packet, reason::PARSE_ERROR)).await?;
            return Err(error.into());
        }
        let response = answer::refusal(Refusal::ParseError, None);
        self.write(&pdu::response(header, &response)).await
    }

    async fn test(&mut self, talk: &mut Talk, header: &Header, bindings: Vec<VarBind>) -> Response {
        match talk.ask_to_set(bindings.clone(), true).await {
            Ok(()) => {
                let transaction = header.transaction;
                self.setting = Some(Setting { transaction, wanted: bindings, before: None });
                Response::default()
            }
            Err((refusal, place)) => answer::refusal(refusal, Some(place)),
        }
    }

    async fn commit(&mut self, talk: &mut Talk, header: &Header) -> Response {
        let setting = self.setting.as_mut();
        let Some(setting) = setting.filter(|found| found.transaction == header.transaction) else {
            return answer::refusal(Refusal::CommitFailed, None);
        };
        talk.view = None;
        let Some(view) = talk.view().await else {
            return answer::refusal(Refusal::CommitFailed, None);
        };
        let value = |name: &Oid| VarBind::new(name.clone(), view.get(name));
        let before = setting.wanted.iter().map(|binding| value(&binding.name)).collect();
        let done = talk.ask_to_set(setting.wanted.clone(), false).await;
        talk.view = None;
        match done {
            Ok(()) => {
                setting.before = Some(before);
                Response::default()
            }
            Err((_, place)) => answer::refusal(Refusal::CommitFailed, Some(place)),
        }
    }

    async fn undo(&mut self, talk: &mut Talk, header: &Header) -> Response {
        let setting = self.setting.take();
        let before = setting
            .filter(|found| found.transaction == header.transaction)
            .and_then(|found| found.before);
        if let Some(before) = before {
            talk.view = None;
            if let Err((refusal, place)) = talk.ask_to_set(before, false).await {
                return answer::refusal(refusal, Some(place));
            }
        }
        Response::default()
    }

    // ---- bytes

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let written = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        written.map_err(|_| Broken::Silent)?.map_err(Into::into)
    }

    /// The next whole message. Can be left and taken up again: what has arrived is kept.
    async fn read(&mut self) -> Result<(Header, Vec<u8>), Broken> {
        loop {
            if let Some((first, rest)) = self.arrived.split_first_chunk::<HEADER>() {
                let header = Header::parse(first)?;
                let length = header.length as usize;
                if let Some(payload) = rest.get(..length) {
                    let payload = payload.to_vec();
                    self.arrived.drain(..HEADER + length);
                    return Ok((header, payload));
                }
            }
            let mut room = [0; 4096];
            match self.stream.read(&mut room).await? {
                0 => return Err(Broken::End),
                count => self.arrived.extend(room.iter().take(count)),
            }
        }
    }
}

async fn connect(address: &AgentAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        AgentAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        AgentAddress::Tcp(name) => Box::new(TcpStream::connect(name.as_str()).await?),
    })
}
