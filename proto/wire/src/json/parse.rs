//! A pull parser for JSON text: tokens with their place, nothing built.
use std::borrow::Cow;

use crate::NESTING_LIMIT;
use crate::error::SyntaxError;

/// How much of a line an error quotes, in bytes.
const NEAR: usize = 128;

/// What comes next in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Objects and arrays that are open.
    depth: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Self {
                text,
                at: 0,
                depth: 0,
            }),
            Err(error) => Err(SyntaxError::NotUtf8 {
                valid: error.valid_up_to(),
            }),
        }
    }

    /// Checks a whole text.
    pub fn check(text: &'a [u8]) -> Result<()> {
        let mut parser = Self::new(text)?;
        parser.skip()?;
        parser.end()
    }

    /// Looks at the start of the next value.
    pub fn peek(&mut self) -> Result<Next> {
        self.space();
        match self.byte() {
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(b'"') => Ok(Next::String),
            Some(b'-' | b'0'..=b'9') => Ok(Next::Number),
            Some(b't' | b'f') => Ok(Next::Boolean),
            Some(b'n') => Ok(Next::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters an object or array that [`Self::peek`] has seen.
    pub fn enter(&mut self) -> Result<()> {
        if self.depth >= NESTING_LIMIT {
            return Err(SyntaxError::TooDeep { line: self.line() });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next name of an object, whose value is up next, or `None` at its end. `first` is
    /// whether none was read before.
    pub fn name(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(b'}', first)? {
            return Ok(None);
        }
        self.space();
        let name = self.string()?;
        self.space();
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Whether an array has another element, which is then up next.
    pub fn element(&mut self, first: bool) -> Result<bool> {
        self.more(b']', first)
    }

    fn more(&mut self, close: u8, first: bool) -> Result<bool> {
        self.space();
        if self.byte() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// A string, from its opening quote on.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        let special = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
        let bytes = self.text.as_bytes();
        let plain = bytes[start..].iter().position(special);
        self.at = plain.map_or(bytes.len(), |n| start + n);
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut owned = String::from(&self.text[start..self.at]);
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => owned.push(self.escape()?),
                Some(0x20..) => {
                    let start = self.at;
                    let plain = bytes[start..].iter().position(special);
                    self.at = plain.map_or(bytes.len(), |n| start + n);
                    owned.push_str(&self.text[start..self.at]);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let escaped = self.byte().ok_or_else(|| self.unexpected())?;
        let char = match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(char)
    }

    fn unicode(&mut self) -> Result<char> {
        let start = self.at;
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            match self.hex()? {
                second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => 0xd800,
            }
        } else {
            first
        };
        // A lone half of a surrogate pair is no character.
        char::from_u32(code).ok_or_else(|| {
            self.at = start;
            self.unexpected()
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|b| char::from(b).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.unexpected())?;
            self.at += 1;
        }
        Ok(code)
    }

    /// The text of a number.
    pub fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<()> {
        let bytes = &self.text.as_bytes()[self.at..];
        match bytes
            .iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(bytes.len())
        {
            0 => Err(self.unexpected()),
            n => {
                self.at += n;
                Ok(())
            }
        }
    }

    pub fn boolean(&mut self) -> Result<bool> {
        match self.byte() {
            Some(b't') => self.literal("true").map(|()| true),
            _ => self.literal("false").map(|()| false),
        }
    }

    pub fn null(&mut self) -> Result<()> {
        self.literal("null")
    }

    fn literal(&mut self, literal: &str) -> Result<()> {
        if !self.text.as_bytes()[self.at..].starts_with(literal.as_bytes()) {
            return Err(self.unexpected());
        }
        self.at += literal.len();
        Ok(())
    }

    /// Passes over the next value.
    pub fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            Next::Object => {
                self.enter()?;
                let mut first = true;
                while self.name(first)?.is_some() {
                    first = false;
                    self.skip()?;
                }
            }
            Next::Array => {
                self.enter()?;
                let mut first = true;
                while self.element(first)? {
                    first = false;
                    self.skip()?;
                }
            }
            Next::String => drop(self.string()?),
            Next::Number => drop(self.number()?),
            Next::Boolean => drop(self.boolean()?),
            Next::Null => self.null()?,
        }
        Ok(())
    }

    /// Errs unless only space is left.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at < self.text.len() {
            return Err(SyntaxError::Trailing {
                line: self.line(),
                near: self.near(),
            });
        }
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.byte() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> SyntaxError {
        SyntaxError::Unexpected {
            line: self.line(),
            near: self.near(),
        }
    }

    fn line(&self) -> usize {
        1 + self.text.as_bytes()[..self.at]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    }

    fn near(&self) -> String {
        let rest = self.text.as_bytes()[self.at..]
            .split(|b| *b == b'\n')
            .next()
            .unwrap_or_default();
        let rest = &rest[..rest.len().min(NEAR)];
        String::from_utf8_lossy(rest)
            .chars()
            .filter(|c| !c.is_control())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Parser::check(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_line_and_what_is_there() {
        assert_eq!(error(""), "syntax error at line 1 near: ");
        assert_eq!(error("{"), "syntax error at line 1 near: ");
        assert_eq!(error("{not json"), "syntax error at line 1 near: not json");
        assert_eq!(
            error("{\n \"a\": 1,\n \"b\" 2}\n"),
            "syntax error at line 3 near: 2}"
        );
        assert_eq!(
            error("{} x"),
            "unexpected text after the JSON value at line 1: x"
        );
        assert!(error(&"x".repeat(10_000)).len() < 200);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "tru",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "{1:2}",
            "{\"a\"}",
            "[1 2]",
            "NaN",
            "Infinity",
            "'a'",
            "{\"a\":1 \"b\":2}",
            "[}",
            "\u{feff}1",
        ] {
            assert!(Parser::check(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Parser::check(b"\"\xff\"").is_err());
    }

    #[test]
    fn what_is_json_is_taken() {
        for text in [
            "{}",
            " [ ] ",
            "-0.5e+3",
            "0",
            "\"\"",
            "{\"a\":[1,{\"b\":null}],\"c\":true}",
            "\t1\r\n",
        ] {
            assert_eq!(Parser::check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn escapes_become_characters() {
        let text = r#""a\"\\\/\b\f\n\r\tz\u00e9\ud83d\ude00é""#;
        let string = Parser::new(text.as_bytes()).unwrap().string().unwrap();
        assert_eq!(string, "a\"\\/\u{8}\u{c}\n\r\tzé😀é");
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(Parser::check(nested(NESTING_LIMIT).as_bytes()), Ok(()));
        let deep = nested(NESTING_LIMIT + 1);
        assert_eq!(
            Parser::check(deep.as_bytes()),
            Err(SyntaxError::TooDeep { line: 1 })
        );
        assert!(Parser::check("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
