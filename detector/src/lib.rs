//! Who the leading master is: election and detection through ZooKeeper, in the layout of Apache Mesos.
//!
//! - [`Source`] says where masters are found: `zk://...`, `HOST:PORT`, or a file that holds one of them.
//! - [`Detector`] follows a source and publishes the leader as [`Detected`].
//! - [`Contender`] stands for election with a [`MasterInfo`](mesos_wire::v1::MasterInfo) of its own and
//!   reports its [`Candidacy`].
//! - [`Lease`] tells, without asking anybody, for how long a candidate may trust that it is still one.
//!
//! ```no_run
//! # async fn example(info: mesos_wire::v1::MasterInfo) -> Result<(), Box<dyn std::error::Error>> {
//! use mesos_detector::{Contender, Detector, Settings, Source};
//! let source: Source = "zk://10.0.0.2:2181/mesos".parse()?;
//! let detector = Detector::start(source.clone(), Settings::default());
//! let contender = Contender::start(source, Settings::default(), info.clone());
//! let mut detected = detector.watch();
//! detected.wait_for(|now| now.leader.as_ref().is_some_and(|leader| leader.info.id == info.id)).await?;
//! let lease = contender.lease();
//! // ... before each thing that only a leader may do:
//! assert!(lease.is_valid(std::time::Instant::now()));
//! contender.withdraw().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! Each candidate is an ephemeral sequential node `json.info_NNNNNNNNNN` below the path of the URL, which holds
//! its MasterInfo as JSON. The lowest sequence leads. Children with other names are nobody's candidates.
//!
//! # Fencing
//! The *election number* of a leader ([`Leader::election`]) is the transaction that created its node (`czxid`).
//! Those grow over the whole life of an ensemble, also when the path is deleted and its sequence starts
//! again, so a later leader always has a higher number than an earlier one. An ensemble that lost its data
//! starts again at low numbers; [`Leader::realm`] tells the two apart.

mod address;
mod backoff;
mod candidate;
mod contender;
mod detector;
mod leader;
mod lease;
mod session;
mod source;

pub use address::{AddressError, MasterAddress};
pub use contender::{Candidacy, Contender, Loss, Membership};
pub use detector::Detector;
pub use leader::{Detected, Leader};
pub use lease::Lease;
pub use session::Settings;
pub use source::{Credentials, Ensemble, Source, SourceError, Target};
