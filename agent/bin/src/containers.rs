//! From flags to containerizers: isolators, launcher, fetcher, engine.

use std::{path::PathBuf, sync::Arc};

use mesos_agent::metrics::Source;
use mesos_containerizer_api::{Fetcher, SharedContainerizer};
use mesos_containerizer_composing::ComposingContainerizer;
use mesos_containerizer_docker::{DockerContainerizer, DockerOptions, work_dir_id};
use mesos_containerizer_mesos::{
    HelperNotFound, Launcher, MesosContainerizer, MesosSettings, find_helper,
};
use mesos_flags::{AgentFlags, agent};
use mesos_isolator_linux::CgroupError;
use mesos_isolator_registry::{IsolationSettings, RegistryError, build, resolve};

/// The containerizers that the flags ask for cannot be had on this host.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// The helper is not where it could be.
    #[error(transparent)]
    Helper(#[from] HelperNotFound),
    /// `--isolation` cannot be had.
    #[error(transparent)]
    Isolation(#[from] RegistryError),
    /// The cgroup file systems could not be looked at.
    #[error("cannot read the cgroup hierarchies of this host")]
    Hierarchies(#[source] CgroupError),
    /// `--launcher=linux` cannot be had.
    #[error("--launcher=linux cannot be had on this host; --launcher=posix needs no cgroups")]
    Launcher(#[source] CgroupError),
    /// The work_dir's own id could not be read or made.
    #[error("cannot read or make `meta/work_dir_id` in --work_dir={}", .0.display())]
    WorkDirId(PathBuf, #[source] std::io::Error),
}

/// What runs the agent's containers, and the launcher's name for `/flags`.
pub struct Containers {
    /// One containerizer, or several behind one, in the order of `--containerizers`.
    pub containerizer: SharedContainerizer,
    /// `linux` or `posix`.
    pub launcher: &'static str,
    /// Numbers that they keep themselves.
    pub metrics: Vec<Source>,
}

/// Makes the containerizers of `--containerizers`, in the order given.
///
/// # Errors
/// What this host lacks.
pub fn containers(
    flags: &AgentFlags,
    fetcher: &Arc<dyn Fetcher>,
) -> Result<Containers, ContainersError> {
    let helper = find_helper(flags.launcher_dir.as_deref())?;
    let isolation = isolation_settings(flags)?;
    let (launcher, launcher_name) = launcher(flags, &isolation)?;
    let mut parts: Vec<SharedContainerizer> = Vec::new();
    let mut metrics: Vec<Source> = Vec::new();
    for name in &flags.containerizers {
        parts.push(if name == "docker" {
            let options = docker_options(flags, &helper)?;
            let docker = Arc::new(DockerContainerizer::new(options, Arc::clone(fetcher)));
            let counted = Arc::clone(&docker);
            metrics.push(Arc::new(move || counted.metrics()));
            docker
        } else {
            Arc::new(MesosContainerizer::new(MesosSettings {
                runtime_dir: flags.runtime_dir.clone(),
                helper: helper.clone(),
                launcher: launcher.clone(),
                isolators: build(&isolation)?,
                fetcher: Arc::clone(fetcher),
                enable_cfs: flags.cgroups_enable_cfs,
                host_cpus: host_cpus(),
                host_memory: isolation.host_memory,
            }))
        });
    }
    let containerizer = match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => Arc::new(ComposingContainerizer::new(
            parts.into_iter().chain(last).collect(),
        )),
    };
    Ok(Containers {
        containerizer,
        launcher: launcher_name,
        metrics,
    })
}

/// Whether `--isolation` names isolators there are; before anything is made or bound.
///
/// # Errors
/// The name that is not known, with those that are.
pub fn check(flags: &AgentFlags) -> Result<(), ContainersError> {
    resolve(&flags.isolation.join(","))?;
    Ok(())
}

fn isolation_settings(flags: &AgentFlags) -> Result<IsolationSettings, ContainersError> {
    let mut settings = IsolationSettings::for_host(&flags.cgroups_hierarchy, &flags.work_dir)
        .map_err(ContainersError::Hierarchies)?;
    settings.isolation = flags.isolation.join(",");
    settings.cgroups_root.clone_from(&flags.cgroups_root);
    settings.cgroups_enable_cfs = flags.cgroups_enable_cfs;
    settings.cgroups_limit_swap = flags.cgroups_limit_swap;
    settings.enforce_container_disk_quota = flags.enforce_container_disk_quota;
    settings.container_disk_watch_interval = flags.container_disk_watch_interval;
    Ok(settings)
}

/// The launcher of `--launcher`; without the flag `linux` where cgroups can track processes.
fn launcher(
    flags: &AgentFlags,
    isolation: &IsolationSettings,
) -> Result<(Launcher, &'static str), ContainersError> {
    let linux = || Launcher::linux(&isolation.hierarchies, &flags.cgroups_root);
    match flags.launcher {
        Some(agent::Launcher::Posix) => Ok((Launcher::posix(), "posix")),
        Some(agent::Launcher::Linux) => Ok((linux().map_err(ContainersError::Launcher)?, "linux")),
        None => Ok(match linux() {
            Ok(launcher) => (launcher, "linux"),
            Err(error) => {
                tracing::warn!(%error, "processes are tracked without cgroups (--launcher=posix)");
                (Launcher::posix(), "posix")
            }
        }),
    }
}

fn docker_options(
    flags: &AgentFlags,
    helper: &std::path::Path,
) -> Result<DockerOptions, ContainersError> {
    let owner = work_dir_id(&flags.work_dir)
        .map_err(|e| ContainersError::WorkDirId(flags.work_dir.clone(), e))?;
    let mut options = DockerOptions::new(
        owner,
        flags.work_dir.clone(),
        flags.runtime_dir.clone(),
        helper.to_owned(),
    );
    options.socket.clone_from(&flags.docker_socket);
    options.sandbox_directory = flags.sandbox_directory.display().to_string();
    options.registry_config.clone_from(&flags.docker_config);
    options.remove_delay = flags.docker_remove_delay;
    options.stop_timeout = flags.docker_stop_timeout;
    options.kill_orphans = flags.docker_kill_orphans;
    options.enable_cfs = flags.cgroups_enable_cfs;
    Ok(options)
}

fn host_cpus() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}
