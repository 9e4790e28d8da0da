//! A loopback gateway that responds as the service does, with API v2 and v3: it checks the signature
//! and the timestamp of the request as it arrived, keeps its images in memory, deletes, lists and
//! describes them, and can be told to misbehave.

#![allow(dead_code)] // the examples and the tests each use a part
#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub const ACCESS_KEY: &str = "AKTEST0123456789abcd";
pub const SECRET_KEY: &str = "SKTEST0123456789abcdefghijklmnopqrstuvwx";
/// The date of each response. Clients show it, and read nothing from it.
pub const DATE: &str = "Tue, 24 Nov 2026 09:30:00 GMT";
/// How far a timestamp may be from the gateway's clock.
const TIMESTAMP_WINDOW_MS: i64 = 5 * 60 * 1000;
/// No connection of a test lives longer without a byte.
const IDLE: Duration = Duration::from_secs(20);

/// One request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Everything up to and with the empty line.
    pub head: String,
}

impl Request {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header, in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    fn one(&self, name: &str) -> Option<&str> {
        match *self.header(name) {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// What happens to the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    KeepAlive,
    Close,
}

/// A connection, perhaps one of TLS.
pub trait Stream: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// One request with the connection that it came over, for a script that responds in its own way.
pub struct Exchange<'a> {
    pub request: &'a Request,
    pub stream: &'a mut dyn Stream,
    state: &'a State,
}

impl Exchange<'_> {
    /// Does what the service does, and returns its response without sending it.
    pub fn serve(&self) -> String {
        self.state.serve(self.request)
    }

    /// What the gateway holds.
    pub fn images(&self) -> MutexGuard<'_, Images> {
        lock(&self.state.images)
    }

    /// Writes to the client; false if it has gone away.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let start: Vec<u8> = bytes.as_ref().iter().take(256).copied().collect();
        lock(&self.state.responses).push(String::from_utf8_lossy(&start).into_owned());
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Waits for the client to send its next request, or to close the connection.
    pub fn wait_for_input(&mut self) {
        let _ = self.stream.socket().peek(&mut [0]);
    }

    /// Waits for the client to close the connection.
    pub fn wait_for_close(&mut self) {
        while matches!(self.stream.read(&mut [0; 1024]), Ok(1..)) {}
    }
}

/// How a gateway treats a request.
pub type Behavior = fn(&mut Exchange<'_>) -> Then;

type Script = Box<dyn FnOnce(&mut Exchange<'_>) -> Then + Send>;
type Handler = Box<dyn Fn(&mut Exchange<'_>) -> Then + Send + Sync>;
type Open = Box<dyn Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync>;

/// Each image, as `registry/image`, with its tags by their names.
pub type Images = BTreeMap<String, BTreeMap<String, Tag>>;

/// What the service tells of a tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// In milliseconds since 1970.
    pub last_updated: u64,
    pub digest: String,
    /// The digests of its images, one a platform.
    pub images: Vec<String>,
}

impl Tag {
    pub fn new(last_updated: u64, digest: impl Into<String>) -> Tag {
        Tag {
            last_updated,
            digest: digest.into(),
            images: Vec::new(),
        }
    }

    pub fn to_json(&self, name: &str) -> String {
        let Tag {
            last_updated,
            digest,
            images,
        } = self;
        let images: Vec<_> = images
            .iter()
            .map(|digest| format!(r#"{{"architecture":"amd64","digest":"{digest}"}}"#))
            .collect();
        let images = images.join(",");
        format!(
            r#"{{"name":"{name}","digest":"{digest}","last_updated":{last_updated},"images":[{images}]}}"#
        )
    }
}

/// What other registries do.
#[derive(Default)]
pub struct Quirks {
    /// The deletion of a tag takes all tags of its digest along.
    pub deletes_by_digest: bool,
    /// What the deletion of a tag of this name gets as a response, and nothing else is done: a
    /// refusal, or a 204 of a registry that lists for a while what it has deleted.
    pub replies: BTreeMap<String, String>,
}

pub struct Gateway {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    images: Mutex<Images>,
    quirks: Mutex<Quirks>,
    requests: Mutex<Vec<Request>>,
    responses: Mutex<Vec<String>>,
    scripts: Mutex<VecDeque<Script>>,
    handler: Handler,
    /// What is done first with each connection; none if that was all.
    open: Open,
    connections: AtomicUsize,
    closing: AtomicBool,
}

impl Gateway {
    /// A gateway that holds `images`, each named `registry/image` or `registry/image:tag`.
    pub fn with(images: &[&str]) -> Gateway {
        let gateway = Gateway::start(serve);
        gateway.put(images);
        gateway
    }

    /// A gateway that treats every request for which no script waits by `handler`.
    pub fn start(handler: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static) -> Gateway {
        Gateway::open(|stream| Some(Box::new(stream)), handler)
    }

    /// The same, where `open` is the first to treat each connection.
    pub fn open(
        open: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
        handler: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static,
    ) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            images: Mutex::default(),
            quirks: Mutex::default(),
            requests: Mutex::default(),
            responses: Mutex::default(),
            scripts: Mutex::default(),
            handler: Box::new(handler),
            open: Box::new(open),
            connections: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let state = Arc::clone(&state);
            move || accept(&listener, &state)
        });
        Gateway {
            address,
            state,
            accepting: Some(accepting),
        }
    }

    /// The URL of API v2.
    pub fn url(&self) -> String {
        format!("http://{}/ncr/api/v2", self.address)
    }

    /// The URL of API v3.
    pub fn url_v3(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn put(&self, images: impl IntoIterator<Item = impl ToString>) {
        for image in images {
            let image = image.to_string();
            let (name, tag) = image.split_once(':').unwrap_or((&image, "latest"));
            let digest = format!("sha256:{tag}");
            self.put_tag(name, tag, Tag::new(1_700_000_000_000, digest));
        }
    }

    /// Pushes a tag, which replaces the one of this name.
    pub fn put_tag(&self, image: &str, name: impl Into<String>, tag: Tag) {
        let mut images = lock(&self.state.images);
        let tags = images.entry(image.to_owned()).or_default();
        tags.insert(name.into(), tag);
    }

    pub fn quirks(&self) -> MutexGuard<'_, Quirks> {
        lock(&self.state.quirks)
    }

    /// The images that the gateway holds, sorted.
    pub fn images(&self) -> Vec<String> {
        lock(&self.state.images).keys().cloned().collect()
    }

    /// The tags of an image, sorted.
    pub fn tags(&self, image: &str) -> Vec<String> {
        let images = lock(&self.state.images);
        images
            .get(image)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.requests).clone()
    }

    /// What was sent to clients so far, each piece truncated after 256 bytes.
    pub fn responses(&self) -> Vec<String> {
        lock(&self.state.responses).clone()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn assert_connections(&self, count: usize) {
        assert_eq!(self.connections(), count, "connections to the gateway");
    }

    #[track_caller]
    pub fn assert_requests(&self, count: usize) {
        assert_eq!(self.requests().len(), count, "requests to the gateway");
    }

    /// The next request, after those already scripted, is treated by `script`.
    pub fn script(&self, script: impl FnOnce(&mut Exchange<'_>) -> Then + Send + 'static) {
        lock(&self.state.scripts).push_back(Box::new(script));
    }

    /// The next request gets `response`, and nothing else is done.
    pub fn respond(&self, response: impl Into<Vec<u8>>) {
        let response = response.into();
        self.script(move |exchange| {
            exchange.send(response);
            Then::KeepAlive
        });
    }

    /// The next request gets `response`, and then the connection ends.
    pub fn respond_and_close(&self, response: impl Into<Vec<u8>>) {
        let response = response.into();
        self.script(move |exchange| {
            exchange.send(response);
            Then::Close
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        // Which wakes the accepting thread.
        if TcpStream::connect(self.address).is_ok() {
            let _ = self.accepting.take().map(JoinHandle::join);
        }
    }
}

/// Does what the service does.
pub fn serve(exchange: &mut Exchange<'_>) -> Then {
    let response = exchange.serve();
    exchange.send(response);
    Then::KeepAlive
}

/// What the service says of an image that does not exist.
pub const NO_SUCH_IMAGE: &str =
    r#"{"responseError":{"returnCode":"404","returnMessage":"Requested resource not found"}}"#;

/// The same of API v3.
pub const NO_SUCH_IMAGE_V3: &str = r#"{"error":{"errorCode":"ResourceNotFound","message":"Not Found","detail":"...","fieldErrors":[]}}"#;

/// What the gateway says of an error.
fn error(code: &str, message: &str, details: &str) -> String {
    let error = format!(r#""errorCode":"{code}","message":"{message}","details":"{details}""#);
    format!(r#"{{"error":{{{error}}}}}"#)
}

/// A response with a body and its length.
pub fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((stream, _)) = listener.accept() {
        if state.closing.load(Ordering::SeqCst) {
            break;
        }
        state.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(IDLE)).unwrap();
        stream.set_write_timeout(Some(IDLE)).unwrap();
        let state = Arc::clone(state);
        std::thread::spawn(move || {
            if let Some(stream) = (state.open)(stream) {
                serve_connection(stream, &state);
            }
        });
    }
}

fn serve_connection(mut stream: Box<dyn Stream>, state: &State) {
    while let Some(head) = read_head(&mut *stream) {
        let request = Request { head };
        lock(&state.requests).push(request.clone());
        let script = lock(&state.scripts).pop_front();
        let mut exchange = Exchange {
            request: &request,
            stream: &mut *stream,
            state,
        };
        let then = match script {
            Some(script) => script(&mut exchange),
            None => (state.handler)(&mut exchange),
        };
        if then == Then::Close {
            break;
        }
    }
    let _ = stream.socket().shutdown(Shutdown::Both);
}

/// Reads one head, without a body, since no request has one; none at the end.
pub fn read_head(stream: &mut dyn Stream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 8 * 1024];
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        head.extend(buffer.iter().take(read));
    }
    String::from_utf8(head).ok()
}

impl State {
    fn serve(&self, request: &Request) -> String {
        let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap();
        let is_v3 = request.target().starts_with("/api/v3/");
        let (id, no_such_image) = if is_v3 {
            ("request-id: request-1", NO_SUCH_IMAGE_V3)
        } else {
            ("trace-id: trace-1", NO_SUCH_IMAGE)
        };
        let headers = format!("Date: {DATE}\r\nx-ncp-{id}\r\n");
        let respond = |status, body: &str| {
            let headers = format!("{headers}Content-Type: application/json\r\n");
            response(status, &headers, body)
        };
        let no_content = || format!("HTTP/1.1 204 No Content\r\n{headers}\r\n");
        let not_found = || respond("404 Not Found", no_such_image);
        if let Err(details) = check_signature(request, now_ms) {
            let body = error("200", "Authentication Failed", details);
            return respond("401 Unauthorized", &body);
        }
        let mut images = lock(&self.images);
        let target = request.target();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_deletion = request.line().starts_with("DELETE ");
        let segments = resource(path).unwrap_or_default();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        match *segments {
            [registry, name] => {
                let image = format!("{registry}/{name}");
                match images.get(&image) {
                    None => not_found(),
                    Some(tags) if !is_deletion => {
                        respond("200 OK", &details(registry, name, last_updated(tags)))
                    }
                    Some(_) if is_v3 && query != "cascading=true" => {
                        let body = error("ResourceInUse", "Conflict", "The image has tags.");
                        respond("409 Conflict", &body)
                    }
                    Some(_) => {
                        images.remove(&image);
                        no_content()
                    }
                }
            }
            [registry, name, "tags"] if !is_v3 && !is_deletion => {
                let Some(tags) = images.get(&format!("{registry}/{name}")) else {
                    return not_found();
                };
                let tags: Vec<_> = tags.iter().map(|(name, tag)| tag.to_json(name)).collect();
                respond("200 OK", &list(&tags, query))
            }
            [registry, name, "tags", tag] if is_deletion => {
                let quirks = lock(&self.quirks);
                if let Some(response) = quirks.replies.get(tag) {
                    return response.clone();
                }
                let tags = images.get_mut(&format!("{registry}/{name}"));
                let Some((tags, held)) =
                    tags.and_then(|tags| tags.remove(tag).map(|tag| (tags, tag)))
                else {
                    return not_found();
                };
                tags.retain(|_, tag| !quirks.deletes_by_digest || tag.digest != held.digest);
                if is_v3 {
                    images.retain(|_, tags| !tags.is_empty());
                }
                no_content()
            }
            [registry] if !is_v3 && !is_deletion => {
                let prefix = format!("{registry}/");
                let held = images.iter().filter_map(|(image, tags)| {
                    let (name, last_updated) = (image.strip_prefix(&prefix)?, last_updated(tags));
                    Some((last_updated, details(registry, name, last_updated)))
                });
                let mut held: Vec<_> = held.collect();
                if held.is_empty() {
                    return not_found();
                }
                held.sort_by_key(|(last_updated, _)| Reverse(*last_updated)); // unlike tags
                let held: Vec<_> = held.into_iter().map(|(_, image)| image).collect();
                respond("200 OK", &list(&held, query))
            }
            _ => {
                let body = error("300", "Not Found Exception", "URL not found.");
                respond("404 Not Found", &body)
            }
        }
    }
}

/// The segments below the registries of either API, decoded, without v3's `images`.
fn resource(path: &str) -> Option<Vec<String>> {
    let decode = |text| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.ok().map(String::from)
    };
    if let Some(path) = path.strip_prefix("/ncr/api/v2/repositories/") {
        return path.split('/').map(decode).collect();
    }
    let path = path.strip_prefix("/api/v3/registries/")?;
    let (registry, image) = path.split_once("/images/")?;
    [registry]
        .into_iter()
        .chain(image.split('/'))
        .map(decode)
        .collect()
}

/// When the newest tag was pushed.
fn last_updated(tags: &BTreeMap<String, Tag>) -> u64 {
    tags.values()
        .map(|tag| tag.last_updated)
        .max()
        .unwrap_or_default()
}

/// What the service says of an image, as JSON.
fn details(registry: &str, name: &str, last_updated: u64) -> String {
    format!(r#"{{"name":"{name}","namespace":"{registry}","last_updated":{last_updated}}}"#)
}

/// The page of items that the query asks for, as JSON.
fn list(items: &[String], query: &str) -> String {
    let parameter = |name: &str| {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        value.filter(|value| *value > 0_usize)
    };
    let (page, size) = (
        parameter("page").unwrap_or(1),
        parameter("pagesize").unwrap_or(20),
    );
    let shown = items.iter().skip((page - 1) * size).take(size);
    let results: Vec<_> = shown.map(String::as_str).collect();
    let next = if items.len() > page * size {
        (page + 1).to_string()
    } else {
        "null".to_owned()
    };
    format!(
        r#"{{"count":{},"next":{next},"previous":null,"results":[{}]}}"#,
        items.len(),
        results.join(",")
    )
}

/// Whether the request has the four headers once each, and they fit its raw target and the time.
fn check_signature(request: &Request, now_ms: i64) -> Result<(), &'static str> {
    let (Some("application/json"), Some(access_key), Some(timestamp), Some(signature)) = (
        request.one("content-type"),
        request.one("x-ncp-iam-access-key"),
        request.one("x-ncp-apigw-timestamp"),
        request.one("x-ncp-apigw-signature-v2"),
    ) else {
        return Err("A header is missing.");
    };
    let sent_ms: i64 = timestamp.parse().map_err(|_| "Invalid timestamp.")?;
    if (now_ms - sent_ms).abs() > TIMESTAMP_WINDOW_MS {
        return Err("Expired timestamp.");
    }
    let method = request.line().split(' ').next().unwrap_or_default();
    let target = request.target();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET_KEY.as_bytes()).unwrap();
    mac.update(format!("{method} {target}\n{timestamp}\n{access_key}").as_bytes());
    let expected = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    if access_key != ACCESS_KEY || signature != expected {
        return Err("Invalid authentication information.");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
