//! Starts the writer of a container's output, and a new one when it dies.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{File, TryLockError},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use mesos_docker_logs as logs;
use mesos_types::ContainerId;
use tokio::{process::Command, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::options::DockerOptions;

/// End of the names of position files.
const SUFFIX: &str = ".position";
/// Between a writer's death and the next one.
const RESTART: Duration = Duration::from_millis(200);
/// Between two looks at a writer that an earlier agent has started, while its container runs.
const LOOK_RUNNING: Duration = Duration::from_secs(1);
/// The same once the container has ended.
const LOOK_ENDED: Duration = Duration::from_millis(10);

/// The writer of one container.
pub(crate) struct Output {
    done: watch::Receiver<bool>,
    ended: CancellationToken,
}

impl Output {
    /// Answers when all output is in the sandbox. Call it once the container has ended.
    pub(crate) async fn complete(&self) {
        self.ended.cancel();
        let mut done = self.done.clone();
        // An error means that the supervisor is gone: nothing more will be written.
        let _gone = done.wait_for(|done| *done).await;
    }
}

/// Removes positions of containers that nobody knows any more.
pub(crate) fn forget_others<'a>(
    options: &DockerOptions,
    known: impl Iterator<Item = &'a ContainerId>,
) {
    let known: HashSet<OsString> = known.map(|id| format!("{id}{SUFFIX}").into()).collect();
    let Ok(files) = std::fs::read_dir(options.runtime_dir.join("docker")) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        if name.as_encoded_bytes().ends_with(SUFFIX.as_bytes()) && !known.contains(&name) {
            let _gone = std::fs::remove_file(file.path());
        }
    }
}

/// Where a container's position is kept.
pub(crate) fn position_file(options: &DockerOptions, container: &str) -> PathBuf {
    options
        .runtime_dir
        .join("docker")
        .join(format!("{container}{SUFFIX}"))
}

/// Starts the writer, and keeps one running until everything is copied or `stop` fires; the
/// process itself lives on then.
pub(crate) fn start(
    options: &Arc<DockerOptions>,
    arguments: logs::Arguments,
    stop: CancellationToken,
) -> Output {
    let (done, watched) = watch::channel(false);
    let ended = CancellationToken::new();
    let options = Arc::clone(options);
    let token = ended.clone();
    tokio::spawn(async move {
        supervise(&options, arguments, &token, &stop).await;
        let _nobody_waits = done.send(true);
    });
    Output {
        done: watched,
        ended,
    }
}

async fn supervise(
    options: &DockerOptions,
    mut arguments: logs::Arguments,
    ended: &CancellationToken,
    stop: &CancellationToken,
) {
    loop {
        let status = stop
            .run_until_cancelled(run_once(options, &arguments))
            .await;
        match status {
            None => return,
            Some(Ok(Some(logs::DONE))) => return,
            Some(Ok(Some(logs::UNREADABLE))) => {
                tracing::warn!(
                    container = arguments.container,
                    "the log driver of this container cannot be read; its output is not in the \
                     sandbox"
                );
                return;
            }
            Some(Ok(Some(logs::ALREADY_RUNNING))) => {
                if stop
                    .run_until_cancelled(other_ends(&arguments, ended))
                    .await
                    .is_none()
                {
                    return;
                }
            }
            // Ended and forgotten: nobody waits for the rest.
            Some(Ok(_)) if ended.is_cancelled() && !arguments.position.exists() => return,
            Some(Ok(code)) => {
                tracing::warn!(
                    container = arguments.container,
                    ?code,
                    "the writer of a container's output died; starting another"
                );
                tokio::time::sleep(RESTART).await;
            }
            Some(Err(error)) => {
                tracing::error!(
                    container = arguments.container,
                    program = %options.log_writer.display(),
                    %error,
                    "cannot start the writer of a container's output; trying again"
                );
                tokio::time::sleep(LOOK_RUNNING).await;
            }
        }
        arguments.resume = true;
    }
}

/// Runs one writer to its end; `None`: killed by a signal.
async fn run_once(
    options: &DockerOptions,
    arguments: &logs::Arguments,
) -> std::io::Result<Option<u8>> {
    let mut child = Command::new(&options.log_writer)
        .args(&options.log_writer_arguments)
        .args(arguments.to_command_line())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Not hit by what is meant for the agent, such as Ctrl-C.
        .process_group(0)
        .spawn()?;
    let status = child.wait().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()))
}

/// Waits for a writer that is not our child: it holds a lock while it runs.
async fn other_ends(arguments: &logs::Arguments, ended: &CancellationToken) {
    loop {
        let locked = File::open(&arguments.position)
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if !locked {
            return;
        }
        if ended.is_cancelled() {
            tokio::time::sleep(LOOK_ENDED).await;
        } else {
            let _awoken = tokio::time::timeout(LOOK_RUNNING, ended.cancelled()).await;
        }
    }
}
