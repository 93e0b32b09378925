//! `MISC_CHECK`: a program's exit status.

use super::failure;
use crate::check::engine::Outcome;
use crate::check::event::Names;
use crate::core::config::model::check::MiscProbe;
use crate::core::notify::script::{self, ScriptPolicy};

/// Runs the program. Status 0 is good, anything else bad; with `misc_dynamic` a status of 2 to 255
/// is good too, and asks for the weight status - 2.
pub async fn probe(misc: &MiscProbe, names: &Names, policy: &ScriptPolicy) -> Outcome {
    let ended = script::run(&misc.script, &[], policy, Some(misc.timeout)).await;
    let Names { server, service } = names;
    let subject = format!("Misc check for [{server} VS {service}] by [{}]", misc.script.path());
    match ended {
        script::Outcome::Exited(0) => {
            Outcome::Success { text: format!("{subject} succeeded."), weight: None }
        }
        script::Outcome::Exited(status @ 2..) if misc.dynamic => Outcome::Success {
            text: format!("{subject} succeeded, status {status}."),
            weight: Some(u32::from(status) - 2),
        },
        script::Outcome::Exited(status) => {
            failure(format!("{subject} failed (exited with status {status})."), None)
        }
        script::Outcome::Signalled(signal) => {
            failure(format!("{subject} failed (due to signal {signal})."), None)
        }
        script::Outcome::TimedOut => failure(format!("{subject} timed out."), None),
        script::Outcome::NotStarted(why) => {
            failure(format!("{subject} could not be run."), Some(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::block_on;
    use crate::core::config::model::{Script, ScriptUser};
    use crate::core::time::Interval;

    fn run(command: &str, dynamic: bool) -> Outcome {
        let me = nix::unistd::getuid().to_string();
        let user = Some(ScriptUser { user: me, group: None });
        let words = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        let timeout = Interval::from_millis(300);
        let misc = MiscProbe { script: Script { words, user }, timeout, dynamic };
        block_on(probe(&misc, &Names::default(), &ScriptPolicy::default()))
    }

    #[test]
    fn the_exit_status_decides_and_may_set_the_weight() {
        let weight = |outcome| match outcome {
            Outcome::Success { weight, .. } => Some(weight),
            Outcome::Failure { .. } => None,
        };
        assert_eq!(weight(run("exit 0", false)), Some(None));
        assert_eq!(weight(run("exit 1", true)), None);
        assert_eq!(weight(run("exit 2", true)), Some(Some(0)));
        assert_eq!(weight(run("exit 255", true)), Some(Some(253)));
        assert_eq!(weight(run("exit 2", false)), None);
        assert_eq!(weight(run("kill -9 $$", true)), None);
        assert_eq!(weight(run("sleep 60", true)), None);
    }
}
