//! What the agent has besides what its flags say, and operations that are not acknowledged:
//! `meta/resources/journal`.
//!
//! It belongs to the work_dir rather than to one agent id, as in Apache Mesos: volumes stay when the agent
//! becomes a new one. Unlike the other journal this one is synced before anything that depends on it: it
//! survives power loss. On the first start over a work_dir of Apache Mesos its checkpoint is taken over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use mesos_types::Resources;
use mesos_wire::v1;
use prost::Message as _;
use uuid::Uuid;

use super::{Batch, Change, CheckpointError, Journal, Opened};

/// Name of the value that holds reservations and volumes.
const RESOURCES: &str = "resources";
/// Begin of the names of operations.
const OPERATION: &str = "o/";
/// Begin of the names of marks: the directories of this operation's volumes are as it wants them.
const CARRIED_OUT: &str = "w/";

/// Every dynamically reserved resource and every persistent volume.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourcesRecord {
    /// In post-refinement format, without allocation.
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<v1::Resource>,
}

/// An operation that is not acknowledged.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperationRecord {
    /// Whose it is; unset: an operator's.
    #[prost(string, optional, tag = "1")]
    pub framework: Option<String>,
    /// As it came.
    #[prost(message, optional, tag = "2")]
    pub info: Option<v1::offer::Operation>,
    /// The newest status; PENDING: reservations and volumes are written down as it wants them, and
    /// directories are still to be made or removed.
    #[prost(message, optional, tag = "3")]
    pub status: Option<v1::OperationStatus>,
    /// Operations in the order of their arrival.
    #[prost(uint64, tag = "4")]
    pub number: u64,
}

/// The part of Apache Mesos's `ResourceState` that matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct MesosState {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<v1::Resource>,
}

/// What the journal holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceImage {
    /// Every dynamically reserved resource and every persistent volume.
    pub checkpointed: Resources,
    /// Operations that are not acknowledged.
    pub operations: BTreeMap<Uuid, OperationRecord>,
    /// Those of them whose directories have been dealt with.
    pub carried_out: BTreeSet<Uuid>,
}

impl ResourceImage {
    /// Reads the values of a journal; `None` within: no reservations were ever written.
    ///
    /// # Errors
    /// A value that cannot be read: nothing of this may be guessed.
    pub fn read(values: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, String> {
        let mut image = Self::default();
        let mut found = false;
        for (key, value) in values {
            let problem = |error: &dyn std::fmt::Display| format!("the value `{key}`: {error}");
            if key == RESOURCES {
                let record = ResourcesRecord::decode(&value[..]).map_err(|e| problem(&e))?;
                image.checkpointed =
                    Resources::from_wire(&record.resources).map_err(|e| problem(&e))?;
                found = true;
            } else if let Some(uuid) = key.strip_prefix(OPERATION) {
                let uuid = Uuid::parse_str(uuid).map_err(|e| problem(&e))?;
                let record = OperationRecord::decode(&value[..]).map_err(|e| problem(&e))?;
                image.operations.insert(uuid, record);
            } else if let Some(uuid) = key.strip_prefix(CARRIED_OUT) {
                let uuid = Uuid::parse_str(uuid).map_err(|e| problem(&e))?;
                image.carried_out.insert(uuid);
            } else {
                return Err(problem(&"a kind of value this release does not know"));
            }
        }
        Ok(found.then_some(image))
    }
}

/// Writes reservations and volumes.
pub fn put_resources(checkpointed: &Resources) -> Change {
    let record = ResourcesRecord {
        resources: checkpointed.to_wire(mesos_types::Format::PostRefinement),
    };
    Change::Put(RESOURCES.to_owned(), record.encode_to_vec())
}

/// Writes an operation.
pub fn put_operation(uuid: Uuid, record: &OperationRecord) -> Change {
    Change::Put(format!("{OPERATION}{uuid}"), record.encode_to_vec())
}

/// Notes that an operation's directories are as it wants them.
pub fn put_carried_out(uuid: Uuid) -> Change {
    Change::Put(format!("{CARRIED_OUT}{uuid}"), Vec::new())
}

/// Forgets an operation.
pub fn delete_operation(uuid: Uuid) -> [Change; 2] {
    [OPERATION, CARRIED_OUT].map(|begin| Change::Delete(format!("{begin}{uuid}")))
}

/// The journal of a work_dir.
pub fn path(work_dir: &Path) -> PathBuf {
    work_dir.join("meta/resources/journal")
}

/// Opens the journal, or starts one with what an agent of Apache Mesos left.
///
/// # Errors
/// It cannot be read wholly, or the system refuses.
pub fn open(work_dir: &Path) -> Result<(Journal, ResourceImage), CheckpointError> {
    let path = path(work_dir);
    let directory = work_dir.join("meta/resources");
    fs::create_dir_all(&directory).map_err(CheckpointError::io("make", &directory))?;
    let broken = |problem: String| CheckpointError::Resources {
        path: path.clone(),
        problem,
    };
    let Opened {
        mut journal,
        values,
        cut_off,
    } = Journal::open(&path, false).map_err(|error| match error {
        CheckpointError::Damaged { offset, length, .. } => {
            broken(format!("it is damaged at byte {offset} of {length}"))
        }
        other => other,
    })?;
    if cut_off > 0 {
        tracing::warn!(
            bytes = cut_off,
            path = %path.display(),
            "the end of the journal was not written wholly and is cut off"
        );
    }
    if let Some(image) = ResourceImage::read(&values).map_err(broken)? {
        return Ok((journal, image));
    }
    let image = ResourceImage {
        checkpointed: left_by_mesos(&directory)?,
        ..ResourceImage::default()
    };
    append(&mut journal, &[put_resources(&image.checkpointed)])?;
    // Or the file itself could be gone after a power loss.
    for directory in [&directory, &work_dir.join("meta")] {
        sync_directory(directory)?;
    }
    Ok((journal, image))
}

/// Appends changes as one frame, and waits until they are on the disk.
///
/// # Errors
/// The system refuses. It may be tried again.
pub fn append(journal: &mut Journal, changes: &[Change]) -> Result<(), CheckpointError> {
    let mut batch = Batch::default();
    batch.frame(changes);
    journal.append(&batch)?;
    journal.sync()
}

/// Makes the journal smaller, if that is worth it.
///
/// # Errors
/// The system refuses; the journal then stays as it is.
pub fn compact(journal: &mut Journal) -> Result<(), CheckpointError> {
    if !journal.wants_compaction() {
        return Ok(());
    }
    journal.compact()?;
    match journal.path().parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> Result<(), CheckpointError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(CheckpointError::io("sync", directory))
}

/// Reservations and volumes that an agent of Apache Mesos checkpointed, the newest of its files first.
/// Source: `slave/paths.hpp` and `ResourcesState::recover`.
fn left_by_mesos(directory: &Path) -> Result<Resources, CheckpointError> {
    for (name, is_state) in [
        // Renamed to the next one when it has been carried out.
        ("resources_and_operations.target", true),
        ("resources_and_operations.state.target", true),
        ("resources_and_operations.state", true),
        ("resources.target", false),
        ("resources.info", false),
    ] {
        let path = directory.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(CheckpointError::io("read", &path)(error)),
        };
        // Of no length: Mesos ended while it wrote it first.
        if bytes.is_empty() {
            continue;
        }
        let read = read_mesos(&bytes, is_state)
            .and_then(|wire| Resources::from_wire(&wire).map_err(|error| error.to_string()))
            .map_err(|problem| CheckpointError::Resources {
                path: path.clone(),
                problem,
            })?;
        let checkpointed = read.checkpointed();
        tracing::info!(path = %path.display(), resources = %checkpointed, "taking over reservations and volumes of an agent of Apache Mesos");
        return Ok(checkpointed);
    }
    Ok(Resources::new())
}

/// Records of a length in the host's byte order and a message: one state, or one resource each.
fn read_mesos(mut bytes: &[u8], is_state: bool) -> Result<Vec<v1::Resource>, String> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let (message, rest) = rest
            .split_at_checked(length)
            .ok_or("a record is longer than the file")?;
        if is_state {
            let state = MesosState::decode(message).map_err(|error| error.to_string())?;
            all.extend(state.resources);
        } else {
            all.push(v1::Resource::decode(message).map_err(|error| error.to_string())?);
        }
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(all)
    } else {
        Err("a record is cut off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::volume;

    #[test]
    fn what_was_written_reads_back_after_a_torn_append() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, image) = open(dir.path()).unwrap();
        assert_eq!(image, ResourceImage::default());
        let held = Resources::from_wire(&[volume("v", 64.0)]).unwrap();
        let uuid = Uuid::from_u128(7);
        let record = OperationRecord {
            framework: Some("f".to_owned()),
            ..Default::default()
        };
        append(
            &mut journal,
            &[
                put_resources(&held),
                put_operation(uuid, &record),
                put_carried_out(uuid),
            ],
        )
        .unwrap();
        append(&mut journal, &[put_resources(&Resources::new())]).unwrap();
        let whole = fs::read(path(dir.path())).unwrap();
        let last = whole.len();
        for cut in 1..12 {
            fs::write(path(dir.path()), &whole[..last - cut]).unwrap();
            let (_, image) = open(dir.path()).unwrap();
            assert_eq!(image.checkpointed, held, "without {cut} bytes");
            assert_eq!(image.operations[&uuid], record);
            assert!(image.carried_out.contains(&uuid));
        }
    }

    #[test]
    fn damage_is_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        let mut journal = open(dir.path()).unwrap().0;
        for _ in 0..3 {
            append(&mut journal, &[put_resources(&Resources::new())]).unwrap();
        }
        let mut bytes = fs::read(path(dir.path())).unwrap();
        let at = 24 + 10;
        bytes[at] ^= 0xff;
        fs::write(path(dir.path()), &bytes).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("damaged") && error.contains("meta/resources/journal"),
            "{error}"
        );
    }

    #[test]
    fn the_checkpoint_of_an_apache_mesos_agent_is_taken_over_once() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("meta/resources");
        fs::create_dir_all(&directory).unwrap();
        let framed = |message: Vec<u8>| {
            let mut bytes = u32::try_from(message.len()).unwrap().to_ne_bytes().to_vec();
            bytes.extend(message);
            bytes
        };
        let state = MesosState {
            resources: vec![volume("v", 64.0)],
        };
        let file = directory.join("resources_and_operations.state");
        fs::write(&file, framed(state.encode_to_vec())).unwrap();
        fs::write(directory.join("resources.info"), "old garbage").unwrap();
        let (_, image) = open(dir.path()).unwrap();
        assert_eq!(
            image.checkpointed,
            Resources::from_wire(&[volume("v", 64.0)]).unwrap()
        );
        fs::write(&file, "garbage").unwrap();
        let (_, again) = open(dir.path()).unwrap();
        assert_eq!(again, image, "the journal counts from then on");
        let other = tempfile::tempdir().unwrap();
        let directory = other.path().join("meta/resources");
        fs::create_dir_all(&directory).unwrap();
        let mut bytes = framed(volume("a", 1.0).encode_to_vec());
        bytes.extend(framed(volume("b", 1.0).encode_to_vec()));
        fs::write(directory.join("resources.info"), &bytes).unwrap();
        let (_, image) = open(other.path()).unwrap();
        assert_eq!(image.checkpointed.persistent_volumes().iter().count(), 2);
        let third = tempfile::tempdir().unwrap();
        let directory = third.path().join("meta/resources");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("resources.info"), &bytes[..bytes.len() - 1]).unwrap();
        open(third.path()).unwrap_err();
    }
}
