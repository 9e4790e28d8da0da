//! Keeps the newest builds of an image and deletes the tags of the others.
//!
//! Needs the crates `ncloud-container-registry`, `lexopt` 0.3 and `serde_json` 1: copy this file,
//! or make a command of it with `cargo install --path . --example clean_up`.
//!
//! This script cleans up every image of a registry, and fails if one of them fails (add `--delete`
//! once the output is what you want):
//!
//! ```sh
//! images=$(clean_up my-registry) || exit
//! status=0
//! for image in $(printf '%s\n' "$images" | cut -f 1); do
//!     clean_up --keep 5 my-registry "$image" || status=1
//! done
//! exit "$status"
//! ```

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::{error::Error, ffi::OsStr, process, process::ExitCode, time::UNIX_EPOCH};

use lexopt::prelude::*;
use ncloud_container_registry::{Client, ErrorKind as Kind};
use serde_json::Value as Json;

const HELP: &str = "\
usage: clean_up [OPTION]... REGISTRY IMAGE   the tags of an image
       clean_up REGISTRY                     lists the images, and no more
Lists by API v2, the newest first. With --keep it says which tags are old, and why others are kept.
  --keep N           the N newest builds stay, each with all tags that have a digest in common, and
                     what is attached to them (sha256-...). N counts all that may go: for N of each
                     kind, run it once for each kind, with --only.
  --older-than DAYS  builds that are not older stay, too
  --only PATTERN     tags with another name stay, too
  --protect PATTERN  tags with this name stay, too; `latest` always does
  --delete           the rest is deleted. This cannot be undone: run it without --delete first. Push
                     nothing in the meantime: what is pushed under an old name is deleted, too.
Each * of a PATTERN stands for anything: quote it. Patterns may be repeated: one match is enough.
Settings: NCLOUD_ACCESS_KEY_ID, NCLOUD_SECRET_ACCESS_KEY (or ~/.ncloud/configure), NCLOUD_REGION.
Exit status: 0 on success; 1 if something old is left, a kept tag is gone, or the list could not be
read after the deletions; 2 if it ended before the first deletion.
";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// September 2001, before any registry: a time in seconds, or of a broken item, is less.
const MIN_TIME_MS: u64 = 1_000_000_000_000;
/// Enough to know that the service, and not a tag, is the cause.
const MAX_FAILURES: u32 = 10;

fn main() -> ExitCode {
    let done = Job::from_arguments().and_then(|job| job.run());
    done.unwrap_or_else(|error| {
        warn(error);
        ExitCode::from(2)
    })
}

/// Prints a line on stderr, which may be closed.
fn warn(line: impl std::fmt::Display) {
    _ = writeln!(io::stderr(), "{line}");
}

fn print(lines: &str) -> Result<ExitCode, Box<dyn Error>> {
    match io::stdout().write_all(lines.as_bytes()) {
        // Whoever reads the list may stop early, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[derive(Default)]
struct Job {
    /// What is listed, for people.
    name: String,
    registry: String,
    /// The image whose tags are listed; none if the images are.
    image: Option<String>,
    keep: Option<NonZeroU32>,
    older_than: Option<NonZeroU32>,
    only: Vec<String>,
    protected: Vec<String>,
    is_deletion: bool,
}

impl Job {
    fn from_arguments() -> Result<Job, Box<dyn Error>> {
        let (mut job, mut names) = (Job::default(), vec![]);
        let mut args = lexopt::Parser::from_env();
        while let Some(argument) = args.next()? {
            match argument {
                Short('h') | Long("help") => {
                    _ = io::stdout().write_all(HELP.as_bytes());
                    process::exit(0);
                }
                Long("keep") => set_once(&mut job.keep, "keep", &args.value()?)?,
                Long("older-than") => set_once(&mut job.older_than, "older-than", &args.value()?)?,
                Long("only") => job.only.push(args.value()?.string()?),
                Long("protect") => job.protected.push(args.value()?.string()?),
                Long("delete") => job.is_deletion = true,
                Value(name) => names.push(name.string()?),
                _ => return Err(argument.unexpected().into()),
            }
        }
        let is_choice = job.is_deletion || job.older_than.is_some() || job.patterns().count() > 0;
        #[rustfmt::skip] // one flaw a line
        let flaws = [
            (names.is_empty() || names.len() > 2, "expected REGISTRY IMAGE, or REGISTRY"),
            (names.iter().any(String::is_empty), "a name is empty; is a variable unset?"),
            (job.patterns().any(|text| text.is_empty() || text.starts_with("--")), "a pattern is empty or an option; is a variable unset?"),
            (is_choice && job.keep.is_none(), "the other options need --keep N"),
            (job.keep.is_some() && names.len() == 1, "--keep needs REGISTRY IMAGE; is a variable unset?"),
        ];
        if let Some(flaw) = first_that_holds(&flaws) {
            return Err(format!("{flaw}; see clean_up --help").into());
        }
        job.name = names.join("/");
        let mut names = names.into_iter();
        (job.registry, job.image) = (names.next().unwrap_or_default(), names.next());
        Ok(job)
    }

    fn patterns(&self) -> impl Iterator<Item = &String> {
        self.only.iter().chain(&self.protected)
    }

    fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        let client = Client::from_env()?;
        // Refuses a wrong name before anything is sent. With API v3, the URL has a query.
        let url = client.image_url(&self.registry, self.image.as_deref().unwrap_or("image"))?;
        if url.contains('?') {
            return Err("clean_up reads only API v2: unset NCR_API_URL, set NCLOUD_REGION".into());
        }
        let list = self.read_list(&client)?;
        let now_ms = u64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?;
        let Some(keep) = self.keep else {
            let lines = list.iter().map(|item| item.line(now_ms) + "\n");
            return print(&lines.collect::<String>());
        };
        // A deletion and a push between two pages can make up for each other, but not twice.
        if self.is_deletion && list != self.read_list(&client)? {
            return Err(format!("{}: the list has changed; run it again", self.name).into());
        }
        self.check(&list)?;
        let builds = self.choose(builds(list), keep, now_ms);
        if self.is_deletion {
            let deleted = self.delete(&client, &builds);
            Ok(self.report(&client, &builds, &deleted))
        } else {
            self.show(&builds, now_ms)
        }
    }
}

/// Takes the number of an option that stands once.
fn set_once(slot: &mut Option<NonZeroU32>, option: &str, text: &OsStr) -> Result<(), String> {
    if slot.is_some() {
        return Err(format!("--{option} is given twice"));
    }
    let number = text.to_str().and_then(|text| text.parse().ok());
    let flaw = || format!("--{option} takes a whole number from 1, not {text:?}");
    *slot = Some(number.ok_or_else(flaw)?);
    Ok(())
}

/// Returns the text of the first row that holds.
fn first_that_holds<'a>(rows: &[(bool, &'a str)]) -> Option<&'a str> {
    rows.iter().find(|row| row.0).map(|row| row.1)
}

// The list.

/// A tag of an image, or an image.
#[derive(PartialEq)]
struct Item {
    name: String,
    time_ms: Option<u64>,
    /// What a tag points to. Images have none.
    digest: Option<String>,
    /// The digests that a tag contains, one for each platform.
    parts: BTreeSet<String>,
    /// The digest of what a signature or an attestation is attached to.
    subject: Option<String>,
}

impl Item {
    fn parse(item: &Json) -> Option<Item> {
        let name = text(&item["name"])?;
        let time_ms = item["last_updated"].as_u64();
        let parts = item["images"].as_array().into_iter().flatten();
        Some(Item {
            time_ms: time_ms.filter(|time_ms| *time_ms >= MIN_TIME_MS),
            digest: text(&item["digest"]),
            parts: parts.filter_map(|part| text(&part["digest"])).collect(),
            subject: subject(&name),
            name,
        })
    }

    fn digests(&self) -> impl Iterator<Item = &String> {
        self.digest.iter().chain(&self.parts).chain(&self.subject)
    }

    /// Returns its name and its age in days.
    fn line(&self, now_ms: u64) -> String {
        let age = |time_ms| format!("{} d", now_ms.saturating_sub(time_ms) / DAY_MS);
        let age = self.time_ms.map_or("?".to_owned(), age);
        format!("{}\t{age}", self.name.escape_debug()) // whatever it is, it is safe to show
    }
}

fn text(value: &Json) -> Option<String> {
    Some(value.as_str()?.to_owned()).filter(|text| !text.is_empty())
}

/// Reads the digest in a name such as `sha256-0123....sig`, with 64 digits.
fn subject(name: &str) -> Option<String> {
    let hex = name.strip_prefix("sha256-")?.split('.').next()?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| format!("sha256:{hex}"))
}

impl Job {
    /// Reads the whole list, the newest first, or fails: a list that changes meanwhile repeats an
    /// item or leaves one out, and an item that comes twice would take two of the kept places.
    fn read_list(&self, client: &Client) -> Result<Vec<Item>, Box<dyn Error>> {
        let mut path = vec!["repositories", &*self.registry];
        path.extend(self.image.iter().flat_map(|image| [&**image, "tags"]));
        let (mut items, mut names, mut total) = (vec![], HashSet::new(), None);
        for page in 1.. {
            let flawed = |flaw: &str| format!("page {page} of {}: {flaw}", path.join("/"));
            // Of 50 tags, each with 50 platforms, a page has less than the 1 MiB that are read.
            let query = [("page", &*page.to_string()), ("pagesize", "50")];
            let body = client.get(&path, &query)?;
            let list: Json = serde_json::from_str(&body).map_err(|e| flawed(&e.to_string()))?;
            let count = list["count"].as_u64().ok_or_else(|| flawed("no count"))?;
            let total = *total.get_or_insert(count); // of the first page
            let is_last = list["next"].is_null() || list["next"] == 0;
            let results = list["results"].as_array().map_or(&[][..], Vec::as_slice);
            let found = (items.len() + results.len()) as u64;
            items.extend(results.iter().filter_map(Item::parse));
            names.extend(results.iter().filter_map(|item| text(&item["name"])));
            #[rustfmt::skip] // one flaw a line
            let flaws = [
                (count > 100_000, "it counts more than 100,000 items"), // and may have no end
                (count != total, "its count has changed; run it again"),
                ((items.len() as u64) < found, "an item has no name"),
                ((names.len() as u64) < found, "a name comes twice; run it again"),
                (found > count || (is_last && found < count), "the items are not as many as it counts; run it again"),
                (!is_last && (results.is_empty() || list["next"] != page + 1), "the next page is not the following one"),
            ];
            if let Some(flaw) = first_that_holds(&flaws) {
                return Err(flawed(flaw).into());
            }
            if is_last {
                break;
            }
        }
        items.sort_by(|a, b| (b.time_ms, &a.name).cmp(&(a.time_ms, &b.name)));
        Ok(items)
    }

    /// Refuses a list with a tag that cannot be judged, and tells which patterns name nothing: a
    /// misspelt one protects nothing.
    fn check(&self, tags: &[Item]) -> Result<(), String> {
        for pattern in self.patterns() {
            if !tags.iter().any(|tag| is_match(pattern, &tag.name)) {
                warn(format!("{}: no tag fits {pattern:?}", self.name));
            }
        }
        for tag in tags {
            let flaws = [
                (tag.digest.is_none(), "no digest"),
                (tag.time_ms.is_none(), "no time in milliseconds"),
            ];
            if let Some(flaw) = first_that_holds(&flaws) {
                let name = format!("{}:{}", self.name, tag.name.escape_debug());
                let arguments = name.replacen('/', " ", 1);
                let text = format!("{name} has {flaw}; if it may go: delete_image {arguments}");
                return Err(text);
            }
        }
        Ok(())
    }
}

/// Whether `name` is `pattern`, each * of which stands for anything.
fn is_match(pattern: &str, name: &str) -> bool {
    let Some((start, mut pattern)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let mut rest = name.strip_prefix(start);
    while let Some((part, others)) = pattern.split_once('*') {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
        pattern = others;
    }
    rest.is_some_and(|rest| rest.ends_with(pattern))
}

// Builds.

/// The tags that have or contain a digest in common, directly or through others. CI pushes several
/// tags for a commit, one for each platform perhaps, and a registry may delete all tags of a digest
/// with one of them, so a build stays or goes whole. The newest tag comes first, attached ones
/// last.
type Build = Vec<Item>;

/// Returns the builds of tags that come newest first, in the order of their newest tags. A young
/// signature makes no build young.
fn builds(mut tags: Vec<Item>) -> Vec<Build> {
    tags.sort_by_key(|tag| tag.subject.is_some());
    let mut holders = HashMap::<_, Vec<_>>::new(); // of a digest
    for (index, tag) in tags.iter().enumerate() {
        for digest in tag.digests() {
            holders.entry(digest).or_default().push(index);
        }
    }
    let mut firsts = vec![None; tags.len()]; // of each tag, the first tag of its build
    for first in 0..tags.len() {
        let mut found = vec![first];
        while let Some(index) = found.pop() {
            if firsts[index].is_none() {
                firsts[index] = Some(first);
                for digest in tags[index].digests() {
                    found.extend(holders.remove(digest).unwrap_or_default());
                }
            }
        }
    }
    let mut builds = BTreeMap::<_, Vec<_>>::new();
    for (tag, first) in tags.into_iter().zip(firsts) {
        builds.entry(first).or_default().push(tag);
    }
    builds.into_values().collect()
}

// What is kept.

/// A build, and why it is kept; none if it is old.
type Choice = (Option<&'static str>, Build);

impl Job {
    /// Decides of each build whether it is kept, and why.
    fn choose(&self, builds: Vec<Build>, keep: NonZeroU32, now_ms: u64) -> Vec<Choice> {
        let time_of_build = |build: &Build| {
            let candidate = build.iter().find(|tag| self.exclusion(tag).is_none());
            candidate.and_then(|newest| newest.time_ms)
        };
        // A build without candidates takes no place.
        let mut times: Vec<_> = builds.iter().filter_map(time_of_build).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let last_place = times.iter().take(keep.get() as usize).next_back().copied();
        let start = |days: NonZeroU32| now_ms.saturating_sub(u64::from(days.get()) * DAY_MS);
        let youth = self.older_than.map(start);
        let why_kept = |build: &Build| {
            let time_ms = time_of_build(build);
            let is_since = |start: Option<_>| start.is_some() && time_ms >= start;
            let has = |reason| build.iter().any(|tag| self.exclusion(tag) == Some(reason));
            first_that_holds(&[
                (is_since(last_place), "newest"),
                (is_since(youth), "young"),
                (has("protected"), "protected"),
                (has("other"), "other"),
                // To an index, perhaps, whose own digest is in no list.
                (time_ms.is_none(), "attached"),
            ])
        };
        let chosen = builds.into_iter().map(|build| (why_kept(&build), build));
        chosen.collect()
    }

    /// Returns why a tag is no candidate; none if it is one.
    fn exclusion(&self, tag: &Item) -> Option<&'static str> {
        let fits = |patterns: &[String]| patterns.iter().any(|text| is_match(text, &tag.name));
        first_that_holds(&[
            (tag.name == "latest" || fits(&self.protected), "protected"),
            (tag.subject.is_some(), "attached"),
            (!self.only.is_empty() && !fits(&self.only), "other"),
        ])
    }

    // Deletion.

    /// Deletes the old builds, the oldest first, and returns the tags whose deletion is confirmed.
    fn delete<'a>(&self, client: &Client, builds: &'a [Choice]) -> HashSet<&'a str> {
        let image = self.image.as_deref().unwrap_or_default();
        let (mut deleted, mut failures, mut untried) = (HashSet::new(), 0, 0);
        for (_, build) in builds.iter().rev().filter(|(reason, _)| reason.is_none()) {
            let (mut is_deleted, mut is_left) = (false, false);
            let mut tags: Vec<_> = build.iter().rev().collect();
            tags.sort_by_key(|tag| tag.subject.is_some());
            for tag in tags {
                // What stays keeps its signatures.
                if failures >= MAX_FAILURES || (tag.subject.is_some() && (is_left || !is_deleted)) {
                    untried += 1;
                    continue;
                }
                let Err(error) = client.delete_tag(&self.registry, image, &tag.name) else {
                    // If the output is closed, the rest must still be deleted.
                    _ = writeln!(io::stdout(), "deleted {}:{}", self.name, tag.name);
                    (failures, is_deleted) = (0, true);
                    deleted.insert(&*tag.name);
                    continue;
                };
                // One that is not found is perhaps gone with another tag of its digest.
                is_left |= error.kind() != Kind::NotFound;
                failures += match error.kind() {
                    Kind::Unauthorized | Kind::RateLimited => MAX_FAILURES,
                    Kind::Server | Kind::Timeout | Kind::Transport | Kind::UnexpectedResponse => 1,
                    _ => 0, // it is about this tag, and must not block the others
                };
                warn(error);
            }
        }
        if untried > 0 {
            warn(format!("{}: {untried} old tags were not tried", self.name));
        }
        deleted
    }

    // What is told.

    /// Shows the tags of each build together, with the name of its first.
    fn show(&self, builds: &[Choice], now_ms: u64) -> Result<ExitCode, Box<dyn Error>> {
        let (mut lines, mut old, mut kept) = (String::new(), 0, 0);
        for (reason, build) in builds {
            let fate = reason.map_or("old".to_owned(), |reason| format!("kept ({reason})"));
            old += if reason.is_none() { build.len() } else { 0 };
            kept += if reason.is_some() { build.len() } else { 0 };
            let first = build[0].name.escape_debug();
            let line = |tag: &Item| format!("{}\t{fate}\t{first}\n", tag.line(now_ms));
            lines.extend(build.iter().map(line));
        }
        warn(format!("{}: {old} old, {kept} kept", self.name));
        print(&lines)
    }

    /// Reads the list once more, and tells what became of the tags.
    fn report(&self, client: &Client, builds: &[Choice], deleted: &HashSet<&str>) -> ExitCode {
        let has_old = builds.iter().any(|(reason, _)| reason.is_none());
        let list = has_old.then(|| self.read_list(client)).transpose();
        let is_known = list.as_ref().map_err(warn).is_ok();
        let names = |list: Vec<Item>| list.into_iter().map(|item| item.name).collect();
        let listed: Option<HashSet<_>> = list.ok().flatten().map(names);
        let [mut gone, mut left, mut kept, mut missing] = [0; 4];
        for (reason, build) in builds {
            for tag in build {
                let is_listed = (listed.as_ref()).is_none_or(|names| names.contains(&tag.name));
                match reason {
                    None if is_listed && !deleted.contains(&*tag.name) => left += 1,
                    None => gone += 1, // perhaps with another tag of its digest
                    Some(_) if is_listed => kept += 1,
                    Some(_) => {
                        missing += 1;
                        let name = tag.name.escape_debug();
                        warn(format!("{}:{name} should be kept, but is gone", self.name));
                    }
                }
            }
        }
        _ = writeln!(
            io::stdout(),
            "{}: {gone} deleted, {left} left, {kept} kept",
            self.name
        );
        ExitCode::from(u8::from(!is_known || left > 0 || missing > 0))
    }
}
