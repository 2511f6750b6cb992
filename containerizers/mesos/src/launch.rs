//! The stages of a launch, in order. Whatever a stage has made is undone by `teardown.rs`, which
//! may run after any of them.

use std::{ffi::OsString, sync::Arc};

use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, FetchRequest, Running, Stage,
};
use mesos_containerizer_helper::{Launch, MountStep};
use mesos_isolator_api::{IsolatorConfig, LaunchInfo, Namespace, isolate_all, prepare_all};
use mesos_isolator_linux::spawn::{CloneFlags, Credentials};

use crate::{container::Container, containerizer::Shared, fork, validate};

/// What a task finds its programs by when it has no `PATH`. Source: `mesos-containerizer launch`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs all stages. After an error, or instead of going on when the container is destroyed, the
/// caller tears down.
pub(crate) async fn launch(
    shared: &Shared,
    container: &Arc<Container>,
    config: &ContainerConfig,
) -> Result<Running, ContainerError> {
    let id = &config.id;
    let (program, credentials) = container
        .stage(Stage::Validate, async {
            let program = validate::check(config).map_err(|text| failed(Stage::Validate, text))?;
            let credentials = validate::credentials(config.user.as_deref())
                .map_err(|text| failed(Stage::Validate, text))?;
            // From here on a restarted agent knows that something of this name may exist.
            container.dir.create(config).map_err(|error| {
                let path = container.dir.path().display();
                failed(Stage::Validate, format!("cannot write {path}: {error}"))
            })?;
            Ok((program, credentials))
        })
        .await?;

    if !config.command.uris.is_empty() {
        let request = FetchRequest {
            container: id.clone(),
            uris: config.command.uris.clone(),
            sandbox: config.sandbox.clone(),
            user: config.user.clone(),
        };
        let fetch = async {
            shared
                .settings
                .fetcher
                .fetch(request)
                .await
                .map_err(|error| ContainerError::Launch {
                    stage: Stage::Fetch,
                    message: error.to_string(),
                    source: Some(Box::new(error)),
                })
        };
        container.stage(Stage::Fetch, fetch).await?;
    }

    let info = container
        .stage(Stage::Prepare, async {
            let join = shared
                .settings
                .launcher
                .prepare(id)
                .map_err(|error| failed_by(Stage::Prepare, error))?;
            let mut info = prepare_all(&shared.settings.isolators, &isolator_config(config))
                .await
                .map_err(|error| failed_by(Stage::Prepare, error))?;
            // Where it can be killed comes first, then where it is counted.
            info.join_cgroups.splice(0..0, join);
            Ok(info)
        })
        .await?;
    let description = describe(config, program, credentials, info);

    let dir = &container.dir;
    container.enter(crate::container::Phase::Launching(Stage::Fork));
    dir.write_launch_info(&description.encode())
        .map_err(|error| {
            failed(
                Stage::Fork,
                format!("cannot write the launch file: {error}"),
            )
        })?;
    let forked = fork::fork(&shared.server, &dir.launch_info(), container).await;
    if container.destroy.is_cancelled() {
        return Err(ContainerError::DestroyedWhileLaunching { id: id.clone() });
    }
    let forked = forked.map_err(|text| failed(Stage::Fork, text))?;

    container
        .stage(Stage::Isolate, async {
            isolate_all(&shared.settings.isolators, id, forked.pid)
                .await
                .map_err(|error| failed_by(Stage::Isolate, error))
        })
        .await?;

    let pid = forked.pid;
    container
        .stage(Stage::Release, async {
            container.set_released();
            forked
                .release()
                .await
                .map_err(|text| failed(Stage::Release, text))
        })
        .await?;
    Ok(Running {
        pid: Some(pid),
        status: ContainerStatus {
            pid: Some(pid),
            ..ContainerStatus::default()
        },
        data: None,
    })
}

fn failed(stage: Stage, message: String) -> ContainerError {
    ContainerError::Launch {
        stage,
        message,
        source: None,
    }
}

fn failed_by(
    stage: Stage,
    error: impl std::error::Error + Send + Sync + 'static,
) -> ContainerError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        message.push_str(": ");
        message.push_str(&beneath.to_string());
        cause = beneath.source();
    }
    ContainerError::Launch {
        stage,
        message,
        source: Some(Box::new(error)),
    }
}

/// What isolators may know.
pub(crate) fn isolator_config(config: &ContainerConfig) -> IsolatorConfig {
    IsolatorConfig {
        id: config.id.clone(),
        resources: config.resources.clone(),
        limits: config.limits,
        sandbox: config.sandbox.clone(),
        user: config.user.clone(),
        container: config.container.clone(),
        command_task: config.identity.task.is_some(),
    }
}

/// Everything in the form the helper reads.
fn describe(
    config: &ContainerConfig,
    program: validate::Program,
    credentials: Option<Credentials>,
    info: LaunchInfo,
) -> Launch {
    let namespaces = info
        .namespaces
        .iter()
        .fold(CloneFlags::NONE, |all, namespace| {
            all | match namespace {
                Namespace::Mount => CloneFlags::NEW_MOUNTS,
                Namespace::Pid => CloneFlags::NEW_PIDS,
                Namespace::Ipc => CloneFlags::NEW_IPC,
                Namespace::Net => CloneFlags::NEW_NET,
                Namespace::Uts => CloneFlags::NEW_UTS,
                Namespace::Cgroup => CloneFlags::NEW_CGROUP,
            }
        });
    let mut join_cgroups = Vec::with_capacity(info.join_cgroups.len());
    for file in info.join_cgroups {
        // Controllers that share a hierarchy name the same file.
        if !join_cgroups.contains(&file) {
            join_cgroups.push(file);
        }
    }
    let mut environment = info.environment;
    environment.extend(config.environment.clone());
    environment.insert(
        "MESOS_SANDBOX".to_owned(),
        config.sandbox.display().to_string(),
    );
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| DEFAULT_PATH.to_owned());
    Launch {
        namespaces: namespaces.bits(),
        join_cgroups,
        mounts: info
            .mounts
            .into_iter()
            .map(|mount| MountStep {
                source: mount.source,
                target: mount.target,
                fstype: mount.fstype,
                flags: mount.flags,
                options: mount.options,
            })
            .collect(),
        sandbox: config.sandbox.clone(),
        credentials: credentials.map(|user| (user.uid, user.gid, user.groups)),
        oom_score_adj: info.oom_score_adj,
        program: program.program,
        argv: program.argv,
        environment: environment
            .into_iter()
            .map(|(name, value)| OsString::from(format!("{name}={value}")))
            .collect(),
    }
}
