//! Whole calls over a connection that is kept, beside the same request made with ureq alone.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use divan::Bencher;

use peer::{CONNECTIONS, agent, delete, delete_with_ureq, our_client, start_server, url};

mod peer;

fn main() {
    let address = start_server();
    many_calls(address);
    side_by_side(address);
    divan::main();
}

/// 10,000 deletes with one client: how many connections, how much memory.
fn many_calls(address: SocketAddr) {
    let client = our_client(address);
    let before = CONNECTIONS.load(Ordering::SeqCst);
    let mut after_hundred = None;
    for call in 1..=10_000 {
        delete(&client);
        if call == 100 {
            after_hundred = resident_kib();
        }
    }
    let connections = CONNECTIONS.load(Ordering::SeqCst) - before;
    println!("10,000 deletes: {connections} connection");
    assert_eq!(connections, 1);
    if let (Some(before), Some(after)) = (after_hundred, resident_kib()) {
        let growth = after.saturating_sub(before);
        println!("10,000 deletes: {growth} KiB more than after the hundredth");
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

/// Rounds in turn, so that the ratios hold while the machine's speed drifts.
fn side_by_side(address: SocketAddr) {
    let (client, url) = (our_client(address), url(address));
    let (bounded, unbounded) = (agent(true), agent(false));
    let round = |call: &dyn Fn()| {
        let started = Instant::now();
        for _ in 0..100 {
            call();
        }
        started.elapsed().as_secs_f64()
    };
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        let ours = round(&|| delete(&client));
        let [to_bounded, to_unbounded] = &mut ratios;
        to_bounded.push(ours / round(&|| delete_with_ureq(&bounded, &url)));
        to_unbounded.push(ours / round(&|| delete_with_ureq(&unbounded, &url)));
    }
    for (ratios, peer) in ratios
        .iter_mut()
        .zip(["with the same timeouts", "without timeouts"])
    {
        ratios.sort_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).unwrap();
        println!("delete_image takes {median:.3} times as long as ureq alone {peer}");
    }
}

#[divan::bench(sample_count = 1000, sample_size = 10)]
fn delete_image(bencher: Bencher) {
    let client = our_client(start_server());
    delete(&client);
    bencher.bench_local(|| delete(&client));
}

#[divan::bench(sample_count = 1000, sample_size = 10, args = ["same timeouts", "no timeouts"])]
fn ureq_alone(bencher: Bencher, timeouts: &str) {
    let (agent, url) = (agent(timeouts == "same timeouts"), url(start_server()));
    delete_with_ureq(&agent, &url);
    bencher.bench_local(|| delete_with_ureq(&agent, &url));
}
