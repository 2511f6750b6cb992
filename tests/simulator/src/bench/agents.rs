//! Table `agents`: what so many agents cost, and how fast they are offered.
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mesos_simulator::{Fleet, Framework, Settings};
use mesos_wire::v1::scheduler::{call::Type as Call, event::Type};

use crate::{
    Arguments,
    master::Master,
    statistics::{millis, percentile},
};

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// Declines measured.
const DECLINES: usize = 20;

/// Prints the table.
pub async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    for &size in &arguments.sizes {
        for store in [false, true] {
            if store && !arguments.store {
                continue;
            }
            one(size, store, arguments).await?;
        }
    }
    Ok(())
}

async fn one(size: usize, store: bool, arguments: &Arguments) -> anyhow::Result<()> {
    let registry = if store { "embedded" } else { "in memory" };
    println!("\n{size} agents, registry {registry}");
    let master = Master::start(store).await?;
    let settings = Settings {
        agents: size,
        ..Settings::default()
    };
    let before = master.cpu()?;
    let fleet = Fleet::of(settings, &master.address);
    let all = fleet
        .wait(PATIENCE, |counts| counts.registered >= size)
        .await
        .context("not all agents registered")?;
    let used = master.cpu()?.saturating_sub(before);
    let (now, most) = master.memory()?;
    println!(
        "  all registered                     {:>10.0} ms  ({:.0} ms of processor time)",
        millis(all),
        millis(used)
    );
    println!("  memory of the master               {now:>10} MB  (at most {most} MB)");
    // What registering left behind settles first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, before, pings) = (Instant::now(), master.cpu()?, fleet.counts().pings);
    tokio::time::sleep(Duration::from_secs(arguments.rest)).await;
    let part = (master.cpu()?.saturating_sub(before)).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!(
        "  processor at rest, with pings      {:>10.1} %   ({} pings answered)",
        part * 100.0,
        fleet.counts().pings - pings
    );
    offers(size, &master).await?;
    for &count in &arguments.frameworks {
        pass(size, count, &master).await?;
    }
    let (now, most) = master.memory()?;
    println!("  memory of the master at the end    {now:>10} MB  (at most {most} MB)");
    fleet.stop().await;
    Ok(())
}

/// SUBSCRIBE to offers of all agents, then declines to offers for another one.
async fn offers(size: usize, master: &Master) -> anyhow::Result<()> {
    let (begun, before) = (Instant::now(), master.cpu()?);
    let mut first = Framework::subscribe(&master.address, "first", "a").await?;
    let (at, offers) = first.offers(size, PATIENCE).await?;
    println!(
        "  SUBSCRIBE to offers from all       {:>10.1} ms  ({:.0} ms of processor time)",
        millis(at - begun),
        millis(master.cpu()?.saturating_sub(before))
    );
    let (now, _) = master.memory()?;
    println!("  memory with all of them offered    {now:>10} MB");
    let mut second = Framework::subscribe(&master.address, "second", "b").await?;
    let caller = first.caller();
    let mut times = Vec::new();
    for offer in offers.iter().take(DECLINES) {
        let begun = Instant::now();
        caller.decline(vec![offer.id.clone()], 3600.0).await?;
        let (at, _) = second.next_of(Type::Offers, PATIENCE).await?;
        times.push(at - begun);
    }
    println!(
        "  decline to offer for another       {:>10.2} ms  (99%: {:.2} ms)",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99)
    );
    // Everything at once: decline all, and the other one is offered all.
    let rest: Vec<_> = offers
        .into_iter()
        .skip(DECLINES)
        .map(|offer| offer.id)
        .collect();
    let count = rest.len();
    let (begun, before) = (Instant::now(), master.cpu()?);
    caller.decline(rest, 3600.0).await?;
    let (at, _) = second.offers(count, PATIENCE).await?;
    println!(
        "  decline of all to offers of all    {:>10.1} ms  ({:.0} ms of processor time)",
        millis(at - begun),
        millis(master.cpu()?.saturating_sub(before))
    );
    caller.plain(Call::Teardown).await?;
    second.caller().plain(Call::Teardown).await?;
    Ok(())
}

/// So many frameworks of one role each are offered everything together.
async fn pass(size: usize, count: usize, master: &Master) -> anyhow::Result<()> {
    let mut holder = Framework::subscribe(&master.address, "holder", "holder").await?;
    let (_, offers) = holder.offers(size, PATIENCE).await?;
    let mut others = Vec::new();
    for n in 0..count {
        let name = format!("pass-{n}");
        others.push(Framework::subscribe(&master.address, &name, &name).await?);
    }
    let (begun, before) = (Instant::now(), master.cpu()?);
    drop(offers);
    holder.caller().plain(Call::Teardown).await?;
    let (mut got, mut last) = (0, begun);
    while got < size {
        for other in &mut others {
            while let Some((at, event)) = other.try_next() {
                if event.r#type() == Type::Offers {
                    got += event.offers.unwrap_or_default().offers.len();
                    last = last.max(at);
                }
            }
        }
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "only {got} of {size} offers came"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "  everything to {count:>4} frameworks      {:>10.1} ms  ({:.0} ms of processor time)",
        millis(last - begun),
        millis(master.cpu()?.saturating_sub(before))
    );
    for other in &others {
        other.caller().plain(Call::Teardown).await?;
    }
    Ok(())
}
