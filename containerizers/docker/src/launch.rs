//! The way from a configuration to a running container, and back if a step fails.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use bollard::query_parameters::{CreateContainerOptions, StartContainerOptions};
use mesos_containerizer_api::{ContainerError, FetchRequest, Running, Stage, Termination};

use crate::{
    advice::launch_error,
    containerizer::Inner,
    engine::EngineError,
    entry::{Entry, Phase},
    image,
    inspect::{Inspect, printed},
    names, output, removal,
    request::{CreateRequest, create_request},
};

/// How far a launch got; what must be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// Nothing in the engine.
    Nothing,
    /// A container, perhaps running.
    Container,
    /// The engine did not answer: perhaps a container.
    Unknown,
}

impl Inner {
    /// Launches; on an error everything is undone and the container forgotten.
    pub(crate) async fn launch(
        self: Arc<Self>,
        entry: Arc<Entry>,
    ) -> Result<Running, ContainerError> {
        let id = entry.config.id.clone();
        let mut made = Made::Nothing;
        let mut doing = "launching";
        let result = self.steps(&entry, &mut made, &mut doing).await;
        let error = match result {
            Ok(running) => {
                entry.set_phase(Phase::Running);
                self.supervise(&entry, false);
                tracing::info!(container_id = %id, pid = ?running.pid, "started a docker container");
                return Ok(running);
            }
            Err(error) => error,
        };
        let reference = entry.reference();
        match made {
            Made::Nothing => {}
            Made::Container => {
                let deadline = self.options.deadlines.remove;
                if let Err(undo) = removal::remove(&self.engine, &reference, deadline).await {
                    tracing::warn!(container_id = %id, error = %undo, "cannot undo a launch yet");
                    self.removals.lingering(&reference);
                }
            }
            Made::Unknown => self.removals.lingering(&reference),
        }
        let _absent = tokio::fs::remove_file(self.position_file(&entry)).await;
        entry.set_phase(Phase::Ended(Termination {
            message: Some(format!("Container destroyed while {doing}")),
            ..Termination::default()
        }));
        self.entries().remove(&id);
        Err(error)
    }

    async fn steps(
        &self,
        entry: &Entry,
        made: &mut Made,
        doing: &mut &'static str,
    ) -> Result<Running, ContainerError> {
        let destroyed = || ContainerError::DestroyedWhileLaunching {
            id: entry.config.id.clone(),
        };
        let stoppable = &entry.stop;
        let request = self.prepare(entry)?;

        *doing = "fetching";
        stoppable
            .run_until_cancelled(self.fetch(entry))
            .await
            .ok_or_else(destroyed)??;

        *doing = "pulling image";
        if request.force_pull {
            let pull = self.pull(&request, entry);
            stoppable
                .run_until_cancelled(pull)
                .await
                .ok_or_else(destroyed)??;
        }
        // Not interrupted: each call has a deadline, and what it made must be known.
        let created = match self.create(&request, made).await {
            Err(error) if error.is_not_found() && is_image(&error) && !request.force_pull => {
                let pull = self.pull(&request, entry);
                stoppable
                    .run_until_cancelled(pull)
                    .await
                    .ok_or_else(destroyed)??;
                self.create(&request, made).await
            }
            other => other,
        };
        *doing = "creating";
        let id = created.map_err(|error| {
            launch_error(
                Stage::Provision,
                "cannot create the docker container",
                &error,
                &request,
            )
        })?;
        entry.facts().reference = id;
        if stoppable.is_cancelled() {
            return Err(destroyed());
        }

        *doing = "starting";
        if let Err(error) = mesos_docker_logs::prepare(&self.output_arguments(entry)) {
            return Err(ContainerError::Launch {
                stage: Stage::Prepare,
                message: format!("cannot write to the sandbox: {error}"),
                source: None,
            });
        }
        self.start(entry).await.map_err(|error| {
            launch_error(
                Stage::Release,
                "cannot start the docker container",
                &error,
                &request,
            )
        })?;
        if stoppable.is_cancelled() {
            return Err(destroyed());
        }
        Ok(self.running(entry).await)
    }

    /// What can be refused without asking anybody.
    fn prepare(&self, entry: &Entry) -> Result<CreateRequest, ContainerError> {
        let refuse = |message: String| ContainerError::Launch {
            stage: Stage::Validate,
            message,
            source: None,
        };
        let request = create_request(&entry.config, &self.options)
            .map_err(|error| refuse(error.to_string()))?;
        let writer = &self.options.log_writer;
        if !writer.is_file() {
            return Err(refuse(format!(
                "{} is missing, which copies the output of docker containers; install it, or \
                 name its folder with --launcher_dir",
                writer.display()
            )));
        }
        let position = self.position_file(entry);
        if let Some(folder) = position.parent()
            && let Err(error) = std::fs::create_dir_all(folder)
        {
            return Err(refuse(format!("cannot make {}: {error}", folder.display())));
        }
        Ok(request)
    }

    async fn fetch(&self, entry: &Entry) -> Result<(), ContainerError> {
        let config = &entry.config;
        if config.command.uris.is_empty() {
            return Ok(());
        }
        let request = FetchRequest {
            container: config.id.clone(),
            uris: config.command.uris.clone(),
            sandbox: config.sandbox.clone(),
            user: config.user.clone(),
        };
        self.fetcher
            .fetch(request)
            .await
            .map_err(|error| ContainerError::Launch {
                stage: Stage::Fetch,
                message: error.to_string(),
                source: None,
            })
    }

    async fn pull(&self, request: &CreateRequest, entry: &Entry) -> Result<(), ContainerError> {
        let started = Instant::now();
        let operator = self.options.registry_config.as_ref();
        let credentials = image::credentials(&request.image, &entry.config.sandbox, operator);
        let stall = self.options.deadlines.pull_stall;
        image::pull(&self.engine, &request.image, credentials, stall)
            .await
            .map_err(|error| {
                let what = format!("cannot pull the image `{}`", request.image);
                launch_error(Stage::Provision, &what, &error, request)
            })?;
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.pull_millis.store(millis, Ordering::Relaxed);
        Ok(())
    }

    async fn create(
        &self,
        request: &CreateRequest,
        made: &mut Made,
    ) -> Result<String, EngineError> {
        let deadlines = &self.options.deadlines;
        let result = self
            .engine
            .call_patiently(
                "create container",
                deadlines.create,
                deadlines.outage,
                |docker| async move {
                    let options = CreateContainerOptions {
                        name: Some(request.name.clone()),
                        ..CreateContainerOptions::default()
                    };
                    docker
                        .create_container(Some(options), request.body.clone())
                        .await
                },
            )
            .await;
        match result {
            Ok(created) => {
                *made = Made::Container;
                for warning in &created.warnings {
                    tracing::debug!(container = request.name, warning, "the engine warns");
                }
                Ok(created.id)
            }
            Err(error) => {
                if matches!(
                    error,
                    EngineError::Broken { .. } | EngineError::Deadline { .. }
                ) {
                    *made = Made::Unknown;
                }
                Err(error)
            }
        }
    }

    async fn start(&self, entry: &Entry) -> Result<(), EngineError> {
        let deadlines = &self.options.deadlines;
        let reference = entry.reference();
        let reference = reference.as_str();
        self.engine
            .call_patiently(
                "start container",
                deadlines.start,
                deadlines.outage,
                |docker| async move {
                    docker
                        .start_container(reference, None::<StartContainerOptions>)
                        .await
                },
            )
            .await
    }

    /// Asks once for pid and addresses; without an answer the task runs all the same.
    async fn running(&self, entry: &Entry) -> Running {
        let question = self.options.deadlines.question;
        let bytes = match self.engine.inspect(&entry.reference(), question).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(container_id = %entry.config.id, %error, "cannot inspect a container");
                return Running::default();
            }
        };
        match Inspect::parse(&bytes) {
            Ok(inspect) => entry.learn(&inspect),
            Err(error) => {
                tracing::warn!(container_id = %entry.config.id, %error, "cannot read an inspect answer");
            }
        }
        let status = entry.facts().status.clone();
        Running {
            pid: status.pid,
            status,
            data: Some(printed(&bytes)),
        }
    }

    pub(crate) fn position_file(&self, entry: &Entry) -> std::path::PathBuf {
        output::position_file(&self.options, &entry.config.id.to_string())
    }

    /// The names under which the engine may know this container.
    pub(crate) fn names(&self, entry: &Entry) -> [String; 4] {
        names::candidates(&entry.config.identity.agent, &entry.config.id)
    }
}

/// The create call answers 404 for a missing image, and for nothing else that pulling could mend.
fn is_image(error: &EngineError) -> bool {
    let text = error.to_string().to_lowercase();
    text.contains("no such image") || text.contains("image") && text.contains("not found")
}
