//! `mesos task log`: what a task wrote, read from the sandbox through its agent.

use std::{io::Write as _, time::Duration};

use clap::Args;
use mesos_sdk::{MasterAddress, operator::Operator};
use mesos_wire::v1::{
    Task,
    agent::{Call, call},
    master,
};

use crate::{
    MasterArgs,
    listing::{ask, state_name},
};

/// How often `-f` looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Arguments of `mesos task log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// Id of the task, or the beginning of one.
    task: String,
    /// File in the sandbox.
    #[arg(default_value = "stdout")]
    file: String,
    /// The task's stderr instead of its stdout.
    #[arg(long, conflicts_with = "file")]
    stderr: bool,
    /// Go on until the task has ended.
    #[arg(short, long)]
    follow: bool,
    /// Of the framework with this id only.
    #[arg(long)]
    framework: Option<String>,
}

/// Prints a file of a task's sandbox.
pub async fn log(args: LogArgs) -> Result<(), String> {
    let master = args.master.find().await?;
    let task = find(&args, &master).await?;
    let agents = ask(&master, master::call::Type::GetAgents)
        .await?
        .get_agents
        .unwrap_or_default();
    let agent = agents
        .agents
        .iter()
        .find(|a| a.agent_info.id.as_ref() == Some(&task.agent_id))
        .ok_or_else(|| {
            format!(
                "agent {} of task {} is not registered",
                task.agent_id, args.task
            )
        })?;
    let base = agent
        .pid
        .as_deref()
        .and_then(|pid| pid.split_once('@'))
        .map(|(_, address)| format!("http://{address}"))
        .ok_or_else(|| {
            format!(
                "the master does not tell the address of agent {}",
                task.agent_id
            )
        })?;
    let operator = Operator::new(base);
    let executor = task
        .executor_id
        .as_ref()
        .map(|id| id.value.as_str())
        .unwrap_or_default();
    let executor = if executor.is_empty() {
        &task.task_id.value
    } else {
        executor
    };
    let file = if args.stderr { "stderr" } else { &args.file };
    let path = format!(
        "/frameworks/{}/executors/{executor}/runs/latest/{file}",
        task.framework_id.value
    );
    copy(&operator, &path, &args, &task).await
}

async fn copy(operator: &Operator, path: &str, args: &LogArgs, task: &Task) -> Result<(), String> {
    let mut offset = 0;
    let mut last_round = !args.follow;
    loop {
        let call = Call {
            r#type: Some(call::Type::ReadFile.into()),
            read_file: Some(call::ReadFile {
                path: path.to_owned(),
                offset,
                length: None,
            }),
            ..Default::default()
        };
        let answer = operator.agent(&call).await.map_err(|e| {
            format!(
                "cannot read {path}: {}",
                mesos_sdk::scheduler::with_causes(&e)
            )
        })?;
        let data = answer.read_file.map(|r| r.data).unwrap_or_default();
        if !data.is_empty() {
            offset += data.len() as u64;
            let mut out = std::io::stdout().lock();
            if out.write_all(&data).and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
        } else if last_round {
            return Ok(());
        } else {
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            // What was written between the last read and the end is read in one more round.
            last_round = ended(args, task).await?;
        }
    }
}

async fn ended(args: &LogArgs, task: &Task) -> Result<bool, String> {
    // While a log is followed the leader may change.
    let master = args.master.find().await?;
    let got = ask(&master, master::call::Type::GetTasks).await?;
    let same = |t: &&Task| t.task_id == task.task_id && t.framework_id == task.framework_id;
    let found = got
        .get_tasks
        .unwrap_or_default()
        .tasks
        .iter()
        .find(same)
        .map(Task::state);
    Ok(found.is_none_or(mesos_types::is_terminal))
}

async fn find(args: &LogArgs, master: &MasterAddress) -> Result<Task, String> {
    let got = ask(master, master::call::Type::GetTasks).await?;
    let got = got.get_tasks.unwrap_or_default();
    let all = got
        .tasks
        .into_iter()
        .chain(got.unreachable_tasks)
        .chain(got.completed_tasks);
    let mut found: Vec<Task> = all
        .filter(|t| t.task_id.value.starts_with(&args.task))
        .filter(|t| {
            args.framework
                .as_ref()
                .is_none_or(|f| *f == t.framework_id.value)
        })
        .collect();
    if found.iter().any(|t| t.task_id.value == args.task) {
        found.retain(|t| t.task_id.value == args.task);
    }
    match found.as_slice() {
        [] => Err(format!(
            "no task with id `{}`; `mesos task list --all` lists them",
            args.task
        )),
        [task] => Ok(task.clone()),
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|t| {
                    let state = state_name(t.state());
                    format!("  {} {state} of framework {}", t.task_id, t.framework_id)
                })
                .collect();
            let list = list.join("\n");
            Err(format!(
                "`{}` names several tasks; say more of the id or --framework:\n{list}",
                args.task
            ))
        }
    }
}
