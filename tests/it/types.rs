//! Auto traits, `Debug`, and that nothing shown holds a secret.

use ncloud_container_registry::ureq::{self, http::Method};
use ncloud_container_registry::{Client, ClientBuilder, Credentials, Error, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{builder, builder_at, client, credentials};

#[test]
fn client_credentials_and_error_can_cross_threads_and_be_boxed() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
    fn assert_error<T: std::error::Error + Send + Sync + 'static>() {}
    assert_shareable::<Client>();
    assert_shareable::<Credentials>();
    assert_shareable::<ClientBuilder>();
    assert_shareable::<Region>();
    assert_shareable::<ErrorKind>();
    assert_error::<Error>();
}

#[test]
fn debug_of_client_and_credentials_shows_the_end_of_the_access_key_alone() {
    let config = ureq::Agent::config_builder().proxy(None);
    let client = builder_at("https://example.com").agent(config.build().new_agent());
    assert_eq!(
        format!("{:?}", client.build().unwrap()),
        "Client { api_url: \"https://example.com\", proxy: None, credentials: Credentials { \
         access_key: \"...abcd\", .. }, timeout: 60s, max_attempts: 3, .. }"
    );
    let builder = Client::builder("https://user:password@example.com", credentials());
    assert_eq!(format!("{builder:?}"), "ClientBuilder { .. }");
}

#[test]
fn debug_of_client_shows_the_proxy_that_is_used() {
    let proxy = ureq::Proxy::new("http://user:password@proxy.example.com").unwrap();
    let config = ureq::Agent::config_builder().proxy(Some(proxy));
    let agent = config.build().new_agent();
    for (api_url, shown) in [
        (
            "https://example.com",
            "proxy: Some(\"proxy.example.com:80\"), ",
        ),
        ("http://localhost", "proxy: None, "),
    ] {
        let client = builder_at(api_url).agent(agent.clone()).build().unwrap();
        let debug = format!("{client:?}");
        assert!(debug.contains(shown), "{debug}");
        assert!(!debug.contains("password"), "{debug}");
    }
}

#[test]
fn debug_and_display_hold_no_secret() {
    let gateway = Gateway::with(&[]);
    let (builder, client) = (builder(&gateway), client(&gateway));
    let deletion = client.sign_delete_image("r", "i").unwrap();
    let path = ["repositories", "r"];
    let list = client.sign_request(Method::GET, &path, &[]).unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    let shown = format!(
        "{:?} {:#?} {builder:?} {builder:#?} {client:?} {client:#?} {deletion:?} {deletion:#?} \
         {list:?} {list:#?} {error:?} {error:#?} {error}",
        credentials(),
        credentials(),
    );
    assert!(
        !shown.contains(SECRET_KEY) && !shown.contains(ACCESS_KEY),
        "{shown}"
    );
    for request in [deletion, list] {
        for name in ["x-ncp-iam-access-key", "x-ncp-apigw-signature-v2"] {
            let value = &request.headers()[name];
            assert!(value.is_sensitive());
            assert!(!shown.contains(value.to_str().unwrap()), "{shown}");
        }
    }
}
