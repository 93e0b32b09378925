//! Manual pages, shell completion and editor syntax, written from the table of keywords, so that they
//! never say anything else than the program does.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::explain::acts;
use super::lint;
use crate::core::config::keywords;
use crate::core::supervisor::command_line::HELP;

/// `keepalived.conf(5)` in roff.
pub fn configuration_page() -> String {
    let mut text = String::from(
        ".TH KEEPALIVED.CONF 5 \"\" \"Steadfast\" \"File formats\"\n\
         .SH NAME\nkeepalived.conf \\- configuration of Steadfast, in the dialect of keepalived\n\
         .SH DESCRIPTION\n\
         A line is a keyword and what follows it. Some keywords open a block in braces. \
         Text from an exclamation mark or a number sign to the end of the line is a comment. \
         Words with blanks stand in quotes.\n\
         .PP\n.B include \\fIPATTERN\\fR\nreads other files.\n\
         .B @\\fIID\\fR\nbefore a line makes it count only where the daemon was started with\n\
         .B \\-i \\fIID\\fR;\n.B @^\\fIID\\fR\nonly elsewhere.\n\
         .B $\\fINAME\\fR=\\fITEXT\\fR\ndefines what\n.B $\\fINAME\\fR\nstands for.\n\
         .PP\n.B steadfast config explain \\fIKEYWORD\\fR\nshows what is written here of one keyword,\n\
         .B steadfast \\-t\nchecks a file, and\n.B steadfast config check\nalso says what is \
         probably not meant.\n",
    );
    for block in blocks() {
        let title = if block == keywords::ROOT { "OUTSIDE OF BLOCKS" } else { block };
        let _ = writeln!(text, ".SH {}", roff(title));
        let rows = keywords::all().iter().chain(keywords::additions());
        for row in rows.filter(|row| row.block == block) {
            let _ = writeln!(text, ".TP\n.B {} \\fI{}\\fR", roff(row.name), roff(row.arguments));
            let _ = writeln!(text, "{}", roff(row.help));
            if !row.range.is_empty() {
                let _ = writeln!(text, "Range: {}.", roff(row.range));
            }
            if !row.default.is_empty() {
                let _ = writeln!(text, "Default: {}.", roff(row.default));
            }
            if !acts(row.block, row.name) {
                let _ = writeln!(text, "Understood, but not acted on in this version.");
            }
        }
    }
    text.push_str(
        ".SH CHECKS THAT CANNOT BE MADE\n\
         Where this host has no file, memory, port, process or\n.B bindto\naddress left for a check, \
         its server stays what it is and is asked again after a second at most. It is logged once a \
         minute for each reason, and shown by SIGUSR1. As many checks go on at once as the limit of \
         open files allows, 32,000 at most, beside them 2,048 with TLS or HTTP/2 and 2,048 programs; a \
         quarter is kept for servers whose last check was quick.\n",
    );
    text.push_str(".SH REMARKS OF THE CHECK\n");
    for (code, what) in lint::RULES {
        let _ = writeln!(text, ".TP\n.B {}\n{}", roff(code), roff(what));
    }
    text.push_str(".SH SEE ALSO\n.BR steadfast (8)\n");
    text
}

/// Each once, in the order of the table; one that has our own words only comes after its siblings.
fn blocks() -> Vec<&'static str> {
    let mut blocks: Vec<&str> = Vec::new();
    for row in keywords::all() {
        if !blocks.contains(&row.block) {
            blocks.push(row.block);
        }
    }
    for row in keywords::additions() {
        if !blocks.contains(&row.block) {
            let parent = row.block.rsplit_once('/').map_or(row.block, |(parent, _)| parent);
            let last = blocks.iter().rposition(|block| block.starts_with(parent));
            blocks.insert(last.map_or(blocks.len(), |place| place + 1), row.block);
        }
    }
    blocks
}

/// `steadfast(8)` in roff.
pub fn program_page() -> String {
    let mut text = String::from(
        ".TH STEADFAST 8 \"\" \"Steadfast\" \"System administration\"\n\
         .SH NAME\nsteadfast \\- high-availability load balancer\n\
         .SH SYNOPSIS\n.B steadfast\n[\\fIOPTION\\fR]...\n.br\n\
         .B steadfast config\n\\fICOMMAND\\fR ...\n.br\n\
         .B steadfast simulate\n\\fIFILE FILE\\fR...\n\
         .SH DESCRIPTION\n\
         Steadfast holds addresses by VRRP and balances their traffic by IPVS. It reads \
         keepalived's configuration, and answers to its options and signals. Started under the \
         name keepalived it also looks like it.\n\
         .SH OPTIONS\n.nf\n",
    );
    text.push_str(&roff_lines(HELP));
    text.push_str(".fi\n.SH CONFIGURATION COMMANDS\n.nf\n");
    text.push_str(&roff_lines(super::USAGE));
    text.push_str(
        ".fi\n.SH SIGNALS\n\
         .TP\n.B SIGHUP\nreads the configuration anew; what differs is changed, and nothing else.\n\
         .TP\n.B SIGTERM\nends it: addresses are given up, services are removed.\n\
         .TP\n.B SIGUSR1\nwrites its data to /tmp/keepalived.data and /tmp/keepalived_check.data.\n\
         .TP\n.B SIGUSR2\nwrites its statistics to /tmp/keepalived.stats.\n\
         .SH SEE ALSO\n.BR keepalived.conf (5)\n",
    );
    text
}

/// Text as roff takes it.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    match escaped.chars().next() {
        Some('.' | '\'') => format!("\\&{escaped}"),
        _ => escaped,
    }
}

fn roff_lines(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", roff(line));
        all
    })
}

/// For bash.
pub fn completion() -> String {
    let options: BTreeSet<&str> = HELP
        .split(|c: char| c.is_whitespace() || ",=[]()".contains(c))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .collect();
    let options = options.into_iter().collect::<Vec<_>>().join(" ");
    let keywords: BTreeSet<&str> =
        keywords::all().iter().chain(keywords::additions()).map(|row| row.name).collect();
    let keywords = keywords
        .into_iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)))
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        "# bash completion of steadfast\n\
         _steadfast() {{\n\
         \x20   local word=${{COMP_WORDS[COMP_CWORD]}} words=\n\
         \x20   COMPREPLY=()\n\
         \x20   if [[ ${{COMP_WORDS[1]}} == config ]]; then\n\
         \x20       case $COMP_CWORD:${{COMP_WORDS[2]}} in\n\
         \x20       2:*) words='check dump explain diff compare simulate man5 man8 completion syntax' ;;\n\
         \x20       *:explain) words='{keywords}' ;;\n\
         \x20       *) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n\
         \x20       esac\n\
         \x20   elif [[ $word == -* ]]; then words='{options}'\n\
         \x20   elif (( COMP_CWORD == 1 )); then words='config simulate'\n\
         \x20   else COMPREPLY=($(compgen -f -- \"$word\")); return\n\
         \x20   fi\n\
         \x20   COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n\
         }}\n\
         complete -F _steadfast steadfast\n"
    )
}

/// For vim.
pub fn vim_syntax() -> String {
    let mut text = String::from(
        "\" keepalived.conf, from Steadfast's table of keywords\n\
         if exists('b:current_syntax')\n  finish\nendif\n\
         syn match confComment /[!#].*$/\n\
         syn region confString start=/\"/ skip=/\\\\\"/ end=/\"/\n\
         syn match confNumber /\\<[0-9]\\+\\(\\.[0-9]\\+\\)*\\(\\/[0-9]\\+\\)\\?\\>/\n\
         syn match confDefinition /\\$[A-Za-z_][A-Za-z0-9_]*\\|\\${[^}]*}/\n\
         syn match confCondition /^\\s*@\\^\\?\\S\\+/\n",
    );
    let mut names: (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    for row in keywords::all().iter().chain(keywords::additions()) {
        if row.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let opens = keywords::opens_block(row.block, row.name);
            if opens {
                names.0.insert(row.name)
            } else {
                names.1.insert(row.name)
            };
        }
    }
    for (group, names) in [("confBlock", &names.0), ("confKeyword", &names.1)] {
        for name in names {
            let _ = writeln!(text, "syn keyword {group} {name}");
        }
    }
    text.push_str(
        "hi def link confComment Comment\nhi def link confString String\n\
         hi def link confNumber Number\nhi def link confDefinition PreProc\n\
         hi def link confCondition PreProc\nhi def link confBlock Structure\n\
         hi def link confKeyword Keyword\nlet b:current_syntax = 'keepalived'\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_keyword_and_no_line_is_taken_for_a_request() {
        let page = configuration_page();
        for row in keywords::all().iter().chain(keywords::additions()) {
            let title = if row.block == keywords::ROOT { "OUTSIDE OF BLOCKS" } else { row.block };
            let (_, section) = page.split_once(&format!(".SH {}\n", roff(title))).unwrap();
            let section = section.split(".SH ").next().unwrap();
            assert!(section.contains(&format!(".B {} ", roff(row.name))), "{row:?}");
        }
        let requests = [".TH", ".SH", ".TP", ".B ", ".BR", ".PP", ".nf", ".fi", ".br"];
        for line in page.lines().chain(program_page().lines().collect::<Vec<_>>()) {
            assert!(!line.get(1..).is_some_and(|rest| rest.contains(" .B ")), "{line}");
            let known = requests.iter().any(|request| line.starts_with(request));
            assert!(known || !line.starts_with(['.', '\'']), "{line}");
        }
    }

    #[test]
    fn completion_and_syntax_know_options_and_keywords() {
        let text = completion();
        assert!(text.contains("--use-file") && text.contains(" virtual_router_id "), "{text}");
        let parsed = std::process::Command::new("bash").args(["-n", "-c", &text]).status();
        assert!(parsed.is_ok_and(|status| status.success()), "{text}");
        let syntax = vim_syntax();
        for block in ["vrrp_instance", "GRPC_CHECK"] {
            assert!(syntax.contains(&format!("syn keyword confBlock {block}\n")), "{block}");
            assert!(text.contains(&format!(" {block} ")), "{block}");
        }
    }
}
