//! Where a master is, as an operator writes it.

use std::{fmt, fs, str::FromStr};

/// Port of a master when none is given. Source: `DEFAULT_MASTER_PORT` of Apache Mesos.
const DEFAULT_PORT: u16 = 5050;

/// Where a master is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterAddress {
    host: String,
    port: u16,
}

/// Text that does not say where a master is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `zk://...`
    #[error(
        "`{0}`: finding the master through ZooKeeper is not built yet; give HOST:PORT of a master"
    )]
    ZooKeeper(String),
    /// `https://...`
    #[error("`{0}`: TLS is not built yet; give HOST:PORT or http://HOST:PORT")]
    Tls(String),
    /// `file://...` that cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    File(String, String),
    /// Anything else.
    #[error(
        "`{0}` is not a master address; allowed: HOST, HOST:PORT, http://HOST:PORT or file:///PATH of a file with one of those"
    )]
    Malformed(String),
}

impl MasterAddress {
    /// An address from its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
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

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://") {
            let content = fs::read_to_string(path)
                .map_err(|e| AddressError::File(text.to_owned(), e.to_string()))?;
            if content.trim().starts_with("file://") {
                return Err(AddressError::Malformed(content.trim().to_owned()));
            }
            return content.parse();
        }
        if text.starts_with("zk://") {
            // The part before `@` may hold a password.
            let shown = text
                .rsplit_once('@')
                .map_or(text.to_owned(), |(_, h)| format!("zk://{h}"));
            return Err(AddressError::ZooKeeper(shown));
        }
        if text.starts_with("https://") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let rest = text
            .strip_prefix("http://")
            .unwrap_or(text)
            .trim_end_matches('/');
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| malformed())?)
            }
            Some(_) => return Err(malformed()),
            None => (rest, DEFAULT_PORT),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || port == 0 || !host.chars().all(allowed) {
            return Err(malformed());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
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
            ("[::1]:5050", "http://[::1]:5050/x"),
        ] {
            assert_eq!(text.parse::<MasterAddress>().unwrap().url("/x"), url);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "a b:1",
            "host:port",
            "host:0",
            "host:99999",
            "::1",
            "host/path",
        ] {
            let error = text.parse::<MasterAddress>().unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_repeated_in_the_refusal() {
        let error = "zk://user:secret@zk1:2181/mesos"
            .parse::<MasterAddress>()
            .unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
