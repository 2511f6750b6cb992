//! The `/files` endpoints.

use std::{fs::File, io};

use bytes::Bytes;
use http::header;
use http_body_util::StreamBody;
use tokio::io::AsyncReadExt as _;

use super::{Files, FilesError, blocking};
use crate::{
    auth::{Action, Object},
    request::Request,
    response::{Body, Response},
    router::Router,
};

/// Bytes read at once for a download.
const DOWNLOAD_CHUNK: usize = 64 * 1024;
/// Path that ACLs name for the list of attached paths.
const DEBUG: &str = "/files/debug";

/// Adds `/files/browse`, `/files/read`, `/files/download`, `/files/debug`, each with its `.json` alias.
pub fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, files: &Files) {
    let table = files.clone();
    router
        .get("/files/browse", move |_: S, request| {
            browse(table.clone(), request)
        })
        .alias("/files/browse.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get("/files/read", move |_: S, request| {
            read(table.clone(), request)
        })
        .alias("/files/read.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get("/files/download", move |_: S, request| {
            download(table.clone(), request)
        })
        .alias("/files/download.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get(DEBUG, move |_: S, request: Request| {
            std::future::ready(
                if request.authorize(Action::GetEndpoint, Object::Named(DEBUG)) {
                    Response::json(&table.attached())
                } else {
                    Response::forbidden("")
                },
            )
        })
        .alias("/files/debug.json")
        .bare()
        .ungated();
}

fn path_of(request: &Request) -> Result<String, Response> {
    match request.query("path") {
        Some(path) if !path.is_empty() => Ok(path.to_owned()),
        _ => Err(Response::bad_request("Expecting 'path=value' in query.\n")),
    }
}

async fn browse(files: Files, request: Request) -> Response {
    let path = match path_of(&request) {
        Ok(path) => path,
        Err(response) => return response,
    };
    let principal = request.head.principal;
    match blocking(move || files.list(&path, principal.as_deref())).await {
        Ok(entries) => Response::json(&entries),
        Err(error) => error.into_response(),
    }
}

fn number(request: &Request, name: &str) -> Result<Option<i64>, Response> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Response::bad_request(format!(
            "Failed to parse {name}: Failed to convert '{text}' to number.\n"
        ))
    })
}

async fn read(files: Files, request: Request) -> Response {
    let parsed = path_of(&request).and_then(|path| {
        Ok((
            path,
            number(&request, "offset")?.unwrap_or(-1),
            number(&request, "length")?,
        ))
    });
    let (path, offset, length) = match parsed {
        Ok(parsed) => parsed,
        Err(response) => return response,
    };
    if offset < -1 {
        return Response::bad_request(format!("Negative offset provided: {offset}.\n"));
    }
    if length.is_some_and(|length| length < -1) {
        return Response::bad_request(format!(
            "Negative length provided: {}.\n",
            length.unwrap_or_default()
        ));
    }
    let principal = request.head.principal;
    let start = u64::try_from(offset).ok();
    let length = length.and_then(|length| u64::try_from(length).ok());
    let data = blocking(move || {
        // Without an offset only the size is asked for.
        let (size, data) = files.read(
            &path,
            start.unwrap_or(0),
            if start.is_none() { Some(0) } else { length },
            principal.as_deref(),
        )?;
        Ok((start.unwrap_or(size), data))
    });
    match data.await {
        Ok((offset, data)) => Response::json(
            &serde_json::json!({ "data": String::from_utf8_lossy(&data), "offset": offset }),
        ),
        Err(error) => error.into_response(),
    }
}

async fn download(files: Files, request: Request) -> Response {
    let path = match path_of(&request) {
        Ok(path) => path,
        Err(response) => return response,
    };
    let name = path
        .rsplit('/')
        .find(|token| !token.is_empty())
        .unwrap_or("file")
        .to_owned();
    let principal = request.head.principal;
    match blocking(move || files.open(&path, principal.as_deref())).await {
        Ok((file, size)) => attachment(&name, file, size),
        Err(FilesError::NotFound) => Response::not_found(),
        Err(error) => error.into_response(),
    }
}

/// The first `size` bytes of a file as a download named `name`. A file that shrinks meanwhile ends the
/// connection early, which the client can tell by the length.
pub fn attachment(name: &str, file: File, size: u64) -> Response {
    let file = tokio::fs::File::from_std(file).take(size);
    let chunks = futures::stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok::<_, io::Error>(None);
        }
        let want = usize::try_from(left)
            .unwrap_or(DOWNLOAD_CHUNK)
            .min(DOWNLOAD_CHUNK);
        let mut chunk = bytes::BytesMut::with_capacity(want);
        let read = file.read_buf(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
        Ok(Some((http_body::Frame::data(chunk.freeze()), (file, left))))
    });
    let mut response = Response::bytes("application/octet-stream", Bytes::new());
    response.body = Body::Sized(size, axum::body::Body::new(StreamBody::new(chunks)));
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c));
    let shown = if plain {
        name.to_owned()
    } else {
        // Quotes, and nothing that could end them or the header.
        let safe: String = name
            .chars()
            .map(|c| {
                if c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        format!("\"{safe}\"")
    };
    response.header(
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename={shown}"),
    )
}
