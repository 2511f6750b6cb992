//! `--help`, `--version` and `docs/flags.md`, all from the tables.

use std::fmt::Write as _;

use crate::table::{Flag, Kind, Status, Table};

/// The Mesos release whose flags and APIs these are.
pub const COMPATIBLE: &str = "1.11.0";

/// What `--version` prints.
pub fn version() -> String {
    format!(
        "mesos {COMPATIBLE}\nmesos-rs {}\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn syntax(flag: &Flag) -> String {
    if flag.kind == Kind::Bool {
        format!("--[no-]{}", flag.name)
    } else {
        format!("--{}=VALUE", flag.name)
    }
}

fn default(flag: &Flag) -> Option<String> {
    match (flag.default, flag.unset) {
        (Some(""), _) => None,
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(text)) => Some(text.to_owned()),
        (None, None) => None,
    }
}

fn state(flag: &Flag) -> Option<&'static str> {
    match flag.status {
        Status::Built => None,
        Status::NotBuilt => Some("not built yet: accepted with a warning"),
        Status::Restricts => Some("not built yet: refused, because it restricts something"),
        Status::Refused(_) => Some("not built yet: refused"),
    }
}

/// What `--help` prints.
pub fn usage(table: &Table) -> String {
    let mut out = format!(
        "Usage: {0} [--name=value] [--name] [--no-name] ...\n\n\
         Values may be file:///PATH. Flags can also be set as MESOS_NAME in the environment,\n\
         or as files /etc/mesos-{0}/NAME. The command line comes first, then the environment.\n",
        table.daemon
    );
    for section in table.sections {
        let _ = write!(out, "\n{}\n", section.title);
        for flag in section.flags {
            let _ = writeln!(out, "\n  {}", syntax(flag));
            let mut text = flag.help.to_owned();
            if let Some(default) = default(flag) {
                let _ = write!(text, " (default: {default})");
            }
            if let Some(state) = state(flag) {
                let _ = write!(text, " [{state}]");
            }
            wrap(&text, &mut out);
        }
    }
    out
}

fn wrap(text: &str, out: &mut String) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > 72 {
            let _ = writeln!(out, "      {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "      {line}");
}

/// The flag reference, in Markdown.
pub fn reference(tables: &[&Table]) -> String {
    let mut out = String::from(
        "# Flags\n\n\
         Generated from `flags/src`; `MESOS_RS_BLESS=1 cargo test -p mesos-flags` writes it anew.\n\n\
         Flags are written `--name=value`; booleans also `--name` and `--no-name`. `--` ends them. A value\n\
         `file:///PATH` is replaced by the file's content. A flag that is not on the command line is taken from\n\
         `MESOS_NAME` in the environment, then from the configuration directories of the packages\n\
         (`/etc/mesos-agent/NAME`, `/etc/mesos-slave/NAME`, `/etc/mesos-master/NAME`, `/etc/default/mesos*`,\n\
         `/etc/mesos/zk`). An unknown flag is an error, an unknown `MESOS_*` variable is not.\n\n\
         Durations take `ns us ms secs mins hrs days weeks`, bytes `B KB MB GB TB`.\n\n\
         In the last column, *warns* marks a flag that is not built yet and is accepted with a warning;\n\
         *refused* one that is not built yet and whose absence would be unsafe, so that the daemon does not start.\n",
    );
    for table in tables {
        let _ = write!(out, "\n## {}\n", table.daemon);
        for section in table.sections {
            let _ = write!(
                out,
                "\n### {}\n\n| flag | takes | default | meaning | |\n|---|---|---|---|---|\n",
                section.title
            );
            for flag in section.flags {
                let aliases: String = flag
                    .aliases
                    .iter()
                    .map(|alias| format!(" (old: `{alias}`)"))
                    .collect();
                let kind = match flag.kind {
                    Kind::Choice(words) => words.join(", "),
                    kind => format!("{kind:?}").to_lowercase(),
                };
                let default = match (flag.default, flag.unset) {
                    (Some(text), _) => format!("`{text}`"),
                    (None, text) => text.unwrap_or("–").to_owned(),
                };
                let state = match flag.status {
                    Status::Built => "",
                    Status::NotBuilt => "warns",
                    Status::Restricts | Status::Refused(_) => "refused",
                };
                let cells = [
                    format!("`{}`{aliases}", flag.name),
                    kind,
                    default,
                    flag.help.to_owned(),
                    state.to_owned(),
                ];
                let cells: Vec<String> =
                    cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                let _ = writeln!(out, "| {} |", cells.join(" | "));
            }
        }
    }
    out
}
