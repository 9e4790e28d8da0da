//! One row for each way that an attempt can end, and every pair of them.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::sync::Mutex;

use ncloud_container_registry::{Error, ErrorKind};

use crate::connections::{Ending, HANDSHAKES};
use crate::gateway::{Exchange, Gateway, NO_SUCH_IMAGE, Then, response, serve};
use crate::peers::{Route, handshake, ours, time_for};
use crate::{child, if_child, in_parallel};

/// One way that an attempt can end.
#[derive(Clone)]
struct Fault {
    cause: Cause,
    /// How the error of a call of this attempt alone opens, and its kind; none if it is a success.
    error: Option<(&'static str, ErrorKind)>,
}

#[derive(Clone)]
enum Cause {
    /// Nothing is sent, since the handshake fails before.
    Handshake(&'static str, Ending),
    /// The gateway reads the request, perhaps deletes, sends these bytes, and ends this way.
    Response(Deletes, String, End),
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

/// How the error of a deletion opens.
const NOT_DELETED: &str = "r/i was not deleted: ";
const NOT_FOUND: &str = "r/i was not found: ";
const MAYBE_DELETED: &str = "r/i may have been deleted";

/// Which of these an error opens with, and with no other word about the image; and its kind.
#[track_caller]
fn told(error: &Error) -> (&'static str, ErrorKind) {
    let text = error.to_string();
    let openings = [NOT_DELETED, NOT_FOUND, MAYBE_DELETED];
    let opening = openings
        .into_iter()
        .find(|opening| text.starts_with(opening));
    assert_eq!(text.matches("r/i ").count(), 1, "{text}");
    (opening.unwrap_or_else(|| panic!("{text}")), error.kind())
}

/// In the words of its row, for a failure.
impl Debug for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Handshake(what, _) => write!(f, "handshake {what:?}"),
            Cause::Response(deletes, bytes, end) => {
                write!(f, "{bytes:?}, deletes {deletes:?}, {end:?}")
            }
        }
    }
}

impl Fault {
    fn new(
        deletes: Deletes,
        bytes: impl Into<String>,
        end: End,
        opening: &'static str,
        kind: ErrorKind,
    ) -> Fault {
        let cause = Cause::Response(deletes, bytes.into(), end);
        let error = Some((opening, kind));
        Fault { cause, error }
    }

    fn is_unknown(&self) -> bool {
        self.error
            .is_some_and(|(opening, _)| opening == MAYBE_DELETED)
    }

    fn is_retried(&self) -> bool {
        use ErrorKind::{Conflict, RateLimited, Server, Timeout, Transport};
        let kind = self.error.map(|(_, kind)| kind);
        matches!(
            kind,
            Some(Conflict | RateLimited | Server | Timeout | Transport)
        )
    }

    /// Whether no call can tell it from `other`: the same is deleted, told and left of the connection.
    fn is_like(&self, other: &Fault) -> bool {
        let state = |fault: &Fault| match &fault.cause {
            Cause::Handshake(..) => None,
            Cause::Response(deletes, _, end) => Some((*deletes, *end)),
        };
        let all = |fault: &Fault| (fault.error, fault.is_proof(), state(fault));
        all(self) == all(other)
    }

    /// Whether it ends only when the client has waited long enough.
    fn hangs(&self) -> bool {
        match &self.cause {
            Cause::Handshake(..) => matches!(self.error, Some((_, ErrorKind::Timeout))),
            Cause::Response(_, _, end) => *end == End::Stalls,
        }
    }

    /// Whether the service itself says that there is no such image.
    fn is_proof(&self) -> bool {
        matches!(&self.cause, Cause::Response(_, bytes, _) if bytes.contains(NO_SUCH_IMAGE))
    }
}

/// Does what a fault wants with a request.
fn respond(deletes: Deletes, bytes: &str, end: End, exchange: &mut Exchange<'_>) -> Then {
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

fn faults() -> Vec<Fault> {
    [
        successes(),
        handshakes(),
        lost_responses(),
        not_found(),
        odd_responses(),
        statuses(),
    ]
    .concat()
}

fn successes() -> Vec<Fault> {
    let bytes = [
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        response("200 OK", "", ""),
    ];
    let success = |bytes| Fault {
        cause: Cause::Response(Deletes::Yes, bytes, End::KeepsConnection),
        error: None,
    };
    bytes.map(success).into()
}

/// One that ends, and one that does not. All of them have a table of their own.
fn handshakes() -> Vec<Fault> {
    let fault = |&(what, ending, kind): &(&'static str, Ending, ErrorKind)| Fault {
        cause: Cause::Handshake(what, ending),
        error: Some((NOT_DELETED, kind)),
    };
    [HANDSHAKES.first(), HANDSHAKES.last()]
        .into_iter()
        .flatten()
        .map(fault)
        .collect()
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
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", End::Closes, K::Transport),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", End::Stalls, K::Transport),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5", End::Closes, K::Transport),
        ("HTTP/1.1 500 Error\r\nContent-Length: 9\r\n\r\nx", End::Stalls, K::Server),
        ("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n", End::KeepsConnection, K::Timeout),
    ];
    let fault = |deletes, (bytes, end, kind)| Fault::new(deletes, bytes, end, MAYBE_DELETED, kind);
    let deleted = rows.iter().map(|row| fault(Deletes::Yes, *row));
    let closed = rows.iter().filter(|(_, end, _)| *end == End::Closes);
    closed.map(|row| fault(Deletes::No, *row)).chain(deleted).collect()
}

#[rustfmt::skip] // one row a line
fn not_found() -> Vec<Fault> {
    use ErrorKind as K;
    let other_gateway = r#"{"message":"no Route matched with those values"}"#;
    let rows = [
        (Deletes::No, "404 Not Found", other_gateway, NOT_FOUND, K::NotFound),
        (Deletes::No, "404 Not Found", "default backend - 404", NOT_DELETED, K::UnexpectedResponse),
        (Deletes::No, "403 Forbidden", "<html>", NOT_DELETED, K::UnexpectedResponse),
        (Deletes::Yes, "404 Not Found", NO_SUCH_IMAGE, NOT_FOUND, K::NotFound), // another client was faster
    ];
    let fault = |(deletes, status, body, opening, kind)| {
        Fault::new(deletes, response(status, "", body), End::KeepsConnection, opening, kind)
    };
    let truncated = response("404 Not Found", "", NO_SUCH_IMAGE).replace("}}", "");
    let truncated = Fault::new(Deletes::No, truncated, End::Closes, NOT_DELETED, K::Transport);
    rows.map(fault).into_iter().chain([truncated]).collect()
}

/// A status of each kind. All of them have a table of their own.
#[rustfmt::skip] // one row a line
fn statuses() -> Vec<Fault> {
    use ErrorKind as K;
    let rows = [
        ("101 Odd", MAYBE_DELETED, K::UnexpectedResponse),
        ("302 Odd", MAYBE_DELETED, K::UnexpectedResponse),
        ("400 Odd", NOT_DELETED, K::BadRequest),
        ("401 Odd", NOT_DELETED, K::Unauthorized),
        ("403 Odd", NOT_DELETED, K::Forbidden),
        ("408 Odd", MAYBE_DELETED, K::Timeout),
        ("409 Odd", NOT_DELETED, K::Conflict),
        ("429 Odd", NOT_DELETED, K::RateLimited),
        ("500 Odd", MAYBE_DELETED, K::Server),
    ];
    let fault = |(status, opening, kind)| {
        let bytes = response(status, "Retry-After: 0\r\n", "");
        Fault::new(Deletes::No, bytes, End::KeepsConnection, opening, kind)
    };
    rows.map(fault).into()
}

#[rustfmt::skip] // one row a line
fn odd_responses() -> Vec<Fault> {
    use ErrorKind::{Transport, UnexpectedResponse};
    let rows = [
        (UnexpectedResponse, "HTTP/1.1 200 OK\r\n\r\n"),
        (UnexpectedResponse, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (UnexpectedResponse, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (UnexpectedResponse, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
        (Transport, "0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), // after the rest of another response
        (Transport, "deleted\n"), // HTTP/0.9
        (Transport, "\0\0\0\x04\0\0\0\0\0"), // HTTP/2
        (Transport, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n"),
        (Transport, "HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n"),
        (Transport, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n"),
    ];
    let fault = |(kind, bytes)| Fault::new(Deletes::Yes, bytes, End::Closes, MAYBE_DELETED, kind);
    rows.map(fault).into()
}

/// Makes one call, each attempt of which meets one of `faults`, in turn, on a connection of its own.
fn delete_despite(faults: &[&Fault]) -> (Result<(), Error>, Gateway) {
    let causes = faults.iter().map(|fault| fault.cause.clone());
    let endings: Mutex<VecDeque<_>> = Mutex::new(causes.collect());
    let gateway = Gateway::open(
        move |mut stream| match endings.lock().unwrap().pop_front() {
            Some(Cause::Handshake(_, ending)) => {
                ending(&mut stream);
                None
            }
            _ => handshake(&ours().1, stream),
        },
        serve,
    );
    gateway.put(["r/i", "r/other"]);
    for fault in faults {
        if let Cause::Response(deletes, bytes, end) = fault.cause.clone() {
            gateway.script(move |exchange| respond(deletes, &bytes, end, exchange));
        }
    }
    let attempts = u32::try_from(faults.len()).unwrap();
    let hangs = faults.iter().any(|fault| fault.hangs());
    let client = Route::Direct.to_within(time_for(hangs), gateway.address());
    let client = client.max_attempts(attempts);
    let outcome = client.build().unwrap().delete_image("r", "i");
    (outcome, gateway)
}

#[test]
fn delete_image_tells_of_each_fault() {
    in_parallel(&faults(), |fault| {
        let (outcome, gateway) = delete_despite(&[fault; 2]);
        let what = format!("{fault:?}: {outcome:?}");
        let attempts = if fault.is_retried() { 2 } else { 1 };
        assert_eq!(gateway.connections(), attempts, "connections: {what}");
        let is_sent = matches!(fault.cause, Cause::Response(..));
        let requests = if is_sent { attempts } else { 0 };
        assert_eq!(gateway.requests().len(), requests, "requests: {what}");
        let Err(error) = outcome else {
            assert_eq!(fault.error, None, "{what}");
            return;
        };
        let told = Some(told(&error));
        assert_eq!(told, fault.error, "{what}");
        assert_eq!(error.attempts() as usize, attempts, "{what}");
        assert_eq!(error.is_transient(), fault.is_retried(), "{what}");
        assert_eq!(error.may_have_been_deleted(), fault.is_unknown(), "{what}");
    });
}

#[test]
fn delete_image_tells_the_truth_after_every_pair_of_faults() {
    let test = delete_image_tells_the_truth_after_every_pair_of_faults;
    if_child(|| {
        delete_despite_pairs(std::env::var("SHARE").unwrap().parse().unwrap());
        String::new()
    });
    // Each of these processes has open files of its own.
    in_parallel(&[0, 1], |share| {
        child(test, &[("SHARE", share.to_string())]);
    });
}

/// Meets every other pair of faults that differ in something that a call could tell.
fn delete_despite_pairs(share: usize) {
    let mut faults: Vec<Fault> = Vec::new();
    for fault in self::faults() {
        if !faults.iter().any(|other| other.is_like(&fault)) {
            faults.push(fault);
        }
    }
    let firsts = faults.iter().filter(|fault| fault.is_retried());
    let pairs = firsts.flat_map(|first| faults.iter().map(move |second| (first, second)));
    let pairs: Vec<_> = pairs.skip(share).step_by(2).collect();
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
        let unknown = is_unknown.then_some(MAYBE_DELETED);
        let expected = expected.map(|(opening, kind)| (unknown.unwrap_or(opening), kind));
        let told = Some(told(&error));
        assert_eq!(told, expected, "{what}");
        assert_eq!(error.attempts(), 2, "{what}");
        assert_eq!(error.may_have_been_deleted(), is_unknown, "{what}");
        // What is true.
        let is_certain = !error.may_have_been_deleted() && !second.is_proof();
        assert!(!(is_certain && is_gone), "{what}");
    });
}
