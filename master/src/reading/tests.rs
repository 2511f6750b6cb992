//! What a scripted session leaves behind, as every reading endpoint shows it.
use std::sync::Arc;

use mesos_http::{AllowAll, Authorizer, Bytes, Metrics, Router, logging::LogLevel};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::routes;
use crate::{
    Handle, MasterConfig,
    core::tests::world::World,
    counters::Counters,
    leadership::{Leadership, Term},
    state::{Published, Snapshot},
};

mod authorization;
mod cluster;
mod exchange;
mod metrics;
mod shape;
mod stream;

use cluster::cluster;

/// The routes over a state that the test publishes.
struct Master {
    published: Arc<Published>,
    service: mesos_http::Service,
    handle: Handle,
    stop: CancellationToken,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("headers are text"))
    }
}

impl Master {
    fn with(snapshot: Snapshot, config: MasterConfig, authorizer: Arc<dyn Authorizer>) -> Self {
        Self::counting(snapshot, config, authorizer, Arc::default())
    }

    fn counting(
        snapshot: Snapshot,
        config: MasterConfig,
        authorizer: Arc<dyn Authorizer>,
        counters: Arc<Counters>,
    ) -> Self {
        let published = Arc::new(Published::new(snapshot));
        let (commands, _) = mpsc::channel(1);
        let handle = Handle::new(
            published.clone(),
            Arc::new(config),
            counters,
            authorizer.clone(),
            Metrics::new(),
            LogLevel::new(0, |_| {}),
        );
        let stop = CancellationToken::new();
        handle.set_leadership(Leadership::Leading(Term {
            commands,
            master_id: "m".into(),
            election: 0,
            realm: 0,
            over: stop.clone(),
            lease: None,
        }));
        let mut router = Router::new(handle.clone())
            .prefix("/master")
            .authorizer(authorizer);
        routes(&mut router, &handle, stop.clone());
        Self {
            published,
            service: router.finish(),
            handle,
            stop,
        }
    }

    /// A master that shows what happened in a world.
    fn of(world: &mut World) -> Self {
        let snapshot = world.core.publish().0;
        let counters = world.core.counters().clone();
        Self::counting(
            snapshot,
            MasterConfig::default(),
            Arc::new(AllowAll),
            counters,
        )
    }

    async fn answer(&self, request: http::Request<String>) -> Answer {
        let request = request.map(http_body_util::Full::<Bytes>::from);
        let (head, body) = self
            .service
            .call(request, ([127, 0, 0, 1], 9).into())
            .await
            .into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .expect("the body comes whole");
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = http::Request::get(path).body(String::new());
        self.answer(request.expect("a request")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let request = http::Request::post(path).header("content-type", "application/json");
        self.answer(request.body(body.to_owned()).expect("a request"))
            .await
    }

    async fn call(&self, kind: &str) -> Answer {
        self.post("/api/v1", &format!(r#"{{"type":"{kind}"}}"#))
            .await
    }
}
