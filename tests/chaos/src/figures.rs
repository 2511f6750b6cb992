//! How long it took, by what had failed.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default)]
struct Row {
    outages: Vec<Duration>,
    backs: Vec<Duration>,
    changes: usize,
}

/// Figures of all rounds.
#[derive(Debug, Default)]
pub struct Figures {
    rows: BTreeMap<String, Row>,
}

impl Figures {
    /// Adds a round: what failed, the longest time without a leader, the time until all were back once what
    /// had failed was there again, changes of leader.
    pub fn add(&mut self, what: &str, outage: Duration, back: Duration, changes: usize) {
        let all = self.rows.entry("all".to_owned()).or_default();
        all.add(outage, back, changes);
        let row = self.rows.entry(what.to_owned()).or_default();
        row.add(outage, back, changes);
    }

    /// Prints them as a table, in seconds.
    pub fn print(&self) {
        println!(
            "{:<28} {:>6} {:>7}   {:>7} {:>7} {:>7}   {:>7} {:>7} {:>7}",
            "what failed", "rounds", "changes", "median", "p90", "max", "median", "p90", "max"
        );
        println!("{:<45} {:<25} until all are back", "", "without a leader");
        for (what, row) in &self.rows {
            let [a, b, c] = summary(&row.outages);
            let [d, e, f] = summary(&row.backs);
            println!(
                "{what:<28} {:>6} {:>7}   {a:>7.2} {b:>7.2} {c:>7.2}   {d:>7.2} {e:>7.2} {f:>7.2}",
                row.outages.len(),
                row.changes
            );
        }
    }
}

impl Row {
    fn add(&mut self, outage: Duration, back: Duration, changes: usize) {
        self.outages.push(outage);
        self.backs.push(back);
        self.changes += changes;
    }
}

/// Median, 90th percentile and maximum, in seconds.
fn summary(times: &[Duration]) -> [f64; 3] {
    let mut sorted: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = sorted.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        sorted.get(index).copied().unwrap_or(0.0)
    };
    [at(0.5), at(0.9), at(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_middle_and_the_worst() {
        let times: Vec<Duration> = (1..=11).map(Duration::from_secs).collect();
        assert_eq!(summary(&times), [6.0, 10.0, 11.0]);
        assert_eq!(summary(&[]), [0.0; 3]);
    }
}
