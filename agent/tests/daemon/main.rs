//! An agent with everything but containers: control stream, journal, sandboxes, the executor API.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod containers;
mod election;
mod master;
mod volumes;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_agent::{Agent, AgentConfig, Exit, Parts, load, state::Phase};
use mesos_control::v1::{agent_message, master_message};
use mesos_flags::{AgentFlags, Input, Start};
use mesos_http::{AllowAll, Response, Router, Server};
use mesos_wire::v1::{self, TaskState};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use containers::Containers;
use master::Master;

const FRAMEWORK: &str = "m-0000";

/// A running agent; dropped without a word, as by `kill -9`.
struct Daemon {
    agent: Agent,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(work_dir: &Path, master: SocketAddr, containers: &Containers) -> Daemon {
    start_with(work_dir, &master.to_string(), containers).await
}

/// With any `--master`.
async fn start_with(work_dir: &Path, master: &str, containers: &Containers) -> Daemon {
    let flags = AgentFlags::load(&Input {
        args: vec![
            format!("--master={master}"),
            format!("--work_dir={}", work_dir.display()),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=localhost".to_owned(),
            "--port=5051".to_owned(),
            "--no-switch_user".to_owned(),
            "--resources=cpus:4;mem:4096;disk:100;ports:[31000-31010]".to_owned(),
        ],
        ..Input::default()
    });
    let Ok(Start::Run(flags, _)) = flags else {
        panic!("{flags:?}");
    };
    let text = flags.resources.clone();
    let resources = mesos_flags::detect::detect(text.as_deref(), "*", work_dir).unwrap();
    let config = AgentConfig::new(
        &flags,
        resources,
        Ipv4Addr::LOCALHOST,
        5051,
        "localhost".to_owned(),
    );
    let config = Arc::new(config);
    // The one before may still be on its way out.
    let mut tries = 0;
    let loaded = loop {
        match load(&config) {
            Ok(loaded) => break loaded,
            Err(error) => assert!(tries < 100, "{error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let stop = CancellationToken::new();
    let agent = Agent::start(
        Parts {
            config,
            loaded,
            containerizer: Arc::new(containers.clone()),
            authorizer: Arc::new(AllowAll),
        },
        stop.clone(),
    );
    let snapshots = agent.snapshots().clone();
    let mut router = Router::new(()).prefix("/slave(1)").gate(move |_| {
        (snapshots.load().phase == Phase::Recovering)
            .then(|| Response::unavailable("Agent has not finished recovery"))
    });
    agent.executors().route(&mut router);
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(router.finish(), stop.clone()));
    Daemon {
        agent,
        address,
        stop,
    }
}

fn framework() -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "root".to_owned(),
        name: "test".to_owned(),
        id: Some(FRAMEWORK.into()),
        ..Default::default()
    }
}

fn task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: "m-S0".into(),
        resources: mesos_types::parse_resources("cpus:1;mem:32", "*")
            .unwrap()
            .to_wire(mesos_types::Format::PostRefinement),
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn executor_task(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        command: None,
        executor: Some(v1::ExecutorInfo {
            executor_id: "e".into(),
            command: Some(v1::CommandInfo {
                value: Some("./e".to_owned()),
                ..Default::default()
            }),
            resources: task("x").resources,
            ..Default::default()
        }),
        ..task(id)
    }
}

async fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_agents_and_masters() {
    let dir = tempfile::tempdir().unwrap();
    let containers = Containers::default();
    let mut master = Master::start(any()).await;
    let daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    assert_eq!(session.hello.agent_id, None);
    session.run(framework(), task("t")).await;
    let starting = session.update(TaskState::TaskStarting).await;
    // The agent is killed while an update waits.
    drop(daemon);
    drop(session);
    let daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    assert_eq!(session.hello.agent_id.as_ref().unwrap().value, "m-S0");
    assert_eq!(session.snapshot.tasks[0].task_id.value, "t");
    let again = session.update(TaskState::TaskStarting).await;
    assert_eq!(again.uuid, starting.uuid, "the same update again");
    session.acknowledge(FRAMEWORK, &again).await;
    let running = session.update(TaskState::TaskRunning).await;
    session.acknowledge(FRAMEWORK, &running).await;
    // The master is killed, and comes back on its port.
    drop(session);
    let address = master.kill().await;
    let config = containers.of("t").unwrap();
    containers.end(&config.id, 0);
    let mut master = Master::start(address).await;
    let back = Instant::now();
    let mut session = master.welcome("m-S0").await;
    assert!(
        back.elapsed() < Duration::from_secs(1),
        "{:?}",
        back.elapsed()
    );
    let finished = session.update(TaskState::TaskFinished).await;
    assert_eq!(
        finished.message.as_deref(),
        Some("Command exited with status 0")
    );
    session.acknowledge(FRAMEWORK, &finished).await;
    let snapshots = daemon.agent.snapshots().clone();
    wait_for("the framework is gone", || {
        snapshots.load().frameworks.is_empty()
    })
    .await;
    let latest = dir
        .path()
        .join("slaves/m-S0/frameworks/m-0000/executors/t/runs/latest");
    assert_eq!(std::fs::read_link(latest).unwrap(), config.sandbox);
    assert_eq!(containers.calls(), ["recover 0", "recover 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ends_tasks_and_the_agent_and_the_next_start_is_a_new_agent() {
    let dir = tempfile::tempdir().unwrap();
    let containers = Containers::default();
    let mut master = Master::start(any()).await;
    let mut daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    session.run(framework(), task("t")).await;
    session.update(TaskState::TaskStarting).await;
    let snapshots = daemon.agent.snapshots().clone();
    wait_for("the task runs", || {
        let state = snapshots.load();
        let task = state.task(&FRAMEWORK.into(), &"t".into());
        task.is_some_and(|(_, task)| task.state == TaskState::TaskRunning)
    })
    .await;
    daemon.agent.leave().await;
    assert!(matches!(
        session.hear().await,
        agent_message::Body::Unregister(_)
    ));
    assert_eq!(daemon.agent.ended().await, Exit::Done);
    assert!(containers.calls().contains(&"kill 15".to_owned()));
    drop(daemon);
    drop(session);
    let _daemon = start(dir.path(), master.address, &containers).await;
    let session = master.welcome("m-S1").await;
    assert_eq!(session.hello.agent_id, None);
}

/// Sends bytes and reads until `enough`, or the end.
async fn exchange(address: SocketAddr, request: &[u8], enough: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let text = read_until(&mut stream, enough).await;
    (stream, text)
}

async fn read_until(stream: &mut TcpStream, enough: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(enough) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer));
        let count = read.await.expect("an answer comes").unwrap();
        assert_ne!(count, 0, "the connection ended after: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Status line and body, without the headers that vary.
fn essence(response: &str) -> (String, String) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_executor_api_are_those_of_mesos() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start(any()).await;
    let daemon = start(dir.path(), master.address, &Containers::default()).await;
    let _session = master.welcome("m-S0").await;
    for (request, response) in [
        (
            &include_bytes!("../data/executor/agent-executor-bad-ct.req")[..],
            include_str!("../data/executor/agent-executor-bad-ct.res"),
        ),
        (
            include_bytes!("../data/executor/agent-executor-get.req"),
            include_str!("../data/executor/agent-executor-get.res"),
        ),
        (
            include_bytes!("../data/executor/agent-executor-unknown-framework.req"),
            include_str!("../data/executor/agent-executor-unknown-framework.res"),
        ),
    ] {
        let expected = essence(response);
        let (_, got) = exchange(daemon.address, request, &expected.1).await;
        assert_eq!(essence(&got), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_subscribes_gets_tasks_and_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let containers = Containers::default();
    let mut master = Master::start(any()).await;
    let daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    session.run(framework(), executor_task("a")).await;
    wait_for("the executor is launched", || containers.of("e").is_some()).await;
    let ids = r#""framework_id":{"value":"m-0000"},"executor_id":{"value":"e"}"#;
    let path = "/slave(1)/api/v1/executor";
    let call = post(
        path,
        &format!(r#"{{"type":"SUBSCRIBE",{ids},"subscribe":{{}}}}"#),
    );
    let (mut events, text) = exchange(daemon.address, &call, r#""type":"LAUNCH""#).await;
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains(r#"{"type":"SUBSCRIBED""#), "{text}");
    let update = |state: &str, uuid: &str| {
        post(
            path,
            &format!(
                r#"{{"type":"UPDATE",{ids},"update":{{"status":{{"task_id":{{"value":"a"}},"state":"{state}","source":"SOURCE_EXECUTOR","uuid":"{uuid}"}}}}}}"#
            ),
        )
    };
    let uuid = "AE1L48NCRFGBB+hX1Ldkcg==";
    let (_, answer) = exchange(daemon.address, &update("TASK_RUNNING", uuid), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 202 Accepted"), "{answer}");
    let told = read_until(&mut events, "ACKNOWLEDGED").await;
    assert!(told.contains(uuid), "{told}");
    let status = session.update(TaskState::TaskRunning).await;
    assert!(status.executor_id.is_none());
    session.acknowledge(FRAMEWORK, &status).await;
    let (_, answer) = exchange(daemon.address, &update("TASK_RUNNING", "AA=="), "UUID").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // A second task: the container grows first.
    session.run(framework(), executor_task("b")).await;
    read_until(&mut events, r#""type":"LAUNCH""#).await;
    assert!(containers.calls().contains(&"update cpus=3".to_owned()));
    session
        .say(master_message::Body::KillTask(
            mesos_control::v1::KillTask {
                framework_id: Some(FRAMEWORK.into()),
                task_id: Some("b".into()),
                kill_policy: None,
            },
        ))
        .await;
    read_until(&mut events, r#""type":"KILL""#).await;
    // Its end is the end of its tasks.
    containers.end(&containers.of("e").unwrap().id, 256);
    session.update(TaskState::TaskFailed).await;
    session.update(TaskState::TaskFailed).await;
    let last = session.hear().await;
    assert!(
        matches!(&last, agent_message::Body::ExecutorExited(exited) if exited.status == 256),
        "{last:?}"
    );
}
