//! `FILE_CHECK`: the numbers in files that move weights and take servers out.

use super::{CheckEngine, ServerState};
use crate::core::config::model::check::{FileCheck, FileCheckEffect};

/// A product at or below this takes the server out (keepalived: the largest weight of IPVS).
const OUT: i64 = -65_535;

/// What a number does to a server: whether it may be up, and what is added to its weight.
fn effect(check: &FileCheck, value: i64) -> (bool, i64) {
    match check.effect {
        FileCheckEffect::DownUnlessZero => (value == 0, 0),
        FileCheckEffect::DownIfZero => (value != 0, 0),
        FileCheckEffect::Times(times) => {
            let product = value.saturating_mul(times);
            (product > OUT, product.clamp(OUT, -OUT))
        }
    }
}

impl ServerState {
    /// Works the numbers in; gives whether the weight has moved.
    pub(super) fn take_files(&mut self, value: impl Fn(&str) -> Option<i64>) -> bool {
        let known = self
            .config
            .extras
            .file_checks
            .iter()
            .filter_map(|check| Some((check, value(&check.file)?)));
        let effects = known.map(|(check, value)| effect(check, value));
        let (up, moved) = effects.fold((true, 0), |(up, sum), (may, more)| (up && may, sum + more));
        self.files_allow = up;
        std::mem::replace(&mut self.moved_by_files, moved) != moved
    }
}

impl CheckEngine {
    /// The number in a file, once it is known.
    pub fn file(&self, name: &str) -> Option<i64> {
        self.files.get(name).copied()
    }

    /// Whether a check lets its server be up, and what it adds to its weight.
    pub fn file_effect(&self, check: &FileCheck) -> (bool, i64) {
        self.file(&check.file).map_or((true, 0), |value| effect(check, value))
    }

    /// A file has another number now, or its first one.
    pub(super) fn file_changed(&mut self, name: String, value: i64) {
        if self.files.insert(name, value) == Some(value) {
            return;
        }
        for place in 0..self.services.len() {
            self.apply_files(place);
            self.settle(place);
        }
    }

    /// Works the known numbers into a service.
    pub(super) fn apply_files(&mut self, place: usize) {
        let Some(service) = self.services.get_mut(place) else { return };
        let files = &self.files;
        for server in &mut service.servers {
            let moved = server.take_files(|name| files.get(name).copied());
            if moved {
                self.changes.add(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_moves_the_weight_or_takes_the_server_out() {
        let of =
            |effect_of, value| effect(&FileCheck { file: "f".into(), effect: effect_of }, value);
        assert_eq!(of(FileCheckEffect::Times(2), 5), (true, 10));
        assert_eq!(of(FileCheckEffect::Times(-1), 5), (true, -5));
        assert_eq!(of(FileCheckEffect::Times(1), -65_535), (false, -65_535));
        assert_eq!(of(FileCheckEffect::Times(i64::MAX), i64::MAX), (true, 65_535));
        assert_eq!(of(FileCheckEffect::DownUnlessZero, 0), (true, 0));
        assert_eq!(of(FileCheckEffect::DownUnlessZero, 3), (false, 0));
        assert_eq!(of(FileCheckEffect::DownIfZero, 0), (false, 0));
    }
}
