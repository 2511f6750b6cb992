//! Why a daemon does not start: each error names the flag, what was found, and what to do.

use std::{fmt, io, path::PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The table of flags.
    Default,
    /// An argument.
    CommandLine,
    /// An environment variable, by name.
    Environment(String),
    /// A file of `/etc`, by path.
    File(PathBuf),
    /// What stands in for a flag that must have a value.
    Fallback,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::CommandLine => f.write_str("the command line"),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Fallback => f.write_str("the built-in default"),
        }
    }
}

/// Why the flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// No such flag.
    #[error("unknown flag --{name} (from {source_of}){}", suggestion.map(|near| format!("; did you mean --{near}?")).unwrap_or_default())]
    Unknown {
        /// As given, in lower case.
        name: String,
        /// Where it was given.
        source_of: Source,
        /// The nearest name there is.
        suggestion: Option<&'static str>,
    },
    /// Given more than once, perhaps under two names.
    #[error("flag --{name} is given more than once on {source_of}")]
    Twice {
        /// The flag.
        name: &'static str,
        /// Where.
        source_of: Source,
    },
    /// A flag that is not a boolean needs `=VALUE`.
    #[error("flag --{name} needs a value: write --{name}=VALUE, with the equals sign")]
    NeedsValue {
        /// The flag.
        name: &'static str,
    },
    /// Only booleans can be negated.
    #[error("--no-{name} is not possible: --{name} is not a boolean flag")]
    NotBoolean {
        /// The flag.
        name: &'static str,
    },
    /// `--no-x=value`.
    #[error(
        "--no-{name}={value} is not possible: write --no-{name}, or --{name}=true, or --{name}=false"
    )]
    NoWithValue {
        /// The flag.
        name: &'static str,
        /// What followed the equals sign.
        value: String,
    },
    /// The value is not what the flag takes.
    #[error("flag --{name}: '{value}' (from {source_of}) is not valid: {problem}")]
    Invalid {
        /// The flag.
        name: &'static str,
        /// As given; `***` when it is secret.
        value: String,
        /// Where it was given.
        source_of: Source,
        /// What is allowed.
        problem: String,
    },
    /// A file that a flag names cannot be read.
    #[error("flag --{name}: cannot read {}", path.display())]
    ReadValue {
        /// The flag.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the configuration directories cannot be read.
    #[error("cannot read the configuration in {}", path.display())]
    ReadConfiguration {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The flag restricts something and is not built.
    #[error(
        "flag --{name} (from {source_of}) asks for a restriction that is not built yet, so this {daemon} does not \
         start rather than run without it; leave the flag out if you can do without"
    )]
    Restricts {
        /// The flag.
        name: &'static str,
        /// Where it was given.
        source_of: Source,
        /// `agent` or `master`.
        daemon: &'static str,
    },
    /// The flag asks for something that is not built and cannot be done without.
    #[error("flag --{name} (from {source_of}): {problem}")]
    Refused {
        /// The flag.
        name: &'static str,
        /// Where it was given.
        source_of: Source,
        /// What is not built.
        problem: String,
    },
    /// TLS is asked for in the environment.
    #[error(
        "{name}={value} asks for TLS, which is not built yet, so this daemon does not start rather than talk in the clear"
    )]
    Tls {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
    },
    /// Flags that do not go together.
    #[error("{0}")]
    Conflict(String),
}
