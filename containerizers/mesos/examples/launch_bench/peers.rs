//! crun, runc and docker running the same command.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Failure, samples::Samples};

const RUNS: usize = 20;
const WARM_UP: usize = 2;

/// Times `NAME run` of /bin/true: from the spawn to the exit, after which its cgroups are gone.
///
/// Runs in a mount namespace without the v2 hierarchy of a hybrid host, which crun 1.8 refuses.
pub fn measure(name: &str) -> Result<Samples, Failure> {
    let bundle = tempfile::tempdir()?;
    make_bundle(bundle.path())?;
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" peer \"$1\" \"$2\"";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .arg(name)
        .arg(bundle.path())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr)
            .trim()
            .to_owned()
            .into());
    }
    let mut samples = Samples::default();
    for line in String::from_utf8(output.stdout)?.lines() {
        samples.push(Duration::from_nanos(line.parse()?));
    }
    Ok(samples)
}

/// The part within the namespace: a line of nanoseconds per run.
pub fn run_one(arguments: &[String]) -> Result<(), Failure> {
    let [name, bundle] = arguments else {
        return Err("peer NAME BUNDLE".into());
    };
    for n in 0..WARM_UP + RUNS {
        let begin = Instant::now();
        let status = Command::new(name)
            .args([
                "run",
                "--bundle",
                bundle,
                &format!("launch-bench-{}-{n}", std::process::id()),
            ])
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("cannot run {name}: {error}"))?;
        let took = begin.elapsed();
        if !status.success() {
            return Err(format!("{name} run: {status}").into());
        }
        if n >= WARM_UP {
            println!("{}", took.as_nanos());
        }
    }
    Ok(())
}

/// A root file system of nothing but /bin/true and its libraries, the same namespaces and limits
/// as ours.
fn make_bundle(dir: &Path) -> Result<(), Failure> {
    let rootfs = dir.join("rootfs");
    for name in ["proc", "dev"] {
        std::fs::create_dir_all(rootfs.join(name))?;
    }
    let libraries = Command::new("ldd").arg("/bin/true").output()?;
    let libraries = String::from_utf8(libraries.stdout)?;
    for file in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .chain(["/bin/true"])
    {
        let to = rootfs.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().ok_or("no parent")?)?;
        std::fs::copy(file, to)?;
    }
    std::fs::write(
        dir.join("config.json"),
        r#"{"ociVersion": "1.0.0",
        "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"],
                    "env": ["PATH=/usr/bin:/bin"], "cwd": "/"},
        "root": {"path": "rootfs", "readonly": false},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}],
                  "resources": {"cpu": {"shares": 1024, "quota": 100000, "period": 100000},
                                "memory": {"limit": 67108864, "reservation": 67108864}}}}"#,
    )?;
    Ok(())
}

/// Times `docker run --rm` without a network, of the first image that the engine has.
pub fn docker() -> Result<Samples, Failure> {
    let images = Command::new("docker").args(["images", "-q"]).output()?;
    if !images.status.success() {
        return Err("no engine answers".into());
    }
    let images = String::from_utf8(images.stdout)?;
    let image = images.lines().next().ok_or("the engine has no image")?;
    let mut samples = Samples::default();
    for _ in 0..10 {
        let begin = Instant::now();
        let status = Command::new("docker")
            .args([
                "run",
                "--rm",
                "--network=none",
                "--entrypoint=/bin/true",
                image,
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("docker run: {status}").into());
        }
        samples.push(begin.elapsed());
    }
    Ok(samples)
}
