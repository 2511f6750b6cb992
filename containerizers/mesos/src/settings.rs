//! What the containerizer is made from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mesos_containerizer_api::Fetcher;
use mesos_isolator_api::Isolator;

use crate::Launcher;

/// Name of the helper's program.
const HELPER: &str = "mesos-containerizer";

/// Where a package puts the helper.
const PACKAGED: &str = "/usr/libexec/mesos";

/// Everything the containerizer is made from.
pub struct MesosSettings {
    /// `--runtime_dir`: what a restart of the agent needs, and a reboot makes worthless.
    pub runtime_dir: PathBuf,
    /// Path of `mesos-containerizer`; see [`find_helper`].
    pub helper: PathBuf,
    /// How processes are tracked and killed.
    pub launcher: Launcher,
    /// In launch order, from the registry.
    pub isolators: Vec<Arc<dyn Isolator>>,
    /// Downloads the URIs of a command.
    pub fetcher: Arc<dyn Fetcher>,
    /// `--cgroups_enable_cfs`: requests are upper bounds in statistics too.
    pub enable_cfs: bool,
    /// CPUs of the host, for statistics of containers without a bound.
    pub host_cpus: f64,
    /// Memory of the host in bytes, likewise.
    pub host_memory: u64,
}

/// The helper is in none of the places it can be in.
#[derive(Debug, thiserror::Error)]
#[error("`mesos-containerizer` is not in {}; build it, or name its folder with --launcher_dir", places(.tried))]
pub struct HelperNotFound {
    /// Folders looked into.
    pub tried: Vec<PathBuf>,
}

fn places(tried: &[PathBuf]) -> String {
    let texts: Vec<String> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    texts.join(", ")
}

/// Finds the helper: in `--launcher_dir` if given, else in the folder of this program (for tests
/// and examples of a build: the one above too), else in `/usr/libexec/mesos`.
pub fn find_helper(launcher_dir: Option<&Path>) -> Result<PathBuf, HelperNotFound> {
    let mut tried = Vec::new();
    if let Some(folder) = launcher_dir {
        tried.push(folder.to_owned());
    } else {
        if let Ok(own) = std::env::current_exe() {
            let folder = own.parent().map(Path::to_owned);
            if let Some(folder) = folder {
                let in_build = folder
                    .file_name()
                    .is_some_and(|n| n == "deps" || n == "examples");
                let above = folder.parent().filter(|_| in_build).map(Path::to_owned);
                tried.push(folder);
                tried.extend(above);
            }
        }
        tried.push(PathBuf::from(PACKAGED));
    }
    let found = tried
        .iter()
        .map(|folder| folder.join(HELPER))
        .find(|path| path.is_file());
    found.ok_or(HelperNotFound { tried })
}
