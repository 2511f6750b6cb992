//! The composing containerizer with fakes that take, refuse, fail or stall.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use mesos_containerizer_api::{Identity, Running};
use mesos_wire::v1;
use tokio::sync::Notify;

use super::*;

/// What a fake does with a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Takes,
    IsNotFor,
    LooksAndDeclines,
    Fails,
    Stalls,
}

struct Fake {
    name: &'static str,
    does: Does,
    calls: Mutex<Vec<String>>,
    running: Mutex<Vec<ContainerId>>,
    destroyed: Notify,
    launching: Notify,
}

impl Fake {
    fn new(name: &'static str, does: Does) -> Arc<Self> {
        Arc::new(Self {
            name,
            does,
            calls: Mutex::default(),
            running: Mutex::default(),
            destroyed: Notify::new(),
            launching: Notify::new(),
        })
    }

    fn note(&self, call: &str, id: &ContainerId) {
        self.calls.lock().unwrap().push(format!("{call} {id}"));
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Containerizer for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, _config: &ContainerConfig) -> bool {
        self.does != Does::IsNotFor
    }

    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError> {
        for config in known {
            self.note("recover", &config.id);
            self.running.lock().unwrap().push(config.id.clone());
        }
        match self.does {
            Does::Fails => Err(ContainerError::Recover {
                message: "told to".into(),
            }),
            _ => Ok(()),
        }
    }

    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        self.note("launch", &config.id);
        match self.does {
            Does::Takes => {
                self.running.lock().unwrap().push(config.id);
                Ok(LaunchResult::Launched(Running::default()))
            }
            Does::IsNotFor | Does::LooksAndDeclines => Ok(LaunchResult::NotSupported),
            Does::Fails => Err(ContainerError::Backend {
                operation: "launch".into(),
                message: "told to".into(),
            }),
            Does::Stalls => {
                self.launching.notify_one();
                self.destroyed.notified().await;
                Err(ContainerError::DestroyedWhileLaunching { id: config.id })
            }
        }
    }

    async fn update(
        &self,
        id: &ContainerId,
        _resources: &Resources,
        _limits: &Limits,
    ) -> Result<(), ContainerError> {
        self.note("update", id);
        Ok(())
    }

    async fn usage(&self, _id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        Ok(None)
    }

    async fn status(&self, _id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        Ok(Some(ContainerStatus::default()))
    }

    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        self.note("wait", id);
        Ok(Some(Termination {
            status: Some(0),
            ..Termination::default()
        }))
    }

    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError> {
        self.note(&format!("kill -{signal}"), id);
        Ok(true)
    }

    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        self.note("destroy", id);
        self.destroyed.notify_one();
        self.running.lock().unwrap().retain(|running| running != id);
        Ok(Some(Termination {
            status: Some(9),
            ..Termination::default()
        }))
    }

    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError> {
        self.note("forget", id);
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        self.running.lock().unwrap().clone()
    }
}

fn config(id: ContainerId) -> ContainerConfig {
    ContainerConfig {
        id,
        identity: Identity {
            agent: "a".into(),
            framework: "f".into(),
            executor: "e".into(),
            task: None,
        },
        command: v1::CommandInfo::default(),
        container: None,
        resources: Resources::new(),
        limits: Limits::default(),
        sandbox: PathBuf::from("/sandbox"),
        user: None,
        environment: BTreeMap::new(),
        kill_grace: Duration::ZERO,
    }
}

fn compose(fakes: &[&Arc<Fake>]) -> ComposingContainerizer {
    let parts = fakes
        .iter()
        .map(|fake| Arc::clone(*fake) as SharedContainerizer);
    ComposingContainerizer::new(parts.collect())
}

#[tokio::test]
async fn the_first_that_takes_a_container_keeps_it() {
    let no = Fake::new("no", Does::IsNotFor);
    let looks = Fake::new("looks", Does::LooksAndDeclines);
    let yes = Fake::new("yes", Does::Takes);
    let late = Fake::new("late", Does::Takes);
    let composing = compose(&[&no, &looks, &yes, &late]);
    let id = ContainerId::from("c");
    let launched = composing.launch(config(id.clone())).await.unwrap();
    assert_eq!(launched, LaunchResult::Launched(Running::default()));
    assert_eq!(
        composing.launch(config(id.clone())).await.unwrap(),
        LaunchResult::AlreadyLaunched
    );
    composing
        .update(&id, &Resources::new(), &Limits::default())
        .await
        .unwrap();
    assert!(composing.kill(&id, 15).await.unwrap());
    assert_eq!(composing.containers().await.len(), 1);
    assert_eq!(composing.wait(&id).await.unwrap().unwrap().status, Some(0));
    assert_eq!(
        composing.destroy(&id).await.unwrap().unwrap().status,
        Some(9)
    );
    composing.forget(&id).await.unwrap();
    assert_eq!(composing.wait(&id).await.unwrap(), None);
    assert!(no.calls().is_empty() && late.calls().is_empty());
    assert_eq!(looks.calls(), ["launch c"]);
    let expected = [
        "launch c",
        "update c",
        "kill -15 c",
        "wait c",
        "destroy c",
        "forget c",
    ];
    assert_eq!(yes.calls(), expected);
}

#[tokio::test]
async fn an_error_ends_the_search_and_nobody_at_all_is_an_answer() {
    let fails = Fake::new("fails", Does::Fails);
    let yes = Fake::new("yes", Does::Takes);
    let composing = compose(&[&fails, &yes]);
    let id = ContainerId::from("c");
    composing.launch(config(id.clone())).await.unwrap_err();
    assert!(yes.calls().is_empty());
    assert_eq!(composing.wait(&id).await.unwrap(), None);

    let composing = compose(&[&Fake::new("no", Does::LooksAndDeclines)]);
    assert_eq!(
        composing.launch(config(id.clone())).await.unwrap(),
        LaunchResult::NotSupported
    );
    assert_eq!(composing.destroy(&id).await.unwrap(), None);
    assert!(
        composing
            .update(&id, &Resources::new(), &Limits::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_destroy_reaches_a_launch_under_way_and_stops_the_search() {
    let stalls = Fake::new("stalls", Does::Stalls);
    let yes = Fake::new("yes", Does::Takes);
    let composing = compose(&[&stalls, &yes]);
    let id = ContainerId::from("c");
    let launch = tokio::spawn({
        let (composing, id) = (composing.clone(), id.clone());
        async move { composing.launch(config(id)).await }
    });
    stalls.launching.notified().await;
    assert_eq!(
        composing.destroy(&id).await.unwrap().unwrap().status,
        Some(9)
    );
    let error = launch.await.unwrap().unwrap_err();
    assert!(
        matches!(error, ContainerError::DestroyedWhileLaunching { .. }),
        "{error}"
    );
    assert!(yes.calls().is_empty());
}

#[tokio::test]
async fn nested_containers_go_where_their_root_is() {
    let first = Fake::new("first", Does::LooksAndDeclines);
    let second = Fake::new("second", Does::Takes);
    let composing = compose(&[&first, &second]);
    composing.launch(config("root".into())).await.unwrap();
    let nested = ContainerId::nested("root".into(), "inner");
    composing.launch(config(nested)).await.unwrap();
    assert_eq!(first.calls(), ["launch root"]);
    assert_eq!(second.calls(), ["launch root", "launch root.inner"]);
    let strange = ContainerId::nested("unknown".into(), "inner");
    assert_eq!(
        composing.launch(config(strange)).await.unwrap(),
        LaunchResult::NotSupported
    );
}

#[tokio::test]
async fn recovery_gives_each_its_own_and_names_who_failed() {
    let no = Fake::new("no", Does::IsNotFor);
    let yes = Fake::new("yes", Does::Takes);
    let composing = compose(&[&no, &yes]);
    composing.recover(&[config("c".into())]).await.unwrap();
    assert!(no.calls().is_empty());
    assert_eq!(yes.calls(), ["recover c"]);
    assert!(composing.kill(&"c".into(), 9).await.unwrap());
    assert_eq!(
        composing.launch(config("c".into())).await.unwrap(),
        LaunchResult::AlreadyLaunched
    );

    let fails = Fake::new("fails", Does::Fails);
    let error = compose(&[&yes, &fails])
        .recover(&[])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("fails: "), "{error}");
}
