//! What can go wrong between a client and a daemon.

/// A request failed, or a stream ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answered at that address, or the connection broke.
    #[error("no answer from {url}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The daemon answered with an error.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status code.
        status: u16,
        /// What it said, cut at 4 KiB.
        body: String,
    },
    /// The answer is not what the API promises.
    #[error("{url} answered with something that is not the v1 API: {problem}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No event, not even a heartbeat, came for too long.
    #[error("{url} has been silent for {seconds} s")]
    Silent {
        /// What was subscribed to.
        url: String,
        /// For how long.
        seconds: u64,
    },
    /// Nobody leads, or it cannot be found out who does.
    #[error("no leading master is known: {problem}")]
    NoLeader {
        /// Why.
        problem: String,
    },
    /// The subscription was with a master that does not lead any more.
    #[error("another master leads than {url}")]
    Superseded {
        /// What was subscribed to.
        url: String,
    },
    /// Masters sent us around in a circle.
    #[error("{url} and those it named sent us elsewhere more than {limit} times")]
    Redirects {
        /// What was asked first.
        url: String,
        /// How often that is followed.
        limit: usize,
    },
    /// A call was made while there is no subscription.
    #[error("not subscribed")]
    NotSubscribed,
    /// The master will not have this framework any more.
    #[error("the framework was refused: {0}")]
    FrameworkError(String),
    /// No subscription could be had for longer than the framework's failover timeout.
    #[error("gave up after {seconds} s without a subscription; last: {last}")]
    GaveUp {
        /// For how long it was tried.
        seconds: u64,
        /// The last failure.
        last: String,
    },
}
