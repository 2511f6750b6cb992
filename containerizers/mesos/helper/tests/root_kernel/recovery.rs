//! Restarts of the agent: the containerizer is dropped, and another one made over the same state.

use mesos_containerizer_api::{Containerizer as _, LaunchResult, Termination};
use mesos_wire::v1::task_status::Reason;

use crate::{
    destroy::Stall,
    host::{FULL, Host, ended, launched, output, wait_for, wait_for_output},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_container_lives_through_a_restart_and_its_end_is_told() {
    for isolation in [FULL, "cgroups/cpu,cgroups/mem", "posix/cpu,posix/mem"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        let config = host.shell("echo up; while ! test -e gate; do sleep 0.01; done; exit 9");
        let running = launched(&containerizer, &config).await;
        wait_for_output(&config, "up").await;
        drop(containerizer);

        let containerizer = host.containerizer();
        containerizer
            .recover(std::slice::from_ref(&config))
            .await
            .unwrap();
        let status = containerizer.status(&config.id).await.unwrap().unwrap();
        assert_eq!(status.pid, running.pid);
        assert_eq!(
            containerizer.containers().await,
            std::slice::from_ref(&config.id)
        );
        assert_eq!(
            containerizer.launch(config.clone()).await.unwrap(),
            LaunchResult::AlreadyLaunched
        );
        assert!(containerizer.usage(&config.id).await.unwrap().is_some());
        std::fs::write(config.sandbox.join("gate"), "").unwrap();
        assert_eq!(ended(&containerizer, &config.id).await.status, Some(9 << 8));
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_an_end_while_the_agent_is_away_is_told_with_its_status() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("echo up; while ! test -e gate; do sleep 0.01; done; exit 11");
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
    let status = containerizer.runtime_dir_of(&config.id).join("status");
    drop(containerizer);
    std::fs::write(config.sandbox.join("gate"), "").unwrap();
    wait_for("the status is written", || {
        match std::fs::read_to_string(&status) {
            Ok(text) if !text.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let containerizer = host.containerizer();
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    let expected = Termination {
        status: Some(11 << 8),
        ..Termination::default()
    };
    assert_eq!(
        containerizer.wait(&config.id).await.unwrap(),
        Some(expected.clone())
    );
    drop(containerizer);

    // It is not forgotten before the agent says so.
    let containerizer = host.containerizer();
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    assert_eq!(ended(&containerizer, &config.id).await, expected);
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_out_of_memory_while_the_agent_is_away_is_told() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config =
        host.shell("echo up; while ! test -e gate; do sleep 0.01; done; exec tail /dev/zero");
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
    let status = containerizer.runtime_dir_of(&config.id).join("status");
    drop(containerizer);
    std::fs::write(config.sandbox.join("gate"), "").unwrap();
    wait_for("the task is killed", || {
        match std::fs::read_to_string(&status) {
            Ok(text) if text == "9" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    for life in 0..2 {
        let containerizer = host.containerizer();
        containerizer
            .recover(std::slice::from_ref(&config))
            .await
            .unwrap();
        let termination = containerizer.wait(&config.id).await.unwrap().unwrap();
        let limitation = termination
            .limitation
            .unwrap_or_else(|| panic!("life {life}"));
        assert_eq!(limitation.reason, Reason::ContainerLimitationMemory);
        assert!(
            limitation
                .message
                .starts_with("Memory limit exceeded: Requested: 64MB")
        );
        if life == 1 {
            containerizer.forget(&config.id).await.unwrap();
        }
    }
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_what_no_task_belongs_to_is_destroyed_and_strangers_are_left_alone() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let orphan = host.shell("(setsid sleep 1000 &) ; echo up; sleep 1000");
    launched(&containerizer, &orphan).await;
    wait_for_output(&orphan, "up").await;
    drop(containerizer);
    // Another program's, beneath the same root.
    let stranger = host.cgroup("cpu", &"stranger".into());
    stranger.create().unwrap();

    let containerizer = host.containerizer();
    containerizer.recover(&[]).await.unwrap();
    assert_eq!(containerizer.containers().await, []);
    assert_eq!(containerizer.wait(&orphan.id).await.unwrap(), None);
    assert!(stranger.exists());
    assert!(stranger.remove().unwrap());
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_an_agent_that_dies_before_the_release_leaves_no_process() {
    let mut host = Host::new(FULL);
    let stall = Stall::at("isolate");
    host.extra.push(stall.clone());
    let containerizer = std::sync::Arc::new(host.containerizer());
    let config = host.shell("echo ran");
    let launch = tokio::spawn({
        let (containerizer, config) = (containerizer.clone(), config.clone());
        async move { containerizer.launch(config).await }
    });
    stall.reached().await;
    let dir = containerizer.runtime_dir_of(&config.id);
    assert!(
        dir.join("pid").exists(),
        "the pid is written before the release"
    );
    launch.abort();
    drop(launch.await);
    drop(containerizer);
    host.extra.clear();

    // The task's process finds the agent's end closed.
    let freezer = host.cgroup("freezer", &config.id);
    wait_for("the held-back process ends", || {
        match freezer.all_processes() {
            Ok(pids) if pids.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(!output(&config, "stdout").contains("ran"));
    let containerizer = host.containerizer();
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    let termination = ended(&containerizer, &config.id).await;
    assert_eq!(
        termination.status, None,
        "it never ran, so it has no status and may be launched again"
    );
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_containers_and_launches_outlive_the_process_that_makes_them() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("echo up; while ! test -e gate; do sleep 0.01; done; exit 2");
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
    let server = containerizer.helper_pid().expect("it has made a container");
    mesos_isolator_linux::PidFd::open(server)
        .unwrap()
        .signal(9)
        .unwrap();
    let second = host.shell("exit 3");
    launched(&containerizer, &second).await;
    assert_eq!(ended(&containerizer, &second.id).await.status, Some(3 << 8));
    assert_ne!(containerizer.helper_pid(), Some(server));
    std::fs::write(config.sandbox.join("gate"), "").unwrap();
    assert_eq!(ended(&containerizer, &config.id).await.status, Some(2 << 8));
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_container_that_cannot_be_found_has_no_status() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("true");
    // As after a reboot, which empties the runtime directory.
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    assert_eq!(
        ended(&containerizer, &config.id).await,
        Termination::default()
    );
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_pid_that_means_another_process_now_is_not_touched() {
    let host = Host::new(FULL);
    let mut bystander = std::process::Command::new("/bin/sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let config = host.shell("true");
    let containerizer = host.containerizer();
    let dir = containerizer.runtime_dir_of(&config.id);
    std::fs::create_dir_all(&dir).unwrap();
    let mut key = mesos_isolator_linux::ProcessKey::of(bystander.id()).unwrap();
    key.start_time -= 1;
    std::fs::write(dir.join("pid"), key.to_string()).unwrap();
    containerizer.recover(&[]).await.unwrap();
    assert!(
        bystander.try_wait().unwrap().is_none(),
        "the bystander lives"
    );
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    host.assert_clean().await;
}
