//! The `mesos-execute` program: `mesos execute` under its old name.

fn main() -> std::process::ExitCode {
    mesos_cli::main_execute()
}
