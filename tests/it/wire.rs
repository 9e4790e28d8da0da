//! What is sent, byte for byte, and the percent encoder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ncloud_container_registry::percent_encode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use crate::gateway::{ACCESS_KEY, Gateway, Request};
use crate::{builder_at, client};

#[test]
fn delete_image_sends_one_request() {
    let gateway = Gateway::with(&["my-registry/hello/world", "my-registry/hello"]);
    let before = SystemTime::now();

    client(&gateway)
        .delete_image("my-registry", "hello/world")
        .unwrap();

    assert_eq!(gateway.images(), ["my-registry/hello"]);
    let requests = gateway.requests();
    let [request] = &*requests else {
        panic!("{requests:?}")
    };
    let [timestamp] = *request.header("x-ncp-apigw-timestamp") else {
        panic!("{request:?}")
    };
    let [signature] = *request.header("x-ncp-apigw-signature-v2") else {
        panic!("{request:?}")
    };
    let sent = UNIX_EPOCH + Duration::from_millis(timestamp.parse().unwrap());
    assert!(before - Duration::from_millis(1) < sent && sent <= SystemTime::now());
    assert_eq!(signature.len(), 44);
    // Accept and Host are ureq's, every other header is this crate's.
    assert_eq!(
        request.head,
        format!(
            "DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld HTTP/1.1\r\n\
             accept: */*\r\n\
             host: {}\r\n\
             user-agent: ncloud-container-registry/{}\r\n\
             accept-encoding: identity\r\n\
             content-type: application/json\r\n\
             x-ncp-apigw-timestamp: {timestamp}\r\n\
             x-ncp-iam-access-key: {ACCESS_KEY}\r\n\
             x-ncp-apigw-signature-v2: {signature}\r\n\
             \r\n",
            gateway.address(),
            env!("CARGO_PKG_VERSION"),
        )
    );
}

/// The gateway checks each signature. With v3, it refuses to delete an image with tags unless all of
/// them may go.
#[test]
fn api_url_says_which_version_of_the_api_is_spoken() {
    let longest = "t".repeat(128);
    for is_v3 in [false, true] {
        let gateway = Gateway::with(&["r/a/b:1.0", "r/a/b:2.0", "r/c:_Latest-1.0", "r/c"]);
        gateway.put([format!("r/c:{longest}")]);
        let (api_url, image, query) = if is_v3 {
            (
                gateway.url_v3(),
                "/api/v3/registries/r/images",
                "?cascading=true",
            )
        } else {
            (gateway.url(), "/ncr/api/v2/repositories/r", "")
        };
        let client = builder_at(&api_url).build().unwrap();
        let url = client.image_url("r", "a/b").unwrap();
        assert_eq!(
            url,
            format!("http://{}{image}/a%2Fb{query}", gateway.address())
        );
        assert!(client.image_exists("r", "a/b").unwrap());
        client.delete_tag("r", "a/b", "1.0").unwrap();
        assert_eq!(gateway.tags("r/a/b"), ["2.0"]);
        client.delete_tag("r", "c", "_Latest-1.0").unwrap();
        client.delete_tag("r", "c", &longest).unwrap();
        client.delete_image("r", "a/b").unwrap();
        assert!(!client.image_exists("r", "a/b").unwrap());
        assert!(!client.delete_image_if_exists("r", "a/b").unwrap());
        assert_eq!(gateway.images(), ["r/c"]);
        let requests = gateway.requests();
        let lines: Vec<_> = requests.iter().map(Request::line).collect();
        let line = |method, rest: &str| format!("{method} {image}/{rest} HTTP/1.1");
        let image = format!("a%2Fb{query}");
        assert_eq!(
            lines,
            [
                line("GET", "a%2Fb"),
                line("DELETE", "a%2Fb/tags/1.0"),
                line("DELETE", "c/tags/_Latest-1.0"),
                line("DELETE", &format!("c/tags/{longest}")),
                line("DELETE", &image),
                line("GET", "a%2Fb"),
                line("DELETE", &image),
            ]
        );
    }
}

#[test]
fn percent_encode_follows_rfc_3986() {
    let unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for code in 0..=127 {
        let character = char::from(code);
        let expected = if unreserved.contains(character) {
            character.to_string()
        } else {
            format!("%{code:02X}")
        };
        assert_eq!(percent_encode(&character.to_string()), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn percent_encode_agrees_with_another_encoder(text: String) {
        const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let expected = utf8_percent_encode(&text, RESERVED).to_string();
        prop_assert_eq!(percent_encode(&text), expected);
    }
}
