//! Deaths of the process at the worst moments. A child, which is this test binary again, is killed with `kill -9`.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../tests/records/mod.rs"]
mod records;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use records::*;
use trestle_core::endpoint::Lifetime::{Attachment, Explicit};
use trestle_core::error::{Error, ErrorKind, Result};
use trestle_core::store::{Record, Revision, Store};

use crate::pair::Pair;
use crate::{EmbeddedStore, Options, Stamp};

/// Tells the child what to do, and where.
const TASK: &str = "TRESTLE_STORE_TEST_TASK";
const FOLDER: &str = "TRESTLE_STORE_TEST_FOLDER";

/// Bytes that don't fit where files are kept small.
const BULK: usize = 3 << 20;

fn options(folder: &Path) -> Options {
    let stamp = Stamp { boot_id: "boot".into(), netns_cookie: 1 };
    Options { data_root: folder.join("lib"), exec_root: folder.join("run"), stamp }
}

async fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(options(folder)).await.unwrap()
}

/// A store to which that happens between the two files of a commit.
async fn open_with(folder: &Path, between: fn() -> Result<()>) -> EmbeddedStore {
    let options = options(folder);
    let open = move || {
        let (mut pair, found) = Pair::open(&options)?;
        pair.between = Some(between);
        Ok((pair, found))
    };
    EmbeddedStore::open_with(open).await.unwrap()
}

fn die() -> Result<()> {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    unreachable!("killed")
}

fn child(task: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_child_does_its_task", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn loaded(store: &EmbeddedStore) -> BTreeMap<trestle_core::store::Key, Record> {
    by_key(store.load().await.unwrap().into_iter().map(|(record, _)| record))
}

/// What round `round` puts: each in its own way in its files.
fn marked(round: u8) -> [Record; 4] {
    [network(1, round), endpoint(2, Explicit, Some(round)), sandbox(3, round), network(4, round)]
}

#[tokio::test]
async fn the_child_does_its_task() {
    let (Ok(task), Some(folder)) = (std::env::var(TASK), std::env::var_os(FOLDER)) else {
        return;
    };
    match task.as_str() {
        "die between the files" => {
            let store = open_with(folder.as_ref(), die).await;
            store.commit(&marked(7).each_ref().map(put), &[]).await.unwrap();
        }
        "commit for ever" => {
            let store = open(folder.as_ref()).await;
            for round in (0..200).cycle() {
                store.commit(&marked(round).each_ref().map(put), &[]).await.unwrap();
                println!("stands {round}");
            }
        }
        "fill the disk" => fill_the_disk(folder.as_ref()).await,
        other => panic!("no task {other:?}"),
    }
}

/// Commits that don't fit fail and change nothing; those that fit go on.
async fn fill_the_disk(folder: &Path) {
    let store = open(folder).await;
    store.commit(&marked(0).each_ref().map(put), &[]).await.unwrap();
    for round in 1..4 {
        let before = store.load().await.unwrap();
        for bulky in [bulky_network(), bulky_endpoint()] {
            for changes in [vec![put(&bulky)], vec![put(&network(8, 1)), put(&sandbox(9, 1)), put(&bulky)]] {
                let error = store.commit(&changes, &[]).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Internal);
                assert_eq!(store.load().await.unwrap(), before);
            }
        }
        store.commit(&marked(round).each_ref().map(put), &[]).await.unwrap();
    }
    drop(store);
    assert_eq!(loaded(&open(folder).await).await, by_key(marked(3)));
}

fn bulky_network() -> Record {
    let Record::Network(mut network) = network(6, 1) else { unreachable!("a network") };
    network.labels.insert("bulk".into(), "x".repeat(BULK));
    Record::Network(network)
}

fn bulky_endpoint() -> Record {
    let Record::Endpoint(mut endpoint) = endpoint(7, Attachment, Some(1)) else { unreachable!("an endpoint") };
    endpoint.options.insert("bulk".into(), "x".repeat(BULK));
    Record::Endpoint(endpoint)
}

#[tokio::test]
async fn a_commit_that_does_not_fit_on_the_disk_changes_nothing_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // No file may have more than 2 MB (4096 blocks of 512 bytes).
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" --exact crash::the_child_does_its_task --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(TASK, "fill the disk")
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stderr));
    assert_eq!(loaded(&open(folder.path()).await).await, by_key(marked(3)), "{limited:?}");
}

#[tokio::test]
async fn a_death_between_the_two_files_leaves_the_whole_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.commit(&marked(1).each_ref().map(put), &[]).await.unwrap();
    drop(store);
    let status = child("die between the files", folder.path()).wait().unwrap();
    assert!(!status.success());
    let store = open(folder.path()).await;
    assert_eq!(loaded(&store).await, by_key(marked(7)));

    // What was pending is not written a second time, over what came later.
    store.commit(&[put(&network(1, 9))], &[]).await.unwrap();
    drop(store);
    assert_eq!(loaded(&open(folder.path()).await).await[&network(1, 9).key()], network(1, 9));
}

#[tokio::test]
async fn a_death_of_the_machine_between_the_two_files_leaves_nothing_of_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.commit(&[put(&network(1, 1))], &[]).await.unwrap();
    drop(store);
    assert!(!child("die between the files", folder.path()).wait().unwrap().success());
    let mut options = options(folder.path());
    options.stamp.boot_id = "another boot".into();
    let store = EmbeddedStore::open(options).await.unwrap();
    assert_eq!(loaded(&store).await, by_key([network(1, 1)]));
}

#[tokio::test]
async fn a_failure_of_the_second_file_takes_the_first_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.commit(&marked(1).each_ref().map(put), &[]).await.unwrap();
    drop(store);
    let store = open_with(folder.path(), || Err(Error::internal("the disk is full"))).await;
    let before = store.load().await.unwrap();
    let error = store.commit(&marked(7).each_ref().map(put), &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Internal, "storing: the disk is full".into()));
    assert_eq!(store.load().await.unwrap(), before);
    store.commit(&[put(&sandbox(3, 5))], &[]).await.unwrap();
    drop(store);
    let mut expected = by_key(marked(1));
    expected.insert(sandbox(3, 5).key(), sandbox(3, 5));
    assert_eq!(loaded(&open(folder.path()).await).await, expected);
}

#[tokio::test]
async fn kill_9_at_any_moment_leaves_whole_commits_and_all_that_were_told_to_stand() {
    let folder = tempfile::tempdir().unwrap();
    let mut revision = Revision(0);
    for lines in (0..40).map(|round| 1 + round * 7 % 23) {
        let mut child = child("commit for ever", folder.path());
        let told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::<_, std::io::Error>::unwrap);
        let mut stands = told.filter_map(|line| line.strip_prefix("stands ").map(|round| round.parse::<u8>().unwrap()));
        let last = stands.by_ref().take(lines).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let last = stands.last().unwrap_or(last);

        let store = open(folder.path()).await;
        let found = loaded(&store).await;
        let next = (last + 1) % 200;
        assert!(found == by_key(marked(last)) || found == by_key(marked(next)), "round {last}");
        let now = store.load().await.unwrap().into_iter().map(|(_, revision)| revision).max().unwrap();
        assert!(now > revision);
        revision = now;
    }
}
