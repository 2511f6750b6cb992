//! Which ports of the host somebody listens on, by `/proc/net`.

use std::{collections::HashSet, fs};

/// State of a listening TCP socket in `/proc/net/tcp`. Source: `TCP_LISTEN` of the kernel.
const LISTEN: &str = "0A";

/// The first of these ports that somebody listens on, on whatever address.
pub(super) fn first_taken(ports: &[(u16, String)]) -> Option<(u16, String)> {
    if ports.is_empty() {
        return None;
    }
    let tcp = listening(&["/proc/net/tcp", "/proc/net/tcp6"], |state| {
        state == LISTEN
    });
    // A bound UDP socket receives, whatever its state.
    let udp = listening(&["/proc/net/udp", "/proc/net/udp6"], |_| true);
    ports
        .iter()
        .find(|(port, protocol)| {
            if protocol == "udp" {
                udp.contains(port)
            } else {
                tcp.contains(port)
            }
        })
        .cloned()
}

fn listening(tables: &[&str], counts: impl Fn(&str) -> bool) -> HashSet<u16> {
    tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| ports_of(&text, &counts))
        .collect()
}

fn ports_of(table: &str, counts: &impl Fn(&str) -> bool) -> Vec<u16> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let local = words.nth(1)?;
            let state = words.nth(1)?;
            let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
            counts(state).then_some(port)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_hold_a_tcp_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 0100007F:13BB 00000000:0000 0A 00000000:00000000 00:00000000\n\
             1: 0100007F:9C40 0100007F:13BB 01 00000000:00000000 00:00000000\n";
        assert_eq!(ports_of(table, &|state| state == LISTEN), [5051]);
        assert_eq!(ports_of(table, &|_| true), [5051, 40000]);
        assert_eq!(ports_of("", &|_| true), Vec::<u16>::new());
    }
}
