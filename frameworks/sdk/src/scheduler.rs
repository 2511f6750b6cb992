//! A framework's side of the scheduler API.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use mesos_wire::{
    Encoding,
    v1::{
        self, FrameworkId, FrameworkInfo, OfferId, TaskId, TaskInfo, TaskStatus,
        scheduler::{Call, Event, call, event},
    },
};

use mesos_detector::{Detected, Detector, Leader};

use crate::{Error, EventStream, HttpClient, MasterAddress, masters::no_leader};

/// Where frameworks call.
const PATH: &str = "/api/v1/scheduler";

/// Heartbeats that may be missed before a stream counts as dead.
const MISSED_HEARTBEATS: f64 = 5.0;
/// Bounds of the pause between two attempts to subscribe.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a session reports.
#[derive(Debug)]
pub enum Happening {
    /// An event of the master; SUBSCRIBED among them, once for each subscription.
    Event(Box<Event>),
    /// The stream ended; the session is subscribing again.
    Disconnected(Error),
}

#[derive(Debug, Default)]
struct Shared {
    framework_id: Option<FrameworkId>,
    /// The subscription: the URL of the master that took it, and its stream.
    stream: Option<(String, String)>,
}

/// Makes calls for a subscribed framework. Cheap to clone, usable from several tasks.
#[derive(Debug, Clone)]
pub struct Caller {
    encoding: Encoding,
    http: HttpClient,
    shared: Arc<Mutex<Shared>>,
}

/// A framework that stays subscribed: over broken streams, restarts of masters and changes of the leader it
/// subscribes again with the same framework id, for as long as its failover timeout allows.
///
/// A master that does not lead answers 307 and is believed; one that cannot answer yet (503) is asked again.
#[derive(Debug)]
pub struct Session {
    detector: Detector,
    /// Whom the detector named when we subscribed last.
    leader: Option<Leader>,
    caller: Caller,
    framework: FrameworkInfo,
    stream: Option<EventStream<Event>>,
    /// How long to go on without a subscription.
    give_up_after: Duration,
    lost_at: Instant,
    backoff: Duration,
}

impl Session {
    /// A session with the master at this address, or the one it names; see [`Session::following`].
    pub fn new(
        master: &MasterAddress,
        encoding: Encoding,
        framework: FrameworkInfo,
        give_up_after: Duration,
    ) -> Self {
        let detector = Detector::single(master.clone());
        Self::following(detector, encoding, framework, give_up_after)
    }

    /// A session with the master that leads. It subscribes at the first call of [`Session::next`].
    /// `give_up_after` counts from the loss of a subscription, and from now for the first one.
    pub fn following(
        detector: Detector,
        encoding: Encoding,
        framework: FrameworkInfo,
        give_up_after: Duration,
    ) -> Self {
        let shared = Shared {
            framework_id: framework.id.clone(),
            stream: None,
        };
        let caller = Caller {
            encoding,
            http: HttpClient::new(),
            shared: Arc::new(Mutex::new(shared)),
        };
        let (backoff, lost_at) = (BACKOFF.0, Instant::now());
        Self {
            detector,
            leader: None,
            caller,
            framework,
            stream: None,
            give_up_after,
            lost_at,
            backoff,
        }
    }

    /// For calls, also from other tasks.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The next thing that happens. Cancel safe once subscribed.
    ///
    /// # Errors
    /// The master refused the framework for good, or no subscription could be had in time.
    pub async fn next(&mut self) -> Result<Happening, Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.subscribe().await?;
                continue;
            };
            let mut masters = self.detector.watch();
            let next = tokio::select! {
                next = stream.next() => Some(next),
                // Whoever led before may not even know yet that it does not.
                () = superseded(&mut masters, self.leader.as_ref()) => None,
            };
            let url = stream.url().to_owned();
            let ended = match next {
                None => Error::Superseded { url },
                Some(Ok(Some(event))) => {
                    self.note(&event);
                    if event.r#type() == event::Type::Error {
                        let message = event.error.map(|e| e.message).unwrap_or_default();
                        return Err(Error::FrameworkError(message));
                    }
                    return Ok(Happening::Event(Box::new(event)));
                }
                Some(Ok(None)) => Error::Protocol {
                    url,
                    problem: "the event stream was closed".to_owned(),
                },
                Some(Err(e)) => e,
            };
            self.stream = None;
            self.lost_at = Instant::now();
            self.caller.lock().stream = None;
            return Ok(Happening::Disconnected(ended));
        }
    }

    fn note(&mut self, event: &Event) {
        let Some(subscribed) = &event.subscribed else {
            return;
        };
        self.caller.lock().framework_id = Some(subscribed.framework_id.clone());
        self.framework.id = Some(subscribed.framework_id.clone());
        self.backoff = BACKOFF.0;
        let heartbeat = subscribed.heartbeat_interval_seconds.unwrap_or(15.0);
        if let (Some(stream), true) = (&mut self.stream, heartbeat.is_finite() && heartbeat > 0.0) {
            let patience = (heartbeat * MISSED_HEARTBEATS).min(3600.0);
            stream.set_patience(Duration::from_secs_f64(patience));
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        match self.subscribe_once().await {
            Ok(()) => Ok(()),
            Err(
                e @ Error::Refused {
                    status: 400..=499, ..
                },
            ) => Err(e),
            Err(e) if self.lost_at.elapsed() >= self.give_up_after => Err(Error::GaveUp {
                seconds: self.lost_at.elapsed().as_secs(),
                last: with_causes(&e),
            }),
            Err(e) => {
                tracing::debug!(error = %with_causes(&e), "cannot subscribe yet");
                let mut masters = self.detector.watch();
                tokio::select! {
                    () = tokio::time::sleep(self.backoff) => {}
                    () = superseded(&mut masters, self.leader.as_ref()) => {}
                }
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                Ok(())
            }
        }
    }

    async fn subscribe_once(&mut self) -> Result<(), Error> {
        let now = self.detector.watch().borrow().clone();
        let url = match now.address() {
            Some(address) => address.url(PATH),
            None => return Err(no_leader(now.problem)),
        };
        self.leader = now.leader;
        let call = Call {
            framework_id: self.framework.id.clone(),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe {
                framework_info: self.framework.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let Caller { encoding, http, .. } = &self.caller;
        let answer = http.post(&url, *encoding, &call, None).await?;
        // After a 307, that of the master that took us.
        let url = answer.url().to_string();
        let stream_id = answer
            .headers()
            .get("Mesos-Stream-Id")
            .and_then(|v| v.to_str().ok());
        let Some(stream_id) = stream_id else {
            let problem = "no Mesos-Stream-Id in the answer to SUBSCRIBE".to_owned();
            return Err(Error::Protocol { url, problem });
        };
        self.caller.lock().stream = Some((url.clone(), stream_id.to_owned()));
        let patience = Duration::from_secs(30);
        self.stream = Some(EventStream::new(&url, answer, *encoding, patience));
        Ok(())
    }
}

/// Answers when another master leads than the one we turned to; at once when there was none and now is.
async fn superseded(masters: &mut watch::Receiver<Detected>, leader: Option<&Leader>) {
    let other = masters.wait_for(|now| match leader {
        Some(leader) => now.supersedes(leader),
        None => now.leader.is_some(),
    });
    if other.await.is_err() {
        // Nobody looks any more.
        std::future::pending::<()>().await;
    }
}

impl Caller {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id the master gave, once there was a subscription.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.lock().framework_id.clone()
    }

    /// Makes a call; `framework_id` and the stream are filled in. An `Ok` says that the master
    /// has taken the call, not what came of it.
    ///
    /// # Errors
    /// [`Error::NotSubscribed`], no answer, or a refusal.
    pub async fn call(&self, mut call: Call) -> Result<(), Error> {
        let (id, stream) = {
            let shared = self.lock();
            (shared.framework_id.clone(), shared.stream.clone())
        };
        let (Some(id), Some((url, stream))) = (id, stream) else {
            return Err(Error::NotSubscribed);
        };
        call.framework_id = Some(id);
        self.http
            .post(&url, self.encoding, &call, Some(&stream))
            .await
            .map(drop)
    }

    /// Accepts offers, launching tasks on them; what is left of them is declined for
    /// `refuse_seconds` (the master's default of 5 s if `None`).
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn launch(
        &self,
        offers: Vec<OfferId>,
        tasks: Vec<TaskInfo>,
        refuse_seconds: Option<f64>,
    ) -> Result<(), Error> {
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..Default::default()
        };
        self.call(Call {
            r#type: Some(call::Type::Accept.into()),
            accept: Some(call::Accept {
                offer_ids: offers,
                operations: vec![operation],
                filters: refuse_seconds.map(|s| v1::Filters {
                    refuse_seconds: Some(s),
                }),
            }),
            ..Default::default()
        })
        .await
    }

    /// Declines offers.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn decline(
        &self,
        offers: Vec<OfferId>,
        refuse_seconds: Option<f64>,
    ) -> Result<(), Error> {
        self.call(Call {
            r#type: Some(call::Type::Decline.into()),
            decline: Some(call::Decline {
                offer_ids: offers,
                filters: refuse_seconds.map(|s| v1::Filters {
                    refuse_seconds: Some(s),
                }),
            }),
            ..Default::default()
        })
        .await
    }

    /// Acknowledges a status update; one without uuid needs none, and nothing is sent.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn acknowledge(&self, status: &TaskStatus) -> Result<(), Error> {
        let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) else {
            return Ok(());
        };
        let task_id = status.task_id.clone();
        self.call(Call {
            r#type: Some(call::Type::Acknowledge.into()),
            acknowledge: Some(call::Acknowledge {
                agent_id,
                task_id,
                uuid,
            }),
            ..Default::default()
        })
        .await
    }

    /// Asks for a task to be killed.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn kill(&self, task_id: TaskId, agent_id: Option<v1::AgentId>) -> Result<(), Error> {
        self.call(Call {
            r#type: Some(call::Type::Kill.into()),
            kill: Some(call::Kill {
                task_id,
                agent_id,
                ..Default::default()
            }),
            ..Default::default()
        })
        .await
    }

    /// Asks for the states of some tasks, or of all for an empty list.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn reconcile(&self, tasks: Vec<TaskId>) -> Result<(), Error> {
        let tasks = tasks
            .into_iter()
            .map(|task_id| call::reconcile::Task {
                task_id,
                agent_id: None,
            })
            .collect();
        self.call(Call {
            r#type: Some(call::Type::Reconcile.into()),
            reconcile: Some(call::Reconcile { tasks }),
            ..Default::default()
        })
        .await
    }

    /// Asks for no more offers.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn suppress(&self) -> Result<(), Error> {
        self.call(Call {
            r#type: Some(call::Type::Suppress.into()),
            ..Default::default()
        })
        .await
    }

    /// Asks for offers again, forgetting all filters.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn revive(&self) -> Result<(), Error> {
        self.call(Call {
            r#type: Some(call::Type::Revive.into()),
            ..Default::default()
        })
        .await
    }

    /// Ends the framework and all its tasks.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn teardown(&self) -> Result<(), Error> {
        self.call(Call {
            r#type: Some(call::Type::Teardown.into()),
            ..Default::default()
        })
        .await
    }
}

/// An error and everything beneath it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
