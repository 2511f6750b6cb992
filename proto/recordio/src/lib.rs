//! Framing of v1 event streams: RecordIO, incremental and bounded.
//!
//! A record is its length in decimal digits, a newline, and that many bytes; nothing stands
//! between records. On the wire each record, length included, is one HTTP chunk, because some
//! clients take a chunk for a record; the reader here takes any chunks.
//!
//! Source: `stout/recordio.hpp` of Apache Mesos 1.11.

#![forbid(unsafe_code)]

use std::io::Write as _;

use bytes::{Buf as _, Bytes, BytesMut};

/// Digits a length may have; 2^64 has twenty.
const MAX_DIGITS: usize = 20;

/// Writes records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Encoder;

impl Encoder {
    /// One record, length and body in one buffer, to be sent as one chunk.
    pub fn encode(body: &[u8]) -> Bytes {
        let mut record = Vec::with_capacity(MAX_DIGITS + 1 + body.len());
        writeln!(record, "{}", body.len()).expect("a Vec takes any bytes");
        record.extend_from_slice(body);
        record.into()
    }
}

/// What is not RecordIO, or more than was agreed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The length holds something else than digits, or no digit.
    #[error("a record's length holds byte 0x{byte:02x}, not a digit")]
    NotADigit {
        /// What stands there.
        byte: u8,
    },
    /// The length goes on and on.
    #[error("a record's length has more than {MAX_DIGITS} digits")]
    LongHeader,
    /// The record is longer than the decoder's limit.
    #[error("a record of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// What the record announces, bytes; `u64::MAX` for anything above.
        length: u64,
        /// What the decoder takes, bytes.
        limit: usize,
    },
}

/// Reads records from pieces of any size.
///
/// It holds at most one record, its header and what was pushed last: call [`Decoder::next`]
/// until it answers `None` before the next [`Decoder::push`]. After an error the stream has no
/// known record boundary any more, so the decoder gives the same error for ever.
#[derive(Debug, Clone)]
pub struct Decoder {
    max_record: usize,
    buffer: BytesMut,
    /// Length of the record whose header has been read.
    expected: Option<usize>,
    failed: Option<RecordError>,
}

impl Decoder {
    /// A decoder at the start of a stream; `max_record` is the longest body it takes, in bytes.
    pub fn new(max_record: usize) -> Self {
        Self {
            max_record,
            buffer: BytesMut::new(),
            expected: None,
            failed: None,
        }
    }

    /// Takes what has come in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole record, or `None` until more has been pushed.
    ///
    /// # Errors
    /// A header that is not a decimal length of at most 20 digits, or a length over the limit.
    #[expect(
        clippy::should_implement_trait,
        reason = "None is not the end of a stream"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, RecordError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.step().inspect_err(|error| {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        })
    }

    /// Whether the stream may end here: no record has begun that is not whole.
    pub fn is_at_boundary(&self) -> bool {
        self.failed.is_none() && self.expected.is_none() && self.buffer.is_empty()
    }

    fn step(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.expected {
            Some(length) => length,
            None => match self.header()? {
                Some(length) => *self.expected.insert(length),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            // Nothing is reserved on the word of a header.
            return Ok(None);
        }
        self.expected = None;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn header(&mut self) -> Result<Option<usize>, RecordError> {
        let mut length = 0u64;
        for (digits, &byte) in self.buffer.iter().enumerate() {
            match byte {
                b'\n' if digits > 0 => {
                    let fits = usize::try_from(length)
                        .ok()
                        .filter(|&n| n <= self.max_record);
                    let too_long = RecordError::TooLong {
                        length,
                        limit: self.max_record,
                    };
                    let length = fits.ok_or(too_long)?;
                    self.buffer.advance(digits + 1);
                    return Ok(Some(length));
                }
                b'0'..=b'9' if digits < MAX_DIGITS => {
                    length = length
                        .saturating_mul(10)
                        .saturating_add(u64::from(byte - b'0'));
                }
                b'0'..=b'9' => return Err(RecordError::LongHeader),
                byte => return Err(RecordError::NotADigit { byte }),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Bytes>, RecordError> {
        let mut decoder = Decoder::new(100);
        let mut records = vec![];
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(record) = decoder.next()? {
                records.push(record);
            }
        }
        Ok(records)
    }

    #[test]
    fn a_record_is_one_buffer() {
        assert_eq!(
            Encoder::encode(b"{\"type\":\"HEARTBEAT\"}"),
            &b"20\n{\"type\":\"HEARTBEAT\"}"[..]
        );
        assert_eq!(Encoder::encode(b""), &b"0\n"[..]);
    }

    #[test]
    fn what_is_no_length_is_an_error() {
        for (bytes, error) in [
            (&b"\n"[..], RecordError::NotADigit { byte: b'\n' }),
            (b"-1\n", RecordError::NotADigit { byte: b'-' }),
            (b"12 \n", RecordError::NotADigit { byte: b' ' }),
            (b"{", RecordError::NotADigit { byte: b'{' }),
            (b"1\r\n", RecordError::NotADigit { byte: b'\r' }),
            (b"000000000000000000001", RecordError::LongHeader),
            (
                b"101\n",
                RecordError::TooLong {
                    length: 101,
                    limit: 100,
                },
            ),
            (
                b"99999999999999999999\n",
                RecordError::TooLong {
                    length: u64::MAX,
                    limit: 100,
                },
            ),
        ] {
            assert_eq!(decode(&[bytes]), Err(error));
        }
    }

    #[test]
    fn leading_zeros_are_digits() {
        assert_eq!(decode(&[b"00000000000000000001\nx"]).unwrap(), ["x"]);
    }

    #[test]
    fn an_error_stays() {
        let mut decoder = Decoder::new(10);
        decoder.push(b"x");
        let error = decoder.next().unwrap_err();
        decoder.push(b"1\na");
        assert_eq!(decoder.next(), Err(error));
        assert!(!decoder.is_at_boundary());
    }

    #[test]
    fn a_stream_may_end_only_between_records() {
        let mut decoder = Decoder::new(10);
        assert!(decoder.is_at_boundary());
        for (chunk, boundary) in [
            (&b"3"[..], false),
            (b"\n", false),
            (b"ab", false),
            (b"c", true),
        ] {
            decoder.push(chunk);
            while decoder.next().unwrap().is_some() {}
            assert_eq!(decoder.is_at_boundary(), boundary, "{chunk:?}");
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        let mut decoder = Decoder::new(1 << 30);
        decoder.push(b"1073741824\n");
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 4096);
    }

    proptest! {
        #[test]
        fn records_come_back_from_any_chunks(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..20),
            size in 1usize..50,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|r| Encoder::encode(r)).collect();
            let chunks: Vec<&[u8]> = stream.chunks(size).collect();
            prop_assert_eq!(decode(&chunks).unwrap(), records);
        }

        #[test]
        fn any_bytes_end_in_records_or_an_error(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _ = decode(&chunks);
        }

        #[test]
        fn near_misses_do_not_panic(text in "[0-9]{0,3}[\n x]?[0-9\n]{0,30}", size in 1usize..9) {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            for record in decode(&chunks).unwrap_or_default() {
                prop_assert!(record.len() <= 100);
            }
        }
    }
}
