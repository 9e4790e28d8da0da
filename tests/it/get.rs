//! What `Client::get` returns, and what it says if it fails.

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Gateway, NO_SUCH_IMAGE, Then, response};
use crate::responses::{NETWORK, OF_A_GATEWAY, OF_THE_SERVICE};
use crate::{builder, builder_at, client, in_parallel};

const REGISTRY: [&str; 2] = ["repositories", "r"];
const IMAGE: [&str; 3] = ["repositories", "r", "hello/world"];

/// How reading the details of an image ends with a response, after which the connection is closed.
fn outcome(bytes: impl Into<Vec<u8>>) -> Result<String, Error> {
    let gateway = Gateway::with(&[]);
    let bytes = bytes.into();
    gateway.script(move |exchange| {
        exchange.send(bytes);
        Then::Close
    });
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    let outcome = client.get(&IMAGE, &[]);
    assert_eq!(gateway.requests().len(), 1);
    outcome
}

#[test]
fn get_reads_lists_and_details() {
    let gateway = Gateway::with(&["r/hello/moon", "r/hello/world"]);
    let client = client(&gateway);
    let page = client
        .get(&REGISTRY, &[("page", "2"), ("pagesize", "1")])
        .unwrap();
    let expected = r#"{"count":2,"next":null,"previous":null,"results":[{"name":"hello/world","namespace":"r","last_updated":1700000000000}]}"#;
    assert_eq!(page, expected);
    let details = client.get(&IMAGE, &[]).unwrap();
    let expected = r#"{"name":"hello/world","namespace":"r","last_updated":1700000000000}"#;
    assert_eq!(details, expected);
    let requests = gateway.requests();
    let lines: Vec<_> = requests.iter().map(crate::gateway::Request::line).collect();
    let repositories = "GET /ncr/api/v2/repositories";
    assert_eq!(
        lines,
        [
            format!("{repositories}/r?page=2&pagesize=1 HTTP/1.1"),
            format!("{repositories}/r/hello%2Fworld HTTP/1.1"),
        ]
    );
    assert_eq!(gateway.connections(), 1);
}

/// The four lines that the documentation of `may_have_been_deleted` shows.
#[test]
fn get_settles_what_may_have_been_deleted() {
    let gateway = Gateway::with(&["r/hello/world"]);
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    for is_gone in [false, true] {
        gateway.script(move |exchange| {
            if is_gone {
                exchange.serve();
            }
            exchange.send(response("500 Internal Server Error", "", ""));
            Then::KeepAlive
        });
        let error = client.delete_image("r", "hello/world").unwrap_err();
        assert!(error.may_have_been_deleted());
        let kind = client.get(&IMAGE, &[]).err().map(|error| error.kind());
        assert_eq!(kind, is_gone.then_some(ErrorKind::NotFound));
    }
}

#[test]
fn get_returns_a_complete_object_of_a_200_alone() {
    for body in ["{}", " {\"a\":\r\n\"한국\\n\"} \n"] {
        assert_eq!(outcome(response("200 OK", "", body)).unwrap(), body);
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(outcome(chunked).unwrap(), body);
    }
    let fill = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    let longest = fill(1024 * 1024);
    assert_eq!(outcome(response("200 OK", "", &longest)).unwrap(), longest);
    for bytes in [
        response("200 OK", "", "<html>log in</html>"),
        response("200 OK", "", "[{}]"),
        response("200 OK", "", ""),
        response("201 Created", "", "{}"),
        response("203 Odd", "", "{}"),
        response("206 Partial Content", "", "{}"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        response("302 Found", "Location: /\r\n", "{}"),
        response("200 OK", "", &fill(1024 * 1024 + 1)),
        "HTTP/1.1 200 OK\r\n\r\n{}".to_owned(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
    ] {
        let error = outcome(bytes.clone()).unwrap_err();
        let shown = &bytes[..bytes.len().min(200)];
        assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{shown}");
        assert!(!error.may_have_been_deleted(), "{shown}");
    }
    // A body of unknown length that is just not too long, and one that is.
    for (length, flaw) in [
        (1024 * 1024, "of unknown length"),
        (1024 * 1024 + 1, "longer than 1 MiB"),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n\r\n{}", fill(length));
        let text = outcome(bytes).unwrap_err().to_string();
        assert!(text.contains(&format!(": 200 OK, {flaw}: {{")), "{text}");
    }
}

#[test]
fn get_reports_not_found_for_a_platform_code_alone() {
    let url_unknown = r#"{"error":{"errorCode":"300"}}"#;
    let rows = OF_THE_SERVICE.map(|body| (body, ErrorKind::NotFound));
    let others = OF_A_GATEWAY
        .into_iter()
        .chain(["default backend - 404", url_unknown]);
    let others = others.map(|body| (body, ErrorKind::UnexpectedResponse));
    for (body, kind) in rows.into_iter().chain(others) {
        let error = outcome(response("404 Not Found", "", body)).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 1), "{body}");
        assert_eq!(
            error.may_have_been_deleted(),
            error.is_transient(),
            "{body}"
        );
    }
}

#[test]
fn get_says_nothing_of_a_deletion() {
    let gateway = Gateway::with(&["r/hello/world"]);
    let url = gateway.url();
    let rows = [
        (
            response("404 Not Found", "", NO_SUCH_IMAGE),
            format!(
                "404 Not Found from {url}: {NO_SUCH_IMAGE}; check the registry, the image and the \
                 region"
            ),
        ),
        (
            response("403 Forbidden", "", ""),
            "403 Forbidden; give the account permission for this registry".to_owned(),
        ),
        (
            response("500 Internal Server Error", "Retry-After: 90\r\n", ""),
            "500 Internal Server Error; wait 90 s, as the service asks; run it again later"
                .to_owned(),
        ),
        (
            response("501 Not Implemented", "", ""),
            "501 Not Implemented".to_owned(),
        ),
        (
            response("200 OK", "", "<html>"),
            "200 OK: <html>; check the API URL with its path, and whether a proxy or a login page \
             responded instead"
                .to_owned(),
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n{}".to_owned(),
            "200 OK, of unknown length: {}; check the API URL with its path, and whether a proxy or a \
             login page responded instead"
                .to_owned(),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned(),
            format!("200 OK, truncated (Peer disconnected): {{{NETWORK}"),
        ),
        (
            "HTTP/2 200\r\n\r\n".to_owned(),
            format!(
                "no HTTP response from {}: protocol: http parse fail: invalid HTTP version; check the \
                 API URL with its path, and whether a proxy or a login page responded instead",
                gateway.address()
            ),
        ),
        (
            String::new(),
            format!(
                "no response from {}: Peer disconnected{NETWORK}",
                gateway.address()
            ),
        ),
    ];
    for (bytes, expected) in rows {
        gateway.script(move |exchange| {
            exchange.send(bytes);
            Then::Close
        });
        let client = builder(&gateway).max_attempts(1).build().unwrap();
        let error = client.get(&IMAGE, &[]).unwrap_err();
        let expected = format!("cannot get repositories/r/hello/world: {expected}");
        assert_eq!(error.to_string(), expected);
        assert!(!error.may_have_been_deleted());
    }
}

#[test]
fn get_has_the_attempts_of_a_deletion() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
    let rows = [
        response("503 Busy", "", ""),
        response("409 Conflict", "", ""),
        response("429 Slow Down", "", ""),
        half.to_owned(),
        "HTTP/1.1 2".to_owned(),
        String::new(),
    ];
    in_parallel(&rows, |bytes| {
        let gateway = Gateway::with(&["r/hello/world"]);
        let start = bytes.clone();
        gateway.script(move |exchange| {
            exchange.send(start);
            Then::Close
        });
        client(&gateway).get(&IMAGE, &[]).unwrap();
        assert_eq!(gateway.requests().len(), 2, "{bytes}");
    });
    // After a failure, a 404 of the service is no success.
    let gateway = Gateway::with(&[]);
    gateway.respond(response("503 Busy", "", ""));
    let error = client(&gateway).get(&IMAGE, &[]).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 2));
    assert!(error.to_string().contains(", 2 attempts: "), "{error}");
}

#[test]
fn get_refuses_what_sign_request_refuses() {
    let client = builder_at("http://127.0.0.1:9").build().unwrap();
    for path in [
        &["repositories", "r", "hello:1.0"][..],
        &["repositories", "r", "hello", "world"],
        &["repositories", "a.b"],
        &["repositories/r"],
        &[],
    ] {
        let error = client.get(path, &[]).unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0)
        );
        let signed = client.sign_request("GET".parse().unwrap(), path, &[]);
        let why = signed.unwrap_err().to_string();
        let (_, why) = why.split_once("\": ").unwrap();
        let expected = format!("cannot get {}: {why}", path.join("/"));
        assert_eq!(error.to_string(), expected);
    }
}
