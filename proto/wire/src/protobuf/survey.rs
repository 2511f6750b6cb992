//! One pass over protobuf bytes that finds out what prost does not check, and the repair.
use crate::NESTING_LIMIT;
use crate::schema::{Field, Kind, Message, Schema};
use crate::tag::{self, Fields, Malformed, Value};

/// What one pass over the bytes finds out.
pub(super) struct Survey<'a> {
    schema: &'static Schema,
    bytes: &'a [u8],
    /// Estimated bytes of the decoded structs.
    pub memory: usize,
    /// A required field is missing somewhere.
    pub incomplete: bool,
    /// There are unknown enum values, or a singular message comes in several parts.
    pub unclean: bool,
}

impl<'a> Survey<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            schema: Schema::get(),
            bytes,
            memory: 0,
            incomplete: false,
            unclean: false,
        }
    }

    pub fn message(
        &mut self,
        message: &Message,
        start: usize,
        end: usize,
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > NESTING_LIMIT {
            return Err(Malformed("messages are nested too deep"));
        }
        let mut required = 0u64;
        let mut parts = 0u128;
        let mut fields = Fields::new(self.bytes, start, end);
        while let Some(raw) = fields.next()? {
            let Some(index) = message.index_of(raw.number) else {
                continue;
            };
            let field = &message.fields[index];
            match (field.kind, raw.value) {
                (Kind::Message(child), Value::Bytes(from, to)) => {
                    let child = self.schema.message(child);
                    if field.on_heap {
                        self.memory = self.memory.saturating_add(child.size);
                    }
                    if !field.is_plural() {
                        let bit = 1u128.checked_shl(index as u32).unwrap_or_default();
                        self.unclean |= parts & bit != 0;
                        parts |= bit;
                    }
                    self.message(child, from, to, depth + 1)?;
                }
                (Kind::Enum(kind), Value::Varint(number)) => {
                    self.unclean |= self.schema.enumeration(kind).name(number as i32).is_none();
                }
                (Kind::Enum(_), Value::Bytes(from, to)) => {
                    self.unclean |= !self.knows_all(field, from, to)?;
                }
                _ => {}
            }
            required |= field.required_bit;
        }
        self.incomplete |= required != message.required_mask();
        Ok(())
    }

    /// Whether each value of a packed enum field has a name.
    fn knows_all(&self, field: &Field, start: usize, end: usize) -> Result<bool, Malformed> {
        let Kind::Enum(kind) = field.kind else {
            return Ok(true);
        };
        let mut values = Fields::new(self.bytes, start, end);
        let mut known = true;
        while values.position() < end {
            let number = values.varint()?;
            known &= self.schema.enumeration(kind).name(number as i32).is_some();
        }
        Ok(known)
    }
}

/// Appends `bytes` to `out` with the parts of each singular message put together and without
/// unknown enum values. Only for bytes that a [`Survey`] has passed, so depth is bounded.
pub(super) fn canonical(
    message: &Message,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let schema = Schema::get();
    let mut parts: Vec<(usize, Vec<u8>)> = vec![];
    let mut fields = Fields::new(bytes, 0, bytes.len());
    while let Some(raw) = fields.next()? {
        let whole = &bytes[raw.start..fields.position()];
        let index = message.index_of(raw.number);
        let field = index.map(|index| &message.fields[index]);
        match (field.map(|field| field.kind), raw.value) {
            (Some(Kind::Message(child)), Value::Bytes(from, to)) => {
                let content = &bytes[from..to];
                if field.is_some_and(Field::is_plural) {
                    let start = tag::open(out, raw.number);
                    canonical(schema.message(child), content, out)?;
                    tag::close(out, start);
                } else if let Some((_, part)) = parts.iter_mut().find(|(i, _)| Some(*i) == index) {
                    part.extend_from_slice(content);
                } else {
                    parts.extend(index.map(|index| (index, content.to_vec())));
                }
            }
            (Some(Kind::Enum(kind)), Value::Varint(number)) => {
                if schema.enumeration(kind).name(number as i32).is_some() {
                    out.extend_from_slice(whole);
                }
            }
            (Some(Kind::Enum(kind)), Value::Bytes(from, to)) => {
                let mut values = Fields::new(bytes, from, to);
                while values.position() < to {
                    let number = values.varint()?;
                    if schema.enumeration(kind).name(number as i32).is_some() {
                        tag::put_tag(out, raw.number, tag::VARINT);
                        tag::put_varint(out, number);
                    }
                }
            }
            _ => out.extend_from_slice(whole),
        }
    }
    for (index, content) in parts {
        let field = &message.fields[index];
        if let Kind::Message(child) = field.kind {
            let start = tag::open(out, field.number);
            canonical(schema.message(child), &content, out)?;
            tag::close(out, start);
        }
    }
    Ok(())
}
