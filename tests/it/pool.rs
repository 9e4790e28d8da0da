//! Connections that are kept, and threads that share a client.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Barrier, Mutex};

use crate::gateway::{Gateway, Then, response};
use crate::{alone, client, in_parallel};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("image/{number}")).collect()
}

#[test]
fn delete_image_keeps_one_connection_for_fifty_calls() {
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    for name in names(25) {
        gateway.put([format!("r/{name}")]);
        client.delete_image("r", &name).unwrap();
        client.delete_image("r", &name).unwrap_err();
    }
    assert_eq!((gateway.requests().len(), gateway.connections()), (50, 1));
}

/// How many of the requests for one image fail, none, one or two, and more from the same seed.
fn faults(target: &str) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    ("seed 1", target).hash(&mut hasher);
    let dice = hasher.finish();
    let count = match dice % 100 {
        0..4 => 2,
        4..16 => 1,
        _ => 0,
    };
    (count, dice / 100)
}

#[test]
fn client_shared_by_fifty_threads_deletes_everything_despite_faults() {
    let test = client_shared_by_fifty_threads_deletes_everything_despite_faults;
    alone(test, delete_everything_despite_faults);
}

fn delete_everything_despite_faults() {
    let seen = Mutex::new(HashMap::<String, usize>::new());
    let gateway = Gateway::start(move |exchange| {
        let target = exchange.request.target().to_owned();
        let (count, dice) = faults(&target);
        let arrival = {
            let mut seen = seen.lock().unwrap();
            let arrivals = seen.entry(target).or_default();
            *arrivals += 1;
            *arrivals
        };
        if arrival > count {
            // Some connections end with their response, which is no reason to send anything twice.
            let response = exchange.serve();
            if dice % 7 != 0 {
                exchange.send(response);
                return Then::KeepAlive;
            }
            exchange.send(response.replacen("\r\n", "\r\nConnection: close\r\n", 1));
            return Then::Close;
        }
        match (dice + arrival as u64) % 6 {
            0 => return Then::Close,
            1 => {
                exchange.serve();
                return Then::Close;
            }
            2 => {
                exchange.serve();
                exchange.send("HTTP/1.1 204 No");
                return Then::Close;
            }
            3 => exchange.send(response("429 Slow Down", "Retry-After: 0\r\n", "{}")),
            4 => exchange.send(response("503 Busy", "Retry-After: 0\r\n", "busy")),
            _ => {
                exchange.serve();
                exchange.send(response("502 Bad Gateway", "Retry-After: 0\r\n", ""))
            }
        };
        Then::KeepAlive
    });
    let names = names(200);
    gateway.put(names.iter().map(|name| format!("r/{name}")));
    let client = client(&gateway);
    std::thread::scope(|scope| {
        for share in names.chunks(names.len() / 50) {
            let client = &client;
            scope.spawn(move || {
                for name in share {
                    client.delete_image("r", name).unwrap();
                }
            });
        }
    });
    assert_eq!(gateway.images(), [""; 0]);

    let requests = gateway.requests();
    let mut sent = HashMap::<&str, usize>::new();
    for request in &requests {
        *sent.entry(request.target()).or_default() += 1;
    }
    assert_eq!(sent.len(), 200);
    for (target, count) in &sent {
        assert_eq!(*count, 1 + faults(target).0, "{target}");
    }
    assert!(
        requests.len() > 220,
        "the seed makes too few faults: {}",
        requests.len()
    );
}

#[test]
fn delete_image_retries_on_a_fresh_connection() {
    // Three connections are kept, and die together.
    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(3)));
    let gateway = Gateway::with(&["r/a", "r/b", "r/c", "r/i"]);
    for _ in 0..3 {
        gateway.script(|exchange| {
            barrier.wait();
            let response = exchange.serve();
            exchange.send(response);
            exchange.wait_for_input();
            Then::Close
        });
    }
    let client = client(&gateway);
    in_parallel(&["a", "b", "c"], |name| {
        client.delete_image("r", name).unwrap();
    });
    gateway.assert_connections(3);
    client.delete_image("r", "i").unwrap();
    assert_eq!(gateway.images(), [""; 0]);
    gateway.assert_connections(4);
}
