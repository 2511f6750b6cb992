//! Operations of frameworks: what they make, what the agent and the framework hear, and how they end.
mod life;
mod refusals;
mod returning;
mod volumes;

use mesos_control::v1::{ApplyOperation, OperationUpdate, agent_message, master_message};
use mesos_types::{AgentId, Resources};
use mesos_wire::v1::{self, OperationState, OperationStatus, agent_info::capability::Type as Can};

use super::world::{Client, FakeAgent, World, text};
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
pub fn sorted(resources: &Resources) -> String {
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

pub fn pending(world: &World, agent: &FakeAgent) -> usize {
    world.core.state().agents[&AgentId::from(agent.id.as_str())]
        .operations
        .len()
}

/// Two operations that are sent and not answered.
pub fn reserve_and_create(
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

pub const WITH_VOLUME: &str =
    "cpus:4; disk(reservations: [(DYNAMIC,dev,p)])[v]:64; disk:9936; mem:4096; ports:[31000-32000]";
pub const PLAIN: &str = "cpus:4; disk:10000; mem:4096; ports:[31000-32000]";

/// Asks for the state of operations, and takes the answers.
pub fn ask(world: &mut World, client: &Client, asked: &str) -> Vec<String> {
    world.take(client);
    world.call(
        client,
        &format!(
            r#""type":"RECONCILE_OPERATIONS","reconcile_operations":{{"operations":[{asked}]}}"#
        ),
    );
    operation_updates(world, client)
}
