//! A loopback gateway that answers as the service does: it checks the signature and the timestamp
//! of the request as it arrived, keeps its images in memory, and can be told to misbehave.

#![allow(dead_code)] // the example, the benchmarks and the tests each use a part
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub const ACCESS_KEY: &str = "AKTEST0123456789abcd";
pub const SECRET_KEY: &str = "SKTEST0123456789abcdefghijklmnopqrstuvwx";
/// The path of the API URL, before `/repositories`.
pub const PREFIX: &str = "/ncr/api/v2";
/// How far a timestamp may be from the gateway's clock.
const TIMESTAMP_WINDOW_MS: i64 = 5 * 60 * 1000;
/// No connection of a test lives longer without a byte.
const IDLE: Duration = Duration::from_secs(20);

/// One request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Everything up to and with the empty line.
    pub head: String,
    /// Counts the connections of the gateway from 0.
    pub connection: usize,
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

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    KeepAlive,
    Close,
}

/// One request with the connection that it came over, for a script that answers in its own way.
pub struct Exchange<'a> {
    pub request: &'a Request,
    pub stream: &'a mut TcpStream,
    state: &'a State,
}

impl Exchange<'_> {
    /// What the service does and answers, without sending the answer.
    pub fn serve(&self) -> String {
        self.state.serve(self.request)
    }

    /// Writes to the client; false if it has gone away.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let start: Vec<u8> = bytes.as_ref().iter().take(256).copied().collect();
        lock(&self.state.answers).push(String::from_utf8_lossy(&start).into_owned());
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Waits for the client to close the connection.
    pub fn wait_for_close(&mut self) {
        while matches!(self.stream.read(&mut [0; 1024]), Ok(1..)) {}
    }
}

/// A way to answer.
pub type Act = fn(&mut Exchange<'_>) -> Then;

type Script = Box<dyn FnOnce(&mut Exchange<'_>) -> Then + Send>;
type Handler = Box<dyn Fn(&mut Exchange<'_>) -> Then + Send + Sync>;

pub struct Gateway {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    images: Mutex<BTreeSet<String>>,
    requests: Mutex<Vec<Request>>,
    answers: Mutex<Vec<String>>,
    scripts: Mutex<VecDeque<Script>>,
    handler: Handler,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    /// How far the gateway's clock is ahead of the machine's.
    clock_ahead_ms: AtomicI64,
    closing: AtomicBool,
}

impl Gateway {
    /// A gateway that holds `images`, each named `registry/image`.
    pub fn with(images: &[&str]) -> Gateway {
        let gateway = Gateway::start(|exchange| {
            let answer = exchange.serve();
            exchange.send(answer);
            Then::KeepAlive
        });
        gateway.put(images);
        gateway
    }

    /// A gateway that answers every request for which no script waits with `handler`.
    pub fn start(handler: impl Fn(&mut Exchange<'_>) -> Then + Send + Sync + 'static) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            images: Mutex::default(),
            requests: Mutex::default(),
            answers: Mutex::default(),
            scripts: Mutex::default(),
            handler: Box::new(handler),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            clock_ahead_ms: AtomicI64::new(0),
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

    /// The API URL.
    pub fn url(&self) -> String {
        format!("http://{}{PREFIX}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn put(&self, images: &[&str]) {
        lock(&self.state.images).extend(images.iter().map(ToString::to_string));
    }

    /// What the gateway holds, sorted.
    pub fn images(&self) -> Vec<String> {
        lock(&self.state.images).iter().cloned().collect()
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.requests).clone()
    }

    /// What was sent to clients so far, each piece cut after 256 bytes.
    pub fn answers(&self) -> Vec<String> {
        lock(&self.state.answers).clone()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The next request, behind those already scripted, is answered by `script`.
    pub fn script(&self, script: impl FnOnce(&mut Exchange<'_>) -> Then + Send + 'static) {
        lock(&self.state.scripts).push_back(Box::new(script));
    }

    /// The next request is answered with `answer`, and nothing else is done.
    pub fn answer(&self, answer: impl Into<Vec<u8>>) {
        let answer = answer.into();
        self.script(move |exchange| {
            exchange.send(answer);
            Then::KeepAlive
        });
    }

    pub fn set_clock_ahead(&self, ahead_ms: i64) {
        self.state.clock_ahead_ms.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// An answer with a JSON body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    let mut serving = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if state.closing.load(Ordering::SeqCst) {
            break;
        }
        let connection = state.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(IDLE)).unwrap();
        stream.set_write_timeout(Some(IDLE)).unwrap();
        lock(&state.streams).push(stream.try_clone().unwrap());
        let state = Arc::clone(state);
        serving.push(std::thread::spawn(move || {
            serve_connection(stream, connection, &state);
        }));
    }
    for stream in &*lock(&state.streams) {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in serving {
        let _ = thread.join();
    }
}

fn serve_connection(mut stream: TcpStream, connection: usize, state: &State) {
    while let Some(head) = read_head(&mut stream) {
        let request = Request { head, connection };
        lock(&state.requests).push(request.clone());
        let script = lock(&state.scripts).pop_front();
        let mut exchange = Exchange {
            request: &request,
            stream: &mut stream,
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
    let _ = stream.shutdown(Shutdown::Both);
}

/// Reads one head, without a body, since no request has one; none at the end.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 8 * 1024];
        let read = match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        head.extend(buffer.iter().take(read));
    }
    String::from_utf8(head).ok()
}

impl State {
    fn serve(&self, request: &Request) -> String {
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis();
        let now_ms = i64::try_from(now_ms).unwrap() + self.clock_ahead_ms.load(Ordering::SeqCst);
        let seconds = u64::try_from(now_ms / 1000).unwrap();
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        let headers = format!("Date: {date}\r\nx-ncp-trace-id: trace-1\r\n");
        let refuse = |status, code, message| {
            let headers = format!("{headers}Content-Type: application/json\r\n");
            let body = format!(
                r#"{{"error":{{"errorCode":"{code}","message":"{message}","details":"."}}}}"#
            );
            answer(status, &headers, &body)
        };
        if !is_signed(request, now_ms) {
            return refuse("401 Unauthorized", 200, "Authentication Failed");
        }
        let Some(image) = image(request) else {
            return refuse("400 Bad Request", 100, "Bad Request");
        };
        if lock(&self.images).remove(&image) {
            format!("HTTP/1.1 204 No Content\r\n{headers}\r\n")
        } else {
            refuse("404 Not Found", 300, "Requested resource not found")
        }
    }
}

/// The image that a request would delete, as `registry/image`.
fn image(request: &Request) -> Option<String> {
    let path = request
        .target()
        .strip_prefix(PREFIX)?
        .strip_prefix("/repositories/")?;
    let (registry, image) = path.split_once('/')?;
    if image.contains(['/', '?']) || !request.line().starts_with("DELETE ") {
        return None;
    }
    let decode = |text| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()
    };
    Some(format!("{}/{}", decode(registry)?, decode(image)?))
}

/// Whether the four headers stand in the request once each and fit its raw target and the time.
fn is_signed(request: &Request, now_ms: i64) -> bool {
    let (Some(content_type), Some(access_key), Some(timestamp), Some(signature)) = (
        request.one("content-type"),
        request.one("x-ncp-iam-access-key"),
        request.one("x-ncp-apigw-timestamp"),
        request.one("x-ncp-apigw-signature-v2"),
    ) else {
        return false;
    };
    let method = request.line().split(' ').next().unwrap_or_default();
    let message = [
        method,
        " ",
        request.target(),
        "\n",
        timestamp,
        "\n",
        access_key,
    ]
    .concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET_KEY.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    content_type == "application/json"
        && access_key == ACCESS_KEY
        && timestamp
            .parse()
            .is_ok_and(|sent: i64| (now_ms - sent).abs() <= TIMESTAMP_WINDOW_MS)
        && signature == BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
