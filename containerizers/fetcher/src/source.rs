//! What a URI means.

use std::path::{Path, PathBuf};

use crate::Failure;

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Plain HTTP, done here.
    Http(String),
    /// TLS and FTP, done by `curl`.
    Curl(String),
    /// A file on this host.
    File(PathBuf),
}

impl Source {
    /// Source: `Fetcher::validateUri` and `fetchSimple` of Apache Mesos.
    pub(crate) fn parse(uri: &str, frameworks_home: Option<&Path>) -> Result<Self, Failure> {
        let trimmed = uri.trim_start();
        if trimmed.is_empty() {
            return Err(Failure::new("the URI is empty"));
        }
        if let Some(bad) = trimmed
            .chars()
            .find(|c| matches!(c, '\\' | '\'') || c.is_control())
        {
            return Err(Failure::new(format!(
                "`{}` is not allowed in a URI",
                bad.escape_default()
            )));
        }
        if let Some(path) = trimmed.strip_prefix("file://") {
            return if path.starts_with('/') {
                Ok(Self::File(PathBuf::from(path)))
            } else {
                Err(Failure::new(
                    "a file URI needs an absolute path: file:///...",
                ))
            };
        }
        if let Some((scheme, _)) = trimmed.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "http" => Ok(Self::Http(trimmed.to_owned())),
                "https" | "ftp" | "ftps" => Ok(Self::Curl(trimmed.to_owned())),
                other => Err(Failure::new(format!(
                    "the scheme `{other}` is not built yet (Mesos hands it to a Hadoop client); \
                     allowed are http, https, ftp, ftps, file and paths"
                ))),
            };
        }
        if trimmed.starts_with('/') {
            return Ok(Self::File(PathBuf::from(trimmed)));
        }
        match frameworks_home {
            Some(home) => Ok(Self::File(home.join(trimmed))),
            None => Err(Failure::new(
                "a relative path needs --frameworks_home of the agent, which is not set; give an \
                 absolute path or a URL",
            )),
        }
    }
}

/// What a URI is called in the sandbox: what follows its last slash.
/// Source: `Fetcher::basename` of Apache Mesos; a query stays in the name, as there.
pub(crate) fn base_name(uri: &str) -> Result<String, Failure> {
    let path = match uri.split_once("://") {
        Some((_, rest)) => match rest.split_once('/') {
            Some((_, path)) if !path.is_empty() => path,
            _ => {
                return Err(Failure::new(
                    "the URI has no path, so the file would have no name",
                ));
            }
        },
        None => uri.trim_end_matches('/'),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || name == "." || name == ".." {
        return Err(Failure::new(
            "the URI ends without a file name; give one with output_file",
        ));
    }
    if name.len() > 255 {
        return Err(Failure::new(
            "the URI's file name is longer than 255 bytes; give one with output_file",
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_go_to_who_can_do_them() {
        let parse = |uri| Source::parse(uri, Some(Path::new("/home"))).map_err(|e| e.to_string());
        assert_eq!(parse("http://h/a"), Ok(Source::Http("http://h/a".into())));
        assert_eq!(parse("HTTPS://h/a"), Ok(Source::Curl("HTTPS://h/a".into())));
        assert_eq!(parse("ftp://h/a"), Ok(Source::Curl("ftp://h/a".into())));
        assert_eq!(parse("file:///a/b"), Ok(Source::File("/a/b".into())));
        assert_eq!(parse("/a/b"), Ok(Source::File("/a/b".into())));
        assert_eq!(parse("a/b"), Ok(Source::File("/home/a/b".into())));
        assert!(
            parse("hdfs://h/a")
                .unwrap_err()
                .contains("`hdfs` is not built yet")
        );
        assert!(parse("file://a").unwrap_err().contains("absolute"));
        assert!(parse("http://h/a'b").is_err() && parse("http://h/\n").is_err());
        assert!(parse("").is_err() && Source::parse("a", None).is_err());
    }

    #[test]
    fn names_are_what_follows_the_last_slash() {
        let name = |uri| base_name(uri).map_err(|e| e.to_string());
        assert_eq!(name("http://h/a/b.tgz"), Ok("b.tgz".into()));
        assert_eq!(name("http://h/a?x=y"), Ok("a?x=y".into()));
        assert_eq!(name("/a/b/"), Ok("b".into()));
        for bad in ["http://h", "http://h/", "http://h/a/", "/a/..", "/"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
