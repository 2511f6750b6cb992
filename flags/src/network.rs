//! The addresses and names that a daemon tells others.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    process::{Command, Stdio},
};

/// The address of the interface that leads outside, or loopback. Sends nothing.
pub fn host_ip() -> Ipv4Addr {
    // TEST-NET-1: connecting a datagram socket only asks the routing table.
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket
            .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
            .and_then(|()| socket.local_addr())
    });
    match local.map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_unspecified() => ip,
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// The name that a reverse lookup gives for an address, else the address itself. Blocks on the resolver.
pub fn host_name(ip: Ipv4Addr) -> String {
    let found = Command::new("getent")
        .args(["hosts", &ip.to_string()])
        .stdin(Stdio::null())
        .output();
    found
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| {
            text.lines()
                .next()?
                .split_whitespace()
                .nth(1)
                .map(str::to_owned)
        })
        .unwrap_or_else(|| ip.to_string())
}

/// The address that others are told: the one advertised, else the one bound, else the host's.
pub(crate) fn reachable(advertise: Option<Ipv4Addr>, bind: Option<Ipv4Addr>) -> Ipv4Addr {
    advertise
        .or(bind)
        .filter(|ip| !ip.is_unspecified())
        .unwrap_or_else(host_ip)
}

/// The name that others are told: the one given, else what the address is called.
pub(crate) fn published(hostname: Option<&str>, lookup: bool, ip: Ipv4Addr) -> String {
    match hostname {
        Some(name) => name.to_owned(),
        None if lookup => host_name(ip),
        None => ip.to_string(),
    }
}

/// Runs the command of `--ip_discovery_command`; its first words of output are the address.
pub(crate) fn discover_ip(command: &str) -> Result<Ipv4Addr, String> {
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run it: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(format!(
            "it ended with {}, printing '{text}'",
            output.status
        ));
    }
    text.parse()
        .map_err(|_| format!("it printed '{text}', which is not an IPv4 address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_name_and_an_unknown_address_is_its_own() {
        assert!(!host_name(Ipv4Addr::LOCALHOST).is_empty());
        assert_eq!(host_name(Ipv4Addr::new(192, 0, 2, 77)), "192.0.2.77");
        assert!(!host_ip().is_unspecified());
    }

    #[test]
    fn a_discovery_command_must_print_an_address() {
        assert_eq!(
            discover_ip("echo ' 10.0.0.5 '"),
            Ok(Ipv4Addr::new(10, 0, 0, 5))
        );
        assert!(
            discover_ip("echo nonsense")
                .unwrap_err()
                .contains("'nonsense'")
        );
        assert!(discover_ip("exit 3").unwrap_err().contains("3"));
    }
}
