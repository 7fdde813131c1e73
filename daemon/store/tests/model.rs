//! Any sequence of commits, restarts and boots leaves what a plain map would hold.

#![allow(clippy::unwrap_used, reason = "tests")]

mod records;

use std::collections::BTreeMap;

use proptest::prelude::*;
use records::*;
use trestle_core::endpoint::Lifetime;
use trestle_core::store::{Change, Key, Record, Revision, Store};
use trestle_store::{EmbeddedStore, Options, Stamp};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    /// Expects the revision that stands, or another one.
    Expecting(Vec<Change>, Key, bool),
    Restart,
    Boot,
}

fn record() -> impl Strategy<Value = Record> {
    let lifetime = prop::sample::select(vec![Lifetime::Explicit, Lifetime::Attachment]);
    prop_oneof![
        (1u8..4, 0u8..3).prop_map(|(number, resources)| network(number, resources)),
        (1u8..6, lifetime, prop::option::of(0u8..3)).prop_map(|(number, lifetime, at)| endpoint(number, lifetime, at)),
        (1u8..4, 0u8..3).prop_map(|(number, resources)| sandbox(number, resources)),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change =
        prop_oneof![3 => record().prop_map(Change::Put), 1 => record().prop_map(|it| Change::Remove(it.key()))];
    prop::collection::vec(change, 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => changes().prop_map(Step::Commit),
        3 => (changes(), record(), any::<bool>()).prop_map(|(it, of, right)| Step::Expecting(it, of.key(), right)),
        1 => Just(Step::Restart),
        1 => Just(Step::Boot),
    ]
}

fn change(model: &mut BTreeMap<Key, (Record, Revision)>, changes: &[Change], revision: Revision) {
    for change in changes {
        match change {
            Change::Put(record) => drop(model.insert(record.key(), (record.clone(), revision))),
            Change::Remove(key) => drop(model.remove(key)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_agrees_with_a_plain_map(steps in prop::collection::vec(step(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let open = |boot: u64| {
            let stamp = Stamp { boot_id: "boot".into(), netns_cookie: boot };
            let (data_root, exec_root) = (folder.path().join("lib"), folder.path().join("run"));
            runtime.block_on(EmbeddedStore::open(Options { data_root, exec_root, stamp })).unwrap()
        };
        let mut boot = 0;
        let mut store = open(boot);
        let mut model: BTreeMap<Key, (Record, Revision)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Commit(changes) => {
                    let revision = runtime.block_on(store.commit(&changes, &[])).unwrap();
                    prop_assert!(model.values().all(|(_, before)| *before < revision));
                    change(&mut model, &changes, revision);
                }
                Step::Expecting(changes, key, right) => {
                    let stands = model.get(&key).map(|(_, revision)| *revision).unwrap_or_default();
                    let expected = if right { stands } else { Revision(stands.0 + 1) };
                    let outcome = runtime.block_on(store.commit(&changes, &[(key, expected)]));
                    prop_assert_eq!(outcome.is_ok(), right);
                    if let Ok(revision) = outcome {
                        change(&mut model, &changes, revision);
                    }
                }
                Step::Restart | Step::Boot => {
                    if matches!(step, Step::Boot) {
                        boot += 1;
                        model.retain(|_, (record, _)| record.durable().map(|durable| *record = durable).is_some());
                    }
                    drop(store);
                    store = open(boot);
                    // A restart may forget revisions of commits that changed nothing; the records it never forgets.
                    let found = runtime.block_on(store.load()).unwrap();
                    prop_assert_eq!(found.len(), model.len());
                    for (record, revision) in found {
                        model.get_mut(&record.key()).unwrap().1 = revision;
                    }
                }
            }
            let loaded: BTreeMap<Key, (Record, Revision)> =
                runtime.block_on(store.load()).unwrap().into_iter().map(|it| (it.0.key(), it)).collect();
            prop_assert_eq!(&loaded, &model);
        }
    }
}
