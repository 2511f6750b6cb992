//! Which master to talk to, for those who ask once.

use std::time::Duration;

use mesos_detector::{Detector, MasterAddress, Settings, Source};

use crate::Error;

/// Looks for the leading master, for at most `patience`. A fixed address is the answer, whoever listens there.
///
/// # Errors
/// [`Error::NoLeader`]: nobody leads, or ZooKeeper cannot be asked.
pub async fn leader(source: &Source, patience: Duration) -> Result<MasterAddress, Error> {
    let detector = Detector::start(source.clone(), Settings::default());
    let mut masters = detector.watch();
    let found = tokio::time::timeout(patience, masters.wait_for(|now| now.address().is_some()));
    if let Ok(Ok(now)) = found.await
        && let Some(address) = now.address()
    {
        return Ok(address);
    }
    let problem = detector.watch().borrow().problem.clone();
    Err(no_leader(problem))
}

pub(crate) fn no_leader(problem: Option<String>) -> Error {
    Error::NoLeader {
        problem: problem.unwrap_or_else(|| "no master stands for election".to_owned()),
    }
}
