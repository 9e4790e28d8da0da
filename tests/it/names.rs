//! Registries, image names, tags and paths that are refused, before anything is sent.

use ncloud_container_registry::{Client, Error, ErrorKind, Region};
use proptest::prelude::*;

use crate::gateway::Gateway;
use crate::{client, credentials};

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Error>, expected: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        (error.kind(), error.attempts(), error.status()),
        (ErrorKind::InvalidInput, 0, None)
    );
    assert!(!error.may_have_been_deleted() && !error.is_transient());
}

const EMPTY: &str = "is empty";
const WHITESPACE: &str = "contains whitespace, perhaps a line break";
const UPPER: &str = "contains upper-case letters";

/// Each with the first rule that is broken.
#[rustfmt::skip] // one row a line
#[test]
fn delete_image_refuses_a_name_that_cannot_exist() {
    let host = "begins with a host; if that is this registry's, pass the name without it";
    let tag = "has a tag or digest, but an image is all of its tags; only delete_tag takes a tag";
    let rest = "must be components joined by /, of a-z, 0-9, ., _ and -, with a-z or 0-9 at both ends";
    let long = "a".repeat(256);
    let images = [
        (EMPTY, &[""][..]),
        (WHITESPACE, &[" ", "hello/world ", "a b", "a\nb", "a\u{a0}", "Hello World:1.0"]),
        (host, &[
            "my-registry.kr.ncr.ntruss.com", "my-registry.ncr.gov-ntruss.com/hello", "ntruss.com/",
            "abc123.kr.private-ncr.ntruss.com/hello/world:1.0", "My-Registry.KR.NCR.NTRUSS.COM/hello@sha256:00",
            "my-registry.kr.ncr.ntruss.com:443/Hello", "https://example.com/hello",
        ]),
        (tag, &["hello/world:1.0", "hello:", "hello@sha256:00", "hello/Moon:1", ":", "@"]),
        ("is percent-encoded; pass it unencoded", &["hello%2Fworld", "hello%2fworld", "100%"]),
        (UPPER, &["Hello/World", "É", "/Hello"]),
        ("has more than 255 bytes", &[&long]),
        // What has been read as the whole registry, or as something else, on the way.
        (rest, &[
            "/", "/hello", "hello/", "hello//world", ".", "..", "..\\", "..;", "hello/..", "hello/../world",
            "hello?", "hello#", "hello;x", "한국", "-a", "a_", "a/.b", "\u{200b}",
            // The name of another image than the one that was meant could be left of these.
            "hello:1.0/world", "localhost:5000/hello/world",
        ]),
    ];
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    for (why, names) in images {
        for name in names {
            let shown = name.escape_debug().to_string().replace(r"\\", r"\");
            let expected = format!("cannot delete \"r/{shown}\": the image name {why}");
            assert_refused(client.delete_image("r", name), &expected);
            assert_refused(client.delete_image_if_exists("r", name), &expected);
            assert_refused(client.image_url("r", name), &expected);
            assert_refused(client.delete_tag("r", name, "1"), &expected.replacen("\":", ":1\":", 1));
            assert_refused(client.image_exists("r", name), &expected.replacen("delete", "read", 1));
        }
    }
    let long = "r".repeat(64);
    let registries = [
        (EMPTY, &[""][..]),
        (WHITESPACE, &[" ", "my registry", "r\n"]),
        (
            "contains a slash; what follows it belongs to the image name",
            &["a/b", "my/", "/", "my-registry.kr.ncr.ntruss.com/hello", "https://example.com", "My/A"],
        ),
        (
            "is a host; pass the name from the console (a private endpoint does not contain it)",
            &["my-registry.kr.ncr.ntruss.com", "abc123.kr.private-ncr.ntruss.com", ".."],
        ),
        (UPPER, &["My-Registry"]),
        ("has more than 63 bytes", &[&long]),
        (
            "must be a-z, 0-9 and -, with a-z or 0-9 at both ends",
            &["-", "r-", "-r", "a_b", "host:443", "my%20registry", "r\0", "한국"],
        ),
    ];
    for (why, names) in registries {
        for name in names {
            let shown = name.escape_debug().to_string().replace(r"\\", r"\");
            let expected = format!("cannot delete \"{shown}/i\": the registry {why}");
            assert_refused(client.delete_image(name, "i"), &expected);
            assert_refused(client.image_exists(name, "i"), &expected.replacen("delete", "read", 1));
        }
    }
    let long = "t".repeat(129);
    let tags = [
        (EMPTY, &[""][..]),
        (WHITESPACE, &[" ", "1.0 "]),
        ("has more than 128 bytes", &[&long]),
        (
            "must be letters, digits, ., _ and - (no digest), not beginning with . or -",
            &[".", "..", ".a", "-a", "a/b", "%2e", "sha256:00", "hello:1.0", "한국", "1?"],
        ),
    ];
    for (why, names) in tags {
        for name in names {
            let expected = format!("cannot delete \"r/i:{name}\": the tag {why}");
            assert_refused(client.delete_tag("r", "i", name), &expected);
        }
    }
    // The longest ones.
    client.image_url(&long[..63], &"a".repeat(255)).unwrap();
    gateway.assert_connections(0);
}

#[test]
fn get_refuses_a_path_that_a_server_could_misread() {
    let rest = "may have letters, digits, - . _ ~ : and single slashes, and no . or .. component; \
                pass it unencoded";
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    for (why, path) in [
        (EMPTY, &[][..]),
        (EMPTY, &[""]),
        (WHITESPACE, &["repositories", "a b"]),
        (rest, &["repositories", ""]),
        (rest, &["", "repositories"]),
        (rest, &["repositories", ".."]),
        (rest, &["repositories", "a/./b"]),
        (rest, &["repositories", "a//b"]),
        (rest, &["repositories/"]),
        (rest, &["/repositories"]),
        (rest, &["a%2fb"]),
        (rest, &["a?b"]),
        (rest, &["a\\b"]),
        (rest, &["한국"]),
    ] {
        let expected = format!("cannot read \"{}\": the path {why}", path.join("/"));
        assert_refused(client.get(path, &[]), &expected);
    }
    // Longer than any URL may be.
    let query = "q".repeat(70_000);
    let error = client.get(&["a"], &[("q", &query)]).unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0)
    );
    gateway.assert_connections(0);
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
    fn image_url_names_exactly_the_images_that_can_exist(
        registry in prop_oneof![4 => "[a0./-]{1,4}", 2 => "[az09-]{60,66}", 1 => any::<String>()],
        image in prop_oneof![
            4 => "[a0./_-]{0,6}",
            1 => "(k8s.gcr.io|a.ntruss.com|gcr.ntruss.io)/[a0]",
            2 => "[a0][az09./_-]{250,256}",
            1 => any::<String>(),
        ],
    ) {
        let client = Client::new(Region::Korea, credentials());
        let url = client.image_url(&registry, &image);
        prop_assert_eq!(url.is_ok(), can_exist(&registry, &image));
        if let Ok(url) = url {
            let prefix = "https://ncr.apigw.ntruss.com/ncr/api/v2/repositories/";
            let path = url.strip_prefix(prefix).unwrap();
            prop_assert_eq!(path, format!("{registry}/{}", image.replace('/', "%2F")));
        }
    }
}
