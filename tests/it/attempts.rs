//! How often a call tries, how long it waits, and when it ends.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ncloud_container_registry::ErrorKind;
use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};

use crate::faults::deaf_address;
use crate::gateway::{Exchange, Gateway, Then, answer};
use crate::{Background, builder, builder_at, client, in_parallel};
#[cfg(target_os = "linux")]
use crate::{if_child, run_child};

/// More than a machine under load needs to notice that the time is up.
const SLACK: Duration = Duration::from_secs(2);

fn seconds(seconds: f32) -> Duration {
    Duration::from_secs_f32(seconds)
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
fn as_many_attempts_as_allowed_are_made() {
    in_parallel(&[1, 2, 3], |max_attempts| {
        let gateway = Gateway::start(|exchange| {
            exchange.send(answer("503 Service Unavailable", "Retry-After: 0\r\n", ""));
            Then::KeepAlive
        });
        let client = builder(&gateway).max_attempts(*max_attempts);
        let error = client.build().unwrap().delete_image("r", "i").unwrap_err();
        assert_eq!(error.attempts(), *max_attempts);
        assert_eq!(gateway.requests().len(), *max_attempts as usize);
    });
}

#[test]
fn each_attempt_is_signed_anew() {
    let gateway = Gateway::with(&["r/i"]);
    for _ in 0..2 {
        gateway.answer(answer("503 Service Unavailable", "", ""));
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

/// A gateway that is busy, and the times at which its requests arrived.
fn busy_gateway(header: &'static str) -> (Gateway, &'static Mutex<Vec<Instant>>) {
    let arrivals: &Mutex<Vec<Instant>> = Box::leak(Box::default());
    let gateway = Gateway::start(|exchange| {
        arrivals.lock().unwrap().push(Instant::now());
        exchange.send(answer("503 Service Unavailable", header, ""));
        Then::KeepAlive
    });
    (gateway, arrivals)
}

#[test]
fn three_attempts_outlast_a_restart() {
    // Nothing else binds to this address.
    let listener = TcpListener::bind("127.0.0.78:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Background::start(move || {
        thread::sleep(seconds(1.0));
        let listener = TcpListener::bind(address).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let read = io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
        io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        read
    });
    let client = builder_at(&format!("http://{address}")).build().unwrap();
    client.delete_image("r", "i").unwrap();
    server.finish();
}

#[test]
fn the_wait_doubles() {
    let (gateway, arrivals) = busy_gateway("Retry-After: 0\r\n");
    let error = client(&gateway).delete_image("r", "i").unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    let arrivals = arrivals.lock().unwrap();
    let waits: Vec<_> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 2);
    assert!(
        waits[0] >= seconds(0.5) && waits[0] < seconds(1.0) + SLACK,
        "{waits:?}"
    );
    assert!(
        waits[1] >= seconds(1.0) && waits[1] < seconds(2.0) + SLACK,
        "{waits:?}"
    );
}

#[test]
fn many_clients_get_through_a_rate_limit() {
    // 10 requests in each second.
    let window: &Mutex<(Option<Instant>, u32)> = Box::leak(Box::default());
    let gateway = Gateway::start(|exchange| {
        let (start, count) = &mut *window.lock().unwrap();
        if start.is_none_or(|start| start.elapsed() >= seconds(1.0)) {
            (*start, *count) = (Some(Instant::now()), 0);
        }
        *count += 1;
        let answer = match count {
            1..=10 => exchange.serve(),
            _ => answer("429 Too Many Requests", "", "{}"),
        };
        exchange.send(answer);
        Then::KeepAlive
    });
    let names: Vec<_> = (0..30).map(|number| format!("image-{number}")).collect();
    let images: Vec<_> = names.iter().map(|name| format!("r/{name}")).collect();
    gateway.put(&images.iter().map(String::as_str).collect::<Vec<_>>());
    let client = builder(&gateway).max_attempts(5).build().unwrap();
    in_parallel(&names, |name| client.delete_image("r", name).unwrap());
    assert_eq!(gateway.images(), [""; 0]);
}

#[test]
fn a_call_that_hangs_once_has_a_second_chance() {
    let nothing = "";
    let half_a_503 = "HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nbu";
    in_parallel(&[nothing, half_a_503], |start| {
        let gateway = Gateway::with(&["r/i"]);
        let start = *start;
        gateway.script(move |exchange| {
            exchange.send(start);
            exchange.wait_for_close();
            Then::Close
        });
        let client = builder(&gateway).timeout(seconds(8.0)).build().unwrap();
        client.delete_image("r", "i").unwrap();
        assert_eq!(gateway.images(), [""; 0]);
        assert_eq!(gateway.requests().len(), 2);
    });
}

#[test]
fn a_retry_has_a_connection_of_its_own() {
    // Three connections are kept, and die together.
    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(3)));
    let gateway = Gateway::with(&["r/a", "r/b", "r/c", "r/i"]);
    for _ in 0..3 {
        gateway.script(|exchange| {
            barrier.wait();
            let answer = exchange.serve();
            exchange.send(answer);
            exchange.wait_for_input();
            Then::Close
        });
    }
    let client = client(&gateway);
    in_parallel(&["a", "b", "c"], |name| {
        client.delete_image("r", name).unwrap();
    });
    assert_eq!(gateway.connections(), 3);
    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.images(), [""; 0]);
    assert_eq!(gateway.connections(), 4);
}

#[test]
fn a_wait_that_leaves_no_time_ends_the_call_now() {
    let rows = [
        ("429 Too Many Requests", "59", 59),
        ("429 Too Many Requests", "3600", 3600),
        ("429 Too Many Requests", "53", 53), // less than an eighth of a minute would be left
        (
            "503 Service Unavailable",
            "18446744073709551615",
            u32::MAX.into(),
        ),
        (
            "503 Service Unavailable",
            "99999999999999999999",
            u32::MAX.into(),
        ),
    ];
    in_parallel(&rows, |(status, retry_after, seconds)| {
        let gateway = Gateway::with(&["r/i"]);
        let header = format!("Retry-After: {retry_after}\r\n");
        gateway.answer(answer(status, &header, ""));
        let started = Instant::now();
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        assert!(started.elapsed() < SLACK);
        assert_eq!(error.attempts(), 1);
        let wait = error.retry_after().unwrap();
        assert_eq!(wait.as_secs(), *seconds);
        let _ = Instant::now() + wait; // which a longer one would make panic
        assert_eq!(error.may_have_been_deleted(), status.starts_with("503"));
        let text = format!("; the service asks to wait {seconds} s");
        assert!(error.to_string().contains(&text), "{error}");
    });
}

#[test]
fn a_longer_wait_is_kept_if_the_service_asks_for_it() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.answer(answer("503 Busy", "Retry-After: 2\r\n", ""));
    let started = Instant::now();
    client(&gateway).delete_image("r", "i").unwrap();
    assert!(started.elapsed() >= seconds(2.0));
}

#[test]
fn a_wait_that_is_no_number_counts_as_none() {
    let rows = [
        "soon",
        "-1",
        "+1",
        "1.5",
        "",
        "1 s",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ];
    in_parallel(&rows, |retry_after| {
        let gateway = Gateway::with(&["r/i"]);
        let header = format!("Retry-After: {retry_after}\r\n");
        gateway.answer(answer("503 Busy", &header, ""));
        client(&gateway).delete_image("r", "i").unwrap();
        gateway.answer(answer("403 No", &header, ""));
        let error = client(&gateway).delete_image("r", "i").unwrap_err();
        assert_eq!(error.retry_after(), None);
    });
}

#[test]
fn attempts_end_in_time_however_many_are_allowed() {
    in_parallel(&[2.0, 4.0], |timeout| {
        let (gateway, arrivals) = busy_gateway("Retry-After: 0\r\n");
        let timeout = seconds(*timeout);
        let client = builder(&gateway).max_attempts(u32::MAX).timeout(timeout);
        let client = client.build().unwrap();
        let started = Instant::now();
        let error = client.delete_image("r", "i").unwrap_err();
        assert!(started.elapsed() < timeout + SLACK);
        assert!((2..=6).contains(&error.attempts()), "{error}");
        let last = *arrivals.lock().unwrap().last().unwrap();
        // An eighth of its time is left for the last one to be answered in.
        assert!(last - started < timeout * 7 / 8 + SLACK / 2);
    });
}

#[test]
fn no_call_outlasts_its_time() {
    type Act = fn(&mut Exchange<'_>);
    fn stall(start: &str, exchange: &mut Exchange<'_>) {
        exchange.send(start);
        exchange.wait_for_close();
    }
    fn trickle(start: &str, byte: u8, exchange: &mut Exchange<'_>) {
        exchange.send(start);
        while exchange.send([byte]) {
            thread::sleep(seconds(0.1));
        }
    }
    use ErrorKind as K;
    let rows: [(&str, Act, K, Option<u16>); 6] = [
        ("says nothing", |e| stall("", e), K::Timeout, None),
        (
            "trickles a header",
            |e| trickle("HTTP/1.1 204 No Content\r\nx-padding: ", b'x', e),
            K::Timeout,
            None,
        ),
        (
            "stops within the header",
            |e| stall("HTTP/1.1 204", e),
            K::Timeout,
            None,
        ),
        (
            "stops within the body",
            |e| stall("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n{", e),
            K::Forbidden,
            Some(403),
        ),
        (
            "trickles a body",
            |e| trickle("HTTP/1.1 500 Oops\r\nContent-Length: 9999\r\n\r\n", b' ', e),
            K::Server,
            Some(500),
        ),
        (
            "sends 1xx without end",
            |e| {
                while e.send("HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n") {
                    thread::sleep(seconds(0.01));
                }
            },
            K::Timeout,
            None,
        ),
    ];
    in_parallel(&rows, |(what, act, kind, status)| {
        let act = *act;
        let gateway = Gateway::start(move |exchange| {
            act(exchange);
            Then::Close
        });
        let timeout = seconds(2.0);
        let client = builder(&gateway).timeout(timeout).build().unwrap();
        let started = Instant::now();
        let error = client.delete_image("r", "i").unwrap_err();
        let elapsed = started.elapsed();
        assert!(elapsed < timeout + SLACK, "{what}: {elapsed:?}");
        assert_eq!((error.kind(), error.status()), (*kind, *status), "{what}");
        let is_refusal = *status == Some(403);
        assert_eq!(error.attempts() > 1, !is_refusal, "{what}: {error}");
    });
}

#[test]
fn a_connection_that_is_never_completed_does_not_outlast_the_call() {
    let timeout = seconds(2.0);
    let api_url = format!("http://{}", deaf_address());
    let client = builder_at(&api_url).timeout(timeout).build().unwrap();
    let started = Instant::now();
    let error = client.delete_image("r", "i").unwrap_err();
    assert!(started.elapsed() < timeout + SLACK);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(!error.may_have_been_deleted(), "{error}");
    assert!(error.attempts() >= 2, "{error}");
    let start = format!(
        "r/i was not deleted: no connection to {} within ",
        deaf_address()
    );
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn the_time_that_is_told_is_that_of_the_call() {
    let gateway = Gateway::start(|exchange| {
        exchange.wait_for_close();
        Then::Close
    });
    let client = builder(&gateway).timeout(seconds(2.0)).max_attempts(2);
    let error = client.build().unwrap().delete_image("r", "i").unwrap_err();
    let start = format!(
        "r/i may have been deleted: no answer from {} within ",
        gateway.address()
    );
    let end = " s, 2 attempts; run it again or list the registry";
    let text = error.to_string();
    let told = text
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix(end));
    let told: f32 = told.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    assert!((2.0..4.0).contains(&told), "{text}");
}

/// Takes its time to find a port at which nothing listens.
#[derive(Debug)]
struct SlowLookup(Duration);

impl Resolver for SlowLookup {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        thread::sleep(self.0);
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from(([127, 0, 0, 77], 9)));
        Ok(addresses)
    }
}

#[cfg(unix)]
#[test]
fn a_refused_connection_leaves_no_doubt_within_a_second() {
    in_parallel(&[(0.3, false), (1.2, true)], |(after, in_doubt)| {
        let config = ureq::Agent::config_builder().proxy(None).build();
        let lookup = SlowLookup(seconds(*after));
        let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), lookup);
        let client = builder_at("http://localhost").agent(agent).max_attempts(1);
        let error = client.build().unwrap().delete_image("r", "i").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport);
        assert_eq!(error.may_have_been_deleted(), *in_doubt, "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_files_leaves_no_doubt() {
    use ncloud_container_registry::Error;
    use std::fs::File;

    fn describe(outcome: Result<bool, Error>) -> String {
        match outcome {
            Ok(existed) => format!("existed: {existed}"),
            Err(error) => format!("{:?} {error}", error.kind()),
        }
    }
    if_child(|| {
        let client = builder_at(&std::env::var("API_URL").unwrap())
            .build()
            .unwrap();
        let open = || File::open("/dev/null");
        let files: Vec<_> = std::iter::from_fn(|| open().ok()).take(10_000).collect();
        assert_eq!(open().unwrap_err().raw_os_error(), Some(24));
        if std::env::var_os("FOR_GOOD").is_some() {
            let outcome = client.delete_image_if_exists("r", "i");
            drop(files);
            return describe(outcome);
        }
        thread::spawn(move || {
            thread::sleep(seconds(0.1));
            drop(files);
        });
        describe(client.delete_image_if_exists("r", "i"))
    });
    let gateway = Gateway::with(&[]);
    let run = |for_good: &[(&str, &str)]| {
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap());
        let url = gateway.url();
        let environment = [&[("API_URL", &*url)], for_good].concat();
        run_child(
            command,
            "attempts::a_lack_of_files_leaves_no_doubt",
            &environment,
        )
    };
    assert_eq!(run(&[]), "existed: false");
    let expected = format!(
        "Transport r/i was not deleted: no connection to {}: Too many open files (os error 24), \
         3 attempts; check the network, the proxy and the API URL",
        gateway.address()
    );
    assert_eq!(run(&[("FOR_GOOD", "1")]), expected);
}

/// As a process that is stopped, or whose machine is suspended, between two attempts.
#[cfg(target_os = "linux")]
#[test]
fn an_attempt_for_which_no_time_is_left_after_a_wait_is_not_made() {
    use std::process::Command;

    if_child(|| {
        let client = builder_at(&std::env::var("API_URL").unwrap()).timeout(seconds(4.0));
        let image = format!("pid/{}", std::process::id());
        client
            .build()
            .unwrap()
            .delete_image("r", &image)
            .unwrap_err()
            .to_string()
    });
    let gateway = Gateway::start(|exchange| {
        let (_, pid) = exchange.request.target().rsplit_once("%2F").unwrap();
        let pid = pid.to_owned();
        exchange.send(answer("429 Too Many Requests", "Retry-After: 2\r\n", ""));
        thread::spawn(move || {
            let signal = |name: &str| {
                let kill = format!("kill {name} {pid}"); // which every shell has built in
                Command::new("/bin/sh")
                    .args(["-c", &kill])
                    .status()
                    .unwrap()
            };
            thread::sleep(seconds(0.5)); // the client waits for two seconds now
            signal("-STOP");
            thread::sleep(seconds(4.0));
            signal("-CONT");
        });
        Then::KeepAlive
    });
    let command = Command::new(std::env::current_exe().unwrap());
    let test = "attempts::an_attempt_for_which_no_time_is_left_after_a_wait_is_not_made";
    let told = run_child(command, test, &[("API_URL", gateway.url())]);
    assert!(
        told.contains(" was not deleted: 429 Too Many Requests; "),
        "{told}"
    );
    assert_eq!(gateway.requests().len(), 1);
}

#[test]
fn a_redirect_is_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Gateway::with(&["r/i"]);
        let gateway = Gateway::with(&["r/i"]);
        let location = format!("{}/repositories/r/i", elsewhere.url());
        let header = format!("Location: {location}\r\n");
        for body in ["", "<html>moved</html>"] {
            gateway.answer(answer(&format!("{status} Moved"), &header, body));
            let error = client(&gateway).delete_image("r", "i").unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (ErrorKind::UnexpectedResponse, Some(status))
            );
            assert!(
                error.to_string().contains(&format!(" to {location}")),
                "{error}"
            );
            assert!(error.may_have_been_deleted());
            assert_eq!(error.attempts(), 1);
        }
        assert_eq!(elsewhere.connections(), 0);
        assert_eq!(gateway.requests().len(), 2);
        assert_eq!(gateway.images(), ["r/i"]);
    }
}
