//! Table `restart`: a master is killed and started again at its address; when are its agents back?
use std::time::Duration;

use anyhow::Context as _;
use mesos_simulator::{Fleet, Settings};

use crate::{Arguments, master::Master, statistics::millis};

const PATIENCE: Duration = Duration::from_secs(300);

/// Prints the table.
pub async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    println!("\na master is killed and started again at its address, in ms after the kill");
    println!(
        "  {:<24} {:>12} {:>12} {:>16}",
        "", "listens", "all back", "processor time"
    );
    for &agents in &arguments.sizes {
        for store in [false, true] {
            let mut master = Master::start(store).await?;
            let settings = Settings {
                agents,
                ..Settings::default()
            };
            let fleet = Fleet::of(settings, &master.address);
            fleet
                .wait(PATIENCE, |counts| counts.registered >= agents)
                .await
                .context("not all agents registered")?;
            let sessions = fleet.counts().sessions + agents as u64;
            let killed = master.restart().await?;
            let listens = killed.elapsed();
            fleet
                .wait(PATIENCE, |counts| {
                    counts.registered >= agents && counts.sessions >= sessions
                })
                .await
                .context("not all agents came back")?;
            let back = killed.elapsed();
            let registry = if store { "embedded" } else { "in memory" };
            println!(
                "  {:<24} {:>12.0} {:>12.0} {:>16.0}",
                format!("{agents} agents, {registry}"),
                millis(listens),
                millis(back),
                millis(master.cpu()?)
            );
            fleet.stop().await;
        }
    }
    Ok(())
}
