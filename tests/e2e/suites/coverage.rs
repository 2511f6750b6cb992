//! `docs/api-coverage.md` tells the truth about operator calls and endpoints.

use std::fs;
use std::net::SocketAddr;

use mesos_test_support::{TestCluster, executables, http};
use serde_json::json;

/// Name and whether it is built, of each row below a heading.
fn rows(heading: &str) -> Vec<(String, bool)> {
    let text = fs::read_to_string(executables::repository().join("docs/api-coverage.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let rows: Vec<(String, bool)> = section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let (name, built) = (cells.next()?, cells.next()?);
            matches!(built, "yes" | "no").then(|| (name.to_owned(), built == "yes"))
        })
        .collect();
    assert!(rows.len() > 3, "no table below {heading}");
    rows
}

fn check(what: &str, built: bool, status: u16, text: &str) -> Option<String> {
    let refused = status == 501 || text.contains("not built yet");
    let fine = if built {
        status < 500 && status != 404 && !refused
    } else {
        status >= 400
    };
    let says = if built { "built" } else { "not built" };
    (!fine).then(|| {
        format!(
            "{what} stands as {says}, and answers {status}: {}",
            text.chars().take(200).collect::<String>()
        )
    })
}

fn calls(heading: &str, address: SocketAddr) -> Vec<String> {
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    rows(heading)
        .into_iter()
        .filter_map(|(call, built)| {
            let body = json!({"type": call}).to_string();
            let stream = http::post_stream(address, "/api/v1", &headers, body.as_bytes()).unwrap();
            // A stream of events has no end to wait for.
            let text = if call == "SUBSCRIBE" {
                String::new()
            } else {
                http::request(address, "POST", "/api/v1", &headers, body.as_bytes())
                    .unwrap()
                    .text()
            };
            check(&call, built, stream.status, &text)
        })
        .collect()
}

fn endpoints(heading: &str, address: SocketAddr, prefix: &str) -> Vec<String> {
    rows(heading)
        .into_iter()
        .flat_map(|(endpoint, built)| {
            [
                (endpoint.clone(), built),
                (format!("{prefix}{endpoint}"), built),
            ]
        })
        // Endpoints of the process, not of the daemon in it, have no prefix in Mesos either.
        .filter(|(endpoint, _)| {
            let own = [
                "/metrics",
                "/system",
                "/logging",
                "/files",
                "/version",
                "/__processes__",
                "/containerizer",
            ];
            !own.iter()
                .any(|start| endpoint.starts_with(&format!("{prefix}{start}")))
        })
        .filter_map(|(endpoint, built)| {
            let response = http::get(address, &endpoint).unwrap();
            check(&endpoint, built, response.status, &response.text())
        })
        .collect()
}

#[test]
fn what_stands_as_built_in_the_master_is_built_and_the_rest_is_refused() {
    let cluster = TestCluster::builder().start();
    let mut wrong = calls("Operator calls of the master", cluster.master());
    wrong.extend(endpoints(
        "Endpoints of the master",
        cluster.master(),
        "/master",
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
    cluster.finish();
}

#[test]
fn what_stands_as_built_in_the_agent_is_built_and_the_rest_is_refused() {
    let cluster = TestCluster::start();
    let mut wrong = calls("Operator calls of the agent", cluster.agent());
    wrong.extend(endpoints(
        "Endpoints of the agent",
        cluster.agent(),
        "/slave(1)",
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
    cluster.finish();
}
