//! Runs the one task: subscribes, waits for a fitting offer, reports, and follows it to its end.

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use mesos_sdk::{
    Detector, Encoding, Settings,
    scheduler::{Caller, Happening, Session, with_causes},
};
use mesos_types::is_terminal;
use mesos_wire::v1::{
    FrameworkInfo, Offer, Resource, TaskId, TaskInfo, TaskState, TaskStatus,
    framework_info::{Capability, capability},
    scheduler::event,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use uuid::Uuid;

use super::{args::ExecuteArgs, task};
use crate::{explain, listing::state_name};

/// How often the user hears that no offer has fitted yet.
const WAITING_NOTICE: Duration = Duration::from_secs(5);
/// How long a declined offer stays away, in seconds. Short, for this framework does nothing else.
const DECLINE_SECONDS: f64 = 1.0;
/// Exit status after Ctrl-C: 128 + SIGINT, as a shell does.
const INTERRUPTED: u8 = 130;
/// Time the teardown at the end may take.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the task; the exit status is 0 for TASK_FINISHED, the command's own if it is known from
/// the status message, else 1.
pub async fn execute(args: ExecuteArgs) -> Result<ExitCode, String> {
    let template = task::template(&args)?;
    let resources = task::resources(&args)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let session = Session::following(
        Detector::start(args.master.clone(), Settings::default()),
        Encoding::Json,
        framework(&args),
        args.failover_timeout,
    );
    let caller = session.caller();
    let mut run = Run::new(args, template, resources, session);
    let ended = tokio::select! {
        ended = run.follow() => ended,
        () = either(&mut interrupt, &mut terminate) => {
            eprintln!("interrupted: tearing the framework down");
            Ok(ExitCode::from(INTERRUPTED))
        }
    };
    teardown(&caller).await;
    ended
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! { _ = one.recv() => {}, _ = other.recv() => {} }
}

async fn teardown(caller: &Caller) {
    if caller.framework_id().is_none() {
        return;
    }
    let torn = tokio::time::timeout(TEARDOWN_TIMEOUT, caller.teardown()).await;
    let problem = match torn {
        Ok(Ok(())) => return,
        Ok(Err(mesos_sdk::Error::Refused { .. })) => return,
        Ok(Err(e)) => with_causes(&e),
        Err(_) => format!("no answer within {} s", TEARDOWN_TIMEOUT.as_secs()),
    };
    eprintln!("the framework could not be torn down: {problem}; it ends by its failover timeout");
}

fn framework(args: &ExecuteArgs) -> FrameworkInfo {
    use capability::Type;
    let user = args.user.clone().or_else(|| env::var("USER").ok());
    let capabilities = [
        Type::PartitionAware,
        Type::MultiRole,
        Type::ReservationRefinement,
    ];
    FrameworkInfo {
        user: user.unwrap_or_else(|| "root".to_owned()),
        name: args.name.clone(),
        failover_timeout: Some(args.failover_timeout.as_secs_f64()),
        checkpoint: Some(args.checkpoint),
        roles: vec![args.role.clone()],
        capabilities: capabilities
            .into_iter()
            .map(|kind| Capability {
                r#type: Some(kind.into()),
            })
            .collect(),
        ..Default::default()
    }
}

struct Run {
    args: ExecuteArgs,
    template: TaskInfo,
    resources: Vec<Resource>,
    session: Session,
    caller: Caller,
    task_id: TaskId,
    launched: bool,
    kill_at: Option<Instant>,
    last_state: Option<TaskState>,
    last_notice: Instant,
}

impl Run {
    fn new(
        args: ExecuteArgs,
        template: TaskInfo,
        resources: Vec<Resource>,
        session: Session,
    ) -> Self {
        let suffix = Uuid::new_v4().simple().to_string();
        let task_id = TaskId::from(format!("{}.{}", args.name, &suffix[..8]));
        let caller = session.caller();
        Self {
            args,
            template,
            resources,
            session,
            caller,
            task_id,
            launched: false,
            kill_at: None,
            last_state: None,
            last_notice: Instant::now(),
        }
    }

    async fn follow(&mut self) -> Result<ExitCode, String> {
        loop {
            let kill = sleep_until(self.kill_at);
            let happening = tokio::select! {
                happening = self.session.next() => happening,
                () = kill => {
                    self.kill_at = None;
                    eprintln!("killing the task: it has run for --kill_after");
                    self.report(self.caller.kill(self.task_id.clone(), None).await);
                    continue;
                }
            };
            match happening {
                Ok(Happening::Event(event)) => {
                    if let Some(status) = self.event(*event).await {
                        return Ok(exit_code(&status));
                    }
                }
                Ok(Happening::Disconnected(e)) => {
                    eprintln!("lost the master: {}; subscribing again", with_causes(&e));
                }
                Err(e @ mesos_sdk::Error::GaveUp { .. }) => {
                    return Err(format!("no master at {}: {e}", self.args.master));
                }
                Err(e) => return Err(explain(&self.args.master, &e)),
            }
        }
    }

    /// Deals with an event; the status of the task if it has ended.
    async fn event(&mut self, event: mesos_wire::v1::scheduler::Event) -> Option<TaskStatus> {
        match event.r#type() {
            event::Type::Subscribed => self.subscribed().await,
            event::Type::Offers => {
                self.offers(event.offers.map(|o| o.offers).unwrap_or_default())
                    .await;
            }
            event::Type::Update => return self.update(event.update?.status).await,
            _ => {}
        }
        None
    }

    async fn subscribed(&mut self) {
        let id = self
            .caller
            .framework_id()
            .map(|id| id.value)
            .unwrap_or_default();
        if !self.launched {
            eprintln!("subscribed as framework {id}");
            return;
        }
        // What was sent while there was no stream may be lost on either side.
        eprintln!("subscribed again as framework {id}");
        self.report(self.caller.reconcile(vec![self.task_id.clone()]).await);
    }

    async fn offers(&mut self, offers: Vec<Offer>) {
        let mut declined = Vec::new();
        for offer in offers {
            let taken = if self.launched {
                None
            } else {
                fit(&offer, &self.resources)
            };
            let Some(resources) = taken else {
                declined.push(offer.id);
                continue;
            };
            let task = TaskInfo {
                task_id: self.task_id.clone(),
                agent_id: offer.agent_id.clone(),
                resources,
                ..self.template.clone()
            };
            eprintln!(
                "launching task {} on agent {} ({})",
                self.task_id, offer.agent_id, offer.hostname
            );
            self.launched = true;
            let launched = self.caller.launch(vec![offer.id], vec![task], None).await;
            // An accept that got lost is answered by reconciliation after the next subscription.
            self.report(launched);
            self.report(self.caller.suppress().await);
        }
        if declined.is_empty() {
            return;
        }
        if !self.launched && self.last_notice.elapsed() >= WAITING_NOTICE {
            self.last_notice = Instant::now();
            eprintln!(
                "waiting: {} offers, none holds {}",
                declined.len(),
                self.args.resources
            );
        }
        self.report(self.caller.decline(declined, Some(DECLINE_SECONDS)).await);
    }

    async fn update(&mut self, status: TaskStatus) -> Option<TaskStatus> {
        if status.task_id != self.task_id {
            return None;
        }
        self.report(self.caller.acknowledge(&status).await);
        let state = status.state();
        if self.last_state != Some(state) {
            eprintln!("{}", describe(&status));
            self.last_state = Some(state);
            if state == TaskState::TaskRunning && self.kill_at.is_none() {
                self.kill_at = self.args.kill_after.map(|after| Instant::now() + after);
            }
        }
        let gone = matches!(state, TaskState::TaskUnknown);
        (is_terminal(state) || gone).then_some(status)
    }

    fn report(&self, outcome: Result<(), mesos_sdk::Error>) {
        if let Err(e) = outcome {
            tracing::warn!(error = %with_causes(&e), "a call did not get through");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn describe(status: &TaskStatus) -> String {
    let mut text = format!("task {} is {}", status.task_id, state_name(status.state()));
    if status.reason.is_some() {
        text.push_str(&format!(" ({})", status.reason().as_str_name()));
    }
    if let Some(message) = status.message.as_deref().filter(|m| !m.is_empty()) {
        text.push_str(": ");
        text.push_str(message);
    }
    text
}

fn exit_code(status: &TaskStatus) -> ExitCode {
    if status.state() == TaskState::TaskFinished {
        return ExitCode::SUCCESS;
    }
    let own = status
        .message
        .as_deref()
        .and_then(|m| m.rsplit_once("exited with status "));
    let own = own
        .and_then(|(_, code)| code.trim().parse::<u8>().ok())
        .filter(|code| *code != 0);
    ExitCode::from(own.unwrap_or(1))
}

/// The parts of an offer that make up `wanted`, unreserved ones first; `None`: it holds too little.
fn fit(offer: &Offer, wanted: &[Resource]) -> Option<Vec<Resource>> {
    use mesos_types::{Format, Resources};
    let mut left = Resources::from_wire(&offer.resources).ok()?;
    let mut taken = Resources::default();
    for part in wanted {
        let part = Resources::from_wire(std::slice::from_ref(part)).ok()?;
        let found = left.find(&part)?;
        left -= &found;
        taken += &found;
    }
    Some(taken.to_wire(Format::PostRefinement))
}

#[cfg(test)]
mod tests {
    use super::{super::task::scalar, *};

    fn offer(resources: Vec<Resource>) -> Offer {
        Offer {
            resources,
            ..Default::default()
        }
    }

    #[test]
    fn an_offer_fits_only_if_it_holds_everything() {
        let offer = offer(vec![scalar("cpus", 2.0), scalar("mem", 100.0)]);
        let taken = fit(&offer, &[scalar("cpus", 0.5), scalar("mem", 100.0)]).unwrap();
        let amounts: Vec<f64> = taken
            .iter()
            .map(|r| r.scalar.as_ref().unwrap().value)
            .collect();
        assert_eq!(amounts, [0.5, 100.0]);
        assert_eq!(fit(&offer, &[scalar("mem", 101.0)]), None);
        assert_eq!(fit(&offer, &[scalar("gpus", 1.0)]), None);
    }

    #[test]
    fn the_exit_status_is_the_commands_own_where_it_is_known() {
        let code = |state: TaskState, message: &str| {
            exit_code(&TaskStatus {
                state: state.into(),
                message: Some(message.to_owned()),
                ..Default::default()
            })
        };
        let failed = TaskState::TaskFailed;
        assert_eq!(code(TaskState::TaskFinished, ""), ExitCode::SUCCESS);
        assert_eq!(
            code(failed, "Command exited with status 3"),
            ExitCode::from(3)
        );
        assert_eq!(
            code(failed, "Container exited with status 4"),
            ExitCode::from(4)
        );
        assert_eq!(
            code(failed, "Command terminated with signal Killed"),
            ExitCode::from(1)
        );
    }
}
