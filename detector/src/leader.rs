//! The leader, as everybody who looks for it sees it.

use mesos_wire::v1::{Address, MasterInfo};

use crate::MasterAddress;

/// The leading master.
#[derive(Debug, Clone, PartialEq)]
pub struct Leader {
    /// What it says of itself.
    pub info: MasterInfo,
    /// Its election number: the transaction that created its node. Higher than that of every earlier
    /// leader of the same [realm](Self::realm). 0: there was no election, the address is fixed.
    pub election: u64,
    /// Which life of an ensemble elected it, made of the creation of the election's directory (transaction and
    /// time). Election numbers of different realms cannot be compared. 0 without election.
    pub realm: u64,
}

/// What a detector knows at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detected {
    /// The leader; while [`connected`](Self::connected) is false, the last one known. Who acts *as* leader
    /// must ask its [`Lease`](crate::Lease), not this.
    pub leader: Option<Leader>,
    /// Whether ZooKeeper answers, so that `leader` is fresh. Always true for a fixed address.
    pub connected: bool,
    /// Why there is no fresh answer, for a log or a page; never decide by its text.
    pub problem: Option<String>,
}

impl Leader {
    /// A leader that nobody elected.
    pub fn fixed(address: &MasterAddress) -> Self {
        let host = address.host().trim_matches(['[', ']']);
        let ip = host.parse::<std::net::IpAddr>().ok();
        Self {
            info: MasterInfo {
                // Not known until it is asked.
                id: String::new(),
                ip: match ip {
                    Some(std::net::IpAddr::V4(v4)) => u32::from_le_bytes(v4.octets()),
                    _ => 0,
                },
                port: u32::from(address.port()),
                pid: Some(format!("master@{address}")),
                hostname: Some(host.to_owned()),
                address: Some(Address {
                    hostname: Some(host.to_owned()),
                    ip: ip.map(|ip| ip.to_string()),
                    port: i32::from(address.port()),
                }),
                ..MasterInfo::default()
            },
            election: 0,
            realm: 0,
        }
    }

    /// Where to connect: the address it published, else its old `ip` field, else its host name.
    /// `None`: it published none of them that is one, or no port.
    pub fn address(&self) -> Option<MasterAddress> {
        let info = &self.info;
        let told = info.address.as_ref();
        let port = told
            .and_then(|address| u16::try_from(address.port).ok())
            .filter(|port| *port != 0)
            .or_else(|| u16::try_from(info.port).ok())
            .filter(|port| *port != 0)?;
        let filled = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let host = filled(told.and_then(|address| address.ip.as_deref()))
            .or_else(|| {
                (info.ip != 0).then(|| std::net::Ipv4Addr::from(info.ip.to_le_bytes()).to_string())
            })
            .or_else(|| filled(told.and_then(|address| address.hostname.as_deref())))
            .or_else(|| filled(info.hostname.as_deref()))?;
        // What it published may be anything.
        MasterAddress::new(host, port).to_string().parse().ok()
    }
}

impl Detected {
    /// Where to connect to the leader.
    pub fn address(&self) -> Option<MasterAddress> {
        self.leader.as_ref().and_then(Leader::address)
    }

    /// Whether somebody else than `old` leads now, or the same master after another election. Nobody is
    /// nobody else: a session with a leader that may be going need not end before its successor is known.
    pub fn supersedes(&self, old: &Leader) -> bool {
        self.leader.as_ref().is_some_and(|new| {
            (new.realm, new.election) != (old.realm, old.election)
                || new.info.id != old.info.id
                || new.address() != old.address()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_leader_is_found_at_its_address() {
        for (text, ip) in [
            ("10.0.0.1:5050", 16_777_226),
            ("node1:5050", 0),
            ("[::1]:1", 0),
        ] {
            let leader = Leader::fixed(&text.parse().unwrap());
            assert_eq!(leader.info.ip, ip);
            assert_eq!(leader.election, 0);
            assert_eq!(leader.address().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_published_address_goes_before_the_old_fields() {
        let address = |info: MasterInfo| {
            let leader = Leader {
                info,
                election: 1,
                realm: 1,
            };
            leader.address().map(|address| address.to_string())
        };
        let old = MasterInfo {
            ip: 16_777_226,
            port: 5050,
            hostname: Some("m1".to_owned()),
            ..MasterInfo::default()
        };
        assert_eq!(address(old.clone()).as_deref(), Some("10.0.0.1:5050"));
        let new = MasterInfo {
            address: Some(Address {
                hostname: Some("m2".to_owned()),
                ip: Some("10.0.0.2".to_owned()),
                port: 6060,
            }),
            ..old.clone()
        };
        assert_eq!(address(new).as_deref(), Some("10.0.0.2:6060"));
        let named = MasterInfo { ip: 0, ..old };
        assert_eq!(address(named.clone()).as_deref(), Some("m1:5050"));
        let strange = MasterInfo {
            hostname: Some("m1/x y".to_owned()),
            ..named.clone()
        };
        assert_eq!(address(strange), None);
        let portless = MasterInfo {
            port: 70_000,
            ..named
        };
        assert_eq!(address(portless), None);
    }

    #[test]
    fn only_another_leader_supersedes_one() {
        let address = |text: &str| text.parse::<MasterAddress>().unwrap();
        let old = Leader::fixed(&address("a:1"));
        let now = |leader: Option<Leader>| Detected {
            leader,
            ..Detected::default()
        };
        assert!(!now(None).supersedes(&old));
        assert!(!now(Some(old.clone())).supersedes(&old));
        assert!(now(Some(Leader::fixed(&address("b:1")))).supersedes(&old));
        let elected_again = Leader {
            election: 1,
            ..old.clone()
        };
        assert!(now(Some(elected_again)).supersedes(&old));
    }
}
