//! The real ZooKeeper, through `scripts/start-zookeeper`: one server or an ensemble, whose members can be
//! killed, frozen, started again and moved.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::executables::repository;
use crate::loopback::Claim;
use crate::wait::wait_until;

/// How a ZooKeeper is started, in milliseconds per tick: sessions can be as short as two of them.
const TICK_MS: u32 = 200;

/// ZooKeeper servers at an address of their own, with a folder of their own. Ended and removed when dropped.
#[derive(Debug)]
pub struct ZooKeeper {
    claim: Claim,
    dir: PathBuf,
    members: Vec<SocketAddr>,
}

impl ZooKeeper {
    /// One server.
    ///
    /// # Panics
    /// When it does not start, with what it said.
    pub fn standalone() -> Self {
        Self::start(1)
    }

    /// Three servers.
    ///
    /// # Panics
    /// When they do not start, with what they said.
    pub fn ensemble() -> Self {
        Self::start(3)
    }

    fn start(members: usize) -> Self {
        let mut zookeeper = Self {
            claim: Claim::new(),
            dir: std::env::temp_dir()
                .join(format!("mesos-rs-zk-{}", uuid::Uuid::new_v4().simple())),
            members: Vec::new(),
        };
        zookeeper.place(members);
        zookeeper
    }

    fn place(&mut self, members: usize) {
        let ip = self.claim.ip.to_string();
        let count = members.to_string();
        let printed = self.script(&["-n", &count, "-a", &ip, "-p", "auto"]);
        self.members = printed
            .trim()
            .split(',')
            .map(|server| server.parse().expect("the script prints addresses"))
            .collect();
        assert_eq!(self.members.len(), members);
    }

    fn script(&self, arguments: &[&str]) -> String {
        let program = repository().join("scripts/start-zookeeper");
        let output = Command::new(&program)
            .arg("-d")
            .arg(&self.dir)
            .args(["-t", &TICK_MS.to_string()])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(
            output.status.success(),
            "{} {arguments:?} failed (scripts/setup installs what it needs): {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `HOST1:PORT1,HOST2:PORT2`.
    pub fn connect_string(&self) -> String {
        let servers: Vec<String> = self.members.iter().map(ToString::to_string).collect();
        servers.join(",")
    }

    /// `zk://HOST1:PORT1,.../PATH`, as daemons take it.
    pub fn url(&self, path: &str) -> String {
        format!("zk://{}{path}", self.connect_string())
    }

    /// The servers' address, which nothing else uses.
    pub fn ip(&self) -> Ipv4Addr {
        self.claim.ip
    }

    /// Where members listen for clients.
    pub fn members(&self) -> &[SocketAddr] {
        &self.members
    }

    /// The folder with members' data, logs and pids.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many sessions a member serves.
    pub fn sessions(&self, member: usize) -> usize {
        ask(self.members[member], "cons")
            .lines()
            .filter(|line| line.contains("sid=0x") && !line.contains("sid=0x0,"))
            .count()
    }

    /// The member that leads the ensemble, if there is a quorum.
    pub fn leader(&self) -> Option<usize> {
        self.members
            .iter()
            .position(|member| ask(*member, "srvr").contains("Mode: leader"))
    }

    /// Whether the ensemble has a leader and yet carries out nothing: requests pile up at every member that runs.
    ///
    /// ZooKeeper 3.8 gets there when all followers lose a leader that is slow, after they have logged a change and
    /// before it has heard of that, and come back before it gives up: the change is never acknowledged again,
    /// and all later ones wait for it. Seen at a load of 24 on two processors; it ends with a restart.
    pub fn hangs(&self) -> bool {
        let piled_up = |member: &SocketAddr| {
            let answer = ask(*member, "srvr");
            let outstanding = answer
                .lines()
                .find_map(|line| line.strip_prefix("Outstanding: ")?.parse::<u64>().ok());
            outstanding.is_none_or(|count| count > 20)
        };
        self.leader().is_some() && self.members.iter().all(piled_up)
    }

    /// SIGKILL to one member, counted from 0.
    pub fn kill_9(&self, member: usize) {
        self.signal(member, Signal::SIGKILL);
        let address = self.members[member];
        wait_until("the killed member is gone", || {
            TcpStream::connect(address).is_err()
        });
    }

    /// SIGKILL to all.
    pub fn kill_all(&self) {
        for member in 0..self.members.len() {
            if self.pid(member).is_some() {
                self.kill_9(member);
            }
        }
    }

    /// Stops a member without ending it, as a machine that hangs.
    pub fn freeze(&self, member: usize) {
        self.signal(member, Signal::SIGSTOP);
    }

    /// Lets a frozen member go on.
    pub fn thaw(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    /// Starts one member again; the others must be enough for a quorum with it.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn restart(&self, member: usize) {
        self.script(&["-i", &(member + 1).to_string()]);
    }

    /// Starts all members that do not run.
    ///
    /// # Panics
    /// When they do not serve.
    pub fn restart_all(&self) {
        self.script(&[]);
    }

    /// Ends all members and starts them at other ports with the same data.
    ///
    /// # Panics
    /// When they do not serve there.
    pub fn move_elsewhere(&mut self) {
        self.kill_all();
        let old = self.members.clone();
        // A socket in TIME_WAIT or a new claimant of the old ports must not matter: take a new address.
        self.claim = Claim::new();
        std::fs::remove_file(self.dir.join("place")).expect("it has a place");
        self.place(old.len());
        assert_ne!(old, self.members);
    }

    /// Ends all members and starts new ones with nothing in them, at other ports.
    ///
    /// # Panics
    /// When they do not serve.
    pub fn lose_everything(&mut self) {
        self.kill_all();
        for member in 1..=self.members.len() {
            std::fs::remove_dir_all(self.dir.join(member.to_string())).expect("it has data");
        }
        self.claim = Claim::new();
        std::fs::remove_file(self.dir.join("place")).expect("it has a place");
        self.place(self.members.len());
    }

    fn pid(&self, member: usize) -> Option<Pid> {
        let text = std::fs::read_to_string(self.dir.join(format!("zk{}.pid", member + 1))).ok()?;
        let mut words = text.split_whitespace();
        let pid: i32 = words.next()?.parse().ok()?;
        // The same process still, not another with its number.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start = stat.rsplit_once(") ")?.1.split_whitespace().nth(19)?;
        (words.next() == Some(start)).then_some(Pid::from_raw(pid))
    }

    fn signal(&self, member: usize, signal: Signal) {
        let pid = self
            .pid(member)
            .unwrap_or_else(|| panic!("member {member} does not run"));
        kill(pid, signal).expect("our own process");
    }
}

/// A four-letter word and the answer; empty when nobody answers.
fn ask(server: SocketAddr, word: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect_timeout(&server, Duration::from_secs(5)) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = stream.write_all(word.as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        let program = repository().join("scripts/stop-zookeeper");
        for member in 0..self.members.len() {
            if let Some(pid) = self.pid(member) {
                // Nothing in it is worth an orderly end.
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        let _ = Command::new(program)
            .arg("-d")
            .arg(&self.dir)
            .arg("-r")
            .status();
    }
}
