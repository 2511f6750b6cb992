//! Measures a master and an agent as frameworks see them, and container runtimes beside them.
//!
//! `cluster-bench [latency] [rate] [offers] [restart] [memory] [runtimes] [docker]`: all of them
//! without arguments. Builds nothing; run it with `cargo run --release -p mesos-bench` after
//! `cargo build --release`. Prints figures and asserts none: medians of repeated runs, and ratios
//! to runtimes measured in the same run.

mod framework;
mod memory;
mod offers;
mod restart;
mod runtimes;
mod statistics;
mod tasks;

use std::collections::BTreeSet;

use mesos_test_support::TestCluster;

/// Isolation of the measured containers: that of the published figures.
const ISOLATION: &str = "--isolation=cgroups/cpu,cgroups/mem,namespaces/pid,filesystem/linux";

fn main() -> anyhow::Result<()> {
    let wanted: BTreeSet<String> = std::env::args().skip(1).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.contains(name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut crun = None;
    if runs("runtimes") {
        crun = runtimes::measure()?;
    }
    if runs("latency") {
        let cluster = cluster(&[]);
        runtime.block_on(tasks::latency(&cluster, crun))?;
        cluster.finish();
    }
    if runs("rate") {
        let cluster = cluster(&[]);
        runtime.block_on(tasks::rate(&cluster))?;
        cluster.finish();
    }
    if runs("offers") {
        let cluster = cluster(&[]);
        runtime.block_on(offers::measure(&cluster))?;
        cluster.finish();
    }
    if runs("memory") {
        let cluster = cluster(&[]);
        runtime.block_on(memory::measure(&cluster))?;
        cluster.finish();
    }
    if runs("restart") {
        restart::measure(cluster(&[]))?;
    }
    if runs("docker") {
        let cluster = cluster(&["--containerizers=docker,mesos"]);
        runtime.block_on(tasks::docker(&cluster))?;
        cluster.finish();
    }
    Ok(())
}

fn cluster(flags: &[&str]) -> TestCluster {
    let mut all = vec![
        ISOLATION,
        "--containerizers=mesos",
        "--resources=cpus:1000;mem:200000;disk:10000",
    ];
    all.retain(|flag| {
        let name = flag.split('=').next();
        flags.iter().all(|other| other.split('=').next() != name)
    });
    all.extend(flags);
    TestCluster::builder().master(&[]).agent(&all).start()
}
