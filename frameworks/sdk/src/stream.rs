//! A subscription's events: RecordIO from an HTTP answer, with a watch on silence.

use std::{marker::PhantomData, time::Duration};

use mesos_recordio::Decoder;
use mesos_wire::{Encoding, WireMessage, decode};
use reqwest::Response;

use crate::Error;

/// Largest event that is accepted, in bytes: a snapshot of a large cluster.
const MAX_EVENT: usize = 1 << 30;

/// Events of type `E` as they come.
#[derive(Debug)]
pub struct EventStream<E> {
    url: String,
    answer: Response,
    encoding: Encoding,
    decoder: Decoder,
    /// Silence after which the stream counts as dead.
    patience: Duration,
    event: PhantomData<E>,
}

impl<E: WireMessage> EventStream<E> {
    pub(crate) fn new(url: &str, answer: Response, encoding: Encoding, patience: Duration) -> Self {
        Self {
            url: url.to_owned(),
            answer,
            encoding,
            decoder: Decoder::new(MAX_EVENT),
            patience,
            event: PhantomData,
        }
    }

    /// What was subscribed to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes how long silence is borne.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next event; `None` when the daemon has closed the stream. Cancel safe.
    ///
    /// # Errors
    /// The connection broke, was silent for too long, or carried something else.
    pub async fn next(&mut self) -> Result<Option<E>, Error> {
        let protocol = |url: &str, problem: String| Error::Protocol {
            url: url.to_owned(),
            problem,
        };
        loop {
            let record = self
                .decoder
                .next()
                .map_err(|e| protocol(&self.url, e.to_string()))?;
            if let Some(record) = record {
                return decode(self.encoding, &record)
                    .map(Some)
                    .map_err(|e| protocol(&self.url, e.to_string()));
            }
            let chunk = tokio::time::timeout(self.patience, self.answer.chunk())
                .await
                .map_err(|_| Error::Silent {
                    url: self.url.clone(),
                    seconds: self.patience.as_secs(),
                })?
                .map_err(|source| Error::Unreachable {
                    url: self.url.clone(),
                    source,
                })?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.decoder.push(&chunk);
        }
    }
}
