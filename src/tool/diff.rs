//! `config diff`: what a reload would change, object by object.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

use super::{Answer, EXIT_FOUND, EXIT_OK, Trouble, compiled};
use crate::check::event::ServiceName;
use crate::core::config::model::Config;

/// `OLD NEW`.
pub fn run(words: &[&str]) -> Answer {
    let [old, new] = words else {
        return Err(Trouble::Usage("diff needs two files".to_owned()));
    };
    let text = difference(&compiled(old)?.config, &compiled(new)?.config);
    let status = if text.is_empty() { EXIT_OK } else { EXIT_FOUND };
    Ok((text, status))
}

/// One line for each object that comes or goes, and one for each setting that changes; nothing when
/// a reload would change nothing.
pub fn difference(old: &Config, new: &Config) -> String {
    let mut text = String::new();
    let (before, after) = (objects(old), objects(new));
    for (name, fields) in &before {
        match after.get(name) {
            None => {
                let _ = writeln!(text, "{name}: removed");
            }
            Some(now) => changes(&mut text, name, fields, now),
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        let _ = writeln!(text, "{name}: added");
    }
    text
}

fn changes(text: &mut String, name: &str, old: &Fields, new: &Fields) {
    for (field, value) in old {
        match new.get(field) {
            Some(now) if now == value => {}
            Some(now) => {
                let _ = writeln!(text, "{name}: {field} {value} -> {now}");
            }
            None => {
                let _ = writeln!(text, "{name}: {field} {value} -> nothing");
            }
        }
    }
    for (field, value) in new.iter().filter(|(field, _)| !old.contains_key(*field)) {
        let _ = writeln!(text, "{name}: {field} nothing -> {value}");
    }
}

/// Setting to value, both as text.
type Fields = BTreeMap<String, String>;

/// Every object of a configuration by kind and name.
fn objects(config: &Config) -> BTreeMap<String, Fields> {
    let mut all = BTreeMap::new();
    all.insert("global_defs".to_owned(), fields(&config.global, &["vrrp"]));
    all.insert("global_defs (vrrp)".to_owned(), fields(&config.global.vrrp, &[]));
    for instance in &config.vrrp.instances {
        all.insert(format!("vrrp_instance {}", instance.name), fields(&**instance, &["name"]));
    }
    for group in &config.vrrp.sync_groups {
        all.insert(format!("vrrp_sync_group {}", group.name), fields(group, &["name"]));
    }
    for script in &config.vrrp.scripts {
        all.insert(format!("vrrp_script {}", script.name), fields(script, &["name"]));
    }
    for process in &config.vrrp.processes {
        all.insert(format!("vrrp_track_process {}", process.name), fields(process, &["name"]));
    }
    for session in &config.bfd {
        all.insert(format!("bfd_instance {}", session.name), fields(session, &["name"]));
    }
    for file in &config.track_files {
        all.insert(format!("track_file {}", file.name), fields(file, &["name"]));
    }
    let mut services = BTreeMap::new();
    for service in &config.check.virtual_servers {
        let name = format!("virtual_server {}", ServiceName::of(&service.target));
        let name = numbered(&mut services, name);
        all.insert(name.clone(), fields(service, &["real_servers", "target"]));
        for server in &service.real_servers {
            let name = format!("{name}: real_server {}", server.address);
            all.insert(name, fields(server, &["address"]));
        }
    }
    for group in &config.check.groups {
        all.insert(format!("virtual_server_group {}", group.name), fields(group, &["name"]));
    }
    all
}

/// Blocks of one target are told apart by their order, from the second one on.
fn numbered(seen: &mut BTreeMap<String, usize>, name: String) -> String {
    let number = seen.entry(name.clone()).or_default();
    *number += 1;
    if *number == 1 { name } else { format!("{name} ({number})") }
}

/// The settings of an object, from its own description of itself.
fn fields(object: &impl Debug, without: &[&str]) -> Fields {
    let description = format!("{object:#?}");
    let mut fields = Fields::new();
    let mut current: Option<(String, String)> = None;
    // The first line is its type, the last one the brace.
    let inner = description.lines().count().saturating_sub(2);
    for line in description.lines().skip(1).take(inner) {
        let own = line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', '}', ']', ')']));
        match (own.and_then(|rest| rest.split_once(": ")), &mut current) {
            (Some((name, value)), _) => {
                fields.extend(current.take());
                current = Some((name.to_owned(), value.trim().to_owned()));
            }
            (None, Some((_, value))) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (None, None) => {}
        }
    }
    fields.extend(current);
    fields.retain(|name, _| !without.contains(&name.as_str()));
    for value in fields.values_mut() {
        *value = plain(value);
    }
    fields
}

/// Without the punctuation of the description.
fn plain(value: &str) -> String {
    let mut text = value.trim_end_matches(',').to_owned();
    for (from, to) in [(", )", ")"), (", ]", "]"), (", }", " }"), ("( ", "("), ("[ ", "[")] {
        text = text.replace(from, to);
    }
    for wrapper in ["Priority", "Vrid", "Some", "Interval"] {
        if let Some(inner) = text.strip_prefix(wrapper).and_then(|rest| rest.strip_prefix('(')) {
            text = inner.strip_suffix(')').unwrap_or(inner).to_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn config(text: &str) -> Config {
        compile(&SourceSet::from_text("a.conf", text.as_bytes())).config
    }

    const OLD: &str = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\npriority 100\n\
                       virtual_ipaddress {\n10.0.0.1\n}\n}\n\
                       virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind NAT\n\
                       real_server 10.0.1.1 80 {\nweight 1\nTCP_CHECK {\n}\n}\n}\n";

    #[test]
    fn the_same_configuration_gives_nothing() {
        assert_eq!(difference(&config(OLD), &config(&format!("# new\n{OLD}"))), "");
    }

    #[test]
    fn each_change_is_one_line() {
        let new = OLD
            .replace("priority 100", "priority 120")
            .replace("weight 1", "weight 3")
            .replace("lb_algo rr", "lb_algo wrr")
            + "vrrp_script S {\nscript /bin/true\n}\n";
        let text = difference(&config(OLD), &config(&new));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&"vrrp_instance V: priority 100 -> 120"), "{text}");
        assert!(
            lines.contains(
                &"virtual_server [10.0.0.1]:udp:80: real_server 10.0.1.1:80: weight 1 -> 3"
            ),
            "{text}"
        );
        assert!(lines.contains(&"vrrp_script S: added"), "{text}");
        assert!(lines.iter().any(|line| line.contains("scheduler")), "{text}");
        assert_eq!(lines.len(), 4, "{text}");
        let text = difference(&config(&new), &config(OLD));
        assert!(text.contains("vrrp_script S: removed"), "{text}");
    }

    #[test]
    fn blocks_of_one_target_are_told_apart() {
        let block = |quorum, weight| {
            format!(
                "virtual_server 10.0.0.1 80 {{\nprotocol TCP\nquorum {quorum}\n\
                 real_server 10.0.1.1 80 {{\nweight {weight}\nTCP_CHECK {{\n}}\n}}\n}}\n"
            )
        };
        let old = config(&(block(1, 5) + &block(2, 6)));
        assert_eq!(old.check.virtual_servers.len(), 2);
        assert_eq!(
            difference(&old, &config(&(block(3, 5) + &block(2, 6)))),
            "virtual_server [10.0.0.1]:tcp:80: quorum 1 -> 3\n"
        );
        let server = "virtual_server [10.0.0.1]:tcp:80 (2): real_server 10.0.1.1:80";
        assert_eq!(
            difference(&old, &config(&(block(1, 5) + &block(2, 7)))),
            format!("{server}: weight 6 -> 7\n")
        );
        let text = difference(&old, &config(&block(1, 5)));
        assert!(text.contains("virtual_server [10.0.0.1]:tcp:80 (2): removed\n"), "{text}");
    }
}
