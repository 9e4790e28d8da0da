//! Servers and networks that misbehave, one row a fault.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};
use ncloud_container_registry::{Error, ErrorKind};

use crate::gateway::{Exchange, Gateway, NO_SUCH_IMAGE, Then, answer};
use crate::{builder, in_parallel};

/// One way that an attempt can end.
struct Fault {
    /// What the server or the network does.
    what: &'static str,
    does: Does,
    /// How a call of this attempt alone begins to tell of it; none if it is a success.
    opening: Option<Opening>,
    kind: Option<ErrorKind>,
    /// Whether another attempt follows.
    again: bool,
    /// Whether the image is gone in truth.
    gone: bool,
    /// Whether the service itself says that there is no such image.
    proof: bool,
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
    const ALL: [Opening; 4] = [
        Opening::CannotDelete,
        Opening::NotDeleted,
        Opening::NotFound,
        Opening::MaybeDeleted,
    ];

    fn of(text: &str) -> Opening {
        let start = |opening: &Opening| match opening {
            Opening::CannotDelete => "cannot delete r/i: ",
            Opening::NotDeleted => "r/i was not deleted: ",
            Opening::NotFound => "r/i was not found: ",
            Opening::MaybeDeleted => "r/i may have been deleted",
        };
        let found: Vec<_> = Opening::ALL
            .into_iter()
            .filter(|opening| text.contains(start(opening)))
            .collect();
        assert_eq!(found.len(), 1, "{text}");
        assert!(text.starts_with(start(&found[0])), "{text}");
        found[0]
    }
}

type Act = Arc<dyn Fn(&mut Exchange<'_>) -> Then + Send + Sync>;

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
    Reports(io::ErrorKind),
    ReportsCode(i32),
    FindsClosedPort,
    FindsDeafHost,
}

impl Fault {
    fn new(what: &'static str, does: Does) -> Fault {
        Fault {
            what,
            does,
            opening: None,
            kind: None,
            again: false,
            gone: false,
            proof: false,
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

    fn again(mut self) -> Fault {
        self.again = true;
        self
    }

    fn gone(mut self) -> Fault {
        self.gone = true;
        self
    }

    fn proof(mut self) -> Fault {
        self.proof = true;
        self
    }

    fn is_maybe(&self) -> bool {
        self.opening == Some(Opening::MaybeDeleted)
    }
}

/// Before the request is sent.
fn before(what: &'static str, lookup: Lookup) -> Fault {
    Fault::new(what, Does::Before(lookup))
}

/// After the request has arrived.
fn on_request(what: &'static str, act: Act) -> Fault {
    Fault::new(what, Does::Serves(act))
}

fn says(bytes: impl Into<String>) -> Act {
    let bytes = bytes.into();
    Arc::new(move |exchange| {
        exchange.send(&bytes);
        Then::KeepAlive
    })
}

fn answers(status: &str, headers: &str, body: &str) -> Act {
    says(answer(status, headers, body))
}

fn breaks_after(bytes: &'static str) -> Act {
    Arc::new(move |exchange| {
        exchange.send(bytes);
        Then::Close
    })
}

fn stalls_after(bytes: &'static str) -> Act {
    Arc::new(move |exchange| {
        exchange.send(bytes);
        exchange.wait_for_close();
        Then::Close
    })
}

fn deletes_then(act: Act) -> Act {
    Arc::new(move |exchange| {
        exchange.serve();
        act(exchange)
    })
}

/// What the service answers to a request that it serves.
fn serves() -> Act {
    Arc::new(|exchange| {
        let answer = exchange.serve();
        exchange.send(answer);
        Then::KeepAlive
    })
}

const URL_UNKNOWN: &str = r#"{"error":{"errorCode":"300","message":"Not Found Exception"}}"#;
const KONG: &str = r#"{"message":"no Route matched with those values"}"#;

fn faults() -> Vec<Fault> {
    let mut faults = ends();
    faults.extend(failures_to_connect());
    faults.extend(lost_answers());
    faults.extend(statuses());
    faults.extend(strange_answers());
    faults
}

fn ends() -> Vec<Fault> {
    use ErrorKind as K;
    vec![
        on_request("answers as it should", serves()).gone(),
        on_request(
            "answers with an empty 200",
            deletes_then(answers("200 OK", "", "")),
        )
        .gone(),
        on_request(
            "another client was faster",
            deletes_then(answers("404 Not Found", "", NO_SUCH_IMAGE)),
        )
        .not_found()
        .gone()
        .proof(),
        on_request(
            "answers with an empty 404",
            answers("404 Not Found", "", ""),
        )
        .not_found(),
        on_request("answers like Kong", answers("404 Not Found", "", KONG)).not_found(),
        on_request(
            "answers with the page of a load balancer",
            answers("404 Not Found", "", "default backend - 404"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "does not know the URL",
            answers("404 Not Found", "", URL_UNKNOWN),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "cuts off a 404 after its head",
            breaks_after("HTTP/1.1 404 Not Found\r\nContent-Length: 90\r\n\r\n"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "answers with a 404 without length",
            breaks_after("HTTP/1.1 404 Not Found\r\n\r\n{\"error\":{\"errorCode\":\"404\"}}"),
        )
        .not_deleted(K::UnexpectedResponse),
        on_request(
            "stops within the body of a 404",
            stalls_after("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{}"),
        )
        .not_deleted(K::UnexpectedResponse),
    ]
}

fn failures_to_connect() -> Vec<Fault> {
    use ErrorKind as K;
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, NetworkUnreachable, PermissionDenied};
    let mut faults = vec![
        before("has no address", Lookup::FindsNoHost),
        before("cannot be looked up", Lookup::Fails),
        before("may not be connected to", Lookup::Reports(PermissionDenied)),
        before("is unreachable", Lookup::Reports(NetworkUnreachable)),
        before("needs a local port", Lookup::Reports(AddrNotAvailable)),
        before("needs another local port", Lookup::Reports(AddrInUse)),
        before("refuses the connection", Lookup::FindsClosedPort),
    ];
    if cfg!(unix) {
        faults.push(before("needs a file", Lookup::ReportsCode(24)));
        faults.push(before(
            "needs a file of the system",
            Lookup::ReportsCode(23),
        ));
    }
    let mut faults: Vec<_> = faults
        .into_iter()
        .map(|fault| fault.not_deleted(K::Transport).again())
        .collect();
    let deaf = before("never completes the connection", Lookup::FindsDeafHost);
    faults.push(deaf.not_deleted(K::Timeout).again());
    faults
}

fn lost_answers() -> Vec<Fault> {
    use ErrorKind as K;
    let lost = |what, act, kind| on_request(what, act).maybe_deleted(kind).again();
    vec![
        lost("closes without an answer", breaks_after(""), K::Transport),
        lost(
            "deletes, then closes without an answer",
            deletes_then(breaks_after("")),
            K::Transport,
        )
        .gone(),
        lost(
            "closes within the status line",
            breaks_after("HTTP/1.1 2"),
            K::Transport,
        ),
        lost(
            "deletes, then closes within the header",
            deletes_then(breaks_after("HTTP/1.1 204 No Content\r\nDate:")),
            K::Transport,
        )
        .gone(),
        lost(
            "closes within the body of a 200",
            breaks_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            K::UnexpectedResponse,
        ),
        lost(
            "deletes, then closes within a chunk's first line",
            deletes_then(breaks_after(
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
            "stops within the body of a 500",
            stalls_after("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nx"),
            K::Server,
        ),
    ]
}

fn statuses() -> Vec<Fault> {
    use ErrorKind as K;
    let soon = "Retry-After: 0\r\n";
    let no = |status, kind| {
        on_request(status, answers(status, "Retry-After: 0\r\n", "")).not_deleted(kind)
    };
    let maybe = |what, act, kind| on_request(what, act).maybe_deleted(kind);
    vec![
        no("400 Bad Request", K::BadRequest),
        no("401 Unauthorized", K::Unauthorized),
        no("403 Forbidden", K::Forbidden),
        no("409 Conflict", K::Conflict),
        no("425 Too Early", K::BadRequest),
        no("429 Too Many Requests", K::RateLimited).again(),
        on_request(
            "stops within the body of a 403",
            stalls_after("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nx"),
        )
        .not_deleted(K::Forbidden),
        maybe("408", answers("408 Timeout", "", ""), K::Timeout).again(),
        maybe(
            "deletes, then a proxy answers 408",
            deletes_then(answers("408 Timeout", "", "")),
            K::Timeout,
        )
        .again()
        .gone(),
        maybe("500", answers("500 Error", "", "oops"), K::Server).again(),
        maybe(
            "deletes, then answers 500",
            deletes_then(answers("500 Error", "", "{}")),
            K::Server,
        )
        .again()
        .gone(),
        maybe("502", answers("502 Bad Gateway", soon, "<html>"), K::Server).again(),
        maybe("503", answers("503 Unavailable", soon, ""), K::Server).again(),
        maybe(
            "deletes, then answers 504",
            deletes_then(answers("504 Gateway Timeout", soon, "")),
            K::Server,
        )
        .again()
        .gone(),
        maybe("501", answers("501 Not Implemented", "", ""), K::Server),
        maybe("505", answers("505 Version", "", ""), K::Server),
    ]
}

fn strange_answers() -> Vec<Fault> {
    use ErrorKind as K;
    let strange = |what, act| on_request(what, act).maybe_deleted(K::UnexpectedResponse);
    vec![
        strange(
            "cuts off the body of a 200 without length",
            breaks_after("HTTP/1.1 200 OK\r\n\r\n"),
        ),
        strange(
            "deletes, then answers with a 200 without length",
            deletes_then(breaks_after("HTTP/1.1 200 OK\r\n\r\n")),
        )
        .gone(),
        strange(
            "cuts off a 200 in an unknown coding",
            breaks_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ),
        strange(
            "cuts off chunks on HTTP/1.0",
            breaks_after("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        strange("accepts, and does nothing", answers("202 Accepted", "", "")),
        strange(
            "redirects",
            answers("307 Temporary Redirect", "Location: /\r\n", ""),
        ),
        strange("shows a login page", answers("200 OK", "", "<html>")),
        strange(
            "deletes, then answers 206",
            deletes_then(answers("206 Partial Content", "", "")),
        )
        .gone(),
        strange(
            "deletes, and its answer comes after the rest of another",
            deletes_then(says("0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")),
        )
        .again()
        .gone(),
        strange("speaks HTTP/0.9", breaks_after("deleted\n")).again(),
        strange("speaks HTTP/2", breaks_after("\0\0\0\x04\0\0\0\0\0")).again(),
        strange(
            "gives two lengths",
            says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n"),
        )
        .again(),
        strange(
            "gives a length that is no number",
            says("HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n"),
        )
        .again(),
        strange(
            "gives a chunk size that is no number",
            says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n"),
        )
        .again(),
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
            Some(Lookup::Reports(kind)) => return Err(io::Error::from(kind).into()),
            Some(Lookup::ReportsCode(code)) => {
                return Err(io::Error::from_raw_os_error(code).into());
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
pub fn deaf_address() -> SocketAddr {
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
        match &fault.does {
            Does::Before(lookup) => lookups.push_back(Some(*lookup)),
            Does::Serves(act) => {
                lookups.push_back(None);
                let act = Arc::clone(act);
                gateway.script(move |exchange| act(exchange));
            }
        }
    }
    let config = ureq::Agent::config_builder()
        .max_idle_connections(0) // each attempt is led anew
        // Far more than an answer needs, even where hundreds of tests share a core.
        .timeout_connect(Some(Duration::from_secs(1)))
        .timeout_global(Some(Duration::from_secs(2)))
        .build();
    let signpost = Signpost {
        gateway: gateway.address(),
        lookups: Mutex::new(lookups),
    };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), signpost);
    let attempts = u32::try_from(faults.len()).unwrap();
    let client = builder(&gateway).agent(agent).max_attempts(attempts);
    let outcome = client.build().unwrap().delete_image("r", "i");
    (outcome, gateway)
}

#[test]
fn each_fault_ends_as_it_should() {
    in_parallel(&faults(), |fault| {
        let what = fault.what;
        let (outcome, gateway) = suffer(&[fault; 2]);
        let attempts = if fault.again { 2 } else { 1 };
        match &outcome {
            Ok(()) => assert_eq!(fault.opening, None, "{what}"),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(Some(error.kind()), fault.kind, "{what}: {text}");
                assert_eq!(Some(Opening::of(&text)), fault.opening, "{what}: {text}");
                assert_eq!(error.attempts(), attempts, "{what}: {text}");
                assert_eq!(text.contains(", 2 attempts"), fault.again, "{what}: {text}");
                assert_eq!(error.may_have_been_deleted(), fault.is_maybe(), "{what}");
                let is_transient = fault.again || error.kind() == ErrorKind::Conflict;
                assert_eq!(error.is_transient(), is_transient, "{what}: {text}");
                let advice = "; run it again or list the registry";
                assert_eq!(text.ends_with(advice), fault.is_maybe(), "{what}: {text}");
            }
        }
        let requests = match fault.does {
            Does::Before(_) => 0,
            Does::Serves(_) => attempts as usize,
        };
        assert_eq!(gateway.requests().len(), requests, "{what}");
        let expected: &[&str] = if fault.gone {
            &["r/other"]
        } else {
            &["r/i", "r/other"]
        };
        assert_eq!(gateway.images(), expected, "{what}");
    });
}

#[test]
fn the_truth_is_told_after_every_pair_of_ends() {
    let faults = faults();
    let firsts = faults.iter().filter(|fault| fault.again);
    let pairs: Vec<_> = firsts
        .flat_map(|first| faults.iter().map(move |second| (first, second)))
        .collect();
    in_parallel(&pairs, |(first, second)| {
        let what = format!("{}, then {}", first.what, second.what);
        let (outcome, gateway) = suffer(&[first, second]);

        // What the rules say.
        let is_success = second.opening.is_none() || (second.proof && first.is_maybe());
        let is_maybe = first.is_maybe() || second.is_maybe();
        match &outcome {
            Ok(()) => assert!(is_success, "{what}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_success, "{what}: {text}");
                assert_eq!(Some(error.kind()), second.kind, "{what}: {text}");
                let opening = if is_maybe {
                    Some(Opening::MaybeDeleted)
                } else {
                    second.opening
                };
                assert_eq!(Some(Opening::of(&text)), opening, "{what}: {text}");
                assert_eq!(error.attempts(), 2, "{what}: {text}");
                assert_eq!(error.may_have_been_deleted(), is_maybe, "{what}: {text}");
            }
        }
        // What is true.
        let is_gone = !gateway.images().contains(&"r/i".to_owned());
        assert_eq!(is_gone, first.gone || second.gone, "{what}");
        match &outcome {
            Ok(()) => assert!(is_gone, "{what}"),
            Err(_) if second.proof => assert!(is_gone, "{what}"),
            Err(error) if !error.may_have_been_deleted() => assert!(!is_gone, "{what}"),
            Err(_) => {}
        }
        assert!(gateway.images().contains(&"r/other".to_owned()), "{what}");
    });
}
