//! Values that are not messages: text, bytes, numbers, booleans, enums.
use base64::DecodeError as Base64Error;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Problem, Reader, Result, convert, cut};
use crate::json::parse::{Next, Parser};
use crate::schema::{Cardinality, Field, Kind};
use crate::tag;

/// Standard alphabet, with padding, as the decoder of Apache Mesos demands it.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new());

impl Reader<'_> {
    /// A value that comes as a string.
    pub(super) fn text(&mut self, field: &Field, text: &str) -> Result<()> {
        match field.kind {
            Kind::String => tag::put_bytes(&mut self.out, field.number, text.as_bytes()),
            Kind::Bytes => {
                let bytes = BASE64.decode(text).map_err(|error| {
                    let why = base64_problem(text, &error);
                    let name = &field.name;
                    convert(
                        field,
                        format!("Failed to base64 decode bytes field '{name}': {why}"),
                    )
                })?;
                tag::put_bytes(&mut self.out, field.number, &bytes);
            }
            Kind::Enum(index) => match self.schema.enumeration(index).number(text) {
                Some(number) => self.varint(field, i64::from(number).cast_unsigned()),
                None if field.cardinality == Cardinality::Required => {
                    return Err(convert(
                        field,
                        format!("Failed to find enum for '{}'", cut(text)),
                    ));
                }
                None => {}
            },
            Kind::Bool => match text.trim_ascii() {
                "true" => self.varint(field, 1),
                "false" => self.varint(field, 0),
                _ => {
                    return Err(not_a(field, text, "boolean"));
                }
            },
            Kind::Message(_) => return Err(self.unexpected(field, Next::String)),
            Kind::Double | Kind::Float if infinite(text).is_some() => {
                let value = infinite(text).unwrap_or_default();
                self.double(field, value);
            }
            _ => {
                let text = text.trim_ascii();
                let mut parser = Parser::new(text.as_bytes())?;
                if parser.number().is_err() || parser.end().is_err() {
                    return Err(not_a(field, text, "number"));
                }
                self.number(field, text)?;
            }
        }
        Ok(())
    }

    /// A number, as JSON spells it. A fraction is cut off where the field has none.
    pub(super) fn number(&mut self, field: &Field, text: &str) -> Result<()> {
        let range = || {
            let name = &field.name;
            convert(
                field,
                format!("Number {} is out of range for field '{name}'", cut(text)),
            )
        };
        match field.kind {
            Kind::Double | Kind::Float => {
                let value: f64 = text.parse().map_err(|_| range())?;
                if value.is_infinite()
                    || (field.kind == Kind::Float && (value as f32).is_infinite())
                {
                    return Err(range());
                }
                self.double(field, value);
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let value = signed(text)
                    .and_then(|n| i32::try_from(n).ok())
                    .ok_or_else(range)?;
                match field.kind {
                    Kind::Sfixed32 => self.fixed32(field, value.cast_unsigned()),
                    Kind::Sint32 => self.varint(field, zigzag(i64::from(value))),
                    _ => self.varint(field, i64::from(value).cast_unsigned()),
                }
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                let value = signed(text).ok_or_else(range)?;
                match field.kind {
                    Kind::Sfixed64 => self.fixed64(field, value.cast_unsigned()),
                    Kind::Sint64 => self.varint(field, zigzag(value)),
                    _ => self.varint(field, value.cast_unsigned()),
                }
            }
            Kind::Uint32 | Kind::Fixed32 => {
                let value = unsigned(text)
                    .and_then(|n| u32::try_from(n).ok())
                    .ok_or_else(range)?;
                match field.kind {
                    Kind::Fixed32 => self.fixed32(field, value),
                    _ => self.varint(field, u64::from(value)),
                }
            }
            _ => {
                let value = unsigned(text).ok_or_else(range)?;
                match field.kind {
                    Kind::Fixed64 => self.fixed64(field, value),
                    _ => self.varint(field, value),
                }
            }
        }
        Ok(())
    }

    pub(super) fn varint(&mut self, field: &Field, value: u64) {
        tag::put_tag(&mut self.out, field.number, tag::VARINT);
        tag::put_varint(&mut self.out, value);
    }

    fn fixed64(&mut self, field: &Field, value: u64) {
        tag::put_tag(&mut self.out, field.number, tag::FIXED64);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: &Field, value: u32) {
        tag::put_tag(&mut self.out, field.number, tag::FIXED32);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn double(&mut self, field: &Field, value: f64) {
        match field.kind {
            Kind::Float => self.fixed32(field, (value as f32).to_bits()),
            _ => self.fixed64(field, value.to_bits()),
        }
    }
}

impl Kind {
    pub(super) fn is_number(self) -> bool {
        !matches!(
            self,
            Self::Bool | Self::String | Self::Bytes | Self::Enum(_) | Self::Message(_)
        )
    }
}

fn not_a(field: &Field, text: &str, kind: &str) -> Problem {
    let (text, name) = (cut(text), &field.name);
    convert(
        field,
        format!("Failed to parse '{text}' as a JSON {kind} for field '{name}'"),
    )
}

fn infinite(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The integer that JSON's number stands for, if it fits.
fn signed(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?.trunc();
        // Both bounds are exact in a double.
        (-(2f64.powi(63))..2f64.powi(63))
            .contains(&value)
            .then_some(value as i64)
    })
}

/// As [`signed`], from 0 up.
fn unsigned(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?.trunc();
        (0.0..2f64.powi(64))
            .contains(&value)
            .then_some(value as u64)
    })
}

/// What is wrong with base64, in the words of `stout/base64.hpp`.
fn base64_problem(text: &str, error: &Base64Error) -> String {
    match error {
        Base64Error::InvalidByte(offset, _) => {
            match text.get(*offset..).and_then(|t| t.chars().next()) {
                Some(char) => format!("Invalid character '{char}'"),
                None => "Invalid character".to_owned(),
            }
        }
        error => error.to_string(),
    }
}
