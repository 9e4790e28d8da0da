//! A [`Client`] deletes images and reads: [`Client::from_env`] creates one from the usual settings,
//! a [`ClientBuilder`] from others. [`Credentials`] and [`Region`] choose the account and the
//! service. An [`Error`] tells what became of the image. TLS is a
//! [feature](#features-and-versions).
#![doc = include_str!("../README.md")]

use std::cell::Cell;
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
use ureq::config::{Config, ConfigBuilder};
use ureq::http::{self, HeaderValue, Method, Request, Uri, Version};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, NextTimeout};

/// Re-exports the HTTP client that this crate uses, for [`ClientBuilder::ureq_config`].
pub use ureq;

/// Enough for a slow day of the service, and short enough for a person to wait for.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any call needs. Centuries overflow `Instant`, and ureq would panic.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The first may lose its response, the second get a 409 while the first is still being processed,
/// and the third the 404 that proves the deletion.
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
    /// Whether this is a build with TLS, or `ureq_config` was used, which may bring its own.
    has_tls: bool,
    timeout: Duration,
    max_attempts: u32,
}

impl Client {
    /// Creates a client for `region`, with the defaults of [`ClientBuilder`].
    pub fn new(region: Region, credentials: Credentials) -> Client {
        Client::builder(region, credentials).0 // which is valid for any region
    }

    /// Creates a client from the environment, with [`ClientBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// As for [`ClientBuilder::from_env`].
    pub fn from_env() -> Result<Client, Error> {
        ClientBuilder::from_env()?.build()
    }

    /// Creates a builder for a client with other settings.
    ///
    /// `api_url` is a [`Region`] or an API URL: `https`, or `http` to a loopback address or
    /// `localhost`, without user info, query or fragment, and with a path that ends in the version
    /// of the API, `/v2` or `/v3`, as in `https://kr-ncr.apigw.ntruss.com/api/v3`.
    /// [`build`](ClientBuilder::build) refuses any other URL, and the host of `docker login`.
    ///
    /// # Examples
    ///
    /// A loopback listener can replace the service in the tests of your program:
    ///
    /// ```
    /// use std::{io::Read, io::Write, net::TcpListener, thread};
    /// use ncloud_container_registry::{Client, Credentials};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let api_url = format!("http://{}/api/v3", listener.local_addr()?);
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
            agent: new_agent(|config| config),
            has_tls: cfg!(feature = "rustls"),
            timeout: DEFAULT_TIMEOUT,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        })
    }

    /// Deletes the image `image_name`, with all of its tags, from `registry`.
    ///
    /// Pass both names unencoded (`hello/world`). `Ok` means that the image is gone: the service
    /// confirmed the deletion (204, or 200 or 201 with `Content-Length: 0`), or the outcome of an
    /// attempt was unknown and the service then reported that there is no such image. It reports a
    /// missing registry in the same way, so after an unknown outcome a misspelt registry is `Ok`.
    ///
    /// Do not push the same name again within 5 minutes of a request that got no response: that
    /// long its signature is valid, and it may still arrive, even after the call and after an `Ok`.
    ///
    /// Sources: [Delete image](https://api.ncloud-docs.com/docs/en/containerregistry-deleteimage)
    /// for v2, and the vendor's reference of API v3 (November 2026).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that cannot exist, before anything is sent;
    /// [`ErrorKind::NotFound`] if the registry has no such image; the other kinds, except
    /// [`Credentials`](ErrorKind::Credentials), as [`ErrorKind`] describes them.
    /// [`may_have_been_deleted`](Error::may_have_been_deleted) tells whether the outcome is
    /// unknown.
    pub fn delete_image(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        let target = self.deletion_target(registry, image_name)?;
        self.run(&target).map(drop)
    }

    /// Deletes an image with all of its tags, if it exists: `true` if it was deleted, `false` if it
    /// did not exist.
    ///
    /// `true` is the `Ok` of [`delete_image`](Client::delete_image). `false` can also mean that the
    /// registry is misspelt or, with API v2, that a gateway in front of the service sent the 404.
    /// It does not settle the unknown outcome of an earlier call.
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image), except that [`ErrorKind::NotFound`] always
    /// comes with an unknown outcome.
    pub fn delete_image_if_exists(&self, registry: &str, image_name: &str) -> Result<bool, Error> {
        match self.delete_image(registry, image_name) {
            Err(error) if error.kind() == ErrorKind::NotFound && !error.may_have_been_deleted() => {
                Ok(false)
            }
            deleted => deleted.map(|()| true),
        }
    }

    /// Deletes one tag of an image. For `Ok` and late requests, see
    /// [`delete_image`](Client::delete_image).
    ///
    /// With API v3, deleting the last tag deletes the image. What v2 then does is not documented,
    /// nor whether other tags of the same digest survive.
    ///
    /// # Errors
    ///
    /// As for [`delete_image`](Client::delete_image). A tag is 1 to 128 letters, digits, `.`, `_`
    /// and `-`, not beginning with `.` or `-`; a digest is refused.
    pub fn delete_tag(&self, registry: &str, image_name: &str, tag: &str) -> Result<(), Error> {
        let url = self.url_of_image(registry, image_name).and_then(|image| {
            check_tag(tag)?;
            Ok(format!("{image}/tags/{tag}"))
        });
        let name = format!("{registry}/{image_name}:{tag}");
        self.run(&Target::new(Method::DELETE, name, url)?).map(drop)
    }

    /// Returns whether the service has the image.
    ///
    /// `false` settles an unknown outcome (see [`Error::may_have_been_deleted`]): the image is
    /// gone, unless the registry is misspelt. `true` may still change while an earlier request can
    /// arrive late. (With v2, an image named `info` cannot be told from the registry's details.)
    ///
    /// # Errors
    ///
    /// As for [`get`](Client::get), but never [`ErrorKind::NotFound`];
    /// [`ErrorKind::UnexpectedResponse`] also for an object without a `name`.
    pub fn image_exists(&self, registry: &str, image_name: &str) -> Result<bool, Error> {
        let url = self.url_of_image(registry, image_name);
        let mut target = Target::new(Method::GET, format!("{registry}/{image_name}"), url)?;
        target.field = Some("\"name\":"); // as both APIs document it
        match self.run(&target) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            body => body.map(|_| true),
        }
    }

    /// Returns the URL that [`delete_image`](Client::delete_image) would send its `DELETE` request
    /// to, with the query, and sends nothing: for a dry run.
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
    /// assert_eq!(
    ///     client.image_url("my-registry", "hello/world")?,
    ///     "https://ncr.apigw.ntruss.com/ncr/jpn-api/v2/repositories/my-registry/hello%2Fworld",
    /// );
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn image_url(&self, registry: &str, image_name: &str) -> Result<String, Error> {
        let target = self.deletion_target(registry, image_name)?;
        Ok(target.url.to_string())
    }

    /// Sends a `GET` request and returns the body of the response, a JSON object.
    ///
    /// `path` has the segments below the API URL, `query` the parameters, both unencoded. Lists
    /// come in pages:
    ///
    /// | | API v2 | API v3 |
    /// | --- | --- | --- |
    /// | images | `repositories`, registry | `registries`, registry, `images` |
    /// | tags | `repositories`, registry, image, `tags` | as for images, then image, `tags` |
    /// | parameters | `page` from 1, `pagesize` | `pageNo` from 0, `pageSize` |
    ///
    /// A page of v2 has `count` (of all pages), `next` (the next page's number, or null) and
    /// `results`: images with `name` and `last_updated` (milliseconds since 1970), or tags with
    /// these and `digest`. The order is kept while nothing changes; a push or a deletion meanwhile
    /// can repeat an item or leave one out: read all pages, refuse a repeated name, and compare
    /// with `count`, as the example `clean_up` does. Retries and timeout are as for a deletion.
    ///
    /// Sources: [Get image
    /// list](https://api.ncloud-docs.com/docs/en/containerregistry-getimagelist), Get image tag
    /// list and Get image details, and the vendor's reference of API v3.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an empty path, or a segment that a server could misread: it
    /// may have letters, digits, `-`, `.`, `_`, `~`, `:` and single slashes, and no empty or dot
    /// component. [`ErrorKind::NotFound`] only for a 404 with one of the service's error codes.
    /// [`ErrorKind::UnexpectedResponse`] also for a 200 with an error of the service, and for a
    /// body of more than 1 MiB. Nothing is changed, so no outcome is unknown.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # let client = ncloud_container_registry::Client::from_env()?;
    /// // The first page of the images of a registry, and the tags of one image.
    /// let page = client.get(&["repositories", "my-registry"], &[("page", "1")])?;
    /// let tags = client.get(&["repositories", "my-registry", "hello/world", "tags"], &[])?;
    /// # Ok::<(), ncloud_container_registry::Error>(())
    /// ```
    pub fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, Error> {
        let url = check_path(path).map(|()| {
            let mut url = self.api_url.to_string();
            for segment in path {
                url = url + "/" + &percent_encode(segment);
            }
            for (index, (name, value)) in query.iter().enumerate() {
                let separator = if index == 0 { "?" } else { "&" };
                url = url + separator + &percent_encode(name) + "=" + &percent_encode(value);
            }
            url
        });
        self.run(&Target::new(Method::GET, path.join("/"), url)?)
    }

    fn deletion_target(&self, registry: &str, image_name: &str) -> Result<Target, Error> {
        // Without it, v3 refuses to delete an image that has tags.
        let query = if self.is_v3() { "?cascading=true" } else { "" };
        let url = self.url_of_image(registry, image_name);
        let name = format!("{registry}/{image_name}");
        Target::new(Method::DELETE, name, url.map(|url| url + query))
    }

    /// Returns the URL of an image. Neither a registry nor a tag has anything to encode.
    fn url_of_image(&self, registry: &str, image_name: &str) -> Result<String, Error> {
        check_registry(registry)?;
        check_image_name(image_name)?;
        let (api_url, image) = (&self.api_url, percent_encode(image_name));
        Ok(if self.is_v3() {
            format!("{api_url}/registries/{registry}/images/{image}")
        } else {
            format!("{api_url}/repositories/{registry}/{image}")
        })
    }

    fn is_v3(&self) -> bool {
        self.api_url.ends_with("/v3")
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.api_url)
            .field("proxy", &self.proxy())
            .field("credentials", &self.credentials)
            .field("timeout", &self.timeout)
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// Configures a [`Client`]. [`Client::builder`] and [`ClientBuilder::from_env`] create one.
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder(Client);

impl ClientBuilder {
    /// Creates a builder from the environment: the keys as [`Credentials::from_env`] reads them,
    /// and the API URL from `NCR_API_URL` (see [`Client::builder`]) or else the [`Region`] that
    /// `NCLOUD_REGION` and `NCLOUD_SITE` name (`public`, `gov` or `fin`; default `public`). If
    /// empty, these three count as unset.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] for the keys; [`ErrorKind::InvalidInput`] for the rest.
    pub fn from_env() -> Result<ClientBuilder, Error> {
        let credentials = Credentials::from_env()?;
        let setting = |name| env_var(name).filter(|value| !value.is_empty());
        if let Some(api_url) = setting("NCR_API_URL") {
            let api_url = check_api_url(&api_url).map_err(|error| error.at("NCR_API_URL"))?;
            return Ok(Client::builder(api_url, credentials));
        }
        let site = setting("NCLOUD_SITE").unwrap_or_else(|| "public".to_owned());
        let regions = Region::on_site(&site).map_err(|error| error.at("NCLOUD_SITE"))?;
        let Some(code) = setting("NCLOUD_REGION") else {
            let text = format!("no region: set NCLOUD_REGION to one of {}", codes(regions));
            return Err(Error::invalid(text));
        };
        let sites = "; NCLOUD_SITE chooses the site (public, gov or fin)";
        let region = Region::from_code(&site, &code)
            .map_err(|error| error.at("NCLOUD_REGION").advise(sites))?;
        Ok(Client::builder(region, credentials))
    }

    /// Changes the configuration of ureq: the proxy (by default that of the environment), TLS, or
    /// the timeouts of single steps. The last call wins. This crate sets the timeout, redirects and
    /// the handling of statuses itself, and an `http` URL is never reached through a proxy.
    ///
    /// Connecting, with TLS, may take `timeout_connect` (default: 5 seconds); with a proxy, each of
    /// its steps may take as long. A middleware must not send requests itself, and its own errors
    /// count as failures after sending.
    ///
    /// # Panics
    ///
    /// ureq panics while sending if the configuration needs what ureq was built without, such as
    /// another TLS provider or the system's roots, or has a value that it cannot use.
    ///
    /// # Examples
    ///
    /// Trusts the authorities of a company, from its PEM file, instead of the web's:
    ///
    /// ```no_run
    /// # #[cfg(feature = "rustls")] {
    /// use ncloud_container_registry::{ClientBuilder, ureq};
    /// use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
    ///
    /// let mut authorities = Vec::new();
    /// for item in parse_pem(&std::fs::read("/etc/company-ca.pem")?) {
    ///     if let PemItem::Certificate(certificate) = item? {
    ///         authorities.push(certificate);
    ///     }
    /// }
    /// let roots = RootCerts::new_with_certs(&authorities);
    /// let tls = TlsConfig::builder().root_certs(roots).build();
    /// let client = ClientBuilder::from_env()?
    ///     .ureq_config(|config| config.tls_config(tls))
    ///     .build()?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ureq_config(
        mut self,
        configure: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
    ) -> ClientBuilder {
        self.0.agent = new_agent(configure);
        self.0.has_tls = true;
        self
    }

    /// Sets the time that a call may take, with all its attempts and waits. Default: 60 seconds. It
    /// is capped at a day.
    ///
    /// An attempt may take half of the timeout. The last one may take all that is left, and so may
    /// any if the timeout is under 4 seconds. (A proxy that sends its response to CONNECT byte by
    /// byte can make a call exceed any timeout.)
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
    /// Before the first retry, the call waits between half a second and a second. The wait doubles
    /// with each further retry, up to 8 seconds, and is longer if the service asks for it. No retry
    /// begins in the last quarter of the [timeout](ClientBuilder::timeout).
    ///
    /// A retry may delete an image that somebody pushes again during the call. With 1, nothing is
    /// sent twice.
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
        if client.timeout.is_zero() {
            return Err(Error::invalid("the timeout is zero"));
        }
        if client.max_attempts == 0 {
            return Err(Error::invalid("max_attempts is zero"));
        }
        client.api_url = check_api_url(&client.api_url)?.into();
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

impl Region {
    /// Returns the URL of API v2 in the region, with its path and without a trailing slash.
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
    /// [`ErrorKind::InvalidInput`] if there is no such site, or no such region on it.
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
        let regions = Region::on_site(site)?;
        let found = regions
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(code));
        found.map(|(_, region)| *region).ok_or_else(|| {
            let (code, codes) = (printable(code), codes(regions));
            let text = format!("no region \"{code}\" on the site {site}, which has {codes}");
            Error::invalid(text).advise("; the sites are public, gov and fin")
        })
    }

    fn on_site(site: &str) -> Result<&'static [(&'static str, Region)], Error> {
        Ok(match &*site.to_ascii_lowercase() {
            "public" => &[
                ("KR", Region::Korea),
                ("SGN", Region::Singapore),
                ("JPN", Region::Japan),
            ],
            "gov" => &[("KR", Region::GovKorea), ("KRS", Region::GovKoreaSouth)],
            "fin" => &[("FKR", Region::FinKorea)],
            _ => {
                let site = printable(site);
                let text = format!("no site \"{site}\": expected public, gov or fin");
                return Err(Error::invalid(text));
            }
        })
    }
}

fn codes(regions: &[(&str, Region)]) -> String {
    let codes: Vec<_> = regions.iter().map(|(code, _)| *code).collect();
    codes.join(", ")
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
/// The section that the lines above the first header of a key file belong to.
const DEFAULT_PROFILE: &str = "DEFAULT";
/// More than a file of keys and settings needs; `/dev/zero` has no end.
const MAX_KEY_FILE: usize = 64 * 1024;
const LINE_GRAMMAR: &str = "must be a comment, a [section] or \"name = value\"";

impl Credentials {
    /// Creates credentials from the two keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is empty, or contains whitespace, a quotation mark or
    /// anything else that is not printable ASCII.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Credentials, Error> {
        check_key("the access key", access_key)?;
        check_key("the secret key", secret_key)?;
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
    /// the file is not read. `NCLOUD_PROFILE` names the section of the file; default: `[DEFAULT]`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Credentials`] if a key is missing or unusable; if the variables could mean two
    /// accounts (the two of a key differ, or one is set beside a non-empty `NCLOUD_PROFILE`); if
    /// `NCLOUD_PROFILE` is empty; and as for [`from_profile`](Credentials::from_profile).
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
        if profile.is_none() && matches!(path.try_exists(), Ok(false)) {
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
    /// A line is blank, a comment (`#` or `;`), a section, or `name = value` with a name of
    /// letters, digits, `.`, `_` and `-`. A file with any other line is refused, as it could be
    /// meant to begin another account's section. Lines above the first section belong to
    /// `[DEFAULT]`. A `~` in `path` is not expanded.
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
        let place = printable(&path.to_string_lossy());
        let no_keys = |why: String| Error::credentials(format!("no keys in {place}: {why}"));
        let text = read_key_file(path).map_err(|error| no_keys(error.to_string()))?;
        let [access_key, secret_key] = find_keys(&text, profile).map_err(no_keys)?;
        Credentials::new(access_key, secret_key).map_err(|error| error.at(&place))
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
        let (time, key) = (timestamp_ms.to_string(), self.access_key());
        let mut hmac = Hmac::clone(&self.hmac);
        for part in [method, " ", request_target, "\n", &time, "\n", key] {
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
    check_key(&format!("the {what} in {name}"), &key)?;
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
            None => return Err(format!("line {} {LINE_GRAMMAR}", index + 1)),
        }
    }
    let section = printable(profile);
    if !sections.contains(&profile) {
        let names = printable(&format!("[{}]", sections.join("], [")));
        let names = names.replace("[]", "none"); // no section has an empty name
        return Err(format!("no section [{section}]; the file has {names}"));
    }
    let value_of = |name: &str| {
        let values = settings.iter().filter(|(found, _)| *found == name);
        match *values.map(|(_, value)| *value).collect::<Vec<_>>() {
            [value] => Ok(value),
            [] => Err(format!("no {name} under [{section}]")),
            _ => Err(format!(
                "{name} is set more than once under [{section}]; keep one"
            )),
        }
    };
    let access_key = value_of("ncloud_access_key_id")?;
    Ok([access_key, value_of("ncloud_secret_access_key")?])
}

/// What a line of a key file can be.
enum Line<'a> {
    /// A comment or nothing.
    Blank,
    Section(&'a str),
    Setting(&'a str, &'a str),
}

fn parse_line(line: &str) -> Option<Line<'_>> {
    // Some editors show these as a line break and others do not: they could hide a section.
    let hides = |c: char| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}');
    if line.contains(hides) {
        return None;
    }
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Some(Line::Blank);
    }
    let section = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
    if let Some(name) = section.map(str::trim_ascii) {
        // A name with a = could be a key, which is not to be shown. Names that are not UTF-8 could
        // stand for one another.
        let is_valid =
            !name.is_empty() && !name.contains(['[', ']', '=', char::REPLACEMENT_CHARACTER]);
        return is_valid.then_some(Line::Section(name));
    }
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim_ascii_end(), value.trim_ascii_start());
    let is_valid = !name.is_empty() && has_only(name, b"_.-");
    is_valid.then_some(Line::Setting(name, value))
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
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0x0F)]);
        }
    }
    encoded
}

/// Tells in one line why a call failed: what became of the image, the cause, the service's words,
/// and what to do.
///
/// The line includes the cause, so there is no [`source`](std::error::Error::source). It has no
/// secret key, only the last 4 characters of the access key, and is safe to show on a terminal.
///
/// # Examples
///
/// An unknown outcome cuts across the kinds, so it comes first:
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
#[derive(Clone)]
pub struct Error(Box<Details>); // boxed to keep `Result` small

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    outcome: Outcome,
    /// What became of the image, what could not be read, or where a setting came from.
    opening: String,
    what_happened: String,
    advice: &'static str,
    status: Option<u16>,
    body: Option<String>,
    trace_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
}

/// What an attempt that failed may have done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    NotDeleted,
    /// The service may have acted on it.
    Unknown,
    /// Nothing, since the service itself says that there is no such image.
    Absent,
}

/// Tells what went wrong, for a program to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name, a path, an API URL, a setting or the configuration of ureq cannot be used; nothing
    /// was sent.
    InvalidInput,
    /// Keys are missing, unreadable or unusable; nothing was sent.
    Credentials,
    /// 400, or another 4xx status without a kind of its own: the service rejected the request.
    /// Check the registry, the image name and the API URL.
    BadRequest,
    /// 401: the service did not accept the keys, the signature or its timestamp. Check the keys,
    /// their permissions and subscription, the site, and this machine's clock: the service refuses
    /// a timestamp that is more than 5 minutes from its own clock.
    Unauthorized,
    /// 403: the account lacks permission for this registry. Grant it.
    Forbidden,
    /// 404 with one of the service's error codes, except 300: there is no such registry or image.
    /// For a deletion by API v2, whose 404 is not documented, an empty body or any JSON object
    /// counts, too. Check the names and the region.
    NotFound,
    /// 409: something else was changing the image or its registry. Try again later.
    Conflict,
    /// 429: too many requests, or a quota is used up. Wait for [`Error::retry_after`], send fewer
    /// requests, or ask for a larger quota.
    RateLimited,
    /// 424, 499 or 5xx: the service or its gateway failed. The service may send a 500 for a missing
    /// image. Run the call again, or ask [`Client::image_exists`].
    Server,
    /// A response that is not the service's or, before any, a proxy that wants a password or a
    /// certificate that is not valid. Such a response is a redirect, a success status that confirms
    /// nothing, a 403 or 404 of a proxy or a load balancer, or a 404 for an unknown URL. Check the
    /// API URL and the proxy.
    UnexpectedResponse,
    /// No response in time, or 408. Run the call again, or allow more time.
    Timeout,
    /// No connection, a lost connection, a truncated success or 404, or something that is not HTTP.
    /// Check the network, the proxy and the API URL.
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
            Self::NotFound => "; check the names and the region",
            Self::Conflict => "; try again when nothing else is changing the image or the registry",
            Self::RateLimited => "; send fewer requests, or ask for a larger quota",
            Self::UnexpectedResponse => {
                "; check the API URL, and whether a proxy responded instead"
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

    /// Returns the first 300 characters of the last response's body, trimmed, escaped for a
    /// terminal, and with the access key masked. The service's bodies are JSON; their `details`
    /// often explain the problem. `None` if there was none, or for a redirect.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// Returns the service's ID for the request, from the header `x-ncp-trace-id` or
    /// `x-ncp-request-id`: quote it to the vendor's support.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// Returns how long the service asked to wait before the next request: `Retry-After` in seconds
    /// (RFC 9110, section 10.2.3). Its other form, a date, is ignored.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns how many attempts were made, including those that never connected; 0 if none.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns whether the outcome is unknown: the service may have acted on a request, and no
    /// response proves that it did or did not.
    ///
    /// Run [`delete_image`](Client::delete_image) again: if the service then finds no such image,
    /// it is gone (unless the text says that the 404 is without a code of the service). Or look for
    /// it:
    ///
    /// ```no_run
    /// # fn find_out(client: &ncloud_container_registry::Client, registry: &str, image: &str) {
    /// match client.image_exists(registry, image) {
    ///     Ok(false) => println!("it is gone"),
    ///     Ok(true) => println!("not yet gone; look again in 5 minutes, or run the call again"),
    ///     Err(error) => println!("still unknown: {error}"),
    /// }
    /// # }
    /// ```
    pub fn may_have_been_deleted(&self) -> bool {
        self.0.outcome == Outcome::Unknown
    }

    /// Returns whether the same call may succeed later: after a failure that the client itself
    /// retries. These are the kinds `Conflict`, `RateLimited`, `Server`, `Timeout` and `Transport`.
    pub fn is_transient(&self) -> bool {
        use ErrorKind::{Conflict, RateLimited, Server, Timeout, Transport};
        let kind = self.kind();
        matches!(kind, Conflict | RateLimited | Server | Timeout | Transport)
    }

    fn new(kind: ErrorKind, outcome: Outcome, what_happened: impl Into<String>) -> Error {
        Error(Box::new(Details {
            kind,
            outcome,
            opening: String::new(),
            what_happened: what_happened.into(),
            advice: kind.advice(),
            status: None,
            body: None,
            trace_id: None,
            retry_after: None,
            attempts: 0,
        }))
    }

    fn invalid(what_is_wrong: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, Outcome::NotDeleted, what_is_wrong)
    }

    fn credentials(what_is_wrong: impl Into<String>) -> Error {
        Error::new(ErrorKind::Credentials, Outcome::NotDeleted, what_is_wrong)
    }

    /// Tells what to do in place of what its kind tells.
    fn advise(mut self, advice: &'static str) -> Error {
        self.0.advice = advice;
        self
    }

    /// Names the variable or the file that a setting came from.
    fn at(mut self, place: &str) -> Error {
        self.0.opening = format!("{place}: ");
        self
    }

    /// Opens the text with what became of the image, or with what was to be read.
    fn about(mut self, method: &Method, name: &str) -> Error {
        let (error, name) = (&mut self.0, printable(name));
        error.opening = match (error.outcome, error.kind) {
            _ if method != Method::DELETE => format!("cannot read \"{name}\": "),
            (Outcome::Unknown, _) if error.status == Some(500) => {
                format!("{name} may have been deleted, or never existed: ")
            }
            (Outcome::Unknown, _) => format!("{name} may have been deleted: "),
            (_, ErrorKind::InvalidInput) => format!("cannot delete \"{name}\": "),
            (_, ErrorKind::NotFound) => format!("{name} was not found: "),
            _ => format!("{name} was not deleted: "),
        };
        self
    }
}

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
        match error.retry_after {
            Some(wait) if self.is_transient() && !wait.is_zero() => {
                write!(f, "; wait {} s, as the service asks", wait.as_secs())?;
            }
            _ => f.write_str(error.advice)?,
        }
        f.write_str(match (error.outcome, error.kind) {
            (Outcome::Unknown, _) => {
                "; run it again; if the service then finds no such image, it is gone"
            }
            (_, ErrorKind::Server) => "; run it again later",
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

/// Refuses `text`, which errors call `what`, for the first of `flaws` that it has.
fn refuse(what: &str, text: &str, flaws: &[(bool, &str)]) -> Result<(), String> {
    let whitespace = "contains whitespace, perhaps a line break";
    let common = [
        (text.is_empty(), "is empty"),
        (text.contains(char::is_whitespace), whitespace),
    ];
    let flaw = common.iter().chain(flaws).find(|(is_flawed, _)| *is_flawed);
    flaw.map_or(Ok(()), |(_, flaw)| Err(format!("{what} {flaw}")))
}

/// Allows what a header can carry (RFC 9110, section 5.5), but no quotation marks, which would
/// become part of the key. What else a valid key looks like is for the service to say.
#[rustfmt::skip] // one flaw a line
fn check_key(what: &str, key: &str) -> Result<(), Error> {
    let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    refuse(what, key, &[
        (key.contains(['"', '\'']), "contains a quotation mark; remove the quotes around it"),
        (!is_printable, "is not printable ASCII"),
    ])
    .map_err(Error::credentials)
}

/// Allows one label of a host name (RFC 1035, section 2.3.4). No other registry can exist, and a
/// server might read it as another resource.
#[rustfmt::skip] // one flaw a line
fn check_registry(registry: &str) -> Result<(), Error> {
    refuse("the registry", registry, &[
        (registry.contains('/'), "contains a slash; what follows it belongs to the image name"),
        (registry.contains('.'), "is a host; pass the name from the console (a private endpoint does not contain it)"),
        (registry.contains(char::is_uppercase), "contains upper-case letters"),
        (registry.len() > 63, "has more than 63 bytes"),
        (!is_name(registry, b"-"), "must be a-z, 0-9 and -, with a-z or 0-9 at both ends"),
    ])
    .map_err(Error::invalid)
}

/// Allows slightly more than the Docker Registry v2 specification, up to its clients' 255 bytes. A
/// host, as `docker images` shows it, is refused, and no error shows the rest, which may name
/// another image here.
#[rustfmt::skip] // one flaw a line
fn check_image_name(name: &str) -> Result<(), Error> {
    let host = name.split(['/', ':']).next().unwrap_or_default();
    let has_host = host.to_ascii_lowercase().ends_with("ntruss.com") || name.contains("://");
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_valid = name.split('/').all(|component| is_name(component, b"._-"));
    refuse("the image name", name, &[
        (has_host, "begins with a host; if that is this registry's, pass the name without it"),
        (last.contains([':', '@']), "has a tag or digest, but an image is all of its tags; only delete_tag takes a tag"),
        (name.contains('%'), "is percent-encoded; pass it unencoded"),
        (name.contains(char::is_uppercase), "contains upper-case letters"),
        (name.len() > 255, "has more than 255 bytes"),
        (!is_valid, "must be components joined by /, of a-z, 0-9, ., _ and -, with a-z or 0-9 at both ends"),
    ])
    .map_err(Error::invalid)
}

/// Allows the tags of the Docker Registry v2 specification.
#[rustfmt::skip] // one flaw a line
fn check_tag(tag: &str) -> Result<(), Error> {
    let is_tag = has_only(tag, b"_.-") && !tag.starts_with(['.', '-']);
    refuse("the tag", tag, &[
        (tag.len() > 128, "has more than 128 bytes"),
        (!is_tag, "must be letters, digits, ., _ and - (no digest), not beginning with . or -"),
    ])
    .map_err(Error::invalid)
}

/// Allows segments that every server reads in the same way (RFC 3986, section 5.2.4).
fn check_path(path: &[&str]) -> Result<(), Error> {
    let is_plain = |segment: &&str| segment.split('/').all(is_plain_component);
    let flaw = "may have letters, digits, - . _ ~ : and single slashes, and no . or .. component; \
                pass it unencoded";
    let flaws = [(!path.iter().all(is_plain), flaw)];
    refuse("the path", &path.join("/"), &flaws).map_err(Error::invalid)
}

fn is_name(text: &str, separators: &[u8]) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_allowed = |byte: &u8| is_alphanumeric(byte) || separators.contains(byte);
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(is_allowed)
}

fn is_plain_component(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && has_only(text, b"-._~:")
}

/// Whether a text has only letters, digits and `others`.
fn has_only(text: &str, others: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    text.bytes().all(is_allowed)
}

fn check_api_url(api_url: &str) -> Result<String, Error> {
    // What comes before an @, or after a ? or a #, may be secret.
    if api_url.contains(['@', '?', '#']) {
        let text = "unusable API URL: it has a user, a query or a fragment; remove that";
        return Err(Error::invalid(text));
    }
    safe_api_url(api_url).ok_or_else(|| {
        Error::invalid(format!(
            "unusable API URL \"{}\": expected https (http for loopback only), and host and path of \
             the API, such as https://ncr.apigw.ntruss.com/ncr/api/v2 or \
             https://kr-ncr.apigw.ntruss.com/api/v3",
            printable(api_url)
        ))
    })
}

/// Returns the API URL without a trailing slash, if it is safe to send a signature to: a scheme, a
/// host, perhaps a port, and a plain path, with nothing between them or after.
fn safe_api_url(api_url: &str) -> Option<String> {
    let url = api_url.strip_suffix('/').unwrap_or(api_url);
    let uri: Uri = url.parse().ok()?;
    let (scheme, host, path) = (uri.scheme_str()?, uri.host()?, uri.path());
    let port = uri.port_u16().map(|port| format!(":{port}"));
    let known = format!("{scheme}://{host}{}{path}", port.unwrap_or_default());
    let is_all_known = known.eq_ignore_ascii_case(url); // nothing else, such as an odd port
    let is_plain = path.split('/').skip(1).all(is_plain_component);
    let is_api = path.ends_with("/v2") || path.ends_with("/v3");
    let is_loopback = host.eq_ignore_ascii_case("localhost") // RFC 6761, section 6.3
        || format!("{host}:0").parse().is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    let is_confidential = scheme == "https" || (scheme == "http" && is_loopback);
    // On the vendor's other hosts, such as that of `docker login`, a 404 would read as "absent".
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_gateway = !name.ends_with("ntruss.com") || name.contains(".apigw.");
    let is_safe = !host.is_empty() && is_confidential && is_gateway;
    (is_safe && is_all_known && is_plain && is_api).then_some(known)
}

// How a request is sent.

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
/// TCP and TLS take less across any ocean, and a call of a minute has time for a second attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// With less, half of it and a wait of a second could end in the last quarter.
const MIN_TIMEOUT_TO_HALVE: Duration = Duration::from_secs(4);
/// The longest first wait: a few attempts then outlast a failure of a second or so.
const MAX_FIRST_WAIT_MS: u64 = 1000;
/// With more, a call of a minute would mostly wait.
const MAX_DOUBLINGS: u32 = 3;

/// What a request acts on.
struct Target {
    method: Method,
    /// For people.
    name: String,
    url: Uri,
    /// What the object must have that a successful reading returns.
    field: Option<&'static str>,
}

impl Target {
    /// Takes a URL whose names were checked, or the error of that.
    fn new(method: Method, name: String, checked: Result<String, Error>) -> Result<Target, Error> {
        let invalid = |error: http::uri::InvalidUri| Error::invalid(error.to_string());
        let url = checked.and_then(|url| url.parse().map_err(invalid));
        let url = url.map_err(|error| error.about(&method, &name))?;
        Ok(Target {
            method,
            name,
            url,
            field: None,
        })
    }

    fn is_https(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

impl Client {
    /// Sends requests until one succeeds or fails for good, or the attempts or the time run out.
    /// Deleting and reading are idempotent, so an attempt whose outcome is unknown can be repeated.
    fn run(&self, target: &Target) -> Result<String, Error> {
        let about = |error: Error| error.about(&target.method, &target.name);
        if target.is_https() && !self.has_tls {
            let text = "this crate was built without TLS; enable its feature rustls";
            return Err(about(Error::invalid(text)));
        }
        let started = Instant::now();
        let (mut attempt, mut is_unknown) = (0, false);
        loop {
            attempt += 1;
            let mut error = match self.send(target, attempt, started) {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            error.0.attempts = attempt;
            if target.method != Method::DELETE {
                error.0.outcome = Outcome::NotDeleted; // reading changes nothing
            }
            match error.0.outcome {
                Outcome::Absent if is_unknown => return Ok(String::new()), // it was deleted before
                Outcome::Unknown => is_unknown = true,
                _ if is_unknown => {
                    error.0.outcome = Outcome::Unknown;
                    error.0.what_happened += ", after an attempt whose outcome is unknown";
                    error.0.advice = ""; // which is for a call that did nothing
                }
                _ => {}
            }
            let wait = wait_before_retry(attempt, error.retry_after().unwrap_or_default());
            let is_retried = error.is_transient() && attempt < self.max_attempts;
            if is_retried && self.has_time_for_retry(started.elapsed() + wait) {
                thread::sleep(wait);
                // The process may have been stopped in the meantime.
                if self.has_time_for_retry(started.elapsed()) {
                    continue;
                }
            }
            return Err(about(error));
        }
    }

    /// Sends one request of the call that began at `started`, and returns the body of a success.
    fn send(&self, target: &Target, attempt: u32, started: Instant) -> Result<String, Error> {
        let request = self.signed_request(target);
        let request = request.map_err(|error| Error::invalid(error.to_string()))?;
        let time = self.time_for_attempt(attempt, started.elapsed());
        let connect_time = self.agent.config().timeouts().connect;
        let mut config = self
            .agent
            .configure_request(request)
            .timeout_global(Some(time))
            .timeout_connect(Some(connect_time.unwrap_or(CONNECT_TIMEOUT).min(time)));
        if !target.is_https() {
            config = config.proxy(None); // loopback is reached without one
        }
        if attempt > 1 {
            // Kept connections may all be dead, for example after a suspend: open a new one.
            config = config.max_idle_age(Duration::ZERO);
        }
        IS_CONNECTING.set(false);
        match self.agent.run(config.build()) {
            Ok(response) => self.judge_response(target, Response::read(response)),
            // Taken: this call may run in the middleware of another.
            Err(error) => Err(self.judge_error(&error, IS_CONNECTING.take(), started.elapsed())),
        }
    }

    /// Signs a request for this moment.
    fn signed_request(&self, target: &Target) -> http::Result<Request<()>> {
        let request_target = target.url.path_and_query().map_or("", |path| path.as_str());
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        let timestamp_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        let keys = &self.credentials;
        let signature = keys.sign(target.method.as_str(), request_target, timestamp_ms);
        Request::builder()
            .method(target.method.clone())
            .uri(target.url.clone())
            .header("User-Agent", USER_AGENT)
            // A compressed response would lose its length, which shows whether it is complete.
            .header("Accept-Encoding", "identity")
            .header("Content-Type", "application/json") // which every operation requires
            .header("x-ncp-apigw-timestamp", timestamp_ms)
            .header("x-ncp-iam-access-key", sensitive(keys.access_key())?)
            .header("x-ncp-apigw-signature-v2", sensitive(&signature)?)
            .body(())
    }

    /// Returns half of the timeout, so that a call that hangs once has a second attempt, or all
    /// that is left.
    fn time_for_attempt(&self, attempt: u32, elapsed: Duration) -> Duration {
        let time_left = self.timeout.saturating_sub(elapsed);
        if attempt >= self.max_attempts || self.timeout < MIN_TIMEOUT_TO_HALVE {
            time_left
        } else {
            time_left.min(self.timeout / 2)
        }
    }

    /// Whether a retry may begin so long after the call: not in the last quarter. A request without
    /// time for a response would turn a certain "not deleted" into a "may have been deleted".
    fn has_time_for_retry(&self, elapsed: Duration) -> bool {
        elapsed <= self.timeout / 4 * 3
    }
}

/// Makes a header's value that `Debug`, and so a log, does not show.
fn sensitive(value: &str) -> http::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns how long to wait after `attempts` that failed: between half and all of a bound that
/// doubles with each, or as long as the service asks. The jitter keeps clients that failed together
/// from coming back together.
fn wait_before_retry(attempts: u32, asked: Duration) -> Duration {
    let half_ms = (MAX_FIRST_WAIT_MS << attempts.saturating_sub(1).min(MAX_DOUBLINGS)) / 2;
    // Each RandomState hashes with its own keys, which start from the system's random numbers.
    let random = RandomState::new().hash_one(attempts);
    asked.max(Duration::from_millis(half_ms + random % half_ms))
}

// Whether anything was sent.

thread_local! {
    /// Whether ureq is at work, on this thread, on what comes before a request: looking up a host,
    /// connecting to it or to a proxy, TLS. It stays set if that fails.
    static IS_CONNECTING: Cell<bool> = const { Cell::new(false) };
}

/// Wraps ureq's resolver or connector, and notes when it is at work. If a request fails while the
/// note is set, it was not sent. Without the note, nothing is known: behind a proxy, ureq uses a
/// kept connection without calling either.
#[derive(Debug)]
struct Noted<T>(T);

/// Runs a step of connecting. A step within a step, as with a proxy, restores what it found.
fn noted<T>(step: impl FnOnce() -> Result<T, ureq::Error>) -> Result<T, ureq::Error> {
    let before = IS_CONNECTING.replace(true);
    let done = step()?;
    IS_CONNECTING.set(before);
    Ok(done)
}

impl<T: Resolver> Resolver for Noted<T> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        noted(|| self.0.resolve(uri, config, timeout))
    }
}

impl<T: Connector> Connector for Noted<T> {
    type Out = T::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<T::Out>, ureq::Error> {
        noted(|| self.0.connect(details, chained))
    }
}

/// Makes an agent that notes in `IS_CONNECTING` that it connects.
fn new_agent(
    configure: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
) -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    #[cfg(feature = "platform-verifier")]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build(),
    );
    let config = configure(config)
        .http_status_as_error(false)
        .max_redirects(0); // a redirect would take the signature to another host
    let (connector, resolver) = (DefaultConnector::default(), DefaultResolver::default());
    ureq::Agent::with_parts(config.build(), Noted(connector), Noted(resolver))
}

// How responses and errors are judged.

/// More than a page of 100 images, which has some 40 KiB.
const MAX_BODY: usize = 1024 * 1024;

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

    /// Returns why the body may be incomplete, by its length and framing (RFC 9112, section 8).
    fn flaw(&self) -> Option<String> {
        let is_framed = match self.header("Transfer-Encoding") {
            Some(coding) => {
                self.head.version == Version::HTTP_11 && coding.eq_ignore_ascii_case("chunked")
            }
            None => self.header("Content-Length").is_some(),
        };
        match &self.length {
            Err(cause) => Some(format!(", truncated ({})", printable(&cause.to_string()))),
            Ok(_) if self.is_too_long() => Some(", longer than 1 MiB".to_owned()),
            Ok(_) if !is_framed => Some(", without a length".to_owned()),
            Ok(_) => None,
        }
    }

    fn is_too_long(&self) -> bool {
        self.length.as_ref().is_ok_and(|length| *length > MAX_BODY)
    }

    /// Whether the head says that there is no body.
    fn is_empty(&self) -> bool {
        let length = self.header("Content-Length");
        length.as_deref() == Some("0") && self.header("Transfer-Encoding").is_none()
    }

    /// Whether the body looks like a JSON object, which a page of HTML does not.
    fn is_object(&self) -> bool {
        let body = self.body.trim_ascii();
        body.starts_with('{') && body.ends_with('}')
    }

    /// Whether the body is a complete JSON object, with the field that is `required`, if any, and
    /// no error of the service in one of the documented shapes.
    fn is_resource(&self, required: Option<&str>) -> bool {
        let first_field = self.body.split('"').nth(1).unwrap_or_default();
        let names = ["error", "responseError", "errorCode", "returnCode"];
        let is_error = names.contains(&first_field) && self.code().is_some();
        let has_field = required.is_none_or(|field| self.dense_body().contains(field));
        self.flaw().is_none() && self.is_object() && !is_error && has_field
    }

    /// Returns the service's error code: the value of the first `errorCode`, or else `returnCode`,
    /// if it is a number other than 0, or a string other than `""` and `"0"`. Other gateways write
    /// `null`, and successes of other services of the platform have `"0"`.
    fn code(&self) -> Option<String> {
        let body = self.dense_body();
        let value_of = |name: &str| body.split_once(&format!("\"{name}\":"));
        let (_, value) = value_of("errorCode").or_else(|| value_of("returnCode"))?;
        let text = value.strip_prefix('"').and_then(|s| s.split_once('"'));
        let text = text.filter(|(code, _)| !matches!(*code, "" | "0"));
        let number = value.split_once([',', '}']);
        let number = number.filter(|(code, _)| code.parse().is_ok_and(|code: i64| code != 0));
        text.or(number).map(|(code, _)| code.to_owned())
    }

    /// Returns the body without whitespace, which may stand around the colon of a field.
    fn dense_body(&self) -> String {
        self.body.replace(char::is_whitespace, "")
    }
}

const CHECK_PASSWORD: &str = "; check the user and password of the proxy's URL";
const CHECK_CERTIFICATE: &str =
    "; check the certificate of the server (or the proxy), this machine's clock and the API URL";
const TRUST_AUTHORITY: &str = if cfg!(feature = "platform-verifier") {
    "; to trust a private authority, add it to those that the system trusts"
} else {
    "; to trust a private authority, enable the feature platform-verifier, or pass its PEM file to \
     ClientBuilder::ureq_config"
};

/// What a failure is, what it proves, and what its text adds to the status.
type Failure = (ErrorKind, Outcome, Option<String>);

impl Client {
    /// Judges a response by the first row that fits. A status without a row of its own has the kind
    /// of its class (RFC 9110, section 15).
    fn judge_response(&self, target: &Target, response: Response) -> Result<String, Error> {
        use {ErrorKind as K, Outcome::Absent, Outcome::NotDeleted, Outcome::Unknown};
        let is_deletion = target.method == Method::DELETE;
        let is_truncated = response.length.is_err();
        let is_foreign = !response.body.is_empty() && !response.is_object(); // a proxy's page
        let header = |name| response.header(name).map(|text| self.server_text(&text));
        let from_url = || {
            let no_code = response.code().is_none();
            let no_code = no_code.then(|| ", without a code of the service".to_owned());
            let flaw = response.flaw().or(no_code).unwrap_or_default();
            Some(format!(" from {}{flaw}", self.api_url))
        };
        let failure = match response.head.status.as_u16() {
            204 if is_deletion => return Ok(response.body), // the documented success
            // Other successes; a login page has a body.
            200 | 201 if is_deletion && response.is_empty() => return Ok(response.body),
            200 if !is_deletion && response.is_resource(target.field) => return Ok(response.body),
            200..=299 if is_truncated => (K::Transport, Unknown, response.flaw()),
            200..=299 => (K::UnexpectedResponse, Unknown, response.flaw()),
            300..=399 => {
                // What comes before an @ may be a password.
                let location = header("Location").filter(|location| !location.contains('@'));
                let location = location.map(|location| format!(" to {location}"));
                (K::UnexpectedResponse, Unknown, location)
            }
            401 => {
                let access_key = self.credentials.masked_access_key();
                let date = header("Date").map(|date| format!(", service's clock {date}"));
                let keys = format!(" (access key {access_key}{})", date.unwrap_or_default());
                (K::Unauthorized, NotDeleted, Some(keys))
            }
            403 if is_foreign => (K::UnexpectedResponse, NotDeleted, None),
            403 => (K::Forbidden, NotDeleted, None),
            // A 404 proves something only if the service said it, with a code. Others come from a
            // proxy or a load balancer, perhaps while the service restarts.
            404 if is_truncated => (K::Transport, NotDeleted, from_url()), // lost on the way
            404 if is_foreign || response.flaw().is_some() => {
                (K::UnexpectedResponse, NotDeleted, from_url())
            }
            // The URL is unknown, or permission is lacking.
            404 if response.code().as_deref() == Some("300") => {
                (K::UnexpectedResponse, NotDeleted, from_url())
            }
            404 if response.code().is_some() => (K::NotFound, Absent, from_url()),
            // What v2's own 404 looks like is not documented.
            404 if is_deletion && !self.is_v3() => (K::NotFound, NotDeleted, from_url()),
            404 => (K::UnexpectedResponse, NotDeleted, from_url()),
            // It may come from a proxy in front of a slow service.
            408 => (K::Timeout, Unknown, None),
            // It did nothing. If an earlier attempt is still being processed, a 404 follows.
            409 => (K::Conflict, NotDeleted, None),
            429 => (K::RateLimited, NotDeleted, None),
            // No refusals: something behind the gateway failed, or was not waited for.
            424 | 499 | 500..=599 => (K::Server, Unknown, None),
            400..=499 => (K::BadRequest, NotDeleted, None),
            _ => (K::UnexpectedResponse, Unknown, None),
        };
        Err(self.response_error(target, &response, failure))
    }

    /// Builds the error of a response, with its status, body, trace ID and `Retry-After`.
    fn response_error(&self, target: &Target, response: &Response, failure: Failure) -> Error {
        let (kind, outcome, addition) = failure;
        let status = response.head.status;
        let text = format!("{status}{}", addition.unwrap_or_default());
        let mut error = Error::new(kind, outcome, text);
        if kind == ErrorKind::UnexpectedResponse && response.code().is_some() {
            error = error.advise("; check the API URL, and the account's permissions");
        } else if response.is_too_long() && target.method != Method::DELETE {
            error = error.advise("; ask for a smaller page");
        }
        let details = &mut error.0;
        details.status = Some(status.as_u16());
        let header = |name| response.header(name).map(|text| self.server_text(&text));
        details.trace_id = header("x-ncp-trace-id").or_else(|| header("x-ncp-request-id"));
        let retry_after = response.header("Retry-After");
        details.retry_after = retry_after.as_deref().and_then(parse_retry_after);
        let body = response.body.trim();
        let is_shown = !body.is_empty() && !status.is_redirection();
        details.body = is_shown.then(|| self.server_text(body));
        error
    }

    /// Builds the error of an attempt without a response, `elapsed` after the call began.
    fn judge_error(&self, error: &ureq::Error, was_connecting: bool, elapsed: Duration) -> Error {
        use {ErrorKind as K, ureq::Error as E};
        let text = error.to_string();
        let (kind, advice) = match error {
            // ureq says these of itself, and sends nothing.
            E::RequireHttpsOnly(_) | E::TlsRequired => (K::InvalidInput, ""),
            // These it says while connecting; a middleware could say them after it has sent.
            E::Tls(_) if was_connecting => (K::InvalidInput, ""),
            #[cfg(feature = "rustls")]
            E::Rustls(_) if was_connecting && text.contains("No CA certificates") => (
                K::InvalidInput,
                "; install the system's certificates (ca-certificates), or check SSL_CERT_FILE",
            ),
            #[cfg(feature = "rustls")]
            E::Rustls(_) if was_connecting => (K::InvalidInput, ""),
            E::Timeout(_) => (K::Timeout, K::Timeout.advice()),
            // Not retried: waiting mends neither a password nor a certificate, and repeating a
            // wrong password could lock the account.
            E::ConnectProxyFailed(_) if text.contains("407") => {
                (K::UnexpectedResponse, CHECK_PASSWORD)
            }
            E::Io(_) if text == "io: password authentication failed" => {
                (K::UnexpectedResponse, CHECK_PASSWORD) // SOCKS 5
            }
            E::Io(_) if text.contains("UnknownIssuer") => (K::UnexpectedResponse, TRUST_AUTHORITY),
            E::Io(_) if text.contains("invalid peer certificate") => {
                (K::UnexpectedResponse, CHECK_CERTIFICATE)
            }
            _ => (K::Transport, K::Transport.advice()),
        };
        let (outcome, what_failed) = match kind {
            K::InvalidInput => (Outcome::NotDeleted, "cannot send to"),
            _ if was_connecting => (Outcome::NotDeleted, "no connection to"),
            _ => (Outcome::Unknown, "no response from"),
        };
        let host = self.api_url.split('/').nth(2).unwrap_or_default(); // after "https:" and ""
        let through = |proxy| format!(" through the proxy {proxy}");
        let proxy = self.proxy().map(through).unwrap_or_default();
        let cause = match error {
            E::Timeout(_) => format!(" within {:.1} s", elapsed.as_secs_f32()),
            _ => format!(": {}", printable(text.trim_start_matches("io: "))),
        };
        let what_happened = format!("{what_failed} {host}{proxy}{cause}");
        Error::new(kind, outcome, what_happened).advise(advice)
    }

    /// Returns host and port of the proxy through which the API URL is reached, if any. Its URL may
    /// hold a password.
    fn proxy(&self) -> Option<String> {
        let api_url: Uri = self.api_url.parse().ok()?;
        let proxy = self.agent.config().proxy()?;
        let is_used = api_url.scheme_str() == Some("https") && !proxy.is_no_proxy(&api_url);
        is_used.then(|| format!("{}:{}", proxy.host(), proxy.port()))
    }

    /// Makes server text safe to show: the access key masked, the rest truncated and escaped.
    fn server_text(&self, text: &str) -> String {
        let access_key = self.credentials.access_key();
        printable(&text.replace(access_key, &self.credentials.masked_access_key()))
    }
}

// How text is read and shown.

/// Enough for the longest error body of the service that was seen, and little enough for a line.
const MAX_SHOWN: usize = 300;

/// Reads `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn parse_retry_after(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The cap keeps arithmetic with times from overflowing.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u32::MAX).into()))
}

/// Returns the first 300 characters of `text`, with those escaped that could break the line, steer
/// the terminal or reorder the text. Quotation marks and backslashes are harmless, and common.
fn printable(text: &str) -> String {
    let start: String = text.chars().take(MAX_SHOWN).collect();
    let end = if start.len() < text.len() { "…" } else { "" };
    let escaped = start.escape_debug().to_string() + end;
    let escaped = escaped.replace(r"\'", "'").replace(r#"\""#, "\"");
    escaped.replace(r"\\", r"\")
}

#[cfg(test)]
#[path = "../tests/unit/mod.rs"]
mod tests;
