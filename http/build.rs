//! Tells the crate when, by whom and from which commit it is built. The commit comes from the environment
//! of a release build only, so that a commit does not rebuild everything.
use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() {
    for name in ["SOURCE_DATE_EPOCH", "MESOS_BUILD_SHA", "MESOS_BUILD_TAG"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs());
    let seconds =
        env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| now.unwrap_or_default().to_string());
    println!("cargo:rustc-env=MESOS_BUILD_SECONDS={seconds}");
    let user = env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=MESOS_BUILD_USER={user}");
}
