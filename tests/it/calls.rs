//! Signed requests for operations that the crate lacks.

use ncloud_container_registry::ureq::{self, http::Method};
use ncloud_container_registry::{Client, ErrorKind, Region};
use proptest::prelude::*;

use crate::gateway::{Gateway, answer};
use crate::{builder, client, credentials};

fn at_korea() -> Client {
    Client::new(Region::Korea, credentials())
}

const KOREA: &str = "https://ncr.apigw.ntruss.com/ncr/api/v2";

#[track_caller]
fn signed(method: Method, path: &[&str], query: &[(&str, &str)], expected: &str) {
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
fn segments_and_parameters_are_encoded_once() {
    signed(Method::GET, &["repositories"], &[], "/repositories");
    signed(
        Method::GET,
        &["repositories", "my-registry"],
        &[("page", "1"), ("pagesize", "20")],
        "/repositories/my-registry?page=1&pagesize=20",
    );
    signed(
        Method::PATCH,
        &["repositories", "r", "hello/world"],
        &[],
        "/repositories/r/hello%2Fworld",
    );
    signed(
        Method::DELETE,
        &["repositories", "r", "hello/world", "tags", "1.0"],
        &[],
        "/repositories/r/hello%2Fworld/tags/1.0",
    );
    signed(
        Method::GET,
        &["r", "a~B_9-.x", "sha256:00"],
        &[("q", "a b&c=d?e#f/../한%2F"), ("", "")],
        "/r/a~B_9-.x/sha256%3A00?q=a%20b%26c%3Dd%3Fe%23f%2F..%2F%ED%95%9C%252F&=",
    );
}

#[track_caller]
fn refused(method: Method, path: &[&str], query: &[(&str, &str)]) -> String {
    let error = at_korea().sign_request(method, path, query).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!error.to_string().contains(char::is_control));
    error.to_string()
}

#[test]
fn a_segment_that_could_be_read_as_something_else_is_refused() {
    for segment in [
        "",
        ".",
        "..",
        "/",
        "a/",
        "/a",
        "a//b",
        "a/./b",
        "a/../b",
        "..\\x",
        "..;",
        "a;b",
        "%2F..",
        "%252e%252e",
        "x%2F..",
        "a#b",
        "a?b",
        "a b",
        " ",
        "a+b",
        "a@b",
        "a&b",
        "a\\b",
        "한",
        "a\0",
        "a\u{200b}",
    ] {
        let text = refused(Method::GET, &["repositories", segment], &[]);
        assert!(text.starts_with("unusable path segment \""), "{text}");
        assert!(text.len() < 300, "{text}");
        refused(Method::GET, &[segment], &[]);
        refused(
            Method::DELETE,
            &["repositories", "r", "i", "tags", segment],
            &[],
        );
    }
    assert_eq!(
        refused(Method::GET, &[], &[]),
        "unusable path: it has no segments"
    );
    // Longer than ureq's URLs may be.
    let long = "a".repeat(70_000);
    let text = refused(Method::GET, &[&long], &[]);
    assert!(text.starts_with("unusable path: "), "{text}");
}

#[test]
fn delete_is_for_a_tag() {
    let delete = |name: &[u8]| Method::from_bytes(name).unwrap();
    let rows: [(&[&str], &[(&str, &str)]); 9] = [
        (&["repositories"], &[]),
        (&["repositories", "r"], &[]),
        (&["repositories", "r", "i"], &[]),
        (&["repositories", "r", "i", "tags"], &[]),
        (
            &["repositories", "r", "i", "tags", "t"],
            &[("force", "true")],
        ),
        // An image name that was split at its slash.
        (&["repositories", "r", "hello", "world"], &[]),
        (&["repositories", "r", "hello", "world", "tags"], &[]),
        // As it would be below the bare host.
        (&["v2", "repositories", "r", "i"], &[]),
        (&["ncr", "api", "v2", "repositories", "r"], &[]),
    ];
    for method in [Method::DELETE, delete(b"delete"), delete(b"Delete")] {
        for (path, query) in rows {
            let text = refused(method.clone(), path, query);
            assert!(
                text.starts_with("unusable path: DELETE is for a tag, such as "),
                "{text}"
            );
        }
    }
    signed(
        Method::GET,
        &["repositories", "r", "i"],
        &[],
        "/repositories/r/i",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_has_the_segments_that_were_given(
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
                prop_assert!(segment.split('/').all(|part| !matches!(part, "" | "." | "..")));
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
fn images_can_be_listed() {
    let gateway = Gateway::with(&["r/hello/world"]);
    let request = client(&gateway)
        .sign_request(Method::GET, &["repositories", "r"], &[("page", "1")])
        .unwrap();
    let list = ureq::run(request)
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(list.contains(r#""name":"hello/world""#), "{list}");
}

#[test]
fn the_settings_hold_under_any_agent() {
    let elsewhere = Gateway::with(&["r/i"]);
    let gateway = Gateway::with(&["r/i"]);
    let client = client(&gateway);
    let location = format!("Location: {}/repositories/r/i\r\n", elsewhere.url());
    let path = ["repositories", "r"];
    for agent in [
        ureq::agent(),
        ureq::Agent::config_builder()
            .max_redirects(9)
            .build()
            .new_agent(),
    ] {
        for request in [
            client.sign_delete_image("r", "i").unwrap(),
            client.sign_request(Method::GET, &path, &[]).unwrap(),
        ] {
            gateway.answer(answer("307 Temporary Redirect", &location, ""));
            assert_eq!(agent.run(request).unwrap().status(), 307);
        }
    }
    assert_eq!(elsewhere.connections(), 0);

    // The service's words are to be had, too.
    let request = client
        .sign_request(Method::GET, &["repositories", "no"], &[])
        .unwrap();
    let agent = ureq::agent();
    let request = agent
        .configure_request(request)
        .http_status_as_error(false)
        .build();
    let mut response = agent.run(request).unwrap();
    assert_eq!(response.status(), 404);
    assert!(
        response
            .body_mut()
            .read_to_string()
            .unwrap()
            .contains("not found")
    );
}

#[test]
fn the_timeout_holds_under_any_agent() {
    use std::time::{Duration, Instant};

    let gateway = Gateway::start(|exchange| {
        exchange.wait_for_close();
        crate::gateway::Then::Close
    });
    let short = Duration::from_millis(300);
    let config = ureq::Agent::config_builder().timeout_global(Some(short));
    let agent = config.build().new_agent();
    for builder in [
        builder(&gateway).timeout(short),
        builder(&gateway).agent(agent),
    ] {
        let client = builder.build().unwrap();
        let started = Instant::now();
        let error = ureq::run(client.sign_delete_image("r", "i").unwrap()).unwrap_err();
        assert!(matches!(error, ureq::Error::Timeout(_)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn debug_hides_the_signature_and_the_access_key() {
    let path = ["repositories", "r"];
    for request in [
        at_korea().sign_delete_image("r", "i").unwrap(),
        at_korea().sign_request(Method::GET, &path, &[]).unwrap(),
    ] {
        let shown = format!("{request:?} {request:#?}");
        for name in ["x-ncp-iam-access-key", "x-ncp-apigw-signature-v2"] {
            let value = &request.headers()[name];
            assert!(value.is_sensitive());
            assert!(!shown.contains(value.to_str().unwrap()), "{shown}");
        }
    }
}
