//! `config compare`: the nodes of a cluster, looked at together: what differs that must not, and who
//! becomes master, who next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Answer, EXIT_FOUND, EXIT_OK, Trouble, compiled};
use crate::core::config::model::Family;
use crate::core::config::model::hmac::{HmacSecret, ReplayProtection};
use crate::core::config::model::vrrp::{
    Authentication, Instance, Preemption, Priority, TrackEffect, Transport, VrrpConfig, VrrpVersion,
};

/// `FILE FILE...`: one of each node.
pub fn run(words: &[&str]) -> Answer {
    if words.len() < 2 {
        return Err(Trouble::Usage("compare needs the files of two nodes or more".to_owned()));
    }
    let mut nodes = Vec::new();
    for word in words {
        nodes.push(Node { file: (*word).to_owned(), vrrp: compiled(word)?.config.vrrp });
    }
    let comparison = compare(&nodes);
    let status = if comparison.problems.is_empty() { EXIT_OK } else { EXIT_FOUND };
    Ok((comparison.to_string(), status))
}

/// The configuration of one node.
#[derive(Debug)]
pub struct Node {
    /// Its name in what is said.
    pub file: String,
    /// Its virtual routers.
    pub vrrp: VrrpConfig,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What must not be so: code and words.
    pub problems: Vec<(&'static str, String)>,
    /// Who is master of what, in which order.
    pub order: Vec<String>,
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (code, text) in &self.problems {
            writeln!(f, "problem[{code}]: {text}")?;
        }
        for line in &self.order {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// One virtual router as one node has it.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) file: &'a str,
    pub(super) instance: &'a Instance,
}

/// What makes instances of several nodes one virtual router. Interfaces may be named differently;
/// with the same number on several interfaces of a node, their names must agree.
pub(super) type Key = (Family, u8, Option<String>);

/// Looks at all nodes.
pub fn compare(nodes: &[Node]) -> Comparison {
    let mut comparison = Comparison::default();
    for (key, members) in routers(nodes) {
        let what = format!("virtual router {} ({})", key.1, family_name(key.0));
        one(&mut comparison, nodes, &what, &members);
    }
    comparison
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "IPv4",
        Family::Inet6 => "IPv6",
    }
}

/// The virtual routers of all nodes.
pub(super) fn routers(nodes: &[Node]) -> BTreeMap<Key, Vec<Member<'_>>> {
    let mut ambiguous = BTreeSet::new();
    for node in nodes {
        let mut seen = BTreeSet::new();
        for instance in &node.vrrp.instances {
            if !seen.insert((instance.family, instance.vrid.get())) {
                ambiguous.insert((instance.family, instance.vrid.get()));
            }
        }
    }
    let mut routers: BTreeMap<Key, Vec<Member<'_>>> = BTreeMap::new();
    for node in nodes {
        for instance in &node.vrrp.instances {
            let number = (instance.family, instance.vrid.get());
            let interface = ambiguous.contains(&number).then(|| instance.interface.clone());
            let key = (number.0, number.1, interface.flatten());
            routers.entry(key).or_default().push(Member { file: &node.file, instance });
        }
    }
    routers
}

fn one(comparison: &mut Comparison, nodes: &[Node], what: &str, members: &[Member<'_>]) {
    let mut tell = |code, text: String| comparison.problems.push((code, format!("{what}: {text}")));
    let absent: Vec<&str> = nodes
        .iter()
        .map(|node| node.file.as_str())
        .filter(|file| !members.iter().any(|member| member.file == *file))
        .collect();
    if members.len() == 1 {
        tell("alone", format!("only {} has it, nobody can take over", members_named(members)));
    } else if !absent.is_empty() {
        tell("absent", format!("{} does not have it", absent.join(", ")));
    }
    let mut same = |code, subject: &str, value: &dyn Fn(&Instance) -> String| {
        let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for member in members {
            values.entry(value(member.instance)).or_default().push(member.file);
        }
        if values.len() > 1 {
            let each: Vec<String> = values
                .iter()
                .map(|(value, files)| format!("{value} in {}", files.join(" and ")))
                .collect();
            tell(code, format!("{subject} differs: {}", each.join("; ")));
        }
    };
    same("version", "the version", &|instance| instance.version.number().to_string());
    same("addresses", "the list of addresses", &|instance| {
        let mut all: Vec<String> =
            instance.addresses.iter().map(|found| found.address.to_string()).collect();
        all.sort();
        all.join(" ")
    });
    same("interval", "advert_int", &|instance| format!("{} s", instance.advert_interval));
    same("authentication", "the authentication", &|instance| match instance.authentication {
        // Passwords are not shown: this goes to logs and tickets.
        Authentication::None => "none".to_owned(),
        Authentication::Password(password) => format!("PASS #{}", number_of(password)),
        Authentication::Header(password) => format!("AH #{}", number_of(password)),
    });
    same("authentication", "auth_hmac", &|instance| match &instance.hmac {
        None => "not set".to_owned(),
        Some(hmac) => {
            let replay = match hmac.replay {
                ReplayProtection::Time => format!("time {} s", hmac.window),
                ReplayProtection::Monotonic => "monotonic".to_owned(),
            };
            format!("set, anti_replay {replay}")
        }
    });
    same("transport", "the way adverts travel", &|instance| match &instance.transport {
        Transport::Multicast { group } => format!("multicast to {group}"),
        Transport::Unicast { .. } => "unicast".to_owned(),
    });
    same("preemption", "nopreempt", &|instance| match instance.preemption {
        Preemption::Never => "set".to_owned(),
        Preemption::After(_) => "not set".to_owned(),
    });
    peers(&mut tell, members);
    keys(&mut tell, members);
    priorities(&mut tell, members);
    scripts(&mut tell, members);
    if members.len() > 1 {
        comparison.order.push(order(what, members));
    }
}

/// A number that differs for different passwords and does not give them away (FNV-1a, 16 bits).
fn number_of(password: [u8; 8]) -> u32 {
    let hash = password
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) ^ (hash & 0xffff)
}

fn members_named(members: &[Member<'_>]) -> String {
    members.iter().map(|member| member.file).collect::<Vec<_>>().join(", ")
}

fn peers(tell: &mut impl FnMut(&'static str, String), members: &[Member<'_>]) {
    let addresses = |member: &Member<'_>| -> Option<BTreeSet<IpAddr>> {
        match &member.instance.transport {
            Transport::Unicast { peers, .. } => {
                Some(peers.iter().map(|peer| peer.address).collect())
            }
            Transport::Multicast { .. } => None,
        }
    };
    for from in members {
        let Some(source) = from.instance.source else { continue };
        for to in members.iter().filter(|to| to.file != from.file) {
            if addresses(to).is_some_and(|known| !known.contains(&source)) {
                tell(
                    "peers",
                    format!("{} does not have {source} of {} among its peers", to.file, from.file),
                );
            }
        }
        if addresses(from).is_some_and(|known| known.contains(&source)) {
            tell("peers", format!("{} has its own address {source} as a peer", from.file));
        }
    }
    let sources: Vec<IpAddr> = members.iter().filter_map(|member| member.instance.source).collect();
    let different: BTreeSet<&IpAddr> = sources.iter().collect();
    if different.len() < sources.len() {
        tell("source", "two nodes have the same source address".to_owned());
    }
}

/// A key that one node signs with and another one does not have, or has another one of.
fn keys(tell: &mut impl FnMut(&'static str, String), members: &[Member<'_>]) {
    let signing = members.iter().filter_map(|member| {
        let hmac = member.instance.hmac.as_ref().filter(|hmac| hmac.signs())?;
        let key = hmac.keys.iter().find(|key| key.id == hmac.active_key)?;
        Some((member, key))
    });
    for (from, key) in signing {
        for to in members.iter().filter(|to| to.file != from.file) {
            let Some(hmac) = &to.instance.hmac else { continue };
            let what = match hmac.keys.iter().find(|found| found.id == key.id) {
                None => "does not have",
                Some(found) => match (&key.secret, &found.secret) {
                    (HmacSecret::Bytes(one), HmacSecret::Bytes(other)) if one != other => {
                        "has another one for"
                    }
                    // What is in a file of another host is not known here.
                    (HmacSecret::Bytes(_) | HmacSecret::File(_), _) => continue,
                },
            };
            let text = format!("{} {what} key {} of {}", to.file, key.id, from.file);
            tell("authentication", text);
        }
    }
}

fn priorities(tell: &mut impl FnMut(&'static str, String), members: &[Member<'_>]) {
    let mut by_priority: BTreeMap<Priority, Vec<&str>> = BTreeMap::new();
    for member in members {
        by_priority.entry(member.instance.priority).or_default().push(member.file);
    }
    for (priority, files) in by_priority.into_iter().filter(|(_, files)| files.len() > 1) {
        let files = files.join(" and ");
        let text = format!("{files} have the same priority {priority}: their addresses decide");
        tell("priority", text);
    }
}

/// "If this script fails, nobody takes over": a weight that does not bring the best node below the
/// second.
fn scripts(tell: &mut impl FnMut(&'static str, String), members: &[Member<'_>]) {
    let sorted = by_rank(members);
    let [first, second, ..] = sorted.as_slice() else { return };
    for tracked in &first.instance.track_scripts {
        let TrackEffect::Weight(weight) = tracked.effect else { continue };
        // The second node's own script still succeeds.
        let bonus: i32 = second
            .instance
            .track_scripts
            .iter()
            .filter(|other| other.name == tracked.name)
            .map(|other| match other.effect {
                TrackEffect::Weight(weight) if weight > 0 => i32::from(weight),
                TrackEffect::Weight(_) | TrackEffect::Fault | TrackEffect::FaultWhenGood => 0,
            })
            .sum();
        let failed = i32::from(first.instance.priority.get()) + i32::from(weight.min(0));
        let other = i32::from(second.instance.priority.get()) + bonus;
        if failed >= other {
            tell(
                "weight",
                format!(
                    "when script {} fails on {}, its priority is {failed} against {other} of {}: nobody takes over",
                    tracked.name, first.file, second.file
                ),
            );
        }
    }
}

/// Best first, as the election sees them when all is well.
fn by_rank<'a>(members: &[Member<'a>]) -> Vec<Member<'a>> {
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|member| {
        std::cmp::Reverse((member.instance.priority, member.instance.source))
    });
    sorted
}

fn order(what: &str, members: &[Member<'_>]) -> String {
    let mut text = format!("{what}:");
    for (place, member) in by_rank(members).iter().enumerate() {
        let word = if place == 0 { "master" } else { "then" };
        let _ = write!(text, " {word} {} ({})", member.file, member.instance.priority);
    }
    let version = members.first().map(|member| member.instance.version);
    if version == Some(VrrpVersion::V2)
        && members.iter().any(|member| member.instance.priority.is_owner())
    {
        text.push_str("; the owner takes over at once, whatever nopreempt says");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn node(number: u8, change: impl Fn(String) -> String) -> Node {
        let text = format!(
            "vrrp_script S {{\nscript /bin/true\nweight -60\n}}\n\
             vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\npriority {}\n\
             advert_int 1\nunicast_src_ip 10.0.0.1{number}\nunicast_peer {{\n{}\n}}\n\
             authentication {{\nauth_type PASS\nauth_pass 1111\n}}\ntrack_script {{\nS\n}}\n\
             virtual_ipaddress {{\n10.0.0.100\n}}\n}}\n",
            200 - 50 * number,
            if number == 1 { "10.0.0.12" } else { "10.0.0.11" },
        );
        let sources = SourceSet::from_text("a.conf", change(text).as_bytes());
        Node { file: format!("node{number}"), vrrp: compile(&sources).config.vrrp }
    }

    fn codes(change: impl Fn(String) -> String) -> Vec<&'static str> {
        let nodes = [node(1, |text| text), node(2, change)];
        compare(&nodes).problems.into_iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn two_right_nodes_have_no_problem_and_an_order() {
        let nodes = [node(1, |text| text), node(2, |text| text)];
        let found = compare(&nodes);
        assert_eq!(found.problems, []);
        assert_eq!(found.order, ["virtual router 51 (IPv4): master node1 (150) then node2 (100)"]);
    }

    #[test]
    fn every_planted_fault_is_found() {
        let replaced =
            |from: &'static str, to: &'static str| codes(move |text| text.replace(from, to));
        assert_eq!(replaced("10.0.0.100", "10.0.0.101"), ["addresses"]);
        assert_eq!(replaced("priority 100", "priority 150"), ["priority"]);
        assert_eq!(replaced("advert_int 1", "advert_int 2"), ["interval"]);
        assert_eq!(replaced("auth_pass 1111", "auth_pass 1112"), ["authentication"]);
        assert_eq!(replaced("10.0.0.11\n", "10.0.0.13\n"), ["peers"]);
        assert_eq!(replaced("router_id 51", "router_id 52"), ["alone", "alone"]);
        assert_eq!(replaced("priority 100", "priority 100\nnopreempt"), ["preemption"]);
        assert_eq!(
            replaced("unicast_src_ip 10.0.0.12\nunicast_peer {\n10.0.0.11\n}\n", ""),
            ["transport"]
        );
        let version = codes(|text| text.replace("advert_int 1", "advert_int 1\nversion 3"));
        assert!(version.contains(&"version"), "{version:?}");
    }

    #[test]
    fn keys_that_another_node_does_not_know_are_told_and_not_shown() {
        let keyed = |keys: &'static str| {
            move |text: String| {
                let from = text.find("authentication {").unwrap();
                let to = from + text[from..].find('}').unwrap() + 1;
                format!("{}auth_hmac {{\n{keys}\n}}{}", &text[..from], &text[to..])
            }
        };
        let both = |one, other| {
            let found = compare(&[node(1, keyed(one)), node(2, keyed(other))]);
            let text = found.to_string();
            assert!(!text.contains("0123456789") && !text.contains("fedcba"), "{text}");
            found.problems.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        let one = "key 1 0123456789abcdef0123456789abcdef\nactive_key 1";
        assert_eq!(both(one, one), Vec::<String>::new());
        let two = "key 1 0123456789abcdef0123456789abcdef\n\
                   key 2 fedcba9876543210fedcba9876543210\nactive_key 2";
        assert_eq!(
            both(one, two),
            ["virtual router 51 (IPv4): node1 does not have key 2 of node2"]
        );
        let wrong = "key 1 fedcba9876543210fedcba9876543210\nactive_key 1";
        assert_eq!(both(one, wrong).len(), 2);
        let filed = "key 1 file:/nonexistent/key\nactive_key 1";
        assert_eq!(both(one, filed), Vec::<String>::new());
        let none = compare(&[node(1, keyed(one)), node(2, |text| text)]);
        assert_eq!(none.problems.len(), 2, "{none}");
    }

    #[test]
    fn v_157_equal_priorities_are_told() {
        let nodes = [node(1, |text| text), node(2, |text| text.replace("100", "150"))];
        let text = compare(&nodes).to_string();
        assert!(text.contains("node1 and node2 have the same priority 150"), "{text}");
    }

    #[test]
    fn a_weight_that_changes_nothing_is_told() {
        let weak = |text: String| text.replace("weight -60", "weight -10");
        let nodes = [node(1, weak), node(2, weak)];
        let found = compare(&nodes);
        assert_eq!(found.problems.len(), 1, "{found}");
        assert!(found.problems[0].1.contains("nobody takes over"), "{found}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let found = compare(&[node(1, |text| text), node(2, |t| t.replace("1111", "secret"))]);
        let text = found.to_string();
        assert!(!text.contains("1111") && !text.contains("secret"), "{text}");
    }
}
