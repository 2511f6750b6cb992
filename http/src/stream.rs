//! Event streams: one RecordIO record, length prefix and body, is exactly one HTTP chunk.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{Notify, mpsc};

use crate::response::Body;

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client reads more slowly than records come; the queue is at its bound.
    #[error("the client does not read its event stream fast enough")]
    Full,
    /// The client closed its connection.
    #[error("the client closed its event stream")]
    Closed,
}

/// Streams of this process that are open, and what waits in them.
static OPEN: AtomicUsize = AtomicUsize::new(0);
static RECORDS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// How many event streams of this process are open, and the records and bytes that wait in all of them.
pub(crate) fn open() -> (usize, usize, usize) {
    let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    (get(&OPEN), get(&RECORDS), get(&BYTES))
}

/// Bytes that wait in all streams of this process, above which no stream that has ended keeps any.
const KEPT_AFTER_END: usize = 512 << 20;

#[derive(Debug)]
struct Gauge {
    bytes: AtomicUsize,
    taken: Mutex<Instant>,
    /// `None` when what is queued was dropped.
    records: Mutex<Option<mpsc::Receiver<Bytes>>>,
    /// Delivered after everything else.
    last: Mutex<Option<Bytes>>,
    /// The body is gone: delivered, or its connection ended.
    gone: Notify,
}

impl Gauge {
    /// Drops what is queued.
    fn abandon(&self) {
        lock(&self.last).take();
        if let Some(mut records) = lock(&self.records).take() {
            records.close();
            while let Ok(record) = records.try_recv() {
                left(record.len());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing end of an event stream. Clones write to the same stream; when the last one is dropped,
/// what is queued is still delivered and the stream then ends in order.
#[derive(Debug, Clone)]
pub struct RecordSender {
    queue: mpsc::Sender<Bytes>,
    gauge: Arc<Gauge>,
    max_bytes: usize,
}

/// A stream whose queue holds at most `max_records` records and about `max_bytes` bytes (one record
/// beyond it is still taken, so that a single big record passes).
pub fn record_stream(max_records: usize, max_bytes: usize) -> (RecordSender, Body) {
    let (queue, records) = mpsc::channel(max_records.max(1));
    let gauge = Arc::new(Gauge {
        bytes: AtomicUsize::new(0),
        taken: Mutex::new(Instant::now()),
        records: Mutex::new(Some(records)),
        last: Mutex::new(None),
        gone: Notify::new(),
    });
    OPEN.fetch_add(1, Ordering::Relaxed);
    let sender = RecordSender {
        queue,
        gauge: gauge.clone(),
        max_bytes,
    };
    (
        sender,
        Body::Stream(axum::body::Body::new(RecordBody { gauge })),
    )
}

impl RecordSender {
    /// The record as it stands on the wire: its length in decimal, a newline, its bytes. Made once, it
    /// can go to many subscribers with [`try_send_framed`](Self::try_send_framed).
    pub fn frame(record: &[u8]) -> Bytes {
        mesos_recordio::Encoder::encode(record)
    }

    /// Queues one record; never waits.
    pub fn try_send(&self, record: &[u8]) -> Result<(), SendError> {
        self.try_send_framed(Self::frame(record))
    }

    /// Queues one record that [`frame`](Self::frame) made; never waits.
    pub fn try_send_framed(&self, framed: Bytes) -> Result<(), SendError> {
        let size = framed.len();
        let before = self.gauge.bytes.fetch_add(size, Ordering::Relaxed);
        let sent = if before >= self.max_bytes {
            Err(if self.queue.is_closed() {
                SendError::Closed
            } else {
                SendError::Full
            })
        } else {
            if before == 0
                && let Ok(mut taken) = self.gauge.taken.lock()
            {
                *taken = Instant::now();
            }
            RECORDS.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(size, Ordering::Relaxed);
            self.queue.try_send(framed).map_err(|error| {
                left(size);
                match error {
                    mpsc::error::TrySendError::Full(_) => SendError::Full,
                    mpsc::error::TrySendError::Closed(_) => SendError::Closed,
                }
            })
        };
        if sent.is_err() {
            self.gauge.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        sent
    }

    /// Ends the stream and waits for its client. `last` goes after what is queued, also when the queue is at
    /// its bound. What the client has not taken after `within` is dropped and its connection is broken off;
    /// at once, when much waits in all streams together.
    pub async fn end(self, last: Option<&[u8]>, within: Duration) {
        let Self { queue, gauge, .. } = self;
        if let Some(last) = last {
            *lock(&gauge.last) = Some(Self::frame(last));
        }
        drop(queue);
        if BYTES.load(Ordering::Relaxed) <= KEPT_AFTER_END {
            tokio::select! {
                () = gauge.gone.notified() => return,
                () = tokio::time::sleep(within) => {}
            }
        }
        gauge.abandon();
    }

    /// Whether the client is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until the client is gone (or the response was never sent and is dropped).
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Bytes queued and not yet handed to the connection.
    pub fn queued_bytes(&self) -> usize {
        self.gauge.bytes.load(Ordering::Relaxed)
    }

    /// How long the client has taken nothing although something is queued; zero when all is taken.
    pub fn stalled_for(&self) -> Duration {
        if self.queued_bytes() == 0 {
            return Duration::ZERO;
        }
        self.gauge
            .taken
            .lock()
            .map(|taken| taken.elapsed())
            .unwrap_or_default()
    }
}

/// A record is not queued any more.
fn left(size: usize) {
    RECORDS.fetch_sub(1, Ordering::Relaxed);
    BYTES.fetch_sub(size, Ordering::Relaxed);
}

/// What was queued for the client was dropped.
#[derive(Debug, thiserror::Error)]
#[error("the client did not read its event stream to the end in time")]
struct Abandoned;

struct RecordBody {
    gauge: Arc<Gauge>,
}

impl Drop for RecordBody {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        self.gauge.abandon();
        self.gauge.gone.notify_one();
    }
}

impl http_body::Body for RecordBody {
    type Data = Bytes;
    type Error = Abandoned;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = match &mut *lock(&self.gauge.records) {
            None => return Poll::Ready(Some(Err(Abandoned))),
            Some(records) => records.poll_recv(context),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(record)) => {
                self.gauge.bytes.fetch_sub(record.len(), Ordering::Relaxed);
                left(record.len());
                *lock(&self.gauge.taken) = Instant::now();
                Poll::Ready(Some(Ok(Frame::data(record))))
            }
            Poll::Ready(None) => {
                let last = lock(&self.gauge.last).take();
                Poll::Ready(last.map(|record| Ok(Frame::data(record))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn body(body: Body) -> axum::body::Body {
        match body {
            Body::Stream(body) => body,
            other => panic!("{other:?} is not a stream"),
        }
    }

    #[tokio::test]
    async fn a_record_is_one_frame_and_the_end_comes_after_the_queue() {
        let (sender, stream) = record_stream(8, 1024);
        sender.try_send(b"{}").unwrap();
        sender.try_send(b"").unwrap();
        drop(sender);
        let mut stream = body(stream);
        assert_eq!(
            stream.frame().await.unwrap().unwrap().into_data().unwrap(),
            "2\n{}"
        );
        assert_eq!(
            stream.frame().await.unwrap().unwrap().into_data().unwrap(),
            "0\n"
        );
        assert!(stream.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_apart_from_a_gone_one() {
        let (sender, stream) = record_stream(2, 1024);
        sender.try_send(b"a").unwrap();
        sender.try_send(b"b").unwrap();
        assert_eq!(sender.try_send(b"c"), Err(SendError::Full));
        assert_eq!(sender.queued_bytes(), 6);
        drop(stream);
        assert_eq!(sender.try_send(b"c"), Err(SendError::Closed));
        assert!(sender.is_closed());
        sender.closed().await;
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_come_back_when_read() {
        let (sender, stream) = record_stream(100, 10);
        sender.try_send(&[b'x'; 50]).unwrap();
        assert_eq!(sender.try_send(b"y"), Err(SendError::Full));
        let mut stream = body(stream);
        stream.frame().await.unwrap().unwrap();
        assert_eq!(sender.queued_bytes(), 0);
        assert_eq!(sender.stalled_for(), Duration::ZERO);
        sender.try_send(b"y").unwrap();
    }

    #[tokio::test]
    async fn a_full_stream_ends_with_a_last_word() {
        let (sender, stream) = record_stream(1, 1024);
        sender.try_send(b"a").unwrap();
        assert_eq!(sender.try_send(b"b"), Err(SendError::Full));
        let ending = tokio::spawn(sender.end(Some(b"why"), Duration::from_secs(60)));
        let mut stream = body(stream);
        let mut found = Vec::new();
        while let Some(frame) = stream.frame().await {
            found.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(found, b"1\na3\nwhy");
        drop(stream);
        ending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_dropped_after_the_end() {
        let (sender, stream) = record_stream(8, 1024);
        sender.try_send(b"a").unwrap();
        let gauge = sender.gauge.clone();
        sender.end(None, Duration::from_secs(5)).await;
        assert!(lock(&gauge.records).is_none());
        assert!(body(stream).frame().await.unwrap().is_err());
    }
}
