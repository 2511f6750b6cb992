//! How far the copy has come: a small file that is written in one piece.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// First bytes of the file; the last one counts the format's versions.
const MAGIC: [u8; 8] = *b"DOCKLOG\x01";
/// Size of the file in bytes.
const SIZE: usize = 8 + 8 + 2 * 5 * 8;

/// One of the two outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Length of the file after the last write that this position counts.
    pub length: u64,
    /// Bytes of the container's output copied so far.
    pub total: u64,
    /// Time stamp of the newest log entry copied, in seconds and nanoseconds.
    pub stamp: (u64, u64),
    /// Bytes copied of entries with that stamp.
    pub at_stamp: u64,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Time stamps cannot be trusted: read from the start and drop `total` bytes.
    pub from_start: bool,
    /// Standard output, standard error.
    pub streams: [Stream; 2],
}

impl Position {
    /// Reads the file; `None` if it has never been written.
    pub(crate) fn load(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; SIZE];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        if bytes[..8] != MAGIC {
            return Ok(None);
        }
        let mut words = bytes[8..].chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        let mut next = || words.next().unwrap_or_default();
        let mut position = Self {
            from_start: next() != 0,
            ..Self::default()
        };
        for stream in &mut position.streams {
            *stream = Stream {
                length: next(),
                total: next(),
                stamp: (next(), next()),
                at_stamp: next(),
            };
        }
        Ok(Some(position))
    }

    /// Writes the file: one system call, which a kill does not cut in two.
    pub(crate) fn save(&self, file: &File) -> io::Result<()> {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        let words = std::iter::once(u64::from(self.from_start)).chain(
            self.streams
                .iter()
                .flat_map(|s| [s.length, s.total, s.stamp.0, s.stamp.1, s.at_stamp]),
        );
        for (chunk, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        file.write_all_at(&bytes, 0)
    }
}
