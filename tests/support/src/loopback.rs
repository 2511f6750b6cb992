//! Loopback addresses and host ports that no other test on this machine uses at the same time.
//!
//! Each cluster has an address of its own in 127.0.0.0/8, so daemons keep their default ports.
//! A claim is a bound UDP socket: the kernel grants it once and takes it back when we die.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// How many host ports a claim covers.
pub const PORTS: u16 = 10;

/// UDP port whose holder owns the address it is bound to. Nothing else uses it on these addresses.
const CLAIM_PORT: u16 = 5049;

/// An address in 127.0.0.0/8 and a range of host ports, held until dropped.
#[derive(Debug)]
pub struct Claim {
    /// The address; nothing listens on it but what the holder starts.
    pub ip: Ipv4Addr,
    /// The first of [`PORTS`] host ports that were free on every address.
    pub first_port: u16,
    _address: UdpSocket,
    _ports: UdpSocket,
}

impl Claim {
    /// Claims an address and ports.
    ///
    /// # Panics
    /// When thousands of tries find none free.
    pub fn new() -> Self {
        let (ip, address) = claim_address();
        let (first_port, ports) = claim_ports();
        Self {
            ip,
            first_port,
            _address: address,
            _ports: ports,
        }
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

fn random(below: u32) -> u32 {
    // A v4 UUID is 122 random bits; no further crate is needed for a few of them.
    let bytes = uuid::Uuid::new_v4().into_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % below
}

fn claim_address() -> (Ipv4Addr, UdpSocket) {
    for _ in 0..1000 {
        // 127.1.0.1 to 127.254.255.254: 127.0.0.x belongs to other programs.
        let octet = |low: u32, high: u32| (low + random(high - low + 1)) as u8;
        let ip = Ipv4Addr::new(127, octet(1, 254), octet(0, 255), octet(1, 254));
        if let Ok(socket) = UdpSocket::bind((ip, CLAIM_PORT)) {
            return (ip, socket);
        }
    }
    panic!("no free address found in 127.0.0.0/8")
}

/// Host ports lie below the kernel's ephemeral range, so that no client socket takes one.
fn claim_ports() -> (u16, UdpSocket) {
    for _ in 0..1000 {
        let first = 20_000 + PORTS * random(1_000) as u16;
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let Ok(claim) = UdpSocket::bind(SocketAddr::new(any, first)) else {
            continue;
        };
        // `std` sets SO_REUSEADDR, so this does not block later binds by time-wait.
        if (first..first + PORTS).all(|port| TcpListener::bind(SocketAddr::new(any, port)).is_ok())
        {
            return (first, claim);
        }
    }
    panic!("no {PORTS} free host ports found from 20000 to 30000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_share_nothing() {
        let (one, two) = (Claim::new(), Claim::new());
        assert_ne!(one.ip, two.ip);
        assert!(one.first_port.abs_diff(two.first_port) >= PORTS);
    }
}
