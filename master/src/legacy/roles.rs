//! `/roles`.
use mesos_types::{Quantities, Scalar};
use mesos_wire::v1::{WeightInfo, quota::QuotaConfig};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::json::list;
use crate::roles::Role;
use crate::validation::quota::{guarantees, limits};

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

struct QuotaJson<'a>(&'a Role);

impl Serialize for QuotaJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.0.name)?;
        let quota = self.0.quota.as_ref();
        map.serialize_entry("guarantee", &Guarantees(quota))?;
        map.serialize_entry("limit", &Limits(quota))?;
        map.serialize_entry("consumed", &self.0.consumed)?;
        map.end()
    }
}

struct Guarantees<'a>(Option<&'a QuotaConfig>);

impl Serialize for Guarantees<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amounts = self.0.map_or_else(Quantities::default, guarantees);
        serializer.collect_map(amounts.iter().map(|(name, amount)| (name, amount.as_f64())))
    }
}

struct Limits<'a>(Option<&'a QuotaConfig>);

impl Serialize for Limits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amounts = self.0.map(limits).unwrap_or_default();
        let amounts = amounts.iter();
        serializer.collect_map(amounts.map(|(name, limit)| (name, Scalar::as_f64(*limit))))
    }
}

/// `/weights`.
pub(crate) struct WeightsJson<'a>(pub(crate) &'a [WeightInfo]);

impl Serialize for WeightsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        list(self.0.iter().map(WeightJson)).serialize(serializer)
    }
}

struct WeightJson<'a>(&'a WeightInfo);

impl Serialize for WeightJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.0.role())?;
        map.serialize_entry("weight", &self.0.weight)?;
        map.end()
    }
}
