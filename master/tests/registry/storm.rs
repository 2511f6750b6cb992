//! A leader that ends at any moment: each change is there wholly or not at all, and what was acknowledged is.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesos_master::registry::{Change, Registry};
use mesos_test_support::{ZooKeeper, wait_until};
use mesos_wire::v1::machine_info::Mode;

use super::{facts, lead, model, read, samples, settings};

/// The changes of a life: single agents, and every seventh one too large for one request.
fn change(n: usize) -> Change {
    if n % 7 == 6 {
        let machines: Vec<_> = (0..6_000 + n)
            .map(|i| samples::machine(&format!("host-{n}-{i:06}.example.org"), ""))
            .collect();
        samples::maintenance(&machines, Mode::Draining, Vec::new())
    } else {
        samples::admit(&format!("S{n}"))
    }
}

#[test]
fn a_leader_that_ends_leaves_whole_changes() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let reader = tokio::runtime::Runtime::new().unwrap();
    let mut first = 0;
    for round in 0..12_u64 {
        let acknowledged = Arc::new(AtomicUsize::new(first));
        let life = tokio::runtime::Runtime::new().unwrap();
        let (settings_of_life, told) = (settings.clone(), acknowledged.clone());
        life.spawn(async move {
            let (registrar, _) = lead(&settings_of_life, 0, "m").await;
            let outcomes: Vec<_> = (first..first + 70)
                .map(|n| registrar.write(&change(n)).unwrap().unwrap())
                .collect();
            for outcome in outcomes {
                if let Err(error) = outcome.await {
                    println!("a life ended: {error}");
                    return;
                }
                told.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Not before it has begun, and at another moment in each round.
        let enough = first + usize::try_from(round).unwrap() * 5;
        wait_until("the leader has written something", || {
            acknowledged.load(Ordering::SeqCst) >= enough
        });
        std::thread::sleep(Duration::from_millis(round % 4));
        // Tasks and sockets end wherever they are.
        life.shutdown_timeout(Duration::from_secs(20));
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        let found = facts(&reader.block_on(read(&settings)));
        // It is the registry after some number of changes, at least of those that were acknowledged.
        let mut expected = Registry::default();
        (0..acknowledged).for_each(|n| model::apply(&mut expected, &change(n)));
        let mut made = acknowledged;
        while found != expected {
            assert!(
                made < first + 70,
                "round {round}: {acknowledged} acknowledged, and no such state"
            );
            model::apply(&mut expected, &change(made));
            made += 1;
        }
        println!("round {round}: {acknowledged} acknowledged, {made} made");
        first = made;
    }
}
