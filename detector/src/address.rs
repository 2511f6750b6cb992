//! The address of one daemon, as an operator writes it.

use std::{fmt, str::FromStr};

/// Port of a master when none is given. Source: `DEFAULT_MASTER_PORT` of Apache Mesos.
const DEFAULT_PORT: u16 = 5050;
/// Longest host name, in bytes. Source: RFC 1035.
const MAX_HOST: usize = 253;

/// Where a master listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterAddress {
    host: String,
    port: u16,
}

/// Text that is not the address of a master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `https://...`
    #[error("`{0}`: TLS is not built yet; give HOST:PORT or http://HOST:PORT")]
    Tls(String),
    /// Anything else.
    #[error(
        "`{text}` is not the address of a master: {problem}; expecting HOST:PORT, such as 10.0.0.2:5050"
    )]
    Malformed {
        /// As given.
        text: String,
        /// Which part of it is wrong.
        problem: String,
    },
}

impl MasterAddress {
    /// An address from its parts. An IPv6 address may stand in brackets or not.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host
        };
        Self { host, port }
    }

    /// Host name or address; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path on this master.
    pub fn url(&self, path: &str) -> String {
        format!("http://{self}{path}")
    }
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for MasterAddress {
    type Err = AddressError;

    /// Reads `HOST`, `HOST:PORT`, `http://HOST:PORT`, and `master@HOST:PORT`, as libprocess writes it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.starts_with("https://") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let malformed = |problem: String| AddressError::Malformed {
            text: text.chars().take(256).collect(),
            problem,
        };
        let rest = match text.strip_prefix("http://") {
            Some(rest) => rest.strip_suffix('/').unwrap_or(rest),
            None => text.strip_prefix("master@").unwrap_or(text),
        };
        let (host, port) = split(rest).map_err(malformed)?;
        let port = port.unwrap_or(DEFAULT_PORT);
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Splits `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`. The error names the part that is wrong.
pub(crate) fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if text.starts_with('[') {
        let end = text
            .find(']')
            .ok_or_else(|| "the bracket of the address is not closed".to_owned())?;
        let (host, rest) = text.split_at(end + 1);
        let inner = &host[1..end];
        if inner.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("`{inner}` is not an IPv6 address"));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(format!("`{rest}` after the address is not a port")),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if host.len() > MAX_HOST {
        return Err(format!("the host is longer than {MAX_HOST} bytes"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !host.starts_with('[') && !host.chars().all(allowed) {
        return Err(format!("`{host}` is not a host name"));
    }
    let port = port
        .map(|port| match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            _ => Err(format!("`{port}` is not a port from 1 to 65535")),
        })
        .transpose()?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_an_operator_writes_are_understood() {
        for (text, url) in [
            ("10.0.0.1", "http://10.0.0.1:5050/x"),
            ("node1:15050", "http://node1:15050/x"),
            ("http://node1:5050/", "http://node1:5050/x"),
            ("master@10.0.0.2:5050", "http://10.0.0.2:5050/x"),
            ("[::1]:5051", "http://[::1]:5051/x"),
            (" node1:1\n", "http://node1:1/x"),
        ] {
            assert_eq!(text.parse::<MasterAddress>().unwrap().url("/x"), url);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_part_that_is_wrong() {
        for (text, part) in [
            ("", "host is missing"),
            (":5050", "host is missing"),
            ("a b:1", "`a b`"),
            ("host:port", "`port`"),
            ("host:", "``"),
            ("host:0", "`0`"),
            ("host:+1", "`+1`"),
            ("host:99999", "`99999`"),
            ("::1", "host is missing"),
            ("[::1", "not closed"),
            ("[x]:1", "`x`"),
            ("[::1]5050", "`5050`"),
            ("host/path", "`host/path`"),
            ("master@a@b:1", "`a@b`"),
        ] {
            let error = text.parse::<MasterAddress>().unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
            assert!(error.contains(part), "{text}: {error}");
        }
        let error = "https://a:1".parse::<MasterAddress>().unwrap_err();
        assert!(error.to_string().contains("TLS"));
    }
}
