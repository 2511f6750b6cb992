//! Just enough HTTP to take a recorded request or answer apart.

/// A recorded message.
pub struct Recorded {
    /// Request line or status line.
    pub line: String,
    headers: Vec<(String, String)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
    /// The chunks of a chunked body.
    pub chunks: Vec<Vec<u8>>,
}

impl Recorded {
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a blank line");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a first line").to_owned();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut recorded = Self {
            line,
            headers,
            body: bytes[end + 4..].to_vec(),
            chunks: Vec::new(),
        };
        if recorded.header("transfer-encoding") == Some("chunked") {
            recorded.chunks = chunks(&recorded.body);
            recorded.body = recorded.chunks.concat();
        }
        recorded
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn is_ok(&self) -> bool {
        self.line.starts_with("HTTP/1.1 2")
    }
}

/// The whole chunks; a recording may stop in the middle of one.
fn chunks(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = vec![];
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).expect("a chunk's length");
        let length = usize::from_str_radix(length, 16).expect("a chunk's length");
        let rest = &body[end + 2..];
        if length == 0 || rest.len() < length + 2 {
            break;
        }
        chunks.push(rest[..length].to_vec());
        body = &rest[length + 2..];
    }
    chunks
}
