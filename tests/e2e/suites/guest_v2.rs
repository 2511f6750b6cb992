//! cgroup v2, in the guest of `scripts/run-in-vm`: this machine may have v1 only.

use std::process::Command;

use mesos_test_support::executables;

#[test]
fn a_task_runs_within_its_limits_on_a_host_with_cgroup_v2_only() {
    let repository = executables::repository();
    let binaries = executables::binary("agent");
    let output = Command::new(repository.join("scripts/run-in-vm"))
        .args(["-t", "280", "--"])
        .arg(repository.join("tests/e2e/guest/smoke"))
        .arg(binaries.parent().unwrap())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("guest: all is well"), "{said}");
}
