//! Points at which a test may let the process die, to see what the next one makes of what is left.
//!
//! A point stands behind every effect that outlives the process (a write, a change of the kernel, an answer of a driver),
//! so that there is one between any two of them. Without the feature `failpoints`, which no released program has, a
//! point is nothing at all.

/// Marks a point, by a name that no other has: `failpoint!("store.pending")`.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {{
        $crate::failpoint::inventory::submit! { $crate::failpoint::Point($name) }
        $crate::failpoint::pass($name);
    }};
}

/// Marks a point, which in this program is nothing.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {};
}

#[cfg(feature = "failpoints")]
pub use compiled_in::*;

#[cfg(feature = "failpoints")]
mod compiled_in {
    use std::collections::BTreeSet;
    use std::sync::OnceLock;

    #[doc(hidden)]
    pub use inventory;

    /// A point that this program has.
    #[doc(hidden)]
    pub struct Point(pub &'static str);

    inventory::collect!(Point);

    /// What happens at a point.
    static AT_EACH: OnceLock<fn(&'static str)> = OnceLock::new();

    /// Says what shall happen at each point from now on. Only the first to say so is heard.
    pub fn at_each(act: fn(&'static str)) {
        AT_EACH.get_or_init(|| act);
    }

    /// The names of all points of this program.
    pub fn names() -> BTreeSet<&'static str> {
        inventory::iter::<Point>.into_iter().map(|point| point.0).collect()
    }

    /// Passes a point.
    pub fn pass(name: &'static str) {
        if let Some(act) = AT_EACH.get() {
            act(name);
        }
    }
}
