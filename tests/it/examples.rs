//! The examples, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::gateway::{ACCESS_KEY, Gateway, Request, SECRET_KEY, response};

/// Where Cargo puts examples: beside the folder of the test's own executable. One that is older
/// than what it is built from would be tested in its place: `cargo test --test it` builds no
/// examples.
#[track_caller]
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let executable = test.parent().unwrap().with_file_name("examples").join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modified = |path: &Path| path.metadata().and_then(|found| found.modified());
    let built = modified(&executable).unwrap_or(SystemTime::UNIX_EPOCH);
    for source in ["src/lib.rs", &format!("examples/{example}.rs")] {
        let is_current = built >= modified(&package.join(source)).unwrap();
        assert!(
            is_current,
            "{example} is older than {source}: run `cargo test`, which builds both"
        );
    }
    executable
}

fn command(example: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(executable(example));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

#[track_caller]
fn run(example: &str, environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let output = command(example, environment, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (status, text(output.stdout), text(output.stderr))
}

const KEYS: [(&str, &str); 2] = [
    ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
    ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
];

#[track_caller]
fn run_at(gateway: &Gateway, example: &str, arguments: &[&str]) -> (i32, String, String) {
    let url = gateway.url();
    run(
        example,
        &[KEYS[0], KEYS[1], ("NCR_API_URL", &url)],
        arguments,
    )
}

#[track_caller]
fn delete(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    run_at(gateway, "delete_image", arguments)
}

#[track_caller]
fn list(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    run_at(gateway, "list_images", arguments)
}

#[test]
fn demo_shows_a_deletion() {
    let (status, out, err) = run("demo", &[], &[]);
    assert_eq!((status, &*err), (0, ""));
    let mut rest = &*out;
    for line in [
        "The registry my-registry holds 2:\n    hello/moon\n    hello/world\n\n",
        "    DELETE http://127.0.0.1:",
        "/ncr/api/v2/repositories/my-registry/hello%2Fworld\n",
        "client.delete_image(",
        "    HTTP/1.1 204 No Content\n",
        "The registry my-registry holds 1:\n    hello/moon\n\n",
        "    my-registry/hello/world was not found: 404 Not Found from http://127.0.0.1:",
        "    export NCLOUD_ACCESS_KEY_ID=... NCLOUD_SECRET_ACCESS_KEY=... NCLOUD_REGION=KR\n",
        "    cargo run --example delete_image -- --dry-run my-registry hello/world\n",
    ] {
        let found = rest.split_once(line);
        rest = found.unwrap_or_else(|| panic!("no {line:?} in {out}")).1;
    }
}

#[test]
fn delete_image_prints_a_line_for_each_image() {
    let gateway = Gateway::with(&["r/a", "r/b/c", "r/d"]);
    let (status, out, err) = delete(&gateway, &["r", "a", "b/c"]);
    let expected = "deleted r/a\ndeleted r/b/c\n";
    assert_eq!((status, &*out, &*err), (0, expected, ""));
    assert_eq!(gateway.images(), ["r/d"]);
}

#[test]
fn delete_image_goes_on_after_a_failure() {
    let gateway = Gateway::with(&["r/a", "r/d"]);
    gateway.respond(response("403 Forbidden", "", ""));
    let (status, out, err) = delete(&gateway, &["r", "x", "a", "no", "d"]);
    assert_eq!((status, &*out), (1, "deleted r/a\ndeleted r/d\n"));
    let lines: Vec<_> = err.lines().collect();
    let [first, second] = *lines else {
        panic!("{err}")
    };
    assert!(
        first.starts_with("r/x was not deleted: 403 Forbidden"),
        "{err}"
    );
    assert!(second.starts_with("r/no was not found: 404"), "{err}");
}

#[test]
fn delete_image_checks_every_name_before_it_deletes() {
    let gateway = Gateway::with(&["r/hello/moon"]);
    // A chat program makes a dash of two hyphens.
    for name in ["—dry-run", "b:1", "a%2Fb", "r.kr.ncr.ntruss.com/b", ""] {
        for option in [&[][..], &["--if-exists"], &["--dry-run"]] {
            let arguments = [option, &["r", "hello/moon", name]].concat();
            let (status, out, err) = delete(&gateway, &arguments);
            assert_eq!((status, &*out), (2, ""));
            assert!(
                err.starts_with(&format!("cannot delete \"r/{name}\": ")),
                "{err}"
            );
            assert_eq!(err.lines().count(), 1, "{err}");
        }
    }
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn delete_image_if_exists_prints_what_was_absent() {
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = delete(&gateway, &["--if-exists", "r", "a", "b"]);
    assert_eq!((status, &*out, &*err), (0, "deleted r/a\nabsent r/b\n", ""));
}

#[test]
fn delete_image_dry_run_shows_the_url_and_sends_nothing() {
    let gateway = Gateway::with(&["r/a/b"]);
    let arguments = ["--if-exists", "--dry-run", "r", "a/b"];
    let (status, out, err) = delete(&gateway, &arguments);
    let url = format!("{}/repositories/r/a%2Fb", gateway.url());
    let expected = format!("would delete r/a/b: DELETE {url}\n");
    assert_eq!((status, out, &*err), (0, expected, ""));
    assert_eq!(gateway.connections(), 0);
}

#[rustfmt::skip] // one row a line
#[test]
fn delete_image_and_list_images_show_their_usage() {
    let gateway = Gateway::with(&["r/a"]);
    let wrong = [
        ("delete_image", &[][..]),
        ("delete_image", &["r"]),
        ("delete_image", &["--dry-run", "r"]),
        ("delete_image", &["--force", "r", "a"]),
        ("delete_image", &["r", "a", "-x"]),
        ("delete_image", &["--", "r", "a"]),
        ("list_images", &[]),
        ("list_images", &[""]),
        ("list_images", &["r", ""]),
        ("list_images", &["r", "a", "b"]),
        ("list_images", &["--all"]),
    ];
    for (example, arguments) in wrong {
        let (status, out, err) = run_at(&gateway, example, arguments);
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(err.starts_with(&format!("usage: {example} ")), "{err}");
    }
    for (example, flag) in [("delete_image", "--help"), ("delete_image", "-h"), ("list_images", "--help"), ("list_images", "-h")] {
        let (status, out, err) = run(example, &[], &[flag]);
        assert_eq!((status, &*err), (0, ""));
        assert!(out.starts_with(&format!("usage: {example} ")), "{out}");
    }
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn delete_image_and_list_images_tell_wrong_settings_in_a_line() {
    for (example, arguments) in [
        ("delete_image", &["--dry-run", "r", "a"][..]),
        ("list_images", &["r"]),
    ] {
        let (status, out, err) = run(example, &KEYS, arguments);
        assert_eq!((status, &*out), (2, ""));
        assert_eq!(err, "no region: set NCLOUD_REGION to one of KR, SGN, JPN\n");
    }
}

/// A gateway with more than two pages of images, and their names.
fn large_registry() -> (Gateway, Vec<String>) {
    let gateway = Gateway::with(&["other/x"]);
    let mut names: Vec<_> = (0..250)
        .map(|number| format!("team-{}/app-{number:03}", number % 2))
        .collect();
    let images: Vec<_> = names.iter().map(|name| format!("r/{name}")).collect();
    gateway.put(images);
    names.sort();
    (gateway, names)
}

#[test]
fn list_images_prints_each_image_of_one_registry_once() {
    let (gateway, names) = large_registry();
    for (arguments, prefix) in [(&["r"][..], ""), (&["r", "team-1/"], "team-1/")] {
        let (status, out, err) = list(&gateway, arguments);
        let is_wanted = |name: &&String| name.starts_with(prefix);
        let expected: Vec<_> = names.iter().filter(is_wanted).collect();
        assert_eq!((status, &*err), (0, ""));
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    }
    let requests = gateway.requests();
    let targets: Vec<_> = requests.iter().map(Request::target).collect();
    let pages = [1, 2, 3, 1, 2, 3];
    let page = |page| format!("/ncr/api/v2/repositories/r?page={page}&pagesize=100");
    assert_eq!(targets, pages.map(page));
    assert_eq!(gateway.connections(), 2, "one for each list");
    assert_eq!(gateway.images().len(), 251);
}

/// A reader may go away, as `head` does; a list that cannot be written is not complete.
#[cfg(target_os = "linux")]
#[test]
fn list_images_fails_if_the_list_cannot_be_written() {
    let (gateway, _) = large_registry();
    let url = gateway.url();
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*url)];
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let closed = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    for (stdout, expected) in [(Stdio::from(full), 2), (Stdio::from(closed), 0)] {
        let mut command = command("list_images", &environment, &["r"]);
        let output = command.stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(expected));
        assert_eq!(output.stderr.is_empty(), expected == 0);
    }
}

/// As when something is deleted in the meantime, or from a server that has no end.
#[rustfmt::skip] // one row a line
#[test]
fn list_images_prints_a_complete_list_or_an_error() {
    let first = r#"{"count":2,"next":2,"results":[{"name":"a"}]}"#;
    for second in [
        r#"{"count":2,"next":null,"results":[]}"#,
        r#"{"count":2,"next":3,"results":[]}"#,
        r#"{"count":2,"next":9,"results":[{"name":"b"}]}"#,
        r#"{"count":1,"next":null,"results":[{"name":"b"}]}"#,
        r#"{"count":3,"next":3,"results":[{"name":"b"}]}"#,
        r#"{"count":2,"next":null,"results":[{"name":"a"},{"name":"b"}]}"#,
        r#"{"count":2,"next":null,"results":[{"name":"b"},{"name":"c"}]}"#,
        r#"{"count":2,"next":null,"results":[{}]}"#,
        r#"{"count":2,"next":null,"results":[{"name":"b\nc"}]}"#,
    ] {
        assert_incomplete(&[first, second], "incomplete list of r on page 2; run it again\n");
    }
    let long = format!(r#"{{"count":2,"next":null,"results":[{{"name":"{}"}}]}}"#, "b".repeat(256));
    assert_incomplete(&[first, &long], "incomplete list of r on page 2; run it again\n");
    assert_incomplete(&[first, "{}"], "page 2 of r is no list\n");
    // A page of 1 MiB with as many names as it can hold, and so on.
    let page = |page: usize| {
        let names = (0..33_000).map(|number| format!(r#"{{"name":"{page}-{number}"}}"#));
        let names: Vec<_> = names.collect();
        format!(r#"{{"count":1e9,"next":{},"results":[{}]}}"#, page + 1, names.join(","))
    };
    let pages: Vec<_> = (1..=4).map(page).collect();
    let pages: Vec<_> = pages.iter().map(String::as_str).collect();
    assert_incomplete(&pages, "incomplete list of r on page 4; run it again\n");
}

#[track_caller]
fn assert_incomplete(pages: &[&str], expected: &str) {
    let gateway = Gateway::with(&[]);
    for page in pages {
        gateway.respond(response("200 OK", "", page));
    }
    let (status, out, err) = list(&gateway, &["r"]);
    assert_eq!(
        (status, &*out, &*err),
        (2, "", expected),
        "{:?}",
        pages.last()
    );
    assert_eq!(gateway.requests().len(), pages.len());
}

#[test]
fn list_images_says_what_the_service_says() {
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = list(&gateway, &["no"]);
    assert_eq!((status, &*out), (2, ""));
    let start = "cannot read \"repositories/no\": 404 Not Found from ";
    assert!(err.starts_with(start), "{err}");
}
