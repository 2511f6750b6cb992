//! The agent's end of the control stream: connects to the master that leads, hands messages over both ways,
//! connects again.
//!
//! What messages mean is the core's business; here is only the connection.

mod link;

use std::time::Duration;

use mesos_control::v1::{AgentMessage, agent_control_client::AgentControlClient};
use mesos_detector::{Detected, Leader, MasterAddress};
use rand::Rng as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::core::{Event, SessionId};
pub(crate) use link::{Command, Link, link};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the master may take to answer the opening of a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Pings of the connection itself, so that a dead peer is noticed without traffic.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest message of the master, in bytes: a task with everything that a framework may put into it.
const MAX_MESSAGE: usize = 64 << 20;
/// Messages on their way into the connection.
const OUTBOUND: usize = 1024;
/// Pauses between attempts, in milliseconds: short at first, so that a restarted master finds its
/// agents again within a second; spread, so that they do not all come at once.
const QUICK: std::ops::Range<u64> = 100..250;
const SLOW: std::ops::Range<u64> = 250..500;
/// Attempts that are made quickly.
const QUICK_ATTEMPTS: u32 = 40;

/// Keeps a session with the master that leads until `stop`. Pauses between attempts are at most
/// `longest_pause` (`--registration_backoff_factor`); a new leader is not waited for.
pub(crate) async fn run(
    mut masters: watch::Receiver<Detected>,
    longest_pause: Duration,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut session: SessionId = 0;
    let mut failures = 0;
    let mut told = false;
    loop {
        let Some((leader, master)) = stop
            .run_until_cancelled(leader(&mut masters))
            .await
            .flatten()
        else {
            return;
        };
        session += 1;
        // Ends with the agent, or with the leadership of this master.
        let over = stop.child_token();
        let (left, outcome) = {
            let attempt = attempt(&master, session, commands, &events, &over);
            let mut attempt = std::pin::pin!(attempt);
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = &mut attempt => outcome,
                () = superseded(&mut masters, &leader) => {
                    over.cancel();
                    attempt.await
                }
            }
        };
        commands = left;
        if events.send(Event::SessionLost(session)).await.is_err() {
            return;
        }
        if masters.borrow().supersedes(&leader) {
            (failures, told) = (0, false);
            continue;
        }
        match outcome {
            Ok(()) => {
                failures = 0;
                told = false;
            }
            Err(problem) => {
                failures += 1;
                if std::mem::replace(&mut told, true) {
                    tracing::debug!(%master, problem, "cannot reach the master");
                } else {
                    tracing::warn!(%master, problem, "cannot reach the master; trying again and again");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause(failures).min(longest_pause)) => {}
            () = superseded(&mut masters, &leader) => (failures, told) = (0, false),
        }
    }
}

/// The leader, as soon as there is one that can be reached; `None` when nobody looks for it any more.
async fn leader(masters: &mut watch::Receiver<Detected>) -> Option<(Leader, MasterAddress)> {
    loop {
        let now = masters.borrow_and_update().clone();
        if let (Some(leader), Some(address)) = (now.leader.clone(), now.address()) {
            return Some((leader, address));
        }
        masters.changed().await.ok()?;
    }
}

/// Answers when another master leads than `leader`.
async fn superseded(masters: &mut watch::Receiver<Detected>, leader: &Leader) {
    if masters
        .wait_for(|now| now.supersedes(leader))
        .await
        .is_err()
    {
        // Nobody looks any more, so nobody else will be found.
        std::future::pending::<()>().await;
    }
}

fn pause(failures: u32) -> Duration {
    let range = if failures < QUICK_ATTEMPTS {
        QUICK
    } else {
        SLOW
    };
    Duration::from_millis(rand::rng().random_range(range))
}

type Attempt = (mpsc::Receiver<Command>, Result<(), String>);

/// One session, from the connection to its end. `Ok`: there was one.
async fn attempt(
    master: &MasterAddress,
    session: SessionId,
    mut commands: mpsc::Receiver<Command>,
    events: &mpsc::Sender<Event>,
    over: &CancellationToken,
) -> Attempt {
    let superseded = || Err("another master leads".to_owned());
    let endpoint = match Endpoint::from_shared(master.url("")) {
        Ok(endpoint) => endpoint,
        Err(error) => return (commands, Err(error.to_string())),
    };
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let channel = match over.run_until_cancelled(endpoint.connect()).await {
        Some(Ok(channel)) => channel,
        Some(Err(error)) => return (commands, Err(crate::core::chain(&error))),
        None => return (commands, superseded()),
    };
    if events.send(Event::SessionWanted(session)).await.is_err() {
        return (commands, Ok(()));
    }
    let opening = over
        .run_until_cancelled(opening(session, &mut commands))
        .await;
    let opening = match opening {
        Some(Some(opening)) => opening,
        None => return (commands, superseded()),
        Some(None) => {
            return (
                commands,
                Err("the agent has nothing to open a session with".to_owned()),
            );
        }
    };
    let (out, outbound) = mpsc::channel(OUTBOUND);
    let end = over.child_token();
    let pump = tokio::spawn(pump(session, opening, commands, out, end.clone()));
    let mut client = AgentControlClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let opened = tokio::time::timeout(OPEN_TIMEOUT, client.session(ReceiverStream::new(outbound)));
    let result = match over.run_until_cancelled(opened).await {
        None => superseded(),
        Some(Err(_)) => Err("the master does not answer".to_owned()),
        Some(Ok(Err(status))) => Err(status.message().to_owned()),
        Some(Ok(Ok(response))) => {
            let mut inbound = response.into_inner();
            loop {
                let message = tokio::select! {
                    () = end.cancelled() => break,
                    message = inbound.message() => message,
                };
                match message {
                    Ok(Some(message)) => {
                        let event = Event::Master(session, Box::new(message));
                        if events.send(event).await.is_err() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(%status, "the session with the master broke");
                        break;
                    }
                }
            }
            Ok(())
        }
    };
    end.cancel();
    match pump.await {
        Ok(commands) => (commands, result),
        // A panic in the pump is a bug, and there is nothing to send with any more.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Waits for what the core opens this session with; commands of earlier sessions are too late.
async fn opening(
    session: SessionId,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<Vec<AgentMessage>> {
    loop {
        match tokio::time::timeout(OPEN_TIMEOUT, commands.recv()).await {
            Ok(Some(Command::Open(id, messages))) if id == session => return Some(messages),
            Ok(Some(Command::Close(id))) if id == session => return None,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Moves messages from the core into the connection; gives the receiver back at the session's end.
async fn pump(
    session: SessionId,
    opening: Vec<AgentMessage>,
    mut commands: mpsc::Receiver<Command>,
    out: mpsc::Sender<AgentMessage>,
    end: CancellationToken,
) -> mpsc::Receiver<Command> {
    for message in opening {
        let sent = end.run_until_cancelled(out.send(message)).await;
        if !matches!(sent, Some(Ok(()))) {
            end.cancel();
            return commands;
        }
    }
    loop {
        let Some(command) = end.run_until_cancelled(commands.recv()).await else {
            return commands;
        };
        match command {
            Some(Command::Send(id, message)) if id == session => {
                let sent = end.run_until_cancelled(out.send(*message)).await;
                if !matches!(sent, Some(Ok(()))) {
                    end.cancel();
                    return commands;
                }
            }
            Some(Command::Close(id)) if id == session => {
                end.cancel();
                return commands;
            }
            Some(_) => {}
            None => {
                end.cancel();
                return commands;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_enough_to_be_back_within_a_second() {
        for failures in 0..100 {
            let pause = pause(failures);
            assert!(pause >= Duration::from_millis(100));
            assert!(pause < Duration::from_millis(500));
        }
    }
}
