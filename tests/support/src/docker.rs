//! The real Docker engine, asked through its command line.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The socket of the engine: `DOCKER_HOST`, else the standard one.
///
/// # Panics
/// When no engine answers there, with the command that starts one.
pub fn socket() -> PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET
        .get_or_init(|| {
            let host = std::env::var("DOCKER_HOST").unwrap_or_default();
            let socket = PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"));
            let answer = Command::new("docker").arg("version").output();
            assert!(
                answer.is_ok_and(|output| output.status.success()),
                "no Docker engine answers at {}: start one with scripts/setup && scripts/start-dockerd",
                socket.display()
            );
            socket
        })
        .clone()
}

/// Makes sure that the image python:3 is there.
///
/// # Panics
/// When it cannot be made.
pub fn python_image() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        socket();
        let script = crate::executables::repository().join("scripts/make-python-image");
        let status = Command::new(&script).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{} failed",
            script.display()
        );
    });
    "python:3"
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker is installed: see scripts/setup")
}

/// Runs `docker` with these arguments and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn run(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Names of containers, running or not, that begin with `prefix`.
pub fn containers(prefix: &str) -> Vec<String> {
    names(&["ps", "-a", "--format", "{{.Names}}"], prefix)
}

/// Names of running containers that begin with `prefix`.
pub fn running_containers(prefix: &str) -> Vec<String> {
    names(&["ps", "--format", "{{.Names}}"], prefix)
}

fn names(arguments: &[&str], prefix: &str) -> Vec<String> {
    let printed = docker(arguments).stdout;
    String::from_utf8_lossy(&printed)
        .lines()
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

/// What `docker inspect` says.
///
/// # Panics
/// When there is no such container.
pub fn inspect(name: &str) -> Value {
    let all: Value =
        serde_json::from_str(&run(&["inspect", name])).expect("docker inspect prints JSON");
    all[0].clone()
}

/// Removes containers by force; what is gone already is fine.
pub fn remove(names: &[String]) {
    for name in names {
        docker(&["rm", "-f", "-v", name]);
    }
}
