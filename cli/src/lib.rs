//! The operator's command line: what `mesos` and `mesos-execute` share.

use std::{fmt::Display, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use mesos_sdk::{MasterAddress, Source};

mod admin;
mod execute;
mod listing;
mod log;
mod table;

/// Exit status of a command that could not be carried out.
const FAILED: u8 = 1;
/// Time that finding the leading master may take: a session with ZooKeeper, and an election under way.
const FIND_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Parser)]
#[command(
    name = "mesos",
    version,
    about = "Runs tasks on a cluster and shows what is on it"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one task and wait for its end; the exit status follows the task's.
    Execute(Box<execute::ExecuteArgs>),
    /// Tasks of the cluster.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Agents of the cluster.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Frameworks of the cluster.
    #[command(subcommand)]
    Framework(FrameworkCommand),
    /// Maintenance of machines.
    #[command(subcommand)]
    Maintenance(admin::maintenance::MaintenanceCommand),
    /// Quotas of roles.
    #[command(subcommand)]
    Quota(admin::quota::QuotaCommand),
    /// Weights of roles.
    #[command(subcommand)]
    Weights(admin::weights::WeightsCommand),
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List tasks; without --all those that have not ended.
    List {
        #[command(flatten)]
        common: ListArgs,
        /// Ended and unreachable ones too.
        #[arg(long)]
        all: bool,
    },
    /// Print what a task wrote.
    Log(log::LogArgs),
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    /// List agents.
    List {
        #[command(flatten)]
        common: ListArgs,
    },
    #[command(flatten)]
    Service(admin::agents::ServiceCommand),
}

#[derive(Debug, Subcommand)]
enum FrameworkCommand {
    /// List frameworks; without --all those that have not ended.
    List {
        #[command(flatten)]
        common: ListArgs,
        /// Ended ones too.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct MasterArgs {
    /// Where masters are: HOST:PORT, zk://HOST1:PORT1,HOST2:PORT2/PATH, or file:///PATH of a file that says so.
    #[arg(
        long,
        env = "MESOS_MASTER",
        default_value = "127.0.0.1:5050",
        global = true
    )]
    master: Source,
}

impl MasterArgs {
    /// The master that leads.
    async fn find(&self) -> Result<MasterAddress, String> {
        mesos_sdk::leader(&self.master, FIND_TIMEOUT)
            .await
            .map_err(|error| explain(&self.master, &error))
    }
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// Print JSON, as the operator API writes it.
    #[arg(long)]
    json: bool,
}

/// Runs `mesos` with the process's arguments.
pub fn main() -> ExitCode {
    run(Cli::parse().command)
}

/// Runs `mesos-execute` with the process's arguments.
pub fn main_execute() -> ExitCode {
    let command = execute::ExecuteArgs::augment_args(
        clap::Command::new("mesos-execute")
            .version(env!("CARGO_PKG_VERSION"))
            .about("Run one task and wait for its end; the exit status follows the task's"),
    );
    let args = execute::ExecuteArgs::from_arg_matches(&command.get_matches());
    match args {
        Ok(args) => run(Command::Execute(Box::new(args))),
        Err(e) => e.format(&mut Cli::command()).exit(),
    }
}

fn run(command: Command) -> ExitCode {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("MESOS_CLI_LOG").unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new("warn,mesos_detector=error,zookeeper_client=error")
        });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("mesos: cannot start: {e}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Execute(args) => return execute::execute(*args).await,
            Command::Task(TaskCommand::List { common, all }) => {
                listing::tasks(&common.master.find().await?, common.json, all).await
            }
            Command::Task(TaskCommand::Log(args)) => log::log(args).await,
            Command::Agent(AgentCommand::List { common }) => {
                listing::agents(&common.master.find().await?, common.json).await
            }
            Command::Agent(AgentCommand::Service(command)) => admin::agents::change(command).await,
            Command::Maintenance(command) => admin::maintenance::run(command).await,
            Command::Quota(command) => admin::quota::run(command).await,
            Command::Weights(command) => admin::weights::run(command).await,
            Command::Framework(FrameworkCommand::List { common, all }) => {
                listing::frameworks(&common.master.find().await?, common.json, all).await
            }
        }
        .map(|()| ExitCode::SUCCESS)
    });
    outcome.unwrap_or_else(|problem| {
        eprintln!("mesos: {problem}");
        ExitCode::from(FAILED)
    })
}

/// A failure in the words the user reads; naming the master when it is the one not there.
fn explain(master: &impl Display, error: &mesos_sdk::Error) -> String {
    match error {
        mesos_sdk::Error::Unreachable { .. } => format!(
            "no master answers at {master}: {}\nGive its address with --master=HOST:PORT or MESOS_MASTER.",
            mesos_sdk::scheduler::with_causes(error)
        ),
        mesos_sdk::Error::NoLeader { .. } => format!("no master is found at {master}: {error}"),
        other => mesos_sdk::scheduler::with_causes(other),
    }
}
