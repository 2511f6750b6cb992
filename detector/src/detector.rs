//! Follows a source of masters and publishes who leads.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Detected, Leader, MasterAddress, Settings, Source, Target,
    backoff::Backoff,
    candidate::Candidate,
    session::{Problem, Purpose, Session},
};

/// First pause between attempts to get a session.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest one: many may ask the same few servers.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// First pause after a request that failed within a session.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// How often a file with a fixed address is looked at again.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// Knows the leading master. Dropping it ends its work; receivers keep the last value.
///
/// It never gives up: whatever is wrong with ZooKeeper, the network or the file is published as
/// [`Detected::problem`], and tried again after a pause of at most 5 s. Host names are looked up anew for
/// each connection, and a file is read anew for each session, so an ensemble that moved is found again.
#[derive(Debug)]
pub struct Detector {
    receiver: watch::Receiver<Detected>,
    /// Keeps the channel of a fixed address open, or the task alive.
    _work: Work,
}

#[derive(Debug)]
enum Work {
    Fixed { _sender: watch::Sender<Detected> },
    Task { _end: DropGuard },
    Elsewhere,
}

impl Detector {
    /// Follows a source. A fixed address is known at once, others as soon as they answer.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(source: Source, settings: Settings) -> Self {
        if let Source::Fixed(address) = source {
            return Self::single(address);
        }
        let (sender, receiver) = watch::channel(Detected::default());
        let end = CancellationToken::new();
        let stop = end.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(follow(&source, settings, &sender))
                .await;
        });
        Self {
            receiver,
            _work: Work::Task {
                _end: end.drop_guard(),
            },
        }
    }

    /// Always this master: the same interface for those who were given an address.
    pub fn single(address: MasterAddress) -> Self {
        let (sender, receiver) = watch::channel(Detected {
            leader: Some(Leader::fixed(&address)),
            connected: true,
            problem: None,
        });
        Self {
            receiver,
            _work: Work::Fixed { _sender: sender },
        }
    }

    /// Passes on what somebody else detects.
    pub fn following(receiver: watch::Receiver<Detected>) -> Self {
        Self {
            receiver,
            _work: Work::Elsewhere,
        }
    }

    /// The newest knowledge, and a notice of each change. Its channel closes when the detector is dropped.
    pub fn watch(&self) -> watch::Receiver<Detected> {
        self.receiver.clone()
    }

    /// Waits until a leader is known. For those who look once; put a deadline around it. Cancel safe.
    pub async fn leader(&self) -> Leader {
        let mut receiver = self.receiver.clone();
        loop {
            if let Ok(detected) = receiver.wait_for(|now| now.leader.is_some()).await
                && let Some(leader) = &detected.leader
            {
                return leader.clone();
            }
            // The sender lives as long as `self`, so this is not reached; if it is, there is no leader.
            std::future::pending::<()>().await;
        }
    }
}

/// Follows the source for ever.
async fn follow(source: &Source, settings: Settings, sender: &watch::Sender<Detected>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match resolve(source).await {
            Err(problem) => lost(sender, problem),
            Ok(Target::Fixed(address)) => {
                publish(sender, Some(Leader::fixed(&address)));
                tokio::time::sleep(FILE_INTERVAL).await;
                continue;
            }
            Ok(Target::ZooKeeper(ensemble)) => {
                match Session::open(&ensemble, settings, Purpose::Look).await {
                    Err(problem) => lost(sender, problem.chain()),
                    Ok(session) => {
                        backoff.reset();
                        tokio::select! {
                            () = session.ended() => {}
                            () = observe(&session, sender) => {}
                        }
                        lost(sender, "the session with ZooKeeper is lost".to_owned());
                    }
                }
            }
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Reads a source without holding up the runtime; the error is its text.
pub(crate) async fn resolve(source: &Source) -> Result<Target, String> {
    let source = source.clone();
    match tokio::task::spawn_blocking(move || source.resolve()).await {
        Ok(Ok(target)) => Ok(target),
        Ok(Err(problem)) => Err(problem.to_string()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// What is known stays, but is not fresh any more.
fn lost(sender: &watch::Sender<Detected>, problem: String) {
    sender.send_if_modified(|now| {
        if !now.connected && now.problem.as_deref() == Some(&problem) {
            return false;
        }
        tracing::warn!(
            problem,
            "cannot tell who the leading master is; trying again"
        );
        now.connected = false;
        now.problem = Some(problem);
        true
    });
}

fn publish(sender: &watch::Sender<Detected>, leader: Option<Leader>) {
    told(sender, leader, None);
}

fn told(sender: &watch::Sender<Detected>, leader: Option<Leader>, problem: Option<String>) {
    let new = Detected {
        leader,
        connected: true,
        problem,
    };
    sender.send_if_modified(|now| {
        if *now == new {
            return false;
        }
        if now.leader != new.leader {
            match (&new.leader, &new.problem) {
                (Some(leader), _) => tracing::info!(
                    master_id = leader.info.id,
                    address = leader.address().map(tracing::field::display),
                    election = leader.election,
                    "a leading master is detected"
                ),
                (None, Some(problem)) => tracing::error!(problem, "no leading master"),
                (None, None) => tracing::info!("no leading master"),
            }
        }
        *now = new;
        true
    });
}

/// Publishes each change for as long as the session lives; never ends by itself.
async fn observe(session: &Session, sender: &watch::Sender<Detected>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_PAUSE);
    let mut fresh = false;
    loop {
        match observe_once(session, sender, &mut fresh).await {
            Ok(()) => backoff.reset(),
            Err(problem) => {
                // A connection that is lost within a session comes back; others are worth telling.
                if !matches!(problem, Problem::Silent { .. }) && !session_troubled(&problem) {
                    lost(sender, problem.chain());
                }
                tracing::debug!(problem = problem.chain(), "cannot look for the leader");
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// The session's end is told by its watcher, and a lost connection is no news before that.
fn session_troubled(problem: &Problem) -> bool {
    use zookeeper_client::Error;
    matches!(
        problem,
        Problem::Operation {
            source: Error::ConnectionLoss | Error::SessionExpired | Error::ClientClosed,
            ..
        }
    )
}

/// Looks once, publishes, and waits until something has changed.
async fn observe_once(
    session: &Session,
    sender: &watch::Sender<Detected>,
    fresh: &mut bool,
) -> Result<(), Problem> {
    let (client, path) = (session.client(), session.ensemble().path());
    if !*fresh {
        // The server we reached may be behind the others.
        session
            .call(|| format!("sync {path}"), client.sync(path))
            .await?;
        *fresh = true;
    }
    let listed = session
        .call(
            || format!("list {path}"),
            client.get_and_watch_children(path),
        )
        .await;
    let (children, directory, changed) = match listed {
        Ok(listed) => listed,
        Err(problem) if problem.is_no_node() => {
            // Nobody has stood for election yet. We have no business to make the path.
            let looked = session.call(
                || format!("look at {path}"),
                client.check_and_watch_stat(path),
            );
            let (found, made) = looked.await?;
            if found.is_none() {
                publish(sender, None);
                made.changed().await;
            }
            return Ok(());
        }
        Err(problem) => return Err(problem),
    };
    let Some(candidate) = Candidate::leader_of(&children) else {
        publish(sender, None);
        changed.changed().await;
        return Ok(());
    };
    let node = format!("{path}/{}", candidate.name());
    let read = session
        .call(|| format!("read {node}"), client.get_and_watch_data(&node))
        .await;
    let (data, stat, rewritten) = match read {
        Ok(read) => read,
        // It left between the two looks.
        Err(problem) if problem.is_no_node() => return Ok(()),
        Err(problem) => return Err(problem),
    };
    match candidate.read(&data) {
        Ok(info) => publish(
            sender,
            Some(Leader {
                info,
                election: stat.czxid.unsigned_abs(),
                realm: realm(&directory),
            }),
        ),
        Err(problem) => told(sender, None, Some(problem)),
    }
    tokio::select! {
        _ = changed.changed() => {}
        _ = rewritten.changed() => {}
    }
    Ok(())
}

/// Which life of an ensemble a directory belongs to; never 0.
fn realm(directory: &zookeeper_client::Stat) -> u64 {
    // Transactions of a new ensemble start again, so the time tells two lives apart; its bits are spread
    // (SplitMix64's multiplier) lest nearby times and transactions meet.
    let time = directory.ctime.unsigned_abs();
    let mixed = time.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ directory.czxid.unsigned_abs();
    mixed.max(1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_fixed_address_is_known_at_once() {
        let detector = Detector::start("10.0.0.1:5050".parse().unwrap(), Settings::default());
        let now = detector.watch().borrow().clone();
        assert!(now.connected && now.problem.is_none());
        assert_eq!(now.address().unwrap().to_string(), "10.0.0.1:5050");
        assert_eq!(detector.leader().await.election, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_with_an_address_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        let source = Source::File(path.clone());
        let detector = Detector::start(source, Settings::default());
        let mut watch = detector.watch();
        watch.wait_for(|now| now.problem.is_some()).await.unwrap();
        for text in ["a:1", "b:2\n"] {
            fs::write(&path, text).unwrap();
            watch
                .wait_for(|now| {
                    now.connected
                        && now
                            .address()
                            .is_some_and(|address| address.to_string() == text.trim())
                })
                .await
                .unwrap();
        }
        fs::write(&path, "zk://nobody").unwrap();
        let now = watch.wait_for(|now| !now.connected).await.unwrap().clone();
        assert!(now.problem.unwrap().contains("(chroot) path"));
        assert_eq!(now.leader.unwrap().address().unwrap().to_string(), "b:2");
        drop(detector);
        assert!(watch.changed().await.is_err());
    }
}
