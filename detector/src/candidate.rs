//! The nodes of candidates: their names, and what they hold.

use mesos_wire::{Encoding, decode, json, v1::MasterInfo};

use crate::MasterAddress;

/// What the names of our nodes begin with; ZooKeeper appends ten digits.
pub(crate) const PREFIX: &str = "json.info_";
/// Label of the nodes that Mesos before 0.24 made.
const OLD_PREFIX: &str = "info_";
/// Digits of a sequence number: ten, more when it no longer fits.
const DIGITS: std::ops::RangeInclusive<usize> = 10..=19;

/// How a node tells who its candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    /// MasterInfo as JSON.
    Json,
    /// MasterInfo as protobuf: `info_NNNNNNNNNN`.
    Binary,
    /// `master@HOST:PORT`: `NNNNNNNNNN`, the oldest form.
    Pid,
}

/// A child of the election's directory that stands for a master.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    sequence: u64,
    format: Format,
    name: String,
}

impl Candidate {
    /// Reads the name of a child; `None` for what is no candidate.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (format, digits) = if let Some(digits) = name.strip_prefix(PREFIX) {
            (Format::Json, digits)
        } else if let Some(digits) = name.strip_prefix(OLD_PREFIX) {
            (Format::Binary, digits)
        } else {
            (Format::Pid, name)
        };
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            sequence: digits.parse().ok()?,
            format,
            name: name.to_owned(),
        })
    }

    /// The candidate that leads: the one of the lowest sequence.
    pub(crate) fn leader_of<'a>(children: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        children
            .into_iter()
            .filter_map(|name| Self::from_name(name))
            .min()
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads what the node holds. The error says what is wrong with it.
    pub(crate) fn read(&self, data: &[u8]) -> Result<MasterInfo, String> {
        let wrong = |problem: String| format!("{} does not hold a master: {problem}", self.name);
        match self.format {
            Format::Json => decode(Encoding::Json, data).map_err(|e| wrong(e.to_string())),
            Format::Binary => decode(Encoding::Protobuf, data).map_err(|e| wrong(e.to_string())),
            Format::Pid => {
                let text = std::str::from_utf8(data).map_err(|e| wrong(e.to_string()))?;
                let address: MasterAddress = text
                    .trim()
                    .rsplit_once('@')
                    .map_or(text.trim(), |(_, address)| address)
                    .parse()
                    .map_err(|e| wrong(format!("{e}")))?;
                let mut info = crate::Leader::fixed(&address).info;
                // The field must not be empty; a pid tells one process from another as well.
                text.trim().clone_into(&mut info.id);
                Ok(info)
            }
        }
    }
}

/// What our own node holds: keys sorted, as in Mesos.
pub(crate) fn content(info: &MasterInfo) -> Vec<u8> {
    let mut value = json::to_value(info);
    value.sort_all_objects();
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use mesos_wire::{
        encode,
        v1::{Address, master_info},
    };
    use proptest::prelude::*;

    use super::*;

    /// What a Mesos 1.11 wrote.
    const WRITTEN: &str = r#"{"address":{"hostname":"localhost","ip":"127.0.0.1","port":5280},"capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"hostname":"localhost","id":"0418721e-90c8-4729-8c91-d88466365111","ip":16777343,"pid":"master@127.0.0.1:5280","port":5280,"version":"1.11.0"}"#;

    fn info() -> MasterInfo {
        use master_info::{Capability, capability::Type};
        let capability = |kind: Type| Capability {
            r#type: Some(kind.into()),
        };
        MasterInfo {
            id: "0418721e-90c8-4729-8c91-d88466365111".to_owned(),
            ip: 16_777_343,
            port: 5280,
            pid: Some("master@127.0.0.1:5280".to_owned()),
            hostname: Some("localhost".to_owned()),
            version: Some("1.11.0".to_owned()),
            address: Some(Address {
                hostname: Some("localhost".to_owned()),
                ip: Some("127.0.0.1".to_owned()),
                port: 5280,
            }),
            domain: None,
            capabilities: vec![
                capability(Type::AgentUpdate),
                capability(Type::AgentDraining),
                capability(Type::QuotaV2),
            ],
        }
    }

    fn read(name: &str, data: &[u8]) -> Result<MasterInfo, String> {
        Candidate::from_name(name).unwrap().read(data)
    }

    #[test]
    fn what_is_written_is_what_mesos_writes() {
        assert_eq!(String::from_utf8(content(&info())).unwrap(), WRITTEN);
        assert_eq!(
            read("json.info_0000000000", WRITTEN.as_bytes()).unwrap(),
            info()
        );
    }

    #[test]
    fn historic_forms_are_read() {
        let binary = encode(Encoding::Protobuf, &info());
        assert_eq!(read("info_0000000001", &binary).unwrap(), info());
        let pid = read("0000000002", b"master@10.0.0.1:5050").unwrap();
        assert_eq!((pid.ip, pid.port), (16_777_226, 5050));
        assert!(!pid.id.is_empty());
    }

    #[test]
    fn what_is_no_master_is_said() {
        for (name, data) in [
            ("json.info_0000000000", &b""[..]),
            ("json.info_0000000000", b"{\"id\":\"x\"}"),
            ("info_0000000000", b"\xff\xff"),
            ("0000000000", b"master@"),
            ("0000000000", b"\xff"),
        ] {
            let error = read(name, data).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_lowest_sequence_leads_and_strangers_are_ignored() {
        let children: Vec<String> = [
            "log_replicas",
            "mesos-rs.registry",
            "json.info_0000000007",
            "json.info_0000000012",
            "json.info_00000000xx",
            "json.info_1",
            "json.info_",
            "other_0000000001",
            "info_0000000009",
            "0000000010",
            "00000000000000000000000",
        ]
        .map(str::to_owned)
        .to_vec();
        let leader = Candidate::leader_of(&children).unwrap();
        assert_eq!(
            (leader.name(), leader.sequence()),
            ("json.info_0000000007", 7)
        );
        assert_eq!(Candidate::leader_of(&children[..2]), None);
        let mixed = [
            "json.info_0000000011".to_owned(),
            "info_0000000009".to_owned(),
        ];
        assert_eq!(
            Candidate::leader_of(&mixed).unwrap().name(),
            "info_0000000009"
        );
        // Beyond 2^31 ZooKeeper uses more digits.
        let long = "json.info_0000000002147483648";
        assert_eq!(Candidate::from_name(long).unwrap().sequence(), 1 << 31);
    }

    proptest! {
        #[test]
        fn any_name_and_content_is_read_or_refused(name in "\\PC{0,40}", data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(candidate) = Candidate::from_name(&name) {
                let _ = candidate.read(&data);
            }
            for name in ["json.info_0000000000", "info_0000000000", "0000000000"] {
                let _ = read(name, &data);
            }
        }

        #[test]
        fn a_name_is_read_as_zookeeper_makes_it(sequence in 0u64..=2_147_483_647) {
            let candidate = Candidate::from_name(&format!("{PREFIX}{sequence:010}")).unwrap();
            prop_assert_eq!(candidate.sequence(), sequence);
        }
    }
}
