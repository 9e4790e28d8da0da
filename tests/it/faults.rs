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

/// A row for each way that a call can tell apart. Others of the same kind have tables of their own.
#[rustfmt::skip] // one row a line
fn faults() -> Vec<Fault> {
    use {Deletes::{No, Yes}, End::{Closes, KeepsConnection as Keeps, Stalls}, ErrorKind as K};
    let odd = |status: &str| response(status, "Retry-After: 0\r\n", "");
    let not_found = |body| response("404 Not Found", "", body);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let rows = [
        (Yes, "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Keeps, None),
        (No, String::new(), Closes, Some((MAYBE_DELETED, K::Transport))),
        (Yes, half.into(), Closes, Some((MAYBE_DELETED, K::Transport))),
        (Yes, half.into(), Stalls, Some((MAYBE_DELETED, K::Transport))),
        (Yes, String::new(), Stalls, Some((MAYBE_DELETED, K::Timeout))),
        (Yes, half.replace("200 OK", "500 Oops"), Stalls, Some((MAYBE_DELETED, K::Server))),
        (Yes, odd("408 Odd"), Keeps, Some((MAYBE_DELETED, K::Timeout))),
        (Yes, "HTTP/1.1 200 OK\r\n\r\n".into(), Closes, Some((MAYBE_DELETED, K::UnexpectedResponse))),
        (Yes, not_found(NO_SUCH_IMAGE), Keeps, Some((NOT_FOUND, K::NotFound))), // another client was faster
        (No, not_found("{}"), Keeps, Some((NOT_FOUND, K::NotFound))),
        (No, not_found("default backend - 404"), Keeps, Some((NOT_DELETED, K::UnexpectedResponse))),
        (No, not_found(NO_SUCH_IMAGE).replace("}}", ""), Closes, Some((NOT_DELETED, K::Transport))),
        (No, odd("302 Odd"), Keeps, Some((MAYBE_DELETED, K::UnexpectedResponse))),
        (No, odd("400 Odd"), Keeps, Some((NOT_DELETED, K::BadRequest))),
        (No, odd("401 Odd"), Keeps, Some((NOT_DELETED, K::Unauthorized))),
        (No, odd("403 Odd"), Keeps, Some((NOT_DELETED, K::Forbidden))),
        (No, odd("408 Odd"), Keeps, Some((MAYBE_DELETED, K::Timeout))),
        (No, odd("409 Odd"), Keeps, Some((NOT_DELETED, K::Conflict))),
        (No, odd("429 Odd"), Keeps, Some((NOT_DELETED, K::RateLimited))),
        (No, odd("500 Odd"), Keeps, Some((MAYBE_DELETED, K::Server))),
    ];
    let responses = rows.map(|(deletes, bytes, end, error)| {
        let cause = Cause::Response(deletes, bytes, end);
        Fault { cause, error }
    });
    // One handshake that ends, and one that does not.
    let handshakes = [HANDSHAKES[0], HANDSHAKES[6]].map(|(what, ending, kind)| {
        let cause = Cause::Handshake(what, ending);
        Fault { cause, error: Some((NOT_DELETED, kind)) }
    });
    responses.into_iter().chain(handshakes).collect()
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

/// Meets every other pair of faults.
fn delete_despite_pairs(share: usize) {
    let faults = faults();
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
