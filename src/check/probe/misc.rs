//! `MISC_CHECK`: a program's exit status.

use crate::check::engine::Outcome;
use crate::core::config::model::check::MiscProbe;
use crate::core::notify::script::{self, ScriptPolicy};

/// Runs the program. Status 0 is good, anything else bad; with `misc_dynamic` a status of 2 to 255
/// is good too, and asks for the weight status - 2.
pub async fn probe(misc: &MiscProbe, server: &str, policy: &ScriptPolicy) -> Outcome {
    let ended = script::run(&misc.script, &[], policy, Some(misc.timeout)).await;
    let path = misc.script.path();
    match ended {
        script::Outcome::Exited(0) => Outcome::Success {
            text: format!("Misc check for {server} by {path} succeeded."),
            weight: None,
        },
        script::Outcome::Exited(status @ 2..) if misc.dynamic => Outcome::Success {
            text: format!("Misc check for {server} by {path} succeeded, status {status}."),
            weight: Some(u32::from(status) - 2),
        },
        script::Outcome::Exited(status) => Outcome::Failure {
            text: format!(
                "Misc check for {server} by {path} failed (exited with status {status})."
            ),
        },
        script::Outcome::Signalled(signal) => Outcome::Failure {
            text: format!("Misc check for {server} by {path} failed (due to signal {signal})."),
        },
        script::Outcome::TimedOut => {
            Outcome::Failure { text: format!("Misc check for {server} by {path} timed out.") }
        }
        script::Outcome::NotStarted(why) => {
            Outcome::Failure { text: format!("Misc check for {server} could not be run: {why}") }
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
        block_on(probe(&misc, "S", &ScriptPolicy::default()))
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
