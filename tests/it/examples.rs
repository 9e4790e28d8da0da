//! The examples, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, response};

/// Where Cargo puts examples: beside the folder of the test's own executable. One that is older
/// than what it is built from would be tested in its place: `cargo test --test it` builds no
/// examples.
#[track_caller]
pub fn executable(example: &str) -> PathBuf {
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

pub fn command(example: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(executable(example));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

/// The exit status of a command, and what it printed on stdout and on stderr.
pub type Output = (i32, String, String);

#[track_caller]
pub fn run(example: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let output = command(example, environment, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (status, text(output.stdout), text(output.stderr))
}

pub const KEYS: [(&str, &str); 2] = [
    ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
    ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
];

#[track_caller]
pub fn run_at(gateway: &Gateway, example: &str, arguments: &[&str]) -> Output {
    let api_url = ("NCR_API_URL", &*gateway.url());
    run(example, &[KEYS[0], KEYS[1], api_url], arguments)
}

#[track_caller]
fn delete(gateway: &Gateway, arguments: &[&str]) -> Output {
    run_at(gateway, "delete_image", arguments)
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

/// Of an image with all of its tags, or of one tag.
#[test]
fn delete_image_deletes_what_is_named() {
    for (name, images, tags) in [
        ("a", &["r/b"][..], &[][..]),
        ("a:1.0", &["r/a", "r/b"], &["2.0"]),
    ] {
        let gateway = Gateway::with(&["r/a:1.0", "r/a:2.0", "r/b:1.0"]);
        let (status, out, err) = delete(&gateway, &["r", name]);
        let expected = format!("deleted r/{name}\n");
        assert_eq!((status, out, &*err), (0, expected, ""));
        assert_eq!(gateway.images(), images);
        assert_eq!(gateway.tags("r/a"), tags);
    }
}

#[rustfmt::skip] // one row a line
#[test]
fn delete_image_fails_if_nothing_was_deleted() {
    for (arguments, reply, status, out, err) in [
        (&["r", "b"][..], None, 1, "", "r/b was not found: 404"),
        (&["r", "a:b"], None, 1, "", "r/a:b was not found: 404"),
        (&["r", "a"], Some("403 Forbidden"), 1, "", "r/a was not deleted: 403 Forbidden"),
        (&["--if-exists", "r", "b"], None, 0, "absent r/b\n", ""),
        (&["--if-exists", "r", "a:b"], None, 0, "absent r/a:b\n", ""),
        (&["--if-exists", "r", "a"], Some("403 Forbidden"), 1, "", "r/a was not deleted: 403 Forbidden"),
        // What is not found after an attempt whose outcome is unknown is not known to be absent.
        (&["--if-exists", "r", "a"], Some("503 Busy"), 1, "", "r/a may have been deleted: 404"),
    ] {
        let gateway = Gateway::with(&["r/a"]);
        if let Some(reply) = reply {
            gateway.respond(response(reply, "", ""));
            gateway.respond(response("404 Not Found", "", ""));
        }
        let (code, printed, error) = delete(&gateway, arguments);
        assert_eq!((code, &*printed), (status, out), "{arguments:?}: {error}");
        assert!(error.starts_with(err) && error.lines().count() <= 1, "{error}");
        assert_eq!(gateway.images(), ["r/a"]);
    }
}

#[test]
fn delete_image_dry_run_sends_nothing() {
    let gateway = Gateway::with(&["r/a/b"]);
    let url = format!(": DELETE {}/repositories/r/a%2Fb", gateway.url());
    // The URL of an image is not that of one of its tags.
    for (name, shown) in [
        ("a/b", &*url),
        ("a/b:1.0", ":1.0"),
        ("a/b:\u{1b}[2J", ":\\u{1b}[2J"),
    ] {
        let (status, out, err) = delete(&gateway, &["--if-exists", "--dry-run", "r", name]);
        let expected = format!("would delete r/a/b{shown}\n");
        assert_eq!((status, out, &*err), (0, expected, ""));
    }
    gateway.assert_connections(0);
}

#[rustfmt::skip] // one row a line
#[test]
fn delete_image_sends_nothing_if_it_is_called_in_a_wrong_way() {
    let gateway = Gateway::with(&["r/a", "r/b"]);
    let names = "expected REGISTRY IMAGE or REGISTRY IMAGE:TAG; see delete_image --help";
    let empty = "the tag is empty; is a variable unset?";
    for (arguments, text) in [
        (&[][..], names),
        (&["r"], names),
        // Whether a tag or a second image was meant is not known.
        (&["r", "a", "1.0"], names),
        (&["--force", "r", "a"], "invalid option '--force'"),
        (&["--dry-run=yes", "r", "a"], "unexpected argument for option '--dry-run': \"yes\""),
        (&["r", "a:"], empty),
        (&["--dry-run", "r", "a:"], empty),
        (&["r", "localhost:5000/a:"], empty),
        (&["r", "a:-x"], "cannot delete \"r/a:-x\": the tag must be letters, "),
        // A chat program makes a dash of two hyphens.
        (&["—dry-run", "a"], "cannot delete \"—dry-run/a\": the registry must be "),
        (&["r", "localhost:5000/a"], "cannot delete \"r/localhost:5000/a\": the image name must be "),
        (&["r", "a@sha256:00"], "cannot delete \"r/a@sha256\": the image name has a tag or digest, "),
    ] {
        for option in [&[][..], &["--if-exists"]] {
            let (status, out, err) = delete(&gateway, &[option, arguments].concat());
            assert_eq!((status, &*out), (2, ""), "{arguments:?}");
            assert!(err.starts_with(text) && err.lines().count() == 1, "{err}");
        }
    }
    gateway.assert_connections(0);
}

#[test]
fn delete_image_and_clean_up_show_their_usage_and_tell_wrong_settings_in_a_line() {
    for (example, arguments) in [
        ("delete_image", &["--dry-run", "r", "a"][..]),
        ("clean_up", &["r"]),
    ] {
        for flag in ["--help", "-h"] {
            let (status, out, err) = run(example, &[], &[flag]);
            assert_eq!((status, &*err), (0, ""));
            assert!(out.starts_with(&format!("usage: {example} ")), "{out}");
        }
        let (status, out, err) = run(example, &KEYS, arguments);
        assert_eq!((status, &*out), (2, ""));
        assert_eq!(err, "no region: set NCLOUD_REGION to one of KR, SGN, JPN\n");
    }
}
