//! Images from a registry: pulled when missing, pulled anew when that is asked for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker, executables, wait_for};

/// A registry on loopback, stopped and removed with the test.
struct Registry {
    address: String,
    dir: PathBuf,
    images: Vec<String>,
}

fn script(name: &str) -> Command {
    Command::new(executables::repository().join("scripts").join(name))
}

impl Registry {
    fn start(cluster: &TestCluster) -> Self {
        let dir = cluster.dir().join("registry");
        let output = script("start-registry")
            .args(["-p", "auto", "-d"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let address = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Self {
            address,
            dir,
            images: Vec::new(),
        }
    }

    /// Pushes an image whose file `/version` says `version`, and removes it from the engine.
    fn push(&mut self, name: &str, version: &str) -> String {
        let image = format!("{}/{name}", self.address);
        let container = format!("make-{}-{version}", self.address.replace([':', '.'], "-"));
        let write = format!("echo {version} >/version");
        docker::run(&[
            "run",
            "--network=none",
            "--name",
            &container,
            docker::python_image(),
            "/bin/sh",
            "-c",
            &write,
        ]);
        docker::run(&["commit", &container, &image]);
        docker::run(&["rm", &container]);
        docker::run(&["push", "-q", &image]);
        docker::run(&["rmi", &image]);
        if !self.images.contains(&image) {
            self.images.push(image.clone());
        }
        image
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for image in &self.images {
            // It may not be in the engine at all.
            let _ = Command::new("docker").args(["rmi", "-f", image]).output();
        }
        let _ = script("stop-registry")
            .args(["-r", "-d"])
            .arg(&self.dir)
            .status();
    }
}

fn version_seen(
    cluster: &TestCluster,
    scheduler: &mut Scheduler,
    id: &str,
    image: &str,
    force: bool,
) -> String {
    let task = Task::new(id)
        .docker(image)
        .docker_field("force_pull_image", force.into())
        .shell("cat /version");
    scheduler.launch(vec![task]);
    let end = scheduler.wait_end(id);
    assert_eq!(end["state"], "TASK_FINISHED", "{end:#}");
    let stdout = cluster.sandbox(scheduler.id(), id).join("stdout");
    wait_for("the output is in the sandbox", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        text.lines()
            .find(|line| line.starts_with("version"))
            .map(str::to_owned)
            .ok_or(text)
    })
}

#[test]
fn docker_pulls_a_missing_image_and_a_known_one_only_when_forced() {
    let cluster = TestCluster::start();
    let mut registry = Registry::start(&cluster);
    let mut scheduler = Scheduler::subscribe(cluster.master(), "pulls");
    let image = registry.push("app:1", "version-a");
    assert_eq!(
        version_seen(&cluster, &mut scheduler, "first", &image, false),
        "version-a"
    );
    // Another image behind the same name in the registry; the engine keeps what it had.
    let kept = format!("{}/kept:a", registry.address);
    docker::run(&["tag", &image, &kept]);
    registry.push("app:1", "version-b");
    docker::run(&["tag", &kept, &image]);
    docker::run(&["rmi", &kept]);
    assert_eq!(
        version_seen(&cluster, &mut scheduler, "kept", &image, false),
        "version-a"
    );
    assert_eq!(
        version_seen(&cluster, &mut scheduler, "forced", &image, true),
        "version-b"
    );
    scheduler.teardown();
    drop(registry);
    cluster.finish();
}
