//! The daemon as a process: its first line, its exit statuses, its signals.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

struct Daemon(Child);

impl Daemon {
    fn start(work_dir: &Path) -> Self {
        let work_dir = format!("--work_dir={}", work_dir.display());
        Self(
            command(&["--ip=127.0.0.1", "--port=0", &work_dir])
                .spawn()
                .unwrap(),
        )
    }

    /// Waits for the line that names the address.
    fn address(&mut self) -> String {
        let mut stderr = BufReader::new(self.0.stderr.take().unwrap());
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "the master ended early"
            );
            if let Some(address) = line.strip_prefix("listening on ") {
                let address = address.trim().to_owned();
                // Somebody must go on reading, or the daemon would wait for a full pipe.
                std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
                return address;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    fn status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the master does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_master"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Flags of the environment the tests run in are not ours.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MESOS_")) {
        command.env_remove(name);
    }
    command
}

#[test]
fn it_says_where_it_listens_and_ends_in_order_when_told() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(folder.path());
        let address = daemon.address();
        assert!(
            address.starts_with("127.0.0.1:") && !address.ends_with(":0"),
            "{address}"
        );
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        std::io::Write::write_all(
            &mut connection,
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        daemon.signal(signal);
        assert_eq!(daemon.status(), Some(0));
    }
}

#[test]
fn a_second_master_on_the_same_work_dir_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Daemon::start(folder.path());
    first.address();
    let mut second = Daemon::start(folder.path());
    let mut text = String::new();
    second
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(second.status(), Some(2), "{text}");
    assert!(
        text.contains(&format!("process {}", first.0.id())),
        "{text}"
    );
    first.signal(Signal::SIGKILL);
    assert_eq!(first.status(), None);
    // The lock went with it.
    let mut third = Daemon::start(folder.path());
    third.address();
}

#[test]
fn a_port_that_is_taken_and_flags_that_are_wrong_have_their_own_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Daemon::start(folder.path());
    let port = first.address().rsplit(':').next().unwrap().to_owned();
    let taken = format!("--port={port}");
    for (args, status, text) in [
        (
            &["--ip=127.0.0.1", &taken, "--registry=in_memory"][..],
            2,
            "cannot listen on",
        ),
        (&["--no_such_flag=1"][..], 1, "unknown flag"),
        (&["--authenticate_agents=true"][..], 1, "not built yet"),
    ] {
        let output = command(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(text), "{args:?}: {stderr}");
    }
    let output = command(&["--version"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
}
