//! `mesos-containerizer`: becomes a container.
//!
//! `serve` waits for launches, one process per agent, so that a container costs a clone of a small
//! process and no exec of a helper. Each launch makes the container's first process: a child of the
//! agent until the agent ends, it enters cgroups and namespaces, starts the task, reaps whatever
//! ends, writes the task's wait status down, and outlives both `serve` and the agent.

#![forbid(unsafe_code)]

mod init;
mod task;

use std::{
    ffi::OsString,
    io::Write as _,
    os::unix::{ffi::OsStringExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
};

use mesos_containerizer_helper::{Launch, Report, SERVE};
use mesos_isolator_linux::{
    fd_passing,
    spawn::{self, CloneFlags, Forked},
};

const USAGE: &str = "mesos-containerizer serve
mesos-containerizer docker-logs OPTIONS

Started by the agent; not meant to be run by hand. `serve` takes launches from the socket that is its
standard input.
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(argument) if argument == "--version" => {
            print!(
                "{}",
                concat!("mesos-containerizer ", env!("CARGO_PKG_VERSION"), "\n")
            );
            ExitCode::SUCCESS
        }
        Some(argument) if argument == "--help" => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        // Beside each docker container: copies its output into the sandbox.
        Some(argument) if argument == "docker-logs" => {
            mesos_docker_logs::main(std::env::args().skip(2))
        }
        Some(argument) if argument == SERVE && arguments.next().is_none() => serve(),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Launches what the agent asks for, until it is gone. Comes back in each new process too, with
/// the status that one shall end with.
fn serve() -> ExitCode {
    // Older kernels do without; the agent's own descriptors close on exec anyway.
    let _unsupported = spawn::close_others_on_exec();
    loop {
        match fd_passing::receive(std::io::stdin()) {
            Ok(Some((path, socket))) => {
                let path = PathBuf::from(OsString::from_vec(path));
                if let Some(ended) = launch(&path, UnixStream::from(socket)) {
                    return ended;
                }
            }
            Ok(None) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// One container. `None` in the process that goes on serving.
fn launch(path: &Path, mut agent: UnixStream) -> Option<ExitCode> {
    match clone(path) {
        Ok(Cloned::Parent(pid)) => {
            let _agent_gone = agent.write_all(Report::Forked(pid).to_line().as_bytes());
            None
        }
        Ok(Cloned::Child(description)) => match path.parent() {
            Some(runtime_dir) => Some(init::run(&description, runtime_dir, agent)),
            None => Some(ExitCode::FAILURE),
        },
        Err(text) => {
            let _agent_gone = agent.write_all(Report::Failed(text).to_line().as_bytes());
            None
        }
    }
}

enum Cloned {
    Parent(u32),
    Child(Launch),
}

fn clone(path: &Path) -> Result<Cloned, String> {
    let cannot_read =
        |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| cannot_read(&error))?;
    let description = Launch::decode(&bytes).map_err(|error| cannot_read(&error))?;
    let namespaces = CloneFlags::from_bits(description.namespaces);
    match spawn::fork(namespaces | CloneFlags::PARENT) {
        Ok(Forked::Parent(pid)) => Ok(Cloned::Parent(pid)),
        Ok(Forked::Child) => Ok(Cloned::Child(description)),
        Err(error) => Err(format!("cannot make the container's namespaces: {error}")),
    }
}
