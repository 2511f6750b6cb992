//! Learns of the end of a container, brings it about where asked, and says how it ended.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bollard::query_parameters::{EventsOptions, WaitContainerOptions};
use futures::StreamExt as _;
use mesos_containerizer_api::{Limitation, Termination};
use mesos_types::{Resource, Resources, Scalar};
use mesos_wire::v1::task_status::Reason;

use crate::{
    advice,
    containerizer::Inner,
    engine::EngineError,
    entry::{Entry, Phase},
    inspect::Inspect,
    output::{self, Output},
    removal,
};

/// First pause after a question to the engine failed; doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// When a container is looked at although the engine has not said that it ended: engines have been
/// seen to forget.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// Between two attempts to kill.
const KILL_AGAIN: Duration = Duration::from_secs(1);
/// How long the engine's word that memory ran out is waited for once a process was killed: it
/// learns of the one and of the other on different ways, by 0.13 s apart on a busy machine.
const OOM_WAIT: Duration = Duration::from_secs(1);
/// How far before the end such a word is looked for, in seconds.
const OOM_BEFORE: u64 = 10;
/// Exit status of a process that SIGKILL ended.
const KILLED: i32 = 137;

impl Inner {
    /// Watches a started container to its end; `resume`: its output may have been copied in part.
    pub(crate) fn supervise(self: &Arc<Self>, entry: &Arc<Entry>, resume: bool) {
        let (inner, entry) = (Arc::clone(self), Arc::clone(entry));
        let stop = self.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(inner.until_ended(&entry, resume))
                .await;
        });
    }

    async fn until_ended(&self, entry: &Entry, resume: bool) {
        let output = self.start_output(entry, resume);
        let end = tokio::select! {
            end = self.end_of(entry) => end,
            never = self.kill_when_asked(entry) => match never {},
        };
        let termination = self.termination(entry, end.as_ref()).await;
        let held = tokio::time::timeout(self.options.deadlines.output, output.complete()).await;
        if held.is_err() {
            tracing::warn!(
                container_id = %entry.config.id,
                "the end of a container's output is late; it will follow"
            );
        }
        if let Some(end) = &end {
            self.remove_later(end);
        }
        tracing::info!(
            container_id = %entry.config.id,
            status = ?termination.status,
            limitation = ?termination.limitation.as_ref().map(|l| l.reason),
            "a docker container has ended"
        );
        entry.set_phase(Phase::Ended(termination));
    }

    fn start_output(&self, entry: &Entry, resume: bool) -> Output {
        let arguments = mesos_docker_logs::Arguments {
            resume,
            ..self.output_arguments(entry)
        };
        output::start(&self.options, arguments, self.stop.clone())
    }

    /// What the writer of this container's output is told.
    pub(crate) fn output_arguments(&self, entry: &Entry) -> mesos_docker_logs::Arguments {
        let (container, tty) = {
            let facts = entry.facts();
            (facts.reference.clone(), facts.tty)
        };
        mesos_docker_logs::Arguments {
            socket: self.engine.socket().to_owned(),
            container,
            position: self.position_file(entry),
            stdout: entry.config.sandbox.join("stdout"),
            stderr: entry.config.sandbox.join("stderr"),
            tty,
            resume: false,
        }
    }

    /// Answers once the container does not run any more: how the engine remembers it, or `None`
    /// when somebody has removed it.
    async fn end_of(&self, entry: &Entry) -> Option<Inspect> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.long_wait(entry).await;
            match self.look(&entry.reference()).await {
                Ok(inspect) if !inspect.is_running() => return Some(inspect),
                Ok(_) => {}
                Err(error) if error.is_not_found() => return None,
                Err(error) => {
                    if pause >= LONGEST_PAUSE {
                        tracing::warn!(
                            container_id = %entry.config.id,
                            %error,
                            "cannot learn whether a container runs; asking again"
                        );
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One call that the engine answers at the container's end. Whatever it answers, a look
    /// follows, so errors need no care here.
    async fn long_wait(&self, entry: &Entry) {
        let question = self.options.deadlines.question;
        let Ok(Ok(client)) = tokio::time::timeout(question, self.engine.client()).await else {
            return;
        };
        let options = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        let reference = entry.reference();
        let mut answers = std::pin::pin!(client.wait_container(&reference, Some(options)));
        let _looked_at_next = tokio::time::timeout(LOOK_ANYWAY, answers.next()).await;
    }

    pub(crate) async fn look(&self, reference: &str) -> Result<Inspect, EngineError> {
        let bytes = self
            .engine
            .inspect(reference, self.options.deadlines.question)
            .await?;
        Inspect::parse(&bytes).map_err(|error| EngineError::Broken {
            call: "inspect container".to_owned(),
            message: error.to_string(),
        })
    }

    /// Once asked, kills again and again; `end_of` notices that it worked.
    async fn kill_when_asked(&self, entry: &Entry) -> std::convert::Infallible {
        entry.stop.cancelled().await;
        let reference = entry.reference();
        if !self.options.stop_timeout.is_zero() {
            let signal = entry
                .facts()
                .stop_signal
                .clone()
                .unwrap_or_else(|| "SIGTERM".to_owned());
            if self.signal(&reference, &signal).await.is_ok() {
                tokio::time::sleep(self.options.stop_timeout).await;
            }
        }
        loop {
            match self.signal(&reference, "SIGKILL").await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error @ EngineError::Refused { .. }) => {
                    // Not running, or paused: removal by force ends both.
                    tracing::debug!(container_id = %entry.config.id, %error, "cannot kill");
                    self.unpause(&reference).await;
                }
                Err(error) => {
                    tracing::warn!(
                        container_id = %entry.config.id,
                        %error,
                        "the engine does not kill a container; killing its first process"
                    );
                    kill_process(entry);
                }
            }
            tokio::time::sleep(KILL_AGAIN).await;
        }
    }

    async fn unpause(&self, reference: &str) {
        let result = self
            .engine
            .call(
                "unpause container",
                self.options.deadlines.question,
                |docker| async move { docker.unpause_container(reference).await },
            )
            .await;
        if let Err(error) = result {
            tracing::trace!(%error, "not paused");
        }
    }

    /// How it ended, in the agent's terms.
    async fn termination(&self, entry: &Entry, end: Option<&Inspect>) -> Termination {
        let Some(end) = end else {
            return Termination {
                message: Some("the container was removed from the Docker engine".to_owned()),
                ..Termination::default()
            };
        };
        let code = end.state.exit_code;
        let asked = entry.stop.is_cancelled() || entry.killed.load(Ordering::Relaxed);
        let unexplained = code == KILLED && !asked && end.host_config.memory > 0;
        let out_of_memory =
            end.state.oom_killed || (unexplained && self.ran_out_of_memory(&end.id).await);
        let message = if end.state.error.is_empty() {
            advice::exit_hint(code).map(str::to_owned)
        } else {
            Some(end.state.error.clone())
        };
        Termination {
            // What wait(2) would have said: Docker has made signals into 128 + n already.
            status: Some((code & 0xff) << 8),
            limitation: (out_of_memory && code != 0 && !asked).then(|| memory_limitation(end)),
            message,
        }
    }

    /// Whether the engine has told, or tells within a moment, that memory ran out. What inspect says
    /// is settled at the end, so a word that comes later only stands among the events.
    async fn ran_out_of_memory(&self, id: &str) -> bool {
        let question = self.options.deadlines.question;
        let Ok(Ok(client)) = tokio::time::timeout(question, self.engine.client()).await else {
            return false;
        };
        let now = seconds_now();
        let options = EventsOptions {
            since: Some(now.saturating_sub(OOM_BEFORE).to_string()),
            until: Some((now + OOM_WAIT.as_secs() + 1).to_string()),
            filters: Some(HashMap::from([
                ("container".to_owned(), vec![id.to_owned()]),
                ("event".to_owned(), vec!["oom".to_owned()]),
            ])),
        };
        let mut events = std::pin::pin!(client.events(Some(options)));
        matches!(
            tokio::time::timeout(OOM_WAIT, events.next()).await,
            Ok(Some(Ok(_)))
        )
    }

    /// Keeps an ended container for a while, for people who want to look at it.
    pub(crate) fn remove_later(&self, end: &Inspect) {
        let now = seconds_now();
        let finished = removal::finished_at(&end.state.finished_at).unwrap_or(now);
        let age = Duration::from_secs(now.saturating_sub(finished));
        self.removals
            .after(&end.id, self.options.remove_delay.saturating_sub(age));
    }
}

/// Wall clock, which is what the engine writes down.
fn seconds_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

fn memory_limitation(end: &Inspect) -> Limitation {
    let bytes = u64::try_from(end.host_config.memory).unwrap_or_default();
    let mut resources = Resources::new();
    if let Some(mem) = Scalar::from_f64(bytes as f64 / f64::from(1 << 20)) {
        resources.add(Resource::scalar("mem", mem));
    }
    Limitation {
        reason: Reason::ContainerLimitationMemory,
        message: format!(
            "Memory limit exceeded: Requested: {}MB; the kernel killed a process of the container",
            bytes >> 20
        ),
        resources,
    }
}

/// Kills the container's first process without the engine, if the process is still that one.
fn kill_process(entry: &Entry) {
    let (pid, reference) = {
        let facts = entry.facts();
        (facts.status.pid, facts.reference.clone())
    };
    let Some(pid) = pid else { return };
    let ours = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .is_ok_and(|cgroups| reference.len() == 64 && cgroups.contains(&reference));
    if ours && let Ok(pid) = i32::try_from(pid) {
        let _gone = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}
