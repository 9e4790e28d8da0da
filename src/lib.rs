#![doc = include_str!("../README.md")]

use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, atomic::AtomicI64, atomic::Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{env, fs::File, iter::once, thread};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::zeroize::Zeroize};
use sha2::Sha256;
use ureq::http::{Response, Uri, Version};

/// The HTTP client beneath this crate, so that a caller can build the [`ureq::Agent`] for
/// [`ClientBuilder::agent`] with the version that this crate uses.
pub use ureq;

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// A greater difference means a wrong clock: it is more than a slow answer can cause, and well
/// inside the 5 minutes that the service allows.
const CLOCK_TOLERANCE_MS: i64 = 60_000;
/// Bytes of an answer's body, or of a key file, that are read: more than either ever needs.
const MAX_READ: usize = 64 * 1024;

/// Deletes images from the registries of one region.
///
/// Cloning is cheap. Clones share the connection pool, and so can threads: one client is enough
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
    api_url: Arc<str>,
    agent: ureq::Agent,
    /// Whether `agent` is the default one in a build without TLS. Such an agent would use the TLS
    /// that another crate of the program switched on in ureq, and panic if that lacks a provider or
    /// roots.
    lacks_tls: bool,
    timeout: Duration,
    max_attempts: u32,
    /// How far the service's clock is ahead of this machine's, as far as is known.
    clock_ahead_ms: Arc<AtomicI64>,
}

impl Client {
    /// A client for `region`, with the defaults of [`ClientBuilder`].
    pub fn new(region: Region, credentials: Credentials) -> Client {
        Client {
            credentials,
            api_url: region.api_url().into(),
            agent: default_agent(),
            lacks_tls: cfg!(not(any(feature = "rustls", feature = "native-tls"))),
            timeout: Duration::from_secs(60),
            max_attempts: 3,
            clock_ahead_ms: Arc::default(),
        }
    }

    /// A client with everything from the environment: the keys from [`Credentials::load`], and the
    /// API URL from `NCR_API_URL`, or else the region from `NCLOUD_REGION` (a code of [`Region`])
    /// and `NCLOUD_SITE` (`public`, `gov` or `fin`; `public` if it is not set).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys, [`ErrorKind::InvalidInput`] for a region that is
    /// missing or unknown, or an API URL that [`ClientBuilder::api_url`] refuses.
    pub fn from_env() -> Result<Client, Error> {
        let credentials = Credentials::load()?;
        let Some(api_url) = variable("NCR_API_URL") else {
            return Ok(Client::new(Region::from_env()?, credentials));
        };
        let builder = Client::builder(Region::Korea, credentials); // whose API URL is replaced
        let client = builder.api_url(&api_url).build();
        client.map_err(|error| error.context("NCR_API_URL:"))
    }

    /// A builder for a client for `region` with settings of its own.
    pub fn builder(region: Region, credentials: Credentials) -> ClientBuilder {
        ClientBuilder(Client::new(region, credentials))
    }

    /// Deletes the image `image_name`, with all of its tags, from `registry`.
    ///
    /// Both names are given as they are (`hello/world`), not percent-encoded. `Ok` means that the
    /// image is gone: the service confirmed the deletion, or it no longer finds the image after a
    /// request whose answer was lost.
    ///
    /// Source: [Delete image](https://api.ncloud-docs.com/docs/en/containerregistry-deleteimage).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that cannot exist, before anything is sent;
    /// [`ErrorKind::NotFound`] if the registry has no such image; any other kind for the refusals
    /// and failures that its documentation describes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// client.delete_image("my-registry", "hello/world")?;
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn delete_image(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        let url = self.image_url(registry, image_name)?;
        self.send(url)
            .map_err(|error| error.context(&format!("cannot delete {registry}/{image_name}:")))
    }

    /// Like [`delete_image`](Client::delete_image), but an image that does not exist is no error:
    /// `true` if it was deleted, `false` if there was none. It is also `true` if the service no
    /// longer finds the image after a request whose answer was lost.
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image); [`ErrorKind::NotFound`] remains only where
    /// an earlier attempt [may have taken effect](Error::may_have_taken_effect) and the answer does
    /// not prove it. The service gives the same answer for a registry that does not exist, so a
    /// misspelt registry is `false` too.
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
            Err(error) if error.kind == ErrorKind::NotFound && !error.sent.in_doubt => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// The request that [`delete_image`](Client::delete_image) would send now, for a dry run.
    /// Sends nothing.
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
        let url = self.image_url(registry, image_name)?;
        Ok(self.sign(url, self.clock_ahead_ms.load(Ordering::Relaxed)))
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.api_url)
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// The agent of a client that was given none. ureq uses rustls unless it is told otherwise.
fn default_agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::NativeTls)
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build(),
    );
    config.build().new_agent()
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
/// let client = Client::builder(Region::GovKorea, Credentials::new("access", "secret")?)
///     .agent(agent)
///     .timeout(Duration::from_secs(20))
///     .max_attempts(1)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder(Client);

impl ClientBuilder {
    /// An API URL instead of the region's: `https`, or `http` to a loopback address or
    /// `localhost`; no user info, query or fragment; a path of unreserved characters (RFC 3986,
    /// section 2.3) without empty or dot segments. A slash at its end makes no difference.
    pub fn api_url(mut self, api_url: &str) -> ClientBuilder {
        self.0.api_url = api_url.into();
        self
    }

    /// An agent to send with, for a proxy, root certificates or timeouts of your own. Default: an
    /// agent that takes the proxy from the environment (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`
    /// and `NO_PROXY`). Whatever the agent says, redirects are not followed, and `http` to loopback
    /// uses no proxy. Its global, resolve and connect timeouts hold where they are shorter than
    /// [this crate's](ClientBuilder::timeout); its other timeouts are kept.
    ///
    /// # Panics
    ///
    /// ureq panics while sending if the agent asks for what ureq was built without, such as a TLS
    /// provider or its roots, or has a timeout of centuries. An agent for the feature `native-tls`
    /// names both the provider and the roots:
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

    /// The time that a call may take, with all its attempts and the waits between them. Default:
    /// 60 seconds, enough for one attempt that hangs and another after it.
    ///
    /// An attempt may take 30 seconds, of which looking up the host may take a quarter, and
    /// connecting, with TLS, another. A look-up that hangs goes on in a thread of its own until the
    /// system gives up (ureq panics if the system gives it no thread). One thing can hold a call
    /// for longer than its time: a proxy that sends its answer to CONNECT byte by byte, which ureq
    /// does not bound.
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.0.timeout = timeout;
        self
    }

    /// How many requests a call may send. Default: 3, so that one lost connection and one restart
    /// of a server go unnoticed. With 1, nothing is repeated: a wrong clock is reported, not
    /// corrected, and an image that somebody pushes again meanwhile is not deleted twice.
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
            return Err(Error::invalid("timeout and max_attempts must not be zero"));
        }
        client.api_url = check_api_url(&client.api_url)?;
        client.clock_ahead_ms = Arc::default(); // not that of a client from a clone of this builder
        Ok(client)
    }
}

impl Debug for ClientBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive() // its API URL may hold a password
    }
}

/// A request, signed and not sent: what [`Client::sign_delete_image`] returns.
#[derive(Clone)]
pub struct SignedRequest {
    url: String,
    timestamp_ms: i64,
    headers: [(&'static str, String); 3],
}

impl SignedRequest {
    /// The method.
    pub fn method(&self) -> &'static str {
        "DELETE"
    }

    /// The URL, percent-encoded.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers that the service requires, as name and value. The signature, which is one of
    /// them, is valid for 5 minutes.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let signed = self.headers.iter().map(|(name, value)| (*name, &**value));
        once(("Content-Type", "application/json")).chain(signed)
    }
}

impl Debug for SignedRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SignedRequest");
        shown.field("url", &self.url).finish_non_exhaustive()
    }
}

/// The regions of the service, on the vendor's three sites.
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
    /// Korea south, for government: site `gov`, code `KRS`.
    GovKoreaSouth,
    /// Korea, for finance: site `fin`, code `FKR`.
    FinKorea,
}

impl Region {
    /// The API URL of the region, without a slash at its end.
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

    fn from_env() -> Result<Region, Error> {
        let site = variable("NCLOUD_SITE").unwrap_or("public".to_owned());
        let region = variable("NCLOUD_REGION").unwrap_or_default();
        match (site.as_str(), region.as_str()) {
            ("public", "KR") => Ok(Region::Korea),
            ("public", "SGN") => Ok(Region::Singapore),
            ("public", "JPN") => Ok(Region::Japan),
            ("gov", "KR") => Ok(Region::GovKorea),
            ("gov", "KRS") => Ok(Region::GovKoreaSouth),
            ("fin", "FKR") => Ok(Region::FinKorea),
            _ => Err(Error::invalid(format!(
                "no region {region:?} on the site {site:?}: set NCLOUD_REGION to KR, SGN or JPN \
                 (NCLOUD_SITE public, the default), KR or KRS (gov) or FKR (fin)"
            ))),
        }
    }
}

/// A variable of the environment. What is not Unicode becomes U+FFFD, which every caller refuses.
fn variable(name: &str) -> Option<String> {
    Some(env::var_os(name)?.to_string_lossy().into_owned())
}

/// An access key and a secret key, which sign requests.
///
/// The secret key is kept as HMAC state only, which is wiped from memory when the last clone is
/// dropped.
#[derive(Clone)]
pub struct Credentials {
    access_key: Arc<str>,
    hmac: Arc<Hmac<Sha256>>,
}

/// In the order in which the vendor's SDK for Go looks for them.
const ACCESS_KEY_VARIABLES: [&str; 2] = ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"];
const SECRET_KEY_VARIABLES: [&str; 2] = ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"];
const SET_BOTH_KEYS: &str = "set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";

impl Credentials {
    /// Credentials from the two keys themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is empty, is longer than 4096 bytes, begins or ends with
    /// a blank or a line break, or contains a control character or U+FFFD, or if the access key is
    /// not ASCII.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Credentials, Error> {
        // What a header can carry, and text. What a valid key looks like is for the service to say.
        check_key("access key", access_key, |c| matches!(c, ' '..='~'))?;
        let is_text = |c: char| !c.is_control() && c != char::REPLACEMENT_CHARACTER;
        check_key("secret key", secret_key, is_text)?;
        // HMAC takes any length, but the type does not say so.
        let hmac = Hmac::new_from_slice(secret_key.as_bytes())
            .map_err(|_| Error::credentials("the secret key has a length that HMAC cannot use"))?;
        Ok(Credentials {
            access_key: access_key.into(),
            hmac: Arc::new(hmac),
        })
    }

    /// Credentials from the environment: the access key from `NCLOUD_ACCESS_KEY_ID` or else
    /// `NCLOUD_ACCESS_KEY`, the secret key from `NCLOUD_SECRET_ACCESS_KEY` or else
    /// `NCLOUD_SECRET_KEY`. Of two names, the first that is not empty counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is missing, empty, not Unicode, or refused by
    /// [`new`](Credentials::new).
    pub fn from_env() -> Result<Credentials, Error> {
        let key = |what, names: [&str; 2]| {
            let mut values = names.into_iter().filter_map(variable);
            values.find(|value| !value.is_empty()).ok_or_else(|| {
                let text = format!("the {what} key is not set, or empty: {SET_BOTH_KEYS}");
                Error::credentials(text)
            })
        };
        let access_key = key("access", ACCESS_KEY_VARIABLES)?;
        Credentials::new(&access_key, &key("secret", SECRET_KEY_VARIABLES)?)
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
    /// Only keys above the first section header or under `[DEFAULT]` (in any case) are used, never
    /// those of another section. Blanks around a value are dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if the file cannot be read, is no regular file, is longer than
    /// 64 KiB or is not UTF-8, if it lacks a key or gives one twice, or if
    /// [`new`](Credentials::new) refuses one.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Credentials, Error> {
        let path = path.as_ref();
        let context = format!("the key file {}:", printable(&path.to_string_lossy()));
        let mut key_file = read_key_file(path)
            .map_err(|error| Error::credentials(format!("{context} {error}")).caused_by(error))?;
        let credentials = keys_in(&key_file);
        // The file's text would stay in freed memory. (That of the environment cannot be wiped.)
        key_file.as_mut_slice().zeroize();
        credentials.map_err(|error| error.context(&context))
    }

    /// Credentials from where users of this platform keep them: the environment, as
    /// [`from_env`](Credentials::from_env) reads it, if any of its four variables is set, even to
    /// nothing; otherwise the file `.ncloud/configure` in the home directory (`HOME`, on Windows
    /// `USERPROFILE`), as [`from_file`](Credentials::from_file) reads it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] as for these two.
    pub fn load() -> Result<Credentials, Error> {
        let mut variables = ACCESS_KEY_VARIABLES.iter().chain(&SECRET_KEY_VARIABLES);
        let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        match home.filter(|home| !home.is_empty()) {
            Some(home) if variables.all(|name| env::var_os(name).is_none()) => {
                let path = PathBuf::from(home).join(".ncloud").join("configure");
                let context = format!("no keys in the environment: {SET_BOTH_KEYS}, or correct");
                Credentials::from_file(path).map_err(|error| error.context(&context))
            }
            _ => Credentials::from_env(),
        }
    }

    /// The access key, which names the account; it is not secret.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Signature v2 of a request to any NAVER Cloud Platform API: HMAC-SHA256 over method, request
    /// target, timestamp and access key, in Base64.
    ///
    /// `request_target` is the path with its query, percent-encoded, exactly as it will stand on
    /// the request line. `timestamp_ms` is the value of the header `x-ncp-apigw-timestamp`:
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
        let access_key = &self.access_key;
        let message = format!("{method} {request_target}\n{timestamp_ms}\n{access_key}");
        let mut hmac = Hmac::clone(&self.hmac);
        hmac.update(message.as_bytes());
        BASE64_STANDARD.encode(hmac.finalize().into_bytes())
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

fn check_key(name: &str, key: &str, is_usable: impl Fn(char) -> bool) -> Result<(), Error> {
    if !key.is_empty() && key.len() <= 4096 && key == key.trim() && key.chars().all(is_usable) {
        return Ok(());
    }
    let text = format!(
        "the {name} must be plain text of 1 to 4096 bytes, with no blanks around it: copy it again"
    );
    Err(Error::credentials(text))
}

/// Reads into a buffer that does not grow, since that would leave copies of a secret behind.
fn read_key_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait until somebody writes to it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::with_capacity(MAX_READ + 1);
    let mut file = File::open(path)?.take(MAX_READ as u64 + 1);
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn keys_in(content: &[u8]) -> Result<Credentials, Error> {
    let text = std::str::from_utf8(content)
        .ok()
        .filter(|text| text.len() <= MAX_READ);
    let text = text.ok_or_else(|| Error::credentials("not UTF-8 text of at most 64 KiB"))?;
    let access_key = key_in(text, "ncloud_access_key_id")?;
    Credentials::new(access_key, key_in(text, "ncloud_secret_access_key")?)
}

/// The value of one key in the default section of a key file.
fn key_in<'a>(text: &'a str, name: &str) -> Result<&'a str, Error> {
    let mut section = "DEFAULT"; // of the line at hand
    // What may look like the end of a line, or like its beginning, must not hide a header.
    let lines = text.split(|c| matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
    let values = lines.filter_map(|line| {
        let line = line.trim_start_matches(|c: char| !c.is_ascii_graphic());
        if let Some(header) = line.strip_prefix('[') {
            // One that is not closed opens a section without a name.
            let (header, _) = header.split_once(']').unwrap_or_default();
            section = header.trim_ascii();
        }
        let (key, value) = line.split_once('=')?;
        (key.trim_ascii() == name).then_some((section, value.trim_ascii()))
    });
    let (values, elsewhere): (Vec<_>, Vec<_>) =
        values.partition(|(section, _)| section.eq_ignore_ascii_case("DEFAULT"));
    let why = match (&*values, &*elsewhere) {
        ([(_, value)], _) if !value.is_empty() => return Ok(value),
        ([_, _, ..], _) => "is given twice in the default section: keep one of them".to_owned(),
        (_, [(found, _), ..]) => format!("of section {found:?} is not used: move it to [DEFAULT]"),
        _ => "is missing or empty: add it to [DEFAULT]".to_owned(),
    };
    Err(Error::credentials(format!("{name} {why}")))
}

/// One path segment, percent-encoded: the unreserved characters `A-Z a-z 0-9 - . _ ~` are kept,
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
        if is_unreserved(byte.into()) {
            encoded.push(byte.into());
        } else {
            encoded.push('%');
            encoded.push(digit(byte >> 4));
            encoded.push(digit(byte & 0x0F));
        }
    }
    encoded
}

fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}

/// Why a call failed: what was wrong, with which value, and what to do about it, in one line.
///
/// It contains no secret key, and a signature that a server repeats is taken out. What a server said
/// is cut and escaped, so that it is safe to show on a terminal.
pub struct Error {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    sent: Box<Sent>,
}

/// What is known once something was sent.
#[derive(Default)]
struct Sent {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    trace_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    in_doubt: bool,
    /// Whether the same request may fare better later.
    is_transient: bool,
    /// Whether the service itself said that there is no such image.
    proves_absence: bool,
    /// How far the service's clock is ahead: of the signed timestamp, as long as a call goes on,
    /// and of this machine's clock in the error of a 401 that it may explain.
    clock_ahead_ms: i64,
}

/// What went wrong, as far as a program needs to tell, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name, an API URL, a setting or an agent cannot be used; nothing was sent. The text says
    /// what to change.
    InvalidInput,
    /// Keys are missing, unreadable or unusable; nothing was sent. The text says which, and where
    /// they belong.
    Credentials,
    /// 400, or a 4xx status without a kind of its own: the service did not understand the request.
    /// What to do: check the registry, the image name and the API URL.
    BadRequest,
    /// 401: the service did not accept the keys, the signature or its timestamp.
    /// What to do: check the access key, the secret key and this machine's clock.
    Unauthorized,
    /// 403: the account may not delete this image.
    /// What to do: give the account permission to delete images in this registry.
    Forbidden,
    /// 404 from the service, or an empty 404, which may also come from something in between: there
    /// is no such registry or image.
    /// What to do: check the registry, the image name and the region.
    NotFound,
    /// 409: something else was changing the image.
    /// What to do: try again when nothing else is changing the image.
    Conflict,
    /// 429: too many requests, or a quota is used up; see [`Error::retry_after`].
    /// What to do: send fewer requests, or ask for a larger quota.
    RateLimited,
    /// 5xx: the service or its gateway failed.
    /// What to do: try again later; a 500 can also mean that there is no such image.
    Server,
    /// An answer that the service does not give: a redirect, a success status that confirms
    /// nothing, a 404 page of something in between, or one for an unknown URL, something that is
    /// not HTTP.
    /// What to do: check the API URL, and for a proxy or a login page.
    UnexpectedResponse,
    /// No answer in time, or 408.
    /// What to do: try again, or allow more time.
    Timeout,
    /// No connection, a lost connection, or a certificate that is not trusted.
    /// What to do: check the network, the proxy, the API URL and root certificates.
    Transport,
}

impl ErrorKind {
    /// What to do, as the end of a line, where the text of the error does not say it.
    fn advice(self) -> &'static str {
        match self {
            Self::InvalidInput | Self::Credentials => "",
            Self::BadRequest => ": check the registry, the image name and the API URL",
            Self::Unauthorized => ": check the access key, the secret key and this machine's clock",
            Self::Forbidden => ": give the account permission to delete images in this registry",
            Self::NotFound => ": check the registry, the image name and the region",
            Self::Conflict => ": try again when nothing else is changing the image",
            Self::RateLimited => ": send fewer requests, or ask for a larger quota",
            Self::Server => ": try again later; a 500 can also mean that there is no such image",
            Self::UnexpectedResponse => ": check the API URL, and for a proxy or a login page",
            Self::Timeout => ": try again, or allow more time",
            Self::Transport => ": check the network, the proxy, the API URL and root certificates",
        }
    }
}

impl Error {
    /// What went wrong, as far as a program needs to tell.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status of the last answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.sent.status
    }

    /// The gateway's or the service's own code for the error, from the body of the answer.
    pub fn code(&self) -> Option<&str> {
        self.sent.code.as_deref()
    }

    /// The gateway's or the service's own words, from the body of the answer: cut after 256
    /// characters, with those escaped that could steer a terminal.
    pub fn message(&self) -> Option<&str> {
        self.sent.message.as_deref()
    }

    /// The gateway's name for the request, from the header `x-ncp-trace-id`: what the vendor's
    /// support will ask for.
    pub fn trace_id(&self) -> Option<&str> {
        self.sent.trace_id.as_deref()
    }

    /// How long the service asked to wait before the next request (RFC 9110, section 10.2.3), at
    /// most `u32::MAX` seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.sent.retry_after
    }

    /// How many requests were sent, or attempted.
    pub fn attempts(&self) -> u32 {
        self.sent.attempts
    }

    /// Whether the image may have been deleted anyway: a request may have reached the service, and
    /// no answer told how it ended. Check whether the image still exists.
    pub fn may_have_taken_effect(&self) -> bool {
        self.sent.in_doubt
    }

    fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error {
            kind,
            text: text.into(),
            source: None,
            sent: Box::default(),
        }
    }

    fn invalid(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, text)
    }

    fn credentials(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::Credentials, text)
    }

    /// Whether the service looked beyond the signature, as it does not for a 400 or a 500.
    fn proves_signature(&self) -> bool {
        self.sent.proves_absence || matches!(self.status(), Some(403 | 409))
    }

    fn context(mut self, context: &str) -> Error {
        self.text = format!("{context} {}", self.text);
        self
    }

    fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.source = Some(Box::new(source));
        self
    }
}

/// The same text, since that is what a `main` that returns an error prints.
impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        let message = self.message().map(|message| format!(", \"{message}\""));
        let code = self.code().map(|code| format!(", code {code}"));
        let trace_id = self.trace_id().map(|id| format!(", trace id {id}"));
        for said in [message, code, trace_id].into_iter().flatten() {
            f.write_str(&said)?;
        }
        f.write_str(self.kind().advice())?;
        let ahead_s = self.sent.clock_ahead_ms / 1000;
        if self.kind() == ErrorKind::Unauthorized && ahead_s != 0 {
            let side = if ahead_s > 0 { "behind" } else { "ahead of" };
            // The advice ends with this machine's clock.
            write!(f, ", which is {} s {side} the service's", ahead_s.abs())?;
        }
        if self.attempts() > 1 {
            write!(f, "; tried {} times", self.attempts())?;
        }
        if self.may_have_taken_effect() {
            f.write_str("; the image may have been deleted anyway: check whether it still exists")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

// What is refused, before anything is sent.

/// Allows names that can exist: one label of a host name for a registry (RFC 1035, section 2.3.4),
/// and little more than what the Docker Registry v2 specification allows for an image, which its
/// clients limit to 255 bytes. Any other could be read as another resource on the way, such as the
/// registry.
fn check_names(registry: &str, image_name: &str) -> Result<(), Error> {
    let is_registry_wrong = registry.len() > 63 || !is_name(registry, "-");
    let mut components = image_name.split('/');
    let (what, name) = if is_registry_wrong {
        ("registry", registry)
    } else if image_name.len() > 255 || !components.all(|part| is_name(part, "._-")) {
        ("image name", image_name)
    } else {
        return Ok(());
    };
    let why = if name.contains('%') {
        "contains a %: give it as it is, without percent-encoding"
    } else if is_registry_wrong && name.contains(['.', '/', ':', '@']) {
        "must be the name alone, such as my-registry, without host or image"
    } else if name.contains('@') {
        "contains a digest, but all of the image would be deleted: drop the digest if you want that"
    } else if name.contains(':') {
        "contains a tag (or a host), but all tags would be deleted: drop it if you want that"
    } else if name.contains(char::is_uppercase) {
        "contains an upper-case letter: use lower case"
    } else if is_registry_wrong {
        "must be 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends"
    } else {
        "must be parts of a-z, 0-9 and . _ - (not at their ends), joined by /, of 255 bytes at most"
    };
    let name = printable(name);
    Err(Error::invalid(format!("the {what} \"{name}\" {why}")))
}

fn is_name(text: &str, separators: &str) -> bool {
    let is_alphanumeric = |c| matches!(c, 'a'..='z' | '0'..='9');
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && !text.contains(|c| !is_alphanumeric(c) && !separators.contains(c))
}

fn check_api_url(api_url: &str) -> Result<Arc<str>, Error> {
    safe_api_url(api_url).map(Arc::from).ok_or_else(|| {
        // What comes before an @ or after a ? may be secret.
        let may_be_secret = api_url.contains(['@', '?', '#']);
        let shown = printable(if may_be_secret { "..." } else { api_url });
        Error::invalid(format!(
            "the API URL \"{shown}\" cannot be used: use https (http for loopback only), no user \
             info, query or fragment, and a path of letters, digits, - . _ ~ and single /"
        ))
    })
}

/// The API URL without a slash at its end, if it is safe to send a signature to.
fn safe_api_url(api_url: &str) -> Option<String> {
    let uri: Uri = api_url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port_u16().map(|port| format!(":{port}"));
    let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
    // User info, query, fragment and an odd port do not survive this.
    let rebuilt = format!("{scheme}://{host}{}{path}", port.unwrap_or_default());
    let is_same = rebuilt.eq_ignore_ascii_case(api_url.strip_suffix('/').unwrap_or(api_url));

    let is_loopback = host.eq_ignore_ascii_case("localhost") // RFC 6761, section 6.3
        || format!("{host}:0").parse().is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    let is_confidential = scheme == "https" || (scheme == "http" && is_loopback);
    // RFC 3986, section 5.2.4: what could be resolved to another path, or be read as one.
    let is_plain =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_unreserved);
    let is_plain_path = path.split('/').skip(1).all(is_plain);
    (is_same && !host.is_empty() && is_confidential && is_plain_path).then_some(rebuilt)
}

// How a request is built, signed and sent.

impl Client {
    fn image_url(&self, registry: &str, image_name: &str) -> Result<String, Error> {
        check_names(registry, image_name)?;
        let (api_url, image_name) = (&self.api_url, percent_encode(image_name));
        Ok(format!("{api_url}/repositories/{registry}/{image_name}"))
    }

    /// Sends requests until one is answered for good, or no time or no attempt is left.
    fn send(&self, mut url: String) -> Result<(), Error> {
        if self.lacks_tls && url.starts_with("https:") {
            let text = "built without TLS: enable the feature rustls or native-tls";
            return Err(Error::invalid(text));
        }
        let started = Instant::now();
        let time_left = || self.timeout.saturating_sub(started.elapsed());
        let mut clock_ahead_ms = self.clock_ahead_ms.load(Ordering::Relaxed);
        let mut clock_corrected = false;
        let mut in_doubt = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let signed = self.sign(url, clock_ahead_ms);
            // In less time than this, nobody could tell where it ended.
            let outcome = self.attempt(&signed, time_left().max(Duration::from_millis(10)));
            url = signed.url;
            if clock_corrected && outcome.as_ref().err().is_none_or(Error::proves_signature) {
                self.clock_ahead_ms.store(clock_ahead_ms, Ordering::Relaxed);
            }
            let Err(mut error) = outcome else {
                return Ok(());
            };
            let sent = &mut *error.sent;
            if in_doubt && sent.proves_absence {
                return Ok(()); // an earlier attempt deleted it
            }
            in_doubt |= sent.in_doubt;
            (sent.in_doubt, sent.attempts) = (in_doubt, attempts);
            let wait = backoff(attempts).max(sent.retry_after.unwrap_or_default());
            if error.kind == ErrorKind::Unauthorized {
                // The clock may be the reason: try once with the service's.
                let is_clock_wrong = sent.clock_ahead_ms.abs() > CLOCK_TOLERANCE_MS;
                sent.is_transient = is_clock_wrong && !clock_corrected;
                clock_corrected |= is_clock_wrong;
                clock_ahead_ms += sent.clock_ahead_ms;
                sent.clock_ahead_ms = if clock_corrected { clock_ahead_ms } else { 0 };
            }
            if !sent.is_transient || attempts >= self.max_attempts || wait >= time_left() {
                return Err(error);
            }
            thread::sleep(wait);
        }
    }

    /// Signs a request for this moment.
    fn sign(&self, url: String, clock_ahead_ms: i64) -> SignedRequest {
        let timestamp_ms = now_ms() + clock_ahead_ms;
        let timestamp = u64::try_from(timestamp_ms).unwrap_or_default();
        // The third slash comes after the scheme's two and the host.
        let path_start = url.match_indices('/').nth(2).map_or(0, |(i, _)| i);
        let request_target = url.get(path_start..).unwrap_or_default();
        let access_key = self.credentials.access_key().to_owned();
        let signature = self.credentials.sign("DELETE", request_target, timestamp);
        SignedRequest {
            url,
            timestamp_ms,
            headers: [
                ("x-ncp-apigw-timestamp", timestamp.to_string()),
                ("x-ncp-iam-access-key", access_key),
                ("x-ncp-apigw-signature-v2", signature),
            ],
        }
    }

    /// Sends one request, which takes at most `time_left`, and sorts the answer.
    fn attempt(&self, signed: &SignedRequest, time_left: Duration) -> Result<(), Error> {
        let own = self.agent.config().timeouts();
        let shorter = |own: Option<Duration>, limit| own.map_or(limit, |own| own.min(limit));
        let timeout = shorter(own.global, Duration::from_secs(30)).min(time_left);
        // What comes before the request ends before the attempt does, even behind a proxy, which is
        // looked up, connected to and waited for. So a timeout there tells that nothing was sent.
        let share = timeout / 4;
        let mut config = self
            .agent
            .delete(&signed.url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(shorter(own.resolve, share)))
            .timeout_connect(Some(shorter(own.connect, share)));
        if signed.url.starts_with("http:") {
            config = config.proxy(None);
        }
        let mut request = config.build().header("User-Agent", USER_AGENT);
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        let started = Instant::now();
        let mut response = request
            .call()
            .map_err(|error| no_answer(&self.api_url, error, started.elapsed()))?;
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader().take(MAX_READ as u64 + 1);
        let was_cut = reader.read_to_end(&mut body).is_err();
        sort_answer(&response, &body, was_cut, signed)
    }
}

/// How long to wait after the given number of attempts: any time up to a bound that doubles, so
/// that clients which failed together do not come back together ("full jitter").
fn backoff(attempts: u32) -> Duration {
    let bound_ms = (100_u64 << attempts.min(6)).min(5_000);
    // Each RandomState hashes with keys of its own, which start from the system's random numbers.
    let random = RandomState::new().hash_one(attempts);
    Duration::from_micros(random % (bound_ms * 1000))
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or_default()
}

// How an answer is sorted, or what there is instead of one.

/// Sorts what ureq reports instead of an answer, the given time after the attempt's start.
fn no_answer(api_url: &str, error: ureq::Error, elapsed: Duration) -> Error {
    use {ErrorKind as K, io::ErrorKind::InvalidData, ureq::Error as E, ureq::Timeout as T};
    let cause = printable(error.to_string().trim_start_matches("io: "));
    let is_certificate = cause.starts_with("invalid peer certificate");
    let is_native_tls = cause.starts_with("native-tls: ");
    let (kind, may_be_sent, is_transient) = match &error {
        E::Timeout(T::Resolve | T::Connect) => (K::Timeout, false, true),
        E::Timeout(_) => (K::Timeout, true, true),
        E::HostNotFound | E::ConnectProxyFailed(_) => (K::Transport, false, true),
        E::Io(error) if is_from_connecting(error, elapsed) => (K::Transport, false, true),
        // rustls reports two things like this: a certificate that is not trusted, before the
        // request, and bytes that are not TLS, at any time.
        E::Io(error) if error.kind() == InvalidData => (K::Transport, !is_certificate, false),
        E::Io(_) => (K::Transport, true, true),
        E::Protocol(_) | E::LargeResponseHeader(..) => (K::UnexpectedResponse, true, true),
        E::RequireHttpsOnly(_) | E::Tls(_) | E::TlsRequired => (K::InvalidInput, false, false),
        // Its variant exists only if ureq has this library, which another crate may have brought.
        _ if is_native_tls => (K::Transport, false, cause.contains("unexpected EOF")),
        _ => (K::Transport, true, false),
    };
    let mut failure = Error::new(kind, format!("no answer from {api_url} ({cause})"));
    (failure.sent.in_doubt, failure.sent.is_transient) = (may_be_sent, is_transient);
    failure.caused_by(error)
}

/// Whether an I/O error comes from looking up the host or connecting. An established connection
/// reports the same kinds on Linux, but not before it has retransmitted (tcp(7), `tcp_retries2`).
fn is_from_connecting(error: &io::Error, elapsed: Duration) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied};
    let is_lookup = error.to_string().starts_with("failed to lookup address");
    match error.kind() {
        ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied => {
            elapsed < Duration::from_millis(200)
        }
        // The standard library gives a failed look-up a kind that cannot be named. The codes are
        // those of Windows, from WSAHOST_NOT_FOUND on.
        _ => is_lookup || matches!(error.raw_os_error(), Some(11001..=11004)),
    }
}

/// Success is 204, or a 200 or 201 (of the vendor's list of common statuses) that states to be
/// empty.
fn sort_answer(
    response: &Response<ureq::Body>,
    body: &[u8],
    was_cut: bool,
    signed: &SignedRequest,
) -> Result<(), Error> {
    let (status, headers) = (response.status(), response.headers());
    let coding = headers.get("Transfer-Encoding");
    let says_empty = coding.is_none() && headers.get("Content-Length").is_some_and(|l| l == "0");
    if status == 204 || (matches!(status.as_u16(), 200 | 201) && says_empty) {
        return Ok(());
    }
    // A 404 is the service's if it is whole JSON, and may be if it is whole and empty. A connection
    // may have cut what has neither length nor chunks (RFC 9112, section 8), but no JSON object.
    let is_whole = !was_cut && body.len() <= MAX_READ;
    let chunked = coding.is_some_and(|c| c == "chunked") && response.version() == Version::HTTP_11;
    let is_empty = is_whole && body.is_empty() && (says_empty || chunked);

    let body = String::from_utf8_lossy(body);
    let header = |name| headers.get(name)?.to_str().ok();
    let said = |text: &String| redact(text, signed);
    let codes = ["errorCode", "returnCode"].map(|name| json_member(&body, name));
    let messages = ["message", "returnMessage"].map(|name| json_member(&body, name));
    // With code 300 the gateway says that it does not know the URL.
    let knows_url = !codes.iter().flatten().any(|code| code.trim() == "300");
    let is_json = is_whole && is_json_object(&body) && knows_url;
    let kind = kind_of(status.as_u16(), is_empty || is_json);
    let date_ms = header("Date").and_then(http_date_ms);
    let cut_success = status.is_success() && was_cut;
    let mut error = Error::new(kind, format!("the answer was {status}"));
    *error.sent = Sent {
        status: Some(status.as_u16()),
        code: codes.iter().flatten().next().map(said),
        message: messages.iter().flatten().next().map(said),
        trace_id: header("x-ncp-trace-id").map(|id| redact(id, signed)),
        retry_after: header("Retry-After").and_then(|value| retry_after(value, date_ms)),
        in_doubt: !status.is_client_error() || status == 408,
        is_transient: cut_success || matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
        proves_absence: kind == ErrorKind::NotFound && is_json,
        clock_ahead_ms: date_ms.map_or(0, |date_ms| date_ms - signed.timestamp_ms),
        ..Sent::default()
    };
    Err(error)
}

/// A status without a meaning of its own counts as the first of its class (RFC 9110, section 15).
fn kind_of(status: u16, may_be_of_the_service: bool) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 if may_be_of_the_service => ErrorKind::NotFound,
        404 => ErrorKind::UnexpectedResponse,
        408 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadRequest,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::UnexpectedResponse,
    }
}

// How text is read and shown.

/// Seconds, or an HTTP date, which is read by the server's clock (RFC 9110, section 10.2.3).
fn retry_after(value: &str, date_ms: Option<i64>) -> Option<Duration> {
    let seconds = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().unwrap_or(u32::MAX)
    } else {
        let wait_ms = http_date_ms(value)? - date_ms.unwrap_or_else(now_ms);
        u32::try_from((wait_ms.max(0) + 999) / 1000).unwrap_or(u32::MAX)
    };
    Some(Duration::from_secs(seconds.into()))
}

/// A date in the form that senders use (RFC 9110, section 5.6.7), in milliseconds since the epoch.
fn http_date_ms(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = *parts else {
        return None;
    };
    let number = |text: &str| text.parse::<u16>().ok().map(i64::from);
    let (day, year) = (number(day)?, number(year)?);
    let seconds = (number(hour)? * 60 + number(minute)?) * 60 + number(second)?;
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(' ');
    let (month, _) = (10..).zip(months).find(|(_, name)| *name == month)?;
    // Years are counted from March of the year 0, so that a leap day is the last.
    let (year, month) = (year - 1 + month / 12, month % 12);
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some(((days - 719_469) * 86_400 + seconds) * 1000)
}

/// Whether `text` looks like a JSON object whose end is not cut off, as then fewer braces close
/// than open.
fn is_json_object(text: &str) -> bool {
    let unescaped = text.replace(r"\\", "").replace(r#"\""#, "");
    let outside_strings: String = unescaped.split('"').step_by(2).collect();
    let count = |brace| outside_strings.matches(brace).count();
    let text = text.trim_ascii();
    let inside = text.strip_prefix('{').map(str::trim_ascii_start);
    let is_object = inside.is_some_and(|inside| inside.starts_with(['"', '}']));
    is_object && text.ends_with('}') && count('{') == count('}')
}

/// The string or number of the first member `name` of a JSON text (RFC 8259). In a string every
/// quotation mark is escaped, so the name in quotation marks and a colon can only be a member.
fn json_member(json: &str, name: &str) -> Option<String> {
    let quoted = format!("\"{name}\"");
    json.match_indices(&quoted).find_map(|(at, _)| {
        let after = json.get(at + quoted.len()..)?.trim_ascii_start();
        let value = after.strip_prefix(':')?.trim_ascii_start();
        let text = match value.strip_prefix('"') {
            Some(string) => json_string(string),
            None => value.chars().take_while(char::is_ascii_digit).collect(),
        };
        (!text.is_empty()).then_some(text)
    })
}

/// A JSON string, from after its first quotation mark to its last, or to where the text was cut.
fn json_string(text: &str) -> String {
    let mut units = Vec::new(); // UTF-16, as in the escapes of characters beyond U+FFFF
    let mut characters = text.chars();
    while let Some(mut character) = characters.next().filter(|character| *character != '"') {
        if character == '\\' {
            character = match characters.next() {
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).collect();
                    units.extend(u16::from_str_radix(&digits, 16));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                escaped => escaped.unwrap_or(character),
            };
        }
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

/// What a server says, fit to be shown, and without what identified the request.
fn redact(text: &str, signed: &SignedRequest) -> String {
    let [.., (_, access_key), (_, signature)] = &signed.headers;
    // The padding is often lost. The access key is no secret, but logs need not have it.
    let text = text.replace(signature, "[signature]");
    let text = text.replace(signature.trim_end_matches('='), "[signature]");
    printable(&text.replace(access_key, "[access key]"))
}

/// `text` on one line of a terminal: at most 256 characters, and those escaped that could
/// break the line, steer the terminal, or change the order in which text is read.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(256).collect();
    let end = if shown.len() < text.len() { "…" } else { "" };
    let escaped = shown.escape_debug().to_string() + end;
    let escaped = escaped.replace(r"\'", "'").replace(r#"\""#, "\"");
    escaped.replace(r"\\", r"\")
}

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod tests;
