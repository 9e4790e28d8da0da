//! The examples, run as a user runs them.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, answer};

/// Where Cargo puts examples: beside the folder of the test's own executable.
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    test.parent().unwrap().with_file_name("examples").join(name)
}

fn run_example(
    example: &str,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String, String) {
    let output: Output = Command::new(executable(example))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{error}: run `cargo test` whole, it builds the examples"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn run(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    run_example("delete_image", environment, arguments)
}

fn environment(gateway: &Gateway) -> [(&'static str, String); 3] {
    [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("NCR_API_URL", gateway.url()),
    ]
}

fn run_example_at(gateway: &Gateway, example: &str, arguments: &[&str]) -> (i32, String, String) {
    let environment = environment(gateway);
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    run_example(example, &environment, arguments)
}

fn run_at(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    run_example_at(gateway, "delete_image", arguments)
}

fn list_at(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    run_example_at(gateway, "list_images", arguments)
}

#[test]
fn without_arguments_it_shows_a_deletion() {
    let (status, out, err) = run(&[], &[]);
    assert_eq!((status, &*err), (0, ""));
    let expected = [
        "The registry holds 3 images:",
        "    my-registry/hello/world",
        "    DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld HTTP/1.1",
        "    Content-Type: application/json",
        "    x-ncp-apigw-timestamp: ",
        "    x-ncp-iam-access-key: AKTEST0123456789abcd",
        "    x-ncp-apigw-signature-v2: ",
        "    HTTP/1.1 204 No Content",
        "The registry holds 2 images:",
        "    cannot delete my-registry/hello/world: the answer was 404 Not Found",
        "    cargo run --example delete_image -- my-registry hello/world",
    ];
    let mut rest = &*out;
    for line in expected {
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
    let (status, out, err) = run_at(&gateway, &["r", "a", "b/c"]);
    assert_eq!(
        (status, &*out, &*err),
        (0, "deleted r/a\ndeleted r/b/c\n", "")
    );
    assert_eq!(gateway.images(), ["r/d"]);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let gateway = Gateway::with(&["r/a", "r/d"]);
    gateway.answer(answer("403 Forbidden", "", ""));
    let (status, out, err) = run_at(&gateway, &["r", "x", "a", "b:1", "no", "d"]);
    assert_eq!((status, &*out), (1, "deleted r/a\ndeleted r/d\n"));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines[0].starts_with("cannot delete r/x: the answer was 403"));
    assert!(lines[1].starts_with("the image name \"b:1\" contains a tag"));
    assert!(lines[2].starts_with("cannot delete r/no: the answer was 404"));
}

#[test]
fn if_exists_reports_what_was_absent() {
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = run_at(&gateway, &["--if-exists", "r", "a", "b"]);
    assert_eq!((status, &*out, &*err), (0, "deleted r/a\nabsent r/b\n", ""));
}

#[test]
fn dry_run_sends_nothing() {
    let gateway = Gateway::with(&["r/a/b"]);
    let (status, out, err) = run_at(&gateway, &["--if-exists", "--dry-run", "r", "a/b", "c:1"]);
    let expected = format!(
        "would delete r/a/b: DELETE {}/repositories/r/a%2Fb\n",
        gateway.url()
    );
    assert_eq!((status, out), (1, expected));
    assert!(
        err.starts_with("the image name \"c:1\" contains a tag"),
        "{err}"
    );
    assert_eq!(gateway.connections(), 0);
    assert_eq!(gateway.images(), ["r/a/b"]);
}

#[test]
fn wrong_usage_keys_or_region_are_status_2() {
    let gateway = Gateway::with(&["r/a"]);
    for (arguments, start) in [
        (
            &["r"][..],
            "give a registry and at least one image, such as: my-registry hello/world\n\nDeletes images",
        ),
        (
            &["--dry-run"],
            "give a registry and at least one image, such as: my-registry hello/world\n\nDeletes images",
        ),
        (
            &["--force", "r", "a"],
            "unknown option \"--force\"\n\nDeletes images",
        ),
        (&["r", "a", "-x"], "unknown option \"-x\"\n\nDeletes images"),
    ] {
        let (status, out, err) = run_at(&gateway, arguments);
        assert_eq!((status, &*out), (2, ""));
        assert!(err.starts_with(start), "{err}");
    }
    let keys = [
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];
    let mars = [keys[0], keys[1], ("NCLOUD_REGION", "MARS")];
    for (environment, start) in [
        (&[][..], "the access key is not set, or empty: set "),
        (&keys[..1], "the secret key is not set, or empty: set "),
        (
            &mars,
            "no region \"MARS\" on the site \"public\": set NCLOUD_REGION to ",
        ),
    ] {
        let (status, out, err) = run(environment, &["--dry-run", "r", "a"]);
        assert_eq!((status, &*out), (2, ""));
        assert!(err.starts_with(start) && err.lines().count() == 1, "{err}");
    }
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn help_prints_the_usage() {
    for flag in ["--help", "-h"] {
        let (status, out, err) = run(&[], &[flag]);
        assert_eq!((status, &*err), (0, ""));
        assert!(out.contains("usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...\n"));
        for word in [
            "NCLOUD_ACCESS_KEY_ID",
            "NCLOUD_SITE",
            "NCR_API_URL",
            "Exit status",
        ] {
            assert!(out.contains(word), "{out}");
        }
    }
}

#[test]
fn a_list_has_each_image_of_one_registry_once() {
    let (status, out, err) = run_example("list_images", &[], &[]);
    assert_eq!((status, &*out, &*err), (0, "hello/moon\nhello/world\n", ""));

    // More than two pages.
    let gateway = Gateway::with(&["other/x"]);
    let names: Vec<_> = (0..250)
        .map(|number| format!("team-{}/app-{number:03}", number % 2))
        .collect();
    let images: Vec<_> = names.iter().map(|name| format!("r/{name}")).collect();
    gateway.put(&images.iter().map(String::as_str).collect::<Vec<_>>());
    for (arguments, prefix) in [(&["r"][..], ""), (&["r", "team-1/"], "team-1/")] {
        let (status, out, err) = list_at(&gateway, arguments);
        let mut expected: Vec<_> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .collect();
        expected.sort();
        assert_eq!((status, &*err), (0, ""));
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    }
    let targets: Vec<_> = gateway
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    let page = |page| format!("/ncr/api/v2/repositories/r?page={page}&pagesize=100");
    assert_eq!(
        targets,
        [page(1), page(2), page(3), page(1), page(2), page(3)]
    );
    assert_eq!(gateway.images().len(), 251);
}

#[test]
fn a_list_goes_into_a_deletion() {
    let gateway = Gateway::with(&["r/a/1", "r/a/2", "r/b"]);
    let (_, list, _) = list_at(&gateway, &["r", "a/"]);
    let arguments: Vec<_> = ["r"].into_iter().chain(list.split_whitespace()).collect();
    let (status, out, _) = run_at(&gateway, &arguments);
    assert_eq!((status, &*out), (0, "deleted r/a/1\ndeleted r/a/2\n"));
    assert_eq!(gateway.images(), ["r/b"]);
    for example in ["list_images", "delete_image"] {
        let (status, help, _) = run_example(example, &[], &["--help"]);
        assert_eq!(status, 0);
        assert!(
            help.contains("cargo run --example list_images -- my-registry hello/ > images.txt")
        );
        assert!(help.contains("cargo run --example delete_image -- my-registry $(cat images.txt)"));
    }
}

#[test]
fn a_list_is_whole_or_none() {
    let first = r#"{"count":2,"next":2,"results":[{"name":"a"}]}"#;
    for second in [
        answer("403 Forbidden", "", ""),
        answer("200 OK", "", r#"{"count":2,"next":null,"results":[]}"#),
        answer("200 OK", "", r#"{"count":2,"next":2,"results":[]}"#),
        answer("200 OK", "", r#"{"count":2,"next":null,"results":[{}]}"#),
        answer("200 OK", "", "<html>log in</html>"),
        answer("302 Found", "Location: /\r\n", ""),
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{".to_owned(),
    ] {
        let gateway = Gateway::with(&[]);
        gateway.answer(answer("200 OK", "", first));
        gateway.script(move |exchange| {
            exchange.send(second);
            crate::gateway::Then::Close
        });
        let (status, out, err) = list_at(&gateway, &["r"]);
        assert_eq!((status, &*out), (2, ""));
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_list_is_refused_to_wrong_usage_keys_or_region() {
    let gateway = Gateway::with(&["r/a"]);
    for arguments in [
        &["r", ""][..],
        &["r", "a", "b"],
        &["--all"],
        &["--all", "a"],
        &["r/a"],
        &[""],
    ] {
        let (status, out, err) = list_at(&gateway, arguments);
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    assert_eq!(gateway.connections(), 0);
    let keys = [
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];
    for (environment, start) in [
        (&[][..], "the access key is not set, or empty: set "),
        (
            &keys,
            "no region \"\" on the site \"public\": set NCLOUD_REGION to ",
        ),
    ] {
        let (status, out, err) = run_example("list_images", environment, &["r"]);
        assert_eq!((status, &*out), (2, ""));
        assert!(err.starts_with(start) && err.lines().count() == 1, "{err}");
    }
    // A wrong key is refused by the gateway.
    let environment = [
        keys[0],
        ("NCLOUD_SECRET_KEY", "wrong"),
        ("NCR_API_URL", &gateway.url()),
    ];
    let (status, out, err) = run_example("list_images", &environment, &["r"]);
    assert_eq!((status, &*out), (2, ""));
    assert!(
        err.starts_with("cannot list r: http status: 401; check "),
        "{err}"
    );
    // And so is a registry that does not exist.
    let (status, out, err) = list_at(&gateway, &["no"]);
    assert_eq!((status, &*out), (2, ""));
    assert!(
        err.starts_with("cannot list no: http status: 404; check "),
        "{err}"
    );
}
