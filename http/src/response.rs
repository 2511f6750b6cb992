//! What handlers answer with. JSONP, gzip and header details are added when it leaves the router.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// Media type of every error text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// Media type of JSON, without a charset: some clients compare it exactly.
pub(crate) const JSON: &str = "application/json";

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// Sent with its length; gzipped when the client allows it and it is long enough.
    Full(Bytes),
    /// Sent as it comes, chunked, never compressed.
    Stream(axum::body::Body),
    /// Sent as it comes with this length, never compressed.
    Sized(u64, axum::body::Body),
}

/// Bytes of a body that are handed to the connection at a time.
const PIECE: usize = 256 * 1024;

/// A big body in pieces. Between two of them the others on this thread have their turn: written in one go,
/// the answers to a crowd that reads the whole state would hold up everything else for milliseconds each.
struct Pieces {
    rest: Bytes,
    others_next: bool,
}

/// The body of the bytes, in pieces when there are many.
pub(crate) fn whole(bytes: Bytes) -> axum::body::Body {
    if bytes.len() <= PIECE {
        return axum::body::Body::from(bytes);
    }
    axum::body::Body::new(Pieces {
        rest: bytes,
        others_next: false,
    })
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.others_next) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.others_next = true;
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A response of a handler.
#[derive(Debug)]
pub struct Response {
    /// Status line.
    pub status: StatusCode,
    /// Headers; `Date`, `Content-Length` and `Content-Encoding` are added later.
    pub headers: Box<HeaderMap>,
    /// Body.
    pub body: Body,
    /// Whether `?jsonp=NAME` wraps the body.
    pub(crate) jsonp: bool,
}

impl Response {
    /// An empty response.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Box::default(),
            body: Body::Full(Bytes::new()),
            jsonp: false,
        }
    }

    /// 200 without a body.
    pub fn ok() -> Self {
        Self::new(StatusCode::OK)
    }

    /// 202 without a body: the answer to scheduler and executor calls.
    pub fn accepted() -> Self {
        Self::new(StatusCode::ACCEPTED)
    }

    /// 200 with compact JSON; `?jsonp=` is honoured.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::json_bytes(bytes),
            Err(error) => {
                tracing::error!(%error, "cannot print an answer as JSON");
                Self::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The answer cannot be printed as JSON",
                )
            }
        }
    }

    /// 200 with JSON that is printed already; `?jsonp=` is honoured.
    pub fn json_bytes(bytes: impl Into<Bytes>) -> Self {
        let mut response = Self::bytes(JSON, bytes);
        response.jsonp = true;
        response
    }

    /// 200 with a body of the media type given.
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let mut response = Self::ok();
        response
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.body = Body::Full(bytes.into());
        response
    }

    /// 200 with an event stream, see [`record_stream`](crate::record_stream).
    pub fn stream(content_type: &'static str, body: Body) -> Self {
        let mut response = Self::ok();
        response
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.body = body;
        response
    }

    /// An error text, sent as it is (no newline is added).
    pub fn error(status: StatusCode, text: impl Into<String>) -> Self {
        let mut response = Self::bytes(TEXT, text.into());
        response.status = status;
        response
    }

    /// An error whose text is its own status line, such as `404 Not Found.`.
    pub fn status_text(status: StatusCode) -> Self {
        Self::error(
            status,
            format!(
                "{} {}.",
                status.as_u16(),
                status.canonical_reason().unwrap_or("Unknown")
            ),
        )
    }

    /// 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, text)
    }

    /// 403.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::error(StatusCode::FORBIDDEN, text)
    }

    /// 404 `404 Not Found.`
    pub fn not_found() -> Self {
        Self::status_text(StatusCode::NOT_FOUND)
    }

    /// 409.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::error(StatusCode::CONFLICT, text)
    }

    /// 501 `501 Not Implemented.`
    pub fn not_implemented() -> Self {
        Self::status_text(StatusCode::NOT_IMPLEMENTED)
    }

    /// 503.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// 405 for a route that takes only `allowed`.
    pub fn method_not_allowed(allowed: &[http::Method], received: &http::Method) -> Self {
        let list = |quote: &str| {
            let quoted: Vec<String> = allowed
                .iter()
                .map(|m| format!("{quote}{m}{quote}"))
                .collect();
            quoted.join(", ")
        };
        let text = format!(
            "405 Method Not Allowed. Expecting one of {{ {} }}, but received '{received}'.",
            list("'")
        );
        Self::error(StatusCode::METHOD_NOT_ALLOWED, text).header(header::ALLOW, &list(""))
    }

    /// 307 to `location`, which should be scheme-relative: `//host:port/path`.
    pub fn redirect(location: &str) -> Self {
        Self::new(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, location)
    }

    /// Sets a header. A value that cannot stand in a header is left out with a warning.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(name, value);
            }
            Err(_) => {
                tracing::warn!(%name, value, "a header value with bytes that a header cannot hold is left out")
            }
        }
        self
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_big_body_comes_whole_whatever_its_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            let bytes: Bytes = (0..length).map(|n| (n % 251) as u8).collect();
            let body = whole(bytes.clone());
            let told = http_body::Body::size_hint(&body).exact();
            assert_eq!(told, Some(length as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), bytes);
        }
    }
}
