//! The private parts that need no socket.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The kinds of what ureq reports while connecting, when nothing was sent, and later, when nothing is
/// known. What ureq reports of real connections is tested with them.
#[test]
fn judge_error_is_one_table() {
    use {ErrorKind as K, io::ErrorKind as I, ureq::Error as E, ureq::Timeout as T};
    #[rustfmt::skip] // one row a line
    let rows = [
        (E::Timeout(T::Resolve), K::Timeout, K::Timeout),
        (E::Timeout(T::Global), K::Timeout, K::Timeout),
        (E::HostNotFound, K::Transport, K::Transport),
        (E::ConnectionFailed, K::Transport, K::Transport),
        (E::Io(I::ConnectionRefused.into()), K::Transport, K::Transport),
        (E::Io(I::InvalidData.into()), K::Transport, K::Transport),
        (E::LargeResponseHeader(2, 1), K::Transport, K::Transport),
        (E::Other("a bespoke connector".into()), K::Transport, K::Transport),
        (E::ConnectProxyFailed("proxy server responded 403/403".into()), K::Transport, K::Transport),
        (E::ConnectProxyFailed("proxy server responded 407/407".into()), K::UnexpectedResponse, K::UnexpectedResponse),
        // As macOS and Windows say it.
        (E::Io(io::Error::other("invalid peer certificate: Expired")), K::UnexpectedResponse, K::UnexpectedResponse),
        // Of a connection that was made, only a middleware says these.
        (E::Tls("invalid dns name"), K::InvalidInput, K::Transport),
        #[cfg(feature = "rustls")]
        (E::Rustls(rustls::Error::General("no roots".into())), K::InvalidInput, K::Transport),
    ];
    let client = client_of(DEFAULT_TIMEOUT);
    let told = |error: &E, was_connecting| {
        let error = client.judge_error(error, was_connecting, Duration::ZERO).0;
        (error.kind, error.outcome)
    };
    for (error, connecting, later) in rows {
        assert_eq!(
            told(&error, true),
            (connecting, Outcome::NotDeleted),
            "{error:?}"
        );
        assert_eq!(told(&error, false), (later, Outcome::Unknown), "{error:?}");
    }
    #[cfg(feature = "rustls")]
    for (cause, is_advised) in [
        ("No CA certificates were loaded", true),
        ("no roots", false),
    ] {
        let error = E::Rustls(rustls::Error::General(cause.into()));
        let error = client.judge_error(&error, true, Duration::ZERO).to_string();
        assert_eq!(
            error.ends_with("or check SSL_CERT_FILE"),
            is_advised,
            "{error}"
        );
    }
    // Nothing is sent without the TLS that they miss.
    for error in [E::RequireHttpsOnly("x".into()), E::TlsRequired] {
        for was_connecting in [true, false] {
            let expected = (K::InvalidInput, Outcome::NotDeleted);
            assert_eq!(told(&error, was_connecting), expected, "{error:?}");
        }
    }
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
    assert_eq!(printable(&"é".repeat(300)), "é".repeat(300));
    assert_eq!(printable(&"é".repeat(301)), format!("{}…", "é".repeat(300)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printable_text_is_one_line_of_bounded_length(text: String, repeats in 1..300_usize) {
        let shown = printable(&text.repeat(repeats));
        prop_assert!(!shown.contains(char::is_control));
        let longest_escape = "\\u{10ffff}".len();
        prop_assert!(shown.chars().count() <= 300 * longest_escape + 1);
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

/// In milliseconds: the failed attempts, the wait that the service asks for, and the bounds of the wait.
#[test]
fn wait_before_retry_doubles_and_obeys() {
    let ms = Duration::from_millis;
    for (attempts, asked, low, high) in [
        (1, 0, 500, 1000),
        (2, 0, 1000, 2000),
        (3, 0, 2000, 4000),
        (4, 0, 4000, 8000),
        (5, 0, 4000, 8000),
        (u32::MAX, 0, 4000, 8000),
        (1, 400, 500, 1000),
        (1, 1001, 1001, 1001),
        (4, 2000, 4000, 8000),
        (4, 8001, 8001, 8001),
    ] {
        let waits = (0..100).map(|_| wait_before_retry(attempts, ms(asked)));
        let waits: BTreeSet<_> = waits.collect();
        let (first, last) = (waits.first().unwrap(), waits.last().unwrap());
        assert!(
            ms(low) <= *first && *last <= ms(high),
            "{attempts}, {asked}: {waits:?}"
        );
        assert_eq!(first != last, low != high, "{attempts}, {asked}: {waits:?}");
    }
}

fn client_of(timeout: Duration) -> Client {
    let credentials = Credentials::new("a", "s").unwrap();
    let client = Client::new(Region::Korea, credentials);
    Client { timeout, ..client }
}

/// In milliseconds: the timeout, the time that has passed, and whether a retry may still begin.
#[test]
fn has_time_for_retry_until_the_last_quarter() {
    let ms = Duration::from_millis;
    for (timeout, elapsed, expected) in [
        (60_000, 0, true),
        (60_000, 45_000, true),
        (60_000, 45_001, false),
        (3000, 2250, true),
        (3000, 2251, false),
        (3000, 4000, false),
    ] {
        let client = client_of(ms(timeout));
        let has_time = client.has_time_for_retry(ms(elapsed));
        assert_eq!(has_time, expected, "{timeout}, {elapsed}");
    }
}

/// In milliseconds, of three attempts: the timeout, the attempt, the time that has passed, and the
/// time that the attempt may take.
#[test]
fn time_for_attempt_is_half_of_the_timeout_or_all_that_is_left() {
    let ms = Duration::from_millis;
    for (timeout, attempt, elapsed, expected) in [
        (60_000, 1, 0, 30_000),
        (60_000, 2, 1000, 30_000),
        (60_000, 2, 31_000, 29_000),
        (60_000, 3, 2000, 58_000),
        (60_000, 3, 61_000, 0),
        (4000, 1, 0, 2000),
        (3999, 1, 0, 3999),
        (3999, 2, 1000, 2999),
    ] {
        let time = client_of(ms(timeout)).time_for_attempt(attempt, ms(elapsed));
        assert_eq!(time, ms(expected), "{timeout}, {attempt}, {elapsed}");
    }
}

/// Lists every region: one that is missing is an error of the compiler.
macro_rules! regions {
    ($($region:ident: $site:literal $code:literal $api_url:literal,)*) => {{
        let _: fn(Region) = |region| match region { $(Region::$region => {})* };
        [$((Region::$region, $site, $code, $api_url)),*]
    }};
}

#[test]
fn region_is_found_by_site_and_code_in_either_case() {
    let rows = regions! {
        Korea: "public" "KR" "https://ncr.apigw.ntruss.com/ncr/api/v2",
        Singapore: "public" "SGN" "https://ncr.apigw.ntruss.com/ncr/sgn-api/v2",
        Japan: "public" "JPN" "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2",
        GovKorea: "gov" "KR" "https://gov-ncr.apigw.gov-ntruss.com/ncr/kr/v2",
        GovKoreaSouth: "gov" "KRS" "https://gov-ncr.apigw.gov-ntruss.com/ncr/krs/v2",
        FinKorea: "fin" "FKR" "https://ncr.apigw.fin-ntruss.com/ncr/api/v2",
    };
    for (region, site, code, api_url) in rows {
        let (upper, lower) = (site.to_uppercase(), code.to_lowercase());
        for (site, code) in [(site, code), (&*upper, &*lower)] {
            assert_eq!(Region::from_code(site, code).unwrap(), region);
        }
        assert_eq!((region.api_url(), region.as_ref()), (api_url, api_url));
        let credentials = || Credentials::new("a", "s").unwrap();
        let built = Client::builder(region, credentials()).build().unwrap();
        for client in [Client::new(region, credentials()), built] {
            let url = client.image_url("r", "i").unwrap();
            assert_eq!(url, format!("{api_url}/repositories/r/i"));
        }
    }
}
