//! Which responses are a success or a "not found", and every text, whole.

use std::error::Error as _;

use ncloud_container_registry::{Client, Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, DATE, Gateway, NO_SUCH_IMAGE, response};
use crate::{builder, builder_at, client, in_parallel};

/// How a call of one attempt ends with a response, after which the connection is closed.
#[track_caller]
fn outcome(bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
    let gateway = Gateway::with(&[]);
    gateway.respond_and_close(bytes);
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    let outcome = client.delete_image("my-registry", "hello/world");
    gateway.assert_requests(1);
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
const PERMISSIONS: &str = "; check the API URL, and the account's permissions";
const NETWORK: &str = "; check the network, the proxy and the API URL";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
const SUBSCRIPTION: &str = r#"{"error":{"errorCode":"210","message":"Permission Denied","details":"A subscription to the API is required."}}"#;
const URL_UNKNOWN: &str = r#"{"error":{"errorCode":"300","details":"URL not found."}}"#;

/// Ends a call of one attempt with each response, and compares its text: `URL` and `HOST` are the
/// gateway's, `BODY` is the body. Our own words are fewer than 200 characters.
#[track_caller]
fn assert_texts(
    call: fn(&Client) -> Option<Error>,
    opening: &str,
    rows: impl IntoIterator<Item = (String, &'static str, String)>,
) {
    for (bytes, body, text) in rows {
        let gateway = Gateway::with(&[]);
        let (url, host) = (
            format!("from {}", gateway.url()),
            gateway.address().to_string(),
        );
        let words = text
            .replace("BODY", "")
            .replace("from URL", "")
            .replace(DATE, "");
        assert!(words.len() < 200, "{words}");
        let text = text
            .replace("BODY", body)
            .replace("from URL", &url)
            .replace("HOST", &host);
        let status = bytes.get(9..12).and_then(|status| status.parse().ok());
        gateway.respond_and_close(bytes);
        let error = call(&builder(&gateway).max_attempts(1).build().unwrap()).unwrap();
        assert_eq!(error.to_string(), format!("{opening}{text}"));
        assert_eq!((error.status(), error.attempts()), (status, 1));
        assert_eq!(error.body().unwrap_or_default(), body);
    }
}

fn not_found(body: &str) -> String {
    response("404 Not Found", "", body)
}

const HTML: &str = "<html> log in</html>";

/// Each text of a deletion whole, once: what became of the image, the cause, the response's body and
/// ID, and what to do.
#[rustfmt::skip] // one row a line
#[test]
fn display_tells_what_became_of_the_image_the_cause_and_what_to_do() {
    let dated = format!("Date: {DATE}\r\nx-ncp-trace-id: t-1\r\n");
    let plain = |status: &str| response(status, "", "");
    let moved = |to: &str| response("302 Found", &format!("Location: {to}\r\n"), "<a href=\"https://user:secret@example.com/\">");
    let clock = "check the keys, their permissions and subscription, the site (NCLOUD_SITE), and this machine's clock";
    let delete = |client: &Client| client.delete_image("my-registry", "hello/world").err();
    assert_texts(delete, "my-registry/hello/world ", [
        (plain("400 Bad Request"), "", "was not deleted: 400 Bad Request; check the registry, the image and the API URL".to_owned()),
        (response("401 Unauthorized", &dated, SUBSCRIPTION), SUBSCRIPTION, format!("was not deleted: 401 Unauthorized (access key ...abcd, service's clock {DATE}): BODY (trace id t-1); {clock}")),
        (response("403 Forbidden", "x-ncp-request-id: r-1\r\nRetry-After: 9\r\n", ""), "", "was not deleted: 403 Forbidden (trace id r-1); give the account permission for this registry".into()),
        (response("403 Forbidden", "x-ncp-request-id: r-1\r\nx-ncp-trace-id: t-1\r\n", HTML), HTML, format!("was not deleted: 403 Forbidden: BODY (trace id t-1){PROXY}")),
        (plain("409 Conflict"), "", "was not deleted: 409 Conflict; try again when nothing else is changing the image or the registry".into()),
        (response("429 Slow Down", "Retry-After: 0\r\n", ""), "", "was not deleted: 429 Too Many Requests; send fewer requests, or ask for a larger quota".into()),
        (response("429 Slow Down", "Retry-After: 3600\r\n", "{}"), "{}", "was not deleted: 429 Too Many Requests: BODY; wait 3600 s, as the service asks".into()),
        (response("503 Busy", "Retry-After: 3600\r\n", ""), "", format!("may have been deleted: 503 Service Unavailable; wait 3600 s, as the service asks{FIND_OUT}")),
        (plain("424 Failed Dependency"), "", format!("may have been deleted: 424 Failed Dependency{FIND_OUT}")),
        (plain("500 Internal Server Error"), "", format!("may have been deleted, or never existed: 500 Internal Server Error{FIND_OUT}")),
        (plain("408 Request Timeout"), "", format!("may have been deleted: 408 Request Timeout{NETWORK}{FIND_OUT}")),
        (moved("https://example.com/?next=/"), "", format!("may have been deleted: 302 Found to https://example.com/?next=/{PROXY}{FIND_OUT}")),
        (moved("https://user:secret@example.com/"), "", format!("may have been deleted: 302 Found{PROXY}{FIND_OUT}")),
        (response("200 OK", "", HTML), HTML, format!("may have been deleted: 200 OK: BODY{PROXY}{FIND_OUT}")),
        (response("200 OK", "", SUBSCRIPTION), SUBSCRIPTION, format!("may have been deleted: 200 OK: BODY{PERMISSIONS}{FIND_OUT}")),
        (response("200 OK", "Transfer-Encoding: gzip\r\n", ""), "", format!("may have been deleted: 200 OK, without a length{PROXY}{FIND_OUT}")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".into(), "{", format!("may have been deleted: 200 OK, truncated (Peer disconnected): BODY{NETWORK}{FIND_OUT}")),
        (plain("299 Odd"), "", format!("may have been deleted: 299 <unknown status code>{PROXY}{FIND_OUT}")),
        (not_found(NO_SUCH_IMAGE), NO_SUCH_IMAGE, "was not found: 404 Not Found from URL: BODY; check the names and the region".into()),
        (not_found(""), "", "was not found: 404 Not Found from URL, without a code of the service; check the names and the region".into()),
        (not_found(HTML), HTML, format!("was not deleted: 404 Not Found from URL, without a code of the service: BODY{PROXY}")),
        (not_found(URL_UNKNOWN), URL_UNKNOWN, format!("was not deleted: 404 Not Found from URL: BODY{PERMISSIONS}")),
        ("HTTP/1.1 404 Not Found\r\n\r\n{}".into(), "{}", format!("was not deleted: 404 Not Found from URL, without a length: BODY{PROXY}")),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{".into(), "{", format!("was not deleted: 404 Not Found from URL, truncated (Peer disconnected): BODY{NETWORK}")),
        (String::new(), "", format!("may have been deleted: no response from HOST: Peer disconnected{NETWORK}{FIND_OUT}")),
    ]);
}

/// Of a reading, what differs.
#[rustfmt::skip] // one row a line
#[test]
fn display_of_a_reading_tells_the_cause_and_what_to_do() {
    let opening = "cannot read \"repositories/r\": ";
    let list: &'static str = String::leak(format!("{{\"results\":[{}]}}", "x".repeat(1024 * 1024)));
    let shown: &'static str = String::leak(format!("{}…", &list[..300]));
    assert_texts(|client| client.get(&["repositories", "r"], &[]).err(), opening, [
        (response("503 Busy", "", ""), "", "503 Service Unavailable; run it again later".to_owned()),
        (response("500 Oops", "", ""), "", "500 Internal Server Error; run it again later".into()),
        (response("200 OK", "", HTML), HTML, format!("200 OK: BODY{PROXY}")),
        (response("200 OK", "", SUBSCRIPTION), SUBSCRIPTION, format!("200 OK: BODY{PERMISSIONS}")),
        (response("200 OK", "", list), shown, "200 OK, longer than 1 MiB: BODY; ask for a smaller page".into()),
        ("HTTP/1.1 200 OK\r\n\r\n{}".into(), "{}", format!("200 OK, without a length: BODY{PROXY}")),
        (not_found(NO_SUCH_IMAGE), NO_SUCH_IMAGE, "404 Not Found from URL: BODY; check the names and the region".into()),
        (not_found(""), "", format!("404 Not Found from URL, without a code of the service{PROXY}")),
        (not_found(URL_UNKNOWN), URL_UNKNOWN, format!("404 Not Found from URL: BODY{PERMISSIONS}")),
        (String::new(), "", format!("no response from HOST: Peer disconnected{NETWORK}")),
    ]);
}

#[test]
fn display_after_an_unknown_outcome_says_so_and_what_a_404_then_means() {
    let gateway = Gateway::with(&[]);
    let no_code = format!(
        "4 Not Found from {}, without a code of the service",
        gateway.url()
    );
    for (status, cause) in [
        ("403 Forbidden", "3 Forbidden"),
        ("404 Not Found", &*no_code),
    ] {
        gateway.respond(BUSY);
        gateway.respond(response(status, "", ""));
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        let start = format!("r/i may have been deleted: 40{cause}, after an attempt whose outcome");
        assert_eq!(
            error.to_string(),
            format!("{start} is unknown, 2 attempts{FIND_OUT}")
        );
        let words = error.to_string().replace(&gateway.url(), "").len() - "r/i".len();
        assert!(words < 200, "{error}: {words}");
        assert!(error.may_have_been_deleted());
    }
}

/// Each status with an empty body, all on one connection: what has no row is what its class is.
#[rustfmt::skip] // one row a line
#[test]
fn status_decides_kind_and_outcome() {
    use ErrorKind as K;
    let gateway = Gateway::with(&[]);
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    for status in (202..=203).chain(205..=299).chain(300..=599).chain([600, 999]) {
        gateway.respond(response(&format!("{status} Odd"), "", ""));
        let error = client.delete_image("r", "i").unwrap_err();
        let (kind, is_unknown) = match status {
            401 => (K::Unauthorized, false),
            403 => (K::Forbidden, false),
            404 => (K::NotFound, false), // of v2, without a code
            408 => (K::Timeout, true),
            409 => (K::Conflict, false),
            429 => (K::RateLimited, false),
            424 | 499 | 500..=599 => (K::Server, true),
            400..=499 => (K::BadRequest, false),
            _ => (K::UnexpectedResponse, true),
        };
        let told = (error.status(), error.kind(), error.may_have_been_deleted());
        assert_eq!(told, (Some(status), kind, is_unknown), "{error}");
        let is_transient = matches!(kind, K::Conflict | K::RateLimited | K::Server | K::Timeout);
        assert_eq!(error.is_transient(), is_transient, "{error}");
    }
    gateway.assert_connections(1);
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
    let unexpected = [
        // No confirmation.
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n ",
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
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
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    let lost = [
        // Truncated.
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
        "HTTP/1.1 204 No Content\r\nDate:",
        // No HTTP, or none that has one meaning.
        "0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", // after the rest of another response
        "deleted\n",                                // HTTP/0.9
        "\0\0\0\x04\0\0\0\0\0",                     // HTTP/2
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n",
    ];
    let unexpected = unexpected.map(|bytes| (bytes, ErrorKind::UnexpectedResponse));
    let lost = lost.map(|bytes| (bytes, ErrorKind::Transport));
    for (bytes, kind) in unexpected.into_iter().chain(lost) {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), kind, "{bytes}");
        assert!(error.may_have_been_deleted(), "{bytes}");
    }
}

/// What a call comes to: its value, or the kind of its error, whether the outcome is unknown, and how
/// many attempts were made.
type Told = Result<bool, (ErrorKind, bool, u32)>;

/// What is made of a 404 of an API by `delete_image`, by `delete_image_if_exists`, by the same after an
/// attempt whose outcome is unknown, and by `image_exists`.
#[track_caller]
fn assert_404(is_v3: bool, bytes: &str, expected: [Told; 4]) {
    let gateway = Gateway::with(&["r/i"]);
    let url = if is_v3 {
        gateway.url_v3()
    } else {
        gateway.url()
    };
    let calls: [fn(&Client) -> Result<bool, Error>; 4] = [
        |client| client.delete_image("r", "i").map(|()| true),
        |client| client.delete_image_if_exists("r", "i"),
        |client| client.delete_image_if_exists("r", "i"),
        |client| client.image_exists("r", "i"),
    ];
    let told = [0, 1, 2, 3].map(|call| {
        if call == 2 {
            gateway.respond(BUSY);
        }
        gateway.respond_and_close(bytes);
        // A client of its own, as a call might find a kept connection just before it closes.
        let told = calls[call](&builder_at(&url).build().unwrap());
        told.map_err(|error| {
            (
                error.kind(),
                error.may_have_been_deleted(),
                error.attempts(),
            )
        })
    });
    assert_eq!(told, expected, "v3: {is_v3}, {bytes}");
    assert_eq!(gateway.requests().len(), 5, "requests: {bytes}");
}

/// Bodies with a code of the service: all of them prove that there is no such image.
const WITH_CODE: [&str; 13] = [
    r#"{"error":{"errorCode":"404","message":"Not Found","details":"..."}}"#,
    r#"{"responseError":{"returnCode":"404","returnMessage":"..."}}"#,
    r#"{"returnCode":"404","returnMessage":"Not Found"}"#,
    r#"{"returnCode":404,"returnMessage":"Not Found"}"#,
    r#"{"error":{"message":"...","errorCode":404}}"#,
    r#"{"error":{"errorCode":"ResourceNotFound","fieldErrors":[]}}"#,
    " {\"error\" : { \"errorCode\"\r\n: 3000 } }\n",
    r#"{"error":{"errorCode":"1300"},"a":{"b":"}{"}}"#,
    r#"{"error":{"errorCode":"30"}}"#,
    r#"{"error":{"errorCode":"00"}}"#,
    r#"{"errorCode":-1}"#,
    // The first `errorCode` counts, and else a `returnCode`, but no text that looks like one.
    r#"{"error":{"errorCode":"404"},"returnCode":"300"}"#,
    r#"{"returnCode":"404","returnMessage":"\"errorCode\":\"300\""}"#,
];

/// An empty body, and objects without a code of the service, whoever sent them.
const WITHOUT_CODE: [&str; 21] = [
    "",
    "{}",
    "\r\n { } \r\n",
    r#"{"errorCode":null,"message":"no route"}"#,
    r#"{"errorCode":""}"#,
    r#"{"errorCode":" "}"#,
    r#"{"errorCode":false}"#,
    r#"{"errorCode":true}"#,
    r#"{"errorCode":[]}"#,
    r#"{"errorCode":[404]}"#,
    r#"{"errorCode":{"a":1}}"#,
    r#"{"errorCode":0}"#,
    r#"{"errorCode":"0"}"#,
    r#"{"returnCode":"0","returnMessage":"success"}"#,
    r#"{"errorCode":null,"returnCode":"404"}"#,
    r#"{"errorCode":"}"#,
    r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
    r#"{"message":"no Route matched with those values"}"#,
    r#"{"timestamp":"...","status":404,"error":"Not Found","path":"/"}"#,
    r#"{"code":300}"#,
    r#"{"message":"there is no \"errorCode\":\"404\" here","a":"errorCode"}"#,
];

/// Bodies that do not say that the image is missing: they prove nothing.
const OF_OTHERS: [&str; 13] = [
    r#"{"error":{"errorCode":"300","message":"Not Found Exception","details":"URL not found."}}"#,
    r#"{"error":{"errorCode":300}}"#,
    r#"{"responseError":{"returnCode":"300"}}"#,
    r#"{"returnCode" : 300 }"#,
    r#"{"error":{"errorCode":" 300 "}}"#,
    "default backend - 404",
    "404 page not found\n",
    "<html>\r\n<head><title>404 Not Found</title></head>\r\n</html>",
    " ",
    r#"[{"returnCode":"404"}]"#,
    r#""{\"errorCode\":1}""#,
    r#""{}""#,
    r#"{"errorCode":"404"}<html>"#,
];

/// 404s of which a part may be missing: their framing does not tell.
const INCOMPLETE: [&str; 7] = [
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.0 404 Not Found\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip\r\nContent-Length: 20\r\n\r\n{\"returnCode\":\"404\"}",
];

#[test]
fn delete_image_and_image_exists_judge_a_404_by_the_services_code() {
    use ErrorKind::{NotFound, UnexpectedResponse};
    let absent = [Err((NotFound, false, 1)), Ok(false), Ok(true), Ok(false)];
    let unexpected = Err((UnexpectedResponse, false, 1));
    let unknown = |kind| Err((kind, true, 2));
    // For a deletion by v2 alone, whose own 404 is not documented.
    let unproven = [absent[0], absent[1], unknown(NotFound), unexpected];
    let other = [
        unexpected,
        unexpected,
        unknown(UnexpectedResponse),
        unexpected,
    ];
    // What is read of it would be an object, but it has another end.
    let too_long = format!("{{\"errorCode\":1{}}} <html>", " ".repeat(1024 * 1024 - 15));
    let too_long = response("404 Not Found", "", &too_long);
    let whole = |body: &&str| response("404 Not Found", "", body);
    let chunked = |body: &str| {
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        ["chunked", "Chunked"].map(|coding| {
            format!("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: {coding}\r\n\r\n{chunk}")
        })
    };
    let http_1_0 = whole(&NO_SUCH_IMAGE).replace("HTTP/1.1", "HTTP/1.0");
    let with_code = WITH_CODE
        .iter()
        .map(whole)
        .chain(chunked(NO_SUCH_IMAGE))
        .chain([http_1_0]);
    let without_code = WITHOUT_CODE.iter().map(whole).chain(chunked("{}"));
    let others = OF_OTHERS.iter().map(whole).chain([too_long]);
    let others = others.chain(INCOMPLETE.map(str::to_owned));
    let rows = with_code
        .map(|bytes| (bytes, absent, absent))
        .chain(without_code.map(|bytes| (bytes, unproven, other)))
        .chain(others.map(|bytes| (bytes, other, other)));
    let rows: Vec<_> = rows
        .flat_map(|(bytes, v2, v3)| [(false, bytes.clone(), v2), (true, bytes, v3)])
        .collect();
    in_parallel(&rows, |(is_v3, bytes, expected)| {
        assert_404(*is_v3, bytes, *expected);
    });
}

/// Like any response that was lost on the way.
#[test]
fn delete_image_and_image_exists_try_again_after_a_truncated_404() {
    let rows = [
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"404\"}",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"returnCode\":\"404\"}\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ];
    in_parallel(&rows, |bytes| {
        let error = outcome(*bytes).unwrap_err();
        let told = (error.kind(), error.may_have_been_deleted());
        assert_eq!(told, (ErrorKind::Transport, false), "{bytes}");
        // The response of the deletion is lost, then a 404, and the next one is whole.
        for lost in [BUSY, ""] {
            let gateway = Gateway::with(&[]);
            for bytes in [lost, *bytes] {
                gateway.respond_and_close(bytes);
            }
            let client = client(&gateway);
            assert!(client.delete_image_if_exists("r", "i").unwrap(), "{bytes}");
            assert_eq!(gateway.requests().len(), 3, "requests: {bytes}");
        }
        let gateway = Gateway::with(&[]);
        gateway.respond_and_close(*bytes);
        assert!(!client(&gateway).image_exists("r", "i").unwrap(), "{bytes}");
        assert_eq!(gateway.requests().len(), 2, "requests: {bytes}");
    });
}

#[test]
fn body_is_shown_as_it_came_without_whitespace_at_its_ends() {
    #[rustfmt::skip] // one row a line
    let rows = [
        (ErrorKind::Forbidden, r#"{"error":{"errorCode":"230","message":"Not Allowed","details":"..."}}"#),
        (ErrorKind::Forbidden, "\r\n {\"returnMessage\" : \"한국 é 'x' \\u0041\" , \"returnCode\" : 230 } \n"),
        (ErrorKind::UnexpectedResponse, r#"{"returnCode":"230","returnMessage":"Not Al"#),
        (ErrorKind::UnexpectedResponse, "<html><body>403 Forbidden</body></html>\n"),
        (ErrorKind::UnexpectedResponse, " \n"),
    ];
    for (kind, body) in rows {
        let bytes = response("403 Forbidden", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        let shown = Some(body.trim()).filter(|body| !body.is_empty());
        assert_eq!(
            (error.kind(), error.body(), error.trace_id()),
            (kind, shown, Some("t-1"))
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
