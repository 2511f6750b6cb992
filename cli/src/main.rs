//! The `mesos` program.

fn main() -> std::process::ExitCode {
    let called_as = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&called_as)
        .file_name()
        .is_some_and(|n| n == "mesos-execute")
    {
        return mesos_cli::main_execute();
    }
    mesos_cli::main()
}
