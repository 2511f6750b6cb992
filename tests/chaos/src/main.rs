//! Kills and freezes random parts of a cluster at random moments, and holds it to losing nothing.
//!
//! Three masters, three ZooKeeper servers, two agents, a framework that launches and ends tasks all the time.
//! After each round exactly one master leads, agents and frameworks are back under their ids, every task runs
//! in the process it had or was reported to the framework with the state it should have, and new tasks can be
//! launched on every agent. Nothing but a supervisor's restart of what was killed helps it.

#![forbid(unsafe_code)]

mod figures;
mod hangs;
mod harm;
mod ledger;
mod promises;
mod watch;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use mesos_test_support::HaCluster;
use mesos_test_support::framework::Framework;
use mesos_test_support::scheduler::framework_info;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::figures::Figures;
use crate::hangs::Hangs;
use crate::harm::{Harm, How};
use crate::ledger::Ledger;
use crate::promises::Promises;
use crate::watch::Watch;

/// How long agents and frameworks may take to come back, and a task to be launched.
const BACK: Duration = Duration::from_secs(60);
/// How long a part stays away, at most. Longer than a session with ZooKeeper lives, shorter than an agent
/// takes to be called unreachable.
const AWAY: Duration = Duration::from_secs(9);
/// How soon something fails again, at most, and comes back then.
const AGAIN: Duration = Duration::from_millis(1500);
/// Tasks that are kept running.
const TASKS: usize = 10;

#[derive(Debug, Parser)]
#[command(about = "Kills and freezes random parts of a cluster, and holds it to losing nothing")]
struct Arguments {
    /// How often something fails.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// What makes two runs choose the same failures; printed when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// For how many seconds nobody may lead.
    #[arg(long, default_value_t = 30)]
    leaderless: u64,
    /// Masters call an agent unreachable after 3 s, so that it often comes back from that.
    #[arg(long)]
    impatient: bool,
    /// Keep logs and sandboxes also when nothing was wrong.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("{} rounds with --seed {seed}", arguments.rounds);
    let mut chaos = Chaos::start(
        seed,
        Duration::from_secs(arguments.leaderless),
        arguments.impatient,
    );
    if arguments.keep {
        chaos.cluster.keep();
    }
    let mut violations = 0;
    for round in 1..=arguments.rounds {
        let found = chaos.round(round);
        violations += found.len();
        for violation in found {
            println!("VIOLATION in round {round}: {violation}");
            chaos.cluster.keep();
        }
    }
    chaos.figures.print();
    println!(
        "tasks: {} ended as they should, {} never launched and reported so, {} times unreachable for a while, \
         {} run at the end",
        chaos.ledger.ended,
        chaos.ledger.refused,
        ledger::unreachable(&chaos.framework),
        chaos.ledger.running()
    );
    println!("ZooKeeper hung by itself: {} times", chaos.hangs.count);
    println!("violations: {violations}");
    chaos.end();
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Chaos {
    cluster: HaCluster,
    leaderless: Duration,
    hangs: Hangs,
    random: StdRng,
    framework: Framework,
    /// Of every framework that ever subscribed.
    ids: HashSet<String>,
    ledger: Ledger,
    promises: Promises,
    watch: Watch,
    figures: Figures,
}

/// What is done in a round, in a random order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Strike(Harm),
    Launch,
    End,
    Promise,
}

impl Chaos {
    fn start(seed: u64, leaderless: Duration, impatient: bool) -> Self {
        let flags: &[&str] = if impatient {
            &["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"]
        } else {
            &[]
        };
        let mut cluster = HaCluster::builder()
            .agents(2)
            .ensemble()
            .first_master_relayed()
            .master(flags)
            .start();
        cluster.leader();
        let framework = Framework::start(cluster.masters(), framework_info("chaos"));
        Self {
            random: StdRng::seed_from_u64(seed),
            ids: HashSet::from([framework.id()]),
            ledger: Ledger::new(&cluster.dir().join("tasks")),
            promises: Promises::default(),
            watch: Watch::start(cluster.masters()),
            figures: Figures::default(),
            framework,
            cluster,
            leaderless,
            hangs: Hangs::default(),
        }
    }

    fn round(&mut self, round: usize) -> Vec<String> {
        let mut violations = Vec::new();
        let hung = self.hangs.time;
        let Some(leader) = self.wait(self.leaderless, |chaos| chaos.cluster.try_leader().ok())
        else {
            return vec![format!("nobody leads: {:?}", self.cluster.try_leader())];
        };
        self.watch.outage();
        let harms = self.choose(leader);
        let name = match &harms[..] {
            [one] => one.to_string(),
            _ => "two at once".to_owned(),
        };
        let told: Vec<String> = harms.iter().map(ToString::to_string).collect();
        let told = told.join(" and ");
        let began = Instant::now();
        self.act(&harms);
        // As long as too much is away, nobody can lead.
        let patience = if Harm::leave_no_leader(&harms) {
            self.leaderless + began.elapsed()
        } else {
            self.leaderless
        };
        let began = Instant::now();
        let mut ended = Vec::new();
        let back = self.wait(self.leaderless + BACK, |chaos| {
            ended.extend(chaos.cluster.revive());
            chaos.all_back().ok()
        });
        violations.extend(ended);
        let back_after = began.elapsed();
        if back.is_none() {
            violations.push(format!("not all are back: {:?}", self.all_back().err()));
        }
        violations.extend(self.settle());
        violations.extend(self.settle_with(Ledger::reconcile));
        violations.extend(self.launch_everywhere());
        violations.extend(self.passer_by());
        if let Ok(leader) = self.cluster.try_leader() {
            let kept = self.promises.check(self.cluster.master(leader));
            violations.extend(kept.err());
        }
        violations.extend(ledger::risen(&self.framework));
        violations.extend(self.watch.violations());
        let (outage, changes) = self.watch.outage();
        let patience = patience + (self.hangs.time - hung);
        if outage > patience {
            violations.push(format!("nobody led for {outage:?}, more than {patience:?}"));
        }
        let framework_problems = std::mem::take(&mut self.framework.notes().problems);
        violations.extend(framework_problems);
        println!(
            "round {round}: {told}: {:.2} s without a leader, {changes} changes, {:.2} s until all were back, {} tasks",
            outage.as_secs_f64(),
            back_after.as_secs_f64(),
            self.ledger.running(),
        );
        self.figures.add(&name, outage, back_after, changes);
        violations
    }

    /// One failure, or two of different parts.
    fn choose(&mut self, leader: usize) -> Vec<Harm> {
        let mut harms = vec![Harm::any(&mut self.random, &self.cluster, leader)];
        if self.random.random_bool(0.3) {
            let second = Harm::any(&mut self.random, &self.cluster, leader);
            if !harms.iter().any(|first| first.same_part(&second)) {
                harms.push(second);
            }
        }
        harms
    }

    /// Launches and ends tasks while parts fail, and lets the parts come back.
    fn act(&mut self, harms: &[Harm]) {
        let mut steps: Vec<Step> = harms.iter().copied().map(Step::Strike).collect();
        steps.extend([Step::Launch; 3]);
        let surplus = (self.ledger.running() + 3)
            .saturating_sub(TASKS)
            .clamp(1, 10);
        steps.extend(std::iter::repeat_n(Step::End, surplus));
        steps.extend([Step::Promise; 2]);
        steps.shuffle(&mut self.random);
        for step in steps {
            match step {
                Step::Strike(harm) => harm.strike(&mut self.cluster),
                Step::Launch => {
                    self.ledger.launch(&self.framework, None);
                }
                Step::Promise => self.promise(),
                Step::End => {
                    let n = self.random.random_range(0..1000);
                    let way = self.random.random_range(0..3);
                    self.ledger.end(&self.framework, n, way);
                }
            }
            self.pause(Duration::from_millis(300));
        }
        // A server that is started waits for a quorum, and would wait for one that is frozen.
        let mut harms = harms.to_vec();
        harms.sort_by_key(|harm| harm.how != How::Freeze);
        for harm in harms {
            self.pause(AWAY);
            // While it is away, too.
            self.ledger.launch(&self.framework, None);
            harm.undo(&mut self.cluster);
            if harm.how == How::Freeze {
                // What it had half done goes on at this moment.
                self.ledger.launch(&self.framework, None);
            }
            if self.random.random_bool(0.3) {
                // Again, while it recovers.
                self.pause(AGAIN);
                harm.strike(&mut self.cluster);
                self.pause(AGAIN);
                harm.undo(&mut self.cluster);
            }
        }
    }

    /// An operator changes a weight, at whichever master: one that does not lead changes nothing.
    fn promise(&mut self) {
        let masters = self.cluster.masters();
        let role = format!("role-{}", self.random.random_range(0..5));
        let weight = f64::from(self.random.random_range(2..1000));
        let leader = self.framework.notes().stream.as_ref().map(|(at, _)| *at);
        let any = self.random.random_range(0..masters.len());
        let at = leader.or_else(|| masters.get(any).copied());
        if let Some(at) = at {
            self.promises.change(at, &role, weight);
        }
    }

    fn pause(&mut self, longest: Duration) {
        let pause = self.random.random_range(Duration::ZERO..longest);
        std::thread::sleep(pause);
    }

    /// Looks until there is an answer, for at most `limit`.
    fn wait<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let (began, hung) = (Instant::now(), self.hangs.time);
        loop {
            if let Some(found) = look(self) {
                return Some(found);
            }
            self.hangs.look(self.cluster.zookeeper());
            if began.elapsed() > limit + (self.hangs.time - hung) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One leader, all agents active there under their ids, the framework subscribed there.
    fn all_back(&mut self) -> Result<(), String> {
        let leader = self.cluster.try_leader()?;
        let slaves = self.cluster.try_get("/slaves")?;
        for n in 0..self.cluster.agents().len() {
            let id = self.cluster.agent_id(n);
            let mut all = slaves["slaves"].as_array().into_iter().flatten();
            if !all.any(|slave| slave["id"] == id && slave["active"] == true) {
                return Err(format!("agent {n} ({id}) is not active"));
            }
        }
        let stream = self.framework.notes().stream.clone();
        match stream {
            Some((at, _)) if at == self.cluster.master(leader) => Ok(()),
            other => Err(format!("the framework is subscribed at {other:?}")),
        }
    }

    /// A new task runs on each agent.
    fn launch_everywhere(&mut self) -> Vec<String> {
        let mut violations = Vec::new();
        for n in 0..self.cluster.agents().len() {
            let agent = self.cluster.agent_id(n).to_owned();
            let launched = self.wait(BACK, |chaos| {
                let launched = chaos.ledger.launch(&chaos.framework, Some(&agent));
                launched.then_some(())
            });
            if launched.is_none() {
                violations.push(format!("no task can be launched on agent {n} ({agent})"));
            }
        }
        let before = self.ledger.refused;
        violations.extend(self.settle());
        if self.ledger.refused != before {
            violations.push("a task that was launched when all was well never ran".to_owned());
        }
        violations
    }

    fn settle(&mut self) -> Vec<String> {
        self.settle_with(Ledger::settle)
    }

    /// Lets the ledger wait for something, and looks after ZooKeeper meanwhile.
    fn settle_with(
        &mut self,
        wait: fn(&mut Ledger, &Framework, &mut dyn FnMut() -> Duration) -> Vec<String>,
    ) -> Vec<String> {
        let (hangs, zookeeper) = (&mut self.hangs, self.cluster.zookeeper());
        let hung = hangs.time;
        wait(&mut self.ledger, &self.framework, &mut || {
            hangs.look(zookeeper);
            hangs.time - hung
        })
    }

    /// Another framework gets an id that nobody had.
    fn passer_by(&mut self) -> Vec<String> {
        self.wait(self.leaderless, |chaos| chaos.cluster.try_leader().ok());
        let framework = Framework::start(self.cluster.masters(), framework_info("passes-by"));
        let id = framework.id();
        framework.teardown();
        if self.ids.insert(id.clone()) {
            Vec::new()
        } else {
            vec![format!("the framework id {id} was issued twice")]
        }
    }

    fn end(self) {
        self.framework.teardown();
        drop(self.watch);
        self.cluster.finish();
    }
}
