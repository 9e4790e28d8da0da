//! Names that are refused, before anything is sent.

use ncloud_container_registry::ErrorKind;
use proptest::prelude::*;

use crate::client;
use crate::gateway::Gateway;

const EMPTY: &str = "is empty: give it";
const SLASH: &str = "begins or ends with a / or has two in a row: remove the one too many";
const DOTS: &str = "has the component . or .., which could lead to another resource: remove it";
const CONTROL: &str = "contains a control character: remove it";
const ENCODED: &str = "contains a %: pass the name unencoded, it is encoded on the way";
const TAG: &str = "contains a :, as before a tag: the whole image would be deleted, with all of \
                   its tags; drop the tag if that is meant";
const DIGEST: &str = "contains an @, as before a digest: the whole image would be deleted, with \
                      all of its tags; drop the digest if that is meant";
const REGISTRY: &str =
    "contains a /: give the registry alone, and what follows it as the image name";

#[test]
fn a_name_that_could_mean_something_else_is_refused() {
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
    for (image, why) in [
        ("", EMPTY),
        ("/", SLASH),
        ("/hello", SLASH),
        ("hello/", SLASH),
        ("hello//world", SLASH),
        (".", DOTS),
        ("..", DOTS),
        ("hello/.", DOTS),
        ("./hello", DOTS),
        ("hello/../world", DOTS),
        ("hello/..", DOTS),
        ("hello%2Fworld", ENCODED),
        ("100%", ENCODED),
        ("hello/world:1.0", TAG),
        (":", TAG),
        ("localhost:5000/hello", TAG),
        ("hello@sha256", DIGEST),
        ("hello:1@sha256:00", DIGEST),
    ] {
        assert_refused("r", image, &format!("the image name \"{image}\" {why}"));
    }
    for (registry, why) in [
        ("", EMPTY),
        (".", DOTS),
        ("..", DOTS),
        ("a/b", REGISTRY),
        ("/", REGISTRY),
        ("my%20registry", ENCODED),
    ] {
        assert_refused(registry, "i", &format!("the registry \"{registry}\" {why}"));
    }
    for (name, shown) in [
        ("a\nb", "a\\u{a}b"),
        ("\0", "\\u{0}"),
        ("a\u{1b}[31m", "a\\u{1b}[31m"),
        ("\u{7f}", "\\u{7f}"),
        ("\u{85}", "\\u{85}"),
    ] {
        assert_refused("r", name, &format!("the image name \"{shown}\" {CONTROL}"));
        assert_refused(name, "i", &format!("the registry \"{shown}\" {CONTROL}"));
    }
    assert_eq!(gateway.connections(), 0);
}

/// The rule once more, in one line.
fn must_be_refused(registry: &str, image: &str) -> bool {
    registry.is_empty()
        || image.is_empty()
        || registry.contains('/')
        || image.contains([':', '@'])
        || format!("{registry}{image}").contains(|c: char| c == '%' || c.is_control())
        || format!("{registry}/{image}")
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_other_name_is_refused(
        registry in prop_oneof!["[a./%:@ \n한]{0,3}", any::<String>()],
        image in prop_oneof!["[a./%:@ \n한]{0,5}", any::<String>()],
    ) {
        let client = ncloud_container_registry::Client::new(
            ncloud_container_registry::Region::Korea,
            crate::credentials(),
        );
        let signed = client.sign_delete_image(&registry, &image);
        prop_assert_eq!(signed.is_err(), must_be_refused(&registry, &image));
        if let Ok(signed) = signed {
            let prefix = "https://ncr.apigw.ntruss.com/ncr/api/v2/repositories/";
            let path = signed.url().strip_prefix(prefix).unwrap();
            let segments: Vec<_> = path
                .split('/')
                .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8().unwrap())
                .collect();
            prop_assert_eq!(segments, [registry, image]);
        }
    }
}
