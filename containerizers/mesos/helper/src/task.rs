//! The task's own process, from the fork to the exec.

use std::{
    ffi::{CString, OsString},
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, OpenOptionsExt as _, fchown},
        net::UnixStream,
    },
    path::Path,
    process::ExitCode,
};

use mesos_containerizer_helper::{Launch, RELEASE, RELEASED, Report};
use mesos_isolator_linux::{
    nix::{
        libc,
        sys::signal::{Signal, raise},
        unistd,
    },
    signals,
    spawn::{self, Credentials},
};

/// Gets everything ready, waits for the agent's release, and becomes the task.
///
/// The release is marked in `status` first: an agent that was killed meanwhile finds out from it
/// whether the command may have run.
pub fn run(launch: &Launch, mut agent: UnixStream, host_pid: u32, status: &File) -> ExitCode {
    let ready = match get_ready(launch) {
        Ok(ready) => ready,
        Err(text) => {
            let _agent_gone = agent.write_all(Report::Failed(text).to_line().as_bytes());
            return give_up();
        }
    };
    let mut byte = [0];
    if agent
        .write_all(Report::Ready(host_pid).to_line().as_bytes())
        .is_err()
        || !matches!(agent.read(&mut byte), Ok(1))
        || byte != [RELEASE]
        || status.write_all_at(RELEASED, 0).is_err()
    {
        return give_up();
    }
    let error = spawn::exec(&ready.program, &ready.argv, &ready.environment, &ready.path);
    // Standard error is the sandbox's by now. Status 1 is what Apache Mesos has for this.
    eprintln!("Failed to execute '{}': {error}", ready.program);
    ExitCode::from(1)
}

/// Ends as killed: an exit status would read as the task's own.
fn give_up() -> ExitCode {
    let _not_reached = raise(Signal::SIGKILL);
    ExitCode::FAILURE
}

struct Ready {
    program: String,
    argv: Vec<CString>,
    environment: Vec<CString>,
    path: String,
}

fn get_ready(launch: &Launch) -> Result<Ready, String> {
    let program = launch
        .program
        .to_str()
        .ok_or_else(|| "the command's name is not UTF-8".to_owned())?
        .to_owned();
    let argv = c_strings(&launch.argv, "an argument")?;
    let environment = c_strings(&launch.environment, "an environment variable")?;
    let path = launch
        .environment
        .iter()
        .find_map(|variable| variable.to_str()?.strip_prefix("PATH="))
        .unwrap_or("/usr/local/bin:/bin:/usr/bin")
        .to_owned();

    let say = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    unistd::setsid().map_err(|error| say("cannot make a session", &error))?;
    unistd::chdir(&launch.sandbox).map_err(|error| {
        format!(
            "cannot enter the sandbox {}: {error}",
            launch.sandbox.display()
        )
    })?;
    let stdout = open_output(launch, "stdout")?;
    let stderr = open_output(launch, "stderr")?;
    let null = File::open("/dev/null").map_err(|error| say("cannot open /dev/null", &error))?;
    if let Some(score) = launch.oom_score_adj {
        spawn::raise_oom_score(score).map_err(|error| say("cannot set oom_score_adj", &error))?;
    }
    if let Some((uid, gid, groups)) = &launch.credentials {
        Credentials {
            uid: *uid,
            gid: *gid,
            groups: groups.clone(),
        }
        .assume()
        .map_err(|error| format!("cannot become user {uid}: {error}"))?;
    }
    unistd::dup2_stdin(&null).map_err(|error| say("cannot set standard input", &error))?;
    unistd::dup2_stdout(&stdout).map_err(|error| say("cannot set standard output", &error))?;
    unistd::dup2_stderr(&stderr).map_err(|error| say("cannot set standard error", &error))?;
    signals::reset_all().map_err(|error| say("cannot reset signals", &error))?;
    Ok(Ready {
        program,
        argv,
        environment,
        path,
    })
}

/// Appends, because the fetcher and earlier helpers may have written there; follows no link that a
/// fetched archive may have put there.
fn open_output(launch: &Launch, name: &str) -> Result<File, String> {
    let path = Path::new(&launch.sandbox).join(name);
    let failed = |error| format!("cannot open {}: {error}", path.display());
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(&path)
        .map_err(failed)?;
    if let Some((uid, gid, _)) = &launch.credentials {
        fchown(&file, Some(*uid), Some(*gid)).map_err(failed)?;
    }
    Ok(file)
}

fn c_strings(texts: &[OsString], what: &str) -> Result<Vec<CString>, String> {
    texts
        .iter()
        .map(|text| CString::new(text.as_bytes()).map_err(|_| format!("{what} holds a zero byte")))
        .collect()
}
