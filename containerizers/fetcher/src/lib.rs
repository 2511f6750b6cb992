//! Brings a task's URIs into its sandbox: downloads, copies, unpacks, and gives them to its user.
//!
//! Everything happens in the agent's process, without a helper for each task; what the agent must
//! not do with its own rights (reading files for a user) or has no code for (TLS, xz, bzip2) is
//! left to a child process. Nothing is written outside the sandbox, whatever names, links or
//! archives say. Behaviour: `slave/containerizer/fetcher.cpp` and `launcher/fetcher.cpp` of Apache
//! Mesos; what is done better is in `docs/differences.md`.

#![forbid(unsafe_code)]

mod archive;
mod cache;
mod confine;
mod download;
mod owner;
mod source;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesos_containerizer_api::{FetchError, FetchRequest, Fetcher};
use mesos_wire::v1::command_info::Uri;

use cache::{Cache, Cached};
use owner::Owner;
use source::Source;

/// Settings of the fetcher.
#[derive(Debug, Clone)]
pub struct FetcherOptions {
    /// Where relative paths start (`--frameworks_home`).
    pub frameworks_home: Option<PathBuf>,
    /// Silence after which a download fails (`--fetcher_stall_timeout`).
    pub stall_timeout: Duration,
    /// Where URIs with `cache` are kept while this process lives, in a folder of its own
    /// (`--fetcher_cache_dir`).
    pub cache_dir: PathBuf,
    /// Most bytes kept there (`--fetcher_cache_size`).
    pub cache_size: u64,
}

impl Default for FetcherOptions {
    /// Mesos's defaults: 1 min, 2 GB beneath the folder for temporary files.
    fn default() -> Self {
        Self {
            frameworks_home: None,
            stall_timeout: Duration::from_secs(60),
            cache_dir: std::env::temp_dir().join("mesos").join("fetch"),
            cache_size: 2 << 30,
        }
    }
}

/// Fetches URIs.
#[derive(Debug)]
pub struct UriFetcher {
    options: FetcherOptions,
    client: reqwest::Client,
    cache: Arc<Cache>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Why one URI could not be had; the words after the URI itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An operation on a file failed.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self(format!("cannot {what} {}: {error}", path.display()))
    }
}

/// Set when nobody waits any more; work on other threads looks at it between two blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(crate) fn check(&self) -> std::io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("abandoned"));
        }
        Ok(())
    }
}

/// Sets it when dropped.
struct AbandonOnDrop(Abandoned);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// What belongs to one call of `fetch`.
struct Job<'a> {
    sandbox: &'a Path,
    owner: Option<&'a Owner>,
    user: &'a str,
    abandoned: &'a Abandoned,
}

impl UriFetcher {
    /// Makes the cache's folder, and removes what ended processes have left beside it.
    ///
    /// # Errors
    /// When the folder cannot be made, or no HTTP client be made.
    pub fn new(options: FetcherOptions) -> std::io::Result<Self> {
        let cache = Cache::new(&options.cache_dir, options.cache_size)?;
        let client = download::client(options.stall_timeout).map_err(std::io::Error::other)?;
        Ok(Self {
            options,
            client,
            cache: Arc::new(cache),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Metrics by Mesos's names.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        [
            ("task_fetches_succeeded", count(&self.succeeded)),
            ("task_fetches_failed", count(&self.failed)),
            ("cache_size_total_bytes", self.options.cache_size as f64),
            ("cache_size_used_bytes", self.cache.used() as f64),
        ]
        .map(|(name, value)| (format!("containerizer/fetcher/{name}"), value))
        .into()
    }

    async fn fetch_all(&self, request: &FetchRequest) -> Result<(), FetchError> {
        let error = |uri: &str, failure: Failure| FetchError {
            uri: uri.to_owned(),
            message: failure.to_string(),
        };
        let Some(first) = request.uris.first() else {
            return Ok(());
        };
        // All of them before the first download.
        for uri in &request.uris {
            self.plan(uri)
                .map_err(|failure| error(&uri.value, failure))?;
        }
        let owner = match request.user.as_deref() {
            Some(user) => Owner::of(user).map_err(|failure| error(&first.value, failure))?,
            None => None,
        };
        let abandoned = Abandoned::default();
        let _guard = AbandonOnDrop(abandoned.clone());
        let job = Job {
            sandbox: &request.sandbox,
            owner: owner.as_ref(),
            user: request.user.as_deref().unwrap_or_default(),
            abandoned: &abandoned,
        };
        for uri in &request.uris {
            tracing::info!(container_id = %request.container, uri = uri.value, "fetching");
            self.fetch_one(&job, uri)
                .await
                .map_err(|failure| error(&uri.value, failure))?;
        }
        if let Some(owner) = owner {
            let sandbox = request.sandbox.clone();
            blocking(move || owner.give(&sandbox))
                .await
                .map_err(|failure| error(&first.value, failure))?;
        }
        Ok(())
    }

    /// Where a URI comes from and what the file is called, relative to the sandbox.
    fn plan(&self, uri: &Uri) -> Result<(Source, String), Failure> {
        let source = Source::parse(&uri.value, self.options.frameworks_home.as_deref())?;
        let name = match &uri.output_file {
            Some(name) => {
                confine::check_relative(name)
                    .map_err(|why| Failure::new(format!("output_file `{name}` {why}")))?;
                name.clone()
            }
            None => source::base_name(&uri.value)?,
        };
        Ok((source, name))
    }

    async fn fetch_one(&self, job: &Job<'_>, uri: &Uri) -> Result<(), Failure> {
        let (source, name) = self.plan(uri)?;
        let target = job.sandbox.join(&name);
        let unpack = !uri.executable() && uri.extract();
        let kind = if unpack { archive::kind(&name) } else { None };
        if uri.cache() {
            match self.cached(job, uri, &source).await? {
                Some(cached) => {
                    let (sandbox, abandoned) = (job.sandbox.to_owned(), job.abandoned.clone());
                    return blocking(move || {
                        // Held until here, so that it cannot be evicted.
                        let file = cached.path();
                        match kind {
                            // As in Mesos, a cached archive itself does not come to the sandbox.
                            Some(kind) => archive::unpack(kind, file, &name, &sandbox, &abandoned),
                            None => confine::copy(file, &sandbox, &name, &abandoned),
                        }
                    })
                    .await
                    .and_then(|()| self.finish(uri, &target));
                }
                None => tracing::info!(
                    uri = uri.value,
                    "not cached: its size is not known beforehand, or too large"
                ),
            }
        }
        let file = {
            let (sandbox, name) = (job.sandbox.to_owned(), name.clone());
            blocking(move || confine::create(&sandbox, &name)).await?
        };
        let fetched = self.download(job, &source, file).await;
        if let Err(failure) = fetched {
            let _best_effort = tokio::fs::remove_file(&target).await;
            return Err(failure);
        }
        self.finish(uri, &target)?;
        if let Some(kind) = kind {
            let (sandbox, abandoned) = (job.sandbox.to_owned(), job.abandoned.clone());
            blocking(move || archive::unpack(kind, &target, &name, &sandbox, &abandoned)).await?;
        }
        Ok(())
    }

    async fn download(
        &self,
        job: &Job<'_>,
        source: &Source,
        file: std::fs::File,
    ) -> Result<u64, Failure> {
        download::run(
            &self.client,
            source,
            file,
            job.owner,
            self.options.stall_timeout,
        )
        .await
    }

    /// The file in the cache, downloaded if need be; `None`: it cannot be cached.
    async fn cached(
        &self,
        job: &Job<'_>,
        uri: &Uri,
        source: &Source,
    ) -> Result<Option<Cached>, Failure> {
        let name = source::base_name(&uri.value)?;
        let slot = self.cache.slot(job.user, &uri.value);
        let mut place = slot.lock().await;
        if let Some(cached) = self.cache.hit(&place) {
            return Ok(Some(cached));
        }
        let length =
            download::length(&self.client, source, job.owner, self.options.stall_timeout).await?;
        let Some(length) = length.filter(|length| *length > 0) else {
            return Ok(None);
        };
        let Some(mut reserved) = self.cache.reserve(length) else {
            return Ok(None);
        };
        let file = reserved.create(job.user, &name)?;
        let actual = self.download(job, source, file).await?;
        Ok(Some(reserved.keep(&mut place, actual)))
    }

    fn finish(&self, uri: &Uri, target: &Path) -> Result<(), Failure> {
        if uri.executable() {
            confine::make_executable(target)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Fetcher for UriFetcher {
    async fn fetch(&self, request: FetchRequest) -> Result<(), FetchError> {
        let result = self.fetch_all(&request).await;
        let counter = if result.is_ok() {
            &self.succeeded
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }
}

/// Runs file work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(format!("the work was cut off: {error}"))),
    }
}
