//! The part of the data file that tells of each checker.

use super::{CheckEngine, Probe, line, script, seconds, words_line, yes_no};
use crate::check::engine::{CheckerState, ServerState, ServiceState};
use crate::check::health::Health;
use crate::check::wish::Wish;
use crate::core::config::model::check::{
    BfdCheck, Connect, DnsProbe, FileCheck, HttpProbe, HttpVersion, MiscProbe, Regex, SmtpProbe,
    UdpProbe, Url,
};
use crate::core::data_file::{heading, on_off};
use crate::core::time::Interval;

pub(super) fn all(text: &mut String, engine: &CheckEngine) {
    let servers = || {
        let of = |service| servers_of(service).map(move |server| (service, server));
        engine.services().iter().flat_map(of)
    };
    let any = |server: &ServerState| {
        let extras = &server.config.extras;
        !(server.checkers.is_empty()
            && extras.bfd_checks.is_empty()
            && extras.file_checks.is_empty())
    };
    if servers().any(|(_, server)| any(server)) {
        heading(text, 0, "Health checkers");
    }
    for (service, server) in servers() {
        for found in &server.checkers {
            checker(text, service, server, found);
        }
        for check in &server.config.extras.bfd_checks {
            session(text, service, server, check, engine);
        }
    }
    for (service, server) in servers() {
        for check in &server.config.extras.file_checks {
            file(text, service, server, check, engine);
        }
    }
}

fn servers_of(service: &ServiceState) -> std::slice::Iter<'_, ServerState> {
    service.servers.iter()
}

fn title(text: &mut String, service: &ServiceState, server: &ServerState) {
    let name = service.server_name(&server.config);
    words_line(text, 1, format_args!("{} -> {name}", service.told_as()));
    line(text, 3, "Enabled", yes_no(!service.suspended));
}

fn micros(text: &mut String, name: &str, interval: Interval) {
    line(text, 3, name, format_args!("{} us", interval.as_micros()));
}

fn checker(text: &mut String, service: &ServiceState, server: &ServerState, state: &CheckerState) {
    let (config, health) = (&state.config, state.memory.health);
    title(text, service, server);
    line(text, 3, "Up", yes_no(health.is_up()));
    line(text, 3, "Has run", yes_no(!matches!(health, Health::Unproved { .. })));
    let weight = match state.weight {
        Some(Wish::Weight(weight)) => weight.to_string(),
        Some(Wish::Percent(percent)) => format!("{percent}%"),
        Some(Wish::Drain) => "drain".to_owned(),
        None => "0".to_owned(),
    };
    line(text, 3, "Current weight", weight);
    line(text, 3, "Alpha", yes_no(config.alpha));
    micros(text, "Delay loop", config.delay_loop);
    micros(text, "Warmup", config.warmup);
    line(text, 3, "Retries", config.retry);
    if config.retry > 0 {
        micros(text, "Delay before retry", config.delay_before_retry);
        let failures = match health {
            Health::Up { failures } => failures,
            Health::Unproved { .. } | Health::Down => 0,
        };
        line(text, 3, "Retries iterations", failures);
    }
    micros(text, "Default delay before retry", usual_delay(&config.probe));
    line(text, 3, "Log all failures", yes_no(config.log_all_failures));
    if config.rise > 1 {
        line(text, 3, "Rise", config.rise);
    }
    if !config.reentry.is_zero() {
        micros(text, "Reentry", config.reentry);
    }
    probe(text, state);
    verdict(text, state);
}

/// Of each kind's checks that say nothing of it, as keepalived has them.
const fn usual_delay(probe: &Probe) -> Interval {
    match probe {
        Probe::Http(_) => Interval::from_secs(3),
        Probe::Dns(_) => Interval::ZERO,
        Probe::Tcp(_)
        | Probe::Dialogue(_)
        | Probe::Smtp(_)
        | Probe::Udp(_)
        | Probe::Ping(_)
        | Probe::Misc(_)
        | Probe::Agent(_)
        | Probe::Grpc(_) => Interval::from_secs(1),
    }
}

fn probe(text: &mut String, state: &CheckerState) {
    let probe = &state.config.probe;
    match probe {
        Probe::Tcp(connect) | Probe::Ping(connect) => connection(text, connect),
        Probe::Dialogue(talk) => connection(text, &talk.connect),
        Probe::Http(http) => connection(text, &http.connect),
        Probe::Smtp(smtp) => connection(text, &smtp.connect),
        Probe::Dns(dns) => connection(text, &dns.connect),
        Probe::Udp(udp) => connection(text, &udp.connect),
        Probe::Agent(agent) => connection(text, &agent.connect),
        Probe::Grpc(grpc) => connection(text, &grpc.connect),
        Probe::Misc(_) => {}
    }
    if let Probe::Http(http) = probe {
        let version = version(http.version);
        let keyword = probe.keyword();
        line(text, 3, "Keepalive method", format_args!("{keyword}, http protocol {version}"));
    } else {
        line(text, 3, "Keepalive method", probe.keyword());
    }
    match probe {
        Probe::Http(found) => http(text, found, state),
        Probe::Smtp(found) => smtp(text, found),
        Probe::Dns(found) => dns(text, found),
        Probe::Udp(found) => udp(text, found),
        Probe::Misc(found) => misc(text, found),
        Probe::Tcp(_) | Probe::Dialogue(_) | Probe::Ping(_) | Probe::Agent(_) | Probe::Grpc(_) => {}
    }
}

fn connection(text: &mut String, connect: &Connect) {
    words_line(text, 3, "Connection");
    let (address, port) = (connect.destination.ip(), connect.destination.port());
    line(text, 5, "Dest", format_args!("[{address}]:{port}"));
    if let Some((source, port)) = connect.options.source {
        let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
        let source = source.map_or_else(|| any.to_owned(), |source| source.to_string());
        line(text, 5, "Bind to", format_args!("[{source}]:{port}"));
    }
    if let Some(interface) = &connect.options.interface {
        line(text, 5, "Bind i/f", interface);
    }
    if connect.options.fwmark != 0 {
        line(text, 5, "Mark", connect.options.fwmark);
    }
    line(text, 5, "Timeout", seconds(connect.timeout));
}

const fn version(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::V1_0 => "1.0",
        HttpVersion::V1_1 => "1.1",
        HttpVersion::V1_0Close => "1.0C",
        HttpVersion::V1_1Close => "1.1C",
        HttpVersion::V2 => "2",
    }
}

/// A virtual host is shown with each url that has it, wherever it was written.
fn http(text: &mut String, http: &HttpProbe, state: &CheckerState) {
    let set = |on| if on { "set" } else { "unset" };
    let sni = http.tls.as_ref().is_some_and(|tls| tls.sni);
    words_line(text, 3, format_args!("Enable SNI {}", set(sni)));
    words_line(text, 3, format_args!("Fast recovery {}", set(http.fast_recovery)));
    for found in http.urls.iter() {
        url(text, found);
    }
    if state.fault().is_some()
        && let Some(failed) = http.urls.get(state.memory.url)
    {
        line(text, 3, "Failed URL", &failed.path);
    }
}

fn url(text: &mut String, url: &Url) {
    line(text, 3, "Checked url", &url.path);
    if let Some(digest) = &url.digest {
        let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        line(text, 5, "digest", digits.concat());
    }
    words_line(text, 5, "HTTP Status Code(s)");
    for (first, last) in &url.status {
        if first == last {
            words_line(text, 7, first);
        } else {
            words_line(text, 7, format_args!("{first}-{last}"));
        }
    }
    if let Some(host) = &url.virtualhost {
        line(text, 5, "Virtual host", host);
    }
    if let Some(found) = &url.regex {
        regex(text, found);
    }
}

fn regex(text: &mut String, regex: &Regex) {
    line(text, 5, "Regex", format_args!("\"{}\"", regex.pattern));
    if regex.negate {
        words_line(text, 5, "Regex no match");
    }
    if regex.min_offset > 0 || regex.max_offset > 0 {
        let (first, last) = (regex.min_offset, regex.max_offset);
        line(text, 5, "Regex min offset", format_args!("{first}, max_offset = {last}"));
    }
    let options: Vec<String> = regex.options.iter().map(|option| format!(" {option}")).collect();
    words_line(text, 5, format_args!("Regex options:{}", options.concat()));
    if let Some(stack) = regex.stack {
        words_line(text, 5, format_args!("Regex stack max {stack}"));
    }
}

fn smtp(text: &mut String, smtp: &SmtpProbe) {
    line(text, 3, "helo", &smtp.helo);
}

fn dns(text: &mut String, dns: &DnsProbe) {
    line(text, 3, "Type", format!("{:?}", dns.record).to_uppercase());
    let name = if dns.name.is_empty() { ".".to_owned() } else { dns.name.join(".") };
    line(text, 3, "Name", name);
}

fn udp(text: &mut String, udp: &UdpProbe) {
    match &udp.payload {
        Some(payload) => line(text, 3, "Payload len", payload.len()),
        None => line(text, 3, "Payload specified", "no"),
    }
    line(text, 3, "Require reply", yes_no(udp.reply.is_some()));
    let Some(reply) = &udp.reply else { return };
    line(text, 5, "Min reply length", reply.shortest);
    line(text, 5, "Max reply length", reply.longest);
    if !reply.start.is_empty() {
        line(text, 5, "Reply data len", reply.start.len());
        let masked = reply.start.iter().any(|byte| byte.mask != 0xff);
        line(text, 5, "Reply data mask", yes_no(masked));
    }
}

/// When it ran last is not kept.
fn misc(text: &mut String, misc: &MiscProbe) {
    line(text, 3, "script", script(&misc.script));
    line(text, 3, "timeout", misc.timeout);
    line(text, 3, "dynamic", if misc.dynamic { "YES" } else { "NO" });
}

/// What keepalived's file does not tell.
fn verdict(text: &mut String, state: &CheckerState) {
    let kind = state.config.probe.keyword();
    for warning in state.warnings() {
        words_line(text, 3, format_args!("{kind}: {warning}"));
    }
    if let Some(why) = state.unasked() {
        words_line(text, 3, format_args!("{kind}: cannot be made: {why}"));
    }
    let health = match state.memory.health {
        Health::Unproved { up: true } => "no result yet, taken as up".to_owned(),
        Health::Unproved { up: false } => "no result yet, taken as down".to_owned(),
        Health::Up { failures: 0 } => "up".to_owned(),
        Health::Up { failures } => format!("up, {failures} failures"),
        Health::Down => "down".to_owned(),
    };
    match state.fault() {
        Some(fault) => words_line(text, 3, format_args!("{kind}: {health}: {fault}")),
        None => words_line(text, 3, format_args!("{kind}: {health}")),
    }
}

/// Whether a session lets its server be up: while nothing is known of it, unless it says `alpha`.
pub(super) fn session_up(engine: &CheckEngine, check: &BfdCheck) -> bool {
    engine.session(&check.name).unwrap_or(!check.alpha)
}

fn session(
    text: &mut String,
    service: &ServiceState,
    server: &ServerState,
    check: &BfdCheck,
    engine: &CheckEngine,
) {
    let known = engine.session(&check.name);
    title(text, service, server);
    line(text, 3, "Up", yes_no(session_up(engine, check)));
    line(text, 3, "Has run", yes_no(known.is_some()));
    line(text, 3, "Current weight", 0);
    line(text, 3, "Alpha", yes_no(check.alpha));
    line(text, 3, "Log all failures", "no");
    line(text, 3, "Keepalive method", "BFD_CHECK");
    line(text, 3, "Name", &check.name);
    words_line(text, 3, format_args!("Alpha is {}", on_off(check.alpha)));
    let state = match known {
        Some(true) => "up",
        Some(false) => "down",
        None => "not known yet",
    };
    words_line(text, 3, format_args!("BFD_CHECK {}: {state}", check.name));
}

fn file(
    text: &mut String,
    service: &ServiceState,
    server: &ServerState,
    check: &FileCheck,
    engine: &CheckEngine,
) {
    let (up, weight) = engine.file_effect(check);
    title(text, service, server);
    line(text, 3, "Up", yes_no(up));
    line(text, 3, "Has run", yes_no(engine.file(&check.file).is_some()));
    line(text, 3, "Current weight", weight);
    line(text, 3, "Log all failures", "no");
    line(text, 3, "Keepalive method", "FILE_CHECK");
    line(text, 5, "Tracked file", &check.file);
    line(text, 5, "Reloaded", "No");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;
    use crate::core::time::Timestamp;
    use crate::ipvs::model::Table;

    /// The blocks of the checkers of one server, each without its title.
    fn blocks(checkers: &str) -> Vec<String> {
        let text = format!(
            "virtual_server 10.77.1.202 80 {{\nprotocol TCP\nlvs_sched rr\nlvs_method DR\n\
             delay_loop 3.5\nreal_server 10.77.1.21 80 {{\n{checkers}\n}}\n}}"
        );
        let compiled = compile(&SourceSet::from_text("test.conf", &text));
        let engine = CheckEngine::new(Timestamp::ZERO, &compiled.config.check, &Table::new(), 5);
        let mut text = String::new();
        all(&mut text, &engine);
        let title = " [10.77.1.202]:tcp:80 -> [10.77.1.21]:tcp:80\n";
        let mut parts = text.split(title);
        assert_eq!(parts.next(), Some("------< Health checkers >------\n"), "{text}");
        parts.map(str::to_owned).collect()
    }

    /// Each line but the last is keepalived 2.2.7's.
    #[test]
    fn a_check_of_a_web_server_is_shown_in_keepalived_s_words() {
        let found = blocks(
            "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nurl {\npath /b\n\
             digest 640205b7b0fc66c1ea91c463fac6334d\nvirtualhost foo.example\n\
             status_code 200-204 301\nregex \"abc.*[d]\"\nregex_no_match\nregex_options caseless\n\
             regex_min_offset 3\nregex_max_offset 500\n}\nconnect_ip 10.77.1.23\n\
             connect_port 8080\nbindto 10.77.1.11\nbind_port 9999\nbind_if eth0\n\
             connect_timeout 2\nfwmark 5\nhttp_protocol 1.1\nfast_recovery\nretry 2\n\
             delay_before_retry 2\ndelay_loop 7\nwarmup 1\nalpha\nlog_all_failures\n}",
        );
        let expected = "   Enabled = yes\n   Up = no\n   Has run = no\n   Current weight = 0\n   \
            Alpha = yes\n   Delay loop = 7000000 us\n   Warmup = 1000000 us\n   Retries = 2\n   \
            Delay before retry = 2000000 us\n   Retries iterations = 0\n   \
            Default delay before retry = 3000000 us\n   Log all failures = yes\n   \
            Connection\n     Dest = [10.77.1.23]:8080\n     Bind to = [10.77.1.11]:9999\n     \
            Bind i/f = eth0\n     Mark = 5\n     Timeout = 2.000000\n   \
            Keepalive method = HTTP_GET, http protocol 1.1\n   Enable SNI unset\n   \
            Fast recovery set\n   Checked url = /\n     HTTP Status Code(s)\n       200\n   \
            Checked url = /b\n     digest = 640205b7b0fc66c1ea91c463fac6334d\n     \
            HTTP Status Code(s)\n       200-204\n       301\n     \
            Virtual host = foo.example\n     Regex = \"abc.*[d]\"\n     Regex no match\n     \
            Regex min offset = 3, max_offset = 500\n     Regex options: caseless\n   \
            HTTP_GET: no result yet, taken as down\n";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn what_each_kind_of_check_asks_is_shown_in_keepalived_s_words() {
        let found = blocks(
            "SMTP_CHECK {\nconnect_timeout 3\nhelo_name me.example\n}\n\
             DNS_CHECK {\ntype TXT\nname example.org\n}\n\
             UDP_CHECK {\npayload 010203\nrequire_reply 01X2XX\nmin_reply_length 2\n\
             max_reply_length 200\n}\nUDP_CHECK {\n}\nPING_CHECK {\n}\n\
             MISC_CHECK {\nmisc_path \"/usr/bin/true a\"\nmisc_timeout 5\nmisc_dynamic\n}",
        );
        let expected = [
            "SMTP_CHECK\n   helo = me.example\n",
            "DNS_CHECK\n   Type = TXT\n   Name = example.org\n",
            "UDP_CHECK\n   Payload len = 3\n   Require reply = yes\n     Min reply length = 2\n     \
             Max reply length = 200\n     Reply data len = 3\n     Reply data mask = yes\n",
            "UDP_CHECK\n   Payload specified = no\n   Require reply = no\n",
            "PING_CHECK\n",
            "MISC_CHECK\n   script = '/usr/bin/true' 'a'\n   timeout = 5\n   dynamic = YES\n",
        ];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let (_, method) = found.split_once("Keepalive method = ").unwrap();
            let (words, verdict) = method.rsplit_once("   ").unwrap();
            assert_eq!(words, expected);
            assert!(verdict.ends_with("_CHECK: no result yet, taken as up\n"), "{verdict}");
        }
        let misc = found.last().unwrap();
        assert!(misc.contains("   Retries = 0\n   Default delay before retry = 1000000 us\n"));
    }
}
