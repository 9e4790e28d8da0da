//! The signature and the percent encoder, beside their peers.

#![allow(clippy::unwrap_used)]

use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench_group(sample_count = 1000)]
mod signature {
    use super::{Bencher, black_box};

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use ncloud_container_registry::Credentials;
    use sha2::Sha256;

    const ACCESS_KEY: &str = "AKTEST0123456789abcd";
    const SECRET_KEY: &str = "SKTEST0123456789abcdefghijklmnopqrstuvwx";
    const TARGET: &str = "/ncr/api/v2/repositories/my-registry/hello%2Fworld";
    const TIMESTAMP_MS: u64 = 1_700_000_000_000;
    const MESSAGE: &str = "DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld\n\
                           1700000000000\nAKTEST0123456789abcd";
    const SIGNATURE: &str = "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw=";

    #[divan::bench]
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

    #[divan::bench]
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

    #[divan::bench]
    fn new_state_and_format(bencher: Bencher) {
        let sign = |secret_key: &str, method: &str, target: &str, timestamp_ms: u64| {
            let message = format!("{method} {target}\n{timestamp_ms}\n{ACCESS_KEY}");
            let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).unwrap();
            mac.update(message.as_bytes());
            BASE64_STANDARD.encode(mac.finalize().into_bytes())
        };
        assert_eq!(sign(SECRET_KEY, "DELETE", TARGET, TIMESTAMP_MS), SIGNATURE);
        bencher.bench_local(|| {
            sign(
                black_box(SECRET_KEY),
                black_box("DELETE"),
                black_box(TARGET),
                black_box(TIMESTAMP_MS),
            )
        });
    }
}

#[divan::bench_group(sample_count = 1000)]
mod percent_encoder {
    use super::{Bencher, black_box};

    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');

    /// As short and as long as image names are.
    const NAMES: [&str; 5] = [
        "app",
        "hello/world",
        "platform/team-alpha/build-tools1",
        "platform-team-alpha-build-tools1",
        "255 bytes of components",
    ];

    fn text(name: &str) -> String {
        match name.split_once(" bytes of components") {
            Some((length, _)) => "hello/world/"
                .chars()
                .cycle()
                .take(length.parse().unwrap())
                .collect(),
            None => name.to_owned(),
        }
    }

    fn compare(bencher: Bencher, name: &str, encode: impl Fn(&str) -> String) {
        let text = text(name);
        assert_eq!(
            encode(&text),
            percent_encoding::utf8_percent_encode(&text, RESERVED).to_string()
        );
        bencher.bench_local(|| encode(black_box(&text)));
    }

    #[divan::bench(args = NAMES)]
    fn ours(bencher: Bencher, name: &str) {
        compare(bencher, name, ncloud_container_registry::percent_encode);
    }

    #[divan::bench(args = NAMES)]
    fn percent_encoding_crate(bencher: Bencher, name: &str) {
        compare(bencher, name, |text| {
            percent_encoding::utf8_percent_encode(text, RESERVED).to_string()
        });
    }
}
