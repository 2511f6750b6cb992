//! The configuration directories of the packages: `/etc/mesos*` and `/etc/default/mesos*`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    error::{FlagError, Source},
    load::Raw,
    table::Table,
};

/// Largest configuration file, in bytes.
pub(crate) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What the files say, in descending order of precedence, and what is worth telling the operator.
pub(crate) fn read(table: &Table, etc: &Path) -> Result<(Vec<Raw>, Vec<String>), FlagError> {
    let (mut raws, mut notices) = (Vec::new(), Vec::new());
    for name in std::iter::once(table.daemon).chain(table.old_names.iter().copied()) {
        directory(&etc.join(format!("mesos-{name}")), &mut raws)?;
    }
    for name in std::iter::once(table.daemon).chain(table.old_names.iter().copied()) {
        let path = etc.join("default").join(format!("mesos-{name}"));
        variables(table, &path, &mut raws, &mut notices)?;
    }
    variables(table, &etc.join("default/mesos"), &mut raws, &mut notices)?;
    if let Some(text) = text(&etc.join("mesos/zk"))?
        && !text.is_empty()
    {
        raws.push(Raw::new(
            table.zk,
            Some(text),
            Source::File(etc.join("mesos/zk")),
        ));
    }
    Ok((raws, notices))
}

/// `None` when there is no such file.
fn text(path: &Path) -> Result<Option<String>, FlagError> {
    match read_bounded(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(FlagError::ReadConfiguration {
            path: path.to_owned(),
            source,
        }),
    }
}

pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file is larger than {MAX_FILE} bytes"),
        ));
    }
    Ok(text)
}

/// Regular files of a directory, sorted by name, without hidden ones and editors' backups.
fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, FlagError> {
    let failed = |source| FlagError::ReadConfiguration {
        path: directory.to_owned(),
        source,
    };
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in listing {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if !name.starts_with('.')
            && !name.ends_with('~')
            && !name.contains(".dpkg-")
            && path.is_file()
        {
            files.push((name, path));
        }
    }
    files.sort();
    Ok(files)
}

/// `/etc/mesos-agent/NAME` holds the value of `--NAME`; `?NAME` stands for `--NAME` alone, `?no-NAME` for
/// `--no-NAME`. The files in `attributes/` and `resources/` are joined to one value.
fn directory(path: &Path, raws: &mut Vec<Raw>) -> Result<(), FlagError> {
    for (name, file) in entries(path)? {
        let source = Source::File(file.clone());
        if let Some(bare) = name.strip_prefix('?') {
            raws.push(Raw::new(bare, None, source));
        } else {
            raws.push(Raw::new(
                &name,
                Some(text(&file)?.unwrap_or_default()),
                source,
            ));
        }
    }
    for name in ["attributes", "resources"] {
        let mut pairs = Vec::new();
        for (key, file) in entries(&path.join(name))? {
            if let Some(value) = text(&file)?.filter(|value| !value.is_empty()) {
                pairs.push(format!("{key}:{value}"));
            }
        }
        if !pairs.is_empty() {
            raws.push(Raw::new(
                name,
                Some(pairs.join(";")),
                Source::File(path.join(name)),
            ));
        }
    }
    Ok(())
}

/// Reads assignments as a shell would, without being one: what needs a shell is named in a notice.
fn variables(
    table: &Table,
    path: &Path,
    raws: &mut Vec<Raw>,
    notices: &mut Vec<String>,
) -> Result<(), FlagError> {
    let Some(text) = text(path)? else {
        return Ok(());
    };
    let mut found: Vec<Raw> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut skip = |why: &str| {
            notices.push(format!(
                "line {} of {} is ignored: {why}",
                number + 1,
                path.display()
            ));
        };
        let assignment = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = assignment.split_once('=') else {
            skip("it is not NAME=VALUE");
            continue;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            skip("it is not NAME=VALUE");
            continue;
        }
        let Some(value) = unquote(value) else {
            skip("its value needs a shell; write it out");
            continue;
        };
        let flag = match table
            .shortcuts
            .iter()
            .find(|(shortcut, _)| *shortcut == name)
        {
            Some((_, flag)) => (*flag).to_owned(),
            None if name == "ULIMIT" => {
                if !value.is_empty() {
                    skip("set limits where the service is started");
                }
                continue;
            }
            None => match name.strip_prefix("MESOS_") {
                Some(rest) => rest.to_ascii_lowercase(),
                None => continue,
            },
        };
        // Empty shortcuts are how the stock file leaves them out; variables of no flag are for others.
        let known = table.find(&flag).is_some()
            || flag
                .strip_prefix("no_")
                .is_some_and(|flag| table.find(flag).is_some());
        if known && !value.is_empty() {
            found.push(Raw::new(&flag, Some(value), Source::File(path.to_owned())));
        }
    }
    // Of two assignments to one name the last counts.
    found.reverse();
    raws.append(&mut found);
    Ok(())
}

/// The value of an assignment: plain, or in quotes. `None` when it uses what only a shell can do.
fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    c => out.push(c),
                }
            },
            '"' => loop {
                match rest.next()? {
                    '"' => break,
                    '$' | '`' => return None,
                    '\\' => match rest.next()? {
                        c @ ('"' | '\\' | '$' | '`') => out.push(c),
                        c => out.extend(['\\', c]),
                    },
                    c => out.push(c),
                }
            },
            '\\' => out.push(rest.next()?),
            '$' | '`' | '&' | '|' | '<' | '>' | '(' | ')' => return None,
            ';' => return rest.all(char::is_whitespace).then_some(out),
            c if c.is_whitespace() => {
                let tail: String = rest.collect();
                let tail = tail.trim_start();
                return (tail.is_empty() || tail.starts_with('#')).then_some(out);
            }
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_as_a_shell_does() {
        for (text, expected) in [
            ("plain", Some("plain")),
            ("", Some("")),
            ("'a b'", Some("a b")),
            ("\"a \\\" b\"", Some("a \" b")),
            ("a\\ b", Some("a b")),
            ("x # comment", Some("x")),
            ("x;", Some("x")),
            ("zk://a:1,b:2/mesos", Some("zk://a:1,b:2/mesos")),
            ("`hostname`", None),
            ("\"$IP\"", None),
            ("'open", None),
            ("a b", None),
        ] {
            assert_eq!(unquote(text).as_deref(), expected, "{text}");
        }
    }
}
