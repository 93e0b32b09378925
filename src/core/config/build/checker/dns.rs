//! `DNS_CHECK`.

use super::super::check::Inherited;
use super::super::context::Context;
use super::super::global::set;
use super::Draft;
use crate::core::config::model::check::{DnsProbe, Probe, RecordType};
use crate::core::config::tree::Statement;
use crate::core::config::values::{self, Fault};

const RETRY: u32 = 3;

pub(super) fn build(
    context: &mut Context,
    block: &Statement,
    path: &str,
    draft: &mut Draft,
    inherited: &Inherited,
) -> Option<Probe> {
    let mut record = RecordType::default();
    let mut name: Option<Vec<String>> = None;
    draft.read(context, block, path, |context, statement| {
        match statement.keyword() {
            "type" => set(&mut record, context.parse(statement, record_type)),
            "name" if name.is_some() => {
                let message = "name is given twice, the first counts";
                context.error("duplicate", statement.span, message);
            }
            "name" => name = context.parse(statement, values::domain),
            _ => return false,
        }
        true
    });
    // Unlike the other checks, a retry waits as long as the next probe would.
    draft.settle(inherited, RETRY, draft.delay_loop);
    let connect = draft.connect(context, block, inherited)?;
    Some(Probe::Dns(DnsProbe { connect, record, name: name.unwrap_or_default() }.into()))
}

fn record_type(word: &str) -> Result<RecordType, Fault> {
    match word {
        "A" => Ok(RecordType::A),
        "NS" => Ok(RecordType::Ns),
        "CNAME" => Ok(RecordType::Cname),
        "SOA" => Ok(RecordType::Soa),
        "MX" => Ok(RecordType::Mx),
        "TXT" => Ok(RecordType::Txt),
        "AAAA" => Ok(RecordType::Aaaa),
        "RRSIG" => Ok(RecordType::Rrsig),
        "DNSKEY" => Ok(RecordType::Dnskey),
        _ => Err("none of A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG, DNSKEY".to_owned()),
    }
}
