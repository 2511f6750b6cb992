//! Operators' offer operations: what they take back for it, what they change, and when they are refused.
use mesos_wire::v1::{OperationState, master};

use super::{
    operations::{
        CAPABLE, DEV, answer, applies, dev, held, plain, reserved, shared, total, volume,
    },
    world::{FakeAgent, World, json, kinds, task},
};
use crate::core::Reply;

fn call(world: &mut World, agent: &FakeAgent, kind: &str, fields: &str) -> Reply {
    call_as(world, None, &agent.id, kind, fields)
}

fn call_as(
    world: &mut World,
    principal: Option<&str>,
    agent: &str,
    kind: &str,
    fields: &str,
) -> Reply {
    let call: master::Call = json(&format!(
        r#"{{"type":"{kind}","{}":{{"agent_id":{{"value":"{agent}"}},{fields}}}}}"#,
        kind.to_lowercase()
    ));
    world.operate(principal, call)
}

fn reserve(world: &mut World, agent: &FakeAgent, mib: f64, role: &str) -> Reply {
    let fields = format!(r#""resources":[{}]"#, reserved(mib, role));
    call(world, agent, "RESERVE_RESOURCES", &fields)
}

#[test]
fn an_operator_reserves_makes_a_volume_and_takes_it_all_back() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent();
    assert_eq!(reserve(&mut world, &agent, 50.0, "dev"), Reply::Accepted);
    let volumes = format!(r#""volumes":[{}]"#, volume(50.0, "v"));
    assert_eq!(
        call(&mut world, &agent, "CREATE_VOLUMES", &volumes),
        Reply::Accepted
    );
    assert_eq!(
        total(&world, &agent),
        "cpus:4; disk(reservations: [(DYNAMIC,dev,p)])[v]:50; disk:9950; mem:4096; ports:[31000-32000]"
    );
    let grow = format!(
        r#""volume":{},"addition":{}"#,
        volume(50.0, "v"),
        reserved(10.0, "dev")
    );
    assert!(matches!(
        call(&mut world, &agent, "GROW_VOLUME", &grow),
        Reply::Conflict(_)
    ));
    assert_eq!(reserve(&mut world, &agent, 10.0, "dev"), Reply::Accepted);
    assert_eq!(
        call(&mut world, &agent, "GROW_VOLUME", &grow),
        Reply::Accepted
    );
    let shrink = format!(
        r#""volume":{},"subtract":{{"value":10}}"#,
        volume(60.0, "v")
    );
    assert_eq!(
        call(&mut world, &agent, "SHRINK_VOLUME", &shrink),
        Reply::Accepted
    );
    assert_eq!(
        call(&mut world, &agent, "DESTROY_VOLUMES", &volumes),
        Reply::Accepted
    );
    let all = format!(r#""resources":[{}]"#, reserved(60.0, "dev"));
    assert_eq!(
        call(&mut world, &agent, "UNRESERVE_RESOURCES", &all),
        Reply::Accepted
    );
    assert_eq!(
        total(&world, &agent),
        "cpus:4; disk:10000; mem:4096; ports:[31000-32000]"
    );
    let sent = applies(&mut world, &agent);
    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|apply| apply.framework_id.is_none()));
    for apply in &sent {
        answer(
            &mut world,
            &agent,
            apply,
            OperationState::OperationFinished,
            1,
        );
    }
    assert_eq!(kinds(&world.messages(&agent)), ["ack-operation"; 7]);
}

#[test]
fn offers_that_stand_in_the_way_are_taken_back_and_no_others() {
    let (mut world, client, agent) = dev();
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task("t", &agent.id, 0.5), 0.0);
    world.settle();
    let offer = world.offers(&client).remove(0);
    // It would not fit even then: nothing is taken back.
    let Reply::Conflict(text) = reserve(&mut world, &agent, 10_001.0, "dev") else {
        panic!("it does not fit");
    };
    assert_eq!(
        text,
        "cpus:3.5; mem:4064; disk:10000; ports:[31000-32000] does not contain disk:10001"
    );
    assert_eq!(world.take(&client), Vec::<String>::new());
    assert_eq!(reserve(&mut world, &agent, 10.0, "dev"), Reply::Accepted);
    let events = world.take(&client);
    assert!(
        events.len() == 1 && events[0].contains(&offer.id.value) && events[0].contains("RESCIND")
    );
    world.settle();
    let offer = world.offers(&client).remove(0);
    assert!(held(&offer).contains("disk(reservations: [(DYNAMIC,dev,p)]):10"));
    // Reserved for somebody else, out of what is not offered to this one.
    assert_eq!(reserve(&mut world, &agent, 10.0, "ops"), Reply::Accepted);
    world.settle();
    world.take(&client);
    let unreserve = format!(r#""resources":[{}]"#, reserved(10.0, "ops"));
    assert_eq!(
        call(&mut world, &agent, "UNRESERVE_RESOURCES", &unreserve),
        Reply::Accepted
    );
    assert_eq!(
        world.take(&client),
        Vec::<String>::new(),
        "no offer holds that"
    );
}

#[test]
fn a_reservation_is_replaced_in_one_step() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent();
    reserve(&mut world, &agent, 50.0, "dev");
    let fields = format!(
        r#""source":[{}],"resources":[{}]"#,
        reserved(50.0, "dev"),
        reserved(50.0, "ops")
    );
    assert_eq!(
        call(&mut world, &agent, "RESERVE_RESOURCES", &fields),
        Reply::Accepted
    );
    assert_eq!(
        total(&world, &agent),
        "cpus:4; disk(reservations: [(DYNAMIC,ops,p)]):50; disk:9950; mem:4096; ports:[31000-32000]"
    );
}

#[test]
fn calls_that_cannot_be_are_refused_with_the_reason() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent();
    let on = "on agent M-S0 at slave(1)@127.0.0.1:5051 (host)";
    let list = |field: &str, resource: &str| format!(r#""{field}":[{resource}]"#);
    let allocated = reserved(1.0, "dev").replace(
        r#""name":"disk","#,
        r#""name":"disk","allocation_info":{"role":"dev"},"#,
    );
    for (kind, fields, expected) in [
        (
            "RESERVE_RESOURCES",
            list("resources", &plain(1.0)),
            format!("Invalid RESERVE operation {on}: Resource disk:1 is not dynamically reserved"),
        ),
        (
            "RESERVE_RESOURCES",
            list("resources", &allocated),
            format!(
                "Invalid RESERVE operation {on}: An operator's operation cannot be for allocated resources: \
                 disk(allocated: dev)(reservations: [(DYNAMIC,dev,p)]):1"
            ),
        ),
        (
            "DESTROY_VOLUMES",
            list("volumes", &volume(1.0, "v")),
            format!("Invalid DESTROY operation {on}: Persistent volumes not found"),
        ),
        (
            "CREATE_VOLUMES",
            list("volumes", &reserved(1.0, "dev")),
            format!(
                "Invalid CREATE operation {on}: Resource disk(reservations: [(DYNAMIC,dev,p)]):1 does not have DiskInfo"
            ),
        ),
    ] {
        assert_eq!(
            call(&mut world, &agent, kind, &fields),
            Reply::BadRequest(expected)
        );
    }
    let fields = list("resources", &reserved(1.0, "dev"));
    assert_eq!(
        call_as(&mut world, None, "nobody", "RESERVE_RESOURCES", &fields),
        Reply::BadRequest("No agent found with specified ID".to_owned())
    );
    assert_eq!(
        call_as(
            &mut world,
            Some("q"),
            &agent.id,
            "RESERVE_RESOURCES",
            &fields
        ),
        Reply::BadRequest(format!(
            "Invalid RESERVE operation {on}: A reserve operation was attempted by principal 'q', but there is a \
             reserved resource in the request with principal 'p' set in `ReservationInfo`"
        ))
    );
    assert_eq!(
        call_as(
            &mut world,
            Some("p"),
            &agent.id,
            "RESERVE_RESOURCES",
            &fields
        ),
        Reply::Accepted
    );
    world.close_session(&agent);
    assert!(matches!(
        call(&mut world, &agent, "RESERVE_RESOURCES", &fields),
        Reply::Unavailable(_)
    ));
}

#[test]
fn a_shared_volume_in_offers_is_taken_back_before_it_is_destroyed() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent();
    reserve(&mut world, &agent, 50.0, "dev");
    let volumes = format!(r#""volumes":[{}]"#, shared(&volume(50.0, "v")));
    assert_eq!(
        call(&mut world, &agent, "CREATE_VOLUMES", &volumes),
        Reply::Accepted
    );
    let client = world.subscribe(DEV);
    let offer = world.offer(&client);
    assert!(held(&offer).contains("<SHARED>"));
    assert_eq!(
        call(&mut world, &agent, "DESTROY_VOLUMES", &volumes),
        Reply::Accepted
    );
    let events = world.take(&client);
    assert!(events[0].contains("RESCIND"), "{events:?}");
    assert!(!total(&world, &agent).contains("[v]"));
}

#[test]
fn a_reservation_is_refined_and_taken_back_step_by_step() {
    let mut world = World::new();
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent();
    assert_eq!(reserve(&mut world, &agent, 50.0, "dev"), Reply::Accepted);
    let refined = reserved(20.0, "dev").replace(
        r#""role":"dev","principal":"p"}"#,
        r#""role":"dev","principal":"p"},{"type":"DYNAMIC","role":"dev/a","principal":"p"}"#,
    );
    let fields = format!(r#""resources":[{refined}]"#);
    assert_eq!(
        call(&mut world, &agent, "RESERVE_RESOURCES", &fields),
        Reply::Accepted
    );
    let now = total(&world, &agent);
    assert!(
        now.contains("[(DYNAMIC,dev,p), (DYNAMIC,dev/a,p)]):20")
            && now.contains("[(DYNAMIC,dev,p)]):30"),
        "{now}"
    );
    // What lies above a role is for it as well, and the other way round it is not.
    let client = world.subscribe(DEV);
    let offer = world.offer(&client);
    assert!(held(&offer).contains(":30") && !held(&offer).contains("dev/a"));
    for (fields, left) in [
        (fields, ":50"),
        (
            format!(r#""resources":[{}]"#, reserved(50.0, "dev")),
            "disk:10000",
        ),
    ] {
        assert_eq!(
            call(&mut world, &agent, "UNRESERVE_RESOURCES", &fields),
            Reply::Accepted
        );
        let now = total(&world, &agent);
        assert!(now.contains(left), "{now}");
    }
}
