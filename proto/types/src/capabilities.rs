//! What a framework says it understands.

use mesos_wire::v1::{FrameworkInfo, framework_info::capability::Type};

/// The capabilities of a framework, one field each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameworkCapabilities {
    /// REVOCABLE_RESOURCES: may be offered revocable resources.
    pub revocable_resources: bool,
    /// TASK_KILLING_STATE: gets TASK_KILLING.
    pub task_killing_state: bool,
    /// GPU_RESOURCES: may be offered agents with GPUs.
    pub gpu_resources: bool,
    /// SHARED_RESOURCES: may be offered shared volumes.
    pub shared_resources: bool,
    /// PARTITION_AWARE: gets TASK_UNREACHABLE, TASK_DROPPED, TASK_GONE ... instead of TASK_LOST.
    pub partition_aware: bool,
    /// MULTI_ROLE: uses `roles`, sees `allocation_info`.
    pub multi_role: bool,
    /// RESERVATION_REFINEMENT: sees `reservations` instead of `role` and `reservation`.
    pub reservation_refinement: bool,
    /// REGION_AWARE: may be offered agents of other regions.
    pub region_aware: bool,
}

impl From<&FrameworkInfo> for FrameworkCapabilities {
    fn from(info: &FrameworkInfo) -> Self {
        let mut found = Self::default();
        for capability in &info.capabilities {
            match capability.r#type() {
                Type::Unknown => {}
                Type::RevocableResources => found.revocable_resources = true,
                Type::TaskKillingState => found.task_killing_state = true,
                Type::GpuResources => found.gpu_resources = true,
                Type::SharedResources => found.shared_resources = true,
                Type::PartitionAware => found.partition_aware = true,
                Type::MultiRole => found.multi_role = true,
                Type::ReservationRefinement => found.reservation_refinement = true,
                Type::RegionAware => found.region_aware = true,
            }
        }
        found
    }
}
