//! An agent that is killed, at any point of what it does.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mesos_containerizer_api::Containerizer as _;

use crate::host::{FULL, Host, wait_for};

/// Tells this test program to be an agent: its directory, and its cgroup root.
const DIR: &str = "KERNEL_TEST_AGENT_DIR";
const ROOT: &str = "KERNEL_TEST_AGENT_ROOT";

/// Launches containers, short ones and long ones, until it is killed. Does nothing as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_the_agent_that_gets_killed() {
    let (Ok(dir), Ok(root)) = (std::env::var(DIR), std::env::var(ROOT)) else {
        return;
    };
    let host = Host::shared(&dir, &root);
    let containerizer = host.containerizer();
    for n in 0_u32.. {
        let line = if n % 2 == 0 { "sleep 1000" } else { "true" };
        let config = host.shell(line);
        containerizer.launch(config.clone()).await.unwrap();
        if n % 2 == 1 {
            containerizer.wait(&config.id).await.unwrap();
            containerizer.forget(&config.id).await.unwrap();
        } else if n % 4 == 2 {
            containerizer.destroy(&config.id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_an_agent_killed_at_any_point_leaves_no_unknown_process() {
    for round in 0..12_u32 {
        let host = Host::new(FULL);
        let (dir, root) = host.share();
        let mut agent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::root_the_agent_that_gets_killed"])
            .env(DIR, dir)
            .env(ROOT, root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let containers = dir.join("run/containers");
        wait_for("the agent launches", || {
            if containers.exists() {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        // Every round hits another point, on any machine.
        let until = Instant::now() + Duration::from_micros(u64::from(round) * 1300);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        agent.kill().unwrap();
        agent.wait().unwrap();

        // All that runs now is named by the runtime directory, or about to end by itself.
        let containerizer = host.containerizer();
        containerizer.recover(&[]).await.unwrap();
        assert_eq!(containerizer.containers().await, []);
        drop(containerizer);
        host.assert_clean().await;
    }
}
