//! The lines a container in the making sends to the agent.

/// Lets the held-back task go.
pub const RELEASE: u8 = b'G';

/// One line from the helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// `P pid`: the container's first process exists. It is the agent's own child.
    Forked(u32),
    /// `R pid`: all is set up, pid and start time are on disk, the task waits for its release.
    Ready(u32),
    /// `E text`: it cannot be set up; the processes have ended or are about to.
    Failed(String),
}

impl Report {
    /// The line, with its newline. Newlines in a text become blanks.
    pub fn to_line(&self) -> String {
        match self {
            Self::Forked(pid) => format!("P {pid}\n"),
            Self::Ready(pid) => format!("R {pid}\n"),
            Self::Failed(text) => format!("E {}\n", text.replace('\n', " ")),
        }
    }

    /// Reads a line without its newline; `None`: it is none of these.
    pub fn from_line(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "P" => rest.parse().ok().map(Self::Forked),
            "R" => rest.parse().ok().map(Self::Ready),
            "E" => Some(Self::Failed(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_written() {
        for report in [
            Report::Forked(7),
            Report::Ready(4_000_000),
            Report::Failed("no such user".to_owned()),
        ] {
            assert_eq!(Report::from_line(report.to_line().trim_end()), Some(report));
        }
        assert_eq!(Report::from_line("R x"), None);
        assert_eq!(Report::from_line(""), None);
    }
}
