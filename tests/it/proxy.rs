//! Proxies, what never goes through one, and builds without TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ncloud_container_registry::ErrorKind;
#[cfg(feature = "rustls")]
use ncloud_container_registry::ureq::tls::{TlsConfig, TlsProvider};
use ncloud_container_registry::ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ncloud_container_registry::ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};
use ncloud_container_registry::ureq::{self, config::Config, http::Uri};

use crate::gateway::Gateway;
#[cfg(feature = "rustls")]
use crate::in_parallel;
use crate::{BOUND, builder_at, serve_one};

/// What a proxy was asked to connect to, whether it spoke SOCKS or HTTP.
type Targets = Arc<Mutex<Vec<String>>>;

/// A proxy that connects everything to one address, wherever it was meant to go.
pub struct Proxy {
    pub address: SocketAddr,
    targets: Targets,
}

impl Proxy {
    /// For CONNECT (RFC 9110, section 9.3.6).
    pub fn http(target: SocketAddr) -> Proxy {
        Proxy::start(target, |client| {
            let head = read_head(client, &AtomicUsize::new(0))?;
            let head = String::from_utf8(head).ok()?;
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
            Some(head.lines().next()?.to_owned())
        })
    }

    fn start(target: SocketAddr, greet: fn(&mut TcpStream) -> Option<String>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Targets::default();
        let proxy = Proxy {
            address,
            targets: Arc::clone(&targets),
        };
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                client.set_read_timeout(Some(BOUND)).unwrap();
                let Some(wanted) = greet(&mut client) else {
                    continue;
                };
                targets.lock().unwrap().push(wanted);
                let mut server = TcpStream::connect(target).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::thread::spawn(move || std::io::copy(&mut server, &mut client));
            }
        });
        proxy
    }

    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

pub fn read_head(stream: &mut impl Read, received: &AtomicUsize) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.fetch_add(read, Ordering::SeqCst);
        head.extend(&buffer[..read]);
    }
    Some(head)
}

/// Deletes `r/i` at the API URL of the environment.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub fn delete_as_the_environment_says(agent: Option<ureq::Agent>) -> String {
    let mut builder = builder_at(&std::env::var("API_URL").unwrap());
    if let Some(agent) = agent {
        builder = builder.agent(agent);
    }
    match builder.build().unwrap().delete_image("r", "i") {
        Ok(()) => "deleted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn delete_image_reaches_loopback_http_without_a_proxy() {
    let gateway = Gateway::with(&["r/i"]);
    let proxy = Proxy::http(gateway.address());
    let proxy_url = format!("http://{}", proxy.address);
    let config = ureq::Agent::config_builder().proxy(Some(ureq::Proxy::new(&proxy_url).unwrap()));
    let agent = config.build().new_agent();
    let client = crate::builder(&gateway).agent(agent).build().unwrap();
    client.delete_image("r", "i").unwrap();
    assert_eq!(proxy.targets(), [""; 0]);
}

/// Half of all people do not know that a variable sets one.
#[test]
fn display_names_the_proxy_that_is_used() {
    // Nothing listens there.
    let proxy = |no_proxy| {
        let proxy = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
            .host("127.0.0.1")
            .port(1);
        let proxy = proxy
            .username("user")
            .password("password")
            .no_proxy(no_proxy);
        proxy.build().unwrap()
    };
    let through = " through the proxy 127.0.0.1:1";
    for (no_proxy, expected) in [("other.example.com", true), ("127.0.0.1", false)] {
        let config = ureq::Agent::config_builder().proxy(Some(proxy(no_proxy)));
        let client = builder_at("https://127.0.0.1:1").agent(config.build().new_agent());
        let client = client.max_attempts(1);
        let client = client.build().unwrap();
        let path = ["repositories", "r"];
        for error in [
            client.delete_image("r", "i").unwrap_err(),
            client.get(&path, &[]).unwrap_err(),
        ] {
            let text = error.to_string();
            let start = format!(
                ": no connection to 127.0.0.1:1{}: ",
                if expected { through } else { "" }
            );
            assert!(text.contains(&start), "{text}");
            assert!(
                !text.contains("user") && !text.contains("password"),
                "{text}"
            );
            assert_eq!(error.kind(), ErrorKind::Transport);
        }
    }
}

/// ureq reports a refusal with kinds that rustls does not use; the system's TLS does.
#[cfg(feature = "rustls")]
#[test]
fn may_have_been_deleted_is_false_if_a_socks_proxy_refuses() {
    let replies = (1..=9).map(|reply| (0, reply, TlsProvider::Rustls, false));
    let mut rows: Vec<_> = replies.collect();
    rows.push((2, 0, TlsProvider::Rustls, false)); // a password, which it was not given
    rows.push((0xff, 0, TlsProvider::Rustls, false));
    rows.push((0, 5, TlsProvider::NativeTls, true));
    rows.push((0, 0, TlsProvider::Rustls, true)); // no refusal: the host closes the connection
    in_parallel(&rows, |(method, reply, provider, is_unknown)| {
        let (method, reply) = (*method, *reply);
        let (address, server) = serve_one(move |stream| {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&[5, method]);
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]);
        });
        let proxy = ureq::Proxy::new(&format!("socks5h://user@{address}")).unwrap();
        let tls = TlsConfig::builder().provider(*provider).build();
        let config = ureq::Agent::config_builder().tls_config(tls);
        let agent = config.proxy(Some(proxy)).build().new_agent();
        let client = builder_at("https://ncr.example.com")
            .agent(agent)
            .max_attempts(1);
        let error = client.build().unwrap().delete_image("r", "i").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        assert_eq!(error.may_have_been_deleted(), *is_unknown, "{error}");
        assert!(error.is_transient(), "{error}");
        let through = format!(" ncr.example.com through the proxy {address}: ");
        assert!(error.to_string().contains(&through), "{error}");
        server.finish();
    });
}

/// Also where another crate of the program has switched on TLS in ureq, without what it needs.
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[test]
fn delete_image_sends_nothing_over_https_if_built_without_tls() {
    use ncloud_container_registry::{Client, Region};

    let gateway = Gateway::with(&[]);
    let api_url = gateway.url().replace("http:", "https:");
    for client in [
        builder_at(&api_url).build().unwrap(),
        Client::new(Region::Korea, crate::credentials()),
    ] {
        client.sign_delete_image("r", "i").unwrap();
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0)
        );
        assert!(!error.may_have_been_deleted());
        assert_eq!(
            error.to_string(),
            "cannot delete r/i: this crate was built without TLS; enable the feature rustls or native-tls"
        );
    }
    assert_eq!(gateway.connections(), 0);
    // Over http nothing is missing.
    gateway.put(["r/i"]);
    crate::client(&gateway).delete_image("r", "i").unwrap();
}

/// Looks up and connects in nearly all of the time that each of them has.
#[derive(Debug)]
struct Slow(SocketAddr);

impl Resolver for Slow {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        std::thread::sleep(*timeout.after * 9 / 10);
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

impl<In: Transport> Connector<In> for Slow {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        std::thread::sleep(*details.timeout.after * 9 / 10);
        TcpConnector::default().connect(details, chained)
    }
}

#[test]
fn timeout_ends_a_call_through_a_slow_proxy() {
    let (address, silent) = serve_one(|client| {
        let request = read_head(client, &AtomicUsize::new(0)).unwrap();
        let _ = client.read(&mut [0]); // until the client gives up
        request
    });
    let timeout = Duration::from_secs(4);
    let proxy = ureq::Proxy::new("http://proxy.example.com:3128").unwrap();
    let config = ureq::Agent::config_builder().proxy(Some(proxy)).build();
    let connector = ().chain(ConnectProxyConnector::default()).chain(Slow(address));
    let agent = ureq::Agent::with_parts(config, connector, Slow(address));
    let client = builder_at("https://ncr.example.com").agent(agent);
    let client = client.timeout(timeout).max_attempts(1).build().unwrap();
    let started = Instant::now();
    let error = client.delete_image("r", "i").unwrap_err();
    let elapsed = started.elapsed();
    assert!(elapsed < timeout, "{elapsed:?}");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(!error.may_have_been_deleted(), "{error}");
    let request = silent.finish();
    assert!(request.starts_with(b"CONNECT ncr.example.com:443 HTTP/1.1\r\n"));
}
