//! What a running container costs in memory of ours.

use mesos_containerizer_api::{Containerizer as _, LaunchResult};

use crate::{Failure, Place};

const CONTAINERS: usize = 20;

/// Runs some containers at once, and prints the memory that their helpers share with nobody.
pub fn print(runtime: &tokio::runtime::Runtime, place: &Place) -> Result<(), Failure> {
    runtime.block_on(async {
        let mut running = Vec::new();
        for _ in 0..CONTAINERS {
            let config = place.task("/bin/sleep", &["sleep", "1000"])?;
            let id = config.id.clone();
            let LaunchResult::Launched(container) = place.containerizer.launch(config).await? else {
                return Err("the container was not launched".into());
            };
            running.push((id, container.pid.ok_or("no pid")?));
        }
        let mut sizes = Vec::new();
        for (_, pid) in &running {
            sizes.push(private_kib(*pid)?);
        }
        for (id, _) in &running {
            place.containerizer.destroy(id).await?;
            place.containerizer.forget(id).await?;
        }
        sizes.sort_unstable();
        println!(
            "  private memory of our process in each of {CONTAINERS} containers: median {} KiB, most {} KiB",
            sizes[sizes.len() / 2],
            sizes[sizes.len() - 1],
        );
        Ok(())
    })
}

fn private_kib(pid: u32) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    let private = private.filter(|line| !line.starts_with("Private_Hugetlb"));
    let values = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(values.sum())
}
