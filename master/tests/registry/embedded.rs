//! The embedded store.
use mesos_master::registry::{Change, Registrar, Registry};
use mesos_store::{Batch, Store};
use proptest::prelude::*;

use super::{generate, model, samples, write};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let (registrar, empty) = Registrar::open(&path).unwrap();
    assert_eq!(empty, Registry::default());
    let mut expected = Registry::default();
    for change in samples::everything() {
        write(&registrar, &change).await;
        model::apply(&mut expected, &change);
    }
    drop(registrar);
    assert_eq!(Registrar::open(&path).unwrap().1, expected);
}

#[tokio::test]
async fn that_weights_were_set_is_remembered_even_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let (registrar, registry) = Registrar::open(&path).unwrap();
    assert_eq!(registry.weights, None);
    write(&registrar, &Change::Weights(Vec::new())).await;
    drop(registrar);
    let (_, registry) = Registrar::open(&path).unwrap();
    assert!(registry.weights.is_some_and(|weights| weights.is_empty()));
}

#[tokio::test]
async fn a_file_of_the_first_format_is_taken_over_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let id = "a".into();
    let info = samples::agent(&id, "h");
    let bytes = mesos_wire::encode(mesos_wire::Encoding::Protobuf, &info);
    let store = Store::open(&path, 1).unwrap();
    let old = Batch::new()
        .put("agents", "a", bytes)
        .put("unreachable", "b", 7_i64.to_be_bytes())
        .put("gone", "c", 8_i64.to_be_bytes());
    store.commit([&old]).unwrap();
    drop(store);
    let (registrar, registry) = Registrar::open(&path).unwrap();
    assert_eq!(registry.agents[&id], info);
    assert_eq!(registry.unreachable["b"], 7);
    assert_eq!(registry.gone["c"], 8);
    write(&registrar, &Change::Weights(vec![("dev".to_owned(), 2.0)])).await;
    drop(registrar);
    let error = Store::open(&path, 1).unwrap_err().to_string();
    assert!(
        error.contains("has format 2, this release reads up to 1"),
        "{error}"
    );
    assert!(Registrar::open(&path).unwrap().1.agents.contains_key("a"));
}

#[test]
fn an_entry_that_does_not_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let store = Store::open(&path, 2).unwrap();
    store
        .commit([&Batch::new().put("gone", "a", *b"soon")])
        .unwrap();
    drop(store);
    let error = Registrar::open(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("the entry `a` of `gone` does not read: 4 bytes instead of 8"),
        "{error}"
    );
}

#[tokio::test]
async fn a_change_beyond_all_bounds_is_refused_with_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (registrar, _) = Registrar::open(&folder.path().join("registry")).unwrap();
    let id = "a".into();
    let info = Box::new(samples::fat_agent(&id, 65 << 20));
    let error = registrar.write(&Change::Admit(id, info)).unwrap_err();
    assert!(
        error.to_string().contains("67108864 that are allowed"),
        "{error}"
    );
    write(&registrar, &samples::admit("b")).await;
    assert_eq!(registrar.figures().unwrap().queued(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_read_is_what_the_changes_come_to(
        first in generate::changes(),
        second in generate::changes(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let mut expected = Registry::default();
        for changes in [first, second] {
            let (registrar, registry) = Registrar::open(&path).unwrap();
            prop_assert_eq!(&registry, &expected);
            for change in changes {
                registrar.write(&change).unwrap();
                model::apply(&mut expected, &change);
            }
        }
        prop_assert_eq!(Registrar::open(&path).unwrap().1, expected);
    }
}
