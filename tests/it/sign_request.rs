//! Signed requests for operations that the crate lacks.

use std::time::{Duration, Instant};

use ncloud_container_registry::ureq::{self, http::Method};
use ncloud_container_registry::{Client, ErrorKind, Region};
use proptest::prelude::*;

use crate::gateway::{Gateway, Then};
use crate::{builder, credentials};

fn at_korea() -> Client {
    Client::new(Region::Korea, credentials())
}

const KOREA: &str = "https://ncr.apigw.ntruss.com/ncr/api/v2";

#[track_caller]
fn assert_signed(method: Method, path: &[&str], query: &[(&str, &str)], expected: &str) {
    let request = at_korea()
        .sign_request(method.clone(), path, query)
        .unwrap();
    assert_eq!(request.method(), method);
    assert_eq!(request.uri().to_string(), format!("{KOREA}{expected}"));
    let target = request.uri().path_and_query().unwrap().as_str();
    let header = |name| request.headers()[name].to_str().unwrap();
    let timestamp_ms = header("x-ncp-apigw-timestamp").parse().unwrap();
    let signature = credentials().sign(method.as_str(), target, timestamp_ms);
    assert_eq!(header("x-ncp-apigw-signature-v2"), signature);
}

#[test]
fn sign_request_encodes_segments_and_parameters_once() {
    assert_signed(Method::GET, &["repositories"], &[], "/repositories");
    assert_signed(
        Method::GET,
        &["repositories", "my-registry"],
        &[("page", "1"), ("pagesize", "20")],
        "/repositories/my-registry?page=1&pagesize=20",
    );
    assert_signed(
        Method::PATCH,
        &["repositories", "r", "hello/world"],
        &[],
        "/repositories/r/hello%2Fworld",
    );
    assert_signed(
        Method::GET,
        &["repositories", "r", "hello/world", "tags"],
        &[],
        "/repositories/r/hello%2Fworld/tags",
    );
    assert_signed(
        Method::DELETE,
        &["repositories", "r", "hello/world", "tags", "v1.0_A"],
        &[],
        "/repositories/r/hello%2Fworld/tags/v1.0_A",
    );
    assert_signed(
        Method::GET,
        &["r", "a~B_9-.x", "sha256:00"],
        &[("q", "a b&c=d?e#f/../한%2F"), ("", "")],
        "/r/a~B_9-.x/sha256%3A00?q=a%20b%26c%3Dd%3Fe%23f%2F..%2F%ED%95%9C%252F&=",
    );
}

#[track_caller]
fn assert_refused(method: Method, path: &[&str], query: &[(&str, &str)], why: &str) {
    let error = at_korea().sign_request(method, path, query).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.starts_with("unusable path \""), "{text}");
    assert!(text.contains(why), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[test]
fn sign_request_refuses_a_segment_that_could_be_read_as_something_else() {
    for segment in [
        "",
        ".",
        "..",
        "/",
        "a/",
        "/a",
        "a/b",
        "a/../b",
        "..\\x",
        "..;",
        "a;b",
        "%2F..",
        "%252e%252e",
        "a#b",
        "a?b",
        "a b",
        "a+b",
        "a@b",
        "a&b",
        "한",
        "a\0",
        "a\u{200b}",
    ] {
        let why = "the segment \"";
        assert_refused(Method::GET, &[segment], &[], why);
        assert_refused(Method::GET, &["usage", segment], &[], why);
        let tag = ["repositories", "r", "i", "tags", segment];
        assert_refused(Method::DELETE, &tag, &[], why);
        let registry = ["repositories", segment];
        assert_refused(Method::GET, &registry, &[], "the registry \"");
    }
    let error = at_korea()
        .sign_request(Method::GET, &["a b"], &[])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unusable path \"a b\": the segment \"a b\" may have only letters, digits, - . _ ~ and :, and \
         must not be empty, . or ..; pass it unencoded"
    );
    assert_refused(Method::GET, &[], &[], "the path is empty");
    // Longer than a URL may be.
    let long = "a".repeat(70_000);
    assert_refused(Method::GET, &[&long], &[], "uri too long");
}

/// As in a deletion: else their 404 would read as "gone".
#[test]
fn sign_request_checks_registry_and_image_name() {
    let get = |path: &[&str], why| assert_refused(Method::GET, path, &[], why);
    get(
        &["repositories", "my-registry.kr.ncr.ntruss.com"],
        "the registry \"",
    );
    get(&["repositories", "R", "i"], "the registry \"R\" must be ");
    get(&["repositories", "r", "hello:1.0"], "pass \"hello\"");
    get(
        &["repositories", "r", "r.kr.ncr.ntruss.com/hello"],
        "begins with a host; ",
    );
    get(
        &["repositories", "r", "Hello", "tags"],
        "\"Hello\" must be components of ",
    );
    let split = "pass the image name as one segment, such as \"hello/world\"";
    get(&["repositories", "r", "hello", "world"], split);
    get(&["repositories", "r", "hello", "tags", "t", "x"], split);
    get(&["repositories/my-registry"], "the segment \"");
}

#[test]
fn sign_request_allows_delete_for_one_tag_alone() {
    let delete = |name: &[u8]| Method::from_bytes(name).unwrap();
    let force: &[(&str, &str)] = &[("force", "true")];
    let rows: [(&[&str], &[(&str, &str)]); 11] = [
        (&[], &[]),
        (&["repositories"], &[]),
        (&["repositories", "r"], &[]),
        (&["repositories", "r", "i"], &[]),
        (&["repositories", "r", "i", "tags"], &[]),
        (&["repositories", "r", "i", "tags", "t"], force),
        (&["repositories", "r", "i", "tags", "t", "x"], &[]),
        // An image name that was split at its slash.
        (&["repositories", "r", "hello", "world"], &[]),
        (&["repositories", "r", "hello", "world", "tags"], &[]),
        // As it would be below the host alone.
        (&["v2", "repositories", "r", "i"], &[]),
        (&["ncr", "api", "v2", "repositories", "r"], &[]),
    ];
    for method in [Method::DELETE, delete(b"delete"), delete(b"Delete")] {
        for (path, query) in rows {
            assert_refused(
                method.clone(),
                path,
                query,
                "\": DELETE is for a tag, such as ",
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sign_request_signs_the_segments_that_were_given(
        path in prop::collection::vec("[a.%/:;-]{0,4}", 0..4),
        query in prop::collection::vec((any::<String>(), any::<String>()), 0..3),
    ) {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let query: Vec<_> = query.iter().map(|(name, value)| (&**name, &**value)).collect();
        if let Ok(request) = at_korea().sign_request(Method::GET, &path, &query) {
            let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().unwrap();
            let uri = request.uri();
            let segments: Vec<_> = uri.path().split('/').skip(4).map(decode).collect();
            prop_assert_eq!(&segments, &path);
            for segment in &segments {
                prop_assert!(!matches!(&**segment, "" | "." | "..") && !segment.contains('/'));
            }
            let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
            let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap()).collect();
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| (decode(a), decode(b))).collect();
            let expected: Vec<_> = query.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            prop_assert_eq!(pairs, expected);
        }
    }
}

#[test]
fn sign_request_and_sign_delete_image_bound_the_time_of_any_agent() {
    let gateway = Gateway::start(|exchange| {
        exchange.wait_for_close();
        Then::Close
    });
    let short = Duration::from_millis(300);
    let config = ureq::Agent::config_builder().timeout_global(Some(short));
    let agent = config.build().new_agent();
    for builder in [
        builder(&gateway).timeout(short),
        builder(&gateway).agent(agent),
    ] {
        let client = builder.build().unwrap();
        for request in [
            client.sign_delete_image("r", "i"),
            client.sign_request(Method::GET, &["repositories", "r"], &[]),
        ] {
            let started = Instant::now();
            let error = ureq::run(request.unwrap()).unwrap_err();
            assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }
}
