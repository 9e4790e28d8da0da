//! Keeps the newest tags of an image, or the newest images of a registry, and deletes the rest.
//!
//! Needs the crates `ncloud-container-registry` and `serde_json` 1: copy this file to use it.
//!
//! A list that changes while it is read repeats an item or leaves one out, and an item that comes
//! twice would take two of the kept places. So nothing is deleted unless the list is complete, and
//! twice the same.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::collections::HashSet;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::{cmp::Reverse, env, error::Error, process::ExitCode, time::UNIX_EPOCH};

use ncloud_container_registry::{Client, ErrorKind};
use serde_json::Value;

const HELP: &str = "\
usage: clean_up [--keep N [--delete]] REGISTRY IMAGE      the tags of an image
       clean_up --images [--keep N [--delete]] REGISTRY   the images of a registry
       clean_up REGISTRY                                  lists the images, and no more
Lists tags or images by API v2, newest first, with their age.
  --keep N  show which are kept (the N newest, any as new as the last of these, and a tag whose
            digest a kept tag contains) and which are old; nothing is deleted
  --delete  delete the old ones, the oldest first, an image with all of its tags. This cannot be
            undone. Push nothing in the meantime: what is pushed under an old name is deleted, too.
Settings: NCLOUD_ACCESS_KEY_ID, NCLOUD_SECRET_ACCESS_KEY (or ~/.ncloud/configure), NCLOUD_REGION.
Exit status: 0 on success, 1 if a deletion failed, 2 if it ended before the first deletion.
";

fn main() -> ExitCode {
    let to_text = |argument: std::ffi::OsString| argument.to_string_lossy().into_owned();
    let arguments: Vec<_> = env::args_os().skip(1).map(to_text).collect();
    if arguments.iter().any(|arg| arg == "--help" || arg == "-h") {
        _ = write!(io::stdout(), "{HELP}");
        return ExitCode::SUCCESS;
    }
    let job = Job::parse(&arguments).ok_or_else(|| HELP.trim_end().into());
    let done: Result<ExitCode, Box<dyn Error>> = job.and_then(|job| job.run());
    done.unwrap_or_else(|error| {
        _ = writeln!(io::stderr(), "{error}");
        ExitCode::from(2)
    })
}

struct Job<'a> {
    registry: &'a str,
    /// The image whose tags are listed; none if the images are.
    image: Option<&'a str>,
    keep: Option<NonZeroUsize>,
    is_deletion: bool,
}

impl Job<'_> {
    /// Returns none for wrong usage.
    fn parse(arguments: &[String]) -> Option<Job<'_>> {
        let (mut names, mut keep, mut of_images, mut is_deletion) = (vec![], None, false, false);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match &**argument {
                "--images" => of_images = true,
                "--delete" => is_deletion = true,
                "--keep" if keep.is_none() => keep = Some(arguments.next()?.parse().ok()?),
                name if name.is_empty() || name.starts_with('-') => return None,
                name => names.push(name),
            }
        }
        let (registry, image) = match *names {
            [registry, image] if !of_images => (registry, Some(image)),
            // An image that is an unset variable must not turn its tags into whole images.
            [registry] if of_images || keep.is_none() => (registry, None),
            _ => return None,
        };
        let is_usage = keep.is_some() || !is_deletion;
        is_usage.then_some(Job {
            registry,
            image,
            keep,
            is_deletion,
        })
    }

    fn run(&self) -> Result<ExitCode, Box<dyn Error>> {
        let client = Client::from_env()?;
        client.image_url(self.registry, self.image.unwrap_or("image"))?; // refuses a wrong name
        let key = |item: &Value| (Reverse(time_ms(item)), text(item, "name").to_owned());
        let mut items = self.read_list(&client)?;
        // A deletion and a push between two pages can make up for each other, but not twice.
        let is_same = |again: Vec<Value>| again.iter().map(key).eq(items.iter().map(key));
        if self.is_deletion && !is_same(self.read_list(&client)?) {
            return Err("the list has changed; run it again".into());
        }
        items.sort_by_cached_key(key);
        let kept = self.choose(&items)?;
        let items = items.iter().zip(kept);
        if self.is_deletion {
            let old = items.filter(|(_, is_kept)| !is_kept);
            return Ok(self.delete(&client, old.map(|(item, _)| text(item, "name")).rev()));
        }
        let now_ms = u64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?;
        let lines = items.map(|(item, is_kept)| {
            let days = now_ms.saturating_sub(time_ms(item)) / (24 * 60 * 60 * 1000);
            let unit = if days == 1 { "day" } else { "days" };
            let fate = if is_kept { "\tkept" } else { "\told" };
            let fate = self.keep.map_or("", |_| fate);
            let name = text(item, "name").escape_debug(); // whatever it is, it is safe to show
            format!("{name}\t{days} {unit}{fate}\n")
        });
        match io::stdout().write_all(lines.collect::<String>().as_bytes()) {
            // Whoever reads the list may stop early, as `head` does.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    fn read_list(&self, client: &Client) -> Result<Vec<Value>, Box<dyn Error>> {
        let mut path = vec!["repositories", self.registry];
        path.extend(self.image.iter().flat_map(|image| [*image, "tags"]));
        let (mut items, mut names, mut total, mut page) = (vec![], HashSet::new(), None, 0);
        loop {
            page += 1;
            let query = [("page", &*page.to_string()), ("pagesize", "100")];
            let list: Value = serde_json::from_str(&client.get(&path, &query)?)?;
            let results = list["results"].as_array().map_or(&[][..], Vec::as_slice);
            items.extend_from_slice(results);
            names.extend(results.iter().map(|item| text(item, "name").to_owned()));
            let (count, found) = (list["count"].as_u64(), items.len() as u64);
            let is_last = list["next"].is_null();
            let is_item = |item| !text(item, "name").is_empty() && item["last_updated"].is_u64();
            #[rustfmt::skip] // one flaw a line
            let flaws = [
                (count.is_none() || !list["results"].is_array(), "it is no page of a list"),
                (count != *total.get_or_insert(count), "its count has changed; run it again"),
                (count > Some(100_000), "it counts more than 100,000 items"), // or perhaps no end
                (!results.iter().all(is_item), "an item has no name or no time"),
                (found > names.len() as u64, "a name comes twice; run it again"),
                (count < Some(found) || is_last && count > Some(found), "its count is another; run it again"),
                (!is_last && (results.is_empty() || list["next"] != page + 1), "it leads to no page"),
            ];
            if let Some((_, flaw)) = flaws.iter().find(|(is_flawed, _)| *is_flawed) {
                return Err(format!("page {page} of {}: {flaw}", path.join("/")).into());
            }
            if is_last {
                return Ok(items);
            }
        }
    }

    /// Returns which of `items`, the newest first, are kept.
    fn choose(&self, items: &[Value]) -> Result<Vec<bool>, String> {
        // Of fewer items, or without the option, all are kept.
        let last = self.keep.and_then(|keep| items.get(keep.get() - 1));
        let oldest = last.map_or(0, time_ms);
        let mut kept: Vec<_> = items.iter().map(|item| time_ms(item) >= oldest).collect();
        if self.keep.is_none() || self.image.is_none() {
            return Ok(kept); // images have no digest
        }
        let is_digest = |digest: &str| !digest.is_empty() && digest.chars().all(is_of_digest);
        if let Some(tag) = items.iter().find(|tag| !is_digest(text(tag, "digest"))) {
            return Err(format!("the tag {:?} has no digest", text(tag, "name")));
        }
        // A tag that is kept for its digest keeps others in turn.
        loop {
            let before = kept.clone();
            let tags = items.iter().zip(&kept).filter(|(_, is_kept)| **is_kept);
            let shown: String = tags.map(|(tag, _)| tag.to_string()).collect();
            let words: HashSet<_> = shown.split(|c| !is_of_digest(c)).collect();
            for (tag, is_kept) in items.iter().zip(&mut kept) {
                *is_kept |= words.contains(text(tag, "digest"));
            }
            if kept == before {
                return Ok(kept);
            }
        }
    }

    fn delete<'a>(&self, client: &Client, names: impl Iterator<Item = &'a str>) -> ExitCode {
        let mut status = ExitCode::SUCCESS;
        for name in names {
            let deleted = match self.image {
                Some(image) => client.delete_tag(self.registry, image, name),
                None => client.delete_image(self.registry, name),
            };
            if let Err(error) = deleted {
                _ = writeln!(io::stderr(), "{error}");
                status = ExitCode::FAILURE;
                if error.kind() != ErrorKind::NotFound {
                    break;
                }
            } else {
                // If the output is closed, the rest must still be deleted.
                _ = writeln!(io::stdout(), "deleted {name}");
            }
        }
        status
    }
}

/// What is missing or no text is empty.
fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_default()
}

fn time_ms(item: &Value) -> u64 {
    item["last_updated"].as_u64().unwrap_or_default()
}

/// Whether a digest can have a character (OCI image specification, "Digests").
fn is_of_digest(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+._-:=".contains(c)
}
