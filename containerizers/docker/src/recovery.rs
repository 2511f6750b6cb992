//! After a restart of the agent: takes known containers back, and ends those of ours that are not.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::query_parameters::ListContainersOptions;
use mesos_containerizer_api::{ContainerConfig, Termination};
use mesos_types::ContainerId;

use crate::{
    containerizer::Inner,
    engine::EngineError,
    entry::{Entry, Phase},
    inspect::Inspect,
    names::{self, LABEL_CONTAINER, LABEL_OWNER},
    output, removal,
};

/// First pause after the engine did not answer; doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Inner {
    /// Looks for what is known and for what is not, at most `Deadlines::recover` long; an engine
    /// that does not answer is asked again in the background.
    pub(crate) async fn recover(self: &Arc<Self>, known: &[ContainerConfig]) {
        output::forget_others(&self.options, known.iter().map(|config| &config.id));
        let mut entries = Vec::new();
        for config in known {
            let name = names::name(&config.identity.agent, &config.id);
            let entry = Arc::new(Entry::new(config.clone(), Phase::Recovering, name));
            self.entries().insert(config.id.clone(), Arc::clone(&entry));
            entries.push(entry);
        }
        let sweep = {
            let inner = Arc::clone(self);
            let stop = self.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(inner.sweep()).await })
        };
        for entry in &entries {
            let (inner, entry) = (Arc::clone(self), Arc::clone(entry));
            let stop = self.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(inner.adopt(entry)).await });
        }
        let all = async {
            for entry in &entries {
                entry.recovered().await;
            }
            let _stopping = sweep.await;
        };
        if tokio::time::timeout(self.options.deadlines.recover, all)
            .await
            .is_err()
        {
            tracing::error!(
                socket = %self.engine.socket().display(),
                "the Docker engine does not answer; its containers are recovered when it does"
            );
        }
    }

    /// Takes one known container back.
    async fn adopt(self: Arc<Self>, entry: Arc<Entry>) {
        let id = &entry.config.id;
        let mut pause = FIRST_PAUSE;
        let found = loop {
            match self.find(&entry).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::debug!(container_id = %id, %error, "cannot look for a container yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        let end = |message: &str| {
            tracing::warn!(container_id = %id, message, "a known container is not there");
            entry.set_phase(Phase::Ended(Termination {
                message: Some(message.to_owned()),
                ..Termination::default()
            }));
        };
        let Some(found) = found else {
            end("the Docker engine has no container of this task any more");
            return;
        };
        entry.learn(&found);
        if found.is_created() {
            // The agent died between create and start, or the engine is at it now.
            let deadline = self.options.deadlines.remove;
            if let Err(error) = removal::remove(&self.engine, &found.id, deadline).await {
                tracing::warn!(container_id = %id, %error, "cannot remove a container yet");
                self.removals.lingering(&found.id);
            }
            end("the agent was restarted before the container was started");
            return;
        }
        let folder = self.position_file(&entry);
        if let Some(folder) = folder.parent() {
            let _reported_by_the_writer = std::fs::create_dir_all(folder);
        }
        tracing::info!(container_id = %id, status = found.state.status, "took a container back");
        entry.set_phase(Phase::Running);
        self.supervise(&entry, true);
    }

    /// The container under one of its names. One that carries somebody else's label is not it.
    async fn find(&self, entry: &Entry) -> Result<Option<Inspect>, EngineError> {
        for name in self.names(entry) {
            match self.look(&name).await {
                Ok(found) => match found.label(LABEL_OWNER) {
                    Some(owner) if owner != self.options.owner => {
                        tracing::warn!(name, owner, "a container belongs to another agent");
                    }
                    _ => return Ok(Some(found)),
                },
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Goes through all containers with our label, once the engine answers.
    async fn sweep(&self) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.sweep_once().await {
            tracing::debug!(%error, "cannot list containers yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn sweep_once(&self) -> Result<(), EngineError> {
        let label = format!("{LABEL_OWNER}={}", self.options.owner);
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
            ..ListContainersOptions::default()
        };
        let listed = self
            .engine
            .call(
                "list containers",
                self.options.deadlines.question,
                |docker| async move { docker.list_containers(Some(options)).await },
            )
            .await?;
        for summary in listed {
            let Some(engine_id) = summary.id else {
                continue;
            };
            let labels = summary.labels.unwrap_or_default();
            // The filter is the engine's; what is killed is checked here.
            if labels.get(LABEL_OWNER) != Some(&self.options.owner) {
                continue;
            }
            let id = labels
                .get(LABEL_CONTAINER)
                .map(|id| ContainerId::from(id.as_str()));
            if id.as_ref().is_some_and(|id| self.entry(id).is_some()) {
                continue;
            }
            self.stray(&engine_id, id.as_ref()).await;
        }
        Ok(())
    }

    /// A container of ours that the agent does not know.
    async fn stray(&self, engine_id: &str, id: Option<&ContainerId>) {
        let found = match self.look(engine_id).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(engine_id, %error, "cannot look at a container");
                return;
            }
        };
        if !found.is_running() && !found.is_created() {
            self.remove_later(&found);
            return;
        }
        if !self.options.kill_orphans {
            tracing::warn!(engine_id, name = found.name, container_id = ?id, "left an orphan alone");
            return;
        }
        tracing::warn!(engine_id, name = found.name, container_id = ?id, "killing an orphan");
        if let Err(error) = self.signal(engine_id, "SIGKILL").await {
            tracing::debug!(engine_id, %error, "cannot kill");
        }
        let deadline = self.options.deadlines.remove;
        if let Err(error) = removal::remove(&self.engine, engine_id, deadline).await {
            tracing::warn!(engine_id, %error, "cannot remove an orphan yet");
            self.removals.lingering(engine_id);
        }
    }
}
