//! Mail about changes of state, through one relay (RFC 5321).
//!
//! The dialogue is keepalived's: HELO, one transaction for all who get the mail, plain text. A client
//! of our own, since addresses without a domain are common in its configurations, and libraries
//! refuse them. Nothing waits for a mail: a task sends, from a bounded queue.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::core::config::model::global::Global;
use crate::core::log;
use crate::core::time::Interval;

/// Mails that may wait.
const WAITING: usize = 256;
/// How often a mail is tried; once only while the relay has not worked since the last failure.
const ATTEMPTS: u32 = 3;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(5);
/// For each step of the dialogue, unless `smtp_connect_timeout` is set.
const STEP: Interval = Interval::from_secs(30);
/// A relay's answer is not longer than this, in bytes.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What follows `[router_id] `.
    pub subject: String,
    /// Between `=> ` and ` <=`.
    pub body: String,
}

/// The relay, and who gets the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Relay {
    server: (String, u16),
    helo: String,
    from: String,
    to: Vec<String>,
    /// Before each subject.
    node: String,
    step: Duration,
}

impl Relay {
    /// `None` when nobody is to get mail, or there is no relay.
    fn of(global: &Global) -> Option<Self> {
        let mail = &global.mail;
        let server = mail.server.clone().filter(|_| !mail.to.is_empty())?;
        let host = || {
            let name = nix::unistd::gethostname().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let user = || {
            let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
            user.map_or_else(|| "root".to_owned(), |user| user.name)
        };
        Some(Self {
            server,
            helo: mail.helo.clone().unwrap_or_else(host),
            from: mail.from.clone().unwrap_or_else(|| format!("{}@{}", user(), host())),
            to: mail.to.clone(),
            node: global.router_id.clone(),
            step: mail.connect_timeout.unwrap_or(STEP).to_duration(),
        })
    }
}

/// Sends mail, or nothing when none is configured.
#[derive(Debug, Default)]
pub struct Mailer {
    relay: Option<Relay>,
    worker: Option<(mpsc::Sender<Message>, JoinHandle<()>)>,
    lost: u64,
}

impl Mailer {
    /// As a configuration has it. What waits is still sent the old way.
    pub fn set(&mut self, global: &Global) {
        let relay = Relay::of(global);
        if relay != self.relay {
            self.worker = relay.clone().map(|relay| {
                let (messages, receiver) = mpsc::channel(WAITING);
                (messages, tokio::spawn(work(relay, receiver)))
            });
            self.relay = relay;
        }
    }

    /// Sends `message` after those that wait.
    pub fn send(&mut self, message: Message) {
        let Some((messages, _)) = &self.worker else { return };
        if messages.try_send(message).is_err() {
            if self.lost == 0 {
                tracing::warn!("{WAITING} mails wait already, more are not sent");
            }
            self.lost += 1;
        } else if self.lost > 0 {
            tracing::warn!("{} mails were not sent", std::mem::take(&mut self.lost));
        }
    }

    /// Waits until everything is sent, at most `limit`.
    pub async fn drain(&mut self, limit: Interval) {
        let Some((messages, worker)) = self.worker.take() else { return };
        drop(messages);
        if tokio::time::timeout(limit.to_duration(), worker).await.is_err() {
            tracing::warn!("the mail relay is slow, the last mails are not sent");
        }
    }
}

async fn work(relay: Relay, mut messages: mpsc::Receiver<Message>) {
    let mut failing = false;
    while let Some(message) = messages.recv().await {
        let mut attempt = 1;
        let result = loop {
            let result = deliver(&relay, &message).await;
            if result.is_ok() || failing || attempt == ATTEMPTS {
                break result;
            }
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        };
        let (host, port) = &relay.server;
        match result {
            Ok(()) if std::mem::take(&mut failing) => {
                tracing::info!("mail through {host} port {port} works again");
            }
            Ok(()) => tracing::debug!("mail sent: {}", message.subject),
            Err(error) if failing => tracing::debug!("mail through {host} port {port}: {error}"),
            Err(error) => {
                tracing::error!("mail cannot be sent through {host} port {port}: {error}");
                failing = true;
            }
        }
    }
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
enum MailError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer in time to {0}")]
    Timeout(String),
    #[error("{command} was answered with '{answer}'")]
    Refused { command: String, answer: String },
}

struct Dialogue {
    stream: BufReader<TcpStream>,
    step: Duration,
}

impl Dialogue {
    async fn open(relay: &Relay) -> Result<Self, MailError> {
        let (host, port) = &relay.server;
        let connect = TcpStream::connect((host.as_str(), *port));
        let stream = tokio::time::timeout(relay.step, connect)
            .await
            .map_err(|_| MailError::Timeout("the connection".to_owned()))??;
        Ok(Self { stream: BufReader::new(stream), step: relay.step })
    }

    /// Says `text` and waits for an answer that begins with `wanted`.
    async fn say(&mut self, text: &str, wanted: &str) -> Result<(), MailError> {
        let command = || text.lines().next().unwrap_or("the greeting").to_owned();
        let step = self.step;
        let exchange = async {
            self.stream.get_mut().write_all(text.as_bytes()).await?;
            self.answer().await
        };
        let answer = tokio::time::timeout(step, exchange)
            .await
            .map_err(|_| MailError::Timeout(command()))??;
        if answer.starts_with(wanted) {
            Ok(())
        } else {
            Err(MailError::Refused { command: command(), answer })
        }
    }

    /// The last line of an answer of one or more lines.
    async fn answer(&mut self) -> std::io::Result<String> {
        let mut limited = (&mut self.stream).take(LONGEST_ANSWER);
        loop {
            let mut line = Vec::new();
            if limited.read_until(b'\n', &mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.get(3) != Some(&b'-') {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }
}

async fn deliver(relay: &Relay, message: &Message) -> Result<(), MailError> {
    let mut dialogue = Dialogue::open(relay).await?;
    dialogue.say("", "220").await?;
    dialogue.say(&format!("HELO {}\r\n", one_line(&relay.helo)), "250").await?;
    dialogue.say(&format!("MAIL FROM:<{}>\r\n", one_line(&relay.from)), "250").await?;
    for to in &relay.to {
        dialogue.say(&format!("RCPT TO:<{}>\r\n", one_line(to)), "25").await?;
    }
    dialogue.say("DATA\r\n", "354").await?;
    let date = log::local_time("%a, %d %b %Y %H:%M:%S %z");
    dialogue.say(&text(relay, message, &date), "250").await?;
    // It is delivered, whatever the answer.
    let _ = dialogue.say("QUIT\r\n", "221").await;
    Ok(())
}

/// Header and body, with the line of a dot that ends them.
fn text(relay: &Relay, message: &Message, date: &str) -> String {
    format!(
        "Date: {date}\r\nFrom: {}\r\nSubject: [{}] {}\r\nX-Mailer: Keepalived\r\nTo: {}\r\n\r\n=> {} <=\r\n\r\n.\r\n",
        one_line(&relay.from),
        one_line(&relay.node),
        one_line(&message.subject),
        one_line(&relay.to.join(", ")),
        one_line(&message.body),
    )
}

/// What comes from elsewhere starts no line of its own.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn global(port: u16) -> Global {
        let mut global = Global { router_id: "d1".into(), ..Global::default() };
        global.mail.server = Some(("127.0.0.1".into(), port));
        global.mail.to = vec!["root".into(), "ops@example.net".into()];
        global.mail.from = Some("d1@example.net".into());
        global.mail.helo = Some("helo".into());
        global
    }

    fn message(subject: &str) -> Message {
        Message { subject: subject.into(), body: "text".into() }
    }

    /// Takes one mail and gives what it heard; `refuse` answers a command with 550.
    async fn take_one(listener: &TcpListener, refuse: &str) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.get_mut().write_all(b"220-well\r\n220 come\r\n").await.unwrap();
        let (mut heard, mut body) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return heard;
            }
            heard.push_str(&line);
            let answer: &[u8] = match line.trim_end() {
                "." => b"250 kept\r\n",
                _ if body => continue,
                "DATA" => b"354 go on\r\n",
                "QUIT" => b"221 bye\r\n",
                _ if !refuse.is_empty() && line.starts_with(refuse) => b"550 no\r\n",
                _ => b"250 well\r\n",
            };
            body = line == "DATA\r\n";
            stream.get_mut().write_all(answer).await.unwrap();
        }
    }

    fn run(test: impl Future<Output = ()>) {
        let all = async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(all);
    }

    #[test]
    fn the_dialogue_and_the_text_are_keepalived_s() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut mailer = Mailer::default();
            mailer.set(&global(listener.local_addr().unwrap().port()));
            mailer.send(message("VRRP Instance V\n. - Stopping"));
            let heard = take_one(&listener, "").await;
            mailer.drain(Interval::from_secs(20)).await;
            let (before, after) = heard.split_once("Date: ").unwrap();
            assert_eq!(
                before,
                "HELO helo\r\nMAIL FROM:<d1@example.net>\r\nRCPT TO:<root>\r\nRCPT TO:<ops@example.net>\r\nDATA\r\n"
            );
            let (_, after) = after.split_once("\r\n").unwrap();
            assert_eq!(
                after,
                "From: d1@example.net\r\nSubject: [d1] VRRP Instance V . - Stopping\r\nX-Mailer: Keepalived\r\n\
                 To: root, ops@example.net\r\n\r\n=> text <=\r\n\r\n.\r\nQUIT\r\n"
            );
        });
    }

    #[test]
    fn a_refused_mail_is_given_up_and_the_next_is_sent() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let relay = Relay::of(&global(listener.local_addr().unwrap().port())).unwrap();
            let (refused, heard) = {
                let message = message("a");
                tokio::join!(deliver(&relay, &message), take_one(&listener, "RCPT"))
            };
            assert!(matches!(refused, Err(MailError::Refused { .. })), "{refused:?}");
            assert!(!heard.contains("DATA"));
            let message = message("b");
            let (sent, heard) = tokio::join!(deliver(&relay, &message), take_one(&listener, ""));
            assert!(sent.is_ok() && heard.contains("[d1] b"));
        });
    }

    #[test]
    fn a_relay_that_says_nothing_holds_nobody_up() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut mailer = Mailer::default();
            mailer.set(&global(listener.local_addr().unwrap().port()));
            for _ in 0..2 * WAITING {
                mailer.send(message("x"));
            }
            assert!(mailer.lost >= 200, "{}", mailer.lost);
            mailer.drain(Interval::from_millis(20)).await;
        });
    }

    #[test]
    fn without_a_relay_or_anybody_to_get_it_there_is_no_mail() {
        let mut global = global(25);
        assert!(Relay::of(&global).is_some());
        global.mail.to.clear();
        assert_eq!(Relay::of(&global), None);
        global = self::global(25);
        global.mail.server = None;
        assert_eq!(Relay::of(&global), None);
    }
}
