//! Persistent volumes in containers, over updates and over the end of the agent.

use std::path::PathBuf;

use mesos_containerizer_api::{ContainerConfig, Containerizer as _};
use mesos_containerizer_mesos::MesosContainerizer;
use mesos_types::{Limits, Resources};
use mesos_wire::v1::{self, volume::Mode};

use crate::host::{FULL, Host, ended, launched, output, resources, run, wait_for, wait_for_output};

/// A volume of role `dev`; its directory is made.
fn held(host: &Host, id: &str, container_path: &str, mode: Mode) -> Resources {
    std::fs::create_dir_all(directory(host, id)).unwrap();
    let wire = v1::Resource {
        name: "disk".to_owned(),
        scalar: Some(v1::value::Scalar { value: 64.0 }),
        reservations: vec![v1::resource::ReservationInfo {
            r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
            role: Some("dev".to_owned()),
            ..Default::default()
        }],
        disk: Some(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: id.to_owned(),
                principal: None,
            }),
            volume: Some(v1::Volume {
                container_path: container_path.to_owned(),
                mode: mode.into(),
                ..Default::default()
            }),
            source: None,
        }),
        ..Default::default()
    };
    Resources::from_wire(&[wire]).unwrap()
}

fn directory(host: &Host, id: &str) -> PathBuf {
    host.share().0.join("volumes/roles/dev").join(id)
}

fn with(mut config: ContainerConfig, volumes: &[&Resources]) -> ContainerConfig {
    for volume in volumes {
        config.resources += volume;
    }
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_volume_outlives_containers_and_no_mount_of_it_is_on_the_host() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let volume = held(&host, "v", "data/deep", Mode::Rw);
    let config = with(host.shell("echo kept > data/deep/file"), &[&volume]);
    let termination = run(&containerizer, &config).await;
    assert_eq!(termination.status, Some(0), "{}", output(&config, "stderr"));
    let inside = std::fs::read_dir(config.sandbox.join("data/deep")).unwrap();
    assert_eq!(inside.count(), 0, "the sandbox has only the place");
    let file = directory(&host, "v").join("file");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept\n");
    // Another task reads it elsewhere, and cannot write.
    let read_only = held(&host, "v", "/mnt", Mode::Ro);
    let line = "cat /mnt/file; echo x > /mnt/other || echo refused";
    let config = with(host.shell(line), &[&read_only]);
    run(&containerizer, &config).await;
    assert_eq!(output(&config, "stdout"), "kept\nrefused\n");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_without_a_mount_namespace_a_volume_is_a_link() {
    let host = Host::new("filesystem/posix");
    let containerizer = host.containerizer();
    let volume = held(&host, "v", "data", Mode::Rw);
    let config = with(host.shell("echo kept > data/file"), &[&volume]);
    run(&containerizer, &config).await;
    let file = directory(&host, "v").join("file");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept\n");
    let inside = with(host.shell("true"), &[&held(&host, "v", "/mnt", Mode::Rw)]);
    let error = containerizer.launch(inside).await.unwrap_err().to_string();
    assert!(error.contains("filesystem/linux"), "{error}");
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_volume_that_is_missing_ends_the_launch_with_its_name() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let volume = held(&host, "v", "data", Mode::Rw);
    std::fs::remove_dir(directory(&host, "v")).unwrap();
    let config = with(host.shell("true"), &[&volume]);
    let error = containerizer.launch(config).await.unwrap_err().to_string();
    assert!(error.contains("persistent volume `v`"), "{error}");
    for outside in ["../data", "/no/such/directory"] {
        let volume = held(&host, "v", outside, Mode::Rw);
        let config = with(host.shell("true"), &[&volume]);
        containerizer.launch(config).await.unwrap_err();
    }
    host.assert_clean().await;
}

async fn update(containerizer: &MesosContainerizer, config: &ContainerConfig, more: &[&Resources]) {
    let mut now = resources("cpus:1;mem:64");
    for volume in more {
        now += volume;
    }
    containerizer
        .update(&config.id, &now, &Limits::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_volumes_of_later_tasks_come_and_go_while_the_executor_runs() {
    let host = Host::new(FULL);
    let mut containerizer = host.containerizer();
    let (a, b) = (
        held(&host, "a", "a", Mode::Rw),
        held(&host, "b", "deep/b", Mode::Ro),
    );
    for id in ["a", "b"] {
        std::fs::write(directory(&host, id).join("here"), id).unwrap();
    }
    let line = "while :; do echo $(cat a/here deep/b/here 2>/dev/null) >now.new; mv now.new now; \
                sleep 0.02; done";
    let config = host.shell(line);
    let seen = |expected: &'static str| {
        let path = config.sandbox.join("now");
        wait_for("the task sees its volumes", move || {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            if found.trim() == expected {
                Ok(())
            } else {
                Err(found)
            }
        })
    };
    launched(&containerizer, &config).await;
    update(&containerizer, &config, &[&a]).await;
    seen("a").await;
    update(&containerizer, &config, &[&a, &b]).await;
    seen("ab").await;
    // The agent is killed; the next one knows what is mounted.
    drop(containerizer);
    containerizer = host.containerizer();
    containerizer
        .recover(std::slice::from_ref(&config))
        .await
        .unwrap();
    update(&containerizer, &config, &[&b]).await;
    seen("b").await;
    update(&containerizer, &config, &[&b, &a]).await;
    seen("ab").await;
    update(&containerizer, &config, &[]).await;
    seen("").await;
    assert!(!config.sandbox.join("deep/b").exists(), "its place is gone");
    assert!(directory(&host, "b").join("here").exists());
    containerizer.destroy(&config.id).await.unwrap();
    ended(&containerizer, &config.id).await;
    host.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_a_volume_over_its_size_ends_the_container() {
    let host = Host::new(FULL);
    let containerizer = host.containerizer();
    let volume = held(&host, "v", "data", Mode::Rw).map(|resource| mesos_types::Resource {
        value: mesos_types::Value::Scalar(mesos_types::Scalar::from_thousandths(1000)),
        ..resource.clone()
    });
    let line = "head -c 3000000 /dev/zero > data/big; echo written; sleep 1000";
    let config = with(host.shell(line), &[&volume]);
    launched(&containerizer, &config).await;
    wait_for_output(&config, "written").await;
    let termination = ended(&containerizer, &config.id).await;
    let limitation = termination.limitation.expect("its size is a bound");
    assert!(limitation.message.ends_with("exceeds quota (1MB)"));
    host.assert_clean().await;
}
