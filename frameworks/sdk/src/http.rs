//! HTTP requests to a daemon: v1 calls, and GETs of the older endpoints.

use std::time::Duration;

use mesos_wire::{Encoding, WireMessage, decode, encode};
use reqwest::{Response, header};

use crate::Error;

/// Time for an answer to begin, unless a stream is asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes: a `/state` of 50,000 agents.
const MAX_ANSWER: usize = 1 << 30;
/// How much of an error's body is kept, in bytes.
const MAX_ERROR: usize = 4096;
/// How often one request follows a 307: each master sends it to the one it believes to lead.
const MAX_REDIRECTS: usize = 5;

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient {
    /// A new pool.
    pub fn new() -> Self {
        let inner = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::limited(MAX_REDIRECTS))
            .build()
            .expect("a client without TLS has nothing to load");
        Self { inner }
    }

    /// Posts a v1 call; answers once the status line is there. A 307 is followed.
    pub(crate) async fn post<M: WireMessage>(
        &self,
        url: &str,
        encoding: Encoding,
        call: &M,
        stream_id: Option<&str>,
    ) -> Result<Response, Error> {
        let mut request = self
            .inner
            .post(url)
            .header(header::CONTENT_TYPE, encoding.content_type())
            .header(header::ACCEPT, encoding.content_type())
            .body(encode(encoding, call));
        if let Some(id) = stream_id {
            request = request.header("Mesos-Stream-Id", id);
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, request.send())
            .await
            .map_err(|_| Error::Silent {
                url: url.to_owned(),
                seconds: ANSWER_TIMEOUT.as_secs(),
            })?
            .map_err(|source| unanswered(url, source))?;
        checked(url, answer).await
    }

    /// Posts a call whose answer is one message.
    pub(crate) async fn call<C: WireMessage, R: WireMessage>(
        &self,
        url: &str,
        encoding: Encoding,
        call: &C,
    ) -> Result<R, Error> {
        let answer = self.post(url, encoding, call, None).await?;
        let body = read_all(url, answer).await?;
        decode(encoding, &body).map_err(|e| Error::Protocol {
            url: url.to_owned(),
            problem: e.to_string(),
        })
    }

    /// Gets the body of an endpoint.
    ///
    /// # Errors
    /// No answer, or one that is not 2xx.
    pub async fn get(&self, url: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        let mut full = url.to_owned();
        for (i, (key, value)) in query.iter().enumerate() {
            full.push(if i == 0 { '?' } else { '&' });
            full.push_str(key);
            full.push('=');
            percent_encode(value, &mut full);
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.inner.get(&full).send())
            .await
            .map_err(|_| Error::Silent {
                url: url.to_owned(),
                seconds: ANSWER_TIMEOUT.as_secs(),
            })?
            .map_err(|source| unanswered(url, source))?;
        read_all(url, checked(url, answer).await?).await
    }
}

fn unanswered(url: &str, source: reqwest::Error) -> Error {
    let url = url.to_owned();
    if source.is_redirect() {
        let limit = MAX_REDIRECTS;
        return Error::Redirects { url, limit };
    }
    Error::Unreachable { url, source }
}

async fn checked(url: &str, answer: Response) -> Result<Response, Error> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let mut body = read_all(url, answer).await.unwrap_or_default();
    body.truncate(MAX_ERROR);
    let body = String::from_utf8_lossy(&body).into_owned();
    Err(Error::Refused {
        url: url.to_owned(),
        status,
        body,
    })
}

async fn read_all(url: &str, mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        let chunk = tokio::time::timeout(ANSWER_TIMEOUT, answer.chunk())
            .await
            .map_err(|_| Error::Silent {
                url: url.to_owned(),
                seconds: ANSWER_TIMEOUT.as_secs(),
            })?
            .map_err(|source| Error::Unreachable {
                url: url.to_owned(),
                source,
            })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > MAX_ANSWER {
            let problem = format!("more than {MAX_ANSWER} bytes");
            return Err(Error::Protocol {
                url: url.to_owned(),
                problem,
            });
        }
        body.extend_from_slice(&chunk);
    }
}

fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
