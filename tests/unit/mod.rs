//! The private parts that need no socket.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// What decides of a failure.
type Meaning = (ErrorKind, Outcome, bool);

#[track_caller]
fn assert_classified(error: impl Into<ureq::Error>, elapsed_ms: u64, expected: Meaning) {
    let error = error.into();
    let failure = classify_error(&error, Duration::from_millis(elapsed_ms));
    let meaning = (
        failure.error.kind(),
        failure.outcome,
        failure.error.is_transient(),
    );
    assert_eq!(meaning, expected, "{error:?} after {elapsed_ms} ms");
}

const UNSENT: Meaning = (ErrorKind::Transport, Outcome::NoEffect, true);
const UNKNOWN: Meaning = (ErrorKind::Transport, Outcome::Unknown, true);

/// Every code that an open connection does not report, before Linux reports it on one, too.
#[cfg(target_os = "linux")]
#[test]
fn classify_error_takes_most_codes_for_connecting_on_linux() {
    // EPIPE, EAGAIN, EINTR, ENOMEM, ENETRESET, ECONNABORTED, ECONNRESET, ENOBUFS, ENOTCONN,
    // ESHUTDOWN, ETIMEDOUT
    let of_open_connections = [32, 11, 4, 12, 102, 103, 104, 105, 107, 108, 110];
    for code in 1..134 {
        let error = || io::Error::from_raw_os_error(code);
        let is_open = of_open_connections.contains(&code);
        let in_time = if is_open { UNKNOWN } else { UNSENT };
        assert_classified(error(), 0, in_time);
        assert_classified(error(), 2899, in_time);
        let is_lack_of_files = matches!(code, 23 | 24);
        let late = if is_lack_of_files { UNSENT } else { UNKNOWN };
        assert_classified(error(), 2900, late);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[test]
fn classify_error_takes_named_kinds_for_connecting_elsewhere() {
    use io::ErrorKind as K;
    let kinds = [
        K::ConnectionRefused,
        K::HostUnreachable,
        K::NetworkUnreachable,
        K::PermissionDenied,
        K::AddrNotAvailable,
        K::AddrInUse,
    ];
    for kind in kinds {
        assert_classified(io::Error::from(kind), 0, UNSENT);
        assert_classified(io::Error::from(kind), 999, UNSENT);
        let is_refusal = cfg!(windows) && kind == K::ConnectionRefused;
        let late = if is_refusal { UNSENT } else { UNKNOWN };
        assert_classified(io::Error::from(kind), 1000, late);
    }
    for code in if cfg!(windows) {
        [10024, 11001, 11004]
    } else {
        [23, 24, 24]
    } {
        assert_classified(io::Error::from_raw_os_error(code), 20_000, UNSENT);
    }
}

#[test]
fn classify_error_sorts_what_ureq_reports() {
    use {ErrorKind as K, Outcome as O, io::ErrorKind as I, ureq::Error as E, ureq::Timeout as T};
    let untrusted = io::Error::new(I::InvalidData, "invalid peer certificate: Expired");
    #[rustfmt::skip] // one row a line
    let rows: [(E, Meaning); 20] = [
        (E::Timeout(T::Resolve), (K::Timeout, O::NoEffect, true)),
        (E::Timeout(T::Connect), (K::Timeout, O::NoEffect, true)),
        (E::Timeout(T::Global), (K::Timeout, O::Unknown, true)),
        (E::Timeout(T::PerCall), (K::Timeout, O::Unknown, true)),
        (E::HostNotFound, UNSENT),
        (E::ConnectionFailed, UNSENT),
        (E::ConnectProxyFailed("407".into()), UNSENT),
        (io::Error::other("failed to lookup address information: try again").into(), UNSENT),
        (untrusted.into(), (K::Transport, O::NoEffect, false)),
        // Without a code of the system: what TLS or the protocol found.
        (io::Error::new(I::InvalidData, "corrupt message").into(), UNKNOWN),
        (io::Error::from(I::UnexpectedEof).into(), UNKNOWN),
        (io::Error::from(I::ConnectionReset).into(), UNKNOWN),
        (io::Error::from(I::BrokenPipe).into(), UNKNOWN),
        (io::Error::from(I::TimedOut).into(), UNKNOWN),
        (io::Error::other("other").into(), UNKNOWN),
        (E::Tls("invalid dns name"), (K::InvalidInput, O::NoEffect, false)),
        (E::TlsRequired, (K::InvalidInput, O::NoEffect, false)),
        (E::RequireHttpsOnly("x".into()), (K::InvalidInput, O::NoEffect, false)),
        (E::LargeResponseHeader(2, 1), (K::UnexpectedResponse, O::Unknown, true)),
        (E::Other("a bespoke connector".into()), (K::Transport, O::Unknown, false)),
    ];
    for (error, expected) in rows {
        // A lookup may take its time.
        assert_classified(error, 20_000, expected);
    }
    #[cfg(feature = "rustls")]
    assert_classified(
        E::Rustls(rustls::Error::General("no roots".into())),
        0,
        (K::InvalidInput, O::NoEffect, false),
    );
}

#[test]
fn judge_error_stays_on_a_line() {
    let client = Client::builder("http://localhost", Credentials::new("a", "s").unwrap());
    let error = ureq::Error::ConnectProxyFailed("a\nb\u{1b}".into());
    let failure = client.0.judge_error(&error, Duration::ZERO, Duration::ZERO);
    assert_eq!(
        failure.error.to_string(),
        "no connection to localhost: CONNECT proxy failed: a\\nb\\u{1b}; check the network, the \
         proxy and the API URL"
    );
}

#[test]
fn printable_text_cannot_steer_a_terminal() {
    for text in ["a \"b\" 'c' é 한 😀", r"C:\Users\a", r#"\"\'\"#] {
        assert_eq!(printable(text), text);
    }
    assert_eq!(
        printable("a\nb\r\t\u{1b}[31m\u{7f}\u{9b}\\"),
        "a\\nb\\r\\t\\u{1b}[31m\\u{7f}\\u{9b}\\"
    );
    let marks = ('\u{200b}'..='\u{200f}')
        .chain('\u{202a}'..='\u{202e}')
        .chain('\u{2060}'..='\u{2069}');
    let others = "\u{ad}\u{61c}\u{180e}\u{2028}\u{2029}\u{feff}\u{e0041}";
    for mark in marks.chain(others.chars()) {
        let expected = format!("a\\u{{{:x}}}b", u32::from(mark));
        assert_eq!(printable(&format!("a{mark}b")), expected);
    }
    assert_eq!(printable(&"é".repeat(512)), "é".repeat(512));
    assert_eq!(printable(&"é".repeat(513)), format!("{}…", "é".repeat(512)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printable_text_is_one_line_of_bounded_length(text: String, repeats in 1..300_usize) {
        let shown = printable(&text.repeat(repeats));
        prop_assert!(!shown.contains(char::is_control));
        let longest_escape = "\\u{10ffff}".len();
        prop_assert!(shown.chars().count() <= 512 * longest_escape + 1);
    }
}

#[test]
fn parse_retry_after_takes_whole_seconds_alone() {
    let max = u64::from(u32::MAX);
    for (text, expected) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("3600", Some(3600)),
        ("18446744073709551615", Some(max)),
        ("99999999999999999999", Some(max)),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 s", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    ] {
        assert_eq!(
            parse_retry_after(text),
            expected.map(Duration::from_secs),
            "{text}"
        );
    }
}

/// Times in milliseconds: the wait is between two bounds, or there is none.
#[test]
fn wait_before_retry_doubles_obeys_and_leaves_an_eighth() {
    const DAY: u64 = 86_400_000;
    let rows = [
        // retry, wait that the service asks for, time left, timeout: the bounds of the wait
        (1, 0, 60_000, 60_000, Some((500, 1000))),
        (2, 0, 59_000, 60_000, Some((1000, 2000))),
        (3, 0, 57_000, 60_000, Some((2000, 4000))),
        (4, 0, 50_000, 60_000, Some((4000, 8000))),
        (5, 0, 50_000, 60_000, Some((4000, 8000))),
        (u32::MAX, 0, DAY, DAY, Some((4000, 8000))),
        // The service is obeyed where it asks for more.
        (1, 400, 60_000, 60_000, Some((500, 1000))),
        (1, 2000, 60_000, 60_000, Some((2000, 2000))),
        (4, 2000, 60_000, 60_000, Some((4000, 8000))),
        // Our own wait is at most half of the time that is left.
        (4, 0, 4000, 4000, Some((2000, 2000))),
        (1, 0, 300, 1000, Some((150, 150))),
        // No attempt begins with less than an eighth of the timeout left.
        (1, 0, 251, 1000, Some((125, 126))),
        (1, 0, 250, 1000, None),
        (1, 0, 0, 1000, None),
        (1, 52_499, 60_000, 60_000, Some((52_499, 52_499))),
        (1, 52_500, 60_000, 60_000, None),
        (1, 59_000, 60_000, 60_000, None),
        (1, u64::from(u32::MAX) * 1000, DAY, DAY, None),
    ];
    for (retry, asked, left, timeout, expected) in rows {
        let ms = Duration::from_millis;
        for _ in 0..100 {
            let wait = wait_before_retry(retry, ms(asked), ms(left), ms(timeout));
            let is_expected = match (wait, expected) {
                (Some(wait), Some((low, high))) => (ms(low)..=ms(high)).contains(&wait),
                (wait, expected) => wait.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{retry}, {asked}, {left}, {timeout}: {wait:?}");
        }
    }
}

#[test]
fn time_for_attempt_is_half_while_another_may_follow() {
    let ms = Duration::from_millis;
    for (is_last, left, expected) in [
        (false, 1000, 500),
        (false, 252, 126),
        (false, 250, 250),
        (false, 100, 100),
        (true, 1000, 1000),
    ] {
        assert_eq!(time_for_attempt(is_last, ms(left), ms(1000)), ms(expected));
    }
}

#[test]
fn backoff_is_spread_evenly_over_its_second_half() {
    let half = Duration::from_millis(500);
    let waits: Vec<Duration> = (0..2000).map(|_| backoff(1)).collect();
    for tenth in 0..10 {
        let range = half + half * tenth / 10..half + half * (tenth + 1) / 10;
        let count = waits.iter().filter(|wait| range.contains(wait)).count();
        // 200 are to be expected: 80 fewer or more would be 6 standard deviations.
        assert!((120..280).contains(&count), "{count} of 2000 in {range:?}");
    }
}
