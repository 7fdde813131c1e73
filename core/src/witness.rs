//! Whoever keeps a picture of the records for himself, and must have it right when a request is answered.

use crate::store::Change;

/// Sees every commit.
pub trait Witness: Send + Sync {
    /// These changes are committed, or were found committed at the start. Told in the order of commits and before
    /// anybody else sees them, under the controller's lock: no waiting here, no I/O, and no question to the controller.
    fn committed(&self, changes: &[Change]);
}
