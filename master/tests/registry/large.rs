//! Changes that no single request of ZooKeeper can carry.
use mesos_master::registry::{Change, Registry};
use mesos_test_support::ZooKeeper;
use mesos_types::AgentId;
use mesos_wire::v1::{MachineId, machine_info::Mode};

use super::{facts, lead, model, read, samples, settings, write};

fn machines(count: usize) -> Vec<MachineId> {
    (0..count)
        .map(|n| samples::machine(&format!("host-{n:06}.example.org"), ""))
        .collect()
}

#[tokio::test]
async fn a_schedule_of_50_000_machines_comes_and_goes() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let mut expected = Registry::default();
    // Larger, smaller, small, none: parts of the value are added, replaced and removed.
    for (count, weight) in [
        (20_000, 1.0),
        (50_000, 2.0),
        (30_000, 3.0),
        (3, 4.0),
        (0, 5.0),
    ] {
        let (registrar, registry) = lead(&settings, 1, "m").await;
        assert!(facts(&registry) == expected, "before {count} machines");
        write(&registrar, &samples::admit("a")).await;
        let change = samples::maintenance(&machines(count), Mode::Down, vec!["a".into()]);
        let kept = registrar.write(&change).unwrap().unwrap();
        // What is queued behind it comes after it.
        let weights = Change::Weights(vec![("dev".to_owned(), weight)]);
        write(&registrar, &weights).await;
        kept.await.unwrap();
        model::apply(&mut expected, &change);
        model::apply(&mut expected, &weights);
    }
    assert!(facts(&read(&settings).await) == expected);
}

#[tokio::test]
async fn a_value_larger_than_a_packet_is_kept() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let id = AgentId::from("a");
    for bytes in [3_000_000, 262_144, 100, 800_000, 2_000_000] {
        let info = samples::fat_agent(&id, bytes);
        let (registrar, _) = lead(&settings, 1, "m").await;
        let change = Change::Admit(id.clone(), Box::new(info.clone()));
        write(&registrar, &change).await;
        let registry = read(&settings).await;
        assert!(registry.agents[&id] == info, "of {bytes} bytes");
    }
    let (registrar, _) = lead(&settings, 1, "m").await;
    write(&registrar, &Change::Remove(id)).await;
    assert!(read(&settings).await.agents.is_empty());
}

#[tokio::test]
async fn thousands_of_agents_are_forgotten_at_once() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (registrar, _) = lead(&settings, 1, "m").await;
    let ids: Vec<AgentId> = (0..5000).map(|n| AgentId::from(format!("S{n}"))).collect();
    for id in &ids {
        registrar.write(&Change::Gone(id.clone(), 5)).unwrap();
    }
    write(&registrar, &Change::ForgetGone(ids[1..].to_vec())).await;
    let registry = read(&settings).await;
    assert_eq!(registry.gone.into_keys().collect::<Vec<_>>(), ids[..1]);
}
