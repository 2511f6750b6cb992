//! Licences and duplicates among the packages of other people.

use std::collections::BTreeMap;

use crate::metadata::Package;

/// Licences that let us ship under Apache-2.0. MPL-2.0 asks for the source of its own files,
/// which we use as they are in the registry.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0+",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that come twice because two of our dependencies disagree on a version. A new
/// name here needs a look at why.
const KNOWN_DUPLICATES: &[&str] = &[
    "ahash",          // as hashbrown, twice within zookeeper-client
    "base64",         // hyper-util is ahead of bollard
    "getrandom",      // rand_core 0.9 stays behind tempfile and uuid
    "hashbrown",      // tokio-util and zookeeper-client stay behind indexmap
    "heck",           // strum of zookeeper-client stays behind prost; no part of the binaries
    "rand",           // proptest, in tests, is ahead of imbl
    "rand_core",      // as rand
    "syn",       // async-trait is ahead of the other procedural macros; no part of the binaries
    "thiserror", // zookeeper-client stays behind
    "thiserror-impl", // as thiserror
];

/// Names that must not come in at all: a C library for TLS in every build.
const UNWANTED: &[&str] = &["openssl-sys", "aws-lc-sys", "ring"];

fn alternative_is_fine(alternative: &str) -> bool {
    alternative
        .trim_matches(['(', ')', ' '])
        .split(" AND ")
        .all(|licence| LICENCES.contains(&licence.trim_matches(['(', ')', ' '])))
}

fn licence_is_fine(expression: &str) -> bool {
    // "MIT/Apache-2.0" is how old packages write OR. One of the alternatives is enough, and for
    // "(A OR B) AND C" each group is looked at by itself.
    let expression = expression.replace('/', " OR ");
    let groups: Vec<&str> = if expression.contains('(') {
        expression.split(") AND ").collect()
    } else {
        vec![&expression]
    };
    groups
        .into_iter()
        .all(|group| group.split(" OR ").any(alternative_is_fine))
}

/// Packages that must not be there, in words.
pub fn problems(packages: &[Package]) -> Vec<String> {
    let mut found: Vec<String> = packages
        .iter()
        .filter(|package| !licence_is_fine(&package.licence))
        .map(|package| {
            format!(
                "{} {} has licence `{}`",
                package.name, package.version, package.licence
            )
        })
        .collect();
    let unwanted = packages
        .iter()
        .filter(|package| UNWANTED.contains(&package.name.as_str()));
    found.extend(unwanted.map(|package| format!("{} is not wanted here", package.name)));
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    let duplicates = versions
        .iter()
        .filter(|(name, all)| all.len() > 1 && !KNOWN_DUPLICATES.contains(name));
    found.extend(
        duplicates.map(|(name, all)| format!("{name} comes in versions {}", all.join(" and "))),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata;

    #[test]
    fn dependencies_have_fitting_licences_and_come_once() {
        let packages = metadata::foreign().unwrap();
        assert!(!packages.is_empty());
        let found = problems(&packages);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn one_fitting_alternative_is_enough_and_every_part_of_it_counts() {
        for fine in [
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "BSD-3-Clause AND MIT",
        ] {
            assert!(licence_is_fine(fine), "{fine}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT OR ISC) AND GPL-2.0"] {
            assert!(!licence_is_fine(bad), "{bad}");
        }
    }
}
