//! What is sent, byte for byte, and the percent encoder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ncloud_container_registry::{ErrorKind, percent_encode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateway::{ACCESS_KEY, Gateway, response};
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

/// Each version of the API: its URL, the path of images, and the query of a deletion.
fn versions(gateway: &Gateway) -> [(String, &'static str, &'static str); 2] {
    [
        (gateway.url(), "/ncr/api/v2/repositories/r", ""),
        (
            gateway.url_v3(),
            "/api/v3/registries/r/images",
            "?cascading=true",
        ),
    ]
}

fn lines(gateway: &Gateway) -> Vec<String> {
    let requests = gateway.requests();
    let lines = requests
        .iter()
        .filter_map(|request| request.line().strip_suffix(" HTTP/1.1"));
    lines.map(str::to_owned).collect()
}

/// The gateway checks each signature. With v3, it refuses to delete an image with tags unless all of
/// them may go.
#[test]
fn delete_image_and_image_exists_speak_the_version_that_the_api_url_ends_in() {
    for version in [0, 1] {
        let gateway = Gateway::with(&["r/a/b:1.0", "r/a/b:2.0", "r/c"]);
        let (api_url, images, query) = &versions(&gateway)[version];
        let client = builder_at(api_url).build().unwrap();
        let image = format!("{images}/a%2Fb");
        let url = client.image_url("r", "a/b").unwrap();
        assert_eq!(url, format!("http://{}{image}{query}", gateway.address()));
        assert!(client.image_exists("r", "a/b").unwrap());
        // As v3 responds while the registry is read-only for a time.
        let not_ready = r#"{"error":{"errorCode":"ResourceNotReady"}}"#;
        gateway.respond(response("409 Conflict", "", not_ready));
        client.delete_image("r", "a/b").unwrap();
        assert!(!client.image_exists("r", "a/b").unwrap());
        assert!(!client.delete_image_if_exists("r", "a/b").unwrap());
        assert_eq!(gateway.images(), ["r/c"]);
        let (get, delete) = (format!("GET {image}"), format!("DELETE {image}{query}"));
        assert_eq!(
            lines(&gateway),
            [&get, &delete, &delete, &get, &delete].map(String::as_str)
        );
    }
}

#[test]
fn delete_tag_deletes_one_tag() {
    let longest = "t".repeat(128);
    for version in [0, 1] {
        let gateway = Gateway::with(&["r/a/b:1.0", "r/a/b:_Latest-2.0", "r/c:1.0"]);
        gateway.put([format!("r/a/b:{longest}")]);
        let (api_url, images, _) = &versions(&gateway)[version];
        let client = builder_at(api_url).build().unwrap();
        client.delete_tag("r", "a/b", "_Latest-2.0").unwrap();
        client.delete_tag("r", "a/b", &longest).unwrap();
        assert_eq!(gateway.tags("r/a/b"), ["1.0"]);
        let error = client.delete_tag("r", "a/b", "2.0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().starts_with("r/a/b:2.0 was not found: "),
            "{error}"
        );
        let line = |tag| format!("DELETE {images}/a%2Fb/tags/{tag}");
        assert_eq!(lines(&gateway), ["_Latest-2.0", &longest, "2.0"].map(line));
        assert_eq!(gateway.images(), ["r/a/b", "r/c"]);
    }
}

/// Every character of ASCII, and of those with two bytes, which have each byte that UTF-8 begins or
/// continues with.
#[test]
fn percent_encode_agrees_with_another_encoder() {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    for character in ('\0'..='\u{7ff}').chain("한😀".chars()) {
        let text = character.to_string();
        let expected = utf8_percent_encode(&text, RESERVED).to_string();
        assert_eq!(percent_encode(&text), expected);
    }
}
