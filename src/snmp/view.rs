//! The objects of a moment, and the way through them: GET and GETNEXT. Pure.

use std::collections::BTreeMap;

use super::value::{Oid, Value, VarBind};

/// Some of the objects: all that begin with one prefix.
trait Node: Send {
    /// The object with these numbers after the prefix.
    fn get(&self, rest: &[u32]) -> Option<Value>;

    /// The first object after these numbers; with `include`, or at them.
    fn next(&self, rest: &[u32], include: bool) -> Option<(Vec<u32>, Value)>;
}

/// What a cell of a table shows; `None` where this row has none.
pub type Cell<R> = fn(&R, u32) -> Option<Value>;

struct Table<R> {
    columns: Vec<u32>,
    rows: Vec<(Vec<u32>, R)>,
    cell: Cell<R>,
}

impl<R: Send> Node for Table<R> {
    fn get(&self, rest: &[u32]) -> Option<Value> {
        let (column, index) = rest.split_first()?;
        self.columns.binary_search(column).ok()?;
        let place = self.rows.binary_search_by(|(found, _)| found.as_slice().cmp(index)).ok()?;
        (self.cell)(&self.rows.get(place)?.1, *column)
    }

    fn next(&self, rest: &[u32], include: bool) -> Option<(Vec<u32>, Value)> {
        let (first, index) = match rest.split_first() {
            Some((column, index)) => (*column, index),
            None => (0, &[][..]),
        };
        for column in self.columns.iter().filter(|column| **column >= first) {
            let start = if *column > first {
                0
            } else {
                self.rows.partition_point(|(found, _)| {
                    found.as_slice() < index || (!include && found.as_slice() == index)
                })
            };
            for (index, row) in self.rows.get(start..).unwrap_or_default() {
                if let Some(value) = (self.cell)(row, *column) {
                    let mut found = Vec::with_capacity(index.len() + 1);
                    found.push(*column);
                    found.extend_from_slice(index);
                    return Some((found, value));
                }
            }
        }
        None
    }
}

struct Scalars(BTreeMap<Vec<u32>, Value>);

impl Node for Scalars {
    fn get(&self, rest: &[u32]) -> Option<Value> {
        self.0.get(rest).cloned()
    }

    fn next(&self, rest: &[u32], include: bool) -> Option<(Vec<u32>, Value)> {
        let found = |(found, _): &(&Vec<u32>, &Value)| include || found.as_slice() != rest;
        let (found, value) = self.0.range(rest.to_vec()..).find(found)?;
        Some((found.clone(), value.clone()))
    }
}

/// All objects of a process, as they were at one moment.
#[derive(Default)]
pub struct View {
    nodes: BTreeMap<Oid, Box<dyn Node>>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.nodes.keys()).finish()
    }
}

impl View {
    /// A single object: its instance is number 0 of it.
    pub fn scalar(&mut self, object: Oid, value: Value) {
        self.objects(object, [(vec![0], value)]);
    }

    /// Single objects by all the numbers that follow `group`.
    pub fn objects(&mut self, group: Oid, values: impl IntoIterator<Item = (Vec<u32>, Value)>) {
        self.nodes.insert(group, Box::new(Scalars(values.into_iter().collect())));
    }

    /// A table: `entry` is the identifier of its entry, columns and indices follow.
    pub fn table<R: Send + 'static>(
        &mut self,
        entry: Oid,
        columns: impl IntoIterator<Item = u32>,
        mut rows: Vec<(Vec<u32>, R)>,
        cell: Cell<R>,
    ) {
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        // An index names one row.
        rows.dedup_by(|left, right| left.0 == right.0);
        let columns = columns.into_iter().collect();
        self.nodes.insert(entry, Box::new(Table { columns, rows, cell }));
    }

    /// The value of an object, or which kind of nothing there is.
    pub fn get(&self, name: &Oid) -> Value {
        match self.nodes.range(..=name).next_back() {
            Some((prefix, node)) => match name.after(prefix) {
                Some(rest) => node.get(rest).unwrap_or(Value::NoSuchInstance),
                None => Value::NoSuchObject,
            },
            None => Value::NoSuchObject,
        }
    }

    /// The first object after `start` (with `include`: or at it) and before `end`, if that is not
    /// empty.
    pub fn next(&self, start: &Oid, include: bool, end: &Oid) -> Option<VarBind> {
        let found = self.following(start, include)?;
        (end.numbers().is_empty() || found.name < *end).then_some(found)
    }

    fn following(&self, start: &Oid, include: bool) -> Option<VarBind> {
        let bound = |(prefix, (rest, value)): (&Oid, (Vec<u32>, Value))| {
            VarBind::new(prefix.with(&rest), value)
        };
        let within = self.nodes.range(..=start).next_back();
        let within = within
            .and_then(|(prefix, node)| Some((prefix, node.next(start.after(prefix)?, include)?)));
        if let Some(found) = within {
            return Some(bound(found));
        }
        let mut after = self.nodes.range(start..).filter(|(prefix, _)| *prefix != start);
        after.find_map(|(prefix, node)| Some((prefix, node.next(&[], true)?))).map(bound)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oid(numbers: &[u32]) -> Oid {
        Oid::from(numbers)
    }

    /// Column 2 is there for every row, column 3 for even ones.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn cell(row: &u32, column: u32) -> Option<Value> {
        (column == 2 || row.is_multiple_of(2)).then(|| Value::gauge(*row))
    }

    fn view() -> View {
        let mut view = View::default();
        view.objects(oid(&[1, 1]), [(vec![1, 0], Value::Null), (vec![4, 0], Value::Null)]);
        let rows = [[2, 1], [1, 9], [1, 10]].map(|index| (index.to_vec(), index[1]));
        view.table(oid(&[1, 2, 1]), [2, 3], rows.to_vec(), cell);
        view.table(oid(&[1, 3, 1]), [1], Vec::new(), cell);
        view.scalar(oid(&[1, 4, 2]), Value::Null);
        view
    }

    const ALL: &[&[u32]] = &[
        &[1, 1, 1, 0],
        &[1, 1, 4, 0],
        &[1, 2, 1, 2, 1, 9],
        &[1, 2, 1, 2, 1, 10],
        &[1, 2, 1, 2, 2, 1],
        &[1, 2, 1, 3, 1, 10],
        &[1, 4, 2, 0],
    ];

    #[test]
    fn a_walk_sees_every_object_once_and_in_order() {
        let (view, mut at, mut seen) = (view(), Oid::default(), Vec::new());
        while let Some(found) = view.next(&at, false, &Oid::default()) {
            assert_eq!(view.get(&found.name), found.value);
            seen.push(found.name.clone());
            at = found.name;
        }
        assert_eq!(seen, ALL.iter().map(|numbers| oid(numbers)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_there_is_of_two_kinds() {
        let view = view();
        assert_eq!(view.get(&oid(&[1, 1, 2, 0])), Value::NoSuchInstance);
        assert_eq!(view.get(&oid(&[1, 2, 1, 3, 1, 9])), Value::NoSuchInstance);
        assert_eq!(view.get(&oid(&[1, 2, 1])), Value::NoSuchInstance);
        assert_eq!(view.get(&oid(&[1, 9])), Value::NoSuchObject);
        assert_eq!(view.get(&Oid::default()), Value::NoSuchObject);
        assert_eq!(view.next(&oid(&[1, 1, 4, 0]), false, &oid(&[1, 2])), None);
    }

    proptest! {
        /// Wherever a search begins, it finds the first name after that.
        #[test]
        fn the_next_object_is_the_first_one_after(
            numbers in prop::collection::vec(0..12u32, 0..8), include: bool
        ) {
            let start = oid(&numbers);
            let later = |found: &Oid| *found > start || (include && *found == start);
            let wanted = ALL.iter().map(|numbers| oid(numbers)).find(later);
            let found = view().next(&start, include, &Oid::default()).map(|found| found.name);
            prop_assert_eq!(found, wanted);
        }
    }
}
