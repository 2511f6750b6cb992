//! A scheduler's call by itself, before it is known who sent it (`master/validation.cpp`, scheduler::call).
use mesos_wire::v1::scheduler::{Call, call::Type};

use super::{Invalid, Validity};

/// Whether the call has what its type asks for. The text goes behind `Failed to validate scheduler::Call: `.
pub fn validate(call: &Call, principal: Option<&str>) -> Validity {
    let Some(kind) = call.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return expecting("type");
    };
    if kind == Type::Subscribe {
        return validate_subscribe(call, principal);
    }
    if call.framework_id.is_none() {
        return expecting("framework_id");
    }
    let present = |field: &str, is: bool| if is { Ok(()) } else { expecting(field) };
    match kind {
        Type::Subscribe | Type::Unknown | Type::Teardown | Type::Revive | Type::Suppress => Ok(()),
        Type::Accept => present("accept", call.accept.is_some()),
        Type::Decline => present("decline", call.decline.is_some()),
        Type::AcceptInverseOffers => present(
            "accept_inverse_offers",
            call.accept_inverse_offers.is_some(),
        ),
        Type::DeclineInverseOffers => present(
            "decline_inverse_offers",
            call.decline_inverse_offers.is_some(),
        ),
        Type::Kill => present("kill", call.kill.is_some()),
        Type::Shutdown => present("shutdown", call.shutdown.is_some()),
        Type::Acknowledge => {
            let Some(acknowledge) = &call.acknowledge else {
                return expecting("acknowledge");
            };
            validate_uuid(&acknowledge.uuid)
        }
        Type::AcknowledgeOperationStatus => {
            let Some(acknowledge) = &call.acknowledge_operation_status else {
                return expecting("acknowledge_operation_status");
            };
            validate_uuid(&acknowledge.uuid)?;
            present("agent_id", acknowledge.agent_id.is_some())
        }
        Type::Reconcile => present("reconcile", call.reconcile.is_some()),
        Type::ReconcileOperations => {
            present("reconcile_operations", call.reconcile_operations.is_some())
        }
        Type::Message => present("message", call.message.is_some()),
        Type::Request => present("request", call.request.is_some()),
        Type::UpdateFramework => {
            let Some(update) = &call.update_framework else {
                return expecting("update_framework");
            };
            if update.framework_info.id != call.framework_id {
                return Err(Invalid::new(
                    "'framework_id' differs from 'update_framework.framework_info.id'",
                ));
            }
            validate_principal(update.framework_info.principal.as_deref(), principal)
        }
    }
}

fn validate_subscribe(call: &Call, principal: Option<&str>) -> Validity {
    let Some(subscribe) = &call.subscribe else {
        return expecting("subscribe");
    };
    if subscribe.framework_info.id != call.framework_id {
        return Err(Invalid::new(
            "'framework_id' differs from 'subscribe.framework_info.id'",
        ));
    }
    validate_principal(subscribe.framework_info.principal.as_deref(), principal)
}

fn validate_principal(claimed: Option<&str>, authenticated: Option<&str>) -> Validity {
    match (authenticated, claimed) {
        (Some(authenticated), Some(claimed)) if authenticated != claimed => Err(Invalid(format!(
            "Authenticated principal '{authenticated}' does not match principal '{claimed}' set in `FrameworkInfo`"
        ))),
        _ => Ok(()),
    }
}

fn validate_uuid(uuid: &[u8]) -> Validity {
    if uuid.len() == 16 {
        Ok(())
    } else {
        Err(Invalid::new("Not a valid UUID"))
    }
}

fn expecting(field: &str) -> Validity {
    Err(Invalid(format!("Expecting '{field}' to be present")))
}

#[cfg(test)]
mod tests {
    use mesos_wire::{Encoding, decode};

    use super::*;

    fn check(json: &str, expected: &str) {
        let call: Call = decode(Encoding::Json, json.as_bytes()).expect("the call parses");
        let found = validate(&call, None).map_or_else(|error| error.0, |()| "ok".to_owned());
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn each_call_must_carry_its_own_message() {
        check("{}", "Expecting 'type' to be present");
        check(r#"{"type":"FLY"}"#, "Expecting 'type' to be present");
        check(
            r#"{"type":"UNKNOWN"}"#,
            "Expecting 'framework_id' to be present",
        );
        check(
            r#"{"type":"SUBSCRIBE"}"#,
            "Expecting 'subscribe' to be present",
        );
        for (kind, field) in [
            ("ACCEPT", "accept"),
            ("DECLINE", "decline"),
            ("ACCEPT_INVERSE_OFFERS", "accept_inverse_offers"),
            ("DECLINE_INVERSE_OFFERS", "decline_inverse_offers"),
            ("KILL", "kill"),
            ("SHUTDOWN", "shutdown"),
            ("ACKNOWLEDGE", "acknowledge"),
            (
                "ACKNOWLEDGE_OPERATION_STATUS",
                "acknowledge_operation_status",
            ),
            ("RECONCILE", "reconcile"),
            ("RECONCILE_OPERATIONS", "reconcile_operations"),
            ("MESSAGE", "message"),
            ("REQUEST", "request"),
            ("UPDATE_FRAMEWORK", "update_framework"),
        ] {
            check(
                &format!(r#"{{"type":"{kind}"}}"#),
                "Expecting 'framework_id' to be present",
            );
            check(
                &format!(r#"{{"type":"{kind}","framework_id":{{"value":"f"}}}}"#),
                &format!("Expecting '{field}' to be present"),
            );
        }
        for kind in ["TEARDOWN", "REVIVE", "SUPPRESS", "UNKNOWN"] {
            check(
                &format!(r#"{{"type":"{kind}","framework_id":{{"value":"f"}}}}"#),
                "ok",
            );
        }
    }

    #[test]
    fn ids_and_uuids_must_fit() {
        check(
            r#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},
                "acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"AAAA"}}"#,
            "Not a valid UUID",
        );
        check(
            r#"{"type":"SUBSCRIBE","framework_id":{"value":"a"},
                "subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"b"}}}}"#,
            "'framework_id' differs from 'subscribe.framework_info.id'",
        );
        check(
            r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#,
            "ok",
        );
        check(
            r#"{"type":"ACKNOWLEDGE_OPERATION_STATUS","framework_id":{"value":"f"},
                "acknowledge_operation_status":{"operation_id":{"value":"o"},"uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}}"#,
            "Expecting 'agent_id' to be present",
        );
    }

    #[test]
    fn a_framework_speaks_for_its_own_principal() {
        let call: Call = decode(
            Encoding::Json,
            br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","principal":"p"}}}"#,
        )
        .expect("the call parses");
        assert_eq!(validate(&call, None), Ok(()));
        assert_eq!(validate(&call, Some("p")), Ok(()));
        assert!(validate(&call, Some("q")).is_err());
    }
}
