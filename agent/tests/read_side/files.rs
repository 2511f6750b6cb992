//! Sandboxes and the log through `/files` and the v1 calls.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, sync::Arc};

use mesos_agent::state::{AgentState, Executor, ExecutorKind, ExecutorPhase, Framework, Phase};
use mesos_types::{ContainerId, ExecutorId, FrameworkId, Resources};
use mesos_wire::v1;

use super::{
    fake::Fake,
    server::{call, get, serve},
};

fn executor(runs: &Path, container: &str, says: &str, phase: ExecutorPhase) -> Arc<Executor> {
    let sandbox = runs.join(container);
    fs::create_dir_all(&sandbox).unwrap();
    fs::write(sandbox.join("stdout"), says).unwrap();
    Arc::new(Executor {
        id: ExecutorId::from("e"),
        kind: ExecutorKind::Command,
        phase,
        info: Arc::default(),
        container: ContainerId::from(container),
        sandbox,
        status: None,
        tasks: imbl::OrdMap::new(),
        completed_tasks: imbl::Vector::new(),
    })
}

/// One executor in its second run, beside it a framework that has left.
fn state(work_dir: &Path) -> AgentState {
    let mut state = AgentState::new(v1::AgentInfo::default(), Resources::new(), 0.0);
    state.phase = Phase::Registered;
    let runs = |framework: &str| {
        work_dir.join(format!("slaves/S0/frameworks/{framework}/executors/e/runs"))
    };
    let mut f = Framework::new(FrameworkId::from("F"), v1::FrameworkInfo::default());
    f.completed_executors.push_back(executor(
        &runs("F"),
        "c1",
        "first run",
        ExecutorPhase::Terminated,
    ));
    let second = executor(&runs("F"), "c2", "second run", ExecutorPhase::Running);
    symlink("c2", runs("F").join("latest")).unwrap();
    symlink("../c1/stdout", second.sandbox.join("escape")).unwrap();
    f.executors.insert(second.id.clone(), second);
    state.frameworks.insert(f.id.clone(), Arc::new(f));
    let mut left = Framework::new(FrameworkId::from("L"), v1::FrameworkInfo::default());
    left.completed_executors.push_back(executor(
        &runs("L"),
        "c3",
        "left",
        ExecutorPhase::Terminated,
    ));
    state.completed_frameworks.push_back(Arc::new(left));
    state
}

#[tokio::test]
async fn sandboxes_are_found_under_each_of_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let work_dir = dir.path().to_string_lossy().into_owned();
    let agent = serve(state(dir.path()), Fake::default(), BTreeMap::new()).await;
    let runs =
        |framework: &str| format!("{work_dir}/slaves/S0/frameworks/{framework}/executors/e/runs");
    for (path, says) in [
        (format!("{}/c2", runs("F")), "second run"),
        (format!("{}/c1", runs("F")), "first run"),
        (format!("{}/latest", runs("F")), "second run"),
        (
            "/frameworks/F/executors/e/runs/latest".to_owned(),
            "second run",
        ),
        (format!("{}/c3", runs("L")), "left"),
        (format!("{}/latest", runs("L")), "left"),
        ("/frameworks/L/executors/e/runs/latest".to_owned(), "left"),
    ] {
        let expected = format!(r#"{{"data":"{says}","offset":0}}"#);
        for endpoint in ["/files/read", "/files/read.json"] {
            let found = get(
                agent.address,
                &format!("{endpoint}?path={path}/stdout&offset=0"),
            )
            .await;
            assert_eq!(found.text(), expected, "{path}");
        }
        let download = get(
            agent.address,
            &format!("/files/download?path={path}/stdout"),
        )
        .await;
        assert_eq!(download.text(), says, "{path}");
        let listed = get(agent.address, &format!("/files/browse?path={path}"))
            .await
            .json();
        let names: Vec<&str> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["path"].as_str().unwrap())
            .collect();
        assert!(
            names.contains(&format!("{path}/stdout").as_str()),
            "{names:?}"
        );
        let body = format!(r#"{{"type":"LIST_FILES","list_files":{{"path":"{path}"}}}}"#);
        let listed = call(agent.address, &body).await.json();
        assert_eq!(
            listed["list_files"]["file_infos"].as_array().unwrap().len(),
            names.len()
        );
        let body =
            format!(r#"{{"type":"READ_FILE","read_file":{{"path":"{path}/stdout","offset":0}}}}"#);
        let read = call(agent.address, &body).await.json();
        assert_eq!(read["read_file"]["size"], says.len());
    }
    let body = r#"{"type":"READ_FILE","read_file":{"path":"/slave/log","offset":1,"length":3}}"#;
    let read = call(agent.address, body).await.text();
    assert_eq!(
        read,
        r#"{"type":"READ_FILE","read_file":{"size":5,"data":"ZWxs"}}"#
    );
    let table = get(agent.address, "/files/debug").await.json();
    assert_eq!(table["/slave/log"], agent.log.to_string_lossy().as_ref());
    assert_eq!(
        table["/frameworks/F/executors/e/runs/latest"],
        format!("{}/c2", runs("F"))
    );
    assert_eq!(table.as_object().unwrap().len(), 1 + 3 + 2 * 2);
}

#[tokio::test]
async fn nothing_else_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let work_dir = dir.path().to_string_lossy().into_owned();
    let agent = serve(state(dir.path()), Fake::default(), BTreeMap::new()).await;
    let runs = format!("{work_dir}/slaves/S0/frameworks/F/executors/e/runs");
    for (path, status) in [
        (runs.clone(), "404 Not Found"),
        (work_dir.clone(), "404 Not Found"),
        (format!("{work_dir}/secret"), "404 Not Found"),
        ("/etc/passwd".to_owned(), "404 Not Found"),
        (
            "/frameworks/F/executors/none/runs/latest".to_owned(),
            "404 Not Found",
        ),
        // A link of a task from its sandbox into another one.
        (format!("{runs}/c2/escape"), "400 Bad Request"),
        (format!("{runs}/c2/../c1/stdout"), "400 Bad Request"),
    ] {
        for endpoint in ["browse", "read", "download"] {
            let found = get(
                agent.address,
                &format!("/files/{endpoint}?path={path}&offset=0"),
            )
            .await;
            assert_eq!(
                found.status,
                format!("HTTP/1.1 {status}"),
                "{endpoint} {path}: {}",
                found.text()
            );
        }
    }
}
