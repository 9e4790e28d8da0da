//! Which responses are a success or a "not found", and every text, whole.

use std::error::Error as _;

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, DATE, Gateway, NO_SUCH_IMAGE, Then, response};
use crate::{builder, client, in_parallel};

/// How a call of one attempt ends with a response, after which the connection is closed.
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
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(format!("{error:?}"), text);
        assert!(error.source().is_none(), "the line holds the cause");
        error
    })
}

/// What every text about an unknown outcome ends in.
pub const FIND_OUT: &str = "; run it again, or look whether it still exists";
const UNEXPECTED: &str =
    "; check the API URL with its path, and whether a proxy or a login page responded instead";
pub const NETWORK: &str = "; check the network, the proxy and the API URL";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
const SUBSCRIPTION: &str = r#"{"error":{"errorCode":"210","message":"Permission Denied","details":"A subscription to the API is required."}}"#;

/// Each text whole, once: other tests look for a part of one.
#[test]
fn display_tells_the_outcome_the_cause_and_what_to_do() {
    let dated = format!("Date: {DATE}\r\nx-ncp-trace-id: t-1\r\n");
    let later = "Retry-After: 3600\r\n";
    let names = "; check the registry, the image and the API URL";
    for (status, headers, body, text) in [
        ("400 Bad Request", "", "", format!("was not deleted: 400 Bad Request{names}")),
        (
            "401 Unauthorized",
            &*dated,
            SUBSCRIPTION,
            format!(
                "was not deleted: 401 Unauthorized (access key ...abcd, the service's clock: \
                 {DATE}): {SUBSCRIPTION} (trace id t-1); check the keys, their permissions and \
                 subscription, the site (NCLOUD_SITE), and this machine's clock"
            ),
        ),
        (
            "403 Forbidden",
            "x-ncp-apigw-response-origin: ENDPOINT\r\nx-ncp-trace-id: t-1\r\nRetry-After: 9\r\n",
            "",
            "was not deleted: 403 Forbidden (trace id t-1) (origin ENDPOINT); give the account \
             permission for this registry"
                .to_owned(),
        ),
        (
            "409 Conflict",
            "x-ncp-apigw-response-origin: APIGW\r\n",
            "",
            "was not deleted: 409 Conflict (origin APIGW); try again when nothing else is changing \
             the image"
                .to_owned(),
        ),
        (
            "429 Too Many Requests",
            "Retry-After: 0\r\n",
            "",
            "was not deleted: 429 Too Many Requests; send fewer requests, or ask for a larger quota"
                .to_owned(),
        ),
        (
            "429 Too Many Requests",
            later,
            "{}",
            "was not deleted: 429 Too Many Requests: {}; wait 3600 s, as the service asks".to_owned(),
        ),
        (
            "503 Service Unavailable",
            later,
            "",
            format!(
                "may have been deleted: 503 Service Unavailable; wait 3600 s, as the service \
                 asks{FIND_OUT}"
            ),
        ),
        (
            "500 Internal Server Error",
            "",
            "",
            format!(
                "may have been deleted, or never existed: 500 Internal Server Error{FIND_OUT}"
            ),
        ),
        (
            "408 Request Timeout",
            "",
            "",
            format!("may have been deleted: 408 Request Timeout{NETWORK}{FIND_OUT}"),
        ),
        (
            "302 Found",
            "Location: https://login.example.com/?next=/\r\n",
            "",
            format!(
                "may have been deleted: 302 Found to https://login.example.com/?next=/{UNEXPECTED}\
                 {FIND_OUT}"
            ),
        ),
        (
            "302 Found",
            "Location: https://user:secret@login.example.com/\r\n",
            "<a href=\"https://user:secret@login.example.com/\">",
            format!("may have been deleted: 302 Found{UNEXPECTED}{FIND_OUT}"),
        ),
        (
            "200 OK",
            "",
            "<html>\n log in</html>",
            format!(
                "may have been deleted: 200 OK: <html>\\n log in</html>{UNEXPECTED}{FIND_OUT}"
            ),
        ),
        (
            "200 OK",
            "Transfer-Encoding: gzip\r\n",
            "",
            format!("may have been deleted: 200 OK, of unknown length{UNEXPECTED}{FIND_OUT}"),
        ),
        ("299 Odd", "", "", format!("may have been deleted: 299 <unknown status code>{UNEXPECTED}{FIND_OUT}")),
    ] {
        let error = outcome(response(status, headers, body)).unwrap_err();
        assert_eq!(error.to_string(), format!("my-registry/hello/world {text}"));
        assert_eq!(error.status(), status[..3].parse().ok());
        assert_eq!(error.attempts(), 1);
    }
}

#[test]
fn display_of_a_404_says_where_it_comes_from() {
    const URL_UNKNOWN: &str = r#"{"error":{"errorCode":"300","details":"URL not found."}}"#;
    let gateway = Gateway::with(&[]);
    let names = "; check the registry, the image and the region";
    for (body, opening, advice) in [
        (NO_SUCH_IMAGE, "was not found", names),
        ("<html>", "was not deleted", UNEXPECTED),
        (
            URL_UNKNOWN,
            "was not deleted",
            "; check the API URL with its path, and the account's permissions",
        ),
    ] {
        gateway.respond(response("404 Not Found", "", body));
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        let expected = format!(
            "r/i {opening}: 404 Not Found from {}: {body}{advice}",
            gateway.url()
        );
        assert_eq!(error.to_string(), expected);
    }
    gateway.script(|exchange| {
        exchange.send("HTTP/1.1 404 Not Found\r\n\r\n{}");
        Then::Close
    });
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    let url = gateway.url();
    let expected = format!(
        "r/i was not deleted: 404 Not Found from {url}, of unknown length: {{}}{UNEXPECTED}"
    );
    assert_eq!(error.to_string(), expected);
    // After an unknown outcome, the kind's own advice comes first.
    gateway.respond(BUSY);
    gateway.respond(response("404 Not Found", "", ""));
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    let expected = format!(
        "r/i may have been deleted: 404 Not Found from {}, after an attempt whose outcome is unknown, \
         2 attempts{names}{FIND_OUT}",
        gateway.url()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn delete_image_succeeds_with_204_or_a_200_or_201_of_length_0() {
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
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>log in</html>",
        "HTTP/1.0 200 OK\r\n\r\n\r\n",
        // Empty, but perhaps truncated by the end of the connection.
        "HTTP/1.0 201 Created\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{e9}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \u{e9}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // Truncated.
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
        assert!(error.may_have_been_deleted(), "{bytes}");
    }
}

/// 404s of the platform itself: all of them prove that there is no such image.
pub const OF_THE_SERVICE: [&str; 8] = [
    NO_SUCH_IMAGE,
    r#"{"error":{"errorCode":"404","message":"Not Found","details":"..."}}"#,
    r#"{"returnCode":404,"returnMessage":"Not Found"}"#,
    r#"{"responseError":{"returnCode":"","returnMessage":""}}"#,
    " {\"error\" : { \"errorCode\"\r\n: 3000 } }\n",
    r#"{"error":{"errorCode":"1300"},"a":{"b":"}{"}}"#,
    r#"{"error":{"errorCode":"30"}}"#,
    r#"{"returnCode":"404","returnMessage":"\"errorCode\":\"300\""}"#,
];

/// An empty body, and objects in which the platform's codes do not stand, whoever sent them.
pub const OF_A_GATEWAY: [&str; 7] = [
    "",
    "{}",
    "\r\n { } \r\n",
    r#"{"message":"no Route matched with those values"}"#,
    r#"{"timestamp":"...","status":404,"error":"Not Found","path":"/"}"#,
    r#"{"code":300}"#,
    r#"{"message":"there is no \"errorCode\":\"404\" here"}"#,
];

/// 404s that do not say that the image is missing: they prove nothing.
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
const TRUNCATED: [&str; 12] = [
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

/// The ways to send the body of a 404 that show its end.
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
        response("404 Not Found", "", body),
        format!("HTTP/1.0 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}"),
        chunked("chunked"),
        chunked("Chunked"),
    ]
}

/// What the two ways to delete make of each 404: on its own, and after an unknown outcome.
#[track_caller]
fn assert_404s(
    rows: &[String],
    assert_alone: impl Fn(Result<(), Error>, Result<bool, Error>, &str) + Sync,
    assert_after_unknown: impl Fn(Result<(), Error>, Result<bool, Error>, &str) + Sync,
) {
    in_parallel(rows, |bytes| {
        let gateway = Gateway::with(&["r/i"]);
        let queue = |is_after_unknown: bool| {
            if is_after_unknown {
                gateway.respond(BUSY);
            }
            let bytes = bytes.clone();
            gateway.script(move |exchange| {
                exchange.send(bytes);
                Then::Close
            });
        };
        // Clients of their own, as a call might find a kept connection just before it closes.
        let delete = |is_after_unknown| {
            queue(is_after_unknown);
            let deleted = client(&gateway).delete_image("r", "i");
            queue(is_after_unknown);
            (deleted, client(&gateway).delete_image_if_exists("r", "i"))
        };
        let (deleted, existed) = delete(false);
        assert_alone(deleted, existed, bytes);
        let (deleted, existed) = delete(true);
        assert_after_unknown(deleted, existed, bytes);
        assert_eq!(gateway.requests().len(), 6, "{bytes}");
    });
}

#[track_caller]
fn assert_not_found(deleted: Result<(), Error>, existed: Result<bool, Error>, bytes: &str) {
    let error = deleted.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{bytes}");
    assert!(!error.may_have_been_deleted(), "{bytes}");
    assert_eq!(existed.ok(), Some(false), "{bytes}");
}

#[track_caller]
fn assert_both(
    (deleted, existed): (Result<(), Error>, Result<bool, Error>),
    kind: ErrorKind,
    is_unknown: bool,
    bytes: &str,
) {
    for error in [deleted.unwrap_err(), existed.unwrap_err()] {
        assert_eq!((error.kind(), error.status()), (kind, Some(404)), "{bytes}");
        assert_eq!(error.may_have_been_deleted(), is_unknown, "{bytes}");
    }
}

#[test]
fn delete_image_if_exists_takes_the_services_404_as_proof() {
    let rows: Vec<_> = OF_THE_SERVICE.into_iter().flat_map(framings).collect();
    assert_404s(&rows, assert_not_found, |deleted, existed, bytes| {
        deleted.unwrap_or_else(|error| panic!("{bytes}: {error}"));
        assert!(existed.unwrap(), "{bytes}");
    });
}

#[test]
fn delete_image_if_exists_takes_a_gateways_404_as_absence_but_not_as_proof() {
    let rows: Vec<_> = OF_A_GATEWAY.into_iter().flat_map(framings).collect();
    assert_404s(&rows, assert_not_found, |deleted, existed, bytes| {
        assert_both((deleted, existed), ErrorKind::NotFound, true, bytes);
    });
}

#[test]
fn delete_image_if_exists_takes_no_other_404_for_the_services() {
    let others = OF_OTHERS.map(|body| response("404 Not Found", "", body));
    // What is read of it would be an object, but it has another end.
    let too_long = format!("{{\"errorCode\":1{}}} <html>", " ".repeat(1024 * 1024 - 15));
    let too_long = response("404 Not Found", "", &too_long);
    let truncated = TRUNCATED.map(str::to_owned);
    let rows: Vec<_> = others
        .into_iter()
        .chain(truncated)
        .chain([too_long])
        .collect();
    let kind = ErrorKind::UnexpectedResponse;
    assert_404s(
        &rows,
        |deleted, existed, bytes| assert_both((deleted, existed), kind, false, bytes),
        |deleted, existed, bytes| assert_both((deleted, existed), kind, true, bytes),
    );
}

#[test]
fn body_is_shown_as_it_came() {
    for body in [
        r#"{"error":{"errorCode":"230","message":"Not Allowed","details":"..."}}"#,
        r#" {"returnMessage" : "한국 é 'x' \u0041" , "returnCode" : 230 } "#,
        r#"{"returnCode":"230","returnMessage":"Not Al"#,
        "<html><body>403 Forbidden</body></html>",
        " ",
    ] {
        let bytes = response("403 Forbidden", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        assert_eq!((error.body(), error.trace_id()), (Some(body), Some("t-1")));
        let shown = format!(": 403 Forbidden: {body} (trace id t-1); ");
        assert!(error.to_string().contains(&shown), "{error}");
    }
    // What of it is missing takes nothing from the status.
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
fn display_of_server_text_cannot_steer_a_terminal() {
    let headers =
        "x-ncp-trace-id: t\tt\r\nDate: a\u{202e}b\r\nx-ncp-apigw-response-origin: a\u{202e}\r\n";
    let body = "a\n\u{7}\u{202e}c\u{9b}31m\u{1b}[2J";
    let error = outcome(response("401 No", headers, body)).unwrap_err();
    let escaped = "a\\n\\u{7}\\u{202e}c\\u{9b}31m\\u{1b}[2J";
    assert_eq!(error.body(), Some(escaped));
    assert_eq!(error.trace_id(), Some("t\\tt"));
    let shown = format!("clock: a\\u{{202e}}b): {escaped} (trace id t\\tt) (origin a\\u{{202e}})");
    assert!(error.to_string().contains(&shown), "{error}");

    let head = b"HTTP/1.1 302 No\r\nContent-Length: 5\r\nLocation: \xff\r\n\r\n";
    let error = outcome([&head[..], b"\xff\x80 \xed."].concat()).unwrap_err();
    assert_eq!(error.body(), Some("\u{fffd}\u{fffd} \u{fffd}."));
    assert!(error.to_string().contains(" to \u{fffd}: "), "{error}");
}

#[test]
fn display_of_the_access_key_shows_its_end_alone() {
    let body = format!("{{\"message\":\"no {ACCESS_KEY} here\"}}");
    let headers = [
        "x-ncp-trace-id",
        "Date",
        "x-ncp-apigw-response-origin",
        "Location",
    ];
    let headers = headers
        .map(|name| format!("{name}: /{ACCESS_KEY}\r\n"))
        .concat();
    for status in ["401 Unauthorized", "302 Found"] {
        let error = outcome(response(status, &headers, &body)).unwrap_err();
        assert_eq!(error.body(), Some(r#"{"message":"no ...abcd here"}"#));
        assert_eq!(error.trace_id(), Some("/...abcd"));
        assert!(!error.to_string().contains(ACCESS_KEY), "{error}");
    }
}
