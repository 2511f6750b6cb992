//! Metrics: declared once by name, cheap to count, read as one sorted map (`/metrics/snapshot`).

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    auth::{Action, Object},
    latency::Latency,
    prometheus,
    request::Request,
    response::Response,
    router::Router,
};

/// Values of a timer that its percentiles are taken from.
const WINDOW: usize = 1000;
/// Path that ACLs name for reading metrics.
const SNAPSHOT: &str = "/metrics/snapshot";

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that is set.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Durations in milliseconds: `NAME` is the last one, and once there are several, `NAME/count`, `/max`,
/// `/min`, `/p50` to `/p9999` over the last thousand.
#[derive(Debug, Clone, Default)]
pub struct Timer(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    last: VecDeque<f64>,
    count: u64,
}

impl Timer {
    /// Adds one duration.
    pub fn record(&self, duration: Duration) {
        if let Ok(mut samples) = self.0.lock() {
            if samples.last.len() == WINDOW {
                samples.last.pop_front();
            }
            samples.last.push_back(duration.as_secs_f64() * 1000.0);
            samples.count += 1;
        }
    }

    /// Adds the time since `start`.
    pub fn since(&self, start: Instant) {
        self.record(start.elapsed());
    }

    fn write(&self, name: &str, out: &mut BTreeMap<String, f64>) {
        let Ok(samples) = self.0.lock() else { return };
        let mut sorted: Vec<f64> = samples.last.iter().copied().collect();
        let (Some(last), count) = (samples.last.back().copied(), samples.count) else {
            return;
        };
        drop(samples);
        sorted.sort_by(f64::total_cmp);
        out.insert(name.to_owned(), last);
        if sorted.len() < 2 {
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "a count is far below 2^53")]
        out.insert(format!("{name}/count"), count as f64);
        out.insert(format!("{name}/min"), sorted[0]);
        out.insert(format!("{name}/max"), sorted[sorted.len() - 1]);
        for (suffix, p) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p95", 0.95),
            ("p99", 0.99),
            ("p999", 0.999),
            ("p9999", 0.9999),
        ] {
            out.insert(format!("{name}/{suffix}"), percentile(&sorted, p));
        }
    }
}

/// Linear between the two nearest values, as in libprocess.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let index = position as usize;
    let low = sorted[index];
    let high = sorted.get(index + 1).copied().unwrap_or(low);
    low + (position - index as f64) * (high - low)
}

type Read = Arc<dyn Fn() -> Option<f64> + Send + Sync>;
type Provider = Arc<dyn Fn(&mut BTreeMap<String, f64>) + Send + Sync>;

#[derive(Clone)]
enum Source {
    Counter(Counter),
    Gauge(Gauge),
    Timer(Timer),
    Read(Read, Kind),
}

/// What a number can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grow.
    Counter,
    /// Anything.
    Gauge,
    /// It is several, of durations.
    Timer,
}

struct Metric {
    help: &'static str,
    source: Source,
}

/// All metrics of a daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    metrics: Arc<RwLock<BTreeMap<String, Metric>>>,
    providers: Arc<RwLock<Vec<Provider>>>,
    latencies: Arc<RwLock<BTreeMap<&'static str, Latency>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// No metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a counter. The same name again gives the same counter.
    pub fn counter(&self, name: impl Into<String>, help: &'static str) -> Counter {
        self.declare(
            name.into(),
            help,
            || Source::Counter(Counter::default()),
            |source| match source {
                Source::Counter(counter) => Some(counter.clone()),
                _ => None,
            },
        )
    }

    /// Declares a gauge that is set. The same name again gives the same gauge.
    pub fn gauge(&self, name: impl Into<String>, help: &'static str) -> Gauge {
        self.declare(
            name.into(),
            help,
            || Source::Gauge(Gauge::default()),
            |source| match source {
                Source::Gauge(gauge) => Some(gauge.clone()),
                _ => None,
            },
        )
    }

    /// Declares a timer; name it `..._ms`. The same name again gives the same timer.
    pub fn timer(&self, name: impl Into<String>, help: &'static str) -> Timer {
        self.declare(
            name.into(),
            help,
            || Source::Timer(Timer::default()),
            |source| match source {
                Source::Timer(timer) => Some(timer.clone()),
                _ => None,
            },
        )
    }

    /// Declares a gauge that is read when asked for; it must answer at once. `None` leaves it out.
    pub fn read(
        &self,
        name: impl Into<String>,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.declare_read(name.into(), help, Kind::Gauge, Arc::new(read));
    }

    /// Declares a counter that is kept elsewhere and read when asked for.
    pub fn read_counter(
        &self,
        name: impl Into<String>,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.declare_read(name.into(), help, Kind::Counter, Arc::new(read));
    }

    fn declare_read(&self, name: String, help: &'static str, kind: Kind, read: Read) {
        let source = Source::Read(read, kind);
        if let Ok(mut metrics) = self.metrics.write() {
            metrics.insert(name, Metric { help, source });
        }
    }

    /// How long requests to an endpoint took; shown by `/metrics` only. The same endpoint again gives the
    /// same histogram.
    pub(crate) fn latency(&self, endpoint: &'static str) -> Latency {
        let Ok(mut latencies) = self.latencies.write() else {
            return Latency::default();
        };
        latencies.entry(endpoint).or_default().clone()
    }

    pub(crate) fn latencies(&self, mut see: impl FnMut(&str, &Latency)) {
        if let Ok(latencies) = self.latencies.read() {
            for (endpoint, latency) in latencies.iter() {
                see(endpoint, latency);
            }
        }
    }

    /// Kind and help of each declared metric.
    pub(crate) fn kinds(&self) -> BTreeMap<String, (Kind, &'static str)> {
        let Ok(metrics) = self.metrics.read() else {
            return BTreeMap::new();
        };
        let kind = |source: &Source| match source {
            Source::Counter(_) => Kind::Counter,
            Source::Gauge(_) => Kind::Gauge,
            Source::Timer(_) => Kind::Timer,
            Source::Read(_, kind) => *kind,
        };
        metrics
            .iter()
            .map(|(name, metric)| (name.clone(), (kind(&metric.source), metric.help)))
            .collect()
    }

    /// Adds numbers whose names are known only when asked for (per framework, per role). Must answer at once.
    pub fn provider(&self, provider: impl Fn(&mut BTreeMap<String, f64>) + Send + Sync + 'static) {
        if let Ok(mut providers) = self.providers.write() {
            providers.push(Arc::new(provider));
        }
    }

    /// Forgets a metric; what was handed out goes on counting unseen.
    pub fn remove(&self, name: &str) {
        if let Ok(mut metrics) = self.metrics.write() {
            metrics.remove(name);
        }
    }

    fn declare<T: Default>(
        &self,
        name: String,
        help: &'static str,
        make: impl FnOnce() -> Source,
        get: impl FnOnce(&Source) -> Option<T>,
    ) -> T {
        let Ok(mut metrics) = self.metrics.write() else {
            return T::default();
        };
        let found = get(&metrics
            .entry(name.clone())
            .or_insert_with(|| Metric {
                help,
                source: make(),
            })
            .source);
        debug_assert!(found.is_some(), "metric {name} is declared with two kinds");
        found.unwrap_or_default()
    }

    /// Every name with its help text, for the documentation.
    pub fn help(&self) -> BTreeMap<String, &'static str> {
        self.metrics
            .read()
            .map(|metrics| {
                metrics
                    .iter()
                    .map(|(name, metric)| (name.clone(), metric.help))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Every number now, sorted by name. Numbers that JSON cannot hold are left out.
    pub fn snapshot(&self) -> BTreeMap<String, f64> {
        // Sources are copied out first: reading one may declare another.
        let sources: Vec<(String, Source)> = self
            .metrics
            .read()
            .map(|metrics| {
                metrics
                    .iter()
                    .map(|(name, metric)| (name.clone(), metric.source.clone()))
                    .collect()
            })
            .unwrap_or_default();
        let providers = self
            .providers
            .read()
            .map(|providers| providers.clone())
            .unwrap_or_default();
        let mut out = BTreeMap::new();
        for (name, source) in sources {
            let value = match source {
                #[allow(
                    clippy::cast_precision_loss,
                    reason = "exact below 2^53, and doubles are the format"
                )]
                Source::Counter(counter) => Some(counter.get() as f64),
                Source::Gauge(gauge) => Some(gauge.get()),
                Source::Read(read, _) => read(),
                Source::Timer(timer) => {
                    timer.write(&name, &mut out);
                    None
                }
            };
            if let Some(value) = value {
                out.insert(name, value);
            }
        }
        for provider in providers {
            provider(&mut out);
        }
        out.retain(|_, value| value.is_finite());
        out
    }

    /// The answer's list of the v1 call GET_METRICS.
    pub fn to_v1(&self) -> Vec<mesos_wire::v1::Metric> {
        let metric = |(name, value)| mesos_wire::v1::Metric {
            name,
            value: Some(value),
        };
        self.snapshot().into_iter().map(metric).collect()
    }
}

/// Adds `/metrics/snapshot`, and `/metrics` in the text format of Prometheus; from here on the latency of
/// every endpoint is measured. Its `timeout` is checked and otherwise not needed: every source answers at once.
pub fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, metrics: &Metrics) {
    prometheus::route(router, metrics);
    router.measure(metrics);
    let metrics = metrics.clone();
    router
        .get(SNAPSHOT, move |_: S, request: Request| {
            std::future::ready(answer(&metrics, &request))
        })
        .bare()
        .ungated();
}

fn answer(metrics: &Metrics, request: &Request) -> Response {
    if !request.authorize(Action::GetEndpoint, Object::Named(SNAPSHOT)) {
        return Response::forbidden("");
    }
    if let Some(timeout) = request.query("timeout")
        && let Err(error) = mesos_types::units::parse_duration(timeout)
    {
        return Response::bad_request(format!("Invalid timeout '{timeout}': {error}"));
    }
    Response::json(&metrics.snapshot())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_doubles() {
        let metrics = Metrics::new();
        metrics.counter("b/count", "counts").add(2);
        metrics.counter("b/count", "counts").inc();
        metrics.gauge("a", "a gauge").set(0.5);
        metrics.read("c", "read", || Some(1.0));
        metrics.read("gone", "never", || None);
        metrics.read("nan", "not JSON", || Some(f64::NAN));
        metrics.provider(|out| {
            out.insert("frameworks/x".to_owned(), 7.0);
        });
        let json = serde_json::to_string(&metrics.snapshot()).unwrap();
        assert_eq!(
            json,
            r#"{"a":0.5,"b/count":3.0,"c":1.0,"frameworks/x":7.0}"#
        );
        metrics.remove("c");
        assert!(!metrics.snapshot().contains_key("c"));
        assert_eq!(metrics.help()["a"], "a gauge");
    }

    #[test]
    fn a_timer_has_percentiles_from_the_second_value_on() {
        let metrics = Metrics::new();
        let timer = metrics.timer("run_ms", "runs");
        assert!(metrics.snapshot().is_empty());
        timer.record(Duration::from_millis(10));
        assert_eq!(
            metrics.snapshot(),
            BTreeMap::from([("run_ms".to_owned(), 10.0)])
        );
        for n in 11..=20 {
            timer.record(Duration::from_millis(n));
        }
        let snapshot = metrics.snapshot();
        let value = |suffix: &str| snapshot[&format!("run_ms/{suffix}")];
        assert_eq!(
            (value("min"), value("p50"), value("max"), value("count")),
            (10.0, 15.0, 20.0, 11.0)
        );
        assert!((value("p90") - 19.0).abs() < 1e-9);
        for _ in 0..2 * WINDOW {
            timer.record(Duration::from_millis(1));
        }
        assert_eq!(metrics.snapshot()["run_ms/max"], 1.0);
    }
}
