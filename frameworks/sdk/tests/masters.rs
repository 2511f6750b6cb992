//! A framework over several masters: those that lead, those that do not, and those that are not ready yet.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesos_detector::{Detected, Detector, Leader};
use mesos_sdk::{
    Encoding, Error, MasterAddress,
    scheduler::{Happening, Session},
};
use mesos_wire::v1::FrameworkInfo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a fake master answers to everything.
#[derive(Debug, Clone)]
enum Manner {
    /// 307 to that one, without a scheme, as Mesos does.
    Follower(SocketAddr),
    /// 503.
    NotReady,
    /// SUBSCRIBED with this id and an open stream; 202 to other calls.
    Leader(&'static str),
}

/// A master that notes what it is asked.
#[derive(Clone)]
struct Fake {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            requests: Arc::default(),
        };
        let served = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        fake
    }

    fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn master(&self) -> MasterAddress {
        MasterAddress::new(self.address.ip().to_string(), self.address.port())
    }

    /// One request, one answer.
    async fn serve(&self, mut stream: TcpStream) {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        let complete = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                return false;
            };
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            body.len() >= length.unwrap_or(0)
        };
        while !complete(&text) {
            match stream.read(&mut buffer).await {
                Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
        let text = String::from_utf8(text).unwrap();
        self.requests.lock().unwrap().push(text.clone());
        let manner = self.manner.lock().unwrap().clone();
        let plain = |status: &str, headers: &str| {
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let answer = match manner {
            Manner::Follower(leader) => plain(
                "307 Temporary Redirect",
                &format!("Location: //{leader}/master/api/v1/scheduler\r\n"),
            ),
            Manner::NotReady => plain("503 Service Unavailable", ""),
            Manner::Leader(_) if !text.contains("\"SUBSCRIBE\"") => plain("202 Accepted", ""),
            Manner::Leader(id) => {
                let event = format!(
                    r#"{{"type":"SUBSCRIBED","subscribed":{{"framework_id":{{"value":"{id}"}},"heartbeat_interval_seconds":15}}}}"#
                );
                let record = format!("{}\n{event}", event.len());
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMesos-Stream-Id: of-{id}\r\n\
                     Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{record}\r\n",
                    record.len()
                )
            }
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains("chunked") {
            // Until the client leaves.
            let _ = stream.read(&mut buffer).await;
        }
    }
}

fn framework() -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: "test".to_owned(),
        ..FrameworkInfo::default()
    }
}

async fn next(session: &mut Session) -> Result<Happening, Error> {
    tokio::time::timeout(PATIENCE, session.next())
        .await
        .expect("something happens")
}

async fn subscribed(session: &mut Session) -> String {
    match next(session).await.unwrap() {
        Happening::Event(event) => event.subscribed.unwrap().framework_id.value,
        Happening::Disconnected(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_master_that_does_not_lead_shows_the_way() {
    let leader = Fake::start(Manner::NotReady).await;
    let follower = Fake::start(Manner::Follower(leader.address)).await;
    let mut session = Session::new(&follower.master(), Encoding::Json, framework(), PATIENCE);
    let watched = leader.clone();
    tokio::spawn(async move {
        // Elected, but still recovering: it is asked again and again.
        while watched.requests().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        watched.now(Manner::Leader("f-1"));
    });
    assert_eq!(subscribed(&mut session).await, "f-1");
    let asked = follower.requests().len();
    session.caller().revive().await.unwrap();
    // Calls go straight to the one that took the subscription.
    assert_eq!(follower.requests().len(), asked);
    let last = leader.requests().pop().unwrap();
    assert!(last.starts_with("POST /master/api/v1/scheduler "), "{last}");
    assert!(
        last.to_ascii_lowercase()
            .contains("mesos-stream-id: of-f-1"),
        "{last}"
    );
    assert!(last.contains("REVIVE") && last.contains("f-1"), "{last}");
}

#[tokio::test]
async fn masters_that_send_us_in_a_circle_are_left() {
    let one = Fake::start(Manner::NotReady).await;
    let other = Fake::start(Manner::Follower(one.address)).await;
    one.now(Manner::Follower(other.address));
    let mut session = Session::new(&one.master(), Encoding::Json, framework(), Duration::ZERO);
    let error = next(&mut session).await.unwrap_err();
    let Error::GaveUp { last, .. } = error else {
        panic!("{error:?}");
    };
    assert!(last.contains("more than 5 times"), "{last}");
    assert_eq!(one.requests().len() + other.requests().len(), 6);
}

#[tokio::test]
async fn a_new_leader_is_followed_though_the_old_one_keeps_its_stream_open() {
    let old = Fake::start(Manner::Leader("f-1")).await;
    let new = Fake::start(Manner::Leader("f-1")).await;
    let (sender, receiver) = watch::channel(Detected::default());
    let detector = Detector::following(receiver);
    let mut session = Session::following(detector, Encoding::Json, framework(), PATIENCE);
    let elect = |fake: &Fake, election| {
        sender.send_replace(Detected {
            leader: Some(Leader {
                election,
                ..Leader::fixed(&fake.master())
            }),
            connected: true,
            problem: None,
        });
    };
    // Nobody leads at first.
    tokio::select! {
        happening = session.next() => panic!("{happening:?}"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    elect(&old, 1);
    assert_eq!(subscribed(&mut session).await, "f-1");
    // Not to know is no reason to leave.
    sender.send_modify(|now| now.connected = false);
    sender.send_modify(|now| now.leader = None);
    session.caller().revive().await.unwrap();
    elect(&new, 2);
    let happening = next(&mut session).await.unwrap();
    assert!(
        matches!(happening, Happening::Disconnected(Error::Superseded { .. })),
        "{happening:?}"
    );
    assert_eq!(subscribed(&mut session).await, "f-1");
    assert!(new.requests()[0].contains(r#""value":"f-1""#));
    // The same master, elected again, has forgotten the stream.
    elect(&new, 3);
    assert!(matches!(
        next(&mut session).await,
        Ok(Happening::Disconnected(_))
    ));
    assert_eq!(subscribed(&mut session).await, "f-1");
    assert_eq!(new.requests().len(), 2);
}

#[tokio::test]
async fn who_asks_once_hears_why_there_is_no_leader() {
    let fixed = "127.0.0.1:5050".parse().unwrap();
    let found = mesos_sdk::leader(&fixed, Duration::ZERO).await.unwrap();
    assert_eq!(found.to_string(), "127.0.0.1:5050");
    // Nothing listens on the first port.
    let nowhere = "zk://127.0.0.1:1/mesos".parse().unwrap();
    let error = mesos_sdk::leader(&nowhere, Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoLeader { .. }), "{error:?}");
}
