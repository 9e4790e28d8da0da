//! What each answer of the service, or of something in its place, becomes.

use std::error::Error as _;

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Gateway, NO_SUCH_IMAGE, Then, answer};
use crate::{builder, builder_at, client, in_parallel};

/// How a call of one attempt ends when the answer is `bytes`, after which the connection is closed.
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
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(
            text.starts_with("cannot delete my-registry/hello/world: "),
            "{text}"
        );
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(error.attempts(), 1);
    }
    outcome
}

const NOT_FOUND: &str = "check the registry, the image name and the region";
const UNEXPECTED: &str = "check the API URL, and for a proxy or a login page";
const MAYBE: &str = "; the image may have been deleted anyway: check whether it still exists";

#[test]
fn each_status_has_its_kind_and_its_advice() {
    use ErrorKind as K;
    let names = "check the registry, the image name and the API URL";
    let keys = "check the access key, the secret key and this machine's clock";
    let permission = "give the account permission to delete images in this registry";
    let quota = "send fewer requests, or ask for a larger quota";
    let later = "try again later; a 500 can also mean that there is no such image";
    for (status, kind, advice) in [
        ("400 Bad Request", K::BadRequest, names),
        ("401 Unauthorized", K::Unauthorized, keys),
        ("403 Forbidden", K::Forbidden, permission),
        ("404 Not Found", K::NotFound, NOT_FOUND),
        ("405 Method Not Allowed", K::BadRequest, names),
        (
            "408 Request Timeout",
            K::Timeout,
            "try again, or allow more time",
        ),
        (
            "409 Conflict",
            K::Conflict,
            "try again when nothing else is changing the image",
        ),
        ("410 Gone", K::BadRequest, names),
        ("414 URI Too Long", K::BadRequest, names),
        ("429 Too Many Requests", K::RateLimited, quota),
        ("500 Internal Server Error", K::Server, later),
        ("502 Bad Gateway", K::Server, later),
        ("503 Service Unavailable", K::Server, later),
        ("504 Gateway Timeout", K::Server, later),
        ("599", K::Server, later),
        ("101 Switching Protocols", K::UnexpectedResponse, UNEXPECTED),
        ("202 Accepted", K::UnexpectedResponse, UNEXPECTED),
        (
            "203 Non Authoritative Information",
            K::UnexpectedResponse,
            UNEXPECTED,
        ),
        ("205 Reset Content", K::UnexpectedResponse, UNEXPECTED),
        ("206 Partial Content", K::UnexpectedResponse, UNEXPECTED),
        ("226 IM Used", K::UnexpectedResponse, UNEXPECTED),
        ("300 Multiple Choices", K::UnexpectedResponse, UNEXPECTED),
        ("304 Not Modified", K::UnexpectedResponse, UNEXPECTED),
        ("302 Found", K::UnexpectedResponse, UNEXPECTED),
        ("399", K::UnexpectedResponse, UNEXPECTED),
        ("600", K::UnexpectedResponse, UNEXPECTED),
        ("999", K::UnexpectedResponse, UNEXPECTED),
    ] {
        let error = outcome(answer(status, "", "")).unwrap_err();
        let code: u16 = status[..3].parse().unwrap();
        assert_eq!((error.kind(), error.status()), (kind, Some(code)));
        assert_eq!(
            (error.code(), error.message(), error.trace_id()),
            (None, None, None)
        );
        // A 408 may come from a proxy before a slow service.
        let did_nothing = (400..500).contains(&code) && code != 408;
        assert_eq!(error.may_have_taken_effect(), !did_nothing, "{status}");
        let maybe = if did_nothing { "" } else { MAYBE };
        let status = error_status(&error);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot delete my-registry/hello/world: the answer was {status}: {advice}{maybe}"
            )
        );
    }
}

/// The status with its standard name, as the text has it.
fn error_status(error: &Error) -> String {
    let text = error.to_string();
    let (_, after) = text.split_once("the answer was ").unwrap();
    let (status, _) = after.split_once(": ").unwrap();
    assert!(status.len() > 4, "{text}");
    status.to_owned()
}

#[test]
fn success_is_204_or_a_200_or_201_that_states_to_be_empty() {
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
        // Something else than a confirmation.
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
        assert!(error.may_have_taken_effect());
        assert!(error.to_string().contains(UNEXPECTED), "{error}");
    }
}

/// The 404s of the service itself: all of them prove that there is no such image.
const OF_THE_SERVICE: [&str; 9] = [
    NO_SUCH_IMAGE,
    r#"{"error":{"errorCode":"404","message":"Not Found","details":"..."}}"#,
    r#"{"returnCode":404,"returnMessage":"Not Found"}"#,
    r#" {"error" : { "errorCode" : 3000 } } "#,
    "{}",
    "\r\n { } \r\n",
    r#"{"a":"}{\\","b":"\"}\"","c":["{"]}"#,
    r#"{"message":"\"errorCode\":\"300\""}"#,
    r#"{"error":"errorCode","errorCode":null}"#,
];

/// 404s with a body that the service does not send, or not like this: they prove nothing.
const OF_OTHERS: [&str; 15] = [
    "default backend - 404",
    "404 page not found\n",
    "<html>\r\n<head><title>404 Not Found</title></head>\r\n</html>",
    " ",
    r#"{"error":{"errorCode":"300","message":"Not Found Exception","details":"URL not found."}}"#,
    r#"{"error":{"errorCode":300}}"#,
    r#"{"responseError":{"returnCode":"300"}}"#,
    r#"{"returnCode":300}"#,
    r#"{"errorCode":null,"error":{"errorCode":"300"}}"#,
    r#"{"error":{"errorCode":"404"},"responseError":{"returnCode":"300"}}"#,
    r#"{"error":{"errorCode":" 300 "}}"#,
    r#"[{"returnCode":"404"}]"#,
    r#""{}""#,
    "{not found}",
    "{} {}<html>",
];

/// 404s of which a part is missing, or may be.
const CUT: [&str; 10] = [
    "HTTP/1.1 404 Not Found\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"404\"}",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\n\r\n{\"responseError\":{\"returnCode\":\"404\"}",
    "HTTP/1.1 404 Not Found\r\n\r\n{\"responseError\":{\"returnMessage\":\"}}",
];

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

/// What both ways to delete make of an answer, after a doubt if there is `before`.
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

#[test]
fn only_the_services_404_ends_a_doubt() {
    let framings = |body: &str| {
        let length = body.len();
        [
            answer("404 Not Found", "", body),
            format!("HTTP/1.0 404 Not Found\r\n\r\n{body}"),
            format!(
                "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {length:x}\r\n{body}\r\n0\r\n\r\n"
            ),
        ]
    };
    let rows: Vec<_> = OF_THE_SERVICE
        .iter()
        .flat_map(|body| framings(body))
        .collect();
    in_parallel(&rows, |bytes| {
        let (deleted, existed) = both_outcomes(None, bytes);
        let error = deleted.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{bytes}");
        assert!(!error.may_have_taken_effect());
        assert!(!existed.unwrap());
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        deleted.unwrap_or_else(|error| panic!("{bytes}: {error}"));
        assert!(existed.unwrap());
    });
}

#[test]
fn an_empty_404_is_no_image_but_ends_no_doubt() {
    for bytes in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (deleted, existed) = both_outcomes(None, bytes);
        let error = deleted.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{bytes}");
        assert!(!error.may_have_taken_effect());
        assert!(!existed.unwrap());
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 2));
            assert!(error.may_have_taken_effect());
        }
    }
}

#[test]
fn a_404_that_is_not_the_services_proves_nothing() {
    let others = OF_OTHERS.map(|body| answer("404 Not Found", "", body));
    // What is read of it would be an object, but it has another end.
    let too_long = format!("{{}}{}<html>", " ".repeat(64 * 1024));
    let too_long = answer("404 Not Found", "", &too_long);
    let cut = CUT.map(str::to_owned);
    let rows: Vec<_> = others.into_iter().chain(cut).chain([too_long]).collect();
    in_parallel(&rows, |bytes| {
        let (deleted, existed) = both_outcomes(None, bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
            assert_eq!((error.status(), error.attempts()), (Some(404), 1));
            assert!(!error.may_have_taken_effect(), "{error}");
        }
        let (deleted, existed) = both_outcomes(Some(BUSY), bytes);
        for error in [deleted.unwrap_err(), existed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
            assert_eq!(error.attempts(), 2);
            assert!(error.may_have_taken_effect(), "{error}");
        }
    });
}

#[test]
fn what_the_service_says_comes_out_of_every_shape() {
    for (body, code, message) in [
        (
            r#"{"error":{"errorCode":"230","message":"Not Allowed","details":"..."}}"#,
            Some("230"),
            Some("Not Allowed"),
        ),
        (
            r#"{"responseError":{"returnCode":"230","returnMessage":"Not Allowed"}}"#,
            Some("230"),
            Some("Not Allowed"),
        ),
        (
            r#"{"returnCode":"230","returnMessage":"Not Allowed"}"#,
            Some("230"),
            Some("Not Allowed"),
        ),
        (
            r#" {"returnMessage" : "Not\nAllowed" , "returnCode" : 230 } "#,
            Some("230"),
            Some("Not\\nAllowed"),
        ),
        (r#"{"error":{"errorCode":230}}"#, Some("230"), None),
        (
            r#"{"error":{"message":"Not Allowed"}}"#,
            None,
            Some("Not Allowed"),
        ),
        (
            r#"{"message":"\"a\" \u0026 'b'"}"#,
            None,
            Some("\"a\" & 'b'"),
        ),
        (
            r#"{"error":{"errorCode":"","message":""},"returnCode":7}"#,
            Some("7"),
            None,
        ),
        (
            r#"{"error":{"errorCode":null,"message":["x"]}}"#,
            None,
            None,
        ),
        (r#"{"error":"230"}"#, None, None),
        // What arrived counts, even if the end is missing.
        (r#"{"returnCode":"230""#, Some("230"), None),
        (
            r#"{"returnCode":"230","returnMessage":"Not Al"#,
            Some("230"),
            Some("Not Al"),
        ),
        ("<html><body>403 Forbidden</body></html>", None, None),
        ("403 not allowed\n", None, None),
        ("\u{0}\u{1}\u{2}", None, None),
        ("", None, None),
    ] {
        let bytes = answer("403 Forbidden", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Forbidden, Some(403))
        );
        assert_eq!(error.trace_id(), Some("t-1"));
        assert_eq!(error.code(), code, "{body}");
        assert_eq!(error.message(), message, "{body}");
        let said = [
            message.map(|message| format!(", \"{message}\"")),
            code.map(|code| format!(", code {code}")),
        ];
        let said: String = said.into_iter().flatten().collect();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot delete my-registry/hello/world: the answer was 403 Forbidden{said}, \
                 trace id t-1: give the account permission to delete images in this registry"
            )
        );
    }
}

#[test]
fn a_body_that_is_cut_short_takes_nothing_from_another_status() {
    for bytes in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"230\"",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"returnCode\":\"230\"}",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Forbidden, Some("230")),
            "{bytes}"
        );
    }
}

#[test]
fn text_from_a_server_cannot_steer_a_terminal() {
    let body =
        "{\"returnCode\":\"\\u001b[2J\",\"returnMessage\":\"a\\nb\\u0007\\u202ec\u{9b}31m\"}";
    let bytes = answer("403 Forbidden", "x-ncp-trace-id: t\tt\r\n", body);
    let error = outcome(bytes).unwrap_err();
    assert_eq!(error.code(), Some("\\u{1b}[2J"));
    assert_eq!(error.message(), Some("a\\nb\\u{7}\\u{202e}c\\u{9b}31m"));
    assert_eq!(error.trace_id(), Some("t\\tt"));

    let mut binary =
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 26\r\nx-ncp-trace-id: \xff\xfe\r\n\r\n"
            .to_vec();
    binary.extend(b"{\"returnMessage\":\"\xff\x80 \xed\"} ");
    let error = outcome(binary).unwrap_err();
    assert_eq!(error.message(), Some("\u{fffd}\u{fffd} \u{fffd}"));
    assert_eq!(error.trace_id(), None);

    // At most 64 KiB are read: of this body, all but the last byte.
    let body = format!(
        r#"{{"a":"{}","returnCode":"1234"}}"#,
        "x".repeat(64 * 1024 - 27)
    );
    let error = outcome(answer("403 Forbidden", "", &body)).unwrap_err();
    assert_eq!(error.code(), Some("1234"));
    let body = format!("{{}}{}{body}", " ".repeat(64 * 1024));
    let error = outcome(answer("403 Forbidden", "", &body)).unwrap_err();
    assert_eq!(error.code(), None);
    let body = format!(r#"{{"returnMessage":"{}"}}"#, "x".repeat(70_000));
    let error = outcome(answer("403 Forbidden", "", &body)).unwrap_err();
    assert_eq!(error.message(), Some(&*format!("{}…", "x".repeat(256))));
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
fn a_wrong_key_is_refused_by_the_gateway() {
    let gateway = Gateway::with(&["r/i"]);
    let wrong = ncloud_container_registry::Credentials::new(crate::gateway::ACCESS_KEY, "wrong");
    let region = ncloud_container_registry::Region::Korea;
    let client = ncloud_container_registry::Client::builder(region, wrong.unwrap());
    let client = client.api_url(&gateway.url()).build().unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(
        error.to_string(),
        "cannot delete r/i: the answer was 401 Unauthorized, \"Authentication Failed\", code 200, \
         trace id trace-1: check the access key, the secret key and this machine's clock"
    );
    assert_eq!(gateway.images(), ["r/i"]);
}

#[test]
fn no_connection_is_a_transport_error_with_its_cause() {
    let gateway = Gateway::with(&[]);
    // All of 127.0.0.0/8 is loopback, and nothing listens at this address.
    let origin = gateway.url().replace("127.0.0.1", "127.0.0.77");
    let client = builder_at(&origin).max_attempts(1).build().unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    assert!(!error.may_have_taken_effect());
    let text = error.to_string();
    let start = format!("cannot delete r/i: no answer from {origin} (");
    assert!(text.starts_with(&start), "{text}");
    let end = "): check the network, the proxy, the API URL and root certificates";
    assert!(text.ends_with(end), "{text}");
    assert!(
        error
            .source()
            .unwrap()
            .is::<ncloud_container_registry::ureq::Error>()
    );
}
