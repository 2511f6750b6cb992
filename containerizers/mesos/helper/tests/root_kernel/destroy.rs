//! Killing and destroying, at any point.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use mesos_containerizer_api::{ContainerError, Containerizer as _, Termination};
use mesos_isolator_api::{Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Recovered};
use mesos_types::{ContainerId, Resources};
use mesos_wire::v1;

use crate::host::{FULL, Host, ended, launched, output, wait_for, wait_for_output};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_kill_reaches_every_process_of_the_task_and_not_the_helper() {
    for isolation in [FULL, "cgroups/cpu,cgroups/mem"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        let config = host.shell(
            "trap 'echo outer' TERM; sh -c \"trap 'echo inner; exit 0' TERM; echo up; \
             while :; do sleep 0.01; done\"; exit 6",
        );
        launched(&containerizer, &config).await;
        wait_for_output(&config, "up").await;
        assert!(containerizer.kill(&config.id, 15).await.unwrap());
        let termination = ended(&containerizer, &config.id).await;
        assert_eq!(
            termination.status,
            Some(6 << 8),
            "{}",
            output(&config, "stderr")
        );
        let written = output(&config, "stdout");
        assert!(
            written.contains("inner\n") && written.contains("outer\n"),
            "{written}"
        );
        assert!(
            !containerizer.kill(&config.id, 15).await.unwrap(),
            "it does not run any more"
        );
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_destroy_ends_daemons_and_stubborn_ones() {
    for isolation in [FULL, "cgroups/cpu,cgroups/mem"] {
        let host = Host::new(isolation);
        let containerizer = host.containerizer();
        let config = host.shell(
            "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &) ; \
             echo up; while :; do sleep 1; done",
        );
        launched(&containerizer, &config).await;
        wait_for_output(&config, "up").await;
        let (one, two) = tokio::join!(
            containerizer.destroy(&config.id),
            containerizer.destroy(&config.id)
        );
        let killed = Some(Termination {
            status: Some(9),
            ..Termination::default()
        });
        assert_eq!(one.unwrap(), killed);
        assert_eq!(two.unwrap(), killed);
        assert_eq!(
            containerizer.destroy(&config.id).await.unwrap(),
            killed,
            "again, afterwards"
        );
        containerizer.forget(&config.id).await.unwrap();
        assert_eq!(containerizer.destroy(&config.id).await.unwrap(), None);
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_processes_that_keep_forking_do_not_outrun_destroy() {
    let host = Host::new("cgroups/cpu,cgroups/mem");
    let containerizer = host.containerizer();
    // A few at a time, each gone as soon as it has made the next one.
    let config = host.shell("f() { f & }; f; f; f; f; echo up; sleep 1000");
    launched(&containerizer, &config).await;
    wait_for_output(&config, "up").await;
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
    host.assert_clean().await;
}

/// Stalls where it is told to.
#[derive(Debug)]
pub struct Stall {
    stage: &'static str,
    pub reached: AtomicBool,
}

impl Stall {
    pub fn at(stage: &'static str) -> Arc<Self> {
        Arc::new(Self {
            stage,
            reached: AtomicBool::new(false),
        })
    }

    async fn maybe(&self, stage: &str) {
        if stage == self.stage {
            self.reached.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }

    pub async fn reached(&self) {
        wait_for("the launch reaches the stage", || {
            if self.reached.load(Ordering::SeqCst) {
                Ok(())
            } else {
                Err(self.stage)
            }
        })
        .await;
    }
}

#[async_trait]
impl Isolator for Stall {
    fn name(&self) -> &'static str {
        "test/stall"
    }
    async fn recover(&self, _: &[Recovered], _: &[ContainerId]) -> Result<(), IsolatorError> {
        Ok(())
    }
    async fn prepare(&self, _: &IsolatorConfig) -> Result<LaunchInfo, IsolatorError> {
        self.maybe("prepare").await;
        Ok(LaunchInfo::default())
    }
    async fn isolate(&self, _: &ContainerId, _: u32) -> Result<(), IsolatorError> {
        self.maybe("isolate").await;
        Ok(())
    }
    async fn update(
        &self,
        _: &ContainerId,
        _: &Resources,
        _: &Limits,
    ) -> Result<(), IsolatorError> {
        Ok(())
    }
    async fn cleanup(&self, _: &ContainerId) -> Result<(), IsolatorError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_destroy_at_each_stage_of_a_launch_undoes_it() {
    for stage in ["fetch", "prepare", "isolate"] {
        let mut host = Host::new(FULL);
        let stall = Stall::at(stage);
        host.extra.push(stall.clone());
        let containerizer = Arc::new(host.containerizer());
        let mut config = host.shell("echo ran");
        if stage == "fetch" {
            host.fetcher.stall.store(true, Ordering::SeqCst);
            config.command.uris.push(v1::command_info::Uri::default());
        }
        let launch = tokio::spawn({
            let (containerizer, config) = (containerizer.clone(), config.clone());
            async move { containerizer.launch(config).await }
        });
        if stage == "fetch" {
            let run = containerizer.runtime_dir_of(&config.id);
            wait_for("the launch begins", || {
                if run.exists() { Ok(()) } else { Err("not yet") }
            })
            .await;
        } else {
            stall.reached().await;
        }
        assert_eq!(
            containerizer.containers().await,
            std::slice::from_ref(&config.id)
        );
        assert_eq!(
            containerizer.destroy(&config.id).await.unwrap(),
            Some(Termination::default())
        );
        let error = launch.await.unwrap().unwrap_err();
        assert!(
            matches!(error, ContainerError::DestroyedWhileLaunching { .. }),
            "{stage}: {error}"
        );
        assert_eq!(containerizer.wait(&config.id).await.unwrap(), None);
        assert!(!output(&config, "stdout").contains("ran"));
        host.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_destroy_in_the_middle_of_anything_leaves_nothing() {
    let host = Host::new(FULL);
    let containerizer = Arc::new(host.containerizer());
    // Every offset hits another point of the launch, on any machine.
    for micros in (0..4000).step_by(100) {
        let config = host.shell("sleep 1000");
        let launch = tokio::spawn({
            let (containerizer, config) = (containerizer.clone(), config.clone());
            async move { containerizer.launch(config).await }
        });
        let until = std::time::Instant::now() + std::time::Duration::from_micros(micros);
        while std::time::Instant::now() < until {
            tokio::task::yield_now().await;
        }
        let destroyed = containerizer.destroy(&config.id).await.unwrap();
        let launched = launch.await.unwrap();
        if destroyed.is_none() {
            // It came before the launch had begun.
            assert!(launched.is_ok());
            containerizer.destroy(&config.id).await.unwrap();
        }
        containerizer.forget(&config.id).await.unwrap();
    }
    assert_eq!(containerizer.containers().await, []);
    host.assert_clean().await;
}
