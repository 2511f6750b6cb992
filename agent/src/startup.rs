//! What is read before the agent may start: lock, identity, journal, boot; and whether it still fits.

use std::{fs, path::Path};

use mesos_flags::agent::ReconfigurationPolicy;
use mesos_types::{AgentId, Format, PersistentVolume, Resource, Resources, Value};
use mesos_wire::v1;

use crate::{
    checkpoint::{
        CheckpointError, Image, Journal, Lock, Opened, ResourceImage, identity, resources,
    },
    config::AgentConfig,
    leftovers::directories,
};

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Checkpoints cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Less is there than is reserved.
    #[error(
        "the resources of the agent do not hold what is reserved on it ({checkpointed}): {problem}; give enough in --resources, or give reservations and volumes up with: rm {journal} (what is in volumes stays, below `volumes` of the work_dir)"
    )]
    Reserved {
        /// What does not fit.
        problem: String,
        /// What is reserved.
        checkpointed: String,
        /// The file to remove.
        journal: String,
    },
    /// The agent was changed in a way that its policy does not allow.
    #[error(
        "the agent is not compatible with its earlier run: {change}; {remedy}, or to start as a new agent (its tasks are then not taken back): rm -f {link}"
    )]
    Incompatible {
        /// What was changed.
        change: String,
        /// What would allow it.
        remedy: &'static str,
        /// The link to remove.
        link: String,
    },
}

/// What an earlier run left.
#[derive(Debug)]
pub struct Loaded {
    pub(crate) lock: Lock,
    /// What to register with; with the id of the earlier run, if there is one.
    pub(crate) agent: v1::AgentInfo,
    pub(crate) image: Image,
    pub(crate) journal: Option<Journal>,
    /// What the agent has, with reservations and volumes.
    pub(crate) resources: Resources,
    pub(crate) resource_image: ResourceImage,
    pub(crate) resource_journal: Journal,
    pub(crate) boot_id: String,
    pub(crate) rebooted: bool,
}

/// Reads what an earlier run left in the work_dir, and takes its lock. Blocks.
///
/// # Errors
/// Another agent has the work_dir, checkpoints cannot be read, or the agent does not fit them any more.
pub fn load(config: &AgentConfig) -> Result<Loaded, StartError> {
    let lock = Lock::take(&config.work_dir)?;
    let boot_id = identity::host_boot_id()?;
    let rebooted = identity::read_boot_id(&config.work_dir).is_some_and(|old| old != boot_id);
    let (resource_journal, resource_image) = resources::open(&config.work_dir)?;
    let (given, resources) = with_checkpointed(config, &resource_image.checkpointed)?;
    report_missing_volumes(config, &resources);
    let mut agent = v1::AgentInfo {
        resources: given.to_wire(Format::PostRefinement),
        ..config.agent_info()
    };
    let afresh = |lock, agent, resource_journal| Loaded {
        lock,
        agent,
        image: Image::default(),
        journal: None,
        resources: resources.clone(),
        resource_image: resource_image.clone(),
        resource_journal,
        boot_id: boot_id.clone(),
        rebooted,
    };
    let Some(old) = identity::read(&config.work_dir)? else {
        return Ok(afresh(lock, agent, resource_journal));
    };
    let id = old
        .id
        .as_ref()
        .map(AgentId::from)
        .unwrap_or_else(|| "".into());
    let path = identity::journal(&config.work_dir, &id);
    let is_new = !path.exists();
    // After a restart of the host nothing runs that the damaged part could be about.
    let Opened {
        journal,
        values,
        cut_off,
    } = Journal::open(&path, rebooted || !config.strict)?;
    if cut_off > 0 {
        tracing::warn!(
            bytes = cut_off,
            "the end of the journal was not written wholly and is cut off"
        );
    }
    let image = Image::read(&values);
    for lost in &image.lost {
        tracing::error!(key = %lost.key, problem = %lost.problem, "a value of the journal cannot be read and is left out");
    }
    let record = image.agent.clone().unwrap_or_default();
    let before = record.info.as_ref().unwrap_or(&old);
    match differences(config, before, &agent, &record.detected) {
        Ok(()) => {}
        Err(change) if rebooted => {
            tracing::warn!(%id, change, "the agent was changed and its host restarted: starting as a new agent");
            renounce(&config.work_dir);
            return Ok(afresh(lock, agent, resource_journal));
        }
        Err(change) => {
            return Err(StartError::Incompatible {
                change,
                remedy: match config.reconfiguration_policy {
                    ReconfigurationPolicy::Equal => {
                        "--reconfiguration_policy=additive allows changes that only add"
                    }
                    ReconfigurationPolicy::Additive => "put the flags back to what they were",
                },
                link: identity::slaves(&config.work_dir)
                    .join("latest")
                    .display()
                    .to_string(),
            });
        }
    }
    if is_new {
        report_foreign_executors(&config.work_dir, &id, rebooted);
    }
    tracing::info!(%id, rebooted, executors = image.executors.len(), "taking up the agent of an earlier run");
    agent.id = old.id;
    Ok(Loaded {
        lock,
        agent,
        image,
        journal: Some(journal),
        resources,
        resource_image,
        resource_journal,
        boot_id,
        rebooted,
    })
}

/// What the flags give, and what the agent then has with reservations and volumes in it. A detected amount
/// that has become too small for them is taken to be as large as they are: a kernel update must not strand
/// what is kept on the agent.
fn with_checkpointed(
    config: &AgentConfig,
    checkpointed: &Resources,
) -> Result<(Resources, Resources), StartError> {
    let mut given = config.resources.clone();
    if given.apply_checkpointed(checkpointed).is_err() {
        let held = checkpointed.filter(|resource| {
            let disk = resource.meta.disk.as_ref();
            disk.is_none_or(|disk| disk.source.is_none())
                && !resource
                    .meta
                    .reservations
                    .iter()
                    .any(|r| r.r#type() == v1::resource::reservation_info::Type::Static)
        });
        for name in &config.detected {
            let (Some(there), Some(needed)) = (given.scalar(name), held.scalar(name)) else {
                continue;
            };
            if needed > there {
                tracing::warn!(name, %there, %needed, "less was detected than is reserved; offering as much as is reserved");
                given.add(Resource::scalar(name, needed - there));
            }
        }
    }
    match given.apply_checkpointed(checkpointed) {
        Ok(total) => Ok((given, total)),
        Err(error) => Err(StartError::Reserved {
            problem: error.to_string(),
            checkpointed: checkpointed.to_string(),
            journal: resources::path(&config.work_dir).display().to_string(),
        }),
    }
}

/// Says which volumes are not where they should be. They are not made anew: their disk may be missing.
fn report_missing_volumes(config: &AgentConfig, total: &Resources) {
    for volume in total.distinct() {
        match PersistentVolume::of(volume, &config.work_dir) {
            None => {}
            Some(Ok(volume)) if volume.path.is_dir() => {}
            Some(Ok(volume)) => {
                tracing::error!(id = volume.id, role = volume.role, path = %volume.path.display(), "the directory of a persistent volume is missing; tasks on it will fail; is its disk mounted?");
            }
            Some(Err(error)) => tracing::error!(%error, "a volume that cannot be used"),
        }
    }
}

/// Makes the next start that of a new agent.
pub(crate) fn renounce(work_dir: &Path) {
    let link = identity::slaves(work_dir).join("latest");
    if let Err(error) = fs::remove_file(&link)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::error!(path = %link.display(), %error, "cannot remove the link to this agent; remove it by hand");
    }
}

/// Whether the agent may go on with these changes. What was detected, then and now, may drift.
fn differences(
    config: &AgentConfig,
    old: &v1::AgentInfo,
    new: &v1::AgentInfo,
    was_detected: &[String],
) -> Result<(), String> {
    if old.hostname != new.hostname {
        return Err(format!(
            "the hostname was {} and is {}",
            old.hostname, new.hostname
        ));
    }
    if old.port() != new.port() {
        return Err(format!("the port was {} and is {}", old.port(), new.port()));
    }
    if old.domain.is_some() && old.domain != new.domain {
        return Err("the domain was changed".to_owned());
    }
    let is_additive = config.reconfiguration_policy == ReconfigurationPolicy::Additive;
    if !is_additive && old.domain != new.domain {
        return Err("a domain was added".to_owned());
    }
    let read = |info: &v1::AgentInfo| Resources::from_wire(&info.resources).unwrap_or_default();
    // A kernel upgrade or a grown disk is no change of the operator's. The record of an Apache Mesos
    // agent does not say what was detected.
    let drifts = |name: &str| {
        config.detected.iter().any(|d| d == name)
            && (was_detected.is_empty() || was_detected.iter().any(|d| d == name))
            && name != "ports"
    };
    let given = |all: &Resources| all.filter(|resource| !drifts(&resource.name));
    let (before, after) = (given(&read(old)), given(&read(new)));
    let fits = if is_additive {
        after.contains(&before)
    } else {
        after == before
    };
    if !fits {
        return Err(format!("the resources were {before} and are {after}"));
    }
    for attribute in &old.attributes {
        let found = new
            .attributes
            .iter()
            .find(|other| other.name == attribute.name);
        let kept = found.is_some_and(|found| {
            found == attribute || is_additive && ranges_grew(attribute, found)
        });
        if !kept {
            return Err(format!(
                "the attribute {} was changed or removed",
                attribute.name
            ));
        }
    }
    if !is_additive && old.attributes.len() != new.attributes.len() {
        return Err("an attribute was added".to_owned());
    }
    Ok(())
}

fn ranges_grew(old: &v1::Attribute, new: &v1::Attribute) -> bool {
    let read = |attribute: &v1::Attribute| {
        let ranges = attribute.ranges.as_ref()?;
        let ranges = ranges.range.iter().map(|range| mesos_types::Range {
            begin: range.begin,
            end: range.end,
        });
        Some(mesos_types::Ranges::new(ranges))
    };
    match (read(old), read(new)) {
        (Some(old), Some(new)) => Value::Ranges(new).contains(&Value::Ranges(old)),
        _ => false,
    }
}

/// Names the executors of an Apache Mesos agent that still run. They are not ours, and stay.
fn report_foreign_executors(work_dir: &Path, id: &AgentId, rebooted: bool) {
    if rebooted {
        return;
    }
    let frameworks = identity::slaves(work_dir)
        .join(id.as_str())
        .join("frameworks");
    for framework in directories(&frameworks) {
        for executor in directories(&framework.join("executors")) {
            let run = executor.join("runs/latest");
            let Ok(text) = fs::read_to_string(run.join("pids/forked.pid")) else {
                continue;
            };
            let is_done = run.join("executor.sentinel").exists();
            let Some(pid) = text.trim().parse::<u32>().ok().filter(|_| !is_done) else {
                continue;
            };
            if Path::new(&format!("/proc/{pid}")).exists() {
                tracing::warn!(
                    pid,
                    framework = %name(&framework),
                    executor = %name(&executor),
                    "an executor of the agent that had this work_dir before still runs; this agent does not manage it"
                );
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests;
