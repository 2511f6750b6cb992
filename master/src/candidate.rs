//! A master among several: it stands for election, leads while it may, and steps down without dying.
//!
//! Each candidacy has a master id of its own, so that ids which begin with it are never issued twice. Between
//! two terms nothing is kept but metrics: agents and frameworks bring the rest with them.
use std::{sync::Arc, time::Duration};

use mesos_detector::{Candidacy, Contender, Detected, Detector, Membership};
use mesos_wire::v1::MasterInfo;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Election,
    leadership::Leadership,
    owner::OwnerError,
    registry::RegistryError,
    serve::{Place, Seat},
};

/// Pause before a master that could not read the registry stands again: another one may be luckier.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an orderly end waits for the place in the election to be given up.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why this master gives up its place in the election, or never had one.
#[derive(Debug, thiserror::Error)]
enum StepDown {
    /// The place is lost.
    #[error("its place in the election is lost ({0:?})")]
    Lost(mesos_detector::Loss),
    /// Somebody else leads although this master is a candidate of lower number.
    #[error("another master leads: {0}")]
    Other(String),
    /// The masters of a cluster must be in one region.
    #[error("the leading master {0} is in another region than this one")]
    Region(String),
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The term ended from within.
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

/// A master that stands for election.
pub(crate) struct Candidate {
    pub(crate) seat: Seat,
    pub(crate) election: Election,
    pub(crate) stop: CancellationToken,
}

impl Candidate {
    /// Stands again and again until `stop`.
    ///
    /// # Errors
    /// What no further candidacy can mend.
    pub(crate) async fn run(self) -> Result<(), OwnerError> {
        let Election { source, settings } = self.election.clone();
        let detector = Detector::start(source.clone(), settings);
        let mut info = self.seat.identity().info;
        let contender = Contender::start(source, settings, info.clone());
        loop {
            let ended = self.stand(&info, &contender, detector.watch()).await;
            self.seat.leave();
            let Err(why) = ended else {
                // The others need not wait for the session to expire.
                if tokio::time::timeout(GOODBYE, contender.withdraw())
                    .await
                    .is_err()
                {
                    tracing::warn!(
                        "ZooKeeper does not answer; the place in the election ends with the session"
                    );
                }
                return Ok(());
            };
            match &why {
                StepDown::Owner(OwnerError::Removals(text)) => {
                    return Err(OwnerError::Removals(text.clone()));
                }
                StepDown::Region(_) => return Err(OwnerError::Region(why.to_string())),
                StepDown::Registry(
                    error @ (RegistryError::Format { .. }
                    | RegistryError::Damaged { .. }
                    | RegistryError::Entry { .. }),
                ) => return Err(OwnerError::Registry(crate::owner::chain(error))),
                StepDown::Lost(_)
                | StepDown::Other(_)
                | StepDown::Registry(_)
                | StepDown::Owner(_) => {}
            }
            tracing::warn!(master_id = %info.id, why = crate::owner::chain(&why), "stepped down; standing for election again");
            let again = async {
                contender.withdraw().await;
                if matches!(why, StepDown::Registry(_)) {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            if self.stop.run_until_cancelled(again).await.is_none() {
                return Ok(());
            }
            info = self.seat.renew();
            contender.contend(info.clone());
        }
    }

    /// One candidacy, from the first attempt to its end. `Ok`: told to stop.
    async fn stand(
        &self,
        info: &MasterInfo,
        contender: &Contender,
        mut detected: watch::Receiver<Detected>,
    ) -> Result<(), StepDown> {
        let mut candidacy = contender.candidacy();
        loop {
            let place = {
                let now = candidacy.borrow_and_update();
                if let Candidacy::Lost(loss) = &*now {
                    return Err(StepDown::Lost(*loss));
                }
                now.membership().cloned()
            };
            let seen = detected.borrow_and_update().clone();
            let leader = seen.leader.filter(|_| seen.connected);
            match (leader, place) {
                (Some(leader), Some(place)) if leader.election == place.election => {
                    return self
                        .lead(info, &place, leader.realm, candidacy, detected)
                        .await;
                }
                // Not one that is ourselves, in a candidacy that is over and not yet forgotten.
                (Some(leader), _) if leader.info.pid != info.pid => {
                    if region(&leader.info) != region(info) {
                        return Err(StepDown::Region(crate::leadership::root(&leader.info)));
                    }
                    self.seat.set(Leadership::Following(Arc::new(leader.info)));
                }
                (_, _) => self.seat.set(Leadership::Electing),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                // Both live as long as the contender and the detector.
                _ = candidacy.changed() => {}
                _ = detected.changed() => {}
            }
        }
    }

    /// Leads until the place is lost or this master is told to stop.
    async fn lead(
        &self,
        info: &MasterInfo,
        place: &Membership,
        realm: u64,
        mut candidacy: watch::Receiver<Candidacy>,
        mut detected: watch::Receiver<Detected>,
    ) -> Result<(), StepDown> {
        tracing::info!(master_id = %info.id, election = place.election, "elected as the leading master");
        self.seat.set(Leadership::Recovering);
        let deposed = async {
            loop {
                if let Candidacy::Lost(loss) = &*candidacy.borrow_and_update() {
                    return StepDown::Lost(*loss);
                }
                let seen = detected.borrow_and_update().clone();
                // What is seen may be older than our place; a later leader never is.
                if let Some(other) = seen
                    .leader
                    .filter(|leader| leader.realm != realm || leader.election > place.election)
                    && seen.connected
                {
                    return StepDown::Other(crate::leadership::root(&other.info));
                }
                tokio::select! {
                    changed = candidacy.changed() => if changed.is_err() { break },
                    changed = detected.changed() => if changed.is_err() { break },
                }
            }
            std::future::pending().await
        };
        tokio::pin!(deposed);
        let reading = self.seat.read_registry(place.election, info);
        let (registrar, registry) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            why = &mut deposed => return Err(why),
            read = reading => read?,
        };
        let over = self.stop.child_token();
        let place = Place {
            election: place.election,
            realm,
            lease: place.lease.clone(),
        };
        let term = self.seat.begin(registrar, registry, Some(place), &over);
        tokio::pin!(term);
        tokio::select! {
            ended = &mut term => {
                over.cancel();
                Ok(ended?)
            }
            why = &mut deposed => {
                over.cancel();
                // Sessions and streams end with the owner.
                let _ = term.await;
                Err(why)
            }
        }
    }
}

fn region(info: &MasterInfo) -> Option<&str> {
    let domain = info.domain.as_ref()?.fault_domain.as_ref()?;
    Some(domain.region.name.as_str())
}
