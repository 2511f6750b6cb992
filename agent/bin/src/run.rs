//! Puts the parts together, serves, and waits for the end.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use mesos_agent::{
    Agent, AgentConfig, Parts, ReadSide, Snapshots, StartError, load, operator, state::Phase,
};
use mesos_containerizer_api::Fetcher;
use mesos_fetcher::{FetcherOptions, UriFetcher};
use mesos_flags::{
    AgentFlags,
    detect::{self, DetectError},
};
use mesos_http::{
    AllowAll, Authorizer, Metrics, Response, Router, ServeError, Server, files::Files,
    logging::LogLevel,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    Exit,
    containers::{self, Containers, ContainersError},
};

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing to offer.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// The port cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// What an earlier run left cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Containers cannot be run as the flags want.
    #[error(transparent)]
    Containers(#[from] ContainersError),
    /// The fetcher's cache cannot be had.
    #[error("cannot prepare --fetcher_cache_dir={}", path.display())]
    Fetcher {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the agent; answers how the process is to end.
///
/// # Errors
/// It cannot start.
pub async fn run(flags: AgentFlags, level: LogLevel) -> Result<Exit, RunError> {
    let signals = Signals::listen().map_err(RunError::Signals)?;
    containers::check(&flags)?;
    let flags = Arc::new(flags);
    let resources = detect::detect(
        flags.resources.as_deref(),
        &flags.default_role,
        &flags.work_dir,
    )?;
    let bind = SocketAddr::new(
        IpAddr::V4(flags.ip.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        flags.port,
    );
    let server = Server::bind(bind).await?;
    let listening = server.local_addr();
    let asked = flags.clone();
    let names = tokio::task::spawn_blocking(move || (asked.reachable_ip(), asked.host_name()));
    let (ip, hostname) = names
        .await
        .unwrap_or_else(|_| (Ipv4Addr::LOCALHOST, "localhost".to_owned()));
    if ip.is_loopback() {
        tracing::warn!(
            "the agent is bound to loopback: a master on another host does not reach its tasks"
        );
    }
    let port = flags.advertise_port.unwrap_or(listening.port());
    let config = Arc::new(AgentConfig::new(&flags, resources, ip, port, hostname));
    let loaded = load(&config)?;
    let fetcher = Arc::new(fetcher(&flags)?);
    let as_plug_in: Arc<dyn Fetcher> = fetcher.clone();
    let Containers {
        containerizer,
        launcher,
        mut metrics,
    } = containers::containers(&flags, &as_plug_in)?;
    metrics.push(Arc::new(move || fetcher.metrics()));
    let authorizer: Arc<dyn Authorizer> = Arc::new(AllowAll);
    let stop = CancellationToken::new();
    let agent = Agent::start(
        Parts {
            config,
            loaded,
            containerizer: containerizer.clone(),
            authorizer: authorizer.clone(),
        },
        stop.clone(),
    );
    let mut shown = flags.effective.clone();
    shown.insert("launcher".to_owned(), launcher.to_owned());
    let log_dir = flags.logging.log_dir.as_deref();
    let read = ReadSide {
        snapshots: agent.snapshots().clone(),
        containerizer,
        gc: agent.gc().clone(),
        flags: Arc::new(shown),
        address: SocketAddr::new(IpAddr::V4(ip), port),
        log_file: flags
            .logging
            .external_log_file
            .clone()
            .or_else(|| log_dir.map(|dir| mesos_logging::log_file(dir, "agent"))),
        log_level: level,
        authorizer: authorizer.clone(),
        metrics: Metrics::new(),
        parts: metrics,
        files: Files::new(),
    };
    let mut router = Router::new(())
        .prefix("/slave(1)")
        .authorizer(authorizer)
        .gate(recovering(agent.snapshots().clone()))
        .disable(flags.disabled_endpoints.clone());
    let following = operator::routes(&mut router, read, stop.clone());
    agent.executors().route(&mut router);
    let serving = tokio::spawn(server.serve(router.finish(), stop.clone()));
    // On stderr whatever the log's settings are: scripts wait for this line.
    eprintln!("listening on {listening}");
    let exit = end(agent, signals).await;
    stop.cancel();
    // Both end with `stop`; a panic in them has been printed.
    let _ = serving.await;
    let _ = following.await;
    Ok(exit)
}

fn fetcher(flags: &AgentFlags) -> Result<UriFetcher, RunError> {
    let options = FetcherOptions {
        frameworks_home: flags.frameworks_home.clone(),
        stall_timeout: flags.fetcher_stall_timeout,
        cache_dir: flags.fetcher_cache_dir.clone(),
        cache_size: flags.fetcher_cache_size,
    };
    UriFetcher::new(options).map_err(|source| RunError::Fetcher {
        path: flags.fetcher_cache_dir.clone(),
        source,
    })
}

/// Executors are answered 503 until containers have been taken back.
fn recovering(
    snapshots: Snapshots,
) -> impl Fn(&mesos_http::Head) -> Option<Response> + Send + Sync + 'static {
    move |_| {
        (snapshots.load().phase == Phase::Recovering)
            .then(|| Response::unavailable("Agent has not finished recovery"))
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    leave: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            leave: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Waits for the end: a signal, or the agent's own. SIGTERM and SIGINT end the agent only, and its
/// containers live on; SIGUSR1 unregisters and ends the tasks first.
async fn end(mut agent: Agent, mut signals: Signals) -> Exit {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => {
                tracing::info!("told to stop; containers run on");
                return Exit::Done;
            }
            _ = signals.interrupt.recv() => {
                tracing::info!("interrupted; containers run on");
                return Exit::Done;
            }
            _ = signals.leave.recv() => agent.leave().await,
            exit = agent.ended() => {
                return match exit {
                    mesos_agent::Exit::Done => Exit::Done,
                    mesos_agent::Exit::Failed(text) => {
                        eprintln!("agent: {text}");
                        Exit::Broken
                    }
                };
            }
        }
    }
}
