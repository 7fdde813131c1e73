//! Being attached to a container: its output as it is printed, and its input.

mod detach;
mod resize;
mod socket;
mod talk;

pub use detach::DetachKeys;
pub use resize::resize;
pub use socket::{Packet, Socket};
pub use talk::{Talk, Talked, framed, replay, talk};
