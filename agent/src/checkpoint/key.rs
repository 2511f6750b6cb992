//! Names of what the journal holds. Ids are file names, so `/` separates them safely.

use mesos_types::{ExecutorId, FrameworkId, TaskId};

/// The name of one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The agent itself.
    Agent,
    /// The highest election number of a master that was seen.
    Election,
    /// A drain under way.
    Drain,
    /// A framework.
    Framework(FrameworkId),
    /// An executor's run.
    Executor(FrameworkId, ExecutorId),
    /// A task of an executor.
    Task(FrameworkId, ExecutorId, TaskId),
    /// Update number `n` of a task.
    Update(FrameworkId, TaskId, u64),
    /// How many updates of a task are acknowledged.
    Acknowledged(FrameworkId, TaskId),
}

impl Key {
    /// The key as it stands in the journal.
    pub fn encode(&self) -> String {
        match self {
            Self::Agent => "agent".to_owned(),
            Self::Election => "election".to_owned(),
            Self::Drain => "drain".to_owned(),
            Self::Framework(f) => format!("f/{f}"),
            Self::Executor(f, e) => format!("x/{f}/{e}"),
            Self::Task(f, e, t) => format!("t/{f}/{e}/{t}"),
            Self::Update(f, t, n) => format!("u/{f}/{t}/{n:016x}"),
            Self::Acknowledged(f, t) => format!("a/{f}/{t}"),
        }
    }

    /// Reads a key back; `None`: not one of ours.
    pub fn decode(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        Some(match parts.as_slice() {
            ["agent"] => Self::Agent,
            ["election"] => Self::Election,
            ["drain"] => Self::Drain,
            ["f", f] => Self::Framework((*f).into()),
            ["x", f, e] => Self::Executor((*f).into(), (*e).into()),
            ["t", f, e, t] => Self::Task((*f).into(), (*e).into(), (*t).into()),
            ["u", f, t, n] => {
                Self::Update((*f).into(), (*t).into(), u64::from_str_radix(n, 16).ok()?)
            }
            ["a", f, t] => Self::Acknowledged((*f).into(), (*t).into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        for key in [
            Key::Agent,
            Key::Election,
            Key::Drain,
            Key::Framework("f".into()),
            Key::Executor("f".into(), "e x".into()),
            Key::Task("f".into(), "e".into(), "t.1".into()),
            Key::Update("f".into(), "t".into(), 300),
            Key::Acknowledged("f".into(), "t".into()),
        ] {
            assert_eq!(Key::decode(&key.encode()), Some(key));
        }
        assert_eq!(Key::decode("u/f/t"), None);
        assert_eq!(Key::decode(""), None);
    }
}
