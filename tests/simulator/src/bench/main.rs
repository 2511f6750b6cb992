//! Figures of a master at scale: simulated agents, frameworks and pollers against a real master on loopback.
//!
//! `scale-bench [agents] [state] [latency] [updates] [restart]`, all without arguments. Builds nothing: run
//! `cargo build --release -p mesos-master-bin -p mesos-simulator` first. Prints one table each and asserts
//! no figure. Master, agents and frameworks share the machine, so figures are of all of them together.

mod agents;
mod client;
mod latency;
mod master;
mod restart;
mod state;
mod statistics;
mod updates;

use clap::Parser;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "scale-bench")]
struct Arguments {
    /// Tables to print; all without.
    #[arg(value_parser = ["agents", "state", "latency", "updates", "restart"])]
    tables: Vec<String>,
    /// Numbers of agents for the table `agents`.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 50_000])]
    sizes: Vec<usize>,
    /// Numbers of frameworks for one allocation pass.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 200])]
    frameworks: Vec<usize>,
    /// Seconds over which the processor time of a master at rest is measured.
    #[arg(long, default_value_t = 20)]
    rest: u64,
    /// Also with the embedded registry, beside the one in memory.
    #[arg(long)]
    store: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runs =
        |name: &str| arguments.tables.is_empty() || arguments.tables.iter().any(|t| t == name);
    if runs("agents") {
        agents::measure(&arguments).await?;
    }
    if runs("state") {
        state::measure().await?;
    }
    if runs("latency") {
        latency::measure().await?;
    }
    if runs("updates") {
        updates::measure().await?;
    }
    if runs("restart") {
        restart::measure(&arguments).await?;
    }
    Ok(())
}
