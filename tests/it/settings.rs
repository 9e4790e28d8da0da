//! Region, API URL and the builder's other settings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{config::Config, http::Uri};
use ncloud_container_registry::{Client, ClientBuilder, ErrorKind, Region, ureq};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, Then, answer};
use crate::{builder, builder_at, child, if_child};

/// The URL or the error that [`Client::from_env`] comes to, with keys and `settings`.
#[track_caller]
fn from_env(settings: &[(&str, &str)], expected: &str) {
    let keys = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let test = "settings::the_environment_picks_the_region";
    let reported = child(test, &[&keys, settings].concat());
    assert_eq!(reported, expected, "{settings:?}");
}

const PUBLIC: &str = "KR, SGN or JPN (with NCLOUD_SITE=gov: KR or KRS; fin: FKR)";

#[test]
fn the_environment_picks_the_region() {
    if_child(|| match Client::from_env() {
        Ok(client) => {
            let request = client.sign_delete_image("r", "i").unwrap();
            request.uri().to_string()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        }
    });
    let url = |region: Region| format!("{}/repositories/r/i", region.api_url());
    from_env(&[("NCLOUD_REGION", "SGN")], &url(Region::Singapore));
    from_env(&[("NCLOUD_REGION", "kr")], &url(Region::Korea));
    from_env(
        &[("NCLOUD_SITE", ""), ("NCLOUD_REGION", "JPN")],
        &url(Region::Japan),
    );
    from_env(
        &[("NCLOUD_SITE", "Public"), ("NCLOUD_REGION", "KR")],
        &url(Region::Korea),
    );
    from_env(
        &[("NCLOUD_SITE", "gov"), ("NCLOUD_REGION", "KR")],
        &url(Region::GovKorea),
    );
    // A deletion has no default region.
    let unset = format!("no region: set NCLOUD_REGION to {PUBLIC}");
    from_env(&[], &unset);
    from_env(&[("NCLOUD_REGION", "")], &unset);
    from_env(
        &[("NCLOUD_SITE", "gov")],
        "no region: set NCLOUD_REGION to KR or KRS (for NCLOUD_SITE=gov)",
    );
    from_env(
        &[("NCLOUD_SITE", "goverment"), ("NCLOUD_REGION", "KR")],
        "no site \"goverment\": set NCLOUD_SITE to public, gov or fin",
    );
    from_env(
        &[
            ("NCR_API_URL", "https://ncr.example.com/v2/"),
            ("NCLOUD_REGION", "MARS"),
        ],
        "https://ncr.example.com/v2/repositories/r/i",
    );
    let why = "use https (http for loopback only), no user info, query or fragment, and a path of \
               letters, digits, - . _ ~ and single slashes (in NCR_API_URL)";
    from_env(
        &[
            ("NCR_API_URL", "http://example.com"),
            ("NCLOUD_REGION", "KR"),
        ],
        &format!("unusable API URL \"http://example.com\": {why}"),
    );
    let why = "use a URL such as https://ncr.apigw.ntruss.com/ncr/api/v2, or a Region \
               (NCLOUD_REGION) (in NCR_API_URL)";
    for value in ["", "KR"] {
        from_env(
            &[("NCR_API_URL", value), ("NCLOUD_REGION", "KR")],
            &format!("unusable API URL \"{value}\": {why}"),
        );
    }
}

#[test]
fn a_region_has_a_code_on_a_site_in_either_case() {
    for (site, code, region) in [
        ("public", "KR", Region::Korea),
        ("public", "SGN", Region::Singapore),
        ("public", "JPN", Region::Japan),
        ("gov", "KR", Region::GovKorea),
        ("gov", "KRS", Region::GovKoreaSouth),
        ("fin", "FKR", Region::FinKorea),
    ] {
        assert_eq!(Region::from_code(site, code).unwrap(), region);
        let (site, code) = (site.to_uppercase(), code.to_lowercase());
        assert_eq!(Region::from_code(&site, &code).unwrap(), region);
    }
    #[track_caller]
    fn refused(site: &str, code: &str, expected: &str) {
        let error = Region::from_code(site, code).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), expected);
    }
    for code in ["KRS", "FKR", "MARS", "K R", "\"KR\"", " KR"] {
        let text = format!("no region \"{code}\": set NCLOUD_REGION to {PUBLIC}");
        refused("public", code, &text);
    }
    let text = format!("no region \"a\\u{{1b}}\": set NCLOUD_REGION to {PUBLIC}");
    refused("public", "a\u{1b}", &text);
    let text = "no region \"SGN\": set NCLOUD_REGION to KR or KRS (for NCLOUD_SITE=gov)";
    refused("gov", "SGN", text);
    let text = "no region \"KR\": set NCLOUD_REGION to FKR (for NCLOUD_SITE=fin)";
    refused("fin", "KR", text);
    refused(
        "",
        "KR",
        "no site \"\": set NCLOUD_SITE to public, gov or fin",
    );
    refused(
        "moon",
        "MARS",
        "no site \"moon\": set NCLOUD_SITE to public, gov or fin",
    );
}

#[test]
fn an_agent_of_ones_own_goes_with_keys_and_region_from_the_environment() {
    if_child(|| {
        let agent = ureq::Agent::config_builder()
            .accept("x/own")
            .build()
            .new_agent();
        let client = ClientBuilder::from_env()
            .unwrap()
            .agent(agent)
            .build()
            .unwrap();
        client.delete_image("r", "i").unwrap();
        String::new()
    });
    let gateway = Gateway::with(&["r/i"]);
    let url = gateway.url();
    let environment = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
        ("NCR_API_URL", &*url),
    ];
    let test = "settings::an_agent_of_ones_own_goes_with_keys_and_region_from_the_environment";
    child(test, &environment);
    assert_eq!(gateway.requests()[0].header("accept"), ["x/own"]);
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

/// Why an API URL is refused, which it says after showing it.
#[track_caller]
fn refused(api_url: &str, shown: &str, why: &str) {
    let error = builder_at(api_url).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
    assert_eq!(
        error.to_string(),
        format!("unusable API URL \"{shown}\": {why}")
    );
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
        let request = client.sign_delete_image("r", "i").unwrap();
        assert_eq!(request.uri(), &*format!("{base}/repositories/r/i"));
    }
    let why = "use https (http for loopback only), no user info, query or fragment, and a path of \
               letters, digits, - . _ ~ and single slashes";
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
        refused(api_url, api_url, why);
    }
    for (api_url, shown) in [
        ("https://a\n", "https://a\\n"),
        ("https://example.com/a\\b", "https://example.com/a\\b"),
        // What may be a password or a token is not shown.
        ("https://user:secret@example.com", "..."),
        ("http://127.0.0.1@example.com", "..."),
        ("https://example.com?secret", "..."),
        ("https://example.com#secret", "..."),
        ("https://example.com/?", "..."),
    ] {
        refused(api_url, shown, why);
    }
    // Longer than any URL may be.
    let start = "https://example.com/";
    let shown = format!("{start}{}…", "a".repeat(512 - start.len()));
    refused(&format!("{start}{}", "a".repeat(70_000)), &shown, why);

    let why = "use a URL such as https://ncr.apigw.ntruss.com/ncr/api/v2, or a Region \
               (NCLOUD_REGION)";
    for api_url in ["", "/", "KR", "example.com/a"] {
        refused(api_url, api_url, why);
    }
    refused("user:secret@example.com", "...", why);
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
            "unusable settings: timeout and max_attempts must not be zero"
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
        (error.kind(), error.status()),
        (ErrorKind::NotFound, Some(404))
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

/// The global, resolve and connect timeouts of each attempt, and that to receive the answer.
fn timeouts(
    config: Config,
    timeout: Option<Duration>,
    max_attempts: u32,
) -> Vec<[Option<Duration>; 4]> {
    let timeouts = Timeouts::default();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::new(), timeouts.clone());
    let client = builder_at("http://localhost").agent(agent);
    let client = match timeout {
        Some(timeout) => client.timeout(timeout),
        None => client,
    };
    let client = client.max_attempts(max_attempts).build().unwrap();
    client.delete_image("r", "i").unwrap_err();
    timeouts.0.lock().unwrap().clone()
}

/// Some of a call's time has passed before its timeouts are noted.
#[track_caller]
fn assert_share(noted: [Option<Duration>; 4], seconds: f32) {
    let [global, resolve, connect, _] = noted;
    let share = Duration::from_secs_f32(seconds);
    let global = global.unwrap();
    assert!(global <= share && global > share.mul_f32(0.6), "{global:?}");
    assert_eq!((resolve, connect), (Some(global / 4), Some(global / 4)));
}

#[test]
fn an_attempt_has_half_of_the_time_that_is_left_while_another_may_follow() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let config = ureq::Agent::config_builder;
    let one = timeouts(config().build(), None, 1);
    assert_eq!(one.len(), 1);
    assert_share(one[0], 60.0);
    let three = timeouts(config().build(), ms(40_000), 3);
    assert_eq!(three.len(), 3);
    assert_share(three[0], 20.0);
    assert_share(three[1], 20.0);
    assert_share(three[2], 40.0);
    // Half of what is left would be too little for another, so this is the last.
    let many = timeouts(config().build(), ms(2_000), 1000);
    assert!(many.len() < 6, "{many:?}");
    let last = many.last().unwrap();
    assert!(last[0] >= ms(200), "{many:?}");
    // More than a day counts as a day.
    let day = timeouts(config().build(), Some(Duration::MAX), 1);
    assert_share(day[0], 86_400.0);
    // However little is left, it is enough to tell where it ended; one of many gets that far.
    let nothing_left = || timeouts(config().build(), Some(Duration::from_nanos(1)), 1).pop();
    let noted = (0..1000).find_map(|_| nothing_left());
    let quarter = Some(Duration::from_micros(2_500));
    assert_eq!(noted, Some([ms(10), quarter, quarter, None]));
}

#[test]
fn of_an_agents_own_timeouts_three_hold_where_they_are_shorter() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let shorter = ureq::Agent::config_builder()
        .timeout_global(ms(20_000))
        .timeout_resolve(ms(100))
        .timeout_connect(ms(200))
        .timeout_recv_response(ms(300));
    assert_eq!(
        timeouts(shorter.build(), None, 1),
        [[ms(20_000), ms(100), ms(200), ms(300)]]
    );
    // That of a single exchange bounds an attempt as the global one does.
    let per_call = ureq::Agent::config_builder().timeout_per_call(ms(20_000));
    assert_eq!(
        timeouts(per_call.build(), None, 1),
        [[ms(20_000), ms(5_000), ms(5_000), None]]
    );
    let none = ureq::Agent::config_builder().timeout_global(Some(Duration::ZERO));
    assert_eq!(timeouts(none.build(), None, 1)[0][0], ms(10));
    let longer = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::MAX))
        .timeout_resolve(ms(20_000))
        .timeout_connect(ms(20_000))
        .timeout_recv_response(ms(90_000));
    let noted = timeouts(longer.build(), None, 1)[0];
    assert_share(noted, 60.0);
    assert_eq!(noted[3], ms(90_000));
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
    assert!(!error.may_have_been_deleted());
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
