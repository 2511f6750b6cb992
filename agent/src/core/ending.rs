//! A container has ended: what that makes of its tasks, and what is cleaned up.

use std::time::Duration;

use mesos_containerizer_api::{ContainerError, Termination};
use mesos_control::v1::ExecutorExited;
use mesos_types::{ContainerId, ExecutorId, Format, FrameworkId};
use mesos_wire::v1::{TaskResourceLimitation, TaskState, task_status::Reason};

use super::{Core, Effect, Timer, pipeline::chain, updates::NewStatus};
use crate::state::{ExecutorKind, ExecutorPhase, FrameworkPhase};

/// Pause before a wait that failed is tried again.
const WAIT_AGAIN: Duration = Duration::from_secs(1);

impl Core {
    pub(super) fn ended(
        &mut self,
        container: &ContainerId,
        result: Result<Option<Termination>, ContainerError>,
    ) {
        if self
            .executor_of(container)
            .is_none_or(|e| e.phase == ExecutorPhase::Terminated)
        {
            return;
        }
        let termination = match result {
            Ok(termination) => termination,
            Err(error) => {
                tracing::error!(%container, error = %chain(&error), "cannot tell how a container ended; asking again");
                let at = self.after(WAIT_AGAIN);
                self.timers.set(Timer::Wait(container.clone()), at);
                return;
            }
        };
        if self.relaunch_if_never_up(container, termination.as_ref()) {
            return;
        }
        let kind = self.executor_of(container).map(|executor| executor.kind);
        let raw = termination
            .as_ref()
            .and_then(|termination| termination.status);
        tracing::info!(%container, status = ?raw, "a container has ended");
        let termination = termination.unwrap_or_default();
        match kind {
            Some(ExecutorKind::Command | ExecutorKind::Docker) => {
                self.command_ended(container, &termination);
            }
            Some(ExecutorKind::Custom) => self.executor_ended(container, &termination),
            None => return,
        }
        self.executor_terminated(container);
        self.effect(Effect::Forget(container.clone()));
    }

    /// The end of a command task, told in the name of the executor that it does not have.
    fn command_ended(&mut self, container: &ContainerId, termination: &Termination) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let kill = run.kill;
        let pending = run.pending.clone();
        let is_docker = self
            .executor_of(container)
            .is_some_and(|executor| executor.kind == ExecutorKind::Docker);
        if let Some(limitation) = &termination.limitation {
            self.limited(
                container,
                limitation.reason,
                &limitation.message,
                &limitation.resources,
            );
            return;
        }
        if let Some(verdict) = pending {
            let new = NewStatus::agent(verdict.state, verdict.reason, verdict.message);
            self.end_tasks(container, &new);
            return;
        }
        let Some(status) = termination.status else {
            let more = termination
                .message
                .as_deref()
                .unwrap_or("unknown container");
            // Whoever asked for its end gets that; otherwise nobody knows.
            if kill.is_some_and(|kill| !kill.overran) {
                let mut new = NewStatus::executor(TaskState::TaskKilled);
                new.message = termination.message.clone();
                self.speak(container, new, None);
            } else {
                let text = format!("Abnormal executor termination: {more}");
                let new = NewStatus::agent(TaskState::TaskFailed, Reason::ExecutorTerminated, text);
                self.end_tasks(container, &new);
            }
            return;
        };
        let mut new = NewStatus::executor(match kill {
            Some(kill) if kill.overran => TaskState::TaskFailed,
            Some(_) => TaskState::TaskKilled,
            None if status == 0 => TaskState::TaskFinished,
            None => TaskState::TaskFailed,
        });
        if kill.is_some_and(|kill| kill.overran) {
            new.reason = Some(Reason::MaxCompletionTimeReached);
        }
        let mut text = describe(status, is_docker);
        if let Some(more) = &termination.message {
            text.push_str(": ");
            text.push_str(more);
        }
        new.message = Some(text);
        self.speak(container, new, None);
    }

    fn limited(
        &mut self,
        container: &ContainerId,
        reason: Reason,
        message: &str,
        used: &mesos_types::Resources,
    ) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        let role = self.executor_of(container).and_then(|executor| {
            let task = executor.tasks.values().next()?;
            super::generate::role_of(&task.info)
        });
        let used = match (role, used.allocation_roles().is_empty()) {
            (Some(role), true) => used.allocated_to(&role),
            _ => used.clone(),
        };
        for task in self.live_tasks(container) {
            let new = NewStatus::agent(TaskState::TaskFailed, reason, message);
            self.task_update(&framework, &executor, &task, new, |status| {
                status.limitation = Some(TaskResourceLimitation {
                    resources: used.to_wire(Format::PostRefinement),
                });
            });
        }
    }

    /// The end of a framework's executor: its tasks end with it, and the master is told.
    fn executor_ended(&mut self, container: &ContainerId, termination: &Termination) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let executor = run.executor.clone();
        let framework = run.framework.clone();
        if let Some(limitation) = &termination.limitation {
            self.limited(
                container,
                limitation.reason,
                &limitation.message,
                &limitation.resources,
            );
        } else {
            let (state, reason, begin) = match &run.pending {
                Some(verdict) => (verdict.state, verdict.reason, Some(verdict.message.clone())),
                None => (TaskState::TaskFailed, Reason::ExecutorTerminated, None),
            };
            let mut parts: Vec<String> = begin.into_iter().collect();
            parts.extend(termination.message.clone());
            if termination.status.is_none() && parts.is_empty() {
                parts.push("Abnormal executor termination: unknown container".to_owned());
            }
            if parts.is_empty() {
                parts.push("Executor terminated".to_owned());
            }
            self.end_tasks(
                container,
                &NewStatus::agent(state, reason, parts.join("; ")),
            );
        }
        self.report_exit(&framework, &executor, termination.status);
    }

    /// Tells the master that an executor of a framework has ended, or never came up.
    pub(super) fn report_exit(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) {
        let is_heard = self
            .state
            .frameworks
            .get(framework)
            .is_some_and(|framework| framework.phase == FrameworkPhase::Running);
        if is_heard {
            self.executor_exited(ExecutorExited {
                framework_id: Some(framework.into()),
                executor_id: Some(executor.into()),
                status: status.unwrap_or(-1),
            });
        }
    }

    /// The container is gone, and its tasks have their ends.
    pub(super) fn executor_terminated(&mut self, container: &ContainerId) {
        self.cancel_timers(container);
        self.release(container);
        // What is still under way for the launch comes too late.
        self.skip_to_end(container);
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        run.config = None;
        let connection = run.connection.take();
        if let Some(connection) = connection {
            self.connections.remove(&connection);
            self.effect(Effect::CloseExecutor(connection));
        }
        let Some(found) = self.executor_of_mut(container) else {
            return;
        };
        found.phase = ExecutorPhase::Terminated;
        let sandbox = found.sandbox.clone();
        if found.kind == ExecutorKind::Custom {
            // For generated ones the task's last update says it.
            self.persist_executor(container);
        }
        self.state.counters.executors_terminated += 1;
        self.effect(Effect::Collect(sandbox));
        let ends = self
            .state
            .frameworks
            .get(&framework)
            .is_some_and(|framework| framework.phase == FrameworkPhase::Terminating);
        if ends {
            // Nobody acknowledges any more.
            let tasks: Vec<_> = self
                .state
                .executor(&framework, &executor)
                .map(|executor| executor.tasks.keys().cloned().collect())
                .unwrap_or_default();
            for task in tasks {
                let key = (framework.clone(), task.clone());
                self.streams.remove(&key);
                self.timers
                    .cancel(&Timer::Retry(framework.clone(), task.clone()));
                self.persist_stream_end(&framework, &task);
                self.task_done(&framework, &task);
            }
        }
        self.remove_executor_if_done(&framework, &executor);
    }
}

/// What the executors of Mesos say about a raw wait status.
pub(super) fn describe(status: i32, is_docker: bool) -> String {
    let subject = if is_docker { "Container" } else { "Command" };
    let signal = status & 0x7f;
    if signal == 0 {
        return format!("{subject} exited with status {}", (status >> 8) & 0xff);
    }
    let core = if status & 0x80 != 0 {
        " (core dumped)"
    } else {
        ""
    };
    format!(
        "{subject} terminated with signal {}{core}",
        signal_name(signal)
    )
}

/// The names that strsignal(3) of the GNU C library gives.
fn signal_name(signal: i32) -> String {
    use nix::sys::signal::Signal;
    let Ok(known) = Signal::try_from(signal) else {
        return if (34..=64).contains(&signal) {
            format!("Real-time signal {}", signal - 34)
        } else {
            format!("Unknown signal {signal}")
        };
    };
    match known {
        Signal::SIGHUP => "Hangup",
        Signal::SIGINT => "Interrupt",
        Signal::SIGQUIT => "Quit",
        Signal::SIGILL => "Illegal instruction",
        Signal::SIGTRAP => "Trace/breakpoint trap",
        Signal::SIGABRT => "Aborted",
        Signal::SIGBUS => "Bus error",
        Signal::SIGFPE => "Floating point exception",
        Signal::SIGKILL => "Killed",
        Signal::SIGUSR1 => "User defined signal 1",
        Signal::SIGSEGV => "Segmentation fault",
        Signal::SIGUSR2 => "User defined signal 2",
        Signal::SIGPIPE => "Broken pipe",
        Signal::SIGALRM => "Alarm clock",
        Signal::SIGTERM => "Terminated",
        Signal::SIGSTKFLT => "Stack fault",
        Signal::SIGCHLD => "Child exited",
        Signal::SIGCONT => "Continued",
        Signal::SIGSTOP => "Stopped (signal)",
        Signal::SIGTSTP => "Stopped",
        Signal::SIGTTIN => "Stopped (tty input)",
        Signal::SIGTTOU => "Stopped (tty output)",
        Signal::SIGURG => "Urgent I/O condition",
        Signal::SIGXCPU => "CPU time limit exceeded",
        Signal::SIGXFSZ => "File size limit exceeded",
        Signal::SIGVTALRM => "Virtual timer expired",
        Signal::SIGPROF => "Profiling timer expired",
        Signal::SIGWINCH => "Window changed",
        Signal::SIGIO => "I/O possible",
        Signal::SIGPWR => "Power failure",
        Signal::SIGSYS => "Bad system call",
        other => return other.to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_as_those_of_the_executors_of_mesos() {
        for (status, is_docker, text) in [
            (0, false, "Command exited with status 0"),
            (3 << 8, false, "Command exited with status 3"),
            (5 << 8, true, "Container exited with status 5"),
            (137 << 8, true, "Container exited with status 137"),
            (9, false, "Command terminated with signal Killed"),
            (15, false, "Command terminated with signal Terminated"),
            (
                11 | 0x80,
                false,
                "Command terminated with signal Segmentation fault (core dumped)",
            ),
            (
                40,
                false,
                "Command terminated with signal Real-time signal 6",
            ),
        ] {
            assert_eq!(describe(status, is_docker), text);
        }
    }
}
