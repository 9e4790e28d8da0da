//! Region, API URL and the builder's other settings.

use std::time::Duration;

use ncloud_container_registry::{Client, ErrorKind, Region, ureq};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, Then, answer};
use crate::{builder, child, credentials, if_child};

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
        (None, None, Region::Korea),
        (None, Some("KR"), Region::Korea),
        (None, Some("SGN"), Region::Singapore),
        (None, Some("JPN"), Region::Japan),
        (Some("public"), None, Region::Korea),
        (Some("public"), Some("KR"), Region::Korea),
        (Some("public"), Some("SGN"), Region::Singapore),
        (Some("public"), Some("JPN"), Region::Japan),
        (Some("gov"), None, Region::GovKorea),
        (Some("gov"), Some("KR"), Region::GovKorea),
        (Some("gov"), Some("KRS"), Region::GovKoreaSouth),
        (Some("fin"), None, Region::FinKorea),
        (Some("fin"), Some("FKR"), Region::FinKorea),
    ] {
        let site = site.map(|site| ("NCLOUD_SITE", site));
        let region = region.map(|region| ("NCLOUD_REGION", region));
        let settings: Vec<_> = site.into_iter().chain(region).collect();
        assert_eq!(from_env(&settings), of(expected), "{settings:?}");
    }
    let unknown_region = |region, site, known| {
        format!(
            "the region \"{region}\" in NCLOUD_REGION is not known on the site {site}: set it to {known}"
        )
    };
    for (site, region, expected) in [
        (
            "public",
            "KRS",
            unknown_region("KRS", "public", "KR, SGN or JPN"),
        ),
        (
            "public",
            "kr",
            unknown_region("kr", "public", "KR, SGN or JPN"),
        ),
        (
            "public",
            "a\u{1b}",
            unknown_region("a\\u{1b}", "public", "KR, SGN or JPN"),
        ),
        ("gov", "SGN", unknown_region("SGN", "gov", "KR or KRS")),
        ("fin", "KR", unknown_region("KR", "fin", "FKR")),
        (
            "moon",
            "KR",
            "the site \"moon\" in NCLOUD_SITE is not known: set it to public, gov or fin".into(),
        ),
        (
            "",
            "KR",
            "the environment variable NCLOUD_SITE is empty: give it a value or unset it".into(),
        ),
        (
            "gov",
            "",
            "the environment variable NCLOUD_REGION is empty: give it a value or unset it".into(),
        ),
    ] {
        assert_eq!(
            from_env(&[("NCLOUD_SITE", site), ("NCLOUD_REGION", region)]),
            expected
        );
    }
    assert_eq!(
        from_env(&[
            ("NCR_API_URL", "https://ncr.example.com/v2/"),
            ("NCLOUD_REGION", "JPN")
        ]),
        "https://ncr.example.com/v2/repositories/r/i"
    );
    assert_eq!(
        from_env(&[("NCR_API_URL", "")]),
        "the environment variable NCR_API_URL is empty: give it a value or unset it"
    );
    assert!(from_env(&[("NCR_API_URL", "http://example.com")]).contains("use https"));
}

#[test]
fn keys_are_asked_for_before_the_region() {
    if_child(|| format!("{:?}", Client::from_env().unwrap_err().kind()));
    let name = "settings::keys_are_asked_for_before_the_region";
    assert_eq!(child(name, &[("NCLOUD_SITE", "moon")]), "Credentials");
}

#[test]
fn an_api_url_is_https_or_loopback() {
    for (api_url, base) in [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/a/b/", "https://example.com/a/b"),
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
        let client = Client::builder(credentials())
            .api_url(api_url)
            .build()
            .unwrap();
        let signed = client.sign_delete_image("r", "i").unwrap();
        assert_eq!(signed.url(), format!("{base}/repositories/r/i"));
    }
    let refuse = |api_url: &str, expected: &str| {
        let error = Client::builder(credentials())
            .api_url(api_url)
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), expected);
    };
    for api_url in [
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
    ] {
        refuse(
            api_url,
            &format!(
                "the API URL \"{api_url}\" is not safe to send a signature to: use https (http is \
                 for loopback alone)"
            ),
        );
    }
    for api_url in [
        "",
        "/",
        "example.com/a",
        "https://",
        "https:///a",
        "https://a b",
        "a\n",
        "https://é",
    ] {
        let shown = api_url.replace('\n', "\\u{a}");
        let error = Client::builder(credentials())
            .api_url(api_url)
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("the API URL \"{shown}\" ")),
            "{error}"
        );
    }
    for api_url in [
        "https://example.com?secret",
        "https://example.com#secret",
        "https://example.com/?",
    ] {
        let shown = api_url.split(['?', '#']).next().unwrap();
        refuse(
            api_url,
            &format!("the API URL \"{shown}\" goes on with a query or a fragment: give it without"),
        );
    }
    for api_url in [
        "https://user:secret@example.com",
        "http://127.0.0.1@example.com",
    ] {
        refuse(
            api_url,
            "the API URL contains an @: give it without user info",
        );
    }
    for api_url in [
        "https://example.com:99999",
        "https://example.com:+443",
        "https://example.com:",
        "https://example.com:https/",
    ] {
        let error = Client::builder(credentials())
            .api_url(api_url)
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{api_url}");
    }
    for path in [
        "//",
        "/a//b",
        "/.",
        "/a/../b",
        "/a/./",
        "/a\\b",
        "/a\"b",
        "/a//",
        "/a/%2e%2e/b",
        "/a%2Fb",
        "/..;/b",
        "/%zz",
    ] {
        refuse(
            &format!("https://example.com{path}"),
            &format!(
                "the API URL \"https://example.com{path}\" has a path that could be read in two \
                 ways: simplify it"
            ),
        );
    }
}

#[test]
fn no_time_and_no_attempts_are_refused() {
    let error = Client::builder(credentials())
        .timeout(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "the timeout is zero: allow some time");
    let error = Client::builder(credentials())
        .max_attempts(0)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "max_attempts is 0: allow at least 1");
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
        (ErrorKind::NotFound, Some("300"))
    );
    for request in gateway.requests() {
        assert_eq!(request.header("accept"), ["text/x-own-agent"]);
    }
}

#[test]
fn an_agents_own_time_outs_are_kept() {
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

#[cfg(all(feature = "rustls", not(feature = "native-tls")))]
#[test]
fn an_agent_with_tls_that_is_not_built_in_is_refused() {
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::NativeTls)
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .build()
        .new_agent();
    let error = Client::builder(credentials())
        .agent(agent.clone())
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "the agent means to use native-tls, which is not built in: enable the feature native-tls \
         or set another provider in the agent's TlsConfig"
    );
    // Without TLS it makes no difference.
    let gateway = Gateway::with(&["r/i"]);
    builder(&gateway)
        .agent(agent)
        .build()
        .unwrap()
        .delete_image("r", "i")
        .unwrap();
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
fn an_agent_with_endless_time_outs_does_no_harm() {
    let gateway = Gateway::with(&["r/i"]);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::MAX))
        .timeout_connect(Some(Duration::MAX))
        .timeout_resolve(Some(Duration::MAX))
        .timeout_per_call(Some(Duration::MAX))
        .timeout_send_request(Some(Duration::MAX))
        .timeout_recv_response(Some(Duration::MAX))
        .timeout_recv_body(Some(Duration::MAX))
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
