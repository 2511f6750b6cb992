//! What isolators do to a container, and the contract they all keep.

use mesos_containerizer_api::Containerizer as _;
use mesos_isolator_api::{IsolatorConfig, Limits};
use mesos_isolator_registry::{IsolationSettings, TABLE};
use mesos_types::{ContainerId, LimitValue, Scalar};
use mesos_wire::v1::{self, volume};

use crate::host::{FULL, Host, ended, launched, output, resources, run, wait_for, wait_for_output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_container_sees_its_own_processes_only() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let config = host.shell("echo $$ /proc/[0-9]*");
    run(&containerizer, &config).await;
    // The first process, and the shell.
    assert_eq!(output(&config, "stdout"), "2 /proc/1 /proc/2\n");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_limits_are_set_before_the_task_runs_and_follow_updates() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("cat /proc/self/cgroup; sleep 1000");
    config.resources = resources("cpus:0.3;mem:80");
    launched(&containerizer, &config).await;
    let read = |controller, file| {
        host.cgroup(controller, &config.id)
            .read(file)
            .map(|text| text.trim().to_owned())
    };
    let v2 = host.cgroup("cpu", &config.id).file("cpu.weight").exists();
    if v2 {
        assert_eq!(read("cpu", "cpu.weight").unwrap(), "30");
        assert_eq!(read("cpu", "cpu.max").unwrap(), "30000 100000");
        assert_eq!(read("memory", "memory.max").unwrap(), "83886080");
    } else {
        assert_eq!(read("cpu", "cpu.shares").unwrap(), "307");
        assert_eq!(read("cpu", "cpu.cfs_quota_us").unwrap(), "30000");
        assert_eq!(read("memory", "memory.limit_in_bytes").unwrap(), "83886080");
        assert_eq!(
            read("memory", "memory.soft_limit_in_bytes").unwrap(),
            "83886080"
        );
    }
    wait_for_output(&config, config.id.value()).await;
    let limits = Limits {
        cpus: Some(LimitValue::Infinite),
        mem: Some(LimitValue::Finite(Scalar::from_thousandths(128_000))),
    };
    containerizer
        .update(&config.id, &resources("cpus:0.5;mem:64"), &limits)
        .await
        .unwrap();
    if v2 {
        assert_eq!(read("cpu", "cpu.max").unwrap(), "max 100000");
        assert_eq!(read("memory", "memory.max").unwrap(), "134217728");
    } else {
        assert_eq!(read("cpu", "cpu.shares").unwrap(), "512");
        assert_eq!(read("cpu", "cpu.cfs_quota_us").unwrap(), "-1");
        assert_eq!(
            read("memory", "memory.limit_in_bytes").unwrap(),
            "134217728"
        );
        assert_eq!(
            read("memory", "memory.soft_limit_in_bytes").unwrap(),
            "67108864"
        );
    }
    let usage = containerizer
        .usage(&config.id)
        .await
        .unwrap()
        .unwrap()
        .statistics;
    assert_eq!(
        (usage.cpus_soft_limit, usage.cpus_limit),
        (Some(0.5), Some(2.0))
    );
    assert_eq!(usage.mem_limit_bytes, Some(128 << 20));
    assert!(usage.mem_total_bytes.unwrap() > 0 && usage.cpus_user_time_secs.is_some());
    assert!(usage.cpus_nr_periods.is_some());
    assert!(v2 || usage.mem_low_pressure_counter == Some(0));
    containerizer.destroy(&config.id).await.unwrap();
    containerizer.forget(&config.id).await.unwrap();
    host.assert_clean().await;
}

fn volume(container_path: &str, host_path: &str, mode: volume::Mode) -> v1::Volume {
    v1::Volume {
        mode: mode.into(),
        container_path: container_path.to_owned(),
        host_path: Some(host_path.to_owned()),
        ..v1::Volume::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_host_paths_are_mounted_in_the_container_only() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().to_str().unwrap();
    let mut config = host.shell(
        "echo 1 > rw/written; echo 2 > ro/refused; echo 3 > /mnt/absolute; ls rw ro own; sleep 1000",
    );
    config.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos.into(),
        volumes: vec![
            volume("rw", path, volume::Mode::Rw),
            volume("ro", path, volume::Mode::Ro),
            volume("/mnt", path, volume::Mode::Rw),
            volume("own", "from-sandbox", volume::Mode::Rw),
        ],
        ..v1::ContainerInfo::default()
    });
    launched(&containerizer, &config).await;
    wait_for_output(&config, "own:\n").await;
    assert_eq!(
        output(&config, "stdout"),
        "own:\n\nro:\nabsolute\nwritten\n\nrw:\nabsolute\nwritten\n"
    );
    assert!(output(&config, "stderr").contains("ro/refused: Read-only file system"));
    assert!(
        !config.sandbox.join("rw/written").exists(),
        "the host does not see the mount"
    );
    containerizer.destroy(&config.id).await.unwrap();
    containerizer.forget(&config.id).await.unwrap();
    assert!(shared.path().join("written").exists());
    host.assert_clean().await;

    let host = Host::new("filesystem/posix");
    let containerizer = host.containerizer();
    let config = mesos_containerizer_api::ContainerConfig {
        container: config.container,
        ..host.shell("true")
    };
    let error = containerizer.launch(config).await.unwrap_err().to_string();
    assert!(error.contains("--isolation=filesystem/linux"), "{error}");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_an_image_is_refused_plainly() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("true");
    config.container = Some(v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos.into(),
        mesos: Some(v1::container_info::MesosInfo {
            image: Some(v1::Image::default()),
        }),
        ..v1::ContainerInfo::default()
    });
    let error = containerizer.launch(config).await.unwrap_err().to_string();
    assert!(
        error.contains("container images are not built yet"),
        "{error}"
    );
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_the_cpu_quota_holds() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let mut config = host.shell("while :; do :; done");
    config.resources = resources("cpus:0.1;mem:64");
    launched(&containerizer, &config).await;
    let id = config.id.clone();
    let cgroup = host.cgroup("cpu", &id);
    wait_for("the kernel throttles", || {
        match cgroup.read_key("cpu.stat", "nr_throttled") {
            Ok(Some(count)) if count > 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(containerizer.kill(&id, 9).await.unwrap());
    assert_eq!(ended(&containerizer, &id).await.status, Some(9));
    host.assert_clean().await;
}

/// What `Isolator` promises, whoever implements it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_every_isolator_keeps_the_contract() {
    let sandbox = tempfile::tempdir().unwrap();
    let root = format!("{}-contract-{}", crate::host::mark(), std::process::id());
    let settings = IsolationSettings {
        cgroups_root: root.clone(),
        ..IsolationSettings::for_host("/sys/fs/cgroup".as_ref(), sandbox.path()).unwrap()
    };
    for entry in TABLE {
        let isolator = (entry.build)(&settings).unwrap();
        assert_eq!(isolator.name(), entry.name);
        let config = IsolatorConfig {
            id: ContainerId::random(),
            resources: resources("cpus:1;mem:64;disk:10"),
            limits: Limits::default(),
            sandbox: sandbox.path().to_owned(),
            user: None,
            container: None,
            command_task: true,
        };
        let id = &config.id;
        isolator
            .recover(&[], std::slice::from_ref(id))
            .await
            .unwrap();
        isolator
            .cleanup(id)
            .await
            .expect("cleanup comes even if prepare never did");
        assert_eq!(isolator.last_limitation(id).await, None);
        isolator.prepare(&config).await.unwrap();
        isolator.isolate(id, std::process::id()).await.unwrap();
        isolator
            .update(id, &config.resources, &config.limits)
            .await
            .unwrap();
        isolator
            .update(id, &config.resources, &config.limits)
            .await
            .unwrap();
        let mut statistics = v1::ResourceStatistics::default();
        isolator.usage(id, &mut statistics).await.unwrap();
        let quiet = tokio::time::timeout(
            std::time::Duration::from_millis(20),
            isolator.limitation(id),
        );
        assert!(
            quiet.await.is_err(),
            "{} has no reason to end the container",
            entry.name
        );
        assert_eq!(isolator.last_limitation(id).await, None);
        isolator.cleanup(id).await.unwrap();
        isolator.cleanup(id).await.expect("cleanup may be repeated");
    }
    let hierarchies = &settings.hierarchies;
    for controller in ["cpu", "cpuacct", "memory"] {
        if let Ok(top) = hierarchies.controller(controller) {
            assert!(top.child(&root).remove().unwrap());
        }
    }
}
