//! A master of the real binary, as a child.
use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use mesos_test_support::executables::binary;

/// A master that runs; killed when dropped.
pub struct Master {
    pub address: String,
    child: Child,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Master {
    /// Starts one. `store`: with the embedded registry, else it forgets everything.
    pub async fn start(store: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free now; nobody else is likely to take it before the master does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut arguments = vec![
            "--ip=127.0.0.1".to_owned(),
            format!("--port={}", address.port()),
            format!("--work_dir={}", folder.path().join("work").display()),
            "--logging_level=WARNING".to_owned(),
        ];
        if !store {
            arguments.push("--registry=in_memory".to_owned());
        }
        let child = spawn(&arguments, folder.path())?;
        let mut master = Self {
            address: address.to_string(),
            child,
            arguments,
            folder,
        };
        master.ready().await?;
        Ok(master)
    }

    /// Waits until it takes connections.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if tokio::net::TcpStream::connect(&self.address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                anyhow::bail!("the master ended with {status}: {log}");
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(30),
                "the master does not listen"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Kills it without warning and starts it again at the same address. Returns when it was killed.
    pub async fn restart(&mut self) -> anyhow::Result<Instant> {
        let killed = Instant::now();
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.arguments, self.folder.path())?;
        self.ready().await?;
        Ok(killed)
    }

    /// Memory in use and the most that ever was, in MB.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .with_context(|| format!("no {name} in {status}"))
        };
        Ok((value("VmRSS:")? / 1024, value("VmHWM:")? / 1024))
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold spaces; what follows it does not.
        let rest = stat.rsplit_once(')').context("no name in stat")?.1;
        let ticks: u64 = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        // The kernel counts in hundredths of a second towards programs, on every machine.
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(arguments: &[String], folder: &Path) -> anyhow::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let child = Command::new(binary("master"))
        .args(arguments)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}
