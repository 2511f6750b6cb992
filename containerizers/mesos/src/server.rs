//! The one helper process that makes containers, `mesos-containerizer serve`: started when the first
//! container is asked for, and again should it have ended.
//!
//! It ends when the agent does, because the socket between them closes. The containers it has made
//! do not depend on it.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesos_containerizer_helper::SERVE;
use mesos_isolator_linux::fd_passing;

/// How long a busy helper is asked again before a launch fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    helper: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// `None` only while it is being dropped.
    socket: Option<OwnedFd>,
}

impl Server {
    pub(crate) fn new(helper: PathBuf) -> Self {
        Self {
            helper,
            process: Mutex::new(None),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pid of the helper, if one has been started.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(|process| process.child.id())
    }

    /// Starts the helper ahead of the first container.
    pub(crate) fn warm_up(&self) -> io::Result<()> {
        let mut process = self.process();
        if process.is_none() {
            *process = Some(Process::start(&self.helper)?);
        }
        Ok(())
    }

    /// Hands over a launch: the path of its description, and the helper's end of a socket.
    pub(crate) async fn ask(&self, launch_info: &Path, theirs: UnixStream) -> Result<(), String> {
        let cannot = |error: io::Error| format!("cannot use {}: {error}", self.helper.display());
        let begin = tokio::time::Instant::now();
        let mut restarted = false;
        loop {
            match self.try_ask(launch_info, &theirs) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if begin.elapsed() > PATIENCE {
                        return Err(cannot(error));
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) if !restarted && is_gone(&error) => {
                    tracing::warn!("mesos-containerizer has ended; starting it again");
                    *self.process() = None;
                    restarted = true;
                }
                Err(error) => return Err(cannot(error)),
            }
        }
    }

    fn try_ask(&self, launch_info: &Path, theirs: &UnixStream) -> io::Result<()> {
        let mut process = self.process();
        let process = match &mut *process {
            Some(process) => process,
            none => none.insert(Process::start(&self.helper)?),
        };
        let Some(socket) = &process.socket else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let path = launch_info.as_os_str().as_bytes();
        fd_passing::send(socket, path, theirs.as_fd())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl Process {
    fn start(helper: &Path) -> io::Result<Self> {
        let (ours, theirs) = fd_passing::pair()?;
        // Nothing here keeps the standard library from posix_spawn, whose cost does not grow with
        // the agent's memory: no pre_exec, no uid, no directory.
        let child = Command::new(helper)
            .arg(SERVE)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            socket: Some(ours),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its end of file, upon which it ends at once: it never does anything that blocks.
        self.socket = None;
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let _ended_meanwhile = self.child.kill();
        let _reaped = self.child.wait();
    }
}
