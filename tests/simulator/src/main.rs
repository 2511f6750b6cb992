//! `simulator`: a fleet of simulated agents against a master, until it is interrupted.
use std::time::Duration;

use clap::Parser;
use mesos_simulator::{Fleet, Settings, TaskLife};
use tokio::sync::watch;

/// Thousands of simulated agents in one process.
#[derive(Debug, Parser)]
#[command(name = "simulator")]
struct Arguments {
    /// Where masters may be, the likeliest first: `host:port,host:port`.
    #[arg(long, value_delimiter = ',', required = true)]
    masters: Vec<String>,
    /// How many agents, up to 100,000.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    agents: u32,
    /// Connections that their sessions share; more are opened when a master could not take as many
    /// sessions on one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Milliseconds from launch to TASK_RUNNING.
    #[arg(long, default_value_t = 0)]
    running_after_ms: u64,
    /// Milliseconds from TASK_RUNNING to TASK_FINISHED; without it tasks run until they are killed.
    #[arg(long)]
    finished_after_ms: Option<u64>,
    /// Seconds between two lines of counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    report_every: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        agents: arguments.agents as usize,
        connections: arguments.connections as usize,
        life: TaskLife {
            running_after: Duration::from_millis(arguments.running_after_ms),
            finished_after: arguments.finished_after_ms.map(Duration::from_millis),
            ..TaskLife::default()
        },
        ..Settings::default()
    };
    let (_masters, known) = watch::channel(arguments.masters);
    let fleet = Fleet::start(settings, known);
    let mut report = tokio::time::interval(Duration::from_secs(arguments.report_every));
    loop {
        tokio::select! {
            _ = report.tick() => println!("{:?}", fleet.counts()),
            ended = tokio::signal::ctrl_c() => {
                ended?;
                break;
            }
        }
    }
    fleet.stop().await;
    Ok(())
}
