//! The same tests on a host that has cgroup v2 only: a virtual machine, where this host is v1.

use std::{path::Path, process::Command};

use mesos_isolator_linux::{CgroupVersion, Hierarchies};

/// Those that say something about the version. Emulated, they take a minute.
const TESTS: [&str; 4] = [
    "end::",
    "isolation::",
    "destroy::root_destroy_ends",
    "recovery::root_out",
];

#[test]
fn root_isolation_and_ends_are_the_same_on_cgroup_v2() {
    let hierarchies = Hierarchies::detect(Path::new("/sys/fs/cgroup")).unwrap();
    if hierarchies.version() == CgroupVersion::V2 {
        // This host is one, and so all other tests here are the test.
        return;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let output = Command::new(repository.join("scripts/run-in-vm"))
        .args(["-t", "600", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--test-threads", "2"])
        .args(TESTS)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(
        text.contains("root_out_of_memory_is_a_limitation_with_numbers"),
        "{text}"
    );
}
