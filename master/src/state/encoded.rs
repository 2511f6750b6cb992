//! A task in the encodings of the v1 API, written from the record without a message in between.
use mesos_wire::{Encoding, json, v1};
use prost::encoding::{btree_map, bytes, int32, message, string};

use super::Task;

impl Task {
    /// The encoded [`Task::to_wire`], made once for each version of the record.
    pub fn encoded(&self, encoding: Encoding) -> &[u8] {
        self.shown.v1(encoding, || match encoding {
            Encoding::Protobuf => self.protobuf(),
            Encoding::Json => json::transcode::<v1::Task>(self.encoded(Encoding::Protobuf)),
        })
    }

    /// In the order of the numbers, as prost writes them.
    fn protobuf(&self) -> Vec<u8> {
        let spec = &*self.spec;
        let mut out = Vec::with_capacity(512);
        let out = &mut out;
        string::encode(1, &spec.name, out);
        message::encode(2, &spec.task_id, out);
        message::encode(3, &spec.framework_id, out);
        if let Some(id) = &spec.executor_id {
            message::encode(4, id, out);
        }
        message::encode(5, &spec.agent_id, out);
        int32::encode(6, &i32::from(self.state), out);
        message::encode_repeated(7, &spec.resources, out);
        for status in &self.statuses {
            message::encode(8, &**status, out);
        }
        if let Some((state, uuid)) = &self.forwarded {
            int32::encode(9, &i32::from(*state), out);
            bytes::encode(10, uuid, out);
        }
        if let Some(labels) = &spec.labels {
            message::encode(11, labels, out);
        }
        if let Some(discovery) = &spec.discovery {
            message::encode(12, discovery, out);
        }
        if let Some(container) = &spec.container {
            message::encode(13, container, out);
        }
        if let Some(user) = &spec.user {
            string::encode(14, user, out);
        }
        if let Some(check) = &spec.health_check {
            message::encode(15, check, out);
        }
        if let Some(policy) = &spec.kill_policy {
            message::encode(16, policy, out);
        }
        btree_map::encode(
            string::encode,
            string::encoded_len,
            message::encode,
            message::encoded_len,
            17,
            &spec.limits,
            out,
        );
        std::mem::take(out)
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::Resources;
    use mesos_wire::{decode, encode, v1::TaskState};

    use super::*;

    /// Every field of a task set, so that one that is forgotten shows.
    fn full() -> v1::Task {
        decode(
            Encoding::Json,
            br#"{"name":"n","task_id":{"value":"t"},"framework_id":{"value":"f"},"executor_id":{"value":"e"},
                "agent_id":{"value":"a"},"state":"TASK_STARTING",
                "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5},"allocation_info":{"role":"r"}},
                             {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}],
                "statuses":[{"task_id":{"value":"t"},"state":"TASK_STARTING","uuid":"AAAA","timestamp":1.25},
                            {"task_id":{"value":"t"},"state":"TASK_RUNNING","healthy":true,
                             "container_status":{"container_id":{"value":"c","parent":{"value":"p"}}}}],
                "status_update_state":"TASK_STARTING","status_update_uuid":"BwcH",
                "labels":{"labels":[{"key":"k","value":"v"}]},
                "discovery":{"visibility":"EXTERNAL","name":"d"},
                "container":{"type":"MESOS"},"user":"u",
                "health_check":{"type":"COMMAND","command":{"value":"true"}},
                "kill_policy":{"grace_period":{"nanoseconds":5}},
                "limits":{"cpus":{"value":2.0},"mem":{"value":64.0}}}"#,
        )
        .unwrap()
    }

    fn check(task: &Task) {
        let wire = task.to_wire();
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            assert_eq!(
                task.encoded(encoding),
                encode(encoding, &wire),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn a_task_is_encoded_as_its_message_is() {
        let spec = full();
        let empty = v1::Task {
            name: "n".into(),
            ..v1::Task::default()
        };
        for spec in [spec, empty] {
            let resources = Resources::from_wire(&spec.resources).unwrap();
            let mut task = Task::new(spec, resources);
            check(&task);
            let mut changed = task.clone();
            changed.state = TaskState::TaskRunning;
            check(&changed);
            task.shown.clear();
            task.forwarded = Some((TaskState::TaskFailed, b"uuid".to_vec()));
            check(&task);
        }
    }

    #[test]
    fn no_field_of_the_message_is_forgotten() {
        let message = full();
        let encoded = encode(Encoding::Json, &message);
        let value: serde_json::Value = serde_json::from_slice(&encoded).unwrap();
        // As many as the definition has: a new one must be written here and there.
        assert_eq!(value.as_object().unwrap().len(), 17);
    }
}
