//! Taking turns.

use std::thread;
use std::time::Duration;

/// How long the kernel is left alone after something was undone. It frees namespaces in the background, and holds the
/// lock of all links meanwhile.
const REST: Duration = Duration::from_millis(20);

/// How much longer for each link more.
const REST_A_LINK: Duration = Duration::from_millis(2);

/// Leaves the kernel alone after so many containers went.
pub(crate) fn rest(containers: usize) {
    thread::sleep(REST + REST_A_LINK * containers as u32);
}

/// Lets everyone do the same in turn, as often as it counts after some rounds that don't. What each measured, in the
/// order of the contestants.
pub(crate) fn take_turns<C: ?Sized, T>(
    contestants: &mut [Box<C>],
    warm_up: usize,
    rounds: usize,
    mut turn: impl FnMut(&mut C) -> T,
) -> Vec<Vec<T>> {
    let mut measured: Vec<Vec<T>> = contestants.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..warm_up + rounds {
        for (contestant, measured) in contestants.iter_mut().zip(&mut measured) {
            let result = turn(contestant);
            if round >= warm_up {
                measured.push(result);
            }
        }
    }
    measured
}
