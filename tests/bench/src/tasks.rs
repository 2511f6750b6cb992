//! Latency of one task, and the rate of many.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::ensure;
use mesos_test_support::{TestCluster, docker as engine};
use mesos_wire::v1::{
    ContainerInfo, TaskState,
    container_info::{self, DockerInfo},
};

use crate::{
    framework::{Framework, task},
    statistics::{Samples, millis},
};

const LATENCY_RUNS: usize = 100;
const RATE_TASKS: usize = 1000;
const DOCKER_RUNS: usize = 10;

/// From ACCEPT to RUNNING and from there to FINISHED, one `/bin/true` after the other.
pub async fn latency(cluster: &TestCluster, crun: Option<Duration>) -> anyhow::Result<()> {
    let mut framework = Framework::subscribe(cluster, "latency").await?;
    let mut running = Samples::default();
    let mut without_ack = Samples::default();
    let mut finished = Samples::default();
    for n in 0..LATENCY_RUNS + 3 {
        let (offer, _) = framework.offer().await?;
        let task = task(&format!("latency-{n}"), &offer, "/bin/true");
        let start = Instant::now();
        let offers = vec![offer.id];
        framework
            .caller
            .launch(offers, vec![task], Some(0.0))
            .await?;
        let (status, starting_at) = framework.status().await?;
        ensure!(status.state() == TaskState::TaskStarting, "{status:?}");
        let before_ack = Instant::now();
        framework.caller.acknowledge(&status).await?;
        let ack_time = before_ack.elapsed();
        let (status, running_at) = framework.status().await?;
        ensure!(status.state() == TaskState::TaskRunning, "{status:?}");
        framework.caller.acknowledge(&status).await?;
        let (status, finished_at) = framework.status().await?;
        ensure!(status.state() == TaskState::TaskFinished, "{status:?}");
        framework.caller.acknowledge(&status).await?;
        if n >= 3 {
            running.push(running_at - start);
            let waited = (before_ack - starting_at) + ack_time;
            without_ack.push((running_at - start).saturating_sub(waited));
            finished.push(finished_at - running_at);
        }
    }
    running.print("accept to TASK_RUNNING, acknowledgement included");
    without_ack.print("the same without the framework's acknowledgement call");
    finished.print("TASK_RUNNING to TASK_FINISHED of /bin/true");
    if let Some(crun) = crun {
        let ratio = running.median().as_secs_f64() / crun.as_secs_f64();
        println!("accept to TASK_RUNNING is {ratio:.2} x `crun run`");
    }
    framework.teardown().await
}

/// Many `/bin/true`, as many per offer as there are left.
pub async fn rate(cluster: &TestCluster) -> anyhow::Result<()> {
    let mut framework = Framework::subscribe(cluster, "rate").await?;
    let (offer, _) = framework.offer().await?;
    let tasks = (0..RATE_TASKS)
        .map(|n| task(&format!("rate-{n}"), &offer, "/bin/true"))
        .collect();
    let start = Instant::now();
    let offers = vec![offer.id];
    framework.caller.launch(offers, tasks, None).await?;
    let mut ended: BTreeMap<String, TaskState> = BTreeMap::new();
    while ended.len() < RATE_TASKS {
        let (status, _) = framework.status().await?;
        // Acknowledgements go out beside each other, as frameworks do.
        let caller = framework.caller.clone();
        let acknowledged = status.clone();
        tokio::spawn(async move { caller.acknowledge(&acknowledged).await });
        match status.state() {
            TaskState::TaskStarting | TaskState::TaskRunning => {}
            end => {
                ended.insert(status.task_id.value, end);
            }
        }
    }
    let elapsed = start.elapsed();
    let good = ended
        .values()
        .filter(|s| **s == TaskState::TaskFinished)
        .count();
    println!(
        "{RATE_TASKS} x /bin/true in one accept: {:.0} ms, {:.0} per second, {good} finished",
        millis(elapsed),
        RATE_TASKS as f64 / elapsed.as_secs_f64()
    );
    framework.teardown().await
}

/// From ACCEPT to RUNNING under docker, beside `docker create` and `docker start` of the engine.
pub async fn docker(cluster: &TestCluster) -> anyhow::Result<()> {
    let image = engine::python_image();
    let mut framework = Framework::subscribe(cluster, "docker").await?;
    let (mut running, mut bare) = (Samples::default(), Samples::default());
    for n in 0..DOCKER_RUNS + 1 {
        let (offer, _) = framework.offer().await?;
        let mut task = task(&format!("docker-{n}"), &offer, "sleep 1000");
        task.container = Some(ContainerInfo {
            r#type: container_info::Type::Docker.into(),
            docker: Some(DockerInfo {
                image: image.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        });
        let id = task.task_id.clone();
        let start = Instant::now();
        let offers = vec![offer.id];
        framework
            .caller
            .launch(offers, vec![task], Some(0.0))
            .await?;
        loop {
            let (status, at) = framework.status().await?;
            framework.caller.acknowledge(&status).await?;
            match status.state() {
                TaskState::TaskStarting => {}
                TaskState::TaskRunning => {
                    if n > 0 {
                        running.push(at - start);
                    }
                    framework.caller.kill(id.clone(), None).await?;
                }
                _ => break,
            }
        }
        let elapsed = bare_engine(image)?;
        if n > 0 {
            bare.push(elapsed);
        }
    }
    running.print("docker task, accept to TASK_RUNNING, host network");
    bare.print("bare engine, create + start, host network");
    let ratio = running.median().as_secs_f64() / bare.median().as_secs_f64();
    println!("docker task to TASK_RUNNING is {ratio:.2} x the bare engine");
    framework.teardown().await
}

/// Create and start of the engine's own API, through its socket.
fn bare_engine(image: &str) -> anyhow::Result<Duration> {
    let socket = engine::socket();
    let call = |method: &str, path: &str, body: &str| -> anyhow::Result<String> {
        let output = Command::new("curl")
            .args(["-sS", "-X", method, "--unix-socket"])
            .arg(&socket)
            .args(["-H", "Content-Type: application/json", "-d", body])
            .arg(format!("http://localhost{path}"))
            .output()?;
        ensure!(output.status.success(), "curl: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let body = serde_json::json!({"Image": image, "Cmd": ["/bin/sh", "-c", "sleep 1000"],
        "HostConfig": {"NetworkMode": "host"}});
    let start = Instant::now();
    let created: serde_json::Value =
        serde_json::from_str(&call("POST", "/containers/create", &body.to_string())?)?;
    let id = created["Id"].as_str().unwrap_or_default().to_owned();
    call("POST", &format!("/containers/{id}/start"), "{}")?;
    let elapsed = start.elapsed();
    engine::remove(&[id]);
    Ok(elapsed)
}
