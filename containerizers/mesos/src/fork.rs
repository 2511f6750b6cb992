//! Asks the helper for a container, and holds the container's first process back until it is released.

use std::{io, path::Path, sync::Arc, time::Duration};

use mesos_containerizer_helper::{RELEASE, Report};
use mesos_isolator_linux::PidFd;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{container::Container, server::Server};

/// Longest report taken from the helper, bytes.
const MAX_REPORT: usize = 16 * 1024;
/// How long a helper that shall give up may take to say what it has made.
const GIVE_UP: Duration = Duration::from_secs(2);

/// A container's first process that waits for its release. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct Forked {
    socket: UnixStream,
    pub(crate) pid: u32,
}

/// Asks the helper for the container of a written launch description, and answers when all is set
/// up. The first process is handed to `container` as soon as it is known, also when this fails.
///
/// Not cancelled by dropping but by `container.destroy`: a process may exist of which only the
/// helper's next line tells.
pub(crate) async fn fork(
    server: &Server,
    launch_info: &Path,
    container: &Container,
) -> Result<Forked, String> {
    // Once more when the helper was lost before it had made anything.
    match try_fork(server, launch_info, container).await {
        Err(Refusal::Silence) if container.pid().is_none() && !container.destroy.is_cancelled() => {
            try_fork(server, launch_info, container).await
        }
        answer => answer,
    }
    .map_err(|refusal| match refusal {
        Refusal::Said(text) => text,
        Refusal::Silence => "mesos-containerizer ended without a word".to_owned(),
    })
}

/// Why there is no process.
enum Refusal {
    /// In words.
    Said(String),
    /// The helper's end was closed before it said anything that counts.
    Silence,
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

async fn try_fork(
    server: &Server,
    launch_info: &Path,
    container: &Container,
) -> Result<Forked, Refusal> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()
        .map_err(|error| format!("cannot make a socket: {error}"))?;
    let socket = ours
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(ours))
        .map_err(|error| format!("cannot use a socket: {error}"))?;
    server.ask(launch_info, theirs).await?;
    let mut talk = Talk {
        socket,
        buffer: Vec::with_capacity(256),
    };
    let answer = tokio::select! {
        answer = hear(&mut talk, container) => answer,
        () = container.destroy.cancelled() => {
            // The helper gives up when it finds our end closed.
            let _gone_already = talk.socket.shutdown().await;
            let _too_slow = tokio::time::timeout(GIVE_UP, hear(&mut talk, container)).await;
            Err(Refusal::Said("destroyed".to_owned()))
        }
    };
    answer.map(|pid| Forked {
        socket: talk.socket,
        pid,
    })
}

impl Forked {
    /// Lets the task go, and answers when it runs: the exec closes the helper's end.
    pub(crate) async fn release(mut self) -> Result<(), String> {
        let said = |error: io::Error| format!("the container's first process is gone: {error}");
        self.socket.write_all(&[RELEASE]).await.map_err(said)?;
        let mut rest = [0; 64];
        while self.socket.read(&mut rest).await.map_err(said)? > 0 {}
        Ok(())
    }
}

/// Reads reports until the first process is ready; its pid.
async fn hear(talk: &mut Talk, container: &Container) -> Result<u32, Refusal> {
    loop {
        match talk.next().await? {
            Some(Report::Forked(pid)) => adopt(container, pid)?,
            Some(Report::Ready(pid)) => {
                if container.pid().is_none() {
                    adopt(container, pid)?;
                }
                return Ok(pid);
            }
            Some(Report::Failed(text)) => {
                // The pid may still be on its way; without it the process could not be reaped.
                while container.pid().is_none() {
                    match talk.next().await {
                        Ok(Some(Report::Forked(pid))) => adopt(container, pid)?,
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
                return Err(Refusal::Said(text));
            }
            None => return Err(Refusal::Silence),
        }
    }
}

/// It is our child and not reaped yet, so the pid cannot mean another process.
fn adopt(container: &Container, pid: u32) -> Result<(), String> {
    let fd = PidFd::open(pid).map_err(|error| format!("cannot watch process {pid}: {error}"))?;
    container.set_first(pid, Arc::new(fd));
    Ok(())
}

/// The helper's lines.
struct Talk {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Talk {
    /// Cancel safe: what has been read stays in the buffer.
    async fn next(&mut self) -> Result<Option<Report>, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]);
                return Report::from_line(&line)
                    .map(Some)
                    .ok_or_else(|| format!("mesos-containerizer said `{line}`"));
            }
            if self.buffer.len() > MAX_REPORT {
                return Err("mesos-containerizer said too much".to_owned());
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(format!("mesos-containerizer is gone: {error}")),
            }
        }
    }
}
