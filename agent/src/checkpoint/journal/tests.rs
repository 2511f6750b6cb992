//! What the journal survives.

use proptest::prelude::*;

use super::*;

fn put(key: &str, value: &str) -> Change {
    Change::Put(key.to_owned(), value.as_bytes().to_vec())
}

fn append(journal: &mut Journal, frames: &[&[Change]]) {
    let mut batch = Batch::default();
    for frame in frames {
        batch.frame(frame);
    }
    journal.append(&batch).unwrap();
}

fn shown(values: &BTreeMap<String, Vec<u8>>) -> String {
    let parts: Vec<String> = values
        .iter()
        .map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value)))
        .collect();
    parts.join(" ")
}

#[test]
fn values_are_set_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, false).unwrap().journal;
    append(
        &mut journal,
        &[
            &[put("t/1", "a"), put("t/2", "b")],
            &[put("t/1", "c")],
            &[put("u/1/1", "x"), put("u/1/2", "y"), put("u/10/1", "z")],
            &[
                Change::DeletePrefix("u/1/".to_owned()),
                Change::Delete("t/2".to_owned()),
            ],
        ],
    );
    let opened = Journal::open(&path, false).unwrap();
    assert_eq!(shown(&opened.values), "t/1=c u/10/1=z");
    assert_eq!(opened.cut_off, 0);
}

/// Every prefix of the file gives the state after some whole number of frames, never anything else.
#[test]
fn cut_off_at_any_byte_it_holds_whole_frames() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, false).unwrap().journal;
    let mut states = vec![String::new()];
    for i in 0..6 {
        append(
            &mut journal,
            &[&[
                put(&format!("k{i}"), "value"),
                put("last", &i.to_string()),
                Change::Delete(format!("k{}", i - 2)),
            ]],
        );
        states.push(shown(&Journal::open(&path, false).unwrap().values));
    }
    let whole = fs::read(&path).unwrap();
    let mut seen = 0;
    for cut in 0..=whole.len() {
        let copy = dir.path().join("copy");
        fs::write(&copy, &whole[..cut]).unwrap();
        let opened = Journal::open(&copy, false).unwrap();
        let state = shown(&opened.values);
        let at = states.iter().position(|s| *s == state);
        let at = at.unwrap_or_else(|| panic!("cut at {cut}: {state}"));
        assert!(at >= seen, "cut at {cut}: a longer file holds less");
        seen = at;
        // It goes on from there.
        let mut journal = opened.journal;
        append(&mut journal, &[&[put("more", "1")]]);
        let again = shown(&Journal::open(&copy, false).unwrap().values);
        assert!(again.contains("more=1"), "cut at {cut}: {again}");
    }
    assert_eq!(seen, states.len() - 1);
}

#[test]
fn zeroes_at_the_end_are_an_append_that_did_not_finish() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, false).unwrap().journal;
    append(&mut journal, &[&[put("a", "1")]]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 4096]);
    fs::write(&path, bytes).unwrap();
    let opened = Journal::open(&path, false).unwrap();
    assert_eq!(shown(&opened.values), "a=1");
    assert_eq!(opened.cut_off, 4096);
}

#[test]
fn damage_in_the_middle_is_told_and_tolerated_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, false).unwrap().journal;
    append(
        &mut journal,
        &[&[put("a", "1")], &[put("b", "2")], &[put("c", "3")]],
    );
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.windows(1).position(|w| w == b"2").unwrap();
    bytes[middle] = b'X';
    fs::write(&path, bytes).unwrap();
    let error = Journal::open(&path, false).unwrap_err().to_string();
    assert!(error.contains("meta/slaves/latest"), "{error}");
    assert_eq!(shown(&Journal::open(&path, true).unwrap().values), "a=1");
}

#[test]
fn other_files_and_newer_formats_are_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, "something else entirely, not ours").unwrap();
    assert!(matches!(
        Journal::open(&path, true),
        Err(CheckpointError::Foreign { .. })
    ));
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&7u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    fs::write(&path, bytes).unwrap();
    let error = Journal::open(&path, true).unwrap_err().to_string();
    assert!(error.contains("newer release"), "{error}");
}

#[test]
fn a_rewrite_keeps_the_live_values_and_gives_the_rest_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::open(&path, false).unwrap().journal;
    journal.dead_bytes = 1000;
    append(&mut journal, &[&[put("keep", "me")]]);
    assert!(!journal.wants_compaction());
    for i in 0..100 {
        append(&mut journal, &[&[put("often", &format!("{i:0100}"))]]);
    }
    assert!(journal.wants_compaction());
    let before = fs::metadata(&path).unwrap().len();
    journal.compact().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < before / 10);
    assert!(!journal.wants_compaction());
    append(&mut journal, &[&[put("after", "too")]]);
    let values = Journal::open(&path, false).unwrap().values;
    assert_eq!(
        values.keys().collect::<Vec<_>>(),
        ["after", "keep", "often"]
    );
    assert_eq!(values["often"], format!("{:0100}", 99).as_bytes());
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    DeletePrefix(u8),
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..20, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, v)| Step::Put(k, v)),
        2 => (0u8..20).prop_map(Step::Delete),
        1 => (0u8..3).prop_map(Step::DeletePrefix),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_a_map(steps in proptest::collection::vec(step(), 0..60)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path, false).unwrap().journal;
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(k, v) => {
                    model.insert(format!("{k}"), v.clone());
                    append(&mut journal, &[&[Change::Put(format!("{k}"), v)]]);
                }
                Step::Delete(k) => {
                    model.remove(&format!("{k}"));
                    append(&mut journal, &[&[Change::Delete(format!("{k}"))]]);
                }
                Step::DeletePrefix(k) => {
                    model.retain(|key, _| !key.starts_with(&format!("{k}")));
                    append(&mut journal, &[&[Change::DeletePrefix(format!("{k}"))]]);
                }
                Step::Compact => journal.compact().unwrap(),
                Step::Reopen => {
                    drop(journal);
                    journal = Journal::open(&path, false).unwrap().journal;
                }
            }
            prop_assert_eq!(journal.len(), model.len());
        }
        prop_assert_eq!(Journal::open(&path, false).unwrap().values, model);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), headed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut file = if headed {
            [&MAGIC[..], &FORMAT.to_le_bytes(), &[0; 4]].concat()
        } else {
            Vec::new()
        };
        file.extend(bytes);
        fs::write(&path, file).unwrap();
        let _ = Journal::open(&path, true);
    }
}
