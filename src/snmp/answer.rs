//! What is answered to a request, given the objects of the moment. Pure.

use super::pdu::{Message, Response, SearchRange};
use super::value::{Value, VarBind};
use super::view::View;

/// Errors of an answer (RFC 2741 section 6.2.16, RFC 3416 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum Refusal {
    GeneralError = 5,
    NoAccess = 6,
    WrongType = 7,
    WrongValue = 10,
    CommitFailed = 14,
    NotWritable = 17,
    ParseError = 266,
}

/// Objects in one answer; a manager that wants more asks again.
const MOST: usize = 1024;
/// Bytes of values in one answer: with the names, what an SNMP message over UDP can carry.
const ENOUGH: usize = 48 * 1024;

/// An answer to a search; `None` for messages that are none.
pub fn to_search(view: &View, message: &Message) -> Option<Response> {
    let bindings = match message {
        Message::Get(ranges) => ranges.iter().take(MOST).map(|range| get(view, range)).collect(),
        Message::GetNext(ranges) => {
            ranges.iter().take(MOST).map(|range| next(view, range)).collect()
        }
        Message::GetBulk { non_repeaters, repetitions, ranges } => {
            let ranges = ranges.get(..MOST).unwrap_or(ranges);
            bulk(view, usize::from(*non_repeaters), usize::from(*repetitions), ranges)
        }
        Message::TestSet(_)
        | Message::CommitSet
        | Message::UndoSet
        | Message::CleanupSet
        | Message::Close(_)
        | Message::Response { .. }
        | Message::Other(_) => return None,
    };
    Some(Response { bindings, ..Response::default() })
}

/// A refusal, blaming the object at `place` (from 0 on).
pub fn refusal(refusal: Refusal, place: Option<usize>) -> Response {
    let index = place.map_or(0, |place| u16::try_from(place + 1).unwrap_or(u16::MAX));
    Response { error: refusal as u16, index, bindings: Vec::new() }
}

fn get(view: &View, range: &SearchRange) -> VarBind {
    VarBind::new(range.start.clone(), view.get(&range.start))
}

fn next(view: &View, range: &SearchRange) -> VarBind {
    let found = view.next(&range.start, range.include, &range.end);
    found.unwrap_or_else(|| VarBind::new(range.start.clone(), Value::EndOfMibView))
}

/// RFC 2741 section 7.2.3.3: whole rounds, as many as fit.
fn bulk(
    view: &View,
    non_repeaters: usize,
    repetitions: usize,
    ranges: &[SearchRange],
) -> Vec<VarBind> {
    let (once, again) = ranges.split_at(non_repeaters.min(ranges.len()));
    let mut bindings: Vec<VarBind> = once.iter().map(|range| next(view, range)).collect();
    let mut again = again.to_vec();
    let mut size: usize = bindings.iter().map(size_of_binding).sum();
    for _ in 0..repetitions {
        if again.is_empty() || bindings.len() + again.len() > MOST || size > ENOUGH {
            break;
        }
        let mut ended = true;
        for range in &mut again {
            let found = next(view, range);
            if found.value != Value::EndOfMibView {
                ended = false;
                (range.start, range.include) = (found.name.clone(), false);
            }
            size += size_of_binding(&found);
            bindings.push(found);
        }
        if ended {
            break;
        }
    }
    bindings
}

fn size_of_binding(binding: &VarBind) -> usize {
    let value = match &binding.value {
        Value::Octets(octets) | Value::Opaque(octets) => octets.len(),
        Value::Oid(oid) => oid.numbers().len() * 4,
        _ => 8,
    };
    value + binding.name.numbers().len() * 2 + 8
}

/// For the fuzzer of messages: each is answered within the limits.
pub(super) fn fuzz(message: &Message) {
    let mut view = View::default();
    view.scalar(super::base::part(&[1, 1]), Value::Null);
    view.scalar(super::base::part(&[1, 7]), Value::Integer(1));
    if let Some(answer) = to_search(&view, message) {
        assert!(answer.bindings.len() <= MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::value::Oid;

    fn view() -> View {
        let mut view = View::default();
        let rows = (1..=3).map(|row| (vec![row], row)).collect();
        view.table(Oid::from(&[1, 1][..]), [1, 2], rows, |row: &u32, column| {
            Some(Value::gauge(row * 10 + column))
        });
        view
    }

    fn range(start: &[u32]) -> SearchRange {
        SearchRange { start: Oid::from(start), include: false, end: Oid::from(&[2][..]) }
    }

    #[test]
    fn a_bulk_request_is_answered_in_rounds_until_there_is_nothing_more() {
        let ask = |non_repeaters, repetitions, ranges| {
            let message = Message::GetBulk { non_repeaters, repetitions, ranges };
            to_search(&view(), &message).map_or(Vec::new(), |answer| answer.bindings)
        };
        let values = |found: Vec<VarBind>| -> Vec<u32> {
            let number = |binding: VarBind| match binding.value {
                Value::Gauge32(number) => number,
                _ => 0,
            };
            found.into_iter().map(number).collect()
        };
        let ranges = || vec![range(&[1, 1, 1, 2]), range(&[1, 1, 1]), range(&[1, 1, 2])];
        assert_eq!(values(ask(1, 2, ranges())), [31, 11, 12, 21, 22]);
        // Once every search has come to its end, no further round.
        assert_eq!(values(ask(0, 50, vec![range(&[1, 1, 2, 2])])), [32, 0]);
        let ended = ask(0, 50, vec![range(&[1, 1, 2, 2])]).remove(1);
        assert_eq!(ended.value, Value::EndOfMibView);
        assert_eq!(ask(9, 9, Vec::new()), []);
    }

    #[test]
    fn an_answer_has_an_end_whatever_is_asked_for() {
        let mut view = View::default();
        let rows = (1..=5000).map(|row| (vec![row], row)).collect();
        view.table(Oid::from(&[1, 1][..]), [1], rows, |_: &u32, _| {
            Some(Value::text(&"x".repeat(100)))
        });
        let ranges = vec![range(&[1]); 2000];
        let message = Message::GetBulk { non_repeaters: 0, repetitions: 60_000, ranges };
        let answer = to_search(&view, &message).map_or(0, |answer| answer.bindings.len());
        assert_eq!(answer, MOST);
        let message =
            Message::GetBulk { non_repeaters: 0, repetitions: 60_000, ranges: vec![range(&[1])] };
        let answer = to_search(&view, &message).map_or(0, |answer| answer.bindings.len());
        assert!(answer > 300 && answer < MOST, "{answer}");
    }

    #[test]
    fn a_refusal_blames_the_right_object() {
        assert_eq!(
            refusal(Refusal::NotWritable, Some(1)),
            Response { error: 17, index: 2, bindings: Vec::new() }
        );
        assert_eq!(refusal(Refusal::ParseError, None).index, 0);
    }
}
