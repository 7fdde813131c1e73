//! What a commit costs, beside the cheapest thing that could be done: `cargo bench -p trestle-store`.
//!
//! The runtime file is on a tmpfs (`/dev/shm`), the durable one in the folder for temporary files. Times of a shared
//! machine say little, so the run ends with each time as a ratio to an append of as many bytes to a file on the tmpfs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/records/mod.rs"]
mod records;

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::Criterion;
use records::{endpoint, id, network, put};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use trestle_core::endpoint::Lifetime::{Attachment, Explicit};
use trestle_core::store::{Change, Record, Store};
use trestle_store::{EmbeddedStore, Options, Stamp};

/// Resources of an attached endpoint: they make a record of 3 KB.
const RESOURCES: u8 = 60;

struct Bench {
    runtime: Runtime,
    criterion: Criterion,
    measured: RefCell<Vec<(&'static str, u64, Duration)>>,
}

impl Bench {
    fn measure(&mut self, name: &'static str, mut work: impl FnMut(&Runtime, u64)) {
        let Self { runtime, criterion, measured } = self;
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let start = Instant::now();
                work(runtime, rounds);
                let spent = start.elapsed();
                measured.borrow_mut().push((name, rounds, spent));
                spent
            });
        });
    }

    fn tell_ratios(&self) {
        let measured = self.measured.borrow();
        let mean = |name: &str| {
            let of_it = measured.iter().filter(|(of, _, _)| *of == name);
            let (rounds, spent) = of_it.fold((0, Duration::ZERO), |sum, it| (sum.0 + it.1, sum.1 + it.2));
            spent.as_secs_f64() * 1e6 / rounds as f64
        };
        let mut names: Vec<&str> = measured.iter().map(|(name, _, _)| *name).collect();
        names.dedup();
        for name in names {
            println!("ratio to an append: {:.1} ({name}, {:.1} us)", mean(name) / mean("append"), mean(name));
        }
    }
}

struct Place {
    store: EmbeddedStore,
    _folders: [TempDir; 2],
}

fn open(runtime: &Runtime) -> Place {
    let (data, exec) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let stamp = Stamp { boot_id: "boot".into(), netns_cookie: 1 };
    let options = Options { data_root: data.path().into(), exec_root: exec.path().into(), stamp };
    Place { store: runtime.block_on(EmbeddedStore::open(options)).unwrap(), _folders: [data, exec] }
}

/// An attached endpoint, one of as many as there are numbers.
fn attached(number: u32) -> Record {
    let Record::Endpoint(endpoint) = endpoint(2, Attachment, Some(RESOURCES)) else { unreachable!("an endpoint") };
    let id = format!("{number:08x}{}", &id(2)[8..]).parse().unwrap();
    Record::Endpoint(Box::new(trestle_core::endpoint::Endpoint { id, ..*endpoint }))
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut bench =
        Bench { runtime, criterion: Criterion::default().configure_from_args(), measured: RefCell::default() };
    let record = endpoint(2, Attachment, Some(RESOURCES));
    let text = serde_json::to_string(&record).unwrap();
    println!("a record has {} bytes", text.len());

    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("journal")).unwrap();
    bench.measure("append", |_, rounds| (0..rounds).for_each(|_| file.write_all(text.as_bytes()).unwrap()));

    for (name, others) in [("attachment", 0), ("attachment beside 5,000", 5000)] {
        let place = open(&bench.runtime);
        let others: Vec<Change> = (10..10 + others).map(|number| Change::Put(attached(number))).collect();
        bench.runtime.block_on(place.store.commit(&others, &[])).unwrap();
        bench.measure(name, |runtime, rounds| commits(runtime, &place.store, &[put(&record)], rounds));
    }

    let place = open(&bench.runtime);
    bench.measure("16 attachments at the same time, each", |runtime, rounds| {
        runtime.block_on(async {
            for _ in 0..rounds.div_ceil(16) {
                let changes: Vec<_> = (0..16).map(|number| [Change::Put(attached(number))]).collect();
                let commits: Vec<_> = changes.iter().map(|changes| place.store.commit(changes, &[])).collect();
                // Each has been sent to the store once it was polled.
                let mut commits: Vec<_> = commits;
                std::future::poll_fn(|context| {
                    commits.retain_mut(|commit| commit.as_mut().poll(context).is_pending());
                    if commits.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            }
        });
    });
    let reservation = endpoint(2, Explicit, Some(RESOURCES));
    bench.measure("attachment of a reserved endpoint", |runtime, rounds| {
        commits(runtime, &place.store, &[put(&reservation)], rounds);
    });
    // Two networks in turn: each commit changes what is durable.
    bench.measure("network, synced to the disk", |runtime, rounds| {
        for round in 0..rounds {
            commits(runtime, &place.store, &[put(&network(1, if round % 2 == 0 { RESOURCES } else { 1 }))], 1);
        }
    });
    bench.criterion.final_summary();
    bench.tell_ratios();
}

fn commits(runtime: &Runtime, store: &EmbeddedStore, changes: &[Change], rounds: u64) {
    runtime.block_on(async {
        for _ in 0..rounds {
            store.commit(changes, &[]).await.unwrap();
        }
    });
}
