//! GET_STATE and GET_TASKS, put together from the encoded forms that the tasks keep.
use mesos_wire::{
    Encoding, Splice, encode,
    v1::master::{
        Event, Response,
        event::{self, Subscribed},
        response::{GetState, GetTasks, Type},
    },
};

use super::answers;
use crate::{
    reading::Viewer,
    state::{Framework, Snapshot, Task},
};

/// Bytes for what is neither a task nor in proportion to the tasks.
const ROOM: usize = 64 * 1024;

/// The tasks that the viewer may see, in one of the three lists.
fn list<'a>(
    snapshot: &'a Snapshot,
    viewer: &'a Viewer,
    encoding: Encoding,
    of: impl Fn(&'a Framework) -> Box<dyn Iterator<Item = &'a std::sync::Arc<Task>> + 'a> + 'a,
) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    for framework in answers::frameworks(snapshot, viewer) {
        let seen = of(framework).filter(|task| viewer.task(task, &framework.info));
        found.extend(seen.map(|task| task.encoded(encoding)));
    }
    found
}

/// The message `GetTasks`: also those of completed frameworks.
fn get_tasks(snapshot: &Snapshot, viewer: &Viewer, encoding: Encoding) -> Vec<u8> {
    let tasks = list(snapshot, viewer, encoding, |framework| {
        Box::new(framework.tasks.values())
    });
    let unreachable = list(snapshot, viewer, encoding, |framework| {
        Box::new(framework.unreachable_tasks.values())
    });
    let completed = list(snapshot, viewer, encoding, |framework| {
        Box::new(framework.completed_tasks.iter())
    });
    // Each with its tag and length, or its comma.
    let size: usize = [&tasks, &unreachable, &completed]
        .into_iter()
        .flatten()
        .map(|task| task.len() + 8)
        .sum();
    let mut message = Splice::new::<GetTasks>(encoding, size + ROOM);
    message.list("tasks", tasks);
    message.list("unreachable_tasks", unreachable);
    message.list("completed_tasks", completed);
    message.finish()
}

/// The message `GetState`.
fn get_state(snapshot: &Snapshot, viewer: &Viewer, encoding: Encoding) -> Vec<u8> {
    let tasks = get_tasks(snapshot, viewer, encoding);
    let executors = encode(encoding, &answers::executors(snapshot, viewer));
    let frameworks = encode(encoding, &answers::get_frameworks(snapshot, viewer));
    let agents = encode(encoding, &answers::agents(snapshot, viewer));
    let size = tasks.len() + executors.len() + frameworks.len() + agents.len();
    let mut message = Splice::new::<GetState>(encoding, size + ROOM);
    message.message("get_tasks", &tasks);
    message.message("get_executors", &executors);
    message.message("get_frameworks", &frameworks);
    message.message("get_agents", &agents);
    message.finish()
}

fn answer(encoding: Encoding, kind: Type, name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = Response::default();
    head.set_type(kind);
    let mut message = Splice::new::<Response>(encoding, content.len() + ROOM);
    message.fields(&head);
    message.message(name, content);
    message.finish()
}

/// The whole answer to GET_TASKS.
pub(super) fn tasks_answer(snapshot: &Snapshot, viewer: &Viewer, encoding: Encoding) -> Vec<u8> {
    let content = get_tasks(snapshot, viewer, encoding);
    answer(encoding, Type::GetTasks, "get_tasks", &content)
}

/// The whole answer to GET_STATE.
pub(super) fn state_answer(snapshot: &Snapshot, viewer: &Viewer, encoding: Encoding) -> Vec<u8> {
    let content = get_state(snapshot, viewer, encoding);
    answer(encoding, Type::GetState, "get_state", &content)
}

/// The first event of an operator's stream.
pub(super) fn subscribed_event(
    snapshot: &Snapshot,
    viewer: &Viewer,
    encoding: Encoding,
    heartbeat_seconds: f64,
) -> Vec<u8> {
    let state = get_state(snapshot, viewer, encoding);
    let mut subscribed = Splice::new::<Subscribed>(encoding, state.len() + ROOM);
    subscribed.message("get_state", &state);
    subscribed.fields(&Subscribed {
        heartbeat_interval_seconds: Some(heartbeat_seconds),
        ..Subscribed::default()
    });
    let subscribed = subscribed.finish();
    let mut head = Event::default();
    head.set_type(event::Type::Subscribed);
    let mut message = Splice::new::<Event>(encoding, subscribed.len() + ROOM);
    message.fields(&head);
    message.message("subscribed", &subscribed);
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::sample;

    #[test]
    fn spliced_answers_are_the_encoded_messages() {
        let (snapshot, viewer) = (sample::snapshot(), Viewer::everything());
        let mut state = Response {
            get_state: Some(answers::state(&snapshot, &viewer)),
            ..Response::default()
        };
        state.set_type(Type::GetState);
        let mut tasks = Response {
            get_tasks: Some(answers::tasks(&snapshot, &viewer)),
            ..Response::default()
        };
        tasks.set_type(Type::GetTasks);
        let mut subscribed = Event {
            subscribed: Some(Subscribed {
                get_state: state.get_state.clone(),
                heartbeat_interval_seconds: Some(15.0),
            }),
            ..Event::default()
        };
        subscribed.set_type(event::Type::Subscribed);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            assert_eq!(
                text(state_answer(&snapshot, &viewer, encoding)),
                text(encode(encoding, &state))
            );
            assert_eq!(
                text(tasks_answer(&snapshot, &viewer, encoding)),
                text(encode(encoding, &tasks))
            );
            assert_eq!(
                text(subscribed_event(&snapshot, &viewer, encoding, 15.0)),
                text(encode(encoding, &subscribed))
            );
        }
    }
}
