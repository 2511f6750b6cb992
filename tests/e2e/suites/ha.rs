//! Several masters over a real ZooKeeper: whatever dies, hangs or moves, one leads and no task notices.

use std::collections::HashSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mesos_test_support::framework::{self, Framework};
use mesos_test_support::machine::{self, Process};
use mesos_test_support::scheduler::framework_info;
use mesos_test_support::task::Task;
use mesos_test_support::{HaCluster, wait_for};
use mesos_test_support::{executables, http};
use serde_json::Value;

use crate::executors_pymesos::python;
use crate::kazoo;

/// Recorded answers of a leading and a following Mesos 1.11.0; the leader was `localhost:5280`.
fn recorded(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/ha");
    fs::read(folder.join(name)).unwrap()
}

fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/ha");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(
                name.strip_prefix("follower-5260-")?
                    .strip_suffix(".req")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Sends the bytes and reads the head of the answer, as it comes.
fn head(master: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(master).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    socket.write_all(request).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A head without what differs from moment to moment; names of headers in any case mean the same.
fn compared(head: &str, leader: &str) -> Vec<String> {
    let mut lines = head.trim_end().lines();
    let status = lines.next().unwrap_or_default().to_owned();
    let mut headers: Vec<String> = lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.replace(leader, "LEADER")))
        .filter(|(name, _)| name != "date")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    headers.insert(0, status);
    headers
}

/// What a recorded head and ours have in common when the bodies differ: status and kind of body.
fn without_length(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| line.starts_with("HTTP/") || line.starts_with("content-type"));
    lines
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn masters_that_do_not_lead_answer_as_recorded() {
    let mut cluster = HaCluster::builder().agents(0).start();
    let leader = cluster.leader();
    let at = cluster.master(leader).to_string();
    let mut wrong = Vec::new();
    for name in names() {
        let request = text(&recorded(&format!("follower-5260-{name}.req")));
        for n in (0..3).filter(|n| *n != leader) {
            let theirs = text(&recorded(&format!("follower-5260-{name}.res")));
            let ours = head(cluster.master(n), request.as_bytes());
            let expected = compared(theirs.split_inclusive("\r\n\r\n").next().unwrap(), {
                "localhost:5280"
            });
            let got = compared(&ours, &at);
            let same = if expected[0].contains("307") || name == "health" {
                got == expected
            } else {
                without_length(got.clone()) == without_length(expected.clone())
            };
            if !same {
                wrong.push(format!(
                    "{name}: master {n} answers {got:?}, not {expected:?}"
                ));
            }
        }
        // The leader answers the same requests itself.
        let theirs = text(&recorded(&format!("leader-5280-{name}.res")));
        let expected = compared(theirs.split_inclusive("\r\n\r\n").next().unwrap(), {
            "localhost:5280"
        });
        let got = compared(&head(cluster.master(leader), request.as_bytes()), &at);
        if without_length(got.clone()) != without_length(expected.clone()) {
            wrong.push(format!(
                "{name}: the leader answers {got:?}, not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Below /redirect there is nothing, on any of them.
    for master in cluster.masters() {
        assert_eq!(http::get(master, "/redirect/state").unwrap().status, 404);
        assert_eq!(http::get(master, "/master/redirect").unwrap().status, 307);
    }
    // Whoever watches the masters sees the same.
    for n in 0..3 {
        let metrics = http::get(cluster.master(n), "/metrics/snapshot").unwrap();
        let elected = f64::from(u8::from(n == leader));
        assert_eq!(metrics.json()["master/elected"], elected, "master {n}");
    }
    // Clients that follow get what the leader says.
    for master in cluster.masters() {
        let answer = http::get_following(Duration::from_secs(30), master, "/state").unwrap();
        assert_eq!(answer.json()["leader"], format!("master@{at}"));
    }

    nobody_leads_without_zookeeper(&mut cluster);
    cluster.finish();
}

fn nobody_leads_without_zookeeper(cluster: &mut HaCluster) {
    cluster.zookeeper().kill_all();
    for master in cluster.masters() {
        wait_for("a master says that nobody leads", || {
            let answer = http::get(master, "/state").unwrap();
            let said = (answer.status, answer.text());
            if said == (503, "No leader elected".to_owned()) {
                Ok(())
            } else {
                Err(said)
            }
        });
        // Here is as good as anywhere, as in Mesos.
        let redirect = http::get(master, "/redirect").unwrap();
        assert_eq!(redirect.header("location"), Some(&*format!("//{master}")));
        for path in ["/roles", "/master/slaves", "/tasks?limit=1"] {
            assert_eq!(http::get(master, path).unwrap().status, 503, "{path}");
        }
        for path in ["/health", "/version", "/flags", "/metrics/snapshot"] {
            assert_eq!(http::get(master, path).unwrap().status, 200, "{path}");
        }
        for path in ["/api/v1", "/api/v1/scheduler"] {
            let broken = http::request(master, "POST", path, &[], b"{").unwrap();
            assert_eq!(broken.status, 503, "{path}");
        }
    }
    let pids: Vec<_> = (0..3).map(|n| cluster.master_pid(n)).collect();
    cluster.zookeeper().restart_all();
    cluster.leader();
    assert_eq!(
        pids,
        (0..3).map(|n| cluster.master_pid(n)).collect::<Vec<_>>(),
        "no master had to be started again"
    );
}

/// A framework with a task that nothing may happen to.
struct Watched {
    framework: Framework,
    framework_id: String,
    process: Process,
    command: String,
}

impl Watched {
    fn start(cluster: &HaCluster, name: &str) -> Self {
        let framework = Framework::start(cluster.masters(), framework_info(name));
        // A command line that no other test has.
        let command = format!(
            "sleep 8{:05}{}",
            std::process::id() % 100_000,
            cluster.port(0, 0)
        );
        let arguments: Vec<&str> = command.split(' ').collect();
        framework.launch(Task::new("steady").program("/bin/sleep", &arguments), None);
        let process = wait_for("the task's process", || {
            let mut found = machine::running(&command);
            if found.len() == 1 {
                Ok(found.remove(0))
            } else {
                Err(found)
            }
        });
        Self {
            framework_id: framework.id(),
            framework,
            process,
            command,
        }
    }

    /// Agents and framework are back with their ids, the task runs on with its pid, nobody was told anything
    /// else, and the next task can be launched.
    fn all_is_well(&self, cluster: &mut HaCluster, task: &str) {
        let leader = cluster.leader();
        cluster.wait_for_agents();
        self.framework.wait_for_master(cluster.master(leader));
        assert_eq!(self.framework.id(), self.framework_id);
        wait_for("the leader knows the task again", || {
            let tasks = cluster.try_get("/tasks")?;
            let mut all = tasks["tasks"].as_array().into_iter().flatten();
            let known = all.any(|task| task["id"] == "steady" && task["state"] == "TASK_RUNNING");
            known.then_some(()).ok_or_else(|| tasks.to_string())
        });
        self.nothing_happened();
        self.framework
            .launch(Task::new(task).shell("sleep 1000"), None);
        self.framework.kill(task);
        wait_for("the other task is killed", || {
            let state = self.framework.state(task);
            (state == "TASK_KILLED").then_some(()).ok_or(state)
        });
    }

    fn nothing_happened(&self) {
        assert!(self.process.is_alive(), "the task has ended");
        assert_eq!(machine::running(&self.command).len(), 1);
        let end = self.framework.end("steady");
        assert!(
            end.is_none(),
            "the task was reported to have ended: {end:?}"
        );
        let notes = self.framework.notes();
        assert!(notes.problems.is_empty(), "{:?}", notes.problems);
    }

    fn end(self, cluster: HaCluster) {
        self.nothing_happened();
        self.framework.teardown();
        cluster.finish();
    }
}

/// Subscribes one more framework and tears it down; its id.
fn another_framework(cluster: &HaCluster) -> String {
    let framework = Framework::start(cluster.masters(), framework_info("passes-by"));
    let id = framework.id();
    framework.teardown();
    id
}

#[test]
fn a_leader_that_dies_stops_hangs_or_loses_its_node_is_replaced() {
    let mut cluster = HaCluster::builder().start();
    let watched = Watched::start(&cluster, "failover");
    let mut ids = HashSet::from([watched.framework_id.clone()]);
    assert!(ids.insert(another_framework(&cluster)));

    let killed = cluster.leader();
    cluster.kill_9_master(killed);
    cluster.leader_after(killed);
    watched.all_is_well(&mut cluster, "after-kill-9");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");
    cluster.start_master(killed);

    // An orderly end does not cost the others a session timeout, so this is not even waited for here: only
    // that the next leader is there, and that the node is gone by the time the process is.
    let stopped = cluster.leader();
    let began = Instant::now();
    cluster.stop_master(stopped);
    let nodes = kazoo::candidates(&cluster, None);
    assert!(
        nodes
            .iter()
            .all(|node| !node.names(cluster.master(stopped))),
        "{nodes:?} after {:?}",
        began.elapsed()
    );
    cluster.leader_after(stopped);
    watched.all_is_well(&mut cluster, "after-sigterm");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");
    cluster.start_master(stopped);

    // Somebody removes the leader's node.
    let removed = cluster.leader();
    let node = kazoo::candidates(&cluster, None)
        .into_iter()
        .find(|node| node.names(cluster.master(removed)))
        .unwrap();
    kazoo::run(&cluster, None, "delete", &node.path);
    cluster.leader_after(removed);
    watched.all_is_well(&mut cluster, "after-delete");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");

    // It stands again under another id, with a higher number.
    let again = wait_for("it stands for election again", || {
        let nodes = kazoo::candidates(&cluster, None);
        let found = nodes
            .iter()
            .find(|node| node.names(cluster.master(removed)));
        found.cloned().ok_or(nodes)
    });
    assert!(again.path > node.path && again.info["id"] != node.info["id"]);

    // When its turn comes, it leads.
    for _ in 0..3 {
        let leader = cluster.leader();
        if leader == removed {
            break;
        }
        cluster.stop_master(leader);
        cluster.leader_after(leader);
        cluster.start_master(leader);
    }
    assert_eq!(cluster.leader(), removed);
    watched.all_is_well(&mut cluster, "again");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");
    watched.end(cluster);
}

#[test]
fn a_leader_that_was_frozen_wakes_up_and_does_no_harm() {
    let mut cluster = HaCluster::builder().start();
    let watched = Watched::start(&cluster, "frozen");
    let frozen = cluster.leader();
    let old_id = master_id(&cluster, frozen);
    cluster.freeze_master(frozen);
    cluster.leader_after(frozen);
    watched.all_is_well(&mut cluster, "while-frozen");

    // Asked while it sleeps, answered when it wakes: it must not speak as a leader, nor may what it is told
    // reach an agent.
    let ask = |request: String| {
        let mut socket = TcpStream::connect(cluster.master(frozen)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    };
    let gets: Vec<TcpStream> = ["/state", "/slaves", "/tasks", "/roles"]
        .iter()
        .map(|path| {
            ask(format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            ))
        })
        .collect();
    let framework = &watched.framework_id;
    let kill = serde_json::json!({
        "type": "TEARDOWN", "teardown": {"framework_id": {"value": framework}},
    })
    .to_string();
    let post = ask(format!(
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{kill}",
        kill.len()
    ));
    cluster.wake_master(frozen);
    for mut socket in gets.into_iter().chain([post]) {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(
            status == "503" || status == "307",
            "a leader of the past answers: {answer}"
        );
    }
    // It follows, is a candidate again under another id, and leads when its turn comes.
    cluster.leader();
    for _ in 0..3 {
        let leader = cluster.leader();
        if leader == frozen {
            break;
        }
        cluster.stop_master(leader);
        cluster.leader_after(leader);
        cluster.start_master(leader);
    }
    assert_eq!(cluster.leader(), frozen);
    assert_ne!(master_id(&cluster, frozen), old_id);
    watched.all_is_well(&mut cluster, "again");
    watched.end(cluster);
}

#[test]
fn a_leader_that_is_cut_off_from_zookeeper_leaves_before_another_one_comes() {
    let mut cluster = HaCluster::builder().first_master_relayed().start();
    let watched = Watched::start(&cluster, "cut-off");
    for _ in 0..3 {
        let leader = cluster.leader();
        if leader == 0 {
            break;
        }
        cluster.stop_master(leader);
        cluster.leader_after(leader);
        cluster.start_master(leader);
    }
    assert_eq!(cluster.leader(), 0);
    watched.all_is_well(&mut cluster, "before");
    for relay in cluster.relays() {
        relay.cut();
    }
    // Clients and agents reach it as before. The others do not lead while it still says that it does.
    let leads = |n: usize| framework::leads(cluster.master(n));
    wait_for("another master leads", || {
        let (one, two) = (leads(1), leads(2));
        if one || two {
            // Asked after the other one has answered.
            assert!(!leads(0), "two masters lead");
            Ok(())
        } else {
            Err("nobody")
        }
    });
    let answer = http::get(cluster.master(0), "/state").unwrap();
    assert_eq!((answer.status, &*answer.text()), (503, "No leader elected"));
    let other = if leads(1) { 1 } else { 2 };
    watched.framework.wait_for_master(cluster.master(other));
    watched.nothing_happened();
    for relay in cluster.relays() {
        relay.heal();
    }
    assert_eq!(cluster.leader(), other);
    watched.all_is_well(&mut cluster, "after");
    watched.end(cluster);
}

fn master_id(cluster: &HaCluster, n: usize) -> String {
    let state = http::get(cluster.master(n), "/state").unwrap().json();
    state["id"].as_str().unwrap().to_owned()
}

#[test]
fn zookeeper_servers_may_die_one_by_one_and_all_together() {
    let mut cluster = HaCluster::builder().ensemble().start();
    let watched = Watched::start(&cluster, "ensemble");
    // One of them is the server that the leading master is connected to.
    for member in 0..3 {
        cluster.zookeeper().kill_9(member);
        watched.all_is_well(&mut cluster, &format!("without-{member}"));
        cluster.zookeeper().restart(member);
    }
    let pids: Vec<_> = (0..3).map(|n| cluster.master_pid(n)).collect();
    cluster.zookeeper().kill_all();
    for master in cluster.masters() {
        wait_for("nobody leads while ZooKeeper is away", || {
            let status = http::get(master, "/state").unwrap().status;
            if status == 503 { Ok(()) } else { Err(status) }
        });
    }
    watched.nothing_happened();
    cluster.zookeeper().restart_all();
    watched.all_is_well(&mut cluster, "after-outage");
    assert_eq!(
        pids,
        (0..3).map(|n| cluster.master_pid(n)).collect::<Vec<_>>()
    );
    watched.end(cluster);
}

#[test]
fn an_ensemble_may_move_and_may_lose_its_data() {
    let mut cluster = HaCluster::builder().ensemble().url_in_file().start();
    let watched = Watched::start(&cluster, "moved");
    let mut ids = HashSet::from([watched.framework_id.clone()]);
    cluster.zookeeper_mut().move_elsewhere();
    cluster.write_url();
    watched.all_is_well(&mut cluster, "after-move");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");
    cluster.zookeeper_mut().lose_everything();
    cluster.write_url();
    watched.all_is_well(&mut cluster, "after-loss");
    assert!(ids.insert(another_framework(&cluster)), "{ids:?}");
    watched.end(cluster);
}

#[test]
fn what_one_leader_promised_the_next_one_keeps() {
    let mut cluster = HaCluster::builder().agents(2).start();
    let gone = cluster.agent_id(1).to_owned();
    let leader = cluster.leader();
    let operator = |cluster: &HaCluster, at: usize, call: Value| {
        http::post_json(cluster.master(at), "/api/v1", &call).unwrap()
    };
    let marked = operator(
        &cluster,
        leader,
        serde_json::json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": gone}}}),
    );
    assert_eq!(marked.status, 200, "{}", marked.text());
    let weights = operator(
        &cluster,
        leader,
        serde_json::json!({
            "type": "UPDATE_WEIGHTS",
            "update_weights": {"weight_infos": [{"role": "kept", "weight": 3.5}]},
        }),
    );
    assert_eq!(weights.status, 200, "{}", weights.text());
    let quota = operator(
        &cluster,
        leader,
        serde_json::json!({
            "type": "UPDATE_QUOTA",
            "update_quota": {"quota_configs": [{"role": "kept", "limits": {"cpus": {"value": 2.0}}}]},
        }),
    );
    assert_eq!(quota.status, 200, "{}", quota.text());
    let ask_quota =
        |cluster: &HaCluster, at| operator(cluster, at, serde_json::json!({"type": "GET_QUOTA"}));
    let quota = ask_quota(&cluster, leader).json();
    assert!(quota.to_string().contains("kept"), "{quota}");
    cluster.kill_9_agent(0);
    cluster.kill_9_master(leader);
    let next = cluster.leader_after(leader);
    assert_eq!(ask_quota(&cluster, next).json(), quota);
    let answer = operator(&cluster, next, serde_json::json!({"type": "GET_WEIGHTS"}));
    assert_eq!(
        answer.json()["get_weights"]["weight_infos"],
        serde_json::json!([{"role": "kept", "weight": 3.5}]),
    );
    // An agent that is away is expected back.
    let slaves = http::get(cluster.master(next), "/slaves").unwrap().json();
    let recovered = slaves["recovered_slaves"].as_array().unwrap();
    assert_eq!(recovered.len(), 1, "{slaves}");
    assert_eq!(recovered[0]["id"], cluster.agent_id(0));
    cluster.start_agent(0);
    assert_eq!(cluster.wait_for_agent(0), cluster.agent_id(0));
    // The agent that is gone is not taken back under its id; a process started anew gets another.
    cluster.kill_9_agent(1);
    cluster.start_agent(1);
    let other = wait_for("an agent in the place of the one that is gone", || {
        cluster.start_agent(1);
        let slaves = cluster.try_get("/slaves")?;
        let host = cluster.agent(1).ip().to_string();
        let mut all = slaves["slaves"].as_array().into_iter().flatten();
        let id = all
            .find(|slave| slave["hostname"] == *host && slave["active"] == true)
            .and_then(|slave| slave["id"].as_str());
        id.map(str::to_owned).ok_or_else(|| slaves.to_string())
    });
    assert_ne!(other, gone);
    assert_ne!(other, cluster.agent_id(0));
    cluster.finish();
}

/// `mesos` with these arguments; what it printed.
fn mesos(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(executables::binary("mesos"))
        .args(arguments)
        .output()
        .unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn the_command_line_finds_the_leader_however_it_is_told() {
    let mut cluster = HaCluster::builder().url_in_file().start();
    let leader = cluster.leader();
    let follower = (0..3).find(|n| *n != leader).unwrap();
    let ways = [
        cluster.url(),
        format!("file://{}", cluster.url_file().display()),
        cluster.master(follower).to_string(),
        cluster.master(leader).to_string(),
    ];
    for way in &ways {
        let (fine, said) = mesos(&["agent", "list", &format!("--master={way}")]);
        assert!(fine && said.contains(cluster.agent_id(0)), "{way}: {said}");
        let (fine, said) = mesos(&[
            "execute",
            &format!("--master={way}"),
            "--name=short",
            "--command=true",
            "--resources=cpus:0.1;mem:32",
        ]);
        assert!(fine && said.contains("TASK_FINISHED"), "{way}: {said}");
    }

    // A task that is executed while the leader dies.
    let go = cluster.dir().join("go");
    let log = cluster.dir().join("execute.log");
    let out = fs::File::create(&log).unwrap();
    let mut child = Command::new(executables::binary("mesos"))
        .args([
            "execute",
            &format!("--master={}", cluster.url()),
            "--name=outlives",
            &format!(
                "--command=while [ ! -e {} ]; do sleep 0.1; done",
                go.display()
            ),
            "--resources=cpus:0.1;mem:32",
            "--checkpoint",
            "--failover_timeout=2mins",
        ])
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_for("the task runs", || {
        let said = said();
        let runs = said.contains("TASK_RUNNING");
        runs.then_some(()).ok_or(said)
    });
    cluster.kill_9_master(leader);
    let next = cluster.leader_after(leader);
    wait_for("the framework is back", || {
        let frameworks = http::get(cluster.master(next), "/frameworks").unwrap();
        let frameworks = frameworks.json();
        let mut all = frameworks["frameworks"].as_array().into_iter().flatten();
        let back = all.any(|framework| framework["connected"] == true);
        back.then_some(())
            .ok_or_else(|| (frameworks.to_string(), said()))
    });
    fs::write(&go, "").unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {}", said());
    assert!(said().contains("TASK_FINISHED"), "{}", said());
    cluster.finish();
}

#[test]
fn pymesos_finds_the_leader_and_follows_a_failover() {
    let mut cluster = HaCluster::builder().start();
    let log = cluster.dir().join("pymesos.log");
    let out = fs::File::create(&log).unwrap();
    let mut child = Command::new("timeout")
        .arg("150")
        .arg(python())
        .arg(executables::repository().join("tests/e2e/pymesos/framework.py"))
        .args(["failover", &cluster.url()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_for("the task runs", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", said());
        let said = said();
        let runs = said.lines().any(|line| line == "running");
        runs.then_some(()).ok_or(said)
    });
    let leader = cluster.leader();
    cluster.kill_9_master(leader);
    cluster.leader_after(leader);
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {}", said());
    cluster.finish();
}

#[test]
fn parts_that_fail_at_random_harm_no_task() {
    let output = Command::new(executables::binary("chaos"))
        // The machine may be busy: only a leader that never comes is wrong here.
        .args(["--rounds", "4", "--seed", "2", "--leaderless", "180"])
        .output()
        .unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("violations: 0"), "{said}");
}
