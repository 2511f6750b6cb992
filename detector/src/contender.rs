//! Stands for election, and knows whether it still does.

use std::{sync::Arc, time::Duration};

use mesos_wire::v1::MasterInfo;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use zookeeper_client as zk;

use crate::{
    Lease, Settings, Source, Target,
    backoff::Backoff,
    candidate::{Candidate, PREFIX, content},
    detector::resolve,
    session::{End, Problem, Purpose, Session},
};

/// First pause between attempts to get a session, or a place in it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest one: there are few masters, and everybody waits for them.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where a contender stands.
#[derive(Debug, Clone)]
pub enum Candidacy {
    /// It tries to become a candidate, without end.
    Joining {
        /// What kept the last attempt from success, for a log.
        problem: Option<String>,
    },
    /// It is a candidate: the leader, when no candidate has a lower sequence.
    Joined(Membership),
    /// It was a candidate and is none any more. Stays so until [`Contender::contend`].
    Lost(Loss),
    /// It was asked to withdraw, and its node is gone (or will be with its session).
    Withdrawn,
}

/// Why a candidacy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The session expired, or nothing was heard from ZooKeeper for a session timeout.
    SessionExpired,
    /// Somebody removed our node.
    NodeRemoved,
}

/// A place among the candidates.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Name of the node, `json.info_NNNNNNNNNN`.
    pub node: String,
    /// Its sequence number. The lowest leads.
    pub sequence: u64,
    /// The election number that we have if we lead; see [`crate::Leader::election`].
    pub election: u64,
    /// The session timeout that was agreed upon.
    pub session_timeout: Duration,
    /// For how long the place is safe.
    pub lease: Lease,
}

impl Candidacy {
    /// The place, while there is one.
    pub fn membership(&self) -> Option<&Membership> {
        match self {
            Self::Joined(membership) => Some(membership),
            Self::Joining { .. } | Self::Lost(_) | Self::Withdrawn => None,
        }
    }
}

/// What the task is to do. A new value ends what was wanted before.
#[derive(Debug, Clone)]
struct Wanted {
    round: u64,
    info: Option<Arc<MasterInfo>>,
}

/// A candidacy of the task, with the round that it answers to.
#[derive(Debug, Clone)]
struct Answer {
    round: u64,
    candidacy: Candidacy,
}

/// Stands for election. A contender never gives up trying to *become* a candidate; when it was one and is
/// no more, it says so and waits for [`contend`](Self::contend), since its owner has to step down first.
///
/// Dropping it ends the candidacy as well, but nobody learns whether the node went at once.
#[derive(Debug)]
pub struct Contender {
    wanted: watch::Sender<Wanted>,
    answers: watch::Receiver<Answer>,
    candidacy: watch::Receiver<Candidacy>,
    _end: DropGuard,
}

impl Contender {
    /// Stands for election with `info`, at a source that is (or is a file that names) a ZooKeeper ensemble.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(source: Source, settings: Settings, info: MasterInfo) -> Self {
        let joining = Candidacy::Joining { problem: None };
        let (wanted, inbox) = watch::channel(Wanted {
            round: 1,
            info: Some(Arc::new(info)),
        });
        let (answer, answers) = watch::channel(Answer {
            round: 1,
            candidacy: joining.clone(),
        });
        let (told, candidacy) = watch::channel(joining);
        let end = CancellationToken::new();
        let task = Task {
            source,
            settings,
            inbox,
            answer,
            told,
            stop: end.clone(),
            left: None,
        };
        tokio::spawn(task.run());
        Self {
            wanted,
            answers,
            candidacy,
            _end: end.drop_guard(),
        }
    }

    /// Stands for election (again) with `info`. A place that is held is given up first.
    pub fn contend(&self, info: MasterInfo) {
        self.want(Some(info));
    }

    /// Gives the place up, and waits until the node is gone, at most for a session timeout. Stays
    /// withdrawn until [`contend`](Self::contend). Cancel safe: it is given up in any case.
    pub async fn withdraw(&self) {
        let round = self.want(None);
        let mut answers = self.answers.clone();
        // An error means that the task is gone, and with it the place.
        let _ = answers
            .wait_for(|answer| {
                answer.round >= round && !matches!(answer.candidacy, Candidacy::Joined(_))
            })
            .await;
    }

    /// Where we stand, and a notice of each change.
    pub fn candidacy(&self) -> watch::Receiver<Candidacy> {
        self.candidacy.clone()
    }

    /// The lease of the place we have; one that is over when there is none.
    pub fn lease(&self) -> Lease {
        self.candidacy
            .borrow()
            .membership()
            .map_or_else(Lease::none, |membership| membership.lease.clone())
    }

    fn want(&self, info: Option<MasterInfo>) -> u64 {
        // Nobody may act for a place that is about to be given up.
        self.lease().revoke();
        let mut round = 0;
        self.wanted.send_modify(|wanted| {
            wanted.round += 1;
            wanted.info = info.map(Arc::new);
            round = wanted.round;
        });
        round
    }
}

struct Task {
    source: Source,
    settings: Settings,
    inbox: watch::Receiver<Wanted>,
    answer: watch::Sender<Answer>,
    told: watch::Sender<Candidacy>,
    stop: CancellationToken,
    /// The node of a session that we lost, with the transaction that made it. ZooKeeper may keep it for a session
    /// timeout after it is back, in which nobody could lead.
    left: Option<(String, u64)>,
}

impl Task {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let wanted = self.inbox.borrow_and_update().clone();
            match &wanted.info {
                None => self.tell(wanted.round, Candidacy::Withdrawn),
                Some(info) => {
                    let ended = self.stand(wanted.round, info).await;
                    if let Some(loss) = ended {
                        tracing::warn!(?loss, "the place in the election is lost");
                        self.tell(wanted.round, Candidacy::Lost(loss));
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                changed = self.inbox.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    fn tell(&self, round: u64, candidacy: Candidacy) {
        self.told.send_replace(candidacy.clone());
        self.answer.send_replace(Answer { round, candidacy });
    }

    /// Becomes a candidate and stays one until that is lost (`Some`) or something else is wanted (`None`).
    async fn stand(&mut self, round: u64, info: &MasterInfo) -> Option<Loss> {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        self.tell(round, Candidacy::Joining { problem: None });
        loop {
            let opened = self.or_wanted(open(&self.source, self.settings)).await?;
            match opened {
                Err(problem) => self.troubled(round, problem),
                Ok(session) => {
                    let mut inbox = self.inbox.clone();
                    let joined = tokio::select! {
                        _ = session.keep(None) => None,
                        joined = self.join(round, &session, info, &mut backoff) => Some(joined),
                        () = wanted_otherwise(&mut inbox, &self.stop) => {
                            // What was sent may still be carried out; closing the session undoes it.
                            return None;
                        }
                    };
                    if let Some((candidate, election)) = joined {
                        return self.hold(round, session, &candidate, election).await;
                    }
                }
            }
            let pause = tokio::time::sleep(backoff.pause());
            self.or_wanted(pause).await?;
        }
    }

    /// Keeps the place.
    async fn hold(
        &mut self,
        round: u64,
        session: Session,
        candidate: &Candidate,
        election: u64,
    ) -> Option<Loss> {
        let node = format!("{}/{}", session.ensemble().path(), candidate.name());
        tracing::info!(node, election, "standing for election");
        self.tell(
            round,
            Candidacy::Joined(Membership {
                node: candidate.name().to_owned(),
                sequence: candidate.sequence(),
                election,
                session_timeout: session.timeout(),
                lease: session.lease().clone(),
            }),
        );
        let mut inbox = self.inbox.clone();
        let end = tokio::select! {
            end = session.keep(Some(&node)) => Some(end),
            end = removed(&session, &node) => Some(end),
            () = wanted_otherwise(&mut inbox, &self.stop) => None,
        };
        session.lease().revoke();
        match end {
            Some(End::Expired) => {
                self.left = Some((node, election));
                Some(Loss::SessionExpired)
            }
            Some(End::NodeRemoved) => Some(Loss::NodeRemoved),
            None => {
                let deleted = session
                    .call(
                        || format!("remove {node}"),
                        session.client().delete(&node, None),
                    )
                    .await;
                if let Err(problem) = deleted
                    && !problem.is_no_node()
                {
                    tracing::warn!(problem = problem.chain(), "the place is left to expire");
                }
                None
            }
        }
    }

    /// Tries until there is a place; the session's end is watched by the caller.
    async fn join(
        &self,
        round: u64,
        session: &Session,
        info: &MasterInfo,
        backoff: &mut Backoff,
    ) -> (Candidate, u64) {
        loop {
            match join_once(session, info, self.left.as_ref()).await {
                Ok(place) => return place,
                Err(problem) => self.troubled(round, problem.chain()),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    fn troubled(&self, round: u64, problem: String) {
        let known = matches!(
            &*self.told.borrow(),
            Candidacy::Joining { problem: Some(old) } if *old == problem
        );
        if !known {
            tracing::error!(problem, "cannot stand for election; trying again");
            let problem = Some(problem);
            self.tell(round, Candidacy::Joining { problem });
        }
    }

    /// `None` when something else is wanted first.
    async fn or_wanted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut inbox = self.inbox.clone();
        tokio::select! {
            () = wanted_otherwise(&mut inbox, &self.stop) => None,
            done = work => Some(done),
        }
    }
}

async fn wanted_otherwise(inbox: &mut watch::Receiver<Wanted>, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        _ = inbox.changed() => {}
    }
}

async fn open(source: &Source, settings: Settings) -> Result<Session, String> {
    match resolve(source).await? {
        Target::ZooKeeper(ensemble) => Session::open(&ensemble, settings, Purpose::Stand)
            .await
            .map_err(|problem| problem.chain()),
        Target::Fixed(address) => Err(format!(
            "{address} is a master, not an election; expecting zk://HOST1:PORT1,HOST2:PORT2/PATH"
        )),
    }
}

/// Answers when the node is gone. A session that ends is somebody else's news.
async fn removed(session: &Session, node: &str) -> End {
    loop {
        let looked = session
            .call(
                || format!("watch {node}"),
                session.client().check_and_watch_stat(node),
            )
            .await;
        match looked {
            Ok((None, _)) => return End::NodeRemoved,
            Ok((Some(_), changed)) => {
                changed.changed().await;
            }
            Err(problem) => {
                tracing::debug!(problem = problem.chain(), "cannot watch our own node");
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        }
    }
}

/// Makes the path and the node, unless an earlier request of this session made it and its answer was lost.
/// The node of an earlier session goes first.
async fn join_once(
    session: &Session,
    info: &MasterInfo,
    left: Option<&(String, u64)>,
) -> Result<(Candidate, u64), Problem> {
    let (client, path) = (session.client(), session.ensemble().path());
    make_path(session).await?;
    if let Some((node, election)) = left {
        remove_left(session, node, *election).await?;
    }
    if let Some(place) = own_node(session).await? {
        return Ok(place);
    }
    let prefix = format!("{path}/{PREFIX}");
    let acls = acls(session);
    let (_, sequence) = session
        .call(
            || format!("create a node below {path}"),
            client.create(
                &prefix,
                &content(info),
                &zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::new(&acls)),
            ),
        )
        .await?;
    let name = format!("{PREFIX}{sequence}");
    let node = format!("{path}/{name}");
    let (_, stat) = session
        .call(|| format!("read {node}"), client.get_data(&node))
        .await?;
    let candidate = Candidate::from_name(&name).ok_or_else(|| Problem::Operation {
        what: format!("understand the name {name}"),
        source: zk::Error::UnexpectedError("not ten digits".to_owned()),
    })?;
    Ok((candidate, stat.czxid.unsigned_abs()))
}

/// Removes our own node of a session that we gave up, if it is still that one.
async fn remove_left(session: &Session, node: &str, election: u64) -> Result<(), Problem> {
    let found = session
        .call(
            || format!("look at {node}"),
            session.client().check_stat(node),
        )
        .await?;
    if found.is_none_or(|stat| stat.czxid.unsigned_abs() != election) {
        return Ok(());
    }
    let removed = session
        .call(
            || format!("remove {node}, which an earlier session left"),
            session.client().delete(node, None),
        )
        .await;
    match removed {
        Err(problem) if problem.is_no_node() => Ok(()),
        other => other,
    }
}

async fn make_path(session: &Session) -> Result<(), Problem> {
    let (client, path) = (session.client(), session.ensemble().path());
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    for prefix in ends.chain([path.len()]).filter_map(|end| path.get(..end)) {
        let found = session
            .call(|| format!("look at {prefix}"), client.check_stat(prefix))
            .await?;
        if found.is_some() {
            continue;
        }
        let acls = acls(session);
        let options = zk::CreateMode::Persistent.with_acls(zk::Acls::new(&acls));
        let made = session
            .call(
                || format!("create {prefix}"),
                client.create(prefix, b"", &options),
            )
            .await;
        match made {
            Ok(_) => {}
            Err(problem) if problem.is_node_exists() => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

/// The candidate that this very session made.
async fn own_node(session: &Session) -> Result<Option<(Candidate, u64)>, Problem> {
    let (client, path) = (session.client(), session.ensemble().path());
    let children = session
        .call(|| format!("list {path}"), client.list_children(path))
        .await?;
    for candidate in children
        .iter()
        .filter_map(|name| Candidate::from_name(name))
    {
        let node = format!("{path}/{}", candidate.name());
        let found = session
            .call(|| format!("look at {node}"), client.check_stat(&node))
            .await?;
        if let Some(stat) = found
            && stat.ephemeral_owner == client.session_id().0
        {
            return Ok(Some((candidate, stat.czxid.unsigned_abs())));
        }
    }
    Ok(None)
}

/// Open for all without credentials; with them, all may read and only we may write. As in Mesos.
fn acls(session: &Session) -> Vec<zk::Acl> {
    match session.ensemble().credentials() {
        None => vec![zk::Acl::new(zk::Permission::ALL, zk::AuthId::anyone())],
        Some(_) => vec![
            zk::Acl::new(zk::Permission::READ, zk::AuthId::anyone()),
            zk::Acl::new(zk::Permission::ALL, zk::AuthId::authed()),
        ],
    }
}
