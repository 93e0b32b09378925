//! Whom the vrrp process tells of what happens: scripts, FIFOs.

use super::engine::VrrpEngine;
use super::event::{Notice, Subject};
use crate::core::config::model::Config;
use crate::core::notify::fifo::FifoWriters;
use crate::core::notify::queue::{Notification, NotifyQueues};
use crate::core::notify::script::ScriptPolicy;
use crate::core::time::Interval;

/// Everybody who is told.
pub struct Telling {
    scripts: NotifyQueues,
    fifos: FifoWriters,
    states_on_reload: bool,
}

impl Telling {
    /// As a configuration has it; must be called on the event loop.
    pub fn new(config: &Config) -> Self {
        let mut telling = Self {
            scripts: NotifyQueues::new(ScriptPolicy::of(&config.global)),
            fifos: FifoWriters::default(),
            states_on_reload: false,
        };
        telling.set(config);
        telling
    }

    /// As another configuration has it.
    pub fn set(&mut self, config: &Config) {
        let global = &config.global;
        self.scripts.set_policy(ScriptPolicy::of(global));
        self.fifos.set_vrrp(&global.fifos);
        self.states_on_reload = global.fifos.states_on_reload;
    }

    /// Something has happened.
    pub fn tell(&mut self, notice: &Notice) {
        let kind = kind_of(notice.subject);
        let object = format!("{kind} {}", notice.name);
        if let Some(script) = &notice.script {
            let notification = Notification { script: script.clone(), arguments: Vec::new() };
            self.scripts.push(&object, notification);
        }
        if let Some(script) = &notice.any {
            let arguments = vec![
                kind.to_owned(),
                notice.name.clone(),
                notice.state.to_owned(),
                notice.priority.to_string(),
            ];
            self.scripts.push(&object, Notification { script: script.clone(), arguments });
        }
        self.fifos.write(&line(notice));
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
        let (scripts, ()) = tokio::join!(self.scripts.drain(grace), self.fifos.drain(grace));
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
        };
        let owner = notice(Subject::Instance, "MASTER", Priority::OWNER);
        assert_eq!(line(&owner), "INSTANCE \"V 1\" MASTER 255\n");
        let group = notice(Subject::Group, "FAULT", Priority::RESIGN);
        assert_eq!(line(&group), "GROUP \"V 1\" FAULT 0\n");
    }
}
