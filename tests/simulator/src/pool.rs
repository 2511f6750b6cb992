//! Few connections for many sessions: a channel per place, made again when the master moves.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mesos_control::v1::agent_control_client::AgentControlClient;
use tonic::transport::{Channel, Endpoint};

/// Bytes the peer may send on one connection before it waits; the pieces of thousands of sessions.
const WINDOW: u32 = 16 << 20;
/// Largest message of a master, in bytes.
const MESSAGE_BYTES: usize = 64 << 20;

/// Channels by address and place.
#[derive(Default)]
pub(crate) struct Pool {
    places: usize,
    channels: Mutex<HashMap<(String, usize), Channel>>,
}

impl Pool {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            channels: Mutex::default(),
        }
    }

    /// The channel that agent `number` shares with others. It connects when it is first used, and again
    /// after it broke.
    pub(crate) fn client(
        &self,
        address: &str,
        number: usize,
    ) -> Result<AgentControlClient<Channel>, tonic::transport::Error> {
        let key = (address.to_owned(), number % self.places);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = if let Some(channel) = channels.get(&key) {
            channel.clone()
        } else {
            let channel = Endpoint::from_shared(format!("http://{address}"))?
                .connect_timeout(Duration::from_secs(5))
                .initial_connection_window_size(WINDOW)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .tcp_nodelay(true)
                .buffer_size(4096)
                .connect_lazy();
            channels.insert(key, channel.clone());
            channel
        };
        drop(channels);
        Ok(AgentControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES))
    }
}
