//! Clocks that differ.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ncloud_container_registry::{Client, Credentials, Error, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, Then, answer};
use crate::{builder, client};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_clock_that_is_an_hour_off_costs_one_request_once() {
    for ahead_ms in [
        HOUR_MS,
        -HOUR_MS,
        6 * 60_000,
        -6 * 60_000,
        20 * 365 * 24 * HOUR_MS,
    ] {
        let gateway = Gateway::with(&["r/a", "r/b", "r/c", "r/d"]);
        gateway.set_clock_ahead(ahead_ms);
        let client = client(&gateway);
        let cloned_before = client.clone();

        client.delete_image("r", "a").unwrap();
        assert_eq!(gateway.requests().len(), 2);
        client.delete_image("r", "b").unwrap();
        assert_eq!(gateway.requests().len(), 3);
        cloned_before.delete_image("r", "c").unwrap();
        assert_eq!(gateway.requests().len(), 4);
        client.clone().delete_image("r", "d").unwrap();
        assert_eq!(gateway.requests().len(), 5);
        assert_eq!(gateway.images(), [""; 0]);

        // What is shown is what would be sent.
        let signed = client.sign_delete_image("r", "a").unwrap();
        let timestamp_ms: i64 = signed.headers().nth(1).unwrap().1.parse().unwrap();
        let now_ms = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        assert!((timestamp_ms - now_ms - ahead_ms).abs() < 60_000);

        // The clock moves back: one more correction.
        gateway.set_clock_ahead(0);
        gateway.put(&["r/e"]);
        client.delete_image("r", "e").unwrap();
        assert_eq!(gateway.requests().len(), 7);
    }
}

#[test]
fn a_clock_that_is_right_costs_nothing() {
    let gateway = Gateway::with(&["r/a"]);
    gateway.set_clock_ahead(4 * 60_000);
    client(&gateway).delete_image("r", "a").unwrap();
    assert_eq!(gateway.requests().len(), 1);
}

/// A gateway that answers each request with 401 and the next of `dates`, over and over.
fn refusing(dates: &'static [&'static str]) -> Gateway {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Gateway::start(move |exchange| {
        let next = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % dates.len();
        let headers = match dates[next] {
            "" => String::new(),
            date => format!("Date: {date}\r\n"),
        };
        exchange.send(answer("401 Unauthorized", &headers, ""));
        Then::KeepAlive
    })
}

fn refused(client: &Client) -> Error {
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(!error.may_have_taken_effect());
    error
}

#[test]
fn strange_dates_cause_at_most_one_more_request() {
    for (dates, requests) in [
        (&[""][..], 1),
        (&["soon"], 1),
        (&["0"], 1),
        (&["Thu, 01 Jan 1970 00:00:00"], 1),
        (&["Wed, 31 Dec 1969 23:59:59 GMT"], 2),
        (&["Sunday, 06-Nov-95 08:49:37 GMT"], 1),
        (&["Thu, 01 Jan 99999999999999999999 00:00:00 GMT"], 1),
        (&["Thu, 01 Jan 1970 00:00:00 GMT"], 2),
        (&["Fri, 31 Dec 9999 23:59:59 GMT"], 2),
        (&["Fri Dec 31 23:59:59 9999"], 1),
        (
            &[
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "Fri, 31 Dec 9999 23:59:59 GMT",
            ],
            2,
        ),
        (
            &[
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Mon, 06 Nov 1995 08:49:37 GMT",
                "Wed, 06 Nov 1996 08:49:37 GMT",
            ],
            2,
        ),
        (&["Sun, 06 Nov 1994 08:49:37 GMT", ""], 2),
    ] {
        let gateway = refusing(dates);
        let client = client(&gateway);
        for call in 1..=3 {
            let before = gateway.requests().len();
            let error = refused(&client);
            let sent = gateway.requests().len() - before;
            assert_eq!(error.attempts() as usize, sent);
            assert!(sent <= requests, "call {call} with {dates:?} sent {sent}");
            if call == 1 {
                assert_eq!(sent, requests, "{dates:?}");
            }
        }
    }
}

#[test]
fn a_date_that_did_not_help_is_forgotten() {
    let gateway = Gateway::with(&["r/i"]);
    let client = client(&gateway);
    let date = "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n";
    gateway.answer(answer("401 Unauthorized", date, ""));
    gateway.answer(answer("401 Unauthorized", date, ""));
    refused(&client);
    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.requests().len(), 3);
}

#[test]
fn a_minute_is_tolerated() {
    for (ahead, requests) in [(50, 1), (-50, 1), (75, 2), (-75, 2)] {
        let gateway = Gateway::start(move |exchange| {
            let seconds = UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs()
                .saturating_add_signed(ahead);
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            exchange.send(answer("401 Unauthorized", &format!("Date: {date}\r\n"), ""));
            Then::KeepAlive
        });
        let error = refused(&client(&gateway));
        assert_eq!(gateway.requests().len(), requests, "{ahead} s");
        assert_eq!(
            error.to_string().contains(", which is 7"),
            requests == 2,
            "{error}"
        );
    }
}

#[test]
fn an_error_that_remains_names_the_difference() {
    for (ahead_ms, expected) in [(HOUR_MS, "s behind"), (-HOUR_MS, "s ahead of")] {
        let gateway = Gateway::with(&["r/i"]);
        gateway.set_clock_ahead(ahead_ms);
        let wrong = Credentials::new(ACCESS_KEY, "wrong").unwrap();
        let client = Client::builder(Region::Korea, wrong)
            .api_url(&gateway.url())
            .build()
            .unwrap();
        for client in [client.clone(), client] {
            let error = refused(&client);
            assert_eq!(error.attempts(), 2);
            let text = error.to_string();
            let (_, difference) = text
                .split_once(
                    ": check the access key, the secret key and this machine's clock, which is ",
                )
                .unwrap();
            let (seconds, rest) = difference.split_once(' ').unwrap();
            let seconds: i64 = seconds.parse().unwrap();
            assert!((seconds - 3600).abs() < 30, "{text}");
            assert_eq!(rest, format!("{expected} the service's; tried 2 times"));
        }
        assert_eq!(gateway.images(), ["r/i"]);
    }
}

#[test]
fn one_attempt_is_one_even_with_a_wrong_clock() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.set_clock_ahead(HOUR_MS);
    let client = builder(&gateway).max_attempts(1).build().unwrap();
    let error = refused(&client);
    assert_eq!(gateway.requests().len(), 1);
    assert!(
        error.to_string().contains("behind the service's"),
        "{error}"
    );
}

#[test]
fn another_answer_than_401_corrects_nothing() {
    let gateway = Gateway::with(&["r/i"]);
    let client = client(&gateway);
    let date = "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n";
    for status in ["403 Forbidden", "404 Not Found", "400 Bad Request"] {
        gateway.answer(answer(status, date, ""));
        assert_eq!(client.delete_image("r", "i").unwrap_err().attempts(), 1);
    }
    gateway.answer(answer("503 Busy", &format!("{date}Retry-After: 0\r\n"), ""));
    let before = SystemTime::now();
    client.delete_image("r", "i").unwrap();
    let requests = gateway.requests();
    let timestamp_ms = requests[4].header("x-ncp-apigw-timestamp")[0]
        .parse()
        .unwrap();
    let sent = UNIX_EPOCH + Duration::from_millis(timestamp_ms);
    assert!(sent > before - Duration::from_secs(1) && sent <= SystemTime::now());
}

#[test]
fn a_difference_that_no_answer_confirmed_is_forgotten() {
    let gateway = Gateway::with(&["r/i"]);
    let client = client(&gateway);
    let date = "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n";
    let busy = "Retry-After: 0\r\n";
    for (unconfirmed, times) in [
        ("503 Busy", 2),
        ("429 Slow Down", 2),
        ("400 Bad Request", 1),
        ("307 Elsewhere", 1),
    ] {
        gateway.answer(answer("401 Unauthorized", date, ""));
        for _ in 0..times {
            gateway.answer(answer(unconfirmed, busy, ""));
        }
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(error.attempts(), 1 + times, "{error}");
        let signed = client.sign_delete_image("r", "i").unwrap();
        let timestamp_ms: u128 = signed.headers().nth(1).unwrap().1.parse().unwrap();
        let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
        assert!(timestamp_ms.abs_diff(now_ms) < 60_000, "{unconfirmed}");
    }
    client.delete_image("r", "i").unwrap();
}

#[test]
fn a_difference_that_is_corrected_already_is_not_blamed() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.set_clock_ahead(HOUR_MS);
    let client = client(&gateway);
    client.delete_image("r", "i").unwrap();
    let service_time = SystemTime::now() + Duration::from_secs(3600);
    let date = httpdate::fmt_http_date(service_time);
    gateway.answer(answer("401 Unauthorized", &format!("Date: {date}\r\n"), ""));
    let error = refused(&client);
    assert_eq!(error.attempts(), 1);
    assert!(!error.to_string().contains(", which is "), "{error}");
}

#[test]
fn clients_of_one_builder_have_differences_of_their_own() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.set_clock_ahead(HOUR_MS);
    let builder = builder(&gateway);
    builder
        .clone()
        .build()
        .unwrap()
        .delete_image("r", "i")
        .unwrap();
    assert_eq!(gateway.requests().len(), 2);
    let other = builder.build().unwrap();
    let signed = other.sign_delete_image("r", "i").unwrap();
    let timestamp_ms: u128 = signed.headers().nth(1).unwrap().1.parse().unwrap();
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert!(timestamp_ms.abs_diff(now_ms) < 60_000);
}
