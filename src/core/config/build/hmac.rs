//! The `auth_hmac` block.

use super::context::Context;
use crate::core::config::model::hmac::{
    HmacAuthentication, HmacKey, HmacMode, HmacSecret, ReplayProtection,
};
use crate::core::config::tree::{Statement, Token};
use crate::core::config::values::{self, Fault};
use crate::core::diagnostics::Span;
use crate::core::time::Interval;

const BLOCK: &str = "vrrp_instance/auth_hmac";
/// Bytes of a key.
const KEY: std::ops::RangeInclusive<usize> = 32..=64;
const SHORTEST_WINDOW: Interval = Interval::from_secs(5);
const LONGEST_WINDOW: Interval = Interval::from_secs(300);

/// What the block says.
#[derive(Default)]
pub struct Draft {
    keys: Vec<HmacKey>,
    active: Option<(u8, Span)>,
    window: Option<Interval>,
    replay: ReplayProtection,
    mode: HmacMode,
}

/// Reads the block.
pub fn read(context: &mut Context, block: &Statement) -> Draft {
    let mut draft = Draft::default();
    for statement in block.children() {
        match statement.keyword() {
            "key" => key(context, statement, &mut draft.keys),
            "active_key" => {
                let id = context.parse(statement, identifier);
                draft.active = id.map(|id| (id, statement.span));
            }
            "time_window" => {
                let seconds = context.number(statement, 1..=300);
                draft.window = seconds.map(|seconds| Interval::from_secs(seconds.into()));
            }
            "anti_replay" => {
                let found = context.parse(statement, |word| match word {
                    "time" => Ok(ReplayProtection::Time),
                    "monotonic" => Ok(ReplayProtection::Monotonic),
                    _ => Err("neither time nor monotonic".to_owned()),
                });
                draft.replay = found.unwrap_or(draft.replay);
            }
            "mode" => {
                let found = context.parse(statement, |word| match word {
                    "enforce" => Ok(HmacMode::Enforce),
                    "permissive" => Ok(HmacMode::Permissive),
                    "receive-only" => Ok(HmacMode::ReceiveOnly),
                    _ => Err("none of enforce, permissive, receive-only".to_owned()),
                });
                draft.mode = found.unwrap_or(draft.mode);
            }
            _ => context.unknown(BLOCK, statement),
        }
    }
    draft
}

/// Works the advert interval in; without a usable active key there is no such authentication.
pub fn complete(
    context: &mut Context,
    block: Span,
    draft: Draft,
    interval: Interval,
) -> Option<HmacAuthentication> {
    let known = |id: u8| draft.keys.iter().any(|key| key.id == id);
    let active_key = match draft.active {
        Some((id, _)) if known(id) => id,
        Some((id, span)) => {
            let message = format!("active_key {id} is not defined, auth_hmac is ignored");
            context.error("unknown-key", span, message);
            return None;
        }
        None => {
            context.error("no-active-key", block, "auth_hmac without active_key, it is ignored");
            return None;
        }
    };
    let usual = Interval::from_nanos(interval.as_nanos().saturating_mul(3))
        .clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
    Some(HmacAuthentication {
        keys: draft.keys,
        active_key,
        window: draft.window.unwrap_or(usual),
        replay: draft.replay,
        mode: draft.mode,
    })
}

/// `key ID VALUE`, `key ID hex:HEX`, `key ID file:PATH`.
fn key(context: &mut Context, statement: &Statement, keys: &mut Vec<HmacKey>) {
    let Some(first) = context.required(statement) else { return };
    let Some(value) = statement.arguments().get(1) else {
        return context.error("missing-value", statement.span, "`key` lacks its secret");
    };
    let Some(id) = context.parse_token("key", first, identifier) else { return };
    // The secret itself does not go into a message.
    let Some(secret) = secret(context, value) else { return };
    if keys.iter().any(|key| key.id == id) {
        let message = format!("key {id} is there already, the first counts");
        return context.error("duplicate", first.span, message);
    }
    keys.push(HmacKey { id, secret });
}

fn identifier(word: &str) -> Result<u8, Fault> {
    values::number(word, 1..=255).map(|id| u8::try_from(id).unwrap_or(u8::MAX))
}

fn secret(context: &mut Context, token: &Token) -> Option<HmacSecret> {
    if let Some(path) = token.text.strip_prefix("file:") {
        context.places.keys.push((path.to_owned(), token.span));
        return Some(HmacSecret::File(path.to_owned()));
    }
    match key_bytes(&token.text) {
        Ok(bytes) => Some(HmacSecret::Bytes(bytes)),
        Err(why) => {
            context.error("bad-value", token.span, why);
            None
        }
    }
}

/// A key as it is written, in the configuration or in a file of its own.
pub fn key_bytes(text: &str) -> Result<Vec<u8>, String> {
    let bytes = match text.strip_prefix("hex:") {
        None => text.as_bytes().to_vec(),
        Some(digits) => from_hex(digits).ok_or("the key is not of hexadecimal digits")?,
    };
    if !KEY.contains(&bytes.len()) {
        return Err(format!("the key has {} bytes, it needs 32 to 64", bytes.len()));
    }
    Ok(bytes)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
