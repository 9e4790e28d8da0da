//! Region, API URL, timeouts and the rest of the builder.

use std::time::Duration;

use ncloud_container_registry::{Client, ClientBuilder, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, response};
use crate::{builder, builder_at, child, client, if_child};

/// The URL or the error that [`Client::from_env`] comes to, with keys and `settings`.
#[track_caller]
fn assert_env(settings: &[(&str, &str)], expected: &str) {
    let keys = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let reported = child(from_env_finds_the_api_url, &[&keys, settings].concat());
    assert_eq!(reported, expected, "{settings:?}");
}

fn unusable_api_url(shown: &str) -> String {
    format!(
        "unusable API URL \"{shown}\": expected https (http for loopback only), and host and path of \
         the API, such as https://ncr.apigw.ntruss.com/ncr/api/v2 or \
         https://kr-ncr.apigw.ntruss.com/api/v3"
    )
}

/// Without the URL, as what is wrong with it may be secret.
const HAS_MORE: &str = "unusable API URL: it has a user, a query or a fragment; remove that";

#[test]
fn from_env_finds_the_api_url() {
    if_child(|| match Client::from_env() {
        Ok(client) => client.image_url("r", "i").unwrap(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        }
    });
    let at = |region: Region| format!("{}/repositories/r/i", region.api_url());
    let unset = |codes: &str| format!("no region: set NCLOUD_REGION to one of {codes}");
    let public = "KR, SGN, JPN";
    let sites = "; NCLOUD_SITE chooses the site (public, gov or fin)";
    let no_region = |code: &str, site: &str, codes: &str| {
        format!("NCLOUD_REGION: no region \"{code}\" on the site {site}, which has {codes}{sites}")
    };
    const SITE: &str = "NCLOUD_SITE";
    const REGION: &str = "NCLOUD_REGION";
    const URL: &str = "NCR_API_URL";
    let url = "https://ncr.example.com/x/v2/";
    let at_url = "https://ncr.example.com/x/v2/repositories/r/i".to_owned();
    #[rustfmt::skip] // one row a line
    let rows = [
        (&[(REGION, "SGN")][..], at(Region::Singapore)),
        (&[(REGION, "kr"), (SITE, ""), (URL, "")], at(Region::Korea)),
        (&[(REGION, "KR"), (SITE, "Gov")], at(Region::GovKorea)),
        // A deletion has no default region.
        (&[], unset(public)),
        (&[(REGION, "")], unset(public)),
        (&[(SITE, "gov")], unset("KR, KRS")),
        (&[(REGION, "KRS")], no_region("KRS", "public", public)),
        (&[(REGION, "KR"), (SITE, "fin")], no_region("KR", "fin", "FKR")),
        (&[(REGION, "KR"), (SITE, "goverment")], "NCLOUD_SITE: no site \"goverment\": expected public, gov or fin".into()),
        (&[(URL, url)], at_url.clone()),
        (&[(URL, url), (REGION, "MARS"), (SITE, "moon")], at_url),
        (&[(URL, "KR"), (REGION, "KR")], format!("NCR_API_URL: {}", unusable_api_url("KR"))),
        (&[(URL, "https://a/v2?b")], format!("NCR_API_URL: {HAS_MORE}")),
    ];
    for (settings, expected) in rows {
        assert_env(settings, &expected);
    }
}

/// Whoever calls it may have no variables, so none is named.
#[test]
fn from_code_says_which_of_the_two_is_wrong() {
    let no_region = |code: &str, site: &str, codes: &str| {
        let sites = "; the sites are public, gov and fin";
        format!("no region \"{code}\" on the site {site}, which has {codes}{sites}")
    };
    let no_site = |site: &str| format!("no site \"{site}\": expected public, gov or fin");
    #[rustfmt::skip] // one row a line
    let rows = [
        ("public", "MARS", no_region("MARS", "public", "KR, SGN, JPN")),
        ("Public", " KR", no_region(" KR", "Public", "KR, SGN, JPN")),
        ("public", "", no_region("", "public", "KR, SGN, JPN")),
        ("gov", "a\u{1b}", no_region("a\\u{1b}", "gov", "KR, KRS")),
        ("fin", "KR", no_region("KR", "fin", "FKR")),
        ("", "KR", no_site("")),
        ("moon\n", "MARS", no_site("moon\\n")),
    ];
    for (site, code, text) in rows {
        let error = Region::from_code(site, code).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::InvalidInput, text)
        );
    }
}

#[cfg(unix)]
#[test]
fn from_env_takes_a_setting_that_is_not_unicode_for_wrong() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    if_child(|| Client::from_env().unwrap_err().to_string());
    for name in ["NCR_API_URL", "NCLOUD_SITE", "NCLOUD_REGION"] {
        let mut environment = vec![
            ("NCLOUD_ACCESS_KEY_ID", OsString::from(ACCESS_KEY)),
            ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY.into()),
            ("NCLOUD_REGION", "KR".into()),
        ];
        environment.push((name, OsString::from_vec(b"\xff".to_vec())));
        let test = from_env_takes_a_setting_that_is_not_unicode_for_wrong;
        assert!(child(test, &environment).contains("\"\u{fffd}\""), "{name}");
    }
}

#[rustfmt::skip] // one row a line
#[test]
fn build_allows_an_api_url_of_https_or_loopback_that_ends_in_its_version() {
    let rows = [
        ("https://example.com/v2", "https://example.com/v2"),
        ("https://example.com/v2/", "https://example.com/v2"),
        ("https://example.com/a/A.b_c-d~0:/v2/", "https://example.com/a/A.b_c-d~0:/v2"),
        ("HTTPS://Example.com:8443/v2", "https://Example.com:8443/v2"),
        ("https://10.0.0.1/v2", "https://10.0.0.1/v2"),
        ("https://[2001:db8::1]:8443/v2", "https://[2001:db8::1]:8443/v2"),
        ("http://127.0.0.1/v2", "http://127.0.0.1/v2"),
        ("http://127.8.9.10:80/v2", "http://127.8.9.10:80/v2"),
        ("http://[::1]:8080/v2", "http://[::1]:8080/v2"),
        ("http://localhost:8080/v2", "http://localhost:8080/v2"),
        ("http://LOCALHOST/v2", "http://LOCALHOST/v2"),
        ("https://ncr.apigw.gov-ntruss.com/v2", "https://ncr.apigw.gov-ntruss.com/v2"),
        ("https://notruss.com/v2", "https://notruss.com/v2"),
    ];
    for (api_url, base) in rows {
        let client = builder_at(api_url).build().unwrap();
        assert_eq!(client.image_url("r", "i").unwrap(), format!("{base}/repositories/r/i"));
    }
    for region in ["kr", "sg", "jp"] {
        let api_url = format!("https://{region}-ncr.apigw.ntruss.com/api/v3");
        let client = builder_at(&api_url).build().unwrap();
        let url = client.image_url("r", "i").unwrap();
        assert_eq!(url, format!("{api_url}/registries/r/images/i?cascading=true"));
    }
    for api_url in [
        // Not this API.
        "https://ncr.apigw.ntruss.com", "https://ncr.apigw.ntruss.com/ncr/api", "https://example.com/V2",
        "https://example.com/v2/repositories", "https://example.com/v4", "https://example.com/av2",
        "https://my-registry.kr.ncr.ntruss.com/v2", "https://KR.NCR.NTRUSS.COM./v2", "https://apigw.ntruss.com/v2",
        "https://ncr.gov-ntruss.com/v2",
        // Not confidential.
        "http://example.com/v2", "http://10.0.0.1/v2", "http://0.0.0.0/v2", "http://127.0.0.1.example.com/v2",
        "http://127.1/v2", "http://0177.0.0.1/v2", "http://2130706433/v2", "http://localhost.example.com/v2",
        "http://mylocalhost/v2", "http://[::]/v2", "http://[::ffff:127.0.0.1]/v2", "http://[127.0.0.1]/v2",
        "http://[2001:db8::1]/v2", "ftp://127.0.0.1/v2", "ws://localhost/v2",
        "https:///v2", "https://a b/v2", "https://é/v2", "", "/", "/v2", "KR", "example.com/v2", "\"https://example.com/v2\"",
        // Odd ports.
        "https://example.com:99999/v2", "https://example.com:+443/v2", "https://example.com:0443/v2",
        "https://example.com:/v2", "https://example.com:https/v2",
        // Paths that could be read in two ways.
        "https://example.com//v2", "https://example.com/v2//", "https://example.com/./v2", "https://example.com/a/../v2",
        "https://example.com/%2e%2e/v2", "https://example.com/a%2Fv2", "https://example.com/..;/v2",
        "https://example.com/a;b/v2", "https://example.com/a+b/v2", "https://example.com/a\"b/v2",
    ] {
        assert_api_url_refused(api_url, api_url);
    }
    assert_api_url_refused("https://a/v2\n", "https://a/v2\\n");
    assert_api_url_refused("https://example.com/a\\b/v2", "https://example.com/a\\b/v2");
    for api_url in [
        "https://user:secret@example.com/v2", "http://127.0.0.1@example.com/v2", "user:secret@example.com/v2",
        "https://example.com?secret/v2", "https://example.com/v2?secret", "https://example.com/?/v2",
        "https://example.com/v2#secret",
    ] {
        let error = builder_at(api_url).build().unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, HAS_MORE), "{api_url}");
    }
    // Longer than any URL may be.
    let start = "https://example.com/";
    let shown = format!("{start}{}…", "a".repeat(300 - start.len()));
    assert_api_url_refused(&format!("{start}{}/v2", "a".repeat(70_000)), &shown);
}

#[track_caller]
fn assert_api_url_refused(api_url: &str, shown: &str) {
    let error = builder_at(api_url).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
    assert_eq!(error.to_string(), unusable_api_url(shown));
}

#[test]
fn build_refuses_a_timeout_of_zero_and_max_attempts_of_zero() {
    let builder = || builder_at("https://example.com/v2");
    for (builder, text) in [
        (builder().timeout(Duration::ZERO), "the timeout is zero"),
        (builder().max_attempts(0), "max_attempts is zero"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (ErrorKind::InvalidInput, text)
        );
    }
    // More than a day is a day: ureq could not count to the end of a longer one.
    let client = builder().timeout(Duration::MAX).build().unwrap();
    assert!(
        format!("{client:?}").contains("timeout: 86400s"),
        "{client:?}"
    );
}

/// What the caller sets holds, but for the timeout, redirects and statuses; the last call wins.
#[test]
fn ureq_config_changes_what_is_not_ours() {
    let gateway = Gateway::with(&["r/i"]);
    let elsewhere = Gateway::with(&["r/i"]);
    let location = format!("Location: {}/repositories/r/i\r\n", elsewhere.url());
    let builder = builder(&gateway)
        .ureq_config(|config| config.user_agent("lost").accept("x/lost"))
        .ureq_config(|config| {
            config
                .http_status_as_error(true)
                .max_redirects(5)
                .timeout_global(Some(Duration::ZERO))
                .timeout_connect(Some(Duration::MAX))
                .accept("x/custom")
        });
    for client in [client(&gateway), builder.build().unwrap()] {
        for status in [301, 302, 303, 307, 308] {
            let redirect = response(&format!("{status} Moved"), &location, "{}");
            gateway.respond(redirect.clone());
            gateway.respond(redirect);
            let deleted = client.delete_image("r", "i").unwrap_err();
            let read = client.get(&["repositories", "r", "i"], &[]).unwrap_err();
            for (error, is_unknown) in [(deleted, true), (read, false)] {
                assert_eq!(error.kind(), ErrorKind::UnexpectedResponse);
                assert_eq!((error.status(), error.attempts()), (Some(status), 1));
                assert_eq!(error.may_have_been_deleted(), is_unknown);
            }
        }
        gateway.put(["r/i"]);
        client.delete_image("r", "i").unwrap();
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    elsewhere.assert_connections(0);
    let requests = gateway.requests();
    let accepted: Vec<_> = requests
        .iter()
        .flat_map(|request| request.header("accept"))
        .collect();
    assert_eq!(accepted, [["*/*"; 12], ["x/custom"; 12]].concat());
}

#[track_caller]
fn assert_cannot_send(builder: ClientBuilder, why: &str) {
    let error = builder.build().unwrap().delete_image("r", "i").unwrap_err();
    let told = (
        error.kind(),
        error.attempts(),
        error.may_have_been_deleted(),
    );
    assert_eq!(told, (ErrorKind::InvalidInput, 1, false), "{error}");
    let start = format!("cannot delete \"r/i\": cannot send to {why}");
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn ureq_config_can_forbid_http() {
    let gateway = Gateway::with(&["r/i"]);
    let builder = builder(&gateway).ureq_config(|config| config.https_only(true));
    assert_cannot_send(builder, &format!("{}: ", gateway.address()));
    gateway.assert_connections(0);
}

/// Also where another crate of the program has switched on TLS in ureq, without what it needs.
#[cfg(not(feature = "rustls"))]
#[test]
fn delete_image_sends_nothing_over_https_if_built_without_tls() {
    let gateway = Gateway::with(&[]);
    let api_url = gateway.url().replace("http:", "https:");
    for client in [
        Client::new(Region::Korea, crate::credentials()),
        builder_at(&api_url).build().unwrap(),
    ] {
        let error = client.delete_image("r", "i").unwrap_err();
        let text =
            "cannot delete \"r/i\": this crate was built without TLS; enable its feature rustls";
        assert_eq!(error.to_string(), text);
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0)
        );
        assert!(!error.may_have_been_deleted());
    }
    gateway.assert_connections(0);
}

/// Whoever brings another TLS says so. Here nobody did.
#[cfg(not(feature = "rustls"))]
#[test]
fn ureq_config_sends_nothing_over_https_without_tls() {
    let gateway = Gateway::with(&[]);
    let builder = builder_at(&gateway.url().replace("http:", "https:"));
    let builder = builder.ureq_config(|config| config);
    assert_cannot_send(builder, &format!("{}: TLS required, ", gateway.address()));
    gateway.assert_requests(0);
}
