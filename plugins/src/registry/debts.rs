//! What a plugin was asked to give up and did not: kept until it does, for people to see.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

/// Something that a plugin still has, although it was asked to give it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Debt {
    /// The method that failed.
    pub method: String,
    /// The id of the network, endpoint or pool.
    pub of: String,
    /// How often it failed.
    pub tries: u32,
    /// When it failed first.
    pub since: SystemTime,
    /// How it failed last.
    pub why: String,
}

/// By method and id.
#[derive(Debug, Default)]
pub(crate) struct Debts(Mutex<BTreeMap<(&'static str, String), Debt>>);

impl Debts {
    /// Keeps in mind how it went.
    pub(crate) fn note<E: ToString>(&self, method: &'static str, of: &str, outcome: Result<(), &E>) {
        let mut debts = self.lock();
        let key = (method, of.to_owned());
        let Err(why) = outcome else {
            debts.remove(&key);
            return;
        };
        let new = || Debt {
            method: method.to_owned(),
            of: of.to_owned(),
            tries: 0,
            since: SystemTime::now(),
            why: String::new(),
        };
        let debt = debts.entry(key).or_insert_with(new);
        debt.tries += 1;
        debt.why = why.to_string();
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Debt> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Debt>> {
        // Only what people see is at stake.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
