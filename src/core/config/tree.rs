//! Statements and blocks with their places in the files; recovers and goes on after an error.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::keywords;
use super::lexer::{Lexed, Lexeme, lex, lex_into};
use super::preprocess::LogicalLine;
use crate::core::diagnostics::{Diagnostic, Severity, Span};

/// Blocks within blocks; the dialect has five.
const DEEPEST: usize = 32;
/// How often, and over how many lines, braces are counted ahead to judge a doubtful place.
const MOST_LOOKS: usize = 200;
pub(super) const FARTHEST_LOOK: usize = 5000;
/// Most configurations have less.
const FEW_LINES: usize = 512;
/// Problems that are told; more would not be read.
const MOST_PROBLEMS: usize = 1000;
/// The keyword of a block whose content is passed over; no word of a file can be it.
const DISCARDED: &str = "{";

/// A word of the configuration after comments, quotes, definitions and sequences are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The text, without quotes; mostly a part of the file's own bytes.
    pub text: ByteString,
    /// Where it was written; for text out of a definition, where the definition is used.
    pub span: Span,
    /// Whether it was in quotes.
    pub quoted: bool,
}

/// A line of the configuration, with the block that it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The keyword and what follows; never empty, braces are not among them.
    pub words: Vec<Token>,
    /// The line as written from the first word on, for keywords with quoting rules of their own.
    pub raw: ByteString,
    /// What is between the braces, when there are any.
    pub block: Option<Vec<Statement>>,
    /// From the first word to the last.
    pub span: Span,
}

impl Statement {
    /// The first word.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", |token| &token.text)
    }

    /// The words after the first.
    pub fn arguments(&self) -> &[Token] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The statements between the braces; none when there are no braces.
    pub fn children(&self) -> &[Statement] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Root statements in order.
    pub statements: Vec<Statement>,
}

/// Makes a tree of logical lines, see [`TreeBuilder`].
pub fn build_tree(lines: Vec<LogicalLine>) -> (Tree, Vec<Diagnostic>) {
    let mut builder = TreeBuilder::default();
    for line in lines {
        builder.push(line);
    }
    let (statements, diagnostics) = builder.finish();
    (Tree { statements }, diagnostics)
}

/// A block that has not been closed yet.
#[derive(Debug)]
struct Open {
    statement: Statement,
    /// Its name in the keyword table; `None` inside of something unknown.
    path: Option<String>,
    brace: Span,
    /// How far its line is indented.
    indent: usize,
}

/// Makes statements of logical lines, one root statement after the other. Faults of braces are told
/// where they are seen and repaired where the keywords show what was meant:
/// - a root block ends every block that somebody forgot to close;
/// - a word that belongs further out ends the blocks between, when a closing brace is missing;
/// - a word that belongs into the block that has just ended opens it again, when there is a closing
///   brace too many.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    /// The line at hand.
    line: LogicalLine,
    /// Lines after it, as many as may be looked at.
    ahead: VecDeque<LogicalLine>,
    /// What the line says; used again for each.
    lexed: Lexed,
    lines_read: u64,
    looks: usize,
    open: Vec<Open>,
    root: Vec<Statement>,
    diagnostics: Vec<Diagnostic>,
    /// A statement has just ended that a brace on the next line may belong to.
    just_ended: bool,
    /// The brace that ended the last root block and its opening one, until the next root statement.
    closed_by: Option<(Span, Span)>,
}

impl TreeBuilder {
    /// Takes a line. It is looked at when enough lines after it are there.
    pub fn push(&mut self, line: LogicalLine) {
        if self.ahead.len() == FEW_LINES {
            // Where there are more there are mostly very many: memory that grows step by step is
            // touched again each time.
            self.ahead.reserve_exact(FARTHEST_LOOK + 1 - FEW_LINES);
        }
        self.ahead.push_back(line);
        if self.ahead.len() > FARTHEST_LOOK {
            self.step();
        }
    }

    /// There are no more lines: looks at the next of those that are left; whether there was one.
    pub fn read_on(&mut self) -> bool {
        let more = !self.ahead.is_empty();
        self.step();
        more
    }

    /// Root statements that no line to come can change.
    pub fn completed(&mut self) -> impl Iterator<Item = Statement> {
        // The last one may be opened again, or get a brace.
        let last = self.root.len().saturating_sub(1);
        self.root.drain(..last)
    }

    /// How many lines have been looked at.
    pub fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// Whether the line that was looked at last has ended a root statement.
    pub fn is_between_blocks(&self) -> bool {
        self.open.is_empty()
    }

    /// There are no more lines: the root statements that are left, and everything that was wrong.
    pub fn finish(mut self) -> (Vec<Statement>, Vec<Diagnostic>) {
        while self.read_on() {}
        self.end_blocks();
        (self.root, self.diagnostics)
    }

    fn step(&mut self) {
        if let Some(line) = self.ahead.pop_front() {
            self.lines_read += 1;
            self.line = line;
            self.read_line();
        }
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MOST_PROBLEMS {
            self.diagnostics.push(diagnostic);
        }
    }

    fn read_line(&mut self) {
        let mut lexed = std::mem::take(&mut self.lexed);
        lex_into(&self.line, &mut lexed);
        for diagnostic in lexed.diagnostics.drain(..) {
            self.tell(diagnostic);
        }
        let mut words: Vec<Token> = Vec::new();
        let mut raw_from = 0;
        for lexeme in lexed.lexemes.drain(..) {
            match lexeme {
                Lexeme::Word(token, at) => {
                    if words.is_empty() {
                        raw_from = at;
                    }
                    words.push(token);
                }
                Lexeme::Open(span, at) => {
                    let statement = self.of_line(std::mem::take(&mut words), raw_from, at);
                    self.opening(statement, span);
                }
                Lexeme::Close(span, at) => {
                    let statement = self.of_line(std::mem::take(&mut words), raw_from, at);
                    self.statement(statement);
                    self.closing(span);
                }
            }
        }
        let broken = lexed.broken;
        self.lexed = lexed;
        match broken {
            Some(broken) => {
                if let Some(brace) = broken.opens {
                    self.discard_block(brace);
                }
            }
            None => {
                let statement = self.of_line(words, raw_from, self.line.text.len());
                self.statement(statement);
            }
        }
    }

    /// The statement of `words`, which the line has from `from` to `to`.
    fn of_line(&self, words: Vec<Token>, from: usize, to: usize) -> Option<Statement> {
        let (first, last) = (words.first()?, words.last()?);
        Some(Statement {
            span: first.span.to(last.span),
            raw: self.line.text.slice_ref(self.line.text.get(from..to).unwrap_or_default().trim()),
            words,
            block: None,
        })
    }

    fn level(&mut self) -> &mut Vec<Statement> {
        match self.open.last_mut() {
            Some(open) => open.statement.block.get_or_insert_with(Vec::new),
            None => &mut self.root,
        }
    }

    fn indent(&self) -> usize {
        self.line.indent
    }

    /// The name of the block at hand in the keyword table.
    fn path(&self) -> Option<&str> {
        self.path_at(self.open.len())
    }

    /// The name of the block that encloses what is `depth` blocks deep.
    fn path_at(&self, depth: usize) -> Option<&str> {
        match depth.checked_sub(1) {
            None => Some(keywords::ROOT),
            Some(index) => self.open.get(index)?.path.as_deref(),
        }
    }

    /// A statement without a brace on its line.
    fn statement(&mut self, statement: Option<Statement>) {
        let Some(statement) = statement else { return };
        self.reopen(&statement);
        self.end_list(&statement);
        self.level().push(statement);
        self.just_ended = true;
    }

    fn opening(&mut self, statement: Option<Statement>, brace: Span) {
        // A brace on a line of its own belongs to the statement before it.
        let adopt = std::mem::take(&mut self.just_ended) && statement.is_none();
        let statement =
            statement.or_else(|| self.level().pop_if(|last| adopt && last.block.is_none()));
        let Some(statement) = statement else {
            let message = "Unexpected '{' - ignoring";
            self.tell(
                Diagnostic::new(Severity::Error, "unexpected-brace", brace, message)
                    .with_help("no keyword stands before it; the block is passed over"),
            );
            return self.discard_block(brace);
        };
        self.reopen(&statement);
        self.close_forgotten(&statement);
        if self.open.len() >= DEEPEST {
            let message = "Blocks nest too deeply; this one is passed over";
            self.tell(Diagnostic::new(Severity::Error, "too-deep", brace, message));
            return self.discard_block(brace);
        }
        let keyword = statement.keyword();
        let child = match self.path() {
            Some(path) if keywords::opens_block(path, keyword) => {
                Some(keywords::child_block(path, keyword))
            }
            Some(path) if keywords::lookup(path, keyword).is_some() || !takes_keywords(path) => {
                let message = "Unexpected '{' - ignoring";
                let help = format!("`{keyword}` takes no block here; the block is passed over");
                self.tell(
                    Diagnostic::new(Severity::Error, "unexpected-brace", brace, message)
                        .with_help(help),
                );
                self.level().push(statement);
                return self.discard_block(brace);
            }
            Some(_) | None => None,
        };
        self.open.push(Open {
            statement: Statement { block: Some(Vec::new()), ..statement },
            path: child,
            brace,
            indent: self.indent(),
        });
    }

    /// Reads on until the closing brace without keeping anything.
    fn discard_block(&mut self, brace: Span) {
        self.just_ended = false;
        if self.open.len() > 2 * DEEPEST {
            // The closing braces will be told as unexpected.
            return;
        }
        let word = Token { text: DISCARDED.into(), span: brace, quoted: false };
        self.open.push(Open {
            statement: Statement {
                words: vec![word],
                raw: DISCARDED.into(),
                block: Some(Vec::new()),
                span: brace,
            },
            path: None,
            brace,
            indent: self.indent(),
        });
    }

    fn closing(&mut self, brace: Span) {
        self.just_ended = false;
        match self.open.pop() {
            Some(open) => {
                self.closed_by = self.open.is_empty().then_some((brace, open.brace));
                self.keep(open.statement);
            }
            None => {
                let message = "Unexpected '}' - ignoring";
                self.tell(
                    Diagnostic::new(Severity::Error, "unexpected-brace", brace, message)
                        .with_help("there is no open block here"),
                );
            }
        }
    }

    fn keep(&mut self, statement: Statement) {
        // A quoted word may look like the mark of what is passed over.
        let discarded = statement.keyword() == DISCARDED
            && statement.words.first().is_some_and(|word| !word.quoted);
        if !discarded {
            self.level().push(statement);
        }
    }

    /// A block further out that is begun where it means nothing: the blocks between were left open.
    fn close_forgotten(&mut self, statement: &Statement) {
        let keyword = statement.keyword();
        let known = self.path().is_some_and(|path| {
            keywords::opens_block(path, keyword) && !means_root_block(path, statement)
        });
        if self.open.is_empty() || known || !plausible(&statement.words) {
            return;
        }
        let is_root = is_root_block(keyword);
        let outer = (0..self.open.len()).rev().find(|depth| {
            self.path_at(*depth).is_some_and(|path| keywords::opens_block(path, keyword))
        });
        let Some(depth) = outer else { return };
        let inside = self.open.last().is_some_and(|open| open.indent < self.indent());
        let forgotten = if is_root && !inside {
            // Also when somebody has made the number of braces right further down.
            true
        } else {
            // Inside of something unknown, only a root block is a sign that a brace is missing.
            (is_root || self.path().is_some()) && self.brace_is_missing()
        };
        if forgotten {
            self.close_down_to(depth, keyword, statement.span);
        }
    }

    /// A keyword of the block around a list of addresses: the list was left open.
    fn end_list(&mut self, statement: &Statement) {
        let keyword = statement.keyword();
        let depth = self.open.len();
        if depth >= 2
            && self.path().is_some_and(is_address_list)
            && self.path_at(depth - 1).is_some_and(|path| keywords::lookup(path, keyword).is_some())
            && self.brace_is_missing()
        {
            self.close_down_to(depth - 1, keyword, statement.span);
        }
    }

    /// A word that means nothing at the root, but something in the block that has just ended: the
    /// brace that ended it was one too many.
    fn reopen(&mut self, statement: &Statement) {
        if !self.open.is_empty() {
            return;
        }
        let keyword = statement.keyword();
        let Some((brace, opening)) = self.closed_by.take() else {
            return;
        };
        let fits = self.root.last().is_some_and(|last| {
            let path = keywords::child_block(keywords::ROOT, last.keyword());
            takes_keywords(&path) && keywords::lookup(&path, keyword).is_some()
        });
        if !fits || keywords::lookup(keywords::ROOT, keyword).is_some() {
            return;
        }
        if self.closing_ahead().is_none_or(|surplus| surplus < 1) {
            return;
        }
        let Some(last) = self.root.pop() else { return };
        let message = "Unexpected '}' - ignoring";
        let remark = format!("`{keyword}` belongs into that block");
        self.tell(
            Diagnostic::new(Severity::Error, "unexpected-brace", brace, message)
                .with_related(statement.span, remark)
                .with_help("it would end the block too early: there is one more further down"),
        );
        self.open.push(Open {
            path: Some(keywords::child_block(keywords::ROOT, last.keyword())),
            statement: last,
            brace: opening,
            indent: 0,
        });
    }

    /// Whether there are fewer closing braces ahead than blocks are open.
    fn brace_is_missing(&mut self) -> bool {
        let open = self.open.len();
        self.closing_ahead().is_some_and(|closing| closing < open)
    }

    /// How many more blocks are closed than opened from the line at hand to the next root block (or
    /// the end), at the most. `None` when it is not worth looking any more.
    fn closing_ahead(&mut self) -> Option<usize> {
        self.looks += 1;
        if self.looks > MOST_LOOKS {
            return None;
        }
        let root_indent = self.open.first().map_or(0, |open| open.indent);
        let (mut depth, mut closing) = (0usize, 0usize);
        let ahead = std::iter::once(&self.line).chain(&self.ahead).take(FARTHEST_LOOK);
        for (index, line) in ahead.enumerate() {
            let lexed = lex(line);
            if let (Some(Lexeme::Word(first, _)), true) = (lexed.lexemes.first(), index > 0)
                && line.indent <= root_indent
                && is_root_block(&first.text)
                && keywords::lookup("vrrp_instance", &first.text).is_none()
            {
                break;
            }
            for lexeme in &lexed.lexemes {
                match lexeme {
                    Lexeme::Word(..) => {}
                    Lexeme::Open(..) => depth += 1,
                    Lexeme::Close(..) => match depth.checked_sub(1) {
                        Some(less) => depth = less,
                        None => closing += 1,
                    },
                }
            }
            depth += usize::from(lexed.broken.is_some_and(|broken| broken.opens.is_some()));
        }
        Some(closing)
    }

    fn close_down_to(&mut self, depth: usize, keyword: &str, span: Span) {
        while self.open.len() > depth {
            let Some(open) = self.open.pop() else { return };
            self.tell(
                missing_brace(&open)
                    .with_related(span, format!("`{keyword}` cannot stand inside of it"))
                    .with_help("a `}` is missing before that line"),
            );
            self.keep(open.statement);
        }
        self.just_ended = false;
    }

    fn end_blocks(&mut self) {
        while let Some(open) = self.open.pop() {
            self.tell(
                missing_brace(&open).with_help("a `}` is missing before the end of the file"),
            );
            self.keep(open.statement);
        }
    }
}

fn missing_brace(open: &Open) -> Diagnostic {
    let message = format!("The block `{}` has no closing brace", open.statement.keyword());
    Diagnostic::new(Severity::Error, "missing-brace", open.brace, message)
}

/// Whether the lines of a block begin with keywords of the table.
fn takes_keywords(path: &str) -> bool {
    path == keywords::ROOT || keywords::has_keywords(path)
}

fn is_address_list(path: &str) -> bool {
    let (_, name) = path.rsplit_once('/').unwrap_or_default();
    matches!(name, "virtual_ipaddress" | "virtual_ipaddress_excluded" | "unicast_peer")
}

/// Whether a block's line has the name that such a block needs.
fn plausible(words: &[Token]) -> bool {
    let keyword = words.first().map_or("", |token| &*token.text);
    let named = keywords::lookup(keywords::ROOT, keyword)
        .is_some_and(|row| row.arguments.starts_with("NAME") || row.arguments.starts_with("IP"));
    !named || words.len() > 1
}

/// A block that has a name at the root, and none here: the name tells which one it is.
fn means_root_block(path: &str, statement: &Statement) -> bool {
    let arguments = |path| keywords::lookup(path, statement.keyword()).map(|row| row.arguments);
    !statement.arguments().is_empty()
        && path != keywords::ROOT
        && arguments(keywords::ROOT).is_some_and(|usual| usual.starts_with("NAME"))
        && arguments(path).is_some_and(|usual| usual.starts_with('{'))
}

fn is_root_block(keyword: &str) -> bool {
    keywords::opens_block(keywords::ROOT, keyword)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::source::SourceSet;

    fn build(text: &str) -> (Tree, Vec<Diagnostic>) {
        let parsed = super::super::parse(&SourceSet::from_text("test.conf", text));
        (parsed.tree, parsed.diagnostics)
    }

    fn shape(statements: &[Statement]) -> String {
        let mut text = String::new();
        for statement in statements {
            let words: Vec<_> = statement.words.iter().map(|word| &*word.text).collect();
            text.push_str(&words.join(" "));
            if let Some(block) = &statement.block {
                text.push('{');
                text.push_str(&shape(block));
                text.push('}');
            }
            text.push(';');
        }
        text
    }

    #[test]
    fn braces_may_stand_anywhere() {
        let expected = "vrrp_instance V{state MASTER;virtual_ipaddress{10.0.0.1;10.0.0.2;};};";
        for text in [
            "vrrp_instance V {\n state MASTER\n virtual_ipaddress {\n 10.0.0.1\n 10.0.0.2\n }\n}\n",
            "vrrp_instance V\n{\nstate MASTER\nvirtual_ipaddress\n{\n10.0.0.1\n10.0.0.2\n}}",
            "vrrp_instance V{\nstate MASTER\nvirtual_ipaddress{\n10.0.0.1\n10.0.0.2}\n}",
        ] {
            let (tree, diagnostics) = build(text);
            assert_eq!(shape(&tree.statements), expected, "{text}");
            assert_eq!(diagnostics, [], "{text}");
        }
    }

    #[test]
    fn a_block_that_was_not_closed_does_not_swallow_the_next_one() {
        let text = "vrrp_instance A {\n state MASTER\n virtual_ipaddress {\n 10.0.0.1\n}\n\
                    vrrp_instance B {\n state BACKUP\n}\n";
        let (tree, diagnostics) = build(text);
        assert_eq!(
            shape(&tree.statements),
            "vrrp_instance A{state MASTER;virtual_ipaddress{10.0.0.1;};};vrrp_instance B{state BACKUP;};"
        );
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].code, "missing-brace");
        assert_eq!(diagnostics[0].span.unwrap().start, 16);
    }

    #[test]
    fn a_real_server_that_was_not_closed_does_not_swallow_the_next_one() {
        let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n  weight 1\n\
                    real_server 10.0.0.3 80 {\n weight 2\n }\n}\n";
        let (tree, diagnostics) = build(text);
        assert_eq!(
            shape(&tree.statements),
            "virtual_server 10.0.0.1 80{real_server 10.0.0.2 80{weight 1;};real_server 10.0.0.3 80{weight 2;};};"
        );
        assert_eq!(diagnostics.len(), 1);
    }

    #[test]
    fn stray_braces_are_told_and_passed_over() {
        let (tree, diagnostics) =
            build("}\nglobal_defs {\n router_id x\n}\n}\n{\n a\n}\nvrrp_instance V {\n}\n");
        assert_eq!(shape(&tree.statements), "global_defs{router_id x;};vrrp_instance V{};");
        assert_eq!(diagnostics.len(), 3);
    }

    fn repaired(text: &str) -> (String, Vec<&'static str>) {
        let (tree, diagnostics) = build(text);
        let codes = diagnostics.iter().map(|found| found.code).collect();
        (shape(&tree.statements), codes)
    }

    #[test]
    fn a_list_that_was_not_closed_does_not_swallow_the_keywords_after_it() {
        let text = "vrrp_instance A {\n virtual_ipaddress {\n 10.0.0.1\n priority 50\n}\n";
        let (shape, codes) = repaired(&format!("{text}vrrp_instance B {{\n}}\n"));
        assert_eq!(
            shape,
            "vrrp_instance A{virtual_ipaddress{10.0.0.1;};priority 50;};vrrp_instance B{};"
        );
        assert_eq!(codes, ["missing-brace"]);
    }

    #[test]
    fn a_misplaced_keyword_ends_nothing_when_the_braces_match() {
        let text = "vrrp_instance A {\n virtual_ipaddress {\n priority 50\n}\n state BACKUP\n}\n";
        assert_eq!(
            repaired(text),
            ("vrrp_instance A{virtual_ipaddress{priority 50;};state BACKUP;};".into(), vec![])
        );
        let text = "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n \
                    real_server 10.0.0.3 80 {\n}\n}\n real_server 10.0.0.4 80 {\n}\n}\n";
        let (shape, codes) = repaired(text);
        assert!(shape.ends_with("};real_server 10.0.0.4 80{};};"), "{shape}");
        assert_eq!(codes, [""; 0]);
    }

    #[test]
    fn a_root_block_that_is_indented_into_another_is_left_there_when_the_braces_match() {
        let text = "vrrp_instance A {\n  vrrp_track_file {\n    f\n  }\n  priority 5\n}\n";
        assert_eq!(
            repaired(text),
            ("vrrp_instance A{vrrp_track_file{f;};priority 5;};".into(), vec![])
        );
        // Not indented: the brace at the end only makes the number right.
        let text = "vrrp_instance A {\n priority 5\nvrrp_script s {\n}\n}\n";
        assert_eq!(
            repaired(text),
            (
                "vrrp_instance A{priority 5;};vrrp_script s{};".into(),
                vec!["missing-brace", "unexpected-brace"]
            )
        );
    }

    #[test]
    fn a_brace_too_many_does_not_cut_a_block_short() {
        let text = "vrrp_instance A {\n virtual_ipaddress {\n 10.0.0.1\n}\n}\n priority 50\n \
                    track_script {\n s\n}\n}\nvrrp_instance B {\n}\n";
        assert_eq!(
            repaired(text),
            (
                "vrrp_instance A{virtual_ipaddress{10.0.0.1;};priority 50;track_script{s;};};\
                 vrrp_instance B{};"
                    .into(),
                vec!["unexpected-brace"]
            )
        );
        let alone = "vrrp_instance A {\n}\npriority 50\nvrrp_instance B {\n}\n";
        assert_eq!(repaired(alone).0, "vrrp_instance A{};priority 50;vrrp_instance B{};");
    }

    #[test]
    fn a_brace_after_a_keyword_without_block_is_told_and_its_content_passed_over() {
        let text = "global_defs {\n vrrp_version 3 {\n router_id x\n }\n router_id y\n}\n";
        assert_eq!(
            repaired(text),
            ("global_defs{vrrp_version 3;router_id y;};".into(), vec!["unexpected-brace"])
        );
        let text = "vrrp_instance A {\n track_script {\n s {\n t\n }\n }\n state BACKUP\n}\n";
        assert_eq!(
            repaired(text),
            ("vrrp_instance A{track_script{s;};state BACKUP;};".into(), vec!["unexpected-brace"])
        );
    }

    #[test]
    fn a_line_with_an_unmatched_quote_takes_its_block_with_it() {
        let text = "vrrp_instance \"A {\n state MASTER\n}\nvrrp_instance B {\n}\n";
        assert_eq!(repaired(text), ("vrrp_instance B{};".into(), vec!["unmatched-quote"]));
        let text = "global_defs {\n router_id \"x\n vrrp_version 3\n}\n";
        assert_eq!(
            repaired(text),
            ("global_defs{vrrp_version 3;};".into(), vec!["unmatched-quote"])
        );
    }

    #[test]
    fn an_unknown_block_stays_one_statement() {
        let text = "global_defs {\n nonsense 3 {\n a {\n b\n }\n }\n vrrp_version 3\n}\n";
        assert_eq!(
            repaired(text),
            ("global_defs{nonsense 3{a{b;};};vrrp_version 3;};".into(), vec![])
        );
    }

    #[test]
    fn endless_nesting_is_passed_over() {
        let (_, diagnostics) = build(&"a {\n".repeat(5000));
        assert_eq!(diagnostics.len(), MOST_PROBLEMS);
        let (tree, _) = build(&format!("{}{}b\n", "a {\n".repeat(50), "}\n".repeat(50)));
        assert_eq!(tree.statements.len(), 2);
    }

    #[test]
    fn quotes_make_one_word_and_keep_braces() {
        let (tree, _) = build("global_defs {\n router_id \"a {b} c\"\n}\n");
        let word = &tree.statements[0].children()[0].words[1];
        assert_eq!((&*word.text, word.quoted), ("a {b} c", true));
    }
}
