//! One write: the epoch moves on and the operations are made, or neither.
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult};

use super::{epoch::Epoch, layout::Layout, plan::Operation, session::Access};

/// Sends it; the order of calls is the order in which they are made. `version`: what the write before it left
/// behind. Comes back with the version that it leaves.
pub(super) fn send<'client>(
    client: &'client Client,
    layout: &Layout,
    access: &Access,
    epoch: &Epoch,
    version: i32,
    operations: &[Operation],
) -> impl Future<Output = Result<i32, Error>> + Send + use<'client> {
    let built = build(client, layout, access, epoch, version, operations);
    // What fails for one operation is told with its path.
    let sent = built.map(|mut writer| writer.commit());
    let paths: Vec<String> = operations
        .iter()
        .map(|operation| operation.path().to_owned())
        .collect();
    async move {
        match sent?.await {
            Ok(results) => match results.first() {
                Some(MultiWriteResult::SetData { stat }) => Ok(stat.version),
                _ => Err(Error::UnexpectedError(
                    "an answer without results".to_owned(),
                )),
            },
            Err(MultiWriteError::OperationFailed { index, source }) => {
                if index > 0 {
                    let path = paths.get(index - 1).map_or("", String::as_str);
                    tracing::error!(path, error = %source, "an operation on the registry is refused");
                }
                Err(source)
            }
            Err(MultiWriteError::RequestFailed { source }) => Err(source),
        }
    }
}

fn build<'client>(
    client: &'client Client,
    layout: &Layout,
    access: &Access,
    epoch: &Epoch,
    version: i32,
    operations: &[Operation],
) -> Result<zookeeper_client::MultiWriter<'client>, Error> {
    let options = CreateMode::Persistent.with_acls(access.acls());
    let mut writer = client.new_multi_writer();
    writer.add_set_data(&layout.epoch(), &epoch.to_bytes(), Some(version))?;
    for operation in operations {
        match operation {
            Operation::Create(path, data) => writer.add_create(path, data, &options)?,
            Operation::Set(path, data) => writer.add_set_data(path, data, None)?,
            Operation::Delete(path) => writer.add_delete(path, None)?,
        }
    }
    Ok(writer)
}
