//! Words of TLS: `enable_sni`, `sni_name`, and our own `verify` and `expiry_warning`.

use super::super::context::Context;
use super::super::global::set;
use crate::core::config::model::check::TlsProbe;
use crate::core::config::tree::Statement;
use crate::core::time::Interval;

/// That `expiry_warning` may ask for: ten years.
const MOST_DAYS: u32 = 3650;

/// What is said when they are written without `tls`.
pub(super) const WITHOUT: &str = "enable_sni, sni_name, verify and expiry_warning are for tls, which \
                                  is not written: the check speaks plain text";

/// What has been written of them.
#[derive(Debug, Default)]
pub(super) struct Words {
    sni: bool,
    name: Option<String>,
    verify: bool,
    expiry_warning: Interval,
}

impl Words {
    /// Takes a word in; gives whether it is one of them.
    pub(super) fn take(&mut self, context: &mut Context, statement: &Statement) -> bool {
        match statement.keyword() {
            "enable_sni" => set(&mut self.sni, context.boolean(statement)),
            "sni_name" => {
                self.name = statement.arguments().first().map(|token| token.text.to_string());
            }
            "verify" => set(&mut self.verify, context.boolean(statement)),
            "expiry_warning" => set(&mut self.expiry_warning, days(context, statement)),
            _ => return false,
        }
        true
    }

    /// Whether any of them asks for something.
    pub(super) fn are_used(&self) -> bool {
        self.sni || self.name.is_some() || self.verify || !self.expiry_warning.is_zero()
    }

    pub(super) fn settle(self) -> TlsProbe {
        TlsProbe {
            sni: self.sni,
            name: self.name,
            verify: self.verify,
            expiry_warning: self.expiry_warning,
        }
    }
}

/// `expiry_warning`.
fn days(context: &mut Context, statement: &Statement) -> Option<Interval> {
    let days = context.number(statement, 0..=MOST_DAYS)?;
    Some(Interval::from_secs(86_400) * u64::from(days))
}
