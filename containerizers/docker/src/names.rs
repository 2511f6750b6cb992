//! Names and labels: how containers of ours are told from others'.

use std::collections::HashMap;

use mesos_containerizer_api::Identity;
use mesos_types::{AgentId, ContainerId};

/// What every label of ours starts with.
pub(crate) const LABEL_PREFIX: &str = "org.mesos-rs.";
/// Label with the id of the work_dir whose agent made the container.
pub(crate) const LABEL_OWNER: &str = "org.mesos-rs.work_dir_id";
/// Label with the container's id.
pub(crate) const LABEL_CONTAINER: &str = "org.mesos-rs.container_id";

/// The container's name in the engine, and its `MESOS_CONTAINER_NAME`.
pub(crate) fn name(agent: &AgentId, id: &ContainerId) -> String {
    format!("mesos-{agent}.{id}")
}

/// The names that this container may have: ours, then those of Apache Mesos, newest first.
/// Source: `DOCKER_NAME_PREFIX` and `parse` in `slave/containerizer/docker.cpp`.
pub(crate) fn candidates(agent: &AgentId, id: &ContainerId) -> [String; 4] {
    [
        name(agent, id),
        format!("mesos-{id}"),
        format!("mesos-{agent}.{id}.executor"),
        format!("mesos-{id}.executor"),
    ]
}

/// The labels that say whose container it is.
pub(crate) fn labels(
    owner: &str,
    identity: &Identity,
    id: &ContainerId,
) -> HashMap<String, String> {
    let mut labels = HashMap::from([
        (LABEL_OWNER.to_owned(), owner.to_owned()),
        (LABEL_CONTAINER.to_owned(), id.to_string()),
        (
            "org.mesos-rs.agent_id".to_owned(),
            identity.agent.to_string(),
        ),
        (
            "org.mesos-rs.framework_id".to_owned(),
            identity.framework.to_string(),
        ),
        (
            "org.mesos-rs.executor_id".to_owned(),
            identity.executor.to_string(),
        ),
    ]);
    if let Some(task) = &identity.task {
        labels.insert("org.mesos-rs.task_id".to_owned(), task.to_string());
    }
    labels
}

/// The id of a work_dir: made at the first call and kept in `meta/work_dir_id`, so that agents
/// which share an engine never touch each other's containers.
///
/// # Errors
/// When the file can neither be read nor made.
pub fn work_dir_id(work_dir: &std::path::Path) -> std::io::Result<String> {
    use std::io::Write as _;

    let meta = work_dir.join("meta");
    let path = meta.join("work_dir_id");
    match std::fs::read_to_string(&path) {
        Ok(text) if uuid::Uuid::parse_str(text.trim()).is_ok() => {
            return Ok(text.trim().to_owned());
        }
        Ok(_) => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!(
                    "{} holds no UUID; remove it and the agent makes a new one (containers \
                     started before are then left alone)",
                    path.display()
                ),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::create_dir_all(&meta)?;
    let id = uuid::Uuid::new_v4().to_string();
    let partial = meta.join("work_dir_id.new");
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&partial, &path)?;
    std::fs::File::open(&meta)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_agent_and_container_and_older_forms_are_known() {
        let names = candidates(&"m-S0".into(), &"c".into());
        assert_eq!(
            names,
            [
                "mesos-m-S0.c",
                "mesos-c",
                "mesos-m-S0.c.executor",
                "mesos-c.executor"
            ]
        );
    }

    #[test]
    fn a_work_dir_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let first = work_dir_id(dir.path()).unwrap();
        assert_eq!(work_dir_id(dir.path()).unwrap(), first);
        std::fs::write(dir.path().join("meta/work_dir_id"), "x").unwrap();
        assert!(
            work_dir_id(dir.path())
                .unwrap_err()
                .to_string()
                .contains("remove it")
        );
    }
}
