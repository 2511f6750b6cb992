//! What a task finds when it starts, and what keeps it from starting.

use mesos_containerizer_api::{ContainerError, Containerizer as _, LaunchResult, Stage};
use mesos_wire::v1;

use crate::host::{FULL, Host, ended, launched, output, run, wait_for_output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_task_finds_its_environment_sandbox_and_nothing_of_the_agent() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("pwd; env | sort; ls -l /proc/self/fd | wc -l; cat; id -u >&2");
    assert_eq!(run(&containerizer, &config).await.status, Some(0));
    let sandbox = config.sandbox.display();
    assert_eq!(
        output(&config, "stdout"),
        format!(
            "{sandbox}\nGREETING=hello\nMESOS_SANDBOX={sandbox}\n\
             PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD={sandbox}\n5\n"
        )
    );
    assert_eq!(output(&config, "stderr"), "0\n");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_signals_are_as_a_new_program_expects() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert_eq!(run(&containerizer, &config).await.status, Some(0));
    for line in output(&config, "stdout").lines() {
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_task_runs_as_its_user_and_owns_its_output() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("id -un; id -Gn; touch file");
    config.user = Some("nobody".to_owned());
    std::os::unix::fs::chown(&config.sandbox, Some(65534), Some(65534)).unwrap();
    // The way to the sandbox is the agent's to open; in this test it is a private directory.
    for above in config.sandbox.ancestors().skip(1).take(2) {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(above, open).unwrap();
    }
    assert_eq!(
        run(&containerizer, &config).await.status,
        Some(0),
        "{}",
        output(&config, "stderr")
    );
    assert_eq!(output(&config, "stdout"), "nobody\nnogroup\n");
    let owner = |name| {
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(config.sandbox.join(name)).unwrap())
    };
    assert_eq!((owner("stdout"), owner("file")), (65534, 65534));
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_an_unknown_user_fails_the_launch_with_a_remedy() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("true");
    config.user = Some("no-such-user-here".to_owned());
    let error = containerizer.launch(config.clone()).await.unwrap_err();
    assert!(matches!(
        error,
        ContainerError::Launch {
            stage: Stage::Validate,
            ..
        }
    ));
    assert!(error.to_string().contains("create it"), "{error}");
    assert_eq!(containerizer.wait(&config.id).await.unwrap(), None);
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_failed_fetch_or_mount_undoes_everything() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("true");
    config.command.uris.push(v1::command_info::Uri {
        value: "http://nowhere/x".to_owned(),
        ..v1::command_info::Uri::default()
    });
    let error = containerizer.launch(config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage `fetch` failed: cannot fetch `http://nowhere/x`: no such host"
    );

    // Found out only by the helper, when cgroups and process are there already.
    let config = host.shell("true");
    std::fs::create_dir(config.sandbox.join("stdout")).unwrap();
    let error = containerizer.launch(config).await.unwrap_err();
    assert!(
        matches!(
            error,
            ContainerError::Launch {
                stage: Stage::Fork,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("stdout: Is a directory"),
        "{error}"
    );
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_docker_is_not_supported_and_an_id_is_launched_once() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut docker = host.shell("true");
    docker.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Docker.into(),
        ..v1::ContainerInfo::default()
    });
    assert!(!containerizer.accepts(&docker));
    assert_eq!(
        containerizer.launch(docker).await.unwrap(),
        LaunchResult::NotSupported
    );
    let config = host.shell("echo up; read line < gate");
    nix_mkfifo(&config.sandbox.join("gate"));
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
    assert_eq!(
        containerizer.launch(config.clone()).await.unwrap(),
        LaunchResult::AlreadyLaunched
    );
    std::fs::write(config.sandbox.join("gate"), "go\n").unwrap();
    assert_eq!(ended(&containerizer, &config.id).await.status, Some(0));
    host.assert_clean().await;
}

fn nix_mkfifo(path: &std::path::Path) {
    assert!(
        std::process::Command::new("mkfifo")
            .arg(path)
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_many_containers_at_once_all_end_right() {
    let host = Host::new(FULL);
    let containerizer = std::sync::Arc::new(host.containerizer());
    let mut runs = Vec::new();
    for n in 0..40 {
        let config = host.shell(&format!("exit {n}"));
        let containerizer = containerizer.clone();
        runs.push(tokio::spawn(async move {
            (n, run(&containerizer, &config).await)
        }));
    }
    for run in runs {
        let (n, termination) = run.await.unwrap();
        assert_eq!(termination.status, Some(n << 8));
    }
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_cgroups_runs_tasks_too() {
    let host = Host::without_cgroups();
    let containerizer = host.containerizer();
    let config = host.shell("setsid sleep 1000 & echo $!; exit 5");
    assert_eq!(run(&containerizer, &config).await.status, Some(5 << 8));
    let orphan = output(&config, "stdout").trim().to_owned();
    assert!(
        !std::path::Path::new("/proc").join(&orphan).exists(),
        "process {orphan} has outlived its container"
    );
    let config = host.shell("(setsid sleep 1000 &) ; echo up; sleep 1000");
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
    let usage = containerizer
        .usage(&config.id)
        .await
        .unwrap()
        .unwrap()
        .statistics;
    assert!(usage.mem_rss_bytes.unwrap() > 0);
    assert_eq!(
        containerizer
            .destroy(&config.id)
            .await
            .unwrap()
            .unwrap()
            .status,
        Some(9)
    );
    containerizer.forget(&config.id).await.unwrap();
}
