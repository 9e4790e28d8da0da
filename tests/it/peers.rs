//! Servers that speak TLS with certificates made here, and a proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use ncloud_container_registry::ClientBuilder;
use ncloud_container_registry::ureq::Proxy;
use ncloud_container_registry::ureq::config::ConfigBuilder;
use ncloud_container_registry::ureq::tls::{Certificate, RootCerts, TlsConfig};
use ncloud_container_registry::ureq::typestate::AgentScope;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::builder_at;
use crate::gateway::{Gateway, Stream, read_head, serve};

/// The longest that a thread of a test waits for the other side.
const BOUND: Duration = Duration::from_secs(20);

/// The other side of a connection, in a thread of its own.
pub struct Background<T>(mpsc::Receiver<T>);

impl<T: Send + 'static> Background<T> {
    pub fn start(run: impl FnOnce() -> T + Send + 'static) -> Background<T> {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(run()));
        Background(receiver)
    }

    /// Returns what it returned. Joining would wait without a bound.
    pub fn finish(self) -> T {
        self.0.recv_timeout(BOUND).unwrap()
    }
}

/// A server of one connection, handled by `serve`. From then on nothing listens there.
pub fn serve_one<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, Background<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let background = Background::start(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        stream.set_read_timeout(Some(BOUND)).unwrap();
        serve(stream)
    });
    (address, background)
}

/// An authority that signs servers' certificates.
pub struct Authority {
    pub certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server whose certificate is the authority's own.
    pub fn own_server(&self) -> Arc<ServerConfig> {
        server_config(&self.certificate, self.issuer.key())
    }

    /// A server for `hosts`, whose certificate is valid between two years.
    pub fn server(&self, hosts: &[&str], years: [i32; 2]) -> Arc<ServerConfig> {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        let [not_before, not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        (params.not_before, params.not_after) = (not_before, not_after);
        let key = KeyPair::generate().unwrap();
        server_config(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

fn server_config(certificate: &rcgen::Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into());
    Arc::new(config.unwrap())
}

/// The years in which the certificates of most tests are valid.
pub const VALID: [i32; 2] = [2000, 2999];
/// A name that only a proxy looks up.
pub const NAME: &str = "ncr.example.com";

/// The authority that the clients of most tests trust, and its server.
pub fn ours() -> &'static (Authority, Arc<ServerConfig>) {
    static OURS: OnceLock<(Authority, Arc<ServerConfig>)> = OnceLock::new();
    OURS.get_or_init(|| {
        let authority = Authority::new("ours");
        let server = authority.server(&["127.0.0.1", NAME], VALID);
        (authority, server)
    })
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl Stream for Tls {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// The server's part of a handshake; none if it fails.
pub fn handshake(config: &Arc<ServerConfig>, stream: TcpStream) -> Option<Box<dyn Stream>> {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    connection.complete_io(&mut ByteByByte(&stream)).ok()?;
    Some(Box::new(StreamOwned::new(connection, stream)))
}

/// Reads no more than is needed: a request that follows stays on the socket.
struct ByteByByte<'a>(&'a TcpStream);

impl Read for ByteByByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
    }
}

impl Write for ByteByByte<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A gateway that speaks TLS.
pub fn tls_gateway(config: &Arc<ServerConfig>) -> Gateway {
    let config = Arc::clone(config);
    Gateway::open(move |stream| handshake(&config, stream), serve)
}

/// The ways to a server.
#[derive(Clone, Copy, Debug)]
pub enum Route {
    Direct,
    Connect,
    Socks5,
    Socks5h,
}

pub const ROUTES: [Route; 4] = [Route::Direct, Route::Connect, Route::Socks5, Route::Socks5h];

/// How long a client waits for each step: a while for what never comes, and else longer than it takes
/// on the busiest machine.
pub fn time_for(hangs: bool) -> Duration {
    Duration::from_secs(if hangs { 3 } else { 20 })
}

impl Route {
    /// The builder of a client that trusts our authority and no other, and takes this way.
    pub fn to(self, address: SocketAddr) -> ClientBuilder {
        self.to_within(time_for(false), address)
    }

    /// The same, with the time for each step.
    pub fn to_within(self, time: Duration, address: SocketAddr) -> ClientBuilder {
        let (address, port) = (address.to_string(), address.port());
        let name = format!("{NAME}:{port}");
        match self {
            Route::Direct => tls_builder(time, &address, None),
            Route::Connect => tls_builder(time, &name, Some(&format!("http://{}", proxy()))),
            Route::Socks5 => tls_builder(time, &address, Some(&format!("socks5://{}", proxy()))),
            Route::Socks5h => tls_builder(time, &name, Some(&format!("socks5h://{}", proxy()))),
        }
    }
}

pub fn tls_builder(time: Duration, host: &str, proxy: Option<&str>) -> ClientBuilder {
    let proxy = proxy.map(|proxy| Proxy::new(proxy).unwrap());
    builder_at(&format!("https://{host}/ncr/api/v2")).ureq_config(|config| {
        let certificate = Certificate::from_der(ours().0.certificate.der()).to_owned();
        let roots = RootCerts::new_with_certs(&[certificate]);
        let tls = TlsConfig::builder().root_certs(roots).build();
        within(time, config).proxy(proxy).tls_config(tls)
    })
}

/// Sets the time for each step that may hang. None is left for the rest of a call: a step in front of
/// it may take long on a busy machine.
pub fn within(time: Duration, config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config
        .timeout_connect(Some(time))
        .timeout_recv_response(Some(time))
        .timeout_recv_body(Some(time))
}

/// A proxy for CONNECT (RFC 9110, section 9.3.6) and SOCKS 5 (RFC 1928) that connects to the wanted
/// port of this machine, whatever host was meant.
pub fn proxy() -> SocketAddr {
    static PROXY: OnceLock<SocketAddr> = OnceLock::new();
    *PROXY.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                client.set_read_timeout(Some(BOUND)).unwrap();
                std::thread::spawn(move || tunnel(client));
            }
        });
        address
    })
}

fn tunnel(mut client: TcpStream) -> Option<()> {
    let mut first = [0];
    client.peek(&mut first).ok()?;
    let (port, reply) = if first == [5] {
        let _greeting = read_some(&mut client)?;
        client.write_all(&[5, 0]).ok()?;
        let request = read_some(&mut client)?;
        let port = request.last_chunk().copied().map(u16::from_be_bytes)?;
        (port, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..])
    } else {
        let head = read_head(&mut client)?;
        let (_, port) = head
            .strip_prefix("CONNECT ")?
            .split(' ')
            .next()?
            .split_once(':')?;
        (port.parse().ok()?, &b"HTTP/1.1 200 Connected\r\n\r\n"[..])
    };
    // Where nothing listens, a proxy closes the connection.
    let server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    client.write_all(reply).ok()?;
    std::thread::scope(|scope| {
        scope.spawn(|| pump(&client, &server));
        pump(&server, &client);
    });
    Some(())
}

/// Copies to the end, and ends the other side, too.
fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn read_some(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = [0; 512];
    let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
    Some(buffer[..length].to_vec())
}
