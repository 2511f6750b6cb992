//! Several masters over a real ZooKeeper, with agents that find the leader there.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{cgroups_root, daemon, merged, ok, still_runs};
use crate::daemon::Daemon;
use crate::loopback::{Claim, PORTS};
use crate::relay::Relay;
use crate::wait::{wait_for, wait_up_to};
use crate::{ZooKeeper, http, machine};

/// The path of the election.
pub const ZK_PATH: &str = "/mesos";

/// How long a session with ZooKeeper survives silence: short, and yet longer than a busy machine is silent.
pub const SESSION: Duration = Duration::from_secs(4);

/// How long one master may take to say whether it leads.
const ASKED: Duration = Duration::from_secs(2);

/// How a cluster of several masters is to be started.
#[derive(Debug)]
pub struct Builder {
    masters: usize,
    agents: usize,
    members: usize,
    master_flags: Vec<String>,
    agent_flags: Vec<String>,
    credentials: Option<String>,
    in_file: bool,
    relayed: bool,
}

impl Builder {
    /// How many masters; three otherwise.
    #[must_use]
    pub fn masters(mut self, count: usize) -> Self {
        self.masters = count;
        self
    }

    /// How many agents; one otherwise.
    #[must_use]
    pub fn agents(mut self, count: usize) -> Self {
        self.agents = count;
        self
    }

    /// An ensemble of three ZooKeeper servers, instead of one server.
    #[must_use]
    pub fn ensemble(mut self) -> Self {
        self.members = 3;
        self
    }

    /// Flags for every master; a flag given here wins.
    #[must_use]
    pub fn master(mut self, flags: &[&str]) -> Self {
        self.master_flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Flags for every agent; a flag given here wins.
    #[must_use]
    pub fn agent(mut self, flags: &[&str]) -> Self {
        self.agent_flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// `USER:PASSWORD` that all daemons show to ZooKeeper.
    #[must_use]
    pub fn credentials(mut self, credentials: &str) -> Self {
        self.credentials = Some(credentials.to_owned());
        self
    }

    /// Daemons get `file://...` of a file with the URL, which [`HaCluster::write_url`] can change.
    #[must_use]
    pub fn url_in_file(mut self) -> Self {
        self.in_file = true;
        self
    }

    /// The first master reaches ZooKeeper through [`HaCluster::relays`], which can be cut.
    #[must_use]
    pub fn first_master_relayed(mut self) -> Self {
        self.relayed = true;
        self
    }

    /// Starts ZooKeeper, the masters and the agents, and waits until one leads and all agents are registered.
    ///
    /// # Panics
    /// When something does not get there, with the end of its log.
    pub fn start(self) -> HaCluster {
        let zookeeper = if self.members == 1 {
            ZooKeeper::standalone()
        } else {
            ZooKeeper::ensemble()
        };
        let mark = format!("mesos-test-{}", uuid::Uuid::new_v4().simple());
        let dir = std::env::temp_dir().join(&mark);
        fs::create_dir_all(&dir).expect("the folder for temporary files is writable");
        // Daemons that run tasks of other users need to get into it.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("our own folder");
        let mut cluster = HaCluster {
            zookeeper,
            credentials: self.credentials,
            mark,
            dir,
            masters: Vec::new(),
            agents: Vec::new(),
            keep: false,
            relays: Vec::new(),
        };
        if self.relayed {
            let (ip, members) = (cluster.zookeeper.ip(), cluster.zookeeper.members());
            let relays = members.iter().map(|member| Relay::start(ip, *member));
            cluster.relays = relays.collect();
        }
        let source = if self.in_file {
            cluster.write_url();
            format!("file://{}", cluster.url_file().display())
        } else {
            cluster.url()
        };
        for n in 0..self.masters {
            let source = if n == 0 && self.relayed {
                let relays = cluster.relays.iter();
                let relays: Vec<String> = relays.map(|relay| relay.address().to_string()).collect();
                cluster.url_of(&relays.join(","))
            } else {
                source.clone()
            };
            let part = cluster.part("master", n, 5050, |claim, dir| {
                merged(master_flags(claim, dir, &source, self.masters), {
                    self.master_flags.clone()
                })
            });
            cluster.masters.push(part);
        }
        for n in 0..self.agents {
            let root = cluster.cgroups_root(n);
            let part = cluster.part("agent", n, 5051, |claim, dir| {
                merged(
                    agent_flags(claim, dir, &source, &root),
                    self.agent_flags.clone(),
                )
            });
            cluster.agents.push(part);
        }
        for part in cluster.masters.iter_mut().chain(&mut cluster.agents) {
            part.daemon.start();
        }
        cluster.leader();
        for n in 0..self.agents {
            cluster.agents[n].id = Some(cluster.wait_for_agent(n));
        }
        cluster
    }
}

fn master_flags(claim: &Claim, dir: &Path, source: &str, masters: usize) -> Vec<String> {
    vec![
        format!("--ip={}", claim.ip),
        "--port=5050".to_owned(),
        format!("--hostname={}", claim.ip),
        format!("--work_dir={}", dir.display()),
        format!("--zk={source}"),
        format!("--quorum={}", masters / 2 + 1),
        format!("--zk_session_timeout={}ms", SESSION.as_millis()),
    ]
}

fn agent_flags(claim: &Claim, dir: &Path, source: &str, cgroups_root: &str) -> Vec<String> {
    let last = claim.first_port + PORTS - 1;
    vec![
        format!("--ip={}", claim.ip),
        "--port=5051".to_owned(),
        format!("--hostname={}", claim.ip),
        format!("--master={source}"),
        format!("--zk_session_timeout={}ms", SESSION.as_millis()),
        format!("--work_dir={}", dir.join("work").display()),
        format!("--runtime_dir={}", dir.join("run").display()),
        format!("--fetcher_cache_dir={}", dir.join("fetch").display()),
        format!("--cgroups_root={cgroups_root}"),
        "--containerizers=mesos".to_owned(),
        "--isolation=cgroups/cpu,cgroups/mem,namespaces/pid,filesystem/linux".to_owned(),
        format!(
            "--resources=cpus:4;mem:4096;disk:8192;ports:[{}-{last}]",
            claim.first_port
        ),
    ]
}

/// One daemon at an address of its own.
#[derive(Debug)]
struct Part {
    claim: Claim,
    address: SocketAddr,
    daemon: Daemon,
    /// Stopped by a signal.
    frozen: bool,
    /// Of an agent: its id, as it was at its first registration.
    id: Option<String>,
}

/// What is to happen to a daemon.
impl Part {
    fn kill_9(&mut self) {
        self.daemon.kill_9();
        self.frozen = false;
    }

    fn stop(&mut self) {
        self.daemon.stop();
    }

    fn freeze(&mut self) {
        self.daemon.freeze();
        self.frozen = true;
    }

    fn wake(&mut self) {
        self.daemon.wake();
        self.frozen = false;
    }

    fn start(&mut self) {
        if self.daemon.pid().is_none() {
            self.daemon.start();
        }
    }

    /// Whether it can be expected to answer.
    fn acts(&self) -> bool {
        self.daemon.pid().is_some() && !self.frozen
    }
}

/// Running masters, agents and ZooKeeper servers. Dropped, it ends and removes all of it, and after a panic
/// keeps the logs.
#[derive(Debug)]
pub struct HaCluster {
    zookeeper: ZooKeeper,
    credentials: Option<String>,
    mark: String,
    dir: PathBuf,
    masters: Vec<Part>,
    agents: Vec<Part>,
    /// Logs and sandboxes are not removed.
    keep: bool,
    /// Between the first master and each ZooKeeper server, if it was asked for.
    relays: Vec<Relay>,
}

impl HaCluster {
    /// A cluster to be described: three masters and an agent over one ZooKeeper server.
    pub fn builder() -> Builder {
        Builder {
            masters: 3,
            agents: 1,
            members: 1,
            master_flags: Vec::new(),
            agent_flags: Vec::new(),
            credentials: None,
            in_file: false,
            relayed: false,
        }
    }

    fn part(
        &self,
        name: &str,
        n: usize,
        port: u16,
        flags: impl FnOnce(&Claim, &Path) -> Vec<String>,
    ) -> Part {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test starts containers: run it as root"
        );
        let claim = Claim::new();
        let dir = self.dir.join(format!("{name}{n}"));
        fs::create_dir_all(&dir).expect("our own folder");
        let flags = flags(&claim, &dir);
        Part {
            address: (claim.ip, port).into(),
            claim,
            daemon: daemon(name, &dir, flags, &[]),
            frozen: false,
            id: None,
        }
    }

    fn cgroups_root(&self, agent: usize) -> String {
        format!("{}-a{agent}", cgroups_root(&self.mark))
    }

    /// The ZooKeeper servers.
    pub fn zookeeper(&self) -> &ZooKeeper {
        &self.zookeeper
    }

    /// The ZooKeeper servers, to move them.
    pub fn zookeeper_mut(&mut self) -> &mut ZooKeeper {
        &mut self.zookeeper
    }

    /// `zk://[USER:PASSWORD@]HOST:PORT,.../mesos`
    pub fn url(&self) -> String {
        self.url_of(&self.zookeeper.connect_string())
    }

    fn url_of(&self, servers: &str) -> String {
        match &self.credentials {
            Some(credentials) => format!("zk://{credentials}@{servers}{ZK_PATH}"),
            None => format!("zk://{servers}{ZK_PATH}"),
        }
    }

    /// What the first master's connections to ZooKeeper go through.
    pub fn relays(&self) -> &[Relay] {
        &self.relays
    }

    /// The file that daemons read the URL from, if they were told so.
    pub fn url_file(&self) -> PathBuf {
        self.dir.join("zk")
    }

    /// Writes the present URL into [`url_file`](Self::url_file), as a whole.
    pub fn write_url(&self) {
        let new = self.dir.join("zk.new");
        fs::write(&new, self.url()).expect("our own folder");
        fs::rename(&new, self.url_file()).expect("our own folder");
    }

    /// Keeps logs and sandboxes when it is dropped, as after a panic.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// A folder of the test's own, removed with the cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The word that the cluster's paths and cgroups carry.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Addresses of all masters.
    pub fn masters(&self) -> Vec<SocketAddr> {
        self.masters.iter().map(|part| part.address).collect()
    }

    /// Address of the `n`th master.
    pub fn master(&self, n: usize) -> SocketAddr {
        self.masters[n].address
    }

    /// Addresses of all agents.
    pub fn agents(&self) -> Vec<SocketAddr> {
        self.agents.iter().map(|part| part.address).collect()
    }

    /// Address of the `n`th agent.
    pub fn agent(&self, n: usize) -> SocketAddr {
        self.agents[n].address
    }

    /// The `n`th agent's id, as it was at its first registration.
    ///
    /// # Panics
    /// Before that.
    pub fn agent_id(&self, n: usize) -> &str {
        self.agents[n].id.as_deref().expect("it has registered")
    }

    /// A host port of the `n`th agent's resources.
    pub fn port(&self, agent: usize, n: u16) -> u16 {
        assert!(n < PORTS, "an agent has {PORTS} host ports");
        self.agents[agent].claim.first_port + n
    }

    /// The `n`th agent's work_dir.
    pub fn work_dir(&self, n: usize) -> PathBuf {
        self.dir.join(format!("agent{n}/work"))
    }

    /// SIGKILL for a master.
    pub fn kill_9_master(&mut self, n: usize) {
        self.masters[n].kill_9();
    }

    /// SIGTERM for a master, and waits for its end.
    pub fn stop_master(&mut self, n: usize) {
        self.masters[n].stop();
    }

    /// SIGSTOP for a master.
    pub fn freeze_master(&mut self, n: usize) {
        self.masters[n].freeze();
    }

    /// SIGCONT for a master.
    pub fn wake_master(&mut self, n: usize) {
        self.masters[n].wake();
    }

    /// Starts a master again, if it does not run.
    pub fn start_master(&mut self, n: usize) {
        self.masters[n].start();
    }

    /// SIGKILL for an agent.
    pub fn kill_9_agent(&mut self, n: usize) {
        self.agents[n].kill_9();
    }

    /// SIGSTOP for an agent; its containers go on.
    pub fn freeze_agent(&mut self, n: usize) {
        self.agents[n].freeze();
    }

    /// SIGCONT for an agent.
    pub fn wake_agent(&mut self, n: usize) {
        self.agents[n].wake();
    }

    /// Starts an agent again, if it does not run.
    pub fn start_agent(&mut self, n: usize) {
        self.agents[n].start();
    }

    /// Starts daemons again that have ended by themselves, as a supervisor does; the last line of each one's log.
    pub fn revive(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for part in self.masters.iter_mut().chain(&mut self.agents) {
            if let Some(status) = part.daemon.ended() {
                let tail = part.daemon.log_tail();
                let last = tail.lines().last().unwrap_or_default();
                ended.push(format!(
                    "the daemon at {} ended by itself ({status}): {last}",
                    part.address
                ));
                part.kill_9();
                part.start();
            }
        }
        ended
    }

    /// The pid of a master while it runs.
    pub fn master_pid(&self, n: usize) -> Option<i32> {
        self.masters[n].daemon.pid()
    }

    /// All that a master has logged.
    pub fn master_log(&self, n: usize) -> String {
        self.masters[n].daemon.log()
    }

    /// All that an agent has logged.
    pub fn agent_log(&self, n: usize) -> String {
        self.agents[n].daemon.log()
    }

    /// The master that leads, when exactly one says so and all others that run send clients to it.
    ///
    /// # Errors
    /// What each one says instead.
    pub fn try_leader(&self) -> Result<usize, String> {
        let mut leaders = Vec::new();
        let mut redirects = Vec::new();
        let mut seen = Vec::new();
        for (n, part) in self.masters.iter().enumerate().filter(|(_, m)| m.acts()) {
            let answer = http::request_within(ASKED, part.address, "GET", "/slaves", &[], b"");
            match &answer {
                Ok(answer) if answer.status == 200 => leaders.push(n),
                Ok(answer) if answer.status == 307 => {
                    redirects.extend(http::location(answer).map(|(address, _)| address));
                }
                Ok(_) | Err(_) => {}
            }
            seen.push(match answer {
                Ok(answer) => format!(
                    "master {n} answers {} {}",
                    answer.status,
                    answer.header("location").unwrap_or_default()
                ),
                Err(error) => format!("master {n}: {error}"),
            });
        }
        match leaders[..] {
            [leader]
                if leaders.len() + redirects.len() == seen.len()
                    && redirects.iter().all(|to| *to == self.master(leader)) =>
            {
                Ok(leader)
            }
            _ => Err(seen.join("; ")),
        }
    }

    /// Waits until exactly one master leads and the others know it.
    ///
    /// # Panics
    /// When that does not come to be, or a master has ended by itself.
    pub fn leader(&mut self) -> usize {
        wait_for("one master leads and the others know it", || {
            for (n, part) in self.masters.iter_mut().enumerate() {
                still_runs(&format!("master {n}"), &mut part.daemon);
            }
            self.try_leader()
        })
    }

    /// Waits until a master other than `old` leads.
    ///
    /// # Panics
    /// When that does not come to be.
    pub fn leader_after(&mut self, old: usize) -> usize {
        wait_for("another master leads", || match self.try_leader() {
            Ok(leader) if leader != old => Ok(leader),
            other => Err(other),
        })
    }

    /// JSON of the leading master.
    ///
    /// # Errors
    /// When there is no leader just now.
    pub fn try_get(&self, path: &str) -> Result<Value, String> {
        let leader = self.try_leader()?;
        let answer = http::request_within(ASKED, self.master(leader), "GET", path, &[], b"");
        serde_json::from_str(&ok(answer)?).map_err(|error| error.to_string())
    }

    /// Waits until the agent is active at the leading master; its id there.
    ///
    /// # Panics
    /// When it does not get there, or has ended by itself.
    pub fn wait_for_agent(&mut self, n: usize) -> String {
        let at = self.agents[n].address;
        wait_for("the agent is registered with the leader", || {
            still_runs(&format!("agent {n}"), &mut self.agents[n].daemon);
            let slaves = self.try_get("/slaves")?;
            let port = u64::from(at.port());
            let host = at.ip().to_string();
            let active = slaves["slaves"].as_array().into_iter().flatten();
            let mut active =
                active.filter(|slave| slave["active"] == true && slave["hostname"] == *host);
            let found = active.find(|slave| slave["port"] == port);
            let id = found.and_then(|slave| slave["id"].as_str());
            id.map(str::to_owned).ok_or_else(|| slaves.to_string())
        })
    }

    /// Waits until every agent is active at the leading master under the id it has had from the first.
    ///
    /// # Panics
    /// When one is not, or has another id.
    pub fn wait_for_agents(&mut self) {
        for n in 0..self.agents.len() {
            let id = self.wait_for_agent(n);
            assert_eq!(id, self.agent_id(n), "agent {n} keeps its id");
        }
    }

    /// Ends the cluster as an operator would, after the test's frameworks are torn down, and holds the
    /// daemons to leaving nothing behind.
    ///
    /// # Panics
    /// When a process, mount or cgroup of this cluster is left.
    pub fn finish(mut self) {
        for part in self.masters.iter_mut().chain(&mut self.agents) {
            if part.frozen {
                part.wake();
            }
        }
        for n in 0..self.agents.len() {
            if self.agents[n].daemon.pid().is_none() {
                continue;
            }
            let address = self.agent(n);
            wait_for("no container is left at the agent", || {
                let containers = ok(http::get(address, "/containers"))?;
                (containers == "[]").then_some(()).ok_or(containers)
            });
        }
        for part in self.agents.iter_mut().chain(&mut self.masters) {
            part.stop();
        }
        let roots: Vec<String> = (0..self.agents.len())
            .map(|n| self.cgroups_root(n))
            .collect();
        wait_up_to(
            Duration::from_secs(20),
            "the cluster leaves nothing behind",
            || {
                // Agents keep their root cgroups; what is below them are containers.
                let is_root = |path: &PathBuf| {
                    path.file_name()
                        .is_some_and(|name| roots.iter().any(|root| name == root.as_str()))
                };
                let mut cgroups = machine::cgroups_marked(&self.mark);
                cgroups.retain(|path| !is_root(path));
                let left = (
                    machine::processes_marked(&self.mark),
                    machine::mounts_below(&self.dir),
                    cgroups,
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

impl Drop for HaCluster {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        for part in self.agents.iter_mut().chain(&mut self.masters) {
            if failed {
                let tail = part.daemon.log_tail();
                eprintln!(
                    "--- the daemon at {}: the end of its log:\n{tail}",
                    part.address
                );
            }
            part.kill_9();
        }
        machine::clear(&self.mark, &self.dir);
        if failed || self.keep {
            eprintln!("--- logs and sandboxes are kept in {}", self.dir.display());
        } else if machine::mounts_below(&self.dir).is_empty() {
            // What cannot be removed shows up in scripts/leak-check. Never through a mount.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
