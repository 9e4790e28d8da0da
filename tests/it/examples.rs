//! The examples, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::gateway::{
    ACCESS_KEY, Gateway, Images, Request, SECRET_KEY, Tag, Then, response, serve,
};

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
fn clean_up(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    run_at(gateway, "clean_up", arguments)
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

/// No further name can succeed, and each would send again what was just refused.
#[test]
fn delete_image_ends_at_the_first_401_or_429() {
    for (status, tried) in [
        ("401 Unauthorized", 2),
        ("429 Slow Down", 2),
        ("429 Slow Down", 4),
    ] {
        let gateway = Gateway::with(&["r/a", "r/b", "r/c", "r/d"]);
        for _ in 1..tried {
            gateway.script(serve);
        }
        gateway.respond(response(status, "Retry-After: 3600\r\n", ""));
        let (code, out, err) = delete(&gateway, &["r", "a", "b", "c", "d"]);
        assert_eq!((code, out.lines().count()), (1, tried - 1), "{status}");
        let end = match 4 - tried {
            0 => ", as the service asks\n".to_owned(),
            untried => format!("\n{untried} of 4 images were not tried\n"),
        };
        assert!(
            err.contains(status.get(..3).unwrap()) && err.ends_with(&end),
            "{err}"
        );
        assert_eq!(gateway.requests().len(), tried, "{status}");
    }
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
fn delete_image_and_clean_up_show_their_usage() {
    let gateway = Gateway::with(&["r/a"]);
    let wrong = [
        ("delete_image", &[][..]),
        ("delete_image", &["r"]),
        ("delete_image", &["--dry-run", "r"]),
        ("delete_image", &["--force", "r", "a"]),
        ("delete_image", &["r", "a", "-x"]),
        ("delete_image", &["--", "r", "a"]),
        ("clean_up", &[]),
        ("clean_up", &[""]),
        ("clean_up", &["r", ""]),
        ("clean_up", &["r", "a", "b"]),
        ("clean_up", &["--all", "r"]),
        // As with an $IMAGE that is unset: the tags were meant, and not the images.
        ("clean_up", &["--keep", "3", "r"]),
        ("clean_up", &["--keep", "3", "--delete", "r"]),
        ("clean_up", &["--keep", "3", "--delete", "r", ""]),
        ("clean_up", &["--images", "--keep", "3", "--delete", "r", "a"]),
        ("clean_up", &["--images", "--keep", "3", "--delete", "r", ""]),
        ("clean_up", &["--images", "r", "a"]),
        ("clean_up", &["--delete", "r", "a"]),
        ("clean_up", &["--images", "--delete", "r"]),
        ("clean_up", &["--keep", "0", "r", "a"]),
        ("clean_up", &["--keep", "0", "--delete", "r", "a"]),
        ("clean_up", &["--keep", "-1", "--delete", "r", "a"]),
        ("clean_up", &["--keep", "x", "--delete", "r", "a"]),
        ("clean_up", &["--keep", "--delete", "r", "a"]),
        ("clean_up", &["--keep", "3", "--keep", "1", "--delete", "r", "a"]),
        ("clean_up", &["r", "a", "--keep"]),
    ];
    for (example, arguments) in wrong {
        let (status, out, err) = run_at(&gateway, example, arguments);
        assert_eq!((status, &*out), (2, ""), "{arguments:?}");
        assert!(err.starts_with(&format!("usage: {example} ")), "{err}");
    }
    for (example, flag) in [("delete_image", "--help"), ("delete_image", "-h"), ("clean_up", "--help"), ("clean_up", "-h")] {
        let (status, out, err) = run(example, &[], &[flag]);
        assert_eq!((status, &*err), (0, ""));
        assert!(out.starts_with(&format!("usage: {example} ")), "{out}");
    }
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn delete_image_and_clean_up_tell_wrong_settings_in_a_line() {
    for (example, arguments) in [
        ("delete_image", &["--dry-run", "r", "a"][..]),
        ("clean_up", &["r"]),
    ] {
        let (status, out, err) = run(example, &KEYS, arguments);
        assert_eq!((status, &*out), (2, ""));
        assert_eq!(err, "no region: set NCLOUD_REGION to one of KR, SGN, JPN\n");
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The time so many days and half a day ago: an age does not change while a test runs.
fn days_ago(days: u64) -> u64 {
    let now_ms = UNIX_EPOCH.elapsed().unwrap().as_millis();
    u64::try_from(now_ms).unwrap() - days * DAY_MS - DAY_MS / 2
}

/// A name that tells an age in days, which the order of names does not follow.
fn name_of(days: u64) -> String {
    format!("{:03}-{days}", days * 143 % 250)
}

/// A gateway with images of 0 to 249 days, and an image `s/all` with tags of these ages.
fn large_registry() -> Gateway {
    let gateway = Gateway::with(&["other/x"]);
    for days in 0..250 {
        let (name, tag) = (
            name_of(days),
            Tag::new(days_ago(days), format!("sha256:{days}")),
        );
        gateway.put_tag(&format!("r/{name}"), "latest", tag.clone());
        gateway.put_tag("s/all", name, tag);
    }
    gateway
}

#[test]
fn clean_up_lists_everything_once_and_the_newest_first() {
    let gateway = large_registry();
    let (images, tags) = ("/repositories/r?", "/repositories/s/all/tags?");
    for (arguments, list, kept) in [
        (&["r"][..], images, None),
        (&["--images", "r"], images, None),
        (&["s", "all"], tags, None),
        (&["--images", "--keep", "100", "r"], images, Some(100)),
        (&["s", "--keep", "100", "all"], tags, Some(100)),
    ] {
        let before = gateway.requests().len();
        let (status, out, err) = clean_up(&gateway, arguments);
        let lines = (0..250).map(|days| {
            let unit = if days == 1 { "day" } else { "days" };
            let fate = kept.map_or("", |kept| if days < kept { "\tkept" } else { "\told" });
            format!("{}\t{days} {unit}{fate}\n", name_of(days))
        });
        assert_eq!((status, out, &*err), (0, lines.collect(), ""));
        let requests = gateway.requests();
        let pages: Vec<_> = requests.iter().skip(before).map(Request::line).collect();
        let page = |page| format!("GET /ncr/api/v2{list}page={page}&pagesize=100 HTTP/1.1");
        assert_eq!(pages, [1, 2, 3].map(page));
    }
}

#[test]
fn clean_up_deletes_the_old_ones_the_oldest_first() {
    for (arguments, path) in [
        (&["--keep", "5", "--delete", "s", "all"][..], "s/all/tags"),
        (&["--images", "--delete", "r", "--keep", "5"], "r"),
    ] {
        let gateway = large_registry();
        let (status, out, err) = clean_up(&gateway, arguments);
        let old = || (5..250).rev().map(name_of);
        let lines = old().map(|name| format!("deleted {name}\n"));
        assert_eq!((status, out, &*err), (0, lines.collect(), ""));
        let requests = gateway.requests();
        let lines: Vec<_> = requests.iter().skip(6).map(Request::line).collect();
        let line = |name| format!("DELETE /ncr/api/v2/repositories/{path}/{name} HTTP/1.1");
        assert_eq!(lines, old().map(line).collect::<Vec<_>>());
        assert_eq!(gateway.connections(), 1);
    }
    // Fewer than are kept.
    let gateway = Gateway::with(&["r/a"]);
    let (status, out, err) = clean_up(&gateway, &["--images", "--keep", "2", "--delete", "r"]);
    assert_eq!((status, &*out, &*err), (0, "", ""));
}

/// The image `r/i` with tags, each with its age in days, its digest, and those of its images.
fn image_of(tags: &[(&str, u64, &str, &[&str])]) -> Gateway {
    let gateway = Gateway::with(&[]);
    for (name, days, digest, images) in tags {
        let mut tag = Tag::new(days * DAY_MS, *digest);
        tag.images = images.iter().map(ToString::to_string).collect();
        gateway.put_tag("r/i", *name, tag);
    }
    gateway
}

/// Which tags of [`image_of`] are left when the newest are kept.
#[track_caller]
fn left(keep: &str, tags: &[(&str, u64, &str, &[&str])]) -> Vec<String> {
    let gateway = image_of(tags);
    let (status, out, err) = clean_up(&gateway, &["--keep", keep, "--delete", "r", "i"]);
    let left = gateway.tags("r/i");
    assert_eq!((status, &*err), (0, ""));
    assert_eq!(out.lines().count(), tags.len() - left.len(), "{out}");
    left
}

#[rustfmt::skip] // one row a line
#[test]
fn clean_up_keeps_what_is_as_new_as_the_last_that_is_kept() {
    let tags: [(&str, u64, &str, &[&str]); 6] = [
        ("v10", 7, "a", &[]), ("v1", 7, "b", &[]), ("v2", 7, "c", &[]), ("v3", 7, "d", &[]), ("v4", 8, "e", &[]), ("v0", 6, "f", &[]),
    ];
    assert_eq!(left("1", &tags), ["v4"]);
    assert_eq!(left("2", &tags), ["v1", "v10", "v2", "v3", "v4"]);
    assert_eq!(left("5", &tags), ["v1", "v10", "v2", "v3", "v4"]);
    assert_eq!(left("6", &tags).len(), 6);
}

/// What else a digest is called by in a registry of the Docker distribution's kind is gone with it.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_keeps_a_tag_whose_digest_stands_in_a_kept_one() {
    // Tags of the same digest, and digests that only begin alike.
    assert_eq!(left("1", &[("latest", 9, "sha256:1", &[]), ("v1", 3, "sha256:1", &[]), ("v0", 2, "sha256:12", &[]), ("v", 1, "sha256:", &[])]), ["latest", "v1"]);
    // The parts of an index of two platforms, and those of one that is itself kept for its digest.
    assert_eq!(
        left("1", &[
            ("v2", 9, "sha256:2", &["sha256:2a", "sha256:2b"]), ("v2-arm", 3, "sha256:2b", &["sha256:2b", "x@sha256:4"]),
            ("v2-amd", 2, "sha256:2a", &["sha256:2a"]), ("v1", 5, "sha256:1", &["sha256:1a"]), ("v1-amd", 1, "sha256:1a", &[]),
            ("v2-arm-v7", 1, "sha256:4", &[]),
        ]),
        ["v2", "v2-amd", "v2-arm", "v2-arm-v7"],
    );
    // Without a digest, nothing of this is known.
    for digest in ["", " ", "sha256:1/2"] {
        let gateway = image_of(&[("b", 9, "sha256:1", &[]), ("a", 1, digest, &[])]);
        for options in [&["--keep", "1"][..], &["--keep", "1", "--delete"]] {
            let (status, out, err) = clean_up(&gateway, &[options, &["r", "i"]].concat());
            assert_eq!((status, &*out, &*err), (2, "", "the tag \"a\" has no digest\n"));
        }
        assert_eq!(clean_up(&gateway, &["r", "i"]).0, 0);
        assert_eq!(gateway.tags("r/i"), ["a", "b"]);
    }
}

#[track_caller]
fn assert_incomplete(pages: &[&str], flaw: &str) {
    let arguments = ["--images", "--keep", "1", "--delete", "r"];
    for options in [&arguments[..], &["r"]] {
        let gateway = Gateway::with(&["r/a", "r/b", "r/c"]);
        for page in pages {
            gateway.respond(response("200 OK", "", page));
        }
        let (status, out, err) = clean_up(&gateway, options);
        let expected = format!("page {} of repositories/r: {flaw}\n", pages.len());
        assert_eq!(
            (status, &*out, &*err),
            (2, "", &*expected),
            "{:?}",
            pages.last()
        );
        assert_eq!(gateway.requests().len(), pages.len());
    }
}

/// A list is complete or an error, and nothing is deleted.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_ends_if_a_list_is_not_complete() {
    let first = r#"{"count":3,"next":2,"results":[{"name":"a","last_updated":9},{"name":"b","last_updated":8}]}"#;
    for (flaw, second) in [
        ("it is no page of a list", r#"{"next":null,"results":[{"name":"c","last_updated":7}]}"#),
        ("it is no page of a list", r#"{"count":"3","next":null,"results":[{"name":"c","last_updated":7}]}"#),
        ("it is no page of a list", r#"{"count":3,"next":null}"#),
        ("it is no page of a list", r#"{"count":3,"next":null,"results":null}"#),
        ("its count has changed; run it again", r#"{"count":2,"next":null,"results":[]}"#),
        ("its count has changed; run it again", r#"{"count":4,"next":3,"results":[{"name":"c","last_updated":7}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"last_updated":7}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"name":7,"last_updated":7}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"name":"","last_updated":7}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"name":"c"}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"name":"c","last_updated":"7"}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":[{"name":"c","last_updated":null}]}"#),
        ("an item has no name or no time", r#"{"count":3,"next":null,"results":["c"]}"#),
        ("a name comes twice; run it again", r#"{"count":3,"next":null,"results":[{"name":"a","last_updated":7}]}"#),
        ("its count is another; run it again", r#"{"count":3,"next":null,"results":[{"name":"c","last_updated":7},{"name":"d","last_updated":7}]}"#),
        ("its count is another; run it again", r#"{"count":3,"next":3,"results":[{"name":"c","last_updated":7},{"name":"d","last_updated":7}]}"#),
        ("its count is another; run it again", r#"{"count":3,"next":null,"results":[]}"#),
        ("it leads to no page", r#"{"count":3,"next":3,"results":[]}"#),
        ("it leads to no page", r#"{"count":3,"next":2,"results":[{"name":"c","last_updated":7}]}"#),
        ("it leads to no page", r#"{"count":3,"next":"3","results":[{"name":"c","last_updated":7}]}"#),
    ] {
        assert_incomplete(&[first, second], flaw);
    }
    let third = r#"{"count":3,"next":4,"results":[]}"#;
    let second = r#"{"count":3,"next":3,"results":[{"name":"c","last_updated":7}]}"#;
    assert_incomplete(&[first, second, third], "it leads to no page");
    let endless = r#"{"count":100001,"next":2,"results":[{"name":"a","last_updated":9}]}"#;
    assert_incomplete(&[endless], "it counts more than 100,000 items");
}

/// Whatever the service claims, and however small its pages are.
#[test]
fn clean_up_reads_no_list_without_end() {
    let gateway = Gateway::start(|exchange| {
        let (_, query) = exchange.request.target().split_once("?page=").unwrap();
        let page: usize = query.split('&').next().unwrap().parse().unwrap();
        let item = format!(r#"{{"name":"{page}","last_updated":{page}}}"#);
        let page = format!(r#"{{"count":300,"next":{},"results":[{item}]}}"#, page + 1);
        exchange.send(response("200 OK", "", &page));
        Then::KeepAlive
    });
    let (status, out, err) = clean_up(&gateway, &["--images", "--keep", "1", "--delete", "r"]);
    let expected = "page 301 of repositories/r: its count is another; run it again\n";
    assert_eq!((status, &*out, &*err), (2, "", expected));
}

/// Each change shifts the list under the reader, by a page of which an item is told twice or never.
#[test]
fn clean_up_deletes_nothing_if_the_list_changes_between_two_pages() {
    let changes: [(&str, fn(&mut Images)); 3] = [
        ("deleted", |images| {
            drop(images.remove(&format!("r/{}", name_of(0))));
        }),
        ("pushed in front", |images| {
            let tags = [("latest".to_owned(), Tag::new(days_ago(0) + 1, "sha256:new"))];
            images.insert("r/new-0".to_owned(), tags.into());
        }),
        ("moved to the front", |images| {
            let oldest = images.get_mut(&format!("r/{}", name_of(249))).unwrap();
            oldest.get_mut("latest").unwrap().last_updated = days_ago(0) + 1;
        }),
    ];
    for (what, change) in changes {
        let gateway = large_registry();
        gateway.script(serve);
        gateway.script(move |exchange| {
            change(&mut exchange.images());
            serve(exchange)
        });
        let (status, out, err) = clean_up(&gateway, &["--images", "--keep", "5", "--delete", "r"]);
        assert_eq!((status, &*out), (2, ""), "{what}");
        let flaws = ["its count has changed", "a name comes twice"];
        assert!(flaws.iter().any(|flaw| err.contains(flaw)), "{what}: {err}");
        let requests = gateway.requests();
        assert!(
            requests
                .iter()
                .all(|request| request.line().starts_with("GET ")),
            "{what}"
        );
    }
}

/// One that is deleted and one that is pushed can make up for each other: the list is complete, and
/// no list that ever was.
#[test]
fn clean_up_deletes_nothing_if_the_list_differs_when_it_is_read_again() {
    let ages = [("b", 9), ("c", 8), ("d", 1), ("e", 2), ("f", 3), ("g", 11)];
    let tags = ages.map(|(name, days)| (name, days, name, &[][..]));
    let gateway = image_of(&tags);
    let tag = |(name, days)| {
        let last_updated = days * DAY_MS;
        format!(r#"{{"name":"{name}","digest":"{name}","last_updated":{last_updated}}}"#)
    };
    for (next, page) in [
        ("2", [("a", 10), ages[0], ages[1]]),
        ("null", [ages[3], ages[4], ages[5]]),
    ] {
        let results = page.map(tag).join(",");
        let page = format!(r#"{{"count":6,"next":{next},"results":[{results}]}}"#);
        gateway.respond(response("200 OK", "", &page));
    }
    let (status, out, err) = clean_up(&gateway, &["--keep", "3", "--delete", "r", "i"]);
    let expected = "the list has changed; run it again\n";
    assert_eq!((status, &*out, &*err), (2, "", expected));
    assert_eq!(gateway.tags("r/i").len(), 6);
}

/// Of three old tags, the second one's deletion ends in each way.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_says_deleted_for_what_was_deleted_and_ends_at_an_error() {
    let tags: [(&str, u64, &str, &[&str]); 4] = [("d", 9, "d", &[]), ("c", 3, "c", &[]), ("b", 2, "b", &[]), ("a", 1, "a", &[])];
    let service = r#"{"error":{"errorCode":"404","message":"Not Found"}}"#;
    for (bytes, goes_on) in [
        (response("404 Not Found", "", service), true),
        // A gateway's.
        (response("404 Not Found", "", ""), true),
        (response("404 Not Found", "", "default backend - 404"), false),
        (response("403 Forbidden", "", ""), false),
        (response("401 Unauthorized", "", ""), false),
        (response("429 Slow Down", "Retry-After: 3600\r\n", ""), false),
        (response("503 Busy", "Retry-After: 3600\r\n", ""), false),
        (response("202 Accepted", "", ""), false),
    ] {
        let gateway = image_of(&tags);
        for _ in 0..3 {
            gateway.script(serve);
        }
        gateway.respond(bytes.clone());
        let (status, out, err) = clean_up(&gateway, &["--keep", "1", "--delete", "r", "i"]);
        let expected = if goes_on { "deleted a\ndeleted c\n" } else { "deleted a\n" };
        assert_eq!((status, &*out), (1, expected), "{bytes}");
        assert!(err.starts_with("r/i:b ") && err.lines().count() == 1, "{err}");
        assert_eq!(gateway.tags("r/i"), if goes_on { &["b", "d"][..] } else { &["b", "c", "d"] });
    }
    // An empty 404 of a gateway for each is no deletion.
    let gateway = Gateway::with(&["r/a", "r/b", "r/c"]);
    gateway.put_tag("r/d", "latest", Tag::new(days_ago(0), "d"));
    gateway.script(serve);
    gateway.script(serve);
    for _ in 0..3 {
        gateway.respond(response("404 Not Found", "", ""));
    }
    let (status, out, err) = clean_up(&gateway, &["--images", "--keep", "1", "--delete", "r"]);
    assert_eq!((status, &*out, err.lines().count()), (1, "", 3), "{err}");
    assert_eq!(gateway.images().len(), 4);
}

/// A reader may go away, as `head` does; a list that cannot be written is not complete. What is old
/// is deleted, whoever reads of it.
#[cfg(target_os = "linux")]
#[test]
fn clean_up_fails_if_the_list_cannot_be_written() {
    let gateway = large_registry();
    let url = gateway.url();
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*url)];
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let closed = || {
        let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let closed = reader.stdin.take().unwrap();
        reader.wait().unwrap();
        closed
    };
    let delete = ["--images", "--keep", "5", "--delete", "r"];
    for (arguments, stdout, expected) in [
        (&["r"][..], Stdio::from(full()), 2),
        (&["r"], closed().into(), 0),
        (&delete, closed().into(), 0),
    ] {
        let mut command = command("clean_up", &environment, arguments);
        let output = command.stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(expected));
        assert_eq!(output.stderr.is_empty(), expected == 0);
    }
    assert_eq!(gateway.images().len(), 7);
    // Also if one of them is not found, and nobody reads that.
    for _ in 0..2 {
        gateway.script(serve);
    }
    gateway.respond(response("404 Not Found", "", ""));
    let names = (name_of(1), name_of(4));
    for (example, arguments) in [
        (
            "clean_up",
            &["--images", "--keep", "2", "--delete", "r"][..],
        ),
        ("delete_image", &["r", "no", &names.0]),
    ] {
        let mut command = command(example, &environment, arguments);
        let output = command.stdout(closed()).stderr(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{example}");
    }
    let left = [name_of(0), names.1].map(|name| format!("r/{name}"));
    assert!(
        gateway
            .images()
            .iter()
            .filter(|image| image.starts_with("r/"))
            .eq(&left)
    );
}

#[test]
fn clean_up_sends_nothing_for_a_name_that_cannot_exist() {
    let gateway = Gateway::with(&["r/a"]);
    for (arguments, start) in [
        (
            &["r", "a:1"][..],
            "cannot delete \"r/a:1\": the image name has a tag or digest",
        ),
        (
            &["R"],
            "cannot delete \"R/image\": the registry contains upper-case letters",
        ),
        (
            &["r.kr.ncr.ntruss.com", "a"],
            "cannot delete \"r.kr.ncr.ntruss.com/a\": the registry is a host",
        ),
    ] {
        let (status, out, err) = clean_up(&gateway, arguments);
        assert_eq!((status, &*out), (2, ""));
        assert!(err.starts_with(start), "{err}");
    }
    assert_eq!(gateway.connections(), 0);
}

#[test]
fn clean_up_says_what_the_service_says() {
    let gateway = Gateway::with(&["r/a"]);
    for (arguments, name) in [
        (&["no"][..], "no"),
        (&["--keep", "1", "--delete", "r", "b/c"], "r/b/c/tags"),
    ] {
        let (status, out, err) = clean_up(&gateway, arguments);
        assert_eq!((status, &*out), (2, ""));
        let start = format!("cannot read \"repositories/{name}\": 404 Not Found from ");
        assert!(err.starts_with(&start), "{err}");
    }
    // A name is shown as it came, but for what could steer the terminal.
    let page = r#"{"count":1,"next":null,"results":[{"name":"b\u001b[2J\nc","last_updated":1}]}"#;
    gateway.respond(response("200 OK", "", page));
    let (status, out, _) = clean_up(&gateway, &["r"]);
    assert_eq!(
        (status, out.split('\t').next()),
        (0, Some("b\\u{1b}[2J\\nc"))
    );
}
