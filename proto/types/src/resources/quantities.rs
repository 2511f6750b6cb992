//! Amounts by name, whoever they belong to: what fairness and limits count in.

use std::{collections::BTreeMap, sync::Arc};

use super::Scalar;

/// Scalar amounts by resource name; those of nothing are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantities(BTreeMap<Arc<str>, Scalar>);

impl Quantities {
    /// How much of `name`.
    pub fn get(&self, name: &str) -> Scalar {
        self.0.get(name).copied().unwrap_or(Scalar::ZERO)
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Scalar)> {
        self.0.iter().map(|(name, amount)| (&**name, *amount))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an amount.
    pub fn add(&mut self, name: &Arc<str>, amount: Scalar) {
        if !amount.is_zero_or_less() {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            self.add(name, *amount);
        }
    }

    /// Takes away all of `other`, down to nothing.
    pub fn subtract_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(mine) = self.0.get_mut(name) {
                *mine = mine.minus_at_least_zero(*amount);
                if mine.is_zero_or_less() {
                    self.0.remove(name);
                }
            }
        }
    }

    /// Whether there is at least as much of everything as in `other`.
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= amount)
    }
}

impl<'a> FromIterator<(&'a str, Scalar)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (&'a str, Scalar)>>(amounts: I) -> Self {
        let mut all = Self::default();
        for (name, amount) in amounts {
            all.add(&name.into(), amount);
        }
        all
    }
}
