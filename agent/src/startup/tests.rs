//! Which changes an agent may start with.

use mesos_types::parse_resources;

use super::*;
use crate::core::testing::config;

fn changed(
    policy: ReconfigurationPolicy,
    old: &str,
    new: &str,
    detected: &[&str],
) -> Result<(), String> {
    let mut config = config(Path::new("/nowhere"));
    config.reconfiguration_policy = policy;
    config.detected = detected.iter().map(|&name| name.to_owned()).collect();
    config.resources = parse_resources(old, "*").unwrap();
    let before = config.agent_info();
    config.resources = parse_resources(new, "*").unwrap();
    let after = config.agent_info();
    let was: Vec<String> = config.detected.clone();
    differences(&config, &before, &after, &was)
}

#[test]
fn resources_follow_the_policy() {
    use ReconfigurationPolicy::{Additive, Equal};
    for (policy, old, new, detected, fits) in [
        (Equal, "cpus:4;mem:64", "cpus:4;mem:64", &[][..], true),
        (Equal, "cpus:4;mem:64", "cpus:8;mem:64", &[], false),
        (
            Equal,
            "cpus:4;mem:64",
            "cpus:8;mem:63",
            &["cpus", "mem"],
            true,
        ),
        (
            Additive,
            "cpus:4;ports:[1-2]",
            "cpus:8;ports:[1-3]",
            &[],
            true,
        ),
        (Additive, "cpus:4;mem:64", "cpus:3;mem:64", &[], false),
        (Additive, "cpus:4;mem:64", "cpus:3;mem:64", &["cpus"], true),
        (Additive, "ports:[1-3]", "ports:[1-2]", &["ports"], false),
    ] {
        assert_eq!(
            changed(policy, old, new, detected).is_ok(),
            fits,
            "{policy:?} {old} {new} {detected:?}"
        );
    }
}

#[test]
fn the_work_dir_of_apache_mesos_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let own = identity::slaves(dir.path()).join("36a5d1c3-0c43-4216-9d98-bbd3b034d872-S0");
    let run = own.join("frameworks/f/executors/e/runs/latest/pids");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("forked.pid"), std::process::id().to_string()).unwrap();
    fs::write(
        own.join("slave.info"),
        include_bytes!("../../tests/data/apache-slave.info"),
    )
    .unwrap();
    std::os::unix::fs::symlink(&own, identity::slaves(dir.path()).join("latest")).unwrap();
    let mut config = config(dir.path());
    config.hostname = "localhost".to_owned();
    config.port = 5251;
    config.resources =
        parse_resources("cpus:4;mem:4096;disk:10000;ports:[31000-32000]", "*").unwrap();
    config.attributes = mesos_types::parse_attributes("rack:r1;zone:z1;num:3").unwrap();
    let loaded = load(&config).unwrap();
    assert_eq!(
        loaded.agent.id.unwrap().value,
        "36a5d1c3-0c43-4216-9d98-bbd3b034d872-S0"
    );
    drop(loaded.lock);
    config.port = 5252;
    let error = load(&config).unwrap_err().to_string();
    assert!(error.contains("the port was 5251 and is 5252"), "{error}");
    assert!(error.contains("rm -f "), "{error}");
}

#[test]
fn what_is_reserved_must_fit_and_what_was_detected_makes_room() {
    use crate::core::testing::{reserved, volume};
    let held = Resources::from_wire(&[volume("v", 64.0), reserved("mem", 512.0)]).unwrap();
    let mut config = config(Path::new("/nowhere"));
    config.resources = parse_resources("cpus:1;mem:1024;disk:100", "*").unwrap();
    let (given, total) = with_checkpointed(&config, &held).unwrap();
    assert_eq!(given, config.resources);
    assert_eq!(total.checkpointed(), held);
    config.resources = parse_resources("cpus:1;mem:256;disk:50", "*").unwrap();
    let error = with_checkpointed(&config, &held).unwrap_err().to_string();
    assert!(
        error.contains("[v]:64") && error.contains("rm /nowhere/meta/resources/journal"),
        "{error}"
    );
    // A kernel that shows less memory strands nothing.
    config.detected = vec!["mem".to_owned(), "disk".to_owned()];
    let (given, total) = with_checkpointed(&config, &held).unwrap();
    assert_eq!(
        given,
        parse_resources("cpus:1;mem:512;disk:64", "*").unwrap()
    );
    assert_eq!(total.checkpointed(), held);
}
