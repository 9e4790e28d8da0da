//! The signature, beside the least that could be done, and the percent encoder, beside another one.

#![allow(clippy::unwrap_used)]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use divan::{Bencher, black_box};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ncloud_container_registry::{Credentials, percent_encode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

fn main() {
    divan::main();
}

const ACCESS_KEY: &str = "AKTEST0123456789abcd";
const SECRET_KEY: &str = "SKTEST0123456789abcdefghijklmnopqrstuvwx";
const TARGET: &str = "/ncr/api/v2/repositories/my-registry/hello%2Fworld";
const TIMESTAMP_MS: u64 = 1_700_000_000_000;
const MESSAGE: &str = "DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld\n\
                       1700000000000\nAKTEST0123456789abcd";
const SIGNATURE: &str = "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw=";

/// A ready HMAC state and a finished message, into a buffer.
#[divan::bench(sample_count = 1000)]
fn floor(bencher: Bencher) {
    let ready = Hmac::<Sha256>::new_from_slice(SECRET_KEY.as_bytes()).unwrap();
    let mut buffer = [0; 44];
    bencher.bench_local(|| {
        let mut mac = black_box(&ready).clone();
        mac.update(black_box(MESSAGE).as_bytes());
        let length = BASE64_STANDARD
            .encode_slice(mac.finalize().into_bytes(), &mut buffer)
            .unwrap();
        assert_eq!(length, SIGNATURE.len());
        black_box(&buffer);
    });
    assert_eq!(buffer, SIGNATURE.as_bytes());
}

#[divan::bench(sample_count = 1000)]
fn sign(bencher: Bencher) {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY).unwrap();
    assert_eq!(credentials.sign("DELETE", TARGET, TIMESTAMP_MS), SIGNATURE);
    bencher.bench_local(|| {
        black_box(&credentials).sign(
            black_box("DELETE"),
            black_box(TARGET),
            black_box(TIMESTAMP_MS),
        )
    });
}

/// Much of which must be encoded.
const SEGMENT: &str = "hello/world/한국";

#[divan::bench(sample_count = 1000)]
fn encode(bencher: Bencher) {
    bencher.bench_local(|| percent_encode(black_box(SEGMENT)));
}

#[divan::bench(sample_count = 1000)]
fn encode_with_percent_encoding(bencher: Bencher) {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    bencher.bench_local(|| utf8_percent_encode(black_box(SEGMENT), RESERVED).to_string());
}
