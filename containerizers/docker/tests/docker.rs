//! With a real Docker engine (`DOCKER_HOST`, else the standard socket) and the image `python:3`:
//! `scripts/start-dockerd` and `scripts/make-python-image` provide both.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    query_parameters::{ListContainersOptions, RemoveContainerOptions},
};
use mesos_containerizer_api::{Containerizer as _, LaunchResult, Running, Stage};
use mesos_wire::v1::{self, container_info::docker_info, task_status::Reason};
use support::{Place, docker, parameter, wait_for};

/// The engine, and the removal of everything that carries the test's owner label.
struct Engine {
    docker: Docker,
    owner: String,
}

impl Engine {
    async fn new(place: &Place) -> Self {
        let socket = support::engine_socket();
        let socket = socket.to_str().unwrap();
        let docker = Docker::connect_with_unix(socket, 60, bollard::API_DEFAULT_VERSION)
            .expect("a Docker engine is needed: run scripts/start-dockerd")
            .negotiate_version()
            .await
            .expect("a Docker engine is needed: run scripts/start-dockerd");
        docker
            .inspect_image(support::IMAGE)
            .await
            .expect("the image python:3 is needed: run scripts/make-python-image");
        Self {
            docker,
            owner: place.owner.clone(),
        }
    }

    async fn ours(&self) -> Vec<String> {
        let label = format!("org.mesos-rs.work_dir_id={}", self.owner);
        let options = ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), vec![label])].into()),
            ..ListContainersOptions::default()
        };
        let listed = self.docker.list_containers(Some(options)).await.unwrap();
        listed
            .into_iter()
            .filter_map(|summary| summary.id)
            .collect()
    }

    async fn clean(&self) {
        for id in self.ours().await {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            let _already = self.docker.remove_container(&id, Some(options)).await;
        }
    }
}

/// Runs a test's body and cleans up even if it fails.
async fn with_engine<F: AsyncFnOnce(&Engine) + 'static>(place: &Place, body: F) {
    let engine = Engine::new(place).await;
    let result =
        futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(body(&engine))).await;
    engine.clean().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn running(result: LaunchResult) -> Running {
    match result {
        LaunchResult::Launched(running) => running,
        other => panic!("not launched: {other:?}"),
    }
}

fn read(sandbox: &Path, name: &str) -> String {
    std::fs::read_to_string(sandbox.join(name)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_runs_a_task_and_its_output_is_in_the_sandbox() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let mut config = place.task(
        "echo $GREETING $MESOS_SANDBOX; echo $MESOS_CONTAINER_NAME; echo oops >&2; \
         echo made > $MESOS_SANDBOX/file; printf 'no newline'; exit 3",
    );
    parameter(&mut config, "label", "x=y");
    with_engine(&place, async move |engine| {
        let (id, sandbox) = (config.id.clone(), config.sandbox.clone());
        let name = format!("mesos-{}.{id}", config.identity.agent);
        let running = running(containerizer.launch(config).await.unwrap());
        let data: serde_json::Value = serde_json::from_slice(&running.data.unwrap()).unwrap();
        assert_eq!(data[0]["Name"], format!("/{name}"));
        assert_eq!(data[0]["Config"]["Labels"]["x"], "y");
        assert_eq!(data[0]["HostConfig"]["Memory"], 64 << 20);
        assert!(
            running.status.network_infos.is_empty(),
            "the host's network has no address"
        );

        let end = containerizer.wait(&id).await.unwrap().unwrap();
        assert_eq!(end.status, Some(3 << 8));
        assert_eq!(end.limitation, None);
        assert_eq!(
            read(&sandbox, "stdout"),
            format!("hello /mnt/mesos/sandbox\n{name}\nno newline")
        );
        assert_eq!(read(&sandbox, "stderr"), "oops\n");
        assert_eq!(read(&sandbox, "file"), "made\n");
        assert!(containerizer.containers().await.is_empty());
        // The end can be asked for again until it is forgotten.
        assert_eq!(
            containerizer.wait(&id).await.unwrap().unwrap().status,
            Some(3 << 8)
        );
        containerizer.forget(&id).await.unwrap();
        assert_eq!(containerizer.wait(&id).await.unwrap(), None);
        assert_eq!(
            engine.ours().await.len(),
            1,
            "kept for --docker_remove_delay"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_kills_by_signal_and_by_destroy() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let polite = place.task("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done");
    let stubborn = place.task("trap '' TERM; echo up; while :; do sleep 0.05; done");
    with_engine(&place, async move |_| {
        let (id, sandbox) = (polite.id.clone(), polite.sandbox.clone());
        running(containerizer.launch(polite).await.unwrap());
        wait_for("the trap is set", async || {
            read(&sandbox, "stdout").contains("up").then_some(())
        })
        .await;
        assert!(
            containerizer
                .usage(&id)
                .await
                .unwrap()
                .unwrap()
                .statistics
                .mem_rss_bytes
                .is_some()
        );
        assert!(containerizer.kill(&id, 15).await.unwrap());
        let end = containerizer.wait(&id).await.unwrap().unwrap();
        assert_eq!(end.status, Some(7 << 8));
        assert_eq!(read(&sandbox, "stdout"), "up\nbye\n");
        assert!(!containerizer.kill(&id, 15).await.unwrap());

        let (id, sandbox) = (stubborn.id.clone(), stubborn.sandbox.clone());
        running(containerizer.launch(stubborn).await.unwrap());
        wait_for("the trap is set", async || {
            read(&sandbox, "stdout").contains("up").then_some(())
        })
        .await;
        let end = containerizer.destroy(&id).await.unwrap().unwrap();
        assert_eq!(end.status, Some(137 << 8));
        assert_eq!(end.limitation, None);
        assert_eq!(
            containerizer.destroy(&id).await.unwrap().unwrap().status,
            Some(137 << 8)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_reports_memory_as_the_reason_of_a_death() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let mut config = place.task("");
    config.command = v1::CommandInfo {
        shell: Some(false),
        value: Some("python3".into()),
        arguments: vec!["-c".into(), "x = bytearray(512 << 20)".into()],
        ..v1::CommandInfo::default()
    };
    parameter(&mut config, "memory-swap", "64m");
    with_engine(&place, async move |_| {
        let id = config.id.clone();
        running(containerizer.launch(config).await.unwrap());
        let end = containerizer.wait(&id).await.unwrap().unwrap();
        assert_eq!(end.status, Some(137 << 8));
        let limitation = end.limitation.unwrap();
        assert_eq!(limitation.reason, Reason::ContainerLimitationMemory);
        assert!(
            limitation
                .message
                .starts_with("Memory limit exceeded: Requested: 64MB")
        );
        assert_eq!(limitation.resources.mem().unwrap().as_f64(), 64.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_maps_ports_that_answer() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut config = place.task("exec python3 -m http.server 8080");
    let info = docker(&mut config);
    info.network = Some(docker_info::Network::Bridge as i32);
    info.port_mappings.push(docker_info::PortMapping {
        host_port: u32::from(port),
        container_port: 8080,
        protocol: Some("TCP".into()),
    });
    let mut second = place.task("sleep 100");
    *docker(&mut second) = docker(&mut config).clone();
    with_engine(&place, async move |engine| {
        let id = config.id.clone();
        let running = running(containerizer.launch(config).await.unwrap());
        let address = &running.status.network_infos[0].ip_addresses[0];
        let own = address.ip_address.clone().unwrap();
        // At the address that is reported, and at the host's port that is mapped to it.
        for at in [(own.as_str(), 8080), ("127.0.0.1", port)] {
            let answer = wait_for("the server answers", async || {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut stream = tokio::net::TcpStream::connect(at).await.ok()?;
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
                let mut text = String::new();
                stream.read_to_string(&mut text).await.ok()?;
                (!text.is_empty()).then_some(text)
            })
            .await;
            assert!(answer.contains("Directory listing"), "{at:?}: {answer}");
        }

        // A port that is taken is an error that says so, and leaves no container.
        let error = containerizer.launch(second).await.unwrap_err().to_string();
        assert!(error.contains("use another port of the offer"), "{error}");
        assert_eq!(engine.ours().await.len(), 1);
        containerizer.destroy(&id).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_says_what_is_wrong_with_a_task() {
    let place = Place::new();
    let containerizer = place.containerizer();
    with_engine(&place, async move |engine| {
        let refused = async |change: &dyn Fn(&mut mesos_containerizer_api::ContainerConfig)| {
            let mut config = place_task();
            change(&mut config);
            let id = config.id.clone();
            let error = containerizer.launch(config).await.unwrap_err();
            assert_eq!(containerizer.wait(&id).await.unwrap(), None, "forgotten");
            error
        };
        let missing =
            refused(&|config| docker(config).image = "127.0.0.1:1/none/none:1".into()).await;
        assert!(
            missing
                .to_string()
                .contains("does not answer from this host"),
            "{missing}"
        );
        let Err(mesos_containerizer_api::ContainerError::Launch { stage, .. }) =
            Err::<(), _>(missing)
        else {
            panic!("not a launch error");
        };
        assert_eq!(stage, Stage::Provision);

        let command = refused(&|config| {
            config.command = v1::CommandInfo {
                shell: Some(false),
                value: Some("no-such-command".into()),
                ..v1::CommandInfo::default()
            };
        })
        .await;
        assert!(
            command.to_string().contains("is not in the image"),
            "{command}"
        );
        let user = refused(&|config| parameter(config, "user", "no-such-user")).await;
        assert!(
            user.to_string().contains("correct the parameter `user`"),
            "{user}"
        );
        let network = refused(&|config| {
            docker(config).network = Some(docker_info::Network::User as i32);
            config.container.as_mut().unwrap().network_infos = vec![v1::NetworkInfo {
                name: Some("no-such-net".into()),
                ..Default::default()
            }];
        })
        .await;
        assert!(
            network
                .to_string()
                .contains("docker network create no-such-net"),
            "{network}"
        );
        let uri = refused(&|config| {
            config.command.uris = vec![v1::command_info::Uri {
                value: "fail:".into(),
                ..Default::default()
            }];
        })
        .await;
        assert!(uri.to_string().contains("cannot fetch `fail:`"), "{uri}");
        assert_eq!(engine.ours().await.len(), 0, "everything is undone");
    })
    .await;

    fn place_task() -> mesos_containerizer_api::ContainerConfig {
        thread_local! {
            static PLACE: Place = Place::new();
        }
        PLACE.with(|place| place.task("sleep 100"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_containers_live_on_over_a_restart_of_the_agent() {
    let place = Place::new();
    let first = place.containerizer();
    let runs = place.task("i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done");
    let ends = place.task("echo before; sleep 0.5; echo after; exit 4");
    let orphan = place.task("sleep 100");
    let gone = place.task("sleep 100");
    let options = place.options();
    with_engine(&place, async move |engine| {
        let before = running(first.launch(runs.clone()).await.unwrap());
        running(first.launch(ends.clone()).await.unwrap());
        running(first.launch(orphan.clone()).await.unwrap());
        running(first.launch(gone.clone()).await.unwrap());
        drop(first);
        for id in engine.ours().await {
            let inspect = engine.docker.inspect_container(&id, None).await.unwrap();
            if inspect.name.unwrap().contains(gone.id.value()) {
                let options = RemoveContainerOptions {
                    force: true,
                    ..RemoveContainerOptions::default()
                };
                engine
                    .docker
                    .remove_container(&id, Some(options))
                    .await
                    .unwrap();
            }
        }
        wait_for("a task ends while no agent is there", async || {
            read(&ends.sandbox, "stdout")
                .contains("after")
                .then_some(())
        })
        .await;

        let second = mesos_containerizer_docker::DockerContainerizer::new(
            options,
            std::sync::Arc::new(support::NoFetcher),
        );
        second
            .recover(&[runs.clone(), ends.clone(), gone.clone()])
            .await
            .unwrap();
        let status = second.status(&runs.id).await.unwrap().unwrap();
        assert_eq!(status.pid, before.pid, "the same process");
        let end = second.wait(&ends.id).await.unwrap().unwrap();
        assert_eq!(end.status, Some(4 << 8));
        assert_eq!(read(&ends.sandbox, "stdout"), "before\nafter\n");
        let lost = second.wait(&gone.id).await.unwrap().unwrap();
        assert_eq!(lost.status, None);
        assert!(lost.message.unwrap().contains("no container of this task"));
        assert_eq!(second.wait(&orphan.id).await.unwrap(), None);
        wait_for("the orphan is removed", async || {
            (engine.ours().await.len() == 2).then_some(())
        })
        .await;
        second.destroy(&runs.id).await.unwrap();
        check_lines(&read(&runs.sandbox, "stdout"));
    })
    .await;
}

/// Lines `line 0`, `line 1` ... without a gap and without one twice.
fn check_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {index}"));
    }
    lines.len()
}

/// Pids of writers for this sandbox, which nothing but this test has started.
fn writers(sandbox: &Path) -> Vec<i32> {
    let argument = format!("--stdout={}", sandbox.join("stdout").display());
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line
            .split(|&byte| byte == 0)
            .any(|word| word == argument.as_bytes())
        {
            pids.push(pid);
        }
    }
    pids
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_output_survives_kills_of_its_writer() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let mut config = place.task("");
    config.command = v1::CommandInfo {
        shell: Some(false),
        value: Some("python3".into()),
        arguments: vec![
            "-uc".into(),
            "import time\nfor i in range(20000):\n print('line', i)\n if i % 20 == 0: time.sleep(0.002)".into(),
        ],
        ..v1::CommandInfo::default()
    };
    with_engine(&place, async move |_| {
        let (id, sandbox) = (config.id.clone(), config.sandbox.clone());
        running(containerizer.launch(config).await.unwrap());
        let started = Instant::now();
        let mut kills = 0;
        let ended = async { containerizer.wait(&id).await.unwrap().unwrap() };
        let mut ended = std::pin::pin!(ended);
        let end = loop {
            tokio::select! {
                end = &mut ended => break end,
                () = tokio::time::sleep(Duration::from_millis(150)) => {
                    for pid in writers(&sandbox) {
                        let _gone = nix::sys::signal::kill(
                            nix::unistd::Pid::from_raw(pid),
                            nix::sys::signal::Signal::SIGKILL,
                        );
                        kills += 1;
                    }
                }
            }
        };
        assert_eq!(end.status, Some(0));
        assert!(kills >= 3, "only {kills} kills in {:?}", started.elapsed());
        wait_for("all output is there", async || {
            (read(&sandbox, "stdout").lines().count() >= 20000).then_some(())
        })
        .await;
        assert_eq!(check_lines(&read(&sandbox, "stdout")), 20000);
        wait_for("the writer ends", async || {
            writers(&sandbox).is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_output_of_terminals_and_of_other_log_drivers() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let mut terminal = place.task("echo one; echo two >&2");
    parameter(&mut terminal, "tty", "true");
    let mut nothing = place.task("echo one");
    parameter(&mut nothing, "log-driver", "none");
    let mut local = place.task("echo one; echo two >&2; printf three");
    parameter(&mut local, "log-driver", "local");
    with_engine(&place, async move |_| {
        for (config, stdout, stderr) in [
            (terminal, "one\r\ntwo\r\n", ""),
            (nothing, "", ""),
            (local, "before\none\nthree", "two\n"),
        ] {
            let (id, sandbox) = (config.id.clone(), config.sandbox.clone());
            if stdout.starts_with("before") {
                std::fs::write(sandbox.join("stdout"), "before\n").unwrap();
            }
            running(containerizer.launch(config).await.unwrap());
            assert_eq!(
                containerizer.wait(&id).await.unwrap().unwrap().status,
                Some(0)
            );
            assert_eq!(read(&sandbox, "stdout"), stdout);
            assert_eq!(read(&sandbox, "stderr"), stderr);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_removes_ended_containers_after_the_delay() {
    let place = Place::new();
    let mut options = place.options();
    options.remove_delay = Duration::from_millis(200);
    let containerizer = mesos_containerizer_docker::DockerContainerizer::new(
        options,
        std::sync::Arc::new(support::NoFetcher),
    );
    let config = place.task("true");
    with_engine(&place, async move |engine| {
        let id = config.id.clone();
        running(containerizer.launch(config).await.unwrap());
        assert_eq!(
            containerizer.wait(&id).await.unwrap().unwrap().status,
            Some(0)
        );
        wait_for("the container is removed", async || {
            engine.ours().await.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_refuses_privilege_that_the_host_cannot_give_by_name() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let mut config = place.task("sleep 100");
    docker(&mut config).privileged = Some(true);
    with_engine(&place, async move |_| {
        let id = config.id.clone();
        let bounding = std::fs::read_to_string("/proc/self/status").unwrap();
        let complete = bounding.lines().any(|line| {
            line.strip_prefix("CapBnd:").is_some_and(|mask| {
                let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
                // Bit 24: CAP_SYS_RESOURCE, linux/capability.h.
                mask & (1 << 24) != 0
            })
        });
        match containerizer.launch(config).await {
            Ok(result) => {
                assert!(complete, "started without CAP_SYS_RESOURCE: {result:?}");
                containerizer.destroy(&id).await.unwrap();
            }
            Err(error) => {
                assert!(!complete, "{error}");
                assert!(error.to_string().contains("CAP_SYS_RESOURCE"), "{error}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_updates_grow_a_running_container() {
    let place = Place::new();
    let containerizer = place.containerizer();
    let config = place.task("sleep 100");
    with_engine(&place, async move |engine| {
        let id = config.id.clone();
        running(containerizer.launch(config).await.unwrap());
        let limits = mesos_containerizer_api::Limits::default();
        for (resources, shares, memory) in [
            ("cpus:1;mem:128", 1024, 128 << 20),
            ("cpus:0.1;mem:32", 1024, 128 << 20),
        ] {
            let resources = mesos_types::parse_resources(resources, "*").unwrap();
            containerizer
                .update(&id, &resources, &limits)
                .await
                .unwrap();
            let engine_id = engine.ours().await.remove(0);
            let host = engine
                .docker
                .inspect_container(&engine_id, None)
                .await
                .unwrap()
                .host_config;
            let host = host.unwrap();
            assert_eq!((host.cpu_shares, host.memory), (Some(shares), Some(memory)));
        }
        containerizer.destroy(&id).await.unwrap();
    })
    .await;
}
