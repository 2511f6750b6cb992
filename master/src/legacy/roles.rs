//! `/roles`.
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json::{Empty, list};
use crate::roles::{Role, Weight};

/// All roles.
pub(crate) struct RolesJson<'a>(pub(crate) &'a [Role]);

impl Serialize for RolesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("roles", &list(self.0.iter().map(RoleJson)))?;
        map.end()
    }
}

struct RoleJson<'a>(&'a Role);

impl Serialize for RoleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let role = self.0;
        let mut held = role.allocated.clone();
        held.merge(&role.offered);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &role.name)?;
        map.serialize_entry("weight", &role.weight)?;
        map.serialize_entry("quota", &QuotaJson(role))?;
        map.serialize_entry("resources", &held)?;
        map.serialize_entry("allocated", &role.allocated)?;
        map.serialize_entry("offered", &role.offered)?;
        map.serialize_entry("reserved", &role.reserved)?;
        map.serialize_entry(
            "frameworks",
            &list(role.frameworks.iter().map(|id| id.as_str())),
        )?;
        map.end()
    }
}

/// No role has a quota yet, so only what it consumes is worth showing.
struct QuotaJson<'a>(&'a Role);

impl Serialize for QuotaJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.0.name)?;
        map.serialize_entry("guarantee", &Empty)?;
        map.serialize_entry("limit", &Empty)?;
        map.serialize_entry("consumed", &self.0.consumed)?;
        map.end()
    }
}

/// `/weights`.
pub(crate) struct WeightsJson<'a>(pub(crate) &'a [Weight]);

impl Serialize for WeightsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        list(self.0.iter().map(WeightJson)).serialize(serializer)
    }
}

struct WeightJson<'a>(&'a Weight);

impl Serialize for WeightJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.0.role)?;
        map.serialize_entry("weight", &self.0.weight)?;
        map.end()
    }
}
