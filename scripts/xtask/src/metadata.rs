//! What `cargo metadata` says about the workspace and its dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // scripts/xtask
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// One edge of the dependency graph between crates of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Folder of the crate that imports, relative to the root.
    pub from: String,
    /// Folder of the crate that is imported.
    pub to: String,
    /// Only its tests import it.
    pub in_tests: bool,
}

/// A package that was not written here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name in the registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX licence expression; empty when it gives none.
    pub licence: String,
}

/// The whole answer of `cargo metadata` for Linux.
///
/// # Errors
/// When cargo fails.
pub fn read() -> Result<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .arg("--filter-platform=x86_64-unknown-linux-gnu")
        .current_dir(root())
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("cargo metadata prints JSON")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn folder(path: &Path) -> Option<String> {
    Some(path.strip_prefix(root()).ok()?.display().to_string())
}

/// Folders of the crates of the workspace, relative to the root.
pub fn crates(metadata: &Value) -> Vec<String> {
    packages(metadata)
        .filter(|package| package["source"].is_null())
        .filter_map(|package| folder(Path::new(text(package, "manifest_path")).parent()?))
        .collect()
}

/// Every import of one crate of the workspace by another.
pub fn edges(metadata: &Value) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in packages(metadata).filter(|package| package["source"].is_null()) {
        let Some(from) = Path::new(text(package, "manifest_path"))
            .parent()
            .and_then(folder)
        else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = dependency["path"]
                .as_str()
                .and_then(|path| folder(Path::new(path)))
            else {
                continue;
            };
            edges.push(Edge {
                from: from.clone(),
                to,
                in_tests: dependency["kind"] == "dev",
            });
        }
    }
    edges.sort();
    edges.dedup();
    edges
}

/// Every package of other people that is built on Linux with the features in use, once.
///
/// # Errors
/// When cargo fails.
pub fn foreign() -> Result<Vec<Package>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--prefix=none",
            "--format={p}\t{l}",
        ])
        .arg("--target=x86_64-unknown-linux-gnu")
        .current_dir(root())
        .output()
        .context("cannot run cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut all: Vec<Package> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(package)
        .collect();
    all.sort();
    all.dedup();
    Ok(all)
}

/// `name v1.2.3 (proc-macro)<tab>licence (*)`; ours have a path, and give none here.
fn package(line: &str) -> Option<Package> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?);
    if words.any(|word| word.starts_with("(/")) {
        return None;
    }
    Some(Package {
        name: name.to_owned(),
        version: version.trim_start_matches('v').to_owned(),
        licence: licence.trim_end_matches(" (*)").to_owned(),
    })
}
