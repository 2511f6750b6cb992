//! Becoming the one who writes: from connecting to having read everything.
use std::collections::VecDeque;

use tokio::time::{Duration, Instant, sleep, timeout_at};
use zookeeper_client::{Client, CreateMode, Error, MultiWriteResult};

use super::{
    ZooKeeperSettings,
    epoch::{self, Epoch, EpochError},
    journal,
    layout::Layout,
    load::{self, LoadError, Loaded},
    plan::{Multi, Operation},
    request,
    session::{Access, explain, passes},
};
use crate::registry::{
    RegistryError,
    entries::{FORMAT, Table},
};

/// The first form that was ever written to ZooKeeper.
const OLDEST: u32 = 2;
/// Waits between attempts: the first, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A registry that is ours.
#[derive(Debug)]
pub(super) struct Taken {
    pub client: Client,
    pub version: i32,
    pub epoch: Epoch,
    pub loaded: Loaded,
}

/// Why an attempt failed.
enum Attempt {
    /// It may go well the next time.
    Again(String),
    Failed(RegistryError),
}

/// Takes over and reads, until it is done or `settings.fetch_timeout` has passed.
pub(super) async fn take_over(
    settings: &ZooKeeperSettings,
    layout: &Layout,
    epoch: Epoch,
) -> Result<Taken, RegistryError> {
    let deadline = Instant::now() + settings.fetch_timeout;
    let mut wait = FIRST_WAIT;
    loop {
        let attempt = Takeover {
            settings,
            layout,
            access: &settings.access(),
        };
        let reason = match timeout_at(deadline, attempt.run(epoch.clone(), deadline)).await {
            Ok(Ok(taken)) => return Ok(taken),
            Ok(Err(Attempt::Failed(error))) => return Err(error),
            Ok(Err(Attempt::Again(reason))) => reason,
            Err(_) => "no server answers".to_owned(),
        };
        if Instant::now() + wait >= deadline {
            return Err(RegistryError::Unavailable {
                place: layout.root().to_owned(),
                seconds: settings.fetch_timeout.as_secs(),
                reason,
            });
        }
        tracing::warn!(
            place = layout.root(),
            reason,
            "the registry cannot be read; trying again"
        );
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

struct Takeover<'a> {
    settings: &'a ZooKeeperSettings,
    layout: &'a Layout,
    access: &'a Access,
}

impl Takeover<'_> {
    async fn run(&self, epoch: Epoch, deadline: Instant) -> Result<Taken, Attempt> {
        let client = self.settings.connect(deadline).await;
        let client = client.map_err(refused("connect to", &self.settings.servers))?;
        let format = self.format(&client, &epoch).await?;
        let mut version = self.claim(&client, &epoch, format).await?;
        let mut taken = epoch;
        loop {
            let loaded = load::load(&client, self.layout).await;
            let mut loaded = loaded.map_err(|error| self.unread(error))?;
            if loaded.journal.is_empty() {
                return Ok(Taken {
                    client,
                    version,
                    epoch: taken,
                    loaded,
                });
            }
            // The leader before us died in the middle of a large change.
            for multi in self.rest(&mut loaded)? {
                taken.sequence += 1;
                let operations = &multi.operations;
                version = request::send(
                    &client,
                    self.layout,
                    self.access,
                    &taken,
                    version,
                    operations,
                )
                .await
                .map_err(refused("finish a change at", self.layout.root()))?;
            }
        }
    }

    /// Checks the version of the form; makes an empty registry when there is none. Comes back with the
    /// version of the node.
    async fn format(&self, client: &Client, epoch: &Epoch) -> Result<i32, Attempt> {
        let path = self.layout.format();
        let (data, stat) = match client.get_data(&path).await {
            Err(Error::NoNode) => {
                self.create(client, epoch).await?;
                return Err(Attempt::Again("an empty one was made".to_owned()));
            }
            read => read.map_err(refused("read", &path))?,
        };
        let found = std::str::from_utf8(&data)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .ok_or_else(|| self.damaged(format!("{path} is not a number")))?;
        let remedy = if found > FORMAT {
            format!(
                "start the newer release again, or remove {} to begin with an empty one",
                self.layout.root()
            )
        } else if found < OLDEST {
            format!(
                "no release wrote that; remove {} to begin with an empty one",
                self.layout.root()
            )
        } else {
            return Ok(stat.version);
        };
        Err(Attempt::Failed(RegistryError::Format {
            place: self.layout.root().to_owned(),
            found,
            known: FORMAT,
            remedy,
        }))
    }

    /// Makes an empty registry, in one step.
    async fn create(&self, client: &Client, epoch: &Epoch) -> Result<(), Attempt> {
        let root = self.layout.root();
        let options = CreateMode::Persistent.with_acls(self.access.acls());
        let above = root.rsplit_once('/').map_or("", |(above, _)| above);
        if !above.is_empty() {
            client
                .mkdir(above, &options)
                .await
                .map_err(refused("create", above))?;
        }
        let mut nodes = vec![
            (root.to_owned(), Vec::new()),
            (self.layout.format(), FORMAT.to_string().into_bytes()),
            (self.layout.claim(), epoch.to_bytes()),
            (self.layout.epoch(), epoch.to_bytes()),
            (self.layout.journal(), Vec::new()),
        ];
        nodes.extend(Table::ALL.map(|table| (self.layout.table(table), Vec::new())));
        let mut writer = client.new_multi_writer();
        for (path, data) in &nodes {
            let added = writer.add_create(path, data, &options);
            added.map_err(refused("create", path))?;
        }
        match writer.commit().await.map_err(Error::from) {
            // Somebody else was faster.
            Ok(_) | Err(Error::NodeExists) => Ok(()),
            Err(error) => Err(refused("create", root)(error)),
        }
    }

    /// Takes the right to write from whoever has it, unless he was elected after us.
    async fn claim(&self, client: &Client, epoch: &Epoch, format: i32) -> Result<i32, Attempt> {
        // The claim has a node of its own: the old leader's writes, however many, do not get in its way.
        let path = self.layout.claim();
        let stored = match epoch::read(client, &path).await {
            Ok(stored) => stored,
            Err(EpochError::ZooKeeper(error)) => return Err(self.unread(load::at(&path)(error))),
            Err(EpochError::Damaged(reason)) => return Err(self.damaged(reason)),
        };
        // An election's number is a transaction of this ensemble, so it is below the one that noted it. A
        // higher one was brought here from another ensemble with the rest of the tree, and says nothing.
        let comparable =
            i64::try_from(stored.epoch.election).is_ok_and(|number| number <= stored.zxid);
        if comparable && stored.epoch.election > epoch.election && epoch.election > 0 {
            return Err(Attempt::Failed(RegistryError::Fenced {
                place: self.layout.root().to_owned(),
                by: stored.epoch.who(),
            }));
        }
        let node = self.layout.epoch();
        let (_, stat) = client
            .get_data(&node)
            .await
            .map_err(|error| self.unread(load::at(&node)(error)))?;
        let bytes = epoch.to_bytes();
        let mut writer = client.new_multi_writer();
        let built = writer
            .add_check_version(&self.layout.format(), format)
            .and_then(|()| writer.add_set_data(&path, &bytes, Some(stored.version)))
            .and_then(|()| {
                if stat.version < WORN {
                    return writer.add_set_data(&node, &bytes, None);
                }
                let options = CreateMode::Persistent.with_acls(self.access.acls());
                writer.add_delete(&node, None)?;
                writer.add_create(&node, &bytes, &options)
            });
        built.map_err(refused("write", &path))?;
        match writer.commit().await.map_err(Error::from) {
            Ok(results) => Ok(match results.last() {
                Some(MultiWriteResult::SetData { stat }) => stat.version,
                // It was made anew.
                _ => 0,
            }),
            Err(Error::BadVersion) => Err(Attempt::Again(
                "another master takes it over, too".to_owned(),
            )),
            Err(error) => Err(refused("write", &path)(error)),
        }
    }

    /// What is left to do of the change in the journal.
    fn rest(&self, loaded: &mut Loaded) -> Result<Vec<Multi>, Attempt> {
        let place = self.layout.journal();
        let steps = journal::steps(&loaded.journal)
            .map_err(|reason| self.damaged(format!("{place}: {reason}")))?;
        let mut requests = VecDeque::new();
        match steps {
            Some(steps) => {
                tracing::warn!(
                    place,
                    "the leader before this one ended within a large change; it is finished"
                );
                requests.extend(loaded.plan.again(&steps));
            }
            None => {
                tracing::info!(
                    place,
                    "a change that was not written down wholly is dropped"
                );
            }
        }
        // `whole` goes first and with all others: without it they are nothing.
        let names = loaded.journal.keys().rev();
        let clean = names.map(|name| Operation::Delete(self.layout.journal_entry(name)));
        requests.push_back(Multi::new(clean.collect()));
        Ok(requests.into())
    }

    fn unread(&self, error: LoadError) -> Attempt {
        match error {
            LoadError::ZooKeeper(path, error) => refused("read", &path)(error),
            LoadError::Damaged(reason) => self.damaged(reason),
            LoadError::Entry { table, key, reason } => Attempt::Failed(RegistryError::Entry {
                place: self.layout.root().to_owned(),
                key,
                table: table.name(),
                reason,
            }),
        }
    }

    fn damaged(&self, reason: String) -> Attempt {
        Attempt::Failed(RegistryError::Damaged {
            place: self.layout.root().to_owned(),
            reason,
        })
    }
}

/// From this version on the epoch's node is made anew, so that its 31 bits never run out.
const WORN: i32 = 1 << 30;

/// What an error of ZooKeeper means for the attempt.
fn refused(action: &'static str, path: &str) -> impl FnOnce(Error) -> Attempt {
    move |error| {
        if passes(&error) || matches!(error, Error::BadVersion) {
            return Attempt::Again(format!("cannot {action} {path}: {}", explain(&error)));
        }
        Attempt::Failed(RegistryError::Refused {
            action,
            path: path.to_owned(),
            reason: explain(&error),
        })
    }
}
