//! An executor's side of the executor API.

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mesos_wire::{
    Encoding,
    v1::{
        ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus,
        executor::{Call, Event, call, event},
        task_status::Source,
    },
};
use uuid::Uuid;

use crate::{Error, EventStream, HttpClient, scheduler::with_causes};

/// Pause between two attempts to reach the agent. Source: `MESOS_SUBSCRIPTION_BACKOFF_MAX`, whose
/// default is 2 s; ours is fixed and shorter because an agent is back sooner.
const RETRY: Duration = Duration::from_millis(200);
/// Longest silence of the agent: three of its heartbeats of 30 min.
const PATIENCE: Duration = Duration::from_secs(90 * 60);
/// How long to look for a restarted agent. Source: agent flag `recovery_timeout`.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// What the agent tells an executor through its environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// `ip:port` of the agent: `MESOS_AGENT_ENDPOINT`.
    pub agent: String,
    /// `MESOS_FRAMEWORK_ID`.
    pub framework_id: FrameworkId,
    /// `MESOS_EXECUTOR_ID`.
    pub executor_id: ExecutorId,
    /// Whether to wait for an agent that restarts: `MESOS_CHECKPOINT`.
    pub checkpoint: bool,
}

impl Environment {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// The name of a variable that is missing.
    pub fn read() -> Result<Self, &'static str> {
        let get = |name: &'static str| env::var(name).map_err(|_| name);
        Ok(Self {
            agent: get("MESOS_AGENT_ENDPOINT")?,
            framework_id: get("MESOS_FRAMEWORK_ID")?.into(),
            executor_id: get("MESOS_EXECUTOR_ID")?.into(),
            checkpoint: get("MESOS_CHECKPOINT").is_ok_and(|v| v == "1" || v == "true"),
        })
    }
}

/// A connection to the agent that is made again when the agent restarts, together with what the
/// agent has not acknowledged yet.
#[derive(Debug)]
pub struct Session {
    url: String,
    environment: Environment,
    http: HttpClient,
    stream: Option<EventStream<Event>>,
    lost_at: Instant,
    subscribed_before: bool,
    /// In order of arrival; taken out with the first acknowledgement.
    tasks: BTreeMap<String, TaskInfo>,
    /// In order of sending.
    updates: Vec<call::Update>,
}

impl Session {
    /// For the executor that `environment` describes; subscribes at the first [`Session::next`].
    pub fn new(environment: Environment) -> Self {
        Self {
            url: format!("http://{}/api/v1/executor", environment.agent),
            environment,
            http: HttpClient::new(),
            stream: None,
            lost_at: Instant::now(),
            subscribed_before: false,
            tasks: BTreeMap::new(),
            updates: Vec::new(),
        }
    }

    /// The next event of the agent. Cancel safe once subscribed.
    ///
    /// # Errors
    /// The agent is gone, and does not come back in time or is not waited for. The executor must
    /// then end its tasks and itself.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.subscribe().await?;
                continue;
            };
            match stream.next().await {
                Ok(Some(event)) => {
                    self.note(&event);
                    return Ok(event);
                }
                Ok(None) => {}
                Err(e) => tracing::debug!(error = %with_causes(&e), "lost the agent"),
            }
            self.stream = None;
            self.lost_at = Instant::now();
            if !self.environment.checkpoint {
                return Err(Error::NotSubscribed);
            }
        }
    }

    fn note(&mut self, event: &Event) {
        let launched = event.launch.iter().map(|l| &l.task);
        let group = event.launch_group.iter().flat_map(|l| &l.task_group.tasks);
        for task in launched.chain(group) {
            self.tasks.insert(task.task_id.value.clone(), task.clone());
        }
        if let (event::Type::Acknowledged, Some(ack)) = (event.r#type(), &event.acknowledged) {
            self.tasks.remove(&ack.task_id.value);
            self.updates
                .retain(|u| u.status.uuid.as_deref() != Some(&ack.uuid));
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        let call = Call {
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe {
                unacknowledged_tasks: self.tasks.values().cloned().collect(),
                unacknowledged_updates: self.updates.clone(),
            }),
            ..self.call()
        };
        match self
            .http
            .post(&self.url, Encoding::Protobuf, &call, None)
            .await
        {
            Ok(answer) => {
                self.subscribed_before = true;
                let stream = EventStream::new(&self.url, answer, Encoding::Protobuf, PATIENCE);
                self.stream = Some(stream);
                Ok(())
            }
            Err(
                e @ Error::Refused {
                    status: 400..=499, ..
                },
            ) => Err(e),
            Err(e) if self.lost_at.elapsed() >= RECOVERY_TIMEOUT => Err(Error::GaveUp {
                seconds: self.lost_at.elapsed().as_secs(),
                last: with_causes(&e),
            }),
            Err(e) if self.subscribed_before && !self.environment.checkpoint => Err(e),
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
        }
    }

    fn call(&self) -> Call {
        Call {
            executor_id: self.environment.executor_id.clone(),
            framework_id: self.environment.framework_id.clone(),
            ..Default::default()
        }
    }

    /// Reports a state of a task. Kept and sent again until the agent acknowledges it, so an error
    /// only says that the agent does not have it yet.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn update(
        &mut self,
        task: &TaskId,
        state: TaskState,
        message: Option<String>,
    ) -> Result<(), Error> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let status = TaskStatus {
            task_id: task.clone(),
            state: state.into(),
            message,
            source: Some(Source::Executor.into()),
            executor_id: Some(self.environment.executor_id.clone()),
            timestamp: Some(now.as_secs_f64()),
            uuid: Some(Uuid::new_v4().as_bytes().to_vec()),
            ..Default::default()
        };
        let update = call::Update { status };
        self.updates.push(update.clone());
        let call = Call {
            r#type: Some(call::Type::Update.into()),
            update: Some(update),
            ..self.call()
        };
        self.http
            .post(&self.url, Encoding::Protobuf, &call, None)
            .await
            .map(drop)
    }

    /// Sends bytes to the framework; may be lost.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn message(&self, data: Vec<u8>) -> Result<(), Error> {
        let call = Call {
            r#type: Some(call::Type::Message.into()),
            message: Some(call::Message { data }),
            ..self.call()
        };
        self.http
            .post(&self.url, Encoding::Protobuf, &call, None)
            .await
            .map(drop)
    }
}
