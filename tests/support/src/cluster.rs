//! A master and agents of the real binaries, on an address and in folders of their own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::loopback::{Claim, PORTS};
use crate::wait::{wait_for, wait_up_to};
use crate::{docker, executables, http, machine};

/// How a cluster is to be started.
#[derive(Debug, Default)]
pub struct Builder {
    master: Vec<String>,
    agent: Option<Vec<String>>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Flags for the master, added to those that keep tests apart.
    #[must_use]
    pub fn master(mut self, flags: &[&str]) -> Self {
        self.master
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// An agent with these flags, added to those that keep tests apart; a flag given here wins.
    #[must_use]
    pub fn agent(mut self, flags: &[&str]) -> Self {
        self.agent
            .get_or_insert_default()
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// A variable in the environment of both daemons.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the daemons, and waits until the agent has registered.
    ///
    /// # Panics
    /// When a daemon ends or does not get there, with the end of its log.
    pub fn start(self) -> TestCluster {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test starts containers: run it as root"
        );
        let claim = Claim::new();
        let mark = format!("mesos-test-{}", uuid::Uuid::new_v4().simple());
        let dir = std::env::temp_dir().join(&mark);
        fs::create_dir_all(&dir).expect("the folder for temporary files is writable");
        // Daemons that run tasks of other users need to get into it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&dir, open).expect("our own folder");
        let cgroups_root = cgroups_root(&mark);
        let master = daemon(
            "master",
            &dir,
            merged(master_flags(&claim, &dir), self.master),
            &self.environment,
        );
        let agent = self.agent.map(|flags| {
            let flags = merged(agent_flags(&claim, &dir, &cgroups_root), flags);
            daemon("agent", &dir, flags, &self.environment)
        });
        let mut cluster = TestCluster {
            claim,
            mark,
            dir,
            master,
            agent,
            agent_id: None,
        };
        cluster.master.start();
        cluster.wait_for_master();
        if let Some(agent) = &mut cluster.agent {
            agent.start();
            cluster.agent_id = Some(cluster.wait_for_agent());
        }
        cluster
    }
}

/// The cgroups of a cluster carry its mark, and that of the whole run if there is one.
pub(crate) fn cgroups_root(mark: &str) -> String {
    let run = std::env::temp_dir();
    let run = run
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if run.starts_with("mesos-rs-") {
        format!("{run}-{mark}")
    } else {
        mark.to_owned()
    }
}

pub(crate) fn daemon(
    name: &str,
    dir: &Path,
    flags: Vec<String>,
    environment: &[(String, String)],
) -> Daemon {
    let log = dir.join(format!("{name}.log"));
    Daemon::new(
        name,
        executables::binary(name),
        flags,
        environment.to_vec(),
        log,
    )
}

fn flag_name(flag: &str) -> &str {
    flag.split('=').next().unwrap_or(flag)
}

/// Our flags, without those that the test gives itself. `--x=` in a test only takes ours away.
pub(crate) fn merged(ours: Vec<String>, theirs: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = ours
        .into_iter()
        .filter(|flag| {
            !theirs
                .iter()
                .any(|other| flag_name(other) == flag_name(flag))
        })
        .collect();
    all.extend(theirs.into_iter().filter(|flag| !flag.ends_with('=')));
    all
}

fn master_flags(claim: &Claim, dir: &Path) -> Vec<String> {
    vec![
        format!("--ip={}", claim.ip),
        "--port=5050".to_owned(),
        format!("--hostname={}", claim.ip),
        format!("--work_dir={}", dir.join("master").display()),
    ]
}

fn agent_flags(claim: &Claim, dir: &Path, cgroups_root: &str) -> Vec<String> {
    let last = claim.first_port + PORTS - 1;
    vec![
        format!("--ip={}", claim.ip),
        "--port=5051".to_owned(),
        format!("--hostname={}", claim.ip),
        format!("--master={}:5050", claim.ip),
        format!("--work_dir={}", dir.join("agent").display()),
        format!("--runtime_dir={}", dir.join("run").display()),
        format!("--fetcher_cache_dir={}", dir.join("fetch").display()),
        format!("--cgroups_root={cgroups_root}"),
        "--containerizers=docker,mesos".to_owned(),
        "--isolation=cgroups/cpu,cgroups/mem,namespaces/pid,filesystem/linux".to_owned(),
        format!("--docker_socket={}", docker_socket_path()),
        "--docker_remove_delay=1secs".to_owned(),
        format!(
            "--resources=cpus:4;mem:4096;disk:8192;ports:[{}-{last}]",
            claim.first_port
        ),
    ]
}

/// Does not ask the engine: clusters without docker tasks start without one.
fn docker_socket_path() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(str::to_owned))
        .unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}

/// Running daemons. Dropped, it ends and removes all of it, and after a panic keeps the logs.
#[derive(Debug)]
pub struct TestCluster {
    claim: Claim,
    mark: String,
    dir: PathBuf,
    master: Daemon,
    agent: Option<Daemon>,
    agent_id: Option<String>,
}

impl TestCluster {
    /// A cluster to be described.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A master and an agent without further flags.
    pub fn start() -> Self {
        Self::builder().agent(&[]).start()
    }

    /// The address that the daemons listen on.
    pub fn ip(&self) -> Ipv4Addr {
        self.claim.ip
    }

    /// The address of the master.
    pub fn master(&self) -> SocketAddr {
        (self.claim.ip, 5050).into()
    }

    /// The address of the agent.
    pub fn agent(&self) -> SocketAddr {
        (self.claim.ip, 5051).into()
    }

    /// The agent's id, as it was at its first registration.
    ///
    /// # Panics
    /// In a cluster without an agent.
    pub fn agent_id(&self) -> &str {
        self.agent_id.as_deref().expect("this cluster has an agent")
    }

    /// The `n`th host port of the agent's resources, from 0 to 9; free on every address.
    ///
    /// # Panics
    /// When `n` is beyond them.
    pub fn port(&self, n: u16) -> u16 {
        assert!(n < PORTS, "a cluster has {PORTS} host ports");
        self.claim.first_port + n
    }

    /// A folder of the test's own, removed with the cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The agent's work_dir.
    pub fn work_dir(&self) -> PathBuf {
        self.dir.join("agent")
    }

    /// The agent's own sandbox folder of the newest run of an executor.
    pub fn sandbox(&self, framework: &str, executor: &str) -> PathBuf {
        self.work_dir()
            .join("slaves")
            .join(self.agent_id())
            .join("frameworks")
            .join(framework)
            .join("executors")
            .join(executor)
            .join("runs/latest")
    }

    /// The name that every container of this agent begins with in `docker ps`.
    pub fn container_prefix(&self) -> String {
        format!("mesos-{}.", self.agent_id())
    }

    /// The word that the cluster's paths and cgroups carry.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// SIGKILL for the master.
    pub fn kill_9_master(&mut self) {
        self.master.kill_9();
    }

    /// SIGKILL for the agent.
    pub fn kill_9_agent(&mut self) {
        self.agent
            .as_mut()
            .expect("this cluster has an agent")
            .kill_9();
    }

    /// SIGTERM for the agent, and waits for its end.
    pub fn stop_agent(&mut self) {
        self.agent
            .as_mut()
            .expect("this cluster has an agent")
            .stop();
    }

    /// From its next start on, the agent has this flag, in place of one of the same name.
    pub fn set_agent_flag(&mut self, flag: &str) {
        let agent = self.agent.as_mut().expect("this cluster has an agent");
        agent.set_flags(|flags| merged(flags, vec![flag.to_owned()]));
    }

    /// Starts the master again with the same flags, and waits until it answers.
    pub fn restart_master(&mut self) {
        self.master.kill_9();
        self.master.start();
        self.wait_for_master();
    }

    /// Starts the agent again with the same flags, and waits until it has registered.
    pub fn restart_agent(&mut self) {
        let agent = self.agent.as_mut().expect("this cluster has an agent");
        agent.kill_9();
        agent.start();
        self.wait_for_agent();
    }

    /// The same without waiting for anything.
    pub fn start_agent_again(&mut self) {
        let agent = self.agent.as_mut().expect("this cluster has an agent");
        agent.kill_9();
        agent.start();
    }

    /// The agent's pid.
    pub fn agent_pid(&self) -> Option<i32> {
        self.agent.as_ref().and_then(Daemon::pid)
    }

    /// The master's pid.
    pub fn master_pid(&self) -> Option<i32> {
        self.master.pid()
    }

    /// All that the agent has logged.
    pub fn agent_log(&self) -> String {
        self.agent.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// All that the master has logged.
    pub fn master_log(&self) -> String {
        self.master.log()
    }

    /// `/state` of the agent.
    pub fn agent_state(&self) -> Value {
        json(self.agent(), "/state")
    }

    /// `/state` of the master.
    pub fn master_state(&self) -> Value {
        json(self.master(), "/state")
    }

    fn wait_for_master(&mut self) {
        let address = self.master();
        let master = &mut self.master;
        wait_for("the master answers", || {
            still_runs("master", master);
            ok(http::get(address, "/health"))
        });
    }

    /// Waits until the agent is active at the master; its id there.
    pub fn wait_for_agent(&mut self) -> String {
        let (address, agent_address) = (self.master(), self.agent());
        let agent = self.agent.as_mut().expect("this cluster has an agent");
        wait_for("the agent is registered and answers", || {
            still_runs("agent", agent);
            let slaves = ok(http::get(address, "/slaves"))?;
            let slaves: Value = serde_json::from_str(&slaves).map_err(|error| error.to_string())?;
            let active = slaves["slaves"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|slave| slave["active"] == true);
            let id = active
                .and_then(|slave| slave["id"].as_str())
                .ok_or_else(|| slaves.to_string())?;
            ok(http::get(agent_address, "/state"))?;
            Ok::<String, String>(id.to_owned())
        })
    }

    /// Ends the cluster as an operator would, after the test's frameworks are torn down, and
    /// holds the daemons to leaving nothing behind.
    ///
    /// # Panics
    /// When a process, mount, cgroup or container of this cluster is left.
    pub fn finish(mut self) {
        if let Some(id) = self.agent_id.clone() {
            let prefix = format!("mesos-{id}.");
            wait_for("no container is left at the agent", || {
                let containers = json(self.agent(), "/containers");
                if containers.as_array().is_some_and(Vec::is_empty) {
                    Ok(())
                } else {
                    Err(containers)
                }
            });
            wait_for("no container is left at the engine", || {
                let left = docker::containers(&prefix);
                if left.is_empty() { Ok(()) } else { Err(left) }
            });
        }
        if let Some(agent) = &mut self.agent {
            agent.stop();
        }
        self.master.stop();
        wait_up_to(
            Duration::from_secs(20),
            "the cluster leaves nothing behind",
            || {
                let left = (
                    machine::processes_marked(&self.mark),
                    machine::mounts_below(&self.dir),
                    // The agent keeps its root; what is below it are containers.
                    machine::cgroups_marked(&self.mark)
                        .into_iter()
                        .filter(|path| {
                            !path
                                .file_name()
                                .is_some_and(|name| name.to_string_lossy().ends_with(&self.mark))
                        })
                        .collect::<Vec<_>>(),
                );
                if left.0.is_empty() && left.1.is_empty() && left.2.is_empty() {
                    Ok(())
                } else {
                    Err(left)
                }
            },
        );
    }
}

pub(crate) fn still_runs(name: &str, daemon: &mut Daemon) {
    if let Some(status) = daemon.ended() {
        panic!(
            "the {name} ended with {status}; the end of its log:\n{}",
            daemon.log_tail()
        );
    }
}

fn json(address: SocketAddr, path: &str) -> Value {
    http::get(address, path)
        .unwrap_or_else(|error| panic!("GET {path} at {address}: {error}"))
        .json()
}

/// The body of a 200, else what came instead.
pub(crate) fn ok(answer: http::Result<http::Response>) -> Result<String, String> {
    match answer {
        Ok(response) if response.status == 200 => Ok(response.text()),
        Ok(response) => Err(format!("{}: {}", response.status, response.text())),
        Err(error) => Err(error.to_string()),
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            for daemon in [Some(&self.master), self.agent.as_ref()]
                .into_iter()
                .flatten()
            {
                eprintln!("--- {daemon:?}: the end of its log:\n{}", daemon.log_tail());
            }
        }
        if let Some(agent) = &mut self.agent {
            agent.kill_9();
        }
        self.master.kill_9();
        if let Some(id) = &self.agent_id {
            docker::remove(&docker::containers(&format!("mesos-{id}.")));
        }
        machine::clear(&self.mark, &self.dir);
        if failed {
            eprintln!("--- logs and sandboxes are kept in {}", self.dir.display());
        } else if machine::mounts_below(&self.dir).is_empty() {
            // What cannot be removed shows up in scripts/leak-check. Never through a mount.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
