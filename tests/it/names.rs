//! Registries and image names that are refused, before anything is sent.

use ncloud_container_registry::{Client, ErrorKind, Region};
use proptest::prelude::*;

use crate::gateway::Gateway;
use crate::{client, credentials};

#[track_caller]
fn assert_refused(registry: &str, image: &str, expected: &str) {
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    for error in [
        client.delete_image(registry, image).unwrap_err(),
        client.delete_image_if_exists(registry, image).unwrap_err(),
        client.sign_delete_image(registry, image).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), expected);
        assert_eq!((error.attempts(), error.status()), (0, None));
        assert!(!error.may_have_been_deleted() && !error.is_transient());
    }
    assert_eq!(gateway.connections(), 0);
}

#[track_caller]
fn assert_image_refused(name: &str, shown: &str, why: &str) {
    let expected = format!("cannot delete r/{shown}: the image name \"{shown}\" {why}");
    assert_refused("r", name, &expected);
}

#[test]
fn delete_image_refuses_an_image_name_that_cannot_exist() {
    let why = "must be components of a-z, 0-9, ., _ and -, each beginning and ending with a letter \
               or digit, joined by single slashes, at most 255 bytes; pass it unencoded, such as \
               \"hello/world\"";
    let long = "a".repeat(256);
    // What has been read as the whole registry, or as something else, on the way.
    for name in [
        "",
        " ",
        "/",
        "/hello",
        "hello/",
        "hello//world",
        ".",
        "..",
        "..\\",
        "..;",
        "hello/..",
        "hello/../world",
        "hello/world ",
        "hello?",
        "hello#",
        "hello;x",
        "한국",
        "-a",
        "a_",
        "a/.b",
        "hello%2Fworld",
        "100%",
        "Hello/World",
        "É",
        // The name of another image than the one that was meant could be left of these.
        "hello:1.0/world",
        "localhost:5000/hello/world",
        "a/b:1/c",
        ":",
        "https://example.com/hello",
        &long,
    ] {
        assert_image_refused(name, name, why);
    }
    assert_image_refused("\u{200b}", "\\u{200b}", why);
    assert_image_refused("a\nb", "a\\nb", why);
    let huge = "a".repeat(64_000);
    let [about, quoted] = [497, 512].map(|length| format!("{}…", "a".repeat(length)));
    let expected = format!("cannot delete r/{about}: the image name \"{quoted}\" {why}");
    assert_refused("r", &huge, &expected);
}

#[test]
fn delete_image_refuses_an_image_name_with_a_host_and_points_at_no_other_image() {
    let why = "begins with a host; pass the name without its host, if it is in this registry and \
               region";
    for host in [
        "my-registry.kr.ncr.ntruss.com",
        "my-registry.ncr.gov-ntruss.com",
        "my-registry.ncr.fin-ntruss.com",
        "abc123.kr.private-ncr.ntruss.com",
        "My-Registry.KR.NCR.NTRUSS.COM",
        "my-registry.kr.ncr.ntruss.com:443",
        "ntruss.com",
    ] {
        for rest in [
            "",
            "/",
            "/hello/world",
            "/Hello",
            "/hello/world:1.0",
            "/hello@sha256:00",
        ] {
            let name = format!("{host}{rest}");
            assert_image_refused(&name, &name, why);
        }
    }
}

#[test]
fn delete_image_refuses_an_image_name_with_a_tag_or_digest() {
    let why = "has a tag or digest; for the image with all its tags, pass \"hello/world\"; for one \
               tag, use sign_request";
    for tag in [":1.0", ":", ":1:2", "@sha256:00", ":1.0@sha256", "@"] {
        let name = format!("hello/world{tag}");
        assert_image_refused(&name, &name, why);
    }
}

#[test]
fn delete_image_refuses_a_registry_that_cannot_exist() {
    let long = "a".repeat(64);
    for (name, shown) in [
        ("", ""),
        (" ", " "),
        ("-", "-"),
        ("r-", "r-"),
        ("a_b", "a_b"),
        ("..", ".."),
        (
            "my-registry.kr.ncr.ntruss.com",
            "my-registry.kr.ncr.ntruss.com",
        ),
        ("a/b", "a/b"),
        ("host:443", "host:443"),
        ("my%20registry", "my%20registry"),
        ("My-Registry", "My-Registry"),
        ("r\0", "r\\0"),
        (&long, &long),
    ] {
        let expected = format!(
            "cannot delete {shown}/i: the registry \"{shown}\" must be 1 to 63 characters of a-z, \
             0-9 and -, beginning and ending with a letter or digit; pass its name alone, such as \
             \"my-registry\""
        );
        assert_refused(name, "i", &expected);
    }
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
        && image.split('/').all(|component| is_name(component, "._-"))
        && !image.split('/').next().unwrap().ends_with("ntruss.com")
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sign_delete_image_signs_exactly_the_names_that_can_exist(
        registry in prop_oneof![4 => "[a0./-]{1,4}", 2 => "[az09-]{60,66}", 1 => any::<String>()],
        image in prop_oneof![
            4 => "[a0./_-]{0,6}",
            1 => "(k8s.gcr.io|a.ntruss.com|gcr.ntruss.io)/[a0]",
            2 => "[a0][az09./_-]{250,256}",
            1 => any::<String>(),
        ],
    ) {
        let client = Client::new(Region::Korea, credentials());
        let signed = client.sign_delete_image(&registry, &image);
        prop_assert_eq!(signed.is_ok(), can_exist(&registry, &image));
        if let Ok(signed) = signed {
            let prefix = "https://ncr.apigw.ntruss.com/ncr/api/v2/repositories/";
            let url = signed.uri().to_string();
            let path = url.strip_prefix(prefix).unwrap();
            prop_assert_eq!(path, format!("{registry}/{}", image.replace('/', "%2F")));
        }
    }
}
