//! Tasks that cannot run: each ends in one terminal update whose message says what to do.

use std::net::TcpListener;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker};
use serde_json::{Value, json};

/// Launches one task that must end badly; its last status.
fn ends_badly(name: &str, task: impl FnOnce(&TestCluster) -> Task) -> Value {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), name);
    let task = task(&cluster);
    let id = task.id().to_owned();
    scheduler.launch(vec![task]);
    let end = scheduler.wait_end(&id);
    assert_ne!(end["state"], "TASK_FINISHED", "{end:#}");
    scheduler.teardown();
    cluster.finish();
    end
}

fn says(status: &Value, words: &[&str]) {
    let message = status["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(
            message.contains(word),
            "the message should speak of `{word}`: {status:#}"
        );
    }
}

#[test]
fn docker_refuses_host_port_0() {
    let end = ends_badly("port-0", |cluster| {
        Task::new("port-0")
            .docker(docker::python_image())
            .bridge(0, 8080)
            .shell("sleep 1000")
            .needs(0.1, 32.0, &[cluster.port(0)])
    });
    says(&end, &["port", "0"]);
}

#[test]
fn docker_refuses_a_host_port_that_the_task_does_not_hold() {
    let mut other = 0;
    let end = ends_badly("port-not-held", |cluster| {
        other = cluster.port(1);
        Task::new("port-not-held")
            .docker(docker::python_image())
            .bridge(other, 8080)
            .shell("sleep 1000")
            .needs(0.1, 32.0, &[cluster.port(0)])
    });
    says(&end, &["port", &other.to_string()]);
}

#[test]
fn a_port_that_is_not_in_the_offer_is_invalid() {
    let end = ends_badly("port-not-offered", |_| {
        Task::new("port-not-offered")
            .shell("sleep 1000")
            .needs(0.1, 32.0, &[19_999])
    });
    assert_eq!(end["state"], "TASK_ERROR", "{end:#}");
    assert_eq!(end["reason"], "REASON_TASK_INVALID");
    says(&end, &["ports"]);
}

#[test]
fn docker_tells_of_a_port_that_is_taken_on_the_host() {
    let mut taken = None;
    let end = ends_badly("port-taken", |cluster| {
        let port = cluster.port(0);
        taken = Some(TcpListener::bind(("0.0.0.0", port)).unwrap());
        Task::web_service(cluster, "port-taken", port)
    });
    let port = taken.unwrap().local_addr().unwrap().port();
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    says(&end, &["port", &port.to_string()]);
}

#[test]
fn docker_names_an_image_that_does_not_exist() {
    // Nothing listens on port 9 of this address, so the engine fails at once, without network.
    let image = "127.0.0.1:9/no/such-image:1";
    let end = ends_badly("no-image", |_| {
        Task::new("no-image").docker(image).shell("true")
    });
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    says(&end, &[image]);
}

#[test]
fn a_command_that_is_not_there_fails_in_both_containerizers() {
    let end = ends_badly("no-command", |_| {
        Task::new("no-command").shell("no-such-command-at-all")
    });
    assert_eq!(end["state"], "TASK_FAILED");
    says(&end, &["127"]);
    let end = ends_badly("no-program", |_| {
        Task::new("no-program").program("/no/such/program", &["program"])
    });
    assert_eq!(end["state"], "TASK_FAILED");
    let end = ends_badly("no-command-docker", |_| {
        Task::new("no-command-docker")
            .docker(docker::python_image())
            .program("no-such-program", &[])
    });
    assert_eq!(end["state"], "TASK_FAILED");
    says(&end, &["no-such-program"]);
}

#[test]
fn an_unknown_user_is_named() {
    let end = ends_badly("no-user", |_| {
        Task::new("no-user").shell("true").user("no-such-user")
    });
    says(&end, &["no-such-user"]);
}

#[test]
fn a_task_beyond_the_offer_is_invalid() {
    let end = ends_badly("too-big", |_| {
        Task::new("too-big").shell("true").needs(64.0, 32.0, &[])
    });
    assert_eq!(end["state"], "TASK_ERROR");
    assert_eq!(end["reason"], "REASON_TASK_INVALID");
    assert!(end["uuid"].is_null(), "nothing to acknowledge: {end:#}");
}

#[test]
fn an_isolated_container_type_without_its_info_is_invalid() {
    let end = ends_badly("no-docker-info", |_| {
        Task::new("no-docker-info")
            .shell("true")
            .field("container", json!({"type": "DOCKER"}))
    });
    assert!(
        end["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{end:#}"
    );
}
