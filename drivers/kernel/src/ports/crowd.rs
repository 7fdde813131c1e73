//! Work on thousands of sockets, shared out to the processors: the kernel takes microseconds to open and to close each.

use std::num::NonZero;
use std::panic;
use std::thread;

/// So many are worth a thread, which takes about as long to start as a few of them to open.
const WORTH_A_THREAD: usize = 256;

/// More threads than these only wait for each other in the kernel.
const MOST: usize = 4;

/// Does the work on all, in as many parts as there are threads for; what each part came to, in order. The threads are
/// in the namespaces of the caller.
pub(super) fn share<T: Sync, R: Send>(all: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    // How many processors there are is read from a dozen files, which takes longer than to open a socket.
    if all.len() < 2 * WORTH_A_THREAD {
        return vec![work(all)];
    }
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = (all.len() / WORTH_A_THREAD).clamp(1, processors.min(MOST));
    let (mine, others) = all.split_at(all.len() / parts);
    if others.is_empty() {
        return vec![work(mine)];
    }
    let work = &work;
    thread::scope(|scope| {
        let others: Vec<_> =
            others.chunks(all.len().div_ceil(parts)).map(|part| scope.spawn(move || work(part))).collect();
        let mut done = vec![work(mine)];
        for other in others {
            done.push(other.join().unwrap_or_else(|cause| panic::resume_unwind(cause)));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_worked_on_once_and_in_order() {
        for count in [0, 1, 255, 256, 511, 512, 1000, 1025, 10_007] {
            let all: Vec<usize> = (0..count).collect();
            let done: Vec<usize> = share(&all, <[usize]>::to_vec).concat();
            assert_eq!(done, all);
        }
    }
}
