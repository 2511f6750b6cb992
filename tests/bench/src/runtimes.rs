//! crun and runc running the same command from an OCI bundle, as a measure.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::statistics::Samples;

const RUNS: usize = 50;

/// Medians of `crun run` and `runc run` of `/bin/true`; answers crun's. A runtime that is not
/// installed is left out with a word.
pub fn measure() -> anyhow::Result<Option<Duration>> {
    let bundle = tempfile::tempdir()?;
    make_bundle(bundle.path())?;
    let crun = runtime("crun", bundle.path())?;
    runtime("runc", bundle.path())?;
    Ok(crun)
}

fn runtime(name: &str, bundle: &Path) -> anyhow::Result<Option<Duration>> {
    if Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("{name} is not installed: apt-get install {name}");
        return Ok(None);
    }
    let mut samples = Samples::default();
    // Each run is timed by the shell's own clock around it; the private mount namespace without
    // the v2 hierarchy, which crun refuses on hybrid hosts, is made once for all runs.
    let script = format!(
        "umount /sys/fs/cgroup/unified 2>/dev/null; cd {bundle} || exit 1
         for i in $(seq {count}); do
           a=$(date +%s%N); {name} run bench-{pid}-$i </dev/null || exit 1; b=$(date +%s%N); echo $((b-a))
         done",
        bundle = bundle.display(),
        count = RUNS + 3,
        pid = std::process::id(),
    );
    let started = Instant::now();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{name} run: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    for line in text.lines().skip(3) {
        samples.push(Duration::from_nanos(
            line.trim().parse().context("nanoseconds")?,
        ));
    }
    ensure!(
        started.elapsed() > samples.median(),
        "the clock went backwards"
    );
    samples.print(&format!("{name} run /bin/true, create to cleaned"));
    Ok(Some(samples.median()))
}

/// A bundle on the host's own file system: new pid, mount, ipc and uts namespaces, cpu and memory limits.
fn make_bundle(dir: &Path) -> anyhow::Result<()> {
    let config = json!({
        "ociVersion": "1.0.0",
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"],
            "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "noNewPrivileges": false
        },
        "root": {"path": "rootfs", "readonly": false},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/bin", "type": "bind", "source": "/bin", "options": ["rbind", "ro"]},
            {"destination": "/lib", "type": "bind", "source": "/lib", "options": ["rbind", "ro"]},
            {"destination": "/lib64", "type": "bind", "source": "/lib64", "options": ["rbind", "ro"]},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            "resources": {"cpu": {"shares": 102}, "memory": {"limit": 67108864}}
        }
    });
    fs::create_dir(dir.join("rootfs"))?;
    for name in ["proc", "bin", "lib", "lib64", "usr", "dev"] {
        fs::create_dir(dir.join("rootfs").join(name))?;
    }
    fs::write(dir.join("config.json"), config.to_string())?;
    Ok(())
}
