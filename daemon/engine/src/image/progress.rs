//! What is told while an image is on its way.

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
