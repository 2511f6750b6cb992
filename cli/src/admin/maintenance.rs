//! `mesos maintenance schedule`, `status`, `down` and `up`.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use mesos_types::units::parse_duration;
use mesos_wire::v1::{
    DurationInfo, MachineId, TimeInfo, Unavailability,
    maintenance::{Schedule, Window},
    master::{
        Call,
        call::{StartMaintenance, StopMaintenance, Type, UpdateMaintenanceSchedule},
    },
};

use super::{Outcome, call, order};
use crate::{
    ListArgs, MasterArgs,
    listing::{print, print_message},
    table::table,
};

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Show the schedule, or change it with --machine, --file or --clear.
    Schedule(ScheduleArgs),
    /// Show which machines are to go down, what frameworks answered, and which are down.
    Status {
        #[command(flatten)]
        common: ListArgs,
    },
    /// Take machines of the schedule down: their agents end, their tasks are lost.
    Down {
        #[command(flatten)]
        machines: MachinesArgs,
    },
    /// Bring machines up again that are down; they leave the schedule.
    Up {
        #[command(flatten)]
        machines: MachinesArgs,
    },
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    #[command(flatten)]
    common: ListArgs,
    /// Add a window for these machines; with --start and --duration.
    #[arg(long, value_name = "HOST,IP", value_parser = machine, conflicts_with_all = ["file", "clear"])]
    machine: Vec<MachineId>,
    /// When the window begins: in so much time (`10mins`), or seconds since 1970.
    #[arg(long, value_name = "TIME", requires = "machine", value_parser = start, default_value = "0secs")]
    start: Start,
    /// How long it is; without it, for good.
    #[arg(long, value_name = "DURATION", requires = "machine", value_parser = duration)]
    duration: Option<Duration>,
    /// Replace the schedule by the JSON in this file; `-` is the standard input.
    #[arg(long, value_name = "PATH", conflicts_with = "clear")]
    file: Option<PathBuf>,
    /// Replace the schedule by an empty one.
    #[arg(long)]
    clear: bool,
}

#[derive(Debug, Args)]
pub struct MachinesArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// Name and address as the schedule has them; either may be left out: `host`, `,10.0.0.1`.
    #[arg(required = true, value_name = "HOST,IP", value_parser = machine)]
    machines: Vec<MachineId>,
}

/// When a window begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    After(Duration),
    At(i64),
}

fn start(text: &str) -> Result<Start, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        let nanoseconds = seconds.checked_mul(1_000_000_000);
        return nanoseconds
            .map(Start::At)
            .ok_or_else(|| format!("{seconds} seconds is too far away"));
    }
    duration(text).map(Start::After)
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn machine(text: &str) -> Result<MachineId, String> {
    let (hostname, ip) = text.split_once(',').unwrap_or((text, ""));
    if hostname.is_empty() && ip.is_empty() {
        return Err("expecting HOST, HOST,IP or ,IP".to_owned());
    }
    let present = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Ok(MachineId {
        hostname: present(hostname),
        ip: present(ip),
    })
}

fn name(id: &MachineId) -> String {
    match (id.hostname(), id.ip()) {
        (hostname, "") => hostname.to_owned(),
        (hostname, ip) => format!("{hostname},{ip}"),
    }
}

/// Carries the command out.
pub async fn run(command: MaintenanceCommand) -> Outcome {
    match command {
        MaintenanceCommand::Schedule(args) => schedule(args).await,
        MaintenanceCommand::Status { common } => status(&common).await,
        MaintenanceCommand::Down { machines } => {
            let start = StartMaintenance {
                machines: machines.machines.clone(),
            };
            let call = Call {
                start_maintenance: Some(start),
                ..call(Type::StartMaintenance)
            };
            change(&machines, &call, "down").await
        }
        MaintenanceCommand::Up { machines } => {
            let stop = StopMaintenance {
                machines: machines.machines.clone(),
            };
            let call = Call {
                stop_maintenance: Some(stop),
                ..call(Type::StopMaintenance)
            };
            change(&machines, &call, "up").await
        }
    }
}

async fn change(args: &MachinesArgs, call: &Call, state: &str) -> Outcome {
    order(&args.master.find().await?, call).await?;
    for machine in &args.machines {
        print(&format!("{} is {state}\n", name(machine)));
    }
    Ok(())
}

async fn schedule(args: ScheduleArgs) -> Outcome {
    let master = args.common.master.find().await?;
    let get = async || -> Result<Schedule, String> {
        let answer = order(&master, &call(Type::GetMaintenanceSchedule)).await?;
        Ok(answer.get_maintenance_schedule.unwrap_or_default().schedule)
    };
    let wanted = if args.clear {
        Some(Schedule::default())
    } else if let Some(path) = &args.file {
        Some(read(path)?)
    } else if args.machine.is_empty() {
        None
    } else {
        let mut schedule = get().await?;
        schedule.windows.push(window(&args)?);
        Some(schedule)
    };
    if let Some(schedule) = wanted {
        let update = UpdateMaintenanceSchedule { schedule };
        let call = Call {
            update_maintenance_schedule: Some(update),
            ..call(Type::UpdateMaintenanceSchedule)
        };
        order(&master, &call).await?;
    }
    let schedule = get().await?;
    if args.common.json {
        return print_message(&schedule);
    }
    let rows: Vec<_> = schedule
        .windows
        .iter()
        .flat_map(|window| {
            let time = &window.unavailability;
            let begin = (time.start.nanoseconds / 1_000_000_000).to_string();
            let length = time.duration.map_or("-".to_owned(), |length| {
                format!("{}secs", length.nanoseconds / 1_000_000_000)
            });
            window
                .machine_ids
                .iter()
                .map(move |id| vec![name(id), begin.clone(), length.clone()])
        })
        .collect();
    print(&table(&["MACHINE", "BEGIN", "DURATION"], &rows));
    Ok(())
}

fn window(args: &ScheduleArgs) -> Result<Window, String> {
    let too_far = || "the window ends too far away".to_owned();
    let nanoseconds =
        |duration: Duration| i64::try_from(duration.as_nanos()).map_err(|_| too_far());
    let start = match args.start {
        Start::At(nanoseconds) => nanoseconds,
        Start::After(wait) => {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_err(|_| "this machine's clock is before 1970".to_owned())?;
            nanoseconds(now.saturating_add(wait))?
        }
    };
    Ok(Window {
        machine_ids: args.machine.clone(),
        unavailability: Unavailability {
            start: TimeInfo { nanoseconds: start },
            duration: args
                .duration
                .map(|length| {
                    Ok::<_, String>(DurationInfo {
                        nanoseconds: nanoseconds(length)?,
                    })
                })
                .transpose()?,
        },
    })
}

fn read(path: &PathBuf) -> Result<Schedule, String> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(|error| format!("stdin: {error}"))?
    } else {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
    };
    mesos_wire::json::from_slice(text.as_bytes())
        .map_err(|error| format!("{} holds no schedule: {error}", path.display()))
}

async fn status(common: &ListArgs) -> Outcome {
    let master = common.master.find().await?;
    let answer = order(&master, &call(Type::GetMaintenanceStatus)).await?;
    let status = answer.get_maintenance_status.unwrap_or_default().status;
    if common.json {
        return print_message(&status);
    }
    let draining = status.draining_machines.iter().map(|machine| {
        let answers: Vec<_> = machine
            .statuses
            .iter()
            .map(|answer| format!("{}:{}", answer.framework_id, answer.status().as_str_name()))
            .collect();
        vec![name(&machine.id), "DRAINING".to_owned(), answers.join(" ")]
    });
    let down = status.down_machines.iter();
    let down = down.map(|id| vec![name(id), "DOWN".to_owned(), String::new()]);
    let rows: Vec<_> = draining.chain(down).collect();
    print(&table(&["MACHINE", "MODE", "ANSWERS"], &rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_a_name_or_an_address() {
        for text in ["host", "host,10.0.0.1", ",10.0.0.1"] {
            assert_eq!(name(&machine(text).unwrap()), text);
        }
        assert!(machine(",").is_err());
    }

    #[test]
    fn windows_begin_after_some_time_or_at_a_moment() {
        assert!(matches!(start("10mins"), Ok(Start::After(wait)) if wait.as_secs() == 600));
        assert!(matches!(
            start("1700000000"),
            Ok(Start::At(1_700_000_000_000_000_000))
        ));
        assert!(start("soon").is_err());
        assert!(
            start("9223372036854775807")
                .unwrap_err()
                .contains("too far")
        );
    }
}
