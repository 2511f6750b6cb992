//! Ends every process of a cgroup, whatever it forks meanwhile.

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cgroup::{Cgroup, CgroupError},
    pidfd::PidFd,
};

/// What is left after one round of killing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// No process any more.
    Nothing,
    /// This many still end; look again in a moment.
    Processes(usize),
}

/// One round on a v1 freezer cgroup and those beneath: SIGKILL to everything in it. From the
/// third round on it is frozen first, so that nothing can fork while it is being killed.
pub fn round_v1(freezer: &Cgroup, round: u32) -> Result<Left, CgroupError> {
    if freezer.all_processes()?.is_empty() {
        return Ok(Left::Nothing);
    }
    let freeze = round >= 2;
    if freeze {
        freezer.write("freezer.state", "FROZEN")?;
    }
    let killed = kill_all(freezer);
    if freeze {
        // Even when killing failed: nothing may stay frozen, and the signals need thawed tasks.
        freezer.write("freezer.state", "THAWED")?;
    }
    killed
}

/// One round on a v2 cgroup: `cgroup.kill` (Linux 5.14) ends the whole subtree at once; older
/// kernels get SIGKILL to each process.
pub fn round_v2(cgroup: &Cgroup) -> Result<Left, CgroupError> {
    if cgroup.all_processes()?.is_empty() {
        return Ok(Left::Nothing);
    }
    if cgroup.file("cgroup.kill").exists() {
        cgroup.write("cgroup.kill", "1")?;
        return Ok(Left::Processes(cgroup.all_processes()?.len()));
    }
    kill_all(cgroup)
}

fn kill_all(cgroup: &Cgroup) -> Result<Left, CgroupError> {
    let pids = cgroup.all_processes()?;
    for pid in &pids {
        send_raw(*pid, Signal::SIGKILL);
    }
    Ok(if pids.is_empty() {
        Left::Nothing
    } else {
        Left::Processes(pids.len())
    })
}

fn send_raw(pid: u32, signal: Signal) {
    // A process that has gone meanwhile is what we want; another answer shows in the next round.
    if let Ok(pid) = i32::try_from(pid) {
        let _gone: Result<(), Errno> = kill(Pid::from_raw(pid), signal);
    }
}

/// Sends `signal` to every process of the cgroup and those beneath, except `spare`. Answers how
/// many got it. A pid that is reused meanwhile by a process elsewhere is not hit.
pub fn signal_all(cgroup: &Cgroup, signal: i32, spare: &[u32]) -> Result<usize, CgroupError> {
    let open: Vec<(u32, PidFd)> = cgroup
        .all_processes()?
        .into_iter()
        .filter(|pid| !spare.contains(pid))
        .filter_map(|pid| PidFd::open(pid).ok().map(|fd| (pid, fd)))
        .collect();
    // Whoever is still listed now has been the process behind its descriptor all along.
    let still = cgroup.all_processes()?;
    let sent = open
        .iter()
        .filter(|(pid, _)| still.contains(pid))
        .filter(|(_, fd)| fd.signal(signal).is_ok())
        .count();
    Ok(sent)
}
