//! The v1 calls' manners: content types, `Accept`, parsing, answering.

use http::{HeaderMap, StatusCode, header};
use mesos_wire::{Encoding, WireMessage};

use crate::{
    request::{Head, Request},
    response::Response,
};

/// Which v1 API a call belongs to; they differ in the texts of their refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /api/v1/scheduler` of the master.
    Scheduler,
    /// `POST /api/v1` of the master.
    Master,
    /// `POST /api/v1` of the agent, which knows `application/recordio` as well.
    Agent,
    /// `POST /api/v1/executor` of the agent.
    Executor,
}

const RECORDIO: &str = "application/recordio";

/// Reads the call: 400 without a content type, 415 for any other than JSON and protobuf (a charset makes
/// it another), 400 when the body does not parse.
pub fn parse_call<M: WireMessage>(
    dialect: Dialect,
    request: &Request,
) -> Result<(Encoding, M), Response> {
    let encoding = content_type(dialect, request)?;
    let call = mesos_wire::decode(encoding, &request.body)
        .map_err(|error| Response::bad_request(error.to_string()))?;
    Ok((encoding, call))
}

/// The encoding of the request's body, see [`parse_call`].
pub fn content_type(dialect: Dialect, head: &Head) -> Result<Encoding, Response> {
    let Some(value) = head.headers.get(header::CONTENT_TYPE) else {
        return Err(Response::bad_request(
            "Expecting 'Content-Type' to be present",
        ));
    };
    let value = value.to_str().unwrap_or_default();
    if let Some(encoding) = Encoding::from_content_type(value) {
        return Ok(encoding);
    }
    if dialect == Dialect::Agent && value == RECORDIO {
        return Err(Response::error(
            StatusCode::NOT_IMPLEMENTED,
            "Requests of type application/recordio are not built yet",
        ));
    }
    let more = if dialect == Dialect::Agent {
        " or application/recordio"
    } else {
        ""
    };
    Err(Response::error(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("Expecting 'Content-Type' of application/json or application/x-protobuf{more}"),
    ))
}

/// The encoding of the answer: JSON when `Accept` allows it or is absent, else protobuf, else 406.
pub fn negotiate(dialect: Dialect, head: &Head) -> Result<Encoding, Response> {
    [Encoding::Json, Encoding::Protobuf]
        .into_iter()
        .find(|encoding| accepts(&head.headers, encoding.content_type()))
        .ok_or_else(|| {
            let text = match dialect {
                Dialect::Agent => {
                    "Expecting 'Accept' to allow application/json or application/x-protobuf or application/recordio"
                }
                _ => "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
            };
            Response::error(StatusCode::NOT_ACCEPTABLE, text)
        })
}

/// 200 with a message in the encoding negotiated.
pub fn respond<M: WireMessage>(encoding: Encoding, message: &M) -> Response {
    Response::bytes(
        encoding.content_type(),
        mesos_wire::encode(encoding, message),
    )
}

/// Whether `Accept` allows a media type: the type itself decides before `type/*`, that before `*/*`;
/// `q=0` refuses.
fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if values.iter().all(|value| value.trim().is_empty()) {
        return true;
    }
    let group = format!("{}/*", media.split('/').next().unwrap_or_default());
    for candidate in [media, group.as_str(), "*/*"] {
        for range in values.iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            if !parts
                .next()
                .unwrap_or_default()
                .eq_ignore_ascii_case(candidate)
            {
                continue;
            }
            return !parts.any(|part| {
                part.strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
            });
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_prefers_the_exact_type_and_honours_q() {
        for (value, json, protobuf) in [
            ("", true, true),
            ("*/*", true, true),
            ("application/*", true, true),
            ("application/json", true, false),
            ("application/x-protobuf", false, true),
            ("application/json;q=0, */*", false, true),
            ("text/html, application/x-protobuf;q=0.5", false, true),
            ("text/html", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            assert_eq!(accepts(&headers, "application/json"), json, "{value}");
            assert_eq!(
                accepts(&headers, "application/x-protobuf"),
                protobuf,
                "{value}"
            );
        }
        assert!(accepts(&HeaderMap::new(), "application/json"));
    }
}
