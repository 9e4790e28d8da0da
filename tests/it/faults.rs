//! One row for each way that an attempt can end: status, lost response, no connection.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};
use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Exchange, Gateway, NO_SUCH_IMAGE, Then, response};
use crate::responses::FIND_OUT;
use crate::{builder, in_parallel};

/// One way that an attempt can end.
#[derive(Clone, Debug)]
struct Fault {
    cause: Cause,
    /// How the error of a call of this attempt alone opens, and its kind; none if it is a success.
    error: Option<(Opening, ErrorKind)>,
    /// Whether another attempt follows.
    is_retried: bool,
}

#[derive(Clone, Debug)]
enum Cause {
    /// Nothing is sent, since this happens before.
    Lookup(Lookup),
    /// The gateway reads the request, perhaps deletes, sends these bytes, and ends this way.
    Response(Deletes, String, End),
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deletes {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    KeepsConnection,
    Closes,
    Stalls,
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

impl Fault {
    fn new(cause: Cause, opening: Opening, kind: ErrorKind) -> Fault {
        let error = Some((opening, kind));
        Fault {
            cause,
            error,
            is_retried: false,
        }
    }

    fn retried(mut self) -> Fault {
        self.is_retried = true;
        self
    }

    fn is_unknown(&self) -> bool {
        self.error
            .is_some_and(|(opening, _)| opening == Opening::MaybeDeleted)
    }

    /// Whether the service itself says that there is no such image.
    fn is_proof(&self) -> bool {
        matches!(&self.cause, Cause::Response(_, bytes, _) if bytes.contains(NO_SUCH_IMAGE))
    }

    /// Does what the fault wants with a request.
    fn serve(cause: Cause, exchange: &mut Exchange<'_>) -> Then {
        let Cause::Response(deletes, bytes, end) = cause else {
            panic!("{cause:?} sends no request")
        };
        if deletes == Deletes::Yes {
            exchange.serve();
        }
        exchange.send(bytes);
        match end {
            End::KeepsConnection => return Then::KeepAlive,
            End::Closes => {}
            End::Stalls => exchange.wait_for_close(),
        }
        Then::Close
    }
}

fn faults(statuses: Vec<Fault>) -> Vec<Fault> {
    let others = [
        successes(),
        failures_to_connect(),
        lost_responses(),
        not_found(),
        odd_responses(),
    ];
    [others.concat(), statuses].concat()
}

fn successes() -> Vec<Fault> {
    let bytes = [
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        response("200 OK", "", ""),
    ];
    let success = |bytes| Fault {
        cause: Cause::Response(Deletes::Yes, bytes, End::KeepsConnection),
        error: None,
        is_retried: false,
    };
    bytes.map(success).into()
}

fn failures_to_connect() -> Vec<Fault> {
    let lookups = [Lookup::FindsNoHost, Lookup::Fails, Lookup::FindsClosedPort];
    let mut rows: Vec<_> = lookups.map(|lookup| (lookup, ErrorKind::Transport)).into();
    rows.push((Lookup::FindsUnresponsiveHost, ErrorKind::Timeout));
    let fault = |(lookup, kind)| Fault::new(Cause::Lookup(lookup), Opening::NotDeleted, kind);
    rows.into_iter().map(|row| fault(row).retried()).collect()
}

/// What looking up and connecting report besides: on Linux whatever has a code that an open
/// connection does not report.
fn errors_of_connecting() -> Vec<Fault> {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, ConnectionRefused, HostUnreachable};
    use io::ErrorKind::{NetworkUnreachable, PermissionDenied};
    let lookups: Vec<_> = if cfg!(target_os = "linux") {
        // ENOENT, EIO, EACCES, EBUSY, EINVAL, ENFILE, EMFILE, ENOPROTOOPT, EAFNOSUPPORT,
        // EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH
        let codes = [
            2, 5, 13, 16, 22, 23, 24, 92, 97, 98, 99, 100, 101, 111, 112, 113,
        ];
        codes.map(Lookup::ReportsCode).into()
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
    let causes = lookups.into_iter().map(Cause::Lookup);
    let fault = |cause| Fault::new(cause, Opening::NotDeleted, ErrorKind::Transport);
    causes.map(|cause| fault(cause).retried()).collect()
}

/// Each after a deletion, and those that close the connection also without one.
#[rustfmt::skip] // one row a line
fn lost_responses() -> Vec<Fault> {
    use ErrorKind as K;
    let rows = [
        ("", End::Closes, K::Transport),
        ("", End::Stalls, K::Timeout),
        ("HTTP/1.1 2", End::Closes, K::Transport),
        ("HTTP/1.1 204 No Content\r\nDate:", End::Closes, K::Transport),
        ("HTTP/1.1 204 No Content\r\nDate:", End::Stalls, K::Timeout),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", End::Closes, K::UnexpectedResponse),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", End::Stalls, K::UnexpectedResponse),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5", End::Closes, K::UnexpectedResponse),
        ("HTTP/1.1 500 Error\r\nContent-Length: 9\r\n\r\nx", End::Stalls, K::Server),
        ("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", End::KeepsConnection, K::Timeout),
    ];
    let fault = |deletes, (bytes, end, kind): (&str, End, ErrorKind)| {
        let cause = Cause::Response(deletes, bytes.to_owned(), end);
        Fault::new(cause, Opening::MaybeDeleted, kind).retried()
    };
    let deleted = rows.iter().map(|row| fault(Deletes::Yes, *row));
    let closed = rows.iter().filter(|(_, end, _)| *end == End::Closes);
    closed.map(|row| fault(Deletes::No, *row)).chain(deleted).collect()
}

#[rustfmt::skip] // one row a line
fn not_found() -> Vec<Fault> {
    use {ErrorKind as K, Opening::NotDeleted, Opening::NotFound};
    let other_gateway = r#"{"message":"no Route matched with those values"}"#;
    let rows = [
        (Deletes::No, other_gateway, NotFound, K::NotFound),
        (Deletes::No, "default backend - 404", NotDeleted, K::UnexpectedResponse),
        (Deletes::Yes, NO_SUCH_IMAGE, NotFound, K::NotFound), // another client was faster
    ];
    let fault = |(deletes, body, opening, kind)| {
        let bytes = response("404 Not Found", "", body);
        Fault::new(Cause::Response(deletes, bytes, End::KeepsConnection), opening, kind)
    };
    rows.map(fault).into()
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
        ("101 Switching", MaybeDeleted, K::UnexpectedResponse),
        ("202 Accepted", MaybeDeleted, K::UnexpectedResponse),
        ("203 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("299 Odd", MaybeDeleted, K::UnexpectedResponse),
        ("300 Multiple Choices", MaybeDeleted, K::UnexpectedResponse),
        ("304 Not Modified", MaybeDeleted, K::UnexpectedResponse),
        ("307 Redirect", MaybeDeleted, K::UnexpectedResponse),
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
        let bytes = response(status, "Retry-After: 0\r\n", "");
        let cause = Cause::Response(Deletes::No, bytes, End::KeepsConnection);
        Fault::new(cause, opening, kind)
    };
    let transient = transient.into_iter().map(|row| fault(row).retried());
    permanent.into_iter().map(fault).chain(transient).collect()
}

#[rustfmt::skip] // one row a line
fn odd_responses() -> Vec<Fault> {
    let permanent = [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    ];
    let transient = [
        "0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", // after the rest of another response
        "deleted\n", // HTTP/0.9
        "\0\0\0\x04\0\0\0\0\0", // HTTP/2
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n",
    ];
    let fault = |bytes: &str| {
        let cause = Cause::Response(Deletes::Yes, bytes.to_owned(), End::Closes);
        Fault::new(cause, Opening::MaybeDeleted, ErrorKind::UnexpectedResponse)
    };
    let transient = transient.into_iter().map(|bytes| fault(bytes).retried());
    permanent.into_iter().map(fault).chain(transient).collect()
}

/// Where nothing listens.
pub const CLOSED: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

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
            Some(Lookup::FindsClosedPort) => CLOSED.into(),
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
        match fault.cause.clone() {
            Cause::Lookup(lookup) => lookups.push_back(Some(lookup)),
            cause @ Cause::Response(..) => {
                lookups.push_back(None);
                gateway.script(|exchange| Fault::serve(cause, exchange));
            }
        }
    }
    // Far more than a response needs, even where hundreds of tests share a core. On Windows,
    // refusing a connection takes two seconds, which must fit into a quarter of it.
    let timeout = Duration::from_secs(if cfg!(windows) { 12 } else { 3 });
    let config = ureq::Agent::config_builder()
        .max_idle_connections(0) // each attempt opens a connection
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
    let mut faults = faults(statuses());
    faults.extend(errors_of_connecting());
    in_parallel(&faults, |fault| {
        let (outcome, gateway) = delete_despite(&[fault; 2]);
        let what = format!("{fault:?}: {outcome:?}");
        let attempts = if fault.is_retried { 2 } else { 1 };
        let requests = match fault.cause {
            Cause::Lookup(_) => 0,
            Cause::Response(..) => attempts as usize,
        };
        assert_eq!(gateway.requests().len(), requests, "{what}");
        let Err(error) = outcome else {
            assert_eq!(fault.error, None, "{what}");
            return;
        };
        let text = error.to_string();
        let told = Some((Opening::of(&text), error.kind()));
        assert_eq!(told, fault.error, "{what}");
        assert_eq!(error.attempts(), attempts, "{what}");
        assert_eq!(text.contains(", 2 attempts"), fault.is_retried, "{what}");
        assert_eq!(error.is_transient(), fault.is_retried, "{what}");
        assert_eq!(error.may_have_been_deleted(), fault.is_unknown(), "{what}");
        assert_eq!(text.ends_with(FIND_OUT), fault.is_unknown(), "{what}");
    });
}

#[test]
fn delete_image_tells_the_truth_after_every_pair_of_faults() {
    let mut statuses = statuses();
    statuses.dedup_by_key(|fault| (fault.error, fault.is_retried)); // one of each run of equals
    let faults = faults(statuses);
    let firsts = faults.iter().filter(|fault| fault.is_retried);
    let pairs: Vec<_> = firsts
        .flat_map(|first| faults.iter().map(move |second| (first, second)))
        .collect();
    in_parallel(&pairs, |(first, second)| {
        let (outcome, gateway) = delete_despite(&[first, second]);
        let what = format!("{first:?}, then {second:?}: {outcome:?}");
        let images = gateway.images();
        let is_gone = !images.contains(&"r/i".to_owned());
        assert!(images.contains(&"r/other".to_owned()), "{what}");
        let is_unknown = first.is_unknown() || second.is_unknown();
        let settled = first.is_unknown() && second.is_proof();
        let expected = second.error.filter(|_| !settled);
        let Err(error) = outcome else {
            assert_eq!(expected, None, "{what}");
            assert!(is_gone, "{what}");
            return;
        };
        // What the rules say.
        let unknown = is_unknown.then_some(Opening::MaybeDeleted);
        let expected = expected.map(|(opening, kind)| (unknown.unwrap_or(opening), kind));
        let told = Some((Opening::of(&error.to_string()), error.kind()));
        assert_eq!(told, expected, "{what}");
        assert_eq!(error.attempts(), 2, "{what}");
        assert_eq!(error.may_have_been_deleted(), is_unknown, "{what}");
        // What is true.
        let is_certain = !error.may_have_been_deleted() && !second.is_proof();
        assert!(!(is_certain && is_gone), "{what}");
    });
}
