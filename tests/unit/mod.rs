//! The private parts that need no socket.

#![allow(clippy::unwrap_used)]

use std::ops::Range;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use ureq::Timeout;

/// Members that an error body may have beside those that are read.
fn others() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let text = prop_oneof![any::<String>(), "[\\[\\]{}:,\"\\\\a-z]{0,8}"];
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::from),
    ];
    prop::collection::btree_map("[a-z]{1,5}", value, 0..4).prop_map(|members| {
        members
            .into_iter()
            .filter(|(name, _)| name != "error")
            .collect()
    })
}

/// A well-formed body in one of the three shapes, with its code and its message.
fn bodies() -> impl Strategy<Value = (Value, Value, String)> {
    let text = || {
        prop_oneof![
            any::<String>(),
            "[a-z\"\\\\/{}:\u{8}\u{c}\n\r\t\u{0}\u{1f}é😀]{0,8}"
        ]
    };
    let code = prop_oneof![
        any::<u32>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    (0..3, code, text(), others(), others()).prop_map(
        |(shape, code, message, mut inner, mut outer)| {
            let (code_name, message_name) = match shape {
                0 => ("errorCode", "message"),
                _ => ("returnCode", "returnMessage"),
            };
            inner.insert(code_name.to_owned(), code.clone());
            inner.insert(message_name.to_owned(), message.clone().into());
            if shape == 2 {
                return (inner.into(), code, message);
            }
            let name = if shape == 0 { "error" } else { "responseError" };
            outer.insert(name.to_owned(), inner.into());
            (outer.into(), code, message)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn code_and_message_come_out_of_every_shape((body, code, message) in bodies(), pretty: bool) {
        let text = if pretty { format!("{body:#}") } else { body.to_string() };
        let find = |names: [&str; 2]| names.iter().find_map(|name| json_member(&text, name));
        let code = match code {
            Value::String(code) => code,
            code => code.to_string(),
        };
        // What is empty says nothing.
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        prop_assert_eq!(find(["errorCode", "returnCode"]), said(code));
        prop_assert_eq!(find(["message", "returnMessage"]), said(message));
    }

    #[test]
    fn an_object_is_one_only_if_it_is_whole((body, _, _) in bodies(), pretty: bool) {
        let text = if pretty { format!("{body:#}") } else { body.to_string() };
        prop_assert!(is_json_object(&text));
        let padded = format!(" \r\n{text}\n");
        prop_assert!(is_json_object(&padded));
        for (end, _) in text.char_indices() {
            prop_assert!(!is_json_object(&text[..end]), "{}", &text[..end]);
        }
        for other in [json!([body]).to_string(), json!(text).to_string(), format!("x{text}")] {
            prop_assert!(!is_json_object(&other), "{other}");
        }
    }

    #[test]
    fn no_text_is_too_strange_for_the_json_reader(
        text in prop_oneof![any::<String>(), "[{}\\[\\]:,\"\\\\u0-9a ]{0,30}", "\"a\" ?: ?[\"\\\\u0-9da-f]{0,12}"],
    ) {
        let _ = (json_member(&text, "a"), is_json_object(&text));
    }
}

#[test]
fn a_string_is_read_with_its_escapes_and_up_to_a_cut() {
    for (json, expected) in [
        (r#"{"a":"x"}"#, Some("x")),
        (r#"{"a" : "x"#, Some("x")),
        (r#"{"a":""}"#, None),
        (
            r#"{"a":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00"}"#,
            Some("\"\\/\u{8}\u{c}\n\r\tA😀"),
        ),
        (r#"{"a":"x\"#, Some("x\\")),
        (r#"{"a":"x\u00"#, Some("x\0")),
        (r#"{"a":"\ud83d-"}"#, Some("\u{fffd}-")),
        (r#"{"a":42}"#, Some("42")),
        (r#"{"a":null}"#, None),
        (r#"{"a":null,"b":{"a":"x"}}"#, Some("x")),
        (r#"{"b":"a","a":"x"}"#, Some("x")),
        (r#"{"b":"\"a\":1","a":"x"}"#, Some("x")),
        (r#"{"a"}"#, None),
        (r#"{"b":"x"}"#, None),
        ("", None),
    ] {
        assert_eq!(json_member(json, "a").as_deref(), expected, "{json}");
    }
}

/// What an I/O error becomes, the given time after an attempt's start.
fn io_outcome(error: io::Error, elapsed_ms: u64) -> (ErrorKind, bool, bool) {
    let elapsed = Duration::from_millis(elapsed_ms);
    let error = no_answer("https://example.com/a", error.into(), elapsed);
    let text = error.to_string();
    assert!(
        text.starts_with("no answer from https://example.com/a ("),
        "{text}"
    );
    (
        error.kind(),
        error.may_have_taken_effect(),
        error.sent.is_transient,
    )
}

#[test]
fn an_error_of_connecting_leaves_a_doubt_if_it_comes_late() {
    use io::ErrorKind as K;
    for kind in [
        K::ConnectionRefused,
        K::HostUnreachable,
        K::NetworkUnreachable,
        K::PermissionDenied,
    ] {
        // An established connection reports these too, after its shortest retransmission timeout.
        for (elapsed_ms, in_doubt) in [(0, false), (199, false), (200, true), (7000, true)] {
            let outcome = io_outcome(kind.into(), elapsed_ms);
            assert_eq!(outcome, (ErrorKind::Transport, in_doubt, true), "{kind:?}");
        }
    }
    for kind in [
        K::ConnectionReset,
        K::BrokenPipe,
        K::UnexpectedEof,
        K::TimedOut,
        K::Other,
    ] {
        let outcome = io_outcome(kind.into(), 0);
        assert_eq!(outcome, (ErrorKind::Transport, true, true), "{kind:?}");
    }
}

#[test]
fn a_failed_look_up_leaves_no_doubt_however_late() {
    let text = "failed to lookup address information: Temporary failure in name resolution";
    assert_eq!(
        io_outcome(io::Error::other(text), 20_000),
        (ErrorKind::Transport, false, true)
    );
    for code in [11001, 11004] {
        let error = io::Error::from_raw_os_error(code); // as Windows reports it
        assert_eq!(
            io_outcome(error, 20_000),
            (ErrorKind::Transport, false, true)
        );
    }
}

#[test]
fn what_ureq_reports_before_a_request_leaves_no_doubt() {
    use ureq::Error as E;
    let bad_certificate = "invalid peer certificate: Expired";
    for (error, kind, in_doubt, is_transient) in [
        (
            E::Timeout(Timeout::Resolve),
            ErrorKind::Timeout,
            false,
            true,
        ),
        (
            E::Timeout(Timeout::Connect),
            ErrorKind::Timeout,
            false,
            true,
        ),
        (E::Timeout(Timeout::Global), ErrorKind::Timeout, true, true),
        (E::Timeout(Timeout::PerCall), ErrorKind::Timeout, true, true),
        (E::HostNotFound, ErrorKind::Transport, false, true),
        (
            E::ConnectProxyFailed("407".into()),
            ErrorKind::Transport,
            false,
            true,
        ),
        (
            io::Error::new(io::ErrorKind::InvalidData, bad_certificate).into(),
            ErrorKind::Transport,
            false,
            false,
        ),
        (
            io::Error::new(io::ErrorKind::InvalidData, "corrupt message").into(),
            ErrorKind::Transport,
            true,
            false,
        ),
        (
            E::Tls("invalid dns name"),
            ErrorKind::InvalidInput,
            false,
            false,
        ),
        (E::TlsRequired, ErrorKind::InvalidInput, false, false),
        (
            E::RequireHttpsOnly("x".into()),
            ErrorKind::InvalidInput,
            false,
            false,
        ),
        (
            E::LargeResponseHeader(2, 1),
            ErrorKind::UnexpectedResponse,
            true,
            true,
        ),
        (
            E::Other("a bespoke connector".into()),
            ErrorKind::Transport,
            true,
            false,
        ),
    ] {
        let text = error.to_string();
        let error = no_answer("https://example.com/a", error, Duration::ZERO);
        let sent = &error.sent;
        assert_eq!(
            (error.kind(), sent.in_doubt, sent.is_transient),
            (kind, in_doubt, is_transient),
            "{text}"
        );
    }
}

#[test]
fn the_documentation_of_each_kind_says_what_its_error_advises() {
    use ErrorKind as K;
    let source = include_str!("../../src/lib.rs").replace("\n    ///", "");
    for kind in [
        K::BadRequest,
        K::Unauthorized,
        K::Forbidden,
        K::NotFound,
        K::Conflict,
        K::RateLimited,
        K::Server,
        K::UnexpectedResponse,
        K::Timeout,
        K::Transport,
    ] {
        let advice = kind.advice().strip_prefix(": ").unwrap();
        let documented = format!("What to do: {advice}.\n    {kind:?},");
        assert!(source.contains(&documented), "{documented}");
        assert!(Error::new(kind, "x").to_string().ends_with(advice));
    }
    for kind in [K::InvalidInput, K::Credentials] {
        assert_eq!(Error::new(kind, "x").to_string(), "x");
    }
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
    assert_eq!(printable(&"é".repeat(256)), "é".repeat(256));
    assert_eq!(printable(&"é".repeat(257)), format!("{}…", "é".repeat(256)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_one_line_of_bounded_length(text: String, repeats in 1..300_usize) {
        let shown = printable(&text.repeat(repeats));
        prop_assert!(!shown.contains(char::is_control));
        let longest_escape = "\\u{10ffff}".len();
        prop_assert!(shown.chars().count() <= 256 * longest_escape + 1);
    }
}

#[test]
fn waits_are_spread_evenly_below_a_bound_that_doubles() {
    for (attempts, bound_ms) in [
        (1, 200),
        (2, 400),
        (3, 800),
        (4, 1600),
        (5, 3200),
        (6, 5000),
        (7, 5000),
        (u32::MAX, 5000),
    ] {
        let bound = Duration::from_millis(bound_ms);
        let waits: Vec<Duration> = (0..2000).map(|_| backoff(attempts)).collect();
        assert!(waits.iter().all(|wait| *wait < bound));
        for tenth in 0..10 {
            let range = bound * tenth / 10..bound * (tenth + 1) / 10;
            let is_in = |range: &Range<Duration>, wait: &Duration| range.contains(wait);
            let count = waits.iter().filter(|wait| is_in(&range, wait)).count();
            // 200 are to be expected: 80 fewer or more would be 6 standard deviations.
            assert!((120..280).contains(&count), "{count} of 2000 in {range:?}");
        }
    }
}

#[test]
fn a_date_is_read_in_the_form_that_senders_use() {
    for (text, seconds) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
        ("Thu, 31 Dec 1998 23:59:60 GMT", 915_148_800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ] {
        assert_eq!(http_date_ms(text), Some(seconds * 1000), "{text}");
    }
    for text in [
        "",
        "0",
        "yesterday",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 06 JanFeb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "Sun, 06 Nov -1994 08:49:37 GMT",
    ] {
        assert_eq!(http_date_ms(text), None, "{text}");
    }
}

#[test]
fn no_wait_is_too_long_to_be_added_to_a_time() {
    let longest = Duration::from_secs(u32::MAX.into());
    for (text, expected) in [
        ("0", Some(Duration::ZERO)),
        ("120", Some(Duration::from_secs(120))),
        ("4294967295", Some(longest)),
        ("4294967296", Some(longest)),
        ("99999999999999999999999", Some(longest)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(longest)),
        (
            "Thu, 01 Jan 1970 00:01:00 GMT",
            Some(Duration::from_secs(60)),
        ),
        ("Wed, 31 Dec 1969 23:59:59 GMT", Some(Duration::ZERO)),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("1.5", None),
    ] {
        assert_eq!(retry_after(text, Some(0)), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_date_is_read_as_it_was_meant(seconds in 0..253_402_300_800_u64) {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        prop_assert_eq!(http_date_ms(&text), i64::try_from(seconds * 1000).ok());
    }

    #[test]
    fn no_date_is_too_strange(
        text in prop_oneof![any::<String>(), "[A-Z][a-z]{2},? [-+0-9]{1,4}[ -]Nov[ -][-+0-9]{1,20} [-+:0-9]{1,20}( GMT)?"],
    ) {
        let _ = http_date_ms(&text);
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
