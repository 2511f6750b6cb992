//! What is written is there after a restart, whatever keeps it.
use super::*;

fn info(id: &str) -> AgentInfo {
    AgentInfo {
        hostname: "h".to_owned(),
        id: Some(id.into()),
        ..AgentInfo::default()
    }
}

async fn write(registrar: &Registrar, change: Change) {
    registrar.write(&change).unwrap().unwrap().await.unwrap();
}

#[tokio::test]
async fn agents_are_there_after_a_restart_as_they_were_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let (registrar, empty) = Registrar::open(&path).unwrap();
    assert_eq!(empty, Registry::default());
    for id in ["a", "b", "c", "d"] {
        write(&registrar, Change::Admit(id.into(), Box::new(info(id)))).await;
    }
    for change in [
        Change::Unreachable("b".into(), 7),
        Change::Unreachable("c".into(), 8),
        Change::Admit("c".into(), Box::new(info("c"))),
        Change::Remove("d".into()),
    ] {
        registrar.write(&change).unwrap();
    }
    drop(registrar);
    let (registrar, registry) = Registrar::open(&path).unwrap();
    let ids: Vec<_> = registry.agents.keys().map(AgentId::as_str).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(registry.agents["a"], info("a"));
    assert_eq!(registry.unreachable, BTreeMap::from([("b".into(), 7)]));
    registrar.write(&Change::Forget(vec!["b".into()])).unwrap();
    drop(registrar);
    assert!(Registrar::open(&path).unwrap().1.unreachable.is_empty());
}
