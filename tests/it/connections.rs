//! Ways of not connecting, after which nothing was sent, and of losing a response, after which
//! nothing is known: on real sockets, directly and through proxies.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ncloud_container_registry::ureq::config::IpFamily;
use ncloud_container_registry::ureq::http::Request;
use ncloud_container_registry::ureq::middleware::MiddlewareNext;
use ncloud_container_registry::ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ncloud_container_registry::ureq::{self, Proxy, SendBody};
use ncloud_container_registry::{ClientBuilder, Error, ErrorKind};

use crate::gateway::{Gateway, Stream, read_head, serve};
use crate::peers::{Authority, NAME, ROUTES, Route, VALID};
use crate::peers::{handshake, ours, proxy, serve_one, time_for, tls_builder, tls_gateway, within};
use crate::{alone, builder_at, child, if_child, in_parallel};

/// What a call of one attempt came to.
fn delete_once(builder: ClientBuilder) -> Error {
    let client = builder.max_attempts(1).build().unwrap();
    client.delete_image("r", "i").unwrap_err()
}

#[track_caller]
fn assert_unsent(error: &Error, kind: ErrorKind, what: &str) {
    assert_told(
        error,
        (kind, false),
        "was not deleted: no connection to ",
        what,
    );
}

#[track_caller]
fn assert_unknown(error: &Error, kind: ErrorKind, what: &str) {
    assert_told(
        error,
        (kind, true),
        "may have been deleted: no response from ",
        what,
    );
}

#[track_caller]
fn assert_told(error: &Error, expected: (ErrorKind, bool), words: &str, what: &str) {
    let told = (error.kind(), error.may_have_been_deleted());
    assert_eq!(told, expected, "{what}: {error}");
    let start = format!("r/i {words}");
    assert!(error.to_string().starts_with(&start), "{what}: {error}");
}

/// The ways in which a server ends a handshake.
pub type Ending = fn(&mut TcpStream);

fn read_hello(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 16 * 1024]);
}

/// The address of a listener whose queue is full, so that no connection to it is ever completed.
fn unresponsive_address() -> SocketAddr {
    static UNRESPONSIVE: OnceLock<(TcpListener, Vec<TcpStream>)> = OnceLock::new();
    let (listener, _) = UNRESPONSIVE.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(250));
        let queue = std::iter::from_fn(|| connect().ok()).take(10_000).collect();
        connect().unwrap_err();
        (listener, queue)
    });
    listener.local_addr().unwrap()
}

fn closed_address() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

fn wait_for_close(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}

/// Each with the kind of error that it becomes.
#[rustfmt::skip] // one row a line
pub const HANDSHAKES: [(&str, Ending, ErrorKind); 7] = {
    use ErrorKind::{Timeout, Transport};
    [
        ("closed at once", |_| {}, Transport),
        ("closed after the hello", read_hello, Transport),
        // What is left unread makes the end a reset.
        ("reset", |s| drop(s.peek(&mut [0])), Transport),
        ("alert", |s| { read_hello(s); let _ = s.write_all(&[21, 3, 3, 0, 2, 2, 40]); wait_for_close(s) }, Transport),
        ("plain http", |s| { read_hello(s); let _ = s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"); wait_for_close(s) }, Transport),
        ("half a hello", |s| { read_hello(s); let _ = s.write_all(&[22, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3]); }, Transport),
        ("no end", wait_for_close, Timeout),
    ]
};

#[test]
fn may_have_been_deleted_is_false_if_the_handshake_fails() {
    let rows: Vec<_> = ROUTES
        .into_iter()
        .flat_map(|route| HANDSHAKES.map(|row| (route, row)))
        .collect();
    in_parallel(&rows, |&(route, (what, ending, kind))| {
        let (address, server) = serve_one(move |mut stream| ending(&mut stream));
        let error = delete_once(route.to_within(time_for(kind == ErrorKind::Timeout), address));
        assert_unsent(&error, kind, &format!("{route:?}, {what}"));
        assert!(error.is_transient(), "{route:?}, {what}");
        server.finish();
    });
}

/// A proxy that responds to the first bytes, and to the second ones.
fn refusing_proxy(replies: &'static [&'static [u8]], hangs: bool) -> SocketAddr {
    let (address, _) = serve_one(move |mut stream| {
        for reply in replies {
            read_hello(&mut stream);
            let _ = stream.write_all(reply);
        }
        if !hangs {
            let _ = stream.shutdown(Shutdown::Write);
        }
        wait_for_close(&mut stream);
    });
    address
}

#[rustfmt::skip] // one row a line
#[test]
fn may_have_been_deleted_is_false_if_the_proxy_does_not_connect() {
    use ErrorKind::{Timeout, Transport, UnexpectedResponse};
    type Row = (&'static str, &'static [&'static [u8]], bool, ErrorKind);
    let rows: [Row; 18] = [
        ("http", &[b"HTTP/1.1 403 Forbidden\r\n\r\n"], false, Transport),
        ("http", &[b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], false, UnexpectedResponse),
        ("http", &[b"HTTP/1.1 502 Bad Gateway\r\n\r\n"], false, Transport),
        ("http", &[b"HTTP/1.1 200 OK\r\n\r\n"], false, Transport),
        ("http", &[b"HTTP/1.1 2"], false, Transport),
        ("http", &[b"proxy\n"], false, Transport),
        ("http", &[b""], false, Transport),
        ("http", &[b"HTTP/1.1 2"], true, Timeout),
        ("https", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], false, Transport),
        ("socks5", &[&[5, 0xff]], false, Transport),
        ("socks5", &[&[4, 0]], false, Transport),
        ("socks5", &[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]], false, Transport),
        ("socks5h", &[&[5, 0], &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]], false, Transport),
        ("socks5h", &[&[5, 0], &[5, 0, 0, 1, 0, 0]], false, Transport),
        ("socks5h", &[&[5, 0], &[5, 0, 0, 1, 0, 0]], true, Timeout),
        ("socks5h", &[], false, Transport),
        ("socks5h://user:wrong", &[&[5, 2], &[1, 1]], false, UnexpectedResponse),
        ("socks4", &[&[0, 91, 0, 0, 0, 0, 0, 0]], false, Transport),
    ];
    in_parallel(&rows, |&(scheme, replies, hangs, kind)| {
        let address = refusing_proxy(replies, hangs);
        let is_looked_up_here = ["socks4", "socks5"].contains(&scheme);
        let host = if is_looked_up_here { "127.0.0.1" } else { NAME };
        let proxy = match scheme.split_once("://") {
            Some(_) => format!("{scheme}@{address}"),
            None => format!("{scheme}://{address}"),
        };
        let error = delete_once(tls_builder(time_for(hangs), host, Some(&proxy)));
        let what = format!("{scheme} {replies:?}");
        assert_unsent(&error, kind, &what);
        assert!(error.to_string().contains(&format!(" to {host} through the proxy {address}")), "{error}");
    });
}

#[test]
fn may_have_been_deleted_is_false_if_a_lookup_or_a_port_fails() {
    let test = may_have_been_deleted_is_false_if_a_lookup_or_a_port_fails;
    alone(test, fail_lookups_and_ports);
}

fn fail_lookups_and_ports() {
    let unresponsive = || unresponsive_address().to_string();
    let time = time_for(false);
    let via = |proxy: &str| tls_builder(time, NAME, Some(proxy));
    #[rustfmt::skip] // one row a line
    let rows = [
        ("no such name", tls_builder(time, "ncr.invalid", None), None),
        ("no such name of a proxy", via("http://proxy.invalid:1"), None),
        ("no such name of a SOCKS proxy", via("socks5h://proxy.invalid:1"), None),
        ("no address of this family", builder_at("http://127.0.0.1/v2").ureq_config(|config| config.ip_family(IpFamily::Ipv6Only)), Some(ErrorKind::Transport)),
        ("refused", builder_at(&format!("http://{}/v2", closed_address())), Some(ErrorKind::Transport)),
        ("refused by a proxy", via(&format!("http://{}", closed_address())), Some(ErrorKind::Transport)),
        ("refused by a SOCKS proxy", via(&format!("socks5h://{}", closed_address())), Some(ErrorKind::Transport)),
        ("refused behind a proxy", Route::Connect.to(closed_address()), Some(ErrorKind::Transport)),
        ("unresponsive", builder_at(&format!("http://{}/v2", unresponsive())), Some(ErrorKind::Timeout)),
        ("unresponsive proxy", via(&format!("http://{}", unresponsive())), Some(ErrorKind::Timeout)),
        ("unresponsive SOCKS proxy", via(&format!("socks5h://{}", unresponsive())), Some(ErrorKind::Timeout)),
    ];
    in_parallel(&rows, |(what, builder, kind)| {
        // A resolver may take its time to find nothing.
        let hangs = *kind != Some(ErrorKind::Transport);
        let error = delete_once(builder.clone().timeout(time_for(hangs)));
        assert_unsent(&error, kind.unwrap_or(error.kind()), what);
        assert!(error.is_transient(), "{what}: {error}");
    });
}

/// How a connection goes on when a request has arrived.
type Loss = fn(&mut dyn Stream);

fn read_request(stream: &mut dyn Stream) {
    assert!(read_head(stream).unwrap().starts_with("DELETE "));
}

fn lose(stream: &mut dyn Stream, response: &[u8]) {
    read_request(stream);
    let _ = stream.write_all(response);
}

/// Sends bytes past TLS, which breaks its record layer.
fn lose_tls(stream: &mut dyn Stream, bytes: &[u8]) {
    read_request(stream);
    let _ = stream.socket().write_all(bytes);
}

#[rustfmt::skip] // one row a line
const LOSSES: [(&str, Loss, ErrorKind); 7] = {
    use ErrorKind::{Timeout, Transport};
    [
        ("closed", read_request, Transport),
        // What is left unread makes the end a reset.
        ("reset", |s| drop(s.socket().peek(&mut [0])), Transport),
        ("no response", |s| { read_request(s); let _ = s.read(&mut [0; 64]); }, Timeout),
        ("half a response", |s| lose(s, b"HTTP/1.1 2"), Transport),
        ("no HTTP", |s| lose(s, b"deleted\n\r\n\r\n"), Transport),
        ("plain text", |s| lose_tls(s, b"HTTP/1.1 502 Bad Gateway\r\n"), Transport),
        ("alert", |s| lose_tls(s, &[21, 3, 3, 0, 2, 2, 40]), Transport),
    ]
};

/// When the connection is lost, nothing listens any more.
#[test]
fn may_have_been_deleted_is_true_if_the_response_is_lost() {
    let routes = ROUTES.map(Some).into_iter().chain([None]); // none without TLS
    let rows = routes.flat_map(|route| LOSSES.map(|row| (route, row)));
    let rows: Vec<_> = rows.flat_map(|row| [(row, false), (row, true)]).collect();
    in_parallel(&rows, |&((route, (what, loss, kind)), is_kept)| {
        let what = format!(
            "{route:?}, {what}, {}",
            if is_kept { "kept" } else { "new" }
        );
        let (address, server) = serve_one(move |stream| {
            let stream = match route {
                Some(_) => handshake(&ours().1, stream),
                None => Some(Box::new(stream) as Box<dyn Stream>),
            };
            let mut stream = stream.unwrap();
            if is_kept {
                lose(&mut *stream, b"HTTP/1.1 204 No Content\r\n\r\n");
            }
            loss(&mut *stream);
        });
        let time = time_for(kind == ErrorKind::Timeout);
        let builder = match route {
            Some(route) => route.to_within(time, address),
            None => builder_at(&format!("http://{address}/v2"))
                .ureq_config(|config| within(time, config)),
        };
        let client = builder.max_attempts(1).build().unwrap();
        if is_kept {
            client.delete_image("r", "i").unwrap();
        }
        let error = client.delete_image("r", "i").unwrap_err();
        assert_unknown(&error, kind, &what);
        assert!(error.is_transient(), "{what}: {error}");
        // Nothing of it is left for another call on this thread.
        let refused = builder_at(&format!("http://{}/v2", closed_address()));
        assert_unsent(&delete_once(refused), ErrorKind::Transport, &what);
        server.finish();
    });
}

/// The 404 proves that there is no such image, and not that it was deleted.
#[test]
fn delete_image_if_exists_is_false_after_a_handshake_that_was_reset() {
    let is_first = AtomicBool::new(true);
    let gateway = Gateway::open(
        move |stream| {
            if is_first.swap(false, Ordering::SeqCst) {
                let _ = stream.peek(&mut [0]);
                return None;
            }
            handshake(&ours().1, stream)
        },
        serve,
    );
    let client = Route::Direct.to(gateway.address()).build().unwrap();
    assert!(!client.delete_image_if_exists("r", "i").unwrap());
    gateway.assert_connections(2);
}

/// With another client on the same thread, or with an error that ureq has only while connecting.
#[test]
fn may_have_been_deleted_is_true_whatever_a_middleware_does() {
    fn fail_to_connect() {
        let client = builder_at(&format!("http://{}/v2", closed_address()));
        assert_unsent(&delete_once(client), ErrorKind::Transport, "another client");
    }
    type Middleware = fn(
        Request<SendBody>,
        MiddlewareNext,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>;
    let middlewares: [Middleware; 3] = [
        |request, next| {
            let response = next.handle(request);
            fail_to_connect();
            response
        },
        |request, next| {
            fail_to_connect();
            next.handle(request)
        },
        |request, next| {
            let _ = next.handle(request);
            Err(ureq::Error::Tls("after the request"))
        },
    ];
    for middleware in middlewares {
        let (address, server) = serve_one(|mut stream| read_request(&mut stream));
        let builder = builder_at(&format!("http://{address}/v2"));
        let error = delete_once(builder.ureq_config(|config| config.middleware(middleware)));
        assert_unknown(&error, ErrorKind::Transport, "middleware");
        server.finish();
    }
}

/// As a configuration makes it that asks for what ureq was built without.
#[cfg(not(feature = "platform-verifier"))]
#[test]
fn may_have_been_deleted_is_true_after_a_panic_while_connecting() {
    let (address, server) = serve_one(|stream| {
        let mut stream = handshake(&ours().1, stream).unwrap();
        lose(&mut *stream, b"HTTP/1.1 204 No Content\r\n\r\n");
        read_request(&mut *stream);
    });
    let client = Route::Connect.to(address).max_attempts(1).build().unwrap();
    client.delete_image("r", "i").unwrap();
    let panicking = std::panic::catch_unwind(|| {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let gateway = tls_gateway(&ours().1);
        let builder = builder_at(&format!("https://{}/v2", gateway.address()));
        delete_once(builder.ureq_config(|config| config.tls_config(tls.build()).proxy(None)));
    });
    panicking.unwrap_err();
    // Behind a proxy, a kept connection is used without looking up or connecting.
    let error = client.delete_image("r", "i").unwrap_err();
    assert_unknown(&error, ErrorKind::Transport, "after a panic");
    server.finish();
}

#[test]
fn delete_image_sends_nothing_to_a_server_that_cannot_be_trusted() {
    let names = &["127.0.0.1"][..];
    let other = Authority::new("other");
    let trust = if cfg!(feature = "platform-verifier") {
        "; to trust a private authority, add it to those that the system trusts"
    } else {
        "; to trust a private authority, enable the feature platform-verifier, or pass its PEM file to \
         ClientBuilder::ureq_config"
    };
    let certificate = "; check the certificate of the server (or the proxy), this machine's clock and the API URL";
    #[rustfmt::skip] // one row a line
    let rows = [
        (ours().0.server(names, [2000, 2020]), "certificate expired", certificate),
        (ours().0.server(names, [2990, 2999]), "certificate not valid yet", certificate),
        (ours().0.server(&["wrong.example.com"], VALID), "certificate not valid for name", certificate),
        (other.server(names, VALID), "UnknownIssuer", trust),
        (Authority::new("ours").server(names, VALID), "BadSignature", certificate),
        (Authority::new("127.0.0.1").own_server(), "CaUsedAsEndEntity", certificate),
    ];
    for (server, cause, advice) in rows {
        let gateway = tls_gateway(&server);
        // As a server's, and as that of a proxy that is reached by TLS.
        let proxy = format!("https://{}", gateway.address());
        for builder in [
            Route::Direct.to(gateway.address()),
            tls_builder(time_for(false), NAME, Some(&proxy)),
        ] {
            let error = builder.build().unwrap().delete_image("r", "i").unwrap_err();
            assert_unsent(&error, ErrorKind::UnexpectedResponse, cause);
            let text = error.to_string();
            assert!(text.contains(cause) && text.ends_with(advice), "{text}");
            assert_eq!(
                (error.attempts(), error.is_transient()),
                (1, false),
                "{cause}"
            );
        }
        assert_eq!(gateway.connections(), 2, "connections: {cause}");
        assert!(gateway.requests().is_empty());
    }
}

fn pem(authority: &Authority) -> String {
    let certificate = BASE64_STANDARD.encode(authority.certificate.der());
    format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n")
}

/// As the documentation of `ureq_config` shows it: each certificate of the file counts.
#[test]
fn ureq_config_trusts_every_authority_of_a_bundle() {
    let gateway = tls_gateway(&ours().1);
    gateway.put(["r/i"]);
    let bundle = pem(&Authority::new("other")) + &pem(&ours().0);
    let mut authorities = Vec::new();
    for item in parse_pem(bundle.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.unwrap() {
            authorities.push(certificate);
        }
    }
    let roots = RootCerts::new_with_certs(&authorities);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let builder = builder_at(&format!("https://{}/ncr/api/v2", gateway.address()));
    let builder = builder.ureq_config(|config| config.tls_config(tls).proxy(None));
    builder.build().unwrap().delete_image("r", "i").unwrap();
}

/// As a company's authority is trusted, once it is in the system's store.
#[cfg(all(target_os = "linux", feature = "platform-verifier"))]
#[test]
fn platform_verifier_trusts_the_systems_roots() {
    if_child(delete_as_the_environment_says);
    let gateway = tls_gateway(&ours().1);
    gateway.put(["r/i"]);
    let name = format!("ncr-roots-{}.pem", std::process::id());
    let store = std::env::temp_dir().join(name);
    std::fs::write(&store, pem(&ours().0)).unwrap();
    let url = format!("https://{}/ncr/api/v2", gateway.address());
    let test = platform_verifier_trusts_the_systems_roots;
    let trusted = [
        ("API_URL", &*url),
        ("SSL_CERT_FILE", store.to_str().unwrap()),
    ];
    let outcome = child(test, &trusted);
    std::fs::remove_file(&store).unwrap();
    assert_eq!(outcome, "deleted");
    let nowhere = store.with_file_name("ncr-no-such-folder");
    let nowhere = nowhere.to_str().unwrap();
    let untrusted = child(
        test,
        &[
            ("API_URL", &*url),
            ("SSL_CERT_FILE", nowhere),
            ("SSL_CERT_DIR", nowhere),
        ],
    );
    let end = "No CA certificates were loaded from the system; install the system's certificates \
               (ca-certificates), or check SSL_CERT_FILE";
    assert!(untrusted.ends_with(end), "{untrusted}");
}

fn delete_as_the_environment_says() -> String {
    let client = builder_at(&std::env::var("API_URL").unwrap());
    match client
        .max_attempts(1)
        .build()
        .unwrap()
        .delete_image("r", "i")
    {
        Ok(()) => "deleted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn delete_image_goes_through_the_proxy_of_the_environment() {
    if_child(delete_as_the_environment_says);
    let gateway = tls_gateway(&ours().1);
    let test = delete_image_goes_through_the_proxy_of_the_environment;
    let host = format!("{NAME}:{}", gateway.address().port());
    let api_url = format!("https://{host}/v2");
    let proxy_url = format!("http://user:password@{}", proxy());
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let told = child(test, &[("API_URL", &api_url), (variable, &proxy_url)]);
        // Up to the certificate, which no roots of this machine know.
        let start = format!("no connection to {host} through the proxy {}: ", proxy());
        let is_ours = told.contains("UnknownIssuer") || told.contains("No CA certificates");
        assert!(told.contains(&start) && is_ours, "{told}");
    }
    assert!(gateway.connections() > 0);
}

#[test]
fn delete_image_reaches_loopback_http_without_a_proxy() {
    let gateway = Gateway::with(&["r/i"]);
    let proxy = Proxy::new(&format!("http://{}", closed_address())).unwrap();
    let builder = crate::builder(&gateway).ureq_config(|config| config.proxy(Some(proxy)));
    builder.build().unwrap().delete_image("r", "i").unwrap();
}
