//! The private parts that need no socket.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const PATHS: [&[&str]; 6] = [
    &["error", "errorCode"],
    &["error", "message"],
    &["responseError", "returnCode"],
    &["responseError", "returnMessage"],
    &["returnCode"],
    &["returnMessage"],
];

/// What a full parser finds at `path`, if it is a string or a number.
fn oracle(document: &str, path: &[&str]) -> Option<Value> {
    let document: Value = serde_json::from_str(document).ok()?;
    let mut value = &document;
    for name in path {
        value = value.as_object()?.get(*name)?;
    }
    Some(value)
        .filter(|value| value.is_string() || value.is_number())
        .cloned()
}

fn assert_same(document: &str) {
    for path in PATHS {
        let expected = oracle(document, path);
        let found = json_text(document, path).map(|text| match expected {
            // The full parser rewrites exponents, so numbers are compared as it reads them.
            Some(Value::Number(_)) => serde_json::from_str(&text).unwrap(),
            _ => Value::from(text),
        });
        assert_eq!(found, expected, "{path:?} of {document:?}");
    }
}

/// Documents that often have what is looked for, in its place or elsewhere.
fn documents() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z\"\\\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}é😀]{0,8}"
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let names = vec![
        "error",
        "errorCode",
        "message",
        "responseError",
        "returnCode",
        "returnMessage",
    ];
    let name = prop_oneof![
        6 => prop::sample::select(names).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    scalar.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn json_reader_finds_what_a_full_parser_finds(document in documents(), pretty: bool) {
        let text = if pretty { format!("{document:#}") } else { document.to_string() };
        assert_same(&text);
    }

    #[test]
    fn json_reader_refuses_what_a_full_parser_refuses(
        document in documents(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::of("[\\[\\]{}:,\"\\\\u0-9a-fA-F+\\-.eE \n\u{0}]")),
            1..4,
        ),
    ) {
        let mut characters: Vec<char> = document.to_string().chars().collect();
        for (at, replacement) in edits {
            let at = at.index(characters.len() + 1);
            match (replacement.and_then(|text| text.chars().next()), characters.get_mut(at)) {
                (Some(new), Some(old)) => *old = new,
                (Some(new), None) => characters.push(new),
                (None, _) => characters.truncate(at),
            }
        }
        assert_same(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn json_reader_survives_any_text(text: String) {
        assert_same(&text);
    }
}

#[test]
fn json_reader_agrees_on_the_edges() {
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut documents = vec![
        deep(127),
        deep(128),
        deep(100_000),
        "{\"a\":".repeat(50_000),
        format!("{{\"returnCode\":7,\"x\":{}}}", deep(126)),
        format!("{{\"returnCode\":7,\"x\":{}}}", deep(127)),
    ];
    for value in [
        "7",
        "-0",
        "01",
        "1.",
        ".5",
        "1e5",
        "1E+05",
        "1e",
        "-",
        "1.50",
        "123456789012345678901234567890",
        r#""""#,
        r#""\u0041""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\u0041""#,
        r#""\u+041""#,
        r#""\u004""#,
        r#""\x""#,
        "\"\t\"",
        "\"\u{7f}\"",
        r#""a"#,
        "true",
        "nul",
        "[]",
        "{}",
        "[1,]",
        "{\"a\":1,}",
        "",
    ] {
        documents.push(value.to_owned());
        documents.push(format!("{{\"returnCode\":{value}}}"));
        documents.push(format!(
            " {{\"error\" : {{ \"errorCode\" :\n{value}\t}}\r}} "
        ));
        documents.push(format!("{{\"returnCode\":{value}}} x"));
        documents.push(format!("{{\"returnCode\":1,\"returnCode\":{value}}}"));
        documents.push(format!(
            "{{\"error\":{{\"message\":\"m\"}},\"error\":{{\"errorCode\":{value}}}}}"
        ));
        documents.push(format!("[{{\"returnCode\":{value}}}]"));
        documents.push(format!(
            "{{\"x\":{{\"returnCode\":{value}}},\"error\":[{{\"errorCode\":1}}]}}"
        ));
    }
    for document in documents {
        assert_same(&document);
    }
}

#[test]
fn what_is_shown_cannot_steer_a_terminal() {
    assert_eq!(printable("a \"b\" \\ é 한 😀"), "a \"b\" \\ é 한 😀");
    assert_eq!(
        printable("a\nb\r\t\u{1b}[31m\u{7f}\u{9b}"),
        "a\\u{a}b\\u{d}\\u{9}\\u{1b}[31m\\u{7f}\\u{9b}"
    );
    assert_eq!(
        printable("a\u{202e}b\u{2028}\u{feff}\u{200f}"),
        "a\\u{202e}b\\u{2028}\\u{feff}\\u{200f}"
    );
    assert_eq!(
        printable("\u{61c}\u{ad}\u{180e}\u{e0041}"),
        "\\u{61c}\\u{ad}\\u{180e}\\u{e0041}"
    );
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
        prop_assert!(shown.chars().count() <= MAX_SHOWN * longest_escape + 1);
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
            let count = waits.iter().filter(|wait| range.contains(wait)).count();
            // 200 are to be expected: 80 fewer or more would be 6 standard deviations.
            assert!((120..280).contains(&count), "{count} of 2000 in {range:?}");
        }
    }
}

#[test]
fn a_date_is_read_in_each_of_its_forms() {
    for (text, seconds) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
        ("Wed, 01-Mar-00 00:00:00 GMT", 951_868_800),
        ("Thu, 31 Dec 1998 23:59:60 GMT", 915_148_800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ] {
        assert_eq!(http_date_ms(text), Some(seconds * 1000), "{text}");
    }
    for text in [
        "",
        "0",
        "yesterday",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sun, 06 Nov 1000 08:49:37 GMT",
        "Sun, 06 Nov 10000 08:49:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 06 JanFeb 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
    ] {
        assert_eq!(http_date_ms(text), None, "{text}");
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
