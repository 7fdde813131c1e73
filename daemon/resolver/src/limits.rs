//! How much is done at once, and what is counted.

use std::time::Duration;

/// How much the server takes on. What is beyond is answered `REFUSED`, never with silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many questions may wait for others' answers.
    pub forwards: usize,
    /// How many of them may be one sandbox's.
    pub forwards_of_one: usize,
    /// How many connections of TCP one sandbox may have.
    pub connections_of_one: usize,
    /// How long a connection may be silent.
    pub silence: Duration,
    /// How many answers of others are kept.
    pub kept: usize,
    /// How long the best server is waited for before the next one is asked too.
    pub head_start: Duration,
    /// How long all of them together are waited for.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            forwards: 4096,
            forwards_of_one: 1024,
            connections_of_one: 64,
            silence: Duration::from_secs(10),
            kept: 4096,
            head_start: Duration::from_millis(150),
            patience: Duration::from_secs(4),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// A question was answered from the directory.
    Local,
    /// A question was answered by an answer that was kept.
    Kept,
    /// The same, but the answer was out of date: nobody else answered.
    Stale,
    /// Others were asked.
    Forwarded,
    /// Others were asked, and none of them answered.
    Failed,
    /// A question was too much.
    Refused,
    /// What came was no question.
    Malformed,
}

/// Whoever counts.
pub trait Meter: Send + Sync {
    /// One more.
    fn count(&self, what: Counted);

    /// Another server took so long to answer.
    fn upstream(&self, took: Duration);
}
