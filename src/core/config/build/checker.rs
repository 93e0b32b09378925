//! The checkers of a real server: what they share, `TCP_CHECK`, `PING_CHECK`, `HTTP_GET`, `SSL_GET`
//! and `MISC_CHECK`; the others have a file each.

mod agent;
pub mod bfd;
mod dns;
pub mod file;
mod grpc;
mod smtp;
mod tcp;
mod tls;
mod udp;

use std::net::{IpAddr, SocketAddr};

use super::check::Inherited;
use super::check::{LONG, LONGEST_TIMEOUT};
use super::context::Context;
use super::global::set;
use crate::core::config::model::check::{
    Checker, Connect, ConnectOptions, HttpProbe, HttpVersion, MiscProbe, Probe, Regex, Target, Url,
    VirtualServer,
};
use crate::core::config::model::{Script, ScriptUser};
use crate::core::config::pattern;
use crate::core::config::tree::Statement;
use crate::core::config::values;
use crate::core::diagnostics::Span;
use crate::core::time::Interval;

const DELAY_LOOP: Interval = Interval::from_secs(60);
const CONNECT_TIMEOUT: Interval = Interval::from_secs(5);
/// Results in a row that `rise` and `fall` may ask for.
const MOST_RESULTS: u32 = 1000;
/// When neither check nor server nor service say otherwise.
const RETRY: u32 = 1;
const RETRY_DELAY: Interval = Interval::from_secs(1);
const HTTP_RETRY_DELAY: Interval = Interval::from_secs(3);

/// Options of pcre2 that `regex_options` names.
const REGEX_OPTIONS: &[&str] = &[
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "alt_circumflex",
    "alt_verbnames",
    "use_offset_limit",
];
/// The checkers of one block of a real server; none for kinds that are not acted on.
pub fn build(
    context: &mut Context,
    block: &Statement,
    server: SocketAddr,
    service: &VirtualServer,
    inherited: &Inherited,
) -> Vec<Checker> {
    let path = format!("virtual_server/real_server/{}", block.keyword());
    let mut draft = Draft::new(server, service, inherited);
    let probe = match block.keyword() {
        "TCP_CHECK" => tcp::build(context, block, &path, &mut draft, inherited),
        "AGENT_CHECK" => agent::build(context, block, &path, &mut draft, inherited),
        "GRPC_CHECK" => grpc::build(context, block, &path, &mut draft, inherited),
        "PING_CHECK" => connection(context, block, &path, &mut draft, inherited).map(Probe::Ping),
        "HTTP_GET" | "SSL_GET" => http(context, block, &path, &mut draft, inherited),
        "DNS_CHECK" => dns::build(context, block, &path, &mut draft, inherited),
        "UDP_CHECK" => udp::build(context, block, &path, &mut draft, inherited),
        "MISC_CHECK" => misc(context, block, &path, &mut draft, inherited),
        "SMTP_CHECK" => return smtp::build(context, block, &path, &draft, inherited),
        _ => {
            context.unknown("virtual_server/real_server", block);
            None
        }
    };
    probe.map(|probe| draft.finish(probe)).into_iter().collect()
}

/// A check that has no words but the shared ones.
fn connection(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Connect> {
    draft.read(context, block, path, |_, _| false);
    draft.settle(inherited, RETRY, RETRY_DELAY);
    draft.connect(context, block, inherited)
}

#[derive(Clone)]
struct Draft {
    destination: SocketAddr,
    bind: Option<IpAddr>,
    bind_port: u16,
    interface: Option<String>,
    timeout: Option<Interval>,
    fwmark: u32,
    retry: Option<u32>,
    delay_before_retry: Option<Interval>,
    delay_loop: Interval,
    warmup: Option<Interval>,
    alpha: bool,
    log_all_failures: bool,
    rise: u32,
    reentry: Interval,
}

impl Draft {
    fn new(server: SocketAddr, service: &VirtualServer, inherited: &Inherited) -> Self {
        let mut destination = server;
        if destination.port() == 0
            && let Target::Address { address, .. } = &service.target
        {
            destination.set_port(address.port());
        }
        Self {
            destination,
            bind: None,
            bind_port: 0,
            interface: None,
            timeout: None,
            fwmark: 0,
            retry: None,
            delay_before_retry: None,
            delay_loop: inherited.delay_loop.unwrap_or(DELAY_LOOP),
            warmup: inherited.warmup,
            alpha: inherited.alpha,
            log_all_failures: inherited.log_all_failures,
            rise: 1,
            reentry: Interval::ZERO,
        }
    }

    /// Takes the words that all checks share; `own` takes the others and says whether it did.
    fn read(
        &mut self,
        context: &mut Context,
        block: &Statement,
        path: &str,
        mut own: impl FnMut(&mut Context, &Statement) -> bool,
    ) {
        for statement in block.children() {
            if !self.shared(context, statement) && !own(context, statement) {
                context.unknown(path, statement);
            }
        }
    }

    fn shared(&mut self, context: &mut Context, statement: &Statement) -> bool {
        let positive = Interval::from_micros(1)..=LONG;
        let any = Interval::ZERO..=LONG;
        match statement.keyword() {
            "connect_ip" => {
                if let Some(address) = context.parse(statement, values::address) {
                    self.destination.set_ip(address);
                }
            }
            "connect_port" => {
                if let Some(port) = context.parse(statement, values::port) {
                    self.destination.set_port(port);
                }
            }
            "bindto" => self.bind = context.parse(statement, values::address),
            "bind_port" => set(&mut self.bind_port, context.parse(statement, values::port)),
            "bind_if" => self.interface = context.text(statement),
            "connect_timeout" => {
                let range = Interval::from_micros(1)..=LONGEST_TIMEOUT;
                self.timeout = context.seconds(statement, range);
            }
            "fwmark" => set(&mut self.fwmark, context.number(statement, 0..=u32::MAX)),
            "retry" => self.retry = context.number(statement, 0..=u32::MAX),
            "nb_get_retry" => {
                let message = "nb_get_retry is deprecated, use retry";
                context.error("deprecated", statement.span, message);
                self.retry = context.number(statement, 0..=u32::MAX);
            }
            "delay_before_retry" => self.delay_before_retry = context.seconds(statement, any),
            "delay_loop" => set(&mut self.delay_loop, context.seconds(statement, positive)),
            "warmup" => self.warmup = context.seconds(statement, any),
            "alpha" => set(&mut self.alpha, context.boolean(statement)),
            // Ours: the failure that decides is counted too.
            "fall" => {
                let fall = context.number(statement, 1..=MOST_RESULTS);
                self.retry = fall.map(|fall| fall - 1).or(self.retry);
            }
            "rise" => set(&mut self.rise, context.number(statement, 1..=MOST_RESULTS)),
            "reentry" => set(&mut self.reentry, context.seconds(statement, any)),
            "log_all_failures" => set(&mut self.log_all_failures, context.boolean(statement)),
            _ => return false,
        }
        true
    }

    fn finish(&self, probe: Probe) -> Checker {
        Checker {
            probe,
            delay_loop: self.delay_loop,
            retry: self.retry.unwrap_or(RETRY),
            delay_before_retry: self.delay_before_retry.unwrap_or(RETRY_DELAY),
            warmup: self.warmup.unwrap_or(self.delay_loop),
            alpha: self.alpha,
            log_all_failures: self.log_all_failures,
            rise: self.rise,
            reentry: self.reentry,
        }
    }

    fn settle(&mut self, inherited: &Inherited, retry: u32, delay: Interval) {
        self.retry = self.retry.or(inherited.retry).or(Some(retry));
        self.delay_before_retry =
            self.delay_before_retry.or(inherited.delay_before_retry).or(Some(delay));
    }

    fn connect(
        &self,
        context: &mut Context,
        block: &Statement,
        inherited: &Inherited,
    ) -> Option<Connect> {
        if self.bind.is_some_and(|bind| bind.is_ipv4() != self.destination.is_ipv4()) {
            let message = "bindto is of another family than the server, the check is left out";
            context.error("mixed-family", block.span, message);
            return None;
        }
        let source =
            (self.bind.is_some() || self.bind_port > 0).then_some((self.bind, self.bind_port));
        let options =
            ConnectOptions { source, interface: self.interface.clone(), fwmark: self.fwmark };
        Some(Connect {
            destination: self.destination,
            timeout: self.timeout.or(inherited.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
            options: options.into(),
        })
    }
}

fn http(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let tls = block.keyword() == "SSL_GET";
    let mut version = HttpVersion::V1_0;
    let (mut virtualhost, mut words) = (None, tls::Words::default());
    let (mut orderly_close, mut fast) = (false, false);
    let mut urls = Vec::new();
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "virtualhost" => virtualhost = context.text(statement),
            "http_protocol" => {
                let found = context.parse(statement, |word| match word {
                    "1.0" => Ok(HttpVersion::V1_0),
                    "1.0C" | "1.0c" => Ok(HttpVersion::V1_0Close),
                    "1.1" => Ok(HttpVersion::V1_1),
                    "2" => Ok(HttpVersion::V2),
                    _ => Err("none of 1.0, 1.0C, 1.1, 2".to_owned()),
                });
                set(&mut version, found);
            }
            "tls_compliant" if tls => set(&mut orderly_close, context.boolean(statement)),
            "fast_recovery" => set(&mut fast, context.boolean(statement)),
            "url" => urls.extend(url(context, statement, path).map(|url| (statement.span, url))),
            // Known to HTTP_GET, and without a meaning there.
            "enable_sni" | "sni_name" => return words.take(context, statement),
            _ => return tls && words.take(context, statement),
        }
        true
    });
    if urls.is_empty() {
        let message = format!("{} without a url, the check is left out", block.keyword());
        context.error("no-url", block.span, message);
        return None;
    }
    let host = virtualhost.or_else(|| inherited.virtualhost.clone());
    for (_, url) in &mut urls {
        url.virtualhost = url.virtualhost.take().or_else(|| host.clone());
        url.orderly_close |= orderly_close;
    }
    if version == HttpVersion::V2 && !urls.iter().all(|url| fits_http2(context, url)) {
        return None;
    }
    let urls: Vec<Url> = urls.into_iter().map(|(_, url)| url).collect();
    draft.settle(inherited, RETRY, HTTP_RETRY_DELAY);
    Some(Probe::Http(HttpProbe {
        connect: draft.connect(context, block, inherited)?,
        tls: tls.then(|| words.settle().into()),
        version,
        urls: urls.into(),
        fast_recovery: fast,
    }))
}

/// HTTP/2 has grammars for what HTTP/1 sends as it is.
fn fits_http2(context: &mut Context, (span, url): &(Span, Url)) -> bool {
    let path = values::http_path(&url.path);
    let host = url.virtualhost.as_deref().map_or(Ok(()), values::authority);
    match path.and(host) {
        Ok(()) => true,
        Err(why) => {
            let message = format!("HTTP/2 cannot ask for this url, the check is left out: {why}");
            context.error("http2-url", *span, message);
            false
        }
    }
}

fn url(context: &mut Context, block: &Statement, parent: &str) -> Option<Url> {
    let path = format!("{parent}/url");
    let mut target: Option<String> = None;
    let mut url = Url {
        path: String::new(),
        virtualhost: None,
        digest: None,
        status: Vec::new(),
        regex: None,
        orderly_close: false,
    };
    let mut regex = Regex {
        pattern: String::new(),
        negate: false,
        options: Vec::new(),
        min_offset: 0,
        max_offset: 0,
        stack: None,
    };
    for statement in block.children() {
        match statement.keyword() {
            "path" => target = context.text(statement),
            "digest" => url.digest = context.parse(statement, values::digest),
            "status_code" => {
                context.required(statement);
                for token in statement.arguments() {
                    let range = context.parse_token("status_code", token, values::status_range);
                    url.status.extend(range);
                }
            }
            "virtualhost" => url.virtualhost = context.text(statement),
            "regex" => set(&mut regex.pattern, context.text(statement)),
            "regex_no_match" => regex.negate = true,
            "regex_options" => {
                for token in statement.arguments() {
                    regex_option(context, token, &mut regex.options);
                }
            }
            "regex_min_offset" => set(&mut regex.min_offset, offset(context, statement)),
            "regex_stack" => regex.stack = stack(context, statement),
            "tls_compliant" if parent.ends_with("SSL_GET") => {
                set(&mut url.orderly_close, context.boolean(statement));
            }
            "regex_max_offset" => set(&mut regex.max_offset, offset(context, statement)),
            _ => context.unknown(&path, statement),
        }
    }
    let Some(target) = target else {
        context.error("no-path", block.span, "a url without a path, it is left out");
        return None;
    };
    url.path = target;
    if url.status.is_empty() {
        url.status.push((200, 299));
    }
    if regex.max_offset > 0 && regex.max_offset <= regex.min_offset {
        let message = "regex_max_offset is not above regex_min_offset, both are ignored";
        context.error("regex-offset", block.span, message);
        (regex.min_offset, regex.max_offset) = (0, 0);
    }
    if regex.pattern.is_empty() {
        if regex.negate {
            context.error("no-regex", block.span, "regex_no_match without regex is ignored");
        }
    } else {
        match pattern::compile(&regex) {
            Ok(_) => url.regex = Some(regex),
            Err(why) => {
                let message = format!("regex '{}' is ignored: {why}", regex.pattern);
                context.error("bad-regex", block.span, message);
            }
        }
    }
    Some(url)
}

fn regex_option(
    context: &mut Context,
    token: &crate::core::config::tree::Token,
    options: &mut Vec<String>,
) {
    let name = &*token.text;
    if pattern::OPTIONS.contains(&name) {
        options.push(token.text.to_string());
    } else if REGEX_OPTIONS.contains(&name) {
        context.unsupported.push(super::Unsupported {
            block: "regex_options".to_owned(),
            keyword: format!("regex_options {name}"),
            span: token.span,
        });
    } else {
        let message = format!("regex_options '{name}' is not known");
        context.error("bad-value", token.span, message);
    }
}

fn offset(context: &mut Context, statement: &Statement) -> Option<usize> {
    let value = context.number(statement, 0..=u32::MAX)?;
    usize::try_from(value).ok()
}

/// The sizes at the beginning and at the most; the matcher takes only the second.
fn stack(context: &mut Context, statement: &Statement) -> Option<usize> {
    context.required(statement)?;
    let mut sizes = Vec::new();
    for token in statement.arguments().iter().take(2) {
        let grammar = |word: &str| values::number(word, 1..=u32::MAX);
        sizes.push(context.parse_token("regex_stack", token, grammar)?);
    }
    let [first, most] = sizes.as_slice() else {
        let message = "regex_stack needs two sizes, it is ignored";
        context.error("missing-value", statement.span, message);
        return None;
    };
    if first > most {
        context.error(
            "bad-value",
            statement.span,
            "regex_stack begins above its limit, it is ignored",
        );
        return None;
    }
    usize::try_from(*most).ok()
}

fn misc(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let (mut user, mut timeout, mut dynamic) = (None, None, false);
    let (mut script, mut expect): (Option<Script>, _) = (None, None);
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "misc_path" => context.script_once(statement, &mut script),
            "misc_timeout" => {
                timeout = context.seconds(statement, Interval::ZERO..=LONG);
            }
            "misc_dynamic" => dynamic = true,
            "expect" => expect = context.parse(statement, tcp::expected),
            "user" => {
                user = context.text(statement).map(|name| {
                    let group = statement.arguments().get(1);
                    let group = group.map(|token| token.text.trim_start_matches(':').to_owned());
                    ScriptUser { user: name, group }
                });
            }
            _ => return false,
        }
        true
    });
    let Some(mut script) = script else {
        context.error("no-script", block.span, "MISC_CHECK without misc_path, it is left out");
        return None;
    };
    if user.is_some() {
        script.user = user;
    }
    draft.settle(inherited, 0, RETRY_DELAY);
    let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(draft.delay_loop);
    Some(Probe::Misc(
        MiscProbe { script, timeout, dynamic, expect, server: draft.destination }.into(),
    ))
}
