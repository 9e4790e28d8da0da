//! Servers and networks that misbehave, one row a fault.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};
use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Act, Exchange, Gateway, NO_SUCH_IMAGE, Then, answer};
use crate::{builder, builder_at, client, in_parallel};

/// One way that an attempt can end.
struct Fault {
    /// What the server or the network does.
    what: &'static str,
    does: Does,
    /// The kind of error that it becomes; none if it is a success.
    ends: Option<ErrorKind>,
    /// Whether the service may have acted, as far as the client can know.
    maybe: bool,
    /// Whether another attempt follows.
    again: bool,
    /// Whether the image is gone in truth.
    gone: bool,
    /// Whether the service says that there is no such image.
    proof: bool,
}

enum Does {
    /// Nothing is sent, since this happens before.
    Before(Lookup),
    /// The gateway has read the request.
    Serves(Act),
}

#[derive(Clone, Copy, Debug)]
enum Lookup {
    FindsNoHost,
    Fails,
    IsForbidden,
    FindsClosedPort,
    FindsDeafHost,
}

use Does::{Before, Serves};
use ErrorKind as K;

macro_rules! fault {
    ($what:literal, $does:expr, $ends:expr, $($property:ident)*) => {{
        #[allow(unused_mut)]
        let mut fault =
            Fault { what: $what, does: $does, ends: $ends, maybe: false, again: false, gone: false, proof: false };
        $(fault.$property = true;)*
        fault
    }};
}

fn says(bytes: &str, exchange: &mut Exchange<'_>) -> Then {
    exchange.send(bytes);
    Then::KeepAlive
}

fn stalls_after(bytes: &str, exchange: &mut Exchange<'_>) -> Then {
    exchange.send(bytes);
    exchange.wait_for_close();
    Then::Close
}

fn breaks_after(bytes: &str, exchange: &mut Exchange<'_>) -> Then {
    exchange.send(bytes);
    Then::Close
}

#[rustfmt::skip]
fn faults() -> Vec<Fault> {
    vec![
        fault!("answers as it should", Serves(|e| { let a = e.serve(); says(&a, e) }), None, gone),
        fault!("answers with an empty 200", Serves(|e| { e.serve(); says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", e) }), None, gone),
        fault!("another client was faster", Serves(|e| { e.serve(); says(&answer("404 Not Found", "", NO_SUCH_IMAGE), e) }), Some(K::NotFound), gone proof),

        fault!("answers with an empty 404", Serves(|e| says(&answer("404 Not Found", "", ""), e)), Some(K::NotFound),),
        fault!("answers with the page of a load balancer", Serves(|e| says(&answer("404 Not Found", "Content-Type: text/plain\r\n", "default backend - 404"), e)), Some(K::UnexpectedResponse),),
        fault!("does not know the URL", Serves(|e| says(&answer("404 Not Found", "", r#"{"error":{"errorCode":"300","message":"Not Found Exception"}}"#), e)), Some(K::UnexpectedResponse),),
        fault!("cuts off a 404 after its head", Serves(|e| breaks_after("HTTP/1.1 404 Not Found\r\nContent-Length: 90\r\n\r\n", e)), Some(K::UnexpectedResponse),),
        fault!("cuts off a 404 without length", Serves(|e| breaks_after("HTTP/1.1 404 Not Found\r\n\r\n{\"error\":{}", e)), Some(K::UnexpectedResponse),),
        fault!("stops within the body of a 404", Serves(|e| stalls_after("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{}", e)), Some(K::UnexpectedResponse),),

        fault!("has no address", Before(Lookup::FindsNoHost), Some(K::Transport), again),
        fault!("cannot be looked up", Before(Lookup::Fails), Some(K::Transport), again),
        fault!("may not be connected to", Before(Lookup::IsForbidden), Some(K::Transport), again),
        fault!("refuses the connection", Before(Lookup::FindsClosedPort), Some(K::Transport), again),
        fault!("never completes the connection", Before(Lookup::FindsDeafHost), Some(K::Timeout), again),

        fault!("closes without an answer", Serves(|_| Then::Close), Some(K::Transport), maybe again),
        fault!("deletes, then closes without an answer", Serves(|e| { e.serve(); Then::Close }), Some(K::Transport), maybe again gone),
        fault!("closes within the status line", Serves(|e| breaks_after("HTTP/1.1 2", e)), Some(K::Transport), maybe again),
        fault!("deletes, then closes within the header", Serves(|e| { e.serve(); breaks_after("HTTP/1.1 204 No Content\r\nDate:", e) }), Some(K::Transport), maybe again gone),
        fault!("closes within the body of a 200", Serves(|e| breaks_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("deletes, then closes within a chunk's first line", Serves(|e| { e.serve(); breaks_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5", e) }), Some(K::UnexpectedResponse), maybe again gone),

        fault!("cuts off the body of a 200 without length", Serves(|e| breaks_after("HTTP/1.1 200 OK\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe),
        fault!("deletes, then answers with a 200 without length", Serves(|e| { e.serve(); breaks_after("HTTP/1.1 200 OK\r\n\r\n", e) }), Some(K::UnexpectedResponse), maybe gone),
        fault!("cuts off a 200 in an unknown coding", Serves(|e| breaks_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe),
        fault!("cuts off chunks on HTTP/1.0", Serves(|e| breaks_after("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe),
        fault!("accepts, and does nothing", Serves(|e| says(&answer("202 Accepted", "", ""), e)), Some(K::UnexpectedResponse), maybe),

        fault!("says nothing", Serves(|e| stalls_after("", e)), Some(K::Timeout), maybe again),
        fault!("deletes, then says nothing", Serves(|e| { e.serve(); stalls_after("", e) }), Some(K::Timeout), maybe again gone),
        fault!("stops within the header", Serves(|e| stalls_after("HTTP/1.1 204 No Content\r\nDate:", e)), Some(K::Timeout), maybe again),
        fault!("stops before the body of a 200", Serves(|e| stalls_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("stops within the body of a 500", Serves(|e| stalls_after("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nx", e)), Some(K::Server), maybe again),
        fault!("stops within the body of a 403", Serves(|e| stalls_after("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nx", e)), Some(K::Forbidden),),

        fault!("answers 408", Serves(|e| says(&answer("408 Request Timeout", "", ""), e)), Some(K::Timeout), maybe again),
        fault!("deletes, then a proxy answers 408", Serves(|e| { e.serve(); says(&answer("408 Request Timeout", "", ""), e) }), Some(K::Timeout), maybe again gone),
        fault!("answers 429", Serves(|e| says(&answer("429 Too Many Requests", "Retry-After: 0\r\n", ""), e)), Some(K::RateLimited), again),
        fault!("answers 500", Serves(|e| says(&answer("500 Internal Server Error", "", "oops"), e)), Some(K::Server), maybe again),
        fault!("deletes, then answers 500", Serves(|e| { e.serve(); says(&answer("500 Internal Server Error", "", "{}"), e) }), Some(K::Server), maybe again gone),
        fault!("answers 502", Serves(|e| says(&answer("502 Bad Gateway", "Retry-After: 0\r\n", "<html>"), e)), Some(K::Server), maybe again),
        fault!("answers 503", Serves(|e| says(&answer("503 Service Unavailable", "Retry-After: 0\r\n", ""), e)), Some(K::Server), maybe again),
        fault!("deletes, then answers 504", Serves(|e| { e.serve(); says(&answer("504 Gateway Timeout", "Retry-After: 0\r\n", ""), e) }), Some(K::Server), maybe again gone),
        fault!("answers 501", Serves(|e| says(&answer("501 Not Implemented", "", ""), e)), Some(K::Server), maybe),
        fault!("answers 505", Serves(|e| says(&answer("505 HTTP Version Not Supported", "", ""), e)), Some(K::Server), maybe),

        fault!("answers 400", Serves(|e| says(&answer("400 Bad Request", "Retry-After: 0\r\n", ""), e)), Some(K::BadRequest),),
        fault!("answers 401", Serves(|e| says(&answer("401 Unauthorized", "", ""), e)), Some(K::Unauthorized),),
        fault!("answers 403", Serves(|e| says(&answer("403 Forbidden", "", ""), e)), Some(K::Forbidden),),
        fault!("answers 409", Serves(|e| says(&answer("409 Conflict", "Retry-After: 0\r\n", ""), e)), Some(K::Conflict),),
        fault!("answers 425", Serves(|e| says(&answer("425 Too Early", "Retry-After: 0\r\n", ""), e)), Some(K::BadRequest),),

        fault!("redirects", Serves(|e| says(&answer("307 Temporary Redirect", "Location: /\r\n", ""), e)), Some(K::UnexpectedResponse), maybe),
        fault!("shows a login page", Serves(|e| says(&answer("200 OK", "", "<html>"), e)), Some(K::UnexpectedResponse), maybe),
        fault!("deletes, then answers 206", Serves(|e| { e.serve(); says(&answer("206 Partial Content", "", ""), e) }), Some(K::UnexpectedResponse), maybe gone),
        fault!("deletes, and its answer comes after the rest of another", Serves(|e| { let a = e.serve(); says(&format!("0\r\n\r\n{a}"), e) }), Some(K::UnexpectedResponse), maybe again gone),
        fault!("speaks HTTP/0.9", Serves(|e| breaks_after("deleted\n", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("speaks HTTP/2", Serves(|e| breaks_after("\0\0\0\x04\0\0\0\0\0", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("gives two lengths", Serves(|e| says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("gives a length that is no number", Serves(|e| says("HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n", e)), Some(K::UnexpectedResponse), maybe again),
        fault!("gives a chunk size that is no number", Serves(|e| says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", e)), Some(K::UnexpectedResponse), maybe again),
    ]
}

/// Leads each attempt where its fault wants it, and to the gateway otherwise.
#[derive(Debug)]
struct Signpost {
    gateway: SocketAddr,
    lookups: Mutex<VecDeque<Option<Lookup>>>,
}

impl Resolver for Signpost {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let address = match self.lookups.lock().unwrap().pop_front().flatten() {
            None => self.gateway,
            Some(Lookup::FindsNoHost) => return Err(ureq::Error::HostNotFound),
            Some(Lookup::Fails) => {
                // What the standard library says when getaddrinfo() fails.
                let text = "failed to lookup address information: Name or service not known";
                return Err(io::Error::other(text).into());
            }
            Some(Lookup::IsForbidden) => {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            Some(Lookup::FindsClosedPort) => {
                SocketAddr::new([127, 0, 0, 77].into(), self.gateway.port())
            }
            Some(Lookup::FindsDeafHost) => deaf_address(),
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// The address of a listener whose queue is full, so that no connection to it is ever completed.
fn deaf_address() -> SocketAddr {
    static DEAF: OnceLock<(TcpListener, Vec<TcpStream>)> = OnceLock::new();
    let (listener, _) = DEAF.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(250));
        let queue = std::iter::from_fn(|| connect().ok()).take(10_000).collect();
        connect().unwrap_err();
        (listener, queue)
    });
    listener.local_addr().unwrap()
}

/// Lets each of `faults` befall one attempt of one call, in turn.
fn suffer(faults: &[&Fault]) -> (Result<(), Error>, Gateway) {
    let gateway = Gateway::with(&["r/i", "r/other"]);
    let mut lookups = VecDeque::new();
    for fault in faults {
        match fault.does {
            Before(lookup) => lookups.push_back(Some(lookup)),
            Serves(script) => {
                lookups.push_back(None);
                gateway.script(script);
            }
        }
    }
    let config = ureq::Agent::config_builder()
        .max_idle_connections(0) // each attempt is led anew
        .timeout_connect(Some(Duration::from_millis(400)))
        .timeout_global(Some(Duration::from_secs(1)))
        .build();
    let signpost = Signpost {
        gateway: gateway.address(),
        lookups: Mutex::new(lookups),
    };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), signpost);
    let attempts = u32::try_from(faults.len()).unwrap();
    let client = builder(&gateway)
        .agent(agent)
        .max_attempts(attempts)
        .build()
        .unwrap();
    (client.delete_image("r", "i"), gateway)
}

fn assert_holds(gateway: &Gateway, is_gone: bool, what: &str) {
    let expected: &[&str] = if is_gone {
        &["r/other"]
    } else {
        &["r/i", "r/other"]
    };
    assert_eq!(gateway.images(), expected, "{what}");
}

#[test]
fn each_fault_ends_as_it_should() {
    in_parallel(&faults(), |fault| {
        let what = fault.what;
        let (outcome, gateway) = suffer(&[fault; 3]);
        assert_holds(&gateway, fault.gone, what);
        let attempts = if fault.again { 3 } else { 1 };
        match &outcome {
            Ok(()) => assert_eq!(fault.ends, None, "{what}"),
            Err(error) => {
                assert_eq!(Some(error.kind()), fault.ends, "{what}: {error}");
                assert_eq!(error.attempts(), attempts, "{what}: {error}");
                assert_eq!(
                    error.may_have_taken_effect(),
                    fault.maybe,
                    "{what}: {error}"
                );
                let text = error.to_string();
                assert!(text.starts_with("cannot delete r/i: "), "{text}");
                assert_eq!(text.contains("; tried 3 times"), fault.again, "{text}");
                assert_eq!(
                    text.contains("the image may have been deleted anyway"),
                    fault.maybe,
                    "{text}"
                );
            }
        }
        // Each attempt has its own timestamp and signature: the gateway checked each that it served.
        let requests = gateway.requests();
        if let Serves(_) = fault.does {
            assert_eq!(requests.len(), attempts as usize, "{what}");
        } else {
            assert_eq!(requests.len(), 0, "{what}");
        }
    });
}

#[test]
fn the_truth_is_told_after_every_pair_of_ends() {
    let faults = faults();
    let pairs: Vec<_> = faults
        .iter()
        .flat_map(|first| faults.iter().map(move |second| (first, second)))
        .collect();
    in_parallel(&pairs, |(first, second)| {
        let what = format!("{}, then {}", first.what, second.what);
        let (outcome, gateway) = suffer(&[first, second]);

        // What the rules say.
        let last = if first.again { second } else { first };
        let maybe = first.maybe || last.maybe;
        let is_success = last.ends.is_none() || (last.proof && first.again && first.maybe);
        match &outcome {
            Ok(()) => assert!(is_success, "{what}"),
            Err(error) => {
                assert!(!is_success, "{what}: {error}");
                assert_eq!(Some(error.kind()), last.ends, "{what}: {error}");
                assert_eq!(
                    error.attempts(),
                    if first.again { 2 } else { 1 },
                    "{what}: {error}"
                );
                assert_eq!(error.may_have_taken_effect(), maybe, "{what}: {error}");
            }
        }
        // What is true.
        let is_gone = !gateway.images().contains(&"r/i".to_owned());
        assert_eq!(
            is_gone,
            first.gone || (first.again && second.gone),
            "{what}"
        );
        match &outcome {
            Ok(()) => assert!(is_gone, "{what}"),
            Err(_) if last.proof => assert!(is_gone, "{what}"),
            Err(error) if !error.may_have_taken_effect() => assert!(!is_gone, "{what}"),
            Err(_) => {}
        }
        assert!(gateway.images().contains(&"r/other".to_owned()), "{what}");
    });
}

#[test]
fn a_lost_answer_still_counts_as_deleted_if_one_asks() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.script(|exchange| {
        exchange.serve();
        Then::Close
    });
    assert!(client(&gateway).delete_image_if_exists("r", "i").unwrap());
    assert_eq!(gateway.requests().len(), 2);
}

#[test]
fn one_attempt_is_one_request() {
    for max_attempts in [1, 2, 5] {
        let gateway = Gateway::start(|exchange| {
            exchange.send(answer("503 Service Unavailable", "Retry-After: 0\r\n", ""));
            Then::KeepAlive
        });
        let client = builder(&gateway)
            .max_attempts(max_attempts)
            .build()
            .unwrap();
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(error.attempts(), max_attempts);
        assert_eq!(gateway.requests().len(), max_attempts as usize);
    }
}

#[test]
fn each_attempt_is_signed_anew() {
    let gateway = Gateway::with(&["r/i"]);
    for _ in 0..2 {
        // The client's next attempt begins after this millisecond.
        gateway.script(|exchange| {
            let sent = exchange.request.header("x-ncp-apigw-timestamp")[0]
                .parse::<u128>()
                .unwrap();
            let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
            while now() <= sent {
                std::thread::yield_now();
            }
            exchange.send(answer("503 Service Unavailable", "Retry-After: 0\r\n", ""));
            Then::KeepAlive
        });
    }
    client(&gateway).delete_image("r", "i").unwrap();
    let requests = gateway.requests();
    let unique = |header| {
        let mut values: Vec<_> = requests
            .iter()
            .flat_map(|request| request.header(header))
            .collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    assert_eq!(requests.len(), 3);
    assert_eq!(unique("x-ncp-apigw-timestamp"), 3);
    assert_eq!(unique("x-ncp-apigw-signature-v2"), 3);
}

/// More than a machine under load needs to notice that the time is up.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn no_call_outlasts_its_time() {
    let trickle = |exchange: &mut Exchange<'_>| {
        let mut bytes = "HTTP/1.1 204 No Content\r\nx-padding: "
            .bytes()
            .chain([b'x'; 200]);
        while bytes.next().is_some_and(|byte| exchange.send([byte])) {
            std::thread::sleep(Duration::from_millis(100));
        }
        Then::Close
    };
    let rows: [(&str, Act, K, Option<u16>); 6] = [
        ("says nothing", |e| stalls_after("", e), K::Timeout, None),
        ("trickles", trickle, K::Timeout, None),
        (
            "stops within the header",
            |e| stalls_after("HTTP/1.1 204", e),
            K::Timeout,
            None,
        ),
        (
            "stops within the body",
            |e| stalls_after("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n{", e),
            K::Forbidden,
            Some(403),
        ),
        (
            "trickles a body",
            |e| {
                e.send("HTTP/1.1 500 Oops\r\nContent-Length: 9999\r\n\r\n");
                while e.send(" ") {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Then::Close
            },
            K::Server,
            Some(500),
        ),
        (
            "sends 1xx without end",
            |e| {
                while e.send("HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n") {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Then::Close
            },
            K::Timeout,
            None,
        ),
    ];
    in_parallel(&rows, |(what, script, kind, status)| {
        let gateway = Gateway::start(*script);
        let timeout = Duration::from_millis(1200);
        let client = builder(&gateway).timeout(timeout).build().unwrap();
        let started = Instant::now();
        let error = client.delete_image("r", "i").unwrap_err();
        let elapsed = started.elapsed();
        assert!(elapsed < timeout + SLACK, "{what}: {elapsed:?}");
        assert_eq!(
            (error.kind(), error.status()),
            (*kind, *status),
            "{what}: {error}"
        );
        assert_eq!(
            error.attempts(),
            1,
            "{what}: all of the time went into the first attempt"
        );
    });
}

#[test]
fn a_connection_that_is_never_completed_does_not_outlast_the_call() {
    let timeout = Duration::from_millis(1200);
    let api_url = format!("http://{}", deaf_address());
    let client = builder_at(&api_url).timeout(timeout).build().unwrap();
    let started = Instant::now();
    let error = client.delete_image("r", "i").unwrap_err();
    assert!(
        started.elapsed() < timeout + SLACK,
        "{:?}",
        started.elapsed()
    );
    assert_eq!(error.kind(), K::Timeout, "{error}");
    assert!(!error.may_have_taken_effect(), "{error}");
    assert!(error.attempts() >= 2, "{error}");
}

#[test]
fn a_wait_that_does_not_fit_ends_the_call_now() {
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for (status, kind) in [("429 Slow Down", K::RateLimited), ("503 Busy", K::Server)] {
        for retry_after in [
            "3600",
            "18446744073709551615",
            "99999999999999999999",
            &in_an_hour,
        ] {
            let gateway = Gateway::with(&["r/i"]);
            gateway.answer(answer(
                status,
                &format!("Retry-After: {retry_after}\r\n"),
                "",
            ));
            let started = Instant::now();
            let error = client(&gateway).delete_image("r", "i").unwrap_err();
            assert!(started.elapsed() < Duration::from_secs(30));
            assert_eq!((error.kind(), error.attempts()), (kind, 1));
            let wait = error.retry_after().unwrap();
            assert!(wait > Duration::from_secs(3500), "{wait:?}");
            assert!(wait <= Duration::from_secs(u32::MAX.into()), "{wait:?}");
            let _ = Instant::now() + wait; // which a longer one would make panic
        }
    }
}

#[test]
fn a_service_that_asks_for_no_wait_is_not_flooded() {
    let gateway = Gateway::start(|exchange| {
        exchange.send(answer("503 Busy", "Retry-After: 0\r\n", ""));
        Then::KeepAlive
    });
    let client = builder(&gateway).max_attempts(10_000);
    let client = client.timeout(Duration::from_secs(2)).build().unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    // The waits before the 11th request are at most 0.2 + 0.4 + ... + 5 s, and half of that on
    // average. Not to wait makes thousands.
    assert!(error.attempts() < 100, "{error}");
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
}

#[test]
fn a_wait_that_fits_is_kept() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.answer(answer("503 Busy", "Retry-After: 1\r\n", ""));
    let started = Instant::now();
    client(&gateway).delete_image("r", "i").unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_date_to_wait_for_is_read_by_the_servers_clock() {
    // By this machine's clock it would be an hour away.
    let date = SystemTime::now() + Duration::from_secs(3600);
    let date = httpdate::fmt_http_date(date);
    let gateway = Gateway::with(&["r/i"]);
    let headers = format!("Date: {date}\r\nRetry-After: {date}\r\n");
    gateway.answer(answer("503 Busy", &headers, ""));
    client(&gateway).delete_image("r", "i").unwrap();
    assert_eq!(gateway.requests().len(), 2);

    gateway.put(&["r/i"]);
    let past = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    gateway.answer(answer("503 Busy", past, ""));
    client(&gateway).delete_image("r", "i").unwrap();
}

#[test]
fn a_wait_that_cannot_be_read_is_the_clients_own() {
    for retry_after in ["soon", "-1", "+1", "1.5", "", "Sun, 06 Nov 1994"] {
        let gateway = Gateway::with(&["r/i"]);
        gateway.answer(answer(
            "503 Busy",
            &format!("Retry-After: {retry_after}\r\n"),
            "",
        ));
        client(&gateway).delete_image("r", "i").unwrap();
        gateway.answer(answer(
            "403 No",
            &format!("Retry-After: {retry_after}\r\n"),
            "",
        ));
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        assert_eq!(error.retry_after(), None);
    }
}

#[test]
fn a_redirect_is_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Gateway::with(&["r/i"]);
        let gateway = Gateway::with(&["r/i"]);
        let location = format!("Location: {}/repositories/r/i\r\n", elsewhere.url());
        for body in ["", "<html>moved</html>"] {
            gateway.answer(answer(&format!("{status} Moved"), &location, body));
            let error = client(&gateway).delete_image("r", "i").unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (K::UnexpectedResponse, Some(status))
            );
            assert_eq!(error.attempts(), 1);
        }
        assert_eq!(elsewhere.connections(), 0);
        assert_eq!(gateway.requests().len(), 2);
        assert_eq!(gateway.images(), ["r/i"]);
    }
}
