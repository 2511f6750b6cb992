//! A fleet against a real master: everybody is in, stays in, and comes back.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mesos_simulator::{Fleet, Framework, Settings, TaskLife, command_task};
use mesos_test_support::executables::binary;
use mesos_wire::v1::{TaskState, scheduler::event::Type};

const PATIENCE: Duration = Duration::from_secs(120);

struct Master(Child);

impl Master {
    async fn start(address: &str, folder: &tempfile::TempDir) -> Self {
        let port = address.rsplit(':').next().unwrap();
        let child = Command::new(binary("master"))
            .arg("--ip=127.0.0.1")
            .arg(format!("--port={port}"))
            .arg(format!("--work_dir={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let master = Self(child);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "no master");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        master
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_share_a_connection_run_tasks_and_outlive_their_master() {
    const AGENTS: usize = 1500;
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let master = Master::start(&address, &folder).await;
    let settings = Settings {
        agents: AGENTS,
        life: TaskLife {
            starting: true,
            ..TaskLife::default()
        },
        ..Settings::default()
    };
    let fleet = Fleet::of(settings, &address);
    let all = |counts: &mesos_simulator::Counts| counts.registered == AGENTS;
    fleet
        .wait(PATIENCE, all)
        .await
        .expect("all agents register");
    // One session each: none of them was cut because so many share a connection.
    assert_eq!(fleet.counts().sessions, AGENTS as u64);

    let mut framework = Framework::subscribe(&address, "test", "*").await.unwrap();
    let (_, offers) = framework.offers(AGENTS, PATIENCE).await.unwrap();
    let caller = framework.caller();
    let offer = &offers[0];
    let task = command_task("t", &offer.agent_id, 0.1, 32.0);
    caller
        .launch(vec![offer.id.clone()], vec![task], 0.0)
        .await
        .unwrap();
    for state in [TaskState::TaskStarting, TaskState::TaskRunning] {
        let (_, event) = framework.next_of(Type::Update, PATIENCE).await.unwrap();
        let status = event.update.unwrap().status;
        assert_eq!(status.state(), state);
        caller.acknowledge(&status).await.unwrap();
    }
    let acknowledged = fleet
        .wait(PATIENCE, |counts| counts.acknowledged == 2)
        .await;
    acknowledged.expect("both acknowledgements arrive");

    drop(master);
    let gone = fleet.wait(PATIENCE, |counts| counts.registered == 0).await;
    gone.expect("the agents notice");
    let _master = Master::start(&address, &folder).await;
    fleet
        .wait(PATIENCE, all)
        .await
        .expect("all agents come back");
    fleet.stop().await;
}
