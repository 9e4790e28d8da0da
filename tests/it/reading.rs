//! What `Client::get` and `Client::image_exists` take for an answer.

use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Gateway, NO_SUCH_IMAGE, Request, Then, response};
use crate::{builder, builder_at, client, credentials, in_parallel};

const IMAGE: [&str; 3] = ["repositories", "r", "hello/world"];

/// How reading the details of an image ends with a response, after which the connection is closed.
fn outcome(bytes: impl Into<Vec<u8>>) -> Result<String, Error> {
    let gateway = Gateway::with(&[]);
    gateway.respond_and_close(bytes);
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    client.get(&IMAGE, &[])
}

#[test]
fn get_reads_lists_and_details() {
    let gateway = Gateway::with(&["r/hello/moon", "r/hello/world"]);
    let client = client(&gateway);
    let query = [("page", "2"), ("pagesize", "1"), ("a&b", "한 =")];
    let page = client.get(&["repositories", "r"], &query).unwrap();
    let details = r#"{"name":"hello/world","namespace":"r","last_updated":1700000000000}"#;
    let expected = format!(r#"{{"count":2,"next":null,"previous":null,"results":[{details}]}}"#);
    assert_eq!(page, expected);
    assert_eq!(client.get(&IMAGE, &[]).unwrap(), details);
    client.get(&["A-z_0.~:", "b"], &[]).unwrap_err();
    let requests = gateway.requests();
    let lines: Vec<_> = requests.iter().map(Request::line).collect();
    let at = "GET /ncr/api/v2";
    let query = "page=2&pagesize=1&a%26b=%ED%95%9C%20%3D";
    assert_eq!(
        lines,
        [
            format!("{at}/repositories/r?{query} HTTP/1.1"),
            format!("{at}/repositories/r/hello%2Fworld HTTP/1.1"),
            format!("{at}/A-z_0.~%3A/b HTTP/1.1"),
        ]
    );
    gateway.assert_connections(1);
}

/// The request target is signed as it is sent, with its query.
#[test]
fn get_signs_its_query() {
    let gateway = Gateway::with(&["r/a"]);
    let page = client(&gateway).get(&["repositories", "r"], &[("page", "1"), ("a b", "&")]);
    let request = gateway.requests().remove(0);
    let timestamp = request.header("x-ncp-apigw-timestamp").concat();
    let target = "/ncr/api/v2/repositories/r?page=1&a%20b=%26";
    let expected = credentials().sign("GET", target, timestamp.parse().unwrap());
    let signature = request.header("x-ncp-apigw-signature-v2");
    assert_eq!((request.target(), signature), (target, vec![&*expected]));
    page.unwrap();
}

/// As the documentation of `may_have_been_deleted` shows it.
#[test]
fn image_exists_settles_what_may_have_been_deleted() {
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
        let exists = client.image_exists("r", "hello/world").unwrap();
        assert_eq!(exists, !is_gone);
    }
}

#[test]
fn get_returns_a_complete_object_of_a_200_alone() {
    for body in [
        "{}",
        " {\"a\":\r\n\"한국\\n\"} \n",
        // No errors of the service.
        r#"{"count":1,"results":[{"name":"a","errorCode":"404"}]}"#,
        r#"{"returnCode":"0","returnMessage":"success","results":[]}"#,
        r#"{"error":null,"results":[]}"#,
    ] {
        assert_eq!(outcome(response("200 OK", "", body)).unwrap(), body);
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(outcome(chunked).unwrap(), body);
    }
    let fill = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    let longest = fill(1024 * 1024);
    assert_eq!(outcome(response("200 OK", "", &longest)).unwrap(), longest);
    use ErrorKind::{Transport, UnexpectedResponse};
    #[rustfmt::skip] // one row a line
    let rows = [
        (UnexpectedResponse, response("200 OK", "", "<html>log in</html>")),
        (UnexpectedResponse, response("200 OK", "", "[{}]")),
        (UnexpectedResponse, response("200 OK", "", "")),
        // Errors of the service.
        (UnexpectedResponse, response("200 OK", "", r#"{"error":{"errorCode":"200","message":"Authentication Failed"}}"#)),
        (UnexpectedResponse, response("200 OK", "", r#" { "responseError":{"returnCode":"404"}}"#)),
        (UnexpectedResponse, response("200 OK", "", r#"{"errorCode":300}"#)),
        (UnexpectedResponse, response("200 OK", "", r#"{"returnCode":"500","returnMessage":"..."}"#)),
        (UnexpectedResponse, response("201 Created", "", "{}")),
        (UnexpectedResponse, response("203 Odd", "", "{}")),
        (UnexpectedResponse, response("206 Partial Content", "", "{}")),
        (UnexpectedResponse, "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        (UnexpectedResponse, response("302 Found", "Location: /\r\n", "{}")),
        (UnexpectedResponse, response("200 OK", "", &fill(1024 * 1024 + 1))),
        (UnexpectedResponse, "HTTP/1.1 200 OK\r\n\r\n{}".to_owned()),
        (UnexpectedResponse, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}".to_owned()),
        (UnexpectedResponse, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}".to_owned()),
        (Transport, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}".to_owned()),
        (Transport, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n".to_owned()),
    ];
    for (kind, bytes) in rows {
        let error = outcome(bytes.clone()).unwrap_err();
        let shown = &bytes[..bytes.len().min(200)];
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(!error.may_have_been_deleted(), "{shown}");
    }
}

/// As both versions of the API document an image.
#[test]
fn image_exists_is_true_for_an_object_with_a_name_alone() {
    for (body, exists) in [
        (r#"{"name":"hello/world","pull_count":0}"#, true),
        ("{\"id\":1,\r\n \"name\" : \"hello/world\"}", true),
        ("{}", false),
        (r#"{"login":"required"}"#, false),
        (r#"{"status":404,"error":"Not Found"}"#, false),
        (r#"{"a":"name","b":"\"name\""}"#, false),
        (r#"{"names":[]}"#, false),
    ] {
        let gateway = Gateway::with(&[]);
        for api_url in [gateway.url(), gateway.url_v3()] {
            let client = builder_at(&api_url).build().unwrap();
            gateway.respond(response("200 OK", "", body));
            match client.image_exists("r", "hello/world") {
                Ok(told) => assert!(told && exists, "{body}"),
                Err(error) => {
                    assert!(!exists, "{body}: {error}");
                    let told = (error.kind(), error.status(), error.attempts());
                    assert_eq!(told, (ErrorKind::UnexpectedResponse, Some(200), 1));
                    assert_eq!(error.body(), Some(body));
                }
            }
            gateway.respond(response("200 OK", "", body));
            assert_eq!(client.get(&IMAGE, &[]).unwrap(), body);
        }
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
        gateway.respond_and_close(bytes.clone());
        client(&gateway).get(&IMAGE, &[]).unwrap();
        assert_eq!(gateway.requests().len(), 2, "requests: {bytes}");
    });
    // After a failure, a 404 of the service is no success.
    let gateway = Gateway::with(&[]);
    gateway.respond(response("503 Busy", "", ""));
    let error = client(&gateway).get(&IMAGE, &[]).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 2));
    let start = "cannot read \"repositories/r/hello/world\": 404 Not Found from ";
    assert!(error.to_string().starts_with(start), "{error}");
    assert_eq!(error.body(), Some(NO_SUCH_IMAGE));
}
