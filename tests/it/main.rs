//! Everything that needs a socket, an environment or a process of its own, tested from outside.

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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ncloud_container_registry::{Client, ClientBuilder, Credentials};

use gateway::Gateway;

mod answers;
mod attempts;
mod calls;
mod examples;
mod faults;
mod gateway;
mod hostile;
mod keys;
mod names;
mod pool;
mod proxy;
mod settings;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;
mod wire;

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

/// Most rows wait most of the time, so many of them share a core.
fn in_parallel<T: Sync>(rows: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..300 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    check(row);
                }
            });
        }
    });
}

/// No thread of a test waits longer for the other side.
const BOUND: Duration = Duration::from_secs(20);

/// The other side of a connection, in a thread of its own.
struct Background<T>(std::sync::mpsc::Receiver<T>);

impl<T: Send + 'static> Background<T> {
    fn start(run: impl FnOnce() -> T + Send + 'static) -> Background<T> {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(run()));
        Background(receiver)
    }

    /// What it returned. It is not waited for without a bound, as joining would.
    fn finish(self) -> T {
        self.0.recv_timeout(BOUND).unwrap()
    }
}

/// Runs the named test again, in a process with `environment` and nothing else in it, and returns
/// what the closure that it gave to [`if_child`] reported.
#[track_caller]
fn child<V: AsRef<OsStr>>(test: &str, environment: &[(&str, V)]) -> String {
    run_child(
        Command::new(std::env::current_exe().unwrap()),
        test,
        environment,
    )
}

/// The same, with a command that runs the executable of this test with the arguments that follow.
#[track_caller]
fn run_child<V: AsRef<OsStr>>(
    mut command: Command,
    test: &str,
    environment: &[(&str, V)],
) -> String {
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("NCR_TEST_CHILD", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let report = printed.split_once("<report>");
    let (_, report) = report.unwrap_or_else(|| panic!("no report: {printed}"));
    report.split_once("</report>").unwrap().0.to_owned()
}

/// In a process that [`child`] started, reports and ends it.
fn if_child(report: impl FnOnce() -> String) {
    if std::env::var_os("NCR_TEST_CHILD").is_some() {
        println!("<report>{}</report>", report());
        std::process::exit(0);
    }
}
