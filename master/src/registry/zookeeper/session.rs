//! The way to ZooKeeper: connecting, access rules, which errors pass by themselves.
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use zookeeper_client::{Acl, Acls, AuthId, Client, Error, Permission};

/// How to reach the registry in ZooKeeper.
#[derive(Clone)]
pub struct ZooKeeperSettings {
    /// `host:port,host:port`
    pub servers: String,
    /// The election's path, such as `/mesos`.
    pub path: String,
    /// User and password of the `digest` scheme; with them only they may write what is made, and everybody
    /// may read it. Without them everything is open.
    pub credentials: Option<(String, String)>,
    /// `--zk_session_timeout`
    pub session_timeout: Duration,
    /// `--registry_fetch_timeout`: how long taking over and reading may take.
    pub fetch_timeout: Duration,
    /// `--registry_store_timeout`: how long a change may take, lost connections included.
    pub store_timeout: Duration,
}

impl std::fmt::Debug for ZooKeeperSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password stays out of logs.
        f.debug_struct("ZooKeeperSettings")
            .field("servers", &self.servers)
            .field("path", &self.path)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

impl ZooKeeperSettings {
    /// A new session. It has a life of its own: the master's candidacy is in another one.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Client, Error> {
        let mut connector = Client::connector().with_session_timeout(self.session_timeout);
        if let Some((user, password)) = &self.credentials {
            connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
        }
        timeout_at(deadline, connector.connect(&self.servers))
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    /// Who may do what with a node that is made.
    pub(super) fn access(&self) -> Access {
        Access {
            rules: if self.credentials.is_some() {
                vec![
                    Acl::new(Permission::READ, AuthId::anyone()),
                    Acl::new(Permission::ALL, AuthId::authed()),
                ]
            } else {
                vec![Acl::new(Permission::ALL, AuthId::anyone())]
            },
        }
    }
}

/// The access rules of every node of a registry; the same as those of the election.
#[derive(Debug, Clone)]
pub(super) struct Access {
    rules: Vec<Acl>,
}

impl Access {
    pub(super) fn acls(&self) -> Acls<'_> {
        Acls::new(&self.rules)
    }
}

/// Whether the same request may go well later, over this connection or another one.
pub(super) fn passes(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionLoss
            | Error::SessionExpired
            | Error::SessionMoved
            | Error::Timeout
            | Error::NoHosts
            | Error::ClientClosed
            | Error::Throttled
            | Error::NotReadOnly
            | Error::UnexpectedError(_)
            | Error::UnexpectedErrorCode(_)
            | Error::Custom(_)
    )
}

/// What ZooKeeper says, with what to do where that is known.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::NoAuth => {
            "not authorized; give --zk the user and password with which it was made".to_owned()
        }
        Error::AuthFailed => "the user or the password given to --zk is refused".to_owned(),
        Error::InvalidAcl => {
            "it does not know the user given to --zk; is the digest scheme turned off?".to_owned()
        }
        Error::NoHosts | Error::Timeout => "no server answers".to_owned(),
        error => error.to_string(),
    }
}
