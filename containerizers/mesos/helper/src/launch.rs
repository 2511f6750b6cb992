//! What a container shall be, in a form that a program without any parser library reads.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

/// First bytes of the file; the last is the version.
const MAGIC: &[u8; 8] = b"mclaunch";

/// A mount(2) in the container's mount namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountStep {
    /// Device or path.
    pub source: Option<PathBuf>,
    /// Where.
    pub target: PathBuf,
    /// Type; `None` for bind mounts and changes of propagation.
    pub fstype: Option<String>,
    /// `MS_*` bits.
    pub flags: u64,
    /// Options of the file system.
    pub options: Option<String>,
}

/// Everything the helper needs to become a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// `CLONE_NEW*` bits of the namespaces to make.
    pub namespaces: u64,
    /// `cgroup.procs` files to enter, in order, before anything else.
    pub join_cgroups: Vec<PathBuf>,
    /// Mounts to make, in order.
    pub mounts: Vec<MountStep>,
    /// Working directory; its files `stdout` and `stderr` receive the output.
    pub sandbox: PathBuf,
    /// User, primary group, supplementary groups; `None`: the agent's own.
    pub credentials: Option<(u32, u32, Vec<u32>)>,
    /// Raised to this, never lowered.
    pub oom_score_adj: Option<i32>,
    /// Path, or name to look for in the task's `PATH`.
    pub program: OsString,
    /// Arguments; the first is the name the program sees itself under.
    pub argv: Vec<OsString>,
    /// `NAME=value` each.
    pub environment: Vec<OsString>,
}

/// The bytes are no launch description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this is not a launch description of this version")
    }
}

impl std::error::Error for DecodeError {}

impl Launch {
    /// Field after field; numbers little-endian, strings and lists with their length before them.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(2048);
        to.extend_from_slice(MAGIC);
        put_u64(&mut to, self.namespaces);
        put_list(&mut to, &self.join_cgroups, |to, path| {
            put(to, path.as_os_str().as_bytes())
        });
        put_list(&mut to, &self.mounts, |to, mount| {
            put_option(to, mount.source.as_ref(), |to, path| {
                put(to, path.as_os_str().as_bytes())
            });
            put(to, mount.target.as_os_str().as_bytes());
            put_option(to, mount.fstype.as_ref(), |to, text| {
                put(to, text.as_bytes())
            });
            put_u64(to, mount.flags);
            put_option(to, mount.options.as_ref(), |to, text| {
                put(to, text.as_bytes())
            });
        });
        put(&mut to, self.sandbox.as_os_str().as_bytes());
        put_option(
            &mut to,
            self.credentials.as_ref(),
            |to, (uid, gid, groups)| {
                put_u32(to, *uid);
                put_u32(to, *gid);
                put_list(to, groups, |to, group| put_u32(to, *group));
            },
        );
        put_option(&mut to, self.oom_score_adj.as_ref(), |to, score| {
            to.extend_from_slice(&score.to_le_bytes());
        });
        put(&mut to, self.program.as_bytes());
        put_list(&mut to, &self.argv, |to, text| put(to, text.as_bytes()));
        put_list(&mut to, &self.environment, |to, text| {
            put(to, text.as_bytes())
        });
        to
    }

    /// The reverse. Never panics, and takes no more memory than `bytes` has.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        if from.take(MAGIC.len())? != MAGIC {
            return Err(DecodeError);
        }
        let launch = Self {
            namespaces: from.u64()?,
            join_cgroups: from.list(Reader::path)?,
            mounts: from.list(|from| {
                Ok(MountStep {
                    source: from.option(Reader::path)?,
                    target: from.path()?,
                    fstype: from.option(Reader::text)?,
                    flags: from.u64()?,
                    options: from.option(Reader::text)?,
                })
            })?,
            sandbox: from.path()?,
            credentials: from
                .option(|from| Ok((from.u32()?, from.u32()?, from.list(Reader::u32)?)))?,
            oom_score_adj: from.option(|from| Ok(i32::from_le_bytes(from.array()?)))?,
            program: from.os()?,
            argv: from.list(Reader::os)?,
            environment: from.list(Reader::os)?,
        };
        if from.0.is_empty() {
            Ok(launch)
        } else {
            Err(DecodeError)
        }
    }
}

fn put_u32(to: &mut Vec<u8>, value: u32) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(to: &mut Vec<u8>, value: u64) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_list<T>(to: &mut Vec<u8>, items: &[T], put_one: impl Fn(&mut Vec<u8>, &T)) {
    put_u64(to, items.len() as u64);
    for item in items {
        put_one(to, item);
    }
}

fn put_option<T>(to: &mut Vec<u8>, item: Option<&T>, put_one: impl Fn(&mut Vec<u8>, &T)) {
    to.push(u8::from(item.is_some()));
    if let Some(item) = item {
        put_one(to, item);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.u64()?).map_err(|_| DecodeError)
    }

    fn os(&mut self) -> Result<OsString, DecodeError> {
        let length = self.length()?;
        Ok(OsString::from_vec(self.take(length)?.to_vec()))
    }

    fn path(&mut self) -> Result<PathBuf, DecodeError> {
        self.os().map(PathBuf::from)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        self.os()?.into_string().map_err(|_| DecodeError)
    }

    fn option<T>(
        &mut self,
        one: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.array()? {
            [0] => Ok(None),
            [1] => one(self).map(Some),
            _ => Err(DecodeError),
        }
    }

    fn list<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length()?;
        // Every item takes at least one byte, so the rest of the input bounds the list.
        let mut items = Vec::with_capacity(length.min(self.0.len()).min(1024));
        for _ in 0..length {
            items.push(one(self)?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn launch() -> impl Strategy<Value = Launch> {
        let name = || any::<Vec<u8>>().prop_map(OsString::from_vec);
        let mount = (
            proptest::option::of(name()),
            name(),
            proptest::option::of(any::<String>()),
            any::<u64>(),
        )
            .prop_map(|(source, target, fstype, flags)| MountStep {
                source: source.map(PathBuf::from),
                target: target.into(),
                options: fstype.clone(),
                fstype,
                flags,
            });
        (
            any::<u64>(),
            proptest::collection::vec(mount, 0..4),
            proptest::option::of(any::<(u32, u32, Vec<u32>)>()),
            any::<Option<i32>>(),
            proptest::collection::vec(name(), 0..5),
        )
            .prop_map(
                |(namespaces, mounts, credentials, oom_score_adj, names)| Launch {
                    namespaces,
                    join_cgroups: names.iter().map(PathBuf::from).collect(),
                    mounts,
                    sandbox: names.iter().collect(),
                    credentials,
                    oom_score_adj,
                    program: names.first().cloned().unwrap_or_default(),
                    argv: names.clone(),
                    environment: names,
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(launch in launch()) {
            prop_assert_eq!(Launch::decode(&launch.encode()), Ok(launch));
        }

        #[test]
        fn anything_else_is_refused_without_panic(launch in launch(), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
            let mut bytes = launch.encode();
            let at = cut.index(bytes.len());
            prop_assert_eq!(Launch::decode(&bytes[..at]), Err(DecodeError));
            bytes[at] ^= flip;
            let _either = Launch::decode(&bytes);
        }
    }
}
