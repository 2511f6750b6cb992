//! What an unmodified ZooKeeper client, PyPI's kazoo, sees of our masters.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use mesos_test_support::ha::ZK_PATH;
use mesos_test_support::{HaCluster, executables, http, wait_for};
use serde_json::Value;

use crate::executors_pymesos::python;

/// A node of the election.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) path: String,
    /// What it holds, as text and as JSON.
    pub(crate) data: String,
    pub(crate) info: Value,
    pub(crate) ephemeral: bool,
    /// Permission bits, scheme and id of each entry.
    pub(crate) acl: Value,
}

impl Node {
    /// Whether it stands for the master at that address.
    pub(crate) fn names(&self, master: SocketAddr) -> bool {
        self.info["pid"] == format!("master@{master}")
    }
}

fn output(cluster: &HaCluster, auth: Option<&str>, command: &str, path: &str) -> Output {
    output_of(cluster, auth, command, path, "")
}

fn output_of(
    cluster: &HaCluster,
    auth: Option<&str>,
    command: &str,
    path: &str,
    input: &str,
) -> Output {
    let script: PathBuf = executables::repository().join("tests/e2e/kazoo/zk.py");
    let mut python = Command::new(python());
    python.arg(script).env("PYTHONDONTWRITEBYTECODE", "1");
    python.args(auth.into_iter().flat_map(|auth| ["--auth", auth]));
    python.args([&cluster.zookeeper().connect_string(), command, path]);
    let mut child = python
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Runs a command of `zk.py`; what it printed.
pub(crate) fn run(cluster: &HaCluster, auth: Option<&str>, command: &str, path: &str) -> String {
    let output = output(cluster, auth, command, path);
    assert!(
        output.status.success(),
        "{command} {path}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// All nodes at and below the election's path.
pub(crate) fn tree(cluster: &HaCluster, auth: Option<&str>) -> Vec<Node> {
    run(cluster, auth, "tree", ZK_PATH)
        .lines()
        .map(|line| {
            let node: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| node[name].as_str().unwrap().to_owned();
            Node {
                path: text("path"),
                info: serde_json::from_str(&text("data")).unwrap_or(Value::Null),
                data: text("data"),
                ephemeral: node["ephemeral"] == true,
                acl: node["acl"].clone(),
            }
        })
        .collect()
}

/// The nodes of candidates, the leader's first.
pub(crate) fn candidates(cluster: &HaCluster, auth: Option<&str>) -> Vec<Node> {
    let mut nodes = tree(cluster, auth);
    nodes.retain(|node| node.path.starts_with(&format!("{ZK_PATH}/json.info_")));
    nodes
}

/// What is recorded of a Mesos 1.11.0: the data of its first candidate.
fn recorded() -> String {
    let file = executables::repository().join("tests/e2e/data/ha/zookeeper-tree.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.trim().starts_with("b'{"));
    let line = line.unwrap().trim();
    line[2..line.len() - 1].to_owned()
}

#[test]
fn candidates_are_laid_out_as_recorded() {
    let mut cluster = HaCluster::builder().agents(0).start();
    let leader = cluster.leader();
    let nodes = candidates(&cluster, None);
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    assert!(nodes[0].names(cluster.master(leader)), "{nodes:?}");
    let theirs: Value = serde_json::from_str(&recorded()).unwrap();
    for node in &nodes {
        let sequence = node
            .path
            .strip_prefix(&format!("{ZK_PATH}/json.info_"))
            .unwrap();
        assert!(sequence.len() == 10 && sequence.bytes().all(|b| b.is_ascii_digit()));
        assert!(node.ephemeral);
        assert_eq!(node.acl, serde_json::json!([[31, "world", "anyone"]]));
        // The same bytes as Mesos writes, for another address and id.
        let at = (0..3).map(|n| cluster.master(n));
        let at = at.into_iter().find(|at| node.names(*at)).unwrap();
        let SocketAddr::V4(v4) = at else {
            panic!("{at}")
        };
        let expected = recorded()
            .replace(theirs["id"].as_str().unwrap(), {
                node.info["id"].as_str().unwrap()
            })
            .replace("\"localhost\"", &format!("\"{}\"", at.ip()))
            .replace(
                "16777343",
                &u32::from_le_bytes(v4.ip().octets()).to_string(),
            )
            .replace("127.0.0.1", &at.ip().to_string())
            .replace("5280", "5050");
        assert_eq!(node.data, expected);
    }
    // Readers that take every child but Mesos's own `log_replicas` for a master take the lowest name.
    let mut children: Vec<String> = tree(&cluster, None)
        .into_iter()
        .filter_map(|node| {
            let child = node.path.strip_prefix(&format!("{ZK_PATH}/"))?.to_owned();
            (!child.contains('/')).then_some(child)
        })
        .collect();
    children.sort();
    assert!(children[0].starts_with("json.info_"), "{children:?}");
    cluster.finish();
}

#[test]
fn with_credentials_all_may_read_and_only_masters_may_write() {
    let credentials = "masters:a-secret";
    let mut cluster = HaCluster::builder()
        .masters(2)
        .agents(0)
        .credentials(credentials)
        .start();
    let leader = cluster.leader();
    // Anybody finds the leader without knowing the password.
    let nodes = candidates(&cluster, None);
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    assert!(nodes[0].names(cluster.master(leader)));
    for node in &nodes {
        let acl = node.acl.as_array().unwrap();
        assert_eq!(acl[0], serde_json::json!([1, "world", "anyone"]));
        assert_eq!((&acl[1][0], &acl[1][1]), (&31.into(), &"digest".into()));
        assert!(
            acl[1][2].as_str().unwrap().starts_with("masters:"),
            "{acl:?}"
        );
    }
    run(&cluster, None, "deny", ZK_PATH);
    run(&cluster, Some("masters:another"), "deny", ZK_PATH);
    let denied = output(&cluster, None, "delete", &nodes[0].path);
    assert!(!denied.status.success());
    cluster.leader();
    // Who knows it may.
    run(&cluster, Some(credentials), "delete", &nodes[0].path);
    cluster.leader_after(leader);
    // The password stands in no log and in no answer.
    for n in 0..2 {
        assert!(!cluster.master_log(n).contains("a-secret"));
        let flags = mesos_test_support::http::get(cluster.master(n), "/flags").unwrap();
        assert!(!flags.text().contains("a-secret"), "{}", flags.text());
    }
    cluster.finish();
}

/// Lets somebody else stand for election with this content; the node's path.
fn stands(cluster: &HaCluster, content: &str) -> String {
    let output = output_of(cluster, None, "stand", ZK_PATH, content);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_mesos_master_that_leads_is_followed_and_a_broken_node_is_not() {
    let mut cluster = HaCluster::builder().masters(2).agents(0).start();
    cluster.leader();
    let foreign = stands(&cluster, &recorded());
    // Ours stand again behind it.
    for node in candidates(&cluster, None) {
        if node.path != foreign {
            run(&cluster, None, "delete", &node.path);
        }
    }
    let masters = cluster.masters();
    let says = |expected: (u16, &str)| {
        for master in masters.iter().copied() {
            wait_for("a master says who leads", || {
                let answer = http::get(master, "/state").unwrap();
                let place = answer.header("location").unwrap_or_default();
                if (answer.status, place) == expected {
                    Ok(())
                } else {
                    Err(answer)
                }
            });
        }
    };
    says((307, "//localhost:5280/master/state"));
    // Somebody writes a node that holds no master: whoever stands behind it must not lead, as other readers
    // would look at it too.
    let broken = stands(&cluster, "{}");
    run(&cluster, None, "delete", &foreign);
    cluster.leader();
    for node in candidates(&cluster, None) {
        if node.path != broken {
            run(&cluster, None, "delete", &node.path);
        }
    }
    says((503, ""));
    run(&cluster, None, "delete", &broken);
    cluster.leader();
    cluster.finish();
}
