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
    for resource in resources.iter() {
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
