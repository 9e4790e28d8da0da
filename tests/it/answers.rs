//! What each answer of the service, or of something in its place, becomes.

use std::error::Error as _;

use ncloud_container_registry::{Client, Credentials, Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, DATE, Gateway, NO_SUCH_IMAGE, Then, answer};
use crate::{builder, builder_at, client, in_parallel};

/// How a call of one attempt ends when the answer is `bytes`, after which the connection is closed.
#[track_caller]
fn outcome(bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
    let gateway = Gateway::with(&["my-registry/hello/world"]);
    let bytes = bytes.into();
    gateway.script(move |exchange| {
        exchange.send(bytes);
        Then::Close
    });
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    let outcome = client.delete_image("my-registry", "hello/world");
    assert_eq!(gateway.requests().len(), 1);
    outcome.map_err(|error| {
        let text = error.to_string();
        assert!(text.starts_with("my-registry/hello/world "), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(format!("{error:?}"), text);
        assert!(error.source().is_none(), "the line holds the cause");
        assert_eq!(error.attempts(), 1);
        error
    })
}

const NAMES: &str = "; check the registry, the image and the API URL";
const UNEXPECTED: &str =
    "; check the API URL with its path, and look for a proxy or a login page in between";
const FIND_OUT: &str = "; run it again or list the registry";

#[test]
fn each_status_has_its_kind_and_its_text() {
    use ErrorKind as K;
    #[track_caller]
    fn check(status: &str, kind: ErrorKind, advice: &str) {
        let error = outcome(answer(status, "", "")).unwrap_err();
        let code: u16 = status[..3].parse().unwrap();
        assert_eq!((error.kind(), error.status()), (kind, Some(code)));
        assert_eq!((error.body(), error.trace_id()), (None, None));
        // A 408 may come from a proxy before a slow service.
        let in_doubt = !(400..500).contains(&code) || code == 408;
        assert_eq!(error.may_have_been_deleted(), in_doubt, "{status}");
        let opening = match code {
            500 => "may have been deleted, or never existed",
            _ if in_doubt => "may have been deleted",
            _ => "was not deleted",
        };
        let find_out = if in_doubt { FIND_OUT } else { "" };
        let expected = format!("my-registry/hello/world {opening}: {status}{advice}{find_out}");
        assert_eq!(error.to_string(), expected);
    }
    check("400 Bad Request", K::BadRequest, NAMES);
    let keys = "; check the keys, their permissions and subscription, the site, and this machine's \
                clock";
    check(
        "401 Unauthorized",
        K::Unauthorized,
        &format!(" (access key ...abcd){keys}"),
    );
    check(
        "403 Forbidden",
        K::Forbidden,
        "; give the account permission to delete images in this registry",
    );
    check("405 Method Not Allowed", K::BadRequest, NAMES);
    check("408 Request Timeout", K::Timeout, "");
    check(
        "409 Conflict",
        K::Conflict,
        "; try again when nothing else is changing the image",
    );
    check("410 Gone", K::BadRequest, NAMES);
    check("414 URI Too Long", K::BadRequest, NAMES);
    check(
        "429 Too Many Requests",
        K::RateLimited,
        "; send fewer requests, or ask for a larger quota",
    );
    check("500 Internal Server Error", K::Server, "");
    check("502 Bad Gateway", K::Server, "");
    check("503 Service Unavailable", K::Server, "");
    check("504 Gateway Timeout", K::Server, "");
    check("599 <unknown status code>", K::Server, "");
    for status in [
        "101 Switching Protocols",
        "202 Accepted",
        "203 Non Authoritative Information",
        "205 Reset Content",
        "206 Partial Content",
        "226 IM Used",
        "300 Multiple Choices",
        "304 Not Modified",
        "302 Found",
        "399 <unknown status code>",
        "600 <unknown status code>",
        "999 <unknown status code>",
    ] {
        check(status, K::UnexpectedResponse, UNEXPECTED);
    }
}

/// What both ways to delete say of the same answer, which is the last.
#[track_caller]
fn text(bytes: String) -> String {
    outcome(bytes).unwrap_err().to_string()
}

#[test]
fn the_words_of_the_service_are_shown() {
    let details = "A subscription to the API is required.";
    let body = r#"{"error":{"errorCode":"210","message":"Permission Denied","details":"#;
    let body = &format!("{body}\"{details}\"}}}}");
    let headers = format!("Date: {DATE}\r\nx-ncp-trace-id: t-1\r\n");
    assert_eq!(
        text(answer("401 Unauthorized", &headers, body)),
        format!(
            "my-registry/hello/world was not deleted: 401 Unauthorized (access key ...abcd, the \
             service's clock: {DATE}): {body} (trace id t-1); check the keys, their permissions \
             and subscription, the site, and this machine's clock"
        )
    );
    let headers = "Retry-After: 3600\r\n";
    assert_eq!(
        text(answer("429 Too Many Requests", headers, "{}")),
        "my-registry/hello/world was not deleted: 429 Too Many Requests: {}; the service asks to \
         wait 3600 s"
    );
    assert_eq!(
        text(answer("503 Service Unavailable", headers, "")),
        "my-registry/hello/world may have been deleted: 503 Service Unavailable; the service asks \
         to wait 3600 s; run it again or list the registry"
    );
    // No time, or where waiting does not help, is no advice.
    assert_eq!(
        text(answer("429 Too Many Requests", "Retry-After: 0\r\n", "")),
        "my-registry/hello/world was not deleted: 429 Too Many Requests; send fewer requests, or \
         ask for a larger quota"
    );
    assert_eq!(
        text(answer("403 Forbidden", headers, "")),
        "my-registry/hello/world was not deleted: 403 Forbidden; give the account permission to \
         delete images in this registry"
    );
    let headers = "Location: https://user:secret@login.example.com/\r\n";
    assert_eq!(
        text(answer("302 Found", headers, "")),
        format!("my-registry/hello/world may have been deleted: 302 Found{UNEXPECTED}{FIND_OUT}")
    );
    let headers = "Location: https://login.example.com/?next=/\r\n";
    assert_eq!(
        text(answer("302 Found", headers, "")),
        format!(
            "my-registry/hello/world may have been deleted: 302 Found to \
             https://login.example.com/?next=/{UNEXPECTED}{FIND_OUT}"
        )
    );
    assert_eq!(
        text(answer("200 OK", "", "<html>\n log in</html>")),
        format!(
            "my-registry/hello/world may have been deleted: 200 OK: <html>\\n log in</html>\
             {UNEXPECTED}{FIND_OUT}"
        )
    );
}

#[test]
fn a_404_says_where_it_comes_from() {
    let gateway = Gateway::with(&[]);
    let url = gateway.url();
    let text = |body: &str| {
        gateway.answer(answer("404 Not Found", "", body));
        client(&gateway)
            .delete_image("r", "i")
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(NO_SUCH_IMAGE),
        format!(
            "r/i was not found: 404 Not Found from {url}: {NO_SUCH_IMAGE}; check the registry, the \
             image and the region"
        )
    );
    assert_eq!(
        text("default backend - 404"),
        format!("r/i was not deleted: 404 Not Found from {url}: default backend - 404{UNEXPECTED}")
    );
}

#[test]
fn after_a_doubt_the_kinds_own_advice_comes_first() {
    let gateway = Gateway::with(&[]);
    let ends = |bytes: String| {
        gateway.answer(BUSY);
        gateway.answer(bytes);
        client(&gateway)
            .delete_image("r", "i")
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        ends(answer("403 Forbidden", "", "")),
        format!(
            "r/i may have been deleted: 403 Forbidden, 2 attempts; give the account permission to \
             delete images in this registry{FIND_OUT}"
        )
    );
    assert_eq!(
        ends(answer("404 Not Found", "", "")),
        format!(
            "r/i may have been deleted: 404 Not Found from {}, 2 attempts; check the registry, the \
             image and the region{FIND_OUT}",
            gateway.url()
        )
    );
}

#[test]
fn success_is_204_or_a_200_or_201_of_length_0() {
    for bytes in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 204 No Content\r\n\r\n",
    ] {
        outcome(bytes).unwrap_or_else(|error| panic!("{bytes}: {error}"));
    }
    for bytes in [
        // No confirmation.
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n ",
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>log in</html>",
        "HTTP/1.0 200 OK\r\n\r\n\r\n",
        // Empty, but the end of the connection may have cut it.
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 201 Created\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{e9}\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{e9}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // Cut.
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
        assert!(error.may_have_been_deleted());
        assert!(error.to_string().contains(UNEXPECTED), "{error}");
    }
}

/// 404s of the platform itself: all of them prove that there is no such image.
const OF_THE_SERVICE: [&str; 8] = [
    NO_SUCH_IMAGE,
    r#"{"error":{"errorCode":"404","message":"Not Found","details":"..."}}"#,
    r#"{"returnCode":404,"returnMessage":"Not Found"}"#,
    r#"{"responseError":{"returnCode":"","returnMessage":""}}"#,
    " {\"error\" : { \"errorCode\"\r\n: 3000 } }\n",
    r#"{"error":{"errorCode":"1300"},"a":{"b":"}{"}}"#,
    r#"{"error":{"errorCode":"30"}}"#,
    r#"{"returnCode":"404","returnMessage":"\"errorCode\":\"300\""}"#,
];

/// Objects in which the platform's codes do not stand, whoever said them.
const OF_A_GATEWAY: [&str; 6] = [
    "{}",
    "\r\n { } \r\n",
    r#"{"message":"no Route matched with those values"}"#,
    r#"{"timestamp":"...","status":404,"error":"Not Found","path":"/"}"#,
    r#"{"code":300}"#,
    r#"{"message":"there is no \"errorCode\":\"404\" here"}"#,
];

/// 404s with a body that the service does not send: they prove nothing.
const OF_OTHERS: [&str; 15] = [
    "default backend - 404",
    "404 page not found\n",
    "<html>\r\n<head><title>404 Not Found</title></head>\r\n</html>",
    " ",
    r#"{"error":{"errorCode":"300","message":"Not Found Exception","details":"URL not found."}}"#,
    r#"{"error":{"errorCode":300}}"#,
    r#"{"responseError":{"returnCode":"300"}}"#,
    r#"{"returnCode" : 300 }"#,
    r#"{"errorCode":null,"error":{"errorCode":"300"}}"#,
    r#"{"error":{"errorCode":"404"},"responseError":{"returnCode":"300"}}"#,
    r#"{"error":{"errorCode":" 300 "}}"#,
    r#"[{"returnCode":"404"}]"#,
    r#""{\"errorCode\":1}""#,
    r#""{}""#,
    r#"{"errorCode":"404"}<html>"#,
];

/// 404s of which a part is missing, or may be.
const CUT: [&str; 12] = [
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"returnCode\":\"404\"}\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.0 404 Not Found\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip\r\nContent-Length: 20\r\n\r\n{\"returnCode\":\"404\"}",
];

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

/// What both ways to delete make of an answer, after a doubt if there is `before`.
#[track_caller]
fn both_outcomes(before: Option<&str>, bytes: &str) -> (Result<(), Error>, Result<bool, Error>) {
    let gateway = Gateway::with(&["r/i"]);
    for _ in 0..2 {
        if let Some(before) = before {
            gateway.answer(before);
        }
        let bytes = bytes.to_owned();
        gateway.script(move |exchange| {
            exchange.send(bytes);
            Then::Close
        });
    }
    // Two clients, as the second call might find the first one's connection just before it closes.
    let outcomes = (
        client(&gateway).delete_image("r", "i"),
        client(&gateway).delete_image_if_exists("r", "i"),
    );
    let requests = if before.is_some() { 4 } else { 2 };
    assert_eq!(gateway.requests().len(), requests, "{bytes}");
    outcomes
}

/// The ways to send a body that show its end.
fn framings(body: &str) -> [String; 4] {
    let length = body.len();
    // An empty chunk would be the last.
    let chunk = if body.is_empty() {
        String::new()
    } else {
        format!("{length:x}\r\n{body}\r\n")
    };
    let chunked = |coding| {
        format!("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: {coding}\r\n\r\n{chunk}0\r\n\r\n")
    };
    [
        answer("404 Not Found", "", body),
        format!("HTTP/1.0 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}"),
        chunked("chunked"),
        chunked("Chunked"),
    ]
}

#[test]
fn only_the_services_404_ends_a_doubt() {
    let rows: Vec<_> = OF_THE_SERVICE
        .iter()
        .flat_map(|body| framings(body))
        .collect();
    in_parallel(&rows, |bytes| {
        let (deleted, existed) = both_outcomes(None, bytes);
        let error = deleted.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{bytes}");
        assert!(!error.may_have_been_deleted());
        assert!(!existed.unwrap());
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        deleted.unwrap_or_else(|error| panic!("{bytes}: {error}"));
        assert!(existed.unwrap());
    });
}

#[test]
fn a_404_that_may_be_a_gateways_is_no_image_but_ends_no_doubt() {
    let bodies = OF_A_GATEWAY.iter().chain(&[""]);
    let rows: Vec<_> = bodies.flat_map(|body| framings(body)).collect();
    in_parallel(&rows, |bytes| {
        let (deleted, existed) = both_outcomes(None, bytes);
        let error = deleted.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{bytes}");
        assert!(!error.may_have_been_deleted());
        assert!(!existed.unwrap());
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 2));
            assert!(error.may_have_been_deleted());
        }
    });
}

#[test]
fn a_404_that_is_not_the_services_proves_nothing() {
    let others = OF_OTHERS.map(|body| answer("404 Not Found", "", body));
    // What is read of it would be an object, but it has another end.
    let too_long = format!("{{\"errorCode\":1{}}} <html>", " ".repeat(64 * 1024 - 15));
    let too_long = answer("404 Not Found", "", &too_long);
    let cut = CUT.map(str::to_owned);
    let rows: Vec<_> = others.into_iter().chain(cut).chain([too_long]).collect();
    in_parallel(&rows, |bytes| {
        let (deleted, existed) = both_outcomes(None, bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
            assert_eq!((error.status(), error.attempts()), (Some(404), 1));
            assert!(!error.may_have_been_deleted(), "{error}");
        }
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
            assert_eq!(error.attempts(), 2);
            assert!(error.may_have_been_deleted(), "{error}");
        }
    });
}

#[test]
fn a_body_is_shown_as_it_came() {
    for body in [
        r#"{"error":{"errorCode":"230","message":"Not Allowed","details":"..."}}"#,
        r#" {"returnMessage" : "한국 é 'x' \u0041" , "returnCode" : 230 } "#,
        r#"{"returnCode":"230","returnMessage":"Not Al"#,
        "<html><body>403 Forbidden</body></html>",
        " ",
    ] {
        let bytes = answer("403 Forbidden", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.body(), Some(body));
        assert_eq!(error.trace_id(), Some("t-1"));
        let expected = format!(
            "my-registry/hello/world was not deleted: 403 Forbidden: {body} (trace id t-1); give \
             the account permission to delete images in this registry"
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_body_that_is_cut_short_takes_nothing_from_another_status() {
    for bytes in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"230\"}",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"returnCode\":\"230\"}",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(error.body(), Some(r#"{"returnCode":"230"}"#), "{bytes}");
    }
}

#[test]
fn text_from_a_server_cannot_steer_a_terminal() {
    let headers = "x-ncp-trace-id: t\tt\r\nDate: a\u{202e}b\r\n";
    let error = outcome(answer(
        "401 No",
        headers,
        "a\n\u{7}\u{202e}c\u{9b}31m\u{1b}[2J",
    ))
    .unwrap_err();
    assert_eq!(
        error.body(),
        Some("a\\n\\u{7}\\u{202e}c\\u{9b}31m\\u{1b}[2J")
    );
    assert_eq!(error.trace_id(), Some("t\\tt"));
    assert!(
        error
            .to_string()
            .contains("the service's clock: a\\u{202e}b)"),
        "{error}"
    );

    let head = b"HTTP/1.1 302 No\r\nContent-Length: 5\r\nLocation: \xff\r\n\r\n";
    let error = outcome([&head[..], b"\xff\x80 \xed."].concat()).unwrap_err();
    assert_eq!(error.body(), Some("\u{fffd}\u{fffd} \u{fffd}."));
    assert!(error.to_string().contains(" to \u{fffd}: "), "{error}");

    let error = outcome(answer("403 No", "", &"é".repeat(512))).unwrap_err();
    assert_eq!(error.body(), Some(&*"é".repeat(512)));
    for length in [513, 100_000] {
        let error = outcome(answer("403 No", "", &"é".repeat(length))).unwrap_err();
        assert_eq!(error.body(), Some(&*format!("{}…", "é".repeat(512))));
    }
}

#[test]
fn of_the_access_key_only_the_end_is_shown() {
    let body = format!("{{\"message\":\"no {ACCESS_KEY} here\"}}");
    let headers = format!(
        "x-ncp-trace-id: {ACCESS_KEY}\r\nDate: {ACCESS_KEY}\r\nLocation: /{ACCESS_KEY}\r\n"
    );
    for status in ["401 Unauthorized", "302 Found"] {
        let error = outcome(answer(status, &headers, &body)).unwrap_err();
        assert_eq!(error.body(), Some(r#"{"message":"no ...abcd here"}"#));
        assert_eq!(error.trace_id(), Some("...abcd"));
        assert!(!error.to_string().contains(ACCESS_KEY), "{error}");
    }
}

#[test]
fn an_image_that_does_not_exist_is_no_error_if_that_is_wanted() {
    let gateway = Gateway::with(&["r/i"]);
    let client = client(&gateway);
    assert!(client.delete_image_if_exists("r", "i").unwrap());
    assert!(!client.delete_image_if_exists("r", "i").unwrap());
    gateway.answer(answer("403 Forbidden", "", ""));
    let error = client.delete_image_if_exists("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
}

#[test]
fn a_wrong_key_and_a_wrong_clock_are_told_by_the_gateway() {
    let gateway = Gateway::with(&["r/i"]);
    let refused = |secret_key| {
        let credentials = Credentials::new(ACCESS_KEY, secret_key).unwrap();
        let client = Client::builder(gateway.url(), credentials).build().unwrap();
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Unauthorized, 1)
        );
        let start = format!(
            "r/i was not deleted: 401 Unauthorized (access key ...abcd, the service's clock: {DATE})"
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        error.body().unwrap().to_owned()
    };
    let details = "\"details\":\"Invalid authentication information.\"";
    assert!(refused("wrong").contains(details));
    gateway.set_clock_ahead(3_600_000);
    assert!(refused(crate::gateway::SECRET_KEY).contains("\"details\":\"Expired timestamp.\""));
    assert_eq!(gateway.images(), ["r/i"]);
}

#[test]
fn no_connection_is_a_transport_error_with_its_cause() {
    let gateway = Gateway::with(&[]);
    // All of 127.0.0.0/8 is loopback, and nothing listens at this address.
    let address = gateway
        .address()
        .to_string()
        .replace("127.0.0.1", "127.0.0.77");
    let client = builder_at(&format!("http://{address}"))
        .max_attempts(1)
        .build()
        .unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    let cause = std::net::TcpStream::connect(address.as_str()).unwrap_err();
    let expected = format!(
        "r/i was not deleted: no connection to {address}: {cause}; check the network, the proxy \
         and the API URL"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_lost_connection_is_told_in_one_line() {
    let gateway = Gateway::start(|_| Then::Close);
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    let expected = format!(
        "r/i may have been deleted: no answer from {}: Peer disconnected, 3 attempts; run it again \
         or list the registry",
        gateway.address()
    );
    assert_eq!(error.to_string(), expected);
}
