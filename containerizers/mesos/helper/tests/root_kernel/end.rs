//! How a task's end is told.

use mesos_containerizer_api::{Containerizer as _, Termination};
use mesos_wire::v1::task_status::Reason;

use crate::host::{FULL, Host, ended, launched, output, resources, run, wait_for_output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_exit_codes_and_signals_are_raw_wait_statuses() {
    for isolation in [FULL, "posix/cpu,posix/mem"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        for (line, status) in [
            ("exit 0", 0),
            ("exit 3", 3 << 8),
            ("exit 255", 255 << 8),
            ("kill -KILL $$", 9),
            ("kill -TERM $$", 15),
            ("no-such-command-here", 127 << 8),
        ] {
            let config = host.shell(line);
            let termination = run(&containerizer, &config).await;
            let expected = Termination {
                status: Some(status),
                ..Termination::default()
            };
            assert_eq!(termination, expected, "`{line}` under {isolation}");
        }
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_missing_program_is_status_1_and_says_so() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.exec("/no/such/program", &[]);
    assert_eq!(run(&containerizer, &config).await.status, Some(1 << 8));
    assert_eq!(
        output(&config, "stderr"),
        "Failed to execute '/no/such/program': No such file or directory (os error 2)\n"
    );
    // By name, in the task's own PATH.
    let config = host.exec("echo", &["echo", "a  b", "c"]);
    assert_eq!(run(&containerizer, &config).await.status, Some(0));
    assert_eq!(output(&config, "stdout"), "a  b c\n");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_out_of_memory_is_a_limitation_with_numbers() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    // The first allocates in its only process, so that the kill may end the container before its
    // event has been read; the second one survives the kill.
    for line in [
        "exec tail /dev/zero",
        "tail /dev/zero; echo survived; sleep 1000",
    ] {
        let config = host.shell(line);
        let termination = run(&containerizer, &config).await;
        let limitation = termination
            .limitation
            .unwrap_or_else(|| panic!("`{line}` has none"));
        assert_eq!(limitation.reason, Reason::ContainerLimitationMemory);
        let first = limitation.message.lines().next().unwrap();
        assert!(
            first.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 64MB"),
            "{first}"
        );
        assert!(
            limitation.message.contains("MEMORY STATISTICS"),
            "{}",
            limitation.message
        );
        assert_eq!(limitation.resources, resources("mem:64"));
    }
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_sandbox_over_its_quota_ends_the_container() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("dd if=/dev/zero of=big bs=1M count=3; sleep 1000");
    config.resources = resources("cpus:1;mem:64;disk:1");
    let limitation = run(&containerizer, &config).await.limitation.unwrap();
    assert_eq!(limitation.reason, Reason::ContainerLimitationDisk);
    assert!(
        limitation.message.ends_with("exceeds quota (1MB)"),
        "{}",
        limitation.message
    );
    assert_eq!(limitation.resources, resources("disk:1"));
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_what_a_task_leaves_running_ends_with_it() {
    for isolation in [FULL, "cgroups/cpu,cgroups/mem", "posix/cpu"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        let config = host.shell("setsid sleep 1000 & (setsid sleep 1001 &) ; echo done; exit 4");
        assert_eq!(
            run(&containerizer, &config).await.status,
            Some(4 << 8),
            "{isolation}"
        );
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_helper_that_is_killed_counts_as_a_killed_task() {
    for isolation in [FULL, "cgroups/cpu,cgroups/mem"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        let config = host.shell("echo up; sleep 1000");
        let running = launched(&containerizer, &config).await;
        wait_for_output(&config, "up").await;
        let helper = mesos_isolator_linux::PidFd::open(running.pid.unwrap()).unwrap();
        helper.signal(9).unwrap();
        let termination = ended(&containerizer, &config.id).await;
        assert_eq!(
            termination,
            Termination {
                status: Some(9),
                ..Termination::default()
            }
        );
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_any_number_may_wait_and_the_answer_stays_until_forgotten() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("exit 7");
    launched(&containerizer, &config).await;
    let (one, two) = tokio::join!(
        containerizer.wait(&config.id),
        containerizer.wait(&config.id)
    );
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(
        containerizer.containers().await,
        [],
        "an ended container is none any more"
    );
    assert_eq!(containerizer.usage(&config.id).await.unwrap(), None);
    assert_eq!(ended(&containerizer, &config.id).await.status, Some(7 << 8));
    host.assert_clean().await;
}
