//! `/version`: which Mesos we are compatible with, and which build this is.

use serde::Serialize;

use crate::{request::Request, response::Response, router::Router};

/// The Mesos release whose APIs and flags we serve. Clients parse three numbers.
pub const COMPATIBLE: &str = "1.11.0";
/// Our own release.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// The fields of `/version` and of `VersionInfo`, in the order of `/version`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// When this was built: `2026-01-31 12:00:00`, UTC.
    pub build_date: String,
    /// The same in seconds since 1970.
    pub build_time: f64,
    /// Who built it.
    pub build_user: String,
    /// Commit, when the build knew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// Tag, when the build knew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_tag: Option<String>,
    /// Always [`COMPATIBLE`].
    pub version: String,
}

impl Version {
    /// What this build is.
    pub fn current() -> Self {
        let seconds: u32 = env!("MESOS_BUILD_SECONDS").parse().unwrap_or_default();
        Self {
            build_date: date(u64::from(seconds)),
            build_time: f64::from(seconds),
            build_user: env!("MESOS_BUILD_USER").to_owned(),
            git_sha: option_env!("MESOS_BUILD_SHA").map(str::to_owned),
            git_tag: option_env!("MESOS_BUILD_TAG").map(str::to_owned),
            version: COMPATIBLE.to_owned(),
        }
    }

    /// The same as a v1 message.
    pub fn to_v1(&self) -> mesos_wire::v1::VersionInfo {
        mesos_wire::v1::VersionInfo {
            version: self.version.clone(),
            build_date: Some(self.build_date.clone()),
            build_time: Some(self.build_time),
            build_user: Some(self.build_user.clone()),
            git_sha: self.git_sha.clone(),
            git_branch: None,
            git_tag: self.git_tag.clone(),
        }
    }
}

/// Adds `/version`.
pub fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>) {
    router
        .get("/version", |_: S, _: Request| {
            std::future::ready(Response::json(&Version::current()))
        })
        .bare()
        .ungated();
}

/// Seconds since 1970 as a date and time of day, UTC, in the proleptic Gregorian calendar.
fn date(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{year}-{month:02}-{:02} {:02}:{:02}:{:02}",
        days + 1,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(1_606_232_317), "2020-11-24 15:38:37");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59:59");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn this_build_has_a_date() {
        let version = Version::current();
        assert_eq!(version.version, "1.11.0");
        assert!(version.build_time > 1_600_000_000.0, "{version:?}");
    }
}
