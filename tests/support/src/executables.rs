//! Where the binaries under test are.

use std::path::{Path, PathBuf};

/// Names the folder of the binaries under test, when it is not cargo's.
pub const VARIABLE: &str = "MESOS_TEST_BIN_DIR";

/// The path of the binary `name`: from the folder in [`VARIABLE`], else from the folder cargo
/// built the running test into (`cargo build --workspace --all-targets` puts both there).
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os(VARIABLE).map_or_else(folder_of_this_test, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} does not exist: build it with `cargo build --workspace --all-targets`, \
         or name the folder of the binaries in {VARIABLE}",
        path.display()
    );
    path
}

/// `target/<profile>`; tests run from `deps` below it.
fn folder_of_this_test() -> PathBuf {
    let exe = std::env::current_exe().expect("Linux tells a process its executable");
    let folder = exe.parent().unwrap_or(Path::new("/"));
    if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder).to_owned()
    } else {
        folder.to_owned()
    }
}

/// The root of the repository: the folder of the workspace's `Cargo.toml`.
pub fn repository() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    while !folder.join("Cargo.lock").exists() {
        assert!(
            folder.pop(),
            "no folder above {} holds Cargo.lock",
            env!("CARGO_MANIFEST_DIR")
        );
    }
    folder
}
