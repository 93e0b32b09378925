//! `~SEQ(VAR, [START, [STEP,]] END)`, `~SEQx(…)` and `~LST(…)`: what they count through.

/// Values of one sequence; keepalived has no limit, this one is far above any use.
pub(super) const LONGEST: usize = 65_536;

/// The definitions that hold during one repetition.
pub(super) type Assignment = Vec<(String, String)>;

/// What a sequence says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// One for each repetition; at most [`LONGEST`].
    pub assignments: Vec<Assignment>,
    /// Whether there would be more.
    pub cut: bool,
    /// Where in the line the repeated text begins.
    pub body: usize,
}

/// Whether a line is a sequence, well formed or not.
pub(super) fn is_sequence(text: &str) -> bool {
    text.starts_with("~SEQ") || text.starts_with("~LST")
}

/// Reads the head of a sequence; the error is for the user.
pub(super) fn parse(text: &str) -> Result<Sequence, &'static str> {
    let open = text.find('(').ok_or("there is no `(`")?;
    let kind = text.get(..open).unwrap_or_default();
    let close = text
        .get(open..)
        .and_then(|rest| rest.find(')'))
        .map(|at| open + at)
        .ok_or("there is no `)`")?;
    let inside = text.get(open + 1..close).unwrap_or_default();
    let mut assignments = match kind {
        "~SEQ" => count(inside, Base::Decimal)?,
        "~SEQx" => count(inside, Base::Hexadecimal)?,
        "~LST" => list(inside)?,
        _ => return Err("it is one of ~SEQ, ~SEQx and ~LST"),
    };
    let cut = assignments.len() > LONGEST;
    assignments.truncate(LONGEST);
    Ok(Sequence { assignments, cut, body: close + 1 })
}

#[derive(Debug, Clone, Copy)]
enum Base {
    Decimal,
    Hexadecimal,
}

/// A number in the manner of C: decimal, `0x…`, or octal with a leading 0.
fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix('0') {
        None | Some("") => (10, digits),
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(rest) => (16, rest),
            None => (8, rest),
        },
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok()?.checked_mul(sign)
}

fn count(inside: &str, base: Base) -> Result<Vec<Assignment>, &'static str> {
    let mut parts = inside.split(',').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty());
    let name = name.ok_or("it needs the name of a variable")?;
    let numbers: Vec<i64> =
        parts.map(number).collect::<Option<_>>().ok_or("its bounds are not numbers")?;
    let (start, step, end) = match *numbers.as_slice() {
        [end] if end < 0 => (-1, -1, end),
        [end] => (1, 1, end),
        [start, end] if end < start => (start, -1, end),
        [start, end] => (start, 1, end),
        [start, step, end] => (start, step, end),
        _ => return Err("it takes one to three numbers"),
    };
    if step == 0 || (end > start && step < 0) || (end < start && step > 0) {
        return Err("its step leads away from its end");
    }
    let mut values = Vec::new();
    let mut next = Some(start);
    while let Some(value) = next.filter(|value| {
        (if step > 0 { *value <= end } else { *value >= end }) && values.len() <= LONGEST
    }) {
        let text = match base {
            Base::Decimal => value.to_string(),
            Base::Hexadecimal if value < 0 => format!("-{:x}", value.unsigned_abs()),
            Base::Hexadecimal => format!("{value:x}"),
        };
        values.push(vec![(name.to_owned(), text)]);
        next = value.checked_add(step);
    }
    Ok(values)
}

fn list(inside: &str) -> Result<Vec<Assignment>, &'static str> {
    let parts = split_at_commas(inside).ok_or("its braces do not match")?;
    let (names, values) = parts.split_first().ok_or("it is empty")?;
    if values.is_empty() {
        return Err("it has no values");
    }
    let names = members(names);
    values
        .iter()
        .map(|value| {
            let values = members(value);
            if values.len() > names.len() {
                return Err("a value has more members than there are variables");
            }
            if values.iter().any(|value| value.contains(char::is_whitespace)) {
                return Err("a value has a blank in it");
            }
            let values = values.into_iter().chain(std::iter::repeat(""));
            let names = names.iter().map(|name| (*name).to_owned());
            Ok(names.zip(values.map(str::to_owned)).collect())
        })
        .collect()
}

/// `{a,b}` as its members; anything else as itself.
fn members(text: &str) -> Vec<&str> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some(inner) => inner.split(',').map(str::trim).collect(),
        None => vec![text],
    }
}

fn split_at_commas(inside: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0usize, 0);
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b',' if depth == 0 => {
                parts.push(inside.get(from..at)?.trim());
                from = at + 1;
            }
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    parts.push(inside.get(from..)?.trim());
    (depth == 0).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let sequence = parse(text).unwrap();
        sequence
            .assignments
            .iter()
            .map(|values| {
                let values: Vec<_> = values.iter().map(|(n, v)| format!("{n}={v}")).collect();
                values.join(" ")
            })
            .collect()
    }

    #[test]
    fn counting_goes_up_and_down_in_any_base() {
        assert_eq!(values("~SEQ(I,2) x"), ["I=1", "I=2"]);
        assert_eq!(values("~SEQ(I,-2) x"), ["I=-1", "I=-2"]);
        assert_eq!(values("~SEQ( I , 3 , 2 ) x"), ["I=3", "I=2"]);
        assert_eq!(values("~SEQ(I,10,-4,1) x"), ["I=10", "I=6", "I=2"]);
        assert_eq!(values("~SEQ(I,010,0x9) x"), ["I=8", "I=9"]);
        assert_eq!(values("~SEQx(I,9,11) x"), ["I=9", "I=a", "I=b"]);
        let far = values("~SEQ(I,9223372036854775806,9223372036854775807) x");
        assert_eq!(far.len(), 2);
    }

    #[test]
    fn lists_may_be_of_tuples() {
        assert_eq!(values("~LST(A,1) x"), ["A=1"]);
        assert_eq!(values("~LST(A,,b) x"), ["A=", "A=b"]);
        assert_eq!(values("~LST({A,B},{1,2},{3}) x"), ["A=1 B=2", "A=3 B="]);
    }

    #[test]
    fn malformed_sequences_are_refused() {
        for text in [
            "~SEQ(I) x",
            "~SEQ(I,a) x",
            "~SEQ(I,1,0,5) x",
            "~SEQ(I,1,10,-1) x",
            "~SEQ(,2) x",
            "~SEQ I",
            "~SEQ(I",
            "~SEQ(I,1,2,3,4) x",
            "~SEQ(I,99999999999999999999) x",
            "~SEQy(I,2) x",
            "~LST(A) x",
            "~LST(A, p q) x",
            "~LST({A,B},{1,2,3}) x",
            "~LST({A,{1}) x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endless_sequences_are_cut() {
        let sequence = parse("~SEQ(I,4000000000) x").unwrap();
        assert!(sequence.cut && sequence.assignments.len() == LONGEST);
    }
}
