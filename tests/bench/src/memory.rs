//! Private memory per running task, and what the idle daemons take.

use std::{fs, time::Duration};

use mesos_test_support::{TestCluster, machine};
use mesos_wire::v1::TaskState;

use crate::framework::{Framework, task};

const TASKS: usize = 20;

/// Resident memory of idle daemons, then private memory of our processes per `sleep`.
pub async fn measure(cluster: &TestCluster) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (name, pid) in [
        ("master", cluster.master_pid()),
        ("agent", cluster.agent_pid()),
    ] {
        let pid = pid.unwrap_or_default();
        println!(
            "idle {name}: {} KiB resident",
            field(pid, "status", "VmRSS:")
        );
    }
    let mut framework = Framework::subscribe(cluster, "memory").await?;
    let (offer, _) = framework.offer().await?;
    let tasks = (0..TASKS)
        .map(|n| task(&format!("memory-{n}"), &offer, "/bin/sleep 1000"))
        .collect();
    framework.caller.launch(vec![offer.id], tasks, None).await?;
    let mut running = 0;
    while running < TASKS {
        let (status, _) = framework.status().await?;
        framework.caller.acknowledge(&status).await?;
        running += usize::from(status.state() == TaskState::TaskRunning);
    }
    let mut private = 0;
    let mut processes = 0;
    for process in machine::processes_marked(cluster.mark()) {
        let exe = fs::read_link(format!("/proc/{}/exe", process.pid)).unwrap_or_default();
        if exe
            .file_name()
            .is_some_and(|name| name == "mesos-containerizer")
        {
            processes += 1;
            private += field(process.pid, "smaps_rollup", "Private_Clean:");
            private += field(process.pid, "smaps_rollup", "Private_Dirty:");
        }
    }
    println!(
        "{TASKS} running tasks: {processes} helper processes, {} KiB private per task",
        private / TASKS as u64
    );
    let agent = cluster.agent_pid().unwrap_or_default();
    println!(
        "agent with {TASKS} tasks: {} KiB resident",
        field(agent, "status", "VmRSS:")
    );
    framework.teardown().await
}

fn field(pid: i32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
