//! What the store promises.

#![allow(clippy::unwrap_used, reason = "tests")]

mod records;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use records::*;
use redb::{Database, ReadableDatabase, TableDefinition};
use tempfile::TempDir;
use trestle_core::ErrorKind;
use trestle_core::endpoint::Lifetime::{Attachment, Explicit};
use trestle_core::store::{Record, Revision, SCHEMA, Store};
use trestle_store::{EmbeddedStore, Options, RuntimeFile, Stamp};

const ROWS: TableDefinition<'_, &str, &str> = TableDefinition::new("rows");

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn durable(&self) -> PathBuf {
        self.0.path().join("lib/trestle.redb")
    }

    fn runtime(&self) -> PathBuf {
        self.0.path().join("run/trestle.journal")
    }

    fn stamp(&self) -> PathBuf {
        self.0.path().join("run/trestle.stamp")
    }

    fn options(&self, boot: &str, netns_cookie: u64) -> Options {
        let stamp = Stamp { boot_id: boot.into(), netns_cookie };
        Options { data_root: self.0.path().join("lib"), exec_root: self.0.path().join("run"), stamp }
    }

    async fn open(&self) -> EmbeddedStore {
        EmbeddedStore::open(self.options("boot", 1)).await.unwrap()
    }
}

async fn commit(store: &EmbeddedStore, records: &[&Record]) -> Revision {
    let changes: Vec<_> = records.iter().map(|record| put(record)).collect();
    store.commit(&changes, &[]).await.unwrap()
}

async fn loaded(store: &EmbeddedStore) -> Vec<Record> {
    by_key(store.load().await.unwrap().into_iter().map(|(record, _)| record)).into_values().collect()
}

fn holds(file: &Path, place: &str) -> bool {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_read().unwrap();
    transaction.open_table(ROWS).unwrap().get(place).unwrap().is_some()
}

fn edit(file: &Path, place: &str, value: &str) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(ROWS).unwrap().insert(place, value).unwrap();
    transaction.commit().unwrap();
}

/// Where the frames of a journal stand.
fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut frames = Vec::new();
    let mut start = b"trestle journal\n".len();
    while start < bytes.len() {
        let length = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
        frames.push(start..start + 12 + length);
        start += 12 + length;
    }
    frames
}

/// Replaces a text by one of the same length, in the frame of that number.
fn edit_frame(file: &Path, number: usize, from: &str, to: &str) {
    let mut bytes = fs::read(file).unwrap();
    let Range { start, end } = frames(&bytes)[number];
    let text = String::from_utf8(bytes[start + 12..end].to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    bytes[start + 12..end].copy_from_slice(text.replace(from, to).as_bytes());
    let sum = crc32fast::hash(&bytes[start + 12..end]);
    bytes[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    let own = crc32fast::hash(&bytes[start..start + 8]);
    bytes[start + 8..start + 12].copy_from_slice(&own.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let place = Place::new();
    let records = [
        network(1, 3),
        endpoint(2, Explicit, Some(4)),
        endpoint(3, Attachment, Some(1)),
        endpoint(4, Explicit, None),
        sandbox(5, 2),
    ];
    let store = place.open().await;
    assert_eq!(store.runtime_file(), &RuntimeFile::New);
    let first = commit(&store, &records.each_ref()).await;
    let second = store.commit(&[remove(&records[3])], &[]).await.unwrap();
    assert!(first < second);
    let before = store.load().await.unwrap();
    drop(store);
    let store = place.open().await;
    assert_eq!(store.runtime_file(), &RuntimeFile::Kept);
    assert!(!store.discarded());
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(loaded(&store).await, [&records[0], &records[1], &records[2], &records[4]].map(Clone::clone));
    assert!(commit(&store, &[&records[3]]).await > second);
}

#[tokio::test]
async fn a_restart_of_the_machine_keeps_what_is_durable_and_nothing_else() {
    for (boot, cookie) in [("another boot", 1), ("boot", 2)] {
        let place = Place::new();
        let store = place.open().await;
        let reserved = endpoint(2, Explicit, None);
        commit(
            &store,
            &[&network(1, 3), &endpoint(2, Explicit, Some(4)), &endpoint(3, Attachment, Some(1)), &sandbox(5, 2)],
        )
        .await;
        drop(store);
        let store = EmbeddedStore::open(place.options(boot, cookie)).await.unwrap();
        assert_eq!(store.runtime_file(), &RuntimeFile::Outlived);
        assert!(store.discarded());
        assert_eq!(loaded(&store).await, [network(1, 3), reserved]);
    }
}

#[tokio::test]
async fn a_runtime_file_of_another_installation_is_discarded() {
    let place = Place::new();
    commit(&place.open().await, &[&sandbox(5, 2)]).await;
    fs::remove_file(place.durable()).unwrap();
    let store = place.open().await;
    assert_eq!(store.runtime_file(), &RuntimeFile::Outlived);
    assert_eq!(loaded(&store).await, []);
}

#[tokio::test]
async fn the_installation_keeps_its_number() {
    let place = Place::new();
    let number = place.open().await.instance();
    fs::remove_dir_all(place.0.path().join("run")).unwrap();
    assert_eq!(place.open().await.instance(), number);
    assert_ne!(Place::new().open().await.instance(), number);
}

#[tokio::test]
async fn attaching_and_detaching_never_writes_the_durable_file() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, &[&network(1, 1), &endpoint(2, Explicit, None)]).await;
    let before = fs::read(place.durable()).unwrap();
    commit(&store, &[&endpoint(2, Explicit, Some(9)), &sandbox(2, 1)]).await;
    commit(&store, &[&endpoint(3, Attachment, Some(9))]).await;
    assert_eq!(loaded(&store).await[1], endpoint(2, Explicit, Some(9)));
    commit(&store, &[&endpoint(2, Explicit, None)]).await;
    store.commit(&[remove(&endpoint(3, Attachment, None)), remove(&sandbox(2, 1))], &[]).await.unwrap();
    assert!(fs::read(place.durable()).unwrap() == before);
    assert_eq!(loaded(&store).await, [network(1, 1), endpoint(2, Explicit, None)]);
    commit(&store, &[&network(1, 2)]).await;
    assert!(fs::read(place.durable()).unwrap() != before, "a network's change is durable");
}

#[tokio::test]
async fn an_endpoint_that_stops_being_explicit_is_no_longer_durable() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, &[&endpoint(2, Explicit, Some(1))]).await;
    commit(&store, &[&endpoint(2, Attachment, Some(1))]).await;
    drop(store);
    let store = EmbeddedStore::open(place.options("another boot", 1)).await.unwrap();
    assert_eq!(loaded(&store).await, []);
}

#[tokio::test]
async fn a_commit_that_expected_otherwise_changes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let (seen, key) = (commit(&store, &[&network(1, 1)]).await, network(1, 1).key());
    let next = store.commit(&[put(&network(1, 2))], &[(key, seen)]).await.unwrap();
    let changes = [put(&sandbox(5, 1)), put(&network(1, 3))];
    let error = store.commit(&changes, &[(key, seen)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(&format!("it has revision {}, not {}", next.0, seen.0)), "{error}");
    let absent = store.commit(&changes, &[(key, next), (sandbox(6, 1).key(), seen)]).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Conflict);
    assert_eq!(store.load().await.unwrap(), [(network(1, 2), next)]);
    store.commit(&changes, &[(key, next), (sandbox(5, 1).key(), Revision(0))]).await.unwrap();
    assert_eq!(loaded(&store).await, [network(1, 3), sandbox(5, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_commits_at_the_same_time_that_expect_the_same_one_wins() {
    let place = Place::new();
    let store = std::sync::Arc::new(place.open().await);
    let (seen, key) = (commit(&store, &[&sandbox(1, 1)]).await, sandbox(1, 1).key());
    let rivals: Vec<_> = (0..50)
        .map(|rival| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(&[put(&sandbox(1, rival))], &[(key, seen)]).await })
        })
        .collect();
    let mut winners = Vec::new();
    for (rival, task) in rivals.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(revision) => winners.push((sandbox(1, u8::try_from(rival).unwrap()), revision)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.load().await.unwrap(), winners);
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_the_file() {
    let place = Place::new();
    let store = place.open().await;
    let error = EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = format!("{} is in use by process {}", place.durable().display(), std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    let shared = Options { data_root: place.0.path().join("other"), ..place.options("boot", 1) };
    let error = EmbeddedStore::open(shared).await.unwrap_err();
    assert!(error.to_string().contains(&place.runtime().display().to_string()), "{error}");
    commit(&store, &[&network(1, 1)]).await;
    drop(store);
    place.open().await;
}

#[tokio::test]
async fn one_folder_can_not_be_both() {
    let place = Place::new();
    let options = place.options("boot", 1);
    let same = Options { exec_root: options.data_root.clone(), ..options };
    assert_eq!(EmbeddedStore::open(same).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_refused_and_left_alone() {
    let newer = SCHEMA + 1;
    for (runtime, whole) in [(false, true), (true, true), (false, false), (true, false)] {
        let place = Place::new();
        let record = if runtime { sandbox(5, 1) } else { network(5, 1) };
        commit(&place.open().await, &[&record]).await;
        let file = if runtime { place.runtime() } else { place.durable() };
        match (runtime, whole) {
            (false, true) => edit(&file, "about/schema", &newer.to_string()),
            (false, false) => edit(&file, "sandbox/1", &format!(r#"{{"schema":{newer},"shape":"unheard of"}}"#)),
            (true, whole) => {
                let told = |schema| format!(r#""schema":{schema}"#);
                edit_frame(&file, usize::from(!whole), &told(SCHEMA), &told(newer));
            }
        }
        let before = fs::read(&file).unwrap();
        let error = EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&format!("was written by a newer Trestle (schema {newer}")), "{error}");
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        match runtime {
            true => assert!(fs::read(&file).unwrap() == before),
            false => assert!(holds(&file, &format!("network/{}", id(5)))),
        }
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_refused() {
    let place = Place::new();
    commit(&place.open().await, &[&sandbox(5, 1)]).await;
    edit_frame(&place.runtime(), 0, r#""format":1"#, r#""format":2"#);
    let error = EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("journal format 2"), "{error}");
}

/// What a journal that is ours may have become, with what is told of it. Its three frames are the heading and two
/// commits.
fn damages(whole: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let frames = frames(whole);
    let flipped = |at: usize| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x40;
        Some(bytes)
    };
    let mut damages = vec![
        ("is missing", None),
        ("is empty", Some(Vec::new())),
        ("can't be read", Some(b"not a journal".to_vec())),
        ("can't be read", Some(vec![0; whole.len()])),
        ("can't be read", Some(whole[..frames[0].end - 1].to_vec())),
        ("can't be read", flipped(0)),
        ("can't be read", flipped(frames[0].start + 20)),
    ];
    // The length, the checksums and the payload of each commit.
    for frame in &frames[1..] {
        let places = [0, 3, 4, 8, 11, 12].map(|at| frame.start + at).into_iter().chain([frame.end - 1]);
        damages.extend(places.map(|at| ("is damaged at byte", flipped(at))));
    }
    damages
}

#[tokio::test]
async fn a_runtime_file_of_ours_that_can_not_be_read_is_an_error_that_says_what_to_do_and_is_left_alone() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, &[&network(1, 1), &sandbox(5, 20)]).await;
    commit(&store, &[&sandbox(6, 20)]).await;
    drop(store);
    let whole = fs::read(place.runtime()).unwrap();
    for (found, bytes) in damages(&whole) {
        match &bytes {
            None => fs::remove_file(place.runtime()).unwrap(),
            Some(bytes) => fs::write(place.runtime(), bytes).unwrap(),
        }
        let error = EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let told = error.to_string();
        let [journal, stamp] = [place.runtime(), place.stamp()].map(|file| file.display().to_string());
        for part in [found, "Put the file back", &format!("move {journal} and {stamp} away"), "will be removed"] {
            assert!(told.contains(part), "{told}: {part}");
        }
        assert!(fs::read(place.runtime()).ok() == bytes);

        // The first way out.
        fs::write(place.runtime(), &whole).unwrap();
        assert_eq!(loaded(&place.open().await).await.len(), 3);
    }
}

#[tokio::test]
async fn without_the_damaged_runtime_file_and_its_stamp_the_store_begins_without_attachments() {
    let place = Place::new();
    commit(&place.open().await, &[&network(1, 1), &sandbox(5, 20)]).await;
    fs::write(place.runtime(), "not a journal").unwrap();
    EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
    fs::remove_file(place.runtime()).unwrap();
    fs::remove_file(place.stamp()).unwrap();
    let store = place.open().await;
    assert_eq!(store.runtime_file(), &RuntimeFile::New);
    assert_eq!(loaded(&store).await, [network(1, 1)]);
}

#[tokio::test]
async fn a_damaged_runtime_file_of_another_boot_is_discarded() {
    let place = Place::new();
    commit(&place.open().await, &[&network(1, 1), &sandbox(5, 20)]).await;
    let whole = fs::read(place.runtime()).unwrap();
    for (boot, (_, bytes)) in damages(&whole).into_iter().take(7).enumerate() {
        match bytes {
            None => fs::remove_file(place.runtime()).unwrap(),
            Some(bytes) => fs::write(place.runtime(), bytes).unwrap(),
        }
        let store = EmbeddedStore::open(place.options(&format!("boot {boot}"), 1)).await.unwrap();
        assert_eq!(store.runtime_file(), &RuntimeFile::Outlived);
        assert_eq!(loaded(&store).await, [network(1, 1)]);
    }
}

#[tokio::test]
async fn a_journal_without_commits_is_kept_and_goes_on() {
    let place = Place::new();
    drop(place.open().await);
    commit(&place.open().await, &[&sandbox(5, 20)]).await;
    assert_eq!(loaded(&place.open().await).await, [sandbox(5, 20)]);
}

#[tokio::test]
async fn a_lost_stamp_is_written_again() {
    let place = Place::new();
    commit(&place.open().await, &[&sandbox(5, 20)]).await;
    let stamp = fs::read(place.stamp()).unwrap();
    for lost in [true, false] {
        match lost {
            true => fs::remove_file(place.stamp()).unwrap(),
            false => fs::write(place.stamp(), [0; 64]).unwrap(),
        }
        let store = place.open().await;
        assert_eq!(store.runtime_file(), &RuntimeFile::Kept);
        assert_eq!(loaded(&store).await, [sandbox(5, 20)]);
        assert!(fs::read(place.stamp()).unwrap() == stamp);
    }
}

#[tokio::test]
async fn a_last_commit_that_was_cut_short_is_not_made_and_those_before_stand() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, &[&sandbox(5, 2)]).await;
    commit(&store, &[&sandbox(6, 2)]).await;
    drop(store);
    let whole = fs::read(place.runtime()).unwrap();
    let last = frames(&whole)[2].clone();
    for length in (last.start..last.end).step_by(7) {
        fs::write(place.runtime(), &whole[..length]).unwrap();
        let store = place.open().await;
        assert_eq!(loaded(&store).await, [sandbox(5, 2)]);
        commit(&store, &[&sandbox(7, 1)]).await;
        drop(store);
        assert_eq!(loaded(&place.open().await).await, [sandbox(5, 2), sandbox(7, 1)]);
    }
}

#[tokio::test]
async fn the_journal_stays_short_and_keeps_what_stands() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, &[&network(1, 1), &endpoint(2, Attachment, Some(200))]).await;
    let mut longest = 0;
    for round in 0..400 {
        commit(&store, &[&sandbox(5, 200), &sandbox(6, round as u8)]).await;
        longest = longest.max(fs::metadata(place.runtime()).unwrap().len());
    }
    let written = 400 * serde_json::to_vec(&sandbox(5, 200)).unwrap().len() as u64;
    assert!(written > 3 << 20 && longest < (1 << 20) + (1 << 16), "{longest} of {written}");
    let before = store.load().await.unwrap();
    drop(store);
    let store = place.open().await;
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(before.len(), 4);
}

#[tokio::test]
async fn a_journal_that_can_not_be_written_anew_grows() {
    let place = Place::new();
    let store = place.open().await;
    fs::create_dir(place.runtime().with_extension("journal.new")).unwrap();
    for round in 0..400 {
        commit(&store, &[&sandbox(5, 200), &sandbox(6, round as u8)]).await;
    }
    assert!(fs::metadata(place.runtime()).unwrap().len() > 3 << 20);
    drop(store);
    assert_eq!(loaded(&place.open().await).await, [sandbox(5, 200), sandbox(6, 143)]);
}

#[tokio::test]
async fn what_leaves_the_durable_file_alone_stands_without_waiting() {
    let place = Place::new();
    let store = place.open().await;
    let changes = [put(&sandbox(5, 1)), put(&endpoint(2, Attachment, Some(9)))];
    let mut commit = Box::pin(store.commit(&changes, &[]));
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context))).await.is_ready());
}

#[tokio::test]
async fn a_damaged_durable_file_is_an_error_that_says_what_to_do_and_is_left_alone() {
    let damaged: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(5000),
        |bytes| *bytes = b"not a database".to_vec(),
        |bytes| bytes[..512].fill(7),
        |bytes| {
            let in_a_record = bytes.windows(8).position(|bytes| bytes == b"network1").unwrap();
            bytes[in_a_record] = b'N';
        },
    ];
    for damage in damaged {
        let place = Place::new();
        commit(&place.open().await, &[&network(1, 200)]).await;
        let mut bytes = fs::read(place.durable()).unwrap();
        damage(&mut bytes);
        fs::write(place.durable(), &bytes).unwrap();
        let error = EmbeddedStore::open(place.options("boot", 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let told = error.to_string();
        assert!(told.contains(&place.durable().display().to_string()) && told.contains("from a backup"), "{told}");
        assert!(fs::read(place.durable()).unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_durable_file_that_was_never_finished_is_begun_anew() {
    let place = Place::new();
    fs::create_dir_all(place.0.path().join("lib")).unwrap();
    fs::write(place.durable().with_extension("redb.new"), "half a file").unwrap();
    commit(&place.open().await, &[&network(1, 1)]).await;
    assert!(!fs::exists(place.durable().with_extension("redb.new")).unwrap());
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_made() {
    let place = Place::new();
    let store = place.open().await;
    let changes = [put(&network(1, 1))];
    {
        let mut commit = Box::pin(store.commit(&changes, &[]));
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context))).await.is_pending()
        );
    }
    assert_eq!(loaded(&store).await, [network(1, 1)]);
}
