#![doc = include_str!("../README.md")]

use std::fmt::{self, Debug, Display, Formatter, Write as _};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::zeroize::Zeroize;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Timeout;
use ureq::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ureq::http::{HeaderValue, Response, Uri};

/// The HTTP client beneath this crate, so that a caller can build the [`ureq::Agent`] for
/// [`ClientBuilder::agent`] at the version that this crate uses.
pub use ureq;

/// Names this crate to the service.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// For one request and its answer: several times what the service needs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// For the look-up of the host name, and again for TCP and TLS: a SYN that is lost twice is sent
/// again after 1 and 3 seconds (RFC 6298, section 5.5).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole call: two attempts that hang.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of a whole call: one connection lost and one server restarted go unnoticed.
const MAX_ATTEMPTS: u32 = 3;
/// The longest first wait; each further one may be twice as long.
const FIRST_WAIT_MS: u64 = 200;
/// The longest wait of all, save one that the service asks for.
const LONGEST_WAIT_MS: u64 = 5_000;
/// From here on a clock counts as wrong: well inside the 5 minutes that the service allows, well
/// above what a slow answer makes of a right one.
const CLOCK_TOLERANCE_MS: u64 = 60_000;
/// Of an error body, and of a credentials file: more than either ever needs.
const MAX_READ: usize = 64 * 1024;
/// Characters of a name, or of what a server says, that an error shows.
const MAX_SHOWN: usize = 256;
/// Bytes of a key: a hundred times what the service hands out, and surely fit for a header.
const MAX_KEY: usize = 4096;
/// The longest URL that [`Uri`] holds, in bytes.
const MAX_URL: usize = 65_534;

/// Deletes images from the registries of one region.
///
/// Cloning is cheap. Clones share the connection pool, and so may threads: one client is enough
/// for a program.
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
    api_url: ApiUrl,
    agent: ureq::Agent,
    timeout: Duration,
    max_attempts: u32,
    /// How far the service's clock is ahead of this machine's, as far as is known.
    clock_ahead_ms: Arc<AtomicI64>,
}

impl Client {
    /// A client for `region`, with the defaults of [`ClientBuilder`] for the rest.
    #[must_use]
    pub fn new(region: Region, credentials: Credentials) -> Client {
        Client {
            credentials,
            api_url: ApiUrl::of(region),
            agent: default_agent(),
            timeout: CALL_TIMEOUT,
            max_attempts: MAX_ATTEMPTS,
            clock_ahead_ms: Arc::default(),
        }
    }

    /// A client with everything from the environment: keys from [`Credentials::load`], the region
    /// from `NCLOUD_SITE` (`public`, `gov` or `fin`; without it `public`) and `NCLOUD_REGION` (the
    /// site's region code; without it the site's first region), or an API URL from `NCR_API_URL`
    /// instead of both.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys, [`ErrorKind::InvalidInput`] for a site, a region or
    /// an API URL that is empty, unknown or refused.
    pub fn from_env() -> Result<Client, Error> {
        let builder = Client::builder(Credentials::load()?);
        let setting = |name| match env(name, ErrorKind::InvalidInput)? {
            Some(value) if value.is_empty() => Err(Error::invalid(&format!(
                "the environment variable {name} is empty: give it a value or unset it"
            ))),
            value => Ok(value),
        };
        if let Some(api_url) = setting("NCR_API_URL")? {
            return builder.api_url(&api_url).build();
        }
        let (site, region) = (setting("NCLOUD_SITE")?, setting("NCLOUD_REGION")?);
        let region = Region::named(site.as_deref(), region.as_deref())?;
        builder.region(region).build()
    }

    /// A client with settings of its own.
    pub fn builder(credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            credentials,
            region: Region::Korea,
            api_url: None,
            agent: None,
            timeout: CALL_TIMEOUT,
            max_attempts: MAX_ATTEMPTS,
        }
    }

    /// Deletes the image `image_name`, with all of its tags, from `registry`.
    ///
    /// Both names are given as they are (`hello/world`), not percent-encoded. `Ok` means that the
    /// image is gone: the service confirmed the deletion, or no longer finds the image after a
    /// request whose answer was lost.
    ///
    /// Source: [Delete image](https://api.ncloud-docs.com/docs/en/containerregistry-deleteimage).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that could mean something else, before anything is
    /// sent; [`ErrorKind::NotFound`] when the registry has no such image; any other kind for the
    /// refusals and failures that its documentation describes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// client.delete_image("my-registry", "hello/world")?;
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn delete_image(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        let url = self.delete_url(registry, image_name)?;
        self.send(url).map_err(|error| {
            let image = printable(&format!("{registry}/{image_name}"));
            error.context(&format!("cannot delete {image}"))
        })
    }

    /// Like [`delete_image`](Client::delete_image), but an image that is not there is no error:
    /// `true` if it was deleted, `false` if there was none. It is `true`, too, for an image that is
    /// not found after a request whose answer was lost.
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image), save [`ErrorKind::NotFound`]. The service
    /// answers alike for a registry that does not exist, so a misspelt registry is `false` too.
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
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The very request that [`delete_image`](Client::delete_image) would send now, for a look
    /// before the leap. Sends nothing.
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
    ///     request.url(),
    ///     "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2/repositories/my-registry/hello%2Fworld",
    /// );
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn sign_delete_image(
        &self,
        registry: &str,
        image_name: &str,
    ) -> Result<SignedRequest, Error> {
        let url = self.delete_url(registry, image_name)?;
        Ok(self.sign(url, self.clock_ahead_ms.load(Ordering::Relaxed)))
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.api_url.url)
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// The agent of a client that was given none. ureq means rustls unless told otherwise.
fn default_agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::NativeTls)
            .build(),
    );
    config.build().new_agent()
}

/// ureq panics on https with a TLS provider that is not built in.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn check_tls_provider(agent: &ureq::Agent, api_url: &ApiUrl) -> Result<(), Error> {
    let missing = match agent.config().tls_config().provider() {
        ureq::tls::TlsProvider::Rustls if cfg!(not(feature = "rustls")) => "rustls",
        ureq::tls::TlsProvider::NativeTls if cfg!(not(feature = "native-tls")) => "native-tls",
        _ => return Ok(()),
    };
    if !api_url.is_https() {
        return Ok(());
    }
    Err(Error::invalid(&format!(
        "the agent means to use {missing}, which is not built in: enable the feature {missing} or \
         set another provider in the agent's TlsConfig"
    )))
}

/// Settings of a [`Client`].
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use ncloud_container_registry::{Client, Credentials, Region, ureq};
///
/// let agent = ureq::Agent::config_builder()
///     .proxy(Some(ureq::Proxy::new("http://proxy.example.com:3128")?))
///     .build()
///     .new_agent();
/// let client = Client::builder(Credentials::new("access", "secret")?)
///     .region(Region::GovKorea)
///     .agent(agent)
///     .timeout(Duration::from_secs(20))
///     .max_attempts(1)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    credentials: Credentials,
    region: Region,
    api_url: Option<String>,
    agent: Option<ureq::Agent>,
    timeout: Duration,
    max_attempts: u32,
}

impl ClientBuilder {
    /// The region whose API URL to use. Default: [`Region::Korea`], the vendor's own default.
    pub fn region(mut self, region: Region) -> ClientBuilder {
        self.region = region;
        self
    }

    /// An API URL to use instead of a region's: `https`, or `http` to a loopback address, without
    /// user info, query or fragment. A path is kept, a slash at its end makes no difference.
    /// Default: none.
    pub fn api_url(mut self, api_url: &str) -> ClientBuilder {
        self.api_url = Some(api_url.to_owned());
        self
    }

    /// An agent to send with, for a proxy, root certificates or time-outs of your own. Its
    /// time-outs for a whole request, for looking up the host name and for connecting replace this
    /// crate's 30, 10 and 10 seconds, as far as the call's time allows; redirects are not followed
    /// whatever it says. Default: an agent that reads the proxy from the environment, since that is
    /// where users expect to set it.
    ///
    /// ureq panics when an agent asks for what ureq was built without, such as a SOCKS proxy or the
    /// platform's certificate verifier: enable ureq's own feature for these. A SOCKS proxy in the
    /// environment is ignored without that feature.
    pub fn agent(mut self, agent: ureq::Agent) -> ClientBuilder {
        self.agent = Some(agent);
        self
    }

    /// The time that a call may take, with all its attempts and the waits between them. Default:
    /// 60 seconds, enough for an attempt that hangs and one after it.
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeout = timeout;
        self
    }

    /// How many requests a call may send. Default: 3, so that one lost connection and one restart
    /// of a server go unnoticed. With 1, a wrong clock is not corrected either, only reported.
    pub fn max_attempts(mut self, max_attempts: u32) -> ClientBuilder {
        self.max_attempts = max_attempts;
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an API URL that is refused, no time, no attempts, or an
    /// agent whose TLS provider this build does not have.
    pub fn build(self) -> Result<Client, Error> {
        if self.timeout.is_zero() {
            return Err(Error::invalid("the timeout is zero: allow some time"));
        }
        if self.max_attempts == 0 {
            return Err(Error::invalid("max_attempts is 0: allow at least 1"));
        }
        let api_url = match self.api_url {
            Some(api_url) => ApiUrl::parse(&api_url)?,
            None => ApiUrl::of(self.region),
        };
        let agent = self.agent.unwrap_or_else(default_agent);
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        check_tls_provider(&agent, &api_url)?;
        Ok(Client {
            credentials: self.credentials,
            api_url,
            agent,
            timeout: self.timeout,
            max_attempts: self.max_attempts,
            clock_ahead_ms: Arc::default(),
        })
    }
}

impl Debug for ClientBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("credentials", &self.credentials)
            .field("region", &self.region)
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// A request, signed and not sent: what [`Client::sign_delete_image`] shows.
#[derive(Clone)]
pub struct SignedRequest {
    url: String,
    credentials: Credentials,
    timestamp: String,
    signature: String,
}

impl SignedRequest {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        "DELETE"
    }

    /// The URL, percent-encoded.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers that the service asks for, as name and value, the signature among them. It
    /// holds good for 5 minutes.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            ("Content-Type", "application/json"),
            ("x-ncp-apigw-timestamp", self.timestamp.as_str()),
            ("x-ncp-iam-access-key", self.credentials.access_key()),
            ("x-ncp-apigw-signature-v2", self.signature.as_str()),
        ]
        .into_iter()
    }
}

impl Debug for SignedRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("method", &self.method())
            .field("url", &self.url)
            .field("timestamp", &self.timestamp)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// The regions in which the service runs, on the vendor's three sites.
///
/// Sources: [Container Registry overview](https://api.ncloud-docs.com/docs/en/compute-containerregistry)
/// and, for government, [API V2](https://api-gov.ncloud-docs.com/docs/containerregistry-apiv2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Region {
    /// Korea: site `public`, code `KR`.
    Korea,
    /// Singapore: site `public`, code `SGN`.
    Singapore,
    /// Japan: site `public`, code `JPN`.
    Japan,
    /// Korea for government: site `gov`, code `KR`.
    GovKorea,
    /// Korea south for government: site `gov`, code `KRS`.
    GovKoreaSouth,
    /// Korea for finance: site `fin`, code `FKR`.
    FinKorea,
}

impl Region {
    /// The API URL of the region, without a slash at its end.
    #[must_use]
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

    /// The region with the vendor's names for site and region.
    fn named(site: Option<&str>, region: Option<&str>) -> Result<Region, Error> {
        let site = site.unwrap_or("public");
        let known = match (site, region) {
            ("public", None | Some("KR")) => return Ok(Region::Korea),
            ("public", Some("SGN")) => return Ok(Region::Singapore),
            ("public", Some("JPN")) => return Ok(Region::Japan),
            ("gov", None | Some("KR")) => return Ok(Region::GovKorea),
            ("gov", Some("KRS")) => return Ok(Region::GovKoreaSouth),
            ("fin", None | Some("FKR")) => return Ok(Region::FinKorea),
            ("public", _) => "KR, SGN or JPN",
            ("gov", _) => "KR or KRS",
            ("fin", _) => "FKR",
            _ => {
                let site = printable(site);
                return Err(Error::invalid(&format!(
                    "the site \"{site}\" in NCLOUD_SITE is not known: set it to public, gov or fin"
                )));
            }
        };
        let region = printable(region.unwrap_or_default());
        Err(Error::invalid(&format!(
            "the region \"{region}\" in NCLOUD_REGION is not known on the site {site}: set it to {known}"
        )))
    }
}

/// An API URL that is safe to send a signature to.
#[derive(Clone)]
struct ApiUrl {
    /// Without a slash at its end.
    url: Arc<str>,
    /// Where the path begins, in bytes.
    path_start: usize,
}

impl ApiUrl {
    fn of(region: Region) -> ApiUrl {
        ApiUrl::split(region.api_url())
    }

    fn parse(text: &str) -> Result<ApiUrl, Error> {
        // What stands before an @ may be a password, so this text alone does not show the value.
        if has(text, b'@') {
            return Err(Error::invalid(
                "the API URL contains an @: give it without user info",
            ));
        }
        let (shown, is_cut) = match text.as_bytes().iter().position(|byte| b"?#".contains(byte)) {
            Some(at) => (text.get(..at).unwrap_or_default(), true),
            None => (text, false),
        };
        let refuse = |why| Error::invalid(&format!("the API URL \"{}\" {why}", printable(shown)));
        if is_cut {
            return Err(refuse(
                "goes on with a query or a fragment: give it without",
            ));
        }
        let not_a_url = || refuse("is not a URL: write it as https://host/path");
        let uri: Uri = text.parse().map_err(|_| not_a_url())?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(not_a_url)?;
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let port = authority.get(host.len()..).unwrap_or_default();
        let is_port = uri.port_u16().is_some() && !has(port, b'+');
        if !port.is_empty() && !is_port {
            return Err(refuse("has a port that is not a number from 0 to 65535"));
        }
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if is_loopback(host) => "http",
            _ => {
                return Err(refuse(
                    "is not safe to send a signature to: use https (http is for loopback alone)",
                ));
            }
        };
        let path = uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_path = |byte: u8| is_unreserved(byte) || b"/!$&'()*+,=:".contains(&byte);
        if !path.bytes().all(is_path) || path.split('/').skip(1).any(is_unstable_component) {
            return Err(refuse(
                "has a path that could be read in two ways: simplify it",
            ));
        }
        Ok(ApiUrl::split(&format!("{scheme}://{authority}{path}")))
    }

    /// `url` must be valid; its path begins at the third slash.
    fn split(url: &str) -> ApiUrl {
        let path_start = url
            .match_indices('/')
            .nth(2)
            .map_or(url.len(), |(at, _)| at);
        ApiUrl {
            url: url.into(),
            path_start,
        }
    }

    fn origin(&self) -> &str {
        self.url.get(..self.path_start).unwrap_or_default()
    }

    fn is_https(&self) -> bool {
        self.url.starts_with("https:")
    }
}

/// `localhost` is loopback by RFC 6761, section 6.3.
fn is_loopback(host: &str) -> bool {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match in_brackets {
        Some(host) => host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
        }
    }
}

/// Whether something on the way could resolve a path with this component to another path
/// (RFC 3986, section 5.2.4; doubled slashes are merged by many servers).
fn is_unstable_component(component: &str) -> bool {
    matches!(component, "" | "." | "..")
}

/// An access key and a secret key, which sign requests.
///
/// The secret key is kept as HMAC state alone, which is wiped from memory when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Credentials {
    access_key: Arc<str>,
    hmac: Arc<Hmac<Sha256>>,
}

/// The vendor's names, the first that is set wins: those of the SDK for Go, then Terraform's.
const ACCESS_KEY_VARIABLES: [&str; 2] = ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"];
const SECRET_KEY_VARIABLES: [&str; 2] = ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"];
/// The keys of the vendor's configuration file.
const ACCESS_KEY_SETTING: &str = "ncloud_access_key_id";
const SECRET_KEY_SETTING: &str = "ncloud_secret_access_key";

impl Credentials {
    /// Credentials from the two keys themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is empty, is longer than 4 KiB, has blanks or line breaks
    /// around it, or holds control characters, or if the access key could not stand in a header.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Credentials, Error> {
        for (name, key) in [("access key", access_key), ("secret key", secret_key)] {
            let wrong = if key.is_empty() {
                "is empty"
            } else if key != key.trim_ascii() {
                "has a blank or a line break before or after it"
            } else if key.len() > MAX_KEY {
                "is longer than 4 KiB"
            } else if key.bytes().any(|byte| byte.is_ascii_control()) {
                "holds a control character"
            } else {
                continue;
            };
            return Err(Error::credentials(&format!(
                "the {name} {wrong}: copy it once more"
            )));
        }
        // No stricter than what a header needs: what a valid key looks like is the service's to say.
        if !access_key.is_ascii() {
            return Err(Error::credentials(
                "the access key holds a character that is not ASCII: copy it once more",
            ));
        }
        let hmac = Hmac::new_from_slice(secret_key.as_bytes())
            .map_err(|_| Error::credentials("the secret key has a length that HMAC cannot use"))?;
        Ok(Credentials {
            access_key: access_key.into(),
            hmac: Arc::new(hmac),
        })
    }

    /// Credentials from the environment: the access key from `NCLOUD_ACCESS_KEY_ID` or else
    /// `NCLOUD_ACCESS_KEY`, the secret key from `NCLOUD_SECRET_ACCESS_KEY` or else
    /// `NCLOUD_SECRET_KEY`. An empty variable counts as not set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is missing, not Unicode, or refused by
    /// [`new`](Credentials::new).
    pub fn from_env() -> Result<Credentials, Error> {
        Credentials::from_env_if_set()?.ok_or_else(|| {
            let ([access_key, _], [secret_key, _]) = (ACCESS_KEY_VARIABLES, SECRET_KEY_VARIABLES);
            Error::credentials(&format!(
                "no keys in the environment: set {access_key} and {secret_key}"
            ))
        })
    }

    /// Credentials from a file in the format of the vendor's command line interface and SDKs:
    ///
    /// ```text
    /// # keys of the deployment account
    /// [DEFAULT]
    /// ncloud_access_key_id = ...
    /// ncloud_secret_access_key = ...
    /// ```
    ///
    /// Of a file with several sections, the keys above the first header or under `[DEFAULT]` are
    /// taken; without any there, those of the first section that has one. A pair is never put
    /// together from two sections. Blanks around a value are dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if the file cannot be read, is no regular file, is longer than
    /// 64 KiB, is not UTF-8, or lacks a key, or if [`new`](Credentials::new) refuses one.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Credentials, Error> {
        let path = path.as_ref();
        read_credentials_file(path).map_err(|error| {
            let shown = printable(&path.display().to_string());
            error.context(&format!("cannot take keys from the file {shown}"))
        })
    }

    /// Credentials from where users of this platform keep them: the environment, as
    /// [`from_env`](Credentials::from_env) reads it, or else the file `.ncloud/configure` in the
    /// home directory (`HOME`, on Windows `USERPROFILE`), as [`from_file`](Credentials::from_file)
    /// reads it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if neither has keys, or the first that has any has half a pair.
    pub fn load() -> Result<Credentials, Error> {
        if let Some(credentials) = Credentials::from_env_if_set()? {
            return Ok(credentials);
        }
        let home = std::env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let Some(home) = home.filter(|home| !home.is_empty()) else {
            return Credentials::from_env();
        };
        let path = PathBuf::from(home).join(".ncloud").join("configure");
        Credentials::from_file(path).map_err(|error| error.context("no keys in the environment"))
    }

    /// These strings are not wiped: the environment goes on to hold the same text.
    fn from_env_if_set() -> Result<Option<Credentials>, Error> {
        let first_set = |names: [&str; 2]| {
            for name in names {
                let value = env(name, ErrorKind::Credentials)?;
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        };
        let half = |has, [lacks, or]: [&str; 2]| {
            Error::credentials(&format!(
                "the environment has the {has} key but not the other: set {lacks} (or {or}) too"
            ))
        };
        match (
            first_set(ACCESS_KEY_VARIABLES)?,
            first_set(SECRET_KEY_VARIABLES)?,
        ) {
            (Some(access_key), Some(secret_key)) => {
                Credentials::new(&access_key, &secret_key).map(Some)
            }
            (Some(_), None) => Err(half("access", SECRET_KEY_VARIABLES)),
            (None, Some(_)) => Err(half("secret", ACCESS_KEY_VARIABLES)),
            (None, None) => Ok(None),
        }
    }

    /// The access key, which names the account; it is not secret.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Signature v2 of a request to any NAVER Cloud Platform API: the Base64 text of HMAC-SHA256
    /// over method, request target, timestamp and access key.
    ///
    /// `request_target` is path and query, percent-encoded, exactly as they will stand on the
    /// request line. `timestamp_ms` is what the header `x-ncp-apigw-timestamp` will say:
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
    #[must_use]
    pub fn sign(&self, method: &str, request_target: &str, timestamp_ms: u64) -> String {
        self.signature(method, request_target, &timestamp_ms.to_string())
    }

    fn signature(&self, method: &str, request_target: &str, timestamp: &str) -> String {
        let mut mac = Hmac::clone(&self.hmac);
        for part in [
            method,
            " ",
            request_target,
            "\n",
            timestamp,
            "\n",
            &self.access_key,
        ] {
            mac.update(part.as_bytes());
        }
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// A variable of the environment; one that is not Unicode is an error of the given kind.
fn env(name: &str, kind: ErrorKind) -> Result<Option<String>, Error> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            let text = format!("the environment variable {name} is not Unicode text");
            Err(Error::new(kind, &text))
        }
    }
}

fn read_credentials_file(path: &Path) -> Result<Credentials, Error> {
    let fix = format!(
        "write the lines \"{ACCESS_KEY_SETTING} = ...\" and \"{SECRET_KEY_SETTING} = ...\" into it"
    );
    let unreadable = |error: io::Error| {
        Error::credentials(&format!("{}: {fix}", printable(&error.to_string()))).caused_by(error)
    };
    // To open a pipe would wait for somebody to write to it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        let text = "it is not a regular file: give the path of another file";
        return Err(Error::credentials(text));
    }
    let (mut buffer, mut filled) = (vec![0; MAX_READ + 1], 0);
    let file = File::open(path);
    let read = file.and_then(|mut file| fill(&mut buffer, &mut filled, &mut file));
    let credentials = read.map_err(unreadable).and_then(|()| {
        if filled > MAX_READ {
            let text = "it is longer than 64 KiB: give the path of another file";
            return Err(Error::credentials(text));
        }
        let bytes = buffer.get(..filled).unwrap_or_default();
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::credentials("it is not UTF-8 text: save it as UTF-8"))?;
        let (access_key, secret_key) = find_keys(text.trim_start_matches('\u{feff}'));
        let lacks = |setting| Error::credentials(&format!("it has no value for {setting}: {fix}"));
        let is_given = |value: &&str| !value.is_empty();
        let access_key = access_key
            .filter(is_given)
            .ok_or_else(|| lacks(ACCESS_KEY_SETTING))?;
        let secret_key = secret_key
            .filter(is_given)
            .ok_or_else(|| lacks(SECRET_KEY_SETTING))?;
        Credentials::new(access_key, secret_key)
    });
    buffer.as_mut_slice().zeroize();
    credentials
}

/// Reads until the source ends or the buffer is full; what was read before an error counts too. One
/// buffer from the start, since one that grows leaves copies of a secret behind.
fn fill(buffer: &mut [u8], filled: &mut usize, source: &mut dyn Read) -> io::Result<()> {
    while let Some(free @ [_, ..]) = buffer.get_mut(*filled..) {
        match source.read(free) {
            Ok(0) => break,
            Ok(read) => *filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The keys of the default section or else of the first that has any.
fn find_keys(text: &str) -> (Option<&str>, Option<&str>) {
    let mut default_section = (None, None);
    let mut first_section = (None, None);
    let mut section = (None, None);
    let mut is_default = true;
    let end = std::iter::once("[]"); // closes the last section
    for line in text.lines().map(str::trim_ascii).chain(end) {
        if line.starts_with('[') {
            let kept = if is_default {
                &mut default_section
            } else {
                &mut first_section
            };
            if *kept == (None, None) {
                *kept = section;
            }
            section = (None, None);
            let name = line.trim_start_matches('[').split(']').next();
            is_default = name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case("DEFAULT"));
        } else if let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim_ascii());
            match name.trim_ascii() {
                ACCESS_KEY_SETTING => section.0 = value,
                SECRET_KEY_SETTING => section.1 = value,
                _ => {} // a comment, or a setting of another tool
            }
        }
    }
    if default_section == (None, None) {
        first_section
    } else {
        default_section
    }
}

/// One path segment, percent-encoded: the unreserved characters `A-Z a-z 0-9 - . _ ~` stand for
/// themselves, every other byte of the UTF-8 text becomes `%XX` with upper-case digits.
///
/// Source: [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986), sections 2.1 and 2.3.
///
/// # Examples
///
/// ```
/// assert_eq!(ncloud_container_registry::percent_encode("hello/world 1"), "hello%2Fworld%201");
/// ```
#[must_use]
pub fn percent_encode(segment: &str) -> String {
    let mut encoded = Vec::with_capacity(segment.len() + segment.len() / 2 + 8);
    push_encoded(&mut encoded, segment);
    ascii(encoded)
}

fn push_encoded(encoded: &mut Vec<u8>, segment: &str) {
    let bytes = segment.as_bytes();
    // A whole block is looked at in a few instructions, and most names need no more than that.
    let is_plain = |block: &&[u8]| {
        block
            .iter()
            .fold(true, |all, byte| all & is_unreserved(*byte))
    };
    let plain_blocks = bytes.chunks_exact(32).take_while(is_plain).count();
    let (plain, mut rest) = bytes.split_at(32 * plain_blocks);
    encoded.extend_from_slice(plain);
    let next = |rest: &[u8]| {
        rest.iter()
            .enumerate()
            .find_map(|(at, byte)| Some((at, escape(*byte)?)))
    };
    while let Some((at, escape)) = next(rest) {
        let (plain, behind) = rest.split_at(at);
        encoded.extend_from_slice(plain);
        encoded.extend_from_slice(&escape);
        rest = behind.get(1..).unwrap_or_default();
    }
    encoded.extend_from_slice(rest);
}

/// Text of ASCII bytes alone, which no conversion can fail for.
fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// What stands for a byte that cannot stand for itself.
fn escape(byte: u8) -> Option<[u8; 3]> {
    static ESCAPES: [Option<[u8; 3]>; 256] = {
        let mut escapes = [None; 256];
        let mut byte: u8 = 0;
        let mut rest: &mut [_] = &mut escapes;
        while let [first, behind @ ..] = rest {
            if !is_unreserved(byte) {
                *first = Some([b'%', hex_digit(byte >> 4), hex_digit(byte & 0x0F)]);
            }
            rest = behind;
            byte = byte.wrapping_add(1);
        }
        escapes
    };
    ESCAPES.get(usize::from(byte)).copied().flatten()
}

const fn hex_digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'A' - 10 }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Why a call failed: what was wrong, with which value, and what to do about it, in one line.
///
/// No key and no signature stands in it. What a server said stands in it cut and escaped, so that
/// it can be shown on a terminal.
#[derive(Debug)]
pub struct Error(Box<Failure>);

#[derive(Debug)]
struct Failure {
    kind: ErrorKind,
    text: String,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    trace_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    may_have_taken_effect: bool,
    /// Whether the same request may fare better later.
    is_transient: bool,
    /// What a refusal told of the service's clock.
    clock_ahead_ms: Option<i64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong, as far as a program needs to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name, an API URL or a setting was refused; nothing was sent.
    InvalidInput,
    /// Keys are missing, unreadable or unusable; nothing was sent.
    Credentials,
    /// 400, or a 4xx status without a kind of its own: the service did not understand the request.
    BadRequest,
    /// 401: the service did not accept the keys, the signature or its timestamp.
    Unauthorized,
    /// 403: the account may not delete this image.
    Forbidden,
    /// 404: there is no such registry or image.
    NotFound,
    /// 409: something else was changing the image.
    Conflict,
    /// 429: too many requests in a short time, or a quota is used up.
    RateLimited,
    /// 5xx: the service or its gateway failed.
    Server,
    /// An answer that the service does not give: a redirect, a success with a body, no HTTP.
    UnexpectedResponse,
    /// No answer in time, or 408.
    Timeout,
    /// No connection, a lost connection, or no trust in the server's certificate.
    Transport,
}

impl Error {
    /// What went wrong, as far as a program needs to tell.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status of the last answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The gateway's or the service's own code for the error, from the answer's body.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The gateway's or the service's own words, from the answer's body: cut after 256 characters,
    /// and with those escaped that could steer a terminal.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The gateway's name for the request, from the header `x-ncp-trace-id`: what the vendor's
    /// support will ask for.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// How long the service asked to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How many requests were sent, or tried to be sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the image may be gone all the same: a request may have reached the service, and no
    /// answer told how it ended.
    #[must_use]
    pub fn may_have_taken_effect(&self) -> bool {
        self.0.may_have_taken_effect
    }

    fn new(kind: ErrorKind, text: &str) -> Error {
        Error(Box::new(Failure {
            kind,
            text: text.to_owned(),
            status: None,
            code: None,
            message: None,
            trace_id: None,
            retry_after: None,
            attempts: 0,
            may_have_taken_effect: false,
            is_transient: false,
            clock_ahead_ms: None,
            source: None,
        }))
    }

    fn invalid(text: &str) -> Error {
        Error::new(ErrorKind::InvalidInput, text)
    }

    fn credentials(text: &str) -> Error {
        Error::new(ErrorKind::Credentials, text)
    }

    fn context(mut self, context: &str) -> Error {
        self.0.text = format!("{context}: {}", self.0.text);
        self
    }

    fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        if self.0.attempts > 1 {
            write!(f, "; tried {} times", self.0.attempts)?;
        }
        if self.0.may_have_taken_effect {
            f.write_str("; the image may be gone all the same: see whether it is still there")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

// From here on, what a call does: check the names, build the URL, send, sort the answer.

impl Client {
    fn delete_url(&self, registry: &str, image_name: &str) -> Result<String, Error> {
        check_registry(registry)?;
        check_image_name(image_name)?;
        let names = registry.len() + image_name.len();
        let mut url = Vec::with_capacity(self.api_url.url.len() + names + names / 2 + 32);
        url.extend_from_slice(self.api_url.url.as_bytes());
        for segment in ["repositories", registry, image_name] {
            url.push(b'/');
            push_encoded(&mut url, segment);
        }
        if url.len() > MAX_URL {
            return Err(Error::invalid(&format!(
                "the names {} make a URL of {} bytes: the longest is {MAX_URL}",
                printable(&format!("{registry}/{image_name}")),
                url.len()
            )));
        }
        Ok(ascii(url))
    }

    /// Sends requests until one is answered for good, or no time or no attempt is left.
    fn send(&self, mut url: String) -> Result<(), Error> {
        let started = Instant::now();
        let time_left = || self.timeout.saturating_sub(started.elapsed());
        let mut clock_ahead_ms = self.clock_ahead_ms.load(Ordering::Relaxed);
        let mut clock_corrected = false;
        let mut may_have_taken_effect = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let signed = self.sign(url, clock_ahead_ms);
            let outcome = self.attempt(&signed, time_left());
            url = signed.url;
            let kind = outcome.as_ref().err().map(Error::kind);

            let is_signature_accepted = matches!(
                kind,
                None | Some(ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Conflict)
            );
            if clock_corrected && is_signature_accepted {
                self.clock_ahead_ms.store(clock_ahead_ms, Ordering::Relaxed);
            }
            let Err(mut error) = outcome else {
                return Ok(());
            };
            if kind == Some(ErrorKind::NotFound) && may_have_taken_effect {
                return Ok(()); // an earlier attempt got through
            }
            may_have_taken_effect |= error.0.may_have_taken_effect;
            error.0.may_have_taken_effect = may_have_taken_effect;
            error.0.attempts = attempts;

            let measured = error.0.clock_ahead_ms.filter(|measured| {
                !clock_corrected && measured.abs_diff(clock_ahead_ms) > CLOCK_TOLERANCE_MS
            });
            let wait = if let Some(measured) = measured {
                clock_ahead_ms = measured;
                clock_corrected = true;
                Duration::ZERO
            } else if error.0.is_transient {
                error.0.retry_after.unwrap_or_else(|| backoff(attempts))
            } else {
                return Err(error);
            };
            if attempts >= self.max_attempts || wait >= time_left() {
                return Err(error);
            }
            thread::sleep(wait);
        }
    }

    /// Signs for this moment. `url` begins with the API URL.
    fn sign(&self, url: String, clock_ahead_ms: i64) -> SignedRequest {
        let timestamp = now_ms().saturating_add_signed(clock_ahead_ms).to_string();
        let request_target = url.get(self.api_url.path_start..).unwrap_or_default();
        SignedRequest {
            signature: self
                .credentials
                .signature("DELETE", request_target, &timestamp),
            timestamp,
            credentials: self.credentials.clone(),
            url,
        }
    }

    /// Sends one request, which takes at most `time_left`, and sorts the answer.
    fn attempt(&self, signed: &SignedRequest, time_left: Duration) -> Result<(), Error> {
        let own = self.agent.config().timeouts();
        // ureq sends nothing in no time, and cannot count to the end of all times.
        let attempt = own.global.unwrap_or(ATTEMPT_TIMEOUT).min(time_left);
        let attempt = attempt.clamp(Duration::from_millis(1), Duration::from_secs(86_400));
        // The two phases before the request is sent end before the attempt does. So a time-out in
        // one of them is never taken for one of the whole attempt, and tells that nothing was sent.
        let share = attempt * 9 / 20;
        let within = |own: Duration| own.min(attempt);
        let mut config = self
            .agent
            .delete(&signed.url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(attempt))
            .timeout_per_call(own.per_call.map(within))
            .timeout_send_request(own.send_request.map(within))
            .timeout_recv_response(own.recv_response.map(within))
            .timeout_recv_body(own.recv_body.map(within))
            .timeout_resolve(Some(own.resolve.unwrap_or(CONNECT_TIMEOUT).min(share)))
            .timeout_connect(Some(own.connect.unwrap_or(CONNECT_TIMEOUT).min(share)));
        if !self.api_url.is_https() {
            config = config.proxy(None);
        }
        let mut request = config
            .build()
            .header("User-Agent", HeaderValue::from_static(USER_AGENT));
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|error| self.no_answer(error))?;
        let received_ms = now_ms();
        let status = response.status().as_u16();
        let has_framing = [CONTENT_LENGTH, TRANSFER_ENCODING]
            .iter()
            .any(|name| response.headers().contains_key(name));
        let mut body = response.body_mut().as_reader();
        match status {
            204 => Ok(()),
            200..=202 => match body.read(&mut [0]) {
                Ok(0) if has_framing => Ok(()),
                // The end of the connection was the end of the body, or the body was cut there: who
                // can tell (RFC 9112, section 8)? A further attempt can.
                Ok(0) => Err(self.no_answer(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
                Ok(_) => Err(refusal(&response, "", received_ms, signed)),
                Err(error) => Err(self.no_answer(error.into())),
            },
            _ => {
                // A body that breaks off takes nothing from what the status says.
                let (mut buffer, mut filled) = (vec![0; MAX_READ], 0);
                let _ = fill(&mut buffer, &mut filled, &mut body);
                buffer.truncate(filled);
                Err(refusal(
                    &response,
                    &String::from_utf8_lossy(&buffer),
                    received_ms,
                    signed,
                ))
            }
        }
    }

    /// Sorts what ureq reports instead of an answer.
    fn no_answer(&self, error: ureq::Error) -> Error {
        use {ErrorKind as K, ureq::Error as E};
        let cause = match &error {
            E::Io(error) => error.to_string(), // without the word that ureq puts before it
            error => error.to_string(),
        };
        let cause = printable(&cause);
        // What kind it is, whether the request may have been sent, whether it may fare better later.
        let (kind, sent, transient, text) = match &error {
            E::Timeout(Timeout::Resolve | Timeout::Connect) => (
                K::Timeout,
                false,
                true,
                "took no connection in time: check the network",
            ),
            E::Timeout(_) => (
                K::Timeout,
                true,
                true,
                "gave no answer in time: try again, or allow more time",
            ),
            E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => {
                (K::Transport, false, true, UNREACHABLE)
            }
            E::Io(error) if is_unreachable(error) => (K::Transport, false, true, UNREACHABLE),
            E::TlsRequired => (K::Transport, false, false, NO_TLS),
            #[cfg(feature = "native-tls")]
            E::NativeTls(_) if cause.contains("unexpected EOF") => {
                (K::Transport, false, true, UNREACHABLE)
            }
            #[cfg(feature = "native-tls")]
            E::NativeTls(_) | E::Der(_) => (K::Transport, false, false, UNTRUSTED),
            #[cfg(feature = "rustls")]
            E::Rustls(_) => (K::Transport, false, false, UNTRUSTED),
            E::Tls(_) => (K::Transport, false, false, UNTRUSTED),
            // So rustls reports, both before and after the request. Certificates come before; what
            // is no TLS at all may come at any time.
            E::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                let sent = !cause.starts_with("invalid peer certificate");
                (K::Transport, sent, false, UNTRUSTED)
            }
            E::Io(_) => (K::Transport, true, true, "broke the connection: try again"),
            E::Protocol(_) | E::LargeResponseHeader(..) => (
                K::UnexpectedResponse,
                true,
                false,
                "gave an answer that is not HTTP: check the API URL",
            ),
            E::Http(_) | E::BadUri(_) | E::RequireHttpsOnly(_) => (
                K::InvalidInput,
                false,
                false,
                "cannot be sent to as it is: check the API URL and the agent",
            ),
            _ => (
                K::Transport,
                true,
                false,
                "could not be spoken to: check the agent",
            ),
        };
        let mut failure = Error::new(kind, &format!("{} {text} ({cause})", self.api_url.origin()));
        failure.0.may_have_taken_effect = sent;
        failure.0.is_transient = transient;
        failure.caused_by(error)
    }
}

const UNREACHABLE: &str = "cannot be reached: check the network and the API URL";
const UNTRUSTED: &str = "failed to prove by TLS who it is: check host and port of the API URL, and the root certificates";
const NO_TLS: &str = "needs TLS: build with the feature rustls or native-tls";

/// Whether an I/O error comes from looking up the host name or from connecting. A connection that was
/// established reports these kinds only when its retransmissions end, after many minutes (tcp(7),
/// `tcp_retries2`), and no attempt lasts that long.
fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    // The standard library gives failed look-ups a kind that cannot be named.
    let is_lookup = match error.raw_os_error() {
        Some(code) => cfg!(windows) && (11001..=11004).contains(&code), // WSAHOST_NOT_FOUND and on
        None => error.to_string().starts_with("failed to lookup address"),
    };
    is_lookup
        || matches!(
            error.kind(),
            K::ConnectionRefused
                | K::HostUnreachable
                | K::NetworkUnreachable
                | K::NetworkDown
                | K::AddrNotAvailable
        )
}

/// The error for an answer that does not confirm the deletion.
fn refusal(
    response: &Response<ureq::Body>,
    body: &str,
    received_ms: u64,
    signed: &SignedRequest,
) -> Error {
    let status = response.status();
    let said = |text: &str| Some(printable(&signed.redact(text))).filter(|text| !text.is_empty());
    let first = |paths: [&[&str]; 3]| paths.iter().find_map(|path| said(&json_text(body, path)?));
    let code = first([
        &["error", "errorCode"],
        &["responseError", "returnCode"],
        &["returnCode"],
    ]);
    let message = first([
        &["error", "message"],
        &["responseError", "returnMessage"],
        &["returnMessage"],
    ]);
    let header = |name| response.headers().get(name)?.to_str().ok();
    let trace_id = header("x-ncp-trace-id").and_then(said);
    let now_ms = i64::try_from(received_ms).unwrap_or(i64::MAX);
    let service_ms = header("Date").and_then(http_date_ms);
    let retry_after = header("Retry-After").and_then(|value| {
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let wait_ms = http_date_ms(value)?.saturating_sub(service_ms.unwrap_or(now_ms));
        Some(Duration::from_millis(wait_ms.max(0).unsigned_abs()))
    });

    let mut text = format!("the answer was {}", status.as_u16());
    for (before, detail, after) in [
        (" ", status.canonical_reason(), ""),
        (", \"", message.as_deref(), "\""),
        (", code ", code.as_deref(), ""),
        (", trace id ", trace_id.as_deref(), ""),
        (": ", Some(advice(status.as_u16())), ""),
    ] {
        if let Some(detail) = detail {
            text.extend([before, detail, after]);
        }
    }
    let mut error = Error::new(kind(status.as_u16()), &text);
    if error.0.kind == ErrorKind::Unauthorized {
        error.0.clock_ahead_ms = service_ms.map(|service_ms| service_ms.saturating_sub(now_ms));
        error
            .0
            .text
            .extend(error.0.clock_ahead_ms.and_then(clock_hint));
    }
    error.0.status = Some(status.as_u16());
    error.0.retry_after = retry_after;
    error.0.is_transient = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
    error.0.code = code;
    error.0.message = message;
    error.0.trace_id = trace_id;
    error.0.may_have_taken_effect = !status.is_client_error();
    error
}

/// A status of no meaning of its own counts as the first of its class (RFC 9110, section 15).
fn kind(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::UnexpectedResponse,
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed; check the API URL",
        401 => "check the access key, the secret key and this machine's clock",
        403 => "give the account the permission to delete this image",
        404 => "check the registry, the image name and the region",
        408 => "try again",
        409 => "try again when nothing else changes the image",
        429 => "send fewer requests, or ask for a larger quota",
        400..=499 => "check the registry, the image name and the API URL",
        500 => {
            "try again later; the service is also known to answer so for an image that does not exist"
        }
        501..=599 => "try again later",
        _ => "the service confirms no deletion so; see whether a proxy or a login page answered",
    }
}

/// Says so if the two clocks differ too much, as the end of a sentence about this machine's.
fn clock_hint(clock_ahead_ms: i64) -> Option<String> {
    let difference_ms = clock_ahead_ms.unsigned_abs();
    let how = if clock_ahead_ms > 0 {
        "behind"
    } else {
        "ahead of"
    };
    (difference_ms > CLOCK_TOLERANCE_MS)
        .then(|| format!(", which is {} s {how} the service's", difference_ms / 1000))
}

impl SignedRequest {
    /// `text` without what this request identifies itself with, in case a server repeats it.
    fn redact(&self, text: &str) -> String {
        let text = replace(text, &self.signature, "[signature]");
        let access_key = self.credentials.access_key();
        if access_key.len() < 8 {
            return text; // no real one, and likely a part of ordinary words
        }
        replace(&text, access_key, "[access key]")
    }
}

/// As `str::replace` does, in a tenth of its machine code.
fn replace(text: &str, old: &str, new: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    let next = |rest: &str| {
        rest.as_bytes()
            .windows(old.len().max(1))
            .position(|part| part == old.as_bytes())
    };
    while let Some((before, behind)) = next(rest).and_then(|at| rest.split_at_checked(at)) {
        replaced.extend([before, new]);
        rest = behind.get(old.len()..).unwrap_or_default();
    }
    replaced + rest
}

fn check_registry(registry: &str) -> Result<(), Error> {
    if has(registry, b'/') {
        let why = "contains a /: give the registry alone, and what follows it as the image name";
        return Err(refused("registry", registry, why));
    }
    check_name("registry", registry)
}

fn check_image_name(image_name: &str) -> Result<(), Error> {
    let why = if has(image_name, b'@') {
        "contains an @, as before a digest: the whole image would be deleted, with all of its \
         tags; drop the digest if that is meant"
    } else if has(image_name, b':') {
        "contains a :, as before a tag: the whole image would be deleted, with all of its tags; \
         drop the tag if that is meant"
    } else {
        return check_name("image name", image_name);
    };
    Err(refused("image name", image_name, why))
}

/// What holds for a registry and for an image name: nothing that a gateway could read as the path
/// of another resource, such as that of the whole registry.
fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "is empty: give it"
    } else if name.chars().any(char::is_control) {
        "contains a control character: remove it"
    } else if has(name, b'%') {
        "contains a %: pass the name unencoded, it is encoded on the way"
    } else if name.split('/').any(str::is_empty) {
        "begins or ends with a / or has two in a row: remove the one too many"
    } else if name.split('/').any(is_unstable_component) {
        "has the component . or .., which could lead to another resource: remove it"
    } else {
        return Ok(());
    };
    Err(refused(what, name, why))
}

fn has(text: &str, byte: u8) -> bool {
    text.as_bytes().contains(&byte)
}

fn refused(what: &str, name: &str, why: &str) -> Error {
    Error::invalid(&format!("the {what} \"{}\" {why}", printable(name)))
}

/// `text` on one line of a terminal: at most [`MAX_SHOWN`] characters, and those escaped that
/// could break the line, steer the terminal, or change the order in which text is read.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == MAX_SHOWN {
            shown.push('…');
            break;
        }
        let steers = character.is_control()
            || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
            || matches!(character, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
            || matches!(character, '\u{AD}' | '\u{61C}' | '\u{180E}');
        if steers {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The string or number at `path` of a JSON document (RFC 8259), as text; none if the document has
/// no such value, is malformed, or is nested more than [`Json::MAX_DEPTH`] deep.
fn json_text(document: &str, path: &[&str]) -> Option<String> {
    let mut json = Json {
        rest: document.as_bytes(),
        found: None,
    };
    json.value(Some(path), Json::MAX_DEPTH)?;
    json.skip_blanks();
    json.found.filter(|_| json.rest.is_empty())
}

/// Reads a document from front to back and keeps the value at one path.
struct Json<'a> {
    rest: &'a [u8],
    found: Option<String>,
}

impl Json<'_> {
    /// Far more than an error body needs, far less than a thread's stack allows.
    const MAX_DEPTH: u32 = 127;

    /// Reads one value. `path` leads from it to the value to keep, and is none where that cannot be.
    fn value(&mut self, path: Option<&[&str]>, depth_left: u32) -> Option<()> {
        self.skip_blanks();
        let text = match self.rest.first()? {
            b'{' | b'[' => return self.items(path, depth_left.checked_sub(1)?),
            b'"' => Some(self.string()?),
            b'-' | b'0'..=b'9' => Some(self.number()?),
            _ if self.skip("true") || self.skip("false") || self.skip("null") => None,
            _ => return None,
        };
        if path == Some(&[]) {
            self.found = text;
        }
        Some(())
    }

    /// Reads an object or an array.
    fn items(&mut self, path: Option<&[&str]>, depth_left: u32) -> Option<()> {
        let is_object = self.byte()? == b'{';
        let end = if is_object { "}" } else { "]" };
        if self.skip_token(end) {
            return Some(());
        }
        loop {
            let mut path_behind = None;
            if is_object {
                self.skip_blanks();
                let name = self.string()?;
                if !self.skip_token(":") {
                    return None;
                }
                if let Some([_, rest @ ..]) = path.filter(|path| path.first() == Some(&&*name)) {
                    self.found = None; // of two members of the same name, the last counts
                    path_behind = Some(rest);
                }
            }
            self.value(path_behind, depth_left)?;
            if !self.skip_token(",") {
                return self.skip_token(end).then_some(());
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.skip("\"") {
            return None;
        }
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    let character = self.escaped()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1F => return None,
                byte => text.push(byte),
            }
        }
    }

    /// What follows a backslash. Characters beyond U+FFFF are written as two surrogates.
    fn escaped(&mut self) -> Option<char> {
        let unit = match self.byte()? {
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => 0x0A,
            b'r' => 0x0D,
            b't' => 0x09,
            b'u' => self.four_hex_digits()?,
            _ => return None,
        };
        let is_first = (0xD800..0xDC00).contains(&unit);
        let second = if is_first && self.skip("\\u") {
            self.four_hex_digits()?
        } else {
            0
        };
        let units = [unit, second]
            .into_iter()
            .take(if is_first { 2 } else { 1 });
        char::decode_utf16(units).next()?.ok()
    }

    fn four_hex_digits(&mut self) -> Option<u16> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = char::from(self.byte()?).to_digit(16)?;
            value = value * 16 + digit;
        }
        value.try_into().ok()
    }

    fn number(&mut self) -> Option<String> {
        let start = self.rest;
        self.skip("-");
        if !self.skip("0") {
            self.digits()?;
        }
        if self.skip(".") {
            self.digits()?;
        }
        if self.skip("e") || self.skip("E") {
            let _sign = self.skip("+") || self.skip("-");
            self.digits()?;
        }
        String::from_utf8(start.strip_suffix(self.rest)?.to_vec()).ok()
    }

    fn digits(&mut self) -> Option<()> {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.rest = self.rest.get(count..)?;
        (count > 0).then_some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn skip_token(&mut self, token: &str) -> bool {
        self.skip_blanks();
        self.skip(token)
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text.as_bytes());
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// How long to wait before the attempt after the `attempts` made so far: any time up to a bound
/// that doubles, so that clients which failed together do not come back together ("full jitter").
fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let bound_ms = (FIRST_WAIT_MS << doublings).min(LONGEST_WAIT_MS);
    // Each RandomState hashes with keys of its own, which start from the system's random numbers.
    let random = RandomState::new().hash_one(attempts);
    Duration::from_micros(random % (bound_ms * 1000))
}

/// An HTTP date in any of its three forms (RFC 9110, section 5.6.7), as milliseconds since the
/// epoch; none if it is malformed or before the epoch.
fn http_date_ms(text: &str) -> Option<i64> {
    let (day, month, year, time) = if let Some((_, text)) = text.split_once(", ") {
        // 06 Nov 1994 08:49:37 GMT, or 06-Nov-94 08:49:37 GMT
        let (date, time) = text.strip_suffix(" GMT")?.rsplit_once(' ')?;
        (date.get(..2)?, date.get(3..6)?, date.get(7..)?, time)
    } else {
        // Sun Nov  6 08:49:37 1994
        let (text, year) = text.rsplit_once(' ')?;
        let (date, time) = text.rsplit_once(' ')?;
        (date.get(8..)?, date.get(4..7)?, year, time)
    };
    let number = |text: &str, range: RangeInclusive<i64>| {
        text.trim_ascii_start()
            .parse()
            .ok()
            .filter(|number| range.contains(number))
    };
    let day = number(day, 1..=31)?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = match number(year, 0..=9999)? {
        year @ 0..70 => 2000 + year, // two digits
        year @ 70..100 => 1900 + year,
        year => year,
    };
    let hour = number(time.get(..2)?, 0..=23)?;
    let minute = number(time.get(3..5)?, 0..=59)?;
    let second = number(time.get(6..)?, 0..=60)?;

    // Days since the epoch, with years that begin in March so that a leap day is the last.
    let month = i64::try_from(month).ok()? + 10;
    let (year, month) = (year - 1 + month / 12, month % 12);
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let seconds = ((days - 719_469) * 24 + hour) * 3600 + minute * 60 + second;
    (seconds >= 0).then_some(seconds * 1000)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod tests;
