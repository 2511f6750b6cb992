//! What reaches the engine, and what becomes of answers that are late, broken or missing: against
//! an engine that is a fake.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_containerizer_api::{
    ContainerConfig, ContainerError, Containerizer as _, LaunchResult, Limits, Stage,
};
use mesos_containerizer_docker::{Deadlines, DnsRule, DockerContainerizer, create_request};
use mesos_types::{LimitValue, Scalar};
use mesos_wire::v1::{self, container_info::docker_info};
use serde_json::{Value, json};
use support::{
    NoFetcher, Place, docker,
    engine::{Asked, FakeEngine, Reply, exited, running},
    parameter, wait_for,
};

/// Short enough for tests, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(400);

fn start(
    place: &Place,
    answer: impl Fn(&Asked, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (FakeEngine, DockerContainerizer) {
    let engine = FakeEngine::start(&place.path().join("docker.sock"), answer);
    (engine, containerizer(place))
}

fn containerizer(place: &Place) -> DockerContainerizer {
    let mut options = place.options();
    options.socket = place.path().join("docker.sock");
    options.deadlines = Deadlines {
        question: SHORT,
        create: SHORT,
        start: SHORT,
        remove: SHORT,
        pull_stall: SHORT,
        outage: SHORT,
        recover: SHORT,
        output: SHORT,
    };
    options.registry_config = Some(json!({
        "auths": {"registry.example:5000": {"auth": "dXNlcjo/Pz8+Pj4="}}
    }));
    DockerContainerizer::new(options, Arc::new(NoFetcher))
}

fn launch_error(result: Result<LaunchResult, ContainerError>) -> (Stage, String) {
    match result {
        Err(ContainerError::Launch { stage, message, .. }) => (stage, message),
        other => panic!("not a launch error: {other:?}"),
    }
}

/// The parts of a request that a case of the table is about, by JSON pointers.
fn check(what: &str, change: impl FnOnce(&mut ContainerConfig), expected: Value) {
    let place = Place::new();
    let mut config = place.task("sleep 100");
    change(&mut config);
    let mut options = place.options();
    options.enable_cfs = true;
    options.default_dns = vec![DnsRule {
        network: Some("bridge".into()),
        nameservers: vec!["10.0.0.53".into()],
        ..DnsRule::default()
    }];
    let request = create_request(&config, &options).unwrap();
    let body = serde_json::to_value(&request.body).unwrap();
    let text = |value: &Value| {
        value
            .to_string()
            .replace(&config.sandbox.display().to_string(), "SANDBOX")
            .replace(&config.id.to_string(), "CONTAINER")
            .replace(config.identity.agent.as_str(), "AGENT")
            .replace(&place.owner, "OWNER")
    };
    let body: Value = serde_json::from_str(&text(&body)).unwrap();
    for (pointer, expected) in expected.as_object().unwrap() {
        let found = body.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{what}: {pointer} of {body:#}");
    }
}

#[test]
fn a_whole_request_is_what_mesos_would_have_run() {
    // `docker run --cpu-shares 512 --cpu-quota 50000 --memory 67108864 -e ... --net bridge
    // -p 31010:80/tcp --entrypoint /bin/sh --name ... --label=x=y IMAGE -c 'sleep 100'`
    let whole = json!({
        "Image": "python:3",
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "sleep 100"],
        "AttachStdout": true,
        "AttachStderr": true,
        "Env": [
            "GREETING=hello",
            "MESOS_CONTAINER_NAME=mesos-AGENT.CONTAINER",
            "MESOS_SANDBOX=/mnt/mesos/sandbox"
        ],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {
            "org.mesos-rs.work_dir_id": "OWNER",
            "org.mesos-rs.agent_id": "AGENT",
            "org.mesos-rs.framework_id": "fw-0000",
            "org.mesos-rs.executor_id": "task-1",
            "org.mesos-rs.task_id": "task-1",
            "org.mesos-rs.container_id": "CONTAINER",
            "x": "y"
        },
        "HostConfig": {
            "CpuShares": 512,
            "CpuQuota": 50000,
            "Memory": 67_108_864,
            "NetworkMode": "bridge",
            "PortBindings": {"80/tcp": [{"HostPort": "31010"}]},
            "Dns": ["10.0.0.53"],
            "Binds": [
                "SANDBOX/hostdir:/data:rw",
                "/usr/share/doc:/tmpro:ro",
                "SANDBOX:/mnt/mesos/sandbox"
            ]
        }
    });
    check(
        "all",
        |config| {
            let info = docker(config);
            info.network = Some(docker_info::Network::Bridge as i32);
            info.port_mappings.push(docker_info::PortMapping {
                host_port: 31010,
                container_port: 80,
                protocol: Some("tcp".into()),
            });
            parameter(config, "label", "x=y");
            let volume = |container: &str, host: &str, mode| v1::Volume {
                container_path: container.into(),
                host_path: Some(host.into()),
                mode: mode as i32,
                ..v1::Volume::default()
            };
            config.container.as_mut().unwrap().volumes = vec![
                volume("/data", "hostdir", v1::volume::Mode::Rw),
                volume("/tmpro", "/usr/share/doc", v1::volume::Mode::Ro),
            ];
        },
        json!({"": whole}),
    );
}

#[test]
fn each_part_of_a_task_has_its_place_in_the_request() {
    check(
        "arguments after the image's entrypoint",
        |config| {
            config.command.shell = Some(false);
            config.command.value = Some("a".into());
            config.command.arguments = vec!["b".into()];
        },
        json!({"/Entrypoint": null, "/Cmd": ["a", "b"]}),
    );
    check(
        "the image's own command",
        |config| {
            config.command = v1::CommandInfo {
                shell: Some(false),
                ..Default::default()
            }
        },
        json!({"/Entrypoint": null, "/Cmd": null}),
    );
    check(
        "no tag",
        |config| docker(config).image = "registry.example:5000/app".into(),
        json!({"/Image": "registry.example:5000/app:latest"}),
    );
    check(
        "a digest",
        |config| docker(config).image = "app@sha256:00".into(),
        json!({"/Image": "app@sha256:00"}),
    );
    check(
        "the host's network is the default",
        |config| docker(config).network = None,
        json!({"/HostConfig/NetworkMode": "host", "/HostConfig/Dns": null}),
    );
    check(
        "no network",
        |config| docker(config).network = Some(docker_info::Network::None as i32),
        json!({"/HostConfig/NetworkMode": "none"}),
    );
    check(
        "a user's network with its port mappings",
        |config| {
            docker(config).network = Some(docker_info::Network::User as i32);
            config.container.as_mut().unwrap().network_infos = vec![v1::NetworkInfo {
                name: Some("mynet".into()),
                port_mappings: vec![v1::network_info::PortMapping {
                    host_port: 31000,
                    container_port: 53,
                    protocol: Some("UDP".into()),
                }],
                ..v1::NetworkInfo::default()
            }];
        },
        json!({
            "/HostConfig/NetworkMode": "mynet",
            "/HostConfig/PortBindings": {"53/udp": [{"HostPort": "31000"}]}
        }),
    );
    check(
        "a parameter overrides the network",
        |config| parameter(config, "net", "container:x"),
        json!({"/HostConfig/NetworkMode": "container:x"}),
    );
    check(
        "hostname and privilege",
        |config| {
            docker(config).privileged = Some(true);
            docker(config).network = Some(docker_info::Network::Bridge as i32);
            config.container.as_mut().unwrap().hostname = Some("web".into());
        },
        json!({"/Hostname": "web", "/HostConfig/Privileged": true}),
    );
    check(
        "limits",
        |config| {
            config.limits = Limits {
                cpus: Some(LimitValue::Infinite),
                mem: Some(LimitValue::Finite(Scalar::from_thousandths(128_000))),
            };
        },
        json!({
            "/HostConfig/CpuQuota": -1,
            "/HostConfig/Memory": 128 << 20,
            "/HostConfig/MemoryReservation": 64 << 20,
            "/HostConfig/OomScoreAdj": 993
        }),
    );
}

#[test]
fn what_cannot_be_is_refused_with_what_to_change() {
    let refused = |change: &dyn Fn(&mut ContainerConfig)| {
        let place = Place::new();
        let mut config = place.task("sleep 100");
        change(&mut config);
        create_request(&config, &place.options())
            .unwrap_err()
            .to_string()
    };
    let mapping = |host_port, container_port| docker_info::PortMapping {
        host_port,
        container_port,
        protocol: None,
    };
    let bridge = |config: &mut ContainerConfig, mapping| {
        docker(config).network = Some(docker_info::Network::Bridge as i32);
        docker(config).port_mappings = vec![mapping];
    };
    type Change<'a> = &'a dyn Fn(&mut ContainerConfig);
    let cases: [(Change<'_>, &str); 9] = [
        (
            &|config| docker(config).port_mappings = vec![mapping(31000, 80)],
            "use BRIDGE or USER",
        ),
        (&|config| bridge(config, mapping(0, 80)), "host_port 0"),
        (
            &|config| bridge(config, mapping(31000, 70000)),
            "container_port 70000",
        ),
        (
            &|config| {
                bridge(config, mapping(31000, 80));
                docker(config).port_mappings[0].protocol = Some("icmp".into());
            },
            "allowed are tcp, udp, sctp",
        ),
        (
            &|config| docker(config).network = Some(docker_info::Network::User as i32),
            "exactly one entry in `container.network_infos`",
        ),
        (
            &|config| config.container.as_mut().unwrap().hostname = Some("x".into()),
            "cannot be had with network HOST",
        ),
        (
            &|config| docker(config).image = String::new(),
            "`container.docker.image` is empty",
        ),
        (
            &|config| config.container.as_mut().unwrap().docker = None,
            "`container.docker` is missing",
        ),
        (&|config| parameter(config, "rm", "true"), "is refused: "),
    ];
    for (change, why) in cases {
        let error = refused(change);
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_privileged_task_reaches_the_engine_as_such_and_its_refusal_is_explained() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |asked, _| {
        asked.path.ends_with("/start").then(|| {
            Reply::refuse(
                500,
                "OCI runtime create failed: unable to apply caps: operation not permitted",
            )
        })
    });
    let mut config = place.task("sleep 100");
    docker(&mut config).privileged = Some(true);
    let (stage, message) = launch_error(containerizer.launch(config.clone()).await);
    assert_eq!(stage, Stage::Release);
    assert!(message.contains("leave `privileged`"), "{message}");
    let create = engine
        .asked()
        .into_iter()
        .find(|a| a.path == "/containers/create")
        .unwrap();
    assert_eq!(create.body["HostConfig"]["Privileged"], true);
    let name = format!("name=mesos-{}.{}", config.identity.agent, config.id);
    assert!(
        create.query.split('&').any(|pair| pair == name),
        "{}",
        create.query
    );
    let id = "e".repeat(64);
    let expected = [
        "POST /containers/create".to_owned(),
        format!("POST /containers/{id}/start"),
        format!("DELETE /containers/{id}"),
    ];
    assert_eq!(engine.changes(), expected);
    assert!(containerizer.containers().await.is_empty());
}

#[tokio::test]
async fn a_missing_image_is_pulled_once_with_the_registrys_credentials() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |asked, before| {
        (asked.path == "/containers/create" && before == 0)
            .then(|| Reply::refuse(404, "No such image: registry.example:5000/app:latest"))
    });
    let mut config = place.task("sleep 100");
    docker(&mut config).image = "registry.example:5000/app".into();
    let result = containerizer.launch(config).await.unwrap();
    assert!(matches!(result, LaunchResult::Launched(_)), "{result:?}");
    let pull = engine
        .asked()
        .into_iter()
        .find(|a| a.path == "/images/create")
        .unwrap();
    assert!(
        pull.query.contains("fromImage=registry.example"),
        "{}",
        pull.query
    );
    let auth = pull
        .head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("x-registry-auth:"))
        .unwrap();
    let auth = auth.split_once(": ").unwrap().1;
    assert!(
        !auth.contains(['+', '/']),
        "the engine reads the URL-safe alphabet only: {auth}"
    );
    let creates = engine
        .asked()
        .into_iter()
        .filter(|a| a.path == "/containers/create")
        .count();
    assert_eq!(creates, 2);
}

#[tokio::test]
async fn force_pull_comes_before_create() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |_, _| None);
    let mut config = place.task("sleep 100");
    docker(&mut config).force_pull_image = Some(true);
    containerizer.launch(config).await.unwrap();
    assert_eq!(
        engine.changes()[..2],
        ["POST /images/create", "POST /containers/create"]
    );
}

#[tokio::test]
async fn an_engine_that_stalls_meets_a_deadline_at_every_call() {
    for (path, what) in [
        ("/version", "create container"),
        ("/containers/create", "create container"),
        ("/start", "start container"),
        ("/images/create", "pull"),
    ] {
        let place = Place::new();
        let (engine, containerizer) = start(&place, move |asked, before| {
            if path == "/images/create" && asked.path == path && before == 0 {
                return Some(Reply::Begins(
                    "{\"status\":\"Pulling\",\"id\":\"x\"}\n".to_owned(),
                ));
            }
            (asked.path.ends_with(path) && before == 0).then_some(Reply::Stalls)
        });
        let mut config = place.task("sleep 100");
        docker(&mut config).force_pull_image = Some(path == "/images/create");
        let started = Instant::now();
        let (_, message) = launch_error(containerizer.launch(config.clone()).await);
        assert!(
            started.elapsed() < SHORT * 20,
            "{path} took {:?}",
            started.elapsed()
        );
        assert!(
            message.contains("did not answer") && message.contains(what),
            "{message}"
        );
        assert!(containerizer.containers().await.is_empty());
        if path == "/containers/create" {
            // It may have been made all the same.
            let name = format!(
                "DELETE /containers/mesos-{}.{}",
                config.identity.agent, config.id
            );
            wait_for("what was perhaps made is removed", async || {
                engine.changes().contains(&name).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_task_runs_even_if_nothing_more_can_be_learned_of_it() {
    let place = Place::new();
    let (_engine, containerizer) = start(&place, |asked, _| {
        (asked.method == "GET" && asked.path.starts_with("/containers/e")).then_some(Reply::Stalls)
    });
    let config = place.task("sleep 100");
    match containerizer.launch(config.clone()).await.unwrap() {
        LaunchResult::Launched(running) => assert_eq!(running.data, None),
        other => panic!("{other:?}"),
    }
    assert_eq!(containerizer.containers().await, [config.id]);
}

#[tokio::test]
async fn an_end_during_an_outage_is_learned_afterwards() {
    let place = Place::new();
    let (_engine, containerizer) = start(&place, |asked, before| {
        if asked.path.ends_with("/wait") {
            return Some(Reply::Closes);
        }
        let looks =
            asked.method == "GET" && asked.path.ends_with(&format!("{}/json", "e".repeat(64)));
        match before {
            _ if !looks => None,
            0 => Some(Reply::ok(running())),
            1 => Some(Reply::Closes),
            2 => Some(Reply::refuse(500, "not now")),
            3 => Some(Reply::ok(running())),
            _ => Some(Reply::ok(exited(3))),
        }
    });
    let config = place.task("sleep 100");
    containerizer.launch(config.clone()).await.unwrap();
    let end = containerizer.wait(&config.id).await.unwrap().unwrap();
    assert_eq!(end.status, Some(3 << 8));
}

#[tokio::test]
async fn kill_uses_the_images_signal_and_has_a_deadline() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |asked, before| {
        (asked.path.ends_with("/kill") && before == 1).then_some(Reply::Stalls)
    });
    let config = place.task("sleep 100");
    containerizer.launch(config.clone()).await.unwrap();
    assert!(containerizer.kill(&config.id, 15).await.unwrap());
    let error = containerizer
        .kill(&config.id, 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("did not answer"), "{error}");
    let kills: Vec<String> = engine
        .asked()
        .into_iter()
        .filter(|asked| asked.path.ends_with("/kill"))
        .map(|asked| asked.query)
        .collect();
    assert_eq!(kills, ["signal=SIGQUIT", "signal=10"]);
}

#[tokio::test]
async fn destroy_kills_until_it_is_done() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |asked, before| {
        if asked.path.ends_with("/kill") && before == 0 {
            return Some(Reply::refuse(500, "cannot"));
        }
        if asked.path.ends_with("/wait") {
            return Some(Reply::Closes);
        }
        None
    });
    let config = place.task("sleep 100");
    containerizer.launch(config.clone()).await.unwrap();
    let id = config.id.clone();
    let destroy = tokio::spawn(async move { containerizer.destroy(&id).await });
    wait_for("a second kill", async || {
        let kills = engine
            .changes()
            .iter()
            .filter(|change| change.ends_with("/kill"))
            .count();
        (kills >= 2).then_some(())
    })
    .await;
    assert!(!destroy.is_finished());
    drop(engine);
    let engine = FakeEngine::start(&place.path().join("docker.sock"), |asked, _| {
        match asked.path.rsplit('/').next() {
            Some("json") => Some(Reply::ok(exited(137))),
            Some("wait") => Some(Reply::ok(json!({"StatusCode": 137}))),
            _ => None,
        }
    });
    let end = destroy.await.unwrap().unwrap().unwrap();
    assert_eq!((end.status, end.limitation), (Some(137 << 8), None));
    drop(engine);
}

#[tokio::test]
async fn a_destroy_while_fetching_or_pulling_undoes_the_launch() {
    for hang in ["fetch", "pull"] {
        let place = Place::new();
        let (engine, containerizer) = start(&place, |asked, _| {
            (asked.path == "/images/create").then_some(Reply::Stalls)
        });
        let containerizer = Arc::new(containerizer);
        let mut config = place.task("sleep 100");
        if hang == "fetch" {
            config.command.uris = vec![v1::command_info::Uri {
                value: "hang:".into(),
                ..Default::default()
            }];
        } else {
            docker(&mut config).force_pull_image = Some(true);
        }
        let launch = tokio::spawn({
            let (containerizer, config) = (Arc::clone(&containerizer), config.clone());
            async move { containerizer.launch(config).await }
        });
        wait_for("the launch is under way", async || {
            let pulls = engine.changes().contains(&"POST /images/create".to_owned());
            let known = !containerizer.containers().await.is_empty();
            (known && (hang == "fetch" || pulls)).then_some(())
        })
        .await;
        let end = containerizer.destroy(&config.id).await.unwrap().unwrap();
        assert!(end.message.unwrap().contains(hang), "{hang}");
        let error = launch.await.unwrap().unwrap_err();
        assert!(
            matches!(error, ContainerError::DestroyedWhileLaunching { .. }),
            "{error}"
        );
        assert!(
            !engine
                .changes()
                .contains(&"POST /containers/create".to_owned())
        );
    }
}

#[tokio::test]
async fn recovery_does_not_wait_for_an_engine_that_is_away() {
    let place = Place::new();
    let containerizer = containerizer(&place);
    let config = place.task("sleep 100");
    let started = Instant::now();
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    assert!(started.elapsed() < SHORT * 10, "{:?}", started.elapsed());
    assert_eq!(containerizer.containers().await.len(), 1);

    let engine = FakeEngine::start(&place.path().join("docker.sock"), |asked, _| {
        match asked.path.as_str() {
            "/containers/json" => None,
            path if path.ends_with("/json") => Some(Reply::ok(exited(4))),
            path if path.ends_with("/wait") => Some(Reply::ok(json!({"StatusCode": 4}))),
            _ => None,
        }
    });
    let end = containerizer.wait(&config.id).await.unwrap().unwrap();
    assert_eq!(end.status, Some(4 << 8));
    drop(engine);
}

#[tokio::test]
async fn recovery_leaves_alone_what_carries_another_label() {
    let place = Place::new();
    let foreign = |owner: &str| {
        json!([{
            "Id": "f".repeat(64), "Names": ["/mesos-x"], "State": "running",
            "Labels": {"org.mesos-rs.work_dir_id": owner, "org.mesos-rs.container_id": "other"}
        }])
    };
    // An engine whose filter does not work is not trusted either.
    let list = foreign("somebody-else");
    let (engine, containerizer) = start(&place, move |asked, _| {
        (asked.path == "/containers/json").then(|| Reply::ok(list.clone()))
    });
    containerizer.recover(&[]).await.unwrap();
    let listed = engine
        .asked()
        .into_iter()
        .find(|a| a.path == "/containers/json")
        .unwrap();
    assert!(listed.query.contains(&place.owner), "{}", listed.query);
    assert!(engine.changes().is_empty(), "{:?}", engine.changes());
    drop((engine, containerizer));

    let list = foreign(&place.owner);
    let (engine, containerizer) = start(&place, move |asked, _| {
        (asked.path == "/containers/json").then(|| Reply::ok(list.clone()))
    });
    containerizer.recover(&[]).await.unwrap();
    let id = "f".repeat(64);
    assert_eq!(
        engine.changes(),
        [
            format!("POST /containers/{id}/kill"),
            format!("DELETE /containers/{id}")
        ]
    );
}

#[tokio::test]
async fn memory_as_the_reason_is_learned_even_if_the_engine_tells_it_late() {
    let place = Place::new();
    let (engine, containerizer) = start(&place, |asked, before| {
        let looks =
            asked.method == "GET" && asked.path.ends_with(&format!("{}/json", "e".repeat(64)));
        match asked.path.as_str() {
            "/events" => Some(Reply::Begins(
                "{\"Type\":\"container\",\"Action\":\"oom\"}\n".to_owned(),
            )),
            path if path.ends_with("/wait") => Some(Reply::ok(json!({"StatusCode": 137}))),
            // Without a word about memory.
            _ if looks && before > 0 => Some(Reply::ok(exited(137))),
            _ => None,
        }
    });
    let config = place.task("sleep 100");
    containerizer.launch(config.clone()).await.unwrap();
    let end = containerizer.wait(&config.id).await.unwrap().unwrap();
    assert_eq!(
        end.limitation.unwrap().reason,
        v1::task_status::Reason::ContainerLimitationMemory
    );
    let asked = engine
        .asked()
        .into_iter()
        .find(|asked| asked.path == "/events")
        .unwrap();
    assert!(
        asked.query.contains("oom") && asked.query.contains("until="),
        "{}",
        asked.query
    );
}

#[tokio::test]
async fn a_writer_that_nobody_knows_any_more_ends() {
    let place = Place::new();
    let position = place.path().join("position");
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_mesos-docker-logs"))
        .args(
            mesos_docker_logs::Arguments {
                socket: place.path().join("no-engine.sock"),
                container: "c".into(),
                position: position.clone(),
                stdout: place.path().join("stdout"),
                stderr: place.path().join("stderr"),
                ..mesos_docker_logs::Arguments::default()
            }
            .to_command_line(),
        )
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_for("the writer starts", async || {
        position.exists().then_some(())
    })
    .await;
    tokio::time::timeout(SHORT, child.wait())
        .await
        .expect_err("it waits for the engine");
    std::fs::remove_file(&position).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait())
        .await
        .unwrap();
    assert!(!status.unwrap().success());
}
