//! The newest leader that was obeyed, so that an older one is not.

/// Which leader's orders count: those of an earlier one of the same realm do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fence {
    /// Which ensemble's elections are counted; 0 before any.
    pub realm: u64,
    /// The highest election number seen there; 0 without elections.
    pub election: u64,
}

impl Fence {
    /// Whether a master of this election was followed by a newer one. One without elections never is; and an
    /// ensemble that lost its data begins anew, in another realm.
    pub fn refuses(self, realm: u64, election: u64) -> bool {
        election != 0 && realm == self.realm && election < self.election
    }

    /// Takes note of a leader; whether it is a newer one.
    pub fn raise(&mut self, realm: u64, election: u64) -> bool {
        let newer = election != 0 && (realm != self.realm || election > self.election);
        if newer {
            *self = Self { realm, election };
        }
        newer
    }

    /// As stored: both numbers, little endian.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = self.election.to_le_bytes().to_vec();
        bytes.extend(self.realm.to_le_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) made. Before there were realms only the election was stored.
    ///
    /// # Errors
    /// The length is neither 8 nor 16.
    pub fn decode(value: &[u8]) -> Result<Self, String> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let wrong = || format!("{} bytes instead of 16", value.len());
        let (election, realm) = value.split_at_checked(8).ok_or_else(wrong)?;
        let realm = match realm {
            [] => Some(0),
            bytes => number(bytes),
        };
        Ok(Self {
            election: number(election).ok_or_else(wrong)?,
            realm: realm.ok_or_else(wrong)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_leader_is_refused_and_a_new_realm_begins_anew() {
        let mut fence = Fence::default();
        assert!(!fence.refuses(0, 0) && !fence.raise(0, 0));
        assert!(fence.raise(5, 7));
        assert!(!fence.raise(5, 7));
        assert!(fence.refuses(5, 6));
        assert!(!fence.refuses(5, 7) && !fence.refuses(5, 8));
        assert!(!fence.refuses(0, 0));
        assert!(!fence.refuses(6, 1));
        assert!(fence.raise(6, 1));
        assert!(!fence.refuses(5, 1));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let fence = Fence {
            realm: 9,
            election: 3,
        };
        assert_eq!(Fence::decode(&fence.encode()), Ok(fence));
        let old = Fence {
            realm: 0,
            election: 3,
        };
        assert_eq!(Fence::decode(&3u64.to_le_bytes()), Ok(old));
        assert!(Fence::decode(&[1, 2, 3]).is_err());
        assert!(Fence::decode(&[0; 12]).is_err());
    }
}
