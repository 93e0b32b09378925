//! What there should be against what there is: the operations that turn one into the other.

use std::collections::{BTreeMap, BTreeSet};

/// The difference of two tables, by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a, K, V> {
    /// Wanted and not there.
    pub add: Vec<(&'a K, &'a V)>,
    /// There, but otherwise than wanted.
    pub change: Vec<(&'a K, &'a V)>,
    /// There, ours, and not wanted.
    pub remove: Vec<&'a K>,
}

/// Compares; each list in the order of the keys. Only what is `owned` is removed: what somebody
/// else has put there is left alone.
pub fn difference<'a, K: Ord, V: PartialEq>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
    owned: impl Fn(&K) -> bool,
) -> Difference<'a, K, V> {
    let mut found = Difference { add: Vec::new(), change: Vec::new(), remove: Vec::new() };
    for (key, wanted) in desired {
        match actual.get(key) {
            None => found.add.push((key, wanted)),
            Some(there) if there != wanted => found.change.push((key, wanted)),
            Some(_) => {}
        }
    }
    let wanted: BTreeSet<&K> = desired.keys().collect();
    found.remove = actual.keys().filter(|key| !wanted.contains(key) && owned(key)).collect();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_touched_and_foreign_things_are_not() {
        let desired = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
        let actual = BTreeMap::from([(2, 'b'), (3, 'x'), (4, 'd'), (5, 'e')]);
        let found = difference(&desired, &actual, |key| *key == 4);
        assert_eq!(found.add, [(&1, &'a')]);
        assert_eq!(found.change, [(&3, &'c')]);
        assert_eq!(found.remove, [&4]);
    }
}
