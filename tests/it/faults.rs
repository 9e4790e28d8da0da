//! One row for each way that an attempt can end: status, lost response, no connection.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};
use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Exchange, Gateway, NO_SUCH_IMAGE, Then, response};
use crate::responses::FIND_OUT;
use crate::{builder, in_parallel};

/// One way that an attempt can end.
struct Fault {
    /// What the server or the network does.
    what: &'static str,
    cause: Cause,
    /// How a call of this attempt alone begins to tell of it; none if it is a success.
    opening: Option<Opening>,
    kind: Option<ErrorKind>,
    /// Whether another attempt follows.
    is_retried: bool,
    /// Whether the image is gone in truth.
    is_gone: bool,
    /// Whether the service itself says that there is no such image.
    is_proof: bool,
}

/// The four ways in which an error opens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opening {
    CannotDelete,
    NotDeleted,
    NotFound,
    MaybeDeleted,
}

impl Opening {
    #[track_caller]
    fn of(text: &str) -> Opening {
        let openings = [
            (Opening::CannotDelete, "cannot delete r/i: "),
            (Opening::NotDeleted, "r/i was not deleted: "),
            (Opening::NotFound, "r/i was not found: "),
            (Opening::MaybeDeleted, "r/i may have been deleted"),
        ];
        let found = openings.iter().filter(|(_, start)| text.contains(start));
        let [(opening, start)] = *found.collect::<Vec<_>>() else {
            panic!("not one opening: {text}")
        };
        assert!(text.starts_with(start), "{text}");
        *opening
    }
}

type Serve = Arc<dyn Fn(&mut Exchange<'_>) -> Then + Send + Sync>;

enum Cause {
    /// Nothing is sent, since this happens before.
    Lookup(Lookup),
    /// The gateway has read the request.
    Gateway(Serve),
}

#[derive(Clone, Copy, Debug)]
enum Lookup {
    FindsNoHost,
    Fails,
    Reports(io::ErrorKind),
    ReportsCode(i32),
    FindsClosedPort,
    FindsUnresponsiveHost,
}

impl Fault {
    fn new(what: &'static str, cause: Cause) -> Fault {
        Fault {
            what,
            cause,
            opening: None,
            kind: None,
            is_retried: false,
            is_gone: false,
            is_proof: false,
        }
    }

    fn is(mut self, opening: Opening, kind: ErrorKind) -> Fault {
        (self.opening, self.kind) = (Some(opening), Some(kind));
        self
    }

    fn not_deleted(self, kind: ErrorKind) -> Fault {
        self.is(Opening::NotDeleted, kind)
    }

    fn not_found(self) -> Fault {
        self.is(Opening::NotFound, ErrorKind::NotFound)
    }

    fn maybe_deleted(self, kind: ErrorKind) -> Fault {
        self.is(Opening::MaybeDeleted, kind)
    }

    fn retried(mut self) -> Fault {
        self.is_retried = true;
        self
    }

    fn gone(mut self) -> Fault {
        self.is_gone = true;
        self
    }

    fn proof(mut self) -> Fault {
        self.is_proof = true;
        self
    }

    fn is_unknown(&self) -> bool {
        self.opening == Some(Opening::MaybeDeleted)
    }
}

/// Before the request is sent.
fn before(what: &'static str, lookup: Lookup) -> Fault {
    Fault::new(what, Cause::Lookup(lookup))
}

/// After the request has arrived.
fn on_request(what: &'static str, serve: Serve) -> Fault {
    Fault::new(what, Cause::Gateway(serve))
}

fn sends(bytes: impl Into<String>) -> Serve {
    let bytes = bytes.into();
    Arc::new(move |exchange| {
        exchange.send(&bytes);
        Then::KeepAlive
    })
}

fn responds(status: &str, headers: &str, body: &str) -> Serve {
    sends(response(status, headers, body))
}

fn closes_after(bytes: &'static str) -> Serve {
    Arc::new(move |exchange| {
        exchange.send(bytes);
        Then::Close
    })
}

fn stalls_after(bytes: &'static str) -> Serve {
    Arc::new(move |exchange| {
        exchange.send(bytes);
        exchange.wait_for_close();
        Then::Close
    })
}

fn deletes_then(serve: Serve) -> Serve {
    Arc::new(move |exchange| {
        exchange.serve();
        serve(exchange)
    })
}

/// What the service does with a request that it serves.
fn serves() -> Serve {
    Arc::new(|exchange| {
        let response = exchange.serve();
        exchange.send(response);
        Then::KeepAlive
    })
}

const URL_UNKNOWN: &str = r#"{"error":{"errorCode":"300","message":"Not Found Exception"}}"#;
const KONG: &str = r#"{"message":"no Route matched with those values"}"#;

fn faults() -> Vec<Fault> {
    let mut faults = ends();
    faults.extend(failures_to_connect());
    faults.extend(lost_responses());
    faults.extend(statuses());
    faults.extend(strange_responses());
    faults
}

fn ends() -> Vec<Fault> {
    use ErrorKind as K;
    vec![
        on_request("responds as it should", serves()).gone(),
        on_request(
            "responds with an empty 200",
            deletes_then(responds("200 OK", "", "")),
        )
        .gone(),
        on_request(
            "another client was faster",
            deletes_then(responds("404 Not Found", "", NO_SUCH_IMAGE)),
        )
        .not_found()
        .gone()
        .proof(),
        on_request(
            "responds with an empty 404",
            responds("404 Not Found", "", ""),
        )
        .not_found(),
        on_request("responds like Kong", responds("404 Not Found", "", KONG)).not_found(),
        on_request(
            "responds with the page of a load balancer",
            responds("404 Not Found", "", "default backend - 404"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "does not know the URL",
            responds("404 Not Found", "", URL_UNKNOWN),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "truncates a 404 after its head",
            closes_after("HTTP/1.1 404 Not Found\r\nContent-Length: 90\r\n\r\n"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "responds with a 404 without length",
            closes_after("HTTP/1.1 404 Not Found\r\n\r\n{\"error\":{\"errorCode\":\"404\"}}"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "stops within the body of a 403",
            stalls_after("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nx"),
        )
        .not_deleted(K::Forbidden),
        on_request(
            "stops within the body of a 404",
            stalls_after("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{}"),
        )
        .not_deleted(K::UnexpectedResponse),
    ]
}

fn failures_to_connect() -> Vec<Fault> {
    let transport = |what, lookup| {
        let fault = before(what, lookup).not_deleted(ErrorKind::Transport);
        fault.retried()
    };
    let unresponsive = before("does not respond", Lookup::FindsUnresponsiveHost);
    vec![
        transport("has no address", Lookup::FindsNoHost),
        transport("cannot be looked up", Lookup::Fails),
        transport("refuses the connection", Lookup::FindsClosedPort),
        unresponsive.not_deleted(ErrorKind::Timeout).retried(),
    ]
}

/// What looking up and connecting report besides: on Linux whatever has a code that an open
/// connection does not report.
fn errors_of_connecting() -> Vec<Fault> {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, ConnectionRefused, HostUnreachable};
    use io::ErrorKind::{NetworkUnreachable, PermissionDenied};
    let lookups: Vec<_> = if cfg!(target_os = "linux") {
        // ENOENT, EIO, EACCES, EBUSY, EINVAL, ENFILE, EMFILE, ENOPROTOOPT, EAFNOSUPPORT, EADDRINUSE,
        // EADDRNOTAVAIL, ENETDOWN, ENETUNREACH, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH
        let codes = [
            2, 5, 13, 16, 22, 23, 24, 92, 97, 98, 99, 100, 101, 111, 112, 113,
        ];
        codes.into_iter().map(Lookup::ReportsCode).collect()
    } else {
        let kinds = [
            AddrInUse,
            AddrNotAvailable,
            ConnectionRefused,
            HostUnreachable,
        ];
        let kinds = kinds
            .into_iter()
            .chain([NetworkUnreachable, PermissionDenied]);
        kinds.map(Lookup::Reports).collect()
    };
    let fault = |lookup| before("reports an error", lookup).not_deleted(ErrorKind::Transport);
    lookups
        .into_iter()
        .map(|lookup| fault(lookup).retried())
        .collect()
}

fn lost_responses() -> Vec<Fault> {
    use ErrorKind as K;
    let lost = |what, act, kind| on_request(what, act).maybe_deleted(kind).retried();
    vec![
        lost("closes without a response", closes_after(""), K::Transport),
        lost(
            "deletes, then closes without a response",
            deletes_then(closes_after("")),
            K::Transport,
        )
        .gone(),
        lost(
            "closes within the status line",
            closes_after("HTTP/1.1 2"),
            K::Transport,
        ),
        lost(
            "deletes, then closes within the header",
            deletes_then(closes_after("HTTP/1.1 204 No Content\r\nDate:")),
            K::Transport,
        )
        .gone(),
        lost(
            "closes within the body of a 200",
            closes_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            K::UnexpectedResponse,
        ),
        lost(
            "deletes, then closes within a chunk's first line",
            deletes_then(closes_after(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5",
            )),
            K::UnexpectedResponse,
        )
        .gone(),
        lost("says nothing", stalls_after(""), K::Timeout),
        lost(
            "deletes, then says nothing",
            deletes_then(stalls_after("")),
            K::Timeout,
        )
        .gone(),
        lost(
            "stops within the header",
            stalls_after("HTTP/1.1 204 No Content\r\nDate:"),
            K::Timeout,
        ),
        lost(
            "stops before the body of a 200",
            stalls_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            K::UnexpectedResponse,
        ),
        lost(
            "deletes, then a proxy responds 408",
            deletes_then(responds("408 Timeout", "", "")),
            K::Timeout,
        )
        .gone(),
        lost(
            "deletes, then responds 500",
            deletes_then(responds("500 Error", "", "{}")),
            K::Server,
        )
        .gone(),
        lost(
            "stops within the body of a 500",
            stalls_after("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nx"),
            K::Server,
        ),
    ]
}

/// Each status once: how the error opens, its kind, and whether another attempt follows.
fn statuses() -> Vec<Fault> {
    use {ErrorKind as K, Opening::MaybeDeleted, Opening::NotDeleted};
    let permanent = [
        ("400 Bad Request", NotDeleted, K::BadRequest),
        ("401 Unauthorized", NotDeleted, K::Unauthorized),
        ("403 Forbidden", NotDeleted, K::Forbidden),
        ("405 Method Not Allowed", NotDeleted, K::BadRequest),
        ("410 Gone", NotDeleted, K::BadRequest),
        ("425 Too Early", NotDeleted, K::BadRequest),
        ("499 Odd", NotDeleted, K::BadRequest),
        ("501 Not Implemented", MaybeDeleted, K::Server),
        ("505 Version", MaybeDeleted, K::Server),
        ("599 Odd", MaybeDeleted, K::Server),
        (
            "101 Switching Protocols",
            MaybeDeleted,
            K::UnexpectedResponse,
        ),
        ("202 Accepted", MaybeDeleted, K::UnexpectedResponse),
        ("203 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("299 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("300 Multiple Choices", MaybeDeleted, K::UnexpectedResponse),
        ("304 Not Modified", MaybeDeleted, K::UnexpectedResponse),
        (
            "307 Temporary Redirect",
            MaybeDeleted,
            K::UnexpectedResponse,
        ),
        ("399 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("600 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("999 Odd", MaybeDeleted, K::UnexpectedResponse),
    ];
    let transient = [
        ("408 Request Timeout", MaybeDeleted, K::Timeout),
        ("409 Conflict", NotDeleted, K::Conflict),
        ("429 Too Many Requests", NotDeleted, K::RateLimited),
        ("500 Internal Server Error", MaybeDeleted, K::Server),
        ("502 Bad Gateway", MaybeDeleted, K::Server),
        ("503 Service Unavailable", MaybeDeleted, K::Server),
        ("504 Gateway Timeout", MaybeDeleted, K::Server),
    ];
    let fault = |(status, opening, kind)| {
        on_request(status, responds(status, "Retry-After: 0\r\n", "")).is(opening, kind)
    };
    let transient = transient.into_iter().map(|row| fault(row).retried());
    permanent.into_iter().map(fault).chain(transient).collect()
}

fn strange_responses() -> Vec<Fault> {
    use ErrorKind as K;
    let strange = |what, act| on_request(what, act).maybe_deleted(K::UnexpectedResponse);
    vec![
        strange(
            "truncates the body of a 200 without length",
            closes_after("HTTP/1.1 200 OK\r\n\r\n"),
        ),
        strange(
            "deletes, then responds with a 200 without length",
            deletes_then(closes_after("HTTP/1.1 200 OK\r\n\r\n")),
        )
        .gone(),
        strange(
            "truncates a 200 in an unknown coding",
            closes_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ),
        strange(
            "truncates chunks on HTTP/1.0",
            closes_after("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        strange("shows a login page", responds("200 OK", "", "<html>")),
        strange(
            "deletes, then responds 206",
            deletes_then(responds("206 Partial Content", "", "")),
        )
        .gone(),
        strange(
            "deletes, and its response comes after the rest of another",
            deletes_then(sends("0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")),
        )
        .retried()
        .gone(),
        strange("speaks HTTP/0.9", closes_after("deleted\n")).retried(),
        strange("speaks HTTP/2", closes_after("\0\0\0\x04\0\0\0\0\0")).retried(),
        strange(
            "gives two lengths",
            sends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n"),
        )
        .retried(),
        strange(
            "gives a length that is no number",
            sends("HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n"),
        )
        .retried(),
        strange(
            "gives a chunk size that is no number",
            sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n"),
        )
        .retried(),
    ]
}

/// Finds, for each attempt, what its fault wants, and the gateway otherwise.
#[derive(Debug)]
struct ScriptedResolver {
    gateway: SocketAddr,
    lookups: Mutex<VecDeque<Option<Lookup>>>,
}

impl Resolver for ScriptedResolver {
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
            Some(Lookup::Reports(kind)) => return Err(io::Error::from(kind).into()),
            Some(Lookup::ReportsCode(code)) => {
                return Err(io::Error::from_raw_os_error(code).into());
            }
            Some(Lookup::FindsClosedPort) => {
                SocketAddr::new([127, 0, 0, 77].into(), self.gateway.port())
            }
            Some(Lookup::FindsUnresponsiveHost) => unresponsive_address(),
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// The address of a listener whose queue is full, so that no connection to it is ever completed.
pub fn unresponsive_address() -> SocketAddr {
    static UNRESPONSIVE: OnceLock<(TcpListener, Vec<TcpStream>)> = OnceLock::new();
    let (listener, _) = UNRESPONSIVE.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(250));
        let queue = std::iter::from_fn(|| connect().ok()).take(10_000).collect();
        connect().unwrap_err();
        (listener, queue)
    });
    listener.local_addr().unwrap()
}

/// Makes one call, each attempt of which meets one of `faults`, in turn.
fn delete_despite(faults: &[&Fault]) -> (Result<(), Error>, Gateway) {
    let gateway = Gateway::with(&["r/i", "r/other"]);
    let mut lookups = VecDeque::new();
    for fault in faults {
        match &fault.cause {
            Cause::Lookup(lookup) => lookups.push_back(Some(*lookup)),
            Cause::Gateway(serve) => {
                lookups.push_back(None);
                let serve = Arc::clone(serve);
                gateway.script(move |exchange| serve(exchange));
            }
        }
    }
    // Far more than a response needs, even where hundreds of tests share a core. On Windows,
    // refusing a connection takes two seconds, which must fit into a quarter of it.
    let timeout = Duration::from_secs(if cfg!(windows) { 12 } else { 2 });
    let config = ureq::Agent::config_builder()
        .max_idle_connections(0) // each attempt is led anew
        .timeout_global(Some(timeout))
        .build();
    let resolver = ScriptedResolver {
        gateway: gateway.address(),
        lookups: Mutex::new(lookups),
    };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), resolver);
    let attempts = u32::try_from(faults.len()).unwrap();
    let client = builder(&gateway).agent(agent).max_attempts(attempts);
    let outcome = client.build().unwrap().delete_image("r", "i");
    (outcome, gateway)
}

#[test]
fn delete_image_tells_of_each_fault() {
    let mut faults = faults();
    faults.extend(errors_of_connecting());
    in_parallel(&faults, |fault| {
        let (outcome, gateway) = delete_despite(&[fault; 2]);
        let attempts = if fault.is_retried { 2 } else { 1 };
        let what = match &outcome {
            Ok(()) => fault.what.to_owned(),
            Err(error) => format!("{}: {error}", fault.what),
        };
        assert_eq!(outcome.is_ok(), fault.opening.is_none(), "{what}");
        if let Err(error) = outcome {
            let text = error.to_string();
            assert_eq!(Some(error.kind()), fault.kind, "{what}");
            assert_eq!(Some(Opening::of(&text)), fault.opening, "{what}");
            assert_eq!(error.attempts(), attempts, "{what}");
            assert_eq!(text.contains(", 2 attempts"), fault.is_retried, "{what}");
            assert_eq!(error.may_have_been_deleted(), fault.is_unknown(), "{what}");
            assert_eq!(error.is_transient(), fault.is_retried, "{what}");
            assert_eq!(text.ends_with(FIND_OUT), fault.is_unknown(), "{what}");
        }
        let requests = match fault.cause {
            Cause::Lookup(_) => 0,
            Cause::Gateway(_) => attempts as usize,
        };
        assert_eq!(gateway.requests().len(), requests, "{what}");
        let is_gone = !gateway.images().contains(&"r/i".to_owned());
        assert_eq!(is_gone, fault.is_gone, "{what}");
    });
}

#[test]
fn delete_image_tells_the_truth_after_every_pair_of_faults() {
    let faults = faults();
    let firsts = faults.iter().filter(|fault| fault.is_retried);
    let pairs: Vec<_> = firsts
        .flat_map(|first| faults.iter().map(move |second| (first, second)))
        .collect();
    in_parallel(&pairs, |(first, second)| {
        let what = format!("{}, then {}", first.what, second.what);
        let (outcome, gateway) = delete_despite(&[first, second]);

        // What the rules say.
        let is_success = second.opening.is_none() || (second.is_proof && first.is_unknown());
        let is_unknown = first.is_unknown() || second.is_unknown();
        match &outcome {
            Ok(()) => assert!(is_success, "{what}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_success, "{what}: {text}");
                assert_eq!(Some(error.kind()), second.kind, "{what}: {text}");
                let unknown = is_unknown.then_some(Opening::MaybeDeleted);
                let opening = unknown.or(second.opening);
                assert_eq!(Some(Opening::of(&text)), opening, "{what}: {text}");
                assert_eq!(error.attempts(), 2, "{what}: {text}");
                assert_eq!(error.may_have_been_deleted(), is_unknown, "{what}: {text}");
            }
        }
        // What is true.
        let is_gone = !gateway.images().contains(&"r/i".to_owned());
        assert_eq!(is_gone, first.is_gone || second.is_gone, "{what}");
        match &outcome {
            Ok(()) => assert!(is_gone, "{what}"),
            Err(_) if second.is_proof => assert!(is_gone, "{what}"),
            Err(error) if !error.may_have_been_deleted() => assert!(!is_gone, "{what}"),
            Err(_) => {}
        }
        assert!(gateway.images().contains(&"r/other".to_owned()), "{what}");
    });
}
