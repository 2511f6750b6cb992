//! Table `latency`: from ACCEPT to the launch message at the agent, quiet and with pollers.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use mesos_simulator::{Fleet, Framework, command_task};
use mesos_wire::v1::{
    Offer,
    scheduler::{call::Type as Call, event::Type},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    master::Master,
    state::{AGENTS, TASKS, cluster},
    statistics::{percentile, rate},
};

const LAUNCHES: usize = 300;
const POLLERS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints the table.
pub async fn measure() -> anyhow::Result<()> {
    let (master, fleet, first) = cluster(AGENTS, TASKS).await?;
    // It wants nothing more; its tasks stay.
    first.caller().plain(Call::Suppress).await?;
    println!("\nACCEPT to launch message at the agent, {TASKS} tasks on {AGENTS} agents, in ms");
    println!("  {:<26} {:>8} {:>8} {:>8}", "", "50%", "99%", "polls/s");
    let mut framework = Framework::subscribe(&master.address, "latency", "latency").await?;
    // What one run leaves is for the next: nobody offers it again.
    let mut offers = Vec::new();
    run("quiet", &master, &fleet, &mut framework, &mut offers, None).await?;
    for what in ["/state", "GET_STATE"] {
        run(
            &format!("{POLLERS} pollers of {what}"),
            &master,
            &fleet,
            &mut framework,
            &mut offers,
            Some(what),
        )
        .await?;
    }
    drop(first);
    fleet.stop().await;
    Ok(())
}

async fn run(
    name: &str,
    master: &Master,
    fleet: &Fleet,
    framework: &mut Framework,
    offers: &mut Vec<Offer>,
    poll: Option<&'static str>,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut pollers = tokio::task::JoinSet::new();
    if let Some(what) = poll {
        for _ in 0..POLLERS {
            let mut client = Client::connect(&master.address).await?;
            let (stop, polls) = (stop.clone(), polls.clone());
            pollers.spawn(async move {
                while !stop.is_cancelled() {
                    client.ask(what, "application/json", None).await?;
                    polls.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
    }
    let caller = framework.caller();
    let mut times = Vec::new();
    let begun = Instant::now();
    for n in 0..LAUNCHES {
        while offers.is_empty() {
            let (_, event) = framework.next_of(Type::Offers, PATIENCE).await?;
            *offers = event.offers.unwrap_or_default().offers;
        }
        let offer = offers.pop().context("one is there")?;
        let id = format!("{}-{n}", name.replace([' ', '/'], "_"));
        let task = command_task(&id, &offer.agent_id, 0.001, 1.0);
        let before = fleet.counts().launches;
        let sent = Instant::now();
        caller.launch(vec![offer.id], vec![task], 0.0).await?;
        while fleet.counts().launches == before {
            anyhow::ensure!(sent.elapsed() < PATIENCE, "the launch did not arrive");
            tokio::task::yield_now().await;
        }
        times.push(sent.elapsed());
        loop {
            let (_, event) = tokio::time::timeout(PATIENCE, framework.next()).await??;
            match event.r#type() {
                Type::Offers => offers.extend(event.offers.unwrap_or_default().offers),
                Type::Update => {
                    let status = event.update.unwrap_or_default().status;
                    caller.acknowledge(&status).await?;
                    break;
                }
                _ => {}
            }
        }
    }
    let took = begun.elapsed();
    stop.cancel();
    while let Some(ended) = pollers.join_next().await {
        ended??;
    }
    println!(
        "  {name:<26} {:>8.2} {:>8.2} {:>8.0}",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        rate(polls.load(Ordering::Relaxed), took)
    );
    Ok(())
}
