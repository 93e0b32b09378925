//! The weight of a server: the configured one, and what its checks ask for. Pure: it is worked out
//! anew from the last answer of each check, never added to what it was.

/// What one check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// So much.
    Weight(u32),
    /// So many hundredths of the configured weight.
    Percent(u32),
    /// No new connections, whatever the others say.
    Drain,
}

/// The configured weight, moved by what each check asks for and by files. Below zero is zero.
pub fn weight(
    configured: u32,
    wishes: impl Iterator<Item = Wish> + Clone,
    moved_by_files: i64,
) -> u32 {
    u32::try_from(sum(configured, wishes, moved_by_files).max(0)).unwrap_or(u32::MAX)
}

/// The same without limits.
pub fn sum(
    configured: u32,
    wishes: impl Iterator<Item = Wish> + Clone,
    moved_by_files: i64,
) -> i64 {
    if wishes.clone().any(|wish| wish == Wish::Drain) {
        return 0;
    }
    let base = i64::from(configured);
    let moved: i64 = wishes.map(|wish| wish.of(configured) - base).sum();
    base + moved + moved_by_files
}

impl Wish {
    fn of(self, configured: u32) -> i64 {
        match self {
            Self::Weight(weight) => i64::from(weight),
            // A little is more than nothing.
            Self::Percent(percent) => {
                (u64::from(configured) * u64::from(percent)).div_ceil(100).cast_signed()
            }
            Self::Drain => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_move_the_configured_weight_each_for_itself() {
        let of = |wishes: &[Wish]| weight(10, wishes.iter().copied(), 0);
        assert_eq!(of(&[]), 10);
        assert_eq!(of(&[Wish::Weight(3)]), 3);
        assert_eq!(of(&[Wish::Percent(75)]), 8, "rounded up");
        assert_eq!(of(&[Wish::Percent(1)]), 1);
        assert_eq!(of(&[Wish::Percent(0)]), 0);
        assert_eq!(of(&[Wish::Percent(200), Wish::Weight(4)]), 14);
        assert_eq!(of(&[Wish::Percent(200), Wish::Drain]), 0);
        assert_eq!(of(&[Wish::Weight(0), Wish::Weight(0)]), 0);
        assert_eq!(weight(10, [Wish::Weight(u32::MAX)].into_iter(), 5), u32::MAX);
        assert_eq!(weight(1, std::iter::empty(), -7), 0);
    }
}
