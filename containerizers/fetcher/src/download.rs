//! Bytes from a source into a file, with a limit on silence and none on size.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use reqwest::redirect;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
};

use crate::{Failure, blocking, owner::Owner, source::Source};

/// Most redirections followed. Source: `curl --max-redirs`' own bound is 50; browsers stop at 20.
const MAX_REDIRECTS: usize = 20;
/// Read from a child at once.
const BLOCK: usize = 256 << 10;
/// Most that is kept of what a child says on standard error.
const MAX_WORDS: u64 = 4096;

pub(crate) fn client(stall: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // TLS is curl's: such a redirection is handed over.
    let policy = redirect::Policy::custom(|attempt| {
        if attempt.url().scheme() != "http" {
            attempt.stop()
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirections")
        } else {
            attempt.follow()
        }
    });
    let builder = reqwest::Client::builder()
        .redirect(policy)
        .pool_max_idle_per_host(0);
    if stall.is_zero() {
        builder
    } else {
        builder.connect_timeout(stall)
    }
    .build()
}

/// Fills `file`; answers how many bytes it got.
pub(crate) async fn run(
    client: &reqwest::Client,
    source: &Source,
    file: File,
    owner: Option<&Owner>,
    stall: Duration,
) -> Result<u64, Failure> {
    match source {
        Source::Http(url) => match get(client, url, stall).await? {
            Answer::Body(response) => save(response, file, stall).await,
            Answer::Elsewhere(url) => curl(&url, file, stall).await,
        },
        Source::Curl(url) => curl(url, file, stall).await,
        Source::File(path) => read_file(path, file, owner, stall).await,
    }
}

/// How many bytes a source has, where it says so before.
pub(crate) async fn length(
    client: &reqwest::Client,
    source: &Source,
    owner: Option<&Owner>,
    stall: Duration,
) -> Result<Option<u64>, Failure> {
    match source {
        Source::Http(url) => {
            let response = within(stall, client.head(url).send())
                .await?
                .map_err(|error| describe(&error))?;
            let announced = response
                .headers()
                .get(reqwest::header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(announced.filter(|_| response.status() == reqwest::StatusCode::OK))
        }
        Source::Curl(_) => Ok(None),
        // Whether another user may read it, only a try shows.
        Source::File(_) if owner.is_some() => Ok(None),
        Source::File(path) => {
            let metadata = tokio::fs::metadata(path)
                .await
                .map_err(|error| Failure::io("read", path, &error))?;
            Ok(metadata.is_file().then_some(metadata.len()))
        }
    }
}

enum Answer {
    Body(reqwest::Response),
    /// Redirected to what we do not speak.
    Elsewhere(String),
}

async fn get(client: &reqwest::Client, url: &str, stall: Duration) -> Result<Answer, Failure> {
    let response = within(stall, client.get(url).send())
        .await?
        .map_err(|error| describe(&error))?;
    let status = response.status();
    if status.is_redirection()
        && let Some(location) = response.headers().get(reqwest::header::LOCATION)
        && let Ok(location) = location.to_str()
        && location.to_ascii_lowercase().starts_with("https://")
    {
        return Ok(Answer::Elsewhere(location.to_owned()));
    }
    if status != reqwest::StatusCode::OK {
        return Err(Failure::new(format!(
            "the server answers {status}, not 200"
        )));
    }
    Ok(Answer::Body(response))
}

async fn save(
    mut response: reqwest::Response,
    file: File,
    stall: Duration,
) -> Result<u64, Failure> {
    let announced = response.content_length();
    let mut file = tokio::fs::File::from_std(file);
    let mut got = 0;
    while let Some(chunk) = within(stall, response.chunk())
        .await?
        .map_err(|error| describe(&error))?
    {
        tokio::io::AsyncWriteExt::write_all(&mut file, &chunk)
            .await
            .map_err(|e| disk(&e))?;
        got += chunk.len() as u64;
    }
    tokio::io::AsyncWriteExt::flush(&mut file)
        .await
        .map_err(|e| disk(&e))?;
    if announced.is_some_and(|announced| announced != got) {
        return Err(Failure::new(format!(
            "the connection broke after {got} of {} bytes",
            announced.unwrap_or_default()
        )));
    }
    Ok(got)
}

/// TLS and FTP by the program that everybody trusts with them.
async fn curl(url: &str, file: File, stall: Duration) -> Result<u64, Failure> {
    let mut command = Command::new("curl");
    command
        .args([
            "--fail",
            "--location",
            "--silent",
            "--show-error",
            "--max-redirs",
        ])
        .arg(MAX_REDIRECTS.to_string())
        .args([
            "--proto",
            "=http,https,ftp,ftps",
            "--proto-redir",
            "=http,https",
        ]);
    if !stall.is_zero() {
        let seconds = stall.as_secs().max(1).to_string();
        command.args(["--speed-limit", "1", "--speed-time", &seconds]);
        command.args(["--connect-timeout", &seconds]);
    }
    command.arg("--url").arg(url);
    let child = spawn(command).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Failure::new(
                "the agent's host has no `curl`, which https and ftp need; install the package \
                 curl, or use http",
            )
        } else {
            Failure::new(format!("cannot start curl: {error}"))
        }
    })?;
    // curl watches for silence itself; twice the time is for a curl that hangs.
    drain(child, "curl", file, stall * 2).await
}

/// A file of the host: with the rights of the task's user, who must not see others' files.
async fn read_file(
    path: &Path,
    file: File,
    owner: Option<&Owner>,
    stall: Duration,
) -> Result<u64, Failure> {
    let Some(owner) = owner else {
        let path = path.to_owned();
        return blocking(move || {
            let copy = || -> io::Result<u64> {
                let mut from = File::open(&path)?;
                if !from.metadata()?.is_file() {
                    return Err(io::Error::other("it is not a file"));
                }
                let mut to = file;
                let copied = io::copy(&mut from, &mut to)?;
                to.set_permissions(from.metadata()?.permissions())?;
                Ok(copied)
            };
            copy().map_err(|error| Failure::io("copy", &path, &error))
        })
        .await;
    };
    let mut command = Command::new("cat");
    command
        .arg("--")
        .arg(path)
        .current_dir("/")
        .uid(owner.uid)
        .gid(owner.gid);
    let child =
        spawn(command).map_err(|error| Failure::new(format!("cannot start cat: {error}")))?;
    drain(child, "cat", file, stall).await
}

fn spawn(mut command: Command) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .env("LC_ALL", "C")
        .spawn()
}

async fn drain(
    mut child: Child,
    name: &str,
    mut file: File,
    stall: Duration,
) -> Result<u64, Failure> {
    let (Some(mut output), Some(words)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new(format!("{name} has no output")));
    };
    let words = tokio::spawn(words_of(words));
    let mut block = vec![0; BLOCK];
    let mut got = 0;
    loop {
        let n = within(stall, output.read(&mut block))
            .await?
            .map_err(|error| Failure::new(format!("cannot read what {name} writes: {error}")))?;
        if n == 0 {
            break;
        }
        (file, block) = blocking(move || {
            file.write_all(&block[..n]).map_err(|error| disk(&error))?;
            Ok((file, block))
        })
        .await?;
        got += n as u64;
    }
    let status = within(stall, child.wait())
        .await?
        .map_err(|error| Failure::new(format!("cannot wait for {name}: {error}")))?;
    if status.success() {
        return Ok(got);
    }
    let words = words.await.unwrap_or_default();
    Err(Failure::new(format!("{name} failed ({status}): {words}")))
}

async fn words_of(mut from: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let _as_far_as_it_goes = (&mut from).take(MAX_WORDS).read_to_end(&mut bytes).await;
    // The rest is read too, so that the child does not block on it.
    let _discarded = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Fails when nothing happens for `stall`; zero waits for ever.
async fn within<T>(stall: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    if stall.is_zero() {
        return Ok(work.await);
    }
    tokio::time::timeout(stall, work).await.map_err(|_| {
        Failure::new(format!(
            "nothing came for {} s (--fetcher_stall_timeout)",
            stall.as_secs_f64()
        ))
    })
}

fn describe(error: &reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    Failure::new(text)
}

fn disk(error: &io::Error) -> Failure {
    Failure::new(format!("cannot write to the sandbox or cache: {error}"))
}
