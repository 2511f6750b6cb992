//! A framework for measuring: notes when each event came.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mesos_sdk::{
    Encoding, MasterAddress,
    scheduler::{Caller, Happening, Session},
};
use mesos_test_support::TestCluster;
use mesos_wire::v1::{
    CommandInfo, FrameworkInfo, Offer, Resource, TaskInfo, TaskStatus,
    framework_info::{Capability, capability::Type},
    scheduler::{Event, event},
    value,
};

/// A subscribed framework.
pub struct Framework {
    session: Session,
    /// For calls.
    pub caller: Caller,
}

impl Framework {
    /// Subscribes, with a role of its own so that nobody shares its offers by chance.
    pub async fn subscribe(cluster: &TestCluster, name: &str) -> anyhow::Result<Self> {
        let master = cluster.master();
        let address = MasterAddress::new(master.ip().to_string(), master.port());
        let capabilities = [
            Type::PartitionAware,
            Type::MultiRole,
            Type::ReservationRefinement,
        ];
        let info = FrameworkInfo {
            user: "root".to_owned(),
            name: name.to_owned(),
            checkpoint: Some(true),
            roles: vec!["*".to_owned()],
            failover_timeout: Some(60.0),
            capabilities: capabilities
                .into_iter()
                .map(|kind| Capability {
                    r#type: Some(kind.into()),
                })
                .collect(),
            ..Default::default()
        };
        let session = Session::new(&address, Encoding::Protobuf, info, Duration::from_secs(30));
        let mut framework = Self {
            caller: session.caller(),
            session,
        };
        while framework.event().await?.0.r#type() != event::Type::Subscribed {}
        Ok(framework)
    }

    /// The next event and when it came.
    pub async fn event(&mut self) -> anyhow::Result<(Event, Instant)> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.session.next());
        match next.await.context("no event for 60 s")?? {
            Happening::Event(event) => Ok((*event, Instant::now())),
            Happening::Disconnected(e) => bail!("lost the master: {e}"),
        }
    }

    /// The next offer; others that come with it are declined.
    pub async fn offer(&mut self) -> anyhow::Result<(Offer, Instant)> {
        loop {
            let (event, at) = self.event().await?;
            let Some(offers) = event.offers else { continue };
            let mut offers = offers.offers;
            let Some(offer) = offers.pop() else { continue };
            if !offers.is_empty() {
                let rest = offers.into_iter().map(|o| o.id).collect();
                self.caller.decline(rest, Some(0.0)).await?;
            }
            return Ok((offer, at));
        }
    }

    /// The next status update and when it came. Not acknowledged yet.
    pub async fn status(&mut self) -> anyhow::Result<(TaskStatus, Instant)> {
        loop {
            let (event, at) = self.event().await?;
            if let Some(update) = event.update {
                return Ok((update.status, at));
            }
        }
    }

    /// Ends the framework.
    pub async fn teardown(self) -> anyhow::Result<()> {
        self.caller.teardown().await?;
        Ok(())
    }
}

/// A task that runs a program without a shell, or a shell command if it has blanks.
pub fn task(id: &str, offer: &Offer, command: &str) -> TaskInfo {
    let shell = command.contains(' ');
    TaskInfo {
        name: id.to_owned(),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1, offer), scalar("mem", 32.0, offer)],
        command: Some(CommandInfo {
            shell: Some(shell),
            value: Some(command.to_owned()),
            arguments: if shell {
                Vec::new()
            } else {
                vec![command.to_owned()]
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn scalar(name: &str, amount: f64, offer: &Offer) -> Resource {
    let allocation_info = offer
        .resources
        .first()
        .and_then(|r| r.allocation_info.clone());
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        allocation_info,
        ..Default::default()
    }
}
