//! Who may write: one node that every write names by its version and changes.
//!
//! A write is a `multi` that begins by setting this node, expecting the version that the write before it left.
//! So writes of one leader happen in order or not at all, however many are under way; the first write of a new
//! leader makes every later one of the old leader fail; and after a lost connection `sequence` tells which
//! writes arrived, so that none is made twice.
use serde::{Deserialize, Serialize};
use zookeeper_client::{Client, Error};

/// What stands in the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epoch {
    /// The leader's election number, 0 without one.
    pub election: u64,
    /// The leader's id.
    pub master: String,
    /// Its address.
    pub address: String,
    /// Which taking over this is: a new one has a new value, even by the same master.
    pub holder: String,
    /// Writes since then.
    pub sequence: u64,
}

impl Epoch {
    /// As text for people.
    pub(super) fn who(&self) -> String {
        format!(
            "master {} at {}, election {}",
            self.master, self.address, self.election
        )
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and numbers: it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What stands in the node now, its version, and the transaction that put it there.
#[derive(Debug)]
pub(super) struct Stored {
    pub epoch: Epoch,
    pub version: i32,
    pub zxid: i64,
}

/// Why the epoch is not known.
#[derive(Debug)]
pub(super) enum EpochError {
    ZooKeeper(Error),
    Damaged(String),
}

impl From<Error> for EpochError {
    fn from(error: Error) -> Self {
        Self::ZooKeeper(error)
    }
}

/// Reads the node as it is now, not as a server that lags behind remembers it.
pub(super) async fn read(client: &Client, path: &str) -> Result<Stored, EpochError> {
    client.sync(path).await?;
    let (data, stat) = client.get_data(path).await?;
    let epoch = serde_json::from_slice(&data)
        .map_err(|error| EpochError::Damaged(format!("{path} does not read: {error}")))?;
    Ok(Stored {
        epoch,
        version: stat.version,
        zxid: stat.mzxid,
    })
}
