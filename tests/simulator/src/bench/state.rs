//! Table `state`: answers of 10,000 tasks on 100 agents, anew after each change and shared.
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mesos_simulator::{Caller, Fleet, Framework, Settings, command_task};
use mesos_wire::v1::{self, scheduler::event::Type};

use crate::{
    client::Client,
    master::Master,
    statistics::{percentile, rate},
};

/// Agents of the table.
pub const AGENTS: usize = 100;
/// Tasks of the table.
pub const TASKS: usize = 10_000;
const ROUNDS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(120);

/// A master with that many running tasks, every update acknowledged, and what is left of each agent offered.
pub async fn cluster(agents: usize, tasks: usize) -> anyhow::Result<(Master, Fleet, Framework)> {
    let master = Master::start(false).await?;
    let settings = Settings {
        agents,
        ..Settings::default()
    };
    let fleet = Fleet::of(settings, &master.address);
    fleet
        .wait(PATIENCE, |counts| counts.registered >= agents)
        .await
        .context("not all agents registered")?;
    let mut framework = Framework::subscribe(&master.address, "bench", "bench").await?;
    let (_, offers) = framework.offers(agents, PATIENCE).await?;
    let caller = framework.caller();
    let each = tasks.div_ceil(agents);
    for (n, offer) in offers.into_iter().enumerate() {
        let infos = (0..each)
            .map(|m| command_task(&format!("service-{n}.{m}"), &offer.agent_id, 0.1, 32.0))
            .collect();
        caller.launch(vec![offer.id], infos, 3600.0).await?;
    }
    acknowledge(&mut framework, &caller, each * agents).await?;
    Ok((master, fleet, framework))
}

/// Acknowledges that many updates.
pub async fn acknowledge(
    framework: &mut Framework,
    caller: &Caller,
    count: usize,
) -> anyhow::Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (_, event) = framework.next_of(Type::Update, PATIENCE).await?;
        let status = event.update.unwrap_or_default().status;
        let caller = caller.clone();
        running.spawn(async move { caller.acknowledge(&status).await });
        while running.len() > 256 {
            running.join_next().await.context("one runs")???;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Prints the table.
pub async fn measure() -> anyhow::Result<()> {
    println!("\n{TASKS} tasks on {AGENTS} agents: median of {ROUNDS}, in ms");
    println!(
        "  {:<24} {:>10} {:>14} {:>14} {:>10} {:>12}",
        "", "bytes", "one changed", "all changed", "shared", "shared/s"
    );
    let (json, protobuf) = ("application/json", "application/x-protobuf");
    for (what, accept) in [
        ("/state", json),
        ("/tasks", json),
        ("GET_STATE", json),
        ("GET_STATE", protobuf),
        ("GET_TASKS", json),
        ("GET_TASKS", protobuf),
        ("/metrics/snapshot", json),
    ] {
        row(what, accept).await?;
    }
    Ok(())
}

async fn row(what: &str, accept: &str) -> anyhow::Result<()> {
    let (master, fleet, mut framework) = cluster(AGENTS, TASKS).await?;
    let mut client = Client::connect(&master.address).await?;
    // Nothing of the tasks was shown before: as after a change of every one of them.
    let first = client.ask(what, accept, None).await?;
    let all_changed = crate::statistics::millis(first.took);
    let caller = framework.caller();
    let mut changed = Vec::new();
    for n in 0..ROUNDS {
        one_more(&mut framework, &caller, n).await?;
        changed.push(client.ask(what, accept, None).await?.took);
    }
    let mut shared = Vec::new();
    let begun = Instant::now();
    let mut count = 0;
    let mut tag = None;
    while begun.elapsed() < Duration::from_secs(1) {
        let answer = client.ask(what, accept, None).await?;
        tag = answer.headers.get("etag").cloned();
        shared.push(answer.took);
        count += 1;
    }
    let per_second = rate(count, begun.elapsed());
    let name = if what.starts_with('/') {
        what.to_owned()
    } else {
        format!(
            "{what} {}",
            accept.rsplit(['/', '-']).next().unwrap_or(accept)
        )
    };
    println!(
        "  {name:<24} {:>10} {:>14.2} {all_changed:>14.2} {:>10.2} {per_second:>12.0}",
        first.bytes,
        percentile(&mut changed, 0.5),
        percentile(&mut shared, 0.5),
    );
    if let Some(tag) = tag.as_ref().and_then(|tag| tag.to_str().ok()) {
        let mut same = Vec::new();
        for _ in 0..ROUNDS {
            let answer = client.ask(what, accept, Some(tag)).await?;
            anyhow::ensure!(
                answer.bytes == 0,
                "{what}: {} with its own tag",
                answer.status
            );
            same.push(answer.took);
        }
        println!(
            "  {:<24} {:>10} {:>54.2}",
            "  with its tag",
            0,
            percentile(&mut same, 0.5)
        );
    }
    fleet.stop().await;
    Ok(())
}

/// Changes one task: one of them ends.
async fn one_more(framework: &mut Framework, caller: &Caller, n: usize) -> anyhow::Result<()> {
    caller
        .kill(&v1::TaskId {
            value: format!("service-{n}.0"),
        })
        .await?;
    acknowledge(framework, caller, 1).await
}
