//! What a task's status says when its container ran out of memory.

use mesos_isolator_api::Limitation;
use mesos_types::{Resource, Resources, Scalar, units::format_bytes};
use mesos_wire::v1::task_status::Reason;

/// The message is read by people and by scripts: its first line is the one of Apache Mesos, and
/// what the kernel counts follows. What could not be read is left out.
pub(super) fn limitation(
    bound: Option<u64>,
    peak: Option<u64>,
    heading: &str,
    statistics: &str,
) -> Limitation {
    let mut message = "Memory limit exceeded: ".to_owned();
    if let Some(bound) = bound {
        message += &format!("Requested: {} ", format_bytes(bound));
    }
    if let Some(peak) = peak {
        message += &format!("Maximum Used: {}", format_bytes(peak));
    }
    message = format!("{}\n\n{heading}\n{statistics}\n", message.trim_end());
    // In MiB, of which the scalar keeps thousandths.
    let used = peak
        .or(bound)
        .and_then(|bytes| Scalar::from_f64(bytes as f64 / f64::from(1 << 20)));
    let resources = used.map_or_else(Resources::new, |used| Resource::scalar("mem", used).into());
    Limitation {
        reason: Reason::ContainerLimitationMemory,
        message,
        resources,
    }
}
