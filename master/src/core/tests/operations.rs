//! Operations of frameworks: what they make, what the agent and the framework hear, and how they end.
use std::time::Duration;

use mesos_control::v1::{ApplyOperation, OperationUpdate, Snapshot, agent_message, master_message};
use mesos_types::{AgentId, FrameworkId, Resources};
use mesos_wire::v1::{self, OperationState, OperationStatus, agent_info::capability::Type as Can};

use super::world::{Client, FakeAgent, World, kinds, text};
use crate::core::Reply;

pub const CAPABLE: [Can; 6] = [
    Can::MultiRole,
    Can::HierarchicalRole,
    Can::ReservationRefinement,
    Can::ResizeVolume,
    Can::AgentOperationFeedback,
    Can::TaskResourceLimits,
];

pub const DEV: &str = r#""roles":["dev"],"principal":"p","failover_timeout":60,"capabilities":[{"type":"MULTI_ROLE"},
    {"type":"PARTITION_AWARE"},{"type":"RESERVATION_REFINEMENT"},{"type":"SHARED_RESOURCES"}]"#;

/// So much plain disk.
pub fn plain(mib: f64) -> String {
    format!(r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{mib}}}}}"#)
}

/// Disk that `p` reserved for the role.
pub fn reserved(mib: f64, role: &str) -> String {
    let disk = plain(mib);
    let disk = disk.trim_end_matches('}').to_owned() + "}";
    format!(r#"{disk},"reservations":[{{"type":"DYNAMIC","role":"{role}","principal":"p"}}]}}"#)
}

/// A volume on that.
pub fn volume(mib: f64, id: &str) -> String {
    let disk = reserved(mib, "dev");
    let disk = disk.strip_suffix('}').expect("an object");
    format!(
        r#"{disk},"disk":{{"persistence":{{"id":"{id}","principal":"p"}},"volume":{{"container_path":"data","mode":"RW"}}}}}}"#
    )
}

pub fn shared(volume: &str) -> String {
    let volume = volume.strip_suffix('}').expect("an object");
    format!(r#"{volume},"shared":{{}}}}"#)
}

/// An operation on a list: `RESERVE` of `resources`.
pub fn on(kind: &str, id: &str, list: &str) -> String {
    let id = if id.is_empty() {
        String::new()
    } else {
        format!(r#""id":{{"value":"{id}"}},"#)
    };
    let field = match kind {
        "RESERVE" | "UNRESERVE" => "resources",
        _ => "volumes",
    };
    format!(
        r#"{{"type":"{kind}",{id}"{}":{{"{field}":[{list}]}}}}"#,
        kind.to_lowercase()
    )
}

pub fn operate(world: &mut World, client: &Client, offer: &v1::Offer, operations: &[String]) {
    let call = format!(
        r#""type":"ACCEPT","accept":{{"offer_ids":[{{"value":"{}"}}],"filters":{{"refuse_seconds":0}},"operations":[{}]}}"#,
        offer.id,
        operations.join(",")
    );
    assert_eq!(world.call(client, &call), Reply::Accepted);
}

/// Takes what the agent was told to do.
pub fn applies(world: &mut World, agent: &FakeAgent) -> Vec<ApplyOperation> {
    let messages = world.messages(agent).into_iter();
    messages
        .filter_map(|body| match body {
            master_message::Body::ApplyOperation(apply) => Some(apply),
            _ => None,
        })
        .collect()
}

pub fn answer(
    world: &mut World,
    agent: &FakeAgent,
    apply: &ApplyOperation,
    state: OperationState,
    uuid: u8,
) {
    let status = OperationStatus {
        state: state.into(),
        message: (state != OperationState::OperationFinished).then(|| "no".to_owned()),
        uuid: Some(v1::Uuid {
            value: vec![uuid; 16],
        }),
        ..OperationStatus::default()
    };
    let update = OperationUpdate {
        framework_id: apply.framework_id.clone(),
        operation_uuid: apply.operation_uuid.clone(),
        status: Some(status),
    };
    world.say(agent, agent_message::Body::OperationUpdate(update));
}

/// Takes the updates of operations as `id STATE uuid`, `-` without one, and the message.
pub fn operation_updates(world: &mut World, client: &Client) -> Vec<String> {
    let events = world.events.remove(&client.stream).unwrap_or_default();
    let updates = events
        .into_iter()
        .filter_map(|event| event.update_operation_status);
    updates
        .map(|update| {
            let status = update.status;
            let uuid = status
                .uuid
                .as_ref()
                .map_or("-".to_owned(), |uuid| uuid.value[0].to_string());
            let id = status.operation_id.as_ref().map_or("", |id| id.as_str());
            format!(
                "{id} {} {uuid} {}",
                status.state().as_str_name(),
                status.message()
            )
        })
        .collect()
}

pub fn acknowledge(world: &mut World, agent: &FakeAgent, client: &Client, id: &str, uuid: u8) {
    let acknowledge = v1::scheduler::call::AcknowledgeOperationStatus {
        agent_id: Some(agent.id.as_str().into()),
        operation_id: id.into(),
        uuid: vec![uuid; 16],
        resource_provider_id: None,
    };
    let call = v1::scheduler::Call {
        acknowledge_operation_status: Some(acknowledge),
        ..v1::scheduler::Call::default()
    };
    let call = text(&call);
    world.call(
        client,
        &format!(
            r#""type":"ACKNOWLEDGE_OPERATION_STATUS",{}"#,
            &call[1..call.len() - 1]
        ),
    );
}

pub fn total(world: &World, agent: &FakeAgent) -> String {
    sorted(&world.core.state().agents[&AgentId::from(agent.id.as_str())].total)
}

pub fn held(offer: &v1::Offer) -> String {
    let resources = Resources::from_wire(&offer.resources).expect("an offer reads");
    sorted(&resources.unallocated())
}

/// In words, sorted.
fn sorted(resources: &Resources) -> String {
    let mut each: Vec<String> = resources
        .distinct()
        .map(|resource| Resources::from(resource.clone()).to_string())
        .collect();
    each.sort();
    each.join("; ")
}

/// A framework in the role `dev` and an agent that can do everything.
pub fn dev() -> (World, Client, FakeAgent) {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let client = world.subscribe(DEV);
    let agent = world.agent();
    (world, client, agent)
}

fn pending(world: &World, agent: &FakeAgent) -> usize {
    world.core.state().agents[&AgentId::from(agent.id.as_str())]
        .operations
        .len()
}

/// Two operations that are sent and not answered.
fn reserve_and_create(
    world: &mut World,
    client: &Client,
    agent: &FakeAgent,
) -> Vec<ApplyOperation> {
    let offer = world.offer(client);
    operate(
        world,
        client,
        &offer,
        &[
            on("RESERVE", "r", &reserved(64.0, "dev")),
            on("CREATE", "c", &volume(64.0, "v")),
        ],
    );
    applies(world, agent)
}

const WITH_VOLUME: &str =
    "cpus:4; disk(reservations: [(DYNAMIC,dev,p)])[v]:64; disk:9936; mem:4096; ports:[31000-32000]";
const PLAIN: &str = "cpus:4; disk:10000; mem:4096; ports:[31000-32000]";

#[test]
fn a_volume_is_made_used_and_destroyed() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    assert_eq!(total(&world, &agent), WITH_VOLUME);
    assert_eq!(sent.len(), 2);
    for apply in &sent {
        let operation = apply.operation.as_ref().expect("an operation");
        let shown = text(operation);
        assert!(!shown.contains("allocation_info"), "{shown}");
        assert_eq!(apply.operation_uuid.len(), 16);
    }
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationFinished,
        2,
    );
    let offer = {
        world.settle();
        let events = world.take(&client);
        assert!(events[0].contains(
            r#""status":{"operation_id":{"value":"r"},"state":"OPERATION_FINISHED","uuid":{"value":"AQEBAQEBAQEBAQEBAQEBAQ=="},"agent_id":{"value":"M-S0"}}"#
        ), "{events:?}");
        world
            .core
            .state()
            .offers
            .values()
            .next()
            .cloned()
            .expect("an offer")
    };
    assert_eq!(held(&offer.wire), WITH_VOLUME);
    acknowledge(&mut world, &agent, &client, "r", 9);
    assert_eq!(pending(&world, &agent), 2, "not for that status");
    acknowledge(&mut world, &agent, &client, "r", 1);
    acknowledge(&mut world, &agent, &client, "c", 2);
    assert_eq!(pending(&world, &agent), 0);
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["ack-operation", "ack-operation"]
    );

    // A task uses it; nobody destroys it meanwhile.
    let task = super::world::task("t", &agent.id, 0.1).replace(
        r#""resources":["#,
        &format!(r#""resources":[{},"#, volume(64.0, "v")),
    );
    world.accept(&client, &[&offer.wire], &task, 0.0);
    assert_eq!(kinds(&world.messages(&agent)), ["run t"]);
    world.settle();
    let offer = world.offers(&client).remove(0);
    assert!(!held(&offer).contains("[v]"));
    operate(
        &mut world,
        &client,
        &offer,
        &[on("DESTROY", "d", &volume(64.0, "v"))],
    );
    let refused = operation_updates(&mut world, &client);
    assert_eq!(
        refused,
        [
            "d OPERATION_ERROR - Persistent volumes in use; on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
        ]
    );
    world.update(&agent, &client, "t", v1::TaskState::TaskFinished, 3);
    world.acknowledge(&agent, &client, "t", 3);
    world.settle();
    let offers = world.offers(&client);
    let call = format!(
        r#""type":"ACCEPT","accept":{{"offer_ids":[{}],"operations":[{},{}]}}"#,
        world
            .core
            .state()
            .offers
            .keys()
            .map(|id| format!(r#"{{"value":"{id}"}}"#))
            .collect::<Vec<_>>()
            .join(","),
        on("DESTROY", "", &volume(64.0, "v")),
        on("UNRESERVE", "", &reserved(64.0, "dev"))
    );
    assert!(!offers.is_empty());
    assert_eq!(world.call(&client, &call), Reply::Accepted);
    assert_eq!(total(&world, &agent), PLAIN);
    // Nobody else waits for the end of operations without an id.
    world.take(&client);
    for (n, apply) in applies(&mut world, &agent).iter().enumerate() {
        let uuid = u8::try_from(n).expect("small") + 10;
        answer(
            &mut world,
            &agent,
            apply,
            OperationState::OperationFinished,
            uuid,
        );
    }
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["ack-operation", "ack-operation"]
    );
    assert_eq!(operation_updates(&mut world, &client), Vec::<String>::new());
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn what_cannot_be_is_refused_and_the_rest_goes_on() {
    let other = reserved(64.0, "dev").replace(r#""principal":"p""#, r#""principal":"q""#);
    let nobody = reserved(64.0, "dev").replace(r#","principal":"p""#, "");
    let refined = reserved(64.0, "dev").replace(
        r#""reservations":["#,
        r#""reservations":[{"type":"STATIC","role":"dev"},"#,
    );
    let revocable =
        reserved(64.0, "dev").replace(r#""name":"disk","#, r#""name":"disk","revocable":{},"#);
    let cases = [
        (
            on("RESERVE", "o", &reserved(64.0, "ops")),
            "A reserve operation was attempted for a resource allocated to role 'dev' with a reservation for role 'ops'",
        ),
        (
            on("RESERVE", "o", &other),
            "A reserve operation was attempted by principal 'p', but there is a reserved resource in the request \
             with principal 'q' set in `ReservationInfo`",
        ),
        (
            on("RESERVE", "o", &nobody),
            "A reserve operation was attempted by principal 'p', but there is a reserved resource in the request \
             with no principal set in `ReservationInfo`",
        ),
        (
            on("RESERVE", "o", &reserved(64_000.0, "dev")),
            "cpus(allocated: dev):4; mem(allocated: dev):4096; disk(allocated: dev):10000; \
             ports(allocated: dev):[31000-32000] does not contain disk(allocated: dev):64000",
        ),
        (
            on("RESERVE", "o", &refined),
            "Invalid resources: Invalid resource `disk`: reservation for `dev` does not refine that for `dev`",
        ),
        (
            on("RESERVE", "o", &revocable),
            "Invalid resources: Invalid resource `disk`: a dynamically reserved resource cannot be revocable",
        ),
        (on("RESERVE", "o", ""), "RESERVE of no resources"),
        (
            on("RESERVE", "o", &plain(64.0)),
            "Resource disk:64 is not dynamically reserved",
        ),
        (
            r#"{"type":"RESERVE","id":{"value":"o"},"reserve":{"source":[SRC],"resources":[DST]}}"#
                .replace("SRC", &plain(64.0))
                .replace("DST", &reserved(64.0, "dev")),
            "Only operators can reserve with a 'source'",
        ),
        (
            on("UNRESERVE", "o", &reserved(64.0, "dev")),
            "cpus(allocated: dev):4; mem(allocated: dev):4096; disk(allocated: dev):10000; \
             ports(allocated: dev):[31000-32000] does not contain disk(allocated: dev)(reservations: [(DYNAMIC,dev,p)]):64",
        ),
        (
            on("CREATE", "o", &plain(64.0)),
            "Resource disk:64 does not have DiskInfo",
        ),
        (
            on("CREATE", "o", &volume(64.0, "v").replace("RW", "RO")),
            "Read-only persistent volume not supported",
        ),
        (
            on("DESTROY", "o", &volume(64.0, "v")),
            "Persistent volumes not found",
        ),
        (
            format!(
                r#"{{"type":"CREATE_DISK","id":{{"value":"o"}},"create_disk":{{"source":{},"target_type":"MOUNT"}}}}"#,
                plain(64.0)
            ),
            "CREATE_DISK needs resources of a resource provider; resource providers are not built",
        ),
        (
            on("RESERVE", &"x".repeat(1025), &reserved(64.0, "dev")),
            "The operation's id has 1025 bytes; allowed: 1 to 1024",
        ),
    ];
    for (operation, expected) in cases {
        let (mut world, client, agent) = dev();
        let offer = world.offer(&client);
        let good = on("RESERVE", "good", &reserved(1.0, "dev"));
        operate(&mut world, &client, &offer, &[operation, good]);
        let updates = operation_updates(&mut world, &client);
        assert_eq!(updates.len(), 1, "{expected}");
        let expected = format!(
            "OPERATION_ERROR - {expected}; on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
        );
        assert!(
            updates[0].ends_with(&expected),
            "{} is not {expected}",
            updates[0]
        );
        assert_eq!(applies(&mut world, &agent).len(), 1);
    }
}

#[test]
fn agents_must_be_able_to_do_it() {
    for (missing, operation, expected) in [
        (
            Can::AgentOperationFeedback,
            on("RESERVE", "o", &reserved(64.0, "dev")),
            "RESERVE needs an agent with the capability AGENT_OPERATION_FEEDBACK",
        ),
        (
            Can::HierarchicalRole,
            on("RESERVE", "o", &reserved(64.0, "dev/a")),
            "Reservations for hierarchical roles need an agent with HIERARCHICAL_ROLE",
        ),
        (
            Can::ResizeVolume,
            format!(
                r#"{{"type":"SHRINK_VOLUME","id":{{"value":"o"}},"shrink_volume":{{"volume":{},"subtract":{{"value":1}}}}}}"#,
                volume(64.0, "v")
            ),
            "Agent M-S0 lacks the capability RESIZE_VOLUME",
        ),
    ] {
        let mut world = World::new();
        world.capabilities = CAPABLE.into_iter().filter(|can| *can != missing).collect();
        let client = world.subscribe(DEV);
        world.agent();
        let offer = world.offer(&client);
        operate(&mut world, &client, &offer, &[operation]);
        let updates = operation_updates(&mut world, &client);
        assert_eq!(
            updates,
            [format!(
                "o OPERATION_ERROR - {expected}; on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
            )]
        );
    }
}

#[test]
fn an_operation_that_did_not_happen_is_undone() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    world.settle();
    let offered = world
        .core
        .state()
        .offers
        .keys()
        .next()
        .cloned()
        .expect("an offer");
    world.take(&client);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFailed,
        1,
    );
    assert_eq!(total(&world, &agent), PLAIN);
    assert!(
        !world.core.state().offers.contains_key(&offered),
        "it is rescinded"
    );
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationDropped,
        2,
    );
    world.settle();
    let events = world.take(&client).join("\n");
    assert!(events.contains("RESCIND"), "{events}");
    assert!(events.contains("OPERATION_FAILED") && events.contains("OPERATION_DROPPED"));
    let offer = world
        .core
        .state()
        .offers
        .values()
        .next()
        .cloned()
        .expect("an offer");
    assert_eq!(held(&offer.wire), PLAIN);
    acknowledge(&mut world, &agent, &client, "r", 1);
    acknowledge(&mut world, &agent, &client, "c", 2);
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn updates_come_again_until_they_are_acknowledged() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    world.close_stream(&client);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    assert_eq!(pending(&world, &agent), 2, "its framework may come back");
    let client = world.subscribe(&format!(r#""id":{{"value":"{}"}},{DEV}"#, client.id));
    world.take(&client);
    for _ in 0..2 {
        answer(
            &mut world,
            &agent,
            &sent[0],
            OperationState::OperationFinished,
            1,
        );
        assert_eq!(
            operation_updates(&mut world, &client),
            ["r OPERATION_FINISHED 1 "]
        );
    }
    // The id is taken as long as that.
    world.settle();
    let offer = world.offers(&client).remove(0);
    operate(
        &mut world,
        &client,
        &offer,
        &[on("RESERVE", "r", &reserved(1.0, "dev"))],
    );
    assert_eq!(
        operation_updates(&mut world, &client),
        [
            "r OPERATION_ERROR - The id 'r' is that of an operation whose end is not acknowledged; \
          on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
        ]
    );
    acknowledge(&mut world, &agent, &client, "r", 1);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    assert_eq!(operation_updates(&mut world, &client), Vec::<String>::new());
}

fn ask(world: &mut World, client: &Client, asked: &str) -> Vec<String> {
    world.take(client);
    world.call(
        client,
        &format!(
            r#""type":"RECONCILE_OPERATIONS","reconcile_operations":{{"operations":[{asked}]}}"#
        ),
    );
    operation_updates(world, client)
}

#[test]
fn reconciliation_tells_what_is_known() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    let latest = "Reconciliation: Latest operation state";
    assert_eq!(
        ask(&mut world, &client, ""),
        [
            format!("c OPERATION_PENDING - {latest}"),
            format!("r OPERATION_FINISHED - {latest}")
        ]
    );
    let unknown = "OPERATION_UNKNOWN - Reconciliation: Operation is unknown";
    assert_eq!(
        ask(
            &mut world,
            &client,
            r#"{"operation_id":{"value":"c"}},{"operation_id":{"value":"x"},"agent_id":{"value":"M-S0"}},
               {"operation_id":{"value":"x"}}"#
        ),
        [
            format!("c OPERATION_PENDING - {latest}"),
            format!("x {unknown}"),
            format!("x {unknown}")
        ]
    );
}

#[test]
fn operations_of_a_lost_agent_are_told_and_come_back_with_it() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    world.take(&client);
    world.pong = false;
    world.close_session(&agent);
    world.advance(Duration::from_secs(80));
    let updates = operation_updates(&mut world, &client);
    assert_eq!(
        updates,
        ["c OPERATION_UNREACHABLE - Agent host was removed"]
    );
    assert_eq!(
        ask(
            &mut world,
            &client,
            r#"{"operation_id":{"value":"c"},"agent_id":{"value":"M-S0"}}"#
        ),
        ["c OPERATION_UNREACHABLE - Reconciliation: Operation is unknown"]
    );
    // The agent had carried out both.
    world.pong = true;
    let status = |id: &str, uuid: u8| OperationStatus {
        operation_id: Some(id.into()),
        state: OperationState::OperationFinished.into(),
        uuid: Some(v1::Uuid {
            value: vec![uuid; 16],
        }),
        ..OperationStatus::default()
    };
    let operation = |apply: &ApplyOperation, id: &str, uuid: u8| v1::Operation {
        framework_id: Some(client.id.as_str().into()),
        agent_id: None,
        info: apply.operation.clone().expect("an operation"),
        latest_status: status(id, uuid),
        statuses: Vec::new(),
        uuid: v1::Uuid {
            value: apply.operation_uuid.clone(),
        },
    };
    let volume: v1::Resource = super::world::json(&volume(64.0, "v"));
    let snapshot = Snapshot {
        operations: vec![operation(&sent[0], "r", 1), operation(&sent[1], "c", 2)],
        checkpointed_resources: vec![volume],
        ..Snapshot::default()
    };
    let agent = world.hello(agent, Some(snapshot));
    assert_eq!(total(&world, &agent), WITH_VOLUME);
    assert_eq!(pending(&world, &agent), 2);
    acknowledge(&mut world, &agent, &client, "c", 2);
    acknowledge(&mut world, &agent, &client, "r", 1);
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn an_agent_that_missed_operations_is_asked_and_its_word_counts() {
    for happened in [true, false] {
        let (mut world, client, agent) = dev();
        let sent = reserve_and_create(&mut world, &client, &agent);
        world.close_session(&agent);
        let agent = world.hello(agent, None);
        assert_eq!(total(&world, &agent), PLAIN);
        let messages = world.messages(&agent);
        let master_message::Body::Welcome(welcome) = &messages[0] else {
            panic!("a welcome comes first: {messages:?}");
        };
        let mut asked: Vec<_> = welcome
            .known_operations
            .iter()
            .map(|k| k.operation_uuid.clone())
            .collect();
        let mut expected: Vec<_> = sent
            .iter()
            .map(|apply| apply.operation_uuid.clone())
            .collect();
        asked.sort();
        expected.sort();
        assert_eq!(asked, expected);
        world.take(&client);
        let state = if happened {
            OperationState::OperationFinished
        } else {
            OperationState::OperationDropped
        };
        answer(&mut world, &agent, &sent[0], state, 1);
        answer(&mut world, &agent, &sent[1], state, 2);
        let now = total(&world, &agent);
        assert_eq!(now == WITH_VOLUME, happened, "{now}");
        assert_eq!(operation_updates(&mut world, &client).len(), 2);
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_the_agent_is_refused() {
    let (mut world, _, agent) = dev();
    world.messages(&agent);
    let volume: v1::Resource = super::world::json(&volume(64_000.0, "v"));
    let snapshot = Snapshot {
        checkpointed_resources: vec![volume],
        ..Snapshot::default()
    };
    let agent = world.hello(agent, Some(snapshot));
    let messages = world.messages(&agent);
    let master_message::Body::Refused(refused) = &messages[0] else {
        panic!("it is refused: {messages:?}");
    };
    assert_eq!(
        refused.message,
        "The agent's checkpointed resources do not fit the resources that its flags give it: \
         cpus:4; mem:4096; disk:10000; ports:[31000-32000] does not contain disk:64000"
    );
}

#[test]
fn nobody_is_left_with_the_operations_of_a_framework_that_is_gone() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    world.messages(&agent);
    world.call(&client, r#""type":"TEARDOWN""#);
    assert_eq!(kinds(&world.messages(&agent)), ["ack-operation"]);
    assert_eq!(pending(&world, &agent), 1);
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationFinished,
        2,
    );
    assert_eq!(kinds(&world.messages(&agent)), ["ack-operation"]);
    assert_eq!(pending(&world, &agent), 0);
    // The volume outlives its framework.
    assert_eq!(total(&world, &agent), WITH_VOLUME);
}

#[test]
fn a_volume_grows_and_shrinks_and_is_offered_as_it_is_then() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    for (apply, uuid) in sent.iter().zip(1..) {
        answer(
            &mut world,
            &agent,
            apply,
            OperationState::OperationFinished,
            uuid,
        );
    }
    world.settle();
    let offer = world.offers(&client).remove(0);
    let grow = format!(
        r#"{{"type":"GROW_VOLUME","id":{{"value":"g"}},"grow_volume":{{"volume":{},"addition":{}}}}}"#,
        volume(64.0, "v"),
        reserved(36.0, "dev")
    );
    operate(
        &mut world,
        &client,
        &offer,
        &[
            on("RESERVE", "r2", &reserved(36.0, "dev")),
            grow,
            // What it becomes is only of use in the next offer.
            on("DESTROY", "d", &volume(100.0, "v")),
        ],
    );
    let refused = operation_updates(&mut world, &client);
    assert!(
        refused.len() == 1 && refused[0].contains("does not contain"),
        "{refused:?}"
    );
    let grown = "cpus:4; disk(reservations: [(DYNAMIC,dev,p)])[v]:100; disk:9900; mem:4096; ports:[31000-32000]";
    assert_eq!(total(&world, &agent), grown);
    world.settle();
    let offer = world.offers(&client).remove(0);
    assert_eq!(held(&offer), grown);
    let shrink = format!(
        r#"{{"type":"SHRINK_VOLUME","shrink_volume":{{"volume":{},"subtract":{{"value":60}}}}}}"#,
        volume(100.0, "v")
    );
    operate(&mut world, &client, &offer, &[shrink]);
    let shrunk = total(&world, &agent);
    assert!(
        shrunk.contains("[v]:40") && shrunk.contains("[(DYNAMIC,dev,p)]):60"),
        "{shrunk}"
    );
    assert_eq!(
        applies(&mut world, &agent)
            .iter()
            .map(|apply| apply
                .operation
                .as_ref()
                .expect("an operation")
                .r#type()
                .as_str_name())
            .collect::<Vec<_>>(),
        ["RESERVE", "GROW_VOLUME", "SHRINK_VOLUME"]
    );
}

#[test]
fn a_shared_volume_serves_many_and_is_destroyed_when_nobody_has_it() {
    let (mut world, client, agent) = dev();
    let offer = world.offer(&client);
    let vol = shared(&volume(64.0, "v"));
    operate(
        &mut world,
        &client,
        &offer,
        &[
            on("RESERVE", "", &reserved(64.0, "dev")),
            on("CREATE", "", &vol),
        ],
    );
    world.settle();
    let offer = world.offers(&client).remove(0);
    let tasks: Vec<String> = ["a", "b"]
        .iter()
        .map(|id| {
            super::world::task(id, &agent.id, 0.1)
                .replace(r#""resources":["#, &format!(r#""resources":[{vol},"#))
        })
        .collect();
    world.accept(&client, &[&offer], &tasks.join(","), 0.0);
    world.settle();
    assert_eq!(world.updates(&client), Vec::<String>::new());
    let own = &world.core.state().frameworks[&FrameworkId::from(client.id.as_str())];
    assert_eq!(own.tasks.len(), 2);
    assert_eq!(
        own.used().disk().expect("disk").as_f64(),
        64.0,
        "counted once, however many use it"
    );
    // It is offered again while it is in use, to others too.
    let other = world.subscribe(DEV);
    world.settle();
    let offers: Vec<_> = world.core.state().offers.values().cloned().collect();
    let offer = offers
        .iter()
        .find(|offer| offer.framework_id.as_str() == client.id)
        .expect("an offer")
        .clone();
    assert!(
        held(&offer.wire).contains("<SHARED>"),
        "{}",
        held(&offer.wire)
    );
    operate(
        &mut world,
        &client,
        &offer.wire,
        &[on("DESTROY", "d", &vol)],
    );
    let refused = operation_updates(&mut world, &client);
    assert!(
        refused[0].contains("Persistent volumes in use"),
        "{refused:?}"
    );
    for (id, uuid) in [("a", 1), ("b", 2)] {
        world.update(&agent, &client, id, v1::TaskState::TaskFinished, uuid);
        world.acknowledge(&agent, &client, id, uuid);
    }
    // The other framework is offered it as well, until it is destroyed.
    world.advance(Duration::from_secs(10));
    let offers: Vec<_> = world.core.state().offers.values().cloned().collect();
    let with: Vec<_> = offers
        .iter()
        .filter(|offer| held(&offer.wire).contains("<SHARED>"))
        .collect();
    let own = with
        .iter()
        .find(|offer| offer.framework_id.as_str() == client.id);
    if let Some(own) = own {
        operate(
            &mut world,
            &client,
            &own.wire.clone(),
            &[on("DESTROY", "d2", &vol)],
        );
    } else {
        operate(
            &mut world,
            &other,
            &with[0].wire.clone(),
            &[on("DESTROY", "d2", &vol)],
        );
    }
    world.settle();
    let now = total(&world, &agent);
    assert!(!now.contains("[v]"), "{now}");
}

#[test]
fn only_frameworks_that_know_of_sharing_create_shared_volumes() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let client = world.subscribe(&DEV.replace(r#",{"type":"SHARED_RESOURCES"}"#, ""));
    world.agent();
    let offer = world.offer(&client);
    operate(
        &mut world,
        &client,
        &offer,
        &[
            on("RESERVE", "r", &reserved(64.0, "dev")),
            on("CREATE", "c", &shared(&volume(64.0, "v"))),
        ],
    );
    let refused = operation_updates(&mut world, &client);
    assert!(
        refused[0].contains("no SHARED_RESOURCES capability"),
        "{refused:?}"
    );
}

#[test]
fn older_frameworks_write_and_read_reservations_in_the_older_form() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let client = world.subscribe(r#""role":"dev","principal":"p""#);
    let agent = world.agent();
    let offer = world.offer(&client);
    let older = r#"{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"dev","reservation":{"principal":"p"}}"#;
    operate(&mut world, &client, &offer, &[on("RESERVE", "", older)]);
    let sent = applies(&mut world, &agent);
    assert_eq!(
        text(sent[0].operation.as_ref().expect("an operation")),
        r#"{"type":"RESERVE","reserve":{"resources":[{"name":"disk","type":"SCALAR","scalar":{"value":64.0},"reservations":[{"type":"DYNAMIC","role":"dev","principal":"p"}]}]}}"#
    );
    world.settle();
    let offer = world.offers(&client).remove(0);
    let shown = text(&offer);
    assert!(
        shown.contains(r#""role":"dev","reservation":{"principal":"p"}"#)
            && !shown.contains("reservations"),
        "{shown}"
    );
}
