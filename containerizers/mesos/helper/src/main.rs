//! `mesos-containerizer`: becomes a container.
//!
//! The agent starts it once per container. It makes the container's first process and ends; that
//! first process, a child of the agent until the agent ends, enters cgroups and namespaces, starts
//! the task, reaps whatever ends, and writes the task's wait status down.

#![forbid(unsafe_code)]

mod init;
mod task;

use std::{
    io::Write as _,
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
};

use mesos_containerizer_helper::{Launch, Report};
use mesos_isolator_linux::spawn::{self, CloneFlags, Forked};

const USAGE: &str = "mesos-containerizer LAUNCH_INFO
mesos-containerizer docker-logs OPTIONS

Started by the agent, once per container; not meant to be run by hand. LAUNCH_INFO is a file that
the agent has written; standard input is a socket to it.
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
        Some(path) if arguments.next().is_none() => launch(&PathBuf::from(path)),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs in the short-lived outer process up to the clone, then on both sides of it.
fn launch(path: &Path) -> ExitCode {
    // Older kernels do without; the agent's own descriptors close on exec anyway.
    let _unsupported = spawn::close_others_on_exec();
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut agent = UnixStream::from(socket);
    let mut fail = |text: String| {
        let _agent_gone = agent.write_all(Report::Failed(text).to_line().as_bytes());
        ExitCode::FAILURE
    };
    let description = match std::fs::read(path) {
        Ok(bytes) => match Launch::decode(&bytes) {
            Ok(description) => description,
            Err(error) => return fail(format!("cannot read {}: {error}", path.display())),
        },
        Err(error) => return fail(format!("cannot read {}: {error}", path.display())),
    };
    let Some(runtime_dir) = path.parent() else {
        return fail(format!("{} is in no directory", path.display()));
    };
    let namespaces = CloneFlags::from_bits(description.namespaces);
    match spawn::fork(namespaces | CloneFlags::PARENT) {
        Ok(Forked::Parent(pid)) => {
            let _agent_gone = agent.write_all(Report::Forked(pid).to_line().as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Forked::Child) => init::run(&description, runtime_dir, agent),
        Err(error) => fail(format!("cannot make the container's namespaces: {error}")),
    }
}
