//! Flags of both daemons: what is refused, with which words, and what is taken from elsewhere.

use std::fs;
use std::process::{Command, Output, Stdio};

use mesos_test_support::{TestCluster, executables};

/// Runs a daemon that is expected to end by itself.
fn run(daemon: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .arg("30")
        .arg(executables::binary(daemon))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a daemon that must refuse to start; what it says.
fn refusal(daemon: &str, arguments: &[&str]) -> String {
    let output = run(daemon, arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !output.status.success() && output.status.code() != Some(124),
        "{arguments:?}: {}: {said}",
        output.status
    );
    said
}

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` should be named: {said}");
    }
}

#[test]
fn help_and_version_are_told() {
    for daemon in ["master", "agent"] {
        let version = run(daemon, &["--version"]);
        assert!(version.status.success());
        let text = String::from_utf8_lossy(&version.stdout).into_owned();
        let number = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("mesos "));
        assert!(
            number.is_some_and(|number| number.split('.').count() == 3),
            "{text}"
        );
        let help = run(daemon, &["--help"]);
        assert!(help.status.success());
        says(
            &String::from_utf8_lossy(&help.stdout),
            &["--work_dir", "--port"],
        );
    }
}

#[test]
fn an_unknown_flag_is_refused_with_a_suggestion() {
    says(
        &refusal("agent", &["--containerisers=mesos"]),
        &["containerisers", "containerizers"],
    );
    says(
        &refusal("master", &["--work_dri=/tmp/x"]),
        &["work_dri", "work_dir"],
    );
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    says(
        &refusal("agent", &["--gc_delay=5s"]),
        &["gc_delay", "5s", "secs"],
    );
    says(
        &refusal("agent", &["--isolation=cgroups/cpus"]),
        &["cgroups/cpus", "cgroups/cpu", "namespaces/pid"],
    );
    says(
        &refusal("agent", &["--containerizers=mesos,mesos"]),
        &["containerizers", "mesos"],
    );
    says(
        &refusal("agent", &["--resources=cpus:many"]),
        &["resources", "many"],
    );
    says(&refusal("master", &["--port=70000"]), &["port", "70000"]);
}

#[test]
fn a_flag_that_restricts_and_is_not_built_is_refused() {
    says(
        &refusal("master", &["--authenticate_http_readwrite"]),
        &["authenticate_http_readwrite"],
    );
    says(&refusal("master", &["--acls={}"]), &["acls"]);
    says(
        &refusal("agent", &["--authenticate_http_readonly"]),
        &["authenticate_http_readonly"],
    );
}

#[test]
fn values_come_from_the_environment_and_from_files_and_the_command_line_wins() {
    let resources =
        std::env::temp_dir().join(format!("mesos-test-resources-{}", std::process::id()));
    fs::write(
        &resources,
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":3}}]"#,
    )
    .unwrap();
    let cluster = TestCluster::builder()
        .env("MESOS_ATTRIBUTES", "rack:r1")
        .env("MESOS_HOSTNAME", "ignored.example.com")
        .env("MESOS_NO_SUCH_FLAG", "is fine")
        .agent(&[&format!("--resources=file://{}", resources.display())])
        .start();
    let state = cluster.agent_state();
    assert_eq!(state["resources"]["cpus"], 3.0, "{}", state["resources"]);
    assert_eq!(state["attributes"]["rack"], "r1", "{}", state["attributes"]);
    assert_eq!(
        state["hostname"],
        cluster.ip().to_string(),
        "the command line wins"
    );
    fs::remove_file(&resources).unwrap();
    cluster.finish();
}

#[test]
fn a_flag_that_is_not_built_is_taken_with_one_warning() {
    let cluster = TestCluster::builder()
        .agent(&["--perf_interval=2mins"])
        .start();
    let log = cluster.agent_log();
    let warnings = log
        .lines()
        .filter(|line| line.contains("perf_interval"))
        .count();
    assert!(warnings >= 1, "{log}");
    cluster.finish();
}

#[test]
fn a_work_dir_in_use_is_refused_with_its_owner() {
    let cluster = TestCluster::start();
    let ip = format!("--ip={}", cluster.ip());
    let work_dir = format!("--work_dir={}", cluster.work_dir().display());
    let runtime_dir = format!("--runtime_dir={}", cluster.dir().join("run").display());
    let master = format!("--master={}", cluster.master());
    let agent_pid = cluster.agent_pid().unwrap().to_string();
    says(
        &refusal(
            "agent",
            &[&ip, "--port=5061", &work_dir, &runtime_dir, &master],
        ),
        &[&agent_pid],
    );
    let work_dir = format!("--work_dir={}", cluster.dir().join("master").display());
    let master_pid = cluster.master_pid().unwrap().to_string();
    says(
        &refusal("master", &[&ip, "--port=5060", &work_dir]),
        &[&master_pid],
    );
    cluster.finish();
}

#[test]
fn a_port_in_use_is_named() {
    let cluster = TestCluster::builder().start();
    let ip = format!("--ip={}", cluster.ip());
    let work_dir = format!("--work_dir={}", cluster.dir().join("other").display());
    says(
        &refusal("master", &[&ip, "--port=5050", &work_dir]),
        &["5050"],
    );
}

#[test]
fn more_resources_and_attributes_after_a_restart_are_taken_over() {
    let mut cluster = TestCluster::start();
    let id = cluster.agent_id().to_owned();
    cluster.stop_agent();
    let (first, last) = (cluster.port(0), cluster.port(9));
    cluster.set_agent_flag(&format!(
        "--resources=cpus:8;mem:8192;disk:8192;ports:[{first}-{last}]"
    ));
    cluster.set_agent_flag("--attributes=rack:r2");
    cluster.set_agent_flag("--reconfiguration_policy=additive");
    cluster.restart_agent();
    let state = cluster.agent_state();
    assert_eq!(
        (state["id"].as_str(), &state["resources"]["cpus"]),
        (Some(id.as_str()), &8.0.into())
    );
    assert_eq!(state["attributes"]["rack"], "r2");
    cluster.finish();
}
