//! Generates the control service; wire messages come from `mesos-wire`.
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../wire/proto");
    let descriptors = protox::compile(
        ["mesos_rs/control/v1/control.proto"],
        ["proto", "../wire/proto"],
    )?;
    tonic_prost_build::configure()
        .extern_path(".mesos.v1", "::mesos_wire::v1")
        .codec_path("crate::codec::SmallCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
