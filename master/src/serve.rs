//! Puts the parts together: registry, owner, endpoints, one port.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use mesos_http::{
    AllowAll, Authorizer, Metrics, Router, ServeError, Server, logging::LogLevel, version,
};
use mesos_wire::v1::{Address, MasterInfo, master_info};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{Clock, SystemClock},
    config::{MasterConfig, RegistryPlace},
    control,
    core::Core,
    counters::Counters,
    handle::Handle,
    owner::{Owner, OwnerError},
    reading,
    registry::{Registrar, Registry, RegistryError},
    scheduler,
    state::{Identity, Published, Snapshot},
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
    /// The thread that opens the registry was lost.
    #[error("opening the registry was cut short")]
    Lost,
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

/// Starts a master. It listens when this returns.
///
/// # Errors
/// The port or the registry cannot be had.
pub async fn start(
    config: MasterConfig,
    log_level: LogLevel,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let server = Server::bind(config.listen).await?;
    let (registrar, registry) = open(&config.registry).await?;
    let address = server.local_addr();
    let config = Arc::new(config);
    let clock = Arc::new(SystemClock);
    let now = clock.now();
    let identity = Identity {
        info: master_info(&config, address),
        cluster: config.cluster.clone(),
        start_time: now.seconds(),
        elected_time: now.seconds(),
    };
    let metrics = Metrics::new();
    let counters = Arc::new(Counters::new(&metrics));
    let authorizer: Arc<dyn Authorizer> = Arc::new(AllowAll);
    let published = Arc::new(Published::new(Snapshot::new(Arc::new(identity.clone()))));
    let core = Core::new(
        config.clone(),
        identity,
        registry,
        authorizer.clone(),
        counters.clone(),
        now,
    );
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let handle = Handle::new(
        commands.clone(),
        published.clone(),
        config.clone(),
        counters,
        authorizer.clone(),
        metrics,
        log_level,
    );
    let mut owner = Owner {
        core,
        clock,
        registrar,
        published,
        inbox,
        commands: commands.downgrade(),
        streams: HashMap::new(),
        sessions: HashMap::new(),
        requests: HashMap::new(),
        next_request: 0,
        writes: TaskTracker::new(),
        version: 0,
    };
    owner.publish();
    let service = router(&handle, authorizer, stop.clone()).finish();
    let server = server.grpc(control::router(handle.clone()).into_axum_router());
    let owner = tokio::spawn(owner.run(stop.clone()));
    let server = tokio::spawn(server.serve(service, stop.clone()));
    Ok(Running {
        address,
        handle,
        server,
        owner,
        stop,
    })
}

async fn open(place: &RegistryPlace) -> Result<(Registrar, Registry), StartError> {
    match place {
        RegistryPlace::InMemory => Ok((Registrar::InMemory, Registry::default())),
        RegistryPlace::File(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || Registrar::open(&path)).await;
            Ok(opened.map_err(|_| StartError::Lost)??)
        }
    }
}

/// Every endpoint of the master.
fn router(
    handle: &Handle,
    authorizer: Arc<dyn Authorizer>,
    stop: CancellationToken,
) -> Router<Handle> {
    let mut router = Router::new(handle.clone())
        .prefix("/master")
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
