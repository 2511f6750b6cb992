//! Identifiers, resource algebra, task states and units. No I/O, no async.

#![forbid(unsafe_code)]

mod attributes;
mod capabilities;
mod ids;
mod limits;
mod operations;
mod resources;
mod roles;
mod states;
pub mod units;
mod volumes;

pub use attributes::{AttributeError, attributes_json, parse_attributes};
pub use capabilities::FrameworkCapabilities;
pub use ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, IdError, MasterId, OfferId, TaskId, validate_id,
};
pub use limits::{LimitValue, Limits};
pub use operations::{Conversion, MAX_RESOURCES_PER_OPERATION, OperationError, ResourceOperation};
pub use resources::{
    Format, Meta, Quantities, Range, Ranges, Resource, ResourceError, Resources, Scalar, Value,
    parse_resources, resources_json,
};
pub use roles::{RoleError, is_subrole, validate_role};
pub use states::is_terminal;
pub use volumes::{PersistentVolume, VolumeDisk, VolumeError};
