//! A server, a client of this crate, and the same request made with ureq alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ncloud_container_registry::{Client, Credentials, ureq};

/// How many connections all servers accepted.
pub static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Responds to every request with 204, keeps nothing, and counts the connections.
pub fn start_server() -> SocketAddr {
    fn serve(mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        let mut filled = 0;
        while let Ok(read @ 1..) = stream.read(buffer.get_mut(filled..).unwrap()) {
            filled += read;
            if buffer.get(..filled).unwrap().ends_with(b"\r\n\r\n") {
                filled = 0;
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .unwrap();
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(|| serve(stream.unwrap()));
        }
    });
    address
}

pub fn our_client(address: SocketAddr) -> Client {
    let credentials = Credentials::new(
        "AKTEST0123456789abcd",
        "SKTEST0123456789abcdefghijklmnopqrstuvwx",
    );
    let api_url = format!("http://{address}/ncr/api/v2");
    Client::builder(api_url, credentials.unwrap())
        .build()
        .unwrap()
}

pub fn delete(client: &Client) {
    client.delete_image("my-registry", "hello/world").unwrap();
}

/// ureq alone, with the timeouts of a first attempt.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(30)))
        .timeout_connect(Some(Duration::from_secs(5)))
        .build()
        .new_agent()
}

pub fn delete_with_ureq(agent: &ureq::Agent, url: &str) {
    let response = agent
        .delete(url)
        .header("User-Agent", "ncloud-container-registry/0.1.0")
        .header("Accept-Encoding", "identity")
        .header("Content-Type", "application/json")
        .header("x-ncp-apigw-timestamp", "1700000000000")
        .header("x-ncp-iam-access-key", "AKTEST0123456789abcd")
        .header(
            "x-ncp-apigw-signature-v2",
            "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw=",
        )
        .call()
        .unwrap();
    assert_eq!(response.status(), 204);
}

pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/ncr/api/v2/repositories/my-registry/hello%2Fworld")
}
