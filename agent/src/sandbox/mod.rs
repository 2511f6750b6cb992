//! Sandboxes: directories of tasks, their owners, their `latest` links, and the ports beside them.

mod ports;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::unistd::{Gid, Uid, User};

use crate::{
    core::{SandboxFailure, SandboxPaths, SandboxRequest},
    volumes,
};

/// How long a port may stay taken by something that is just ending.
const PORT_PATIENCE: Duration = Duration::from_secs(1);
const PORT_POLL: Duration = Duration::from_millis(50);

impl SandboxPaths {
    /// `.../runs/latest`.
    pub fn latest(&self) -> PathBuf {
        self.sandbox.with_file_name("latest")
    }

    /// The executor's directory.
    pub fn executor_directory(&self) -> Option<&Path> {
        self.sandbox.ancestors().nth(2)
    }

    /// The framework's directory.
    pub fn framework_directory(&self) -> Option<&Path> {
        self.sandbox.ancestors().nth(4)
    }
}

/// Makes a sandbox: mode 0750, owned by its user, `latest` pointing to it. Checks the host ports too.
/// Blocks for up to a second while a port is taken.
///
/// # Errors
/// The user does not exist, the directory cannot be made or given away, a port stays taken.
pub fn make(request: &SandboxRequest) -> Result<(), SandboxFailure> {
    let sandbox = &request.paths.sandbox;
    directory(request).map_err(|problem| {
        SandboxFailure::Directory(format!(
            "Failed to create executor directory '{}': {problem}",
            sandbox.display()
        ))
    })?;
    let start = Instant::now();
    loop {
        match ports::first_taken(&request.ports) {
            None => return Ok(()),
            Some((port, protocol)) if start.elapsed() >= PORT_PATIENCE => {
                return Err(SandboxFailure::PortTaken { port, protocol });
            }
            Some(_) => std::thread::sleep(PORT_POLL),
        }
    }
}

fn directory(request: &SandboxRequest) -> Result<(), String> {
    let sandbox = &request.paths.sandbox;
    let runs = sandbox.parent().ok_or("it has no parent")?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(runs)
        .map_err(|error| error.to_string())?;
    fs::DirBuilder::new()
        .mode(0o750)
        .create(sandbox)
        .map_err(|error| error.to_string())?;
    // Whatever the umask says.
    fs::set_permissions(sandbox, fs::Permissions::from_mode(0o750))
        .map_err(|error| error.to_string())?;
    if let Some(user) = &request.user {
        let refused = |problem: String| {
            let _ = fs::remove_dir(sandbox);
            format!("Failed to chown directory to '{user}': {problem}")
        };
        let (uid, gid) = lookup(user).map_err(refused)?;
        if uid != Uid::effective() || gid != Gid::effective() {
            nix::unistd::chown(sandbox, Some(uid), Some(gid))
                .map_err(|error| refused(error.desc().to_owned()))?;
        }
        give(&request.volumes, uid, gid).map_err(refused)?;
    }
    link(sandbox, &request.paths.latest())
        .map_err(|error| format!("Failed to link 'latest': {error}"))
}

/// Gives volumes to a user of the host; `None`: the agent's own, to whom nothing is given. Blocks.
///
/// # Errors
/// There is no such user, or a directory cannot be given to it.
pub(crate) fn give_volumes(user: Option<&str>, volumes: &[PathBuf]) -> Result<(), String> {
    let Some(user) = user.filter(|_| !volumes.is_empty()) else {
        return Ok(());
    };
    let (uid, gid) = lookup(user)?;
    give(volumes, uid, gid)
}

fn give(volumes: &[PathBuf], uid: Uid, gid: Gid) -> Result<(), String> {
    volumes
        .iter()
        .try_for_each(|volume| volumes::own(volume, uid.as_raw(), gid.as_raw()))
}

fn lookup(user: &str) -> Result<(Uid, Gid), String> {
    match User::from_name(user) {
        Ok(Some(found)) => Ok((found.uid, found.gid)),
        Ok(None) => Err(format!(
            "No such user '{user}'; create it on the agent's host, or name another one in CommandInfo.user or FrameworkInfo.user"
        )),
        Err(error) => Err(format!("cannot look up user '{user}': {}", error.desc())),
    }
}

/// Points `link` to `target`, in one step for those who look.
fn link(target: &Path, link: &Path) -> io::Result<()> {
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let mut beside: OsString = target.file_name().unwrap_or_default().to_owned();
    beside.push(".latest");
    let beside = link.with_file_name(beside);
    symlink(target, &beside)?;
    fs::rename(&beside, link)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn request(work_dir: &Path, user: Option<&str>) -> SandboxRequest {
        SandboxRequest {
            container: "c".into(),
            paths: SandboxPaths {
                framework: "f".into(),
                executor: "e".into(),
                sandbox: work_dir.join("slaves/a/frameworks/f/executors/e/runs/c"),
            },
            user: user.map(str::to_owned),
            volumes: Vec::new(),
            ports: Vec::new(),
        }
    }

    #[test]
    fn the_tree_is_that_of_mesos() {
        let dir = tempfile::tempdir().unwrap();
        let request = request(dir.path(), None);
        make(&request).unwrap();
        let sandbox = &request.paths.sandbox;
        assert_eq!(fs::metadata(sandbox).unwrap().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_link(request.paths.latest()).unwrap(), *sandbox);
        let framework = request.paths.framework_directory().unwrap();
        assert_eq!(framework, dir.path().join("slaves/a/frameworks/f"));
    }

    #[test]
    fn an_unknown_user_is_named_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let request = request(dir.path(), Some("no-such-user"));
        let error = make(&request).unwrap_err().to_string();
        assert!(
            error.contains(
                "Failed to chown directory to 'no-such-user': No such user 'no-such-user'"
            ),
            "{error}"
        );
        assert!(!request.paths.sandbox.exists());
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let request = SandboxRequest {
            ports: vec![(port, "tcp".to_owned())],
            ..request(dir.path(), None)
        };
        let error = make(&request).unwrap_err();
        assert!(
            error.to_string().contains(&format!("host port {port}/tcp")),
            "{error}"
        );
    }
}
