//! `config dump`: a configuration in one canonical form: includes, definitions and conditions
//! resolved, one statement a line, indented; nothing lost and nothing added.

use std::fmt::Write as _;

use super::{Answer, EXIT_OK, Trouble, load};
use crate::core::config::keywords;
use crate::core::config::tree::{Statement, Token, Tree};

/// `[--defaults] FILE`.
pub fn run(words: &[&str]) -> Answer {
    let defaults = words.contains(&"--defaults");
    let files: Vec<&&str> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let [file] = files.as_slice() else {
        return Err(Trouble::Usage("dump which file?".to_owned()));
    };
    let parsed = crate::core::config::parse(&load(file)?);
    Ok((tree(&parsed.tree, defaults), EXIT_OK))
}

/// A tree as text. With `defaults`, what is not said stands in each block as a comment.
pub fn tree(tree: &Tree, defaults: bool) -> String {
    let mut text = String::new();
    for statement in &tree.statements {
        one(&mut text, statement, keywords::ROOT, 0, defaults);
    }
    text
}

fn one(text: &mut String, statement: &Statement, block: &str, depth: usize, defaults: bool) {
    let indent = "    ".repeat(depth);
    let Some(children) = &statement.block else {
        // Keywords with quoting rules of their own are written as they stood.
        let line = if statement.words.iter().any(|word| word.quoted) {
            statement.raw.trim().to_owned()
        } else {
            words(&statement.words)
        };
        let _ = writeln!(text, "{indent}{line}");
        return;
    };
    let _ = writeln!(text, "{indent}{} {{", words(&statement.words));
    let inner = keywords::child_block(block, statement.keyword());
    for child in children {
        one(text, child, &inner, depth + 1, defaults);
    }
    if defaults {
        let rows = keywords::all().iter().chain(keywords::additions());
        for row in rows.filter(|row| row.block == inner) {
            let said = children.iter().any(|child| child.keyword() == row.name);
            let has_value = !row.default.is_empty() && row.default != "none";
            if !said && has_value && !keywords::opens_block(&inner, row.name) {
                let _ = writeln!(text, "{indent}    # {} {}", row.name, row.default);
            }
        }
    }
    let _ = writeln!(text, "{indent}}}");
    if depth == 0 {
        text.push('\n');
    }
}

fn words(words: &[Token]) -> String {
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn word(token: &Token) -> String {
    let plain = !token.quoted
        && !token.text.is_empty()
        && !token.text.chars().any(|c| c.is_whitespace() || "\"'{}#!".contains(c));
    match (plain, token.text.contains('"')) {
        (true, _) => token.text.to_string(),
        (false, false) => format!("\"{}\"", token.text),
        (false, true) => format!("'{}'", token.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::parse;
    use crate::core::config::source::SourceSet;

    fn dumped(text: &str, defaults: bool) -> String {
        tree(&parse(&SourceSet::from_text("a.conf", text.as_bytes())).tree, defaults)
    }

    #[test]
    fn a_dump_is_canonical_and_dumping_it_again_changes_nothing() {
        let text = "$N=51\nglobal_defs{\nrouter_id  \"my node\" # me\n}\n\
                    vrrp_instance  V\n{\n  virtual_router_id $N\n\tpriority 100 }\n";
        let once = dumped(text, false);
        assert_eq!(
            once,
            "global_defs {\n    router_id  \"my node\"\n}\n\n\
             vrrp_instance V {\n    virtual_router_id 51\n    priority 100\n}\n\n"
        );
        assert_eq!(dumped(&once, false), once);
    }

    #[test]
    fn defaults_stand_beside_what_is_said() {
        let text = dumped("vrrp_instance V {\npriority 120\n}\n", true);
        assert!(text.contains("    priority 120\n"), "{text}");
        assert!(text.contains("    # advert_int "), "{text}");
        assert!(!text.contains("# priority"), "{text}");
        assert_eq!(dumped(&text, false), dumped("vrrp_instance V {\npriority 120\n}\n", false));
    }
}
