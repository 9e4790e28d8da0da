//! Responses without an end: they end in a clear error, soon, and in little memory.

use std::time::{Duration, Instant};

use ncloud_container_registry::ErrorKind;

use crate::gateway::{Behavior, Exchange, Gateway, Then, response};
use crate::{builder_at, child, if_child};

static MIB: [u8; 1 << 20] = [b'x'; 1 << 20];

/// Sends `start` and then `more`, `times` times or until the client is gone.
fn flood(exchange: &mut Exchange<'_>, start: &str, more: &[u8], times: usize) -> Then {
    exchange.send(start);
    for _ in 0..times {
        if !exchange.send(more) {
            break;
        }
    }
    Then::Close
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n";
const CHUNKED: &str = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n";
const GIB: &str = "HTTP/1.1 403 No\r\nContent-Length: 1073741824\r\n\r\n";

/// What the server does, and the kind of error that it becomes.
#[rustfmt::skip] // one row a line
const ROWS: [(&str, Behavior, ErrorKind); 8] = {
    use ErrorKind::{Transport, UnexpectedResponse};
    [
        ("a header without end", |e| flood(e, &format!("{NO_CONTENT}x: "), &MIB, 1024), Transport),
        ("headers without end", |e| flood(e, NO_CONTENT, &b"x: y\r\n".repeat(10_000), 10_000), Transport),
        ("10,000 headers", |e| flood(e, NO_CONTENT, &[&b"x: y\r\n".repeat(10_000)[..], b"\r\n"].concat(), 1), Transport),
        ("a status line without end", |e| flood(e, "HTTP/1.1 204 ", &MIB, 1024), Transport),
        ("an error body of 1 GiB", |e| flood(e, GIB, &MIB, 1024), UnexpectedResponse),
        ("bytes that are no text", |e| flood(e, GIB, &[0xFF; 65_536], 1500), UnexpectedResponse),
        ("a chunked body without end", |e| flood(e, CHUNKED, &[b"100000\r\n", &MIB[..], b"\r\n"].concat(), 1024), UnexpectedResponse),
        ("chunks of one byte without end", |e| flood(e, CHUNKED, &b"1\r\nx\r\n".repeat(100_000), 1000), UnexpectedResponse),
    ]
};

#[test]
fn delete_image_ends_soon_and_in_little_memory_whatever_is_sent() {
    if_child(|| {
        let api_url = std::env::var("API_URL").unwrap();
        let client = builder_at(&api_url).max_attempts(1).build().unwrap();
        client.delete_image("r", "warm/up").unwrap_err();
        let (before, started) = (peak_kib(), Instant::now());
        let error = client.delete_image("r", "i").unwrap_err();
        let growth = peak_kib() - before;
        // 1 MiB of a body is read; bytes that are no text take three times as much, twice over.
        assert!(growth < 12 * 1024, "{growth} KiB");
        assert!(started.elapsed() < Duration::from_secs(30));
        let text = error.to_string();
        assert!(
            text.len() < 4096 && !text.contains(char::is_control),
            "{text}"
        );
        format!("{:?}", error.kind())
    });
    for (what, script, kind) in ROWS {
        let gateway = Gateway::start(script);
        gateway.respond(response("404 Not Found", "", "{}"));
        let test = delete_image_ends_soon_and_in_little_memory_whatever_is_sent;
        let told = child(test, &[("API_URL", gateway.url())]);
        assert_eq!(told, format!("{kind:?}"), "{what}");
        gateway.assert_requests(2);
    }
}

/// The most memory that this process ever held, in KiB, where the system tells.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| {
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}
