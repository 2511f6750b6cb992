//! What an operator changes while parts fail: what was answered with 200 is never forgotten.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use mesos_test_support::http;
use serde_json::{Value, json};

/// How long a master may take for one answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Weights of roles: what each one may be now. More than one, when nobody knows whether a change was made.
#[derive(Debug, Default)]
pub struct Promises {
    weights: BTreeMap<String, Vec<f64>>,
}

fn call(master: SocketAddr, body: &Value) -> Result<http::Response, String> {
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let body = body.to_string();
    http::request_within(ANSWER, master, "POST", "/api/v1", &headers, body.as_bytes())
        .map_err(|error| error.to_string())
}

impl Promises {
    /// Asks one master to give a role a weight.
    pub fn change(&mut self, master: SocketAddr, role: &str, weight: f64) {
        let body = json!({
            "type": "UPDATE_WEIGHTS",
            "update_weights": {"weight_infos": [{"role": role, "weight": weight}]},
        });
        let answer = call(master, &body);
        // Nobody has set it yet: it is 1.
        let known = self.weights.entry(role.to_owned()).or_insert(vec![1.0]);
        match answer.map(|answer| answer.status) {
            Ok(200) => *known = vec![weight],
            // Answered by one that does not lead.
            Ok(307) => {}
            // 503 is also the answer of one that stopped to lead in the middle of it.
            Ok(_) | Err(_) => known.push(weight),
        }
    }

    /// Compares with what the leader says. A change that was open is decided by that.
    ///
    /// # Errors
    /// What is wrong, or why the leader does not say anything.
    pub fn check(&mut self, leader: SocketAddr) -> Result<(), String> {
        let answer = call(leader, &json!({"type": "GET_WEIGHTS"}))?;
        if answer.status != 200 {
            return Err(format!("GET_WEIGHTS: {}", answer.status));
        }
        let answer = answer.json();
        let infos = answer["get_weights"]["weight_infos"].as_array();
        for (role, known) in &mut self.weights {
            let mut all = infos.into_iter().flatten();
            let found = all.find(|info| info["role"] == *role);
            let now = found.map_or(1.0, |info| info["weight"].as_f64().unwrap_or(f64::NAN));
            if !known.contains(&now) {
                return Err(format!("the weight of {role} is {now}, not of {known:?}"));
            }
            *known = vec![now];
        }
        Ok(())
    }
}
