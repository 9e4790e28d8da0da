//! The example `clean_up`, run as a user runs it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use crate::examples::{KEYS, Output, command, executable, run_at};
use crate::gateway::{Exchange, Gateway, Request, Tag, Then, response, serve};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The time so many days and half a day ago: an age does not change while a test runs.
fn days_ago(days: u64) -> u64 {
    static NOW_MS: LazyLock<u128> = LazyLock::new(|| UNIX_EPOCH.elapsed().unwrap().as_millis());
    u64::try_from(*NOW_MS).unwrap() - days * DAY_MS - DAY_MS / 2
}

/// A digest of 64 digits, which repeat those of `text`.
fn hex(text: &str) -> String {
    text.repeat(64 / text.len())
}

/// The name that a row calls `text`: `@a.sig` is attached to the digest `a`.
fn name_of(text: &str) -> String {
    let Some(attached) = text.strip_prefix('@') else {
        return text.to_owned();
    };
    let (digest, end) = attached.split_at(attached.find('.').unwrap_or(attached.len()));
    format!("sha256-{}{end}", hex(digest))
}

/// A tag of a row: its name, its age in days, its digest and those that it contains (`a+b+c`), and
/// perhaps what is to become of it.
fn parse(row: &str) -> (String, Tag, Option<&str>) {
    let fields: Vec<_> = row.split_whitespace().collect();
    let digest = |text: &str| format!("sha256:{}", hex(text));
    let mut digests = fields[2].split('+').map(digest);
    let mut tag = Tag::new(
        days_ago(fields[1].parse().unwrap()),
        digests.next().unwrap(),
    );
    tag.images = digests.collect();
    (name_of(fields[0]), tag, fields.get(3).copied())
}

/// The image `r/i` with the tags of a row.
fn image_of(tags: &str) -> Gateway {
    let gateway = Gateway::with(&[]);
    for (name, tag, _) in tags.split(',').map(parse) {
        gateway.put_tag("r/i", name, tag);
    }
    gateway
}

#[track_caller]
fn clean_up(gateway: &Gateway, options: &str) -> Output {
    let options: Vec<_> = options.split_whitespace().collect();
    run_at(gateway, "clean_up", &[&options, &["r", "i"][..]].concat())
}

/// The names of the tags whose deletion was tried, in order.
fn tried(gateway: &Gateway) -> Vec<String> {
    let requests = gateway.requests();
    let deletions = requests
        .iter()
        .filter(|request| request.line().starts_with("DELETE "));
    let names = deletions.map(|request| request.target().rsplit('/').next().unwrap().to_owned());
    names.collect()
}

/// What is listed of each tag: its name, and what becomes of it.
#[track_caller]
fn fates(gateway: &Gateway, options: &str) -> Vec<(String, String)> {
    let (status, out, err) = clean_up(gateway, options);
    assert_eq!(status, 0, "{options}: {err}");
    let fates = out.lines().map(|line| {
        let [name, _, fate, _] = *line.split('\t').collect::<Vec<_>>() else {
            panic!("{line}")
        };
        let reason = fate
            .strip_prefix("kept (")
            .and_then(|fate| fate.strip_suffix(')'));
        (name.to_owned(), reason.unwrap_or(fate).to_owned())
    });
    let mut fates: Vec<_> = fates.collect();
    fates.sort();
    fates
}

/// Options, and tags with what becomes of each: why it is kept, or that it is old.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_tells_what_is_old_and_why_the_rest_is_kept() {
    for (options, tags) in [
        ("--keep=1", "v2 2 b old, v3 1 a newest, v1 3 c old"),
        ("--keep 9", "v1 1 a newest, v0 2 b newest"),
        // What is as new as the last that is kept; the order of names decides nothing.
        ("--keep 1", "v10 7 a old, v1 7 b old, v4 6 c newest"),
        ("--keep 2", "v10 7 a newest, v1 7 b newest, v2 7 c newest, v0 8 d old, v4 6 e newest"),
        // Builds are counted, not tags.
        ("--keep 2", "v3 1 a newest, abc 1 a newest, main 4 a newest, v2 2 b newest, v1 3 c old, dev 3 c old"),
        // An index and its platforms, whichever was pushed first.
        ("--keep 1", "v2 2 a+1+2 newest, v2-amd 9 1 newest, v2-arm 9 2 newest, v1 3 b+3 old, v1-amd 8 3 old"),
        ("--keep 1", "v2 2 a+1 old, v1 3 b+2 newest, v1-arm 1 2 newest"),
        ("--keep 1", "all 9 c+a newest, v2 1 a newest, v1 2 b old"),
        // Through others.
        ("--keep 1", "v4 1 a+1 newest, x 7 b+1+2 newest, y 8 c+2 newest, z 9 d+c newest, v3 2 e old"),
        // What is protected takes no place, and protects its build.
        ("--keep 1", "latest 1 a protected, v2 2 b newest, v1 3 a protected, v0 4 c old"),
        ("--keep 1", "latest 1 a newest, v3 1 a newest, v2 2 b old"),
        ("--keep 1 --protect stable --protect v0", "v0 1 b protected, v2 2 a newest, stable 3 b protected, v1 4 c old"),
        // Each * stands for anything.
        ("--keep 1 --protect v*-*-x", "n 1 a newest, v1-2-x 2 b protected, v--x 3 c protected, v-x 4 d old, v1-2-xy 5 e old, av-2-x 6 f old"),
        ("--keep 1 --protect a*a", "n 1 a newest, a 2 b old, aa 3 c protected, aba 4 d protected, ab 5 e old"),
        ("--keep 1 --protect *bc*b*", "n 1 a newest, bcb 2 b protected, xbcxbx 3 c protected, bbc 4 d old, cbb 5 e old, bc 6 f old"),
        ("--keep 1 --protect x**", "n 1 a newest, x 2 b protected, xy 3 c protected, yx 4 d old"),
        ("--keep 1 --protect *", "n 1 a protected, v1 2 b protected"),
        // What has another name takes no place, and keeps its build.
        ("--keep 1 --only pr-*", "main 1 a other, pr-3 2 b newest, pr-2 3 a other, pr-1 4 c old, pr-0 5 d+a other"),
        ("--keep 1 --only pr-* --only dev", "main 1 a other, pr-2 3 b old, dev 2 c newest, latest 9 d protected"),
        ("--keep 1 --only pr-*", "pr-2 1 a newest, latest 2 b protected, main 2 b protected, pr-1 3 c old"),
        ("--keep 2 --only pr-*", "pr-2 1 a newest, main 9 a newest, pr-1 2 b newest, pr-0 3 c old"),
        // What is young by the newest that counts.
        ("--keep 1 --older-than 5", "v4 1 a newest, v3 4 b young, v2 5 c old, x 9 d young, y 3 d young, v1 6 e old"),
        ("--keep 1 --older-than 99999", "v2 1 a newest, v1 2 b young"),
        ("--older-than 3 --keep 1 --only v*", "v2 1 a newest, v1 2 b young, main 0 c other, v0 4 c other, w 3 d other"),
        // Signatures: of a kept image, of a part of a kept index, of an old image, of what is in no list.
        ("--keep 1", "v2 2 a+1 newest, @a.sig 9 c newest, @1.att 8 d newest, v1 3 b old, @b.sig 4 e old, @f.sig 1 0 attached, @9 9 8 attached"),
        ("--keep 1", "v2 5 a newest, v1 6 b old, @b.att 0 c old"), // a young attestation of an old image
        ("--keep 1 --older-than 4", "v2 2 a newest, v1 6 b old, @b.att 0 c old"),
        ("--keep 1 --only v*", "v2 2 a newest, @a.sig 9 b newest, main 1 c other, @c.sig 1 d other, v1 3 e old, @e.sig 1 f old"),
        ("--keep 1 --protect sha256-*", "v2 1 a newest, v1 2 b protected, @b.sig 3 c protected, v0 4 d old"),
        // Named for their own digest, as a mirror may name all of its tags.
        ("--keep 1", "@a 1 a attached, @b 2 b attached, v1 3 c newest, v0 4 d old"),
        // Named for a digest only nearly.
        ("--keep 1", "v1 1 a newest, sha256-b 2 b old, @c- 3 c old, @g 4 d old, sha512-x.sig 5 e old"),
    ] {
        let gateway = image_of(tags);
        let expected = tags.split(',').map(parse);
        let mut expected: Vec<_> = expected.map(|(name, _, fate)| (name, fate.unwrap().to_owned())).collect();
        expected.sort();
        assert_eq!(fates(&gateway, options), expected, "{options}: {tags}");
        assert!(tried(&gateway).is_empty());
        // The same is deleted.
        let (status, _, err) = clean_up(&gateway, &format!("{options} --delete"));
        assert_eq!((status, &*err), (0, ""), "{options}: {tags}");
        let kept = expected.iter().filter(|(_, fate)| fate != "old").map(|(name, _)| name.clone());
        assert_eq!(gateway.tags("r/i"), kept.collect::<Vec<_>>(), "{options}: {tags}");
    }
}

#[test]
fn clean_up_shows_builds_together_with_ages_and_totals() {
    let gateway = image_of(
        "@b.sig 1 c, v2 2 a, v0 7 d, latest 2 a, x 8 e+b, v1 5 b, @f 0 f, @b.att 3 1, y 0 e",
    );
    let (sig, att, alone) = (name_of("@b.sig"), name_of("@b.att"), name_of("@f"));
    let options = "--keep 1 --protect v9* --only * --only z* --protect v2";
    let (status, out, err) = clean_up(&gateway, options);
    let expected = format!(
        "y\t0 d\tkept (newest)\ty\nv1\t5 d\tkept (newest)\ty\nx\t8 d\tkept (newest)\ty\n\
         {sig}\t1 d\tkept (newest)\ty\n{att}\t3 d\tkept (newest)\ty\n\
         latest\t2 d\tkept (protected)\tlatest\nv2\t2 d\tkept (protected)\tlatest\n\
         v0\t7 d\told\tv0\n{alone}\t0 d\tkept (attached)\t{alone}\n"
    );
    let totals = "r/i: no tag fits \"z*\"\nr/i: no tag fits \"v9*\"\nr/i: 1 old, 8 kept\n";
    assert_eq!((status, out, &*err), (0, expected, totals));
}

/// A gateway with images of 0 to 119 days, and an image `s/all` with tags of these ages, whose names
/// tell their ages, which their order does not.
fn large_registry() -> Gateway {
    let gateway = Gateway::with(&["other/x"]);
    for days in 0..120 {
        let tag = Tag::new(days_ago(days), format!("sha256:{days}"));
        let name = name_of_age(days);
        gateway.put_tag(&format!("r/{name}"), "latest", tag.clone());
        gateway.put_tag("s/all", name, tag);
    }
    gateway
}

fn name_of_age(days: u64) -> String {
    format!("{:03}-{days}", days * 143 % 120)
}

#[test]
fn clean_up_lists_everything_once_and_the_newest_first() {
    let gateway = large_registry();
    for (arguments, list) in [
        (&["r"][..], "/repositories/r?"),
        (&["s", "all"], "/repositories/s/all/tags?"),
    ] {
        let before = gateway.requests().len();
        let (status, out, err) = run_at(&gateway, "clean_up", arguments);
        let lines = (0..120).map(|days| format!("{}\t{days} d\n", name_of_age(days)));
        assert_eq!((status, out, &*err), (0, lines.collect(), ""));
        let requests = gateway.requests();
        let pages: Vec<_> = requests.iter().skip(before).map(Request::line).collect();
        let page = |page| format!("GET /ncr/api/v2{list}page={page}&pagesize=50 HTTP/1.1");
        assert_eq!(pages, [1, 2, 3].map(page));
    }
}

/// What a list looks like that has `results` as they stand.
fn page(count: usize, next: &str, results: &str) -> String {
    let page = format!(r#"{{"count":{count},"next":{next},"results":{results}}}"#);
    response("200 OK", "", &page)
}

/// What the service documents of `next` and `results`, and what a public client saw.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_takes_each_end_of_a_list() {
    let gateway = Gateway::with(&[]);
    for (pages, expected) in [
        (&[page(0, "0", "null")][..], ""),
        (&[page(0, "null", "[]")], ""),
        (&[page(1, "0", r#"[{"name":"a"}]"#)], "a\t?\n"),
        // Names are shown as they came, but for what could steer the terminal.
        (&[page(1, "null", r#"[{"name":"b\u001b[2J\nc","last_updated":null}]"#)], "b\\u{1b}[2J\\nc\t?\n"),
        // The unknown ages come last.
        (&[page(2, "2", r#"[{"name":"a","last_updated":1700000000}]"#), page(2, "null", r#"[{"name":"b","last_updated":9999999999999}]"#)], "b\t0 d\na\t?\n"),
    ] {
        for page in pages {
            gateway.respond(page.clone());
        }
        assert_eq!(clean_up(&gateway, ""), (0, expected.to_owned(), String::new()));
    }
}

#[test]
fn clean_up_shows_no_name_that_could_steer_a_terminal() {
    let gateway = Gateway::with(&[]);
    let odd = r#"{"name":"\u001b[2J","digest":"a","last_updated":9999999999999}"#;
    let old = r#"{"name":"v1","digest":"b","last_updated":1700000000000}"#;
    let list = page(2, "null", &format!("[{odd},{old}]"));
    gateway.respond(list.clone());
    let (_, out, _) = clean_up(&gateway, "--keep 1");
    let shown = "\\u{1b}[2J\t0 d\tkept (newest)\t\\u{1b}[2J\n";
    assert!(out.starts_with(shown), "{out:?}");
    let deleted = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    for reply in [list.clone(), list, deleted, page(0, "0", "null")] {
        gateway.respond(reply);
    }
    let (status, out, err) = clean_up(&gateway, "--keep 1 --delete");
    let told = "deleted r/i:v1\nr/i: 1 deleted, 0 left, 0 kept\n";
    let gone = "r/i:\\u{1b}[2J should be kept, but is gone\n";
    assert_eq!((status, &*out, &*err), (1, told, gone));
}

/// A list is complete or an error, and nothing is deleted.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_ends_if_a_list_is_not_complete() {
    let first = r#"{"count":3,"next":2,"results":[{"name":"a"},{"name":"b"}]}"#;
    let count = "the items are not as many as it counts; run it again";
    let next = "the next page is not the following one";
    for (flaw, second) in [
        ("no count", r#"{"next":null,"results":[{"name":"c"}]}"#),
        ("no count", r#"{"count":"3","next":null,"results":[{"name":"c"}]}"#),
        ("its count has changed; run it again", r#"{"count":2,"next":null,"results":[]}"#),
        ("its count has changed; run it again", r#"{"count":4,"next":3,"results":[{"name":"c"}]}"#),
        ("its count has changed; run it again", r#"{"count":100000,"next":3,"results":[{"name":"c"}]}"#),
        ("it counts more than 100,000 items", r#"{"count":100001,"next":3,"results":[{"name":"c"}]}"#),
        ("an item has no name", r#"{"count":3,"next":null,"results":[{"last_updated":7}]}"#),
        ("an item has no name", r#"{"count":3,"next":null,"results":[{"name":7}]}"#),
        ("an item has no name", r#"{"count":3,"next":null,"results":[{"name":""}]}"#),
        ("an item has no name", r#"{"count":3,"next":null,"results":["c"]}"#),
        ("a name comes twice; run it again", r#"{"count":3,"next":null,"results":[{"name":"a"}]}"#),
        (count, r#"{"count":3,"next":null,"results":null}"#),
        (count, r#"{"count":3,"next":0,"results":[{"name":"c"},{"name":"d"}]}"#),
        (count, r#"{"count":3,"next":3,"results":[{"name":"c"},{"name":"d"}]}"#),
        (count, r#"{"count":3,"next":null,"results":[]}"#),
        (next, r#"{"count":3,"next":3,"results":[]}"#),
        (next, r#"{"count":3,"next":2,"results":[{"name":"c"}]}"#),
        (next, r#"{"count":3,"next":"3","results":[{"name":"c"}]}"#),
        ("expected `:` at line 1 column 9", r#"{"count"=3,"next":null,"results":[]}"#),
    ] {
        for options in ["--keep 1 --delete", ""] {
            let gateway = image_of("a 1 a, b 2 b, c 3 c");
            for page in [first, second] {
                gateway.respond(response("200 OK", "", page));
            }
            let (status, out, err) = clean_up(&gateway, options);
            let expected = format!("page 2 of repositories/r/i/tags: {flaw}\n");
            assert_eq!((status, &*out, &*err), (2, "", &*expected), "{second}");
            gateway.assert_requests(2);
        }
    }
}

#[rustfmt::skip] // one row a line
#[test]
fn clean_up_refuses_a_tag_of_which_it_is_not_known_whether_it_is_old() {
    let time = |time: &str| format!(r#"[{{"name":"v1","digest":"a","last_updated":{time}}}]"#);
    let digest = |digest: &str| format!(r#"[{{"name":"v1","digest":{digest},"last_updated":1700000000000}}]"#);
    let (no_digest, no_time) = ("digest", "time in milliseconds");
    let nothing = r#"[{"name":"v1"}]"#.to_owned();
    for (results, missing) in [
        (digest("null"), no_digest), (digest(r#""""#), no_digest), (digest("7"), no_digest), (nothing.clone(), no_digest),
        // Seconds, and times that broken items have elsewhere.
        (time("1700000000"), no_time), (time("0"), no_time), (time("315532800000"), no_time), (time("-1"), no_time),
        (time("null"), no_time), (time(r#""1700000000000""#), no_time), (time("999999999999"), no_time),
    ] {
        let gateway = Gateway::with(&[]);
        for options in ["--keep 1", "--keep 1 --delete", "--keep 1 --delete --protect v1"] {
            for _ in 0..=options.matches("--delete").count() {
                gateway.respond(page(1, "null", &results));
            }
            let (status, out, err) = clean_up(&gateway, options);
            let expected = format!("r/i:v1 has no {missing}; if it may go: delete_image r i:v1\n");
            assert_eq!((status, &*out, err), (2, "", expected), "{results}");
        }
        assert!(tried(&gateway).is_empty());
    }
    let gateway = Gateway::with(&[]);
    gateway.respond(page(1, "null", &nothing));
    let (_, _, err) = run_at(&gateway, "clean_up", &["--keep", "1", "r", "a/b/c"]);
    assert_eq!(err, "r/a/b/c:v1 has no digest; if it may go: delete_image r a/b/c:v1\n");
    // The first time that is one.
    gateway.respond(page(1, "null", &time("1000000000000")));
    assert_eq!(clean_up(&gateway, "--keep 1").0, 0);
}

/// Serves a list of tags as they stand in a row, in its order.
fn serve_row(exchange: &mut Exchange<'_>, row: &str) -> Then {
    let tags = row.split(',').map(parse);
    let tags: Vec<_> = tags.map(|(name, tag, _)| tag.to_json(&name)).collect();
    let list = page(tags.len(), "null", &format!("[{}]", tags.join(",")));
    exchange.send(list);
    Then::KeepAlive
}

/// One that is deleted and one that is pushed between two pages make up for each other in the count,
/// and a tag can move to another digest.
#[test]
fn clean_up_deletes_nothing_if_the_list_differs_when_it_is_read_again() {
    let tags = "v3 1 a+1, v2 2 b, v1 3 c";
    for (what, again, is_same) in [
        ("nothing", tags, true),
        ("the order", "v1 3 c, v3 1 a+1, v2 2 b", true),
        ("a name", "v3 1 a+1, v2 2 b, v0 3 c", false),
        ("a time", "v3 1 a+1, v2 2 b, v1 4 c", false),
        ("a digest", "v3 1 a+1, v2 2 d, v1 3 c", false),
        ("what a digest contains", "v3 1 a+c, v2 2 b, v1 3 c", false),
        ("digest and part", "v3 1 1+a, v2 2 b, v1 3 c", false),
        ("one more", "v3 1 a+1, v2 2 b, v1 3 c, v0 4 d", false),
    ] {
        let gateway = image_of(tags);
        gateway.script(|exchange| serve_row(exchange, tags));
        gateway.script(move |exchange| serve_row(exchange, again));
        let (status, out, err) = clean_up(&gateway, "--keep 2 --delete");
        let (code, printed, error) = if is_same {
            (0, "deleted r/i:v1\nr/i: 1 deleted, 0 left, 2 kept\n", "")
        } else {
            (2, "", "r/i: the list has changed; run it again\n")
        };
        assert_eq!((status, &*out, &*err), (code, printed, error), "{what}");
        assert_eq!(
            gateway.tags("r/i").len(),
            2 + usize::from(!is_same),
            "{what}"
        );
    }
}

/// The response to the deletion of a tag; `404` is that of a gateway, `absent` of the service.
fn reply(text: &str) -> String {
    match text {
        "absent" => response("404 Not Found", "", r#"{"errorCode":"404"}"#),
        "truncated" => {
            "HTTP/1.1 200 OK\r\nRetry-After: 3600\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n"
                .to_owned()
        }
        status => response(&format!("{status} Oops"), "Retry-After: 3600\r\n", ""),
    }
}

/// Deletes what is older than the newest, and compares the names of what is tried, in order, how many
/// were not, and the three numbers of the last line.
#[track_caller]
fn assert_deleted(by_digest: bool, tags: &str, refused: &str, tried: &str, counts: [usize; 4]) {
    let gateway = image_of(tags);
    gateway.quirks().deletes_by_digest = by_digest;
    for (name, text) in refused
        .split_whitespace()
        .map(|row| row.split_once('=').unwrap())
    {
        gateway.quirks().replies.insert(name_of(name), reply(text));
    }
    let (status, out, err) = clean_up(&gateway, "--keep 1 --delete");
    let names: Vec<_> = tried.split_whitespace().map(name_of).collect();
    assert_eq!(self::tried(&gateway), names, "{tags}, {refused}: {err}");
    let [untried, deleted, left, kept] = counts;
    let last = format!("r/i: {deleted} deleted, {left} left, {kept} kept");
    assert_eq!(out.lines().last(), Some(&*last), "{tags}, {refused}: {err}");
    assert_eq!(status, i32::from(left > 0), "{tags}, {refused}");
    // Each tag that was tried has a line: that it was deleted, or why not.
    let lines: Vec<_> = out.lines().chain(err.lines()).collect();
    for name in &names {
        let is_told = |line: &&&str| line.split(' ').any(|word| word == format!("r/i:{name}"));
        assert_eq!(lines.iter().filter(is_told).count(), 1, "{name}: {lines:?}");
    }
    let text = format!("r/i: {untried} old tags were not tried");
    let end = Some(&*text).filter(|_| untried > 0);
    let told = err.lines().find(|line| line.ends_with(" not tried"));
    assert_eq!(told, end, "{tags}, {refused}");
    assert_eq!(
        lines.len(),
        names.len() + 1 + usize::from(untried > 0),
        "{lines:?}"
    );
}

/// Many old tags, all of which get the same response.
fn refused(count: usize, text: &str) -> (String, String, String) {
    let names = || (0..count).map(|number| format!("t{number:02}"));
    let tags = names()
        .enumerate()
        .map(|(number, name)| format!(", {name} {} {:02}", 90 - number, number + 10));
    let refused = names().map(|name| format!("{name}={text} "));
    (
        "v3 1 a".to_owned() + &tags.collect::<String>(),
        refused.collect(),
        names().collect::<Vec<_>>().join(" "),
    )
}

#[rustfmt::skip] // one row a line
#[test]
fn clean_up_deletes_the_oldest_first_and_what_is_attached_if_its_image_is_gone() {
    // The oldest build, in it the oldest tag, and last what is attached.
    assert_deleted(false, "v3 1 a, v2 3 b, w2 9 b, @b.sig 2 e, @b.att 4 f, v1 5 c", "", "v1 w2 v2 @b.att @b.sig", [0, 5, 0, 1]);
    let signed = "v3 1 a, v2 3 b, w2 9 b, @b.sig 2 e, @b.att 4 f";
    // What stays keeps it, also after a gateway's 404, which settles nothing.
    assert_deleted(false, signed, "v2=403 w2=403", "w2 v2", [2, 0, 4, 1]);
    assert_deleted(false, signed, "v2=403", "w2 v2", [2, 1, 3, 1]);
    assert_deleted(false, signed, "w2=503", "w2 v2", [2, 1, 3, 1]);
    assert_deleted(false, signed, "v2=404 w2=404", "w2 v2", [2, 0, 4, 1]);
    assert_deleted(false, signed, "v2=absent w2=absent", "w2 v2", [2, 0, 4, 1]);
    // Where a deletion takes all tags of a digest along, the others are not found, which is no failure.
    assert_deleted(true, signed, "", "w2 v2 @b.att @b.sig", [0, 4, 0, 1]);
    assert_deleted(true, "v3 1 a, v2 3 b+1, v2-arm 9 1, @1.sig 8 c", "", "v2-arm v2 @1.sig", [0, 3, 0, 1]);
    assert_deleted(false, signed, "w2=absent", "w2 v2 @b.att @b.sig", [0, 3, 1, 1]);
    assert_deleted(false, "v3 1 a, v2 3 b, w2 6 b, x2 9 b, @b.sig 2 e", "x2=403 w2=404", "x2 w2 v2", [1, 1, 3, 1]);
    // One that cannot be deleted keeps the next.
    assert_deleted(false, signed, "@b.att=403", "w2 v2 @b.att", [1, 2, 2, 1]);
    assert_deleted(false, signed, "@b.att=404", "w2 v2 @b.att @b.sig", [0, 3, 1, 1]);
}

/// What is about one tag does not keep the others; what is not ends the run.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_goes_on_after_a_refusal_and_ends_after_ten_failures() {
    for status in ["400", "403", "404", "absent", "409", "410", "412", "422"] {
        let (tags, refused, tried) = refused(30, status);
        assert_deleted(false, &tags, &refused, &tried, [0, 0, 30, 1]);
    }
    for status in ["500", "503", "408", "202", "302", "truncated"] {
        let (tags, refused, tried) = refused(12, status);
        assert_deleted(false, &tags, &refused, tried.split(" t10").next().unwrap(), [2, 0, 12, 1]);
    }
    let (tags, all, tried) = refused(20, "503");
    // Nine, one that is deleted, and ten.
    assert_deleted(false, &tags, &all.replace("t09=503", ""), &tried, [0, 1, 19, 1]);
    // A refusal in between is none.
    let (until, _) = tried.split_once(" t11").unwrap();
    assert_deleted(false, &tags, &all.replace("t05=503", "t05=403"), until, [9, 0, 20, 1]);
    // No further tag can succeed, and each would send again what was just refused.
    for status in ["401", "429"] {
        assert_deleted(false, &tags, &format!("t01={status}"), "t00 t01", [18, 1, 19, 1]);
        assert_deleted(false, "v3 1 a, v2 2 b, @b.sig 2 c", &format!("v2={status}"), "v2", [1, 0, 2, 1]);
    }
}

/// What the list says after the deletions.
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_reads_the_list_once_more_and_tells_what_is_left() {
    type Behavior = fn(&mut Exchange<'_>) -> Then;
    let (read, delete) = (serve as Behavior, serve as Behavior);
    let lose: Behavior = |exchange| { exchange.send(response("503 Busy", "Retry-After: 3600\r\n", "")); Then::KeepAlive };
    let refuse: Behavior = |exchange| { exchange.send(response("403 No", "", "")); Then::KeepAlive };
    let take_along: Behavior = |exchange| { exchange.images().get_mut("r/i").unwrap().remove("v2"); serve(exchange) };
    let cannot_read = "cannot read \"repositories/r/i/tags\": 503 Service Unavailable; wait 3600 s, as the service asks; run it again later\n";
    let refusal = "r/i:v0 was not deleted: 403 Forbidden; give the account permission for this registry\n";
    let gone = "r/i:v2 should be kept, but is gone\n";
    for (what, behaviors, status, out, err) in [
        ("the list cannot be read at first", &[lose][..], 2, "", cannot_read.into()),
        ("all is well", &[read, read, delete, delete], 0, "deleted r/i:v0\ndeleted r/i:v1\nr/i: 2 deleted, 0 left, 2 kept\n", String::new()),
        ("one is left", &[read, read, refuse, delete], 1, "deleted r/i:v1\nr/i: 1 deleted, 1 left, 2 kept\n", refusal.into()),
        ("the list cannot be read", &[read, read, delete, delete, lose], 1, "deleted r/i:v0\ndeleted r/i:v1\nr/i: 2 deleted, 0 left, 2 kept\n", cannot_read.into()),
        ("one is left, and the list cannot be read", &[read, read, refuse, delete, lose], 1, "deleted r/i:v1\nr/i: 1 deleted, 1 left, 2 kept\n", format!("{refusal}{cannot_read}")),
        ("a kept one is gone", &[read, read, delete, take_along], 1, "deleted r/i:v0\ndeleted r/i:v1\nr/i: 2 deleted, 0 left, 1 kept\n", gone.into()),
    ] {
        let gateway = image_of("v3 1 a, v2 2 b, v1 3 c, v0 4 d");
        for behavior in behaviors {
            gateway.script(*behavior);
        }
        let told = clean_up(&gateway, "--keep 2 --delete");
        assert_eq!(told, (status, out.to_owned(), err), "{what}");
        assert_eq!(gateway.requests().len(), if status == 2 { 1 } else { 5 }, "requests: {what}");
    }
    // What was deleted may stay in a list for a while.
    let gateway = image_of("v3 1 a, v2 2 b");
    gateway.quirks().replies.insert("v2".into(), "HTTP/1.1 204 No Content\r\n\r\n".into());
    let told = clean_up(&gateway, "--keep 1 --delete");
    assert_eq!(told, (0, "deleted r/i:v2\nr/i: 1 deleted, 0 left, 1 kept\n".into(), String::new()));
    // Nothing was to be deleted.
    let gateway = image_of("v3 1 a, v2 2 b");
    let told = clean_up(&gateway, "--keep 2 --delete");
    assert_eq!(told, (0, "r/i: 0 deleted, 0 left, 2 kept\n".into(), String::new()));
    gateway.assert_requests(2);
}

/// A reader may go away, as `head` does; a list that cannot be written is not complete. What is old is
/// deleted, whoever reads of it.
#[cfg(target_os = "linux")]
#[rustfmt::skip] // one row a line
#[test]
fn clean_up_and_delete_image_delete_even_if_nobody_reads_the_output() {
    let gateway = image_of("v5 1 a, v4 2 b, v3 3 c, v2 4 d, v1 5 e");
    gateway.quirks().replies.insert("v4".into(), reply("403"));
    let url = gateway.url();
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*url)];
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let closed = || {
        let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let closed = reader.stdin.take().unwrap();
        reader.wait().unwrap();
        Stdio::from(closed)
    };
    for (example, arguments, stdout, expected) in [
        ("clean_up", "r", full(), 2),
        ("clean_up", "--keep 1 r i", full(), 2),
        ("clean_up", "r", closed(), 0),
        ("clean_up", "--keep 1 r i", closed(), 0),
        ("clean_up", "--bogus", closed(), 2),
        ("clean_up", "--keep 4 --delete r i", closed(), 0),
        ("clean_up", "--keep 1 --delete r i", closed(), 1),
        ("delete_image", "--bogus", closed(), 2),
        ("delete_image", "r i:v5", closed(), 0),
        ("delete_image", "r i:v5", closed(), 1),
    ] {
        let options: Vec<_> = arguments.split(' ').collect();
        let mut command = command(example, &environment, &options);
        let status = command.stdout(stdout).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{example} {arguments}");
    }
    assert_eq!(gateway.tags("r/i"), ["v4"]);
}

#[rustfmt::skip] // one row a line
#[test]
fn clean_up_sends_nothing_if_it_is_called_in_a_wrong_way() {
    let gateway = Gateway::with(&["r/a"]);
    let see = |text: &str| format!("{text}; see clean_up --help\n");
    let names = see("expected REGISTRY IMAGE, or REGISTRY");
    let name = see("a name is empty; is a variable unset?");
    let pattern = see("a pattern is empty or an option; is a variable unset?");
    let keep = see("the other options need --keep N");
    let image = see("--keep needs REGISTRY IMAGE; is a variable unset?");
    let number = |option: &str, text: &str| format!("{option} takes a whole number from 1, not {text:?}\n");
    for (arguments, expected) in [
        ("", names.clone()),
        ("r a b", names),
        ("''", name.clone()),
        ("r ''", name.clone()),
        ("--keep 3 --delete r ''", name),
        ("--keep 3 --only '' r a", pattern.clone()),
        ("--keep 3 --protect v1 --protect= r a", pattern.clone()),
        // As with a $PATTERN that is unset: the next option would be a pattern.
        ("--keep 3 --protect --older-than=30 r a", pattern.clone()),
        ("--keep 3 --delete --only -- r a", pattern),
        ("--delete r a", keep.clone()),
        ("--older-than 3 r a", keep.clone()),
        ("--only v* r a", keep.clone()),
        ("--protect v* r a", keep),
        // As with an $IMAGE that is unset.
        ("--keep 3 r", image.clone()),
        ("--keep 3 --delete r", image),
        ("--keep 0 r a", number("--keep", "0")),
        ("--keep=-1 r a", number("--keep", "-1")),
        ("--keep --delete r a", number("--keep", "--delete")),
        ("--keep 1.5 r a", number("--keep", "1.5")),
        ("--keep 99999999999 r a", number("--keep", "99999999999")),
        ("--keep 3 --older-than 0 r a", number("--older-than", "0")),
        ("--keep 3 --older-than 2d r a", number("--older-than", "2d")),
        ("--keep 3 --keep 1 r a", "--keep is given twice\n".into()),
        ("--keep 3 --older-than 3 --older-than=1 r a", "--older-than is given twice\n".into()),
        ("r a --keep", "missing argument for option '--keep'\n".into()),
        ("--images r", "invalid option '--images'\n".into()),
        ("--delete=no --keep 1 r a", "unexpected argument for option '--delete': \"no\"\n".into()),
        ("r a:1", "cannot delete \"r/a:1\": the image name has a tag or digest, but an image is all of its tags; only delete_tag takes a tag\n".into()),
        ("R", "cannot delete \"R/image\": the registry contains upper-case letters\n".into()),
        ("-- -r", "cannot delete \"-r/image\": the registry must be a-z, 0-9 and -, with a-z or 0-9 at both ends\n".into()),
    ] {
        let arguments: Vec<_> = arguments.split_whitespace().map(|text| text.trim_matches('\'')).collect();
        let told = run_at(&gateway, "clean_up", &arguments);
        assert_eq!(told, (2, String::new(), expected), "{arguments:?}");
    }
    let environment = [KEYS[0], KEYS[1], ("NCR_API_URL", &*gateway.url_v3())];
    for arguments in [&["r"][..], &["--keep", "1", "--delete", "r", "a"]] {
        let text = "clean_up reads only API v2: unset NCR_API_URL, set NCLOUD_REGION\n";
        let told = crate::examples::run("clean_up", &environment, arguments);
        assert_eq!(told, (2, String::new(), text.to_owned()));
    }
    gateway.assert_connections(0);
}

/// As the documentation of the example shows it. The first image fails, the last one does not.
#[cfg(unix)]
#[test]
fn clean_up_of_every_image_fails_if_one_of_them_failed() {
    let source = include_str!("../../examples/clean_up.rs");
    let (_, script) = source.split_once("```sh\n").unwrap();
    let (script, _) = script.split_once("//! ```").unwrap();
    let script = script.replace("//!", "");
    let script = script.replace("--keep 5", "--keep 1 --delete");
    for (refused, status, left) in [("v0", 1, &["v0", "v1"][..]), ("no", 0, &["v1"])] {
        let gateway = Gateway::with(&[]);
        for (image, tags) in [("a/b", "v1 1 a, v0 2 b"), ("c", "w1 3 a, w0 4 b")] {
            for (name, tag, _) in tags.split(',').map(parse) {
                gateway.put_tag(&format!("my-registry/{image}"), name, tag);
            }
        }
        gateway
            .quirks()
            .replies
            .insert(refused.into(), reply("403"));
        let mut shell = Command::new("sh");
        let commands = executable("clean_up").with_file_name(":/usr/bin:/bin");
        shell.args(["-c", &script]).env_clear().envs(KEYS);
        shell
            .env("NCR_API_URL", gateway.url())
            .env("PATH", commands);
        let status_of_all = shell.output().unwrap().status.code();
        assert_eq!(status_of_all, Some(status), "{refused} is refused");
        assert_eq!(gateway.tags("my-registry/a/b"), left);
        assert_eq!(gateway.tags("my-registry/c"), ["w1"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn clean_up_keeps_whatever_must_be_kept(
        rows in proptest::collection::vec("(latest|[vw][0-9]|@[0-9ab]\\.s) [0-5] [0-9ab](\\+[0-9ab]){0,2}", 1..14),
        protected in any::<prop::sample::Index>(),
        (keep, days) in (1..4_usize, 1..6_u64),
        only in any::<bool>(),
    ) {
        let gateway = image_of(&rows.join(","));
        let tags = rows.iter().map(|row| parse(row));
        let tags: BTreeMap<_, _> = tags.map(|(name, tag, _)| (name, tag)).collect();
        let old = |keep: usize, more: &str| -> BTreeSet<_> {
            let only = if only { "--only v*" } else { "" };
            let fates = fates(&gateway, &format!("--keep {keep} {only} {more}"));
            fates.into_iter().filter(|(_, fate)| fate == "old").map(|(name, _)| name).collect()
        };
        let first = old(keep, "");
        let digests = |name: &str| -> BTreeSet<_> {
            let subject = name.strip_prefix("sha256-").map(|name| format!("sha256:{}", &name[..64]));
            tags[name].images.iter().chain([&tags[name].digest]).cloned().chain(subject).collect()
        };
        let is_candidate = |name: &str| name.starts_with('v') || (name.starts_with('w') && !only);
        let (gone, kept): (Vec<_>, Vec<_>) = tags.keys().partition(|name| first.contains(*name));
        for name in gone {
            prop_assert!(is_candidate(name) || name.starts_with("sha256-"), "{} is old", name);
            prop_assert!(kept.iter().all(|other| digests(other).is_disjoint(&digests(name))), "{}", name);
        }
        // Each of the newest is a build, or a part of one that has another of them.
        let mut candidates: Vec<_> = tags.keys().filter(|name| is_candidate(name)).collect();
        candidates.sort_by_key(|name| Reverse(tags[*name].last_updated));
        prop_assert!(candidates.iter().take(keep).all(|name| !first.contains(*name)));
        // More that is kept makes nothing old.
        let protected = protected.get(&tags.keys().collect::<Vec<_>>()).as_str();
        let less = old(keep, &format!("--protect {protected}"));
        prop_assert!(less.is_subset(&first) && !less.contains(protected));
        let less = old(keep, &format!("--older-than {days}"));
        let is_young = |name: &&&String| tags[**name].last_updated > days_ago(days);
        prop_assert!(candidates.iter().filter(is_young).all(|name| !less.contains(*name)));
        prop_assert!(less.is_subset(&first) && old(keep + 1, "").is_subset(&first));
    }
}
