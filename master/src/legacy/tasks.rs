//! `/tasks`: all tasks by the time they started, a page at a time.
use std::sync::Arc;

use mesos_http::Request;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{json::list, task::TaskJson};
use crate::{
    reading::Viewer,
    state::{Snapshot, Task},
};

/// Tasks of a page unless `limit` says otherwise. Source: `TASK_LIMIT`, `master/constants.hpp` of Apache Mesos.
const LIMIT: usize = 100;

/// What the query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    framework: Option<String>,
    task: Option<String>,
    limit: usize,
    offset: usize,
    ascending: bool,
}

impl Page {
    pub(crate) fn of(request: &Request) -> Self {
        Self::parse(|name| request.query(name))
    }

    /// What is no number is as if it were not there; a negative limit is none, as in Mesos, where it
    /// becomes a huge one.
    fn parse<'a>(query: impl Fn(&str) -> Option<&'a str>) -> Self {
        let number = |name: &str, default: usize| {
            let number = query(name).and_then(|text| text.parse::<i64>().ok());
            number.map_or(default, |number| {
                usize::try_from(number).unwrap_or(usize::MAX)
            })
        };
        Self {
            framework: query("framework_id").map(str::to_owned),
            task: query("task_id").map(str::to_owned),
            limit: number("limit", LIMIT),
            offset: number("offset", 0),
            ascending: query("order") == Some("asc"),
        }
    }

    /// The tasks of the page. Those without any status count as the oldest ones.
    fn select<'a>(&self, snapshot: &'a Snapshot, viewer: &Viewer) -> Vec<&'a Arc<Task>> {
        let mut tasks: Vec<(f64, &Arc<Task>)> = Vec::new();
        for framework in snapshot
            .frameworks
            .values()
            .chain(snapshot.completed_frameworks.iter())
        {
            let wanted = self
                .framework
                .as_deref()
                .is_none_or(|id| id == framework.id.as_str());
            if !wanted || !viewer.framework(framework) {
                continue;
            }
            let all = framework
                .tasks
                .values()
                .chain(framework.unreachable_tasks.values());
            for task in all.chain(framework.completed_tasks.iter()) {
                let wanted = self.task.as_deref().is_none_or(|id| id == task.id.as_str());
                if wanted && viewer.task(task, &framework.info) {
                    let first = task.statuses.first();
                    tasks.push((
                        first.map_or(f64::NEG_INFINITY, |status| status.timestamp()),
                        task,
                    ));
                }
            }
        }
        // Stable, so that tasks of one moment stay in place from page to page.
        if self.ascending {
            tasks.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        } else {
            tasks.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        }
        tasks
            .into_iter()
            .skip(self.offset)
            .take(self.limit)
            .map(|(_, task)| task)
            .collect()
    }
}

/// One page.
pub(crate) struct TasksJson<'a> {
    pub(crate) page: &'a Page,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) viewer: &'a Viewer,
}

impl Serialize for TasksJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tasks = self.page.select(self.snapshot, self.viewer);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tasks", &list(tasks.iter().map(|task| TaskJson(task))))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::sample;

    fn page(query: &str) -> Page {
        let pairs: Vec<(&str, &str)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        Page::parse(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        })
    }

    #[test]
    fn pages_are_cut_from_tasks_in_order_of_their_start() {
        let mut snapshot = sample::snapshot();
        for (name, at) in [
            ("a", Some(3.0)),
            ("b", Some(1.0)),
            ("c", None),
            ("d", Some(2.0)),
        ] {
            sample::add_task(&mut snapshot, "F0", name, at);
        }
        sample::add_task(&mut snapshot, "F1", "other", Some(9.0));
        for (query, expected) in [
            ("", "other a d b c"),
            ("framework_id=F0", "a d b c"),
            ("framework_id=F0&order=desc", "a d b c"),
            ("framework_id=F0&order=asc", "c b d a"),
            ("framework_id=F0&order=asc&limit=2", "c b"),
            ("framework_id=F0&order=asc&limit=2&offset=3", "a"),
            ("framework_id=F0&order=asc&limit=-1", "c b d a"),
            ("framework_id=F0&limit=0", ""),
            ("framework_id=F0&limit=x&offset=y", "a d b c"),
            ("framework_id=F0&offset=-1", ""),
            ("framework_id=F0&offset=9", ""),
            ("task_id=d", "d"),
            ("framework_id=F1&task_id=d", ""),
            ("framework_id=F2", ""),
        ] {
            let found = page(query).select(&snapshot, &Viewer::everything());
            let names: Vec<&str> = found.iter().map(|task| task.id.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{query}");
        }
    }

    #[test]
    fn a_page_has_a_hundred_tasks_unless_asked_otherwise() {
        let mut snapshot = sample::snapshot();
        for n in 0..150 {
            sample::add_task(&mut snapshot, "F0", &format!("t{n:03}"), Some(f64::from(n)));
        }
        let found = page("").select(&snapshot, &Viewer::everything());
        assert_eq!((found.len(), found[0].id.as_str()), (100, "t149"));
    }
}
