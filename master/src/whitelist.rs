//! `--whitelist`: a file with the host names of the agents that are offered, read again and again.
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::owner::Command;

/// Pause between two readings. Source: `WHITELIST_WATCH_INTERVAL` of Apache Mesos 1.11.
const INTERVAL: Duration = Duration::from_secs(5);
/// Largest file that is read, in bytes: a million host names.
const MOST: u64 = 64 << 20;

/// Tells the owner what the file says, whenever that is something else, until `over`. A file that
/// cannot be read leaves things as they were; before it was read, nothing is offered.
pub(crate) async fn watch(
    path: PathBuf,
    commands: mpsc::WeakSender<Command>,
    over: CancellationToken,
) {
    let mut last = None;
    let mut failed = false;
    loop {
        match read(&path).await {
            Ok(names) => {
                failed = false;
                if last.as_ref() != Some(&names) {
                    tracing::info!(path = %path.display(), names = names.len(), "agents on the whitelist are offered, no others");
                    let Some(commands) = commands.upgrade() else {
                        return;
                    };
                    last = Some(names.clone());
                    if commands.send(Command::Whitelist(names)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) if failed => {
                tracing::debug!(path = %path.display(), error, "the whitelist still cannot be read");
            }
            Err(error) => {
                failed = true;
                tracing::error!(path = %path.display(), error, "the whitelist cannot be read; what it said before counts");
            }
        }
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// One host name per line; blank lines count for nothing.
async fn read(path: &PathBuf) -> Result<BTreeSet<String>, String> {
    let size = tokio::fs::metadata(path)
        .await
        .map_err(|error| error.to_string())?
        .len();
    if size > MOST {
        return Err(format!("it has {size} bytes; at most {MOST} are read"));
    }
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| error.to_string())?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(inbox: &mut mpsc::Receiver<Command>) -> Vec<String> {
        match inbox.recv().await {
            Some(Command::Whitelist(names)) => names.into_iter().collect(),
            _ => panic!("the list was to come"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_the_file_are_noticed_and_a_missing_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let (commands, mut inbox) = mpsc::channel(4);
        let over = CancellationToken::new();
        std::fs::write(&path, "a\n\n b \n").unwrap();
        let watching = tokio::spawn(watch(path.clone(), commands.downgrade(), over.clone()));
        assert_eq!(next(&mut inbox).await, ["a", "b"]);
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(3 * INTERVAL).await;
        assert!(inbox.try_recv().is_err());
        std::fs::write(&path, "").unwrap();
        assert!(next(&mut inbox).await.is_empty());
        over.cancel();
        watching.await.unwrap();
    }
}
