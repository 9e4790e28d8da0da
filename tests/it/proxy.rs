//! Proxies, and what never goes through one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ncloud_container_registry::{Client, ureq};

use crate::gateway::Gateway;
use crate::{child, credentials, if_child};

/// A proxy that connects every CONNECT to one address, wherever it was meant to go.
pub struct Proxy {
    pub address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn new(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            lines: Arc::default(),
        };
        let lines = Arc::clone(&proxy.lines);
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let Some(head) = read_head(&mut client, &AtomicUsize::new(0)) else {
                    continue;
                };
                let head = String::from_utf8_lossy(&head);
                lines
                    .lock()
                    .unwrap()
                    .push(head.lines().next().unwrap().to_owned());
                let mut server = TcpStream::connect(target).unwrap();
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::thread::spawn(move || std::io::copy(&mut server, &mut client));
            }
        });
        proxy
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

pub fn read_head(stream: &mut impl Read, received: &AtomicUsize) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        received.fetch_add(read, Ordering::SeqCst);
        head.extend(&buffer[..read]);
    }
    Some(head)
}

/// Deletes `r/i` at the API URL of the environment.
pub fn delete_as_the_environment_says(agent: Option<ureq::Agent>) -> String {
    let mut builder = Client::builder(credentials()).api_url(&std::env::var("API_URL").unwrap());
    if let Some(agent) = agent {
        builder = builder.agent(agent);
    }
    match builder.build().unwrap().delete_image("r", "i") {
        Ok(()) => "deleted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn loopback_http_never_goes_through_a_proxy() {
    if_child(|| delete_as_the_environment_says(None));
    let gateway = Gateway::with(&[]);
    let proxy = Proxy::new(gateway.address());
    let proxy_url = format!("http://{}", proxy.address);
    for name in [
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
    ] {
        gateway.put(&["r/i"]);
        let environment = [("API_URL", gateway.url()), (name, proxy_url.clone())];
        let outcome = child(
            "proxy::loopback_http_never_goes_through_a_proxy",
            &environment,
        );
        assert_eq!(outcome, "deleted", "{name}");
    }
    assert_eq!(gateway.images(), [""; 0]);

    // Not even if the caller's own agent has one.
    gateway.put(&["r/i"]);
    let config = ureq::Agent::config_builder().proxy(Some(ureq::Proxy::new(&proxy_url).unwrap()));
    let agent = config.build().new_agent();
    let client = crate::builder(&gateway).agent(agent).build().unwrap();
    client.delete_image("r", "i").unwrap();
    assert_eq!(proxy.lines(), [""; 0]);
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[test]
fn a_build_without_tls_says_so() {
    let gateway = Gateway::with(&[]);
    let api_url = gateway.url().replace("http:", "https:");
    let client = Client::builder(credentials())
        .api_url(&api_url)
        .build()
        .unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ncloud_container_registry::ErrorKind::Transport, 1)
    );
    assert!(
        error
            .to_string()
            .contains("build with the feature rustls or native-tls"),
        "{error}"
    );
    assert_eq!(gateway.requests().len(), 0);
}
