// The first definition of a link wins, so these replace README's, which point to docs.rs.
//! [`Client::builder`]: Client::builder
//! [`Client::from_env`]: Client::from_env
//! [`Credentials`]: Credentials
//! [`delete_image_if_exists`]: Client::delete_image_if_exists
//! [`get`]: Client::get
//! [`max_attempts`]: ClientBuilder::max_attempts
//! [`may_have_been_deleted`]: Error::may_have_been_deleted
//! [`sign_delete_image`]: Client::sign_delete_image
//! [`sign_request`]: Client::sign_request
//! [`timeout`]: ClientBuilder::timeout
#![doc = include_str!("../README.md")]

use std::fmt::{self, Debug, Display, Formatter};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{env, thread};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::http::{self, HeaderValue, Method, Request, Uri, Version};

/// Re-exports the HTTP client that this crate uses. A caller needs this version to build the
/// [`ureq::Agent`] for [`ClientBuilder::agent`], and to send a signed [`ureq::http::Request`].
pub use ureq;

/// Enough for a slow day of the service, and short enough for a person to wait for.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any call needs. Centuries overflow `Instant`, and ureq would panic.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The first may be lost, the second then gets a 409 while the first is still at work, and the
/// third a 404 that proves the deletion.
const DEFAULT_MAX_ATTEMPTS: u32 = 3;

/// Deletes images from the registries of one region, and reads from its API.
///
/// Cloning is cheap. Clones share the connection pool, and threads can share a client: one is
/// enough for a program.
///
/// # Examples
///
/// ```no_run
/// use ncloud_container_registry::{Client, Credentials, Region};
///
/// let credentials = Credentials::from_file("/etc/cleaner/ncloud")?;
/// let client = Client::new(Region::Singapore, credentials);
/// for image in ["hello/world", "hello/moon"] {
///     client.delete_image("my-registry", image)?;
/// }
/// # Ok::<(), ncloud_container_registry::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    credentials: Credentials,
    api_url: Arc<str>,
    agent: ureq::Agent,
    /// Whether `agent` is the default one of a build without TLS. Over https it would use the TLS
    /// that another crate of the program switched on in ureq, and panic if that is incomplete.
    lacks_tls: bool,
    timeout: Duration,
    max_attempts: u32,
}

impl Client {
    /// Creates a client for `region`, with the defaults of [`ClientBuilder`].
    pub fn new(region: Region, credentials: Credentials) -> Client {
        Client::builder(region, credentials).0 // which is valid for any region
    }

    /// Creates a client from the environment, as [`ClientBuilder::from_env`] reads it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys, [`ErrorKind::InvalidInput`] for an API URL or a
    /// region that is missing or unusable.
    pub fn from_env() -> Result<Client, Error> {
        ClientBuilder::from_env()?.build()
    }

    /// Creates a builder for a client with other settings. `api_url` is a [`Region`], or an API URL
    /// with its path, such as `https://ncr.apigw.ntruss.com/ncr/api/v2`. (Some of the vendor's
    /// pages call the host alone the API URL. Requests without the path fail.)
    ///
    /// A URL must be `https`, or `http` to a loopback address or `localhost`, and must have no user
    /// info, query or fragment. Its path may have unreserved characters ([RFC 3986], section 2.3)
    /// and `:`, and no empty or dot segments. A trailing slash makes no difference.
    /// [`build`](ClientBuilder::build) refuses any other URL.
    ///
    /// [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986
    ///
    /// # Examples
    ///
    /// A loopback listener can replace the service in the tests of your program. (A response with a
    /// body needs a `Content-Length`.)
    ///
    /// ```
    /// use std::{io::Read, io::Write, net::TcpListener, thread};
    /// use ncloud_container_registry::{Client, Credentials};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let api_url = format!("http://{}/ncr/api/v2", listener.local_addr()?);
    /// thread::spawn(move || {
    ///     let (mut stream, _) = listener.accept().unwrap();
    ///     let _request = stream.read(&mut [0; 4096]).unwrap();
    ///     stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    /// });
    /// let client = Client::builder(api_url, Credentials::new("access", "secret")?).build()?;
    /// client.delete_image("my-registry", "hello/world")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(api_url: impl AsRef<str>, credentials: Credentials) -> ClientBuilder {
        ClientBuilder(Client {
            credentials,
            api_url: api_url.as_ref().into(),
            agent: default_agent(),
            lacks_tls: cfg!(not(any(feature = "rustls", feature = "native-tls"))),
            timeout: DEFAULT_TIMEOUT,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        })
    }

    /// Deletes the image `image_name`, with all of its tags, from `registry`.
    ///
    /// Both names are passed unencoded (`hello/world`). `Ok` means that the image is gone. Either
    /// the service confirmed the deletion (204, or 200 or 201 with `Content-Length: 0`), or the
    /// outcome of an attempt was unknown and the service then reported that there is no such image.
    /// It reports a missing registry in the same way, so after an unknown outcome a misspelt
    /// registry is `Ok`, too.
    ///
    /// Source: [Delete image](https://api.ncloud-docs.com/docs/en/containerregistry-deleteimage).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that cannot exist, before anything is sent;
    /// [`ErrorKind::NotFound`] if the registry has no such image; the other kinds, except
    /// [`Credentials`](ErrorKind::Credentials), as [`ErrorKind`] describes them.
    /// [`may_have_been_deleted`](Error::may_have_been_deleted) tells if the outcome is unknown.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// client.delete_image("my-registry", "hello/world")?;
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn delete_image(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        let path = ["repositories", registry, image_name];
        self.run(&Method::DELETE, &path, &[]).map(drop)
    }

    /// Deletes an image as [`delete_image`](Client::delete_image) does, but does not treat a
    /// missing image as an error: `true` if it was deleted, `false` if it did not exist.
    ///
    /// `true` can also mean that the outcome of an attempt was unknown and the service then
    /// reported that there is no such image (or registry, if that is misspelt). `false` can also
    /// mean that the registry is misspelt, or that a gateway in front of the service sent the 404.
    /// The service may send a 500 for a missing image. That is an error, since a 500 proves
    /// nothing;
    /// [`may_have_been_deleted`](Error::may_have_been_deleted) shows how to find out.
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image), except that [`ErrorKind::NotFound`] is rare:
    /// an attempt's outcome was unknown, and the 404 that followed may be that of another gateway.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// if !client.delete_image_if_exists("my-registry", "hello/world")? {
    ///     println!("nothing to delete");
    /// }
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn delete_image_if_exists(&self, registry: &str, image_name: &str) -> Result<bool, Error> {
        match self.delete_image(registry, image_name) {
            Err(error) if error.kind() == ErrorKind::NotFound && !error.may_have_been_deleted() => {
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// Signs the request that [`delete_image`](Client::delete_image) would send now, without
    /// sending it, for a dry run.
    ///
    /// The signature is valid for 5 minutes. The request has the settings that
    /// [`sign_request`](Client::sign_request) describes, and its `Debug` hides the signature and
    /// the access key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that [`delete_image`](Client::delete_image) refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use ncloud_container_registry::{Client, Credentials, Region};
    ///
    /// let client = Client::new(Region::Japan, Credentials::new("access", "secret")?);
    /// let request = client.sign_delete_image("my-registry", "hello/world")?;
    /// assert_eq!(request.method(), "DELETE");
    /// assert_eq!(
    ///     request.uri(),
    ///     "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2/repositories/my-registry/hello%2Fworld",
    /// );
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn sign_delete_image(
        &self,
        registry: &str,
        image_name: &str,
    ) -> Result<Request<()>, Error> {
        let path = ["repositories", registry, image_name];
        let signed = self.sign(Method::DELETE, &path, &[]);
        signed.map_err(|error| error.about(&Method::DELETE, &path))
    }

    /// Sends a `GET` request and returns the body of the response, a JSON object of the service.
    /// `path` has the segments below the API URL, `query` the parameters, both unencoded.
    ///
    /// A call has the attempts, waits and timeouts of a deletion. A response of more than 1 MiB is
    /// an error. A list of images comes in pages, each an object with `count`, `results` (of which
    /// each has a `name`, and `last_updated` in milliseconds since 1970) and `next`, the number of
    /// the next page or null. The example `list_images` reads all of them.
    ///
    /// Sources: [Get image
    /// list](https://api.ncloud-docs.com/docs/en/containerregistry-getimagelist), [Get image
    /// details](https://api.ncloud-docs.com/docs/en/containerregistry-getimagedetail).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that [`sign_request`](Client::sign_request) refuses;
    /// [`ErrorKind::NotFound`] only if the service itself reports that there is no such resource;
    /// [`ErrorKind::UnexpectedResponse`] for any response other than a complete 200 with a JSON
    /// object that no other kind describes. Nothing is changed, so
    /// [`may_have_been_deleted`](Error::may_have_been_deleted) is always false.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// // The first page of the images of a registry, and the details of one image.
    /// let page = client.get(&["repositories", "my-registry"], &[("page", "1")])?;
    /// let details = client.get(&["repositories", "my-registry", "hello/world"], &[])?;
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, Error> {
        self.run(&Method::GET, path, query)
    }

    /// Signs a request for any other operation of the API, such as deleting one tag, without
    /// sending it. `path` has the segments below the API URL, `query` the parameters, both
    /// unencoded.
    ///
    /// The signature is valid for 5 minutes. The request carries its settings, which apply whatever
    /// agent runs it: those of the client's agent, the client's timeout, no redirects (a 3xx is
    /// returned as the response), and no proxy for `http`. A request that is rebuilt from its parts
    /// loses them; ureq would then follow a redirect and send the signature along. ureq turns
    /// statuses of 400 and above into errors without the body, unless the request is configured as
    /// below.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that a server could misread. A segment may contain
    /// unreserved characters (RFC 3986, section 2.3) and `:`; it must not be empty or a dot
    /// segment. The two segments after `repositories` are a registry and an image name, as
    /// [`delete_image`](Client::delete_image) accepts them; only `tags`, or `tags` and one tag, can
    /// follow. The method `DELETE` is for one tag, without a query.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ncloud_container_registry::{Client, ureq, ureq::http::Method};
    ///
    /// let client = Client::from_env()?;
    /// let tag = ["repositories", "my-registry", "hello/world", "tags", "1.0"];
    /// let request = client.sign_request(Method::DELETE, &tag, &[])?;
    /// let agent = ureq::agent();
    /// let request = agent.configure_request(request).http_status_as_error(false).build();
    /// let mut response = agent.run(request)?;
    /// println!("{} {}", response.status(), response.body_mut().read_to_string()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sign_request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request<()>, Error> {
        let signed =
            check_method(&method, path, query).and_then(|()| self.sign(method, path, query));
        signed.map_err(|error| {
            let path = printable(&path.join("/"));
            Error::invalid(format!("unusable path \"{path}\": {error}"))
        })
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.api_url)
            .field("proxy", &self.proxy().map(host_and_port))
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// Returns the agent of a client that was given none. The feature `rustls` is on by default, so
/// where both are on, somebody chose `native-tls`.
fn default_agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    #[cfg(feature = "native-tls")]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::NativeTls)
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build(),
    );
    config.build().new_agent()
}

/// Configures a [`Client`].
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use ncloud_container_registry::{Client, Credentials, Region};
///
/// let credentials = Credentials::new("access", "secret")?;
/// let client = Client::builder(Region::GovKorea, credentials)
///     .timeout(Duration::from_secs(120))
///     .max_attempts(5)
///     .build()?;
/// # Ok::<(), ncloud_container_registry::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder(Client);

impl ClientBuilder {
    /// Creates a builder from the environment. The keys come from [`Credentials::from_env`]. The API
    /// URL comes from `NCR_API_URL` (see [`Client::builder`]) or, if that is not set, from the
    /// [`Region`] that `NCLOUD_REGION` and `NCLOUD_SITE` name (`public`, `gov` or `fin`; `public`
    /// if not set or empty).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys, [`ErrorKind::InvalidInput`] for an API URL or a
    /// region that is missing or unusable.
    pub fn from_env() -> Result<ClientBuilder, Error> {
        let credentials = Credentials::from_env()?;
        if let Some(api_url) = env_var("NCR_API_URL") {
            let api_url = check_api_url(&api_url, " in NCR_API_URL")?;
            return Ok(Client::builder(api_url, credentials));
        }
        let site = env_var("NCLOUD_SITE").filter(|site| !site.is_empty());
        let site = site.as_deref().unwrap_or("public");
        let code = env_var("NCLOUD_REGION").unwrap_or_default();
        if code.is_empty() {
            let text = format!("no region: set NCLOUD_REGION to {REGION_CODES}");
            return Err(Error::invalid(text));
        }
        let region = Region::find((site, " in NCLOUD_SITE"), (&code, " in NCLOUD_REGION"))?;
        Ok(Client::builder(region, credentials))
    }

    /// Sets the agent to send with, for a custom proxy, root certificates or timeouts. Default: an
    /// agent that takes its proxy from the environment.
    ///
    /// Redirects are never followed, and `http` never uses a proxy. Three of the agent's timeouts
    /// are capped by [this crate's](ClientBuilder::timeout): global, which bounds each attempt,
    /// resolve and connect. Its other timeouts apply unchanged.
    ///
    /// The default connect timeout is 3 seconds. With a longer one, the system may be the first to
    /// report that a host is down, as "no route to host". An open connection reports that as well,
    /// so the outcome is then unknown.
    ///
    /// # Proxy variables
    ///
    /// ureq uses the first of `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY` that is set, for `https`.
    /// It skips a value that it cannot parse, and connects directly if none is left. `NO_PROXY` is
    /// separated by commas without spaces; `.example.com` matches subdomains, not the domain
    /// itself, and address ranges are not supported.
    ///
    /// # Root certificates
    ///
    /// With the feature `native-tls`, a company's certificate authority is trusted if the system
    /// trusts it, and OpenSSL obeys `SSL_CERT_FILE`. `rustls` ignores that variable; load the
    /// authority's PEM file:
    ///
    /// ```no_run
    /// # #[cfg(feature = "rustls")] {
    /// use ncloud_container_registry::{ClientBuilder, ureq};
    /// use ureq::tls::{Certificate, RootCerts, TlsConfig};
    ///
    /// let certificate = Certificate::from_pem(&std::fs::read("/etc/company-ca.pem")?)?;
    /// let tls = TlsConfig::builder()
    ///     .root_certs(RootCerts::new_with_certs(&[certificate]))
    ///     .build();
    /// let agent = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
    /// let client = ClientBuilder::from_env()?.agent(agent).build()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// ureq panics while sending if the agent needs what ureq was built without, such as a TLS
    /// provider or its roots, or has a timeout of centuries. An agent for `native-tls` must set
    /// both the provider and the roots:
    ///
    /// ```no_run
    /// # #[cfg(feature = "native-tls")] {
    /// use ncloud_container_registry::ureq;
    /// use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
    ///
    /// let tls = TlsConfig::builder()
    ///     .provider(TlsProvider::NativeTls)
    ///     .root_certs(RootCerts::PlatformVerifier)
    ///     .build();
    /// let agent = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
    /// # }
    /// ```
    pub fn agent(mut self, agent: ureq::Agent) -> ClientBuilder {
        self.0.agent = agent;
        self.0.lacks_tls = false;
        self
    }

    /// Sets the time that a call may take, with all its attempts and waits. Default: 60 seconds. It
    /// is capped at a day.
    ///
    /// An attempt may take half of the remaining time, or all of it if no other can follow. So a
    /// call that hangs once still has a second attempt, and the service has half of the timeout to
    /// respond. Looking up the host may take a quarter of the attempt's time. So may connecting,
    /// including TLS (to a proxy and through it, each), but no more than 3 seconds, or than the
    /// connect timeout of the [agent](ClientBuilder::agent) if it has one. Less than about 5
    /// seconds leaves too little for a TLS handshake across an ocean.
    ///
    /// Only a proxy that sends its response to CONNECT byte by byte can make a call exceed the
    /// timeout by more than a moment.
    ///
    /// # Panics
    ///
    /// ureq looks up the host in a new thread, and panics while sending if the system refuses one.
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.0.timeout = timeout;
        self
    }

    /// Sets how many requests a call may send. Default: 3.
    ///
    /// The wait before the first retry is between half a second and a second. It doubles with each
    /// further retry, up to 8 seconds, is at most half of the remaining time, and is longer if the
    /// service asks for it. If every attempt fails immediately, 3 attempts span 1.5 to 3 seconds, 5
    /// span 7.5 to 15 seconds, and 7 span 15.5 to 31 seconds. No retry begins with less than an
    /// eighth of the [timeout](ClientBuilder::timeout) left.
    ///
    /// With 1, nothing is sent twice, so no retry can delete an image that somebody pushes again
    /// during the call.
    pub fn max_attempts(mut self, max_attempts: u32) -> ClientBuilder {
        self.0.max_attempts = max_attempts;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an API URL that is refused, a timeout of zero, or no
    /// attempts.
    pub fn build(self) -> Result<Client, Error> {
        let ClientBuilder(mut client) = self;
        if client.timeout.is_zero() || client.max_attempts == 0 {
            return Err(Error::invalid(format!(
                "unusable settings: timeout is {:?}, max_attempts is {}; neither may be zero",
                client.timeout, client.max_attempts
            )));
        }
        client.api_url = check_api_url(&client.api_url, "")?.into();
        client.timeout = client.timeout.min(MAX_TIMEOUT);
        Ok(client)
    }
}

impl Debug for ClientBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive() // its API URL may hold a password
    }
}

/// Names a region of the service, on one of the vendor's three sites.
///
/// Sources: [Container Registry
/// overview](https://api.ncloud-docs.com/docs/en/compute-containerregistry) and, for government,
/// [API V2](https://api-gov.ncloud-docs.com/docs/containerregistry-apiv2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Region {
    /// Korea: site `public`, code `KR`.
    Korea,
    /// Singapore: site `public`, code `SGN`.
    Singapore,
    /// Japan: site `public`, code `JPN`.
    Japan,
    /// Korea, for government: site `gov`, code `KR`.
    GovKorea,
    /// Korea South, for government: site `gov`, code `KRS`.
    GovKoreaSouth,
    /// Korea, for finance: site `fin`, code `FKR`.
    FinKorea,
}

const REGION_CODES: &str = "KR, SGN or JPN (site public), KR or KRS (gov), FKR (fin)";

impl Region {
    /// Returns the API URL of the region, with its path and without a trailing slash.
    pub const fn api_url(self) -> &'static str {
        match self {
            Region::Korea => "https://ncr.apigw.ntruss.com/ncr/api/v2",
            Region::Singapore => "https://ncr.apigw.ntruss.com/ncr/sgn-api/v2",
            Region::Japan => "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2",
            Region::GovKorea => "https://gov-ncr.apigw.gov-ntruss.com/ncr/kr/v2",
            Region::GovKoreaSouth => "https://gov-ncr.apigw.gov-ntruss.com/ncr/krs/v2",
            Region::FinKorea => "https://ncr.apigw.fin-ntruss.com/ncr/api/v2",
        }
    }

    /// Finds the region with a code (`KR`, `SGN`, ...) on a site (`public`, `gov` or `fin`),
    /// ignoring case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if there is no such site, or no such region on it. The text says
    /// which of the two is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use ncloud_container_registry::Region;
    ///
    /// assert_eq!(Region::from_code("gov", "krs")?, Region::GovKoreaSouth);
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn from_code(site: &str, code: &str) -> Result<Region, Error> {
        Region::find((site, ""), (code, ""))
    }

    /// Finds a region by its site and its code, each with the place that it came from.
    fn find(site: (&str, &str), code: (&str, &str)) -> Result<Region, Error> {
        let (site_text, code_text) = (printable(site.0), printable(code.0));
        let wrong = match (&*site.0.to_ascii_lowercase(), &*code.0.to_ascii_uppercase()) {
            ("public", "KR") => return Ok(Region::Korea),
            ("public", "SGN") => return Ok(Region::Singapore),
            ("public", "JPN") => return Ok(Region::Japan),
            ("gov", "KR") => return Ok(Region::GovKorea),
            ("gov", "KRS") => return Ok(Region::GovKoreaSouth),
            ("fin", "FKR") => return Ok(Region::FinKorea),
            ("public", _) => format!("region \"{code_text}\"{}", code.1),
            ("gov" | "fin", _) => format!("region \"{code_text}\"{} on site {site_text}", code.1),
            _ => format!("site \"{site_text}\"{}", site.1),
        };
        let text = format!("unknown {wrong}: expected {REGION_CODES}");
        Err(Error::invalid(text))
    }
}

/// Returns the API URL of the region.
impl AsRef<str> for Region {
    fn as_ref(&self) -> &str {
        self.api_url()
    }
}

/// Reads a variable of the environment. What is not Unicode becomes U+FFFD, which no name, key or
/// URL can contain.
fn env_var(name: &str) -> Option<String> {
    Some(env::var_os(name)?.to_string_lossy().into_owned())
}

/// Signs requests with an access key and a secret key.
///
/// The secret key is kept only as HMAC state, which is wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Credentials {
    access_key: Arc<str>,
    hmac: Arc<Hmac<Sha256>>,
}

/// The names of each key, in the order in which the vendor's SDK for Go looks for them.
const ACCESS_KEY_VARIABLES: [&str; 2] = ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"];
const SECRET_KEY_VARIABLES: [&str; 2] = ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"];
const SET_BOTH_KEYS: &str = "set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";
/// The section of a key file that the lines above its first header belong to, too.
const DEFAULT_PROFILE: &str = "DEFAULT";
/// More than a file of keys and settings needs; `/dev/zero` has no end.
const MAX_KEY_FILE: usize = 64 * 1024;

impl Credentials {
    /// Creates credentials from the two keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is empty, or contains whitespace, a quotation mark or
    /// anything else that is not printable ASCII.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Credentials, Error> {
        check_key("access key", access_key)?;
        check_key("secret key", secret_key)?;
        // HMAC takes any length, but the type does not say so.
        let hmac = Hmac::new_from_slice(secret_key.as_bytes())
            .map_err(|error| Error::credentials(format!("unusable secret key: {error}")))?;
        Ok(Credentials {
            access_key: access_key.into(),
            hmac: Arc::new(hmac),
        })
    }

    /// Reads credentials from the environment or, if no key is set there, from the file
    /// `.ncloud/configure` in the home directory (`HOME`, on Windows `USERPROFILE`).
    ///
    /// The access key comes from `NCLOUD_ACCESS_KEY_ID` or `NCLOUD_ACCESS_KEY`, the secret key from
    /// `NCLOUD_SECRET_ACCESS_KEY` or `NCLOUD_SECRET_KEY`. If one of the four is set, even if empty,
    /// the file is not read. Of the file, the section is read that `NCLOUD_PROFILE` names, as by
    /// [`from_profile`](Credentials::from_profile); `[DEFAULT]` if it is not set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is missing or unusable, and for settings that may mean
    /// two accounts: the two names of a key with different values, a key beside an `NCLOUD_PROFILE`
    /// that is not empty, or an empty `NCLOUD_PROFILE` if the file is to be read.
    pub fn from_env() -> Result<Credentials, Error> {
        let profile = env_var("NCLOUD_PROFILE");
        let mut names = ACCESS_KEY_VARIABLES.iter().chain(&SECRET_KEY_VARIABLES);
        match names.find(|name| env::var_os(name).is_some()) {
            None => Credentials::from_home(profile.as_deref()),
            Some(name) if profile.is_some_and(|profile| !profile.is_empty()) => {
                Err(Error::credentials(format!(
                    "unusable keys: NCLOUD_PROFILE and {name} are both set, which may mean two \
                     accounts; unset one of them"
                )))
            }
            Some(_) => {
                let access_key = key_from_env("access key", ACCESS_KEY_VARIABLES)?;
                let secret_key = key_from_env("secret key", SECRET_KEY_VARIABLES)?;
                Credentials::new(&access_key, &secret_key)
            }
        }
    }

    fn from_home(profile: Option<&str>) -> Result<Credentials, Error> {
        if profile == Some("") {
            let text = "no keys: NCLOUD_PROFILE is set, but empty; name a section of the key file, \
                        or unset it";
            return Err(Error::credentials(text));
        }
        let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let home = home.map(PathBuf::from).filter(|home| home.is_absolute());
        let Some(home) = home else {
            return Err(Error::credentials(format!("no keys: {SET_BOTH_KEYS}")));
        };
        let path = home.join(".ncloud").join("configure");
        if matches!(path.try_exists(), Ok(false)) {
            let path = printable(&path.to_string_lossy());
            let text = format!("no keys: {SET_BOTH_KEYS}, or create {path}");
            return Err(Error::credentials(text));
        }
        Credentials::from_profile(path, profile.unwrap_or(DEFAULT_PROFILE))
    }

    /// Reads credentials from the section `[DEFAULT]` of a file in the format of the vendor's
    /// command line interface and SDKs:
    ///
    /// ```text
    /// # keys of the deployment account
    /// [DEFAULT]
    /// ncloud_access_key_id = ...
    /// ncloud_secret_access_key = ...
    /// ```
    ///
    /// A line is blank, a comment (`#` or `;`), a section, or `name = value` with a name of letters,
    /// digits, `.`, `_` and `-`. A file with any other line is refused, as the line could be meant
    /// to begin another account's section. Lines above the first section belong to `[DEFAULT]`. A
    /// `~` in `path` is not expanded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if the file cannot be read, is refused, or is longer than 64 KiB,
    /// if the section lacks or repeats a key, or if [`new`](Credentials::new) refuses one.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Credentials, Error> {
        Credentials::from_profile(path, DEFAULT_PROFILE)
    }

    /// Reads credentials from the section `profile` of a file in the format that
    /// [`from_file`](Credentials::from_file) describes. The name is compared exactly.
    ///
    /// # Errors
    ///
    /// As for [`from_file`](Credentials::from_file), and if there is no such section.
    pub fn from_profile(path: impl AsRef<Path>, profile: &str) -> Result<Credentials, Error> {
        let path = path.as_ref();
        let shown = printable(&path.to_string_lossy());
        let no_keys = |why: String| Error::credentials(format!("no keys in {shown}: {why}"));
        let text = read_key_file(path).map_err(|error| no_keys(error.to_string()))?;
        let [access_key, secret_key] = find_keys(&text, profile).map_err(no_keys)?;
        check_key(&format!("access key in {shown}"), access_key)?;
        check_key(&format!("secret key in {shown}"), secret_key)?;
        Credentials::new(access_key, secret_key)
    }

    /// Returns the access key, which identifies the account; it is not secret.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Returns the last 4 characters alone, since people put the secret key here by mistake.
    fn masked_access_key(&self) -> String {
        let start = self.access_key.len().saturating_sub(4);
        format!("...{}", self.access_key.get(start..).unwrap_or_default())
    }

    /// Signs a request to any NAVER Cloud Platform API with signature v2: HMAC-SHA256 over method,
    /// request target, timestamp and access key, in Base64.
    ///
    /// `method` is upper-case. `request_target` is the percent-encoded path and query, exactly as
    /// on the request line. `timestamp_ms` is the value of the header `x-ncp-apigw-timestamp`:
    /// milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// Source: [Ncloud API](https://api.ncloud-docs.com/docs/en/common-ncpapi).
    ///
    /// # Examples
    ///
    /// ```
    /// let credentials = ncloud_container_registry::Credentials::new("A", "s")?;
    /// let signature = credentials.sign("DELETE", "/ncr/jpn-api/v2/repositories/team/app", 0);
    /// assert_eq!(signature, "1KVlsSjcZrfMiLO8k3Q6Kfddln/DpMAJ2ZE+9I2PWbk=");
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn sign(&self, method: &str, request_target: &str, timestamp_ms: u64) -> String {
        let (target, time, key) = (request_target, timestamp_ms.to_string(), self.access_key());
        let mut hmac = Hmac::clone(&self.hmac);
        for part in [method, " ", target, "\n", &time, "\n", key] {
            hmac.update(part.as_bytes());
        }
        BASE64_STANDARD.encode(hmac.finalize().into_bytes())
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.masked_access_key())
            .finish_non_exhaustive()
    }
}

/// Finds a key in the environment by its two names.
fn key_from_env(what: &str, [first, second]: [&str; 2]) -> Result<String, Error> {
    let (name, key) = match (env_var(first), env_var(second)) {
        (Some(key), Some(other)) if key != other => {
            return Err(Error::credentials(format!(
                "unusable {what}: {first} and {second} differ, which may mean two accounts; unset \
                 one of them"
            )));
        }
        (Some(key), _) => (first, key),
        (None, Some(key)) => (second, key),
        (None, None) => {
            return Err(Error::credentials(format!(
                "no {what}: set {first}; with a key variable set, the key file is not read"
            )));
        }
    };
    check_key(&format!("{what} in {name}"), &key)?;
    Ok(key)
}

fn read_key_file(path: &Path) -> io::Result<String> {
    let mut content = Vec::new();
    let limit = MAX_KEY_FILE as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    if content.len() > MAX_KEY_FILE {
        return Err(io::Error::other("it is longer than 64 KiB"));
    }
    // Comments may be in any encoding that contains ASCII.
    let text = String::from_utf8_lossy(&content);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// Finds the access key and the secret key in a section of a key file.
fn find_keys<'a>(text: &'a str, profile: &str) -> Result<[&'a str; 2], String> {
    let (mut sections, mut settings) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        match parse_line(line) {
            Some(Line::Blank) => {}
            Some(Line::Section(name)) => sections.push(name),
            Some(Line::Setting(name, value)) => {
                if sections.is_empty() {
                    sections.push(DEFAULT_PROFILE);
                }
                if sections.last() == Some(&profile) {
                    settings.push((name, value));
                }
            }
            None => {
                let number = index + 1;
                return Err(format!(
                    "line {number} must be a comment, a [section] or \"name = value\""
                ));
            }
        }
    }
    let profile_shown = printable(profile);
    if !sections.contains(&profile) {
        let sections = match printable(&sections.join("], [")) {
            none if none.is_empty() => "none".to_owned(),
            names => format!("[{names}]"),
        };
        return Err(format!(
            "no section [{profile_shown}]; the file has {sections}"
        ));
    }
    let value_of = |name: &str| {
        let values = settings.iter().filter(|(found, _)| *found == name);
        match *values.map(|(_, value)| *value).collect::<Vec<_>>() {
            [value] => Ok(value),
            [] => Err(format!("no {name} under [{profile_shown}]")),
            _ => Err(format!(
                "{name} stands more than once under [{profile_shown}]; keep one"
            )),
        }
    };
    Ok([
        value_of("ncloud_access_key_id")?,
        value_of("ncloud_secret_access_key")?,
    ])
}

/// What a line of a key file can be.
enum Line<'a> {
    /// A comment or nothing.
    Blank,
    Section(&'a str),
    Setting(&'a str, &'a str),
}

fn parse_line(line: &str) -> Option<Line<'_>> {
    // What some editors show as the end of a line, and others not at all, could hide a section.
    let hides = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
    if line.contains(hides) {
        return None;
    }
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Some(Line::Blank);
    }
    let section = line
        .strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'));
    if let Some(name) = section.map(str::trim_ascii) {
        // A name with a = could be a key, which is not to be shown. Names that are not UTF-8 could
        // stand for one another.
        let is_name =
            !name.is_empty() && !name.contains(['[', ']', '=', char::REPLACEMENT_CHARACTER]);
        return is_name.then_some(Line::Section(name));
    }
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim_ascii_end(), value.trim_ascii_start());
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name = !name.is_empty() && name.bytes().all(is_allowed);
    is_name.then_some(Line::Setting(name, value))
}

/// Percent-encodes one path segment: the unreserved characters `A-Z a-z 0-9 - . _ ~` are kept;
/// every other byte of the UTF-8 text becomes `%XX` with upper-case digits.
///
/// Source: [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986), sections 2.1 and 2.3.
///
/// # Examples
///
/// ```
/// assert_eq!(ncloud_container_registry::percent_encode("hello/world 1"), "hello%2Fworld%201");
/// ```
pub fn percent_encode(segment: &str) -> String {
    let digit = |value: u8| char::from(value + if value < 10 { b'0' } else { b'A' - 10 });
    let mut encoded = String::with_capacity(3 * segment.len());
    for byte in segment.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0x0F)]);
        }
    }
    encoded
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Tells in one line why a call failed: what became of the image, the cause, the service's words,
/// and what to do.
///
/// The line includes the cause, so there is no [`source`](std::error::Error::source). It never
/// contains the secret key, and of the access key only the last 4 characters. Server text is
/// truncated and escaped, so that it is safe to show on a terminal.
///
/// # Examples
///
/// ```
/// use ncloud_container_registry::{Client, ErrorKind};
///
/// fn delete(client: &Client, registry: &str, image: &str) {
///     match client.delete_image(registry, image) {
///         Ok(()) => println!("deleted"),
///         Err(error) if error.may_have_been_deleted() => eprintln!("outcome unknown: {error}"),
///         Err(error) if error.kind() == ErrorKind::NotFound => eprintln!("not there: {error}"),
///         Err(error) if error.is_transient() => eprintln!("try again later: {error}"),
///         Err(error) => eprintln!("fix this: {error}"),
///     }
/// }
/// ```
pub struct Error(Box<Details>); // boxed to keep `Result` small

struct Details {
    kind: ErrorKind,
    /// What became of the image, or what was to be read, if the error is that of a call.
    opening: String,
    what_happened: String,
    advice: &'static str,
    status: Option<u16>,
    body: Option<String>,
    trace_id: Option<String>,
    response_origin: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    may_have_been_deleted: bool,
    is_transient: bool,
}

/// Tells what went wrong, for a program to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name, a path, an API URL, a setting or an agent cannot be used; nothing was sent. The text
    /// says what to change.
    InvalidInput,
    /// Keys are missing, unreadable or unusable; nothing was sent. The text says which, and where
    /// they belong.
    Credentials,
    /// 400, or another 4xx status without a kind of its own: the service rejected the request.
    /// Check the registry, the image name and the API URL.
    BadRequest,
    /// 401: the service did not accept the keys, the signature or its timestamp. Check the keys,
    /// their permissions and subscription, the site, and this machine's clock: the service refuses
    /// a timestamp that is more than 5 minutes from its own.
    Unauthorized,
    /// 403: the account lacks permission for this registry. Grant it.
    Forbidden,
    /// 404, complete, and with a JSON object or empty: there is no such registry or image. (For
    /// [`Client::get`] only with a code of the platform, which makes it the service's own.) Check
    /// the registry, the image and the region.
    NotFound,
    /// 409: something else was changing the image. Try again later.
    Conflict,
    /// 429: too many requests, or a quota is used up. Wait for [`Error::retry_after`], send fewer
    /// requests, or ask for a larger quota.
    RateLimited,
    /// 5xx: the service or its gateway failed. The service may send a 500 for a missing image. Run
    /// the call again, or look whether the image still exists (see
    /// [`Error::may_have_been_deleted`]).
    Server,
    /// A response unlike the service's: a redirect, a success status that confirms nothing, a
    /// truncated or HTML 404, a 404 for an unknown URL, something that is not HTTP. Check the API
    /// URL, and whether a proxy or a login page responded instead.
    UnexpectedResponse,
    /// No response in time, or 408. Run the call again, or allow more time.
    Timeout,
    /// No connection, a lost connection, or a certificate that is not trusted. Check the network,
    /// the proxy, the API URL and the root certificates.
    Transport,
}

impl ErrorKind {
    /// Returns what to do besides running the call again, for the end of a line.
    fn advice(self) -> &'static str {
        match self {
            Self::BadRequest => "; check the registry, the image and the API URL",
            Self::Unauthorized => {
                "; check the keys, their permissions and subscription, the site (NCLOUD_SITE), and \
                 this machine's clock"
            }
            Self::Forbidden => "; give the account permission for this registry",
            Self::NotFound => "; check the registry, the image and the region",
            Self::Conflict => "; try again when nothing else is changing the image",
            Self::RateLimited => "; send fewer requests, or ask for a larger quota",
            Self::UnexpectedResponse => {
                "; check the API URL with its path, and whether a proxy or a login page responded \
                 instead"
            }
            Self::Timeout | Self::Transport => "; check the network, the proxy and the API URL",
            Self::InvalidInput | Self::Credentials | Self::Server => "",
        }
    }
}

impl Error {
    /// Returns what went wrong, for a program to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the HTTP status of the last response, if the last attempt had one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the body of the last response, for people to read: the access key masked, then its
    /// first 512 characters, escaped for a terminal. The service's bodies are JSON; their `details`
    /// often explain the problem. `None` if it was empty, or the body of a redirect that contains
    /// an `@` and so perhaps a password.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// Returns the gateway's ID for the request, from the header `x-ncp-trace-id`: quote it to the
    /// vendor's support.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// Returns how long the service asked to wait before the next request: `Retry-After` in seconds
    /// (RFC 9110, section 10.2.3), capped at `u32::MAX` of them. Its other form, a date, is
    /// ignored.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns how many attempts were made, including those that never connected; 0 if none.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns whether the outcome is unknown: the service may have acted on a request, and no
    /// response proves that it did or did not. Run the call again, or look whether the image still
    /// exists:
    ///
    /// ```no_run
    /// use ncloud_container_registry::{Client, ErrorKind};
    ///
    /// # fn find_out(client: &Client, registry: &str, image: &str) {
    /// match client.get(&["repositories", registry, image], &[]) {
    ///     Err(error) if error.kind() == ErrorKind::NotFound => println!("it is gone"),
    ///     Ok(_) => println!("not yet gone: an earlier request may still be at work"),
    ///     Err(error) => println!("still unknown: {error}"),
    /// }
    /// # }
    /// ```
    pub fn may_have_been_deleted(&self) -> bool {
        self.0.may_have_been_deleted
    }

    /// Returns whether the same call may succeed later: after a failure that the client itself
    /// retries (see [`ClientBuilder::max_attempts`]).
    pub fn is_transient(&self) -> bool {
        self.0.is_transient
    }

    fn new(kind: ErrorKind, what_happened: impl Into<String>) -> Error {
        Error(Box::new(Details {
            kind,
            opening: String::new(),
            what_happened: what_happened.into(),
            advice: kind.advice(),
            status: None,
            body: None,
            trace_id: None,
            response_origin: None,
            retry_after: None,
            attempts: 0,
            may_have_been_deleted: false,
            is_transient: false,
        }))
    }

    fn invalid(what_happened: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, what_happened)
    }

    fn credentials(what_happened: impl Into<String>) -> Error {
        Error::new(ErrorKind::Credentials, what_happened)
    }

    /// Opens the text with what became of the image, or with what was to be read.
    fn about(mut self, method: &Method, path: &[&str]) -> Error {
        let path = printable(&path.join("/"));
        let image = path.strip_prefix("repositories/").unwrap_or(&path);
        let is_unknown = self.0.may_have_been_deleted;
        self.0.opening = match self.0.kind {
            _ if *method == Method::GET => format!("cannot get {path}: "),
            _ if is_unknown && self.0.status == Some(500) => {
                format!("{image} may have been deleted, or never existed: ")
            }
            _ if is_unknown => format!("{image} may have been deleted: "),
            ErrorKind::InvalidInput => format!("cannot delete {image}: "),
            ErrorKind::NotFound => format!("{image} was not found: "),
            _ => format!("{image} was not deleted: "),
        };
        self
    }
}

/// What became of the image, what happened, what the service said, what to do.
impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let error = &*self.0;
        write!(f, "{}{}", error.opening, error.what_happened)?;
        if error.attempts > 1 {
            write!(f, ", {} attempts", error.attempts)?;
        }
        if let Some(body) = &error.body {
            write!(f, ": {body}")?;
        }
        if let Some(id) = &error.trace_id {
            write!(f, " (trace id {id})")?;
        }
        if let Some(origin) = &error.response_origin {
            write!(f, " (origin {origin})")?;
        }
        match error.retry_after {
            Some(wait) if error.is_transient && !wait.is_zero() => {
                write!(f, "; wait {} s, as the service asks", wait.as_secs())?;
            }
            _ => f.write_str(error.advice)?,
        }
        f.write_str(match error.kind {
            _ if error.may_have_been_deleted => "; run it again, or look whether it still exists",
            ErrorKind::Server if error.is_transient => "; run it again later",
            _ => "",
        })
    }
}

/// The same line, since that is what a `main` that returns an error prints.
impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

// What is refused, before anything is sent.

/// Returns the first of the flaws that is there.
fn first_flaw<'a>(flaws: &[(bool, &'a str)]) -> Option<&'a str> {
    let found = flaws.iter().find(|(is_there, _)| *is_there);
    found.map(|(_, flaw)| *flaw)
}

/// Allows what a header can carry (RFC 9110, section 5.5), but no quotation marks, which would
/// become part of the key. What else a valid key looks like is for the service to say.
fn check_key(what: &str, key: &str) -> Result<(), Error> {
    let flaw = first_flaw(&[
        (key.is_empty(), "it is empty"),
        (
            key.contains(char::is_whitespace),
            "it contains whitespace or a line break",
        ),
        (
            key.contains(['"', '\'']),
            "it contains a quotation mark; remove the quotes around it",
        ),
        (
            !key.bytes().all(|byte| byte.is_ascii_graphic()),
            "it is not printable ASCII",
        ),
    ]);
    flaw.map_or(Ok(()), |flaw| {
        Err(Error::credentials(format!("unusable {what}: {flaw}")))
    })
}

/// Allows one label of a host name (RFC 1035, section 2.3.4). No other registry can exist, and a
/// server might read it as another resource.
fn check_registry(registry: &str) -> Result<(), Error> {
    if registry.len() <= 63 && is_name(registry, "-") {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the registry \"{}\" must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending \
         with a letter or digit; pass its name alone, such as \"my-registry\"",
        printable(registry)
    )))
}

/// Allows slightly more than the image names of the Docker Registry v2 specification, whose clients
/// limit them to 255 bytes, but none with a host of this service, as `docker images` shows them.
fn check_image_name(image_name: &str) -> Result<(), Error> {
    let is_image_name = |text: &str| {
        text.len() <= 255 && text.split('/').all(|component| is_name(component, "._-"))
    };
    let first = image_name.split('/').next().unwrap_or_default();
    let host = first.split(':').next().unwrap_or_default();
    let has_host = host.to_ascii_lowercase().ends_with("ntruss.com");
    if is_image_name(image_name) && !has_host {
        return Ok(());
    }
    // The name without its host is not quoted: it may be the name of another image here.
    let (untagged, tag) = image_name.split_at(image_name.find([':', '@']).unwrap_or(0));
    let pass_untagged = format!(
        "has a tag or digest; for the image with all its tags, pass \"{untagged}\"; for one tag, \
         use sign_request"
    );
    let why = if has_host {
        "begins with a host; pass the name without its host, if it is in this registry and region"
    } else if is_image_name(untagged) && !tag.contains('/') {
        &pass_untagged
    } else {
        "must be components of a-z, 0-9, ., _ and -, each beginning and ending with a letter or \
         digit, joined by single slashes, at most 255 bytes; pass it unencoded, such as \
         \"hello/world\""
    };
    let image_name = printable(image_name);
    Err(Error::invalid(format!(
        "the image name \"{image_name}\" {why}"
    )))
}

fn is_name(text: &str, separators: &str) -> bool {
    let is_alphanumeric = |c| matches!(c, 'a'..='z' | '0'..='9');
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && !text.contains(|c| !is_alphanumeric(c) && !separators.contains(c))
}

/// Refuses a path that a server could read as another resource (RFC 3986, section 5.2.4), or that
/// names an image which cannot exist: its 404 would read as "gone".
fn check_path(path: &[&str]) -> Result<(), Error> {
    if let ["repositories", registry, ..] = path {
        check_registry(registry)?;
    }
    let segments = match path {
        [] => return Err(Error::invalid("the path is empty")),
        ["repositories", _, image_name, rest @ ..] => {
            check_image_name(image_name)?;
            if !matches!(rest, [] | ["tags"] | ["tags", _]) {
                let text = "after an image, only \"tags\" and one tag can follow; pass the image \
                            name as one segment, such as \"hello/world\"";
                return Err(Error::invalid(text));
            }
            rest
        }
        _ => path,
    };
    match segments.iter().find(|segment| !is_plain_segment(segment)) {
        None => Ok(()),
        Some(segment) => Err(Error::invalid(format!(
            "the segment \"{}\" may have only letters, digits, - . _ ~ and :, and must not be \
             empty, . or ..; pass it unencoded",
            printable(segment)
        ))),
    }
}

/// Allows `DELETE` for a tag alone: with a segment missing, or an image name that was split at its
/// slash, it would delete the image or the registry.
fn check_method(method: &Method, path: &[&str], query: &[(&str, &str)]) -> Result<(), Error> {
    let is_tag = matches!(path, ["repositories", _, _, "tags", _]) && query.is_empty();
    if is_tag || !method.as_str().eq_ignore_ascii_case("DELETE") {
        return Ok(());
    }
    let text = "DELETE is for a tag, such as [\"repositories\", registry, image, \"tags\", tag], \
                without a query; for an image, use delete_image";
    Err(Error::invalid(text))
}

/// Returns whether a path segment is safe unencoded, and is not a dot segment.
fn is_plain_segment(text: &str) -> bool {
    let is_plain = |byte| is_unreserved(byte) || byte == b':';
    !matches!(text, "" | "." | "..") && text.bytes().all(is_plain)
}

fn check_api_url(api_url: &str, place: &str) -> Result<String, Error> {
    safe_api_url(api_url).ok_or_else(|| {
        // What comes before an @ or after a ? may be secret.
        let may_be_secret = api_url.contains(['@', '?', '#']);
        let shown = printable(if may_be_secret { "..." } else { api_url });
        Error::invalid(format!(
            "unusable API URL \"{shown}\"{place}: expected a Region, or a URL such as \
             https://ncr.apigw.ntruss.com/ncr/api/v2 (http for loopback only; no user info, query \
             or fragment; a path of letters, digits, - . _ ~ : and single slashes)"
        ))
    })
}

/// Returns the API URL without a trailing slash, if it is safe to send a signature to: a scheme, a
/// host, perhaps a port, and a plain path, with nothing between them or after.
fn safe_api_url(api_url: &str) -> Option<String> {
    let url = api_url.strip_suffix('/').unwrap_or(api_url);
    let uri: Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port_u16().map(|port| format!(":{port}"));
    let port = port.unwrap_or_default();
    let after_scheme = url.get(scheme.len()..)?.strip_prefix("://")?;
    let path = after_scheme.strip_prefix(host)?.strip_prefix(&*port)?;
    let mut segments = path.split('/');
    let is_plain_path = segments.next() == Some("") && segments.all(is_plain_segment);

    let is_loopback = host.eq_ignore_ascii_case("localhost") // RFC 6761, section 6.3
        || format!("{host}:0").parse().is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    let is_confidential = scheme == "https" || (scheme == "http" && is_loopback);
    let is_safe = !host.is_empty() && is_confidential && is_plain_path;
    is_safe.then(|| format!("{scheme}://{host}{port}{path}"))
}

// How a request is built and sent.

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// No attempt begins with less than an eighth of the call's timeout left: a request without time
/// for a response would turn a certain "not deleted" into a "may have been deleted".
const MIN_TIME_DIVISOR: u32 = 8;
/// Looking up the host, connecting to a proxy and connecting through it may each take a quarter of
/// an attempt. They end before the attempt does, so a timeout there proves that nothing was sent.
const SETUP_TIME_DIVISOR: u32 = 4;
/// After 3.1 s, Linux reports a host that is down as "no route to host". That proves nothing, since
/// an open connection reports it as well. A timeout of connecting proves that nothing was sent.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(3);
/// The most that the first wait takes, so that a few attempts outlast a restart of the service.
const MAX_FIRST_WAIT_MS: u64 = 1000;
/// With more, a call of a minute would mostly wait.
const MAX_DOUBLINGS: u32 = 3;

/// How an attempt ended, if not in success.
struct Failure {
    error: Error,
    outcome: Outcome,
}

/// What an attempt may have done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It cannot have been acted upon.
    NoEffect,
    /// The service may have acted on it.
    Unknown,
    /// Nothing, since the service itself says that there is no such image.
    ImageAbsent,
}

/// The words of the error come from `judge_response` or `judge_error`.
impl Failure {
    /// A failure after which the same call may succeed.
    fn transient(kind: ErrorKind, outcome: Outcome) -> Failure {
        let mut failure = Failure::permanent(kind, outcome);
        failure.error.0.is_transient = true;
        failure
    }

    fn permanent(kind: ErrorKind, outcome: Outcome) -> Failure {
        let error = Error::new(kind, "");
        Failure { error, outcome }
    }
}

impl Client {
    /// Sends requests until one succeeds or fails for good, or the attempts or the time run out.
    /// Deleting and reading are idempotent, so an attempt whose outcome is unknown can be repeated.
    fn run(&self, method: &Method, path: &[&str], query: &[(&str, &str)]) -> Result<String, Error> {
        let about = |error: Error| error.about(method, path);
        if self.lacks_tls && self.api_url.starts_with("https:") {
            let text = "this crate was built without TLS; enable the feature rustls or native-tls";
            return Err(about(Error::invalid(text)));
        }
        let started = Instant::now();
        let mut attempts = 0;
        let mut is_outcome_unknown = false;
        loop {
            let request = self.sign(method.clone(), path, query).map_err(about)?;
            attempts += 1;
            let Failure { mut error, outcome } = match self.attempt(request, attempts, started) {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            if is_outcome_unknown && outcome == Outcome::ImageAbsent {
                return Ok(String::new()); // an earlier attempt deleted it
            }
            if is_outcome_unknown && outcome != Outcome::Unknown {
                error.0.what_happened += ", after an attempt whose outcome is unknown";
            }
            is_outcome_unknown |= *method == Method::DELETE && outcome == Outcome::Unknown;
            error.0.may_have_been_deleted = is_outcome_unknown;
            error.0.attempts = attempts;

            let asked_wait = error.retry_after().unwrap_or_default();
            let time_left = self.time_left(started);
            match wait_before_retry(attempts, asked_wait, time_left, self.timeout) {
                Some(wait) if error.is_transient() && attempts < self.max_attempts => {
                    thread::sleep(wait);
                }
                _ => return Err(about(error)),
            }
            // The whole process may have been suspended in the meantime.
            if !is_enough_time(self.time_left(started), self.timeout) {
                return Err(about(error));
            }
        }
    }

    fn time_left(&self, started: Instant) -> Duration {
        self.timeout.saturating_sub(started.elapsed())
    }

    /// Sends one request of the call that began at `started`, and returns the body of a success.
    fn attempt(
        &self,
        request: Request<()>,
        attempt_number: u32,
        started: Instant,
    ) -> Result<String, Failure> {
        let method = request.method().clone();
        let is_last = attempt_number >= self.max_attempts;
        let time = time_for_attempt(is_last, self.time_left(started), self.timeout);
        let limits = self.agent.config().timeouts();
        // Setup must end before either of these, which do not tell whether anything was sent.
        let time = shorter(limits.per_call, shorter(limits.global, time));
        let setup_time = time / SETUP_TIME_DIVISOR;
        let connect_time = setup_time.min(limits.connect.unwrap_or(MAX_CONNECT_TIME));
        let mut config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .timeout_global(Some(time))
            .timeout_resolve(Some(shorter(limits.resolve, setup_time)))
            .timeout_connect(Some(connect_time));
        if attempt_number > 1 {
            // Kept connections may all be dead, for example after a suspend: open a new one.
            config = config.max_idle_age(Duration::ZERO);
        }
        let attempt_started = Instant::now();
        match self.agent.run(config.build()) {
            Ok(response) => self.judge_response(&method, Response::read(response)),
            Err(error) => {
                Err(self.judge_error(&error, attempt_started.elapsed(), started.elapsed()))
            }
        }
    }

    /// Signs a request for this moment. It carries its settings with it, so that no agent takes the
    /// signature to another host.
    fn sign(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request<()>, Error> {
        check_path(path)?;
        let mut url = self.api_url.to_string();
        for segment in path {
            url = url + "/" + &percent_encode(segment);
        }
        for (index, (name, value)) in query.iter().enumerate() {
            let separator = if index == 0 { "?" } else { "&" };
            url = url + separator + &percent_encode(name) + "=" + &percent_encode(value);
        }
        let request = self.sign_url(method, &url);
        let request = request.map_err(|error| Error::invalid(error.to_string()))?;
        let timeout = shorter(self.agent.config().timeouts().global, self.timeout);
        let config = self.agent.configure_request(request);
        let mut config = config.max_redirects(0).timeout_global(Some(timeout));
        if self.api_url.starts_with("http:") {
            config = config.proxy(None); // loopback is reached without one
        }
        Ok(config.build())
    }

    fn sign_url(&self, method: Method, url: &str) -> http::Result<Request<()>> {
        let uri: Uri = url.parse()?;
        let request_target = uri.path_and_query().map_or("", |target| target.as_str());
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        let timestamp_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        let keys = &self.credentials;
        let signature = keys.sign(method.as_str(), request_target, timestamp_ms);
        Request::builder()
            .method(method)
            .uri(uri)
            .header("User-Agent", USER_AGENT)
            // A compressed response would lose its length, which shows whether it is complete.
            .header("Accept-Encoding", "identity")
            .header("Content-Type", "application/json") // which every operation requires
            .header("x-ncp-apigw-timestamp", timestamp_ms)
            .header("x-ncp-iam-access-key", sensitive(keys.access_key())?)
            .header("x-ncp-apigw-signature-v2", sensitive(&signature)?)
            .body(())
    }

    /// Returns the proxy through which the API URL is reached, if any.
    fn proxy(&self) -> Option<&ureq::Proxy> {
        let api_url: Uri = self.api_url.parse().ok()?;
        let proxy = self.agent.config().proxy()?;
        let is_used = api_url.scheme_str() == Some("https") && !proxy.is_no_proxy(&api_url);
        is_used.then_some(proxy)
    }
}

/// The proxy's URL may hold a password, so only this is shown.
fn host_and_port(proxy: &ureq::Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

/// Makes a header's value that `Debug` does not show.
fn sensitive(value: &str) -> http::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    Ok(value)
}

fn shorter(timeout: Option<Duration>, limit: Duration) -> Duration {
    timeout.map_or(limit, |timeout| timeout.min(limit))
}

/// Returns half of the time that is left while another attempt may follow, else all of it.
fn time_for_attempt(is_last: bool, time_left: Duration, timeout: Duration) -> Duration {
    let half = time_left / 2;
    if is_last || !is_enough_time(half, timeout) {
        time_left
    } else {
        half
    }
}

fn is_enough_time(time_left: Duration, timeout: Duration) -> bool {
    time_left > timeout / MIN_TIME_DIVISOR
}

/// Decides how long to wait before a retry, counted from 1: `None` if that leaves too little time
/// for an attempt.
fn wait_before_retry(
    retry: u32,
    asked_wait: Duration,
    time_left: Duration,
    timeout: Duration,
) -> Option<Duration> {
    let wait = backoff(retry).min(time_left / 2).max(asked_wait);
    is_enough_time(time_left.saturating_sub(wait), timeout).then_some(wait)
}

/// Returns between half and all of a bound that doubles with each retry. The jitter keeps clients
/// that failed together from coming back together.
fn backoff(retry: u32) -> Duration {
    let half_ms = (MAX_FIRST_WAIT_MS << retry.saturating_sub(1).min(MAX_DOUBLINGS)) / 2;
    // Each RandomState hashes with its own keys, which start from the system's random numbers.
    let random = RandomState::new().hash_one(retry);
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

// How responses and errors are classified.

/// More than a page of 100 images, which has some 40 KiB.
const MAX_BODY: usize = 1024 * 1024;
/// An I/O error is taken for one of connecting only if it comes within this time of the attempt's
/// start. A later one may come from an open connection: on Linux, that reports that a host is
/// unreachable when its retransmissions have run out, after 3.15 s with `tcp_retries2` at 3, the
/// lowest value in use (tcp(7); 15 minutes by default). Other systems were not measured.
const CONNECT_ERROR_WINDOW: Duration = Duration::from_millis(if IS_LINUX { 2900 } else { 1000 });
const IS_LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A response, as far as it was read.
struct Response {
    head: http::response::Parts,
    body: String,
    /// The length of the body in bytes, or the error that truncated it.
    length: io::Result<usize>,
}

impl Response {
    fn read(response: http::Response<ureq::Body>) -> Response {
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(MAX_BODY as u64 + 1);
        let length = reader.read_to_end(&mut bytes);
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Response { head, body, length }
    }

    fn header(&self, name: &str) -> Option<String> {
        let values = self.head.headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (!values.is_empty()).then(|| values.join(", ")) // RFC 9110, section 5.3
    }

    fn is_success(&self, method: &Method) -> bool {
        if *method == Method::DELETE {
            self.confirms_deletion()
        } else {
            self.head.status == 200 && self.is_complete() && self.is_object()
        }
    }

    /// 204 is the vendor's documented success; 200 and 201 are successes common to its operations,
    /// but also those of a login page.
    fn confirms_deletion(&self) -> bool {
        match self.head.status.as_u16() {
            204 => true,
            200 | 201 if self.header("Transfer-Encoding").is_some() => false,
            200 | 201 => self.header("Content-Length").as_deref() == Some("0"),
            _ => false,
        }
    }

    /// Whether the framing shows that nothing is missing (RFC 9112, section 8).
    fn is_complete(&self) -> bool {
        let is_http_11 = self.head.version == Version::HTTP_11;
        let shows_end = match self.header("Transfer-Encoding") {
            Some(coding) => is_http_11 && coding.eq_ignore_ascii_case("chunked"),
            None => self.header("Content-Length").is_some(),
        };
        shows_end && matches!(self.length, Ok(..=MAX_BODY))
    }

    /// Whether the body looks like a JSON object, which a page of HTML does not.
    fn is_object(&self) -> bool {
        let body = self.body.trim_ascii();
        body.starts_with('{') && body.ends_with('}')
    }

    fn has_code_300(&self) -> bool {
        let is_ignored = |c: char| c == '"' || c.is_whitespace();
        let unquoted = self.body.replace(is_ignored, "");
        unquoted.contains("Code:300,") || unquoted.contains("Code:300}")
    }

    /// Whether the body has one of the platform's codes, which other gateways do not have.
    fn has_platform_code(&self) -> bool {
        let body = self.body.replace(char::is_whitespace, "");
        body.contains("\"errorCode\":") || body.contains("\"returnCode\":")
    }

    /// Whether a 404 comes from a service, this one or another, that does not find the image. Code
    /// 300, a string or a number, says that the URL is unknown, or that permission is lacking.
    fn is_not_found(&self) -> bool {
        self.is_complete() && !self.has_code_300() && (self.is_object() || self.body.is_empty())
    }

    /// Classifies a response that is no success. A 4xx or 5xx status without a row of its own has
    /// the kind of its class (RFC 9110, section 15).
    fn classify(&self, method: &Method) -> Failure {
        use {ErrorKind as K, Outcome::ImageAbsent, Outcome::NoEffect, Outcome::Unknown};
        let (transient, permanent) = (Failure::transient, Failure::permanent);
        match self.head.status.as_u16() {
            // A success whose body was truncated proves nothing; another attempt may.
            200..=299 if self.length.is_err() => transient(K::UnexpectedResponse, Unknown),
            401 => permanent(K::Unauthorized, NoEffect),
            403 => permanent(K::Forbidden, NoEffect),
            404 if !self.is_not_found() => permanent(K::UnexpectedResponse, NoEffect),
            404 if self.has_platform_code() => permanent(K::NotFound, ImageAbsent),
            // Enough for "not found", but no proof: it may be another gateway's.
            404 if *method == Method::DELETE => permanent(K::NotFound, NoEffect),
            404 => permanent(K::UnexpectedResponse, NoEffect),
            // It may come from a proxy in front of a slow service.
            408 => transient(K::Timeout, Unknown),
            // It did nothing. An earlier attempt that is still at work causes it; a 404 follows.
            409 => transient(K::Conflict, NoEffect),
            429 => transient(K::RateLimited, NoEffect),
            400..=499 => permanent(K::BadRequest, NoEffect),
            500 | 502..=504 => transient(K::Server, Unknown),
            500..=599 => permanent(K::Server, Unknown),
            _ => permanent(K::UnexpectedResponse, Unknown),
        }
    }
}

/// Classifies an error of ureq, `elapsed` after the start of the attempt.
fn classify_error(error: &ureq::Error, elapsed: Duration) -> Failure {
    use {
        ErrorKind as K, Outcome::NoEffect, Outcome::Unknown, ureq::Error as E, ureq::Timeout as T,
    };
    let (transient, permanent) = (Failure::transient, Failure::permanent);
    match error {
        E::Timeout(T::Resolve | T::Connect) => transient(K::Timeout, NoEffect),
        E::Timeout(_) => transient(K::Timeout, Unknown),
        E::HostNotFound | E::ConnectionFailed => transient(K::Transport, NoEffect),
        E::ConnectProxyFailed(_) => transient(K::Transport, NoEffect),
        _ if is_untrusted_certificate(error) => permanent(K::Transport, NoEffect),
        E::Io(error) if is_from_connecting(error, elapsed) => transient(K::Transport, NoEffect),
        E::Io(_) => transient(K::Transport, Unknown),
        E::Protocol(_) | E::LargeResponseHeader(..) => transient(K::UnexpectedResponse, Unknown),
        E::RequireHttpsOnly(_) | E::Tls(_) | E::TlsRequired => permanent(K::InvalidInput, NoEffect),
        // TLS could not be set up.
        #[cfg(feature = "native-tls")]
        E::NativeTls(_) => transient(K::Transport, NoEffect),
        #[cfg(feature = "rustls")]
        E::Rustls(_) => permanent(K::InvalidInput, NoEffect),
        _ => permanent(K::Transport, Unknown),
    }
}

/// Whether TLS failed because the certificate of the host is not trusted.
fn is_untrusted_certificate(error: &ureq::Error) -> bool {
    match error {
        // From rustls, which reports other failures as I/O errors, too.
        ureq::Error::Io(error) => error.to_string().starts_with("invalid peer certificate"),
        #[cfg(feature = "native-tls")]
        ureq::Error::NativeTls(error) => error.to_string().contains("certificate"),
        _ => false,
    }
}

/// Whether an I/O error comes from looking up the host or connecting, so that nothing was sent.
fn is_from_connecting(error: &io::Error, elapsed: Duration) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let is_from_connecting = match error.kind() {
        // On Windows, refusing takes two seconds, and only connecting reports it.
        ConnectionRefused if cfg!(windows) => return true,
        _ if IS_LINUX => error.raw_os_error().is_some() && !is_from_open_connection(error),
        ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied
        | AddrNotAvailable | AddrInUse => true,
        _ => false,
    };
    // The standard library gives a failed lookup an error kind that is unstable, so its text
    // decides. The codes are those of too many open files (Unix, Windows) and of a failed lookup
    // (Windows).
    (is_from_connecting && elapsed < CONNECT_ERROR_WINDOW)
        || error.to_string().starts_with("failed to lookup address")
        || matches!(error.raw_os_error(), Some(23 | 24 | 10024 | 11001..=11004))
}

/// Whether an open connection can report an error on Linux, whose other errors come from looking up
/// the host and connecting (tcp(7), recv(2)).
fn is_from_open_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    use io::ErrorKind::{Interrupted, OutOfMemory, TimedOut, UnexpectedEof, WouldBlock};
    const ENETRESET: i32 = 102;
    const ENOBUFS: i32 = 105;
    const ESHUTDOWN: i32 = 108;
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | Interrupted
        | OutOfMemory | TimedOut | UnexpectedEof | WouldBlock => true,
        _ => matches!(error.raw_os_error(), Some(ENETRESET | ENOBUFS | ESHUTDOWN)),
    }
}

impl Client {
    fn judge_response(&self, method: &Method, response: Response) -> Result<String, Failure> {
        if response.is_success(method) {
            return Ok(response.body);
        }
        let server_text = |text: String| self.server_text(&text);
        let mut failure = response.classify(method);
        let error = &mut failure.error.0;
        error.what_happened = self.describe(&response);
        error.status = Some(response.head.status.as_u16());
        error.trace_id = response.header("x-ncp-trace-id").map(server_text);
        let origin = response.header("x-ncp-apigw-response-origin");
        error.response_origin = origin.map(server_text);
        let retry_after = response.header("Retry-After");
        error.retry_after = retry_after.as_deref().and_then(parse_retry_after);
        if error.status == Some(404) && response.has_code_300() {
            error.advice = "; check the API URL with its path, and the account's permissions";
        }
        if error.kind == ErrorKind::UnexpectedResponse && response.length.is_err() {
            error.advice = ErrorKind::Transport.advice();
        }
        // What comes before an @ may be a password, also in the body of a redirect.
        let may_be_secret = response.head.status.is_redirection() && response.body.contains('@');
        error.body = Some(response.body)
            .filter(|body| !body.is_empty() && !may_be_secret)
            .map(server_text);
        Err(failure)
    }

    /// Returns the status, with what helps to understand it.
    fn describe(&self, response: &Response) -> String {
        let status = response.head.status;
        let header = |name| response.header(name).map(|text| self.server_text(&text));
        let flaw = match &response.length {
            Err(cause) => format!(", truncated ({})", printable(&cause.to_string())),
            Ok(_) if response.is_complete() || status == 204 => String::new(),
            Ok(length) if *length > MAX_BODY => ", longer than 1 MiB".to_owned(),
            Ok(_) => ", of unknown length".to_owned(),
        };
        match (status.as_u16(), header("Location")) {
            (200..=299, _) => format!("{status}{flaw}"),
            (404, _) => format!("{status} from {}{flaw}", self.api_url),
            // What comes before an @ may be a password.
            (300..=399, Some(location)) if !location.contains('@') => {
                format!("{status} to {location}")
            }
            (401, _) => {
                let access_key = self.credentials.masked_access_key();
                let date = header("Date").map(|date| format!(", the service's clock: {date}"));
                let date = date.unwrap_or_default();
                format!("{status} (access key {access_key}{date})")
            }
            _ => status.to_string(),
        }
    }

    /// Tells what ureq reports in place of a response, after the time that attempt and call took.
    fn judge_error(
        &self,
        error: &ureq::Error,
        attempt_time: Duration,
        call_time: Duration,
    ) -> Failure {
        let mut failure = if self.is_socks_refusal(error) {
            Failure::transient(ErrorKind::Transport, Outcome::NoEffect)
        } else {
            classify_error(error, attempt_time)
        };
        let what_failed = match (failure.error.0.kind, failure.outcome) {
            (ErrorKind::InvalidInput, _) => "the agent cannot send to",
            (_, Outcome::NoEffect) => "no connection to",
            (ErrorKind::UnexpectedResponse, _) => "no HTTP response from",
            _ => "no response from",
        };
        let host = self.api_url.split('/').nth(2).unwrap_or_default(); // after "https:" and ""
        let proxy = self.proxy().map(host_and_port);
        let proxy = proxy.map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
        let seconds = (call_time.as_secs_f32() * 10.0).round() / 10.0;
        let cause = printable(error.to_string().trim_start_matches("io: "));
        let cause = match error {
            ureq::Error::Timeout(_) => format!(" within {seconds} s"),
            _ => format!(": {cause}"),
        };
        failure.error.0.what_happened = format!("{what_failed} {host}{proxy}{cause}");
        if is_untrusted_certificate(error) {
            failure.error.0.advice = "; to trust its authority, use the feature native-tls, which \
                                      trusts what the system trusts, or ClientBuilder::agent with \
                                      the authority's PEM file";
        }
        failure
    }

    /// Whether a SOCKS proxy refused to connect. ureq reports that with kinds which rustls never
    /// uses; the system's TLS does.
    fn is_socks_refusal(&self, error: &ureq::Error) -> bool {
        use {io::ErrorKind as K, ureq::ProxyProtocol as P};
        #[cfg(feature = "rustls")]
        let is_rustls =
            self.agent.config().tls_config().provider() == ureq::tls::TlsProvider::Rustls;
        #[cfg(not(feature = "rustls"))]
        let is_rustls = false;
        let protocol = self.proxy().map(ureq::Proxy::protocol);
        let is_socks = protocol.is_some_and(|protocol| !matches!(protocol, P::Http | P::Https));
        let is_refusal = |error: &io::Error| {
            error.raw_os_error().is_none()
                && matches!(
                    error.kind(),
                    K::Other | K::PermissionDenied | K::InvalidInput
                )
        };
        is_socks && is_rustls && matches!(error, ureq::Error::Io(error) if is_refusal(error))
    }

    /// Makes server text safe to show: the access key masked, the rest truncated and escaped.
    fn server_text(&self, text: &str) -> String {
        let access_key = self.credentials.access_key();
        printable(&text.replace(access_key, &self.credentials.masked_access_key()))
    }
}

// How text is read and shown.

/// Enough for the longest error body of the service that was seen, and little enough for a line.
const MAX_SHOWN: usize = 512;

/// Reads `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn parse_retry_after(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The cap keeps arithmetic with times from overflowing.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u32::MAX).into()))
}

/// Returns `text` for one line of a terminal: its first 512 characters, of which those are escaped
/// that could break the line, steer the terminal, or change the order in which text is read.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let end = if shown.len() < text.len() { "…" } else { "" };
    let escaped = shown.escape_debug().to_string() + end;
    let escaped = escaped.replace(r"\'", "'").replace(r#"\""#, "\"");
    escaped.replace(r"\\", r"\")
}

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod tests;
