//! What each answer of the service, or of something in its place, becomes.

use std::error::Error as _;

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Gateway, Then, answer};
use crate::{builder, client};

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
const NO_REDIRECT: &str = "redirects are not followed; check the API URL";
const NO_CONFIRMATION: &str =
    "the service confirms no deletion so; see whether a proxy or a login page answered";

#[test]
fn each_status_has_its_kind_and_its_advice() {
    use ErrorKind as K;
    let maybe = "; the image may be gone all the same: see whether it is still there";
    let refused = "check the registry, the image name and the API URL";
    for (status, kind, advice) in [
        ("400 Bad Request", K::BadRequest, refused),
        (
            "401 Unauthorized",
            K::Unauthorized,
            "check the access key, the secret key and this machine's clock",
        ),
        (
            "403 Forbidden",
            K::Forbidden,
            "give the account the permission to delete this image",
        ),
        ("404 Not Found", K::NotFound, NOT_FOUND),
        ("405 Method Not Allowed", K::BadRequest, refused),
        ("408 Request Timeout", K::Timeout, "try again"),
        (
            "409 Conflict",
            K::Conflict,
            "try again when nothing else changes the image",
        ),
        ("410 Gone", K::BadRequest, refused),
        ("414 URI Too Long", K::BadRequest, refused),
        (
            "429 Too Many Requests",
            K::RateLimited,
            "send fewer requests, or ask for a larger quota",
        ),
        (
            "500 Internal Server Error",
            K::Server,
            "try again later; the service is also known to answer so for an image that does not exist",
        ),
        ("502 Bad Gateway", K::Server, "try again later"),
        ("503 Service Unavailable", K::Server, "try again later"),
        ("504 Gateway Timeout", K::Server, "try again later"),
        ("599", K::Server, "try again later"),
        (
            "101 Switching Protocols",
            K::UnexpectedResponse,
            NO_CONFIRMATION,
        ),
        (
            "203 Non Authoritative Information",
            K::UnexpectedResponse,
            NO_CONFIRMATION,
        ),
        ("205 Reset Content", K::UnexpectedResponse, NO_CONFIRMATION),
        (
            "206 Partial Content",
            K::UnexpectedResponse,
            NO_CONFIRMATION,
        ),
        ("226 IM Used", K::UnexpectedResponse, NO_CONFIRMATION),
        ("300 Multiple Choices", K::UnexpectedResponse, NO_REDIRECT),
        ("304 Not Modified", K::UnexpectedResponse, NO_REDIRECT),
        ("302 Found", K::UnexpectedResponse, NO_REDIRECT),
        ("399", K::UnexpectedResponse, NO_REDIRECT),
        ("600", K::UnexpectedResponse, NO_CONFIRMATION),
        ("999", K::UnexpectedResponse, NO_CONFIRMATION),
    ] {
        let error = outcome(answer(status, "", "")).unwrap_err();
        let code: u16 = status[..3].parse().unwrap();
        assert_eq!((error.kind(), error.status()), (kind, Some(code)));
        assert_eq!(
            (error.code(), error.message(), error.trace_id()),
            (None, None, None)
        );
        let is_refused = (400..500).contains(&code);
        assert_eq!(error.may_have_taken_effect(), !is_refused, "{status}");
        let maybe = if is_refused { "" } else { maybe };
        let status = if status.len() == 3 {
            status
        } else {
            &error_status(&error)
        };
        let expected = format!(
            "cannot delete my-registry/hello/world: the answer was {status}: {advice}{maybe}"
        );
        assert_eq!(error.to_string(), expected);
    }
}

/// The status with its standard name, as the text has it.
fn error_status(error: &Error) -> String {
    let text = error.to_string();
    let (_, behind) = text.split_once("the answer was ").unwrap();
    let (status, _) = behind.split_once(": ").unwrap();
    assert!(status.len() > 4, "{text}");
    status.to_owned()
}

#[test]
fn success_is_204_or_an_empty_200_201_or_202() {
    for bytes in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 204 No Content\r\n\r\n",
    ] {
        outcome(bytes).unwrap_or_else(|error| panic!("{bytes}: {error}"));
    }
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n ",
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>log in</html>",
        "HTTP/1.0 200 OK\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n<html>",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedResponse, "{bytes}");
        assert!(error.may_have_taken_effect());
        assert!(error.to_string().contains(NO_CONFIRMATION), "{error}");
    }
}

#[test]
fn what_the_service_says_comes_out_of_every_shape() {
    for (body, code, message) in [
        (
            r#"{"error":{"errorCode":"300","message":"Not Found","details":"..."}}"#,
            Some("300"),
            Some("Not Found"),
        ),
        (
            r#"{"responseError":{"returnCode":"300","returnMessage":"Not Found"}}"#,
            Some("300"),
            Some("Not Found"),
        ),
        (
            r#"{"returnCode":"300","returnMessage":"Not Found"}"#,
            Some("300"),
            Some("Not Found"),
        ),
        (
            r#" {"returnMessage" : "Not\nFound" , "returnCode" : 300 } "#,
            Some("300"),
            Some("Not\\u{a}Found"),
        ),
        (r#"{"error":{"errorCode":300}}"#, Some("300"), None),
        (
            r#"{"error":{"message":"Not Found"}}"#,
            None,
            Some("Not Found"),
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
        (r#"{"error":"300"}"#, None, None),
        (r#"{"x":{"error":{"errorCode":"300"}}}"#, None, None),
        (r#"[{"returnCode":"300"}]"#, None, None),
        (r#"{"returnCode":"300""#, None, None),
        (r#"{"returnCode":"300"}}"#, None, None),
        ("<html><body>404 Not Found</body></html>", None, None),
        ("404 page not found\n", None, None),
        ("\u{0}\u{1}\u{2}", None, None),
        ("", None, None),
    ] {
        let bytes = answer("404 Not Found", "x-ncp-trace-id: t-1\r\n", body);
        let error = outcome(bytes).unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::NotFound, Some(404))
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
                "cannot delete my-registry/hello/world: the answer was 404 Not Found{said}, \
                 trace id t-1: {NOT_FOUND}"
            )
        );
    }
}

#[test]
fn a_body_that_is_cut_short_takes_nothing_from_the_status() {
    for bytes in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{\"returnCode\":\"300\"",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, None),
            "{bytes}"
        );
    }
    // What arrived whole counts, even if the end of the body is missing.
    let body = r#"{"returnCode":"300"}"#;
    let bytes = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{body}");
    assert_eq!(outcome(bytes).unwrap_err().code(), Some("300"));
}

#[test]
fn text_from_a_server_cannot_steer_a_terminal() {
    let body =
        "{\"returnCode\":\"\\u001b[2J\",\"returnMessage\":\"a\\nb\\u0007\\u202ec\u{9b}31m\"}";
    let bytes = answer("403 Forbidden", "x-ncp-trace-id: t\tt\r\n", body);
    let error = outcome(bytes).unwrap_err();
    assert_eq!(error.code(), Some("\\u{1b}[2J"));
    assert_eq!(error.message(), Some("a\\u{a}b\\u{7}\\u{202e}c\\u{9b}31m"));
    assert_eq!(error.trace_id(), Some("t\\u{9}t"));

    let mut binary =
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 26\r\nx-ncp-trace-id: \xff\xfe\r\n\r\n"
            .to_vec();
    binary.extend(b"{\"returnMessage\":\"\xff\x80 \xed\"} ");
    let error = outcome(binary).unwrap_err();
    assert_eq!(error.message(), Some("\u{fffd}\u{fffd} \u{fffd}"));
    assert_eq!(error.trace_id(), None);

    // 64 KiB are read: this body just fits, the next one is cut and so no JSON any more.
    let long = "x".repeat(64 * 1024 - r#"{"returnMessage":""}"#.len());
    let body = format!(r#"{{"returnMessage":"{long}"}}"#);
    let error = outcome(answer("403 Forbidden", "", &body)).unwrap_err();
    assert_eq!(error.message(), Some(&*format!("{}…", "x".repeat(256))));
    let body = format!(r#" {{"returnMessage":"{long}"}}"#);
    let error = outcome(answer("403 Forbidden", "", &body)).unwrap_err();
    assert_eq!(error.message(), None);
}

#[test]
fn an_image_that_is_not_there_is_no_error_if_so_wished() {
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
    let client = ncloud_container_registry::Client::builder(wrong.unwrap());
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
    let client = builder(&gateway)
        .api_url(&origin)
        .max_attempts(1)
        .build()
        .unwrap();
    let origin = origin.replace(crate::gateway::PREFIX, "");
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    assert!(!error.may_have_taken_effect());
    let text = error.to_string();
    let start = format!(
        "cannot delete r/i: {origin} cannot be reached: check the network and the API URL ("
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(
        error
            .source()
            .unwrap()
            .is::<ncloud_container_registry::ureq::Error>()
    );
}

#[test]
fn an_empty_body_that_only_the_connections_end_shows_is_no_success() {
    for bytes in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 201 Created\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let error = outcome(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport, "{bytes}");
        assert!(error.may_have_taken_effect());
    }
    // A service that answers so all the same has deleted, and a further attempt tells.
    let gateway = Gateway::start(|exchange| {
        let answer = exchange.serve();
        exchange.send(answer.replace("204 No Content", "200 OK"));
        Then::Close
    });
    gateway.put(&["r/i"]);
    client(&gateway).delete_image("r", "i").unwrap();
    assert_eq!(gateway.requests().len(), 2);
}
