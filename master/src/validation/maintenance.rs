//! Maintenance schedules and lists of machines, in Mesos's words (`master/maintenance.cpp`).
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use mesos_wire::v1::{MachineId, MachineInfo, machine_info::Mode, maintenance::Schedule};

use super::{Invalid, Validity, require};
use crate::registry::MachineKey;

/// Machines in one schedule or list; more than any cluster of Mesos has had.
const MOST_MACHINES: usize = 200_000;
/// Longest host name, in bytes (RFC 1035 has 253).
const HOSTNAME_BYTES: usize = 255;

/// Checks a schedule against the machines as they are.
///
/// # Errors
/// The first window or machine that cannot be.
pub fn validate_schedule(
    schedule: &Schedule,
    machines: &BTreeMap<MachineKey, MachineInfo>,
) -> Validity {
    let mut seen = BTreeSet::new();
    for window in &schedule.windows {
        require(!window.machine_ids.is_empty(), || {
            "List of machines in the maintenance window is empty".to_owned()
        })?;
        let duration = window.unavailability.duration;
        require(
            duration.is_none_or(|duration| duration.nanoseconds >= 0),
            || "Unavailability 'duration' is negative".to_owned(),
        )?;
        let start = window.unavailability.start.nanoseconds;
        require(
            duration.is_none_or(|duration| start.checked_add(duration.nanoseconds).is_some()),
            || {
                format!(
                    "Unavailability ends too late: 'start' is {start} nanoseconds, and with its 'duration' it must stay below {}",
                    i64::MAX
                )
            },
        )?;
        for id in &window.machine_ids {
            validate_machine(id)?;
            require(seen.insert(MachineKey::from(id)), || {
                format!(
                    "Machine '{}' appears more than once in the schedule",
                    machine_json(id)
                )
            })?;
        }
        require(seen.len() <= MOST_MACHINES, || too_many(seen.len()))?;
    }
    for (key, machine) in machines {
        require(machine.mode() != Mode::Down || seen.contains(key), || {
            format!(
                "Machine '{}' is deactivated and cannot be removed from the schedule",
                machine_json(&machine.id)
            )
        })?;
    }
    Ok(())
}

/// Checks the machines that are to go down or come up.
///
/// # Errors
/// The first that cannot be.
pub fn validate_machines(machines: &[MachineId]) -> Validity {
    require(!machines.is_empty(), || {
        "List of machines is empty".to_owned()
    })?;
    require(machines.len() <= MOST_MACHINES, || too_many(machines.len()))?;
    let mut seen = BTreeSet::new();
    for id in machines {
        validate_machine(id)?;
        require(seen.insert(MachineKey::from(id)), || {
            format!(
                "Machine '{}' appears more than once in the list of machines",
                machine_json(id)
            )
        })?;
    }
    Ok(())
}

fn too_many(found: usize) -> String {
    format!("{found} machines are named; allowed: {MOST_MACHINES}")
}

fn validate_machine(id: &MachineId) -> Validity {
    let (hostname, ip) = (id.hostname(), id.ip());
    require(!hostname.is_empty() || !ip.is_empty(), || {
        "Both 'hostname' and 'ip' for a machine are empty".to_owned()
    })?;
    require(ip.is_empty() || ip.parse::<Ipv4Addr>().is_ok(), || {
        format!("Failed to parse IP '{ip}' of a machine: not an IPv4 address")
    })?;
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if hostname.len() > HOSTNAME_BYTES || hostname.contains(odd) {
        return Err(Invalid(format!(
            "The hostname '{}' of a machine has spaces or control characters, or more than {HOSTNAME_BYTES} bytes",
            hostname.escape_debug().take(64).collect::<String>()
        )));
    }
    Ok(())
}

/// The machine as Mesos shows it in errors.
pub fn machine_json(id: &MachineId) -> String {
    mesos_wire::json::to_value(id).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::world::json;

    fn refusal(schedule: &str) -> String {
        validate_schedule(&json(schedule), &BTreeMap::new())
            .expect_err("it is refused")
            .0
    }

    #[test]
    fn a_schedule_that_cannot_be_is_refused_with_what_is_wrong() {
        let window = |machines: &str, time: &str| {
            format!(r#"{{"windows":[{{"machine_ids":[{machines}],"unavailability":{time}}}]}}"#)
        };
        let hour = r#"{"start":{"nanoseconds":1},"duration":{"nanoseconds":3600000000000}}"#;
        let cases = [
            (
                window("", hour),
                "List of machines in the maintenance window is empty",
            ),
            (
                window(
                    r#"{"ip":"10.0.0.1"}"#,
                    r#"{"start":{"nanoseconds":5},"duration":{"nanoseconds":-1}}"#,
                ),
                "Unavailability 'duration' is negative",
            ),
            (
                window(
                    r#"{"ip":"10.0.0.1"}"#,
                    r#"{"start":{"nanoseconds":9223372036854775807},"duration":{"nanoseconds":1}}"#,
                ),
                "Unavailability ends too late",
            ),
            (
                window("{}", hour),
                "Both 'hostname' and 'ip' for a machine are empty",
            ),
            (
                window(r#"{"ip":"10.0.0.256"}"#, hour),
                "Failed to parse IP '10.0.0.256'",
            ),
            (window(r#"{"ip":"::1"}"#, hour), "Failed to parse IP '::1'"),
            (
                window(r#"{"hostname":"a b"}"#, hour),
                "The hostname 'a b' of a machine has spaces",
            ),
            (
                window(
                    r#"{"hostname":"a","ip":"10.0.0.1"},{"hostname":"A","ip":"10.0.0.1"}"#,
                    hour,
                ),
                r#"Machine '{"hostname":"A","ip":"10.0.0.1"}' appears more than once in the schedule"#,
            ),
        ];
        for (schedule, expected) in cases {
            let found = refusal(&schedule);
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_machine_that_is_down_stays_in_the_schedule() {
        let down: MachineInfo = json(r#"{"id":{"hostname":"a"},"mode":"DOWN"}"#);
        let machines = BTreeMap::from([(MachineKey::from(&down.id), down)]);
        let refused = validate_schedule(&Schedule::default(), &machines).expect_err("it is down");
        assert_eq!(
            refused.0,
            r#"Machine '{"hostname":"a"}' is deactivated and cannot be removed from the schedule"#
        );
    }
}
