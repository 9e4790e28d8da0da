//! The examples, run as a user runs them.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::gateway::{ACCESS_KEY, Gateway, Request, SECRET_KEY, Then, answer};

/// Where Cargo puts examples: beside the folder of the test's own executable.
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    test.parent().unwrap().with_file_name("examples").join(name)
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
    let output: Output = command(example, environment, arguments)
        .output()
        .unwrap_or_else(|error| panic!("{error}: run `cargo test` whole, it builds the examples"));
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
fn the_demo_shows_a_deletion() {
    let (status, out, err) = run("demo", &[], &[]);
    assert_eq!((status, &*err), (0, ""));
    let mut rest = &*out;
    for line in [
        "The registry holds 3 images:",
        "    my-registry/hello/world",
        "A dry run, ",
        "    DELETE http://127.0.0.1:",
        "/ncr/api/v2/repositories/my-registry/hello%2Fworld\n",
        "client.delete_image(",
        "    DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld HTTP/1.1\n",
        "    content-type: application/json\n",
        "    x-ncp-apigw-timestamp: ",
        "    x-ncp-iam-access-key: AKTEST0123456789abcd\n",
        "    x-ncp-apigw-signature-v2: ",
        "...\n",
        "    HTTP/1.1 204 No Content\n",
        "The registry holds 2 images:",
        "    my-registry/hello/world was not found: 404 Not Found from http://127.0.0.1:",
        "    export NCLOUD_ACCESS_KEY_ID=... NCLOUD_SECRET_ACCESS_KEY=... NCLOUD_REGION=KR\n",
        "    cargo run --example delete_image -- --dry-run my-registry hello/world\n",
    ] {
        let (_, after) = rest
            .split_once(line)
            .unwrap_or_else(|| panic!("no {line:?} in {out}"));
        rest = after;
    }
    let signature = out
        .lines()
        .find_map(|line| line.trim().strip_prefix("x-ncp-apigw-signature-v2: "));
    assert_eq!(signature.unwrap().len(), "12345678...".len());
    let after = out.split_once("The registry holds 2 images:").unwrap().1;
    assert!(!after.split_once("\n\n").unwrap().0.contains("hello/world"));
}

#[test]
fn each_image_has_its_line() {
    let gateway = Gateway::with(&["r/a", "r/b/c", "r/d"]);
    let (status, out, err) = delete(&gateway, &["r", "a", "b/c"]);
    let expected = "deleted r/a\ndeleted r/b/c\n";
    assert_eq!((status, &*out, &*err), (0, expected, ""));
    assert_eq!(gateway.images(), ["r/d"]);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let gateway = Gateway::with(&["r/a", "r/d"]);
    gateway.answer(answer("403 Forbidden", "", ""));
    let (status, out, err) = delete(&gateway, &["r", "x", "a", "b:1", "no", "d"]);
    assert_eq!((status, &*out), (1, "deleted r/a\ndeleted r/d\n"));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines[0].starts_with("r/x was not deleted: 403 Forbidden"));
    assert!(lines[1].starts_with("cannot delete r/b:1: the image name has a tag"));
    assert!(lines[2].starts_with("r/no was not found: 404"));
}

#[test]
fn if_exists_reports_what_was_absent() {
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = delete(&gateway, &["--if-exists", "r", "a", "b"]);
    assert_eq!((status, &*out, &*err), (0, "deleted r/a\nabsent r/b\n", ""));
}

#[test]
fn a_dry_run_shows_the_url_and_sends_nothing() {
    let gateway = Gateway::with(&["r/a/b"]);
    let arguments = ["--if-exists", "--dry-run", "r", "a/b", "c:1"];
    let (status, out, err) = delete(&gateway, &arguments);
    let url = format!("{}/repositories/r/a%2Fb", gateway.url());
    assert_eq!(
        (status, out),
        (1, format!("would delete r/a/b: DELETE {url}\n"))
    );
    assert!(
        err.starts_with("cannot delete r/c:1: the image name has a tag"),
        "{err}"
    );
    assert_eq!(gateway.connections(), 0);
    assert_eq!(gateway.images(), ["r/a/b"]);
}

#[test]
fn wrong_usage_is_told_in_a_few_lines() {
    let gateway = Gateway::with(&["r/a"]);
    #[track_caller]
    fn check(gateway: &Gateway, example: &str, arguments: &[&str], start: &str) {
        let (status, out, err) = run_at(gateway, example, arguments);
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(err.starts_with(start), "{arguments:?}: {err}");
        assert!(err.contains(&format!("\nusage: {example} ")), "{err}");
        assert!(err.lines().count() <= 5, "{err}");
        assert_eq!(gateway.connections(), 0);
    }
    let names = "expected a registry and at least one image\n";
    for arguments in [&[][..], &["r"], &["--dry-run"], &["--if-exists", "r"]] {
        check(&gateway, "delete_image", arguments, names);
    }
    // As a CI passes them that lacks its variables.
    for arguments in [&["", ""][..], &["r", ""], &["", "a"], &["r", "a", ""]] {
        check(&gateway, "delete_image", arguments, "a name is empty; ");
    }
    for option in ["--force", "-x", "--", "-", "--dry-run=yes"] {
        let start = format!("unknown option \"{option}\"\n");
        check(&gateway, "delete_image", &[option, "r", "a"], &start);
        check(&gateway, "delete_image", &["r", "a", option], &start);
    }
    let names = "expected a registry and at most one prefix\n";
    for arguments in [
        &[][..],
        &[""],
        &["r", ""],
        &["r", "a", "b"],
        &["--all"],
        &["--all", "a"],
        &["--"],
    ] {
        check(&gateway, "list_images", arguments, names);
    }
}

#[test]
fn wrong_keys_and_regions_are_told_in_a_line() {
    let wrong_region = [KEYS[0], KEYS[1], ("NCLOUD_REGION", "MARS")];
    for (environment, start) in [
        (&[][..], "no keys: set "),
        (
            &KEYS[..1],
            "no secret key: NCLOUD_ACCESS_KEY_ID is set, but ",
        ),
        (&KEYS, "no region: set NCLOUD_REGION to "),
        (&wrong_region, "no region \"MARS\": set NCLOUD_REGION to "),
    ] {
        for (example, arguments) in [
            ("delete_image", &["--dry-run", "r", "a"][..]),
            ("list_images", &["r"]),
        ] {
            let (status, out, err) = run(example, environment, arguments);
            assert_eq!((status, &*out), (2, ""));
            assert!(err.starts_with(start), "{err}");
            assert_eq!(err.lines().count(), 1, "{err}");
        }
    }
}

#[test]
fn help_prints_the_usage() {
    for flag in ["--help", "-h"] {
        let (status, out, err) = run("delete_image", &[], &[flag]);
        assert_eq!((status, &*err), (0, ""));
        let usage = "usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...\n";
        assert!(out.contains(usage));
        for word in [
            "NCLOUD_ACCESS_KEY_ID",
            "NCLOUD_SITE",
            "NCLOUD_PROFILE",
            "Exit status",
        ] {
            assert!(out.contains(word), "{out}");
        }
        let (status, out, err) = run("list_images", &[], &[flag]);
        assert_eq!((status, &*err), (0, ""));
        assert!(out.starts_with("usage: list_images REGISTRY [PREFIX]\n"));
    }
}

/// A gateway with more than two pages of images, and their names.
fn large_registry() -> (Gateway, Vec<String>) {
    let gateway = Gateway::with(&["other/x"]);
    let mut names: Vec<_> = (0..250)
        .map(|number| format!("team-{}/app-{number:03}", number % 2))
        .collect();
    let images: Vec<_> = names.iter().map(|name| format!("r/{name}")).collect();
    gateway.put(&images.iter().map(String::as_str).collect::<Vec<_>>());
    names.sort();
    (gateway, names)
}

#[test]
fn a_list_has_each_image_of_one_registry_once() {
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
    // ureq keeps no connection whose TLS is not that of the agent at hand.
    if cfg!(not(feature = "native-tls")) {
        assert_eq!(gateway.connections(), 2, "one for each list");
    }
    assert_eq!(gateway.images().len(), 251);
}

#[test]
fn a_list_whose_reader_goes_away_ends_without_a_panic() {
    let (gateway, _) = large_registry();
    let url = gateway.url();
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*url)];
    let mut child = command("list_images", &environment, &["r"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), &*err), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_list_that_cannot_be_written_is_an_error() {
    let (gateway, _) = large_registry();
    let url = gateway.url();
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*url)];
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = command("list_images", &environment, &["r"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_list_goes_into_a_deletion() {
    let gateway = Gateway::with(&["r/a/1", "r/a/2", "r/b"]);
    let (_, names, _) = list(&gateway, &["r", "a/"]);
    let arguments: Vec<_> = ["r"].into_iter().chain(names.split_whitespace()).collect();
    let (status, out, _) = delete(&gateway, &arguments);
    assert_eq!((status, &*out), (0, "deleted r/a/1\ndeleted r/a/2\n"));
    assert_eq!(gateway.images(), ["r/b"]);
}

#[test]
fn a_list_is_complete_or_an_error() {
    let first = r#"{"count":2,"next":2,"results":[{"name":"a"}]}"#;
    #[track_caller]
    fn check(first: &str, second: String, expected: &str) {
        let gateway = Gateway::with(&[]);
        gateway.answer(answer("200 OK", "", first));
        gateway.script(move |exchange| {
            exchange.send(second);
            Then::Close
        });
        let (status, out, err) = list(&gateway, &["r"]);
        assert_eq!((status, &*out), (2, ""));
        let expected = format!("cannot list r: {expected}");
        assert!(err.starts_with(&expected), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let ok = |body| answer("200 OK", "", body);
    let second = r#"{"count":2,"next":null,"results":[]}"#;
    check(
        first,
        ok(second),
        &format!("incomplete, run it again, 200 OK: {second}\n"),
    );
    check(
        first,
        ok(r#"{"count":2,"next":2,"results":[]}"#),
        "incomplete, ",
    );
    let second = r#"{"count":2,"next":9,"results":[{"name":"b"}]}"#;
    check(first, ok(second), "incomplete, ");
    let second = r#"{"count":2,"next":null,"results":[{}]}"#;
    check(first, ok(second), "an image without a name, ");
    let second = r#"{"count":2,"next":null,"results":[{"name":"b\nc"}]}"#;
    check(first, ok(second), "an image without a name, ");
    check(first, ok("{}"), "not a list, 200 OK: {}\n");
    check(first, ok("<html>log in</html>"), "not JSON, 200 OK: <html>");
    check(
        first,
        answer("403 Forbidden", "", "{\n\"details\":\"no\u{1b}\"}"),
        "403 Forbidden: {\"details\":\"no\"}\n",
    );
    check(
        first,
        answer("302 Found", "Location: /\r\n", ""),
        "302 Found:\n",
    );
}

#[test]
fn a_list_that_is_cut_is_an_error() {
    let gateway = Gateway::with(&[]);
    gateway.script(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{");
        Then::Close
    });
    let (status, out, err) = list(&gateway, &["r"]);
    assert_eq!((status, &*out), (2, ""));
    assert_eq!(err, "cannot list r: io: Peer disconnected\n");
}

#[test]
fn a_list_shows_what_the_service_says() {
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = list(&gateway, &["no"]);
    assert_eq!((status, &*out), (2, ""));
    let start = "cannot list no: 404 Not Found: {\"responseError\"";
    assert!(err.starts_with(start), "{err}");
    let url = gateway.url();
    let wrong = [
        KEYS[0],
        ("NCLOUD_SECRET_ACCESS_KEY", "wrong"),
        ("NCR_API_URL", &*url),
    ];
    let (status, out, err) = run("list_images", &wrong, &["r"]);
    assert_eq!((status, &*out), (2, ""));
    assert!(
        err.starts_with("cannot list r: 401 Unauthorized: "),
        "{err}"
    );
    assert!(err.contains("Invalid authentication information."), "{err}");
    let (_, _, err) = list(&gateway, &["a%2Fb"]);
    assert!(
        err.starts_with("unusable path segment \"a%2Fb\": "),
        "{err}"
    );
}
