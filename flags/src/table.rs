//! How a flag is declared: name, kind, default, help and whether it is built, in one place.

use crate::value::Value;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true`, `false`, `1`, `0`; `--x` alone is true, `--no-x` is false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A number with a unit of time, such as `15secs`.
    Duration,
    /// A whole number with a unit of bytes, such as `2GB`.
    Bytes,
    /// A whole or decimal number of percent, such as `50%`.
    Percent,
    /// Any text.
    Text,
    /// The path of a file or directory. `file://` in front of it is dropped and the file is not read here.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words separated by commas, none of them twice.
    List,
    /// JSON, or the absolute path of a file that holds it.
    Json,
    /// An IPv4 address.
    Ip,
    /// Resources, as text or JSON.
    Resources,
    /// Attributes, as text.
    Attributes,
    /// Where masters are found: an address, `zk://...`, or a file that holds one of them and is read again
    /// later, so its content does not take the flag's place.
    Masters,
}

/// How far a flag is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what it says.
    Built,
    /// It is taken, with one warning that it has no effect yet.
    NotBuilt,
    /// It would restrict somebody or something and is not built yet, so that starting without its effect
    /// would be unsafe: any value but the default is refused.
    Restricts,
    /// The daemon cannot do without its effect where it is asked for: any value but the default is refused.
    /// The text says what is missing.
    Refused(&'static str),
}

/// A check beyond the kind. The error says what is allowed.
pub type Check = fn(&Value) -> Result<(), String>;

/// One flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Name, lower case, without dashes.
    pub name: &'static str,
    /// Older names, which still work with a warning.
    pub aliases: &'static [&'static str],
    /// What its value is.
    pub kind: Kind,
    /// Its value when nobody sets it.
    pub default: Option<&'static str>,
    /// In place of a default: what happens when it is not set.
    pub unset: Option<&'static str>,
    /// How far it is built.
    pub status: Status,
    /// Whether its value must not show in `/flags` or in a log.
    pub secret: bool,
    /// Whether its default is left out of `/flags`: Mesos has it in optional builds only.
    pub optional: bool,
    /// What it does, in one or two sentences.
    pub help: &'static str,
    /// Checks the value.
    pub check: Option<Check>,
}

impl Flag {
    /// A flag that is built and has no default.
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            kind,
            default: None,
            unset: None,
            status: Status::Built,
            secret: false,
            optional: false,
            help,
            check: None,
        }
    }

    /// Sets the default.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// Says what happens when it is not set.
    #[must_use]
    pub const fn unset(mut self, text: &'static str) -> Self {
        self.unset = Some(text);
        self
    }

    /// Adds older names.
    #[must_use]
    pub const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    /// Sets how far it is built.
    #[must_use]
    pub const fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// [`Status::NotBuilt`].
    #[must_use]
    pub const fn not_built(self) -> Self {
        self.status(Status::NotBuilt)
    }

    /// [`Status::Restricts`].
    #[must_use]
    pub const fn restricts(self) -> Self {
        self.status(Status::Restricts)
    }

    /// Hides its value.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Leaves its default out of `/flags`.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Adds a check.
    #[must_use]
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
}

/// Flags that belong together.
#[derive(Debug)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// In the order of the documentation.
    pub flags: &'static [Flag],
}

/// All flags of a daemon.
#[derive(Debug)]
pub struct Table {
    /// `agent` or `master`: the name of the program and of its `/etc` directories.
    pub daemon: &'static str,
    /// Older names of the `/etc` directories.
    pub old_names: &'static [&'static str],
    /// The flags.
    pub sections: &'static [Section],
    /// Variables of `/etc/default/mesos*` that stand for a flag, with its name.
    pub shortcuts: &'static [(&'static str, &'static str)],
    /// The flag that `/etc/mesos/zk` stands for.
    pub zk: &'static str,
}

impl Table {
    /// Every flag, in the order of the documentation.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.sections.iter().flat_map(|section| section.flags)
    }

    /// The flag with this name or alias; `true` for an alias.
    pub fn find(&self, name: &str) -> Option<(&'static Flag, bool)> {
        self.flags().find_map(|flag| {
            if flag.name == name {
                Some((flag, false))
            } else {
                flag.aliases.contains(&name).then_some((flag, true))
            }
        })
    }

    /// The known name that is nearest to `name`, when it is near enough to be what was meant.
    pub fn suggest(&self, name: &str) -> Option<&'static str> {
        self.flags()
            .flat_map(|flag| std::iter::once(flag.name).chain(flag.aliases.iter().copied()))
            .map(|known| (distance(name, known), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
            .min()
            .map(|(_, known)| known)
    }
}

/// Insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(100).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("port", "prot", 1),
            ("work_dir", "workdir", 1),
            ("ip", "port", 4),
            ("a", "", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        let table = &crate::agent::TABLE;
        assert_eq!(table.suggest("workdir"), Some("work_dir"));
        assert_eq!(table.suggest("containerizer"), Some("containerizers"));
        assert_eq!(table.suggest("isolaton"), Some("isolation"));
        assert_eq!(table.suggest("frobnicate"), None);
    }
}
