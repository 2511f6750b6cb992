//! Copies what a Docker container writes into its sandbox.
//!
//! One small process per container, started by the agent and not ended by its end. It follows the
//! container's log in the engine (`GET /containers/{id}/logs?follow=1`) and appends what comes to
//! the sandbox's `stdout` and `stderr`. How far it has come stands in a position file, so that
//! another process can go on where a killed one stopped, without a gap and without a line twice.
//!
//! It uses blocking calls and no library: one such process runs beside every container.

#![forbid(unsafe_code)]

mod copy;
mod http;
mod position;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

pub use copy::parse_stamp;

use copy::Copy;
use position::Position;

/// Exit status: everything is copied, or the container is gone.
pub const DONE: u8 = 0;
/// Exit status: something failed; another process may go on.
pub const FAILED: u8 = 1;
/// Exit status: the arguments are wrong.
pub const USAGE: u8 = 2;
/// Exit status: another writer for this container runs already.
pub const ALREADY_RUNNING: u8 = 3;
/// Exit status: the engine keeps no log of this container that could be read.
pub const UNREADABLE: u8 = 4;

/// First pause after the engine's answer ended although the container seems to run, as it does for
/// a moment when it has just ended; doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// An answer that held so long was a good one: the next pause is a short one again.
const GOOD_ANSWER: Duration = Duration::from_secs(1);

/// What to copy, and to where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Id or name of the container.
    pub container: String,
    /// The position file; it is also locked while a writer runs.
    pub position: PathBuf,
    /// File for standard output.
    pub stdout: PathBuf,
    /// File for standard error.
    pub stderr: PathBuf,
    /// The container has a terminal: one stream, not framed.
    pub tty: bool,
    /// A writer may have run before: without a position file, what the files hold has been copied.
    pub resume: bool,
}

impl Arguments {
    /// The command line that [`main`] reads.
    pub fn to_command_line(&self) -> Vec<std::ffi::OsString> {
        let pair = |name: &str, value: &Path| {
            let mut argument = std::ffi::OsString::from(format!("--{name}="));
            argument.push(value);
            argument
        };
        let mut line = vec![
            pair("socket", &self.socket),
            pair("container", Path::new(&self.container)),
            pair("position", &self.position),
            pair("stdout", &self.stdout),
            pair("stderr", &self.stderr),
        ];
        if self.tty {
            line.push("--tty".into());
        }
        if self.resume {
            line.push("--resume".into());
        }
        line
    }

    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut out = Self::default();
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--socket", value)) => out.socket = value.into(),
                Some(("--container", value)) => value.clone_into(&mut out.container),
                Some(("--position", value)) => out.position = value.into(),
                Some(("--stdout", value)) => out.stdout = value.into(),
                Some(("--stderr", value)) => out.stderr = value.into(),
                None if argument == "--tty" => out.tty = true,
                None if argument == "--resume" => out.resume = true,
                _ => return Err(format!("unknown argument `{argument}`")),
            }
        }
        // It becomes part of a request line.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if out.container.is_empty() || !out.container.chars().all(plain) {
            return Err("--container is missing or no container's name".to_owned());
        }
        for (name, path) in [
            ("socket", &out.socket),
            ("position", &out.position),
            ("stdout", &out.stdout),
            ("stderr", &out.stderr),
        ] {
            if path.as_os_str().is_empty() {
                return Err(format!("--{name} is missing"));
            }
        }
        Ok(out)
    }
}

/// The program: `docker-logs --socket=PATH --container=ID --position=FILE --stdout=FILE
/// --stderr=FILE [--tty] [--resume]`. Ends when the container has ended and all is copied.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments = match Arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("docker-logs: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match run(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("docker-logs: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Notes before a container starts where its output will begin: behind what the files hold
/// already. A writer that finds no such note takes what they hold for the container's.
///
/// # Errors
/// When the files cannot be made.
pub fn prepare(arguments: &Arguments) -> io::Result<()> {
    let note = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&arguments.position)?;
    let mut position = Position::default();
    for (stream, path) in position
        .streams
        .iter_mut()
        .zip([&arguments.stdout, &arguments.stderr])
    {
        stream.length = open_output(path)?.metadata()?.len();
    }
    position.save(&note)
}

fn run(arguments: &Arguments) -> io::Result<u8> {
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&arguments.position)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(ALREADY_RUNNING),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    let files = [
        open_output(&arguments.stdout)?,
        open_output(&arguments.stderr)?,
    ];
    let own = lock.metadata().map(|file| (file.dev(), file.ino()))?;
    let position = Position::load(&lock)?;
    let mut copy = Copy::new(lock, files, position, arguments.tty, arguments.resume)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = Instant::now();
        match http::get(&arguments.socket, &copy.request(&arguments.container, true)) {
            Ok((200, body)) => {
                // A broken connection and an ended container look alike.
                let _broken = copy.run(body)?;
            }
            // Removed, or being removed.
            Ok((404 | 409, _)) => return Ok(DONE),
            Ok((_, mut body)) => {
                if body
                    .text()
                    .is_ok_and(|text| text.contains("does not support reading"))
                {
                    return Ok(UNREADABLE);
                }
            }
            Err(_) => {}
        }
        if asked.elapsed() > GOOD_ANSWER {
            pause = FIRST_PAUSE;
        }
        if matches!(is_running(arguments), Ok(false)) {
            // Whatever came after the following answer broke off.
            match http::get(
                &arguments.socket,
                &copy.request(&arguments.container, false),
            ) {
                Ok((200, body)) => {
                    if copy.run(body)? {
                        return Ok(DONE);
                    }
                }
                Ok((404 | 409, _)) => return Ok(DONE),
                Ok(_) | Err(_) => {}
            }
        }
        // The agent forgot the container, or its runtime folder went with a test or a reboot.
        let forgotten =
            !std::fs::metadata(&arguments.position).is_ok_and(|now| (now.dev(), now.ino()) == own);
        if forgotten {
            return Ok(FAILED);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the engine lists the container as running; an empty list says no, so nothing of the
/// JSON needs to be understood.
fn is_running(arguments: &Arguments) -> io::Result<bool> {
    let filters = format!(
        "{{%22{}%22:[%22{}%22],%22status%22:[%22running%22,%22paused%22,%22restarting%22]}}",
        if arguments.container.len() == 64 {
            "id"
        } else {
            "name"
        },
        arguments.container,
    )
    .replace('{', "%7B")
    .replace('}', "%7D")
    .replace('[', "%5B")
    .replace(']', "%5D");
    let path = format!("/containers/json?all=1&filters={filters}");
    match http::get(&arguments.socket, &path)? {
        (200, mut body) => Ok(body.text()?.trim() != "[]"),
        (status, _) => Err(io::Error::other(format!("the engine answers {status}"))),
    }
}

/// Opens an output file for appending; never through a symbolic link that the task has made. A new
/// one belongs to whom the sandbox belongs.
fn open_output(path: &Path) -> io::Result<File> {
    let new = matches!(
        std::fs::symlink_metadata(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound
    );
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let (opened, named) = (file.metadata()?, std::fs::symlink_metadata(path)?);
    if !named.is_file() || (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(io::Error::other(format!(
            "{} is not a plain file",
            path.display()
        )));
    }
    if new
        && let Some(folder) = path.parent()
        && let Ok(folder) = std::fs::metadata(folder)
        && (folder.uid(), folder.gid()) != (opened.uid(), opened.gid())
    {
        // Without the right to, the agent's user stays the owner.
        let _not_root = std::os::unix::fs::fchown(&file, Some(folder.uid()), Some(folder.gid()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_reads_back() {
        let arguments = Arguments {
            socket: "/run/docker.sock".into(),
            container: "mesos-a-S0.b".into(),
            position: "/p".into(),
            stdout: "/a=b/stdout".into(),
            stderr: "/a/stderr".into(),
            tty: true,
            resume: true,
        };
        let line = arguments.to_command_line();
        let line = line
            .into_iter()
            .map(|word| word.into_string().expect("is UTF-8"));
        assert_eq!(Arguments::parse(line), Ok(arguments));
        assert!(Arguments::parse(["--container=a/../b".to_owned()].into_iter()).is_err());
        assert!(Arguments::parse(["--wrong".to_owned()].into_iter()).is_err());
    }
}
