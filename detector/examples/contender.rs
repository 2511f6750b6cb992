//! Stands for election and prints what it may believe, one line every few milliseconds:
//! `NANOSECONDS valid|over STATE`, by `CLOCK_MONOTONIC`. For tests that freeze it, and for a look at an ensemble.
//!
//!     cargo run -p mesos-detector --example contender -- zk://127.0.0.1:2181/mesos ID SESSION_TIMEOUT_MS

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use mesos_detector::{Candidacy, Contender, Settings, Source};
use mesos_wire::v1::MasterInfo;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, id, timeout] = &arguments[..] else {
        return Err("usage: contender zk://... ID SESSION_TIMEOUT_MS".into());
    };
    let source: Source = source.parse()?;
    let settings = Settings {
        session_timeout: Duration::from_millis(timeout.parse()?),
    };
    let info = MasterInfo {
        id: id.clone(),
        port: 5050,
        ..MasterInfo::default()
    };
    let contender = Contender::start(source, settings, info);
    let candidacy = contender.candidacy();
    loop {
        let (lease, now) = (contender.lease(), Instant::now());
        let state = match &*candidacy.borrow() {
            Candidacy::Joining { .. } => "joining",
            Candidacy::Joined(_) => "joined",
            Candidacy::Lost(_) => "lost",
            Candidacy::Withdrawn => "withdrawn",
        };
        let word = if lease.is_valid(now) { "valid" } else { "over" };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} {word} {state}", since_boot(now))?;
        out.flush()?;
        drop(out);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `Instant` shows no number; the distance to a reading of its own clock does.
fn since_boot(then: Instant) -> u128 {
    let uptime = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map(Duration::from)
        .unwrap_or_default();
    uptime.saturating_sub(then.elapsed()).as_nanos()
}
