//! Operators at work: agents are drained, machines go down and come up, roles get weights and quotas.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use mesos_test_support::{
    Framework, TestCluster, executables, http, task::Task, wait_for, wait_until,
};
use serde_json::{Value, json};

fn mesos(arguments: &[&str]) -> Output {
    Command::new(executables::binary("mesos"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("MESOS_MASTER")
        .output()
        .unwrap()
}

/// What a command that must succeed prints.
fn fine(arguments: &[&str]) -> String {
    let output = mesos(arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command that must fail says.
fn refused(arguments: &[&str]) -> String {
    let output = mesos(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&fine(arguments)).unwrap()
}

fn framework(cluster: &TestCluster, role: &str) -> Framework {
    let info = json!({
        "user": "root", "name": "operators", "roles": [role], "failover_timeout": 600.0,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}, {"type": "TASK_KILLING_STATE"}],
    });
    Framework::start(vec![cluster.master()], info)
}

fn slave(cluster: &TestCluster) -> Value {
    http::get(cluster.master(), "/slaves").unwrap().json()["slaves"][0].clone()
}

#[test]
fn a_drained_agent_is_emptied_stays_so_over_a_restart_of_the_master_and_comes_back() {
    let mut cluster = TestCluster::start();
    let at = format!("--master={}", cluster.master());
    let id = cluster.agent_id().to_owned();
    let framework = framework(&cluster, "*");
    framework.launch(Task::new("t").shell("sleep 1000"), None);
    framework.wait_state("t", "TASK_RUNNING");
    let said = fine(&["agent", "drain", &at, &id, "--max-grace-period=5secs"]);
    assert!(said.contains(&id), "{said}");
    let end = wait_for("the task ends", || framework.end("t").ok_or("it runs"));
    assert_eq!(end["state"], "TASK_KILLED", "{end}");
    assert_eq!(end["reason"], "REASON_AGENT_DRAINING", "{end}");
    let listed = || fine(&["agent", "list", &at]);
    wait_until("the agent is drained", || listed().contains(" drained "));

    cluster.restart_master();
    wait_for("the agent is back, and drained", || {
        let slave = slave(&cluster);
        let drained = slave["drain_info"]["state"] == "DRAINED" && slave["active"] == false;
        drained.then_some(()).ok_or(slave)
    });
    framework.wait_for_master(cluster.master());
    fine(&["agent", "reactivate", &at, &id]);
    framework.launch(Task::new("u").shell("sleep 1000"), None);
    framework.wait_state("u", "TASK_RUNNING");

    fine(&["agent", "deactivate", &at, &id]);
    assert!(listed().contains(" deactivated "), "{}", listed());
    assert_eq!(framework.state("u"), "TASK_RUNNING");
    fine(&["agent", "reactivate", &at, &id]);
    let said = refused(&["agent", "reactivate", &at, &id]);
    assert!(said.contains("is not deactivated"), "{said}");
    let said = refused(&["agent", "gone", &at, "nope"]);
    assert!(said.contains("Agent 'nope' not found"), "{said}");
    framework.teardown();
    cluster.finish();
}

#[test]
fn a_machine_goes_down_and_comes_up_again() {
    let mut cluster = TestCluster::start();
    let at = format!("--master={}", cluster.master());
    let before = cluster.agent_id().to_owned();
    let hostname = slave(&cluster)["hostname"].as_str().unwrap().to_owned();
    let machine = format!("{hostname},{}", cluster.ip());
    let framework = framework(&cluster, "*");
    framework.launch(Task::new("t").shell("sleep 1000"), None);
    framework.wait_state("t", "TASK_RUNNING");
    let said = refused(&["maintenance", "down", &at, &machine]);
    assert!(said.contains("is not in DRAINING mode"), "{said}");
    let shown = fine(&[
        "maintenance",
        "schedule",
        &at,
        &format!("--machine={machine}"),
        "--start=1hrs",
        "--duration=30mins",
    ]);
    assert!(
        shown.contains(&machine) && shown.contains("1800secs"),
        "{shown}"
    );
    let schedule = json_of(&["maintenance", "schedule", &at, "--json"]);
    assert_eq!(
        schedule["windows"][0]["machine_ids"][0]["hostname"],
        hostname
    );
    let status = fine(&["maintenance", "status", &at]);
    assert!(status.contains("DRAINING"), "{status}");

    fine(&["maintenance", "down", &at, &machine]);
    let end = wait_for("the task is lost", || framework.end("t").ok_or("it runs"));
    assert_eq!(end["state"], "TASK_LOST", "{end}");
    let status = fine(&["maintenance", "status", &at]);
    assert!(status.contains("DOWN"), "{status}");
    wait_until("the agent has ended", || {
        http::get(cluster.agent(), "/health").is_err()
    });
    fine(&["maintenance", "up", &at, &machine]);
    let schedule = json_of(&["maintenance", "schedule", &at, "--json"]);
    assert!(
        schedule["windows"].as_array().is_none_or(Vec::is_empty),
        "{schedule}"
    );
    cluster.restart_agent();
    let after = slave(&cluster)["id"].as_str().unwrap().to_owned();
    assert_ne!(before, after, "it comes as a new agent");
    framework.teardown();
    cluster.finish();
}

#[test]
fn weights_and_quotas_are_set_shown_and_hold() {
    let mut cluster = TestCluster::start();
    let at = format!("--master={}", cluster.master());
    fine(&["weights", "update", &at, "dev=2.5", "qa=0.5"]);
    let weights = fine(&["weights", "list", &at]);
    assert!(weights.contains("dev   2.5"), "{weights}");
    let said = refused(&["weights", "update", &at, "dev=-1"]);
    assert!(said.contains("Weights must be positive"), "{said}");

    fine(&["quota", "update", &at, "dev", "--limit=cpus:0.5"]);
    let said = refused(&["quota", "update", &at, "qa", "--guarantee=cpus:100000"]);
    assert!(said.contains("exceed cluster capacity"), "{said}");
    let framework = framework(&cluster, "dev/web");
    let cpus = wait_for("an offer", || {
        let offer = framework.notes().offers.first().cloned().ok_or("none")?;
        let resources = offer["resources"].as_array().unwrap().clone();
        let cpus = resources.iter().find(|one| one["name"] == "cpus");
        cpus.map(|one| one["scalar"]["value"].as_f64().unwrap())
            .ok_or("no cpus")
    });
    assert!(cpus <= 0.5, "the limit of the role above binds: {cpus}");
    cluster.restart_master();
    let quotas = json_of(&["quota", "list", &at, "--json"]);
    assert_eq!(quotas[0]["limits"]["cpus"]["value"], 0.5, "{quotas}");
    assert_eq!(
        json_of(&["weights", "list", &at, "--json"])[0]["weight"],
        2.5
    );
    fine(&["quota", "remove", &at, "dev"]);
    assert_eq!(json_of(&["quota", "list", &at, "--json"]), json!([]));
    framework.teardown();
    cluster.finish();
}

/// A file that is gone with the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn only_agents_on_the_whitelist_are_offered() {
    let name = format!("mesos-e2e-whitelist-{}", std::process::id());
    let file = Scratch(std::env::temp_dir().join(name));
    let path = &file.0;
    std::fs::write(path, "somebody-else\n").unwrap();
    let cluster = TestCluster::builder()
        .master(&[&format!("--whitelist={}", path.display())])
        .agent(&[])
        .start();
    let framework = framework(&cluster, "*");
    wait_until("the list is read", || {
        cluster.master_log().contains("whitelist")
    });
    assert!(framework.notes().offers.is_empty());
    let hostname = slave(&cluster)["hostname"].as_str().unwrap().to_owned();
    std::fs::write(path, format!("{hostname}\n")).unwrap();
    framework.launch(Task::new("t").shell("sleep 1000"), None);
    framework.wait_state("t", "TASK_RUNNING");
    framework.teardown();
    cluster.finish();
}
