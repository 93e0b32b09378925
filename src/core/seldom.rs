//! Parts that hardly any of many objects has.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// A value that is mostly the usual one, which then takes no memory of its own.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seldom<T>(Option<Box<T>>);

/// A type most of whose values are the same one.
pub trait Usual: Default + 'static {
    /// That one: the default.
    const USUAL: &'static Self;
}

impl<T: Usual> Deref for Seldom<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Usual + PartialEq> PartialEq for Seldom<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Seldom<T> {}

impl<T: Usual + PartialOrd> PartialOrd for Seldom<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Usual + Ord> Ord for Seldom<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Usual + PartialEq> From<T> for Seldom<T> {
    fn from(value: T) -> Self {
        Self((value != *T::USUAL).then(|| value.into()))
    }
}

impl<T: Usual + fmt::Debug> fmt::Debug for Seldom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Usual for Vec<u8> {
        const USUAL: &'static Self = &Self::new();
    }

    #[test]
    fn the_usual_value_is_the_same_whether_it_was_written_or_not() {
        let usual = Seldom::<Vec<u8>>::default();
        let mut other = usual.clone();
        assert!(std::ptr::eq(&raw const *usual, &raw const *other), "no memory");
        other.push(1);
        assert_ne!(usual, other);
        assert_eq!((usual.len(), format!("{other:?}").as_str()), (0, "[1]"));
        other.clear();
        assert_eq!(usual, other);
        assert_eq!(usual.cmp(&vec![1].into()), Ordering::Less);
        assert!(Seldom::from(Vec::<u8>::new()).0.is_none());
    }
}
