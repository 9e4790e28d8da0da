//! The allocations of a whole call, beside those of ureq alone. Counting them slows threads down, so
//! the times here say nothing.

#![allow(clippy::unwrap_used)]

use divan::{AllocProfiler, Bencher};

use peer::{agent, delete, delete_with_ureq, our_client, start_server, url};

#[allow(dead_code)] // a part of it is for the other benchmark
mod peer;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 100, sample_size = 10)]
fn delete_image(bencher: Bencher) {
    let client = our_client(start_server());
    delete(&client);
    bencher.bench_local(|| delete(&client));
}

#[divan::bench(sample_count = 100, sample_size = 10)]
fn ureq_alone(bencher: Bencher) {
    let (agent, url) = (agent(), url(start_server()));
    delete_with_ureq(&agent, &url);
    bencher.bench_local(|| delete_with_ureq(&agent, &url));
}
