//! Resources as the older endpoints show them: one object, whoever they belong to.

use serde_json::{Map, Value as Json};

use super::{Ranges, Resources, Scalar, Value};

/// `{"cpus":4.0,"gpus":0.0,"mem":4096.0,"disk":0.0,"ports":"[31000-32000]"}`: cpus, gpus, mem and
/// disk always, others if there are any; revocable ones as `NAME_revocable`.
pub fn resources_json(resources: &Resources) -> Json {
    let mut object = Map::new();
    for name in ["disk", "mem", "gpus", "cpus"] {
        object.insert(name.to_owned(), Json::from(0.0));
    }
    let mut amounts: Vec<(String, Scalar)> = Vec::new();
    let mut ranges: Vec<(String, Ranges)> = Vec::new();
    let mut sets: Vec<(String, std::collections::BTreeSet<String>)> = Vec::new();
    // A shared volume is there once, however often it is in use.
    for resource in resources.distinct() {
        let suffix = if resource.meta.revocable {
            "_revocable"
        } else {
            ""
        };
        let name = format!("{}{suffix}", resource.name);
        match &resource.value {
            Value::Scalar(amount) => *entry(&mut amounts, name) += *amount,
            Value::Ranges(more) => {
                let sum = entry(&mut ranges, name);
                *sum = sum.union(more);
            }
            Value::Set(items) => entry(&mut sets, name).extend(items.iter().cloned()),
        }
    }
    for (name, amount) in amounts {
        object.insert(name, Json::from(amount.as_f64()));
    }
    for (name, ranges) in ranges {
        object.insert(name, Json::from(ranges.to_string()));
    }
    for (name, items) in sets {
        let items: Vec<String> = items.into_iter().collect();
        object.insert(name, Json::from(format!("{{{}}}", items.join(", "))));
    }
    Json::Object(object)
}

fn entry<T: Default>(list: &mut Vec<(String, T)>, name: String) -> &mut T {
    let at = list
        .iter()
        .position(|(n, _)| *n == name)
        .unwrap_or_else(|| {
            list.push((name, T::default()));
            list.len() - 1
        });
    &mut list[at].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_resources;

    #[test]
    fn whoever_they_belong_to_and_the_usual_ones_always() {
        let shown = |text| resources_json(&parse_resources(text, "*").unwrap()).to_string();
        assert_eq!(shown(""), r#"{"cpus":0.0,"disk":0.0,"gpus":0.0,"mem":0.0}"#);
        assert_eq!(
            shown("cpus:1;cpus(eng):2.5;ports:[1-2,5-6];ports(eng):[3-3];zones:{b,a}"),
            r#"{"cpus":3.5,"disk":0.0,"gpus":0.0,"mem":0.0,"ports":"[1-3, 5-6]","zones":"{a, b}"}"#
        );
        let revocable = parse_resources("cpus:1", "*").unwrap();
        let revocable = revocable.map(|r| r.with_meta(|meta| meta.revocable = true));
        let shown = resources_json(&revocable);
        assert_eq!(
            (&shown["cpus"], &shown["cpus_revocable"]),
            (&0.0.into(), &1.0.into())
        );
    }
}
