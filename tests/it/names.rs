//! Names that are refused, before anything is sent.

use ncloud_container_registry::ErrorKind;
use proptest::prelude::*;

use crate::client;
use crate::gateway::Gateway;

const REGISTRY: &str =
    "must be 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends";
const IMAGE: &str =
    "must be parts of a-z, 0-9 and . _ - (not at their ends), joined by /, of 255 bytes at most";
const ALONE: &str = "must be the name alone, such as my-registry, without host or image";
const ENCODED: &str = "contains a %: give it as it is, without percent-encoding";
const UPPER_CASE: &str = "contains an upper-case letter: use lower case";
const TAG: &str =
    "contains a tag (or a host), but all tags would be deleted: drop it if you want that";
const DIGEST: &str =
    "contains a digest, but all of the image would be deleted: drop the digest if you want that";

#[test]
fn a_name_that_cannot_exist_is_refused_unsent() {
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    let assert_refused = |registry: &str, image: &str, expected: &str| {
        for error in [
            client.delete_image(registry, image).unwrap_err(),
            client.delete_image_if_exists(registry, image).unwrap_err(),
            client.sign_delete_image(registry, image).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), expected);
            assert_eq!((error.attempts(), error.status()), (0, None));
            assert!(!error.may_have_taken_effect());
        }
    };
    let long = "a".repeat(256);
    let long_shown = &*format!("{long}…");
    let image_of_64_000 = "a".repeat(64_000);
    for (image, shown, why) in [
        // What has been read as the whole registry, or as something else, on the way.
        ("", "", IMAGE),
        (" ", " ", IMAGE),
        ("/", "/", IMAGE),
        ("/hello", "/hello", IMAGE),
        ("hello/", "hello/", IMAGE),
        ("hello//world", "hello//world", IMAGE),
        (".", ".", IMAGE),
        ("..", "..", IMAGE),
        ("..\\", "..\\", IMAGE),
        ("..;", "..;", IMAGE),
        ("hello/..", "hello/..", IMAGE),
        ("hello/../world", "hello/../world", IMAGE),
        ("hello/world ", "hello/world ", IMAGE),
        ("\u{200b}", "\\u{200b}", IMAGE),
        ("hello?", "hello?", IMAGE),
        ("hello#", "hello#", IMAGE),
        ("hello;x", "hello;x", IMAGE),
        ("a\nb", "a\\nb", IMAGE),
        ("a\u{1b}[31m", "a\\u{1b}[31m", IMAGE),
        ("한국", "한국", IMAGE),
        ("-a", "-a", IMAGE),
        ("a_", "a_", IMAGE),
        ("a/.b", "a/.b", IMAGE),
        (&long, &long, IMAGE),
        (&image_of_64_000, long_shown, IMAGE),
        ("hello%2Fworld", "hello%2Fworld", ENCODED),
        ("100%", "100%", ENCODED),
        ("Hello/World", "Hello/World", UPPER_CASE),
        ("É", "É", UPPER_CASE),
        ("hello/world:1.0", "hello/world:1.0", TAG),
        (":", ":", TAG),
        ("localhost:5000/hello", "localhost:5000/hello", TAG),
        ("hello@sha256", "hello@sha256", DIGEST),
        ("hello:1@sha256:00", "hello:1@sha256:00", DIGEST),
    ] {
        assert_refused("r", image, &format!("the image name \"{shown}\" {why}"));
    }
    let long = "a".repeat(64);
    for (registry, shown, why) in [
        ("", "", REGISTRY),
        (" ", " ", REGISTRY),
        ("-", "-", REGISTRY),
        ("r-", "r-", REGISTRY),
        ("a_b", "a_b", REGISTRY),
        ("\\", "\\", REGISTRY),
        ("..", "..", ALONE),
        (
            "my-registry.kr.ncr.ntruss.com",
            "my-registry.kr.ncr.ntruss.com",
            ALONE,
        ),
        ("a/b", "a/b", ALONE),
        ("host:443", "host:443", ALONE),
        ("r@x", "r@x", ALONE),
        ("my%20registry", "my%20registry", ENCODED),
        ("My-Registry", "My-Registry", UPPER_CASE),
        ("r\0", "r\\0", REGISTRY),
        (&long, &long, REGISTRY),
    ] {
        assert_refused(registry, "i", &format!("the registry \"{shown}\" {why}"));
    }
    assert_eq!(gateway.connections(), 0);
}

/// The rule again, character by character.
fn can_exist(registry: &str, image: &str) -> bool {
    let is_name = |text: &str, inside: &str| {
        let outside = "abcdefghijklmnopqrstuvwxyz0123456789";
        let last = text.chars().count().wrapping_sub(1);
        !text.is_empty()
            && text.chars().enumerate().all(|(at, character)| {
                outside.contains(character) || (inside.contains(character) && at != 0 && at != last)
            })
    };
    registry.len() <= 63
        && is_name(registry, "-")
        && image.len() <= 255
        && image.split('/').all(|part| is_name(part, "._-"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_names_that_can_exist_are_signed(
        registry in prop_oneof![4 => "[a0./-]{1,4}", 2 => "[az09-]{60,66}", 1 => any::<String>()],
        image in prop_oneof![4 => "[a0./_-]{0,6}", 2 => "[a0][az09./_-]{250,256}", 1 => any::<String>()],
    ) {
        let client = ncloud_container_registry::Client::new(
            ncloud_container_registry::Region::Korea,
            crate::credentials(),
        );
        let signed = client.sign_delete_image(&registry, &image);
        prop_assert_eq!(signed.is_ok(), can_exist(&registry, &image));
        if let Ok(signed) = signed {
            let prefix = "https://ncr.apigw.ntruss.com/ncr/api/v2/repositories/";
            let path = signed.url().strip_prefix(prefix).unwrap();
            prop_assert_eq!(path, format!("{registry}/{}", image.replace('/', "%2F")));
        }
    }
}
