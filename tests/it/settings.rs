//! Region, API URL, timeouts and the rest of the builder.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ncloud_container_registry::ureq::{config::Config, http::Uri};
use ncloud_container_registry::{Client, ErrorKind, Region, ureq};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, response};
use crate::{builder, builder_at, child, credentials, if_child};

/// The URL or the error that [`Client::from_env`] comes to, with keys and `settings`.
#[track_caller]
fn assert_env(settings: &[(&str, &str)], expected: &str) {
    let keys = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let reported = child(
        "settings::from_env_finds_the_api_url",
        &[&keys, settings].concat(),
    );
    assert_eq!(reported, expected, "{settings:?}");
}

const CODES: &str = "KR, SGN or JPN (site public), KR or KRS (gov), FKR (fin)";

fn unusable_api_url(shown: &str, place: &str) -> String {
    format!(
        "unusable API URL \"{shown}\"{place}: expected a Region, or a URL such as \
         https://ncr.apigw.ntruss.com/ncr/api/v2 (http for loopback only; no user info, query or \
         fragment; a path of letters, digits, - . _ ~ : and single slashes)"
    )
}

#[test]
fn from_env_finds_the_api_url() {
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
    for (site, code, region) in [
        (None, "SGN", Region::Singapore),
        (None, "kr", Region::Korea),
        (Some(""), "JPN", Region::Japan),
        (Some("Public"), "KR", Region::Korea),
        (Some("gov"), "KR", Region::GovKorea),
    ] {
        let site = site.map(|site| ("NCLOUD_SITE", site));
        let settings: Vec<_> = site.into_iter().chain([("NCLOUD_REGION", code)]).collect();
        assert_env(&settings, &format!("{}/repositories/r/i", region.api_url()));
    }
    // A deletion has no default region.
    let unset = format!("no region: set NCLOUD_REGION to {CODES}");
    assert_env(&[], &unset);
    assert_env(&[("NCLOUD_REGION", "")], &unset);
    let mars = format!("unknown region \"MARS\" in NCLOUD_REGION: expected {CODES}");
    assert_env(&[("NCLOUD_REGION", "MARS")], &mars);
    let site = format!("unknown site \"goverment\" in NCLOUD_SITE: expected {CODES}");
    assert_env(
        &[("NCLOUD_SITE", "goverment"), ("NCLOUD_REGION", "KR")],
        &site,
    );
    let api_url = ("NCR_API_URL", "https://ncr.example.com/v2/");
    let url = "https://ncr.example.com/v2/repositories/r/i";
    assert_env(&[api_url, ("NCLOUD_REGION", "MARS")], url);
    for value in ["", "KR", "http://example.com"] {
        let settings = [("NCR_API_URL", value), ("NCLOUD_REGION", "KR")];
        assert_env(&settings, &unusable_api_url(value, " in NCR_API_URL"));
    }
}

#[test]
fn from_code_finds_each_region_in_either_case() {
    #[rustfmt::skip] // one row a line
    let rows = [
        ("public", "KR", Region::Korea, "https://ncr.apigw.ntruss.com/ncr/api/v2"),
        ("public", "SGN", Region::Singapore, "https://ncr.apigw.ntruss.com/ncr/sgn-api/v2"),
        ("public", "JPN", Region::Japan, "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2"),
        ("gov", "KR", Region::GovKorea, "https://gov-ncr.apigw.gov-ntruss.com/ncr/kr/v2"),
        ("gov", "KRS", Region::GovKoreaSouth, "https://gov-ncr.apigw.gov-ntruss.com/ncr/krs/v2"),
        ("fin", "FKR", Region::FinKorea, "https://ncr.apigw.fin-ntruss.com/ncr/api/v2"),
    ];
    for (site, code, region, api_url) in rows {
        assert_eq!(Region::from_code(site, code).unwrap(), region);
        let (site, code) = (site.to_uppercase(), code.to_lowercase());
        assert_eq!(Region::from_code(&site, &code).unwrap(), region);
        assert_eq!((region.api_url(), region.as_ref()), (api_url, api_url));
        let built = Client::builder(region, credentials()).build().unwrap();
        for client in [Client::new(region, credentials()), built] {
            let request = client.sign_delete_image("r", "i").unwrap();
            assert_eq!(request.uri(), &*format!("{api_url}/repositories/r/i"));
        }
    }
}

#[test]
fn from_code_says_which_of_the_two_is_wrong() {
    for (site, code, wrong) in [
        ("public", "MARS", "region \"MARS\""),
        ("public", "FKR", "region \"FKR\""),
        ("public", " KR", "region \" KR\""),
        ("public", "", "region \"\""),
        ("public", "a\u{1b}", "region \"a\\u{1b}\""),
        ("gov", "SGN", "region \"SGN\" on site gov"),
        ("fin", "KR", "region \"KR\" on site fin"),
        ("", "KR", "site \"\""),
        ("moon", "MARS", "site \"moon\""),
    ] {
        let error = Region::from_code(site, code).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!("unknown {wrong}: expected {CODES}")
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
        let test = "settings::from_env_takes_a_setting_that_is_not_unicode_for_wrong";
        assert!(child(test, &environment).contains("\"\u{fffd}\""), "{name}");
    }
}

#[track_caller]
fn assert_api_url_refused(api_url: &str, shown: &str) {
    let error = builder_at(api_url).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
    assert_eq!(error.to_string(), unusable_api_url(shown, ""));
}

#[test]
fn build_allows_an_api_url_of_https_or_loopback() {
    #[rustfmt::skip] // one row a line
    let rows = [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/a/b/", "https://example.com/a/b"),
        ("https://example.com/A.b_c-d~0", "https://example.com/A.b_c-d~0"),
        ("HTTPS://Example.com:8443/a", "https://Example.com:8443/a"),
        ("https://10.0.0.1/a", "https://10.0.0.1/a"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.8.9.10:80/a", "http://127.8.9.10:80/a"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080/a", "http://localhost:8080/a"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("https://example.com/a:b", "https://example.com/a:b"),
    ];
    for (api_url, base) in rows {
        let client = builder_at(api_url).build().unwrap();
        let request = client.sign_delete_image("r", "i").unwrap();
        assert_eq!(request.uri(), &*format!("{base}/repositories/r/i"));
    }
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
        "",
        "/",
        "KR",
        "example.com/a",
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
        assert_api_url_refused(api_url, api_url);
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
        ("user:secret@example.com", "..."),
        ("https://host@host", "..."),
    ] {
        assert_api_url_refused(api_url, shown);
    }
    // Longer than any URL may be.
    let start = "https://example.com/";
    let shown = format!("{start}{}…", "a".repeat(512 - start.len()));
    assert_api_url_refused(&format!("{start}{}", "a".repeat(70_000)), &shown);
}

#[test]
fn build_refuses_a_timeout_of_zero_and_max_attempts_of_zero() {
    let builder = || builder_at("https://example.com");
    for (builder, told) in [
        (
            builder().timeout(Duration::ZERO),
            "timeout is 0ns, max_attempts is 3",
        ),
        (
            builder().max_attempts(0),
            "timeout is 60s, max_attempts is 0",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let expected = format!("unusable settings: {told}; neither may be zero");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn agent_is_used_and_the_rules_hold() {
    let gateway = Gateway::with(&["r/i"]);
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(true)
        .accept("x/custom")
        .build()
        .new_agent();
    let client = builder(&gateway).agent(agent).build().unwrap();
    gateway.respond(response("200 OK", "", "<html>please log in</html>"));
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedResponse);
    client.delete_image("r", "i").unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for request in gateway.requests() {
        assert_eq!(request.header("accept"), ["x/custom"]);
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

/// The global, resolve and connect timeouts of each attempt, and that to receive the response.
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
fn assert_share(noted: [Option<Duration>; 4], seconds: f32, connect_ms: Option<u64>) {
    let [global, resolve, connect, _] = noted;
    let share = Duration::from_secs_f32(seconds);
    let global = global.unwrap();
    assert!(global <= share && global > share.mul_f32(0.6), "{global:?}");
    let expected_connect = connect_ms.map_or(global / 4, Duration::from_millis);
    assert_eq!(
        (resolve, connect),
        (Some(global / 4), Some(expected_connect))
    );
}

#[test]
fn timeout_gives_an_attempt_half_of_the_time_that_is_left_while_another_may_follow() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let config = || ureq::Agent::config_builder().build();
    // Connecting ends after 3 s, before Linux reports a host that does not answer.
    let one = timeouts(config(), None, 1);
    assert_eq!(one.len(), 1);
    assert_share(one[0], 60.0, Some(3000));
    let three = timeouts(config(), ms(40_000), 3);
    assert_eq!(three.len(), 3);
    assert_share(three[0], 20.0, Some(3000));
    assert_share(three[1], 20.0, Some(3000));
    assert_share(three[2], 40.0, Some(3000));
    let short = timeouts(config(), ms(8_000), 1);
    assert_share(short[0], 8.0, None);
    // Half of what is left would be too little for another, so this is the last.
    let many = timeouts(config(), ms(2_000), 1000);
    assert!(many.len() < 6, "{many:?}");
    let last = many.last().unwrap();
    assert!(last[0] >= ms(200), "{many:?}");
    // It is capped at a day.
    let day = timeouts(config(), Some(Duration::MAX), 1);
    assert_share(day[0], 86_400.0, Some(3000));
}

#[test]
fn agent_bounds_three_timeouts_where_its_own_are_shorter() {
    let ms = |ms| Some(Duration::from_millis(ms));
    let shorter = ureq::Agent::config_builder()
        .timeout_global(ms(20_000))
        .timeout_resolve(ms(100))
        .timeout_connect(ms(200))
        .timeout_recv_response(ms(300));
    let noted = timeouts(shorter.build(), None, 1);
    assert_eq!(noted, [[ms(20_000), ms(100), ms(200), ms(300)]]);
    // That of a single exchange bounds an attempt as the global one does.
    let per_call = ureq::Agent::config_builder().timeout_per_call(ms(20_000));
    let noted = timeouts(per_call.build(), None, 1);
    assert_eq!(noted, [[ms(20_000), ms(5_000), ms(3_000), None]]);
    let longer = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::MAX))
        .timeout_resolve(Some(Duration::MAX))
        .timeout_connect(ms(10_000))
        .timeout_recv_response(ms(90_000));
    let noted = timeouts(longer.build(), None, 1)[0];
    assert_share(noted, 60.0, Some(10_000));
    assert_eq!(noted[3], ms(90_000));
    let longest = ureq::Agent::config_builder().timeout_connect(Some(Duration::MAX));
    assert_share(timeouts(longest.build(), None, 1)[0], 60.0, None);
}
