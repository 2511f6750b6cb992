//! Table `updates`: status updates a second, from the agent through the master to the framework and back.
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mesos_simulator::{Fleet, Framework, Settings, TaskLife, command_task};
use mesos_wire::v1::{TaskState, scheduler::event::Type};

use crate::{master::Master, statistics::rate};

const PATIENCE: Duration = Duration::from_secs(120);
/// Acknowledgements under way at a time.
const ACKNOWLEDGING: usize = 256;

/// Prints the table.
pub async fn measure() -> anyhow::Result<()> {
    println!("\nstatus updates (STARTING, RUNNING, FINISHED of each task), all acknowledged");
    println!(
        "  {:<34} {:>10} {:>10}  processor of the master per update",
        "", "updates", "per s"
    );
    for (agents, tasks) in [(1, 100), (1, 1000), (1, 4000), (4, 4000), (100, 10_000)] {
        one(agents, tasks).await?;
    }
    Ok(())
}

async fn one(agents: usize, tasks: usize) -> anyhow::Result<()> {
    let master = Master::start(false).await?;
    let settings = Settings {
        agents,
        life: TaskLife {
            starting: true,
            finished_after: Some(Duration::ZERO),
            ..TaskLife::default()
        },
        scalars: [("cpus", 100_000.0), ("mem", 10_000_000.0), ("disk", 1000.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        ..Settings::default()
    };
    let fleet = Fleet::of(settings, &master.address);
    fleet
        .wait(PATIENCE, |counts| counts.registered >= agents)
        .await
        .context("not all agents registered")?;
    let mut framework = Framework::subscribe(&master.address, "updates", "updates").await?;
    let (_, offers) = framework.offers(agents, PATIENCE).await?;
    let caller = framework.caller();
    let each = tasks / agents;
    let (begun, before) = (Instant::now(), master.cpu()?);
    for (n, offer) in offers.into_iter().enumerate() {
        let infos = (0..each)
            .map(|m| command_task(&format!("t{n}.{m}"), &offer.agent_id, 0.1, 32.0))
            .collect();
        caller.launch(vec![offer.id], infos, 3600.0).await?;
    }
    let (mut ended, mut updates) = (0, 0);
    let mut running = tokio::task::JoinSet::new();
    while ended < each * agents {
        let (_, event) = framework.next_of(Type::Update, PATIENCE).await?;
        let status = event.update.unwrap_or_default().status;
        updates += 1;
        if status.state() == TaskState::TaskFinished {
            ended += 1;
        }
        let caller = caller.clone();
        running.spawn(async move { caller.acknowledge(&status).await });
        while running.len() > ACKNOWLEDGING {
            running.join_next().await.context("one runs")???;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let wanted = updates as u64;
    fleet
        .wait(PATIENCE, |counts| counts.acknowledged >= wanted)
        .await
        .context("an acknowledgement did not arrive")?;
    let took = begun.elapsed();
    let cpu = master.cpu()?.saturating_sub(before);
    println!(
        "  {:<34} {updates:>10} {:>10.0}  {:.0} us",
        format!("{tasks} tasks on {agents} agents"),
        rate(updates, took),
        cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(updates)?)
    );
    fleet.stop().await;
    Ok(())
}
