//! What was needed once is given back. A process of its own, because the setting is the process's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::hint::black_box;

#[test]
fn large_blocks_are_given_back_though_small_ones_behind_them_stay() {
    trestle_kernel::give_memory_back().unwrap();
    let mut small = Vec::with_capacity(8);
    let before = resident();
    for _ in 0..8 {
        let large: Vec<Vec<u8>> = (0..16).map(|_| black_box(vec![1; 1 << 20])).collect();
        small.push(black_box(Box::new([1u8; 1000])));
        drop(large);
    }
    let more = resident().saturating_sub(before);
    assert!(more < 4096, "{more} KiB were kept");
}

/// KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
