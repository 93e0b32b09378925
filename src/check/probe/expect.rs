//! What a server of a `TCP_CHECK` says, against what is expected: bytes in, a verdict out.

use pcre2::bytes::Regex as Matcher;

/// More than this is not kept; a server that has not said it by then does not say it.
const LONGEST: usize = 64 * 1024;

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has said it.
    Match,
    /// It may still say it.
    More,
    /// It has said too much.
    TooLong,
}

/// What has been said so far.
#[derive(Debug)]
pub struct Answer {
    matcher: Matcher,
    text: Vec<u8>,
}

impl Answer {
    /// Nothing yet.
    pub fn new(matcher: Matcher) -> Self {
        Self { matcher, text: Vec::new() }
    }

    /// Takes more in.
    pub fn take(&mut self, bytes: &[u8]) -> Verdict {
        let room = LONGEST.saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        match (self.end(), bytes.len() > room) {
            (true, _) => Verdict::Match,
            (false, true) => Verdict::TooLong,
            (false, false) => Verdict::More,
        }
    }

    /// Whether all of it matches; a pattern that is too hard does not.
    pub fn end(&self) -> bool {
        self.matcher.is_match(&self.text).unwrap_or(false)
    }
}

/// For the fuzzer: any bytes, cut anywhere.
pub fn fuzz(bytes: &[u8]) {
    for pattern in ["^220 .*\r\n", "(a+)+$", "\\d{3}(?=x)", "(?m)^OK$"] {
        let Ok(matcher) = Matcher::new(pattern) else { continue };
        let mut whole = Answer::new(matcher.clone());
        whole.take(bytes);
        let cut = bytes.first().map_or(1, |first| usize::from(*first).max(1));
        let mut pieces = Answer::new(matcher);
        let early = bytes.chunks(cut).any(|piece| pieces.take(piece) == Verdict::Match);
        if !early && bytes.len() <= LONGEST {
            assert_eq!(pieces.end(), whole.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_matches_wherever_it_is_cut() {
        let text = b"220 mail.example.org ready\r\n";
        for cut in 0..=text.len() {
            let mut answer = Answer::new(Matcher::new("^220 .* ready").unwrap());
            answer.take(&text[..cut]);
            let last = answer.take(&text[cut..]);
            assert!(last == Verdict::Match || answer.end(), "{cut}");
        }
    }

    #[test]
    fn a_server_that_talks_without_end_is_cut_short() {
        let mut answer = Answer::new(Matcher::new("never").unwrap());
        let verdicts: Vec<Verdict> = (0..70).map(|_| answer.take(&[b'x'; 1024])).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::TooLong));
        assert_eq!(answer.text.len(), LONGEST);
    }
}
