//! What containers have printed: lines that their monitors wrote, read from the end, followed, and put into the form of
//! Docker's API.

mod follow;
mod line;
mod reader;

pub use line::{Line, Stream};
pub use reader::{LogRequest, Piece, read};
