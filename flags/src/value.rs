//! Reads and prints the values of flags.

use std::{net::Ipv4Addr, time::Duration};

use mesos_types::units;

use crate::table::Kind;

/// A value of a flag.
#[derive(Debug, Clone, PartialEq)]
#[allow(
    missing_docs,
    reason = "each variant holds the value of the kind of the same name"
)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Duration(Duration),
    /// In bytes.
    Bytes(u64),
    Percent(f64),
    /// Also paths, choices and addresses.
    Text(String),
    List(Vec<String>),
    Json(serde_json::Value),
}

impl Value {
    /// Reads the text of a flag. The error says what is expected.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        match kind {
            Kind::Bool => match trimmed {
                "true" | "1" | "" => Ok(Self::Bool(true)),
                "false" | "0" => Ok(Self::Bool(false)),
                _ => Err("expecting true, false, 1 or 0".to_owned()),
            },
            Kind::Int => trimmed.parse().map(Self::Int).map_err(|_| "expecting a whole number".to_owned()),
            Kind::Float => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Self::Float(number)),
                _ => Err("expecting a number such as 0.1".to_owned()),
            },
            Kind::Percent => match trimmed.strip_suffix('%').map(str::parse::<f64>) {
                Some(Ok(number)) if (0.0..=100.0).contains(&number) => Ok(Self::Percent(number)),
                _ => Err("expecting a percentage from 0% to 100%".to_owned()),
            },
            Kind::Duration => units::parse_duration(trimmed).map(Self::Duration).map_err(|error| error.to_string()),
            Kind::Bytes => units::parse_bytes(trimmed).map(Self::Bytes).map_err(|error| error.to_string()),
            Kind::Text | Kind::Path => Ok(Self::Text(trimmed.to_owned())),
            Kind::Choice(words) => {
                if words.contains(&trimmed) {
                    Ok(Self::Text(trimmed.to_owned()))
                } else {
                    Err(format!("expecting one of {}", words.join(", ")))
                }
            }
            Kind::List => list(trimmed).map(Self::List),
            Kind::Ip => match trimmed.parse::<Ipv4Addr>() {
                Ok(address) => Ok(Self::Text(address.to_string())),
                Err(_) => Err("expecting an IPv4 address such as 10.0.0.5".to_owned()),
            },
            Kind::Json => serde_json::from_str(trimmed).map(Self::Json).map_err(|error| {
                format!("{error}; expecting JSON, or the absolute path or file:// URL of a file that holds it")
            }),
            Kind::Resources => crate::detect::parse_resources(trimmed, "*")
                .map(|_| Self::Text(trimmed.to_owned()))
                .map_err(|error| error.to_string()),
            Kind::Attributes => crate::detect::parse_attributes(trimmed).map(|_| Self::Text(trimmed.to_owned())),
            Kind::Masters => trimmed
                .parse::<mesos_detector::Source>()
                .and_then(|source| source.resolve())
                .map(|_| Self::Text(trimmed.to_owned()))
                .map_err(|error| error.to_string()),
        }
    }

    /// As Mesos prints it in `/flags`.
    pub fn print(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Duration(value) => units::format_duration(*value),
            Self::Bytes(value) => units::format_bytes(*value),
            Self::Percent(value) => format!("{value}%"),
            Self::Text(value) => value.clone(),
            Self::List(words) => words.join(","),
            Self::Json(value) => value.to_string(),
        }
    }
}

fn list(text: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    for (at, word) in words.iter().enumerate() {
        if words[..at].contains(word) {
            return Err(format!("'{word}' is listed twice"));
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_printed_as_mesos_does() {
        for (kind, text, printed) in [
            (Kind::Bool, "1", "true"),
            (Kind::Bool, "", "true"),
            (Kind::Bool, "false", "false"),
            (Kind::Int, "5051", "5051"),
            (Kind::Float, "0.10", "0.1"),
            (Kind::Duration, "60secs", "1mins"),
            (Kind::Duration, "0secs", "0ns"),
            (Kind::Duration, "1weeks", "1weeks"),
            (Kind::Duration, "10days", "10days"),
            (Kind::Bytes, "2048MB", "2GB"),
            (Kind::Percent, "100%", "100%"),
            (Kind::List, "docker, mesos", "docker,mesos"),
            (Kind::Ip, "10.0.0.5", "10.0.0.5"),
            (Kind::Json, "{ \"a\" : 1 }", "{\"a\":1}"),
            (Kind::Choice(&["a", "b"]), "b", "b"),
        ] {
            assert_eq!(Value::parse(kind, text).unwrap().print(), printed, "{text}");
        }
    }

    #[test]
    fn bad_values_say_what_is_expected() {
        for (kind, text, expected) in [
            (Kind::Bool, "yes", "true"),
            (Kind::Int, "5.1", "whole number"),
            (Kind::Float, "NaN", "number"),
            (Kind::Duration, "5s", "weeks"),
            (Kind::Duration, "-5secs", "weeks"),
            (Kind::Bytes, "1.5GB", "KB"),
            (Kind::Percent, "120%", "100%"),
            (Kind::List, "a,b,a", "'a' is listed twice"),
            (Kind::Ip, "::1", "IPv4"),
            (Kind::Json, "{", "JSON"),
            (Kind::Choice(&["a", "b"]), "c", "a, b"),
        ] {
            let error = Value::parse(kind, text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
