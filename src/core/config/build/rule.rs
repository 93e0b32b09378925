//! Lines of `virtual_rules` and `static_rules`.

use super::context::Context;
use super::names;
use super::route::{self, Owner, PROTOCOL, interface, realms, table, track_group};
use super::words::{Dropped, Words};
use crate::core::config::model::Family;
use crate::core::config::model::route::{
    MarkSelector, NameTable, Named, Prefix, Range, Realms, Rule, RuleAction,
};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};

/// Of the first rule that gives none; the next one gets one less.
pub const FIRST_PREFERENCE: u32 = 16384;

/// The lines of a block; a faulty one is told and left out.
pub fn rules(context: &mut Context, block: &Statement, owner: Owner, into: &mut Vec<Rule>) {
    for statement in context.entries(block) {
        if let Ok(rule) = line(context, statement, owner) {
            into.push(rule);
        }
    }
}

/// What a line says before it is complete.
#[derive(Default)]
struct Draft {
    family: Option<Family>,
    inverted: bool,
    from: Option<Prefix>,
    to: Option<Prefix>,
    action: Option<RuleAction>,
    preference: Option<u32>,
    tos: Option<Named>,
    mark: Option<MarkSelector>,
    input: Option<String>,
    output: Option<String>,
    realms: Option<Realms>,
    suppress_prefix_length: Option<u32>,
    suppress_interface_group: Option<Named>,
    tunnel_id: Option<u64>,
    users: Option<Range<u32>>,
    protocol: Option<Named>,
    ip_protocol: Option<u8>,
    source_ports: Option<Range<u16>>,
    destination_ports: Option<Range<u16>>,
    no_track: bool,
    track_group: Option<String>,
}

fn line(context: &mut Context, statement: &Statement, owner: Owner) -> Result<Rule, Dropped> {
    let mut draft = Draft::default();
    let mut words = Words::strict(&statement.words);
    while let Some(word) = words.pop() {
        draft.word(context, word, &mut words, owner)?;
    }
    draft.complete(context, statement)
}

impl Draft {
    fn word(
        &mut self,
        context: &mut Context,
        word: &Token,
        words: &mut Words<'_>,
        owner: Owner,
    ) -> Result<(), Dropped> {
        match &*word.text {
            "inet" => self.settle(context, word, Family::Inet)?,
            "inet6" => self.settle(context, word, Family::Inet6)?,
            "from" => self.from = self.selector(context, word, words)?,
            "to" => self.to = self.selector(context, word, words)?,
            "not" => self.inverted = true,
            "table" | "lookup" => {
                let table = table(context, word, words)?;
                if table == Named::Number(0) {
                    context.error(
                        "bad-value",
                        word.span,
                        "there is no table 0, the rule is left out",
                    );
                    return Err(Dropped);
                }
                self.act(context, word, RuleAction::Table(table))?;
            }
            "type" => {}
            "goto" => {
                let target = words.parse(context, word, |word| names::number(word, u32::MAX))?;
                self.act(context, word, RuleAction::Goto(target))?;
            }
            "nop" => self.act(context, word, RuleAction::Nop)?,
            "blackhole" => self.act(context, word, RuleAction::Blackhole)?,
            "prohibit" => self.act(context, word, RuleAction::Prohibit)?,
            "unreachable" => self.act(context, word, RuleAction::Unreachable)?,
            "l3mdev" => self.act(context, word, RuleAction::L3Master)?,
            "preference" | "priority" | "order" => {
                let grammar = |word: &str| names::number(word, u32::MAX);
                self.preference = Some(words.parse(context, word, grammar)?);
            }
            "tos" | "dsfield" => self.tos = Some(route::service(context, word, words)?),
            "fwmark" => self.mark = Some(words.parse(context, word, mark)?),
            "iif" | "dev" => self.input = Some(interface(context, word, words)?),
            "oif" => self.output = Some(interface(context, word, words)?),
            "realms" => self.realms = Some(realms(context, word, words)?),
            "suppress_prefixlength" | "sup_pl" => {
                let grammar = |word: &str| names::number(word, i32::MAX.unsigned_abs());
                self.suppress_prefix_length = Some(words.parse(context, word, grammar)?);
            }
            "suppress_ifgroup" | "sup_group" => {
                let group = words.named(context, word, NameTable::Groups)?;
                self.suppress_interface_group = Some(group);
            }
            "tunnel-id" => {
                let grammar = |word: &str| names::any_base(word).ok_or("not a number".to_owned());
                self.tunnel_id = Some(words.parse(context, word, grammar)?);
            }
            "uidrange" => {
                let (first, last) = words.parse(context, word, |word| range(word, u32::MAX))?;
                self.users = Some(Range { first, last });
            }
            // A fault in one of these costs the word, not the rule.
            "protocol" => {
                let value = words.value(context, word)?;
                let grammar = |word: &str| names::number(word, 255);
                self.protocol = context.parse_token(&word.text, value, grammar).map(Named::Number);
            }
            "ipproto" => {
                let value = words.value(context, word)?;
                self.ip_protocol = context.parse_token(&word.text, value, ip_protocol);
            }
            "sport" => self.source_ports = ports(context, word, words)?,
            "dport" => self.destination_ports = ports(context, word, words)?,
            "no_track" => self.no_track = true,
            "track_group" => self.track_group = track_group(context, word, words, owner)?,
            other => {
                let message = format!("'{other}' is not understood, the rule is left out");
                context.error("unknown-keyword", word.span, message);
                return Err(Dropped);
            }
        }
        Ok(())
    }

    /// All addresses of a rule are of one family.
    fn settle(
        &mut self,
        context: &mut Context,
        word: &Token,
        family: Family,
    ) -> Result<(), Dropped> {
        if *self.family.get_or_insert(family) == family {
            return Ok(());
        }
        let message = format!("`{}`: IPv4 and IPv6 in one rule, it is left out", word.text);
        context.error("mixed-family", word.span, message);
        Err(Dropped)
    }

    /// `ADDR[/LEN]`, or a word for everything.
    fn selector(
        &mut self,
        context: &mut Context,
        word: &Token,
        words: &mut Words<'_>,
    ) -> Result<Option<Prefix>, Dropped> {
        if words.take("default") || words.take("any") || words.take("all") {
            return Ok(None);
        }
        let (address, length) = words.parse(context, word, values::network)?;
        self.settle(context, word, Family::of(address))?;
        Ok(Some(Prefix { address, length }))
    }

    fn act(
        &mut self,
        context: &mut Context,
        word: &Token,
        action: RuleAction,
    ) -> Result<(), Dropped> {
        if self.action.is_some() {
            let message = format!("`{}` is a second action, the rule is left out", word.text);
            context.error("second-action", word.span, message);
            return Err(Dropped);
        }
        self.action = Some(action);
        Ok(())
    }

    fn complete(self, context: &mut Context, statement: &Statement) -> Result<Rule, Dropped> {
        let mut dropped = |code, why: &str| {
            context.error(code, statement.span, format!("{why}, the rule is left out"));
            Dropped
        };
        let action = self.action.ok_or_else(|| dropped("no-action", "a rule without an action"))?;
        let needs_table = self.realms.is_some()
            || self.suppress_prefix_length.is_some()
            || self.suppress_interface_group.is_some();
        if needs_table && !matches!(action, RuleAction::Table(_)) {
            return Err(dropped("no-table", "realms and suppress_… are for rules with a table"));
        }
        if self.realms.is_some() && self.family == Some(Family::Inet6) {
            return Err(dropped("mixed-family", "realms are for IPv4"));
        }
        if let RuleAction::Goto(target) = action
            && self.preference.is_none_or(|own| target <= own)
        {
            return Err(dropped("bad-value", "goto needs a preference, and a target above it"));
        }
        let preference = self.preference.unwrap_or_else(|| {
            let preference = context.next_preference;
            context.next_preference = preference.saturating_sub(1);
            let message = format!("a rule without preference, {preference} is used");
            context.error("no-preference", statement.span, message);
            preference
        });
        let tracked = !self.no_track;
        let mut protocol = self.protocol.unwrap_or(PROTOCOL);
        if tracked && protocol != PROTOCOL {
            let message = "a tracked rule is of protocol keepalived; `no_track` lets it differ";
            context.error("tracked-protocol", statement.span, message);
            protocol = PROTOCOL;
        }
        let mut track_group = self.track_group;
        if track_group.is_some() && self.input.is_none() {
            context.error("track-group", statement.span, "track_group needs `iif`, it is ignored");
            track_group = None;
        }
        Ok(Rule {
            family: self.family.unwrap_or_default(),
            inverted: self.inverted,
            from: self.from,
            to: self.to,
            action,
            preference,
            tos: self.tos,
            mark: self.mark,
            input: self.input,
            output: self.output,
            realms: self.realms,
            suppress_prefix_length: self.suppress_prefix_length,
            suppress_interface_group: self.suppress_interface_group,
            tunnel_id: self.tunnel_id,
            users: self.users,
            protocol,
            ip_protocol: self.ip_protocol,
            source_ports: self.source_ports,
            destination_ports: self.destination_ports,
            tracked,
            track_group,
        })
    }
}

/// `N[/MASK]`.
fn mark(word: &str) -> Result<MarkSelector, Fault> {
    let (mark, mask) = word.split_once('/').map_or((word, None), |(mark, mask)| (mark, Some(mask)));
    let mark = names::number(mark, u32::MAX)?;
    let mask = mask.map_or(Ok(u32::MAX), |mask| names::number(mask, u32::MAX))?;
    Ok(MarkSelector { mark, mask })
}

/// `A-B`.
fn range(word: &str, largest: u32) -> Result<(u32, u32), Fault> {
    let (first, last) = word.split_once('-').ok_or("not a range A-B")?;
    let (first, last) = (values::number(first, 0..=largest)?, values::number(last, 0..=largest)?);
    if first <= last { Ok((first, last)) } else { Err("it ends before it begins".to_owned()) }
}

/// A range, or a single port: keepalived misses the latter.
fn ports(
    context: &mut Context,
    word: &Token,
    words: &mut Words<'_>,
) -> Result<Option<Range<u16>>, Dropped> {
    let value = words.value(context, word)?;
    let grammar = |text: &str| {
        if text.contains('-') {
            range(text, 65535)
        } else {
            values::number(text, 0..=65535).map(|port| (port, port))
        }
    };
    let found = context.parse_token(&word.text, value, grammar);
    let port = |number| u16::try_from(number).unwrap_or(u16::MAX);
    Ok(found.map(|(first, last)| Range { first: port(first), last: port(last) }))
}

fn ip_protocol(word: &str) -> Result<u8, Fault> {
    let number = match names::IP_PROTOCOLS.iter().find(|(name, _)| *name == word) {
        Some((_, number)) => *number,
        None => names::number(word, 255).map_err(|_| "not an IP protocol")?,
    };
    u8::try_from(number).map_err(|_| "above 255".to_owned())
}
