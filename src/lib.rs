#![doc = include_str!("../README.md")]

use std::fmt::{self, Display, Formatter};
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::http::Uri;

/// The HTTP client beneath this crate, so that a caller can build the [`ureq::Agent`] for
/// [`ClientBuilder::agent`] without a dependency of their own.
pub use ureq;

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Deletes images. Cloning is cheap; clones share the connection pool.
#[derive(Clone)]
pub struct Client {
    credentials: Credentials,
    api_url: ApiUrl,
    agent: ureq::Agent,
}

impl Client {
    /// A client for `region` with every default of [`ClientBuilder`].
    #[must_use]
    pub fn new(region: Region, credentials: Credentials) -> Client {
        let agent = ureq::Agent::new_with_defaults();
        Client {
            credentials,
            api_url: ApiUrl::of(region),
            agent,
        }
    }

    /// Starts a client with settings of its own.
    #[must_use]
    pub fn builder(credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            credentials,
            region: Region::Korea,
            api_url: None,
        }
    }

    /// Deletes `image_name`, with all of its tags, from `registry`.
    ///
    /// # Errors
    /// When the service did not confirm the deletion.
    pub fn delete_image(&self, registry: &str, image_name: &str) -> Result<(), Error> {
        let signed = self.sign_delete_image(registry, image_name)?;
        let mut request = self
            .agent
            .delete(&signed.url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .header("User-Agent", USER_AGENT);
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        let mut response = request
            .call()
            .map_err(|error| Error::new(error.to_string()))?;
        match response.status().as_u16() {
            204 => Ok(()),
            200..=202 if matches!(response.body_mut().as_reader().read(&mut [0]), Ok(0)) => Ok(()),
            status => Err(Error::new(format!("the service answered {status}"))),
        }
    }

    /// The request that [`delete_image`](Client::delete_image) would send now. Sends nothing.
    ///
    /// # Errors
    /// When a name is refused.
    pub fn sign_delete_image(
        &self,
        registry: &str,
        image_name: &str,
    ) -> Result<SignedRequest, Error> {
        let mut url = String::from(&*self.api_url.url);
        for segment in ["repositories", registry, image_name] {
            url.push('/');
            url.push_str(&percent_encode(segment));
        }
        let timestamp_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let timestamp_ms = u64::try_from(timestamp_ms).unwrap_or(u64::MAX);
        let target = url.get(self.api_url.path_start..).unwrap_or_default();
        let signature = self.credentials.sign("DELETE", target, timestamp_ms);
        Ok(SignedRequest {
            url,
            credentials: self.credentials.clone(),
            timestamp: timestamp_ms.to_string(),
            signature,
        })
    }
}

/// Settings of a [`Client`].
#[must_use]
pub struct ClientBuilder {
    credentials: Credentials,
    region: Region,
    api_url: Option<String>,
}

impl ClientBuilder {
    /// The region whose API URL is used. Default: [`Region::Korea`].
    pub fn region(mut self, region: Region) -> ClientBuilder {
        self.region = region;
        self
    }

    /// An API URL instead of the region's.
    pub fn api_url(mut self, api_url: &str) -> ClientBuilder {
        self.api_url = Some(api_url.to_owned());
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the API URL is refused.
    pub fn build(self) -> Result<Client, Error> {
        let mut client = Client::new(self.region, self.credentials);
        if let Some(api_url) = self.api_url {
            client.api_url = ApiUrl::parse(&api_url)?;
        }
        Ok(client)
    }
}

/// A request, signed and not sent.
pub struct SignedRequest {
    url: String,
    credentials: Credentials,
    timestamp: String,
    signature: String,
}

impl SignedRequest {
    /// The method, `DELETE`.
    #[must_use]
    pub fn method(&self) -> &str {
        "DELETE"
    }

    /// The URL, percent-encoded.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers, as name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            ("Content-Type", "application/json"),
            ("x-ncp-apigw-timestamp", &self.timestamp),
            ("x-ncp-iam-access-key", self.credentials.access_key()),
            ("x-ncp-apigw-signature-v2", &self.signature),
        ]
        .into_iter()
    }
}

/// Where a registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Region {
    /// Korea.
    Korea,
    /// Singapore.
    Singapore,
    /// Japan.
    Japan,
    /// Korea, for government.
    GovKorea,
    /// Korea south, for government.
    GovKoreaSouth,
    /// Korea, for finance.
    FinKorea,
}

impl Region {
    /// The API URL.
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
}

#[derive(Clone)]
struct ApiUrl {
    url: Arc<str>,
    path_start: usize,
}

impl ApiUrl {
    fn of(region: Region) -> ApiUrl {
        ApiUrl::split(region.api_url())
    }

    fn parse(text: &str) -> Result<ApiUrl, Error> {
        let uri: Uri = text
            .parse()
            .map_err(|_| Error::new("the API URL is not a URL".into()))?;
        let loopback = uri.host().is_some_and(|host| {
            host.trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
        });
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if loopback => {}
            _ => return Err(Error::new("the API URL must be https".into())),
        }
        Ok(ApiUrl::split(text.strip_suffix('/').unwrap_or(text)))
    }

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
}

/// An access key and a secret key.
#[derive(Clone)]
pub struct Credentials {
    access_key: Arc<str>,
    hmac: Arc<Hmac<Sha256>>,
}

impl Credentials {
    /// Credentials from code.
    ///
    /// # Errors
    /// When a key is empty.
    pub fn new(access_key: &str, secret_key: &str) -> Result<Credentials, Error> {
        let hmac = Hmac::new_from_slice(secret_key.as_bytes())
            .map_err(|error| Error::new(error.to_string()))?;
        Ok(Credentials {
            access_key: access_key.into(),
            hmac: Arc::new(hmac),
        })
    }

    /// The access key.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Signature v2 of a request to any NAVER Cloud Platform API.
    #[must_use]
    pub fn sign(&self, method: &str, request_target: &str, timestamp_ms: u64) -> String {
        let mut mac = Hmac::clone(&self.hmac);
        mac.update(
            format!(
                "{method} {request_target}\n{timestamp_ms}\n{}",
                self.access_key
            )
            .as_bytes(),
        );
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// One path segment, percent-encoded: RFC 3986 (section 2.3) unreserved characters stand for
/// themselves, every other byte becomes `%XX`.
#[must_use]
pub fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let hex = |digit: u8| char::from(digit + if digit < 10 { b'0' } else { b'A' - 10 });
            encoded.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    encoded
}

/// Why an image was not deleted.
#[derive(Debug)]
pub struct Error {
    text: String,
}

impl Error {
    fn new(text: String) -> Error {
        Error { text }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
