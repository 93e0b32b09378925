//! Statements and blocks with their places in the files; recovers and goes on after an error.

use super::keywords;
use super::lexer::{Lexeme, lex};
use super::preprocess::LogicalLine;
use crate::core::diagnostics::{Diagnostic, Severity, Span};

/// Blocks within blocks; the dialect has five.
const DEEPEST: usize = 32;

/// A word of the configuration after comments, quotes, definitions and sequences are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The text, without quotes.
    pub text: String,
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
    pub raw: String,
    /// What is between the braces, when there are any.
    pub block: Option<Vec<Statement>>,
    /// From the first word to the last.
    pub span: Span,
}

impl Statement {
    /// The first word.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", |token| token.text.as_str())
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

/// Makes a tree of logical lines. Faults of braces are told where they are seen, and a keyword that
/// can only stand further out ends the blocks that somebody forgot to close.
pub fn build_tree(lines: &[LogicalLine]) -> (Tree, Vec<Diagnostic>) {
    let mut builder =
        Builder { open: Vec::new(), root: Vec::new(), diagnostics: Vec::new(), just_opened: false };
    for line in lines {
        builder.line(line);
    }
    builder.finish();
    (Tree { statements: builder.root }, builder.diagnostics)
}

/// A block that has not been closed yet.
struct Open {
    statement: Statement,
    /// Its name in the keyword table; `None` inside of something unknown.
    path: Option<String>,
    brace: Span,
}

struct Builder {
    open: Vec<Open>,
    root: Vec<Statement>,
    diagnostics: Vec<Diagnostic>,
    /// A statement has just ended that a brace on the next line may belong to.
    just_opened: bool,
}

impl Builder {
    fn line(&mut self, line: &LogicalLine) {
        let lexemes = match lex(line) {
            Ok(lexemes) => lexemes,
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                return;
            }
        };
        let mut words: Vec<Token> = Vec::new();
        let mut raw_from = 0;
        for lexeme in lexemes {
            match lexeme {
                Lexeme::Word(token, at) => {
                    if words.is_empty() {
                        raw_from = at;
                    }
                    words.push(token);
                }
                Lexeme::Open(span, at) => {
                    let raw = line.text.get(raw_from..at).unwrap_or_default();
                    self.opening(std::mem::take(&mut words), raw, span);
                }
                Lexeme::Close(span, at) => {
                    let raw = line.text.get(raw_from..at).unwrap_or_default();
                    self.statement(std::mem::take(&mut words), raw, None);
                    self.closing(span);
                }
            }
        }
        let raw = line.text.get(raw_from..).unwrap_or_default();
        self.statement(words, raw, None);
    }

    fn level(&mut self) -> &mut Vec<Statement> {
        match self.open.last_mut() {
            Some(open) => open.statement.block.get_or_insert_with(Vec::new),
            None => &mut self.root,
        }
    }

    fn path(&self) -> Option<&str> {
        match self.open.last() {
            Some(open) => open.path.as_deref(),
            None => Some(keywords::ROOT),
        }
    }

    fn statement(&mut self, words: Vec<Token>, raw: &str, brace: Option<Span>) {
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return;
        };
        let span = first.span.to(last.span);
        let (keyword, keyword_span) = (first.text.clone(), first.span);
        let opens = brace.is_some() && plausible(&words);
        self.close_forgotten(&keyword, keyword_span, opens);
        let statement = Statement { words, raw: raw.trim().to_owned(), block: None, span };
        if let Some(brace) = brace {
            let path = self.path().and_then(|path| {
                let child = keywords::child_block(path, &keyword);
                keywords::lookup(path, &keyword).map(|_| child)
            });
            let statement = Statement { block: Some(Vec::new()), ..statement };
            self.open.push(Open { statement, path, brace });
            self.just_opened = false;
        } else {
            self.level().push(statement);
            self.just_opened = true;
        }
    }

    fn opening(&mut self, words: Vec<Token>, raw: &str, brace: Span) {
        if self.open.len() >= DEEPEST {
            let message = "Blocks nest too deeply";
            self.diagnostics.push(Diagnostic::new(Severity::Error, "too-deep", brace, message));
            self.just_opened = false;
            return;
        }
        if !words.is_empty() {
            return self.statement(words, raw, Some(brace));
        }
        // A brace on a line of its own belongs to the statement before it.
        let adopt = std::mem::take(&mut self.just_opened);
        match self.level().pop_if(|last| adopt && last.block.is_none()) {
            Some(statement) => {
                let words = statement.words;
                self.statement(words, &statement.raw, Some(brace));
            }
            None => {
                self.diagnostics.push(Diagnostic::new(
                    Severity::Error,
                    "unexpected-brace",
                    brace,
                    "Unexpected '{' - ignoring",
                ));
                // What is inside belongs to nothing: it is read as a block without a name.
                let words = vec![Token { text: "{".to_owned(), span: brace, quoted: false }];
                let statement =
                    Statement { words, raw: "{".to_owned(), block: Some(Vec::new()), span: brace };
                self.open.push(Open { statement, path: None, brace });
            }
        }
    }

    fn closing(&mut self, brace: Span) {
        self.just_opened = false;
        match self.open.pop() {
            Some(open) => {
                // The contents of a stray brace have been told already.
                if open.statement.keyword() != "{" {
                    self.level().push(open.statement);
                }
            }
            None => self.diagnostics.push(
                Diagnostic::new(
                    Severity::Error,
                    "unexpected-brace",
                    brace,
                    "Unexpected '}' - ignoring",
                )
                .with_help("there is no open block here"),
            ),
        }
    }

    /// A word that opens a block further out but means nothing here: the blocks between were left
    /// open.
    fn close_forgotten(&mut self, keyword: &str, span: Span, opens: bool) {
        let Some(path) = self.path() else {
            return self.close_unknown(keyword, span, opens);
        };
        if self.open.is_empty()
            || !opens
            || keywords::lookup(path, keyword).is_some()
            || !keywords::has_keywords(path) && !is_root_block(keyword)
        {
            return;
        }
        let outer = (0..self.open.len()).rev().find(|depth| {
            let outer = match depth.checked_sub(1).and_then(|index| self.open.get(index)) {
                Some(open) => open.path.as_deref(),
                None => Some(keywords::ROOT),
            };
            outer.is_some_and(|outer| keywords::opens_block(outer, keyword))
        });
        if let Some(depth) = outer {
            self.close_down_to(depth, keyword, span);
        }
    }

    /// Inside of something unknown only a root block is a sign that a brace is missing.
    fn close_unknown(&mut self, keyword: &str, span: Span, opens: bool) {
        if opens && is_root_block(keyword) {
            self.close_down_to(0, keyword, span);
        }
    }

    fn close_down_to(&mut self, depth: usize, keyword: &str, span: Span) {
        while self.open.len() > depth {
            let Some(open) = self.open.pop() else { return };
            let message = format!("The block `{}` has no closing brace", open.statement.keyword());
            self.diagnostics.push(
                Diagnostic::new(Severity::Error, "missing-brace", open.brace, message)
                    .with_related(span, format!("`{keyword}` cannot stand inside of it"))
                    .with_help("a `}` is missing before that line"),
            );
            if open.statement.keyword() != "{" {
                self.level().push(open.statement);
            }
        }
        self.just_opened = false;
    }

    fn finish(&mut self) {
        while let Some(open) = self.open.pop() {
            let message = format!("The block `{}` has no closing brace", open.statement.keyword());
            self.diagnostics.push(
                Diagnostic::new(Severity::Error, "missing-brace", open.brace, message)
                    .with_help("a `}` is missing before the end of the file"),
            );
            if open.statement.keyword() != "{" {
                self.level().push(open.statement);
            }
        }
    }
}

/// Whether a block's line has the name that such a block needs.
fn plausible(words: &[Token]) -> bool {
    let keyword = words.first().map_or("", |token| token.text.as_str());
    let named = keywords::lookup(keywords::ROOT, keyword)
        .is_some_and(|row| row.arguments.starts_with("NAME") || row.arguments.starts_with("IP"));
    !named || words.len() > 1
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
            let words: Vec<_> = statement.words.iter().map(|word| word.text.as_str()).collect();
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

    #[test]
    fn quotes_make_one_word_and_keep_braces() {
        let (tree, _) = build("global_defs {\n router_id \"a {b} c\"\n}\n");
        let word = &tree.statements[0].children()[0].words[1];
        assert_eq!((word.text.as_str(), word.quoted), ("a {b} c", true));
    }
}
