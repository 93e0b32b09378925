//! `MISC_CHECK`: a program's exit status, and with our own `expect` what it writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::process::ChildStdout;

use super::expect::{Answer, Verdict};
use super::{failure, tcp};
use crate::check::engine::Outcome;
use crate::check::event::Names;
use crate::check::wish::Wish;
use crate::core::config::model::Script;
use crate::core::config::model::check::{MiscProbe, Regex};
use crate::core::config::pattern;
use crate::core::notify::script::{self, ScriptPolicy};

/// For output that is still on its way when the program has ended. Only what it has left running
/// keeps us for so long.
const REST: Duration = Duration::from_secs(1);
/// A program that has said what is expected may say so much more.
const MORE: usize = 1 << 20;

/// Runs the program. Status 0 is good, anything else bad; with `misc_dynamic` a status of 2 to 255
/// is good too, and asks for the weight status - 2. With `expect`, its output must match as well.
pub async fn probe(misc: &MiscProbe, names: &Names, policy: &ScriptPolicy) -> Outcome {
    let (ended, said) = match &misc.expect {
        None => (script::run(&misc.script, &[], policy, Some(misc.timeout)).await, Ok(())),
        Some(expect) => run_heard(misc, expect, policy).await,
    };
    let Names { server, service } = names;
    let subject = format!("Misc check for [{server} VS {service}] by [{}]", misc.script.path());
    let (text, weight) = match ended {
        script::Outcome::Exited(0) => (format!("{subject} succeeded."), None),
        script::Outcome::Exited(status @ 2..) if misc.dynamic => {
            let weight = Wish::Weight(u32::from(status) - 2);
            (format!("{subject} succeeded, status {status}."), Some(weight))
        }
        script::Outcome::Exited(status) => {
            return failure(format!("{subject} failed (exited with status {status})."), None);
        }
        script::Outcome::Signalled(signal) => {
            let cause = said.err().map(str::to_owned);
            return failure(format!("{subject} failed (due to signal {signal})."), cause);
        }
        script::Outcome::TimedOut => return failure(format!("{subject} timed out."), None),
        script::Outcome::NotStarted(why) if why.is_lack() => {
            return Outcome::Unasked { why: why.to_string() };
        }
        script::Outcome::NotStarted(why) => {
            return failure(format!("{subject} could not be run."), Some(why.to_string()));
        }
    };
    match said {
        Ok(()) => Outcome::Success { text, weight, warning: None },
        Err(why) => failure(format!("{subject} failed (unexpected output)."), Some(why.to_owned())),
    }
}

async fn run_heard(
    misc: &MiscProbe,
    expect: &Regex,
    policy: &ScriptPolicy,
) -> (script::Outcome, Result<(), &'static str>) {
    let unsaid = Err("nothing was heard");
    let matcher = match pattern::compile(expect) {
        Ok(matcher) => matcher,
        Err(why) => return (script::Outcome::NotStarted(why.into()), unsaid),
    };
    let mut running = match script::start_heard(&with_address(misc), policy) {
        Ok(running) => running,
        Err(why) => return (script::Outcome::NotStarted(why), unsaid),
    };
    let Some(output) = running.take_output() else {
        return (running.finish(Some(misc.timeout)).await, unsaid);
    };
    let matched = AtomicBool::new(false);
    let mut listening = Box::pin(listen(output, Answer::new(matcher), &matched));
    let mut ending = Box::pin(running.finish(Some(misc.timeout)));
    tokio::select! {
        said = &mut listening => (ending.await, said),
        ended = &mut ending => {
            let said = tokio::time::timeout(REST, listening).await;
            let unsaid = || Err("its output is not what is expected, and does not end with it");
            let said = said.unwrap_or_else(|_| {
                if matched.load(Ordering::Relaxed) { Ok(()) } else { unsaid() }
            });
            (ended, said)
        }
    }
}

/// `%h` and `%p` in arguments become the server's address and port. The words stay the words that
/// they were: nothing in them is read by a shell on the way.
fn with_address(misc: &MiscProbe) -> Script {
    let (host, port) = (misc.server.ip().to_string(), misc.server.port().to_string());
    let mut script = misc.script.clone();
    for word in script.words.iter_mut().skip(1) {
        *word = word.replace("%h", &host).replace("%p", &port);
    }
    script
}

async fn listen(
    mut output: ChildStdout,
    mut answer: Answer,
    matched: &AtomicBool,
) -> Result<(), &'static str> {
    let mut more = 0;
    // What else it says is heard too, so that nothing holds it up.
    while more < MORE {
        let take = |piece: &[u8]| match (piece.len(), matched.load(Ordering::Relaxed)) {
            (0, _) => None,
            (length, true) => Some((Verdict::Match, length)),
            (length, false) => Some((answer.take(piece), length)),
        };
        match tcp::receive(&mut output, take).await {
            Ok(Some((Verdict::Match, length))) => {
                matched.store(true, Ordering::Relaxed);
                more += length;
            }
            Ok(Some((Verdict::More, _))) => {}
            Ok(Some((Verdict::TooLong, _))) => return Err("a long output, not the expected one"),
            Ok(None) | Err(_) => break,
        }
    }
    if matched.load(Ordering::Relaxed) || answer.end() {
        Ok(())
    } else {
        Err("its output is not what is expected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::probe::http::tests::block_on;
    use crate::core::config::model::ScriptUser;
    use crate::core::time::Interval;

    fn run(command: &str, dynamic: bool) -> Outcome {
        let me = nix::unistd::getuid().to_string();
        let user = Some(ScriptUser { user: me, group: None });
        let words = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        let timeout = Interval::from_millis(300);
        let server = ([10, 1, 0, 7], 8080).into();
        let script = Script { words, user };
        let misc = MiscProbe { script, timeout, dynamic, expect: None, server };
        block_on(probe(&misc, &Names::default(), &ScriptPolicy::default()))
    }

    /// The shell's command and the arguments after it; what is expected; why it fails.
    fn heard(words: &[&str], expect: &str) -> Option<String> {
        let me = nix::unistd::getuid().to_string();
        let user = Some(ScriptUser { user: me, group: None });
        let words = ["/bin/sh", "-c"].iter().chain(words).map(|&word| word.to_owned()).collect();
        let expect = Regex {
            pattern: expect.to_owned(),
            negate: false,
            options: Vec::new(),
            min_offset: 0,
            max_offset: 0,
            stack: None,
        };
        let misc = MiscProbe {
            script: Script { words, user },
            timeout: Interval::from_secs(5),
            dynamic: false,
            expect: Some(expect),
            server: ([10, 1, 0, 7], 8080).into(),
        };
        match block_on(probe(&misc, &Names::default(), &ScriptPolicy::default())) {
            Outcome::Success { .. } => None,
            Outcome::Failure { text, cause } => {
                Some(format!("{text} {}", cause.unwrap_or_default()))
            }
            Outcome::Unasked { why } => panic!("{why}"),
        }
    }

    #[test]
    fn the_output_must_match_and_the_status_be_good() {
        let failed = |words: &[&str], expect: &str| heard(words, expect).unwrap_or_default();
        assert_eq!(heard(&["echo all is well"], "^all is"), None);
        assert_eq!(heard(&["printf 'one\ntwo'"], "two$"), None);
        assert!(failed(&["echo no"], "^all").contains("unexpected output"));
        assert!(failed(&["true"], "^all").contains("unexpected output"));
        assert!(failed(&["echo all; exit 3"], "^all").contains("status 3"));
        assert!(failed(&["exec /no/such"], "x").contains("status"));
    }

    #[test]
    fn a_program_without_an_end_is_ended_and_one_that_leaves_others_is_not_waited_for() {
        let long = heard(&["while :; do echo no; done"], "^yes").unwrap();
        assert!(long.contains("a long output"), "{long}");
        assert_eq!(heard(&["echo yes; sleep 3 &"], "^yes").unwrap_or_default().len(), 0);
    }

    #[test]
    fn address_and_port_stand_in_arguments_and_nothing_in_them_is_run() {
        let shown = "for found; do echo \"<$found>\"; done";
        assert_eq!(heard(&[shown, "sh", "%h:%p", "a b"], "^<10.1.0.7:8080>\n<a b>\n$"), None);
        assert_eq!(heard(&[shown, "sh", "$(id)%p;`id`"], r"^<\$\(id\)8080;`id`>$"), None);
    }

    #[test]
    fn the_exit_status_decides_and_may_set_the_weight() {
        let weight = |outcome| match outcome {
            Outcome::Success { weight, .. } => Some(weight),
            Outcome::Failure { .. } => None,
            Outcome::Unasked { why } => panic!("{why}"),
        };
        assert_eq!(weight(run("exit 0", false)), Some(None));
        assert_eq!(weight(run("exit 1", true)), None);
        assert_eq!(weight(run("exit 2", true)), Some(Some(Wish::Weight(0))));
        assert_eq!(weight(run("exit 255", true)), Some(Some(Wish::Weight(253))));
        assert_eq!(weight(run("exit 2", false)), None);
        assert_eq!(weight(run("kill -9 $$", true)), None);
        assert_eq!(weight(run("sleep 60", true)), None);
    }
}
