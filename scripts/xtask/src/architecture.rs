//! Who may import whom. The picture of the workspace in `ARCHITECTURE.md`, as a table.

use crate::metadata::Edge;

/// One line of the picture: a crate (or `folder/*`), and all it may import.
type Line = (&'static str, &'static [&'static str]);

/// First match wins, so exceptions stand before the family they belong to.
const PICTURE: &[Line] = &[
    // Messages and ids: nothing above them, no I/O.
    ("proto/wire", &[]),
    ("proto/recordio", &[]),
    ("proto/types", &["proto/wire"]),
    ("proto/control", &["proto/wire", "proto/types"]),
    // One noun each; any daemon may import them.
    ("detector", &["proto/wire"]),
    ("flags", &["detector", "proto/types", "proto/wire"]),
    ("http", &["proto/types", "proto/wire", "proto/recordio"]),
    ("store", &["proto/types"]),
    // Plug-ins see the kernel and their trait, not each other.
    ("isolators/linux", &["proto/types"]),
    ("isolators/api", &["proto/types", "proto/wire"]),
    (
        "isolators/registry",
        &["isolators/*", "proto/types", "proto/wire"],
    ),
    (
        "isolators/*",
        &[
            "isolators/api",
            "isolators/linux",
            "proto/types",
            "proto/wire",
        ],
    ),
    ("containerizers/api", &["proto/*"]),
    (
        "containerizers/mesos/helper",
        &[
            "containerizers/docker/logs",
            "isolators/linux",
            "proto/types",
        ],
    ),
    (
        "containerizers/mesos",
        &[
            "containerizers/api",
            "containerizers/mesos/helper",
            "isolators/api",
            "isolators/linux",
            "proto/*",
        ],
    ),
    (
        "containerizers/docker",
        &[
            "containerizers/api",
            "containerizers/docker/logs",
            "isolators/linux",
            "proto/*",
        ],
    ),
    ("containerizers/*", &["containerizers/api", "proto/*"]),
    ("logging", &[]),
    // The daemons. The agent knows containerizers only by their trait; agent/bin chooses.
    (
        "agent/bin",
        &[
            "agent",
            "agent/gc",
            "containerizers/*",
            "isolators/*",
            "flags",
            "http",
            "logging",
            "store",
            "proto/*",
        ],
    ),
    ("agent/gc", &["proto/types"]),
    (
        "agent",
        &[
            "agent/gc",
            "containerizers/api",
            "detector",
            "flags",
            "http",
            "store",
            "proto/*",
        ],
    ),
    ("master/allocator", &["proto/types", "proto/wire"]),
    (
        "master/bin",
        &[
            "master",
            "master/allocator",
            "detector",
            "flags",
            "http",
            "logging",
            "store",
            "proto/*",
        ],
    ),
    (
        "master",
        &[
            "master/allocator",
            "detector",
            "flags",
            "http",
            "store",
            "proto/*",
        ],
    ),
    // Clients meet the daemons over HTTP.
    ("frameworks/sdk", &["detector", "proto/*"]),
    ("cli", &["frameworks/sdk", "detector", "flags", "proto/*"]),
    // Black-box tests use flags and HTTP only.
    ("tests/support", &[]),
    ("tests/e2e", &["tests/support"]),
    ("tests/chaos", &["tests/support"]),
    ("tests/simulator", &["tests/support", "detector", "proto/*"]),
    (
        "tests/bench",
        &[
            "tests/support",
            "containerizers/*",
            "isolators/*",
            "frameworks/sdk",
            "master/allocator",
            "proto/*",
        ],
    ),
    ("scripts/xtask", &[]),
];

/// What tests and examples may import besides, where they put the parts together as agent/bin does.
const IN_TESTS: &[Line] = &[
    (
        "containerizers/mesos/helper",
        &[
            "containerizers/api",
            "containerizers/mesos",
            "isolators/*",
            "proto/*",
        ],
    ),
    ("containerizers/mesos", &["isolators/*"]),
];

fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(parent) => folder
            .strip_prefix(parent)
            .is_some_and(|rest| rest.starts_with('/')),
        None => pattern == folder,
    }
}

fn line(folder: &str) -> Option<&'static Line> {
    PICTURE.iter().find(|(pattern, _)| matches(pattern, folder))
}

/// What is not in the picture, in words: imports, and crates that it does not show.
///
/// Tests may import `tests/support` and `proto/*` besides.
pub fn violations(crates: &[String], edges: &[Edge]) -> Vec<String> {
    let unknown = crates
        .iter()
        .filter(|folder| line(folder).is_none())
        .map(|folder| {
            format!("{folder} is not in the picture of scripts/xtask/src/architecture.rs")
        });
    let forbidden = edges.iter().filter_map(|Edge { from, to, in_tests }| {
        let allowed = line(from)?.1;
        let fine = allowed.iter().any(|pattern| matches(pattern, to))
            || (*in_tests
                && (to == "tests/support"
                    || matches("proto/*", to)
                    || IN_TESTS.iter().any(|(folder, more)| {
                        folder == from && more.iter().any(|pattern| matches(pattern, to))
                    })));
        (!fine).then(|| {
            let who = if *in_tests { "the tests of " } else { "" };
            format!("{who}{from} may import {allowed:?}, and imports {to}")
        })
    });
    unknown.chain(forbidden).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata;

    fn edge(from: &str, to: &str, in_tests: bool) -> Edge {
        Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            in_tests,
        }
    }

    #[test]
    fn imports_point_one_way() {
        let metadata = metadata::read().unwrap();
        let crates = metadata::crates(&metadata);
        assert!(
            crates.iter().any(|folder| folder == "scripts/xtask"),
            "{crates:?}"
        );
        let found = violations(&crates, &metadata::edges(&metadata));
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn an_edge_that_is_not_in_the_picture_is_named() {
        let found = violations(&[], &[edge("master", "agent", false)]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("master may import") && found[0].ends_with("and imports agent")
        );
    }

    #[test]
    fn an_isolator_does_not_see_another_one() {
        assert_eq!(
            violations(&[], &[edge("isolators/posix", "isolators/cgroups", false)]).len(),
            1
        );
        assert!(
            violations(
                &[],
                &[edge("isolators/registry", "isolators/cgroups", false)]
            )
            .is_empty()
        );
    }

    #[test]
    fn only_tests_may_import_what_is_for_tests() {
        assert!(violations(&[], &[edge("agent", "tests/support", true)]).is_empty());
        assert_eq!(
            violations(&[], &[edge("agent", "tests/support", false)]).len(),
            1
        );
    }

    #[test]
    fn a_crate_that_nobody_drew_is_named() {
        assert_eq!(violations(&["common".to_owned()], &[]).len(), 1);
    }
}
