//! `/metrics`: the metrics in the text format of Prometheus.
//!
//! A name of `/metrics/snapshot` becomes one with underscores after `mesos_`; what is data in it (a framework,
//! a role, a reason) becomes labels. Latencies of endpoints and the depth of event streams are shown here only.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    auth::{Action, Object},
    metrics::{Kind, Metrics},
    request::Request,
    response::Response,
    router::Router,
    stream,
};

/// Media type of the format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PATH: &str = "/metrics";

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

/// Adds `/metrics`.
pub(crate) fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, metrics: &Metrics) {
    let metrics = metrics.clone();
    router
        .get(PATH, move |_: S, request: Request| {
            std::future::ready(answer(&metrics, &request))
        })
        .exact()
        .bare()
        .ungated();
}

fn answer(metrics: &Metrics, request: &Request) -> Response {
    // The same numbers as there: whoever may read those may read these.
    if !request.authorize(Action::GetEndpoint, Object::Named("/metrics/snapshot")) {
        return Response::forbidden("");
    }
    Response::bytes(TEXT, text(metrics))
}

/// One family: its type, help, and samples as they stand on the page.
#[derive(Default)]
struct Family {
    kind: &'static str,
    help: String,
    samples: Vec<String>,
}

/// The page.
pub(crate) fn text(metrics: &Metrics) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let kinds = metrics.kinds();
    let timers: Vec<&String> = kinds
        .iter()
        .filter(|(_, (kind, _))| *kind == Kind::Timer)
        .map(|(name, _)| name)
        .collect();
    for (name, value) in metrics.snapshot() {
        let timer = timers.iter().find_map(|timer| {
            let rest = name.strip_prefix(timer.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some((*timer, rest))
        });
        if let Some((timer, rest)) = timer {
            of_timer(&mut families, timer, rest, value, kinds[timer].1);
            continue;
        }
        let (family, labels) = split(&name);
        let known = kinds.get(&name);
        let entry = families.entry(family.clone()).or_default();
        if entry.kind.is_empty() {
            (entry.kind, entry.help) = match known {
                Some((Kind::Counter, help)) => ("counter", (*help).to_owned()),
                Some((_, help)) => ("gauge", (*help).to_owned()),
                None => ("untyped", String::new()),
            };
        }
        entry.samples.push(sample(&family, &labels, value));
    }
    of_streams(&mut families);
    metrics.latencies(|endpoint, seen| {
        let name = "mesos_http_request_duration_seconds";
        let family = families.entry(name.to_owned()).or_default();
        family.kind = "histogram";
        family.help = "From the head of a request to that of its answer, by endpoint.".to_owned();
        let mut below = 0;
        for (bound, count) in seen.buckets() {
            below += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            let labels = [("endpoint", endpoint), ("le", bound.as_str())];
            family
                .samples
                .push(sample(&format!("{name}_bucket"), &labels, whole(below)));
        }
        let labels = [("endpoint", endpoint)];
        let sum = seen.sum().as_secs_f64();
        family
            .samples
            .push(sample(&format!("{name}_sum"), &labels, sum));
        family
            .samples
            .push(sample(&format!("{name}_count"), &labels, whole(below)));
    });
    let mut out = String::with_capacity(16 * 1024);
    for (name, family) in families {
        // Writing to a string does not fail.
        if !family.help.is_empty() {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(out, "# HELP {name} {help}");
        }
        let _ = writeln!(out, "# TYPE {name} {}", family.kind);
        for sample in family.samples {
            out.push_str(&sample);
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "doubles are the format")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// The numbers that a timer shows: quantiles over its window and how often it was set.
fn of_timer(
    families: &mut BTreeMap<String, Family>,
    timer: &str,
    rest: &str,
    value: f64,
    help: &str,
) {
    let base = family_name(timer.trim_end_matches("_ms"));
    let name = format!("{base}_milliseconds");
    let (name, labels): (String, Vec<Label<'_>>) = match rest {
        "" => (format!("{name}_last"), vec![]),
        "/count" => (format!("{name}_count"), vec![]),
        "/min" => (format!("{name}_min"), vec![]),
        "/max" => (format!("{name}_max"), vec![]),
        quantile => {
            let quantile = match quantile {
                "/p50" => "0.5",
                "/p90" => "0.9",
                "/p95" => "0.95",
                "/p99" => "0.99",
                "/p999" => "0.999",
                _ => "0.9999",
            };
            (name, vec![("quantile", quantile)])
        }
    };
    let family = families.entry(name.clone()).or_default();
    family.kind = if rest == "/count" { "counter" } else { "gauge" };
    family.help = help.to_owned();
    family.samples.push(sample(&name, &labels, value));
}

fn of_streams(families: &mut BTreeMap<String, Family>) {
    let (streams, records, bytes) = stream::open();
    for (name, help, value) in [
        (
            "mesos_http_event_streams",
            "Event streams that are open.",
            streams,
        ),
        (
            "mesos_http_event_stream_queued_records",
            "Records that wait for the readers of all event streams.",
            records,
        ),
        (
            "mesos_http_event_stream_queued_bytes",
            "The same in bytes.",
            bytes,
        ),
    ] {
        let family = families.entry(name.to_owned()).or_default();
        family.kind = "gauge";
        family.help = help.to_owned();
        family
            .samples
            .push(sample(name, &[], whole(bytes_of(value))));
    }
}

fn bytes_of(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A legal name: letters, digits and underscores.
fn family_name(path: &str) -> String {
    let clean = path
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    std::iter::once("mesos_".to_owned())
        .chain(clean.map(String::from))
        .collect()
}

/// What of a name is the family's, and what is data.
fn split(name: &str) -> (String, Vec<Label<'_>>) {
    let parts: Vec<&str> = name.split('/').collect();
    // A role is a path itself, so it ends at the first part that can only come after it.
    let until = |parts: &[&'_ str], end: &str| parts.iter().rposition(|part| *part == end);
    let start = |count: usize| {
        parts[..count]
            .iter()
            .map(|part| part.len() + 1)
            .sum::<usize>()
    };
    let between = |from: usize, to: usize| {
        name.get(start(from)..start(to).saturating_sub(1))
            .unwrap_or("")
    };
    match parts.as_slice() {
        ["master", "frameworks", framework, id, "roles", .., last] => {
            let role = between(5, parts.len() - 1);
            let labels = vec![
                ("framework", *framework),
                ("framework_id", *id),
                ("role", role),
            ];
            (
                family_name(&format!("master/framework/role/{last}")),
                labels,
            )
        }
        ["master", "frameworks", framework, id, rest @ ..] => {
            let labels = vec![("framework", *framework), ("framework_id", *id)];
            let family = match rest {
                // All of them together, beside those by kind.
                [all] => format!("master/framework/{all}"),
                [list, of @ ..] => format!("master/framework/{list}/{}", of.join("/")),
                [] => "master/framework".to_owned(),
            };
            (family_name(&family), labels)
        }
        ["master", state, source, reason] if state.starts_with("task_") => {
            let source = source.strip_prefix("source_").unwrap_or(source);
            let reason = reason.strip_prefix("reason_").unwrap_or(reason);
            let labels = vec![("state", *state), ("source", source), ("reason", reason)];
            (family_name("master/tasks/ended"), labels)
        }
        ["frameworks", .., last] => {
            let principal = between(1, parts.len() - 1);
            (
                family_name(&format!("frameworks/{last}")),
                vec![("principal", principal)],
            )
        }
        ["allocator", "mesos", "roles", .., "shares", last] => {
            let role = between(3, parts.len() - 2);
            (
                family_name(&format!("allocator/role/share/{last}")),
                vec![("role", role)],
            )
        }
        ["allocator", "mesos", "offer_filters", "roles", .., last] => {
            let role = between(4, parts.len() - 1);
            (
                family_name(&format!("allocator/offer_filters/{last}")),
                vec![("role", role)],
            )
        }
        ["allocator", "mesos", "quota", "roles", .., resource, last] => {
            let end = until(&parts, "resources").unwrap_or(parts.len() - 2);
            let labels = vec![("role", between(4, end)), ("resource", *resource)];
            (family_name(&format!("allocator/quota/{last}")), labels)
        }
        _ => (family_name(name), vec![]),
    }
}

fn sample(name: &str, labels: &[Label<'_>], value: f64) -> String {
    let mut out = name.to_owned();
    for (index, (label, value)) in labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if !labels.is_empty() {
        out.push('}');
    }
    // Writing to a string does not fail.
    let _ = writeln!(out, " {value}");
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn data_in_names_becomes_labels() {
        for (name, family, labels) in [
            ("master/tasks_running", "mesos_master_tasks_running", ""),
            (
                "master/frameworks/a%2Fb/F1/calls/accept",
                "mesos_master_framework_calls_accept",
                "framework=a%2Fb framework_id=F1",
            ),
            (
                "master/frameworks/n/F1/roles/eng/dev/suppressed",
                "mesos_master_framework_role_suppressed",
                "framework=n framework_id=F1 role=eng/dev",
            ),
            (
                "master/task_failed/source_slave/reason_container_limitation_memory",
                "mesos_master_tasks_ended",
                "state=task_failed source=slave reason=container_limitation_memory",
            ),
            (
                "frameworks/a/b/messages_received",
                "mesos_frameworks_messages_received",
                "principal=a/b",
            ),
            (
                "allocator/mesos/roles/eng/dev/shares/dominant",
                "mesos_allocator_role_share_dominant",
                "role=eng/dev",
            ),
            (
                "allocator/mesos/quota/roles/eng/dev/resources/cpus/consumed",
                "mesos_allocator_quota_consumed",
                "role=eng/dev resource=cpus",
            ),
            (
                "allocator/mesos/offer_filters/roles/*/active",
                "mesos_allocator_offer_filters_active",
                "role=*",
            ),
            ("slave/cpus_total", "mesos_slave_cpus_total", ""),
        ] {
            let (found, found_labels) = split(name);
            let found_labels: Vec<String> = found_labels
                .iter()
                .map(|(label, value)| format!("{label}={value}"))
                .collect();
            assert_eq!(
                (found.as_str(), found_labels.join(" ").as_str()),
                (family, labels)
            );
        }
    }

    #[test]
    fn the_page_has_a_type_for_each_family_and_escapes_values() {
        let metrics = Metrics::new();
        metrics
            .counter("master/slave_registrations", "Admitted.")
            .add(3);
        metrics.gauge("master/tasks_running", "Running.").set(2.5);
        metrics
            .timer("registrar/state_store_ms", "Stored.")
            .record(Duration::from_millis(4));
        metrics.provider(|out| {
            out.insert("frameworks/a\"b/messages_received".to_owned(), 1.0);
        });
        metrics.latency("/state").record(Duration::from_millis(3));
        let page = text(&metrics);
        for line in [
            "# HELP mesos_master_slave_registrations Admitted.",
            "# TYPE mesos_master_slave_registrations counter",
            "mesos_master_slave_registrations 3",
            "# TYPE mesos_master_tasks_running gauge",
            "mesos_master_tasks_running 2.5",
            "mesos_registrar_state_store_milliseconds_last 4",
            "mesos_frameworks_messages_received{principal=\"a\\\"b\"} 1",
            "mesos_http_request_duration_seconds_bucket{endpoint=\"/state\",le=\"0.0025\"} 0",
            "mesos_http_request_duration_seconds_bucket{endpoint=\"/state\",le=\"0.005\"} 1",
            "mesos_http_request_duration_seconds_bucket{endpoint=\"/state\",le=\"+Inf\"} 1",
            "mesos_http_request_duration_seconds_count{endpoint=\"/state\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
        let mut families = std::collections::BTreeSet::new();
        for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            assert!(families.insert(line.to_owned()), "{line} twice");
        }
    }
}
