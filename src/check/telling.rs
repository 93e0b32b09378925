//! Whom the check process tells of what happens: scripts, FIFOs, mail.

use super::event::{About, Alert};
use crate::core::config::model::{Config, Script};
use crate::core::notify::fifo::FifoWriters;
use crate::core::notify::mail::{Mailer, Message};
use crate::core::notify::queue::{Notification, NotifyQueues, Topic};
use crate::core::notify::script::ScriptPolicy;
use crate::core::shared::Shared;
use crate::core::time::Interval;

/// Everybody who is told.
pub struct Telling {
    scripts: NotifyQueues,
    fifos: FifoWriters,
    mail: Mailer,
    each_check: bool,
}

impl Telling {
    /// As a configuration has it; must be called on the event loop.
    pub fn new(config: &Config) -> Self {
        let mut telling = Self {
            scripts: NotifyQueues::new(ScriptPolicy::of(&config.global)),
            fifos: FifoWriters::default(),
            mail: Mailer::default(),
            each_check: true,
        };
        telling.set(config);
        telling
    }

    /// As another configuration has it.
    pub fn set(&mut self, config: &Config) {
        let global = &config.global;
        self.scripts.set_policy(ScriptPolicy::of(global));
        self.fifos.set_check(&global.fifos);
        self.mail.set(global);
        self.each_check = !global.mail.no_checks;
    }

    /// Runs `script` after those of the same object.
    pub fn run(&mut self, object: &str, about: About, script: Shared<Script>) {
        let topic = match about {
            About::Service => Topic::Object,
            About::Server => Topic::Part,
        };
        self.scripts.push(object, Notification { script, arguments: Vec::new(), topic });
    }

    /// A line for the FIFOs.
    pub fn write(&mut self, line: &str) {
        self.fifos.write(line);
    }

    /// A mail.
    pub fn send(&mut self, alert: Alert) {
        let Alert { subject, body, one_check } = alert;
        if self.each_check || !one_check {
            self.mail.send(Message { subject, body });
        }
    }

    /// Waits until everybody has been told, at most `grace`.
    pub async fn finish(&mut self, grace: Interval) {
        let (scripts, (), ()) = tokio::join!(
            self.scripts.drain(grace),
            self.fifos.drain(grace),
            self.mail.drain(grace)
        );
        if !scripts {
            tracing::warn!("a script is still running, not waiting for it any longer");
        }
    }
}
