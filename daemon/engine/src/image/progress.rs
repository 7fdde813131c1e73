//! What is told while an image is on its way.

use std::io::{self, Read};

/// After how many bytes it is told how far a part is.
pub(super) const STEP: u64 = 512 << 10;

/// A word on how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Lines for a person, with their ends.
    Text(String),
    /// What is being done as a whole, or with one part.
    State {
        /// Which part: the beginning of a layer's digest, or a tag.
        part: Option<String>,
        /// What is being done with it.
        state: String,
        /// How many bytes are done, and of how many, if that is known.
        bytes: Option<(u64, Option<u64>)>,
    },
    /// An image has come; what it is called.
    Image {
        /// Its id.
        id: super::ImageId,
        /// One of its names, as people write it; `None` for one without.
        name: Option<String>,
    },
}

/// A stream that tells how far it is read.
pub(super) struct Watched<'a, R> {
    stream: R,
    done: u64,
    told: u64,
    length: u64,
    part: String,
    state: &'static str,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a, R> Watched<'a, R> {
    /// Of so many bytes; `state` is what is done with them.
    pub(super) fn new(
        stream: R,
        length: u64,
        part: String,
        state: &'static str,
        tell: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self { stream, done: 0, told: 0, length, part, state, tell }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.done += count as u64;
        if self.done - self.told >= STEP || (count == 0 && self.told < self.done) {
            self.told = self.done;
            let bytes = Some((self.done, Some(self.length)));
            (self.tell)(Progress::State { part: Some(self.part.clone()), state: self.state.into(), bytes });
        }
        Ok(count)
    }
}
