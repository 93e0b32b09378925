//! Whom the vrrp process tells of what happens: scripts, FIFOs, mail.

use super::engine::VrrpEngine;
use super::event::{Notice, Subject};
use crate::core::config::model::Config;
use crate::core::notify::fifo::FifoWriters;
use crate::core::notify::mail::{Mailer, Message};
use crate::core::notify::queue::{Notification, NotifyQueues, Topic};
use crate::core::notify::script::ScriptPolicy;
use crate::core::time::Interval;

/// Everybody who is told.
pub struct Telling {
    scripts: NotifyQueues,
    fifos: FifoWriters,
    mail: Mailer,
    states_on_reload: bool,
    mail_faults: bool,
}

impl Telling {
    /// As a configuration has it; must be called on the event loop.
    pub fn new(config: &Config) -> Self {
        let mut telling = Self {
            scripts: NotifyQueues::new(ScriptPolicy::of(&config.global)),
            fifos: FifoWriters::default(),
            mail: Mailer::default(),
            states_on_reload: false,
            mail_faults: true,
        };
        telling.set(config);
        telling
    }

    /// As another configuration has it.
    pub fn set(&mut self, config: &Config) {
        let global = &config.global;
        self.scripts.set_policy(ScriptPolicy::of(global));
        self.fifos.set_vrrp(&global.fifos);
        self.mail.set(global);
        self.mail_faults = !global.mail.no_faults;
        self.states_on_reload = global.fifos.states_on_reload;
    }

    /// Something has happened.
    pub fn tell(&mut self, notice: &Notice) {
        let kind = kind_of(notice.subject);
        let object = format!("{kind} {}", notice.name);
        let topic = Topic::Object;
        if let Some(script) = &notice.script {
            let arguments = Vec::new();
            let notification = Notification { script: script.clone(), arguments, topic };
            self.scripts.push(&object, notification);
        }
        if let Some(script) = &notice.any {
            let arguments = vec![
                kind.to_owned(),
                notice.name.clone(),
                notice.state.to_owned(),
                notice.priority.to_string(),
            ];
            let notification = Notification { script: script.clone(), arguments, topic };
            self.scripts.push(&object, notification);
        }
        self.fifos.write(&line(notice));
        if notice.mail
            && (self.mail_faults || notice.state != "FAULT")
            && let Some(message) = message(notice)
        {
            self.mail.send(message);
        }
    }

    /// After a reload: `fifo_write_vrrp_states_on_reload`.
    pub fn states(&mut self, engine: &VrrpEngine) {
        if self.states_on_reload {
            for notice in engine.states() {
                self.fifos.write(&line(&notice));
            }
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
            tracing::warn!("a notify script is still running, not waiting for it any longer");
        }
    }
}

fn kind_of(subject: Subject) -> &'static str {
    match subject {
        Subject::Instance => "INSTANCE",
        Subject::Group => "GROUP",
    }
}

/// As keepalived writes it into its FIFOs.
fn line(notice: &Notice) -> String {
    let Notice { subject, name, state, priority, .. } = notice;
    format!("{} \"{name}\" {state} {priority}\n", kind_of(*subject))
}

/// As keepalived writes it; not every event is worth a mail.
fn message(notice: &Notice) -> Option<Message> {
    let group = notice.subject == Subject::Group;
    let (what, body) = match (notice.state, group) {
        ("MASTER", false) => ("Entering MASTER state", "VRRP Instance is now owning VRRP VIPs"),
        ("BACKUP", false) => {
            ("Entering BACKUP state", "VRRP Instance is no longer owning VRRP VIPs")
        }
        ("FAULT", false) => ("Entering FAULT state", "VRRP Instance is no longer owning VRRP VIPs"),
        ("STOP", false) => ("Stopping", "VRRP Instance stopping"),
        ("DELETED", false) => ("Deleted", "VRRP Deleted at reload"),
        ("MASTER", true) => {
            ("Entering MASTER state", "All VRRP group instances are now in MASTER state")
        }
        ("BACKUP", true) => {
            ("Entering BACKUP state", "All VRRP group instances are now in BACKUP state")
        }
        ("FAULT", true) => {
            ("Entering FAULT state", "All VRRP group instances are now in FAULT state")
        }
        ("STOP", true) => ("Stopping", "All VRRP group instances are now stopping"),
        _ => return None,
    };
    let kind = if group { "Group" } else { "Instance" };
    let subject = format!("VRRP {kind} {} - {what}", notice.name);
    Some(Message { subject, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::model::vrrp::Priority;

    #[test]
    fn a_line_is_what_keepalived_writes() {
        let notice = |subject, state, priority| Notice {
            subject,
            name: "V 1".into(),
            state,
            priority,
            script: None,
            any: None,
            mail: true,
        };
        let owner = notice(Subject::Instance, "MASTER", Priority::OWNER);
        assert_eq!(line(&owner), "INSTANCE \"V 1\" MASTER 255\n");
        let group = notice(Subject::Group, "FAULT", Priority::RESIGN);
        assert_eq!(line(&group), "GROUP \"V 1\" FAULT 0\n");
        let mail = |notice: &Notice| message(notice).map(|mail| (mail.subject, mail.body));
        let text = |subject: &str, body: &str| Some((subject.to_owned(), body.to_owned()));
        assert_eq!(
            mail(&owner),
            text(
                "VRRP Instance V 1 - Entering MASTER state",
                "VRRP Instance is now owning VRRP VIPs"
            )
        );
        assert_eq!(
            mail(&group),
            text(
                "VRRP Group V 1 - Entering FAULT state",
                "All VRRP group instances are now in FAULT state"
            )
        );
        assert_eq!(mail(&notice(Subject::Instance, "BACKUP_PRIORITY", Priority::OWNER)), None);
    }
}
