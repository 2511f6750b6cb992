//! Time from a launch to its answer, beside create and start of the bare engine in the same run.
//!
//!     cargo build --release -p mesos-containerizer-docker
//!     cargo run --release -p mesos-containerizer-docker --example docker_bench [ROUNDS] [NETWORK]
//!
//! Prints medians in milliseconds; asserts no times. NETWORK is `host` (default) or `bridge`.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    query_parameters::{
        CreateContainerOptions, KillContainerOptions, RemoveContainerOptions,
        StartContainerOptions, WaitContainerOptions,
    },
};
use futures::StreamExt as _;
use mesos_containerizer_api::{
    ContainerConfig, Containerizer, FetchError, FetchRequest, Fetcher, Identity, LaunchResult,
    Limits,
};
use mesos_containerizer_docker::{DockerContainerizer, DockerOptions, create_request};
use mesos_types::{ContainerId, parse_resources};
use mesos_wire::v1::{self, container_info};

struct NoFetcher;

#[async_trait]
impl Fetcher for NoFetcher {
    async fn fetch(&self, _request: FetchRequest) -> Result<(), FetchError> {
        Ok(())
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let bridge = arguments.next().as_deref() == Some("bridge");
    let dir = std::env::temp_dir().join(format!("docker-bench-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("sandbox"))?;
    let target = std::env::current_exe()?;
    let writer = target
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("mesos-docker-logs"))
        .filter(|path| path.is_file())
        .ok_or(
            "mesos-docker-logs is not built: cargo build --release -p mesos-containerizer-docker",
        )?;
    let mut options = DockerOptions::new(
        format!("bench-{}", std::process::id()),
        dir.clone(),
        dir.join("run"),
        writer,
    );
    if let Some(socket) = std::env::var_os("DOCKER_HOST") {
        options.socket = socket.into();
    }
    options.log_writer_arguments = Vec::new();
    options.remove_delay = Duration::from_secs(3600);
    let containerizer = DockerContainerizer::new(options.clone(), Arc::new(NoFetcher));
    let docker =
        Docker::connect_with_unix(&options.socket.to_string_lossy(), 120, API_DEFAULT_VERSION)?
            .negotiate_version()
            .await?;
    let config = |command: &str| ContainerConfig {
        id: ContainerId::random(),
        identity: Identity {
            agent: "bench-S0".into(),
            framework: "bench".into(),
            executor: "bench".into(),
            task: Some("bench".into()),
        },
        command: v1::CommandInfo {
            value: Some(command.to_owned()),
            ..v1::CommandInfo::default()
        },
        container: Some(v1::ContainerInfo {
            r#type: container_info::Type::Docker as i32,
            docker: Some(container_info::DockerInfo {
                image: "python:3".to_owned(),
                network: bridge.then_some(container_info::docker_info::Network::Bridge as i32),
                ..container_info::DockerInfo::default()
            }),
            ..v1::ContainerInfo::default()
        }),
        resources: parse_resources("cpus:0.5;mem:64", "*").unwrap_or_default(),
        limits: Limits::default(),
        sandbox: dir.join("sandbox"),
        user: None,
        environment: BTreeMap::new(),
        kill_grace: Duration::ZERO,
    };
    let remove = || RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };

    let (mut ours, mut bare, mut ends, mut bare_ends) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let task = config("sleep 1000");
        let name = create_request(&task, &options)?.name;
        let id = task.id.clone();
        let started = Instant::now();
        let launched = containerizer.launch(task).await?;
        ours.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(matches!(launched, LaunchResult::Launched(_)));
        containerizer.destroy(&id).await?;
        containerizer.forget(&id).await?;
        docker.remove_container(&name, Some(remove())).await?;

        let mut request = create_request(&config("sleep 1000"), &options)?;
        request.name.push_str("-bare");
        let started = Instant::now();
        let create = CreateContainerOptions {
            name: Some(request.name.clone()),
            ..CreateContainerOptions::default()
        };
        docker.create_container(Some(create), request.body).await?;
        docker
            .start_container(&request.name, None::<StartContainerOptions>)
            .await?;
        bare.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        let signal = KillContainerOptions {
            signal: "SIGKILL".to_owned(),
        };
        docker.kill_container(&request.name, Some(signal)).await?;
        let wait = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        let mut wait = std::pin::pin!(docker.wait_container(&request.name, Some(wait)));
        // An exit status other than 0 comes as an error.
        let _ended = wait.next().await;
        bare_ends.push(started.elapsed().as_secs_f64() * 1e3);
        docker
            .remove_container(&request.name, Some(remove()))
            .await?;

        // From SIGKILL to the known end, with all output copied.
        let task = config("sleep 1000");
        let (id, name) = (task.id.clone(), create_request(&task, &options)?.name);
        containerizer.launch(task).await?;
        let started = Instant::now();
        containerizer.kill(&id, 9).await?;
        containerizer.wait(&id).await?;
        ends.push(started.elapsed().as_secs_f64() * 1e3);
        containerizer.forget(&id).await?;
        docker.remove_container(&name, Some(remove())).await?;
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    let (ends, bare_ends) = (median(&mut ends), median(&mut bare_ends));
    println!(
        "docker, network {}, {rounds} rounds, medians",
        if bridge { "bridge" } else { "host" }
    );
    println!("  bare engine, create and start   {bare:8.1} ms");
    println!(
        "  launch to its answer            {ours:8.1} ms   {:.2} x",
        ours / bare
    );
    println!("  bare engine, SIGKILL and wait   {bare_ends:8.1} ms");
    println!(
        "  SIGKILL to the end being known  {ends:8.1} ms   {:.2} x",
        ends / bare_ends
    );
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
