//! How soon resources that are declined or freed are offered again.

use std::time::Instant;

use mesos_test_support::TestCluster;
use mesos_wire::v1::TaskState;

use crate::{
    framework::{Framework, task},
    statistics::Samples,
};

const RUNS: usize = 50;

/// Declined by one framework until offered to another, and freed by a task until offered again.
pub async fn measure(cluster: &TestCluster) -> anyhow::Result<()> {
    let mut one = Framework::subscribe(cluster, "one").await?;
    let (mut offer, _) = one.offer().await?;
    let mut two = Framework::subscribe(cluster, "two").await?;
    let mut declined = Samples::default();
    for _ in 0..RUNS {
        // A filter of a minute, so that the one who declines does not take part until it revives.
        let start = Instant::now();
        one.caller.decline(vec![offer.id], Some(60.0)).await?;
        let (got, at) = two.offer().await?;
        declined.push(at - start);
        one.caller.revive().await?;
        two.caller.decline(vec![got.id], Some(60.0)).await?;
        offer = one.offer().await?.0;
        two.caller.revive().await?;
    }
    declined.print("declined, then offered to another framework");
    two.teardown().await?;
    let mut freed = Samples::default();
    for n in 0..RUNS {
        let task = task(&format!("freed-{n}"), &offer, "/bin/true");
        let offers = vec![offer.id];
        // The rest of the offer stays away; only what the task frees can come.
        one.caller.launch(offers, vec![task], Some(3600.0)).await?;
        let ended_at = loop {
            let (event, at) = one.event().await?;
            let Some(update) = event.update else { continue };
            one.caller.acknowledge(&update.status).await?;
            if update.status.state() == TaskState::TaskFinished {
                break at;
            }
        };
        let (next, at) = one.offer().await?;
        freed.push(at.saturating_duration_since(ended_at));
        offer = next;
        one.caller.revive().await?;
    }
    freed.print("TASK_FINISHED seen, then its resources offered");
    one.teardown().await
}
