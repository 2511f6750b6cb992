//! An append-only file of keyed values, rewritten when most of it is dead.
//!
//! Layout: a header (`mesos-rs journal`, format version, four zero bytes; integers little-endian), then
//! frames: length of the payload, CRC-32 of the payload, payload. A payload is a list of changes, each
//! an operation (1 put, 2 delete, 3 delete every key that starts so), the key and, for a put, the value.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::CheckpointError;

const MAGIC: &[u8; 16] = b"mesos-rs journal";
/// Newest format that this release reads and the one it writes.
const FORMAT: u32 = 1;
const HEADER: u64 = 24;
/// Length and checksum before each payload.
const FRAME: usize = 8;
/// Largest payload of a frame, in bytes. Nothing that enters the agent is bigger.
const MAX_PAYLOAD: usize = 256 << 20;
/// Dead bytes from which on a rewrite is thought of.
const DEAD_BYTES: u64 = 16 << 20;
/// Room kept on the disk so that updates can still be written when tasks have filled it, in bytes.
const RESERVE: u64 = 1 << 20;

/// One change of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a value.
    Put(String, Vec<u8>),
    /// Removes a value.
    Delete(String),
    /// Removes every value whose key starts so.
    DeletePrefix(String),
}

/// Frames to append in one go. Each frame is taken whole or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where values lie within `bytes`, to be told to the index once they are written.
    notes: Vec<Note>,
}

#[derive(Debug)]
enum Note {
    Put(String, usize, usize),
    Delete(String),
    DeletePrefix(String),
}

impl Batch {
    /// Adds a frame.
    pub fn frame(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; FRAME]);
        for change in changes {
            let (operation, key) = match change {
                Change::Put(key, _) => (1, key),
                Change::Delete(key) => (2, key),
                Change::DeletePrefix(key) => (3, key),
            };
            self.bytes.push(operation);
            put_length(&mut self.bytes, key.len());
            self.bytes.extend_from_slice(key.as_bytes());
            match change {
                Change::Put(key, value) => {
                    put_length(&mut self.bytes, value.len());
                    self.notes
                        .push(Note::Put(key.clone(), self.bytes.len(), value.len()));
                    self.bytes.extend_from_slice(value);
                }
                Change::Delete(key) => self.notes.push(Note::Delete(key.clone())),
                Change::DeletePrefix(key) => self.notes.push(Note::DeletePrefix(key.clone())),
            }
        }
        let payload = start + FRAME;
        let length = u32::try_from(self.bytes.len() - payload).unwrap_or(u32::MAX);
        let sum = crc32fast::hash(&self.bytes[payload..]);
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[start + 4..payload].copy_from_slice(&sum.to_le_bytes());
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.notes.clear();
    }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// A journal with what it held when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The journal, ready for appending.
    pub journal: Journal,
    /// Every live value, by key.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Bytes of an append that did not finish, cut off.
    pub cut_off: u64,
}

/// The journal's writing end.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
    /// Where live values are, and how long.
    index: BTreeMap<String, (u64, u32)>,
    live: u64,
    dead_bytes: u64,
}

impl Journal {
    /// Opens the journal at `path`, or starts one. `tolerant` goes on with what stands before damage
    /// in the middle; an append that did not finish is cut off in any case.
    ///
    /// # Errors
    /// Not a journal, of a newer format, damaged in the middle, or the system refuses.
    pub fn open(path: &Path, tolerant: bool) -> Result<Opened, CheckpointError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(CheckpointError::io("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(CheckpointError::io("read", path))?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        if bytes.len() < header.len() && header.starts_with(&bytes) || bytes.iter().all(|b| *b == 0)
        {
            // New, or the agent ended while it wrote the header.
            file.set_len(0)
                .map_err(CheckpointError::io("truncate", path))?;
            file.write_all_at(&header, 0)
                .map_err(CheckpointError::io("write", path))?;
            bytes = header;
        } else if !bytes.starts_with(MAGIC) || bytes.len() < header.len() {
            return Err(CheckpointError::Foreign {
                path: path.to_owned(),
            });
        }
        let found = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        if found > FORMAT {
            return Err(CheckpointError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        let (index, end) = scan(&bytes);
        let length = bytes.len() as u64;
        if end < length {
            if !tolerant && !is_torn(&bytes[usize::try_from(end).unwrap_or(usize::MAX)..]) {
                return Err(CheckpointError::Damaged {
                    path: path.to_owned(),
                    offset: end,
                    length,
                });
            }
            file.set_len(end)
                .map_err(CheckpointError::io("truncate", path))?;
        }
        let values = index
            .iter()
            .map(|(key, (at, size))| {
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                (key.clone(), bytes[at..at + *size as usize].to_vec())
            })
            .collect();
        let live = index
            .iter()
            .map(|(key, (_, size))| weight(key, *size))
            .sum();
        file.seek(SeekFrom::Start(end))
            .map_err(CheckpointError::io("seek in", path))?;
        Ok(Opened {
            journal: Self {
                path: path.to_owned(),
                file,
                end,
                index,
                live,
                dead_bytes: DEAD_BYTES,
            },
            values,
            cut_off: length - end,
        })
    }

    /// Appends a batch by one write. On an error nothing of it counts: what was written of it is cut off.
    ///
    /// # Errors
    /// The system refuses, such as on a full disk. The batch may be tried again.
    pub fn append(&mut self, batch: &Batch) -> Result<(), CheckpointError> {
        if let Err(source) = self.file.write_all(&batch.bytes) {
            // What stands behind `end` is not valid until it is written over; cutting it off is for
            // the case that the agent ends before that.
            let _ = self.file.set_len(self.end);
            let _ = self.file.seek(SeekFrom::Start(self.end));
            return Err(CheckpointError::io("append to", &self.path)(source));
        }
        for note in &batch.notes {
            match note {
                Note::Put(key, at, size) => {
                    let size = u32::try_from(*size).unwrap_or(u32::MAX);
                    self.live += weight(key, size);
                    let old = self
                        .index
                        .insert(key.clone(), (self.end + *at as u64, size));
                    self.forget(key, old);
                }
                Note::Delete(key) => {
                    let old = self.index.remove(key);
                    self.forget(key, old);
                }
                Note::DeletePrefix(prefix) => {
                    for key in starting_with(&self.index, prefix) {
                        let old = self.index.remove(&key);
                        self.forget(&key, old);
                    }
                }
            }
        }
        self.end += batch.bytes.len() as u64;
        Ok(())
    }

    fn forget(&mut self, key: &str, old: Option<(u64, u32)>) {
        if let Some((_, size)) = old {
            self.live = self.live.saturating_sub(weight(key, size));
        }
    }

    /// Waits until everything appended is on the disk.
    ///
    /// # Errors
    /// The system refuses.
    pub fn sync(&self) -> Result<(), CheckpointError> {
        self.file
            .sync_data()
            .map_err(CheckpointError::io("sync", &self.path))
    }

    /// Whether [`compact`](Self::compact) would give back most of the file.
    pub fn wants_compaction(&self) -> bool {
        let dead = self.end.saturating_sub(HEADER).saturating_sub(self.live);
        dead > self.dead_bytes && dead > 2 * self.live
    }

    /// Writes the live values into a new file and puts it in the place of this one, atomically.
    ///
    /// # Errors
    /// The system refuses; the journal then stays as it is.
    pub fn compact(&mut self) -> Result<(), CheckpointError> {
        let beside = self.path.with_extension("new");
        let write = |source: &File, index: &BTreeMap<String, (u64, u32)>| -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(MAGIC)?;
            file.write_all(&FORMAT.to_le_bytes())?;
            file.write_all(&[0; 4])?;
            let mut batch = Batch::default();
            for (key, (at, size)) in index {
                let mut value = vec![0; *size as usize];
                source.read_exact_at(&mut value, *at)?;
                batch.frame(&[Change::Put(key.clone(), value)]);
                if batch.bytes.len() > (1 << 20) {
                    file.write_all(&batch.bytes)?;
                    batch.clear();
                }
            }
            file.write_all(&batch.bytes)?;
            // Or a power loss could leave an empty file under the journal's name.
            file.sync_data()
        };
        write(&self.file, &self.index).map_err(CheckpointError::io("write", &beside))?;
        fs::rename(&beside, &self.path).map_err(CheckpointError::io("replace", &self.path))?;
        let opened = Self::open(&self.path, false)?;
        let dead_bytes = self.dead_bytes;
        *self = opened.journal;
        self.dead_bytes = dead_bytes;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Live values.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no live values.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The file that [`reserve`](Self::reserve) makes beside a journal.
    pub fn reserve_path(path: &Path) -> PathBuf {
        path.with_extension("reserve")
    }

    /// Takes up a little room on the disk, to be let go of when the journal finds it full.
    ///
    /// # Errors
    /// The system refuses.
    pub fn reserve(path: &Path) -> io::Result<()> {
        let path = Self::reserve_path(path);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        nix::fcntl::posix_fallocate(&file, 0, i64::try_from(RESERVE).unwrap_or(i64::MAX))
            .map_err(io::Error::from)
    }
}

/// Bytes of a live value in the file, with its key.
fn weight(key: &str, size: u32) -> u64 {
    FRAME as u64 + 9 + key.len() as u64 + u64::from(size)
}

fn starting_with(index: &BTreeMap<String, (u64, u32)>, prefix: &str) -> Vec<String> {
    index
        .range(prefix.to_owned()..)
        .map(|(key, _)| key)
        .take_while(|key| key.starts_with(prefix))
        .cloned()
        .collect()
}

/// Where live values are, and where the valid frames end.
fn scan(bytes: &[u8]) -> (BTreeMap<String, (u64, u32)>, u64) {
    let mut index = BTreeMap::new();
    let mut at = usize::try_from(HEADER).unwrap_or(0);
    while let Some((payload, end)) = frame_at(bytes, at) {
        let Some(changes) = changes_in(bytes, payload, end) else {
            break;
        };
        for change in changes {
            match change {
                Seen::Put(key, value, size) => {
                    index.insert(key.to_owned(), (value as u64, size));
                }
                Seen::Delete(key) => {
                    index.remove(key);
                }
                Seen::DeletePrefix(prefix) => {
                    for key in starting_with(&index, prefix) {
                        index.remove(&key);
                    }
                }
            }
        }
        at = end;
    }
    (index, at as u64)
}

/// Payload and end of the frame that starts at `at`; `None`: there is no whole and valid one.
fn frame_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let header = bytes.get(at..at + FRAME)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
    let sum = u32::from_le_bytes(header[4..].try_into().ok()?);
    if length == 0 || length > MAX_PAYLOAD {
        return None;
    }
    let end = at + FRAME + length;
    let payload = bytes.get(at + FRAME..end)?;
    (crc32fast::hash(payload) == sum).then_some((at + FRAME, end))
}

enum Seen<'a> {
    Put(&'a str, usize, u32),
    Delete(&'a str),
    DeletePrefix(&'a str),
}

fn changes_in(bytes: &[u8], mut at: usize, end: usize) -> Option<Vec<Seen<'_>>> {
    let length = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    let mut changes = Vec::new();
    while at < end {
        let operation = *bytes.get(at)?;
        let key_length = length(at + 1)?;
        let key = std::str::from_utf8(bytes.get(at + 5..at + 5 + key_length)?).ok()?;
        at += 5 + key_length;
        changes.push(match operation {
            1 => {
                let size = length(at)?;
                let value = at + 4;
                at = value + size;
                Seen::Put(key, value, u32::try_from(size).ok()?)
            }
            2 => Seen::Delete(key),
            3 => Seen::DeletePrefix(key),
            _ => return None,
        });
        if at > end {
            return None;
        }
    }
    Some(changes)
}

/// Whether the rest of a file is an append that did not finish: a frame that the file's end cuts off, or
/// zeroes that a file system leaves where nothing was written.
fn is_torn(rest: &[u8]) -> bool {
    if rest.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some(length) = rest.get(..4) else {
        return true;
    };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    length <= MAX_PAYLOAD && rest.len() <= FRAME + length
}

#[cfg(test)]
mod tests;
