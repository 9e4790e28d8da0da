//! Whole calls over a connection that is kept, beside the same request made with ureq alone.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::atomic::Ordering;
use std::time::Instant;

use peer::{CONNECTIONS, agent, delete, delete_with_ureq, our_client, start_server, url};

mod peer;

fn main() {
    many_calls();
    side_by_side();
}

/// 10,000 deletions with one client: how many connections, how much memory.
fn many_calls() {
    let client = our_client(start_server());
    let mut after_hundred = None;
    for call in 1..=10_000 {
        delete(&client);
        if call == 100 {
            after_hundred = resident_kib();
        }
    }
    let connections = CONNECTIONS.load(Ordering::SeqCst);
    println!("10,000 deletions: {connections} connection");
    assert_eq!(connections, 1);
    if let (Some(before), Some(after)) = (after_hundred, resident_kib()) {
        let growth = after.saturating_sub(before);
        println!("10,000 deletions: {growth} KiB more than after the hundredth");
        assert!(growth <= 256, "memory grows");
    }
}

/// What this process holds in memory, where the system tells.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Rounds in turn, so that the ratio holds while the machine's speed drifts.
fn side_by_side() {
    let address = start_server();
    let (client, agent, url) = (our_client(address), agent(), url(address));
    let round = |call: &dyn Fn()| {
        let started = Instant::now();
        for _ in 0..100 {
            call();
        }
        started.elapsed().as_secs_f64()
    };
    let ratio = |_| round(&|| delete(&client)) / round(&|| delete_with_ureq(&agent, &url));
    let mut ratios: Vec<f64> = (0..100).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("delete_image takes {median:.3} times as long as ureq with the same timeouts");
}
