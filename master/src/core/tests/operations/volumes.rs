//! Volumes that grow, shrink and are shared; the older form of reservations.
use std::time::Duration;

use mesos_types::FrameworkId;

use mesos_types::Format;

use super::{super::world::task, *};

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
            task(id, &agent.id, 0.1).replace(r#""resources":["#, &format!(r#""resources":[{vol},"#))
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
        held(&offer.to_wire(Format::PostRefinement)).contains("<SHARED>"),
        "{}",
        held(&offer.to_wire(Format::PostRefinement))
    );
    operate(
        &mut world,
        &client,
        &offer.to_wire(Format::PostRefinement),
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
        .filter(|offer| held(&offer.to_wire(Format::PostRefinement)).contains("<SHARED>"))
        .collect();
    let own = with
        .iter()
        .find(|offer| offer.framework_id.as_str() == client.id);
    if let Some(own) = own {
        operate(
            &mut world,
            &client,
            &own.to_wire(Format::PostRefinement),
            &[on("DESTROY", "d2", &vol)],
        );
    } else {
        operate(
            &mut world,
            &other,
            &with[0].to_wire(Format::PostRefinement),
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
