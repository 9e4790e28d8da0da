//! Names that are refused, before anything is sent.

use ncloud_container_registry::ErrorKind;
use proptest::prelude::*;

use crate::client;
use crate::gateway::Gateway;

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

/// An image name that is refused, as it is shown.
#[track_caller]
fn image(name: &str, shown: &str, why: &str) {
    let expected = format!("cannot delete r/{shown}: the image name {why}");
    assert_refused("r", name, &expected);
}

#[track_caller]
fn registry(name: &str, shown: &str, why: &str) {
    let expected = format!("cannot delete {shown}/i: the registry {why}");
    assert_refused(name, "i", &expected);
}

#[test]
fn an_image_name_that_cannot_exist_is_refused_unsent() {
    let why = "must consist of components of a-z, 0-9, ., _ and -, each beginning and ending with \
               a letter or digit, joined by single slashes, at most 255 characters; pass a name such as \
               \"hello/world\"";
    let long = "a".repeat(256);
    // What has been read as the whole registry, or as something else, on the way.
    for name in [
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
        &long,
    ] {
        image(name, name, why);
    }
    image("", "", "is empty; pass a name such as \"hello/world\"");
    image("\u{200b}", "\\u{200b}", why);
    image("a\nb", "a\\nb", why);
    image("a\u{1b}[31m", "a\\u{1b}[31m", why);
    image(&"a".repeat(64_000), &format!("{}…", "a".repeat(510)), why);
}

#[test]
fn an_image_name_with_its_host_is_told() {
    let begins = "begins with a host; pass \"hello/world\"";
    let all_tags =
        "begins with a host; to delete the image with all its tags, pass \"hello/world\"";
    for host in [
        "my-registry.kr.ncr.ntruss.com",
        "my-registry.sg.ncr.ntruss.com",
        "my-registry.ncr.gov-ntruss.com",
        "my-registry.ncr.fin-ntruss.com",
        "abc123.kr.private-ncr.ntruss.com",
        "My-Registry.KR.NCR.NTRUSS.COM",
        "my-registry.kr.ncr.ntruss.com:443",
        "localhost:5000",
        "ntruss.com",
    ] {
        let name = format!("{host}/hello/world");
        image(&name, &name, begins);
        for tag in [":1.0", "@sha256:00", ":1.0@sha256:00", ":"] {
            let name = format!("{name}{tag}");
            image(&name, &name, all_tags);
        }
    }
    for name in [
        "https://my-registry.kr.ncr.ntruss.com/hello/world",
        "my-registry.kr.ncr.ntruss.com",
        "my-registry.kr.ncr.ntruss.com:1.0",
        "my-registry.kr.ncr.ntruss.com/",
        "my-registry.kr.ncr.ntruss.com/Hello",
    ] {
        image(
            name,
            name,
            "begins with a host; pass a name such as \"hello/world\"",
        );
    }
}

#[test]
fn a_likely_mistake_in_an_image_name_is_told() {
    for name in ["hello/world:1.0", "hello/world:", "hello/world:1:2"] {
        let why = "has a tag; to delete the image with all its tags, pass \"hello/world\"";
        image(name, name, why);
    }
    for name in [
        "hello/world@sha256:00",
        "hello/world:1.0@sha256",
        "hello/world@",
    ] {
        let why = "has a digest; to delete the image with all its tags, pass \"hello/world\"";
        image(name, name, why);
    }
    image("a:1/b", "a:1/b", "begins with a host; pass \"b\"");
    image(
        "a/b:1/c",
        "a/b:1/c",
        "has a tag; pass a name such as \"hello/world\"",
    );
    image(":", ":", "has a tag; pass a name such as \"hello/world\"");
    for name in ["hello%2Fworld", "100%"] {
        image(
            name,
            name,
            "is percent-encoded; pass a name such as \"hello/world\"",
        );
    }
    for name in ["Hello/World", "É"] {
        image(
            name,
            name,
            "has an upper-case letter; pass a name such as \"hello/world\"",
        );
    }
}

#[test]
fn a_registry_that_cannot_exist_is_refused_unsent() {
    let why =
        "must be 1 to 63 characters of a-z, 0-9 and -, and begin and end with a letter or digit";
    let long = "a".repeat(64);
    for name in [" ", "-", "r-", "a_b", "\\", &long] {
        registry(name, name, why);
    }
    registry("r\0", "r\\0", why);
    registry("", "", "is empty");
    let why = "has a host or an image; pass only the registry, such as \"my-registry\"";
    for name in [
        "..",
        "my-registry.kr.ncr.ntruss.com",
        "a/b",
        "host:443",
        "r@x",
    ] {
        registry(name, name, why);
    }
    registry(
        "my%20registry",
        "my%20registry",
        "is percent-encoded; pass it unencoded",
    );
    registry(
        "My-Registry",
        "My-Registry",
        "has an upper-case letter; registries are lower-case",
    );
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
    fn exactly_the_names_that_can_exist_are_signed(
        registry in prop_oneof![4 => "[a0./-]{1,4}", 2 => "[az09-]{60,66}", 1 => any::<String>()],
        image in prop_oneof![
            4 => "[a0./_-]{0,6}",
            1 => "(k8s.gcr.io|a.ntruss.com|gcr.ntruss.io)/[a0]",
            2 => "[a0][az09./_-]{250,256}",
            1 => any::<String>(),
        ],
    ) {
        let client = ncloud_container_registry::Client::new(
            ncloud_container_registry::Region::Korea,
            crate::credentials(),
        );
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
