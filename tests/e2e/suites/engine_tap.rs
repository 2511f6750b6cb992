//! A socket in front of the Docker engine's that notes what is sent to it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Passes everything on, both ways; ends with the test process.
pub struct EngineTap {
    socket: PathBuf,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl EngineTap {
    pub fn start(engine: &Path) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("engine-tap-{}-{count}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (engine, note) = (engine.to_owned(), Arc::clone(&sent));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&engine) else {
                    continue;
                };
                let (to, from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                pass(client, to, Some(Arc::clone(&note)));
                pass(server, from, None);
            }
        });
        Self { socket, sent }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Everything sent to the engine until now.
    pub fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned()
    }
}

impl Drop for EngineTap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream, note: Option<Arc<Mutex<Vec<u8>>>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    if let Some(note) = &note {
                        note.lock().unwrap().extend_from_slice(&buffer[..count]);
                    }
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
