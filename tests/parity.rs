//! Every word of the keyword table against `parity.tsv`, our own against `parity/additions.tsv`: it has a parser, a place in the model, a
//! default, and an answer to a bad value.
//!
//! Columns: block, word, good, field, default, bad, code, frame.
//! - *good* compiles without an error and changes *field* of the model. `A || B` is line B in a file
//!   that has line A anyway. `field!code` allows that one error; `-` is for words without a field.
//! - *default* changes nothing, or after `=` it is the field's value in the file without the word;
//!   `A || B` are two ways to write the same. Empty where the default cannot be written.
//! - *bad* gives *code* and leaves the model alone. With `!` the model may change (a correction, or
//!   an object that is left out). Code `*`: any argument does as well; `text`: any text is a value.

#[path = "parity/numbers.rs"]
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::handed;
use steadfast::core::config::keywords;
use steadfast::core::config::model::Config;
use steadfast::core::config::source::SourceSet;
use steadfast::core::diagnostics::Severity;

/// Rules of the syntax, and the functions that show them with good and bad text.
const SYNTAX: &[(&str, &[&str])] = &[
    ("comment_hash", &["comments_end_a_line_unless_quoted_or_escaped"]),
    ("comment_bang", &["comments_end_a_line_unless_quoted_or_escaped"]),
    ("line_length", &["lines_that_cannot_be_read_are_dropped_and_told"]),
    ("tokens", &["lines_are_split_at_blanks_quotes_and_braces"]),
    (
        "double_quote",
        &[
            "quotes_make_one_word_and_keep_braces",
            "an_unmatched_quote_breaks_the_line_off",
            "quotes_must_match_also_in_lines_that_are_not_used",
        ],
    ),
    ("script_quoting", &["commands_are_split_like_a_shell_would"]),
    ("script_escapes", &["commands_are_split_like_a_shell_would"]),
    ("braces", &["braces_may_stand_anywhere", "stray_braces_are_told_and_passed_over"]),
    (
        "value_block",
        &[
            "braces_may_stand_anywhere",
            "a_list_that_was_not_closed_does_not_swallow_the_keywords_after_it",
            "lists_take_each_line_or_each_word",
        ],
    ),
    ("boolean", &["every_word_has_a_field_a_default_and_an_answer_to_a_bad_value"]),
    ("integer", &["numbers_are_whole_words_within_their_range"]),
    ("decimal", &["seconds_keep_six_decimals"]),
    (
        "include",
        &[
            "includes_are_read_relative_to_their_file_and_frozen",
            "a_missing_include_is_fatal_only_where_asked",
            "patterns_match_as_in_a_shell",
        ],
    ),
    ("includer", &["each_form_of_include_is_as_strict_as_it_says"]),
    ("includem", &["each_form_of_include_is_as_strict_as_it_says"]),
    ("includew", &["each_form_of_include_is_as_strict_as_it_says"]),
    ("includeb", &["each_form_of_include_is_as_strict_as_it_says"]),
    ("includea", &["each_form_of_include_is_as_strict_as_it_says"]),
    ("@ID", &["conditions_select_lines_by_config_id"]),
    ("@^ID", &["conditions_select_lines_by_config_id"]),
    ("conditional_blocks", &["conditions_select_lines_by_config_id"]),
    ("@via_definition", &["conditions_select_lines_by_config_id"]),
    ("$NAME=VALUE", &["definitions_are_expanded_where_they_are_used"]),
    (
        "$NAME=multiline",
        &[
            "a_definition_of_several_lines_stands_at_the_end_of_a_line",
            "a_comment_does_not_end_a_definition_and_a_blank_line_does",
        ],
    ),
    (
        "$NAME",
        &[
            "definitions_are_expanded_where_they_are_used",
            "names_without_definition_are_left_as_they_are",
        ],
    ),
    ("${_PWD}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("${_INSTANCE}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("${_RANDOM}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("${_ENV}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("${_HASH}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("${_BANG}", &["predefined_names_are_known_and_may_be_redefined"]),
    ("predefined_override", &["predefined_names_are_known_and_may_be_redefined"]),
    (
        "~SEQ",
        &[
            "sequences_and_lists_repeat_the_rest_of_the_line",
            "malformed_sequences_are_refused",
            "endless_sequences_are_cut",
        ],
    ),
    ("~SEQx", &["counting_goes_up_and_down_in_any_base"]),
    ("~LST", &["sequences_and_lists_repeat_the_rest_of_the_line"]),
    ("~LST_tuple", &["lists_may_be_of_tuples"]),
    ("backslash_line_end", &["a_definition_of_several_lines_stands_at_the_end_of_a_line"]),
    ("escape_comment", &["comments_end_a_line_unless_quoted_or_escaped"]),
    ("append_flags", &["include_check_makes_later_includes_strict"]),
    ("username_group", &["scripts_are_split_into_words_and_keep_their_account"]),
    ("ip_address", &["networks_default_to_host_addresses"]),
    ("fifo_path", &["every_word_has_a_field_a_default_and_an_answer_to_a_bad_value"]),
    (
        "missing_parameter",
        &["what_a_daemon_cannot_run_with_is_fatal_and_a_missing_word_ends_at_once"],
    ),
    ("error_severity", &["verdicts_on_real_configurations_are_keepaliveds_or_explained"]),
    ("definition_order", &["the_order_of_objects_does_not_matter_and_building_on_the_way_neither"]),
    ("config_copy", &["includes_are_read_relative_to_their_file_and_frozen"]),
    ("root_block_scope", &["includes_are_read_relative_to_their_file_and_frozen"]),
];

/// Objects that lines name.
const OBJECTS: &str = "vrrp_script C {\nscript /bin/true\n}\ntrack_file F {\nfile /tmp/f\n}\n\
                       vrrp_track_process P {\nprocess sshd\n}\n\
                       bfd_instance B {\nneighbor_ip 10.0.0.2\n}\n";

fn instance(body: &str) -> String {
    format!(
        "{OBJECTS}vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\n\
         virtual_ipaddress {{\n10.0.0.1\n}}\n{body}\n}}\n"
    )
}

/// Two instances, for a group.
fn pair() -> String {
    let second = "vrrp_instance U {\ninterface eth4\nvirtual_router_id 52\n\
                  virtual_ipaddress {\n10.4.0.1\n}\n}\n";
    format!("{}{second}", instance(""))
}

fn service(name: &str, body: &str, server: &str) -> String {
    format!(
        "virtual_server {name} {{\nlb_algo rr\nlb_kind NAT\n{body}\n\
         real_server 10.0.1.1 80 {{\n{server}\n}}\n}}\n"
    )
}

/// A check around a line, with what it needs; without that when the frame ends in `-empty`.
fn check(frame: &str, line: &str) -> String {
    let (frame, empty) = match frame.strip_suffix("-empty") {
        Some(frame) => (frame, true),
        None => (frame, false),
    };
    let mut blocks: Vec<&str> = frame.split('/').skip(2).collect();
    let needs = match blocks.last() {
        _ if empty => "",
        Some(&("HTTP_GET" | "SSL_GET")) => "url {\npath /\n}",
        Some(&"url") => "path /",
        Some(&"MISC_CHECK") => "misc_path /bin/x",
        Some(&"FILE_CHECK") => "track_file F",
        Some(&"BFD_CHECK") => "name B",
        _ => "",
    };
    let mut text = format!("{needs}\n{line}");
    while let Some(block) = blocks.pop() {
        text = format!("{block} {{\n{text}\n}}");
    }
    text
}

/// The file around a line.
fn framed(frame: &str, line: &str) -> String {
    let tcp = "TCP_CHECK {\n}";
    let http = "HTTP_GET {\nurl {\npath /\n}\n}";
    let address = "10.0.0.1 80";
    match frame {
        "(root)" => format!("{line}\n"),
        "instance-first" => format!("{}{line}\n", instance("")),
        "linkbeat_interfaces" | "interface_up_down_delays" | "SSL" => {
            format!("{frame} {{\n{line}\n}}\n")
        }
        "global_defs" => format!("{}global_defs {{\n{line}\n}}\n", instance("")),
        "track_group" => format!("{}track_group G {{\n{line}\n}}\n", instance("")),
        "garp_group" => format!("garp_group {{\ngna_interval 1\n{line}\n}}\n"),
        "track_file" | "vrrp_track_file" => format!("{frame} X {{\nfile /tmp/x\n{line}\n}}\n"),
        "track_file-empty" => format!("track_file X {{\n{line}\n}}\n"),
        "vrrp_track_file-empty" => format!("vrrp_track_file X {{\n{line}\n}}\n"),
        "bfd_instance" => format!("bfd_instance X {{\nneighbor_ip 10.0.0.2\n{line}\n}}\n"),
        "address_line" => instance(&format!("virtual_ipaddress {{\n10.0.0.9/24 {line}\n}}")),
        "address-alone" => instance(&format!("virtual_ipaddress {{\n10.0.0.9 {line}\n}}")),
        "addresses" => instance(&format!("virtual_ipaddress {{\n{line}\n}}")),
        "route_line" => instance(&format!("virtual_routes {{\n10.9.0.0/16 dev eth0 {line}\n}}")),
        "route4-inet" => instance(&format!("virtual_routes {{\n{line} default dev eth0\n}}")),
        "route6" => instance(&format!("virtual_routes {{\nfd00:9::/64 dev eth0 {line}\n}}")),
        "routes" => instance(&format!("virtual_routes {{\n{line}\n}}")),
        "rule_line" => {
            let rule = format!("table 100 preference 50 {line}");
            instance(&format!("virtual_rules {{\n{rule}\n}}"))
        }
        "rule4-inet" => instance(&format!("virtual_rules {{\n{line} table 7 preference 9\n}}")),
        "rules" => instance(&format!("virtual_rules {{\n{line}\n}}")),
        "static-address" | "static-route" | "static-rule" => {
            let (block, entry) = match frame {
                "static-address" => ("static_ipaddress", "10.1.0.1/24 dev eth1"),
                "static-route" => ("static_routes", "10.1.0.0/16 dev eth1"),
                _ => ("static_rules", "table 7 preference 9"),
            };
            let group = "track_group T {\ngroup {\nV\n}\n}\n";
            format!("{group}{}{block} {{\n{entry} {line}\n}}\n", instance(""))
        }
        "vrrp_script" => format!("vrrp_script X {{\nscript /bin/true\n{line}\n}}\n"),
        "vrrp_track_process" => format!("vrrp_track_process X {{\nprocess sshd\n{line}\n}}\n"),
        "vrrp_script-empty" | "vrrp_track_process-empty" => {
            format!("{} X {{\n{line}\n}}\n", frame.trim_end_matches("-empty"))
        }
        "vrrp_sync_group" => {
            format!("{}vrrp_sync_group G {{\ngroup {{\nV U\n}}\n{line}\n}}\n", pair())
        }
        "sync-empty" => format!("{}vrrp_sync_group G {{\n{line}\n}}\n", pair()),
        "pair-first" => format!("{}{line}\n", pair()),
        "vrrp_instance" => instance(line),
        "instance-no-interface" => {
            let peers = "unicast_src_ip 10.0.0.4\nunicast_peer {\n10.0.0.5\n}\n\
                         virtual_ipaddress {\n10.0.0.1\n}";
            format!("vrrp_instance V {{\nvirtual_router_id 51\n{peers}\n{line}\n}}\n")
        }
        "instance-no-address" | "instance-without-address" => {
            let none = if frame == "instance-no-address" { "no_virtual_ipaddress" } else { "" };
            let head = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 51";
            format!("{head}\n{none}\n{line}\n}}\n")
        }
        "vrrp_instance/auth_hmac" => {
            let key = "key 1 0123456789012345678901234567890123";
            instance(&format!("auth_hmac {{\n{key}\nactive_key 1\n{line}\n}}"))
        }
        "virtual_server_group" => {
            format!("virtual_server_group G {{\n10.0.0.9 80\n{line}\n}}\n")
        }
        "virtual_server" => service(address, &format!("protocol TCP\n{line}"), tcp),
        "http-service" => service(address, &format!("protocol TCP\n{line}"), http),
        "fwmark-service" => {
            let server = "real_server 10.0.1.1 {\n}";
            format!("virtual_server fwmark 7 {{\nlb_algo rr\nlb_kind NAT\n{line}\n{server}\n}}\n")
        }
        "virtual_server/real_server" => service(address, "protocol TCP", &format!("{tcp}\n{line}")),
        "http-server" => service(address, "protocol TCP", &format!("{http}\n{line}")),
        "server-objects" => format!("{OBJECTS}{}", service(address, "protocol TCP", line)),
        _ if frame.starts_with("virtual_server/real_server/") => {
            format!("{OBJECTS}{}", service(address, "protocol TCP", &check(frame, line)))
        }
        _ => match frame.strip_prefix("vrrp_instance/") {
            Some(block) => instance(&format!("{block} {{\n{line}\n}}")),
            None => panic!("no frame {frame}"),
        },
    }
}

struct Row {
    block: String,
    word: String,
    base: String,
    good: String,
    field: String,
    tolerated: Option<String>,
    default: String,
    bad: String,
    code: String,
    frame: String,
}

fn rows() -> Vec<Row> {
    let texts = [include_str!("parity.tsv"), include_str!("parity/additions.tsv")];
    let lines = texts.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<String> =
                line.split('\t').map(|field| field.replace("\\n", "\n")).collect();
            let [block, word, good, field, default, bad, code, rest @ ..] = fields.as_slice()
            else {
                panic!("{line}")
            };
            let (base, good) = good.split_once(" || ").unwrap_or(("", good));
            let (field, tolerated) = match field.split_once('!') {
                None => (field.as_str(), None),
                Some((field, code)) => (field, Some(code.to_owned())),
            };
            Row {
                block: block.clone(),
                word: word.clone(),
                base: base.to_owned(),
                good: good.to_owned(),
                field: field.to_owned(),
                tolerated,
                default: default.clone(),
                bad: bad.clone(),
                code: code.clone(),
                frame: rest.first().unwrap_or(block).clone(),
            }
        })
        .collect()
}

impl Row {
    fn text(&self, line: &str) -> String {
        let separator = if self.frame.ends_with("_line") || self.frame.starts_with("static-") {
            " "
        } else {
            "\n"
        };
        let line = format!("{}{separator}{line}", self.base);
        framed(&self.frame, line.trim())
    }

    fn read(&self, line: &str) -> Compiled {
        let compiled = compile(&SourceSet::from_text("test.conf", self.text(line)));
        // A child acts on the same.
        handed::same_at_the_other_end(&compiled.config);
        compiled
    }

    fn check(&self) -> Result<(), String> {
        let base = self.read("");
        let good = self.read(&self.good);
        let errors = errors(&good);
        let fine = errors.iter().all(|code| Some(*code) == self.tolerated.as_deref());
        if !fine || (self.tolerated.is_some() && errors.is_empty()) {
            return Err(format!("good gives {errors:?}"));
        }
        if self.field == "-" {
            if base.refusal().is_none() && good.config != base.config {
                return Err("it changes the model, name the field".to_owned());
            }
        } else if !changed(&base.config, &good.config).any(|path| within(&path, &self.field)) {
            let found: BTreeSet<_> = changed(&base.config, &good.config).collect();
            return Err(format!("good does not change {}, but {found:?}", self.field));
        }
        self.check_default(&base)?;
        self.check_bad(&base, &good)
    }

    fn check_default(&self, base: &Compiled) -> Result<(), String> {
        if let Some(value) = self.default.strip_prefix("= ") {
            let name = self.field.rsplit('.').next().unwrap_or_default();
            let wanted = format!("{name}: {value},");
            let found = lines(&base.config);
            return if found.iter().any(|(path, line)| within(path, &self.field) && *line == wanted)
            {
                Ok(())
            } else {
                Err(format!("the default is not {value}"))
            };
        }
        let (left, right) = match self.default.split_once(" || ") {
            _ if self.default.is_empty() => return Ok(()),
            None => (base.config.clone(), self.read(&self.default)),
            Some((left, right)) => (self.read(left).config, self.read(right)),
        };
        let errors = errors(&right);
        if !errors.is_empty() {
            return Err(format!("the default gives {errors:?}"));
        }
        // `defaults` is for those who look from outside: what is written shows, not what follows.
        let found = changed(&left, &right.config).filter(|path| !within(path, "defaults"));
        let found: BTreeSet<_> = found.collect();
        if found.is_empty() { Ok(()) } else { Err(format!("the default changes {found:?}")) }
    }

    fn check_bad(&self, base: &Compiled, good: &Compiled) -> Result<(), String> {
        let bad = self.read(&self.bad);
        let codes = errors(&bad);
        match self.code.as_str() {
            "*" => {
                let found: BTreeSet<_> = changed(&good.config, &bad.config).collect();
                let same = found.is_empty() && codes == errors(good);
                if same { Ok(()) } else { Err(format!("an argument changes {found:?} {codes:?}")) }
            }
            "text" => {
                let both = [&base.config, &good.config].map(|config| *config != bad.config);
                let distinct = both == [true, true] && codes.is_empty();
                if distinct { Ok(()) } else { Err(format!("another text: {codes:?}")) }
            }
            code => {
                let (wanted, alone) = match code.strip_prefix('!') {
                    Some(code) => (code, true),
                    None => (code, false),
                };
                if !codes.contains(&wanted) {
                    return Err(format!("bad gives {codes:?}"));
                }
                let found: BTreeSet<_> = changed(&base.config, &bad.config).collect();
                if alone || found.is_empty() {
                    Ok(())
                } else {
                    Err(format!("bad changes {found:?}"))
                }
            }
        }
    }
}

fn errors(compiled: &Compiled) -> Vec<&str> {
    let found = compiled.diagnostics.iter().filter(|found| found.severity >= Severity::Error);
    found.map(|found| found.code).collect()
}

/// Each line of the model's print with the path of fields that leads to it.
fn lines(config: &Config) -> Vec<(String, String)> {
    let mut stack: Vec<String> = Vec::new();
    format!("{config:#?}")
        .lines()
        .map(|line| {
            let text = line.trim_start();
            let depth = (line.len() - text.len()) / 4;
            let name = match text.split_once(": ") {
                // Their fields are as good as those of what they belong to.
                None | Some((_, "InstanceOptions {" | "AddressOptions {")) => "",
                Some((name, _)) => name,
            };
            stack.truncate(depth);
            stack.push(name.to_owned());
            let path: Vec<&str> =
                stack.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            (path.join("."), text.to_owned())
        })
        .collect()
}

/// Paths of what differs.
fn changed(left: &Config, right: &Config) -> impl Iterator<Item = String> {
    let count = |config| {
        let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in lines(config) {
            *found.entry(line).or_default() += 1;
        }
        found
    };
    let (left, right) = (count(left), count(right));
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).cloned().collect();
    let paths = keys.into_iter().filter(move |key| left.get(key) != right.get(key));
    paths.map(|(path, _)| path)
}

/// Whether the names of `field` follow one another in `path`.
fn within(path: &str, field: &str) -> bool {
    format!(".{path}.").contains(&format!(".{field}."))
}

#[test]
fn every_word_has_a_field_a_default_and_an_answer_to_a_bad_value() {
    let mut faults = Vec::new();
    for row in rows() {
        if let Err(fault) = row.check() {
            faults.push(format!("{} {}: {fault}", row.block, row.word));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_word_of_the_table_has_a_row() {
    let mut covered: BTreeSet<(String, String)> = BTreeSet::new();
    for (word, _) in SYNTAX {
        assert!(covered.insert(("syntax".to_owned(), (*word).to_owned())));
    }
    for row in rows() {
        assert!(covered.insert((row.block, row.word)));
    }
    let table: BTreeSet<(String, String)> = keywords::all()
        .iter()
        .chain(keywords::additions())
        .map(|keyword| (keyword.block.to_owned(), keyword.name.to_owned()))
        .collect();
    let lone: Vec<_> = table.symmetric_difference(&covered).collect();
    assert!(lone.is_empty(), "a word without a row, or a row without a word: {lone:?}");
}

#[test]
fn every_rule_of_the_syntax_is_shown_by_functions_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut sources = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for (word, functions) in SYNTAX {
        for function in *functions {
            assert!(sources.contains(&format!("fn {function}()")), "{word}: no {function}");
        }
    }
}

#[test]
fn a_line_cut_short_or_grown_never_panics_and_never_reaches_another_object() {
    let neighbour = "vrrp_instance W {\ninterface eth7\nvirtual_router_id 77\n\
                     virtual_ipaddress {\n10.7.0.1\n}\n}\n";
    let alone = compile(&SourceSet::from_text("test.conf", neighbour)).config.vrrp.instances;
    for row in rows() {
        // A block's braces are the tree's affair, the defaults of all instances are meant to reach.
        if row.good.contains('{') || row.block == "global_defs" {
            continue;
        }
        let words: Vec<&str> = row.good.split(' ').collect();
        let mut lines: Vec<String> = (1..words.len()).map(|end| words[..end].join(" ")).collect();
        lines.extend((0..words.len()).map(|at| {
            let mut more = words.clone();
            more.insert(at, words[at]);
            more.join(" ")
        }));
        lines.extend(["99999999999999999999", "-1", "\"\"", "é"].map(|odd| match words.first() {
            Some(word) => format!("{word} {odd} {odd}"),
            None => odd.to_owned(),
        }));
        for line in lines {
            let text = format!("{}{neighbour}", framed(&row.frame, &line));
            let config = compile(&SourceSet::from_text("test.conf", text)).config;
            let found = config.vrrp.instances.iter().find(|found| found.name == "W");
            assert_eq!(found, alone.first(), "{} {}: {line}", row.block, row.word);
        }
    }
}
