//! The files of every schema that was ever released are read, for ever.
//!
//! `fixtures/schema-N/records.json` says what its two files hold. `TRESTLE_RENEW=1` writes the files of the schema
//! that is being made; those of a released one never change.

#![allow(clippy::unwrap_used, reason = "tests")]

mod records;

use std::fs;
use std::path::Path;

use records::{by_key, put};
use trestle_core::store::{Record, SCHEMA, Store};
use trestle_store::{EmbeddedStore, Options, RuntimeFile, Stamp};

fn options(folder: &Path) -> Options {
    let stamp = Stamp { boot_id: "fixture".into(), netns_cookie: 7 };
    Options { data_root: folder.join("durable"), exec_root: folder.join("runtime"), stamp }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn records_of_every_schema_are_read() {
    for schema in 1..=SCHEMA {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema-{schema}"));
        let expected: Vec<Record> =
            serde_json::from_str(&fs::read_to_string(fixture.join("records.json")).unwrap()).unwrap();
        let files = [("durable/trestle.redb", "durable.redb"), ("runtime/trestle.journal", "runtime.journal")];
        if schema == SCHEMA && std::env::var_os("TRESTLE_RENEW").is_some_and(|renew| renew == "1") {
            let folder = tempfile::tempdir().unwrap();
            let store = EmbeddedStore::open(options(folder.path())).await.unwrap();
            store.commit(&expected.iter().map(put).collect::<Vec<_>>(), &[]).await.unwrap();
            drop(store);
            for (own, kept) in files {
                let own = folder.path().join(own);
                if kept.ends_with(".redb") {
                    redb::Database::open(&own).unwrap().compact().unwrap();
                }
                copy(&own, &fixture.join(kept));
            }
        }

        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(own, kept)| copy(&fixture.join(kept), &folder.path().join(own)));
        let store = EmbeddedStore::open(options(folder.path())).await.unwrap();
        assert_eq!(store.runtime_file(), &RuntimeFile::Kept);
        let found = by_key(store.load().await.unwrap().into_iter().map(|(record, _)| record));
        assert_eq!(
            found,
            by_key(expected),
            "schema {schema}; if it is not released yet, run this test with TRESTLE_RENEW=1"
        );
    }
}
