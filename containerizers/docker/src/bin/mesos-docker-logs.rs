//! The writer of container output on its own, for tests and for running by hand.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    mesos_docker_logs::main(std::env::args().skip(1))
}
