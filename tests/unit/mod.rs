//! The private parts that need no socket.

#![allow(clippy::unwrap_used)]

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use ureq::Timeout;

/// How an I/O error is sorted, the given time after the attempt's start.
#[track_caller]
fn io(error: io::Error, elapsed_ms: u64, effect: Effect) {
    let sorted = classify_error(&error.into(), Duration::from_millis(elapsed_ms));
    assert!(sorted == (ErrorKind::Transport, effect, Next::Again));
}

#[test]
fn an_error_of_connecting_leaves_a_doubt_if_it_comes_late() {
    use io::ErrorKind as K;
    for kind in [
        K::ConnectionRefused,
        K::HostUnreachable,
        K::NetworkUnreachable,
        K::PermissionDenied,
        K::AddrNotAvailable,
        K::AddrInUse,
    ] {
        // An established connection reports these too, when its retransmissions have run out.
        io(kind.into(), 0, Effect::None);
        io(kind.into(), 999, Effect::None);
        let is_from_connecting = cfg!(windows) && kind == K::ConnectionRefused;
        let late = if is_from_connecting {
            Effect::None
        } else {
            Effect::Possible
        };
        io(kind.into(), 1000, late);
        io(kind.into(), 7000, late);
    }
    for kind in [
        K::ConnectionReset,
        K::BrokenPipe,
        K::UnexpectedEof,
        K::TimedOut,
        K::InvalidData,
        K::Other,
    ] {
        io(kind.into(), 0, Effect::Possible);
    }
}

#[test]
fn a_lack_on_this_machine_and_a_failed_lookup_leave_no_doubt_however_late() {
    let text = "failed to lookup address information: Temporary failure in name resolution";
    io(io::Error::other(text), 20_000, Effect::None);
    let codes = if cfg!(windows) {
        [10024, 11001, 11004]
    } else {
        [23, 24, 24]
    };
    for code in codes {
        io(io::Error::from_raw_os_error(code), 20_000, Effect::None);
    }
}

#[test]
fn what_ureq_reports_is_sorted() {
    use {Effect as F, ErrorKind as K, Next as N, ureq::Error as E};
    let invalid = |text| E::from(io::Error::new(io::ErrorKind::InvalidData, text));
    let rows = [
        (E::Timeout(Timeout::Resolve), K::Timeout, F::None, N::Again),
        (E::Timeout(Timeout::Connect), K::Timeout, F::None, N::Again),
        (
            E::Timeout(Timeout::Global),
            K::Timeout,
            F::Possible,
            N::Again,
        ),
        (
            E::Timeout(Timeout::PerCall),
            K::Timeout,
            F::Possible,
            N::Again,
        ),
        (E::HostNotFound, K::Transport, F::None, N::Again),
        (E::ConnectionFailed, K::Transport, F::None, N::Again),
        (
            E::ConnectProxyFailed("407".into()),
            K::Transport,
            F::None,
            N::Again,
        ),
        (
            invalid("invalid peer certificate: Expired"),
            K::Transport,
            F::None,
            N::GiveUp,
        ),
        (
            invalid("received corrupt message"),
            K::Transport,
            F::Possible,
            N::Again,
        ),
        (
            E::Tls("invalid dns name"),
            K::InvalidInput,
            F::None,
            N::GiveUp,
        ),
        (E::TlsRequired, K::InvalidInput, F::None, N::GiveUp),
        (
            E::RequireHttpsOnly("x".into()),
            K::InvalidInput,
            F::None,
            N::GiveUp,
        ),
        (
            E::LargeResponseHeader(2, 1),
            K::UnexpectedResponse,
            F::Possible,
            N::Again,
        ),
        (
            E::Other("a bespoke connector".into()),
            K::Transport,
            F::Possible,
            N::GiveUp,
        ),
    ];
    for (error, kind, effect, next) in rows {
        assert!(
            classify_error(&error, Duration::ZERO) == (kind, effect, next),
            "{error}"
        );
    }
}

#[test]
fn what_ureq_reports_stays_on_a_line() {
    let client = Client::new(Region::Korea, Credentials::new("a", "s").unwrap());
    let error = ureq::Error::ConnectProxyFailed("a\nb\u{1b}".into());
    let failure = client.unanswered(&error, Duration::ZERO, Duration::ZERO);
    assert_eq!(
        failure.error.to_string(),
        "no connection to ncr.apigw.ntruss.com: CONNECT proxy failed: a\\nb\\u{1b}; check the \
         network, the proxy and the API URL"
    );
}

#[test]
fn what_is_shown_cannot_steer_a_terminal() {
    for text in ["a \"b\" 'c' é 한 😀", r"C:\Users\a", r#"\"\'\"#] {
        assert_eq!(printable(text), text);
    }
    assert_eq!(
        printable("a\nb\r\t\u{1b}[31m\u{7f}\u{9b}\\"),
        "a\\nb\\r\\t\\u{1b}[31m\\u{7f}\\u{9b}\\"
    );
    let steering = [
        "\u{ad}",
        "\u{61c}",
        "\u{180e}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{e0041}",
    ];
    let marks = ('\u{200b}'..='\u{200f}')
        .chain('\u{202a}'..='\u{202e}')
        .chain('\u{2060}'..='\u{2069}');
    for text in marks.map(String::from).chain(steering.map(String::from)) {
        let code = u32::from(text.chars().next().unwrap());
        assert_eq!(
            printable(&format!("a{text}b")),
            format!("a\\u{{{code:x}}}b")
        );
    }
    assert_eq!(printable(&"é".repeat(512)), "é".repeat(512));
    assert_eq!(printable(&"é".repeat(513)), format!("{}…", "é".repeat(512)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_one_line_of_bounded_length(text: String, repeats in 1..300_usize) {
        let shown = printable(&text.repeat(repeats));
        prop_assert!(!shown.contains(char::is_control));
        let longest_escape = "\\u{10ffff}".len();
        prop_assert!(shown.chars().count() <= 512 * longest_escape + 1);
    }
}

#[test]
fn waits_are_spread_evenly_over_the_second_half_of_a_bound_that_doubles() {
    for (retry, bound_ms) in [
        (1, 1000),
        (2, 2000),
        (3, 4000),
        (4, 8000),
        (5, 8000),
        (u32::MAX, 8000),
    ] {
        let half = Duration::from_millis(bound_ms / 2);
        let waits: Vec<Duration> = (0..2000).map(|_| backoff(retry)).collect();
        assert!(waits.iter().all(|wait| *wait >= half && *wait <= half * 2));
        for tenth in 0..10 {
            let range = half + half * tenth / 10..half + half * (tenth + 1) / 10;
            let is_in = |range: &Range<Duration>, wait: &Duration| range.contains(wait);
            let count = waits.iter().filter(|wait| is_in(&range, wait)).count();
            // 200 are to be expected: 80 fewer or more would be 6 standard deviations.
            assert!((120..280).contains(&count), "{count} of 2000 in {range:?}");
        }
    }
}

#[test]
fn the_key_is_wiped_when_the_credentials_are_dropped() {
    fn is_wiped<T: hmac::digest::zeroize::ZeroizeOnDrop>() {}
    is_wiped::<Sha256>(); // HMAC's state is that of two hashes
    // And there is one copy of it, however many clients sign with it.
    let credentials = Credentials::new("a", "s").unwrap();
    let client = Client::new(Region::Korea, credentials.clone());
    assert!(Arc::ptr_eq(
        &credentials.hmac,
        &client.clone().credentials.hmac
    ));
}
