//! Where masters are found, as `--master` and `--zk` say it.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{AddressError, MasterAddress, address::split};

/// Port of a ZooKeeper server when none is given. Source: ZooKeeper's `clientPort` of its sample configuration.
const ZOOKEEPER_PORT: u16 = 2181;
/// Longest source, in bytes, also of a file that holds one.
const MAX_TEXT: usize = 64 * 1024;
/// Most servers of one ensemble.
const MAX_SERVERS: usize = 100;

/// Where masters are found. Reads `zk://[USER:PASSWORD@]HOST1:PORT1,HOST2:PORT2/PATH`, `HOST:PORT`,
/// `master@HOST:PORT`, and `file:///PATH` or `/PATH` of a file that holds one of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At this address, always.
    Fixed(MasterAddress),
    /// The leader of this election.
    ZooKeeper(Ensemble),
    /// What this file says; it is read again whenever a new connection is made.
    File(PathBuf),
}

/// What a source says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This master.
    Fixed(MasterAddress),
    /// The leader of this election.
    ZooKeeper(Ensemble),
}

/// An election: the ZooKeeper servers that hold it and the path it is held at.
#[derive(Clone, PartialEq, Eq)]
pub struct Ensemble {
    servers: Vec<(String, u16)>,
    path: String,
    credentials: Option<Credentials>,
}

/// Who we are to ZooKeeper, by its scheme `digest`. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// Text that does not say where masters are. No text of a password is ever repeated.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error(
        "it is empty; expecting HOST:PORT, zk://HOST1:PORT1,HOST2:PORT2/PATH, or file:///PATH of a file that holds one of them"
    )]
    Empty,
    /// Too long to be one.
    #[error("it is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A part of `zk://...` is wrong.
    #[error("the {part} of zk://[USER:PASSWORD@]HOST1:PORT1,HOST2:PORT2/PATH: {problem}")]
    ZooKeeper {
        /// `servers`, `path`, `credentials`.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No path, or `/`. The text is that of Mesos.
    #[error("Expecting a (chroot) path for ZooKeeper ('/' is not supported)")]
    NoPath,
    /// A scheme of which nothing is known.
    #[error("`{0}` is not known; expecting zk://, file://, http:// or HOST:PORT")]
    Scheme(String),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file names another file.
    #[error("{} names another file; it must hold HOST:PORT or zk://...", path.display())]
    Nested {
        /// The file.
        path: PathBuf,
    },
    /// What the file holds is not a source.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: Box<SourceError>,
    },
}

impl Source {
    /// What the source says now. Reads the file if it is one, so it blocks for as long as the file
    /// system takes.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a source.
    pub fn resolve(&self) -> Result<Target, SourceError> {
        match self {
            Self::Fixed(address) => Ok(Target::Fixed(address.clone())),
            Self::ZooKeeper(ensemble) => Ok(Target::ZooKeeper(ensemble.clone())),
            Self::File(path) => {
                let text = read(path).map_err(|source| SourceError::Read {
                    path: path.clone(),
                    source,
                })?;
                let inside = text.parse().map_err(|source| SourceError::InFile {
                    path: path.clone(),
                    source: Box::new(source),
                })?;
                match inside {
                    Self::Fixed(address) => Ok(Target::Fixed(address)),
                    Self::ZooKeeper(ensemble) => Ok(Target::ZooKeeper(ensemble)),
                    Self::File(_) => Err(SourceError::Nested { path: path.clone() }),
                }
            }
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_TEXT as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

impl From<MasterAddress> for Source {
    fn from(address: MasterAddress) -> Self {
        Self::Fixed(address)
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if text.len() > MAX_TEXT {
            return Err(SourceError::TooLong);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return if path.starts_with('/') {
                Ok(Self::File(PathBuf::from(path)))
            } else {
                Err(SourceError::Scheme(text.to_owned()))
            };
        }
        if text.starts_with('/') {
            return Ok(Self::File(PathBuf::from(text)));
        }
        if text.starts_with("zk://") {
            return text.parse().map(Self::ZooKeeper);
        }
        match text.split_once("://") {
            Some((scheme, _)) if !matches!(scheme, "http" | "https") => Err(SourceError::Scheme(
                format!("{}://", scheme.chars().take(64).collect::<String>()),
            )),
            _ => Ok(Self::Fixed(text.parse()?)),
        }
    }
}

/// As it would be written, with the password hidden.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::ZooKeeper(ensemble) => ensemble.fmt(f),
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

impl Ensemble {
    /// Host names or addresses (IPv6 in brackets), with ports; at least one.
    pub fn servers(&self) -> &[(String, u16)] {
        &self.servers
    }

    /// `HOST1:PORT1,HOST2:PORT2`, as ZooKeeper's clients take it.
    pub fn connect_string(&self) -> String {
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        servers.join(",")
    }

    /// Where the election is held: absolute, not `/`, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who we are, if we say so.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl Credentials {
    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password. Never log it.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// `USER:PASSWORD`, as the scheme `digest` takes it. Never log it.
    pub fn digest(&self) -> Vec<u8> {
        format!("{}:{}", self.user, self.password).into_bytes()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zk://")?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{credentials}@")?;
        }
        write!(f, "{}{}", self.connect_string(), self.path)
    }
}

impl FromStr for Ensemble {
    type Err = SourceError;

    /// Nothing is percent-decoded. The first `/` ends servers and credentials, the last `@` before it
    /// the credentials, and the first `:` of those the user's name, as in Mesos.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = |part, problem: String| SourceError::ZooKeeper { part, problem };
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(SourceError::TooLong);
        }
        let rest = text
            .strip_prefix("zk://")
            .ok_or_else(|| wrong("scheme", "it does not begin with zk://".to_owned()))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (credentials, servers) = match authority.rsplit_once('@') {
            Some((credentials, servers)) => (Some(credentials), servers),
            None => (None, authority),
        };
        let credentials = credentials
            .map(|text| match text.split_once(':') {
                Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                    Ok(Credentials {
                        user: user.to_owned(),
                        password: password.to_owned(),
                    })
                }
                _ => Err(wrong(
                    "credentials",
                    "before the `@` there must be USER:PASSWORD, both not empty".to_owned(),
                )),
            })
            .transpose()?;
        let mut read = Vec::new();
        for server in servers.split(',') {
            if read.len() == MAX_SERVERS {
                return Err(wrong(
                    "servers",
                    format!("there are more than {MAX_SERVERS}"),
                ));
            }
            let (host, port) = split(server.trim()).map_err(|problem| {
                wrong(
                    "servers",
                    format!("`{server}`: {problem}; expecting HOST:PORT"),
                )
            })?;
            read.push((host.to_owned(), port.unwrap_or(ZOOKEEPER_PORT)));
        }
        Ok(Self {
            servers: read,
            path: checked_path(path)?,
            credentials,
        })
    }
}

fn checked_path(path: &str) -> Result<String, SourceError> {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return Err(SourceError::NoPath);
    }
    let wrong = |problem: String| SourceError::ZooKeeper {
        part: "path",
        problem: format!("`{path}`: {problem}"),
    };
    for name in trimmed.split('/').skip(1) {
        match name {
            "" => return Err(wrong("two slashes follow each other".to_owned())),
            "." | ".." => return Err(wrong(format!("`{name}` is not a name of a node"))),
            _ => {}
        }
    }
    if trimmed == "/zookeeper" || trimmed.starts_with("/zookeeper/") {
        return Err(wrong("/zookeeper is ZooKeeper's own".to_owned()));
    }
    if let Some(bad) = trimmed
        .chars()
        .find(|c| c.is_control() || c.is_whitespace())
    {
        return Err(wrong(format!("{bad:?} cannot be part of it")));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ensemble(text: &str) -> Ensemble {
        text.parse().unwrap()
    }

    #[test]
    fn all_forms_are_told_apart() {
        let kind = |text: &str| match text.parse::<Source>().unwrap() {
            Source::Fixed(address) => format!("fixed {address}"),
            Source::ZooKeeper(ensemble) => format!("zk {ensemble}"),
            Source::File(path) => format!("file {}", path.display()),
        };
        for (text, expected) in [
            ("10.0.0.2:5050", "fixed 10.0.0.2:5050"),
            ("10.0.0.2", "fixed 10.0.0.2:5050"),
            ("master@h:1", "fixed h:1"),
            ("http://h:1", "fixed h:1"),
            ("zk://a:1,b/mesos", "zk zk://a:1,b:2181/mesos"),
            ("file:///etc/mesos/zk", "file /etc/mesos/zk"),
            ("/etc/mesos/zk", "file /etc/mesos/zk"),
        ] {
            assert_eq!(kind(text), expected);
        }
    }

    #[test]
    fn an_ensemble_is_taken_apart_as_mesos_does() {
        let read = ensemble("zk://user:p@ss:word@h1:2181,[::1]:3000,h2/a/b/");
        let credentials = read.credentials().unwrap();
        assert_eq!(
            (credentials.user(), credentials.password()),
            ("user", "p@ss:word")
        );
        assert_eq!(read.connect_string(), "h1:2181,[::1]:3000,h2:2181");
        assert_eq!(read.path(), "/a/b");
    }

    #[test]
    fn a_password_is_never_shown() {
        let source: Source = "zk://user:secret@h:1/mesos".parse().unwrap();
        assert_eq!(source.to_string(), "zk://user:***@h:1/mesos");
        assert!(!format!("{source:?}").contains("secret"));
        for bad in [
            "zk://user:secret@h:x/mesos",
            "zk://user:secret@h:1",
            "zk://:secret@h:1/mesos",
            "zk://user:secret@h:1//",
        ] {
            let error = bad.parse::<Source>().unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "it is empty"),
            ("zk://", "`': the host is missing"),
            ("zk://a:1", "(chroot) path"),
            ("zk://a:1/", "'/' is not supported"),
            ("zk://a:1///", "'/' is not supported"),
            ("zk://a:1,/mesos", "host is missing"),
            ("zk://a:1,b:x/mesos", "`b:x`: `x` is not a port"),
            ("zk://a:1,b:0/mesos", "`0` is not a port"),
            ("zk://user@a:1/mesos", "USER:PASSWORD"),
            ("zk://user:@a:1/mesos", "USER:PASSWORD"),
            ("zk://a:1/me//sos", "two slashes"),
            ("zk://a:1/../x", "`..`"),
            ("zk://a:1/zookeeper/x", "ZooKeeper's own"),
            ("zk://a:1/me sos", "' '"),
            ("etcd://a:1/mesos", "`etcd://` is not known"),
            ("file://relative", "is not known"),
            ("host:99999", "`99999`"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            let part = part.replace('\'', if part.starts_with('`') { "`" } else { "'" });
            assert!(error.contains(&part), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_is_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zk");
        let source: Source = path.to_str().unwrap().parse().unwrap();
        assert!(matches!(source.resolve(), Err(SourceError::Read { .. })));
        fs::write(&path, "zk://a:1/mesos\n").unwrap();
        assert_eq!(
            source.resolve().unwrap(),
            Target::ZooKeeper(ensemble("zk://a:1/mesos"))
        );
        fs::write(&path, "b:5050").unwrap();
        assert_eq!(
            source.resolve().unwrap(),
            Target::Fixed("b:5050".parse().unwrap())
        );
        fs::write(&path, "file:///etc/mesos/zk").unwrap();
        assert!(matches!(source.resolve(), Err(SourceError::Nested { .. })));
        fs::write(&path, "zk://a:1").unwrap();
        let error = source.resolve().unwrap_err().to_string();
        assert!(error.contains("zk: Expecting a (chroot) path"), "{error}");
        fs::write(&path, "x".repeat(MAX_TEXT + 1)).unwrap();
        assert!(source.resolve().is_err());
        assert!("x".repeat(MAX_TEXT + 1).parse::<Source>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = text.parse::<Source>();
            let _ = format!("zk://{text}").parse::<Source>();
        }

        #[test]
        fn what_is_written_is_what_was_read(
            servers in proptest::collection::vec(("[a-z][a-z0-9.-]{0,20}", 1u16..), 1..6),
            path in "(/[a-zA-Z0-9_.-]{3,10}){1,4}",
        ) {
            prop_assume!(!path.starts_with("/zookeeper"));
            prop_assume!(!path.split('/').any(|name| name.chars().all(|c| c == '.') && !name.is_empty()));
            let text = format!(
                "zk://{}{path}",
                servers.iter().map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>().join(",")
            );
            let read: Ensemble = text.parse().unwrap();
            prop_assert_eq!(read.servers(), &servers[..]);
            prop_assert_eq!(read.path(), path);
            prop_assert_eq!(read.to_string(), text);
        }

        #[test]
        fn credentials_are_kept_to_the_letter(user in "[^:/@\\s]{1,20}", password in "[^/\\s]{1,20}") {
            let read: Ensemble = format!("zk://{user}:{password}@h:1/mesos").parse().unwrap();
            let credentials = read.credentials().unwrap();
            prop_assert_eq!(credentials.user(), user);
            prop_assert_eq!(credentials.password(), password);
        }
    }
}
