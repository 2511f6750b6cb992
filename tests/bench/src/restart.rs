//! How soon an agent is back after its master, and after itself, was killed and started again.

use std::time::Instant;

use mesos_test_support::TestCluster;

use crate::statistics::Samples;

const RUNS: usize = 5;

/// `kill -9` and start of the master, then of the agent; until the agent is registered again.
pub fn measure(mut cluster: TestCluster) -> anyhow::Result<()> {
    let mut master = Samples::default();
    for _ in 0..RUNS {
        cluster.kill_9_master();
        let start = Instant::now();
        cluster.restart_master();
        cluster.wait_for_agent();
        master.push(start.elapsed());
    }
    master.print("master started until the agent is registered again");
    let mut agent = Samples::default();
    for _ in 0..RUNS {
        cluster.kill_9_agent();
        let start = Instant::now();
        cluster.restart_agent();
        cluster.wait_for_agent();
        agent.push(start.elapsed());
    }
    agent.print("agent started until it is registered again");
    cluster.finish();
    Ok(())
}
