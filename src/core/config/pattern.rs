//! The regular expressions of `regex`, made from a pattern and the words of `regex_options`.
//!
//! The matcher can be told few options directly; others are said in the pattern itself, and some
//! forbid what can be looked for beforehand.

use pcre2::bytes::{Regex as Matcher, RegexBuilder};

use super::model::check::Regex;

/// The words of `regex_options` that are acted on.
pub const OPTIONS: &[&str] = &[
    "auto_callout",
    "caseless",
    "dotall",
    "dupnames",
    "extended",
    "multiline",
    "never_backslash_c",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "use_offset_limit",
    "utf",
];

/// Makes a matcher; the error is a sentence.
pub fn compile(regex: &Regex) -> Result<Matcher, String> {
    let mut builder = RegexBuilder::new();
    let (own_verbs, rest) = split_verbs(&regex.pattern);
    let (mut verbs, mut flags) = (String::new(), String::new());
    for option in &regex.options {
        match option.as_str() {
            "caseless" => _ = builder.caseless(true),
            "dotall" => _ = builder.dotall(true),
            "extended" => _ = builder.extended(true),
            "multiline" => _ = builder.multi_line(true),
            "ucp" => _ = builder.ucp(true),
            "utf" => _ = builder.utf(true),
            "dupnames" => flags.push('J'),
            "ungreedy" => flags.push('U'),
            "no_auto_capture" => flags.push('n'),
            "no_auto_possess" => verbs.push_str("(*NO_AUTO_POSSESS)"),
            "no_dotstar_anchor" => verbs.push_str("(*NO_DOTSTAR_ANCHOR)"),
            "no_start_optimize" => verbs.push_str("(*NO_START_OPT)"),
            "never_ucp" if own_verbs.contains("(*UCP)") => {
                return Err("never_ucp, but the pattern asks for it".to_owned());
            }
            "never_utf" if own_verbs.contains("(*UTF)") => {
                return Err("never_utf, but the pattern asks for it".to_owned());
            }
            "never_backslash_c" if has_single_byte(rest) => {
                return Err("never_backslash_c, but the pattern has one".to_owned());
            }
            // Nobody listens to callouts, and regex_max_offset holds without being announced.
            "auto_callout" | "never_ucp" | "never_utf" | "never_backslash_c"
            | "use_offset_limit" => {}
            other => return Err(format!("option {other} is not supported")),
        }
    }
    if let Some(most) = regex.stack {
        builder.jit_if_available(true).max_jit_stack_size(Some(most));
    }
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    let pattern = format!("{verbs}{own_verbs}{flags}{rest}");
    builder.build(&pattern).map_err(|error| error.to_string())
}

/// `(*UTF)` and the like stand before all else.
fn split_verbs(pattern: &str) -> (&str, &str) {
    let mut rest = pattern;
    while let Some(inner) = rest.strip_prefix("(*") {
        let Some((verb, after)) = inner.split_once(')') else { break };
        // Lower-case words are assertions, which belong to the pattern.
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '=';
        if !verb.chars().all(plain) {
            break;
        }
        rest = after;
    }
    pattern.split_at(pattern.len() - rest.len())
}

/// Whether `\C` is in the pattern, with a backslash that is not itself escaped.
fn has_single_byte(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next() == Some('C') {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str, options: &[&str]) -> Regex {
        Regex {
            pattern: pattern.to_owned(),
            negate: false,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            min_offset: 0,
            max_offset: 0,
            stack: None,
        }
    }

    fn found(pattern: &str, options: &[&str], text: &str) -> Option<String> {
        let matcher = compile(&regex(pattern, options)).unwrap();
        let found = matcher.find(text.as_bytes()).unwrap()?;
        Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
    }

    #[test]
    fn each_option_does_what_its_name_says() {
        assert_eq!(found("a.c", &[], "A\nC"), None);
        assert_eq!(found("a.c", &["caseless", "dotall"], "A\nC").as_deref(), Some("A\nC"));
        assert_eq!(found("^b$", &["multiline"], "a\nb\n").as_deref(), Some("b"));
        assert_eq!(found("a b # c", &["extended"], "ab").as_deref(), Some("ab"));
        assert_eq!(found("a+", &["ungreedy"], "aaa").as_deref(), Some("a"));
        assert_eq!(found("^.$", &["utf"], "ä").as_deref(), Some("ä"));
        assert_eq!(found("^.$", &[], "ä"), None);
        assert!(found("(?<n>a)|(?<n>b)", &["dupnames"], "b").is_some());
        assert!(compile(&regex("(?<n>a)|(?<n>b)", &[])).is_err());
        assert!(compile(&regex("(a)\\1", &["no_auto_capture"])).is_err(), "there is no group 1");
    }

    #[test]
    fn every_option_of_the_list_is_taken_and_no_other() {
        assert!(compile(&regex("a", OPTIONS)).is_ok());
        assert!(compile(&regex("a", &["firstline"])).is_err());
    }

    #[test]
    fn what_is_forbidden_is_found_and_verbs_stay_in_front() {
        assert!(compile(&regex("(*UTF)a", &["never_utf"])).is_err());
        assert!(compile(&regex("(*UCP)a", &["never_ucp"])).is_err());
        assert!(compile(&regex("a\\\\\\C", &["never_backslash_c"])).is_err());
        assert!(compile(&regex("a\\\\C", &["never_backslash_c"])).is_ok());
        assert_eq!(
            found("(*UTF)(*UCP)^.+", &["ungreedy", "no_start_optimize"], "ää").as_deref(),
            Some("ä")
        );
    }
}
