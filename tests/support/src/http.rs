//! A small HTTP/1.1 client that shows what came over the wire: headers, chunks, raw bytes.
//!
//! One connection per request. A library would join chunks and repair what is odd, and both are
//! what these tests look at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body without chunk framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in the body of a {}: {}", self.status, self.text())
        })
    }
}

/// An error that a test may meet on purpose: the daemon is not there, or hung up.
pub type Result<T> = std::io::Result<T>;

/// GET `path`.
///
/// # Errors
/// When nothing answers at `address`.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    request(address, "GET", path, &[], b"")
}

/// POST a JSON body; the answer is asked for in JSON.
///
/// # Errors
/// When nothing answers at `address`.
pub fn post_json(address: SocketAddr, path: &str, body: &Value) -> Result<Response> {
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    request(address, "POST", path, &headers, body.to_string().as_bytes())
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// When nothing answers, or what comes is not HTTP.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    request_within(TIMEOUT, address, method, path, headers, body)
}

/// As [`request`], for a peer that may be frozen: no single read takes longer than `limit`.
///
/// # Errors
/// When nothing answers in time, or what comes is not HTTP.
pub fn request_within(
    limit: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let mut stream = connect_within(limit, address)?;
    stream.write_all(&head(address, method, path, headers, body.len()))?;
    stream.write_all(body)?;
    read_response(BufReader::new(stream))
}

/// Sends `bytes` as they are and reads one answer; `None` when the peer closed without any.
///
/// # Errors
/// When nothing answers, or what comes is not HTTP.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Result<Option<Response>> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    let mut reader = BufReader::new(stream);
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    read_response(reader).map(Some)
}

/// Sends `bytes` as they are and reads the head of the answer, leaving the body as a stream.
///
/// # Errors
/// When nothing answers, or what comes is not HTTP.
pub fn raw_stream(address: SocketAddr, bytes: &[u8]) -> Result<Stream> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    open_stream(stream)
}

/// POSTs a body and leaves the answer's body as a stream of chunks.
///
/// # Errors
/// When nothing answers, or what comes is not HTTP.
pub fn post_stream(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Stream> {
    post_stream_within(TIMEOUT, address, path, headers, body)
}

/// As [`post_stream`], for a peer that may be frozen: its head must come within `limit`.
///
/// # Errors
/// When nothing answers in time, or what comes is not HTTP.
pub fn post_stream_within(
    limit: Duration,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Stream> {
    let mut stream = connect_within(limit, address)?;
    stream.write_all(&head(address, "POST", path, headers, body.len()))?;
    stream.write_all(body)?;
    open_stream(stream)
}

/// As [`get`], and follows a redirect to the leading master once, as clients do.
///
/// # Errors
/// When nothing answers in time, what comes is not HTTP, or the redirect names no `//IP:PORT/PATH`.
pub fn get_following(limit: Duration, address: SocketAddr, path: &str) -> Result<Response> {
    let answer = request_within(limit, address, "GET", path, &[], b"")?;
    if answer.status != 307 {
        return Ok(answer);
    }
    let (leader, path) = location(&answer)?;
    request_within(limit, leader, "GET", &path, &[], b"")
}

/// Where a redirect leads: `Location: //IP:PORT/PATH`.
///
/// # Errors
/// When it names anything else.
pub fn location(answer: &Response) -> Result<(SocketAddr, String)> {
    let text = answer.header("location").unwrap_or_default();
    let found = text.strip_prefix("//").and_then(|rest| {
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some((address.parse().ok()?, path.to_owned()))
    });
    found.ok_or_else(|| bad(format!("not the address of a master: {text:?}")))
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    connect_within(TIMEOUT, address)
}

fn connect_within(limit: Duration, address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit.min(Duration::from_secs(10)))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn head(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if length > 0 || method == "POST" {
        text.push_str(&format!("Content-Length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn bad(text: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, text)
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    reader.take(64 * 1024).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|error| bad(error.to_string()))
}

fn read_head(reader: &mut impl BufRead) -> Result<(u16, Vec<(String, String)>)> {
    let first = read_line(reader)?;
    let status = first
        // Web servers in tasks may be older than ours.
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| first.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| bad(format!("not a status line: {first}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad(format!("not a header: {line}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
}

fn is_chunked(headers: &[(String, String)]) -> bool {
    find(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
}

/// The next chunk; `None` after the last.
fn read_chunk(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let line = read_line(reader)?;
    let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
        .map_err(|_| bad(format!("not the size of a chunk: {line}")))?;
    if size > 256 << 20 {
        return Err(bad(format!("a chunk of {size} bytes")));
    }
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk)?;
    if size == 0 {
        while !read_line(reader)?.is_empty() {}
        return Ok(None);
    }
    let end = read_line(reader)?;
    if end.is_empty() {
        Ok(Some(chunk))
    } else {
        Err(bad(format!("a chunk is followed by {end}")))
    }
}

fn read_response(mut reader: impl BufRead) -> Result<Response> {
    let (status, headers) = read_head(&mut reader)?;
    let mut body = Vec::new();
    if is_chunked(&headers) {
        while let Some(chunk) = read_chunk(&mut reader)? {
            body.extend(chunk);
        }
    } else if let Some(length) = find(&headers, "content-length") {
        let length: u64 = length
            .parse()
            .map_err(|_| bad(format!("not a length: {length}")))?;
        reader.take(length).read_to_end(&mut body)?;
        if body.len() as u64 != length {
            return Err(bad(format!("{} of {length} bytes came", body.len())));
        }
    } else if status >= 200 && status != 204 && status != 304 {
        reader.read_to_end(&mut body)?;
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// An answer whose body goes on: a thread reads its chunks.
#[derive(Debug)]
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    chunks: Receiver<Vec<u8>>,
    socket: TcpStream,
}

/// What a wait on a stream ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Something came.
    Got(T),
    /// Nothing came in time.
    Timeout,
    /// The peer ended the stream.
    Closed,
}

fn open_stream(socket: TcpStream) -> Result<Stream> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let (status, headers) = read_head(&mut reader)?;
    let (sender, chunks) = channel();
    if is_chunked(&headers) {
        socket.set_read_timeout(None)?;
        std::thread::spawn(move || {
            // Ends when the peer ends the stream or the socket is shut down by our drop.
            while let Ok(Some(chunk)) = read_chunk(&mut reader) {
                if sender.send(chunk).is_err() {
                    return;
                }
            }
        });
    } else {
        let length = find(&headers, "content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        if !body.is_empty() {
            // The receiver is in our hands, so this cannot fail.
            let _ = sender.send(body);
        }
    }
    Ok(Stream {
        status,
        headers,
        chunks,
        socket,
    })
}

impl Stream {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next chunk, or why there is none within `limit`.
    pub fn next(&self, limit: Duration) -> Next<Vec<u8>> {
        match self.chunks.recv_timeout(limit) {
            Ok(chunk) => Next::Got(chunk),
            Err(RecvTimeoutError::Timeout) => Next::Timeout,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The peer may have closed it already; either way the reading thread ends.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// The records of a stream, and the proof that each was one chunk.
#[derive(Debug)]
pub struct Records {
    stream: Stream,
}

impl Records {
    /// Reads `stream` as RecordIO.
    pub fn new(stream: Stream) -> Self {
        Self { stream }
    }

    /// The stream's head.
    pub fn head(&self) -> &Stream {
        &self.stream
    }

    /// The next record within `limit`.
    ///
    /// # Panics
    /// When a chunk is not exactly one record: clients rely on that.
    pub fn next(&mut self, limit: Duration) -> Next<Vec<u8>> {
        match self.stream.next(limit) {
            Next::Got(chunk) => Next::Got(one_record(&chunk)),
            Next::Timeout => Next::Timeout,
            Next::Closed => Next::Closed,
        }
    }

    /// The next record as JSON within `limit`.
    ///
    /// # Panics
    /// When a record is not JSON.
    pub fn next_json(&mut self, limit: Duration) -> Next<Value> {
        match self.next(limit) {
            Next::Got(record) => {
                Next::Got(serde_json::from_slice(&record).unwrap_or_else(|error| {
                    panic!("{error} in a record: {}", String::from_utf8_lossy(&record))
                }))
            }
            Next::Timeout => Next::Timeout,
            Next::Closed => Next::Closed,
        }
    }

    /// Reads on for `time` and gives all that comes.
    pub fn drain(&mut self, time: Duration) -> Vec<Value> {
        let until = Instant::now() + time;
        let mut events = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.next_json(left) {
                Next::Got(event) => events.push(event),
                Next::Timeout | Next::Closed => return events,
            }
        }
    }
}

/// `length\n` and exactly that many bytes.
fn one_record(chunk: &[u8]) -> Vec<u8> {
    let end = chunk
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or_else(|| {
            panic!(
                "a chunk without a record's length: {}",
                String::from_utf8_lossy(chunk)
            )
        });
    let (length, body) = (&chunk[..end], &chunk[end + 1..]);
    let length: usize = std::str::from_utf8(length)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not a record's length: {}", String::from_utf8_lossy(chunk)));
    assert_eq!(
        length,
        body.len(),
        "a chunk is not one record: {}",
        String::from_utf8_lossy(chunk)
    );
    body.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_in_an_answer() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let response = read_response(&bytes[..]).unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "abcde"));
    }

    #[test]
    fn a_body_cut_short_is_an_error() {
        assert!(read_response(&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"[..]).is_err());
        assert!(
            read_response(&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"[..])
                .is_err()
        );
    }

    #[test]
    fn a_record_is_its_length_and_that_many_bytes() {
        assert_eq!(one_record(b"3\n{ }"), b"{ }");
    }

    #[test]
    #[should_panic(expected = "a chunk is not one record")]
    fn two_records_in_a_chunk_are_refused() {
        one_record(b"1\na1\nb");
    }
}
