//! Generates the Rust types of the v1 API and a descriptor set beside them.
use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: &[&str] = &[
    "mesos/v1/mesos.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/resource_provider/resource_provider.proto",
];

const IDS: &[&str] = &[
    ".mesos.v1.FrameworkID",
    ".mesos.v1.OfferID",
    ".mesos.v1.AgentID",
    ".mesos.v1.TaskID",
    ".mesos.v1.ExecutorID",
    ".mesos.v1.OperationID",
    ".mesos.v1.ResourceProviderID",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // Comments become doc comments of the types; at run time nobody reads them.
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptors.bin"), bare.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    for id in IDS {
        // Ids are keys of ordered maps everywhere.
        config.type_attribute(id, "#[derive(PartialOrd, Ord)]");
    }
    // Recursive, so prost derives less for it.
    config
        .type_attribute(
            ".mesos.v1.ContainerID",
            "#[derive(Eq, Hash, PartialOrd, Ord)]",
        )
        .btree_map(["."])
        .enable_type_names()
        .include_file("wire.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
