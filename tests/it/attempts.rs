//! How often a call tries, how long it waits, and when it ends.

#[cfg(unix)]
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ncloud_container_registry::ErrorKind;

use crate::gateway::{Behavior, Exchange, Gateway, Then, response};
use crate::{builder, client, in_parallel};
#[cfg(unix)]
use crate::{builder_at, child, if_child};

/// More than a machine under load needs to notice that the time is up.
const SLACK: Duration = Duration::from_secs(10);

fn seconds(seconds: f32) -> Duration {
    Duration::from_secs_f32(seconds)
}

/// A deletion that outlasts its attempt makes the next one a conflict, and the one after it a 404.
#[test]
fn delete_image_outlasts_its_own_conflict() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.script(|exchange| {
        exchange.serve();
        exchange.send(response("504 Gateway Timeout", "", ""));
        Then::KeepAlive
    });
    gateway.respond(response("409 Conflict", "", ""));
    assert!(client(&gateway).delete_image_if_exists("r", "i").unwrap());
    gateway.assert_requests(3);
}

#[test]
fn delete_image_signs_each_attempt_anew() {
    let gateway = Gateway::with(&["r/i"]);
    for _ in 0..2 {
        gateway.respond(response("503 Service Unavailable", "", ""));
    }
    client(&gateway).delete_image("r", "i").unwrap();
    let requests = gateway.requests();
    assert_eq!(requests.len(), 3);
    for header in ["x-ncp-apigw-timestamp", "x-ncp-apigw-signature-v2"] {
        let values = requests.iter().flat_map(|request| request.header(header));
        let mut values: Vec<_> = values.collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 3, "{header}");
    }
}

#[test]
fn max_attempts_are_spread_by_waits_that_double() {
    let arrivals: &Mutex<Vec<Instant>> = Box::leak(Box::default());
    let gateway = Gateway::start(|exchange| {
        arrivals.lock().unwrap().push(Instant::now());
        exchange.send(response("503 Busy", "Retry-After: 0\r\n", ""));
        Then::KeepAlive
    });
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    let arrivals = arrivals.lock().unwrap();
    let waits: Vec<_> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let [first, second] = *waits else {
        panic!("{waits:?}")
    };
    for (wait, low, high) in [(first, 0.5, 1.0), (second, 1.0, 2.0)] {
        let range = seconds(low)..seconds(high) + SLACK;
        assert!(range.contains(&wait), "{waits:?}");
    }
}

#[test]
fn retry_after_is_obeyed_or_ends_the_call() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.respond(response("503 Busy", "Retry-After: 2\r\n", ""));
    let started = Instant::now();
    client(&gateway).delete_image("r", "i").unwrap();
    assert!(started.elapsed() >= seconds(2.0));

    gateway.respond(response(
        "429 Too Many Requests",
        "Retry-After: 3600\r\n",
        "",
    ));
    let started = Instant::now();
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    assert!(started.elapsed() < SLACK, "{:?}", started.elapsed());
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::RateLimited, 1)
    );
    assert_eq!(error.retry_after(), Some(seconds(3600.0)));
}

#[test]
fn timeout_ends_every_call() {
    fn stall(start: &str, exchange: &mut Exchange<'_>) -> Then {
        exchange.send(start);
        exchange.wait_for_close();
        Then::Close
    }
    fn trickle(start: &str, more: &str, exchange: &mut Exchange<'_>) -> Then {
        exchange.send(start);
        while exchange.send(more) {
            thread::sleep(seconds(0.05));
        }
        Then::Close
    }
    use ErrorKind as K;
    #[rustfmt::skip] // one row a line
    let rows: [(&str, Behavior, K, Option<u16>); 6] = [
        ("nothing", |e| stall("", e), K::Timeout, None),
        ("half a header", |e| stall("HTTP/1.1 204", e), K::Timeout, None),
        ("half a body", |e| stall("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n{", e), K::UnexpectedResponse, Some(403)),
        ("a header, byte by byte", |e| trickle("HTTP/1.1 204 No Content\r\nx-padding: ", "x", e), K::Timeout, None),
        ("a body, byte by byte", |e| trickle("HTTP/1.1 500 Oops\r\nContent-Length: 9999\r\n\r\n", " ", e), K::Server, Some(500)),
        ("1xx without end", |e| trickle("", "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n", e), K::Timeout, None),
    ];
    in_parallel(&rows, |(what, behavior, kind, status)| {
        let gateway = Gateway::start(*behavior);
        let timeout = seconds(6.0);
        let client = builder(&gateway).timeout(timeout).build().unwrap();
        let started = Instant::now();
        let error = client.delete_image("r", "i").unwrap_err();
        let elapsed = started.elapsed();
        assert!(elapsed < timeout + SLACK, "{what}: {elapsed:?}");
        assert_eq!((error.kind(), error.status()), (*kind, *status), "{what}");
        let is_refusal = *status == Some(403);
        assert_eq!(error.attempts() > 1, !is_refusal, "{what}: {error}");
        // The time that is told is that of the call.
        if *kind == K::Timeout {
            let text = error.to_string();
            let (_, rest) = text.split_once(" within ").unwrap();
            let (told, _) = rest.split_once(" s, ").unwrap();
            let told = seconds(told.parse().unwrap());
            assert!(timeout <= told && told < timeout + SLACK, "{what}: {error}");
        }
    });
}

/// What the last attempt told with certainty stays certain if the wait after it took too long, as on
/// a machine that was suspended.
#[cfg(unix)]
#[test]
fn timeout_allows_no_retry_after_a_process_was_stopped() {
    if_child(|| {
        let api_url = std::env::var("API_URL").unwrap();
        let client = builder_at(&api_url)
            .timeout(seconds(8.0))
            .ureq_config(|config| config.accept(std::process::id().to_string()));
        let error = client.build().unwrap().delete_image("r", "i").unwrap_err();
        error.to_string()
    });
    // The wait would end after 5 s, and the last quarter begins after 6 s.
    let conflict = response("409 Conflict", "Retry-After: 5\r\n", "");
    let gateway = Gateway::start(move |exchange| {
        let process = exchange.request.header("accept").concat();
        exchange.send(&conflict);
        let stop = format!("sleep 2; kill -STOP {process}; sleep 5; kill -CONT {process}");
        Command::new("sh").args(["-c", &stop]).status().unwrap();
        Then::KeepAlive
    });
    let test = timeout_allows_no_retry_after_a_process_was_stopped;
    let told = child(test, &[("API_URL", gateway.url())]);
    gateway.assert_requests(1);
    let expected = "r/i was not deleted: 409 Conflict; wait 5 s, as the service asks";
    assert_eq!(told, expected);
}
