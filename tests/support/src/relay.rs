//! A TCP relay that can be cut without anybody being told, as a network can.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Forwards connections to one address until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: Mutex<bool>,
    healed: Condvar,
    over: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens on a free port of `ip` for connections to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(ip: Ipv4Addr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("an address of our own");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::Acquire) {
                    return;
                }
                // A client that is gone already, or a server that is away: both are told by the close.
                let Ok(client) = client else { continue };
                let relayed = accepting.clone();
                std::thread::spawn(move || relayed.relay(client, target));
            }
        });
        Self { address, shared }
    }

    /// Where to connect instead of to the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing gets through, in either direction; connections stay open.
    pub fn cut(&self) {
        *self.shared.lock() = true;
    }

    /// What was held back goes on, and new things get through.
    pub fn heal(&self) {
        *self.shared.lock() = false;
        self.shared.healed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.heal();
        let sockets = self.shared.sockets.lock();
        for socket in sockets.unwrap_or_else(PoisonError::into_inner).iter() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Lets the accepting thread see that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_healed(&self) {
        let guard = self.lock();
        let healed = self.healed.wait_while(guard, |cut| *cut);
        drop(healed.unwrap_or_else(PoisonError::into_inner));
    }

    fn relay(self: Arc<Self>, client: TcpStream, target: SocketAddr) {
        self.wait_until_healed();
        let Ok(server) = TcpStream::connect(target) else {
            return;
        };
        let ends = (|| Ok::<_, std::io::Error>([client.try_clone()?, server.try_clone()?]))();
        let Ok([client_too, server_too]) = ends else {
            return;
        };
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.extend([&client, &server].iter().flat_map(|end| end.try_clone()));
        drop(sockets);
        let back = self.clone();
        std::thread::spawn(move || back.copy(server_too, client_too));
        self.copy(client, server);
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            self.wait_until_healed();
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_sent_while_it_is_cut_comes_when_it_is_healed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap());
        let mut client = TcpStream::connect(relay.address()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"a").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        relay.cut();
        client.write_all(b"b").unwrap();
        server
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(server.read_exact(&mut byte).is_err());
        relay.heal();
        server.set_read_timeout(None).unwrap();
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"b");
    }
}
