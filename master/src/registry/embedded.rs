//! The registry in the embedded store: one file of one master.
use std::path::Path;

use mesos_store::{Batch, Store, Writer};

use super::{
    Registry, RegistryError,
    entries::{self, FORMAT, Step, Table},
};

/// Opens the store and reads all of it; an older form is brought up to date. Blocks on the disk.
pub(super) fn open(path: &Path) -> Result<(Writer, Registry), RegistryError> {
    let mut store = Store::open(path, FORMAT)?;
    let registry = read(&store)?;
    if store.format() != FORMAT {
        // Nothing but tables was added: what is there reads as it is. An older release must not write
        // from here on, because it would leave entries behind that it does not know.
        tracing::info!(path = %path.display(), from = store.format(), to = FORMAT, "the registry's format is brought up to date");
        store.upgrade(FORMAT)?;
    }
    Ok((Writer::start(store)?, registry))
}

/// The change as one batch.
pub(super) fn batch(steps: Vec<Step>) -> Batch {
    steps
        .into_iter()
        .fold(Batch::new(), |batch, step| match step {
            Step::Put(table, key, value) => batch.put(table.name(), key, value),
            Step::Remove(table, key) => batch.remove(table.name(), key),
            Step::Clear(table) => batch.clear(table.name()),
        })
}

fn read(store: &Store) -> Result<Registry, RegistryError> {
    let mut registry = Registry::default();
    for table in Table::ALL {
        for (key, value) in store.read(table.name())? {
            entries::read(&mut registry, table, key.clone(), &value).map_err(|reason| {
                RegistryError::Entry {
                    place: store.path().display().to_string(),
                    key,
                    table: table.name(),
                    reason,
                }
            })?;
        }
    }
    Ok(registry)
}
