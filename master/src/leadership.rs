//! Who leads: this master, another one, or nobody. And what one that does not lead answers.

use std::{sync::Arc, time::Instant};

use mesos_detector::Lease;
use mesos_http::{Head, Response};
use mesos_wire::v1::MasterInfo;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::owner::Command;

/// Where this master stands.
#[derive(Debug, Clone, Default)]
pub enum Leadership {
    /// Nobody is known to lead.
    #[default]
    Electing,
    /// Another master leads.
    Following(Arc<MasterInfo>),
    /// This master was elected and reads the registry.
    Recovering,
    /// This master leads.
    Leading(Term),
}

/// The time between becoming the leader and ceasing to be. Clones are the same term.
#[derive(Debug, Clone)]
pub struct Term {
    /// To the owner of this term's state; nobody takes commands any more when it has ended.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Who speaks in this term.
    pub(crate) master_id: Arc<str>,
    /// Grows with each leader that the same ensemble elects; 0 without elections.
    pub(crate) election: u64,
    /// Which ensemble's elections are counted; 0 without elections.
    pub(crate) realm: u64,
    /// Cancelled when the term ends.
    pub(crate) over: CancellationToken,
    /// Until when this master may act as the leader; `None`: it is the only one.
    pub(crate) lease: Option<Lease>,
}

impl Term {
    /// Whether nobody else can lead at this moment. A master that was frozen and wakes up finds that it may not
    /// answer any more before it has heard so.
    fn holds(&self) -> bool {
        self.lease
            .as_ref()
            .is_none_or(|lease| lease.is_valid(Instant::now()))
    }
}

impl Leadership {
    /// The term of this master, if it leads.
    pub fn term(&self) -> Option<&Term> {
        match self {
            Self::Leading(term) => term.holds().then_some(term),
            Self::Electing | Self::Following(_) | Self::Recovering => None,
        }
    }

    /// What stops a request that only the leader may answer: a redirect before anything of it is looked at, as
    /// Mesos does it, or 503.
    pub(crate) fn refusal(&self, head: &Head) -> Option<Response> {
        match self {
            Self::Leading(term) if term.holds() => None,
            Self::Leading(_) => Some(Response::unavailable(
                "This master has lost touch with the election and may not lead any more",
            )),
            Self::Following(leader) => Some(Response::redirect(&format!(
                "{}{}",
                root(leader),
                target(head)
            ))),
            Self::Electing => Some(Response::unavailable("No leader elected")),
            Self::Recovering => Some(Response::unavailable(
                "The master was just elected and reads its registry; try again",
            )),
        }
    }
}

/// Address of a master without a scheme, so that it fits http and https: `//m1:5050`.
pub(crate) fn root(info: &MasterInfo) -> String {
    let ip = || info.address.as_ref().and_then(|address| address.ip.clone());
    let host = info
        .hostname
        .clone()
        .filter(|name| !name.is_empty())
        .or_else(ip)
        .unwrap_or_default();
    format!("//{host}:{}", info.port)
}

/// Path and query as sent, the path always beneath `/master`: Mesos writes it in full.
fn target(head: &Head) -> String {
    let below = head.path == "/master" || head.path.starts_with("/master/");
    let prefix = if below { "" } else { "/master" };
    let query = head.raw_query.as_deref();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{prefix}{}{query}", head.path)
}
