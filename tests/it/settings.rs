//! Region, API URL and the builder's other settings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{config::Config, http::Uri};
use ncloud_container_registry::{Client, Error, ErrorKind, Region, ureq};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, Then, answer};
use crate::{builder, builder_at, child, if_child};

#[test]
fn the_environment_picks_the_region() {
    if_child(|| match Client::from_env() {
        Ok(client) => client.sign_delete_image("r", "i").unwrap().url().to_owned(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        }
    });
    let from_env = |settings: &[(&str, &str)]| {
        let keys = [
            ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
            ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
        ];
        child(
            "settings::the_environment_picks_the_region",
            &[&keys, settings].concat(),
        )
    };
    let of = |region: Region| format!("{}/repositories/r/i", region.api_url());
    for (site, region, expected) in [
        (None, "KR", Region::Korea),
        (None, "SGN", Region::Singapore),
        (None, "JPN", Region::Japan),
        (Some("public"), "KR", Region::Korea),
        (Some("public"), "SGN", Region::Singapore),
        (Some("public"), "JPN", Region::Japan),
        (Some("gov"), "KR", Region::GovKorea),
        (Some("gov"), "KRS", Region::GovKoreaSouth),
        (Some("fin"), "FKR", Region::FinKorea),
    ] {
        let site = site.map(|site| ("NCLOUD_SITE", site));
        let settings: Vec<_> = site
            .into_iter()
            .chain([("NCLOUD_REGION", region)])
            .collect();
        assert_eq!(from_env(&settings), of(expected), "{settings:?}");
    }
    for (site, region, shown_site, shown_region) in [
        // A deletion has no default region.
        (None, None, "public", ""),
        (Some("gov"), None, "gov", ""),
        (Some("fin"), None, "fin", ""),
        (None, Some(""), "public", ""),
        (Some("public"), Some("KRS"), "public", "KRS"),
        (None, Some("kr"), "public", "kr"),
        (None, Some("a\u{1b}"), "public", "a\\u{1b}"),
        (Some("gov"), Some("SGN"), "gov", "SGN"),
        (Some("fin"), Some("KR"), "fin", "KR"),
        (Some("moon"), Some("KR"), "moon", "KR"),
        (Some(""), Some("KR"), "", "KR"),
    ] {
        let site = site.map(|site| ("NCLOUD_SITE", site));
        let region = region.map(|region| ("NCLOUD_REGION", region));
        let settings: Vec<_> = site.into_iter().chain(region).collect();
        assert_eq!(
            from_env(&settings),
            format!(
                "no region \"{shown_region}\" on the site \"{shown_site}\": set NCLOUD_REGION to KR, SGN \
                 or JPN (NCLOUD_SITE public, the default), KR or KRS (gov) or FKR (fin)"
            )
        );
    }
    assert_eq!(
        from_env(&[
            ("NCR_API_URL", "https://ncr.example.com/v2/"),
            ("NCLOUD_REGION", "JPN")
        ]),
        "https://ncr.example.com/v2/repositories/r/i"
    );
    assert!(
        from_env(&[("NCR_API_URL", ""), ("NCLOUD_REGION", "KR")])
            .starts_with("NCR_API_URL: the API URL \"\" cannot be used: use https")
    );
    assert!(from_env(&[("NCR_API_URL", "http://example.com")]).contains("use https"));
}

#[test]
fn keys_are_asked_for_before_the_region() {
    if_child(|| format!("{:?}", Client::from_env().unwrap_err().kind()));
    let name = "settings::keys_are_asked_for_before_the_region";
    assert_eq!(child(name, &[("NCLOUD_SITE", "moon")]), "Credentials");
}

#[cfg(unix)]
#[test]
fn a_setting_that_is_not_unicode_is_no_missing_one() {
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
        let test = "settings::a_setting_that_is_not_unicode_is_no_missing_one";
        assert!(child(test, &environment).contains("\"\u{fffd}\""), "{name}");
    }
}

fn refused(api_url: &str) -> Error {
    let error = builder_at(api_url).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
    error
}

#[test]
fn an_api_url_is_https_or_loopback() {
    for (api_url, base) in [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/a/b/", "https://example.com/a/b"),
        (
            "https://example.com/A.b_c-d~0",
            "https://example.com/A.b_c-d~0",
        ),
        ("HTTPS://Example.com:8443/a", "https://Example.com:8443/a"),
        ("https://10.0.0.1/a", "https://10.0.0.1/a"),
        (
            "https://[2001:db8::1]:8443/a",
            "https://[2001:db8::1]:8443/a",
        ),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.8.9.10:80/a", "http://127.8.9.10:80/a"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080/a", "http://localhost:8080/a"),
        ("http://LOCALHOST", "http://LOCALHOST"),
    ] {
        let client = builder_at(api_url).build().unwrap();
        let signed = client.sign_delete_image("r", "i").unwrap();
        assert_eq!(signed.url(), format!("{base}/repositories/r/i"));
    }
    let why = "cannot be used: use https (http for loopback only), no user info, query or fragment, \
               and a path of letters, digits, - . _ ~ and single /";
    for api_url in [
        // Not confidential.
        "http://example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://127.0.0.1.example.com",
        "http://127.1",
        "http://0177.0.0.1",
        "http://2130706433",
        "http://localhost.example.com",
        "http://mylocalhost",
        "http://[::]",
        "http://[::ffff:127.0.0.1]",
        "http://[127.0.0.1]",
        "http://[2001:db8::1]",
        "ftp://127.0.0.1",
        "ws://localhost",
        // No URL.
        "",
        "/",
        "example.com/a",
        "https://",
        "https:///a",
        "https://a b",
        "https://é",
        // Odd ports.
        "https://example.com:99999",
        "https://example.com:+443",
        "https://example.com:0443",
        "https://example.com:",
        "https://example.com:https/",
        // Paths that could be read in two ways.
        "https://example.com//",
        "https://example.com/a//b",
        "https://example.com/.",
        "https://example.com/a/../b",
        "https://example.com/a/./",
        "https://example.com/a\"b",
        "https://example.com/a//",
        "https://example.com/a/%2e%2e/b",
        "https://example.com/a%2Fb",
        "https://example.com/..;/b",
        "https://example.com/a;b",
        "https://example.com/a+b",
        "https://example.com/%zz",
    ] {
        assert_eq!(
            refused(api_url).to_string(),
            format!("the API URL \"{api_url}\" {why}")
        );
    }
    for (api_url, shown) in [
        ("a\n", "a\\n"),
        ("https://example.com/a\\b", "https://example.com/a\\b"),
        // What may be a password or a token is not shown.
        ("https://user:secret@example.com", "..."),
        ("http://127.0.0.1@example.com", "..."),
        ("https://example.com?secret", "..."),
        ("https://example.com#secret", "..."),
        ("https://example.com/?", "..."),
    ] {
        assert_eq!(
            refused(api_url).to_string(),
            format!("the API URL \"{shown}\" {why}")
        );
    }
    // Longer than any URL may be.
    assert!(
        refused(&format!("https://example.com/{}", "a".repeat(70_000)))
            .to_string()
            .len()
            < 500
    );
}

#[test]
fn no_time_and_no_attempts_are_refused() {
    for builder in [
        builder_at("https://example.com").timeout(Duration::ZERO),
        builder_at("https://example.com").max_attempts(0),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "timeout and max_attempts must not be zero"
        );
    }
}

#[test]
fn no_time_is_too_long() {
    let gateway = Gateway::with(&["r/i"]);
    let client = builder(&gateway)
        .timeout(Duration::MAX)
        .max_attempts(u32::MAX)
        .build()
        .unwrap();
    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.images(), [""; 0]);
}

#[test]
fn an_agent_of_the_callers_own_is_used_and_the_rules_hold() {
    let elsewhere = Gateway::with(&[]);
    let gateway = Gateway::with(&["r/i"]);
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(true)
        .max_redirects(5)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .accept("text/x-own-agent")
        .build()
        .new_agent();
    let client = builder(&gateway).agent(agent).build().unwrap();

    let location = format!("Location: {}/repositories/r/i\r\n", elsewhere.url());
    gateway.answer(answer("307 Temporary Redirect", &location, ""));
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::UnexpectedResponse, Some(307))
    );
    assert_eq!(elsewhere.connections(), 0);

    gateway.answer(answer("200 OK", "", "<html>please log in</html>"));
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::UnexpectedResponse, Some(200))
    );
    assert_eq!(gateway.images(), ["r/i"]);

    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.images(), [""; 0]);
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NotFound, Some("404"))
    );
    for request in gateway.requests() {
        assert_eq!(request.header("accept"), ["text/x-own-agent"]);
    }
}

/// Notes the timeouts of each request, and finds no host.
#[derive(Debug, Clone, Default)]
struct Timeouts(Arc<Mutex<Vec<[Option<Duration>; 4]>>>);

impl Resolver for Timeouts {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let of = config.timeouts();
        let noted = [of.global, of.resolve, of.connect, of.recv_response];
        self.0.lock().unwrap().push(noted);
        Err(ureq::Error::HostNotFound)
    }
}

#[test]
fn an_attempt_has_30_seconds_and_a_quarter_of_them_to_look_up_and_to_connect() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let request = |config: Config, timeout: Option<Duration>| {
        let timeouts = Timeouts::default();
        let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), timeouts.clone());
        let mut builder = builder_at("http://localhost").agent(agent).max_attempts(1);
        if let Some(timeout) = timeout {
            builder = builder.timeout(timeout);
        }
        builder.build().unwrap().delete_image("r", "i").unwrap_err();
        timeouts.0.lock().unwrap().pop()
    };
    let config = ureq::Agent::config_builder;
    assert_eq!(
        request(config().build(), None),
        Some([ms(30_000), ms(7_500), ms(7_500), None])
    );
    // A call that ends earlier leaves less. Some of its time has passed by then.
    let [global, resolve, connect, _] = request(config().build(), ms(8_000)).unwrap();
    assert!(global <= ms(8_000) && global > ms(4_000), "{global:?}");
    let quarter = global.map(|global| global / 4);
    assert_eq!((resolve, connect), (quarter, quarter));
    // However little is left, it is enough to tell where it ended; one of many gets that far.
    let nothing_left = || request(config().build(), Some(Duration::from_nanos(1)));
    let noted = (0..1000).find_map(|_| nothing_left());
    let quarter = Some(Duration::from_micros(2_500));
    assert_eq!(noted, Some([ms(10), quarter, quarter, None]));
    // Of an agent's own timeouts, these three hold where they are shorter; the others always do.
    let shorter = config()
        .timeout_global(ms(20_000))
        .timeout_resolve(ms(100))
        .timeout_connect(ms(200))
        .timeout_recv_response(ms(300));
    assert_eq!(
        request(shorter.build(), None),
        Some([ms(20_000), ms(100), ms(200), ms(300)])
    );
    let longer = config()
        .timeout_global(ms(50_000))
        .timeout_resolve(ms(10_000))
        .timeout_connect(ms(20_000))
        .timeout_recv_response(ms(40_000));
    assert_eq!(
        request(longer.build(), None),
        Some([ms(30_000), ms(7_500), ms(7_500), ms(40_000)])
    );
}

#[test]
fn an_agents_own_shorter_timeouts_hold() {
    let gateway = Gateway::with(&["r/i"]);
    gateway.script(|exchange| {
        exchange.wait_for_close();
        Then::Close
    });
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(50)))
        .build()
        .new_agent();
    let client = builder(&gateway)
        .agent(agent)
        .max_attempts(1)
        .build()
        .unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn an_agent_for_https_alone_sends_nothing_to_loopback_http() {
    let gateway = Gateway::with(&["r/i"]);
    let agent = ureq::Agent::config_builder()
        .https_only(true)
        .build()
        .new_agent();
    let client = builder(&gateway).agent(agent).build().unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 1)
    );
    assert!(!error.may_have_taken_effect());
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn an_agents_own_longer_timeouts_do_not_hold() {
    let gateway = Gateway::with(&["r/i"]);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::MAX))
        .timeout_connect(Some(Duration::MAX))
        .timeout_resolve(Some(Duration::MAX))
        .build()
        .new_agent();
    let client = builder(&gateway)
        .agent(agent)
        .timeout(Duration::MAX)
        .build()
        .unwrap();
    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.images(), [""; 0]);
}
