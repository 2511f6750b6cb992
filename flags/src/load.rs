//! Reads flags from the command line, the environment and `/etc`, in that order of precedence.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{FlagError, Source},
    etc,
    table::{Flag, Kind, Status, Table},
    value::Value,
};

/// What the flags are read from.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Arguments, without the program's name.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// The configuration root, `/etc` in production. `None` reads no files there.
    pub etc: Option<PathBuf>,
}

impl Input {
    /// This process's arguments and environment, and `/etc`.
    pub fn from_process() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self {
            args: std::env::args_os().skip(1).map(text).collect(),
            env: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            etc: Some(PathBuf::from("/etc")),
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What is worth telling the operator at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A value that was taken from somewhere the operator may not think of.
    Info(String),
    /// Something that does not have the effect it was meant to have.
    Warning(String),
}

/// What to do after reading the flags.
#[derive(Debug)]
pub enum Start<T> {
    /// Print this on stdout and exit with 0.
    Print(String),
    /// Run with these flags, after logging the notices.
    Run(Box<T>, Vec<Notice>),
}

/// One setting as it was found.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    name: String,
    text: Option<String>,
    source: Source,
}

impl Raw {
    pub(crate) fn new(name: &str, text: Option<String>, source: Source) -> Self {
        Self {
            name: name.to_ascii_lowercase(),
            text,
            source,
        }
    }
}

#[derive(Debug, Clone)]
struct Setting {
    flag: &'static Flag,
    value: Value,
    source: Source,
}

/// Every flag that has a value, checked one by one.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    table: &'static Table,
    settings: BTreeMap<&'static str, Setting>,
    pub(crate) notices: Vec<Notice>,
}

impl Loaded {
    /// Reads and checks; `None` when help or the version is asked for.
    pub(crate) fn load(table: &'static Table, input: &Input) -> Result<Self, FlagError> {
        tls(input)?;
        let mut loaded = Self {
            table,
            settings: BTreeMap::new(),
            notices: Vec::new(),
        };
        let mut layers = vec![
            loaded.command_line(&input.args)?,
            environment(table, &input.env),
        ];
        if let Some(etc) = &input.etc {
            let (raws, notices) = etc::read(table, etc)?;
            loaded
                .notices
                .extend(notices.into_iter().map(Notice::Warning));
            // One layer each: a name that comes twice is no error in files, the first one counts.
            layers.extend(raws.into_iter().map(|raw| vec![raw]));
        }
        for layer in layers {
            loaded.add(layer)?;
        }
        for flag in table.flags() {
            if let Some(default) = flag.default
                && !loaded.settings.contains_key(flag.name)
            {
                let value = loaded.value(flag, default.to_owned(), &Source::Default)?;
                loaded.settings.insert(
                    flag.name,
                    Setting {
                        flag,
                        value,
                        source: Source::Default,
                    },
                );
            }
        }
        Ok(loaded)
    }

    /// Arguments as settings, in order.
    fn command_line(&mut self, args: &[String]) -> Result<Vec<Raw>, FlagError> {
        let mut raws = Vec::new();
        for arg in args {
            let arg = arg.trim();
            if arg == "--" {
                break;
            }
            let Some(body) = arg.strip_prefix("--") else {
                self.notices.push(Notice::Warning(format!(
                    "argument '{arg}' is not a flag and is ignored; flags are written --name=value"
                )));
                continue;
            };
            let (name, text) = match body.split_once('=') {
                Some((name, text)) => (name, Some(text.to_owned())),
                None => (body, None),
            };
            raws.push(Raw::new(name, text, Source::CommandLine));
        }
        Ok(raws)
    }

    /// Adds the settings of one layer where no earlier layer has set the flag.
    fn add(&mut self, layer: Vec<Raw>) -> Result<(), FlagError> {
        let mut seen: Vec<&'static str> = Vec::new();
        for raw in layer {
            let (flag, alias, negated) = self.find(&raw)?;
            if seen.contains(&flag.name) {
                return Err(FlagError::Twice {
                    name: flag.name,
                    source_of: raw.source,
                });
            }
            seen.push(flag.name);
            if self.settings.contains_key(flag.name) {
                continue;
            }
            if alias {
                self.notices.push(Notice::Warning(format!(
                    "--{} (from {}) is an old name; use --{}",
                    raw.name, raw.source, flag.name
                )));
            }
            if let Source::File(path) = &raw.source {
                self.notices.push(Notice::Info(format!(
                    "--{} is taken from {}",
                    flag.name,
                    path.display()
                )));
            }
            let text = text_of(flag, raw.text, negated)?;
            let value = self.value(flag, text, &raw.source)?;
            self.judge(flag, &value, &raw.source)?;
            self.settings.insert(
                flag.name,
                Setting {
                    flag,
                    value,
                    source: raw.source,
                },
            );
        }
        Ok(())
    }

    fn find(&self, raw: &Raw) -> Result<(&'static Flag, bool, bool), FlagError> {
        if let Some((flag, alias)) = self.table.find(&raw.name) {
            return Ok((flag, alias, false));
        }
        let positive = raw.name.strip_prefix("no-").or_else(|| match raw.source {
            // A variable's name cannot hold a dash.
            Source::Environment(_) | Source::File(_) => raw.name.strip_prefix("no_"),
            _ => None,
        });
        if let Some((flag, alias)) = positive.and_then(|name| self.table.find(name)) {
            return Ok((flag, alias, true));
        }
        Err(FlagError::Unknown {
            suggestion: self.table.suggest(positive.unwrap_or(&raw.name)),
            name: raw.name.clone(),
            source_of: raw.source.clone(),
        })
    }

    /// Reads files that the text names, then the value, then checks it.
    fn value(
        &mut self,
        flag: &'static Flag,
        text: String,
        source: &Source,
    ) -> Result<Value, FlagError> {
        let read = |path: &str| {
            etc::read_bounded(Path::new(path)).map_err(|error| FlagError::ReadValue {
                name: flag.name,
                path: PathBuf::from(path),
                source: error,
            })
        };
        let content = match (flag.kind, text.trim().strip_prefix("file://")) {
            (Kind::Path, Some(path)) => path.to_owned(),
            (Kind::Masters, Some(_)) => text.clone(),
            (_, Some(path)) => read(path)?,
            (Kind::Json, None) if text.trim().starts_with('/') => {
                self.notices.push(Notice::Warning(format!(
                    "--{}={}: a bare path is the old form; write file://{}",
                    flag.name,
                    text.trim(),
                    text.trim()
                )));
                read(text.trim())?
            }
            (_, None) => text.clone(),
        };
        let invalid = |problem| FlagError::Invalid {
            name: flag.name,
            value: if flag.secret {
                "***".to_owned()
            } else {
                mask(text.trim())
            },
            source_of: source.clone(),
            problem,
        };
        let value = Value::parse(flag.kind, &content).map_err(invalid)?;
        if let Some(check) = flag.check {
            check(&value).map_err(invalid)?;
        }
        Ok(value)
    }

    /// Warns of or refuses what is not built.
    fn judge(
        &mut self,
        flag: &'static Flag,
        value: &Value,
        source: &Source,
    ) -> Result<(), FlagError> {
        let default = flag
            .default
            .and_then(|text| Value::parse(flag.kind, text).ok());
        if default.as_ref() == Some(value) {
            return Ok(());
        }
        match flag.status {
            Status::Built => Ok(()),
            Status::NotBuilt => {
                self.notices.push(Notice::Warning(format!(
                    "--{} (from {source}) is accepted and has no effect: it is not built yet",
                    flag.name
                )));
                Ok(())
            }
            Status::Restricts => Err(FlagError::Restricts {
                name: flag.name,
                source_of: source.clone(),
                daemon: self.table.daemon,
            }),
            Status::Refused(problem) => Err(self.refused(flag, source, problem)),
        }
    }

    fn refused(&self, flag: &'static Flag, source: &Source, problem: &str) -> FlagError {
        FlagError::Refused {
            name: flag.name,
            source_of: source.clone(),
            problem: problem.to_owned(),
        }
    }

    /// Refuses the value that a flag has, for a reason that is known only now.
    pub(crate) fn refuse(&self, name: &str, problem: String) -> FlagError {
        let setting = self
            .settings
            .get(name)
            .expect("only a flag that is set is refused");
        FlagError::Invalid {
            name: setting.flag.name,
            value: if setting.flag.secret {
                "***".to_owned()
            } else {
                mask(&setting.value.print())
            },
            source_of: setting.source.clone(),
            problem,
        }
    }

    /// Gives a flag that must have a value one, with a notice.
    pub(crate) fn fallback(&mut self, name: &'static str, text: &str, why: &str) {
        let (flag, _) = self.table.find(name).expect("the flag is in the table");
        if self.settings.contains_key(name) {
            return;
        }
        let value = Value::parse(flag.kind, text).expect("a built-in default is valid");
        self.settings.insert(
            flag.name,
            Setting {
                flag,
                value,
                source: Source::Fallback,
            },
        );
        self.notices.push(Notice::Info(format!(
            "--{name} is not set: using {text} ({why})"
        )));
    }

    /// Gives a flag that is not set the value of an environment variable of libprocess.
    pub(crate) fn adopt(
        &mut self,
        name: &'static str,
        variable: &str,
        input: &Input,
    ) -> Result<(), FlagError> {
        if let Some(text) = input.variable(variable).filter(|text| !text.is_empty())
            && self
                .settings
                .get(name)
                .is_none_or(|setting| setting.source == Source::Default)
        {
            self.settings.remove(name);
            let source = Source::Environment(variable.to_owned());
            self.add(vec![Raw::new(name, Some(text.to_owned()), source)])?;
            self.notices
                .push(Notice::Info(format!("--{name} is taken from {variable}")));
        }
        Ok(())
    }

    /// Replaces a value by what it stands for.
    pub(crate) fn replace(&mut self, name: &'static str, value: Value) {
        let (flag, _) = self.table.find(name).expect("the flag is in the table");
        let source = self
            .settings
            .get(name)
            .map_or(Source::Fallback, |setting| setting.source.clone());
        self.settings.insert(
            flag.name,
            Setting {
                flag,
                value,
                source,
            },
        );
    }

    /// The effective values as `/flags` shows them, secrets hidden.
    pub(crate) fn effective(&self) -> BTreeMap<String, String> {
        self.settings
            .values()
            .filter(|setting| !(setting.flag.optional && setting.source == Source::Default))
            .map(|setting| {
                let text = if setting.flag.secret {
                    "***".to_owned()
                } else {
                    mask(&setting.value.print())
                };
                (setting.flag.name.to_owned(), text)
            })
            .collect()
    }

    /// Where masters are found. A source that is the whole content of a file, as that of `/etc/mesos/zk`, is
    /// the file, so that a change of it counts without a restart.
    pub(crate) fn opt_masters(&self, name: &str) -> Option<mesos_detector::Source> {
        let setting = self.settings.get(name)?;
        let text = setting.value.print();
        let source = text.parse().expect("it was read when the flag was loaded");
        if let Source::File(path) = &setting.source
            && !matches!(source, mesos_detector::Source::File(_))
            && etc::read_bounded(path).is_ok_and(|content| content.trim() == text)
        {
            return Some(mesos_detector::Source::File(path.clone()));
        }
        Some(source)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.settings.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(
            self.table.find(name).is_some(),
            "--{name} is not in the table"
        );
        self.settings.get(name).map(|setting| &setting.value)
    }
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $optional:ident, $variant:ident, $type:ty) => {
        impl Loaded {
            pub(crate) fn $optional(&self, name: &str) -> Option<$type> {
                match self.get(name) {
                    Some(Value::$variant(value)) => Some(value.clone()),
                    Some(_) => unreachable!("the table declares --{name} with another kind"),
                    None => None,
                }
            }

            #[allow(dead_code, reason = "not every kind has a flag without a default")]
            pub(crate) fn $name(&self, name: &str) -> $type {
                self.$optional(name).expect("the table gives a default")
            }
        }
    };
}

getter!(bool, opt_bool, Bool, bool);
getter!(int, opt_int, Int, i64);
getter!(float, opt_float, Float, f64);
getter!(percent, opt_percent, Percent, f64);
getter!(duration, opt_duration, Duration, Duration);
getter!(bytes, opt_bytes, Bytes, u64);
getter!(text, opt_text, Text, String);
getter!(list, opt_list, List, Vec<String>);
getter!(json, opt_json, Json, serde_json::Value);

/// Known flags among the `MESOS_*` variables; the others are for somebody else.
fn environment(table: &Table, env: &[(String, String)]) -> Vec<Raw> {
    let mut raws: Vec<Raw> = env
        .iter()
        .filter_map(|(key, text)| {
            let name = key.strip_prefix("MESOS_")?.to_ascii_lowercase();
            let positive = name
                .strip_prefix("no-")
                .or_else(|| name.strip_prefix("no_"));
            let known = table.find(&name).is_some()
                || positive.is_some_and(|name| table.find(name).is_some());
            known.then(|| Raw::new(&name, Some(text.clone()), Source::Environment(key.clone())))
        })
        .collect();
    raws.sort_by(|a, b| a.name.cmp(&b.name));
    raws
}

fn text_of(flag: &'static Flag, text: Option<String>, negated: bool) -> Result<String, FlagError> {
    match (flag.kind, negated, text) {
        (Kind::Bool, true, Some(value)) if !value.is_empty() => Err(FlagError::NoWithValue {
            name: flag.name,
            value,
        }),
        (Kind::Bool, true, _) => Ok("false".to_owned()),
        (Kind::Bool, false, text) => Ok(text.unwrap_or_else(|| "true".to_owned())),
        (_, true, _) => Err(FlagError::NotBoolean { name: flag.name }),
        (_, false, None) => Err(FlagError::NeedsValue { name: flag.name }),
        (_, false, Some(text)) => Ok(text),
    }
}

/// Hides user and password of a URL.
fn mask(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// TLS is asked for in the environment only.
fn tls(input: &Input) -> Result<(), FlagError> {
    for name in ["LIBPROCESS_SSL_ENABLED", "SSL_ENABLED"] {
        if let Some(value) = input.variable(name)
            && ["1", "true"].contains(&value.trim())
        {
            return Err(FlagError::Tls {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether `--help` or `--version` is among the arguments, whatever else is.
pub(crate) fn asks_for(input: &Input, what: &str) -> bool {
    input
        .args
        .iter()
        .map(|arg| arg.trim())
        .take_while(|arg| *arg != "--")
        .any(|arg| {
            arg.strip_prefix("--")
                .is_some_and(|name| name == what || name == format!("{what}=true"))
        })
}
