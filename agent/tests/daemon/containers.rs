//! A containerizer without containers: launches answer at once or fail, ends come when told. It outlives
//! agents, as containers do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, Containerizer, LaunchResult, Limits, Running,
    Termination, Usage,
};
use mesos_types::{ContainerId, Resources};
use tokio::sync::watch;

/// How a container has ended, if it has.
type State = watch::Sender<Option<Termination>>;
type All = BTreeMap<ContainerId, (ContainerConfig, Arc<State>)>;

#[derive(Clone, Default)]
pub struct Containers {
    all: Arc<Mutex<All>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Containers {
    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    /// Calls since the last look.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// The container of an executor.
    pub fn of(&self, executor: &str) -> Option<ContainerConfig> {
        let all = self.all.lock().unwrap();
        all.values()
            .map(|(config, _)| config)
            .find(|config| config.identity.executor.as_str() == executor)
            .cloned()
    }

    /// Ends a container with a raw wait status.
    pub fn end(&self, id: &ContainerId, status: i32) {
        let state = self.state(id).expect("it was launched");
        state.send_replace(Some(Termination {
            status: Some(status),
            ..Default::default()
        }));
    }

    fn state(&self, id: &ContainerId) -> Option<Arc<State>> {
        let all = self.all.lock().unwrap();
        all.get(id).map(|(_, state)| Arc::clone(state))
    }
}

#[async_trait]
impl Containerizer for Containers {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn accepts(&self, _: &ContainerConfig) -> bool {
        true
    }

    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError> {
        for config in known {
            let all = self.all.lock().unwrap();
            let (launched, _) = all
                .get(&config.id)
                .expect("an agent knows only what it launched");
            assert_eq!(launched, config, "the intent reads back as it was written");
        }
        self.note(format!("recover {}", known.len()));
        Ok(())
    }

    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        assert!(
            config.sandbox.is_dir(),
            "the sandbox is there before the launch"
        );
        let id = config.id.clone();
        let state = Arc::new(watch::Sender::new(None));
        self.all.lock().unwrap().insert(id, (config, state));
        Ok(LaunchResult::Launched(Running {
            pid: Some(1),
            ..Default::default()
        }))
    }

    async fn update(
        &self,
        _: &ContainerId,
        resources: &Resources,
        _: &Limits,
    ) -> Result<(), ContainerError> {
        self.note(format!("update cpus={}", resources.cpus().unwrap()));
        Ok(())
    }

    async fn usage(&self, _: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        Ok(None)
    }

    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        let state = self.state(id).filter(|state| state.borrow().is_none());
        Ok(state.map(|_| ContainerStatus::default()))
    }

    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        let Some(state) = self.state(id) else {
            return Ok(None);
        };
        let mut ends = state.subscribe();
        let end = ends.wait_for(Option::is_some).await.unwrap().clone();
        Ok(end)
    }

    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError> {
        self.note(format!("kill {signal}"));
        self.end(id, signal);
        Ok(true)
    }

    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        self.note("destroy");
        self.end(id, 9);
        self.wait(id).await
    }

    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError> {
        self.all.lock().unwrap().remove(id);
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        self.all.lock().unwrap().keys().cloned().collect()
    }
}
