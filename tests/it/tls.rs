//! TLS with certificates made here, directly and through proxies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ncloud_container_registry::ureq::config::ConfigBuilder;
use ncloud_container_registry::ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ncloud_container_registry::ureq::typestate::AgentScope;
use ncloud_container_registry::{Error, ErrorKind, ureq};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::gateway::{ACCESS_KEY, Gateway};
use crate::proxy::{self, Proxy, read_head};
use crate::responses::NETWORK;
use crate::{BOUND, builder_at, child, if_child, serve_one};

/// An authority that signs servers' certificates.
struct Authority {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn server(&self, host: &str, last_year: i32) -> ServerConfig {
        server(host, last_year, |params, key| {
            params.signed_by(key, &self.issuer).unwrap()
        })
    }
}

fn server(
    host: &str,
    last_year: i32,
    sign: impl FnOnce(CertificateParams, &KeyPair) -> rcgen::Certificate,
) -> ServerConfig {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = sign(params, &key);
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap()
}

/// Speaks TLS and passes each request on to a gateway.
struct Front {
    address: SocketAddr,
    /// How many bytes came out of the TLS connections.
    received: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Front {
    fn new(config: ServerConfig, gateway: &Gateway) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (received, connections) = (Arc::default(), Arc::default());
        let front = Front {
            address,
            received,
            connections,
        };
        let (received, connections) = (Arc::clone(&front.received), Arc::clone(&front.connections));
        let (config, gateway) = (Arc::new(config), gateway.address());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                connections.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(BOUND)).unwrap();
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let received = Arc::clone(&received);
                std::thread::spawn(move || {
                    let mut client = StreamOwned::new(tls, stream);
                    while let Some(request) = read_head(&mut client, &received) {
                        let mut server = TcpStream::connect(gateway).unwrap();
                        server.write_all(&request).unwrap();
                        let response = read_head(&mut server, &AtomicUsize::new(0)).unwrap();
                        if client.write_all(&response).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        front
    }

    fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn providers() -> Vec<TlsProvider> {
    let mut providers = Vec::new();
    // Another crate of the program may have brought it, which only the one who builds it knows.
    let from_elsewhere = std::env::var_os("NCR_TEST_RUSTLS_FROM_ELSEWHERE").is_some();
    if cfg!(feature = "rustls") || from_elsewhere {
        providers.push(TlsProvider::Rustls);
    }
    if cfg!(feature = "native-tls") {
        providers.push(TlsProvider::NativeTls);
    }
    providers
}

/// An agent that trusts one authority, and goes through the proxy of the environment.
fn proxied_agent(provider: TlsProvider, root: &[u8]) -> ureq::Agent {
    config(provider, root).build().new_agent()
}

/// The same without a proxy, whatever the environment says.
fn agent(provider: TlsProvider, root: &[u8]) -> ureq::Agent {
    config(provider, root).proxy(None).build().new_agent()
}

fn config(provider: TlsProvider, root: &[u8]) -> ConfigBuilder<AgentScope> {
    let roots = vec![Certificate::from_der(root).to_owned()];
    let tls = TlsConfig::builder()
        .provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    ureq::Agent::config_builder().tls_config(tls)
}

fn delete_at(address: SocketAddr, agent: ureq::Agent) -> Result<(), Error> {
    let api_url = format!("https://{address}/ncr/api/v2");
    let client = builder_at(&api_url).agent(agent).build().unwrap();
    client.delete_image("r", "i")
}

/// The error of a call of one attempt.
fn delete_once(api_url: &str, agent: ureq::Agent) -> Error {
    let client = builder_at(api_url).agent(agent).max_attempts(1);
    client.build().unwrap().delete_image("r", "i").unwrap_err()
}

#[test]
fn delete_image_sends_to_a_trusted_server() {
    let authority = Authority::new("ours");
    for provider in providers() {
        let gateway = Gateway::with(&["r/i", "r/j"]);
        let front = Front::new(authority.server("127.0.0.1", 2999), &gateway);
        delete_at(front.address, agent(provider, &authority.certificate)).unwrap();
        assert_eq!(gateway.images(), ["r/j"], "{provider:?}");
        assert_eq!(
            front.received(),
            gateway.requests()[0].head.len(),
            "{provider:?}"
        );
    }
}

/// Each with both ways out: the feature `native-tls`, or an agent with the authority's PEM file.
#[test]
fn delete_image_sends_nothing_to_a_server_that_cannot_be_trusted() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let self_signed = || {
        server("127.0.0.1", 2999, |params, key| {
            params.self_signed(key).unwrap()
        })
    };
    // A server, and the causes that rustls and OpenSSL name.
    #[rustfmt::skip] // one row a line
    let rows: [(&dyn Fn() -> ServerConfig, &str, &str); 4] = [
        (&|| authority.server("127.0.0.1", 2020), "expired", "expired"),
        (&|| authority.server("wrong.example.com", 2999), "wrong.example.com", "address mismatch"),
        (&|| other.server("127.0.0.1", 2999), "UnknownIssuer", "local issuer certificate"),
        (&self_signed, "UnknownIssuer", "self-signed certificate"),
    ];
    for provider in providers() {
        for (server, of_rustls, of_openssl) in rows {
            let gateway = Gateway::with(&["r/i"]);
            let front = Front::new(server(), &gateway);
            let outcome = delete_at(front.address, agent(provider, &authority.certificate));
            let error = outcome.unwrap_err();
            let is_rustls = provider == TlsProvider::Rustls;
            let cause = if is_rustls { of_rustls } else { of_openssl };
            assert_untrusted(&error, cause);
            assert_eq!((front.connections(), front.received()), (1, 0), "{error}");
            assert_eq!(gateway.connections(), 0);
        }
    }
}

#[track_caller]
fn assert_untrusted(error: &Error, cause: &str) {
    let text = error.to_string();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Transport, 1),
        "{text}"
    );
    assert!(
        !error.is_transient() && !error.may_have_been_deleted(),
        "{text}"
    );
    let start = "r/i was not deleted: no connection to 127.0.0.1:";
    assert!(text.starts_with(start) && text.contains(cause), "{text}");
    let both_ways = "; to trust its authority, use the feature native-tls, which trusts what the \
                     system trusts, or ClientBuilder::agent with the authority's PEM file";
    assert!(text.ends_with(both_ways), "{text}");
}

#[test]
fn delete_image_sends_nothing_to_a_server_that_speaks_plain_http() {
    for provider in providers() {
        let (address, server) = serve_one(|stream| {
            let mut received = vec![0; 64 * 1024];
            let read = stream.read(&mut received).unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
            received.truncate(read);
            let _ = stream.read_to_end(&mut received);
            String::from_utf8_lossy(&received).into_owned()
        });
        let agent = agent(provider, &Authority::new("ours").certificate);
        let error = delete_once(&format!("https://{address}"), agent);
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        let is_rustls = provider == TlsProvider::Rustls;
        let cause = if is_rustls {
            "InvalidContentType"
        } else {
            "wrong version number"
        };
        assert!(error.to_string().contains(cause), "{error}");
        // With rustls, plain text looks the same before and after a request.
        assert_eq!(error.may_have_been_deleted(), is_rustls, "{error}");
        let received = server.finish();
        assert!(!received.contains("DELETE") && !received.contains(ACCESS_KEY));
    }
}

/// Deletes `r/i` at the API URL of the environment, with the root certificate from there if it has
/// one, and else with a client that was given no agent.
fn delete_as_the_environment_says() -> String {
    let agent = std::env::var("ROOT").ok().map(|root| {
        let root = BASE64_STANDARD.decode(root).unwrap();
        proxied_agent(providers()[0], &root)
    });
    proxy::delete_as_the_environment_says(agent)
}

#[test]
fn may_have_been_deleted_is_true_after_plain_text_in_place_of_a_response() {
    let authority = Authority::new("ours");
    for provider in providers() {
        let config = Arc::new(authority.server("127.0.0.1", 2999));
        let (address, server) = serve_one(|stream| {
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
            let request = read_head(&mut tls, &AtomicUsize::new(0)).unwrap();
            tls.sock
                .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                .unwrap();
            let _ = tls.sock.read(&mut [0; 1024]);
            request
        });
        let agent = agent(provider, &authority.certificate);
        let error = delete_once(&format!("https://{address}"), agent);
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        assert!(error.may_have_been_deleted(), "{provider:?} {error}");
        assert!(server.finish().starts_with(b"DELETE "));
    }
}

#[test]
fn delete_image_goes_through_the_proxy_of_the_environment() {
    if_child(delete_as_the_environment_says);
    let authority = Authority::new("ours");
    let gateway = Gateway::with(&["r/i"]);
    let front = Front::new(authority.server("ncr.example.com", 2999), &gateway);
    let proxy = Proxy::http(front.address);
    let run = |environment: &[(&str, &str)]| {
        child(
            "tls::delete_image_goes_through_the_proxy_of_the_environment",
            environment,
        )
    };
    let proxy_url = format!("http://{}", proxy.address);
    let root = BASE64_STANDARD.encode(&authority.certificate);
    let api_url = ("API_URL", "https://ncr.example.com/ncr/api/v2");
    let connect = "CONNECT ncr.example.com:443 HTTP/1.1";

    // With roots of the caller's own, all the way.
    assert_eq!(
        run(&[api_url, ("HTTPS_PROXY", &proxy_url), ("ROOT", &root)]),
        "deleted"
    );
    assert_eq!(proxy.targets(), [connect]);
    assert_eq!(gateway.images(), [""; 0]);

    // With the client's own agent, up to the certificate, which the web's roots do not know.
    let text = run(&[api_url, ("HTTPS_PROXY", &proxy_url)]);
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(proxy.targets(), [connect, connect]);
}

#[test]
fn display_names_a_proxy_that_does_not_speak_tls() {
    for provider in providers() {
        let (address, proxy) = serve_one(|stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 4096]);
        });
        let config = config(provider, &Authority::new("ours").certificate);
        let through = ureq::Proxy::new(&format!("https://{address}")).unwrap();
        let agent = config.proxy(Some(through)).build().new_agent();
        let text = delete_once("https://ncr.example.com", agent).to_string();
        let through = format!(" ncr.example.com through the proxy {address}: ");
        assert!(text.contains(&through) && text.contains(NETWORK), "{text}");
        proxy.finish();
    }
}

/// As a company's authority is trusted, once it is in the system's store.
#[cfg(all(target_os = "linux", feature = "native-tls"))]
#[test]
fn native_tls_trusts_the_systems_roots() {
    if_child(|| proxy::delete_as_the_environment_says(None));
    let authority = Authority::new("ours");
    let gateway = Gateway::with(&["r/i"]);
    let front = Front::new(authority.server("127.0.0.1", 2999), &gateway);
    let name = format!("ncr-roots-{}.pem", std::process::id());
    let store = std::env::temp_dir().join(name);
    let certificate = BASE64_STANDARD.encode(&authority.certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    std::fs::write(&store, pem).unwrap();
    let api_url = format!("https://{}/ncr/api/v2", front.address);
    let test = "tls::native_tls_trusts_the_systems_roots";
    let outcome = child(
        test,
        &[
            ("API_URL", &*api_url),
            ("SSL_CERT_FILE", store.to_str().unwrap()),
        ],
    );
    let without = child(test, &[("API_URL", &api_url)]);
    std::fs::remove_file(&store).unwrap();
    assert_eq!(outcome, "deleted");
    assert!(without.contains("certificate verify failed"), "{without}");
}
