//! The recorded bytes, sorted by what they are messages of.
use std::fs;
use std::path::{Path, PathBuf};

use mesos_recordio::Decoder;
use mesos_wire::Encoding;

use crate::http::Recorded;

/// Which API a request went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Scheduler,
    Executor,
    Master,
    Agent,
}

/// What a body is in that API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Call,
    Response,
    /// One record of the stream that SUBSCRIBE answers with.
    Event,
    /// One record of a container's output.
    ProcessIo,
}

/// One message as Apache Mesos, or a client that it understood, wrote it.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub api: Api,
    pub part: Part,
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
    /// For a call, the body of the answer when that was an error.
    pub refusal: Option<String>,
}

/// Every message in `tests/data/golden`.
pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    for request in files(&golden()) {
        match request.extension().and_then(|e| e.to_str()) {
            Some("req") => read_pair(&request, &mut samples),
            Some("jsonl") => read_events(&request, &mut samples),
            _ => {}
        }
    }
    assert!(samples.len() > 300, "only {} samples", samples.len());
    samples
}

/// The answers that are streams of records.
pub fn streams() -> Vec<Recorded> {
    files(&golden())
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "res"))
        .map(|path| Recorded::parse(&fs::read(path).expect("an answer")))
        .filter(|answer| answer.is_ok() && !answer.chunks.is_empty())
        .collect()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("the golden folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

fn read_pair(path: &Path, samples: &mut Vec<Sample>) {
    let read = |extension| {
        let path = path.with_extension(extension);
        Recorded::parse(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    };
    let (request, answer) = (read("req"), read("res"));
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .expect("a folder")
        .to_string_lossy();
    let name = format!(
        "{folder}/{}",
        path.file_stem().expect("a name").to_string_lossy()
    );
    let target = request
        .line
        .split(' ')
        .nth(1)
        .expect("a target")
        .trim_end_matches('/');
    let api = match target.rsplit('/').next() {
        Some("scheduler") => Api::Scheduler,
        Some("executor") => Api::Executor,
        _ if request
            .header("host")
            .is_some_and(|host| host.ends_with("5251")) =>
        {
            Api::Agent
        }
        _ => Api::Master,
    };
    if let Some(encoding) = request
        .header("content-type")
        .and_then(Encoding::from_content_type)
    {
        samples.push(Sample {
            name: format!("{name}.req"),
            api,
            part: Part::Call,
            encoding,
            bytes: request.body.clone(),
            refusal: (!answer.is_ok()).then(|| String::from_utf8_lossy(&answer.body).into_owned()),
        });
    }
    let written = answer
        .header("message-content-type")
        .or(answer.header("content-type"));
    let Some(encoding) = written.and_then(Encoding::from_content_type) else {
        return;
    };
    if !answer.is_ok() {
        return;
    }
    let part = match (api, name.contains("session") || name.contains("attach")) {
        (Api::Agent, true) => Part::ProcessIo,
        (Api::Scheduler | Api::Executor, _) => Part::Event,
        _ if answer.chunks.is_empty() => Part::Response,
        _ => Part::Event,
    };
    let bodies = match part {
        Part::Response => vec![answer.body],
        _ => records(&answer.body),
    };
    for (i, bytes) in bodies.into_iter().enumerate() {
        let name = format!("{name}.res#{i}");
        samples.push(Sample {
            name,
            api,
            part,
            encoding,
            bytes,
            refusal: None,
        });
    }
}

/// Decoded events of a scheduler, each behind the seconds since the first.
fn read_events(path: &Path, samples: &mut Vec<Sample>) {
    let text = fs::read_to_string(path).expect("events");
    for (i, line) in text.lines().enumerate() {
        let (_, event) = line.split_once(' ').expect("a time and an event");
        samples.push(Sample {
            name: format!("{}#{i}", path.display()),
            api: Api::Scheduler,
            part: Part::Event,
            encoding: Encoding::Json,
            bytes: event.into(),
            refusal: None,
        });
    }
}

/// The records of a stream, however the recording ends.
pub fn records(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(stream);
    let mut records = vec![];
    while let Some(record) = decoder.next().expect("RecordIO") {
        records.push(record.to_vec());
    }
    records
}
