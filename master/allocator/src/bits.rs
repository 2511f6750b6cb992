//! A set of rows, and the next one after another.

/// A set of small numbers that is walked in ascending order while it changes.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub fn set(&mut self, index: usize, is_in: bool) {
        let (word, bit) = (index / 64, 1 << (index % 64));
        if is_in {
            if word >= self.0.len() {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= bit;
        } else if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.next(0).is_none()
    }

    /// The smallest number in the set that is not below `from`.
    pub fn next(&self, from: usize) -> Option<usize> {
        let first = from / 64;
        let mut words = self.0.get(first..)?.iter().enumerate();
        let mut mask = u64::MAX << (from % 64);
        words.find_map(|(at, word)| {
            let word = word & std::mem::replace(&mut mask, u64::MAX);
            (word != 0).then(|| (first + at) * 64 + word.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((0usize..300, any::<bool>()), 0..200)) {
            let (mut bits, mut model) = (Bits::default(), BTreeSet::new());
            for (index, is_in) in steps {
                bits.set(index, is_in);
                if is_in { model.insert(index); } else { model.remove(&index); }
            }
            for from in 0..400 {
                prop_assert_eq!(bits.next(from), model.range(from..).next().copied());
            }
        }
    }
}
