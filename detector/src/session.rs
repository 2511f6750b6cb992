//! One session with ZooKeeper, in which no call waits for ever and whose end is noticed by our own clock.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, timeout, timeout_at};
use zookeeper_client as zk;

use crate::{Ensemble, Lease};

/// Session timeouts that are asked for; the servers may narrow them further.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
/// Exchanges within one session timeout, so that one or two may fail. A quarter of the shortest session
/// (2 ticks of the servers) is as long as the servers take to tell each other whom they heard (half a tick).
const EXCHANGES: u32 = 4;
/// Silence of a server that is always borne: the servers may make a session longer than was asked for, and a
/// busy one may pause.
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);
/// Pause after an exchange that failed while the session may still live.
const RETRY: Duration = Duration::from_millis(100);

/// How patient a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The session timeout to ask for (`--zk_session_timeout`); the servers may change it.
    pub session_timeout: Duration,
}

impl Default for Settings {
    /// 10 s, as `ZOOKEEPER_SESSION_TIMEOUT` of Mesos.
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(10),
        }
    }
}

/// Why something with ZooKeeper did not work. Its text never holds a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("no ZooKeeper server of {servers} accepts us")]
    Connect { servers: String, source: zk::Error },
    #[error("ZooKeeper does not answer {what} within {seconds:.1} s")]
    Silent { what: String, seconds: f64 },
    #[error("ZooKeeper at {servers} refuses the credentials of user `{user}`")]
    Credentials { servers: String, user: String },
    #[error("ZooKeeper does not let {who} {what}: {hint}")]
    Denied {
        who: String,
        what: String,
        hint: &'static str,
    },
    #[error("cannot {what}")]
    Operation { what: String, source: zk::Error },
}

impl Problem {
    /// With its causes.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Whether the node that we asked about is not there.
    pub(crate) fn is_no_node(&self) -> bool {
        matches!(
            self,
            Self::Operation {
                source: zk::Error::NoNode,
                ..
            }
        )
    }

    /// Whether there is such a node already.
    pub(crate) fn is_node_exists(&self) -> bool {
        matches!(
            self,
            Self::Operation {
                source: zk::Error::NodeExists,
                ..
            }
        )
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// ZooKeeper says so, or nothing was heard from it for a session timeout.
    Expired,
    /// The node that was to be kept is gone.
    NodeRemoved,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To hold a place, with a lease: a server that hangs is left soon, and there is much talk.
    Stand,
    /// To look who leads. There may be tens of thousands of these, so they say little.
    Look,
}

impl Purpose {
    /// Silence of a server after which another one is tried. The client library pings after 3/8 of it.
    fn connection_timeout(self, session_timeout: Duration) -> Duration {
        let silence = match self {
            // Two servers that hang can be left within one session.
            Self::Stand => session_timeout / 4,
            // The most that the library takes.
            Self::Look => session_timeout * 3 / 5,
        };
        silence.max(SHORTEST_SILENCE)
    }
}

/// One session. Dropping it closes it, which removes its ephemeral nodes.
#[derive(Debug)]
pub(crate) struct Session {
    client: zk::Client,
    ensemble: Ensemble,
    timeout: Duration,
    lease: Lease,
}

impl Session {
    /// Connects to one of the servers. Host names are looked up anew.
    pub(crate) async fn open(
        ensemble: &Ensemble,
        settings: Settings,
        purpose: Purpose,
    ) -> Result<Self, Problem> {
        let wanted = settings
            .session_timeout
            .clamp(*TIMEOUTS.start(), *TIMEOUTS.end());
        let servers = ensemble.connect_string();
        // No operation of later ones is needed.
        let mut connector = zk::Client::connector()
            .with_session_timeout(wanted)
            .with_connection_timeout(purpose.connection_timeout(wanted))
            .with_server_version(3, 4, 0)
            .with_fail_eagerly();
        if let Some(credentials) = ensemble.credentials() {
            connector = connector.with_auth("digest", &credentials.digest());
        }
        let began = Instant::now();
        let patience = wanted.max(Duration::from_secs(1)) * 2;
        let connected = timeout(patience, connector.connect(&servers)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(zk::Error::AuthFailed)) => {
                let user = ensemble.credentials().map(|c| c.user().to_owned());
                return Err(Problem::Credentials {
                    servers,
                    user: user.unwrap_or_default(),
                });
            }
            Ok(Err(source)) => return Err(Problem::Connect { servers, source }),
            Err(_) => {
                let source = zk::Error::Timeout;
                return Err(Problem::Connect { servers, source });
            }
        };
        let timeout = client.session_timeout();
        Ok(Self {
            lease: Lease::new(began, timeout),
            client,
            ensemble: ensemble.clone(),
            timeout,
        })
    }

    pub(crate) fn client(&self) -> &zk::Client {
        &self.client
    }

    pub(crate) fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// The negotiated session timeout.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// For how long the session is safe, while [`keep`](Self::keep) runs; over for good when it has ended.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Waits for an operation, at most for a session timeout. `what` continues "cannot ...".
    pub(crate) async fn call<T>(
        &self,
        what: impl FnOnce() -> String,
        operation: impl Future<Output = Result<T, zk::Error>>,
    ) -> Result<T, Problem> {
        match timeout(self.timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(zk::Error::NoAuth)) => Err(Problem::Denied {
                what: what(),
                who: self.who(),
                hint: match self.ensemble.credentials() {
                    Some(_) => {
                        "the password is not the one that the node was made with, or its ACL is for others"
                    }
                    None => "its ACL asks for credentials; give them as zk://USER:PASSWORD@...",
                },
            }),
            Ok(Err(source)) => Err(Problem::Operation {
                what: what(),
                source,
            }),
            Err(_) => Err(Problem::Silent {
                what: format!("a request to {}", what()),
                seconds: self.timeout.as_secs_f64(),
            }),
        }
    }

    fn who(&self) -> String {
        match self.ensemble.credentials() {
            Some(credentials) => format!("user `{}`", credentials.user()),
            None => "us, who gave no credentials,".to_owned(),
        }
    }

    /// Answers when the session is over: ZooKeeper has said so, there was no connection for a session timeout,
    /// or a request that is made that often has no answer. For those who only look.
    pub(crate) async fn ended(&self) {
        let mut states = self.client.state_watcher();
        loop {
            let state = states.state();
            if state.is_terminated() {
                return;
            }
            let changed = timeout(self.timeout, states.changed()).await;
            if changed.is_ok() {
                continue;
            }
            if state == zk::SessionState::Disconnected {
                return;
            }
            // The state is told by the client library. Whether that still works, only a request tells.
            let asked = timeout(self.timeout, self.client.check_stat(self.ensemble.path()));
            match asked.await {
                Ok(
                    Ok(_)
                    | Err(zk::Error::ConnectionLoss | zk::Error::NoAuth | zk::Error::Throttled),
                ) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Exchanges something with ZooKeeper four times within the session timeout, renews the lease, and answers
    /// when the session, or the node `own`, is no more. By then the lease is revoked.
    ///
    /// An exchange is a `sync`, which the leader of the ensemble must carry out, and a look at the node. The
    /// server that we are connected to tells the leader at its next ping, at most half a tick later, that it
    /// heard of us; both travel on one connection. So an exchange that succeeds proves that the leader knows of
    /// the one *before* it, and from the beginning of that one the lease runs.
    pub(crate) async fn keep(&self, own: Option<&str>) -> End {
        let end = self.kept(own).await;
        self.lease.revoke();
        end
    }

    async fn kept(&self, own: Option<&str>) -> End {
        let every = self.timeout / EXCHANGES;
        let path = own.unwrap_or(self.ensemble.path());
        let mut last = None;
        let mut states = self.client.state_watcher();
        loop {
            let began = Instant::now();
            let until = self.lease.until().max(began);
            let exchange = async {
                self.client.sync(path).await?;
                self.client.check_stat(path).await
            };
            let next = match timeout_at(until.into(), exchange).await {
                Ok(Ok(None)) if own.is_some() => return End::NodeRemoved,
                // To look is not forbidden by any ACL; that it is answered is what counts.
                Ok(Ok(_) | Err(zk::Error::NoAuth | zk::Error::NoNode)) => {
                    if let Some(proved) = last.replace(began) {
                        self.lease.renew(proved, self.timeout);
                    }
                    began + every
                }
                Ok(Err(
                    zk::Error::SessionExpired
                    | zk::Error::SessionMoved
                    | zk::Error::AuthFailed
                    | zk::Error::ClientClosed,
                ))
                | Err(_) => return End::Expired,
                Ok(Err(_)) => Instant::now() + RETRY,
            };
            let next = next.min(self.lease.until());
            let mut pause = std::pin::pin!(sleep_until(next.into()));
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    state = states.changed() => if state.is_terminated() {
                        return End::Expired;
                    },
                }
            }
            if !self.lease.is_valid(Instant::now()) {
                return End::Expired;
            }
        }
    }
}
