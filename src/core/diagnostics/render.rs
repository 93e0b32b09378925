//! Diagnostics as people and programs read them: on a terminal with the source line, one line in a
//! log, or a JSON object.

use std::fmt::Write as _;

use super::{Diagnostic, Severity, SourceMap, Span};

/// How to write on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With colours.
    Colour,
}

/// A place as people count: lines and columns from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    text: String,
    width: usize,
}

/// Text of a file as it may go to a terminal or a log: no control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn place(span: Span, sources: &SourceMap) -> Option<Place<'_>> {
    let source = sources.files.get(span.file.0 as usize)?;
    let start = (span.start as usize).min(source.bytes.len());
    let before = source.bytes.get(..start)?;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = source.bytes.get(line_start..)?;
    let line_end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = String::from_utf8_lossy(rest.get(..line_end)?).replace('\r', "");
    let column_text = String::from_utf8_lossy(source.bytes.get(line_start..start)?).into_owned();
    let end = (span.end as usize).clamp(start, line_start + line_end);
    let marked = String::from_utf8_lossy(source.bytes.get(start..end)?).into_owned();
    Some(Place {
        file: &source.name,
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: column_text.chars().count() + 1,
        text: line,
        width: marked.chars().count().max(1),
    })
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::ScriptSecurity => "script security",
        Severity::Error => "error",
        Severity::Missing | Severity::Fatal => "fatal",
    }
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "\x1b[36m",
        Severity::Warning | Severity::ScriptSecurity => "\x1b[33m",
        Severity::Error | Severity::Missing | Severity::Fatal => "\x1b[31m",
    }
}

/// Several lines: what, where, the source line with the place marked, what to do.
pub fn full(diagnostic: &Diagnostic, sources: &SourceMap, style: Style) -> String {
    let (on, off) = match style {
        Style::Plain => ("", ""),
        Style::Colour => (colour(diagnostic.severity), "\x1b[0m"),
    };
    let mut text = format!(
        "{on}{}{off}[{}]: {}\n",
        name(diagnostic.severity),
        diagnostic.code,
        printable(&diagnostic.message)
    );
    if let Some(found) = diagnostic.span.and_then(|span| place(span, sources)) {
        excerpt(&mut text, &found, None);
    }
    for (span, remark) in &diagnostic.related {
        if let Some(found) = place(*span, sources) {
            excerpt(&mut text, &found, Some(remark));
        }
    }
    if let Some(help) = &diagnostic.help {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "  = help: {}", printable(help));
    }
    text
}

fn excerpt(text: &mut String, found: &Place<'_>, remark: Option<&str>) {
    let number = found.line.to_string();
    let margin = " ".repeat(number.len());
    let _ = writeln!(text, "{margin}--> {}:{}:{}", printable(found.file), found.line, found.column);
    let line = printable(&found.text.replace('\t', " "));
    let _ = writeln!(text, "{number} | {line}");
    let indent = " ".repeat(found.column - 1);
    let marks = "^".repeat(found.width);
    let remark = remark.map(|remark| format!(" {}", printable(remark))).unwrap_or_default();
    let _ = writeln!(text, "{margin} | {indent}{marks}{remark}");
}

/// One line, in keepalived's manner: `(/etc/keepalived/keepalived.conf: Line 12) message`.
pub fn concise(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let message = &diagnostic.message;
    printable(&match diagnostic.span.and_then(|span| place(span, sources)) {
        Some(found) => format!("({}: Line {}) {message}{help}", found.file, found.line),
        None => format!("{message}{help}"),
    })
}

/// One JSON object on one line, for editors and pipelines:
/// `{"code":…,"severity":…,"message":…,"place":{"file":…,"line":…,"column":…,"length":…},"help":…,
/// "related":[{"place":…,"message":…}]}`. Lines and columns count characters from 1; `place` and
/// `help` are null when there are none.
pub fn json(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let mut text = String::from("{\"code\":");
    json_string(&mut text, diagnostic.code);
    text.push_str(",\"severity\":");
    json_string(&mut text, name(diagnostic.severity));
    text.push_str(",\"message\":");
    json_string(&mut text, &diagnostic.message);
    text.push_str(",\"place\":");
    json_place(&mut text, diagnostic.span, sources);
    text.push_str(",\"help\":");
    match &diagnostic.help {
        Some(help) => json_string(&mut text, help),
        None => text.push_str("null"),
    }
    text.push_str(",\"related\":[");
    for (index, (span, remark)) in diagnostic.related.iter().enumerate() {
        text.push_str(if index == 0 { "{\"place\":" } else { ",{\"place\":" });
        json_place(&mut text, Some(*span), sources);
        text.push_str(",\"message\":");
        json_string(&mut text, remark);
        text.push('}');
    }
    text.push_str("]}");
    text
}

fn json_place(text: &mut String, span: Option<Span>, sources: &SourceMap) {
    let Some(found) = span.and_then(|span| place(span, sources)) else {
        return text.push_str("null");
    };
    text.push_str("{\"file\":");
    json_string(text, found.file);
    let _ = write!(
        text,
        ",\"line\":{},\"column\":{},\"length\":{}}}",
        found.line, found.column, found.width
    );
}

fn json_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            character if character.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            character => text.push(character),
        }
    }
    text.push('"');
}

/// How many there were of each kind.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let kinds = [
        (Severity::Fatal, "fatal"),
        (Severity::Missing, "missing word"),
        (Severity::Error, "error"),
        (Severity::ScriptSecurity, "script security problem"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter_map(|(severity, name)| {
            let count = diagnostics.iter().filter(|found| found.severity == severity).count();
            match count {
                0 => None,
                1 => Some(format!("1 {name}")),
                count => Some(format!("{count} {name}s")),
            }
        })
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::diagnostics::{FileId, SourceText};

    #[test]
    fn the_place_is_shown_with_its_line_and_marked() {
        let text = "vrrp_instance V {\n    prioritty 100\n}\n";
        let file = SourceText { name: "a.conf".into(), bytes: text.as_bytes().into() };
        let sources = SourceMap { files: vec![file] };
        let span = Span { file: FileId(0), start: 22, end: 31 };
        let other = Span { file: FileId(0), start: 0, end: 13 };
        let found = Diagnostic::new(
            Severity::Error,
            "unknown-keyword",
            span,
            "Unknown keyword 'prioritty'",
        )
        .with_help("did you mean `priority`?")
        .with_related(other, "in this block");
        assert_eq!(
            full(&found, &sources, Style::Plain),
            "error[unknown-keyword]: Unknown keyword 'prioritty'\n \
             --> a.conf:2:5\n\
             2 |     prioritty 100\n  \
             |     ^^^^^^^^^\n \
             --> a.conf:1:1\n\
             1 | vrrp_instance V {\n  \
             | ^^^^^^^^^^^^^ in this block\n  \
             = help: did you mean `priority`?\n"
        );
        assert_eq!(
            concise(&found, &sources),
            "(a.conf: Line 2) Unknown keyword 'prioritty' (did you mean `priority`?)"
        );
        assert_eq!(
            json(&found, &sources),
            "{\"code\":\"unknown-keyword\",\"severity\":\"error\",\
             \"message\":\"Unknown keyword 'prioritty'\",\
             \"place\":{\"file\":\"a.conf\",\"line\":2,\"column\":5,\"length\":9},\
             \"help\":\"did you mean `priority`?\",\
             \"related\":[{\"place\":{\"file\":\"a.conf\",\"line\":1,\"column\":1,\"length\":13},\
             \"message\":\"in this block\"}]}"
        );
        assert_eq!(summary(&[found.clone(), found]), "2 errors");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_a_terminal() {
        let file = SourceText { name: "a\nb".into(), bytes: b"x\x1b[31m\x07 y".as_slice().into() };
        let sources = SourceMap { files: vec![file] };
        let span = Span { file: FileId(0), start: 0, end: 6 };
        let found = Diagnostic::new(Severity::Error, "x", span, "Unknown 'x\x1b[31m\"'");
        let full = full(&found, &sources, Style::Plain);
        assert!(!full.contains(['\x1b', '\x07']), "{full}");
        assert_eq!(concise(&found, &sources), "(a\u{fffd}b: Line 1) Unknown 'x\u{fffd}[31m\"'");
        let parsed: serde_json::Value = serde_json::from_str(&json(&found, &sources)).unwrap();
        assert_eq!(parsed["message"], "Unknown 'x\x1b[31m\"'");
        assert_eq!(parsed["place"]["file"], "a\nb");
        assert_eq!(parsed["help"], serde_json::Value::Null);
    }

    #[test]
    fn a_span_outside_of_the_text_is_harmless() {
        let file = SourceText { name: "a".into(), bytes: b"x".as_slice().into() };
        let sources = SourceMap { files: vec![file] };
        for (start, end) in [(0, 99), (5, 9), (9, 5)] {
            let span = Span { file: FileId(0), start, end };
            let found = Diagnostic::new(Severity::Note, "x", span, "m");
            assert!(full(&found, &sources, Style::Colour).contains('m'));
        }
        let gone = Span { file: FileId(7), start: 0, end: 1 };
        assert_eq!(concise(&Diagnostic::new(Severity::Note, "x", gone, "m"), &sources), "m");
    }
}
