//! Operations that cannot be, and the reason that the framework reads.
use super::*;

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
fn a_framework_that_never_acknowledges_is_stopped_in_time() {
    let (mut world, client, agent) = dev();
    let offer = world.offer(&client);
    let many: Vec<String> = (0..1003)
        .map(|n| on("RESERVE", &format!("o{n}"), &reserved(0.5, "dev")))
        .collect();
    operate(&mut world, &client, &offer, &many);
    assert_eq!(pending(&world, &agent), 1000);
    let refused = operation_updates(&mut world, &client);
    assert_eq!(refused.len(), 3);
    assert!(
        refused[0]
            .contains("1000 operations on the agent are not acknowledged, and no more are taken"),
        "{refused:?}"
    );
    // Whatever becomes of them: the rest stands.
    for (n, apply) in applies(&mut world, &agent).iter().enumerate() {
        let state = if n % 10 == 9 {
            OperationState::OperationFailed
        } else {
            OperationState::OperationFinished
        };
        answer(&mut world, &agent, apply, state, 1);
    }
    let now = total(&world, &agent);
    assert!(now.contains("[(DYNAMIC,dev,p)]):450;"), "{now}");
}
