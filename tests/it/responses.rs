//! Which responses are a success or a "not found", and every text, whole.

use std::error::Error as _;

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, DATE, Gateway, NO_SUCH_IMAGE, Then, response};
use crate::{builder, client, in_parallel};

/// How a call of one attempt ends with a response, after which the connection is closed.
#[track_caller]
fn outcome(bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
    outcome_at(&Gateway::with(&[]), bytes)
}

#[track_caller]
fn outcome_at(gateway: &Gateway, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
    let bytes = bytes.into();
    gateway.script(move |exchange| {
        exchange.send(bytes);
        Then::Close
    });
    let client = builder(gateway).max_attempts(1).build().unwrap();
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
const FIND_OUT: &str = "; run it again; if the service then finds no such image, it is gone";
const PROXY: &str = "; check the API URL, and whether a proxy responded instead";
const NETWORK: &str = "; check the network, the proxy and the API URL";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
const SUBSCRIPTION: &str = r#"{"error":{"errorCode":"210","message":"Permission Denied","details":"A subscription to the API is required."}}"#;
const URL_UNKNOWN: &str = r#"{"error":{"errorCode":"300","details":"URL not found."}}"#;

/// Each text of a call whole, once: what became of the image, the cause, how many attempts, the
/// response's body and ID, and what to do. `URL` and `HOST` are the gateway's. Our own words are
/// fewer than 200 characters.
#[rustfmt::skip] // one row a line
#[test]
fn display_tells_the_outcome_the_cause_and_what_to_do() {
    let dated = format!("Date: {DATE}\r\nx-ncp-trace-id: t-1\r\n");
    let plain = |status: &str| response(status, "", "");
    let not_found = |body: &str| response("404 Not Found", "", body);
    let moved = |to: &str| response("302 Found", &format!("Location: {to}\r\n"), "<a href=\"https://user:secret@example.com/\">");
    let clock = "check the keys, their permissions and subscription, the site (NCLOUD_SITE), and this machine's clock";
    let html = "<html>\n log in</html>";
    let rows = [
        (plain("400 Bad Request"), "", "was not deleted: 400 Bad Request; check the registry, the image and the API URL".to_owned()),
        (response("401 Unauthorized", &dated, SUBSCRIPTION), SUBSCRIPTION, format!("was not deleted: 401 Unauthorized (access key ...abcd, service's clock {DATE}): BODY (trace id t-1); {clock}")),
        (response("403 Forbidden", "x-ncp-request-id: r-1\r\nRetry-After: 9\r\n", ""), "", "was not deleted: 403 Forbidden (trace id r-1); give the account permission for this registry".into()),
        (response("403 Forbidden", "x-ncp-request-id: r-1\r\nx-ncp-trace-id: t-1\r\n", html), html, format!("was not deleted: 403 Forbidden: BODY (trace id t-1){PROXY}")),
        (plain("409 Conflict"), "", "was not deleted: 409 Conflict; try again when nothing else is changing the image".into()),
        (response("429 Slow Down", "Retry-After: 0\r\n", ""), "", "was not deleted: 429 Too Many Requests; send fewer requests, or ask for a larger quota".into()),
        (response("429 Slow Down", "Retry-After: 3600\r\n", "{}"), "{}", "was not deleted: 429 Too Many Requests: BODY; wait 3600 s, as the service asks".into()),
        (response("503 Busy", "Retry-After: 3600\r\n", ""), "", format!("may have been deleted: 503 Service Unavailable; wait 3600 s, as the service asks{FIND_OUT}")),
        (plain("500 Internal Server Error"), "", format!("may have been deleted, or never existed: 500 Internal Server Error{FIND_OUT}")),
        (plain("408 Request Timeout"), "", format!("may have been deleted: 408 Request Timeout{NETWORK}{FIND_OUT}")),
        (moved("https://example.com/?next=/"), "", format!("may have been deleted: 302 Found to https://example.com/?next=/{PROXY}{FIND_OUT}")),
        (moved("https://user:secret@example.com/"), "", format!("may have been deleted: 302 Found{PROXY}{FIND_OUT}")),
        (response("200 OK", "", html), html, format!("may have been deleted: 200 OK: BODY{PROXY}{FIND_OUT}")),
        (response("200 OK", "Transfer-Encoding: gzip\r\n", ""), "", format!("may have been deleted: 200 OK, incomplete or longer than 1 MiB{PROXY}{FIND_OUT}")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".into(), "{", format!("may have been deleted: 200 OK, truncated (Peer disconnected): BODY{NETWORK}{FIND_OUT}")),
        (plain("299 Odd"), "", format!("may have been deleted: 299 <unknown status code>{PROXY}{FIND_OUT}")),
        (not_found(NO_SUCH_IMAGE), NO_SUCH_IMAGE, "was not found: 404 Not Found from URL: BODY; check the names and the region".into()),
        (not_found(""), "", "was not found: 404 Not Found from URL, without a code of the service; check the names and the region".into()),
        (not_found(html), html, format!("was not deleted: 404 Not Found from URL, without a code of the service: BODY{PROXY}")),
        (not_found(URL_UNKNOWN), URL_UNKNOWN, "was not deleted: 404 Not Found from URL: BODY; check the API URL, and the account's permissions".into()),
        ("HTTP/1.1 404 Not Found\r\n\r\n{}".into(), "{}", format!("was not deleted: 404 Not Found from URL, incomplete or longer than 1 MiB: BODY{PROXY}")),
        (String::new(), "", format!("may have been deleted: no response from HOST: Peer disconnected{NETWORK}{FIND_OUT}")),
    ];
    for (bytes, body, text) in rows {
        let gateway = Gateway::with(&[]);
        let shown = body.replace('\n', "\\n");
        let words = text.replace("BODY", "").replace("URL:", ":").replace("HOST", "").replace(DATE, "");
        assert!(words.len() < 200, "{words}");
        let text = text.replace("BODY", &shown).replace("from URL", &format!("from {}", gateway.url()));
        let text = text.replace("HOST", &gateway.address().to_string());
        let error = outcome_at(&gateway, bytes.clone()).unwrap_err();
        assert_eq!(error.to_string(), format!("my-registry/hello/world {text}"));
        assert_eq!(error.status(), bytes.get(9..12).and_then(|status| status.parse().ok()));
        assert_eq!((error.attempts(), error.body().unwrap_or_default()), (1, &*shown));
        // Of a reading, the same, but nothing is unknown.
        gateway.script(move |exchange| { exchange.send(bytes); Then::Close });
        let client = builder(&gateway).max_attempts(1).build().unwrap();
        let read = client.image_exists("my-registry", "hello/world");
        let Err(read) = read else { continue };
        assert!(!read.may_have_been_deleted());
        let (_, cause) = text.split_once(": ").unwrap();
        let cause = cause.strip_suffix(FIND_OUT).unwrap_or(cause);
        let cause = cause.replace("; check the names and the region", PROXY);
        let later = if read.kind() == ErrorKind::Server { "; run it again later" } else { "" };
        assert_eq!(read.to_string(), format!("cannot read \"my-registry/hello/world\": {cause}{later}"));
    }
}

#[test]
fn display_after_an_unknown_outcome_says_so_and_what_a_404_then_means() {
    let gateway = Gateway::with(&[]);
    let start = "r/i may have been deleted: 40";
    let end = format!(", after an attempt whose outcome is unknown, 2 attempts{FIND_OUT}");
    for (bytes, cause) in [
        (response("403 Forbidden", "", ""), "3 Forbidden".to_owned()),
        (
            response("404 Not Found", "", ""),
            format!(
                "4 Not Found from {}, without a code of the service",
                gateway.url()
            ),
        ),
    ] {
        gateway.respond(BUSY);
        gateway.respond(bytes);
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        assert_eq!(error.to_string(), format!("{start}{cause}{end}"));
        let words = error.to_string().replace(&gateway.url(), "").len() - "r/i".len();
        assert!(words < 200, "{error}: {words}");
        assert!(error.may_have_been_deleted());
    }
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
        let kinds = [ErrorKind::UnexpectedResponse, ErrorKind::Transport];
        assert!(kinds.contains(&error.kind()), "{bytes}");
        assert!(error.may_have_been_deleted(), "{bytes}");
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

/// An empty body, and objects in which the platform's codes do not stand, whoever sent them.
const OF_A_GATEWAY: [&str; 7] = [
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

/// What is made of a 404: by a deletion, by one that treats a missing image as no error, by the same
/// after an unknown outcome, and by a reading.
#[track_caller]
fn assert_404(bytes: &str, expected: [Result<bool, (ErrorKind, bool)>; 4]) {
    let gateway = Gateway::with(&["r/i"]);
    let queue = || {
        let bytes = bytes.to_owned();
        gateway.script(move |exchange| {
            exchange.send(bytes);
            Then::Close
        });
    };
    // Clients of their own, as a call might find a kept connection just before it closes.
    queue();
    let deleted = client(&gateway).delete_image("r", "i").map(|()| true);
    queue();
    let existed = client(&gateway).delete_image_if_exists("r", "i");
    gateway.respond(BUSY);
    queue();
    let after_unknown = client(&gateway).delete_image_if_exists("r", "i");
    queue();
    let read = client(&gateway).image_exists("r", "i");
    assert_eq!(gateway.requests().len(), 5, "{bytes}");
    let found = [deleted, existed, after_unknown, read]
        .map(|outcome| outcome.map_err(|error| (error.kind(), error.may_have_been_deleted())));
    assert_eq!(found, expected, "{bytes}");
}

#[test]
fn delete_image_and_image_exists_take_the_services_404_as_proof() {
    let rows: Vec<_> = OF_THE_SERVICE.into_iter().flat_map(framings).collect();
    let not_found = Err((ErrorKind::NotFound, false));
    in_parallel(&rows, |row| {
        assert_404(row, [not_found, Ok(false), Ok(true), Ok(false)]);
    });
}

#[test]
fn delete_image_takes_a_404_without_a_code_as_absence_but_not_as_proof() {
    let rows: Vec<_> = OF_A_GATEWAY.into_iter().flat_map(framings).collect();
    let not_found = Err((ErrorKind::NotFound, false));
    let unknown = Err((ErrorKind::NotFound, true));
    let unexpected = Err((ErrorKind::UnexpectedResponse, false));
    in_parallel(&rows, |row| {
        assert_404(row, [not_found, Ok(false), unknown, unexpected]);
    });
}

#[test]
fn delete_image_takes_no_other_404_for_the_services() {
    // What is read of it would be an object, but it has another end.
    let too_long = format!("{{\"errorCode\":1{}}} <html>", " ".repeat(1024 * 1024 - 15));
    let others = OF_OTHERS.into_iter().chain([&*too_long]);
    let others = others.map(|body| response("404 Not Found", "", body));
    let rows: Vec<_> = others.chain(TRUNCATED.map(str::to_owned)).collect();
    let unexpected = Err((ErrorKind::UnexpectedResponse, false));
    let unknown = Err((ErrorKind::UnexpectedResponse, true));
    in_parallel(&rows, |row| {
        assert_404(row, [unexpected, unexpected, unknown, unexpected]);
    });
}

#[test]
fn body_is_shown_as_it_came() {
    #[rustfmt::skip] // one row a line
    let rows = [
        (ErrorKind::Forbidden, r#"{"error":{"errorCode":"230","message":"Not Allowed","details":"..."}}"#),
        (ErrorKind::Forbidden, r#" {"returnMessage" : "한국 é 'x' \u0041" , "returnCode" : 230 } "#),
        (ErrorKind::UnexpectedResponse, r#"{"returnCode":"230","returnMessage":"Not Al"#),
        (ErrorKind::UnexpectedResponse, "<html><body>403 Forbidden</body></html>"),
        (ErrorKind::UnexpectedResponse, " "),
    ];
    for (kind, body) in rows {
        let bytes = response("403 Forbidden", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        assert_eq!(
            (error.kind(), error.body(), error.trace_id()),
            (kind, Some(body), Some("t-1"))
        );
    }
    // Of a long one, the start.
    let page = "x".repeat(301);
    let error = outcome(response("403 Forbidden", "", &page)).unwrap_err();
    assert_eq!(error.body(), Some(&*format!("{}…", &page[..300])));
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
    let headers = "x-ncp-trace-id: t\tt\r\nDate: a\u{202e}b\r\n";
    let body = "a\n\u{7}\u{202e}c\u{9b}31m\u{1b}[2J";
    let error = outcome(response("401 No", headers, body)).unwrap_err();
    let escaped = "a\\n\\u{7}\\u{202e}c\\u{9b}31m\\u{1b}[2J";
    assert_eq!(
        (error.body(), error.trace_id()),
        (Some(escaped), Some("t\\tt"))
    );
    let shown = format!("clock a\\u{{202e}}b): {escaped} (trace id t\\tt)");
    assert!(error.to_string().contains(&shown), "{error}");
    // What is not UTF-8.
    let head = b"HTTP/1.1 302 No\r\nContent-Length: 0\r\nLocation: \xff\r\n\r\n";
    let error = outcome(&head[..]).unwrap_err();
    assert!(error.to_string().contains(" to \u{fffd}; "), "{error}");
    let head = b"HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\n\xff\x80 \xed.";
    let error = outcome(&head[..]).unwrap_err();
    assert_eq!(error.body(), Some("\u{fffd}\u{fffd} \u{fffd}."));
}

#[test]
fn display_of_the_access_key_shows_its_end_alone() {
    let body = format!("{{\"message\":\"no {ACCESS_KEY} here\"}}");
    let headers = ["x-ncp-trace-id", "Date", "Location"];
    let headers = headers
        .map(|name| format!("{name}: /{ACCESS_KEY}\r\n"))
        .concat();
    for (status, shown) in [
        ("401 Unauthorized", Some(r#"{"message":"no ...abcd here"}"#)),
        ("302 Found", None),
    ] {
        let error = outcome(response(status, &headers, &body)).unwrap_err();
        assert_eq!((error.body(), error.trace_id()), (shown, Some("/...abcd")));
        assert!(!error.to_string().contains(ACCESS_KEY), "{error}");
    }
}
