//! What nearly all resources have in common, kept in memory once: usual names, empty metadata.

use std::sync::{Arc, LazyLock};

use super::Meta;

static NAMES: LazyLock<[Arc<str>; 5]> =
    LazyLock::new(|| ["cpus", "mem", "disk", "gpus", "ports"].map(Arc::from));

static PLAIN: LazyLock<Arc<Meta>> = LazyLock::new(Arc::default);

/// The name, shared if it is a usual one.
pub(super) fn name(name: &str) -> Arc<str> {
    let usual = NAMES.iter().find(|usual| ***usual == *name);
    usual.cloned().unwrap_or_else(|| name.into())
}

/// The metadata of what is unreserved, unallocated and nothing else.
pub(super) fn plain() -> Arc<Meta> {
    PLAIN.clone()
}

/// The metadata, shared if there is nothing in it.
pub(super) fn meta(meta: Meta) -> Arc<Meta> {
    let plain = meta.allocation_role.is_none()
        && meta.reservations.is_empty()
        && meta.disk.is_none()
        && !meta.revocable
        && !meta.shared
        && meta.provider.is_none();
    if plain { self::plain() } else { Arc::new(meta) }
}
