//! Several containerizers as one: each container goes to the first that takes it, in the order
//! of `--containerizers`, and stays with it.

#![forbid(unsafe_code)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, ContainerError, ContainerStatus, Containerizer, LaunchResult, Limits,
    SharedContainerizer, Termination, Usage,
};
use mesos_types::{ContainerId, Resources};
use tokio::sync::watch;

/// Where a container is.
#[derive(Clone)]
enum Place {
    /// Being launched; the containerizer that has it now.
    Launching {
        at: Option<SharedContainerizer>,
        destroyed: bool,
    },
    /// Taken by one, or launched by it.
    Taken(SharedContainerizer),
    /// Nobody took it, or its launch failed.
    Gone,
}

type Owners = HashMap<ContainerId, Arc<watch::Sender<Place>>>;

/// Tries containerizers in the order given. What it remembers, who has which container, is rebuilt
/// by `recover`.
#[derive(Clone)]
pub struct ComposingContainerizer {
    parts: Arc<[SharedContainerizer]>,
    owners: Arc<Mutex<Owners>>,
}

impl ComposingContainerizer {
    /// In the order in which they are asked.
    pub fn new(parts: Vec<SharedContainerizer>) -> Self {
        Self {
            parts: parts.into(),
            owners: Arc::default(),
        }
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, id: &ContainerId) -> Option<Arc<watch::Sender<Place>>> {
        self.owners().get(id).cloned()
    }

    /// Who has the container now, even while it launches.
    fn holder(&self, id: &ContainerId) -> Option<SharedContainerizer> {
        match &*self.place(id)?.borrow() {
            Place::Taken(owner) => Some(Arc::clone(owner)),
            Place::Launching { at, .. } => at.clone(),
            Place::Gone => None,
        }
    }

    /// Who has the container once its launch is through.
    async fn owner(&self, id: &ContainerId) -> Option<SharedContainerizer> {
        let mut places = self.place(id)?.subscribe();
        let settled = places
            .wait_for(|place| !matches!(place, Place::Launching { .. }))
            .await;
        match settled.as_deref() {
            Ok(Place::Taken(owner)) => Some(Arc::clone(owner)),
            Ok(Place::Launching { .. } | Place::Gone) | Err(_) => None,
        }
    }

    fn take(&self, id: &ContainerId, owner: &SharedContainerizer) {
        let place = watch::Sender::new(Place::Taken(Arc::clone(owner)));
        self.owners()
            .entry(id.clone())
            .or_insert_with(|| Arc::new(place));
    }

    /// The containerizers that may run this one: a nested container stays with its root's.
    fn candidates(&self, config: &ContainerConfig) -> Vec<SharedContainerizer> {
        let wanted: Vec<SharedContainerizer> = match config.id.parent() {
            Some(_) => self.holder(config.id.root()).into_iter().collect(),
            None => self.parts.to_vec(),
        };
        wanted
            .into_iter()
            .filter(|part| part.accepts(config))
            .collect()
    }

    async fn try_each(
        self,
        config: ContainerConfig,
        place: Arc<watch::Sender<Place>>,
    ) -> Result<LaunchResult, ContainerError> {
        let id = config.id.clone();
        let mut answer = Ok(LaunchResult::NotSupported);
        for part in self.candidates(&config) {
            // Whoever destroys from here on finds this part; whoever did before is seen here.
            let go_on = place.send_if_modified(|place| match place {
                Place::Launching {
                    at,
                    destroyed: false,
                } => {
                    *at = Some(Arc::clone(&part));
                    true
                }
                Place::Launching {
                    destroyed: true, ..
                }
                | Place::Taken(_)
                | Place::Gone => false,
            });
            if !go_on {
                answer = Err(ContainerError::DestroyedWhileLaunching { id: id.clone() });
                break;
            }
            match part.launch(config.clone()).await {
                Ok(LaunchResult::NotSupported) => {}
                Ok(launched) => {
                    if was_destroyed(&place) {
                        // The order came before the part knew of the container.
                        let ended = part.destroy(&id).await;
                        answer = ended.and(Err(ContainerError::DestroyedWhileLaunching {
                            id: id.clone(),
                        }));
                        break;
                    }
                    place.send_replace(Place::Taken(part));
                    return Ok(launched);
                }
                Err(error) => {
                    answer = Err(error);
                    break;
                }
            }
        }
        self.owners().remove(&id);
        place.send_replace(Place::Gone);
        answer
    }
}

fn was_destroyed(place: &watch::Sender<Place>) -> bool {
    matches!(
        *place.borrow(),
        Place::Launching {
            destroyed: true,
            ..
        }
    )
}

#[async_trait]
impl Containerizer for ComposingContainerizer {
    fn name(&self) -> &'static str {
        "composing"
    }

    fn accepts(&self, config: &ContainerConfig) -> bool {
        !self.candidates(config).is_empty()
    }

    async fn recover(&self, known: &[ContainerConfig]) -> Result<(), ContainerError> {
        let mut shares: Vec<Vec<ContainerConfig>> = vec![Vec::new(); self.parts.len()];
        for config in known {
            match self.parts.iter().position(|part| part.accepts(config)) {
                Some(index) => {
                    shares[index].push(config.clone());
                    self.take(&config.id, &self.parts[index]);
                }
                None => tracing::warn!(
                    container_id = %config.id,
                    "no containerizer of --containerizers takes a container of before; its end \
                     cannot be learned"
                ),
            }
        }
        let recoveries = self.parts.iter().zip(&shares).map(async |(part, share)| {
            part.recover(share).await?;
            for id in part.containers().await {
                self.take(&id, part);
            }
            Ok::<(), ContainerError>(())
        });
        let failures: Vec<String> = futures::future::join_all(recoveries)
            .await
            .into_iter()
            .zip(self.parts.iter())
            .filter_map(|(result, part)| {
                result
                    .err()
                    .map(|error| format!("{}: {error}", part.name()))
            })
            .collect();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(ContainerError::Recover {
                message: failures.join("; "),
            })
        }
    }

    async fn launch(&self, config: ContainerConfig) -> Result<LaunchResult, ContainerError> {
        let id = config.id.clone();
        let place = {
            let mut owners = self.owners();
            if owners.contains_key(&id) {
                return Ok(LaunchResult::AlreadyLaunched);
            }
            let launching = Place::Launching {
                at: None,
                destroyed: false,
            };
            let place = Arc::new(watch::Sender::new(launching));
            owners.insert(id.clone(), Arc::clone(&place));
            place
        };
        // Its own task, because dropping this future must not lose track of the container.
        match tokio::spawn(self.clone().try_each(config, place)).await {
            Ok(answer) => answer,
            Err(error) => {
                if let Some(place) = self.owners().remove(&id) {
                    place.send_replace(Place::Gone);
                }
                Err(ContainerError::Backend {
                    operation: format!("launch of container {id}"),
                    message: error.to_string(),
                })
            }
        }
    }

    async fn update(
        &self,
        id: &ContainerId,
        resources: &Resources,
        limits: &Limits,
    ) -> Result<(), ContainerError> {
        match self.holder(id) {
            Some(part) => part.update(id, resources, limits).await,
            None => Err(ContainerError::Update {
                id: id.clone(),
                message: "there is no such container".to_owned(),
            }),
        }
    }

    async fn usage(&self, id: &ContainerId) -> Result<Option<Usage>, ContainerError> {
        match self.holder(id) {
            Some(part) => part.usage(id).await,
            None => Ok(None),
        }
    }

    async fn status(&self, id: &ContainerId) -> Result<Option<ContainerStatus>, ContainerError> {
        match self.holder(id) {
            Some(part) => part.status(id).await,
            None => Ok(None),
        }
    }

    async fn wait(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        match self.owner(id).await {
            Some(part) => part.wait(id).await,
            None => Ok(None),
        }
    }

    async fn kill(&self, id: &ContainerId, signal: i32) -> Result<bool, ContainerError> {
        match self.holder(id) {
            Some(part) => part.kill(id, signal).await,
            None => Ok(false),
        }
    }

    async fn destroy(&self, id: &ContainerId) -> Result<Option<Termination>, ContainerError> {
        let Some(place) = self.place(id) else {
            return Ok(None);
        };
        let mut launching = false;
        place.send_if_modified(|place| {
            if let Place::Launching { destroyed, .. } = place {
                *destroyed = true;
                launching = true;
            }
            launching
        });
        if !launching {
            return match self.holder(id) {
                Some(part) => part.destroy(id).await,
                None => Ok(None),
            };
        }
        if let Some(part) = self.holder(id)
            && let Some(termination) = part.destroy(id).await?
        {
            return Ok(Some(termination));
        }
        // The part did not know it yet, or gives it up: the launch sees the mark and ends.
        match self.owner(id).await {
            Some(part) => part.destroy(id).await,
            None => Ok(Some(Termination {
                message: Some("Container destroyed while launching".to_owned()),
                ..Termination::default()
            })),
        }
    }

    async fn forget(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let taken = match self.place(id).map(|place| place.borrow().clone()) {
            Some(Place::Taken(part)) => part,
            Some(Place::Launching { .. } | Place::Gone) | None => return Ok(()),
        };
        taken.forget(id).await?;
        // What has not ended is not forgotten by its containerizer either.
        if !taken.containers().await.contains(id) {
            self.owners().remove(id);
        }
        Ok(())
    }

    async fn containers(&self) -> Vec<ContainerId> {
        let mut all = Vec::new();
        for part in self.parts.iter() {
            all.extend(part.containers().await);
        }
        all
    }

    fn pending(&self) -> Vec<(String, String)> {
        self.parts.iter().flat_map(|part| part.pending()).collect()
    }
}

#[cfg(test)]
mod tests;
