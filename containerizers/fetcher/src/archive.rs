//! Unpacks archives into a sandbox, whatever they claim about where their files belong.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{Abandoned, Failure, confine, confine::Watched};

/// Longest target of a symbolic link in a zip archive, in bytes. Source: `PATH_MAX` of Linux.
const MAX_LINK: u64 = 4096;
/// `S_IFMT` and `S_IFLNK` of stat(2), as zip archives made on Unix keep them.
const FILE_TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// What an archive is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar(Packing),
    Zip,
    /// One packed file.
    Gzip,
}

/// How a tar archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Bzip2,
    Xz,
}

/// Source: `extract` in `launcher/fetcher.cpp` of Apache Mesos.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    const ENDS: [(&str, Kind); 10] = [
        (".tar", Kind::Tar(Packing::None)),
        (".tgz", Kind::Tar(Packing::Gzip)),
        (".tar.gz", Kind::Tar(Packing::Gzip)),
        (".tbz2", Kind::Tar(Packing::Bzip2)),
        (".tar.bz2", Kind::Tar(Packing::Bzip2)),
        (".txz", Kind::Tar(Packing::Xz)),
        (".tar.xz", Kind::Tar(Packing::Xz)),
        (".zip", Kind::Zip),
        (".gz", Kind::Gzip),
        (".GZ", Kind::Gzip),
    ];
    ENDS.into_iter()
        .find(|(end, _)| name.len() > end.len() && name.ends_with(end))
        .map(|(_, k)| k)
}

/// Unpacks `file`, which is called `name`, into `sandbox`. The archive itself stays.
pub(crate) fn unpack(
    kind: Kind,
    file: &Path,
    name: &str,
    sandbox: &Path,
    abandoned: &Abandoned,
) -> Result<(), Failure> {
    let open = File::open(file).map_err(|error| Failure::io("read", file, &error))?;
    let reader = Watched {
        inner: open,
        abandoned,
    };
    let result = match kind {
        Kind::Tar(Packing::None) => untar(reader, sandbox),
        Kind::Tar(Packing::Gzip) => untar(flate2::read::MultiGzDecoder::new(reader), sandbox),
        Kind::Tar(Packing::Bzip2) => piped("bzip2", &["-dc"], file, |reader| {
            untar(
                Watched {
                    inner: reader,
                    abandoned,
                },
                sandbox,
            )
        }),
        Kind::Tar(Packing::Xz) => {
            // The header says how much memory it takes; bounded here.
            piped(
                "xz",
                &["-dc", "--memlimit-decompress=512MiB"],
                file,
                |reader| {
                    untar(
                        Watched {
                            inner: reader,
                            abandoned,
                        },
                        sandbox,
                    )
                },
            )
        }
        Kind::Zip => File::open(file).and_then(|file| unzip(file, sandbox, abandoned)),
        Kind::Gzip => {
            let inner = name.rsplit('/').next().unwrap_or(name);
            let inner = inner
                .get(..inner.len().saturating_sub(3))
                .unwrap_or_default();
            confine::place(sandbox, Path::new(inner))
                .and_then(|path| confine::create_at(&path, 0o644))
                .and_then(|mut out| {
                    let mut unpacked = flate2::read::MultiGzDecoder::new(reader);
                    confine::pump(&mut unpacked, &mut out, abandoned)
                })
        }
    };
    result.map_err(|error| Failure::new(format!("cannot unpack {name}: {}", chain(&error))))
}

/// Every cause of an error, in one line.
fn chain(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.get_ref().and_then(|inner| inner.source());
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn untar(reader: impl Read, sandbox: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(false);
    archive.set_preserve_ownerships(false);
    archive.set_unpack_xattrs(false);
    archive.set_overwrite(true);
    // Folders last, because one may be read-only for what it holds.
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        if path
            .components()
            .all(|part| part == std::path::Component::CurDir)
        {
            continue;
        }
        let what = || path.display().to_string();
        if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
            return Err(io::Error::other(format!(
                "it holds a device or pipe: {}",
                what()
            )));
        }
        let relative = path.strip_prefix("/").unwrap_or(&path);
        // Refuses `..` and links on the way; tar's own check follows.
        confine::place(sandbox, relative)
            .map_err(|error| io::Error::other(format!("{}: {error}", what())))?;
        if kind.is_dir() {
            folders.push((
                sandbox.join(relative),
                entry.header().mode().unwrap_or(0o755),
            ));
            make_folder(&sandbox.join(relative))?;
            continue;
        }
        if kind.is_hard_link() {
            hard_link(&entry, relative, sandbox)?;
            continue;
        }
        if !entry.unpack_in(sandbox)? {
            return Err(io::Error::other(format!(
                "it would leave the sandbox: {}",
                what()
            )));
        }
    }
    for (folder, mode) in folders.into_iter().rev() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode & 0o777 | 0o700))?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::other(format!(
            "{} is in the way",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(path),
        Err(error) => Err(error),
    }
}

/// A second name for a plain file of the same archive.
fn hard_link(entry: &tar::Entry<'_, impl Read>, relative: &Path, sandbox: &Path) -> io::Result<()> {
    let target = entry
        .link_name()?
        .ok_or_else(|| io::Error::other("a link without a target"))?
        .into_owned();
    let target = target.strip_prefix("/").unwrap_or(&target);
    let target = confine::place(sandbox, target)?;
    if !fs::symlink_metadata(&target)?.is_file() {
        return Err(io::Error::other(format!(
            "{} is not a file",
            target.display()
        )));
    }
    let path = sandbox.join(relative);
    // Makes sure that nothing but a file gives way.
    drop(confine::create_at(&path, 0o600)?);
    fs::remove_file(&path)?;
    fs::hard_link(target, path)
}

fn unzip(file: File, sandbox: &Path, abandoned: &Abandoned) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(file)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let Some(relative) = entry.enclosed_name() else {
            return Err(io::Error::other(format!(
                "it would leave the sandbox: {}",
                entry.name()?.escape_debug()
            )));
        };
        let path = confine::place(sandbox, &relative)?;
        let mode = entry.unix_mode();
        if entry.is_dir() {
            make_folder(&path)?;
        } else if mode.is_some_and(|mode| mode & FILE_TYPE == LINK) {
            let mut target = String::new();
            (&mut entry).take(MAX_LINK).read_to_string(&mut target)?;
            drop(confine::create_at(&path, 0o600)?);
            fs::remove_file(&path)?;
            symlink(target, &path)?;
        } else {
            let mut out = confine::create_at(&path, 0o644)?;
            confine::pump(&mut entry, &mut out, abandoned)?;
            if let Some(mode) = mode.filter(|mode| mode & 0o777 != 0) {
                out.set_permissions(fs::Permissions::from_mode(mode & 0o777 | 0o600))?;
            }
        }
    }
    Ok(())
}

/// A child that is killed when it is no longer needed.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Reads `file` through a program that unpacks it.
fn piped(
    program: &str,
    arguments: &[&str],
    file: &Path,
    read: impl FnOnce(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(File::open(file)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other(format!(
                "the agent's host has no `{program}`; install it, or use another archive"
            )),
            _ => io::Error::other(format!("cannot start {program}: {error}")),
        })?;
    let mut child = Killed(child);
    let Some(mut output) = child.0.stdout.take() else {
        return Err(io::Error::other(format!("{program} has no output")));
    };
    let unpacked = read(&mut output).and_then(|()| {
        // What follows the archive's end, so that the program can end.
        io::copy(&mut output, &mut io::sink()).map(|_| ())
    });
    drop(output);
    let words = child
        .0
        .stderr
        .take()
        .map(confine::short_text)
        .unwrap_or_default();
    let status = child.0.wait()?;
    match unpacked {
        Err(error) if words.is_empty() => Err(error),
        Ok(()) if status.success() => Ok(()),
        Ok(()) | Err(_) => Err(io::Error::other(format!("{program}: {words}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_the_end_of_the_name() {
        for (name, expected) in [
            ("a.tar", Some(Kind::Tar(Packing::None))),
            ("a.tgz", Some(Kind::Tar(Packing::Gzip))),
            ("a.tar.gz", Some(Kind::Tar(Packing::Gzip))),
            ("a.tbz2", Some(Kind::Tar(Packing::Bzip2))),
            ("a.tar.xz", Some(Kind::Tar(Packing::Xz))),
            ("a.zip", Some(Kind::Zip)),
            ("a.gz", Some(Kind::Gzip)),
            ("a.jar", None),
            (".gz", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    /// An archive of entries: (type, path, link target or content).
    fn tar_of(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            // Straight into the header: the builder refuses what this test is about.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            let file = *kind == tar::EntryType::Regular;
            if !file {
                let gnu = header.as_gnu_mut().unwrap();
                gnu.linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            let content = if file { text.as_bytes() } else { b"" };
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn check(entries: &[(tar::EntryType, &str, &str)]) -> (tempfile::TempDir, Result<(), String>) {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        fs::write(dir.path().join("precious"), "precious").unwrap();
        let file = dir.path().join("a.tar");
        fs::write(&file, tar_of(entries)).unwrap();
        let result = unpack(
            Kind::Tar(Packing::None),
            &file,
            "a.tar",
            &sandbox,
            &Abandoned::default(),
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("precious")).unwrap(),
            "precious"
        );
        assert!(!dir.path().join("escaped").exists());
        (dir, result.map_err(|error| error.to_string()))
    }

    use tar::EntryType::{Block, Directory, Link, Regular, Symlink};

    #[test]
    fn an_ordinary_archive_unpacks() {
        let (dir, result) = check(&[
            (Directory, "d/", ""),
            (Regular, "d/file", "text"),
            (Symlink, "d/link", "file"),
            (Link, "d/hard", "d/file"),
            (Regular, "new/deep/file", "more"),
        ]);
        result.unwrap();
        let sandbox = dir.path().join("sandbox");
        assert_eq!(fs::read_to_string(sandbox.join("d/link")).unwrap(), "text");
        assert_eq!(fs::read_to_string(sandbox.join("d/hard")).unwrap(), "text");
        assert_eq!(
            fs::read_to_string(sandbox.join("new/deep/file")).unwrap(),
            "more"
        );
    }

    #[test]
    fn nothing_leaves_the_sandbox() {
        for (entries, why) in [
            (&[(Regular, "../escaped", "x")][..], "leave"),
            (&[(Regular, "a/../../escaped", "x")], "leave"),
            (
                &[(Symlink, "up", ".."), (Regular, "up/escaped", "x")],
                "not a folder",
            ),
            (
                &[(Symlink, "p", "../precious"), (Link, "h", "p")],
                "not a file",
            ),
            (&[(Link, "h", "../precious")], "leave"),
            (&[(Block, "dev", "")], "device"),
            (
                &[(Symlink, "d", ".."), (Directory, "d/escaped", "")],
                "not a folder",
            ),
        ] {
            let (_dir, result) = check(entries);
            let error = result.unwrap_err();
            assert!(error.contains(why), "{entries:?}: {error}");
        }
        // A file in place of a link replaces the link, not what it points to.
        let (dir, result) = check(&[(Symlink, "p", "../precious"), (Regular, "p", "new")]);
        result.unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("sandbox/p")).unwrap(),
            "new"
        );
        // An absolute name is taken as relative, as tar(1) does.
        let (dir, result) = check(&[(Regular, "/etc/file", "x")]);
        result.unwrap();
        assert!(dir.path().join("sandbox/etc/file").exists());
    }
}
