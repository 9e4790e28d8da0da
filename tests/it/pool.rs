//! Connections that are kept, and what becomes of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use crate::client;
use crate::gateway::{Gateway, Then, answer};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("image/{number}")).collect()
}

fn fill(gateway: &Gateway, names: &[String]) {
    let images: Vec<_> = names.iter().map(|name| format!("r/{name}")).collect();
    gateway.put(&images.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_thousand_deletes_use_one_connection() {
    let gateway = Gateway::with(&[]);
    let names = names(1000);
    fill(&gateway, &names);
    let client = client(&gateway);
    for name in &names {
        client.delete_image("r", name).unwrap();
    }
    assert_eq!(gateway.images(), [""; 0]);
    assert_eq!(gateway.requests().len(), 1000);
    assert_eq!(gateway.connections(), 1);
}

#[test]
fn refusals_with_a_body_keep_the_connection() {
    let gateway = Gateway::with(&[]);
    let client = client(&gateway);
    for _ in 0..50 {
        client.delete_image("r", "i").unwrap_err();
    }
    assert_eq!(gateway.connections(), 1);
}

#[test]
fn a_server_that_closes_just_after_answering_fails_no_call() {
    for header in ["", "Connection: close\r\n"] {
        let gateway = Gateway::start(move |exchange| {
            let answer = exchange.serve();
            exchange.send(answer.replacen("\r\n", &format!("\r\n{header}"), 1));
            Then::Close
        });
        let names = names(100);
        fill(&gateway, &names);
        let client = client(&gateway);
        for name in &names {
            client.delete_image("r", name).unwrap();
        }
        assert_eq!(gateway.images(), [""; 0]);
        assert_eq!(gateway.requests().len(), 100, "each was served once");
    }
}

#[test]
fn a_server_that_closes_as_the_next_request_arrives_fails_no_call() {
    let served = Mutex::new(HashMap::<usize, u32>::new());
    let gateway = Gateway::start(move |exchange| {
        let mut served = served.lock().unwrap();
        let count = served.entry(exchange.request.connection).or_default();
        *count += 1;
        if *count == 2 {
            return Then::Close;
        }
        let answer = exchange.serve();
        exchange.send(answer);
        Then::KeepAlive
    });
    let names = names(4);
    fill(&gateway, &names);
    let client = client(&gateway);
    for name in &names {
        client.delete_image("r", name).unwrap();
    }
    assert_eq!(gateway.images(), [""; 0]);
    // The first was served at once, each of the others on its second attempt.
    assert_eq!(gateway.requests().len(), 1 + 2 * 3);
}

#[test]
fn a_server_that_sends_more_than_its_answer_fails_no_call() {
    let gateway = Gateway::start(|exchange| {
        let answer = exchange.serve();
        exchange.send(answer);
        // Late enough for the client to keep the connection: as its next request arrives.
        exchange.wait_for_input();
        exchange.send("0\r\n\r\n");
        Then::KeepAlive
    });
    let names = names(4);
    fill(&gateway, &names);
    let client = client(&gateway);
    for name in &names {
        client.delete_image("r", name).unwrap();
    }
    assert_eq!(gateway.images(), [""; 0]);
    assert_eq!(gateway.connections(), 4);
}

/// What befalls the requests for one image, from a fixed seed: none, one or two faults.
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
fn fifty_threads_with_faults_delete_everything_once() {
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
            // Some connections end with their answer, which is no reason to send anything twice.
            let answer = exchange.serve();
            if dice % 7 != 0 {
                exchange.send(answer);
                return Then::KeepAlive;
            }
            exchange.send(answer.replacen("\r\n", "\r\nConnection: close\r\n", 1));
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
            3 => exchange.send(answer("429 Slow Down", "Retry-After: 0\r\n", "{}")),
            4 => exchange.send(answer("503 Busy", "Retry-After: 0\r\n", "busy")),
            _ => {
                exchange.serve();
                exchange.send(answer("502 Bad Gateway", "Retry-After: 0\r\n", ""))
            }
        };
        Then::KeepAlive
    });
    let names = names(800);
    fill(&gateway, &names);
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
    assert_eq!(sent.len(), 800);
    for (target, count) in &sent {
        assert_eq!(*count, 1 + faults(target).0, "{target}");
    }
    assert!(
        requests.len() > 880,
        "the seed makes too few faults: {}",
        requests.len()
    );
}
