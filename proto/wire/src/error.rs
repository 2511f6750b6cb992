//! Why input is not a message, in the words that Apache Mesos uses for it.
use std::fmt;

/// Why bytes are not the message they were taken for. The text goes to the sender as it is.
///
/// Wording: `deserialize` in `common/http.hpp` and `stout/protobuf.hpp` of Apache Mesos 1.11;
/// the path, where the field is not at the top, is ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not JSON.
    #[error("Failed to parse body into JSON: {0}")]
    Syntax(SyntaxError),
    /// The body is JSON, but a value does not fit its field.
    #[error(
        "Failed to convert JSON into {message} protobuf: {problem}{}",
        At(path)
    )]
    Convert {
        /// Name of the message that was asked for, without its package.
        message: &'static str,
        /// What does not fit, naming the field.
        problem: String,
        /// Where it is, as in `accept.operations[0].launch`; empty at the top.
        path: String,
    },
    /// The body is JSON, but fields that must be there are not.
    #[error("Failed to convert JSON into {message} protobuf: Missing required fields: {fields}")]
    JsonMissing {
        /// Name of the message that was asked for, without its package.
        message: &'static str,
        /// What is missing.
        fields: MissingFields,
    },
    /// The body is not protobuf of this type.
    #[error("Failed to parse body into {message} protobuf")]
    Protobuf {
        /// Name of the message that was asked for, without its package.
        message: &'static str,
        /// What the protobuf parser found.
        source: MalformedProtobuf,
    },
    /// The body is protobuf, but fields that must be there are not.
    #[error("Failed to parse body into {message} protobuf: Missing required fields: {fields}")]
    ProtobufMissing {
        /// Name of the message that was asked for, without its package.
        message: &'static str,
        /// What is missing.
        fields: MissingFields,
    },
    /// Decoded, the message would take far more memory than its encoded length explains, as
    /// with very many empty elements.
    #[error("Failed to parse body into {message} protobuf: too many elements for its length")]
    TooLarge {
        /// Name of the message that was asked for, without its package.
        message: &'static str,
    },
}

/// The reason in prose why bytes are not protobuf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedProtobuf(pub(crate) String);

/// Where and why text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// An unexpected character, or the end of the text.
    #[error("syntax error at line {line} near: {near}")]
    Unexpected {
        /// Counted from 1.
        line: usize,
        /// What is left of that line, cut at 128 bytes.
        near: String,
    },
    /// Objects and arrays are nested too deep.
    #[error("nested deeper than {} levels at line {line}", crate::NESTING_LIMIT)]
    TooDeep {
        /// Counted from 1.
        line: usize,
    },
    /// The text ends, but something follows it.
    #[error("unexpected text after the JSON value at line {line}: {near}")]
    Trailing {
        /// Counted from 1.
        line: usize,
        /// What is left of that line, cut at 128 bytes.
        near: String,
    },
    /// The bytes are not text.
    #[error("not UTF-8 after {valid} bytes")]
    NotUtf8 {
        /// Length of the part that is.
        valid: usize,
    },
}

/// Paths of required fields that are missing, at most [`MissingFields::LISTED`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingFields {
    /// In the order of the message's definition, parents before children:
    /// `subscribe.framework_info.user`.
    pub paths: Vec<String>,
    /// How many more there are.
    pub unlisted: usize,
}

impl MissingFields {
    /// How many paths are kept; a body of empty elements could name millions.
    pub const LISTED: usize = 100;

    pub(crate) fn push(&mut self, path: impl FnOnce() -> String) {
        if self.paths.len() < Self::LISTED {
            self.paths.push(path());
        } else {
            self.unlisted += 1;
        }
    }
}

impl fmt::Display for MissingFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, path) in self.paths.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(path)?;
        }
        if self.unlisted > 0 {
            write!(f, " and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(['.', '[']) {
            write!(f, " (at {})", self.0)
        } else {
            Ok(())
        }
    }
}
