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
use ureq::http::{self, HeaderValue, Method, Request, Response, Uri, Version};

/// The HTTP client beneath this crate, so that a caller can build the [`ureq::Agent`] for
/// [`ClientBuilder::agent`], and send a signed [`ureq::http::Request`], with the version that this
/// crate uses.
pub use ureq;

/// More than a call needs, and less than the centuries on which ureq panics.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
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
    /// Whether `agent` is the default one of a build without TLS. Over https it would use the TLS
    /// that another crate of the program switched on in ureq, and panic if that is incomplete.
    lacks_tls: bool,
    timeout: Duration,
    max_attempts: u32,
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
        }
    }

    /// A client configured from the environment, as by [`ClientBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// As for [`ClientBuilder::from_env`].
    pub fn from_env() -> Result<Client, Error> {
        ClientBuilder::from_env()?.build()
    }

    /// A builder for a client with other settings. `api_url` is a [`Region`], or an API URL with
    /// its path, such as `https://ncr.apigw.ntruss.com/ncr/api/v2`. Some of the vendor's pages call
    /// the bare host the API URL; with that, the service knows none of the paths.
    ///
    /// A URL must be `https`, or `http` to a loopback address or `localhost`, and must have no user
    /// info, query or fragment. Its path may have unreserved characters only ([RFC 3986], section
    /// 2.3), and no empty or dot segments. A trailing slash makes no difference.
    /// [`build`](ClientBuilder::build) refuses any other.
    ///
    /// [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986
    ///
    /// # Examples
    ///
    /// A loopback listener can stand in for the service in a test of your own program. (Give
    /// another answer than this a `Content-Length`.)
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
            api_url: api_url.as_ref().into(),
            ..Client::new(Region::Korea, credentials)
        })
    }

    /// Deletes the image `image_name`, with all of its tags, from `registry`.
    ///
    /// Both names are passed unencoded (`hello/world`). `Ok` means that the image is gone: the
    /// service confirmed the deletion (204, or 200 or 201 with `Content-Length: 0`), or it no
    /// longer finds the image after an attempt whose outcome is unknown.
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
        self.send(registry, image_name)
    }

    /// Like [`delete_image`](Client::delete_image), but a missing image is not an error: `true` if
    /// it was deleted, `false` if it did not exist.
    ///
    /// It is also `true` if the service no longer finds the image after an attempt whose outcome is
    /// unknown. The service gives the same answer for a registry that does not exist, so a misspelt
    /// registry is `false` too, as is an empty 404, or a JSON one, of a gateway before the service.
    /// The service may answer 500, not 404, for a missing image; that is an error, since a 500
    /// proves nothing: list the registry to find out (see [`sign_request`](Client::sign_request)).
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image), but [`ErrorKind::NotFound`] only after an
    /// attempt whose outcome is unknown, if the 404 may be that of another gateway.
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
            Err(error) if error.kind == ErrorKind::NotFound && !error.may_have_been_deleted => {
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// The request that [`delete_image`](Client::delete_image) would send now, for a dry run.
    /// Sends nothing.
    ///
    /// Its signature is valid for 5 minutes, its settings are those of
    /// [`sign_request`](Client::sign_request), and its `Debug` hides signature and access key.
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
        check_registry(registry)
            .and_then(|()| check_image_name(image_name))
            .and_then(|()| self.sign(Method::DELETE, &["repositories", registry, image_name], &[]))
            .map_err(|error| error.about(registry, image_name))
    }

    /// A signed request for any other operation of the API, such as [listing
    /// images](https://api.ncloud-docs.com/docs/en/containerregistry-getimagelist). `path` has the
    /// segments below the API URL, `query` the parameters; both are passed unencoded. Sends
    /// nothing.
    ///
    /// The signature is valid for 5 minutes. The request carries its settings to any agent that
    /// runs it: those of the client's agent, no redirects (a 3xx comes back as the answer), the
    /// client's timeout, and no proxy for `http`. Rebuilding it from its parts loses them; ureq
    /// would then follow a redirect and send the signature along. ureq turns statuses of 400 and
    /// above into errors without the body, unless the request is configured as below.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that a server could misread. A segment may contain
    /// unreserved characters (RFC 3986, section 2.3), `:` and single inner slashes, but no dot
    /// segments; it must not be empty. `DELETE` is for a tag: `repositories`, a registry, an image,
    /// `tags` and the tag, without a query. To delete an image, use
    /// [`delete_image`](Client::delete_image).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ncloud_container_registry::{Client, ureq};
    /// use ureq::http::Method;
    ///
    /// let client = Client::from_env()?;
    /// let path = ["repositories", "my-registry"];
    /// let request = client.sign_request(Method::GET, &path, &[("page", "1")])?;
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
        check_path(&method, path, query)?;
        self.sign(method, path, query)
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

/// The agent of a client that was given none. `rustls` is there by default, so whoever adds
/// `native-tls` wants it.
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

/// Settings of a [`Client`].
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
    /// A builder from the environment: the keys from [`Credentials::load`], the API URL from
    /// `NCR_API_URL` (see [`Client::builder`]) or, if that is unset, the [`Region`] that
    /// `NCLOUD_REGION` and `NCLOUD_SITE` name (`public`, `gov` or `fin`; `public` if unset or
    /// empty).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys, [`ErrorKind::InvalidInput`] for an API URL or a
    /// region that is missing or unusable.
    pub fn from_env() -> Result<ClientBuilder, Error> {
        let credentials = Credentials::load()?;
        if let Some(api_url) = variable("NCR_API_URL") {
            check_api_url(&api_url).map_err(|error| error.found_in("NCR_API_URL"))?;
            return Ok(Client::builder(api_url, credentials));
        }
        let site = variable("NCLOUD_SITE").filter(|site| !site.is_empty());
        let code = variable("NCLOUD_REGION").unwrap_or_default();
        let region = Region::from_code(site.as_deref().unwrap_or("public"), &code)?;
        Ok(Client::builder(region, credentials))
    }

    /// An agent to send with, for a proxy, root certificates or timeouts of your own. Default: an
    /// agent that takes its proxy from the environment.
    ///
    /// Redirects are never followed, and `http` never uses a proxy. The agent's global, resolve and
    /// connect timeouts apply where they are shorter than [this crate's](ClientBuilder::timeout);
    /// its others always do.
    ///
    /// # Proxy variables
    ///
    /// ureq reads `ALL_PROXY`, then `HTTPS_PROXY`, then `HTTP_PROXY`, each for `https` too. A value
    /// that it cannot parse is skipped; without another, the connection is direct. `NO_PROXY` is
    /// separated by commas without spaces; `.example.com` matches subdomains, not the domain
    /// itself, and address ranges are not supported.
    ///
    /// # Root certificates
    ///
    /// With the feature `native-tls`, a company's own authority is trusted if the system trusts it.
    /// With `rustls`, load its PEM file:
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
    /// ureq panics while sending if the agent asks for what ureq was built without, such as a TLS
    /// provider or its roots, or has a timeout of centuries. An agent for `native-tls` names both
    /// the provider and the roots:
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

    /// The time that a call may take, with all its attempts and waits. Default: 60 seconds. More
    /// than a day counts as a day.
    ///
    /// An attempt may take half of the remaining time, or all of it if it is the last. So a call
    /// that hangs once still has a second attempt, but with retries a deletion must be answered
    /// within half of the timeout. Resolving the host may take a quarter of the attempt's time, and
    /// connecting, with TLS, another. Below about 5 seconds, a TLS handshake across an ocean may
    /// not fit.
    ///
    /// Only a proxy that answers CONNECT byte by byte can make a call exceed the timeout.
    ///
    /// # Panics
    ///
    /// ureq resolves the host in a new thread, and panics while sending if that cannot be started.
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.0.timeout = timeout;
        self
    }

    /// How many requests a call may send. Default: 3.
    ///
    /// The wait before the first retry is between half a second and a second. It doubles with each
    /// further retry, up to 8 seconds, is at most half of the remaining time, and is longer if the
    /// service asks for it. Against a service that fails at once, 3 attempts span 1.5 to 3 seconds,
    /// 5 span 7.5 to 15 seconds, and 7 span 15.5 to 31 seconds. No retry begins with less than an
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
            let text = "unusable settings: timeout and max_attempts must not be zero";
            return Err(Error::invalid(text));
        }
        client.api_url = check_api_url(&client.api_url)?;
        client.timeout = client.timeout.min(LONGEST_TIMEOUT);
        Ok(client)
    }
}

impl Debug for ClientBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive() // its API URL may hold a password
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
    /// Korea South, for government: site `gov`, code `KRS`.
    GovKoreaSouth,
    /// Korea, for finance: site `fin`, code `FKR`.
    FinKorea,
}

impl Region {
    /// The API URL of the region, with its path and without a trailing slash.
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

    /// The region with a code (`KR`, `SGN`, ...) on a site (`public`, `gov` or `fin`), ignoring
    /// case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if there is no such site, or no such region on it. The text says
    /// which, and names the environment variable that such a value usually comes from.
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
        let codes = match (&*site.to_ascii_lowercase(), &*code.to_ascii_uppercase()) {
            ("public", "KR") => return Ok(Region::Korea),
            ("public", "SGN") => return Ok(Region::Singapore),
            ("public", "JPN") => return Ok(Region::Japan),
            ("gov", "KR") => return Ok(Region::GovKorea),
            ("gov", "KRS") => return Ok(Region::GovKoreaSouth),
            ("fin", "FKR") => return Ok(Region::FinKorea),
            ("public", _) => "KR, SGN or JPN (with NCLOUD_SITE=gov: KR or KRS; fin: FKR)",
            ("gov", _) => "KR or KRS (for NCLOUD_SITE=gov)",
            ("fin", _) => "FKR (for NCLOUD_SITE=fin)",
            _ => {
                let site = printable(site);
                let text = format!("no site \"{site}\": set NCLOUD_SITE to public, gov or fin");
                return Err(Error::invalid(text));
            }
        };
        let named = match code {
            "" => String::new(),
            _ => format!(" \"{}\"", printable(code)),
        };
        let text = format!("no region{named}: set NCLOUD_REGION to {codes}");
        Err(Error::invalid(text))
    }
}

/// The API URL of the region.
impl AsRef<str> for Region {
    fn as_ref(&self) -> &str {
        self.api_url()
    }
}

/// A variable of the environment. What is not Unicode becomes U+FFFD, which is in no name, key or
/// URL.
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

/// The names of each key, in the order in which the vendor's SDK for Go looks for them.
const ACCESS_KEY_VARIABLES: [&str; 2] = ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"];
const SECRET_KEY_VARIABLES: [&str; 2] = ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"];
/// The section of a key file whose keys may also stand above the first header.
const DEFAULT_PROFILE: &str = "DEFAULT";
/// What may stand before a setting of a key file: any other character makes the line a comment.
const BEFORE_A_SETTING: [char; 3] = [' ', '\t', '\u{feff}'];
const SET_BOTH_KEYS: &str = "set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";

impl Credentials {
    /// Credentials from the two keys themselves.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is not 1 to 4096 printable ASCII characters without
    /// whitespace or quotation marks.
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

    /// Credentials from the environment: the access key from `NCLOUD_ACCESS_KEY_ID` or
    /// `NCLOUD_ACCESS_KEY`, the secret key from `NCLOUD_SECRET_ACCESS_KEY` or `NCLOUD_SECRET_KEY`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is missing, one of the variables is set but empty, the
    /// two names of a key have different values, or [`new`](Credentials::new) refuses a key.
    pub fn from_env() -> Result<Credentials, Error> {
        let access_key = key_from_env("access key", ACCESS_KEY_VARIABLES, SECRET_KEY_VARIABLES)?;
        let secret_key = key_from_env("secret key", SECRET_KEY_VARIABLES, ACCESS_KEY_VARIABLES)?;
        Credentials::new(&access_key, &secret_key)
            .map_err(|error| error.found_in("the environment"))
    }

    /// Credentials from the default section of a file in the format of the vendor's command line
    /// interface and SDKs:
    ///
    /// ```text
    /// # keys of the deployment account
    /// [DEFAULT]
    /// ncloud_access_key_id = ...
    /// ncloud_secret_access_key = ...
    /// ```
    ///
    /// The default section is what is above the first section header or under `[DEFAULT]`. Section
    /// names are case-insensitive. Keys of other sections are never used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if the file cannot be read, is UTF-16 or longer than 64 KiB, if the
    /// section lacks or repeats a key, or if [`new`](Credentials::new) refuses one.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Credentials, Error> {
        Credentials::from_profile(path, DEFAULT_PROFILE)
    }

    /// Credentials from the section `profile` of a file as for
    /// [`from_file`](Credentials::from_file). `DEFAULT` means the default section.
    ///
    /// # Errors
    ///
    /// As for [`from_file`](Credentials::from_file), and if `profile` is empty.
    pub fn from_profile(path: impl AsRef<Path>, profile: &str) -> Result<Credentials, Error> {
        if profile.is_empty() {
            let text = "no keys: the profile is empty; name a section, or unset NCLOUD_PROFILE";
            return Err(Error::credentials(text));
        }
        let path = path.as_ref();
        let shown = printable(&path.to_string_lossy());
        let text = read_key_file(path).map_err(|error| {
            Error::credentials(format!("no keys: cannot read {shown}: {error}"))
        })?;
        let access_key = key_in_file(&text, profile, "access key", "ncloud_access_key_id");
        let secret_key = key_in_file(&text, profile, "secret key", "ncloud_secret_access_key");
        access_key
            .and_then(|access_key| Credentials::new(access_key, secret_key?))
            .map_err(|error| error.found_in(&shown))
    }

    /// Credentials from the platform's usual places: the environment, as
    /// [`from_env`](Credentials::from_env) reads it, if any of its four variables is set, even if
    /// empty; otherwise the file `.ncloud/configure` in the home directory (`HOME`, on Windows
    /// `USERPROFILE`), as [`from_profile`](Credentials::from_profile) reads it, with the section
    /// named by `NCLOUD_PROFILE`, or the default section if that is unset.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] as for the method used, and if both `NCLOUD_PROFILE` and a key
    /// variable are set.
    pub fn load() -> Result<Credentials, Error> {
        let profile = variable("NCLOUD_PROFILE");
        let mut names = ACCESS_KEY_VARIABLES.iter().chain(&SECRET_KEY_VARIABLES);
        if let Some(name) = names.find(|name| env::var_os(name).is_some()) {
            return match profile.filter(|profile| !profile.is_empty()) {
                None => Credentials::from_env(),
                Some(_) => Err(Error::credentials(format!(
                    "unusable keys: NCLOUD_PROFILE and {name} are both set, which may mean two \
                     accounts; unset one of them"
                ))),
            };
        }
        let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let Some(home) = home.filter(|home| !home.is_empty()) else {
            return Err(Error::credentials(format!("no keys: {SET_BOTH_KEYS}")));
        };
        let path = PathBuf::from(home).join(".ncloud").join("configure");
        if profile.is_none() && matches!(path.try_exists(), Ok(false)) {
            let path = printable(&path.to_string_lossy());
            let text = format!("no keys: {SET_BOTH_KEYS}, or create {path}");
            return Err(Error::credentials(text));
        }
        Credentials::from_profile(path, profile.as_deref().unwrap_or(DEFAULT_PROFILE))
    }

    /// The access key, which names the account; it is not secret.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Only the end is shown, since people put the secret key here by mistake.
    fn masked_access_key(&self) -> String {
        let start = self.access_key.len().saturating_sub(4);
        format!("...{}", self.access_key.get(start..).unwrap_or_default())
    }

    /// Signature v2 of a request to any NAVER Cloud Platform API: HMAC-SHA256 over method, request
    /// target, timestamp and access key, in Base64.
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

/// Allows what a header can carry (RFC 9110, section 5.5), but no quotes or comments, which would
/// become part of the key. What else a valid key looks like is for the service to say.
fn check_key(what: &str, key: &str) -> Result<(), Error> {
    let why = if key.is_empty() {
        "it is empty"
    } else if key.len() > 4096 {
        "it is longer than 4096 characters"
    } else if key.contains(['"', '\'']) {
        "it contains a quotation mark; remove the quotes around it"
    } else if key.contains(char::is_whitespace) {
        "it contains whitespace; remove it, and any comment after the key"
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it contains a character that is not printable ASCII; copy it again"
    } else {
        return Ok(());
    };
    Err(Error::credentials(format!("unusable {what}: {why}")))
}

/// The value of the variables `names`; `others` are those of the other key.
fn key_from_env(what: &str, names: [&str; 2], others: [&str; 2]) -> Result<String, Error> {
    let [first, second] = names;
    let values = names.map(variable);
    let why = match values.each_ref().map(Option::as_deref) {
        [Some(""), _] => format!("unusable {what}: {first} is set but empty; set or unset it"),
        [_, Some("")] => format!("unusable {what}: {second} is set but empty; set or unset it"),
        [Some(one), Some(other)] if one != other => format!(
            "unusable {what}: {first} and {second} differ, which may mean two accounts; unset one \
             of them"
        ),
        [Some(value), _] | [None, Some(value)] => return Ok(value.to_owned()),
        [None, None] => match others.into_iter().find(|name| env::var_os(name).is_some()) {
            None => format!("no {what}: {SET_BOTH_KEYS}"),
            Some(other) => format!(
                "no {what}: {other} is set, but {first} is not; set both (the key file is not read \
                 if either is set)"
            ),
        },
    };
    Err(Error::credentials(why))
}

fn read_key_file(path: &Path) -> io::Result<String> {
    let mut content = Vec::new();
    let limit = MAX_READ as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    if content.len() > MAX_READ {
        return Err(io::Error::other("it is longer than 64 KiB"));
    }
    if content.contains(&0) {
        return Err(io::Error::other(
            "it is not text in UTF-8; is it in UTF-16?",
        ));
    }
    // Comments may be in any encoding; a key that is not ASCII is refused.
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The value of the key `name` in the section `profile` of a key file.
fn key_in_file<'a>(text: &'a str, profile: &str, what: &str, name: &str) -> Result<&'a str, Error> {
    let mut section = DEFAULT_PROFILE; // of the line at hand
    let values = text.lines().filter_map(|line| {
        section = section_opened_by(line).unwrap_or(section);
        let (key, value) = line.trim_start_matches(BEFORE_A_SETTING).split_once('=')?;
        (key.trim_ascii_end() == name).then_some((section, value.trim_ascii()))
    });
    let is_ours = |section: &str| section.eq_ignore_ascii_case(profile);
    let (ours, mut others): (Vec<_>, Vec<_>) = values.partition(|(section, _)| is_ours(section));
    others.retain(|(section, value)| !section.is_empty() && !value.is_empty());
    let profile = printable(profile);
    let why = match (&*ours, &*others) {
        ([(_, value)], _) if !value.is_empty() => return Ok(value),
        ([_, _, ..], _) => {
            format!("unusable {what}: it is given more than once under [{profile}]; keep one")
        }
        (_, [(other, _), ..]) if is_ours(DEFAULT_PROFILE) => {
            let other = printable(other);
            format!(
                "no {what} under [{profile}], but under [{other}]: to use that section, set \
                 NCLOUD_PROFILE={other} (in code: from_profile)"
            )
        }
        _ => format!("no {what} under [{profile}]: set {name} there"),
    };
    Err(Error::credentials(why))
}

/// The name of the section that a line opens. It is empty, which no profile is, unless the line
/// begins with its one header, and that is closed and in UTF-8: what editors show as the end of a
/// line, or not at all, must neither hide a header nor name a section.
fn section_opened_by(line: &str) -> Option<&str> {
    let pieces = line.split(['\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
    let visible = pieces.map(|piece| piece.trim_start_matches(|c: char| !c.is_ascii_graphic()));
    let headers = visible.filter(|piece| piece.starts_with('[')).count();
    let first = line.trim_start_matches(BEFORE_A_SETTING).strip_prefix('[');
    match first.and_then(|first| first.split_once(']')) {
        Some((name, _)) if headers == 1 && !name.contains(char::REPLACEMENT_CHARACTER) => {
            Some(name.trim_ascii())
        }
        _ => (headers > 0).then_some(""),
    }
}

/// One path segment, percent-encoded: the unreserved characters `A-Z a-z 0-9 - . _ ~` are kept;
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
    // Each piece is a run of unreserved characters and then one that is not, if any.
    for piece in segment.split_inclusive(|c| !is_unreserved(c)) {
        let plain = piece.trim_end_matches(|c| !is_unreserved(c));
        encoded.push_str(plain);
        for byte in piece.bytes().skip(plain.len()) {
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

/// Why a call failed, in one line: what became of the image, what happened, what the service said,
/// and what to do.
///
/// The line includes the cause, so there is no [`source`](std::error::Error::source). It has no
/// secret key, and of the access key only the end. Server text is cut and escaped, so that it is
/// safe to show on a terminal.
pub struct Error {
    kind: ErrorKind,
    /// The registry and the image, if the error is about one. (A `Box` keeps `Result` small.)
    image: Option<Box<str>>,
    what_happened: Box<str>,
    status: Option<u16>,
    body: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    attempts: u32,
    may_have_been_deleted: bool,
    is_transient: bool,
}

/// What went wrong, for a program to match on, and what to do about it.
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
    /// 403: the account lacks permission to delete this image. Grant it.
    Forbidden,
    /// 404, complete, and with a JSON object or empty: there is no such registry or image. Check
    /// the registry, the image and the region.
    NotFound,
    /// 409: something else was changing the image. Try again later.
    Conflict,
    /// 429: too many requests, or a quota is used up. Wait for [`Error::retry_after`], send fewer
    /// requests, or ask for a larger quota.
    RateLimited,
    /// 5xx: the service or its gateway failed. The service may send a 500 for a missing image. Run
    /// the call again, or list the registry (see [`Client::sign_request`]).
    Server,
    /// An answer unlike the service's: a redirect, a success status that confirms no deletion, a
    /// 404 that is cut, of HTML or for an unknown URL, something that is not HTTP. Check the API
    /// URL, and look for a proxy or a login page in between.
    UnexpectedResponse,
    /// No answer in time, or 408. Run the call again, or allow more time.
    Timeout,
    /// No connection, a lost connection, or a certificate that is not trusted. Check the network,
    /// the proxy, the API URL and the root certificates.
    Transport,
}

impl ErrorKind {
    /// What to do besides running the call again, for the end of a line.
    fn advice(self) -> &'static str {
        match self {
            Self::BadRequest => "; check the registry, the image and the API URL",
            Self::Unauthorized => {
                "; check the keys, their permissions and subscription, the site, and this \
                 machine's clock"
            }
            Self::Forbidden => "; give the account permission to delete images in this registry",
            Self::NotFound => "; check the registry, the image and the region",
            Self::Conflict => "; try again when nothing else is changing the image",
            Self::RateLimited => "; send fewer requests, or ask for a larger quota",
            Self::UnexpectedResponse => {
                "; check the API URL with its path, and look for a proxy or a login page in between"
            }
            _ => "",
        }
    }
}

impl Error {
    /// What went wrong, for a program to match on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status of the last attempt, if it was answered.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The body of that answer, for people to read: at most 512 characters, escaped for a terminal,
    /// the access key masked. The service's is JSON, and its `details` are often the diagnosis.
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// The gateway's ID for the request, from the header `x-ncp-trace-id`: quote it to the vendor's
    /// support.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// How long the service asked to wait before the next request: `Retry-After` in seconds (RFC
    /// 9110, section 10.2.3), at most `u32::MAX` of them. Its other form, a date, is ignored.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How many requests were sent, or attempted; 0 if none.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the outcome is unknown: the service may have acted on a request, and no answer
    /// proves that it did or did not. Run the call again, or list the registry.
    pub fn may_have_been_deleted(&self) -> bool {
        self.may_have_been_deleted
    }

    /// Whether the same call may succeed later: after a failure that the client itself retries
    /// (see [`ClientBuilder::max_attempts`]), or a 409.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    fn new(kind: ErrorKind, what_happened: impl Into<Box<str>>) -> Error {
        Error {
            kind,
            image: None,
            what_happened: what_happened.into(),
            status: None,
            body: None,
            trace_id: None,
            retry_after: None,
            attempts: 0,
            may_have_been_deleted: false,
            is_transient: false,
        }
    }

    fn invalid(what_happened: impl Into<Box<str>>) -> Error {
        Error::new(ErrorKind::InvalidInput, what_happened)
    }

    fn credentials(what_happened: impl Into<Box<str>>) -> Error {
        Error::new(ErrorKind::Credentials, what_happened)
    }

    fn found_in(mut self, place: &str) -> Error {
        self.what_happened = format!("{} (in {place})", self.what_happened).into();
        self
    }

    fn about(mut self, registry: &str, image_name: &str) -> Error {
        self.image = Some(printable(&format!("{registry}/{image_name}")).into());
        self
    }
}

/// What became of the image, what happened, what the service said, what to do.
impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let in_doubt = self.may_have_been_deleted;
        if let Some(image) = &self.image {
            match self.kind {
                _ if in_doubt && self.status == Some(500) => {
                    write!(f, "{image} may have been deleted, or never existed: ")?;
                }
                _ if in_doubt => write!(f, "{image} may have been deleted: ")?,
                ErrorKind::InvalidInput => write!(f, "cannot delete {image}: ")?,
                ErrorKind::NotFound => write!(f, "{image} was not found: ")?,
                _ => write!(f, "{image} was not deleted: ")?,
            }
        }
        f.write_str(&self.what_happened)?;
        if self.attempts > 1 {
            write!(f, ", {} attempts", self.attempts)?;
        }
        if let Some(body) = &self.body {
            write!(f, ": {body}")?;
        }
        if let Some(trace_id) = &self.trace_id {
            write!(f, " (trace id {trace_id})")?;
        }
        match self.retry_after {
            Some(wait) if self.is_transient && !wait.is_zero() => {
                write!(f, "; the service asks to wait {} s", wait.as_secs())?;
            }
            _ => f.write_str(self.kind.advice())?,
        }
        f.write_str(match self.kind {
            _ if in_doubt => "; run it again or list the registry",
            ErrorKind::Timeout | ErrorKind::Transport => {
                "; check the network, the proxy and the API URL"
            }
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

/// Allows one label of a host name (RFC 1035, section 2.3.4). No other registry can exist, and a
/// server might read it as another resource.
fn check_registry(registry: &str) -> Result<(), Error> {
    if registry.len() <= 63 && is_name(registry, "-") {
        return Ok(());
    }
    let why = if registry.is_empty() {
        "is empty"
    } else if registry.contains('%') {
        "is percent-encoded; pass it unencoded"
    } else if registry.contains(['.', '/', ':', '@']) {
        "has a host or an image; pass only the registry, such as \"my-registry\""
    } else if registry.contains(char::is_uppercase) {
        "has an upper-case letter; registries are lower-case"
    } else {
        "must be 1 to 63 characters of a-z, 0-9 and -, and begin and end with a letter or digit"
    };
    Err(Error::invalid(format!("the registry {why}")))
}

/// Allows image names, except with a host of this service in front, as `docker images` shows them.
fn check_image_name(image_name: &str) -> Result<(), Error> {
    let (first, rest) = image_name.split_once('/').unwrap_or((image_name, ""));
    let (host, _port) = first.split_once(':').unwrap_or((first, ""));
    let has_host = host.to_ascii_lowercase().ends_with("ntruss.com")
        || (first.contains(':') && !rest.is_empty());
    if is_image_name(image_name) && !has_host {
        return Ok(());
    }
    let name = if has_host { rest } else { image_name };
    let (untagged, tag) = name.split_at(name.find([':', '@']).unwrap_or(name.len()));
    let why = if image_name.is_empty() {
        "is empty"
    } else if has_host {
        "begins with a host"
    } else if tag.contains('@') {
        "has a digest"
    } else if !tag.is_empty() {
        "has a tag"
    } else if name.contains('%') {
        "is percent-encoded"
    } else if name.contains(char::is_uppercase) {
        "has an upper-case letter"
    } else {
        "must consist of components of a-z, 0-9, ., _ and -, each beginning and ending with a \
         letter or digit, joined by single slashes, at most 255 characters"
    };
    let hint = match (is_image_name(untagged), tag) {
        (true, "") => format!("; pass \"{untagged}\""),
        (true, _) if !tag.contains('/') => {
            format!("; to delete the image with all its tags, pass \"{untagged}\"")
        }
        _ => "; pass a name such as \"hello/world\"".to_owned(),
    };
    Err(Error::invalid(format!("the image name {why}{hint}")))
}

/// Slightly looser than the image names of the Docker Registry v2 specification, whose clients
/// allow 255 bytes.
fn is_image_name(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(|component| is_name(component, "._-"))
}

fn is_name(text: &str, separators: &str) -> bool {
    let is_alphanumeric = |c| matches!(c, 'a'..='z' | '0'..='9');
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && !text.contains(|c| !is_alphanumeric(c) && !separators.contains(c))
}

/// Refuses a path that a server could read as another resource (RFC 3986, section 5.2.4), and any
/// `DELETE` but of a tag: with a segment missing, or an image name split at its slash, it would
/// delete the image or the registry.
fn check_path(method: &Method, path: &[&str], query: &[(&str, &str)]) -> Result<(), Error> {
    for segment in path {
        if !segment
            .split('/')
            .all(|component| is_plain_component(component, ":"))
        {
            let segment = printable(segment);
            return Err(Error::invalid(format!(
                "unusable path segment \"{segment}\": pass it unencoded; it may have letters, \
                 digits, - . _ ~ and :, with single slashes between, and no dot segments"
            )));
        }
    }
    let is_delete = method.as_str().eq_ignore_ascii_case("DELETE");
    let is_tag = matches!(path, ["repositories", _, _, "tags", _, ..]) && query.is_empty();
    let why = if path.is_empty() {
        "it has no segments"
    } else if is_delete && !is_tag {
        "DELETE is for a tag, such as [\"repositories\", registry, image, \"tags\", tag], without \
         a query; for an image, use delete_image"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("unusable path: {why}")))
}

/// Whether a path component is safe unencoded: unreserved characters and `others`, no dot segment.
fn is_plain_component(text: &str, others: &str) -> bool {
    let is_plain = |c| is_unreserved(c) || others.contains(c);
    !matches!(text, "" | "." | "..") && text.chars().all(is_plain)
}

fn check_api_url(api_url: &str) -> Result<Arc<str>, Error> {
    safe_api_url(api_url).map(Arc::from).ok_or_else(|| {
        // What comes before an @ or after a ? may be secret.
        let may_be_secret = api_url.contains(['@', '?', '#']);
        let shown = printable(if may_be_secret { "..." } else { api_url });
        let hint = if api_url.contains("://") {
            "use https (http for loopback only), no user info, query or fragment, and a path of \
             letters, digits, - . _ ~ and single slashes"
        } else {
            "use a URL such as https://ncr.apigw.ntruss.com/ncr/api/v2, or a Region (NCLOUD_REGION)"
        };
        Error::invalid(format!("unusable API URL \"{shown}\": {hint}"))
    })
}

/// The API URL without a trailing slash, if it is safe to send a signature to.
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
    let mut segments = path.split('/').skip(1);
    let is_plain_path = segments.all(|segment| is_plain_component(segment, ""));
    (is_same && !host.is_empty() && is_confidential && is_plain_path).then_some(rebuilt)
}

// How a request is built and sent.

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// With less, a timeout of ureq does not tell whether the request had been sent.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(10);

/// How an attempt ended, if not in a confirmed deletion.
struct Failure {
    error: Error,
    effect: Effect,
    next: Next,
}

/// What the attempt may have done.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    /// Surely nothing.
    None,
    /// The service may have acted on it.
    Possible,
    /// Nothing, since the service itself says that there is no such image.
    ImageAbsent,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    GiveUp,
    /// Another attempt, if there is time for it.
    Again,
}

impl Client {
    /// Sends requests until one gets a final answer, or the attempts or the time run out.
    /// Deleting is idempotent, so an attempt whose outcome is unknown can be repeated.
    fn send(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        if self.lacks_tls && self.api_url.starts_with("https:") {
            let text = "built without TLS; enable the feature rustls or native-tls";
            return Err(Error::invalid(text).about(registry, image_name));
        }
        let started = Instant::now();
        let mut in_doubt = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let request = self.sign_delete_image(registry, image_name)?;
            let Err(failure) = self.attempt(request, attempts, started) else {
                return Ok(());
            };
            if in_doubt && failure.effect == Effect::ImageAbsent {
                return Ok(()); // an earlier attempt deleted it
            }
            in_doubt |= failure.effect == Effect::Possible;
            let mut error = failure.error.about(registry, image_name);
            (error.attempts, error.may_have_been_deleted) = (attempts, in_doubt);
            // A request without time for its answer would turn a certain "no" into a "maybe".
            let time_left = || self.timeout.saturating_sub(started.elapsed());
            let is_too_late = |wait| time_left().saturating_sub(wait) <= self.timeout / 8;
            let asked_wait = error.retry_after.unwrap_or_default();
            let wait = backoff(attempts).min(time_left() / 2).max(asked_wait);
            let is_last = failure.next == Next::GiveUp || attempts >= self.max_attempts;
            if is_last || is_too_late(wait) {
                return Err(error);
            }
            thread::sleep(wait);
            if is_too_late(Duration::ZERO) {
                return Err(error); // the whole process slept
            }
        }
    }

    /// Sends one request of the call that began at `started`, and classifies what comes of it.
    fn attempt(&self, request: Request<()>, number: u32, started: Instant) -> Result<(), Failure> {
        let time_left = self.timeout.saturating_sub(started.elapsed());
        // Half of less than a quarter would leave too little for another attempt: use all of it.
        let is_last = number >= self.max_attempts || time_left < self.timeout / 4;
        let share = if is_last { time_left } else { time_left / 2 };
        let own = self.agent.config().timeouts();
        let timeout = shorter(own.per_call, shorter(own.global, share)).max(SHORTEST_ATTEMPT);
        // Even through a proxy (lookup, connect, CONNECT), these expire before the attempt does, so
        // a timeout there proves that nothing was sent.
        let mut config = self
            .agent
            .configure_request(request)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(shorter(own.resolve, timeout / 4)))
            .timeout_connect(Some(shorter(own.connect, timeout / 4)));
        if number > 1 {
            // Kept connections may all be dead, for example after a suspend.
            config = config.max_idle_age(Duration::ZERO);
        }
        let attempt_started = Instant::now();
        match self.agent.run(config.build()) {
            Ok(response) => self.answered(&Answer::read(response)),
            Err(error) => {
                let failure = self.unanswered(&error, attempt_started.elapsed(), started.elapsed());
                Err(failure)
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
        let mut url = self.api_url.to_string();
        for segment in path {
            url = url + "/" + &percent_encode(segment);
        }
        for (index, (name, value)) in query.iter().enumerate() {
            let separator = if index == 0 { "?" } else { "&" };
            url = url + separator + &percent_encode(name) + "=" + &percent_encode(value);
        }
        let request = self
            .sign_url(method, &url)
            .map_err(|error| Error::invalid(format!("unusable path: {error}")))?;
        let timeout = shorter(self.agent.config().timeouts().global, self.timeout);
        let config = self.agent.configure_request(request);
        let mut config = config.max_redirects(0).timeout_global(Some(timeout));
        if self.api_url.starts_with("http:") {
            config = config.proxy(None); // which is never on the way to loopback
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
            // A compressed answer would lose its length, which tells whether it is complete.
            .header("Accept-Encoding", "identity")
            .header("Content-Type", "application/json") // which every operation requires
            .header("x-ncp-apigw-timestamp", timestamp_ms)
            .header("x-ncp-iam-access-key", hidden(keys.access_key())?)
            .header("x-ncp-apigw-signature-v2", hidden(&signature)?)
            .body(())
    }
}

/// A header's value that `Debug` does not show.
fn hidden(value: &str) -> http::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    Ok(value)
}

fn shorter(own: Option<Duration>, limit: Duration) -> Duration {
    own.map_or(limit, |own| own.min(limit))
}

/// How long to wait before a retry, counted from 1: between half and all of a second, twice as long
/// for each further retry, at most 8 s. So three attempts outlast a quick restart of the service,
/// and clients that failed together do not come back together.
fn backoff(retry: u32) -> Duration {
    let half_ms = 250 << retry.min(4);
    // Each RandomState hashes with keys of its own, which start from the system's random numbers.
    let random = RandomState::new().hash_one(retry);
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

// How an answer is classified, or what there is instead of one.

/// Linux reports some errors of connecting on established connections too, but only once their
/// retransmissions have run out (tcp(7), `tcp_retries2`), which takes seconds. A lookup and
/// connecting across an ocean take less than this.
const LONGEST_CONNECT: Duration = Duration::from_secs(1);

/// An answer, as far as it was read.
struct Answer {
    head: http::response::Parts,
    body: String,
    /// The length of the body in bytes, or the error that cut it.
    length: io::Result<usize>,
}

impl Answer {
    fn read(response: Response<ureq::Body>) -> Answer {
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(MAX_READ as u64 + 1);
        let length = reader.read_to_end(&mut bytes);
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Answer { head, body, length }
    }

    fn header(&self, name: &str) -> Option<String> {
        let values = self.head.headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (!values.is_empty()).then(|| values.join(", ")) // RFC 9110, section 5.3
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

    /// Whether the framing shows that no part is missing (RFC 9112, section 8).
    fn is_complete(&self) -> bool {
        let shows_end = match self.header("Transfer-Encoding") {
            Some(coding) => {
                coding.eq_ignore_ascii_case("chunked") && self.head.version == Version::HTTP_11
            }
            None => self.header("Content-Length").is_some(),
        };
        shows_end && self.length.as_ref().is_ok_and(|length| *length <= MAX_READ)
    }

    /// Whether a 404 may be the service's: it is complete, and empty or a JSON object. With code
    /// 300, a string or a number, the gateway says that it does not know the URL.
    fn is_not_found(&self) -> bool {
        let body = self.body.trim_ascii();
        let is_object = body.starts_with('{') && body.ends_with('}');
        let unquoted = body.replace(|c: char| c == '"' || c.is_whitespace(), "");
        let is_url_unknown = unquoted.contains("Code:300,") || unquoted.contains("Code:300}");
        self.is_complete() && (is_object || self.body.is_empty()) && !is_url_unknown
    }

    /// Whether the body has one of the platform's codes, which other gateways do not have.
    fn has_platform_code(&self) -> bool {
        let body = self.body.replace(char::is_whitespace, "");
        body.contains("\"errorCode\":") || body.contains("\"returnCode\":")
    }

    /// What an answer means that confirms no deletion. A 4xx or 5xx status without a row of its own
    /// has the kind of its class (RFC 9110, section 15).
    fn classify(&self) -> (ErrorKind, Effect, Next) {
        use {ErrorKind as K, Next::Again, Next::GiveUp};
        match self.head.status.as_u16() {
            // A success whose body broke off proves nothing; another attempt may.
            200..=299 if self.length.is_err() => (K::UnexpectedResponse, Effect::Possible, Again),
            401 => (K::Unauthorized, Effect::None, GiveUp),
            403 => (K::Forbidden, Effect::None, GiveUp),
            404 if !self.is_not_found() => (K::UnexpectedResponse, Effect::None, GiveUp),
            404 if self.has_platform_code() => (K::NotFound, Effect::ImageAbsent, GiveUp),
            404 => (K::NotFound, Effect::None, GiveUp),
            // It may come from a proxy before a slow service.
            408 => (K::Timeout, Effect::Possible, Again),
            409 => (K::Conflict, Effect::None, GiveUp),
            429 => (K::RateLimited, Effect::None, Again),
            400..=499 => (K::BadRequest, Effect::None, GiveUp),
            500 | 502..=504 => (K::Server, Effect::Possible, Again),
            500..=599 => (K::Server, Effect::Possible, GiveUp),
            _ => (K::UnexpectedResponse, Effect::Possible, GiveUp),
        }
    }
}

/// What an error of ureq means, `elapsed` after the start of the attempt.
fn classify_error(error: &ureq::Error, elapsed: Duration) -> (ErrorKind, Effect, Next) {
    use {ErrorKind as K, Next::Again, Next::GiveUp, ureq::Error as E, ureq::Timeout as T};
    match error {
        E::Timeout(T::Resolve | T::Connect) => (K::Timeout, Effect::None, Again),
        E::Timeout(_) => (K::Timeout, Effect::Possible, Again),
        E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => {
            (K::Transport, Effect::None, Again)
        }
        _ if is_untrusted_certificate(error) => (K::Transport, Effect::None, GiveUp),
        #[cfg(feature = "native-tls")]
        E::NativeTls(_) => (K::Transport, Effect::None, Again), // from setting TLS up
        E::Io(error) if is_from_connecting(error, elapsed) => (K::Transport, Effect::None, Again),
        E::Io(_) => (K::Transport, Effect::Possible, Again),
        E::Protocol(_) | E::LargeResponseHeader(..) => {
            (K::UnexpectedResponse, Effect::Possible, Again)
        }
        E::RequireHttpsOnly(_) | E::Tls(_) | E::TlsRequired => {
            (K::InvalidInput, Effect::None, GiveUp)
        }
        _ => (K::Transport, Effect::Possible, GiveUp),
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
    match error.kind() {
        // On Windows, refusing takes two seconds, and only connecting reports it.
        ConnectionRefused if cfg!(windows) => true,
        ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied
        | AddrNotAvailable | AddrInUse => elapsed < LONGEST_CONNECT,
        // The standard library gives a failed lookup a kind that cannot be named. The codes are
        // those of too many open files, on Unix and on Windows, and of a failed lookup on Windows.
        _ => {
            error.to_string().starts_with("failed to lookup address")
                || matches!(error.raw_os_error(), Some(23 | 24 | 10024 | 11001..=11004))
        }
    }
}

impl Failure {
    fn new((kind, effect, next): (ErrorKind, Effect, Next), what_happened: String) -> Failure {
        let mut error = Error::new(kind, what_happened);
        error.is_transient = next == Next::Again || kind == ErrorKind::Conflict;
        Failure {
            error,
            effect,
            next,
        }
    }
}

impl Client {
    fn answered(&self, answer: &Answer) -> Result<(), Failure> {
        if answer.confirms_deletion() {
            return Ok(());
        }
        let said = |text: &String| self.said(text).into();
        let mut failure = Failure::new(answer.classify(), self.describe(answer));
        failure.error.status = Some(answer.head.status.as_u16());
        failure.error.body = Some(&answer.body).filter(|body| !body.is_empty()).map(said);
        failure.error.trace_id = answer.header("x-ncp-trace-id").as_ref().map(said);
        failure.error.retry_after = answer.header("Retry-After").and_then(|text| seconds(&text));
        Err(failure)
    }

    /// The status, with what helps to understand it.
    fn describe(&self, answer: &Answer) -> String {
        let status = answer.head.status;
        let header = |name| answer.header(name).map(|text| self.said(&text));
        match (status.as_u16(), header("Location")) {
            // What comes before an @ may be a password.
            (300..=399, Some(location)) if !location.contains('@') => {
                format!("{status} to {location}")
            }
            (401, _) => {
                let access_key = self.credentials.masked_access_key();
                let date = header("Date").map(|date| format!(", the service's clock: {date}"));
                format!(
                    "{status} (access key {access_key}{})",
                    date.unwrap_or_default()
                )
            }
            (404, _) => format!("{status} from {}", self.api_url),
            _ => status.to_string(),
        }
    }

    /// Server text for display: the access key masked, the rest cut and escaped.
    fn said(&self, text: &str) -> String {
        let access_key = self.credentials.access_key();
        printable(&text.replace(access_key, &self.credentials.masked_access_key()))
    }

    /// What ureq reports instead of an answer, after the time that the attempt and the call took.
    fn unanswered(&self, error: &ureq::Error, attempt: Duration, call: Duration) -> Failure {
        let classified = classify_error(error, attempt);
        let cause = printable(error.to_string().trim_start_matches("io: "));
        let host = self.api_url.split('/').nth(2).unwrap_or_default();
        let seconds = (call.as_secs_f32() * 10.0).round() / 10.0;
        let what_happened = match classified {
            (ErrorKind::InvalidInput, ..) => format!("the agent cannot send to {host}: {cause}"),
            (ErrorKind::Timeout, Effect::None, _) => {
                format!("no connection to {host} within {seconds} s")
            }
            (ErrorKind::Timeout, ..) => format!("no answer from {host} within {seconds} s"),
            _ if is_untrusted_certificate(error) => {
                let reason = cause.trim_start_matches("invalid peer certificate: ");
                let hint = match reason {
                    "UnknownIssuer" => {
                        "; to trust a company's own authority, use the feature native-tls"
                    }
                    _ => "",
                };
                format!("the certificate of {host} is not trusted ({reason}){hint}")
            }
            (_, Effect::None, _) => format!("no connection to {host}: {cause}"),
            (ErrorKind::UnexpectedResponse, ..) => format!("no HTTP answer from {host}: {cause}"),
            _ => format!("no answer from {host}: {cause}"),
        };
        Failure::new(classified, what_happened)
    }
}

// How text is read and shown.

/// `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // However large, it can be added to a time.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u32::MAX).into()))
}

/// `text` on one line of a terminal: at most 512 characters, and those escaped that could break the
/// line, steer the terminal, or change the order in which text is read.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(512).collect();
    let end = if shown.len() < text.len() { "…" } else { "" };
    let escaped = shown.escape_debug().to_string() + end;
    let escaped = escaped.replace(r"\'", "'").replace(r#"\""#, "\"");
    escaped.replace(r"\\", r"\")
}

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod tests;
