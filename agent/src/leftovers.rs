//! What earlier runs left in a work_dir, also those of Apache Mesos.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use mesos_types::AgentId;

/// Directories of other agents, and of this agent's frameworks, executors and runs that are not in
/// `live` (sandboxes of runs that are still there).
pub(crate) fn leftovers(
    work_dir: &Path,
    agent: Option<&AgentId>,
    live: &HashSet<PathBuf>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in [work_dir.join("slaves"), work_dir.join("meta/slaves")] {
        for entry in directories(&root) {
            let is_own = agent.is_some_and(|agent| entry.ends_with(agent.as_str()));
            if !is_own {
                found.push(entry);
            }
        }
    }
    let Some(agent) = agent else {
        return found;
    };
    let above: HashSet<&Path> = live
        .iter()
        .flat_map(|sandbox| sandbox.ancestors())
        .collect();
    let holds_live = |path: &Path| above.contains(path);
    let frameworks = work_dir
        .join("slaves")
        .join(agent.as_str())
        .join("frameworks");
    for framework in directories(&frameworks) {
        if !holds_live(&framework) {
            found.push(framework);
            continue;
        }
        for executor in directories(&framework.join("executors")) {
            if !holds_live(&executor) {
                found.push(executor);
                continue;
            }
            for run in directories(&executor.join("runs")) {
                if !live.contains(&run) {
                    found.push(run);
                }
            }
        }
    }
    found
}

/// Real directories in `path`, no links.
pub(crate) fn directories(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_needs_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let runs = |agent: &str, framework: &str, executor: &str, run: &str| {
            let path = dir.path().join(format!(
                "slaves/{agent}/frameworks/{framework}/executors/{executor}/runs/{run}"
            ));
            fs::create_dir_all(&path).unwrap();
            path
        };
        let live = runs("me", "f", "e", "live");
        runs("me", "f", "e", "old");
        runs("me", "f", "gone", "x");
        runs("me", "left", "e", "x");
        runs("other", "f", "e", "x");
        fs::create_dir_all(dir.path().join("meta/slaves/other")).unwrap();
        fs::create_dir_all(dir.path().join("meta/slaves/me")).unwrap();
        fs::create_dir_all(dir.path().join("volumes/roles/r/v")).unwrap();
        let live: HashSet<PathBuf> = [live].into();
        let mut paths: Vec<String> = leftovers(dir.path(), Some(&"me".into()), &live)
            .into_iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        paths.sort();
        assert_eq!(
            paths,
            [
                "meta/slaves/other",
                "slaves/me/frameworks/f/executors/e/runs/old",
                "slaves/me/frameworks/f/executors/gone",
                "slaves/me/frameworks/left",
                "slaves/other",
            ]
        );
    }
}
