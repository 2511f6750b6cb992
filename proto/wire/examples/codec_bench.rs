//! Prints how long the codec takes for messages that a master reads and writes all day.
//!
//! `cargo run --release -p mesos-wire --example codec_bench`
use std::hint::black_box;
use std::time::{Duration, Instant};

use mesos_wire::{Encoding, WireMessage, decode, encode, v1};

/// Each figure is the best of this many rounds, to keep other programs out of it.
const ROUNDS: usize = 7;
/// How long a round runs.
const ROUND: Duration = Duration::from_millis(60);

fn main() {
    println!(
        "{:<24} {:<9} {:>8} {:>12} {:>12}",
        "message", "encoding", "bytes", "read ns", "write ns"
    );
    bench("TASK_RUNNING update", &update());
    bench("one offer", &offers(1));
    bench("100 offers", &offers(100));
    bench("launch of one task", &launch());
    bench("GET_STATE, 1000 tasks", &state(1000));
}

fn bench<M: WireMessage>(name: &str, message: &M) {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let bytes = encode(encoding, message);
        let read = nanoseconds(|| black_box(decode::<M>(encoding, black_box(&bytes))).is_ok());
        let write = nanoseconds(|| !encode(encoding, black_box(message)).is_empty());
        let length = bytes.len();
        let encoding = format!("{encoding:?}");
        println!("{name:<24} {encoding:<9} {length:>8} {read:>12.0} {write:>12.0}");
    }
}

fn nanoseconds(mut run: impl FnMut() -> bool) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let mut times = 0u32;
            while start.elapsed() < ROUND {
                assert!(run(), "the message does not come back");
                times += 1;
            }
            start.elapsed().as_nanos() as f64 / f64::from(times)
        })
        .fold(f64::INFINITY, f64::min)
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    let mut resource = v1::Resource {
        name: name.into(),
        ..Default::default()
    };
    resource.set_type(v1::value::Type::Scalar);
    resource.scalar = Some(v1::value::Scalar { value });
    resource.allocation_info = Some(v1::resource::AllocationInfo {
        role: Some("*".into()),
    });
    resource
}

fn resources() -> Vec<v1::Resource> {
    let mut ports = v1::Resource {
        name: "ports".into(),
        ..Default::default()
    };
    ports.set_type(v1::value::Type::Ranges);
    ports.ranges = Some(v1::value::Ranges {
        range: vec![v1::value::Range {
            begin: 31000,
            end: 32000,
        }],
    });
    vec![
        scalar("cpus", 4.0),
        scalar("mem", 4096.0),
        scalar("disk", 10000.0),
        ports,
    ]
}

fn status(task: &str) -> v1::TaskStatus {
    let mut status = v1::TaskStatus {
        task_id: task.into(),
        agent_id: Some("172cd0aa-1b83-4417-a033-3bb0d2c3b746-S0".into()),
        executor_id: Some(task.into()),
        timestamp: Some(1_795_224_455.473_477),
        uuid: Some(vec![7; 16]),
        ..Default::default()
    };
    status.set_state(v1::TaskState::TaskRunning);
    status.set_source(v1::task_status::Source::Executor);
    let container = v1::ContainerStatus {
        container_id: Some("b3d4cd59-a526-4bee-ae98-8353ba179668".into()),
        executor_pid: Some(2206),
        ..Default::default()
    };
    status.container_status = Some(container);
    status
}

fn update() -> v1::scheduler::Event {
    let update = v1::scheduler::event::Update {
        status: status("sleep-1"),
    };
    let mut event = v1::scheduler::Event {
        update: Some(update),
        ..Default::default()
    };
    event.set_type(v1::scheduler::event::Type::Update);
    event
}

fn offers(count: usize) -> v1::scheduler::Event {
    let offer = |n: usize| v1::Offer {
        id: format!("172cd0aa-1b83-4417-a033-3bb0d2c3b746-O{n}").into(),
        framework_id: "172cd0aa-1b83-4417-a033-3bb0d2c3b746-0001".into(),
        agent_id: format!("172cd0aa-1b83-4417-a033-3bb0d2c3b746-S{n}").into(),
        hostname: "localhost".into(),
        resources: resources(),
        ..Default::default()
    };
    let offers = v1::scheduler::event::Offers {
        offers: (0..count).map(offer).collect(),
    };
    let mut event = v1::scheduler::Event {
        offers: Some(offers),
        ..Default::default()
    };
    event.set_type(v1::scheduler::event::Type::Offers);
    event
}

fn launch() -> v1::scheduler::Call {
    let command = v1::CommandInfo {
        value: Some("sleep 100".into()),
        ..Default::default()
    };
    let task = v1::TaskInfo {
        name: "sleep".into(),
        task_id: "sleep-1".into(),
        agent_id: "172cd0aa-1b83-4417-a033-3bb0d2c3b746-S0".into(),
        resources: resources(),
        command: Some(command),
        ..Default::default()
    };
    let launch = v1::offer::operation::Launch {
        task_infos: vec![task],
    };
    let mut operation = v1::offer::Operation {
        launch: Some(launch),
        ..Default::default()
    };
    operation.set_type(v1::offer::operation::Type::Launch);
    let accept = v1::scheduler::call::Accept {
        offer_ids: vec!["172cd0aa-1b83-4417-a033-3bb0d2c3b746-O1".into()],
        operations: vec![operation],
        filters: Some(v1::Filters {
            refuse_seconds: Some(5.0),
        }),
    };
    let mut call = v1::scheduler::Call {
        framework_id: Some("172cd0aa-1b83-4417-a033-3bb0d2c3b746-0001".into()),
        accept: Some(accept),
        ..Default::default()
    };
    call.set_type(v1::scheduler::call::Type::Accept);
    call
}

fn state(tasks: usize) -> v1::master::Response {
    let task = |n: usize| {
        let name = format!("task-{n}");
        let mut task = v1::Task {
            name: name.clone(),
            task_id: name.as_str().into(),
            framework_id: "172cd0aa-1b83-4417-a033-3bb0d2c3b746-0001".into(),
            agent_id: "172cd0aa-1b83-4417-a033-3bb0d2c3b746-S0".into(),
            resources: resources(),
            statuses: vec![status(&name), status(&name)],
            ..Default::default()
        };
        task.set_state(v1::TaskState::TaskRunning);
        task
    };
    let tasks = v1::master::response::GetTasks {
        tasks: (0..tasks).map(task).collect(),
        ..Default::default()
    };
    let state = v1::master::response::GetState {
        get_tasks: Some(tasks),
        ..Default::default()
    };
    let mut response = v1::master::Response {
        get_state: Some(state),
        ..Default::default()
    };
    response.set_type(v1::master::response::Type::GetState);
    response
}
