//! Everything that is reached through the public interface, tested from outside.

#![allow(
    clippy::indexing_slicing,
    clippy::items_after_statements,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::unwrap_used
)]

use std::ffi::OsStr;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ncloud_container_registry::{Client, ClientBuilder, Credentials};

use gateway::Gateway;

mod attempts; // how often a call tries, how long it waits, and when it ends
mod build_script; // the build script of README, in a crate of its own
mod clean_up; // the example of this name, run as a user runs it
#[cfg(feature = "rustls")]
mod connections; // ways of not connecting and of losing a response, directly and through proxies
mod examples; // the other examples, run as a user runs them
#[cfg(feature = "rustls")]
mod faults; // one row for each way that an attempt can end, and every pair of them
mod gateway; // the loopback gateway that the tests and the demo talk to
mod hostile; // responses without an end: time and memory stay bounded
mod keys; // where credentials come from, and which are refused
mod names; // registries, image names, tags and paths that are refused
#[cfg(feature = "rustls")]
mod peers; // servers of TLS, and proxies
mod pool; // connections that are kept, and threads that share a client
mod reading; // what `Client::get` and `Client::image_exists` take for an answer
mod responses; // what each status is, which are a success or "not found", and every text, whole
mod settings; // region, API URL and the rest of the builder
mod types; // auto traits, `Debug`, and that nothing shown holds a secret
mod wire; // what is sent, byte for byte, and the percent encoder

fn credentials() -> Credentials {
    Credentials::new(gateway::ACCESS_KEY, gateway::SECRET_KEY).unwrap()
}

fn builder(gateway: &Gateway) -> ClientBuilder {
    builder_at(&gateway.url())
}

fn builder_at(api_url: &str) -> ClientBuilder {
    Client::builder(api_url, credentials())
}

fn client(gateway: &Gateway) -> Client {
    builder(gateway).build().unwrap()
}

/// A place for a row to run in. Rows mostly wait, so many run at once, those of all tests together.
/// Each has up to five open files, and a process may have 256 where it has few.
struct Slot;

static FREE_SLOTS: Mutex<usize> = Mutex::new(30);
static FREED: Condvar = Condvar::new();

impl Slot {
    fn free() -> MutexGuard<'static, usize> {
        FREE_SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take() -> Slot {
        let free = FREED.wait_while(Slot::free(), |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *Slot::free() += 1;
        FREED.notify_one();
    }
}

fn in_parallel<T: Sync>(rows: &[T], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for row in rows {
            let (slot, check) = (Slot::take(), &check);
            scope.spawn(move || {
                let _slot = slot;
                check(row);
            });
        }
    });
}

/// Runs `test` again, in a process with `environment` and nothing else in it, and returns what the
/// closure that it gave to [`if_child`] reported.
#[track_caller]
fn child<V: AsRef<OsStr>>(test: impl Fn(), environment: &[(&str, V)]) -> String {
    // The name of the test's function, after that of this crate.
    let (_, name) = std::any::type_name_of_val(&test).split_once("::").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env_clear()
        .envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root))) // for Windows' sockets
        .env("NCR_TEST_CHILD", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let report = printed.split_once("<report>");
    let (_, report) = report.unwrap_or_else(|| {
        panic!(
            "no report: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    report.split_once("</report>").unwrap().0.to_owned()
}

/// Runs what `test` does in a process of its own, since that takes many open files.
#[track_caller]
fn alone(test: impl Fn(), run: impl FnOnce()) {
    if_child(|| {
        run();
        String::new()
    });
    child(test, &[("", ""); 0]);
}

/// In a process that [`child`] started, reports and ends it.
fn if_child(report: impl FnOnce() -> String) {
    if std::env::var_os("NCR_TEST_CHILD").is_some() {
        println!("<report>{}</report>", report());
        std::process::exit(0);
    }
}
