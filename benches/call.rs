//! Whole calls over a connection that is kept, beside the same request made with ureq alone.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divan::{AllocProfiler, Bencher};
use ncloud_container_registry::{Client, Credentials, ureq};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let address = start_server();
    many_calls(address);
    side_by_side(address);
    divan::main();
}

/// Answers every request with 204, keeps nothing, and counts the connections.
fn start_server() -> SocketAddr {
    fn serve(mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        let mut filled = 0;
        while let Ok(read @ 1..) = stream.read(buffer.get_mut(filled..).unwrap()) {
            filled += read;
            if buffer.get(..filled).unwrap().ends_with(b"\r\n\r\n") {
                filled = 0;
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .unwrap();
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(|| serve(stream.unwrap()));
        }
    });
    address
}

fn our_client(address: SocketAddr) -> Client {
    let credentials = Credentials::new(
        "AKTEST0123456789abcd",
        "SKTEST0123456789abcdefghijklmnopqrstuvwx",
    );
    let api_url = format!("http://{address}/ncr/api/v2");
    Client::builder(credentials.unwrap())
        .api_url(&api_url)
        .build()
        .unwrap()
}

fn delete(client: &Client) {
    client.delete_image("my-registry", "hello/world").unwrap();
}

/// ureq alone, as careful as this crate makes it or with no time-outs, as it comes.
fn agent(with_time_outs: bool) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0);
    if with_time_outs {
        config = config
            .timeout_global(Some(Duration::from_secs(30)))
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)));
    }
    config.build().new_agent()
}

fn delete_with_ureq(agent: &ureq::Agent, url: &str) {
    let response = agent
        .delete(url)
        .header("User-Agent", "ncloud-container-registry/0.1.0")
        .header("Content-Type", "application/json")
        .header("x-ncp-apigw-timestamp", "1700000000000")
        .header("x-ncp-iam-access-key", "AKTEST0123456789abcd")
        .header(
            "x-ncp-apigw-signature-v2",
            "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw=",
        )
        .call()
        .unwrap();
    assert_eq!(response.status(), 204);
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/ncr/api/v2/repositories/my-registry/hello%2Fworld")
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
        .zip(["with the same time-outs", "without time-outs"])
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

#[divan::bench(sample_count = 1000, sample_size = 10, args = ["same time-outs", "no time-outs"])]
fn ureq_alone(bencher: Bencher, time_outs: &str) {
    let (agent, url) = (agent(time_outs == "same time-outs"), url(start_server()));
    delete_with_ureq(&agent, &url);
    bencher.bench_local(|| delete_with_ureq(&agent, &url));
}
