//! GET over a Unix socket, HTTP/1.0: answers come unchunked and end with the connection.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

/// Bytes read at once; with what is buffered for writing the largest part of the memory used.
pub(crate) const CHUNK: usize = 32 << 10;
/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Longest text read from an answer that is not a log, in bytes.
const MAX_TEXT: u64 = 256 << 10;

/// What follows the head of an answer.
pub(crate) struct Body {
    stream: UnixStream,
    /// Came together with the head.
    rest: Vec<u8>,
}

impl Body {
    /// The next bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            loop {
                match self.stream.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }

    /// All of it as text, shortened where it is very long.
    pub(crate) fn text(&mut self) -> io::Result<String> {
        let mut bytes = std::mem::take(&mut self.rest);
        (&mut self.stream).take(MAX_TEXT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Asks for `path` and answers the status with the body.
pub(crate) fn get(socket: &Path, path: &str) -> io::Result<(u16, Body)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes())?;
    let mut head = Vec::with_capacity(1024);
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..n]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((status(&head)?, Body { stream, rest }));
        }
        if head.len() > MAX_HEAD {
            return Err(io::Error::other("the head of the answer is too long"));
        }
    }
}

fn status(head: &[u8]) -> io::Result<u16> {
    let text = std::str::from_utf8(head).unwrap_or_default();
    text.strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))
}
