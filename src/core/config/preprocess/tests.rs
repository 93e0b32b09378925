use super::*;

struct Text(Bytes);

impl Files for Text {
    fn text(&self, _: FileId) -> Bytes {
        self.0.clone()
    }
    fn folder(&self, _: FileId) -> String {
        "/etc".into()
    }
    fn include(
        &mut self,
        _: FileId,
        checks: IncludeChecks,
        pattern: &str,
    ) -> Result<Vec<FileId>, IncludeError> {
        match pattern {
            "self" => Ok(vec![FileId(0)]),
            _ => Err(IncludeError { message: pattern.to_owned(), fatal: checks.exact }),
        }
    }
    fn environment(&mut self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".into())
    }
    fn config_id(&self) -> &str {
        "node1"
    }
    fn seed(&self) -> u64 {
        7
    }
}

fn run(text: &str) -> Preprocessed {
    preprocess(&[FileId(0)], &mut Text(text.to_owned().into()))
}

fn lines(text: &str) -> Vec<String> {
    run(text).lines.into_iter().map(|line| line.text.into()).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    run(text).diagnostics.iter().map(|found| found.code).collect()
}

#[test]
fn conditions_select_lines_by_config_id() {
    assert_eq!(
        lines("@node1 a\n@node2 b\n@^node1 c\n@^node2 d\n@node1\n@^x @^y e\n"),
        ["a", "d", "@^y e"]
    );
    assert_eq!(lines("@^x $A=1\nx$A y\n@x $A=2\nx$A"), ["x1 y", "x1"]);
    assert_eq!(lines("$X=@node2\n$X a"), ["@node2 a"], "a condition out of a definition is a word");
}

#[test]
fn definitions_are_expanded_where_they_are_used() {
    assert_eq!(
        lines("$A=1\n$B=${A}2\nx $A y\nz ${B}3 $A,$B\nw $NONE $Ax"),
        ["x 1 y", "z 123 1,12", "w $NONE $Ax"]
    );
    assert_eq!(lines("$A=v1\n$B=$A\n$A=v2\nx$B y"), ["xv2 y"]);
    assert_eq!(lines("$A=\nx${A}y ${A} z $A"), ["xy  z"]);
    assert_eq!(lines("$1=q\n$A-B=q\n$A =q"), ["$1=q", "$A-B=q", "$A =q"]);
    assert_eq!(lines("$A=1\nx$A$A y\n\"$A\" \"$A x${A}\""), ["x$A1 y", "\"$A\" \"1 x1\""]);
}

#[test]
fn a_definition_of_several_lines_stands_at_the_end_of_a_line() {
    assert_eq!(
        lines("$A=one \\\ntwo \\\nthree\nx $A\ny $A z"),
        ["x one", "two", "three", "y $A z"]
    );
    let nested = "$K=k1 \\\n k2\n$L=aa \\\n$K \\\n@node1 b \\\n@other c \\\n~SEQ(I,2) d$I\n$L\n";
    assert_eq!(lines(nested), ["aa", "k1", "k2", "b", "d1", "d2"]);
}

#[test]
fn a_comment_does_not_end_a_definition_and_a_blank_line_does() {
    assert_eq!(lines("$L=aa \\\n# comment\nbb \\\n\ncc\n$L\n"), ["cc", "aa", "bb"]);
    assert_eq!(lines("$L=aa \\\nbb \\"), [""; 0]);
}

#[test]
fn a_comment_may_come_out_of_a_definition() {
    assert_eq!(
        lines("$V=${_HASH}\n$V off\nx${V}z y\na ${_BANG} {\nb \"${V}\" {"),
        ["x", "a", "b \"#\" {"]
    );
    assert_eq!(lines("$C=u\\#v\n$C w\n$D=\"p#q\"\n$D r"), ["u", "\"p#q\" r"]);
    assert_eq!(lines("$L=a \\\nb\\#c\n$L"), ["a", "b"]);
}

#[test]
fn a_line_may_have_many_references() {
    let text = format!("$A=1\nx {}\n", "${A}".repeat(200));
    assert_eq!(lines(&text), [format!("x {}", "1".repeat(200))]);
}

#[test]
fn names_without_definition_are_left_as_they_are() {
    assert_eq!(lines("$A=1\na ${U} $V ${W $A ${A} b"), ["a ${U} $V ${W 1 1 b"]);
}

#[test]
fn sequences_and_lists_repeat_the_rest_of_the_line() {
    assert_eq!(lines("~SEQ(X, 2) a $X"), ["a 1", "a 2"]);
    assert_eq!(lines("~LST({A,B}, {1,2}, {3}) $A-${B}"), ["$A-2", "$A-"]);
    assert_eq!(lines("~SEQ(X, 2) ~SEQ(Y, 2) ${X}${Y}"), ["11", "12", "21", "22"]);
    assert_eq!(lines("$S=~SEQ(I,2) a$I\n$S\naa ~SEQ(I,2) b"), ["a1", "a2", "aa ~SEQ(I,2) b"]);
    assert_eq!(lines("$I=9\n~SEQ(I,2) x$I\ny$I"), ["x1", "x2", "y2"]);
    assert_eq!(lines("~LST(X,a,b) @node1 r $X"), ["r a", "r b"]);
    assert_eq!(codes("~SEQ(X, 1, 0, 5) a"), ["bad-sequence"]);
}

#[test]
fn predefined_names_are_known_and_may_be_redefined() {
    assert_eq!(
        lines("${_PWD} ${_INSTANCE} ${_ENV HOME} ${_ENV NONE}\"${_HASH}${_BANG}\"${_RANDOM 3 3}"),
        ["/etc node1 /root \"#!\"3"]
    );
    assert_eq!(lines("$_PWD=zz\n${_PWD}"), ["zz"]);
    assert_eq!(codes("${_RANDOM 5 2}"), ["empty-range"]);
    assert_eq!(lines("${_RANDOM 5 2}"), ["5"]);
    let text = "random_seed 5\n${_RANDOM} ${_RANDOM}\nrandom_seed 5\n${_RANDOM} ${_RANDOM}\n";
    let found = lines(text);
    assert_eq!(found[1], found[3]);
    assert_ne!(found[1].split_once(' ').unwrap().0, found[1].split_once(' ').unwrap().1);
}

#[test]
fn places_point_into_the_file_also_after_expansion() {
    let text = "$A=xyz\n  foo ${A} bar # c\n";
    let found = run(text);
    let line = &found.lines[0];
    assert_eq!(line.text, "foo xyz bar");
    let at = |start, end| {
        let span = line.span(start, end);
        &text[span.start as usize..span.end as usize]
    };
    assert_eq!([at(0, 3), at(4, 7), at(8, 11)], ["foo", "${A}", "bar"]);
}

#[test]
fn lines_that_cannot_be_read_are_dropped_and_told() {
    let long = "a".repeat(1024);
    assert_eq!(lines(&format!("{long}\nb\0c\nd\r\n")), ["d"]);
    assert_eq!(codes(&format!("{long}\nb\0c\nd\r\n")), ["line-too-long", "nul-byte"]);
    assert_eq!(lines(&format!("{}\n", &long[..1023])).len(), 1);
    assert_eq!(lines("\u{feff}a\n"), ["a"]);
    assert_eq!(codes("\u{feff}a\n"), ["byte-order-mark"]);
}

#[test]
fn include_check_makes_later_includes_strict() {
    let fatal = |text: &str| -> Vec<bool> {
        let severity = |found: &Diagnostic| found.severity == Severity::Fatal;
        run(text).diagnostics.iter().map(severity).collect()
    };
    assert_eq!(
        fatal("include x\ninclude_check match\ninclude x\ninclude_check -match\ninclude x"),
        [false, true, false]
    );
    assert_eq!(fatal("includer x\nincludem x\nincludeb x\nincludea x"), [false, true, false, true]);
    for (line, name) in [
        ("include a b.conf # c", "a b.conf"),
        ("include\t\"a b\"", "a b"),
        ("include \"a\" \"b\"", "\"a\" \"b\""),
    ] {
        assert_eq!(run(line).diagnostics[0].message, name);
    }
    assert_eq!(lines("include\n"), ["include"]);
}

#[test]
fn bombs_get_a_message_and_an_end() {
    let mut doubling = String::from("$A0=xxxxxxxxxx\n");
    for n in 1..30 {
        doubling += &format!("$A{n}=${{A{0}}}${{A{0}}}\n", n - 1);
    }
    doubling.push_str("$A29\n");
    let mut tree = String::from("$L0=x \\\nx\n");
    for n in 1..40 {
        tree += &format!("$L{n}=${{L{0}}} \\\n${{L{0}}}\n", n - 1);
    }
    tree.push_str("$L39\n");
    for text in [
        doubling.as_str(),
        tree.as_str(),
        "$A=${A}\n$A\n",
        "$A=${B}\n$B=x $A\n$A\n",
        "$A=x \\\n$A\n$A\n",
        "include self\ninclude self\n",
        "~SEQ(A, 60000) ~SEQ(B, 60000) xxxxxxxxxxxxxxxxxxxxxx\n",
    ] {
        assert!(!run(text).diagnostics.is_empty(), "{text}");
    }
}

#[test]
fn a_line_of_many_unknown_names_is_cheap() {
    let mut text = String::from("$A=");
    text += &"${x}".repeat(250);
    text += "\n$B=${A}${A}${A}${A}${A}${A}${A}${A}\n${B}${B}${B}${B}${B}${B}\n";
    assert_eq!(lines(&text)[0].len(), 48 * 1000);
}

#[test]
fn quotes_must_match_also_in_lines_that_are_not_used() {
    assert_eq!(codes("$A=\"x\n@other \"y\n$L=a \\\n b\" \\\nc\n"), ["unmatched-quote"; 3]);
    assert_eq!(codes("$A=\"x\" # \"\n@other \"y\"\n# \"\n"), [""; 0]);
    assert_eq!(codes("~SEQ(I,2) @other \"x\n"), ["unmatched-quote"]);
}
