//! What a container's cgroups cost: made, bounded, entered by a process, removed. On cgroup v1, cpu,
//! cpuacct, memory and freezer; direct writes of `mesos_isolator_linux` beside cgroups-rs, by turns.

use std::{
    error::Error,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use cgroups_rs::{
    CgroupPid,
    fs::{cgroup_builder::CgroupBuilder, hierarchies},
};
use mesos_isolator_linux::{Cgroup, Hierarchies};

const CONTROLLERS: [&str; 4] = ["freezer", "cpu", "cpuacct", "memory"];
const ROUNDS: usize = 300;
const WARM_UP: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let host = Hierarchies::detect(Path::new("/sys/fs/cgroup"))?;
    let name = format!("cgroup-bench-{}", std::process::id());
    let roots = CONTROLLERS
        .iter()
        .map(|controller| host.prepare_root(controller, &name, &[]))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut direct, mut library) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let ours = timed(|process| by_direct_writes(&roots, process))?;
        let theirs = timed(|process| by_cgroups_rs(&name, process))?;
        if round >= WARM_UP {
            direct.push(ours);
            library.push(theirs);
        }
    }
    for root in &roots {
        root.remove()?;
    }
    print("direct writes", &mut direct);
    print("cgroups-rs", &mut library);
    Ok(())
}

/// A process to put in, made before the clock starts and gone before the cgroups are removed; its
/// own end is not in the figure.
fn timed(
    work: impl FnOnce(&mut Child) -> Result<Duration, Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut process = Command::new("/bin/sleep").arg("1000").spawn()?;
    let took = work(&mut process);
    process.kill()?;
    process.wait()?;
    took
}

fn end(process: &mut Child) -> Result<(), Box<dyn Error>> {
    process.kill()?;
    process.wait()?;
    Ok(())
}

fn by_direct_writes(roots: &[Cgroup], process: &mut Child) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    let cgroups: Vec<Cgroup> = roots.iter().map(|root| root.child("container")).collect();
    for cgroup in &cgroups {
        cgroup.create()?;
    }
    cgroups[1].write("cpu.shares", "512")?;
    cgroups[1].write("cpu.cfs_period_us", "100000")?;
    cgroups[1].write("cpu.cfs_quota_us", "50000")?;
    cgroups[3].write("memory.soft_limit_in_bytes", "67108864")?;
    cgroups[3].write("memory.limit_in_bytes", "67108864")?;
    for cgroup in &cgroups {
        cgroup.write("cgroup.procs", &process.id().to_string())?;
    }
    let made = begin.elapsed();
    end(process)?;
    let begin = Instant::now();
    for cgroup in &cgroups {
        while !cgroup.remove()? {}
    }
    Ok(made + begin.elapsed())
}

fn by_cgroups_rs(root: &str, process: &mut Child) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    let cgroup = CgroupBuilder::new(&format!("{root}/container"))
        .set_specified_controllers(CONTROLLERS.map(str::to_owned).to_vec())
        .cpu()
        .shares(512)
        .period(100_000)
        .quota(50_000)
        .done()
        .memory()
        .memory_soft_limit(67_108_864)
        .memory_hard_limit(67_108_864)
        .done()
        .build(hierarchies::auto())?;
    cgroup.add_task_by_tgid(CgroupPid::from(u64::from(process.id())))?;
    let made = begin.elapsed();
    end(process)?;
    let begin = Instant::now();
    while cgroup.delete().is_err() {}
    Ok(made + begin.elapsed())
}

fn print(what: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let ms = |at: usize| samples[at].as_secs_f64() * 1e3;
    println!(
        "{what}: median {:.3} ms, p99 {:.3} ms, best {:.3} ms",
        ms(samples.len() / 2),
        ms(samples.len() * 99 / 100),
        ms(0)
    );
}
