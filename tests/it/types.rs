//! Auto traits, `Debug`, and that nothing shown holds a secret.

use ncloud_container_registry::ureq::http::Request;
use ncloud_container_registry::ureq::middleware::MiddlewareNext;
use ncloud_container_registry::ureq::{Proxy, ProxyProtocol, SendBody};
use ncloud_container_registry::{Client, ClientBuilder, Credentials, Error, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{builder, builder_at, client, credentials};

#[test]
fn client_credentials_and_error_can_cross_threads_and_be_boxed() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
    fn assert_error<T: std::error::Error + Clone + Send + Sync + 'static>() {}
    assert_shareable::<Client>();
    assert_shareable::<Credentials>();
    assert_shareable::<ClientBuilder>();
    assert_shareable::<Region>();
    assert_shareable::<ErrorKind>();
    assert_error::<Error>();
}

#[test]
fn debug_of_client_shows_the_proxy_that_is_used() {
    let proxy = |no_proxy| {
        let proxy = Proxy::builder(ProxyProtocol::Http)
            .host("proxy.example.com")
            .port(3128);
        let proxy = proxy.username("user").password("password");
        Some(proxy.no_proxy(no_proxy).build().unwrap())
    };
    let shown = Some("proxy.example.com:3128");
    for (api_url, proxy, shown) in [
        ("https://example.com/v2", proxy("other.example.com"), shown),
        ("https://example.com/v2", proxy("example.com"), None),
        ("https://example.com/v2", None, None),
        ("http://localhost/v2", proxy("other.example.com"), None),
    ] {
        let client = builder_at(api_url).ureq_config(|config| config.proxy(proxy));
        assert_eq!(
            format!("{:?}", client.build().unwrap()),
            format!(
                "Client {{ api_url: \"{api_url}\", proxy: {shown:?}, credentials: Credentials {{ \
                 access_key: \"...abcd\", .. }}, timeout: 60s, max_attempts: 3, .. }}"
            )
        );
    }
    let builder = builder_at("https://user:password@example.com");
    assert_eq!(format!("{builder:?}"), "ClientBuilder { .. }");
}

#[test]
fn debug_and_display_hold_no_secret() {
    let gateway = Gateway::with(&[]);
    let (builder, client, credentials) = (builder(&gateway), client(&gateway), credentials());
    let error = client.delete_image("r", "i").unwrap_err();
    let shown = format!(
        "{credentials:?} {credentials:#?} {builder:?} {builder:#?} {client:?} {client:#?} {error:?} \
         {error:#?} {error}"
    );
    assert!(
        !shown.contains(SECRET_KEY) && !shown.contains(ACCESS_KEY),
        "{shown}"
    );
}

/// What ureq logs of a request, a middleware sees: the keys are marked.
#[test]
fn request_marks_the_access_key_and_the_signature_as_sensitive() {
    let gateway = Gateway::with(&["r/i"]);
    let middleware = |request: Request<SendBody>, next: MiddlewareNext| {
        for name in ["x-ncp-iam-access-key", "x-ncp-apigw-signature-v2"] {
            assert!(request.headers()[name].is_sensitive());
        }
        next.handle(request)
    };
    let builder = builder(&gateway).ureq_config(|config| config.middleware(middleware));
    builder.build().unwrap().delete_image("r", "i").unwrap();
}
