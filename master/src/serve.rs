//! Puts the parts together: registry, owner, endpoints, one port.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use mesos_detector::{Lease, Target};
use mesos_http::{
    AllowAll, Authorizer, Metrics, Router, ServeError, Server, logging::LogLevel, version,
};
use mesos_wire::v1::{Address, MasterInfo, master_info};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    candidate::Candidate,
    clock::{Clock, SystemClock},
    config::{Election, MasterConfig, RegistryPlace},
    control,
    core::Core,
    counters::Counters,
    handle::Handle,
    leadership::{Leadership, Term},
    owner::{Owner, OwnerError},
    reading,
    registry::{Registrar, Registry, RegistryError, ZooKeeperSettings},
    scheduler,
    state::{Identity, Published, Snapshot},
    whitelist,
};

/// Commands that wait for the owner before senders wait too.
const COMMANDS: usize = 16_384;

/// Why a master does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A master that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The way in.
    pub handle: Handle,
    server: JoinHandle<()>,
    owner: JoinHandle<Result<(), OwnerError>>,
    stop: CancellationToken,
}

impl Running {
    /// Waits until the master has stopped: because `stop` was cancelled, or because it cannot go on.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn wait(self) -> Result<(), OwnerError> {
        let outcome = self.owner.await.unwrap_or_else(|error| {
            Err(OwnerError::Registry(format!(
                "the owner of the state was lost: {error}"
            )))
        });
        self.stop.cancel();
        // The server has no outcome of its own.
        let _ = self.server.await;
        outcome
    }
}

/// Starts a master. It listens when this returns; among several it may not lead yet.
///
/// # Errors
/// The port or the registry cannot be had.
pub async fn start(
    config: MasterConfig,
    log_level: LogLevel,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let server = Server::bind(config.listen).await?;
    let address = server.local_addr();
    let seat = Seat::new(config, address, log_level);
    let handle = seat.handle.clone();
    let owner = match seat.config.election.clone() {
        None => {
            // Before anybody is answered, and one that does not read ends the start.
            let (registrar, registry) = seat.read_registry(0, &seat.identity().info).await?;
            let over = stop.child_token();
            let term = seat.begin(registrar, registry, None, &over);
            tokio::spawn(async move {
                let ended = term.await;
                over.cancel();
                ended
            })
        }
        Some(election) => {
            let candidate = Candidate {
                seat,
                election,
                stop: stop.clone(),
            };
            tokio::spawn(candidate.run())
        }
    };
    let service = router(&handle, handle.authorizer().clone(), stop.clone()).finish();
    let server = server.grpc(control::router(handle.clone()).into_axum_router());
    let server = tokio::spawn(server.serve(service, stop.clone()));
    Ok(Running {
        address,
        handle,
        server,
        owner,
        stop,
    })
}

/// What stays the same from term to term, and begins them.
pub(crate) struct Seat {
    config: Arc<MasterConfig>,
    clock: Arc<dyn Clock>,
    handle: Handle,
    start_time: f64,
    address: SocketAddr,
}

impl Seat {
    fn new(config: MasterConfig, address: SocketAddr, log_level: LogLevel) -> Self {
        let clock = Arc::new(SystemClock);
        let now = clock.now().seconds();
        let identity = Identity {
            info: master_info(&config, address),
            cluster: config.cluster.clone(),
            start_time: now,
            elected_time: now,
        };
        let metrics = Metrics::new();
        let counters = Arc::new(Counters::new(&metrics));
        let config = Arc::new(config);
        let published = Arc::new(Published::new(Snapshot::new(Arc::new(identity))));
        let handle = Handle::new(
            published,
            config.clone(),
            counters,
            Arc::new(AllowAll),
            metrics,
            log_level,
        );
        Self {
            config,
            clock,
            handle,
            start_time: now,
            address,
        }
    }

    /// Who this master is in its present candidacy.
    pub(crate) fn identity(&self) -> Identity {
        (*self.handle.snapshot().identity).clone()
    }

    /// Where this master stands now.
    pub(crate) fn set(&self, leadership: Leadership) {
        self.handle.set_leadership(leadership);
    }

    /// Leads no more: nothing of the state is left.
    pub(crate) fn leave(&self) {
        self.set(Leadership::Electing);
        self.forget(self.identity());
    }

    /// A new id, for another candidacy.
    pub(crate) fn renew(&self) -> MasterInfo {
        let identity = Identity {
            info: master_info(&self.config, self.address),
            ..self.identity()
        };
        let info = identity.info.clone();
        self.forget(identity);
        info
    }

    fn forget(&self, identity: Identity) {
        let before = self.handle.snapshot();
        let mut empty = Snapshot::new(Arc::new(identity));
        empty.version = before.version + 1;
        empty.changes = before.changes;
        self.handle.published().publish(empty, Vec::new());
    }

    /// Reads the registry and makes it this master's own.
    ///
    /// # Errors
    /// It cannot be read, or a later leader has it.
    pub(crate) async fn read_registry(
        &self,
        election: u64,
        info: &MasterInfo,
    ) -> Result<(Registrar, Registry), RegistryError> {
        match (&self.config.registry, &self.config.election) {
            (RegistryPlace::File(path), _) => {
                let path = path.clone();
                let opening = tokio::task::spawn_blocking(move || Registrar::open(&path));
                // Opening does not panic; should it all the same, that is worth as much as our own.
                opening
                    .await
                    .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
            (RegistryPlace::Election, Some(place)) => {
                Registrar::zookeeper(self.zookeeper(place)?, election, info).await
            }
            (RegistryPlace::InMemory | RegistryPlace::Election, _) => {
                Ok((Registrar::InMemory, Registry::default()))
            }
        }
    }

    /// Where the registry is now: a file that names the ensemble may have changed.
    fn zookeeper(&self, election: &Election) -> Result<ZooKeeperSettings, RegistryError> {
        let unusable = |reason: String| RegistryError::Refused {
            action: "find the registry",
            path: "the ensemble of --zk".to_owned(),
            reason,
        };
        let ensemble = match election.source.resolve() {
            Ok(Target::ZooKeeper(ensemble)) => ensemble,
            Ok(Target::Fixed(address)) => {
                return Err(unusable(format!("{address} is no zk://HOST:PORT/PATH")));
            }
            Err(error) => return Err(unusable(error.to_string())),
        };
        Ok(ZooKeeperSettings {
            servers: ensemble.connect_string(),
            path: ensemble.path().to_owned(),
            credentials: ensemble
                .credentials()
                .map(|own| (own.user().to_owned(), own.password().to_owned())),
            session_timeout: election.settings.session_timeout,
            fetch_timeout: self.config.registry_fetch_timeout,
            store_timeout: self.config.registry_store_timeout,
        })
    }

    /// Begins to lead. The term runs until `over`, or until it cannot go on.
    pub(crate) fn begin(
        &self,
        registrar: Registrar,
        registry: Registry,
        place: Option<Place>,
        over: &CancellationToken,
    ) -> impl Future<Output = Result<(), OwnerError>> + Send + use<> {
        let now = self.clock.now();
        let identity = Identity {
            start_time: self.start_time,
            elected_time: now.seconds(),
            ..self.identity()
        };
        let before = self.handle.snapshot();
        self.handle.counters().registry_opened(registrar.figures());
        let master_id = identity.info.id.as_str().into();
        let mut core = Core::new(
            self.config.clone(),
            identity,
            registry,
            self.handle.authorizer().clone(),
            self.handle.counters().clone(),
            now,
        );
        core.follow_on(&before);
        let (commands, inbox) = mpsc::channel(COMMANDS);
        if let Some(path) = self.config.whitelist.clone() {
            let watching = whitelist::watch(path, commands.downgrade(), over.clone());
            tokio::spawn(watching);
        }
        let mut owner = Owner {
            core,
            clock: self.clock.clone(),
            registrar,
            published: self.handle.published().clone(),
            inbox,
            commands: commands.downgrade(),
            streams: HashMap::new(),
            sessions: HashMap::new(),
            requests: HashMap::new(),
            next_request: 0,
            writes: TaskTracker::new(),
            version: before.version,
            lease: place.as_ref().map(|place| place.lease.clone()),
        };
        owner.publish();
        self.set(Leadership::Leading(Term {
            commands,
            master_id,
            election: place.as_ref().map_or(0, |place| place.election),
            realm: place.as_ref().map_or(0, |place| place.realm),
            over: over.clone(),
            lease: place.as_ref().map(|place| place.lease.clone()),
        }));
        owner.run(over.clone())
    }
}

/// A place in an election that is the first one.
pub(crate) struct Place {
    pub(crate) election: u64,
    pub(crate) realm: u64,
    pub(crate) lease: Lease,
}

/// Every endpoint of the master.
fn router(
    handle: &Handle,
    authorizer: Arc<dyn Authorizer>,
    stop: CancellationToken,
) -> Router<Handle> {
    let gate = handle.clone();
    let mut router = Router::new(handle.clone())
        .prefix("/master")
        .gate(move |head| gate.leadership().refusal(head))
        .authorizer(authorizer)
        .disable(handle.config().disabled_endpoints.iter().cloned());
    scheduler::route(&mut router);
    reading::routes(&mut router, handle, stop);
    router
}

fn master_info(config: &MasterConfig, address: SocketAddr) -> MasterInfo {
    use master_info::{Capability, capability::Type};
    let told = config.advertise.map_or(address, |advertised| {
        let port = if advertised.port() == 0 {
            address.port()
        } else {
            advertised.port()
        };
        SocketAddr::new(advertised.ip(), port)
    });
    let ip = told.ip().to_string();
    let hostname = config.hostname.clone().unwrap_or_else(|| ip.clone());
    let capability = |kind: Type| Capability {
        r#type: Some(kind.into()),
    };
    MasterInfo {
        id: uuid::Uuid::new_v4().to_string(),
        ip: match told.ip() {
            // As `inet_pton` leaves it in memory, read on a little-endian machine.
            IpAddr::V4(v4) => u32::from_le_bytes(v4.octets()),
            IpAddr::V6(_) => 0,
        },
        port: u32::from(told.port()),
        pid: Some(format!("master@{told}")),
        hostname: Some(hostname.clone()),
        version: Some(version::COMPATIBLE.to_owned()),
        address: Some(Address {
            hostname: Some(hostname),
            ip: Some(ip),
            port: i32::from(told.port()),
        }),
        domain: config.domain.clone(),
        capabilities: vec![
            capability(Type::AgentUpdate),
            capability(Type::AgentDraining),
            capability(Type::QuotaV2),
        ],
    }
}
