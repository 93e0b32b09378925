//! Words that keepalived does not have. None of them does anything unless it is written, so that a
//! keepalived.conf means what it means there. One row each; see [`super::Keyword`].

use super::Keyword;

#[rustfmt::skip]
pub(super) const ADDITIONS: &[Keyword] = &[
    Keyword { block: "virtual_server/real_server/TCP_CHECK", name: "send", arguments: "\"TEXT\"", range: "escapes \\r \\n \\t \\0 \\\\ \\xHH", default: "nothing", help: "Sent when the connection is there. Not in keepalived.", tier: super::Tier::C },
    Keyword { block: "virtual_server/real_server/TCP_CHECK", name: "expect", arguments: "\"PATTERN\"", range: "PCRE2, one word; within connect_timeout and 64 KiB", default: "any or no answer", help: "The check succeeds when what the server says matches. Not in keepalived.", tier: super::Tier::C },
    Keyword { block: "virtual_server/real_server/TCP_CHECK", name: "tls", arguments: "[BOOL]", range: "on|off", default: "off", help: "Speaks TLS before send and expect; the certificate is not verified. Not in keepalived.", tier: super::Tier::C },
];
