//! What an agent says of its server: one line in the words of HAProxy's agents, or a plain number
//! (pure).
//!
//! A line is all that counts: there is no memory of earlier ones, so that a server which drains does
//! so for as long as its agent says it, and a process that begins anew knows as much as the old one.

use crate::check::wish::Wish;

/// More than this is not read.
pub const LONGEST: usize = 4 << 10;
/// Percent and weights above this are nobody's.
const MOST: u32 = 65_535;
/// Of words that are shown again.
const SHOWN: usize = 60;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The server may have traffic; with this weight, if any is asked for.
    Up(Option<Wish>),
    /// It must have none, and why.
    Down(String),
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing stands there.
    #[error("the agent says nothing")]
    Empty,
    /// Not text.
    #[error("the agent's answer is no text")]
    NotText,
    /// A word that no agent has.
    #[error("'{0}' is no word of an agent")]
    Unknown(String),
}

/// Reads the first line.
pub fn parse(bytes: &[u8]) -> Result<Reply, Fault> {
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Fault::NotText)?;
    let (words, remark) = line.split_once('#').unwrap_or((line, ""));
    let separates = |found: char| found.is_ascii_whitespace() || found == ',';
    let mut words = words.split(separates).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(Fault::Empty);
    }
    let (mut wish, mut drains, mut down) = (None, false, None);
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "up" | "ready" => {}
            "drain" => drains = true,
            found @ ("down" | "fail" | "failed" | "stopped" | "maint") => {
                down = Some(found.to_owned());
            }
            // The kernel's thresholds are those of the configuration.
            found if found.strip_prefix("maxconn:").is_some_and(|rest| number(rest).is_some()) => {}
            found => wish = Some(weight(found).ok_or_else(|| Fault::Unknown(shown(word)))?),
        }
    }
    Ok(match down {
        Some(word) => match shown(remark.trim()) {
            remark if remark.is_empty() => Reply::Down(word),
            remark => Reply::Down(format!("{word}: {remark}")),
        },
        None if drains => Reply::Up(Some(Wish::Drain)),
        None => Reply::Up(wish),
    })
}

fn weight(word: &str) -> Option<Wish> {
    match word.strip_suffix('%') {
        Some(percent) => number(percent).map(Wish::Percent),
        None => number(word).map(Wish::Weight),
    }
}

fn number(word: &str) -> Option<u32> {
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| plain && *number <= MOST)
}

/// As it may stand in a log.
fn shown(text: &str) -> String {
    text.chars().filter(|found| !found.is_control()).take(SHOWN).collect()
}

/// For the fuzzer.
pub fn fuzz(bytes: &[u8]) {
    match parse(bytes) {
        Ok(Reply::Up(wish)) => {
            if let Some(Wish::Weight(most) | Wish::Percent(most)) = wish {
                assert!(most <= MOST);
            }
        }
        Ok(Reply::Down(why)) => assert!(why.chars().count() <= SHOWN + "stopped: ".len()),
        Err(Fault::Unknown(word)) => assert!(word.chars().count() <= SHOWN),
        Err(Fault::Empty | Fault::NotText) => {}
    }
    // What comes after the first line does not count.
    let mut more = bytes.to_vec();
    more.extend(b"\ndown");
    assert_eq!(parse(bytes), parse(&more));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> Result<Reply, Fault> {
        parse(text.as_bytes())
    }

    #[test]
    fn the_words_of_agents_are_understood() {
        for (text, wish) in [
            ("up\n", None),
            ("ready", None),
            ("75%\r\n", Some(Wish::Percent(75))),
            ("up 75%\n", Some(Wish::Percent(75))),
            ("READY, Up,100%\tmaxconn:30", Some(Wish::Percent(100))),
            ("42", Some(Wish::Weight(42))),
            ("0\n", Some(Wish::Weight(0))),
            ("drain 50% #night", Some(Wish::Drain)),
            ("up #down", None),
            ("up\ndown", None),
        ] {
            assert_eq!(says(text), Ok(Reply::Up(wish)), "{text}");
        }
        for (text, why) in [
            ("down", "down"),
            ("down #disk is full\n", "down: disk is full"),
            ("stopped 100%", "stopped"),
            ("up maint", "maint"),
            ("fail # \x07bell", "fail: bell"),
        ] {
            assert_eq!(says(text), Ok(Reply::Down(why.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_no_agent_says_is_a_fault() {
        assert_eq!(says(""), Err(Fault::Empty));
        assert_eq!(says(" \r\nup"), Err(Fault::Empty));
        assert_eq!(says("# all is well"), Err(Fault::Empty));
        assert_eq!(parse(b"up \xff"), Err(Fault::NotText));
        for text in ["hello", "up 75 percent", "-5", "+5", "99999", "%", "maxconn:", "7.5%"] {
            assert!(matches!(says(text), Err(Fault::Unknown(_))), "{text}");
        }
        assert_eq!(says(&"x".repeat(500)), Err(Fault::Unknown("x".repeat(SHOWN))));
    }
}
