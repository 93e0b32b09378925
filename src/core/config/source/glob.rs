//! Shell patterns: `*`, `?`, `[…]` and `{a,b}`, against the file system.

use std::path::{Path, PathBuf};

/// Paths of one pattern.
const MOST_PATHS: usize = 4096;
/// Patterns that the braces of one pattern may stand for.
const MOST_ALTERNATIVES: usize = 256;
/// Pairs of braces in one pattern.
const MOST_BRACES: usize = 8;

/// The existing paths that match a pattern with `*`, `?`, `[…]` and `{a,b}`, in order.
pub(super) fn glob(pattern: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for alternative in alternatives(pattern, 0) {
        let mut paths = vec![PathBuf::from("/")];
        for part in alternative.split('/').filter(|part| !part.is_empty()) {
            paths = paths.iter().flat_map(|base| children(base, part)).take(MOST_PATHS).collect();
        }
        found.extend(paths.into_iter().filter(|path| path.exists()));
    }
    found
}

fn children(base: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[']) {
        return vec![base.join(part)];
    }
    let Ok(entries) = std::fs::read_dir(base) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || part.starts_with('.'))
        .filter(|name| matches(part.as_bytes(), name.as_bytes()))
        .collect();
    names.sort();
    names.iter().map(|name| base.join(name)).collect()
}

/// `{a,b}` spelled out; nested too.
pub(super) fn alternatives(pattern: &str, depth: usize) -> Vec<String> {
    let whole = || vec![pattern.to_owned()];
    let Some(open) = pattern.find('{').filter(|_| depth < MOST_BRACES) else {
        return whole();
    };
    let (mut level, mut parts, mut from) = (0usize, Vec::new(), open + 1);
    for (at, character) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match character {
            '{' => level += 1,
            ',' if level == 1 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            '}' if level == 1 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                let (before, after) = (
                    pattern.get(..open).unwrap_or_default(),
                    pattern.get(at + 1..).unwrap_or_default(),
                );
                return parts
                    .iter()
                    .flat_map(|part| alternatives(&format!("{before}{part}{after}"), depth + 1))
                    .take(MOST_ALTERNATIVES)
                    .collect();
            }
            '}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    whole()
}

/// Whether a name matches `*`, `?` and `[a-z]`; linear in practice, no recursion.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(pattern.get(p..).unwrap_or_default(), name.get(n).copied()),
            Some(byte) => (Some(byte) == name.get(n)).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, eaten))) => {
                star = Some((at, eaten + 1));
                p = at + 1;
                n = eaten + 1;
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// `[abc]`, `[a-c]`, `[!a]`: the length of the class when the byte is in it.
fn class(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    let close = pattern.iter().skip(2).position(|c| *c == b']')? + 2;
    let inside = pattern.get(1..close)?;
    let (negated, inside) = match inside.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        Some(_) | None => (false, inside),
    };
    let mut found = false;
    let mut rest = inside;
    while let Some((first, more)) = rest.split_first() {
        if let [b'-', last, after @ ..] = more {
            found |= (*first..=*last).contains(&byte);
            rest = after;
        } else {
            found |= *first == byte;
            rest = more;
        }
    }
    (found != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[a-c]?", "bz", true),
            ("[!a-c]?", "bz", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        assert_eq!(alternatives("a{b,c{d,e}}f", 0), ["abf", "acdf", "acef"]);
    }
}
