//! Protobuf's wire format: tags, varints and fields, read and written without copying.

/// Varint.
pub(crate) const VARINT: u8 = 0;
/// Eight bytes.
pub(crate) const FIXED64: u8 = 1;
/// A length and that many bytes.
pub(crate) const BYTES: u8 = 2;
/// Start of a group, which only unknown fields can be.
const GROUP: u8 = 3;
/// End of a group.
const GROUP_END: u8 = 4;
/// Four bytes.
pub(crate) const FIXED32: u8 = 5;

/// Bytes of the length that [`open`] reserves.
const LENGTH: usize = 5;

/// One field as it stands in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Field number, at least 1.
    pub number: u32,
    /// Where the tag starts.
    pub start: usize,
    /// What follows the tag.
    pub value: Value,
}

/// A field's value; `Bytes` is a range of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(usize, usize),
    /// A whole group of an unknown field.
    Group,
}

/// Reads the fields of one message that lies in `buffer[at..end]`.
pub(crate) struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

/// The buffer does not hold fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

impl<'a> Fields<'a> {
    pub fn new(buffer: &'a [u8], start: usize, end: usize) -> Self {
        Self {
            buffer,
            at: start,
            end: end.min(buffer.len()),
        }
    }

    /// Position after the last field read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next field, or `None` at the end of the message.
    pub fn next(&mut self) -> Result<Option<Raw>, Malformed> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let (number, wire) = self.tag()?;
        let value = match wire {
            GROUP => {
                self.skip_group(number)?;
                Value::Group
            }
            wire => self.value(wire)?,
        };
        Ok(Some(Raw {
            number,
            start,
            value,
        }))
    }

    /// A varint at the present position: an element of a packed field.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.buffer.get(self.at).filter(|_| self.at < self.end) else {
                return Err(Malformed("a varint runs over the end"));
            };
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a varint has more than 64 bits"))
    }

    /// Eight bytes at the present position.
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Four bytes at the present position.
    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.buffer[self.at..self.end]
            .first_chunk::<N>()
            .ok_or(Malformed("a number runs over the end"))?;
        self.at += N;
        Ok(*bytes)
    }

    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let key = self.varint()?;
        let key = u32::try_from(key).map_err(|_| Malformed("a field number is too large"))?;
        match key >> 3 {
            0 => Err(Malformed("field number 0")),
            number => Ok((number, (key & 7) as u8)),
        }
    }

    fn value(&mut self, wire: u8) -> Result<Value, Malformed> {
        Ok(match wire {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(self.fixed64()?),
            FIXED32 => Value::Fixed32(self.fixed32()?),
            BYTES => {
                let length = self.varint()?;
                let left = self.end - self.at;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|&length| length <= left)
                    .ok_or(Malformed("a length runs over the end"))?;
                let start = self.at;
                self.at += length;
                Value::Bytes(start, self.at)
            }
            _ => return Err(Malformed("unknown wire type")),
        })
    }

    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&group) = open.last() {
            if open.len() > crate::NESTING_LIMIT {
                return Err(Malformed("groups are nested too deep"));
            }
            match self.tag()? {
                (number, GROUP) => open.push(number),
                (number, GROUP_END) if number == group => {
                    open.pop();
                }
                (_, GROUP_END) => return Err(Malformed("a group ends that did not start")),
                (_, wire) => {
                    self.value(wire)?;
                }
            }
        }
        Ok(())
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Starts a length-delimited field whose length is not known yet. The length is a varint of
/// five bytes, padded, which every protobuf reader takes; so nothing has to move later.
pub(crate) fn open(out: &mut Vec<u8>, number: u32) -> usize {
    put_tag(out, number, BYTES);
    out.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0]);
    out.len()
}

/// Ends the field that [`open`] started; `start` is what it returned.
pub(crate) fn close(out: &mut [u8], start: usize) {
    let mut length = (out.len() - start) as u64;
    for byte in &mut out[start - LENGTH..start - 1] {
        *byte = length as u8 | 0x80;
        length >>= 7;
    }
    out[start - 1] = length as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_length_reads_back() {
        for length in [0usize, 1, 127, 128, 70_000] {
            let mut out = vec![];
            let start = open(&mut out, 7);
            out.resize(start + length, 1);
            close(&mut out, start);
            let mut fields = Fields::new(&out, 0, out.len());
            let raw = fields.next().unwrap().unwrap();
            assert_eq!(raw.value, Value::Bytes(start, start + length));
            assert_eq!((raw.number, fields.next()), (7, Ok(None)));
        }
    }

    #[test]
    fn what_runs_over_the_end_is_an_error() {
        for bytes in [
            &b"\x0a\x05abc"[..],
            b"\x08\x80",
            b"\x09123",
            b"\x0d12",
            b"\x0b",
            b"\x0b\x14",
        ] {
            assert!(
                Fields::new(bytes, 0, bytes.len()).next().is_err(),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn unknown_groups_are_passed_over_up_to_a_depth() {
        let nested = |n: usize| [vec![0x0b; n], vec![0x0c; n]].concat();
        let read = |bytes: Vec<u8>| Fields::new(&bytes, 0, bytes.len()).next();
        assert!(matches!(
            read(nested(50)),
            Ok(Some(Raw {
                value: Value::Group,
                ..
            }))
        ));
        assert!(read(nested(200)).is_err());
    }
}
