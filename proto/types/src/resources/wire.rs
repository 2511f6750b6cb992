//! Resources on the wire: two formats, checked when read.
#![expect(
    deprecated,
    reason = "`role` is deprecated, and what older frameworks read"
)]

use std::{collections::BTreeSet, sync::Arc};

use mesos_wire::v1::{
    self, ResourceProviderId, Value as WireValue,
    resource::{AllocationInfo, ReservationInfo, RevocableInfo, SharedInfo, reservation_info},
    value,
};

use super::{Range, Ranges, Resource, Resources, Scalar, Value, interned, resource::Meta};
use crate::{is_subrole, validate_id, validate_role};

/// How reservations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `reservations`, no `role`: for frameworks with RESERVATION_REFINEMENT.
    PostRefinement,
    /// `role` and `reservation`, as far as reservations are not refined: for all others.
    PreRefinement,
    /// `reservations`, and `role` and `reservation` too where they can say it: for endpoints.
    Endpoint,
}

/// A resource that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid resource `{resource}`: {problem}")]
pub struct ResourceError {
    /// Its name.
    pub resource: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl Resources {
    /// Reads resources in either format.
    ///
    /// # Errors
    /// The first one that cannot be. One of nothing is no error and is left out.
    pub fn from_wire(resources: &[v1::Resource]) -> Result<Self, ResourceError> {
        resources.iter().map(Resource::from_wire).collect()
    }

    /// Writes resources.
    pub fn to_wire(&self, format: Format) -> Vec<v1::Resource> {
        self.iter().map(|r| r.to_wire(format)).collect()
    }
}

impl Resource {
    /// Reads one resource in either format.
    ///
    /// # Errors
    /// What is wrong with it. Source of the rules: `Resources::validate` of Apache Mesos.
    pub fn from_wire(wire: &v1::Resource) -> Result<Self, ResourceError> {
        let refuse = |problem: String| ResourceError {
            resource: wire.name.clone(),
            problem,
        };
        if wire.name.is_empty() {
            return Err(refuse("the name is empty".to_owned()));
        }
        let value = read_value(wire).map_err(refuse)?;
        let meta = Meta {
            allocation_role: wire
                .allocation_info
                .as_ref()
                .and_then(|a| a.role.as_deref())
                .map(Arc::from),
            reservations: read_reservations(wire).map_err(refuse)?,
            disk: wire.disk.clone(),
            revocable: wire.revocable.is_some(),
            shared: wire.shared.is_some(),
            provider: wire.provider_id.as_ref().map(|p| p.value.clone()),
        };
        check_disk(wire, &meta).map_err(refuse)?;
        Ok(Self {
            name: interned::name(&wire.name),
            value,
            meta: interned::meta(meta),
        })
    }

    /// Writes one resource.
    pub fn to_wire(&self, format: Format) -> v1::Resource {
        let meta = &*self.meta;
        let mut wire = v1::Resource {
            name: self.name.to_string(),
            provider_id: meta
                .provider
                .clone()
                .map(|value| ResourceProviderId { value }),
            allocation_info: meta.allocation_role.as_ref().map(|role| AllocationInfo {
                role: Some(role.to_string()),
            }),
            disk: meta.disk.clone(),
            revocable: meta.revocable.then(RevocableInfo::default),
            shared: meta.shared.then(SharedInfo::default),
            ..Default::default()
        };
        write_value(&self.value, &mut wire);
        write_reservations(&meta.reservations, format, &mut wire);
        wire
    }
}

fn read_value(wire: &v1::Resource) -> Result<Value, String> {
    let given = [
        wire.scalar.is_some(),
        wire.ranges.is_some(),
        wire.set.is_some(),
    ];
    if given.iter().filter(|g| **g).count() > 1 {
        return Err("more than one of scalar, ranges and set is given".to_owned());
    }
    match wire.r#type() {
        value::Type::Scalar => {
            let amount = wire
                .scalar
                .as_ref()
                .ok_or("type is SCALAR but scalar is missing")?
                .value;
            read_scalar(&wire.name, amount).map(Value::Scalar)
        }
        value::Type::Ranges => {
            let ranges = wire
                .ranges
                .as_ref()
                .ok_or("type is RANGES but ranges is missing")?;
            read_ranges(ranges).map(Value::Ranges)
        }
        value::Type::Set => {
            let items = &wire
                .set
                .as_ref()
                .ok_or("type is SET but set is missing")?
                .item;
            let distinct: BTreeSet<String> = items.iter().cloned().collect();
            if distinct.len() < items.len() {
                return Err("an item stands twice in the set".to_owned());
            }
            Ok(Value::Set(distinct))
        }
        value::Type::Text => Err("type is TEXT; allowed: SCALAR, RANGES, SET".to_owned()),
    }
}

fn read_scalar(name: &str, amount: f64) -> Result<Scalar, String> {
    let allowed = "allowed: a finite number not below 0";
    let scalar =
        Scalar::from_f64(amount).ok_or_else(|| format!("scalar is {amount}; {allowed}"))?;
    if amount < 0.0 {
        return Err(format!("scalar is {amount}; {allowed}"));
    }
    if amount > 0.0 && scalar == Scalar::ZERO {
        return Err(format!(
            "scalar {amount} is nothing at a precision of 0.001"
        ));
    }
    if name == "gpus" && scalar.thousandths() % 1000 != 0 {
        return Err(format!("scalar is {amount}; gpus must be whole"));
    }
    Ok(scalar)
}

fn read_ranges(wire: &value::Ranges) -> Result<Ranges, String> {
    let mut sorted: Vec<Range> = Vec::with_capacity(wire.range.len());
    for range in &wire.range {
        let (begin, end) = (range.begin, range.end);
        if begin > end {
            return Err(format!("range {begin}-{end} ends before it begins"));
        }
        sorted.push(Range { begin, end });
    }
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if let [first, second] = pair
            && second.begin <= first.end
        {
            let (a, b, c, d) = (first.begin, first.end, second.begin, second.end);
            return Err(format!("ranges {a}-{b} and {c}-{d} overlap"));
        }
    }
    Ok(Ranges::new(sorted))
}

fn read_reservations(wire: &v1::Resource) -> Result<Vec<ReservationInfo>, String> {
    let stack = if wire.reservations.is_empty() {
        upgrade(wire)?
    } else {
        if wire.reservation.is_some() || wire.role.as_deref().is_some_and(|r| r != "*") {
            return Err("both `reservations` and `role` or `reservation` are given".to_owned());
        }
        wire.reservations.clone()
    };
    for (depth, reservation) in stack.iter().enumerate() {
        let role = reservation.role();
        validate_role(role).map_err(|e| format!("reservation: {e}"))?;
        if role == "*" {
            return Err("role `*` cannot be reserved for".to_owned());
        }
        match reservation.r#type() {
            reservation_info::Type::Unknown => {
                return Err("a reservation's type is missing".to_owned());
            }
            reservation_info::Type::Static if depth > 0 => {
                return Err("a refined reservation cannot be STATIC".to_owned());
            }
            _ => {}
        }
        if depth > 0 && !is_subrole(role, stack[depth - 1].role()) {
            return Err(format!(
                "reservation for `{role}` does not refine that for `{}`",
                stack[depth - 1].role()
            ));
        }
    }
    if wire.revocable.is_some()
        && stack
            .last()
            .is_some_and(|r| r.r#type() == reservation_info::Type::Dynamic)
    {
        return Err("a dynamically reserved resource cannot be revocable".to_owned());
    }
    Ok(stack)
}

/// The stack that `role` and `reservation` stand for.
fn upgrade(wire: &v1::Resource) -> Result<Vec<ReservationInfo>, String> {
    let role = wire.role();
    match &wire.reservation {
        None if role == "*" => Ok(Vec::new()),
        None => Ok(vec![ReservationInfo {
            r#type: Some(reservation_info::Type::Static.into()),
            role: Some(role.to_owned()),
            ..Default::default()
        }]),
        Some(_) if role == "*" => Err("`reservation` is given for role `*`".to_owned()),
        Some(dynamic) => Ok(vec![ReservationInfo {
            r#type: Some(reservation_info::Type::Dynamic.into()),
            role: Some(role.to_owned()),
            ..dynamic.clone()
        }]),
    }
}

fn check_disk(wire: &v1::Resource, meta: &Meta) -> Result<(), String> {
    if let Some(disk) = &wire.disk {
        if wire.name != "disk" {
            return Err("`disk` is given for another resource than disk".to_owned());
        }
        if let Some(persistence) = &disk.persistence {
            validate_id(&persistence.id).map_err(|e| format!("persistence id: {e}"))?;
        }
    }
    if meta.shared && wire.disk.as_ref().is_none_or(|d| d.persistence.is_none()) {
        return Err("only persistent volumes can be shared".to_owned());
    }
    Ok(())
}

fn write_value(value: &Value, wire: &mut v1::Resource) {
    match value {
        Value::Scalar(amount) => {
            wire.r#type = value::Type::Scalar.into();
            wire.scalar = Some(value::Scalar {
                value: amount.as_f64(),
            });
        }
        Value::Ranges(ranges) => {
            wire.r#type = value::Type::Ranges.into();
            wire.ranges = Some(ranges.into());
        }
        Value::Set(items) => {
            wire.r#type = value::Type::Set.into();
            wire.set = Some(value::Set {
                item: items.iter().cloned().collect(),
            });
        }
    }
}

impl From<&Ranges> for value::Ranges {
    fn from(ranges: &Ranges) -> Self {
        let range = ranges
            .iter()
            .map(|r| value::Range {
                begin: r.begin,
                end: r.end,
            })
            .collect();
        Self { range }
    }
}

impl From<&Value> for WireValue {
    fn from(value: &Value) -> Self {
        let mut wire = v1::Resource::default();
        write_value(value, &mut wire);
        Self {
            r#type: wire.r#type,
            scalar: wire.scalar,
            ranges: wire.ranges,
            set: wire.set,
            text: None,
        }
    }
}

fn write_reservations(stack: &[ReservationInfo], format: Format, wire: &mut v1::Resource) {
    let refined = stack.len() > 1;
    if format != Format::PreRefinement || refined {
        wire.reservations = stack.to_vec();
    }
    if format == Format::PostRefinement || refined {
        return;
    }
    let Some(only) = stack.first() else {
        wire.role = Some("*".to_owned());
        return;
    };
    wire.role = only.role.clone();
    if only.r#type() == reservation_info::Type::Dynamic {
        wire.reservation = Some(ReservationInfo {
            r#type: None,
            role: None,
            ..only.clone()
        });
    }
}
