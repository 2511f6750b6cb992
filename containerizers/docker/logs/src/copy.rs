//! The copy itself: frames of the engine in, bytes of the container out, each exactly once.
//!
//! The engine frames each log entry: one byte for the stream, three of nothing, four with the
//! length, big endian; with `timestamps=1` the entry starts with its RFC 3339 time and a space.
//! An entry is a line, or a piece of a long one; pieces of a line share their time stamp.
//! Source: `daemon/logs.go` and `pkg/stdcopy` of Docker.

use std::{
    fs::File,
    io::{self, Write as _},
    thread,
    time::Duration,
};

use crate::{
    http::{Body, CHUNK},
    position::Position,
};

/// Longest time stamp, in bytes, with the space behind it.
const MAX_STAMP: usize = 64;
/// How far before the newest stamp reading resumes: streams reach the log out of step.
const OVERLAP_SECONDS: u64 = 10;
/// Between two attempts to write to a full disk.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// What comes next in the engine's answer.
enum Expect {
    /// The eight bytes before an entry, or some of them.
    Header { have: usize, bytes: [u8; 8] },
    /// The entry's time stamp.
    Stamp {
        stream: usize,
        left: usize,
        text: Vec<u8>,
    },
    /// The entry's own bytes, of which the first `skip` are known.
    Data {
        stream: usize,
        left: usize,
        skip: u64,
    },
    /// Bytes without frames.
    Raw,
}

/// A copy under way.
pub(crate) struct Copy {
    lock: File,
    files: [File; 2],
    position: Position,
    tty: bool,
    /// Bytes that stand in the files already although the position does not count them.
    ahead: [u64; 2],
    /// Waiting to be written.
    pending: [Vec<u8>; 2],
    /// State of one connection: is the stream still repeating what is known?
    repeating: [bool; 2],
    /// Bytes of entries with the newest stamp seen again so far.
    seen_at_stamp: [u64; 2],
    /// Is the present entry older than the newest one that was copied?
    older: [bool; 2],
    /// Bytes to drop, when reading from the start.
    drop: [u64; 2],
}

impl Copy {
    pub(crate) fn new(
        lock: File,
        files: [File; 2],
        position: Option<Position>,
        tty: bool,
        resume: bool,
    ) -> io::Result<Self> {
        let lengths = [files[0].metadata()?.len(), files[1].metadata()?.len()];
        let mut ahead = [0; 2];
        let mut position = match position {
            Some(position) => position,
            None => {
                let mut new = Position {
                    from_start: resume,
                    ..Position::default()
                };
                for (stream, length) in new.streams.iter_mut().zip(lengths) {
                    stream.length = length;
                    stream.total = if resume { length } else { 0 };
                }
                new
            }
        };
        position.from_start |= tty;
        for (index, stream) in position.streams.iter_mut().enumerate() {
            // A killed writer may have written one batch more than it has noted. Whatever else
            // makes a file longer is not ours; a file that was cut goes on from where it is.
            ahead[index] = lengths[index]
                .saturating_sub(stream.length)
                .min(CHUNK as u64);
            stream.length = lengths[index] - ahead[index];
        }
        position.save(&lock)?;
        Ok(Self {
            lock,
            files,
            position,
            tty,
            ahead,
            pending: [Vec::new(), Vec::new()],
            repeating: [false; 2],
            seen_at_stamp: [0; 2],
            older: [false; 2],
            drop: [0; 2],
        })
    }

    /// Path and query of the request that goes on from here.
    pub(crate) fn request(&self, container: &str, follow: bool) -> String {
        let newest = self
            .position
            .streams
            .iter()
            .map(|stream| stream.stamp.0)
            .max()
            .unwrap_or(0);
        let since = if self.position.from_start {
            0
        } else {
            newest.saturating_sub(OVERLAP_SECONDS)
        };
        format!(
            "/containers/{container}/logs?stdout=1&stderr=1&follow={}&timestamps={}&since={since}",
            u8::from(follow),
            u8::from(!self.tty),
        )
    }

    /// Copies one answer to its end. `false`: it broke off in the middle of an entry.
    ///
    /// # Errors
    /// When files cannot be written. A broken connection is an end.
    pub(crate) fn run(&mut self, mut body: Body) -> io::Result<bool> {
        self.start_connection();
        let mut expect = self.fresh();
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = body.read(&mut buffer).unwrap_or(0);
            if n == 0 {
                return Ok(matches!(
                    expect,
                    Expect::Raw | Expect::Header { have: 0, .. }
                ));
            }
            self.feed(&mut expect, &buffer[..n])?;
            self.flush()?;
        }
    }

    fn fresh(&self) -> Expect {
        if self.tty {
            Expect::Raw
        } else {
            Expect::Header {
                have: 0,
                bytes: [0; 8],
            }
        }
    }

    fn start_connection(&mut self) {
        self.seen_at_stamp = [0; 2];
        for (index, stream) in self.position.streams.iter().enumerate() {
            self.repeating[index] = !self.position.from_start && stream.total > 0;
            self.drop[index] = if self.position.from_start {
                stream.total
            } else {
                0
            };
        }
    }

    fn feed(&mut self, expect: &mut Expect, mut input: &[u8]) -> io::Result<()> {
        while !input.is_empty() {
            match expect {
                Expect::Raw => {
                    self.output(0, input, 0);
                    return Ok(());
                }
                Expect::Header { have, bytes } => {
                    let n = (8 - *have).min(input.len());
                    bytes[*have..*have + n].copy_from_slice(&input[..n]);
                    *have += n;
                    input = &input[n..];
                    if *have == 8 {
                        let left = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
                        let stream = match bytes[0] {
                            1 => 0,
                            2 => 1,
                            // 3 is an error of the engine's in the middle of a stream.
                            _ => return Err(io::Error::other("the engine broke the log off")),
                        };
                        *expect = Expect::Stamp {
                            stream,
                            left: left as usize,
                            text: Vec::new(),
                        };
                    }
                }
                Expect::Stamp { stream, left, text } => {
                    let (stream, n) = (*stream, (*left).min(input.len()));
                    let space = input[..n].iter().position(|&byte| byte == b' ');
                    let taken = space.map_or(n, |at| at + 1);
                    text.extend_from_slice(&input[..space.unwrap_or(n)]);
                    let left = *left - taken;
                    input = &input[taken..];
                    if space.is_some() || left == 0 || text.len() > MAX_STAMP {
                        let stamp = parse_stamp(text)
                            .ok_or_else(|| io::Error::other("an entry has no time stamp"))?;
                        let skip = self.enter(stream, stamp);
                        *expect = Expect::Data { stream, left, skip };
                        if left == 0 {
                            *expect = self.fresh();
                        }
                    } else if let Expect::Stamp {
                        left: remaining, ..
                    } = expect
                    {
                        *remaining = left;
                    }
                }
                Expect::Data { stream, left, skip } => {
                    let n = (*left).min(input.len());
                    let (now, later) = input.split_at(n);
                    let index = *stream;
                    let known = (*skip).min(n as u64);
                    *skip -= known;
                    *left -= n;
                    let ended = *left == 0;
                    input = later;
                    self.output(index, now, known);
                    if ended {
                        *expect = self.fresh();
                    }
                }
            }
        }
        Ok(())
    }

    /// An entry starts; answers how many of its bytes are known (`u64::MAX`: all).
    fn enter(&mut self, index: usize, stamp: (u64, u64)) -> u64 {
        if self.position.from_start {
            return 0;
        }
        let stream = &mut self.position.streams[index];
        self.older[index] = self.repeating[index] && stamp < stream.stamp;
        if self.repeating[index] {
            if self.older[index] {
                return u64::MAX;
            }
            if stamp == stream.stamp {
                return stream.at_stamp.saturating_sub(self.seen_at_stamp[index]);
            }
            self.repeating[index] = false;
        }
        if stamp < stream.stamp {
            // The clock was set back: stamps no longer say what comes later.
            self.position.from_start = true;
        } else if stamp > stream.stamp {
            stream.stamp = stamp;
            stream.at_stamp = 0;
        }
        0
    }

    /// Takes bytes of an entry, the first `known` of which have been copied before.
    fn output(&mut self, index: usize, bytes: &[u8], known: u64) {
        let known = known.min(bytes.len() as u64) as usize;
        if self.repeating[index] && !self.older[index] {
            self.seen_at_stamp[index] += known as u64;
        }
        let mut new = &bytes[known..];
        let dropped = self.drop[index].min(new.len() as u64);
        self.drop[index] -= dropped;
        new = &new[dropped as usize..];
        if new.is_empty() {
            return;
        }
        let stream = &mut self.position.streams[index];
        stream.total += new.len() as u64;
        stream.at_stamp += new.len() as u64;
        if self.repeating[index] {
            self.seen_at_stamp[index] += new.len() as u64;
        }
        let there = self.ahead[index].min(new.len() as u64);
        self.ahead[index] -= there;
        stream.length += there;
        self.pending[index].extend_from_slice(&new[there as usize..]);
    }

    /// Writes what is pending, then notes it.
    fn flush(&mut self) -> io::Result<()> {
        for index in 0..2 {
            let mut rest = &self.pending[index][..];
            while !rest.is_empty() {
                match self.files[index].write(rest) {
                    Ok(n) => {
                        rest = &rest[n..];
                        self.position.streams[index].length += n as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The log stays in the engine until there is room.
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                        ) =>
                    {
                        thread::sleep(DISK_RETRY);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.pending[index].clear();
        }
        self.position.save(&self.lock)
    }
}

/// Seconds since 1970 and nanoseconds of a time stamp as the engine writes it, such as
/// `2026-11-21T01:28:07.976709283Z`; `None` for other text and for times before 1970.
pub fn parse_stamp(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>());
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut whole = whole.splitn(3, ':').map(|part| part.parse::<i64>());
    let (hour, minute, second) = (
        whole.next()?.ok()?,
        whole.next()?.ok()?,
        whole.next()?.ok()?,
    );
    // Days since 1970 of the proleptic Gregorian calendar, March first.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
            - 1
            - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let digits = fraction.get(..fraction.len().min(9))?;
    let nanos = digits.parse::<u64>().ok()? * 10_u64.pow(9 - digits.len() as u32);
    Some((u64::try_from(seconds).ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::unix::net::UnixListener,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::http;

    /// A folder of the test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("mesos-docker-logs-{name}-{}", std::process::id()));
            let _absent = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).expect("the folder is new");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    fn entry(stream: u8, stamp: &str, text: &str) -> Vec<u8> {
        let payload = format!("{stamp} {text}");
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload.as_bytes());
        bytes
    }

    /// A copy over a real socket of `log`, as one process does it; `stop_after`: it is killed
    /// when so many bytes have come, before it notes the last batch.
    fn copy(dir: &Path, log: &[u8], resume: bool, lose_note: bool) {
        let socket = dir.join("sock");
        let _absent = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("binds");
        let log = log.to_vec();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client comes");
            let mut request = [0; 512];
            let n = stream.read(&mut request).expect("a request comes");
            stream
                .write_all(b"HTTP/1.0 200 OK\r\n\r\n")
                .expect("the client reads");
            stream.write_all(&log).expect("the client reads");
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        let open = |name: &str| {
            std::fs::OpenOptions::new()
                .read(true)
                .append(name != "position")
                .write(true)
                .create(true)
                .truncate(false)
                .open(dir.join(name))
                .expect("opens")
        };
        let lock = open("position");
        let before = Position::load(&lock).expect("loads");
        let files = [open("stdout"), open("stderr")];
        let mut copy = Copy::new(lock, files, before, false, resume).expect("is new");
        let noted = copy.position;
        let (status, body) = http::get(&socket, &copy.request("c", true)).expect("answers");
        assert_eq!(status, 200);
        copy.run(body).expect("copies");
        if lose_note {
            noted.save(&copy.lock).expect("saves");
        }
        server.join().expect("the server ends");
    }

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).expect("reads")
    }

    const T1: &str = "2026-11-21T01:28:07.000000001Z";
    const T2: &str = "2026-11-21T01:28:07.000000002Z";
    const T3: &str = "2026-11-21T01:28:09.000000000Z";

    #[test]
    fn a_new_process_goes_on_where_the_last_one_stopped() {
        let dir = Folder::new("resume");
        let mut log = entry(1, T1, "one\n");
        log.extend(entry(2, T2, "err\n"));
        log.extend(entry(1, T2, "two, first half "));
        copy(&dir.0, &log, false, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo, first half ");
        // The same stamp for the second half, and a quiet stream that speaks again.
        log.extend(entry(1, T2, "and second\n"));
        log.extend(entry(2, T3, "err2\n"));
        copy(&dir.0, &log, true, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo, first half and second\n");
        assert_eq!(read(&dir.0, "stderr"), "err\nerr2\n");
        copy(&dir.0, &log, true, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo, first half and second\n");
    }

    #[test]
    fn what_was_written_but_not_noted_is_not_written_twice() {
        let dir = Folder::new("unnoted");
        let mut log = entry(1, T1, "one\n");
        copy(&dir.0, &log, false, false);
        log.extend(entry(1, T2, "two\n"));
        copy(&dir.0, &log, true, true);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo\n");
        log.extend(entry(1, T3, "three\n"));
        copy(&dir.0, &log, true, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_lost_position_is_made_up_for_by_the_lengths_of_the_files() {
        let dir = Folder::new("lost");
        let mut log = entry(1, T1, "one\n");
        copy(&dir.0, &log, false, false);
        std::fs::remove_file(dir.0.join("position")).expect("is there");
        log.extend(entry(1, T2, "two\n"));
        copy(&dir.0, &log, true, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo\n");
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let dir = Folder::new("clock");
        let mut log = entry(1, T3, "one\n");
        log.extend(entry(1, T1, "two\n"));
        copy(&dir.0, &log, false, false);
        log.extend(entry(1, T2, "three\n"));
        copy(&dir.0, &log, true, false);
        assert_eq!(read(&dir.0, "stdout"), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_stood_in_the_files_before_stays() {
        let dir = Folder::new("before");
        std::fs::write(dir.0.join("stdout"), "fetched\n").expect("writes");
        copy(&dir.0, &entry(1, T1, "one\n"), false, false);
        assert_eq!(read(&dir.0, "stdout"), "fetched\none\n");
    }

    #[test]
    fn stamps_become_seconds_since_1970() {
        assert_eq!(parse_stamp(b"1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(
            parse_stamp(b"2026-11-21T01:28:07.97Z"),
            Some((1_795_224_487, 970_000_000))
        );
        assert_eq!(
            parse_stamp(b"2024-02-29T23:59:59.000000001Z"),
            Some((1_709_251_199, 1))
        );
        assert_eq!(parse_stamp(b"yesterday"), None);
    }
}
