//! HTTP/1.1 over one connection that is kept, as a poller has it.
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A client with one connection.
pub struct Client {
    requests: http1::SendRequest<Full<Bytes>>,
    host: String,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: usize,
    pub took: Duration,
}

impl Client {
    pub async fn connect(master: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(master).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = http1::Builder::new()
            .max_buf_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        Ok(Self {
            requests,
            host: master.to_owned(),
        })
    }

    /// `/path` is a GET, anything else an operator call of that type.
    pub async fn ask(
        &mut self,
        what: &str,
        accept: &str,
        matching: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .header("Host", &self.host)
            .header("Accept", accept);
        if let Some(tag) = matching {
            request = request.header("If-None-Match", tag);
        }
        let request = if what.starts_with('/') {
            request.uri(what).body(Full::default())?
        } else {
            request
                .method("POST")
                .uri("/api/v1")
                .header("Content-Type", "application/json")
                .body(Full::from(format!(r#"{{"type":"{what}"}}"#)))?
        };
        let begun = Instant::now();
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes().len();
        let took = begun.elapsed();
        ensure!(
            head.status.is_success() || head.status == StatusCode::NOT_MODIFIED,
            "{what}: {}",
            head.status
        );
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            bytes,
            took,
        })
    }
}
