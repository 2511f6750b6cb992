//! Calls to the Docker engine, each with a deadline.

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as BollardError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::Mutex,
};

/// Largest answer to an inspect call that is read, in bytes. Real ones have about 10 KiB.
const MAX_INSPECT: u64 = 8 << 20;
/// Newest API version asked for inspect: later ones drop addresses that frameworks read
/// (`NetworkSettings.IPAddress`). Engines with API 1.53 still speak it.
const INSPECT_API: (usize, usize) = (1, 44);
/// Between two attempts to reach an engine that is not there.
const RECONNECT: Duration = Duration::from_millis(100);

/// The engine did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// Nothing was sent.
    #[error(
        "the Docker engine at {} cannot be reached ({message}); start it (`systemctl start \
         docker`) or correct --docker_socket",
        socket.display()
    )]
    Unreachable {
        /// Where it should be.
        socket: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The connection broke before the answer; it may have been done.
    #[error("the connection to the Docker engine broke during `{call}`: {message}")]
    Broken {
        /// What was asked.
        call: String,
        /// What the system said.
        message: String,
    },
    /// No answer in time; it may still be done.
    #[error("the Docker engine did not answer `{call}` within {} s", after.as_secs_f64())]
    Deadline {
        /// What was asked.
        call: String,
        /// How long it had.
        after: Duration,
    },
    /// The engine said no.
    #[error("{message}")]
    Refused {
        /// HTTP status; 0 for an error in the middle of a stream.
        status: u16,
        /// The engine's words.
        message: String,
    },
}

impl EngineError {
    /// The thing asked about does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// The name is taken, or the container is not in a state for the call.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

/// A Docker engine, there or not.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    /// Made at the first call, and again after the engine went away: it may come back newer.
    client: Mutex<Option<Docker>>,
}

impl Engine {
    /// Does not connect yet.
    pub(crate) fn new(socket: &Path) -> Self {
        let text = socket.to_string_lossy();
        let socket = PathBuf::from(text.strip_prefix("unix://").unwrap_or(&text));
        Self {
            socket,
            client: Mutex::new(None),
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes one call within `deadline`, connecting first where need be.
    pub(crate) async fn call<T, F>(
        &self,
        name: &str,
        deadline: Duration,
        call: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, BollardError>>,
    {
        let work = async {
            let docker = self.client().await?;
            call(docker)
                .await
                .map_err(|error| self.translate(name, error))
        };
        let result = match tokio::time::timeout(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::Deadline {
                call: name.to_owned(),
                after: deadline,
            }),
        };
        if let Err(EngineError::Unreachable { .. } | EngineError::Broken { .. }) = &result
            && let Ok(mut client) = self.client.try_lock()
        {
            *client = None;
        }
        result
    }

    /// As `call`, but waits up to `outage` for an engine that cannot be reached.
    pub(crate) async fn call_patiently<T, F>(
        &self,
        name: &str,
        deadline: Duration,
        outage: Duration,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, BollardError>>,
    {
        let started = Instant::now();
        loop {
            match self.call(name, deadline, &call).await {
                Err(EngineError::Unreachable { .. }) if started.elapsed() < outage => {
                    tokio::time::sleep(RECONNECT).await;
                }
                result => return result,
            }
        }
    }

    /// A client that speaks a version of the API that the engine has. No deadline of its own
    /// beyond a day: each call brings one.
    pub(crate) async fn client(&self) -> Result<Docker, EngineError> {
        let mut slot = self.client.lock().await;
        if let Some(docker) = &*slot {
            return Ok(docker.clone());
        }
        let docker = Docker::connect_with_unix(
            &self.socket.to_string_lossy(),
            24 * 60 * 60,
            API_DEFAULT_VERSION,
        )
        .map_err(|error| self.translate("connect", error))?
        .with_request_modifier(url_safe_credentials)
        .negotiate_version()
        .await
        .map_err(|error| self.translate("version", error))?;
        *slot = Some(docker.clone());
        Ok(docker)
    }

    /// The engine's own JSON about a container, byte for byte.
    pub(crate) async fn inspect(
        &self,
        container: &str,
        deadline: Duration,
    ) -> Result<Vec<u8>, EngineError> {
        let name = "inspect container";
        let work = async {
            let version = self.client().await?.client_version();
            let ours = (version.major_version, version.minor_version).min(INSPECT_API);
            let path = format!("/v{}.{}/containers/{container}/json", ours.0, ours.1);
            let broken = |error: std::io::Error| EngineError::Broken {
                call: name.to_owned(),
                message: error.to_string(),
            };
            let mut stream = UnixStream::connect(&self.socket).await.map_err(|error| {
                EngineError::Unreachable {
                    socket: self.socket.clone(),
                    message: error.to_string(),
                }
            })?;
            // HTTP/1.0: the answer comes in one piece and ends with the connection.
            let request = format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n");
            stream.write_all(request.as_bytes()).await.map_err(broken)?;
            let mut answer = Vec::new();
            stream
                .take(MAX_INSPECT)
                .read_to_end(&mut answer)
                .await
                .map_err(broken)?;
            split_answer(answer).ok_or_else(|| EngineError::Broken {
                call: name.to_owned(),
                message: "the answer is not HTTP".to_owned(),
            })
        };
        let result = match tokio::time::timeout(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::Deadline {
                call: name.to_owned(),
                after: deadline,
            }),
        };
        match result {
            Ok((200, body)) => Ok(body),
            Ok((status, body)) => Err(EngineError::Refused {
                status,
                message: serde_json::from_slice::<serde_json::Value>(&body)
                    .ok()
                    .and_then(|json| Some(json.get("message")?.as_str()?.to_owned()))
                    .unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned()),
            }),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn translate(&self, call: &str, error: BollardError) -> EngineError {
        let unreachable = |message: String| EngineError::Unreachable {
            socket: self.socket.clone(),
            message,
        };
        match error {
            BollardError::DockerResponseServerError {
                status_code,
                message,
            } => EngineError::Refused {
                status: status_code,
                message: message.trim().to_owned(),
            },
            BollardError::DockerStreamError { error } => EngineError::Refused {
                status: 0,
                message: error.trim().to_owned(),
            },
            BollardError::SocketNotFoundError(_) => unreachable("no such socket".to_owned()),
            BollardError::HyperLegacyError { err } if err.is_connect() => {
                unreachable(root_cause(&err))
            }
            other => EngineError::Broken {
                call: call.to_owned(),
                message: root_cause(&other),
            },
        }
    }
}

/// Status and body of an HTTP/1.0 answer.
fn split_answer(mut answer: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(..head)?).ok()?;
    let status = status
        .strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    answer.drain(..head + 4);
    Some((status, answer))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The engine decodes `X-Registry-Auth` with the URL-safe alphabet only.
fn url_safe_credentials(mut request: bollard::BollardRequest) -> bollard::BollardRequest {
    if let Some(value) = request.headers_mut().get_mut("X-Registry-Auth")
        && let Ok(text) = value.to_str()
        && let Ok(mut safe) = text
            .replace('+', "-")
            .replace('/', "_")
            .parse::<http::HeaderValue>()
    {
        safe.set_sensitive(true);
        *value = safe;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_split_into_status_and_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{\"message\":\"x\"}".to_vec();
        assert_eq!(
            split_answer(answer),
            Some((404, b"{\"message\":\"x\"}".to_vec()))
        );
        assert_eq!(split_answer(b"SSH-2.0".to_vec()), None);
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_says_what_to_do() {
        let engine = Engine::new(Path::new("unix:///nonexistent/docker.sock"));
        let error = engine
            .call("ping", Duration::from_secs(1), |docker| async move {
                docker.ping().await
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, EngineError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("/nonexistent/docker.sock"),
            "{error}"
        );
        assert!(error.to_string().contains("--docker_socket"), "{error}");
    }
}
