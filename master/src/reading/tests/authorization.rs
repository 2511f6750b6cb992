//! What a viewer may not see is not shown, anywhere.
use std::sync::Arc;

use mesos_http::{Action, Authorizer, Object};

use super::{Master, cluster};
use crate::MasterConfig;

/// Refuses one action.
struct Without(Action);

impl Authorizer for Without {
    fn authorize(&self, _: Option<&str>, action: Action, _: Object<'_>) -> bool {
        action != self.0
    }
}

/// What an endpoint or a call answers.
async fn answer(master: &Master, place: &str) -> String {
    let answer = if place.starts_with('/') {
        master.get(place).await
    } else {
        master.call(place).await
    };
    assert_eq!(answer.status, 200, "{place}");
    answer.text().to_owned()
}

#[tokio::test]
async fn the_authorizer_is_asked_for_each_kind_of_thing() {
    let task = r#""id":"long""#;
    let v1_task = r#""task_id":{"value":"long"}"#;
    let framework = r#""frameworks":[{"#;
    let executor = r#""executors":[{"#;
    for (action, hidden) in [
        (
            Action::ViewTask,
            &[
                ("/state", task),
                ("/tasks", task),
                ("GET_TASKS", v1_task),
                ("GET_STATE", v1_task),
            ][..],
        ),
        (
            Action::ViewFramework,
            &[
                ("/state", framework),
                ("/frameworks", framework),
                ("/state-summary", framework),
                ("/tasks", task),
                ("GET_FRAMEWORKS", framework),
                ("GET_TASKS", v1_task),
            ],
        ),
        (
            Action::ViewExecutor,
            &[("/state", executor), ("GET_EXECUTORS", executor)],
        ),
        (
            Action::ViewRole,
            &[("/roles", r#""weight""#), ("GET_ROLES", r#""weight""#)],
        ),
        (Action::ViewFlags, &[("/state", r#""flags":{"#)]),
    ] {
        let mut world = cluster();
        let snapshot = world.core.publish().0;
        let config = || MasterConfig {
            flags: [("ip".to_owned(), "127.0.0.1".to_owned())].into(),
            ..MasterConfig::default()
        };
        let all = Master::with(snapshot.clone(), config(), Arc::new(mesos_http::AllowAll));
        let some = Master::with(snapshot, config(), Arc::new(Without(action)));
        for (place, what) in hidden {
            assert!(
                answer(&all, place).await.contains(what),
                "{what} of {place} is shown to who may see it"
            );
            assert!(
                !answer(&some, place).await.contains(what),
                "{what} of {place} needs {action:?}"
            );
        }
    }
}

#[tokio::test]
async fn refused_calls_are_forbidden() {
    let mut world = cluster();
    let snapshot = world.core.publish().0;
    let id = snapshot.frameworks.keys().next().unwrap().to_string();
    for (action, answer) in [
        (Action::ViewFlags, "GET_FLAGS"),
        (
            Action::SetLogLevel,
            r#"SET_LOGGING_LEVEL","set_logging_level":{"level":1,"duration":{"nanoseconds":1}},"x":""#,
        ),
    ] {
        let master = Master::with(
            snapshot.clone(),
            MasterConfig::default(),
            Arc::new(Without(action)),
        );
        assert_eq!(master.call(answer).await.status, 403, "{answer}");
    }
    let master = Master::with(
        snapshot,
        MasterConfig::default(),
        Arc::new(Without(Action::TeardownFramework)),
    );
    let call = format!(r#"{{"type":"TEARDOWN","teardown":{{"framework_id":{{"value":"{id}"}}}}}}"#);
    assert_eq!(master.post("/api/v1", &call).await.status, 403);
    assert_eq!(
        master
            .post("/teardown", &format!("frameworkId={id}"))
            .await
            .status,
        403
    );
    let master = Master::with(
        world.core.state().clone(),
        MasterConfig::default(),
        Arc::new(Without(Action::GetEndpoint)),
    );
    for path in [
        "/metrics/snapshot",
        "/registrar(1)/registry",
        "/files/debug",
        "/logging/toggle",
    ] {
        assert_eq!(master.get(path).await.status, 403, "{path}");
    }
}
