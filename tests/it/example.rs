//! The example, run as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, answer};

/// Where Cargo puts examples: beside the folder of the test's own executable.
fn executable() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("delete_image{}", std::env::consts::EXE_SUFFIX);
    test.parent().unwrap().with_file_name("examples").join(name)
}

fn run(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(executable())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{error}: run `cargo test` whole, it builds the example"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn environment(gateway: &Gateway) -> [(&'static str, String); 3] {
    [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("NCR_API_URL", gateway.url()),
    ]
}

fn run_at(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let environment = environment(gateway);
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    run(&environment, arguments)
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
        let (_, behind) = rest
            .split_once(line)
            .unwrap_or_else(|| panic!("no {line:?} in {out}"));
        rest = behind;
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
            "name a registry and at least one image\n\nDeletes images",
        ),
        (
            &["--dry-run"],
            "name a registry and at least one image\n\nDeletes images",
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
        (&[][..], "no access key in the environment: set "),
        (&keys[..1], "no secret key in the environment: set "),
        (
            &mars,
            "NCLOUD_REGION \"MARS\" is no region of NCLOUD_SITE \"public\": set it to ",
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
