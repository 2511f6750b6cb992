//! Listens on one port for HTTP/1.1, h2c and gRPC.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, header};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::router::Service;

/// Bytes that a client may send on one HTTP/2 connection ahead of what was read.
const CONNECTION_WINDOW: u32 = 32 << 20;
/// The same for one request.
const STREAM_WINDOW: u32 = 1 << 20;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Bounds of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time; further ones wait in the listen queue.
    pub connections: usize,
    /// How long a connection may be idle or slow in sending its request line and headers.
    pub idle: Duration,
    /// Headers of one request.
    pub headers: usize,
    /// Bytes of one request's line and headers.
    pub header_bytes: usize,
    /// Streams at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// How long data may stay untaken by the peer's kernel before the connection counts as gone; also how
    /// long a client may pause a download.
    pub unacknowledged: Duration,
    /// How long requests under way may go on after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 131_072,
            idle: Duration::from_secs(600),
            headers: 128,
            header_bytes: 64 * 1024,
            streams: 4096,
            unacknowledged: Duration::from_secs(300),
            drain: Duration::from_secs(2),
        }
    }
}

/// A listener that is bound and does not serve yet, so that its address can go into what it will serve.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    grpc: Option<axum::Router>,
}

impl Server {
    /// Binds; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            limits: Limits::default(),
            grpc: None,
        })
    }

    /// The address that clients reach, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the default bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends requests of type `application/grpc` there: `tonic::service::Routes::into_axum_router`. The
    /// caller's `SocketAddr` is in the extensions of each request.
    #[must_use]
    pub fn grpc(mut self, router: axum::Router) -> Self {
        self.grpc = Some(router);
        self
    }

    /// Serves until `stop`; then no connection is taken any more, requests under way may end within
    /// [`Limits::drain`], and what is left is cut off.
    pub async fn serve(self, service: Service, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.limits.connections.max(1)));
        let shared = Arc::new(Shared {
            service,
            grpc: self.grpc,
            builder: builder(&self.limits),
        });
        let mut connections = JoinSet::new();
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = acquire(&permits) => permit,
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the client was gone before it was taken: the next try may do.
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(Duration::from_millis(50)) => continue,
                    }
                }
            };
            tune(&stream, &self.limits);
            let (shared, stop, idle) = (shared.clone(), stop.clone(), self.limits.idle);
            connections.spawn(async move {
                shared.connection(stream, remote, idle, stop).await;
                drop(permit);
            });
        }
        drop(self.listener);
        let drained = tokio::time::timeout(self.limits.drain, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            connections.shutdown().await;
        }
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> Option<tokio::sync::OwnedSemaphorePermit> {
    if permits.available_permits() == 0 {
        tracing::warn!("the limit of connections is reached; new ones wait until another ends");
    }
    permits.clone().acquire_owned().await.ok()
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes.max(8192))
        // Clients exist that compare header names as Mesos writes them.
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // Not adaptive: that begins with 64 KiB, and a connection may hold small frames in proportion to its
        // window only. One that carries the sessions of many agents was closed for too many of them.
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Latency and dead peers; a refusal of the kernel costs only those.
fn tune(stream: &TcpStream, limits: &Limits) {
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    for result in [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_keepalive(&keepalive),
        socket.set_tcp_user_timeout(Some(limits.unacknowledged)),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "cannot set an option of a connection");
        }
    }
}

struct Shared {
    service: Service,
    grpc: Option<axum::Router>,
    builder: auto::Builder<TokioExecutor>,
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        idle: Duration,
        stop: CancellationToken,
    ) {
        let asked = Arc::new(AtomicBool::new(false));
        let (shared, seen) = (self.clone(), asked.clone());
        let service = hyper::service::service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(shared.answer(request, remote).await) }
        });
        // Until the first bytes tell the protocols apart, no timeout of hyper's runs.
        let silent = async {
            tokio::time::sleep(idle).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent => return,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, %error, "a connection ended early");
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        remote: SocketAddr,
    ) -> http::Response<axum::body::Body> {
        if let Some(grpc) = &self.grpc
            && request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
        {
            // For services that want to know who calls.
            request.extensions_mut().insert(remote);
            let answer = grpc.clone().oneshot(request.map(axum::body::Body::new));
            return match Box::pin(answer).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        // On the heap while it lasts: hyper keeps the room of this future as long as the answer's body lasts,
        // and event streams and sessions of agents last for ever.
        Box::pin(self.service.call(request, remote)).await
    }
}
