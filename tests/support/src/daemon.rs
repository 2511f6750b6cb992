//! One daemon as a child process: start, kill -9, stop, start again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_up_to;

/// A daemon with the command line it is started with, each time.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn new(
        name: &str,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        log: PathBuf,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments,
            environment,
            log,
            child: None,
        }
    }

    /// Changes the command line of later starts.
    pub(crate) fn set_flags(&mut self, change: impl FnOnce(Vec<String>) -> Vec<String>) {
        self.arguments = change(std::mem::take(&mut self.arguments));
    }

    /// Starts it; its output is appended to its log.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = || -> File {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.log)
                .expect("the test's folder is writable")
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        // What a developer has set for a cluster of their own must not reach the tests.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MESOS_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
        let child = command.spawn();
        self.child =
            Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())));
    }

    /// Its pid while it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.id() as i32)
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
        let limit = Duration::from_secs(20);
        Some(wait_up_to(
            limit,
            &format!("{} ends after SIGTERM", self.name),
            || child.try_wait().expect("our child").ok_or("it still runs"),
        ))
    }

    /// SIGSTOP: it is there, and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    pub(crate) fn wake(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .pid()
            .unwrap_or_else(|| panic!("{} does not run", self.name));
        kill(Pid::from_raw(pid), signal).expect("our child, not waited for yet");
    }

    /// The exit status, if it ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("our child")
    }

    /// The last part of its log.
    pub(crate) fn log_tail(&self) -> String {
        let Ok(mut file) = File::open(&self.log) else {
            return String::new();
        };
        let size = file.metadata().map(|data| data.len()).unwrap_or(0);
        let mut bytes = Vec::new();
        let from = size.saturating_sub(6000);
        if file.seek(SeekFrom::Start(from)).is_err() || file.read_to_end(&mut bytes).is_err() {
            return String::new();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill_9();
    }
}
