//! The README's first command, with the binaries at hand and ports of its own.

use std::process::Command;

use mesos_test_support::loopback::Claim;
use mesos_test_support::{docker, executables};

#[test]
fn docker_the_quickstart_ends_with_an_answering_service_and_cleans_up() {
    docker::python_image();
    let claim = Claim::new();
    let port = |n: u16| claim.first_port + n;
    let state = std::env::temp_dir().join(format!("mesos-rs-q-{}", std::process::id()));
    let binary = executables::binary("master");
    let output = Command::new(executables::repository().join("scripts/quickstart"))
        .args(["--once", "--mesos"])
        .arg(format!("--port={}", port(0)))
        .arg(format!("--master-port={}", port(8)))
        .arg(format!("--agent-port={}", port(9)))
        .arg(format!("--state-dir={}", state.display()))
        .arg(format!("--bin-dir={}", binary.parent().unwrap().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{progress}");
    assert!(
        said.contains(&format!("http://127.0.0.1:{}", port(0))),
        "{said}"
    );
    let container = said
        .split_whitespace()
        .find(|word| word.starts_with("mesos-"))
        .unwrap()
        .to_owned();
    assert!(
        docker::containers(&container).is_empty(),
        "{container} is still there"
    );
    let sandbox = said
        .split_whitespace()
        .find(|word| word.ends_with("runs/latest"))
        .unwrap();
    for file in ["stdout", "stderr"] {
        assert!(
            std::path::Path::new(sandbox).join(file).exists(),
            "{sandbox} has no {file}"
        );
    }
    std::fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let claim = Claim::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", claim.first_port)).unwrap();
    let output = Command::new(executables::repository().join("scripts/quickstart"))
        .arg(format!("--port={}", claim.first_port + 1))
        .arg(format!("--master-port={}", claim.first_port))
        .arg(format!("--agent-port={}", claim.first_port + 2))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&claim.first_port.to_string()) && said.contains("--master-port"),
        "{said}"
    );
    drop(taken);
}
