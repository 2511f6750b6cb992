//! Who the agent is: `meta/slaves/latest` and `slave.info`, as Apache Mesos has them; `meta/boot_id`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use mesos_types::AgentId;
use mesos_wire::v1;
use prost::Message as _;

use super::CheckpointError;

/// `meta/slaves` of a work_dir.
pub fn slaves(work_dir: &Path) -> PathBuf {
    work_dir.join("meta/slaves")
}

/// The journal of an agent.
pub fn journal(work_dir: &Path, agent: &AgentId) -> PathBuf {
    slaves(work_dir).join(agent.as_str()).join("journal")
}

/// The agent that this work_dir belongs to. `None`: there is none yet, or its link was removed, or the
/// agent ended while its first `slave.info` was being written (the file is empty).
///
/// # Errors
/// `slave.info` cannot be read, or is not a length and a protobuf message of that length.
pub fn read(work_dir: &Path) -> Result<Option<v1::AgentInfo>, CheckpointError> {
    let path = slaves(work_dir).join("latest/slave.info");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CheckpointError::io("read", &path)(error)),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = || CheckpointError::Identity { path: path.clone() };
    // Apache Mesos writes the length in the byte order of the host.
    let length = bytes.get(..4).ok_or_else(wrong)?;
    let length = u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let message = bytes.get(4..4 + length).ok_or_else(wrong)?;
    let info = v1::AgentInfo::decode(message).map_err(|_| wrong())?;
    if info.id.is_none() {
        return Err(wrong());
    }
    Ok(Some(info))
}

/// Writes `slave.info` and the link `latest`. Both are on the disk when this answers.
///
/// # Errors
/// The system refuses, or the agent has no id.
pub fn write(work_dir: &Path, info: &v1::AgentInfo) -> Result<(), CheckpointError> {
    let slaves = slaves(work_dir);
    let id = info.id.as_ref().ok_or_else(|| CheckpointError::Identity {
        path: slaves.join("latest/slave.info"),
    })?;
    let own = slaves.join(&id.value);
    fs::create_dir_all(&own).map_err(CheckpointError::io("make", &own))?;
    let mut bytes = u32::try_from(info.encoded_len())
        .unwrap_or(u32::MAX)
        .to_ne_bytes()
        .to_vec();
    bytes.extend(info.encode_to_vec());
    replace(&own.join("slave.info"), &bytes)?;
    sync(&own)?;
    let latest = slaves.join("latest");
    let beside = slaves.join(".latest.new");
    let link = || {
        let _ = fs::remove_file(&beside);
        symlink(&own, &beside)?;
        fs::rename(&beside, &latest)
    };
    link().map_err(CheckpointError::io("link", &latest))?;
    sync(&slaves)
}

/// Writes a small file so that it is there with its old or its new content, whatever happens.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    };
    write().map_err(CheckpointError::io("write", path))
}

fn sync(directory: &Path) -> Result<(), CheckpointError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(CheckpointError::io("sync", directory))
}

/// The present boot of this host.
///
/// # Errors
/// `/proc` is not mounted.
pub fn host_boot_id() -> Result<String, CheckpointError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(CheckpointError::io("read", path))
}

/// The boot on which the agent of this work_dir ran last.
pub fn read_boot_id(work_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(work_dir.join("meta/boot_id")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Notes the present boot.
///
/// # Errors
/// The system refuses.
pub fn write_boot_id(work_dir: &Path, boot_id: &str) -> Result<(), CheckpointError> {
    replace(&work_dir.join("meta/boot_id"), boot_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: "h".to_owned(),
            id: Some(id.into()),
            ..Default::default()
        }
    }

    #[test]
    fn the_newest_agent_reads_back_and_removing_the_link_forgets_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), &agent("a-S0")).unwrap();
        write(dir.path(), &agent("a-S1")).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(agent("a-S1")));
        let latest = slaves(dir.path()).join("latest");
        assert_eq!(
            fs::read_link(&latest).unwrap(),
            slaves(dir.path()).join("a-S1")
        );
        fs::remove_file(latest).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }

    #[test]
    fn the_info_of_an_apache_mesos_agent_reads() {
        let dir = tempfile::tempdir().unwrap();
        let own = slaves(dir.path()).join("x");
        fs::create_dir_all(&own).unwrap();
        fs::write(
            own.join("slave.info"),
            include_bytes!("../../tests/data/apache-slave.info"),
        )
        .unwrap();
        symlink(&own, slaves(dir.path()).join("latest")).unwrap();
        let info = read(dir.path()).unwrap().unwrap();
        assert_eq!(
            info.id.unwrap().value,
            "36a5d1c3-0c43-4216-9d98-bbd3b034d872-S0"
        );
        assert_eq!(info.port, Some(5251));
        assert_eq!(info.resources.len(), 4);
        assert_eq!(info.attributes.len(), 3);
    }

    #[test]
    fn an_empty_file_is_none_and_a_broken_one_names_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &agent("a")).unwrap();
        let file = slaves(dir.path()).join("a/slave.info");
        fs::write(&file, "").unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        fs::write(&file, "garbage").unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("meta/slaves/latest"), "{error}");
    }
}
