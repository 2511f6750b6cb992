//! Paths that our documents name, and whether they exist.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders whose name begins a path of the repository, when it stands in backquotes.
const TOP: &[&str] = &[
    "proto",
    "isolators",
    "containerizers",
    "agent",
    "master",
    "frameworks",
    "cli",
    "flags",
    "http",
    "store",
    "tests",
    "scripts",
    "docs",
    ".ci",
];

/// What may follow `master/` and `agent/` in a path; else it is a metric or an endpoint.
const IN_DAEMON: &[&str] = &["src", "bin", "allocator", "tests", "benches", "Cargo.toml"];

/// Every Markdown file at the root and below `docs`.
///
/// # Errors
/// When a folder cannot be read.
pub fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Paths of the repository that `text` names: in backquotes, or as the target of a link
/// (relative to `folder`, the document's own).
pub fn paths(text: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (index, piece) in text.split('`').enumerate() {
        if index % 2 == 1 && is_path(piece) {
            found.extend(expand(piece).iter().map(PathBuf::from));
        }
    }
    for piece in text.split("](").skip(1) {
        let target = piece.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains(':') {
            found.push(folder.join(target));
        }
    }
    found
}

fn is_path(token: &str) -> bool {
    let mut parts = token.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./{},*".contains(c);
    let Some(second) = second else { return false };
    TOP.contains(&first)
        && token.chars().all(plain)
        && (!["master", "agent"].contains(&first) || IN_DAEMON.contains(&second))
}

/// `a/{b,c}` is `a/b` and `a/c`; `a/*` is `a`.
fn expand(token: &str) -> Vec<String> {
    let token = token.trim_end_matches('*').trim_end_matches('/');
    match (token.find('{'), token.find('}')) {
        (Some(open), Some(close)) if open < close => token[open + 1..close]
            .split(',')
            .flat_map(|choice| {
                expand(&format!(
                    "{}{choice}{}",
                    &token[..open],
                    &token[close + 1..]
                ))
            })
            .collect(),
        _ => vec![token.to_owned()],
    }
}

/// Paths in the documents that do not exist, each with its document.
///
/// # Errors
/// When a document cannot be read.
pub fn missing(root: &Path) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for document in documents(root)? {
        let text = fs::read_to_string(&document)?;
        let folder = document.parent().unwrap_or(root);
        let folder = folder.strip_prefix(root).unwrap_or(Path::new(""));
        for path in paths(&text, folder) {
            if !root.join(&path).exists() {
                missing.push(format!("{} names {}", document.display(), path.display()));
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata;

    #[test]
    fn what_the_documents_name_exists() {
        let found = missing(&metadata::root()).unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn paths_are_told_from_metrics_flags_and_endpoints() {
        let text = "`proto/{wire,types}`, `scripts/*`, `master/src/lib.rs`, `master/tasks_running`, \
                    `cgroups/cpu`, `/master/state`, `agent --ip=1.2.3.4`, [x](differences.md#y), [z](http://a/b)";
        let found = paths(text, Path::new("docs"));
        let expected = [
            "proto/wire",
            "proto/types",
            "scripts",
            "master/src/lib.rs",
            "docs/differences.md",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
