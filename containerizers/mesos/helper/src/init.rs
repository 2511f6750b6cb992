//! The container's first process: sets the container up, then waits for its end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::{
        fs::{FileExt as _, OpenOptionsExt as _},
        net::UnixStream,
    },
    path::Path,
    process::ExitCode,
};

use mesos_containerizer_helper::{Launch, PID, Report, STATUS};
use mesos_isolator_linux::{
    PidFd, ProcessKey, mounts,
    nix::{
        errno::Errno,
        libc,
        sys::wait::{WaitPidFlag, WaitStatus, waitpid},
        unistd::{self, Pid},
    },
    process, signals,
    spawn::{self, CloneFlags, Forked},
};

use crate::task;

/// Sets up, starts the task, and stays until it has ended.
pub fn run(launch: &Launch, runtime_dir: &Path, mut agent: UnixStream) -> ExitCode {
    let status = match set_up(launch, runtime_dir) {
        Ok(status) => status,
        Err(text) => {
            let _agent_gone = agent.write_all(Report::Failed(text).to_line().as_bytes());
            return ExitCode::FAILURE;
        }
    };
    match spawn::fork(CloneFlags::NONE) {
        Ok(Forked::Child) => task::run(launch, agent, status.host_pid, &status.file),
        Ok(Forked::Parent(task)) => {
            drop(agent);
            let_go();
            let raw = reap_until(task);
            // Without the mark of a release the command never ran, and has no status.
            if status.file.metadata().is_ok_and(|file| file.len() > 0) {
                // One write of a few bytes, so a reader sees all of it or nothing.
                let _cannot_tell_anyone = status.file.write_all_at(raw.to_string().as_bytes(), 0);
            }
            if !CloneFlags::from_bits(launch.namespaces).contains(CloneFlags::NEW_PIDS) {
                end_orphans(status.host_pid);
            }
            exit_like(raw)
        }
        Err(error) => {
            let text = format!("cannot make the task's process: {error}");
            let _agent_gone = agent.write_all(Report::Failed(text).to_line().as_bytes());
            ExitCode::FAILURE
        }
    }
}

struct Status {
    file: File,
    host_pid: u32,
}

fn set_up(launch: &Launch, runtime_dir: &Path) -> Result<Status, String> {
    for file in &launch.join_cgroups {
        // 0 is the writer itself, whatever its pid is in which namespace.
        fs::write(file, "0")
            .map_err(|error| format!("cannot enter the cgroup {}: {error}", file.display()))?;
    }
    signals::block_all().map_err(|error| format!("cannot block signals: {error}"))?;
    unistd::setsid().map_err(|error| format!("cannot make a session: {error}"))?;
    // As `ps` shows it; the container's id begins alike.
    let id = runtime_dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let _only_for_people = process::set_name(&format!("mesos-{id}"));
    let namespaces = CloneFlags::from_bits(launch.namespaces);
    if !namespaces.contains(CloneFlags::NEW_PIDS) {
        process::become_subreaper().map_err(|error| format!("cannot adopt orphans: {error}"))?;
    }
    let host_pid = remember_self(runtime_dir)
        .map_err(|error| format!("cannot write {}: {error}", runtime_dir.join(PID).display()))?;
    let path = runtime_dir.join(STATUS);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    if namespaces.contains(CloneFlags::NEW_MOUNTS) {
        mounts::make_all_slave()
            .map_err(|error| format!("cannot keep mounts out of the host: {error}"))?;
    }
    for step in &launch.mounts {
        mounts::mount(
            step.source.as_deref(),
            &step.target,
            step.fstype.as_deref(),
            step.flags,
            step.options.as_deref(),
        )
        .map_err(|error| {
            let what = match (&step.source, &step.fstype) {
                (Some(source), _) => source.display().to_string(),
                (None, fstype) => fstype.clone().unwrap_or_default(),
            };
            format!("cannot mount {what} on {}: {error}", step.target.display())
        })?;
    }
    Ok(Status { file, host_pid })
}

/// Pid and start time go to disk before the agent can let the task run. Half a file reads as none,
/// and then the task has not run.
fn remember_self(runtime_dir: &Path) -> io::Result<u32> {
    let host_pid = process::own_pid_in_proc()?;
    let key = ProcessKey::of(host_pid)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(runtime_dir.join(PID))?
        .write_all(key.to_string().as_bytes())?;
    Ok(host_pid)
}

/// Holds on to nothing of the agent's for as long as the task runs. Standard input is the socket of
/// `serve`, which must not seem to be there because of us.
fn let_go() {
    let _stays_there = unistd::chdir("/");
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _stays_open = unistd::dup2_stdin(&null);
        let _stays_open = unistd::dup2_stdout(&null);
        let _stays_open = unistd::dup2_stderr(&null);
    }
}

/// Reaps every child, adopted ones too, until `task` has ended; its raw wait status.
fn reap_until(task: u32) -> i32 {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) if is(pid, task) => return (code & 0xff) << 8,
            Ok(WaitStatus::Signaled(pid, signal, core)) if is(pid, task) => {
                return signal as i32 | if core { 0x80 } else { 0 };
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // No child at all: cannot be before the task has been reaped.
            Err(_) => return libc::SIGKILL,
        }
    }
}

/// Kills and reaps what the task left behind. In a pid namespace the kernel does it; elsewhere they
/// would be nobody's once this process, which has adopted them, is gone.
fn end_orphans(own: u32) {
    let at_once = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    loop {
        match waitpid(None::<Pid>, Some(at_once)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        for pid in process::tree(own).into_iter().filter(|pid| *pid != own) {
            if let Ok(orphan) = PidFd::open(pid) {
                let _ended_meanwhile = orphan.signal(libc::SIGKILL);
            }
        }
        // One that was just made may have been passed over, so look again after a moment.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn is(pid: Pid, task: u32) -> bool {
    u32::try_from(pid.as_raw()) == Ok(task)
}

/// As a shell would: 128 + signal for a signal.
fn exit_like(raw: i32) -> ExitCode {
    let code = if raw & 0x7f == 0 {
        raw >> 8
    } else {
        128 + (raw & 0x7f)
    };
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
